//! What is to be done, and within which limits: options of the command line and the files they name.

use std::path::{Path, PathBuf};

use clap::Args;
use rivvi::domain::{CallsPerSecond, CampaignDefinition, E164, OrganizationLimits, Region};
use rivvi::import::Sheet;

use super::outcome::Failure;

#[derive(Debug, Args)]
pub(crate) struct JobOptions {
    /// Region whose local notation numbers without a plus sign have (ISO 3166 code)
    #[arg(long, value_name = "CC", default_value = "IL", value_parser = region)]
    region: Region,
    /// Campaign in TOML or JSON
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/campaign.toml"))]
    campaign: PathBuf,
    /// Numbers that must not be called or written to, one per line
    #[arg(long, value_name = "FILE")]
    suppress: Option<PathBuf>,
    /// Calls under way at once, or messages that are being handed over
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    concurrency: u32,
    /// Calls started or messages sent per second [default: no limit]
    #[arg(long, value_name = "X", value_parser = calls_per_second)]
    cps: Option<CallsPerSecond>,
}

/// The files, read and checked before anything happens.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) sheet: Sheet,
    pub(crate) region: Region,
    pub(crate) campaign: CampaignDefinition,
    pub(crate) suppress: Vec<E164>,
}

impl JobOptions {
    /// Reads what the options name, and the contact sheet.
    pub(crate) fn read(&self, contacts: &Path) -> Result<Job, Failure> {
        let campaign = read_campaign(&self.campaign)?;
        let region = campaign.region.unwrap_or(self.region);
        let suppress = match &self.suppress {
            Some(path) => read_numbers(path, region)?,
            None => Vec::new(),
        };
        let sheet = Sheet::open(contacts).map_err(|error| Failure::Input(error.to_string()))?;
        Ok(Job { sheet, region, campaign, suppress })
    }

    /// Has an organization keep the limits of the options.
    pub(crate) fn limit(&self, limits: &mut OrganizationLimits) {
        limits.concurrent_calls = self.concurrency;
        limits.calls_per_second = self.cps;
        limits.messages_per_second = self.cps;
    }
}

fn read_campaign(path: &Path) -> Result<CampaignDefinition, Failure> {
    let text = read(path)?;
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let parsed =
        if json { CampaignDefinition::from_json(&text) } else { CampaignDefinition::from_toml(&text) };
    parsed.map_err(|error| Failure::Input(format!("{}: {error}", path.display())))
}

fn read_numbers(path: &Path, region: Region) -> Result<Vec<E164>, Failure> {
    let text = read(path)?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let numbers = lines.filter(|(_, line)| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    numbers
        .map(|(index, line)| {
            E164::parse(line.trim(), region).map_err(|error| {
                let place = format!("{}: line {}", path.display(), index + 1);
                Failure::Input(format!("{place}: {error}; expected one phone number per line"))
            })
        })
        .collect()
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Input(format!("{}: {error}", path.display())))
}

fn region(text: &str) -> Result<Region, String> {
    Region::new(text).map_err(|_| "expected a two-letter ISO 3166 code such as IL or US".to_owned())
}

fn calls_per_second(text: &str) -> Result<CallsPerSecond, String> {
    let rate = text.parse().ok().and_then(CallsPerSecond::new);
    rate.ok_or_else(|| "expected a number above 0 and at most 10000".to_owned())
}
