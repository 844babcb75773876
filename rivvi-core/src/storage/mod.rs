//! Where everything is kept.
//!
//! [`Storage`] is a struct of trait objects, so a host mixes backends: `Storage { limiter: redis, ..sqlite }`.
//! The traits speak in verbs of the domain. Where a verb must decide inside its transaction, the store reads the
//! facts and calls a pure function of the core, then commits the [`Change`] it returns, all or nothing. So every
//! store decides alike, and a test of the core holds for all of them.
//!
//! `rivvi_core::testkit::storage` (feature `testkit`) checks a store against the text of these traits.

mod archive;
mod catalog;
mod error;
mod ledger;
pub mod memory;

use std::sync::Arc;

pub use archive::{Archive, ArchivedCall, Report};
pub use catalog::Catalog;
pub use error::{StorageError, StorageErrorKind};
pub use ledger::{
    Applied, ApplyCalls, AttemptChange, BeginCalls, Begun, Change, ChangeRun, ContactQuery, DeadLetter,
    Decide, InboxItem, JournalCursor, JournalPage, Ledger, Limited, OutboxItem, RunChange, RunFacts,
    RunQuery, Settle, SettleWaiting, TakeItems, TakeOverdue,
};

use crate::limit::{LocalRateLimiter, RateLimiter};

/// The stores of an engine.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Organizations and campaigns.
    pub catalog: Arc<dyn Catalog>,
    /// Runs, contacts, calls, suppression list, inbox, outbox and journal.
    pub ledger: Arc<dyn Ledger>,
    /// People, finished calls and reports.
    pub archive: Arc<dyn Archive>,
    /// Pacing. Several nodes need a shared one.
    pub limiter: Arc<dyn RateLimiter>,
}

impl Storage {
    /// All three stores in one backend, with a limiter for one process.
    pub fn from_backend<B: Catalog + Ledger + Archive>(backend: B) -> Self {
        let backend = Arc::new(backend);
        Self {
            catalog: backend.clone(),
            ledger: backend.clone(),
            archive: backend,
            limiter: Arc::new(LocalRateLimiter::new()),
        }
    }

    /// Everything in memory, gone with the process.
    pub fn in_memory() -> Self {
        Self::from_backend(memory::MemoryStorage::new())
    }
}
