//! Where everything is kept.
//!
//! [`Storage`] is a struct of trait objects, so a host mixes backends: `Storage { limiter: redis, ..sqlite }`.
//! The traits speak in verbs of the domain. Where a verb must decide inside its transaction, the store reads the
//! facts and calls a pure function of the core, then commits the [`Change`] it returns, all or nothing. So every
//! store decides alike, and a test of the core holds for all of them.
//!
//! `rivvi_core::testkit::storage` (feature `testkit`) checks a store against the text of these traits.

mod archive;
pub mod blobs;
mod catalog;
mod change;
mod error;
mod item;
mod ledger;
pub mod memory;
mod request;
mod wakeups;
mod working;

use std::sync::Arc;

/// The crate behind [`Blobs`], in the version that fits.
pub use object_store;

pub use archive::{Archive, ArchivedCall, CampaignContext, Report};
pub use blobs::Blobs;
pub use catalog::Catalog;
pub use change::{AttemptChange, Change, ChangeRun, Decide, RunChange, RunFacts, Settle, campaigns_only};
pub use error::{StorageError, StorageErrorKind};
pub use item::{DeadLetter, InboxItem, JournalCursor, JournalPage, OutboxItem};
pub use ledger::Ledger;
pub use request::{
    Applied, ApplyCalls, BeginCalls, Begun, ContactQuery, Limited, RunQuery, SettleWaiting, TakeItems,
    TakeOverdue,
};
pub use wakeups::{LocalWakeups, Wakeups};
pub use working::{CallWrite, ContactWrite, WorkingSet, Writes};

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
    /// Wakes other nodes. Without a shared one they find work within
    /// [`EngineConfig::idle_max`](crate::engine::EngineConfig::idle_max).
    pub wakeups: Arc<dyn Wakeups>,
    /// Uploads, processed sheets and call logs. With `None`, the default, imports go straight to the ledger and
    /// neither sheets nor webhooks are kept.
    pub blobs: Option<Blobs>,
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
            wakeups: Arc::new(LocalWakeups::new()),
            blobs: None,
        }
    }

    /// The same stores with a place for uploads, processed sheets and call logs. All engines that share the ledger
    /// need the same one.
    #[must_use]
    pub fn with_blobs(self, blobs: Blobs) -> Self {
        Self { blobs: Some(blobs), ..self }
    }

    /// Everything in memory, gone with the process.
    pub fn in_memory() -> Self {
        Self::from_backend(memory::MemoryStorage::new())
    }
}
