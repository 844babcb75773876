//! The journal in memory.

use chrono::{DateTime, Utc};
use foldhash::HashMap;

use crate::domain::{Aggregate, JournalEntry};

/// All entries in the order of their commit, with an index by aggregate.
#[derive(Debug, Default)]
pub(super) struct Journal {
    entries: Vec<JournalEntry>,
    by_aggregate: HashMap<Aggregate, Vec<usize>>,
}

impl Journal {
    /// Appends entries of one aggregate.
    pub(super) fn append(&mut self, aggregate: Aggregate, entries: impl IntoIterator<Item = JournalEntry>) {
        let first = self.entries.len();
        self.entries.extend(entries);
        // Enough for a contact's import and one call.
        let places = self.by_aggregate.entry(aggregate).or_insert_with(|| Vec::with_capacity(8));
        places.extend(first..self.entries.len());
    }

    /// The sequence number of the last entry of an aggregate, 0 if it has none.
    pub(super) fn last_sequence(&self, aggregate: Aggregate) -> u64 {
        self.by_aggregate.get(&aggregate).map_or(0, |places| places.len() as u64)
    }

    pub(super) fn of(&self, aggregate: Aggregate, after: u64, limit: usize) -> Vec<JournalEntry> {
        let places = self.by_aggregate.get(&aggregate).map(Vec::as_slice).unwrap_or_default();
        let later = places.iter().skip(usize::try_from(after).unwrap_or(usize::MAX));
        later.take(limit).map(|place| self.entries[*place].clone()).collect()
    }

    pub(super) fn last_at(&self) -> Option<DateTime<Utc>> {
        self.entries.last().map(|entry| entry.at)
    }

    pub(super) fn feed(&self, after: usize, limit: usize) -> &[JournalEntry] {
        let from = after.min(self.entries.len());
        let to = from.saturating_add(limit).min(self.entries.len());
        &self.entries[from..to]
    }
}
