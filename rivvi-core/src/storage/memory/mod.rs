//! Everything in memory: for tests, simulations, and hosts that keep nothing.

mod archive;
mod catalog;
mod journal;
mod ledger;
mod state;

use std::sync::{Mutex, MutexGuard, PoisonError};

use state::State;

/// A store in the memory of one process. All verbs are one critical section each.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    state: Mutex<State>,
}

impl MemoryStorage {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic inside a critical section is a defect of this module; what it left is still the best there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
