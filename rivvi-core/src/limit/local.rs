//! The limiter for one process.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Cells, Grant, LimiterUnavailable, Pace, PaceKey, RateLimiter};

/// A limiter for engines in one process.
///
/// The generic cell rate algorithm (ITU-T I.371) with a burst of 20 ms worth of calls, at least one. The sustained
/// rate is lowered by what the burst could add, so that the promise of [`RateLimiter`] holds for every second.
///
/// Keys lie in shards, each behind a lock of its own. Whoever takes under several paces holds the locks of all their
/// shards, taken in one order, so it is all or nothing and nobody waits in a circle.
#[derive(Debug, Default)]
pub struct LocalRateLimiter {
    shards: [Shard; SHARDS],
}

const SHARDS: usize = 16;

/// Padded to two cache lines, so that threads on different shards do not disturb each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<HashMap<PaceKey, Charged, BuildPaceHasher>>);

/// What is known of a key.
#[derive(Debug, Clone, Copy)]
struct Charged {
    /// The theoretical arrival time, in microseconds since the epoch.
    arrival_us: i64,
    /// The latest instant at which starts were granted.
    at_us: i64,
}

impl LocalRateLimiter {
    /// A limiter that has granted nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Holds the shards of all these keys.
    fn lock(&self, paces: &[Pace]) -> Held<'_> {
        let mut held = Held { shards: [const { None }; SHARDS] };
        let wanted = paces.iter().fold(0_u32, |wanted, pace| wanted | 1 << shard_of(&pace.key));
        for (index, (place, shard)) in held.shards.iter_mut().zip(&self.shards).enumerate() {
            if wanted & (1 << index) != 0 {
                *place = Some(shard.0.lock().unwrap_or_else(PoisonError::into_inner));
            }
        }
        held
    }
}

/// Some shards, by their index.
struct Held<'a> {
    shards: [Option<MutexGuard<'a, HashMap<PaceKey, Charged, BuildPaceHasher>>>; SHARDS],
}

impl Held<'_> {
    fn of(&mut self, key: &PaceKey) -> Option<&mut HashMap<PaceKey, Charged, BuildPaceHasher>> {
        self.shards[shard_of(key)].as_deref_mut()
    }
}

#[async_trait]
impl RateLimiter for LocalRateLimiter {
    async fn take(&self, paces: &[Pace], want: u32, now: DateTime<Utc>) -> Result<Grant, LimiterUnavailable> {
        let now_us = now.timestamp_micros();
        let mut held = self.lock(paces);
        let mut granted = want;
        for pace in paces {
            let cells = Cells::of(pace.rate);
            let charged = held.of(&pace.key).and_then(|shard| shard.get(&pace.key));
            let arrival_us = charged.map_or(now_us, |charged| charged.arrival_us.max(now_us));
            let free = (now_us + cells.burst_us() - arrival_us).div_euclid(cells.interval_us).max(0);
            granted = granted.min(u32::try_from(free).unwrap_or(u32::MAX));
        }
        let mut next_us = now_us;
        for pace in paces {
            let Some(shard) = held.of(&pace.key) else { continue };
            let cells = Cells::of(pace.rate);
            let charge_us = i64::from(granted) * cells.interval_us;
            let known = shard.get_mut(&pace.key);
            let arrival_us = known.as_ref().map_or(now_us, |known| known.arrival_us.max(now_us)) + charge_us;
            next_us = next_us.max(arrival_us + cells.interval_us - cells.burst_us());
            if granted > 0 {
                match known {
                    Some(known) => *known = Charged { arrival_us, at_us: known.at_us.max(now_us) },
                    None => drop(shard.insert(pace.key.clone(), Charged { arrival_us, at_us: now_us })),
                }
            }
        }
        let wait = TimeDelta::microseconds(next_us - now_us);
        Ok(Grant { granted, next_at: now + wait })
    }

    async fn give_back(
        &self,
        paces: &[Pace],
        unused: u32,
        now: DateTime<Utc>,
    ) -> Result<(), LimiterUnavailable> {
        let now_us = now.timestamp_micros();
        let mut held = self.lock(paces);
        for pace in paces {
            let known = held.of(&pace.key).and_then(|shard| shard.get_mut(&pace.key));
            // What was charged at one instant adds up in any order. What was charged later was charged on top of what
            // is given back, or after a pause that may not have been there without it, and nobody can tell which.
            if let Some(known) = known.filter(|known| known.at_us == now_us) {
                known.arrival_us -= i64::from(unused) * Cells::of(pace.rate).interval_us;
            }
        }
        Ok(())
    }
}

fn shard_of(key: &PaceKey) -> usize {
    // Bits that the maps inside the shards do not look at.
    (BuildPaceHasher::default().hash_one(key) >> 40) as usize % SHARDS
}

type BuildPaceHasher = BuildHasherDefault<PaceHasher>;

/// Multiply and rotate, as the compiler of Rust hashes: a few nanoseconds for ids that are random by themselves. The
/// host chooses the keys, so nobody gains by making them collide.
#[derive(Debug, Default)]
struct PaceHasher(u64);

impl Hasher for PaceHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn finish(&self) -> u64 {
        // The last multiplication left the low bits poor.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{CallsPerSecond, OrgId};

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

    proptest! {
        #[test]
        fn starts_given_back_late_add_nothing(
            rate in prop_oneof![1.0..60.0_f64, 60.0..3000.0_f64],
            steps in prop::collection::vec((0_i64..200_000, 1_u32..50, 0_usize..4, 0_u32..50), 1..200),
        ) {
            let limiter = LocalRateLimiter::new();
            let paces = [pace(rate, 1)];
            let (mut now, mut grants) = (0, Vec::<(i64, u32)>::new());
            for (step, want, back, unused) in steps {
                now += step;
                let grant = futures::executor::block_on(limiter.take(&paces, want, at(now))).unwrap();
                grants.push((now, grant.granted));
                // Some starts of this grant or of one before.
                let index = grants.len().saturating_sub(1 + back);
                let unused = unused.min(grants[index].1);
                grants[index].1 -= unused;
                futures::executor::block_on(limiter.give_back(&paces, unused, at(grants[index].0))).unwrap();
            }
            for (index, (first, _)) in grants.iter().enumerate() {
                let second = grants[index..].iter().take_while(|(at, _)| *at < first + 1_000_000);
                let within: u32 = second.map(|(_, granted)| granted).sum();
                prop_assert!(f64::from(within) <= rate.ceil(), "{within} starts in a second at a rate of {rate}");
            }
        }
    }

    #[test]
    fn keys_spread_over_the_shards() {
        let mut used = [0; SHARDS];
        for org in 0..1_600_u128 {
            used[shard_of(&pace(1.0, org << 64 | org).key)] += 1;
        }
        assert!(used.iter().all(|keys| (50..=200).contains(keys)), "{used:?}");
    }
}
