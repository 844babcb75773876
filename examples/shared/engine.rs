//! The numbers of an engine that works beside others on one ledger: options of the command line.

use std::time::Duration;

use clap::Args;
use rivvi::engine::EngineConfig;

#[derive(Debug, Args)]
#[command(next_help_heading = "Engine (the same for all nodes)")]
pub(crate) struct EngineOptions {
    /// After this long a provider's answer to a dial counts as lost
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    place_timeout: Duration,
    /// How long a node may dial what it intended, before another takes over; at least twice --place-timeout
    #[arg(long, value_name = "TIME", default_value = "90s", value_parser = humantime::parse_duration)]
    lease: Duration,
    /// From a lost answer to the first lookup of the call
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    lookup_after: Duration,
    /// Between two lookups of a call; at least twice --place-timeout
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    lookup_interval: Duration,
    /// The longest an idle node sleeps before it looks at the ledger
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    idle_max: Duration,
    /// From the last contact's outcome to the end of the run
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration)]
    analysis_grace: Duration,
}

impl EngineOptions {
    pub(crate) fn config(&self) -> EngineConfig {
        let mut config = EngineConfig::default();
        config.place_timeout = self.place_timeout;
        config.lease = self.lease;
        config.lookup_after = self.lookup_after;
        config.lookup_interval = self.lookup_interval;
        config.idle_max = self.idle_max;
        config.analysis_grace = self.analysis_grace;
        config
    }
}
