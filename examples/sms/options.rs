//! What the user asks for.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use rivvi::domain::{CallerId, CampaignDefinition, Channel, E164, Medium, Secret, Sender};
use rivvi::message::{MessageTemplate, ShortLinks};
use rivvi::policy::follow_up::FollowUpAction;

use crate::account::{Account, ProviderKind};
use crate::hosted::store::StoreOptions;
use crate::shared::job::{Job, JobOptions};
use crate::shared::outcome::Failure;
use crate::simulation::SimulationOptions;
use crate::undertaking::Origin;

/// Runs a campaign by text message over a contact sheet.
///
/// Exit codes: 0 done, 1 something broke or the run is paused, 2 bad input, 130 interrupted and resumable with the same --db.
#[derive(Debug, Parser)]
#[command(name = "sms", mut_arg("campaign", |campaign| campaign.default_value(CAMPAIGN)))]
pub(crate) struct Options {
    #[command(flatten)]
    pub(crate) account: Account,
    /// Who messages come from, where the campaign names nobody: a number, a short code, or a name of up to 11 letters
    #[arg(long, value_name = "SENDER", value_parser = sender)]
    from: Option<Sender>,
    /// Who confirms a wish for no more messages
    #[arg(long, value_name = "NAME", default_value = "North Clinic")]
    organization: String,
    /// Where to listen: /webhook takes receipts and answers; everything else is a hit on a short link
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Contact sheet: csv, tsv, xlsx, xls or ods
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/contacts.csv"))]
    contacts: PathBuf,
    /// What messages say, in place of the campaign's message.text
    #[arg(long, value_name = "TEXT")]
    template: Option<String>,
    #[command(flatten)]
    pub(crate) job: JobOptions,
    /// Counts who follows links: they begin with this address, which leads to that of --listen
    #[arg(long, value_name = "BASE", requires = "short_links_secret")]
    short_links: Option<String>,
    /// Signs short links: at least 16 bytes, and the same after each restart
    #[arg(long, value_name = "TEXT", env = "SHORT_LINKS_SECRET", hide_env_values = true, value_parser = secret)]
    short_links_secret: Option<Secret>,
    #[command(flatten)]
    pub(crate) store: StoreOptions,
    /// From the last contact's outcome to the end of the run: time for late answers [default: 2m; 2h if simulated]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    grace: Option<Duration>,
    #[command(flatten)]
    pub(crate) simulation: SimulationOptions,
    /// Print exactly one JSON object on stdout at the end
    #[arg(long)]
    pub(crate) json: bool,
}

const CAMPAIGN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/sms.toml");

impl Options {
    /// Reads and checks the files that are named, before anything happens.
    pub(crate) fn read(&self) -> Result<Job, Failure> {
        let mut job = self.job.read(&self.contacts)?;
        if job.campaign.channel != Channel::Sms || job.campaign.media() != BTreeSet::from([Medium::Sms]) {
            let text = "--campaign: text messages are all that is sent here; expected `channel = \"sms\"`, and no \
                        follow-ups by voice or e-mail";
            return Err(Failure::Input(text.into()));
        }
        if let Some(template) = &self.template {
            let text = template.parse::<MessageTemplate>();
            job.campaign.message.text =
                Some(text.map_err(|error| Failure::Input(format!("--template: {error}")))?);
        }
        if self.from.is_none() && job.campaign.message.sender.is_none() && !self.is_simulated() {
            let text = "--from: expected who messages come from, or `message.sender` in the campaign";
            return Err(Failure::Input(text.into()));
        }
        Ok(job)
    }

    pub(crate) fn is_simulated(&self) -> bool {
        self.account.provider == ProviderKind::Sim
    }

    /// Who writes. Names and short codes have no number that could be called.
    pub(crate) fn origin(&self) -> Result<Origin, Failure> {
        let caller_id = match &self.from {
            Some(Sender::Number(number)) => *number,
            _ => E164::from_e164("+97231234567").map_err(|error| Failure::Broken(error.to_string()))?,
        };
        let (name, sender) = (self.organization.clone(), self.from.clone());
        Ok(Origin { name, caller_id: CallerId(caller_id), sender })
    }

    pub(crate) fn short_links(&self) -> Result<Option<ShortLinks>, Failure> {
        let Some((base, secret)) = self.short_links.as_ref().zip(self.short_links_secret.clone()) else {
            return Ok(None);
        };
        let links = ShortLinks::new(base, secret);
        links.map(Some).map_err(|error| Failure::Input(format!("--short-links: {error}")))
    }

    pub(crate) fn grace(&self) -> Duration {
        let minutes = if self.is_simulated() { 120 } else { 2 };
        self.grace.unwrap_or(Duration::from_secs(minutes * 60))
    }
}

/// The actions of the host that a campaign asks for.
pub(crate) fn host_actions(campaign: &CampaignDefinition) -> BTreeSet<String> {
    let steps = campaign.follow_up.iter().filter_map(|step| match &step.action {
        FollowUpAction::Host { action } => Some(action.clone()),
        _ => None,
    });
    steps.chain(campaign.message.on_reply.clone()).collect()
}

#[allow(clippy::unnecessary_wraps, reason = "what clap expects of a parser")]
pub(crate) fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::new(text))
}

fn sender(text: &str) -> Result<Sender, String> {
    Sender::try_from(text.to_owned()).map_err(str::to_owned)
}
