//! What keeps a running engine from its work.

use std::error::Error;
use std::sync::PoisonError;

use chrono::{DateTime, Utc};

use super::{Inner, Rivvi};
use crate::storage::StorageError;

/// What keeps a running engine from its work.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// Since when.
    pub since: DateTime<Utc>,
    /// What it met last, with its causes, for a person to read.
    pub error: String,
}

/// A loop of a running engine that needs the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Loop {
    Dispatch,
    Upkeep,
}

impl Rivvi {
    /// What keeps the [running](Self::spawn) engine from its work, if anything: a store that cannot be reached, or cannot
    /// write because its disk is full. Meanwhile no call begins, or runs do not start and end; the engine tries again by
    /// itself, and `None` says that it succeeded.
    pub fn trouble(&self) -> Option<Trouble> {
        let troubles = self.inner.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.values().min_by_key(|trouble| trouble.since).cloned()
    }
}

impl Inner {
    pub(super) fn note_trouble(&self, of: Loop, error: &StorageError) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        let now = self.clock.now();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = troubles.entry(of).or_insert_with(|| Trouble { since: now, error: String::new() });
        trouble.error = text;
    }

    pub(super) fn end_trouble(&self, of: Loop) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).remove(&of);
    }
}
