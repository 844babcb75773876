//! Counts for dashboards, up to date within moments and shared by all nodes.

mod batch;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use fred::interfaces::HashesInterface;
use rivvi_core::domain::{Disposition, JournalEntry, OrgId, Outcome, RunId};
use rivvi_core::engine::{EventSink, HostError};

use crate::connection::Redis;
use crate::counters::batch::Batch;
use crate::error::RedisError;
use crate::script::Script;

/// Entries counted in one script, which keeps Redis busy for a few milliseconds at most.
const BATCH: usize = 500;

/// Counts the journal per run and per organization. Give it to the engine of every node as an
/// [`EventSink`], and read it from anywhere.
///
/// Entries come at least once; each is counted once in effect, because the counts change in the same script as a mark
/// of how far each aggregate was counted. The ledger stays the truth: counts that Redis lost stay lost, until a sink
/// with a new name counts the journal from its beginning.
///
/// A contact costs about 6 bytes while its run is kept.
pub struct LiveCounters {
    redis: Redis,
    name: String,
    keep: Duration,
    count: Script,
}

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveCounts {
    /// Contacts imported.
    pub imported: u64,
    /// Calls intended.
    pub begun: u64,
    /// Calls that someone or something answered.
    pub answered: u64,
    /// Calls ended, per disposition.
    pub ended: BTreeMap<Disposition, u64>,
    /// Contacts settled, per outcome.
    pub settled: BTreeMap<Outcome, u64>,
    /// Retries planned.
    pub retries: u64,
    /// People who do not want to be contacted again.
    pub opted_out: u64,
    /// Callbacks that people asked for.
    pub callbacks: u64,
    /// Numbers added to the suppression list by the host; of an organization only.
    pub suppressed: u64,
    /// Numbers taken off the suppression list; of an organization only.
    pub released: u64,
}

impl LiveCounts {
    /// Calls under way.
    pub fn live(&self) -> u64 {
        self.begun.saturating_sub(self.ended.values().sum())
    }

    /// Contacts that have no outcome yet.
    pub fn open(&self) -> u64 {
        self.imported.saturating_sub(self.settled.values().sum())
    }

    fn from_fields(mut fields: HashMap<String, u64>) -> Self {
        let mut of = |name: &str| fields.remove(name).unwrap_or(0);
        let mut counts = Self {
            imported: of("imported"),
            begun: of("begun"),
            answered: of("answered"),
            retries: of("retries"),
            opted_out: of("opted_out"),
            callbacks: of("callbacks"),
            suppressed: of("suppressed"),
            released: of("released"),
            ..Self::default()
        };
        for disposition in Disposition::ALL {
            if let Some(times) = fields.remove(&format!("ended:{disposition}")) {
                counts.ended.insert(disposition, times);
            }
        }
        for outcome in Outcome::ALL {
            if let Some(times) = fields.remove(&format!("settled:{outcome}")) {
                counts.settled.insert(outcome, times);
            }
        }
        counts
    }
}

impl LiveCounters {
    /// Counters called `live-counters`, which forget a run or an organization 30 days after its last entry.
    pub fn new(redis: &Redis) -> Self {
        Self {
            redis: redis.clone(),
            name: "live-counters".into(),
            keep: Duration::from_secs(30 * 86_400),
            count: Script::new(include_str!("count.lua")),
        }
    }

    /// The same counters under another name: counts of their own, from the beginning of the journal.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same counters, which forget a run or an organization `keep` after its last entry; at least one minute.
    #[must_use]
    pub fn keeping(self, keep: Duration) -> Self {
        Self { keep: keep.max(Duration::from_secs(60)), ..self }
    }

    /// The counts of a run; all zero if nothing is known.
    ///
    /// # Errors
    /// See [`RedisError`].
    pub async fn of_run(&self, org_id: OrgId, run_id: RunId) -> Result<LiveCounts, RedisError> {
        self.counts(batch::run_key(&self.tag(org_id), run_id.stem())).await
    }

    /// The counts of an organization over all its runs; all zero if nothing is known.
    ///
    /// # Errors
    /// See [`RedisError`].
    pub async fn of_organization(&self, org_id: OrgId) -> Result<LiveCounts, RedisError> {
        self.counts(batch::organization_key(&self.tag(org_id))).await
    }

    async fn counts(&self, key: String) -> Result<LiveCounts, RedisError> {
        let fields = self.redis.answer(self.redis.client().hgetall(key)).await?;
        Ok(LiveCounts::from_fields(fields))
    }

    /// One hash tag for all keys of an organization, since a script may only touch keys of one slot of a cluster.
    fn tag(&self, org_id: OrgId) -> String {
        format!("{{{}:count:{}}}:{}", self.redis.prefix(), org_id.as_uuid().simple(), self.name)
    }

    async fn count(&self, entries: &[JournalEntry]) -> Result<(), RedisError> {
        for entries in entries.chunks(BATCH) {
            let mut batches: BTreeMap<OrgId, Batch> = BTreeMap::new();
            for entry in entries {
                let new = || Batch::new(self.tag(entry.org_id), self.keep);
                batches.entry(entry.org_id).or_insert_with(new).add(entry);
            }
            for batch in batches.into_values().filter(|batch| !batch.is_empty()) {
                let (keys, arguments) = batch.into_parts();
                self.count.run(&self.redis, keys, arguments).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl EventSink for LiveCounters {
    fn name(&self) -> &str {
        &self.name
    }

    async fn publish(&self, entries: &[JournalEntry]) -> Result<(), HostError> {
        Ok(self.count(entries).await?)
    }
}

impl fmt::Debug for LiveCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveCounters")
            .field("redis", &self.redis)
            .field("name", &self.name)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
