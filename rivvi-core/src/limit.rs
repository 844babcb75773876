//! Pacing: how many calls may start now.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

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

    /// Gives back starts that were granted at `now` and not used.
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

/// A limiter for engines in one process.
///
/// The generic cell rate algorithm (ITU-T I.371) with a burst of 20 ms worth of calls, at least one. The sustained
/// rate is lowered by what the burst could add, so that the promise of [`RateLimiter`] holds for every second.
#[derive(Debug, Default)]
pub struct LocalRateLimiter {
    /// Theoretical arrival time per key, in microseconds since the epoch.
    arrivals: Mutex<HashMap<PaceKey, i64>>,
}

impl LocalRateLimiter {
    /// A limiter that has granted nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl RateLimiter for LocalRateLimiter {
    async fn take(&self, paces: &[Pace], want: u32, now: DateTime<Utc>) -> Result<Grant, LimiterUnavailable> {
        let now_us = now.timestamp_micros();
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut granted, mut next_us) = (want, now_us);
        for pace in paces {
            let cells = Cells::of(pace.rate);
            let arrival = arrivals.get(&pace.key).copied().unwrap_or(now_us).max(now_us);
            let free = (now_us + cells.burst_us() - arrival).div_euclid(cells.interval_us).max(0);
            granted = granted.min(u32::try_from(free).unwrap_or(u32::MAX));
        }
        for pace in paces {
            let cells = Cells::of(pace.rate);
            let arrival = arrivals.entry(pace.key.clone()).or_insert(now_us);
            *arrival = (*arrival).max(now_us) + i64::from(granted) * cells.interval_us;
            next_us = next_us.max(*arrival + cells.interval_us - cells.burst_us());
        }
        let wait = TimeDelta::microseconds(next_us - now_us);
        Ok(Grant { granted, next_at: now + wait })
    }

    async fn give_back(
        &self,
        paces: &[Pace],
        unused: u32,
        _now: DateTime<Utc>,
    ) -> Result<(), LimiterUnavailable> {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        for pace in paces {
            if let Some(arrival) = arrivals.get_mut(&pace.key) {
                *arrival -= i64::from(unused) * Cells::of(pace.rate).interval_us;
            }
        }
        Ok(())
    }
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

    fn burst_us(self) -> i64 {
        self.burst.saturating_mul(self.interval_us)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::OrgId;

    fn pace(rate: f64, org: u128) -> Pace {
        Pace {
            key: PaceKey::Organization(OrgId::from_uuid(uuid::Uuid::from_u128(org))),
            rate: CallsPerSecond::new(rate).unwrap(),
        }
    }

    fn at(us: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(us).unwrap()
    }

    proptest! {
        #[test]
        fn no_second_holds_more_than_the_rate(
            rate in prop_oneof![1.0..60.0_f64, 60.0..3000.0_f64],
            steps in prop::collection::vec((0_i64..200_000, 0_u32..50, 0_u32..5), 1..200),
        ) {
            let limiter = LocalRateLimiter::new();
            let paces = [pace(rate, 1)];
            let (mut now, mut starts) = (0, Vec::new());
            for (step, want, unused) in steps {
                now += step;
                let grant = futures::executor::block_on(limiter.take(&paces, want, at(now))).unwrap();
                let unused = unused.min(grant.granted);
                futures::executor::block_on(limiter.give_back(&paces, unused, at(now))).unwrap();
                starts.extend(std::iter::repeat_n(now, (grant.granted - unused) as usize));
            }
            for (index, first) in starts.iter().enumerate() {
                let within = starts[index..].iter().take_while(|start| **start < first + 1_000_000).count();
                prop_assert!(within as f64 <= rate.ceil(), "{within} starts in a second at a rate of {rate}");
            }
        }

        #[test]
        fn asking_at_the_instant_told_is_granted(rate in 0.01..2000.0_f64) {
            let limiter = LocalRateLimiter::new();
            let paces = [pace(rate, 1)];
            let mut now = at(0);
            for _ in 0..50 {
                let grant = futures::executor::block_on(limiter.take(&paces, 10_000, now)).unwrap();
                prop_assert!(grant.granted >= 1);
                now = grant.next_at;
            }
        }
    }

    #[tokio::test]
    async fn the_slowest_of_several_rates_decides_and_all_are_charged() {
        let limiter = LocalRateLimiter::new();
        let both = [pace(1.0, 1), pace(5.0, 2)];
        assert_eq!(limiter.take(&both, 9, at(0)).await.unwrap().granted, 1);
        assert_eq!(limiter.take(&both[1..], 9, at(0)).await.unwrap().granted, 0);
        assert_eq!(limiter.take(&both[1..], 9, at(200_000)).await.unwrap().granted, 1);
        let grant = limiter.take(&both, 9, at(500_000)).await.unwrap();
        assert_eq!((grant.granted, grant.next_at), (0, at(1_000_000)));
    }

    #[tokio::test]
    async fn without_a_pace_everything_is_granted() {
        let grant = LocalRateLimiter::new().take(&[], 500, at(7)).await.unwrap();
        assert_eq!(grant, Grant { granted: 500, next_at: at(7) });
    }
}
