//! What the user asks for.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rivvi::domain::{CallerId, CampaignDefinition, E164};
use rivvi::flow::Flow;
use rivvi::providers::{AsteriskOptions, Espeak};
use rivvi::storage::Blobs;

use crate::ari::AriOptions;
use crate::engine::EngineOptions;
use crate::shared::job::{Job, JobOptions};
use crate::shared::outcome::Failure;

/// Runs a voice campaign over a contact sheet on Asterisk.
///
/// Exit codes: 0 done, 1 something broke, 2 bad input, 130 interrupted and resumable with the same --db and --app.
#[derive(Debug, Parser)]
#[command(name = "asterisk", mut_arg("ari", |argument| argument.required(true)))]
// Everything about a call is told with its end, but for a recording.
#[command(mut_arg("analysis_grace", |argument| argument.default_value("3s")))]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) ari: AriOptions,
    /// Whom to dial for a transfer; {to} stands for what the flow names
    #[arg(long, value_name = "ENDPOINT", default_value = "PJSIP/{to}@trunk")]
    agent_endpoint: String,
    /// Whom to transfer to where the flow names nobody
    #[arg(long, value_name = "NUMBER")]
    agent: Option<String>,
    /// The number shown
    #[arg(long, value_name = "NUMBER", default_value = "+97231234567", value_parser = number)]
    pub(crate) from: CallerId,
    /// Contact sheet: csv, tsv, xlsx, xls or ods
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/contacts.csv"))]
    contacts: PathBuf,
    /// The flow that leads conversations, in TOML or JSON
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flows/donation.toml"))]
    flow: PathBuf,
    #[command(flatten)]
    pub(crate) job: JobOptions,
    #[command(flatten)]
    pub(crate) engine: EngineOptions,
    /// Record calls from answer to end; they are kept among the --blobs, else on the server
    #[arg(long)]
    record: bool,
    /// SQLite file; the same file resumes an interrupted run [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,
    /// Folder for uploads, processed sheets, call logs and recordings [default: they are not kept]
    #[arg(long, value_name = "DIR")]
    blobs: Option<PathBuf>,
    /// How long a call may stay without news before it is looked up, beyond its longest duration
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    silence: Duration,
    /// Print exactly one JSON object on stdout at the end
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// Reads and checks the files that are named, before anything happens.
    pub(crate) fn read(&self) -> Result<(Job, Arc<Flow>), Failure> {
        let job = self.job.read(&self.contacts)?;
        let named =
            |error: &dyn std::fmt::Display| Failure::Input(format!("{}: {error}", self.flow.display()));
        let text = std::fs::read_to_string(&self.flow).map_err(|error| named(&error))?;
        let json = self.flow.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let flow = if json { Flow::from_json(&text) } else { Flow::from_toml(&text) };
        let flow = Arc::new(flow.map_err(|error| named(&error))?);
        let campaign: CampaignDefinition = job.campaign.with_flow(flow.clone());
        Ok((Job { campaign, ..job }, flow))
    }

    pub(crate) fn blobs(&self) -> Result<Option<Blobs>, Failure> {
        let open = |folder| Blobs::in_folder(folder).map_err(|error| Failure::Input(error.to_string()));
        self.blobs.as_ref().map(open).transpose()
    }

    /// How calls are placed. Speech lies in `folder` if no other is named.
    pub(crate) fn asterisk(&self, folder: PathBuf, recordings: Option<Blobs>) -> AsteriskOptions {
        let mut options = self.ari.asterisk(Arc::new(Espeak::new()), folder);
        options.agent_endpoint.clone_from(&self.agent_endpoint);
        options.agent = self.agent.clone().map(Into::into);
        options.record_calls = self.record;
        options.recordings = recordings;
        options.silence_max = self.silence;
        options
    }

    pub(crate) fn how_to_go_on(&self) -> String {
        match &self.db {
            Some(db) => {
                format!("run the same command again, with --db {} and --app {}.", db.display(), self.ari.app)
            }
            None => "give a --db FILE next time, to be able to go on.".to_owned(),
        }
    }
}

fn number(text: &str) -> Result<CallerId, String> {
    E164::from_e164(text).map(CallerId).map_err(|_| "expected a number such as +97231234567".to_owned())
}
