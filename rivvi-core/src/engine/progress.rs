//! How far a run has come.

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::select;
use tokio::sync::watch;

use super::Inner;
use crate::domain::{Disposition, RunId, RunState, RunTally};
use crate::storage::StorageError;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Which run.
    pub run_id: RunId,
    /// Its state.
    pub state: RunState,
    /// The counts.
    pub tally: RunTally,
    /// Since it started.
    pub elapsed: Duration,
}

impl Progress {
    /// Calls placed so far, those under way included.
    pub fn placed(&self) -> u64 {
        self.tally.attempts_ended() + self.tally.calling
    }

    /// Calls that a human answered.
    pub fn answered(&self) -> u64 {
        self.tally.dispositions.get(&Disposition::AnsweredHuman).copied().unwrap_or(0)
    }

    /// Calls under way.
    pub fn active(&self) -> u64 {
        self.tally.calling
    }

    /// Calls placed per second since the start.
    pub fn rate(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "counts of calls")]
        if seconds > 0.0 { self.placed() as f64 / seconds } else { 0.0 }
    }

    /// The share of contacts that have their outcome, 0 to 1.
    pub fn done(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "counts of contacts")]
        match self.tally.contacts() {
            0 => 1.0,
            contacts => self.tally.settled() as f64 / contacts as f64,
        }
    }

    /// How long it takes at the pace so far; `None` before the first contact is settled.
    pub fn remaining(&self) -> Option<Duration> {
        let done = self.done();
        (done > 0.0).then(|| self.elapsed.mul_f64((1.0 - done) / done))
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of {} contacts settled, {} calls placed, {} answered, {} active",
            self.state,
            self.tally.settled(),
            self.tally.contacts(),
            self.placed(),
            self.answered(),
            self.active(),
        )
    }
}

/// Follows a run. Got from [`Runs::watch`](super::Runs::watch).
#[derive(Debug)]
pub struct Watch {
    inner: Weak<Inner>,
    run_id: RunId,
    changes: watch::Receiver<u64>,
    last: Option<Progress>,
}

/// The least time between two answers of a watch, so that watching costs little.
const REST: Duration = Duration::from_millis(200);

impl Watch {
    pub(super) fn new(inner: &Inner, run_id: RunId) -> Self {
        Self { inner: inner.this.clone(), run_id, changes: inner.progress.subscribe(), last: None }
    }

    /// The progress once it has changed, at most five times a second and at least about once a second if another
    /// node changes it. `None` when the run is over and its last state was told, or when the engine is gone.
    ///
    /// # Errors
    /// If the store fails; ask again.
    pub async fn next(&mut self) -> Result<Option<Progress>, StorageError> {
        loop {
            let Some(inner) = self.inner.upgrade() else { return Ok(None) };
            if let Some(last) = &self.last {
                if last.state.is_final() {
                    return Ok(None);
                }
                let now: DateTime<Utc> = inner.clock.now();
                inner.clock.sleep_until(now + REST).await;
                let idle = inner.clock.sleep_until(now + inner.config.idle_max);
                let change = self.changes.changed();
                tokio::pin!(change);
                select(idle, change).await;
            }
            let progress = inner.progress_of(self.run_id).await?;
            if self
                .last
                .as_ref()
                .is_none_or(|last| (last.state, &last.tally) != (progress.state, &progress.tally))
            {
                self.last = Some(progress.clone());
                return Ok(Some(progress));
            }
        }
    }
}

impl Inner {
    pub(super) async fn progress_of(&self, run_id: RunId) -> Result<Progress, StorageError> {
        let run = self.run_or_error(run_id, "progress").await?;
        let mut tally = self.storage.ledger.tally(run_id).await?;
        if let Some(report) = run.waits_in_blobs() {
            // Contacts that are not in the ledger yet wait all the same.
            tally.waiting += report.imported.saturating_sub(tally.contacts());
        }
        let end = run.finished_at.unwrap_or_else(|| self.clock.now());
        let elapsed = run.started_at.and_then(|start| (end - start).to_std().ok()).unwrap_or_default();
        Ok(Progress { run_id, state: run.state, tally, elapsed })
    }
}
