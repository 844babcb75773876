//! One transaction: what belongs to its contacts, and what all of them share.

use std::collections::{BTreeMap, BTreeSet};

use rivvi_core::domain::{JournalEntry, RunId};

use crate::DynamoStorage;
use crate::counters::{self, Counters, TallyChange};
use crate::error::Failure;
use crate::journal;
use crate::number::NumberRow;
use crate::place::{Place, Write};
use crate::transact::Transacted;

/// Actions one transaction may have.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>
pub(crate) const ACTIONS_MAX: usize = 100;

/// About how many bytes of journal entries go into one transaction: they also lie together in one item of the feed.
const ENTRY_BYTES_MAX: usize = 250 * 1024;

/// About how many bytes go into one transaction, which may have 4 MB.
const BYTES_MAX: usize = 3 * 1024 * 1024;

/// What a transaction is to write, whatever the shared counts are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) writes: Vec<Write>,
    /// Numbers with the version they had and the row they get.
    pub(crate) numbers: BTreeMap<Place, (Option<u64>, NumberRow)>,
    pub(crate) entries: Vec<JournalEntry>,
    /// What happens to the counts of runs, in order.
    pub(crate) tallies: Vec<(RunId, TallyChange)>,
    /// Calls that begin.
    pub(crate) began: u32,
    /// Calls that end.
    pub(crate) ended: u32,
    /// Priorities of contacts that are added, as in [`RunRow::levels`](counters::RunRow::levels).
    pub(crate) levels: u64,
}

impl Draft {
    /// The actions it takes, those for what is shared included.
    pub(crate) fn actions(&self) -> usize {
        let runs: BTreeSet<RunId> = self.tallies.iter().map(|(id, _)| *id).collect();
        // Head, feed and organization.
        self.writes.len() + self.numbers.len() + self.entries.len() + runs.len() + 3
    }

    /// Whether this and `other` fit into one transaction.
    pub(crate) fn has_room_for(&self, other: &Self) -> bool {
        let sum = |of: fn(&Self) -> usize| of(self) + of(other);
        sum(Self::actions) - 3 <= ACTIONS_MAX
            && sum(Self::bytes) <= BYTES_MAX
            && sum(Self::entry_bytes) <= ENTRY_BYTES_MAX
    }

    fn bytes(&self) -> usize {
        let of = |write: &Write| match write {
            Write::Put { item, .. } => crate::value::bytes(item),
            _ => 1_024,
        };
        self.writes.iter().map(of).sum::<usize>() + 2 * self.entry_bytes() + 1_024 * self.numbers.len()
    }

    fn entry_bytes(&self) -> usize {
        self.entries.iter().map(journal::entry_bytes).sum()
    }

    /// Adds what another contact's change writes.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.writes.extend(other.writes);
        for (place, (before, row)) in other.numbers {
            // A number that both change: from the version before the first to the row after the last.
            self.numbers.entry(place).and_modify(|known| known.1 = row.clone()).or_insert((before, row));
        }
        self.entries.extend(other.entries);
        self.tallies.extend(other.tallies);
        self.began += other.began;
        self.ended += other.ended;
        self.levels |= other.levels;
    }

    /// The runs whose counts it needs.
    pub(crate) fn runs(&self) -> BTreeSet<RunId> {
        self.tallies.iter().map(|(id, _)| *id).collect()
    }

    /// What happens to shared counts.
    fn count(&self, counters: &mut Counters) {
        for (id, change) in &self.tallies {
            if let Some(row) = counters.runs.get_mut(id) {
                change.apply(&mut row.tally);
                row.live = row.tally.calling;
                row.levels |= self.levels;
            }
        }
        let live = &mut counters.organization.live;
        *live = (*live + u64::from(self.began)).saturating_sub(u64::from(self.ended));
    }
}

/// What became of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Committed {
    /// It took effect.
    Done,
    /// The shared counts do not allow it.
    Unfit,
    /// Something it was decided from has changed; whether each write of [`Draft::writes`] found its condition unmet.
    Conflict { unmet: Vec<bool> },
}

impl DynamoStorage {
    /// Commits a draft if `fit` says that the shared counts, which may have been read anew, allow it.
    ///
    /// After [`Committed::Done`] the counters stand as they were written, after anything else they are to be loaded
    /// anew.
    pub(crate) async fn commit(
        &self,
        counters: &mut Counters,
        draft: &Draft,
        fit: impl FnOnce(&mut Counters) -> Result<bool, Failure> + Send,
    ) -> Result<Committed, Failure> {
        self.commit_with(counters, |counters| Ok(fit(counters)?.then(|| draft.clone()))).await
    }

    /// As [`commit`](Self::commit), with a draft that depends on the shared counts.
    pub(crate) async fn commit_with(
        &self,
        counters: &mut Counters,
        draft: impl FnOnce(&mut Counters) -> Result<Option<Draft>, Failure> + Send,
    ) -> Result<Committed, Failure> {
        let mut last = self.shared.commits[usize::from(counters.shard)].lock().await;
        if counters.head.position < *last {
            let runs = counters.runs.keys().copied().collect();
            *counters = counters::load(self, counters.org_id, &runs).await?;
        }
        let before = counters.clone();
        let Some(draft) = draft(counters)? else { return Ok(Committed::Unfit) };
        draft.count(counters);
        let mut writes = draft.writes;
        let own = writes.len();
        for (place, (version, row)) in &draft.numbers {
            writes.push(row.write(place.clone(), *version)?);
        }
        counters.head.position += 1;
        for entry in &draft.entries {
            counters.head.last_at = counters.head.last_at.max(Some(entry.at));
            writes.push(journal::write_entry(entry)?);
        }
        writes.extend(journal::write_feed(counters.shard, counters.head.position, &draft.entries)?);
        writes.push(counters.head.write(counters.shard, before.head.position));
        writes.extend(counters.organization.write(counters.org_id, &before.organization));
        for (id, row) in &mut counters.runs {
            if let Some(known) = before.runs.get(id) {
                writes.push(row.write(*id, counters.org_id, known)?);
            }
        }
        match self.gateway().transact(writes).await? {
            Transacted::Done => {
                *last = counters.head.position;
                Ok(Committed::Done)
            }
            Transacted::Conflict { mut unmet } => {
                unmet.truncate(own);
                Ok(Committed::Conflict { unmet })
            }
        }
    }
}
