//! What the user asks for, and the files it names.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Parser;
use rivvi::domain::{CallsPerSecond, CampaignDefinition, E164, Region};
use rivvi::import::Sheet;

use crate::outcome::Failure;

/// Runs a voice campaign over a contact sheet against a simulated phone network.
///
/// Exit codes: 0 done, 2 bad input, 130 interrupted and resumable with the same --db and --network-log.
#[derive(Debug, Parser)]
#[command(name = "quickstart")]
pub(crate) struct Options {
    /// Contact sheet: csv, tsv, xlsx, xls or ods
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/contacts.csv"))]
    contacts: PathBuf,
    /// Region whose local notation numbers without a plus sign have (ISO 3166 code)
    #[arg(long, value_name = "CC", default_value = "IL", value_parser = region)]
    region: Region,
    /// Campaign in TOML or JSON
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/campaign.toml"))]
    campaign: PathBuf,
    /// Numbers that must not be called, one per line
    #[arg(long, value_name = "FILE")]
    suppress: Option<PathBuf>,
    /// SQLite file; the same file resumes an interrupted run [default: a temporary file]
    #[arg(long, value_name = "FILE")]
    pub(crate) db: Option<PathBuf>,
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
    /// Calls under way at once
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) concurrency: u32,
    /// Calls started per second [default: no limit]
    #[arg(long, value_name = "X", value_parser = calls_per_second)]
    pub(crate) cps: Option<CallsPerSecond>,
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

/// The files, read and checked before anything happens.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) sheet: Sheet,
    pub(crate) region: Region,
    pub(crate) campaign: CampaignDefinition,
    pub(crate) suppress: Vec<E164>,
    pub(crate) explain: Option<E164>,
}

impl Job {
    pub(crate) fn read(options: &Options) -> Result<Self, Failure> {
        let Options { region, .. } = *options;
        let campaign = read_campaign(&options.campaign)?;
        let region = campaign.region.unwrap_or(region);
        let suppress = match &options.suppress {
            Some(path) => read_numbers(path, region)?,
            None => Vec::new(),
        };
        let explain = match &options.explain {
            Some(number) => Some(E164::parse(number, region).map_err(|error| {
                Failure::Input(format!("--explain: {error}; expected a phone number such as +972501234567"))
            })?),
            None => None,
        };
        // Better to say so now than after the run.
        let writable = std::fs::OpenOptions::new().create(true).append(true).open(&options.report);
        writable.map_err(|error| Failure::Input(format!("{}: {error}", options.report.display())))?;
        let sheet = Sheet::open(&options.contacts).map_err(|error| Failure::Input(error.to_string()))?;
        Ok(Self { sheet, region, campaign, suppress, explain })
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

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|instant| instant.to_utc())
        .map_err(|_| "expected an instant such as 2026-03-02T09:00:00+02:00".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    let speed = text.parse().ok().filter(|speed: &f64| (0.0..=1e9).contains(speed));
    speed.ok_or_else(|| "expected a number from 0 to 1000000000".to_owned())
}

fn calls_per_second(text: &str) -> Result<CallsPerSecond, String> {
    let rate = text.parse().ok().and_then(CallsPerSecond::new);
    rate.ok_or_else(|| "expected a number above 0 and at most 10000".to_owned())
}
