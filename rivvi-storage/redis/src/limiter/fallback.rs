//! Pacing by oneself while Redis is away.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::domain::CallsPerSecond;
use rivvi_core::limit::{Grant, LimiterUnavailable, LocalRateLimiter, Pace, RateLimiter};

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// A limiter for one node at a share of every rate, and when it may be used.
#[derive(Debug)]
pub(super) struct Fallback {
    share: f64,
    local: LocalRateLimiter,
    last: Mutex<Last>,
}

/// When starts were last granted, and by whom.
#[derive(Debug, Default)]
struct Last {
    shared: Option<DateTime<Utc>>,
    local: Option<DateTime<Utc>>,
}

impl Fallback {
    pub(super) fn new(share: f64) -> Self {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        Self { share, local: LocalRateLimiter::new(), last: Mutex::default() }
    }

    /// Notes that Redis answered. Returns until when its grant must not be used yet.
    pub(super) fn rejoin(&self, granted: u32, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut last = self.last();
        if let Some(free_at) = last.local.map(|at| at + SECOND).filter(|free_at| now < *free_at) {
            return Some(free_at);
        }
        if granted > 0 {
            last.shared = last.shared.max(Some(now));
        }
        None
    }

    /// Takes starts while Redis is away.
    pub(super) async fn take(
        &self,
        paces: &[Pace],
        want: u32,
        now: DateTime<Utc>,
    ) -> Result<Grant, LimiterUnavailable> {
        // A node that never heard of Redis may have been restarted a moment ago.
        let free_at = *self.last().shared.get_or_insert(now) + SECOND;
        if now < free_at {
            return Ok(Grant { granted: 0, next_at: free_at });
        }
        let Some(paces) = self.shared_out(paces) else {
            return Err(LimiterUnavailable { reason: "Redis is away, and this node has no share".into() });
        };
        let grant = self.local.take(&paces, want, now).await?;
        if grant.granted > 0 {
            let mut last = self.last();
            last.local = last.local.max(Some(now));
        }
        Ok(grant)
    }

    /// Whether the latest starts that this node granted by itself were those of `now`.
    pub(super) fn granted_at(&self, now: DateTime<Utc>) -> bool {
        self.last().local == Some(now)
    }

    pub(super) async fn give_back(
        &self,
        paces: &[Pace],
        unused: u32,
        now: DateTime<Utc>,
    ) -> Result<(), LimiterUnavailable> {
        match self.shared_out(paces) {
            Some(paces) => self.local.give_back(&paces, unused, now).await,
            None => Ok(()),
        }
    }

    fn shared_out(&self, paces: &[Pace]) -> Option<Vec<Pace>> {
        let share = |pace: &Pace| {
            let rate = CallsPerSecond::new(pace.rate.as_f64() * self.share)?;
            Some(Pace { key: pace.key.clone(), rate })
        };
        paces.iter().map(share).collect()
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
