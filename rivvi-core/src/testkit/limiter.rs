//! The suite for limiters: one case per promise of [`RateLimiter`].
//!
//! A case begins with a limiter that has granted nothing. Instants are given to it and pass as fast as it answers, so
//! no case waits. [`limiter_conformance!`](crate::limiter_conformance) makes a test of each case.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{at_once, build};
use crate::domain::{CallerId, CallsPerSecond, CampaignId, OrgId, ProviderName};
use crate::limit::{Grant, Pace, PaceKey, RateLimiter};

const SECOND: TimeDelta = TimeDelta::seconds(1);

/// Rates below and above one a second, whole and not, and of the size of large installations.
const RATES: [f64; 12] = [0.01, 0.5, 1.0, 1.5, 2.5, 7.0, 20.0, 50.0, 50.5, 99.9, 333.0, 3_000.0];

fn pace(key: PaceKey, rate: f64) -> Pace {
    Pace { key, rate: CallsPerSecond::new(rate).unwrap() }
}

fn of_organization(n: u64, rate: f64) -> Pace {
    pace(PaceKey::Organization(build::org_id(n)), rate)
}

async fn take(limiter: &Arc<dyn RateLimiter>, paces: &[Pace], want: u32, now: DateTime<Utc>) -> Grant {
    let grant = limiter.take(paces, want, now).await.unwrap();
    assert!(grant.granted <= want, "{} granted and {want} wanted", grant.granted);
    grant
}

/// Asserts that no half-open second holds more starts than the rate, rounded up.
fn assert_within(rate: f64, starts: &mut [DateTime<Utc>]) {
    starts.sort();
    for (index, first) in starts.iter().enumerate() {
        let within = starts[index..].iter().take_while(|start| **start - *first < SECOND).count();
        assert!(within as f64 <= rate.ceil(), "{within} starts in a second at a rate of {rate}");
    }
}

/// Where nothing is paced, everything is granted.
pub async fn everything_is_granted_without_a_pace(limiter: &Arc<dyn RateLimiter>) {
    assert_eq!(take(limiter, &[], 500, build::start()).await.granted, 500);
    assert_eq!(take(limiter, &[], 500, build::start()).await.granted, 500);
}

/// Whoever asks first is granted a start, whatever the rate.
pub async fn first_start_is_granted(limiter: &Arc<dyn RateLimiter>) {
    for (n, rate) in (1..).zip(RATES) {
        let paces = [of_organization(n, rate)];
        assert_eq!(take(limiter, &paces, 0, build::start()).await.granted, 0, "nothing was wanted");
        assert_eq!(take(limiter, &paces, 1, build::start()).await.granted, 1, "a rate of {rate}");
    }
}

/// No half-open second holds more starts than the rate, however often and unevenly it is asked, and whatever is given
/// back.
pub async fn seconds_hold_no_more_than_the_rate(limiter: &Arc<dyn RateLimiter>) {
    for (n, rate) in (1..).zip(RATES) {
        let paces = [of_organization(n, rate)];
        let (mut now, mut starts) = (build::start(), Vec::new());
        for step in 0..400_i64 {
            let want = 1 + (step * 7 % 40) as u32;
            let granted = take(limiter, &paces, want, now).await.granted;
            let unused = if step % 5 == 3 { granted / 2 } else { 0 };
            limiter.give_back(&paces, unused, now).await.unwrap();
            starts.extend(std::iter::repeat_n(now, (granted - unused) as usize));
            now += TimeDelta::microseconds((step * step * 37) % 23_000);
        }
        assert_within(rate, &mut starts);
    }
}

/// A start that the limiter tells to ask for is granted then, and waiting like this keeps the pace up.
pub async fn start_is_granted_when_asking_makes_sense(limiter: &Arc<dyn RateLimiter>) {
    for (n, rate) in (1..).zip(RATES) {
        let paces = [of_organization(n, rate)];
        let (mut now, mut granted) = (build::start(), 0);
        let rounds = 300;
        for round in 0..rounds {
            let grant = take(limiter, &paces, 10_000, now).await;
            assert!(grant.granted >= 1, "round {round} at a rate of {rate}");
            assert!(grant.next_at > now, "there is an end to what is granted at once");
            granted += grant.granted;
            now = grant.next_at;
        }
        let seconds = (now - build::start()).num_microseconds().unwrap() as f64 / 1_000_000.0;
        let pace = f64::from(granted) / seconds;
        assert!(pace >= 0.9 * rate, "{pace} a second at a rate of {rate}");
    }
}

/// Who asks too early is granted nothing and told when to come, not charged for asking.
pub async fn asking_too_early_costs_nothing(limiter: &Arc<dyn RateLimiter>) {
    let paces = [of_organization(1, 1.0)];
    let next_at = take(limiter, &paces, 1, build::start()).await.next_at;
    for step in 0..20 {
        let early = take(limiter, &paces, 9, build::start() + TimeDelta::milliseconds(step * 40)).await;
        assert_eq!((early.granted, early.next_at), (0, next_at));
    }
    assert_eq!(take(limiter, &paces, 9, next_at).await.granted, 1);
}

/// Of several paces the slowest decides, and all are charged what was granted.
pub async fn slowest_pace_decides_and_all_are_charged(limiter: &Arc<dyn RateLimiter>) {
    let both = [of_organization(1, 1.0), of_organization(2, 2.0)];
    assert_eq!(take(limiter, &both, 9, build::start()).await.granted, 1);
    let mut now = build::start();
    let mut alone = 0;
    while now < build::start() + SECOND {
        alone += take(limiter, &both[1..], 9, now).await.granted;
        now += TimeDelta::milliseconds(10);
    }
    assert_eq!(alone, 1, "one of its two starts in the second went with the other pace");
}

/// A pace is not charged for what another pace did not allow.
pub async fn pace_is_not_charged_for_what_another_refused(limiter: &Arc<dyn RateLimiter>) {
    let (slow, fast) = (of_organization(1, 0.01), of_organization(2, 1.0));
    take(limiter, std::slice::from_ref(&slow), 1, build::start()).await;
    for _ in 0..50 {
        let refused = take(limiter, &[fast.clone(), slow.clone()], 5, build::start()).await;
        assert_eq!(refused.granted, 0);
    }
    assert_eq!(take(limiter, std::slice::from_ref(&fast), 1, build::start()).await.granted, 1);
}

/// What is given back may be used by the next, under every pace it was taken from.
pub async fn given_back_starts_may_be_used(limiter: &Arc<dyn RateLimiter>) {
    let both = [of_organization(1, 1.0), pace(PaceKey::Provider(ProviderName::new("a")), 0.5)];
    for _ in 0..5 {
        assert_eq!(take(limiter, &both, 3, build::start()).await.granted, 1);
        limiter.give_back(&both, 0, build::start()).await.unwrap();
        assert_eq!(take(limiter, &both, 3, build::start()).await.granted, 0);
        limiter.give_back(&both, 1, build::start()).await.unwrap();
    }
    for alone in both.chunks(1) {
        assert_eq!(take(limiter, alone, 1, build::start()).await.granted, 1);
    }
}

/// Keys of different kinds and values are paced apart, also where they have the same id or text.
pub async fn keys_are_paced_apart(limiter: &Arc<dyn RateLimiter>) {
    let id: Uuid = build::org_id(1).as_uuid();
    let keys = [
        PaceKey::Organization(OrgId::from_uuid(id)),
        PaceKey::Campaign(CampaignId::from_uuid(id)),
        PaceKey::Provider(ProviderName::new(&id.to_string())),
        PaceKey::Provider(ProviderName::new(build::UNICODE)),
        PaceKey::CallerId(CallerId(build::number(1))),
        PaceKey::CallerId(CallerId(build::number(2))),
    ];
    for key in &keys {
        let paces = [pace(key.clone(), 1.0)];
        assert_eq!(take(limiter, &paces, 1, build::start()).await.granted, 1);
        assert_eq!(take(limiter, &paces, 1, build::start()).await.granted, 0);
    }
}

/// Starts that are given back after others were granted add nothing to what a second holds: what they had cost may have
/// been forgiven meanwhile.
pub async fn late_returns_add_nothing(limiter: &Arc<dyn RateLimiter>) {
    for (n, rate) in (1..).zip(RATES) {
        let paces = [of_organization(n, rate)];
        let (mut now, mut starts) = (build::start(), Vec::new());
        for _ in 0..30 {
            let first = take(limiter, &paces, 10_000, now).await;
            let taken_at = std::mem::replace(&mut now, first.next_at);
            for late in [first.granted, 0] {
                let granted = take(limiter, &paces, 10_000, now).await.granted;
                starts.extend(std::iter::repeat_n(now, granted as usize));
                limiter.give_back(&paces, late, taken_at).await.unwrap();
            }
            now += TimeDelta::milliseconds(7);
        }
        assert_within(rate, &mut starts);
    }
}

/// A caller whose clock is behind gets nothing that would break the rate.
pub async fn clocks_that_are_behind_get_nothing_extra(limiter: &Arc<dyn RateLimiter>) {
    let paces = [of_organization(1, 5.0)];
    let (mut now, mut starts) = (build::start() + SECOND * 10, Vec::new());
    for step in 0..300_i64 {
        let behind = now - TimeDelta::milliseconds(step * 97 % 1_700);
        let granted = take(limiter, &paces, 5, behind).await.granted;
        starts.extend(std::iter::repeat_n(behind, granted as usize));
        now += TimeDelta::milliseconds(20);
    }
    assert!(starts.len() > 10);
    assert_within(5.0, &mut starts);
}

/// Callers at once share the rate: together they are granted no more than one alone.
pub async fn concurrent_callers_share_the_rate(limiter: &Arc<dyn RateLimiter>) {
    for (n, rate) in [(1, 3.0), (2, 40.0), (3, 500.0)] {
        let mut starts = at_once(8, |_| {
            let limiter = limiter.clone();
            async move {
                let paces =
                    [of_organization(n, rate), pace(PaceKey::Provider(ProviderName::new("a")), 10_000.0)];
                let (mut now, mut starts) = (build::start(), Vec::new());
                for _ in 0..300 {
                    let granted = take(&limiter, &paces, 4, now).await.granted;
                    starts.extend(std::iter::repeat_n(now, granted as usize));
                    now += TimeDelta::milliseconds(10);
                    tokio::task::yield_now().await;
                }
                starts
            }
        })
        .await
        .concat();
        assert!(!starts.is_empty());
        assert_within(rate, &mut starts);
    }
}

/// Calls `$then! { $given case, … }` with every case of the suite for limiters.
#[doc(hidden)]
#[macro_export]
macro_rules! __limiter_cases {
    ([$($then:tt)*] $($given:tt)*) => {
        $($then)*! {
            [$($given)*]
            everything_is_granted_without_a_pace,
            first_start_is_granted,
            seconds_hold_no_more_than_the_rate,
            start_is_granted_when_asking_makes_sense,
            asking_too_early_costs_nothing,
            slowest_pace_decides_and_all_are_charged,
            pace_is_not_charged_for_what_another_refused,
            given_back_starts_may_be_used,
            keys_are_paced_apart,
            late_returns_add_nothing,
            clocks_that_are_behind_get_nothing_extra,
            concurrent_callers_share_the_rate,
        }
    };
}

/// Makes a test of every case of the suite for limiters, each named like its case and with a limiter of its own.
///
/// The argument is a function or closure that returns a future of an `Arc<dyn RateLimiter>`, or of a pair of one and
/// whatever must live as long. Attributes before it go to every test. See [`testkit`](crate::testkit).
#[macro_export]
macro_rules! limiter_conformance {
    ($(#[$attribute:meta])* $factory:expr) => {
        $crate::__limiter_cases! { [$crate::__limiter_tests] [$(#[$attribute])*] ($factory) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __limiter_tests {
    ([$attributes:tt $factory:tt] $($case:ident,)*) => {
        $($crate::__limiter_test! { $attributes $factory $case })*

        #[test]
        fn limiter_suite_is_complete() {
            $crate::testkit::limiter::assert_suite_is_complete();
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __limiter_test {
    ([$($attribute:tt)*] ($factory:expr) $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::testkit::run_case(async {
                let fixture = ($factory)().await;
                let limiter: &::std::sync::Arc<dyn $crate::limit::RateLimiter> =
                    $crate::testkit::Fixture::subject(&fixture);
                $crate::testkit::limiter::$case(limiter).await;
            });
        }
    };
}

macro_rules! cases {
    ([] $($case:ident,)*) => {
        /// The name of every case.
        pub const CASES: &[&str] = &[$(stringify!($case),)*];
    };
}

__limiter_cases! { [cases] }

/// Asserts that every case is in the list from which tests are made.
///
/// # Panics
/// If one is not.
pub fn assert_suite_is_complete() {
    super::assert_lists_all(include_str!("limiter.rs"), CASES.iter().copied(), "limiter");
}

#[cfg(test)]
mod tests {
    #[test]
    fn suite_is_complete() {
        super::assert_suite_is_complete();
    }
}
