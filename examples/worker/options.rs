//! What the user asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use rivvi::domain::Secret;
use rivvi::providers::Behaviour;
use rivvi::storage::Blobs;
use serde_json::{Value, json};

use crate::engine::EngineOptions;
use crate::shared::job::JobOptions;
use crate::shared::outcome::Failure;
use crate::stores;

/// One node of several that carry out a run together, against a simulated phone network.
///
/// Start any number of them on one ledger. Those with --contacts import the sheet if no other has, and set the limits
/// of the organization; those without join the run that is under way. Each ends when the run is over.
///
/// Exit codes: 0 the run is over, 1 something broke, 2 bad input, 130 stopped by a signal.
#[derive(Debug, Parser)]
#[command(name = "worker")]
pub(crate) struct Options {
    /// Where everything is kept: sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE[?schema=NAME],
    /// dynamodb://[HOST:PORT][?prefix=TEXT] (without a host: Amazon's, as its programs find it)
    #[arg(long, value_name = "URL", env = "RIVVI_LEDGER", hide_env_values = true, value_parser = secret)]
    pub(crate) ledger: Secret,
    /// What paces all nodes together, and wakes them: redis://HOST:PORT[?prefix=TEXT]; local is each node for itself
    #[arg(
        long,
        value_name = "URL",
        env = "RIVVI_LIMITER",
        hide_env_values = true,
        default_value = "local",
        value_parser = secret
    )]
    pub(crate) limiter: Secret,
    /// Folder for uploads, processed sheets and call logs, the same for all nodes [default: they are not kept]
    #[arg(long, value_name = "DIR")]
    blobs: Option<PathBuf>,
    /// What this node calls itself in what it prints
    #[arg(long, value_name = "NAME", default_value_t = format!("node-{}", std::process::id()))]
    pub(crate) node: String,
    /// Contact sheet (csv, tsv, xlsx, xls or ods), imported if the run is new [default: join the run under way]
    #[arg(long, value_name = "FILE")]
    pub(crate) contacts: Option<PathBuf>,
    /// The organization whose run it is, made if there is none of this name
    #[arg(long, value_name = "NAME", default_value = "North Clinic")]
    pub(crate) organization: String,
    #[command(flatten)]
    pub(crate) job: JobOptions,
    /// File to which the nodes of this machine append each call leg before the simulated network answers; it makes their
    /// networks one
    #[arg(long, value_name = "FILE")]
    pub(crate) network_log: Option<PathBuf>,
    /// Print exactly one JSON object on stdout at the end
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) engine: EngineOptions,
    #[command(flatten)]
    network: NetworkOptions,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Simulated network (the same for all nodes)")]
struct NetworkOptions {
    /// Decides how callees behave
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How many times as fast as in life callees ring, answer and talk
    #[arg(long, value_name = "X", default_value = "1", value_parser = haste)]
    haste: f64,
    /// How long beyond its longest duration a call may stay without news before it is looked up
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    silence: Duration,
    /// Share of dials whose answer is lost, 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    lost_answers: f64,
    /// Share of webhooks that are never delivered, 0 to 1
    #[arg(long, value_name = "SHARE", default_value = "0", value_parser = share)]
    lost_webhooks: f64,
}

impl Options {
    pub(crate) fn blobs(&self) -> Result<Option<Blobs>, Failure> {
        let open =
            |folder| Blobs::in_folder(folder).map_err(|error| Failure::Input(format!("--blobs: {error}")));
        self.blobs.as_ref().map(open).transpose()
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        let mut behaviour = Behaviour::default();
        behaviour.haste = self.network.haste;
        behaviour.silence_max = self.network.silence;
        behaviour.lost_answers = self.network.lost_answers;
        behaviour.lost_webhooks = self.network.lost_webhooks;
        behaviour
    }

    pub(crate) fn seed(&self) -> u64 {
        self.network.seed
    }

    /// Adds to the machine's form of a result which node tells it.
    pub(crate) fn identify(&self, result: Value, legs_placed: usize) -> Value {
        let mut result = result;
        result["node"] = json!(self.node);
        result["node_calls_placed"] = json!(legs_placed);
        result["ledger"] = json!(stores::scheme(self.ledger.expose()));
        result["limiter"] = json!(stores::scheme(self.limiter.expose()));
        result
    }
}

#[allow(clippy::unnecessary_wraps, reason = "what clap expects of a parser")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn haste(text: &str) -> Result<f64, String> {
    let haste = text.parse().ok().filter(|haste: &f64| (0.001..=10_000.0).contains(haste));
    haste.ok_or_else(|| "expected a number from 0.001 to 10000".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share: &f64| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a number from 0 to 1".to_owned())
}
