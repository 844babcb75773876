//! What the user asks for.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use rivvi::domain::{CallerId, CallsPerSecond, E164, Secret};
use rivvi::engine::EngineConfig;
use rivvi::providers::RetellOptions;

use crate::hosted::store::StoreOptions;
use crate::shared::job::{Job, JobOptions};
use crate::shared::outcome::Failure;

/// Runs a voice campaign over a contact sheet with agents of Retell AI.
///
/// Exit codes: 0 done, 1 something broke or the run is paused, 2 bad input, 130 interrupted and resumable with the same --db.
#[derive(Debug, Parser)]
#[command(name = "retell")]
pub(crate) struct Options {
    /// Where Retell's API is
    #[arg(long, value_name = "URL", default_value = "https://api.retellai.com")]
    base_url: String,
    /// API key of the account
    #[arg(long, value_name = "KEY", env = "RETELL_API_KEY", hide_env_values = true, value_parser = secret)]
    api_key: Secret,
    /// The API key with the webhook badge, if it is another one
    #[arg(long, value_name = "KEY", env = "RETELL_WEBHOOK_KEY", hide_env_values = true, value_parser = secret)]
    webhook_key: Option<Secret>,
    /// The agent that talks [default: that of the campaign file]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// The agent that answers people who call back [default: the same]
    #[arg(long, value_name = "ID")]
    inbound_agent: Option<String>,
    /// The number shown, bought from or imported to Retell
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    pub(crate) from: CallerId,
    /// Where to listen for webhooks: POST /webhook for calls, POST /inbound for people who call back
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Contact sheet: csv, tsv, xlsx, xls or ods
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/contacts.csv"))]
    contacts: PathBuf,
    #[command(flatten)]
    pub(crate) job: JobOptions,
    /// Calls started per second that the number may have at Retell
    #[arg(long, value_name = "X", default_value = "1", value_parser = calls_per_second)]
    number_cps: CallsPerSecond,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
    /// How long a call may stay without news before it is looked up, beyond its longest duration
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    silence: Duration,
    /// From a lost answer to the first lookup of the call
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    lookup_after: Duration,
    /// From the last contact's outcome to the end of the run: time for late analyses
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    analysis_grace: Duration,
    /// Print exactly one JSON object on stdout at the end
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// Reads and checks the files that are named, before anything happens.
    pub(crate) fn read(&self) -> Result<Job, Failure> {
        let mut job = self.job.read(&self.contacts)?;
        if let Some(agent) = &self.agent {
            job.campaign.agent_id = Some(agent.clone());
        }
        if let Some(agent) = &self.inbound_agent {
            job.campaign.inbound.agent_id = Some(agent.clone());
        }
        if job.campaign.flow.is_some() {
            let text =
                "--campaign: Retell's agents lead conversations themselves; expected `agent_id`, not `flow`";
            return Err(Failure::Input(text.into()));
        }
        Ok(job)
    }

    pub(crate) fn retell(&self) -> RetellOptions {
        let mut options = RetellOptions::new(self.api_key.clone());
        options.base_url.clone_from(&self.base_url);
        options.webhook_key.clone_from(&self.webhook_key);
        options.calls_per_second = Some(self.number_cps);
        options.silence_max = self.silence;
        options
    }

    pub(crate) fn engine(&self) -> EngineConfig {
        let mut config = EngineConfig::default();
        config.lookup_after = self.lookup_after;
        config.analysis_grace = self.analysis_grace;
        config
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what clap expects of a parser")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn number(text: &str) -> Result<CallerId, String> {
    E164::from_e164(text).map(CallerId).map_err(|_| "expected a number such as +12137771234".to_owned())
}

fn calls_per_second(text: &str) -> Result<CallsPerSecond, String> {
    let rate = text.parse().ok().and_then(CallsPerSecond::new);
    rate.ok_or_else(|| "expected a number above 0 and at most 10000".to_owned())
}
