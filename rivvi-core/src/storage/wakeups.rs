//! Telling other nodes that there is work.

use std::fmt::Debug;

use async_trait::async_trait;
use tokio::sync::Notify;

/// Carries wake-ups between the nodes that share a store.
///
/// A hint, never the truth: an engine that is not woken looks at the store by itself, after at most
/// [`EngineConfig::idle_max`](crate::engine::EngineConfig::idle_max). So nothing here fails; what cannot be told is
/// left out, and tried to be repaired in the background.
#[async_trait]
pub trait Wakeups: Debug + Send + Sync + 'static {
    /// Tells every node that there is something to do. The engine calls this at most 20 times a second.
    async fn wake(&self);

    /// Returns when a node, this one included, tells that there is something to do, or when that may have been missed,
    /// for instance while a connection was lost. May be dropped while it waits.
    async fn woken(&self);
}

/// Wake-ups within one process, for engines that share a [`Storage`](super::Storage).
#[derive(Debug, Default)]
pub struct LocalWakeups {
    told: Notify,
}

impl LocalWakeups {
    /// Nobody has told anything yet.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Wakeups for LocalWakeups {
    async fn wake(&self) {
        self.told.notify_waiters();
    }

    async fn woken(&self) {
        self.told.notified().await;
    }
}
