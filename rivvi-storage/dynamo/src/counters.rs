//! What the transactions of a shard share: how far its feed goes, and the counts of an organization and of runs.
//!
//! Every transaction writes the head of its shard under the condition that it is as it was read. So the transactions
//! of a shard come one after the other, and the positions they give to their journal entries have no gaps that
//! could be filled later. Counts are read, changed in memory and written under the same kind of condition, which
//! costs no more: who writes the head has no rival at the counts.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use rivvi_core::domain::{Exclusion, MessageTally, OrgId, Outcome, RunId, RunState, RunTally};

use crate::DynamoStorage;
use crate::error::{Failure, Unreadable};
use crate::key;
use crate::place::{VERSION, When, Write};
use crate::value::{Attributes, Item, document, instant, number, read_instant, text};

/// The shared items as they were read.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    pub(crate) org_id: OrgId,
    pub(crate) shard: u8,
    pub(crate) head: Head,
    pub(crate) organization: OrganizationRow,
    pub(crate) runs: BTreeMap<RunId, RunRow>,
}

/// The head of a shard.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    /// The last position given, 0 before the first.
    pub(crate) position: u64,
    /// The latest instant of an entry.
    pub(crate) last_at: Option<DateTime<Utc>>,
}

/// The counts of an organization.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OrganizationRow {
    version: Option<u64>,
    /// Live calls of all its runs.
    pub(crate) live: u64,
    /// Journal entries written for the organization itself.
    pub(crate) sequence: u64,
    /// Runs that take one of its places.
    pub(crate) running: u64,
}

/// The counts of a run, in the table `active_runs`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RunRow {
    version: u64,
    pub(crate) state: RunState,
    pub(crate) live: u64,
    pub(crate) tally: RunTally,
    /// A bit for each priority that a contact of the run has.
    pub(crate) levels: u64,
    /// When DynamoDB may remove the row, in seconds since 1970.
    pub(crate) expires: Option<u64>,
}

/// Loads the shared items of an organization's transactions. Runs that do not exist, or whose live data is gone, are
/// left out.
pub(crate) async fn load(
    store: &DynamoStorage,
    org_id: OrgId,
    runs: &BTreeSet<RunId>,
) -> Result<Counters, Failure> {
    let shard = key::feed_shard(org_id);
    let (head, organization) = (key::head(shard), key::organization(org_id));
    let rows = runs.iter().map(|id| key::active_run(*id, org_id));
    let items = store.gateway().get_all(rows.chain([head.clone(), organization.clone()])).await?;
    let run = |id: &RunId| {
        let item = items.get(&key::active_run(*id, org_id))?;
        Some(RunRow::read(item).map(|row| (*id, row)))
    };
    Ok(Counters {
        org_id,
        shard,
        head: items.get(&head).map_or(Ok(Head::default()), Head::read)?,
        organization: items
            .get(&organization)
            .map_or(Ok(OrganizationRow::default()), OrganizationRow::read)?,
        runs: runs.iter().filter_map(run).collect::<Result<_, _>>()?,
    })
}

impl Head {
    pub(crate) fn read(item: &Item) -> Result<Self, Failure> {
        let last_at = item.optional_text("last_at").map(read_instant).transpose()?;
        Ok(Self { position: item.integer(VERSION)?, last_at })
    }

    /// Writes the head over the one at position `before`.
    pub(crate) fn write(&self, shard: u8, before: u64) -> Write {
        let place = key::head(shard);
        let mut item = place.item([(VERSION, number(self.position))]);
        item.extend(self.last_at.map(|at| ("last_at".to_owned(), text(instant(at)))));
        Write::Put { place, item, when: When::as_read(Some(before).filter(|before| *before > 0)) }
    }
}

impl OrganizationRow {
    fn read(item: &Item) -> Result<Self, Failure> {
        Ok(Self {
            version: Some(item.integer(VERSION)?),
            live: item.integer("live")?,
            sequence: item.integer("sequence")?,
            running: item.integer("running")?,
        })
    }

    /// Writes the row over `before` if it differs, and gives it its next version.
    pub(crate) fn write(&mut self, org_id: OrgId, before: &Self) -> Option<Write> {
        if self == before {
            return None;
        }
        let version = before.version.unwrap_or(0) + 1;
        self.version = Some(version);
        let place = key::organization(org_id);
        let item = place.item([
            (VERSION, number(version)),
            ("live", number(self.live)),
            ("sequence", number(self.sequence)),
            ("running", number(self.running)),
        ]);
        Some(Write::Put { place, item, when: When::as_read(before.version) })
    }
}

impl RunRow {
    /// The counts of a new run.
    pub(crate) fn new(state: RunState) -> Self {
        Self { version: 1, state, live: 0, tally: RunTally::default(), levels: 0, expires: None }
    }

    pub(crate) fn read(item: &Item) -> Result<Self, Failure> {
        let state = item.text("status")?;
        let state = RunState::ALL.into_iter().find(|known| known.name() == state);
        Ok(Self {
            version: item.integer(VERSION)?,
            state: state.ok_or(Unreadable::new("status of a run"))?,
            live: item.integer("active_calls")?,
            tally: item.document("tally", "tally")?,
            levels: item.integer("levels")?,
            expires: item.optional_integer(crate::schema::TTL),
        })
    }

    /// The attributes that change.
    pub(crate) fn attributes(&self) -> Result<Vec<(&'static str, AttributeValue)>, Failure> {
        Ok(vec![
            (VERSION, number(self.version)),
            ("status", text(self.state.name())),
            ("active_calls", number(self.live)),
            ("tally", document("tally", &self.tally)?),
            ("levels", number(self.levels)),
            // Only a number has DynamoDB remove the item.
            (crate::schema::TTL, self.expires.map_or(AttributeValue::Null(true), number)),
        ])
    }

    /// Writes the row over `before` if it differs, and gives it its next version; else checks that it is still so.
    pub(crate) fn write(&mut self, id: RunId, org_id: OrgId, before: &Self) -> Result<Write, Failure> {
        let (place, when) = (key::active_run(id, org_id), When::Version(before.version));
        if self == before {
            return Ok(Write::Check { place, when });
        }
        self.version = before.version + 1;
        Ok(Write::Update { place, set: self.attributes()?, when })
    }

    /// The priorities that contacts of the run have.
    pub(crate) fn priorities(&self) -> impl Iterator<Item = u8> + use<> {
        let levels = self.levels;
        (1..=5).filter(move |level| levels & (1 << level) != 0)
    }
}

/// What a transaction does to the counts of a run, whatever they are.
///
/// The core counts in whole tallies. So it is given one in which everything stands at [`Self::BASE`], and what it
/// makes of it, less the base, is the difference.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct TallyChange {
    waiting: i64,
    calling: i64,
    outcomes: BTreeMap<Outcome, i64>,
    exclusions: BTreeMap<Exclusion, i64>,
    dispositions: BTreeMap<rivvi_core::domain::Disposition, u64>,
    /// How many more than before were calling at the most.
    peak: i64,
    messages: MessageTally,
}

impl TallyChange {
    const BASE: u64 = 1 << 32;

    /// The tally to be given to the core.
    pub(crate) fn base() -> RunTally {
        RunTally {
            waiting: Self::BASE,
            calling: Self::BASE,
            outcomes: Outcome::ALL.map(|outcome| (outcome, Self::BASE)).into(),
            exclusions: Exclusion::ALL.map(|exclusion| (exclusion, Self::BASE)).into(),
            dispositions: BTreeMap::new(),
            live_calls_max: Self::BASE,
            messages: MessageTally::default(),
        }
    }

    /// What the core did to [`base`](Self::base).
    pub(crate) fn of(tally: &RunTally) -> Self {
        fn differences<K: Copy + Ord>(counts: &BTreeMap<K, u64>) -> BTreeMap<K, i64> {
            let differences = counts.iter().map(|(key, count)| (*key, difference(*count)));
            differences.filter(|(_, difference)| *difference != 0).collect()
        }
        fn difference(count: u64) -> i64 {
            count.cast_signed() - TallyChange::BASE.cast_signed()
        }
        Self {
            waiting: difference(tally.waiting),
            calling: difference(tally.calling),
            outcomes: differences(&tally.outcomes),
            exclusions: differences(&tally.exclusions),
            dispositions: tally.dispositions.clone(),
            peak: difference(tally.live_calls_max),
            messages: tally.messages,
        }
    }

    /// A contact that comes to wait.
    pub(crate) fn one_waiting() -> Self {
        Self { waiting: 1, ..Self::default() }
    }

    /// Applies the difference.
    pub(crate) fn apply(&self, tally: &mut RunTally) {
        let peak = tally.calling.saturating_add_signed(self.peak);
        tally.live_calls_max = tally.live_calls_max.max(peak);
        tally.waiting = tally.waiting.saturating_add_signed(self.waiting);
        tally.calling = tally.calling.saturating_add_signed(self.calling);
        for (outcome, by) in &self.outcomes {
            let count = tally.outcomes.entry(*outcome).or_default();
            *count = count.saturating_add_signed(*by);
        }
        for (exclusion, by) in &self.exclusions {
            let count = tally.exclusions.entry(*exclusion).or_default();
            *count = count.saturating_add_signed(*by);
        }
        for (disposition, by) in &self.dispositions {
            *tally.dispositions.entry(*disposition).or_default() += by;
        }
        tally.messages.add(&self.messages);
    }
}
