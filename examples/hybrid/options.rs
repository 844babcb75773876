//! What the user asks for.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use clap::{Parser, ValueEnum};
use rivvi::domain::{CallerId, E164};
use rivvi::flow::Flow;
use rivvi::storage::Blobs;

use crate::ari::AriOptions;
use crate::shared::job::{Job, JobOptions};
use crate::shared::outcome::Failure;

const CAMPAIGN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/hybrid.toml");

/// Runs a campaign of calls, text messages and speech over a contact sheet.
///
/// Exit codes: 0 done, 1 something broke, 2 bad input, 130 interrupted and resumable with the same --db.
#[derive(Debug, Parser)]
#[command(name = "hybrid", mut_arg("campaign", |argument| argument.default_value(CAMPAIGN)))]
pub(crate) struct Options {
    /// Who calls: a simulated network in virtual time, or Asterisk
    #[arg(long, value_enum, default_value_t = Voice::Sim)]
    pub(crate) voice: Voice,
    /// Contact sheet: csv, tsv, xlsx, xls or ods
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/contacts.csv"))]
    contacts: PathBuf,
    /// The flow that leads conversations on Asterisk, in TOML or JSON
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flows/donation.toml"))]
    flow: PathBuf,
    #[command(flatten)]
    pub(crate) job: JobOptions,
    #[command(flatten)]
    pub(crate) ari: AriOptions,
    /// Who speaks on Asterisk
    #[arg(long, value_enum, default_value_t = Speaker::Espeak)]
    pub(crate) speaker: Speaker,
    /// A server that plays Amazon Polly [default: Amazon's own]
    #[arg(long, value_name = "URL")]
    pub(crate) polly_endpoint: Option<String>,
    /// Share of phones that cannot receive text messages, from 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0.2", value_parser = share)]
    pub(crate) no_sms: f64,
    /// The number shown
    #[arg(long, value_name = "NUMBER", default_value = "+97231234567", value_parser = number)]
    pub(crate) from: CallerId,
    /// Virtual start time of the simulated network
    #[arg(long, value_name = "RFC3339", default_value = "2026-03-02T06:30:00Z")]
    pub(crate) start: DateTime<Utc>,
    /// Decides how callees and phones behave that are simulated
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// SQLite file; the same file resumes an interrupted run [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,
    /// Folder for uploads, call logs, and speech that was paid for [default: a temporary folder]
    #[arg(long, value_name = "DIR")]
    blobs: Option<PathBuf>,
    /// Print exactly one JSON object on stdout at the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Voice {
    /// A simulated network
    Sim,
    /// Asterisk
    Asterisk,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speaker {
    /// espeak-ng, offline
    Espeak,
    /// Amazon Polly
    Polly,
}

impl Options {
    /// Reads and checks the files that are named, before anything happens.
    pub(crate) fn read(&self) -> Result<Job, Failure> {
        let mut job = self.job.read(&self.contacts)?;
        if self.voice == Voice::Asterisk {
            let named =
                |error: &dyn std::fmt::Display| Failure::Input(format!("{}: {error}", self.flow.display()));
            let text = std::fs::read_to_string(&self.flow).map_err(|error| named(&error))?;
            let json = self.flow.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
            let flow = if json { Flow::from_json(&text) } else { Flow::from_toml(&text) };
            job.campaign = job.campaign.with_flow(Arc::new(flow.map_err(|error| named(&error))?));
        }
        Ok(job)
    }

    pub(crate) fn blobs(&self, folder: PathBuf) -> Result<Blobs, Failure> {
        let folder = self.blobs.clone().unwrap_or(folder);
        Blobs::in_folder(folder).map_err(|error| Failure::Input(error.to_string()))
    }

    pub(crate) fn how_to_go_on(&self) -> String {
        match &self.db {
            Some(db) => format!("To go on, run the same command again, with --db {}.", db.display()),
            None => "Give a --db FILE next time, to be able to go on.".to_owned(),
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}

fn number(text: &str) -> Result<CallerId, String> {
    E164::from_e164(text).map(CallerId).map_err(|_| "expected a number such as +97231234567".to_owned())
}
