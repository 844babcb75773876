//! The numbers of the engine.

use std::time::Duration;

/// The numbers of the engine. The defaults suit a production system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineConfig {
    /// The longest a provider may take to answer a request to place a call; after that its answer counts as lost.
    /// Default 30 s.
    pub place_timeout: Duration,
    /// For how long a node holds the right to place a call it intended. At least twice `place_timeout`. Default
    /// 90 s.
    pub lease: Duration,
    /// How long after a lost answer the call is looked up first. Default 5 s.
    pub lookup_after: Duration,
    /// How long between two lookups of the same call. At least twice `place_timeout`, because a call is placed again
    /// in this time. Default 60 s.
    pub lookup_interval: Duration,
    /// How long to wait for news of a call that cannot be looked up, beyond its longest duration. Default 30 min.
    pub unknown_deadline: Duration,
    /// How long a webhook for a call that is not known is kept. Default 3 days.
    pub unmatched_kept: Duration,
    /// How long after the last contact is settled a run waits for late analysis. Default 2 min.
    pub analysis_grace: Duration,
    /// How long the live data of a finished run is kept. Default 7 days.
    pub live_data_kept: Duration,
    /// How long after the end of a run it is known, for people who call back, what the campaign told about them.
    /// Default 30 days.
    pub contexts_kept: Duration,
    /// Contacts looked at in one transaction. Default 500.
    pub batch: u32,
    /// The longest an idle engine sleeps before it looks at the store, where other nodes may have left work.
    /// Default 1 s.
    pub idle_max: Duration,
    /// How often an action of the host is tried before it goes to the dead-letter list. Default 8.
    pub action_attempts_max: u32,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            place_timeout: Duration::from_secs(30),
            lease: Duration::from_secs(90),
            lookup_after: Duration::from_secs(5),
            lookup_interval: Duration::from_secs(60),
            unknown_deadline: Duration::from_secs(30 * 60),
            unmatched_kept: Duration::from_secs(3 * 86_400),
            analysis_grace: Duration::from_secs(120),
            live_data_kept: Duration::from_secs(7 * 86_400),
            contexts_kept: Duration::from_secs(30 * 86_400),
            batch: 500,
            idle_max: Duration::from_secs(1),
            action_attempts_max: 8,
        }
    }
}

impl EngineConfig {
    /// What is wrong with the numbers together, if anything.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.lease < self.place_timeout * 2 {
            return Some("lease: expected at least twice `place_timeout`");
        }
        if self.lookup_interval < self.place_timeout * 2 {
            return Some("lookup_interval: expected at least twice `place_timeout`");
        }
        if self.batch == 0 {
            return Some("batch: expected at least 1");
        }
        self.idle_max.is_zero().then_some("idle_max: expected more than 0")
    }
}
