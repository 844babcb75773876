//! One round of everything.

use std::collections::HashSet;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;

use chrono::{DateTime, Utc};
use futures::future::{Either, join_all, select};

use super::dispatcher::Round;
use super::intake::Sink;
use super::{Inner, Rivvi};
use crate::domain::RunId;
use crate::provider::{ProviderError, ProviderErrorKind, VoiceProvider};
use crate::storage::StorageError;

/// What a round did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// Calls and messages asked for.
    pub calls_placed: usize,
    /// When the next round has something to do at the latest, if nothing happens before. `None`: only when
    /// something happens.
    pub next_at: Option<DateTime<Utc>>,
}

impl Rivvi {
    /// Does everything that is to be done at this instant, and returns when it is done: for hosts without a
    /// long-running process, driven by cron or a function timer, and for virtual time. The behaviour is that of
    /// [`spawn`](Self::spawn), only not woken by itself.
    ///
    /// # Errors
    /// If the store fails. What was done until then stays; the next round goes on.
    pub async fn tick(&self) -> Result<Tick, StorageError> {
        let inner = &self.inner;
        let mut calls_placed = 0;
        loop {
            let scheduled = inner.upkeep().await?;
            let round = inner.dispatch().await?;
            if round.taken == 0 {
                // A host without a long-running process has no other time for them.
                self.inner.within(self.inner.write_copies()).await;
                let next_at = inner.next_at(&round, scheduled).await?;
                return Ok(Tick { calls_placed, next_at });
            }
            calls_placed += round.placements.len();
            let placed = join_all(round.placements.into_iter().map(|placement| inner.place(placement))).await;
            inner.submit(placed.into_iter().flatten().collect()).await?;
            inner.look_up_receipts(round.receipts).await?;
        }
    }
}

impl Inner {
    /// Everything but dispatching. Returns when the scheduler wants to be called again.
    pub(super) async fn upkeep(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        let due = self.storage.ledger.next_due(&[]).await?;
        if due.is_some_and(|due| due <= self.clock.now()) {
            self.reconcile().await?;
            self.carry_out_actions().await?;
            self.match_inbox().await?;
        }
        let next = self.schedule().await?;
        self.publish_journal().await?;
        self.purge().await?;
        Ok(next)
    }

    /// The next instant at which something is to be done.
    pub(super) async fn next_at(
        &self,
        round: &Round,
        scheduled: Option<DateTime<Utc>>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        // Contacts of a full run wait for a call to end, and those held back by pace for the pace.
        let full: HashSet<RunId> = round.full.iter().copied().collect();
        let waiting: Vec<RunId> = round.active.iter().filter(|id| !full.contains(id)).copied().collect();
        let due = self.storage.ledger.next_due(&waiting).await?;
        let now = self.clock.now();
        let due = match (due, round.next_at) {
            (Some(due), Some(next)) if due <= now => Some(next),
            (Some(due), _) => Some(due),
            (None, next) => next,
        };
        Ok([due, round.next_at, scheduled].into_iter().flatten().min())
    }

    /// What a provider or a hook of the host answers, or `None` if that takes too long.
    pub(super) async fn within<T>(&self, asked: impl Future<Output = T>) -> Option<T> {
        let until = self.clock.now() + self.config.place_timeout;
        // Sleep that nobody waits for is not even begun.
        let timeout = async { self.clock.sleep_until(until).await };
        let mut asked = pin!(asked);
        // The time is looked at first, so that a process that was stopped for longer asks nobody any more.
        let in_time = poll_fn(|context| match self.clock.now() < until {
            true => asked.as_mut().poll(context),
            false => Poll::Pending,
        });
        match select(in_time, pin!(timeout)).await {
            Either::Left((answer, _)) => Some(answer),
            Either::Right(_) => None,
        }
    }

    /// Connects a provider the first time it is needed.
    pub(super) async fn is_connected(&self, provider: &Arc<dyn VoiceProvider>) -> bool {
        let name = provider.name();
        if self.connected.read().unwrap_or_else(PoisonError::into_inner).contains(&name) {
            return true;
        }
        let connecting = provider.connect(Arc::new(Sink(self.this.clone())));
        let timeout = || ProviderError::not_sent(&name, "connect", ProviderErrorKind::Timeout);
        match self.within(connecting).await.unwrap_or_else(|| Err(timeout())) {
            Ok(()) => {
                self.connected.write().unwrap_or_else(PoisonError::into_inner).insert(name);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "a provider could not be connected");
                self.note_health(&name, Some(&error));
                false
            }
        }
    }
}
