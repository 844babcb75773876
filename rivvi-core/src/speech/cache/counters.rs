//! What was asked, found and paid for.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::provider::SpeechUsage;

/// What a [`CachedSpeech`](super::CachedSpeech) was asked, found and paid for since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpeechStatistics {
    /// Texts that were to be spoken, without empty ones.
    pub requests: u64,
    /// Speech found in memory.
    pub memory_hits: u64,
    /// Speech found among the blobs, or made by another node meanwhile.
    pub store_hits: u64,
    /// Requests that waited for a synthesis, or a look among the blobs, that another one had begun.
    pub joined: u64,
    /// Texts that a synthesizer has spoken.
    pub synthesized: u64,
    /// Texts that a synthesizer could not speak.
    pub failed: u64,
    /// Texts that a synthesizer was not asked for, because it had failed too often just before.
    pub refused: u64,
    /// Requests that the second synthesizer, or what is kept of it, stepped in for.
    pub fallbacks: u64,
    /// Texts that another node had spoken too, whose speech was used instead of ours.
    pub lost_races: u64,
    /// Requests to the blob store that failed or took too long.
    pub store_failures: u64,
    /// What the synthesizers billed, also for others who use them.
    pub paid: SpeechUsage,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) memory_hits: AtomicU64,
    pub(super) store_hits: AtomicU64,
    pub(super) joined: AtomicU64,
    pub(super) synthesized: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) fallbacks: AtomicU64,
    pub(super) lost_races: AtomicU64,
    pub(super) store_failures: AtomicU64,
}

impl Counters {
    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self, paid: SpeechUsage) -> SpeechStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SpeechStatistics {
            requests: read(&self.requests),
            memory_hits: read(&self.memory_hits),
            store_hits: read(&self.store_hits),
            joined: read(&self.joined),
            synthesized: read(&self.synthesized),
            failed: read(&self.failed),
            refused: read(&self.refused),
            fallbacks: read(&self.fallbacks),
            lost_races: read(&self.lost_races),
            store_failures: read(&self.store_failures),
            paid,
        }
    }
}
