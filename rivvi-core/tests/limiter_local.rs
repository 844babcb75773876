//! The limiter for one process keeps the promises of the trait.

#![allow(clippy::unwrap_used, reason = "a test stops at the first error")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::limit::{Cells, Grant, LimiterUnavailable, LocalRateLimiter, Pace, RateLimiter};
use rivvi_core::testkit::{limiter, run_case};

async fn fresh() -> Arc<dyn RateLimiter> {
    Arc::new(LocalRateLimiter::new())
}

rivvi_core::limiter_conformance!(fresh);

/// A limiter that grants whatever is wanted.
#[derive(Debug)]
struct Generous;

#[async_trait]
impl RateLimiter for Generous {
    async fn take(&self, _: &[Pace], want: u32, now: DateTime<Utc>) -> Result<Grant, LimiterUnavailable> {
        Ok(Grant { granted: want, next_at: now + TimeDelta::microseconds(1) })
    }

    async fn give_back(&self, _: &[Pace], _: u32, _: DateTime<Utc>) -> Result<(), LimiterUnavailable> {
        Ok(())
    }
}

/// A limiter that grants nothing.
#[derive(Debug)]
struct Mean;

#[async_trait]
impl RateLimiter for Mean {
    async fn take(&self, _: &[Pace], _: u32, now: DateTime<Utc>) -> Result<Grant, LimiterUnavailable> {
        Ok(Grant { granted: 0, next_at: now + TimeDelta::seconds(1) })
    }

    async fn give_back(&self, _: &[Pace], _: u32, _: DateTime<Utc>) -> Result<(), LimiterUnavailable> {
        Ok(())
    }
}

/// A limiter for one key that takes back whatever it is given, whenever.
#[derive(Debug, Default)]
struct Forgiving(Mutex<i64>);

#[async_trait]
impl RateLimiter for Forgiving {
    async fn take(&self, paces: &[Pace], want: u32, now: DateTime<Utc>) -> Result<Grant, LimiterUnavailable> {
        let (cells, now_us) = (Cells::of(paces[0].rate), now.timestamp_micros());
        let mut arrival = self.0.lock().unwrap();
        *arrival = (*arrival).max(now_us);
        let free = (now_us + cells.burst_us() - *arrival) / cells.interval_us;
        let granted = want.min(u32::try_from(free).unwrap());
        *arrival += i64::from(granted) * cells.interval_us;
        let wait = *arrival + cells.interval_us - cells.burst_us() - now_us;
        Ok(Grant { granted, next_at: now + TimeDelta::microseconds(wait.max(0)) })
    }

    async fn give_back(
        &self,
        paces: &[Pace],
        unused: u32,
        _: DateTime<Utc>,
    ) -> Result<(), LimiterUnavailable> {
        *self.0.lock().unwrap() -= i64::from(unused) * Cells::of(paces[0].rate).interval_us;
        Ok(())
    }
}

#[test]
fn limiters_that_do_not_limit_are_found_out() {
    fn fails<R: RateLimiter>(
        limiter: fn() -> R,
        case: impl AsyncFn(&Arc<dyn RateLimiter>) + std::panic::RefUnwindSafe,
    ) -> bool {
        let caught = std::panic::catch_unwind(|| {
            run_case(async {
                let limiter: Arc<dyn RateLimiter> = Arc::new(limiter());
                case(&limiter).await;
            });
        });
        caught.is_err()
    }
    let generous = || Generous;
    assert!(fails(generous, limiter::seconds_hold_no_more_than_the_rate));
    assert!(fails(generous, limiter::slowest_pace_decides_and_all_are_charged));
    assert!(fails(generous, limiter::asking_too_early_costs_nothing));
    assert!(fails(generous, limiter::given_back_starts_may_be_used));
    assert!(fails(generous, limiter::keys_are_paced_apart));
    assert!(fails(generous, limiter::late_returns_add_nothing));
    assert!(fails(Forgiving::default, limiter::late_returns_add_nothing));
    assert!(!fails(Forgiving::default, limiter::asking_too_early_costs_nothing));
    assert!(fails(generous, limiter::clocks_that_are_behind_get_nothing_extra));
    assert!(fails(generous, limiter::concurrent_callers_share_the_rate));
    let mean = || Mean;
    assert!(fails(mean, limiter::everything_is_granted_without_a_pace));
    assert!(fails(mean, limiter::first_start_is_granted));
    assert!(fails(mean, limiter::start_is_granted_when_asking_makes_sense));
    assert!(fails(mean, limiter::pace_is_not_charged_for_what_another_refused));
    assert!(!fails(LocalRateLimiter::new, limiter::first_start_is_granted));
}
