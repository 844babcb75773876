//! What the user asks for, and the files it names.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::Parser;
use rivvi::domain::E164;

use crate::shared::job::{Job, JobOptions};
use crate::shared::outcome::Failure;

/// Runs a voice campaign over a contact sheet against a simulated phone network.
///
/// Exit codes: 0 done, 2 bad input, 130 interrupted and resumable with the same --db and --network-log.
#[derive(Debug, Parser)]
#[command(name = "quickstart")]
pub(crate) struct Options {
    /// Contact sheet: csv, tsv, xlsx, xls or ods
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/contacts.csv"))]
    contacts: PathBuf,
    #[command(flatten)]
    pub(crate) job: JobOptions,
    /// SQLite file; the same file resumes an interrupted run [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,
    /// Folder for uploads, processed sheets and call logs [default: they are not kept]
    #[arg(long, value_name = "DIR")]
    pub(crate) blobs: Option<PathBuf>,
    /// File to which the simulated network appends each call leg before it answers
    #[arg(long, value_name = "FILE")]
    pub(crate) network_log: Option<PathBuf>,
    /// Virtual start time
    #[arg(long, value_name = "RFC3339", default_value = "2026-03-02T06:30:00Z", value_parser = instant)]
    pub(crate) start: DateTime<Utc>,
    /// Virtual seconds per real second; 0 is as fast as possible
    #[arg(long, value_name = "X", default_value = "0", value_parser = speed)]
    pub(crate) speed: f64,
    /// Decides how callees behave
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print exactly one JSON object on stdout at the end
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the decision trail of the contact with this number
    #[arg(long, value_name = "NUMBER")]
    explain: Option<String>,
    /// File for the outcome of each contact, as CSV
    #[arg(long, value_name = "FILE", default_value = "quickstart-report.csv")]
    pub(crate) report: PathBuf,
}

impl Options {
    /// Reads and checks the files that are named, before anything happens.
    pub(crate) fn read(&self) -> Result<(Job, Option<E164>), Failure> {
        let job = self.job.read(&self.contacts)?;
        let explain = self.explain.as_ref().map(|number| {
            E164::parse(number, job.region).map_err(|error| {
                Failure::Input(format!("--explain: {error}; expected a phone number such as +972501234567"))
            })
        });
        let explain = explain.transpose()?;
        // Better to say so now than after the run.
        let writable = std::fs::OpenOptions::new().create(true).append(true).open(&self.report);
        writable.map_err(|error| Failure::Input(format!("{}: {error}", self.report.display())))?;
        Ok((job, explain))
    }
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.to_utc())
        .map_err(|_| "expected an instant such as 2026-03-02T09:00:00+02:00".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed: &f64| (0.0..=1e9).contains(speed));
    speed.ok_or_else(|| "expected a number from 0 to 1000000000".to_owned())
}
