//! Pacing: how many calls may start now.

mod local;

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub use local::LocalRateLimiter;

use crate::domain::{CallerId, CallsPerSecond, CampaignId, OrgId, ProviderName};

/// Something that is paced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PaceKey {
    /// Everything an organization starts.
    Organization(OrgId),
    /// Everything a campaign starts.
    Campaign(CampaignId),
    /// Everything a provider is asked to start.
    Provider(ProviderName),
    /// Everything that shows one caller number.
    CallerId(CallerId),
    /// Every message an organization sends.
    Messages(OrgId),
    /// Every message a campaign sends.
    CampaignMessages(CampaignId),
    /// Every text message that comes from one sender.
    Sender(String),
}

/// A key with its rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// What is paced.
    pub key: PaceKey,
    /// How fast.
    pub rate: CallsPerSecond,
}

/// How many starts were granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Starts that may happen now, at most as many as wanted.
    pub granted: u32,
    /// When asking for more makes sense.
    pub next_at: DateTime<Utc>,
}

/// Why pacing could not be decided. The engine then starts nothing.
#[derive(Debug, thiserror::Error)]
#[error("the rate limiter is unavailable: {reason}")]
pub struct LimiterUnavailable {
    /// What went wrong, without secrets.
    pub reason: String,
}

/// Grants call starts under several rates at once.
///
/// Promise: over all callers that share the limiter, any half-open second holds at most as many granted starts as
/// the rate of each key (rounded up, for rates that are not whole).
/// A caller that asks whenever [`Grant::next_at`] says gets at least nine tenths of the lowest rate in the long run.
#[async_trait]
pub trait RateLimiter: Debug + Send + Sync + 'static {
    /// Takes up to `want` starts that every pace allows at `now`; all paces are charged the same number.
    ///
    /// # Errors
    /// [`LimiterUnavailable`] if the limiter cannot be reached; nothing was granted then.
    async fn take(&self, paces: &[Pace], want: u32, now: DateTime<Utc>) -> Result<Grant, LimiterUnavailable>;

    /// Gives back starts that were granted at `now` and not used, under every pace where nobody was charged since;
    /// under the others they are lost.
    ///
    /// # Errors
    /// [`LimiterUnavailable`]; the starts are then lost, which only slows down.
    async fn give_back(
        &self,
        paces: &[Pace],
        unused: u32,
        now: DateTime<Utc>,
    ) -> Result<(), LimiterUnavailable>;
}

/// The rate as the algorithm uses it. Stores that share a limiter use the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cells {
    /// Microseconds between starts at the sustained rate.
    pub interval_us: i64,
    /// Starts that may happen together.
    pub burst: i64,
}

impl Cells {
    /// The numbers for a rate.
    pub fn of(rate: CallsPerSecond) -> Self {
        let rate = rate.as_f64();
        let burst = (rate * 0.02).ceil().max(1.0);
        let sustained = if burst > 1.0 { rate.floor() - burst + 1.0 } else { rate };
        #[allow(clippy::cast_possible_truncation, reason = "at most 10^10 for the lowest rates of practice")]
        Self { interval_us: (1_000_000.0 / sustained).ceil() as i64, burst: burst as i64 }
    }

    /// How far the theoretical arrival may lie ahead of time, in microseconds.
    pub fn burst_us(self) -> i64 {
        self.burst.saturating_mul(self.interval_us)
    }
}
