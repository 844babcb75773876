//! Pacing: decisions a second, in one process beside `governor`, and on Redis.
//!
//! Two threads ask for one start after the other at a rate of 10,000 a second, so that some are granted and most are
//! not. Printed at the end: the ratio to `governor`, and how many starts any second held above the rate.
//!
//! The part on Redis needs `RIVVI_TEST_REDIS` (`eval "$(scripts/services env redis)"`) and says so without it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]
#![allow(missing_docs)]

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use chrono::{DateTime, Utc};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::FutureExt;
use futures::future::join_all;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter as Governor};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{CallsPerSecond, CampaignId, IdSource, OrgId, ProviderName};
use rivvi_core::limit::{LocalRateLimiter, Pace, PaceKey, RateLimiter};
use rivvi_storage_redis::{Redis, RedisOptions, RedisRateLimiter};

const RATE: u32 = 10_000;
const THREADS: u64 = 2;

/// What a thread asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// Each thread under an organization of its own.
    OneKeyEach,
    /// Both under the same organization.
    SameKey,
    /// Each under its organization and campaign, and both under one provider.
    ThreeKeys,
}

impl Scene {
    const ALL: [Self; 3] = [Self::OneKeyEach, Self::SameKey, Self::ThreeKeys];

    fn name(self) -> &'static str {
        match self {
            Self::OneKeyEach => "one key each",
            Self::SameKey => "the same key",
            Self::ThreeKeys => "three keys",
        }
    }

    fn paces(self, thread: u64) -> Vec<Pace> {
        let ids = IdSource::seeded(if self == Self::SameKey { 0 } else { thread });
        let now = DateTime::UNIX_EPOCH;
        let organization = PaceKey::Organization(OrgId::from_uuid(ids.next(now)));
        let campaign = PaceKey::Campaign(CampaignId::from_uuid(ids.next(now)));
        let provider = PaceKey::Provider(ProviderName::new("retell"));
        let keys = match self {
            Self::ThreeKeys => vec![organization, campaign, provider],
            _ => vec![organization],
        };
        let rate = CallsPerSecond::new(f64::from(RATE)).unwrap();
        keys.into_iter().map(|key| Pace { key, rate }).collect()
    }
}

/// Runs `each` `times` times on every thread at once and returns how long that took.
fn on_threads(times: u64, each: impl Fn(u64, u64) + Sync) -> Duration {
    let (clock, barrier) = (SystemClock::new(), Barrier::new(THREADS as usize));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (clock, barrier, each) = (&clock, &barrier, &each);
                scope.spawn(move || {
                    barrier.wait();
                    let start = clock.monotonic();
                    each(thread, times);
                    (start, clock.monotonic())
                })
            })
            .collect();
        let spans: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let start = spans.iter().map(|(start, _)| *start).min().unwrap();
        spans.iter().map(|(_, end)| *end).max().unwrap() - start
    })
}

fn local(limiter: &LocalRateLimiter, scene: Scene, times: u64) -> Duration {
    let clock = SystemClock::new();
    on_threads(times, |thread, times| {
        let paces = scene.paces(thread);
        for _ in 0..times {
            let grant = limiter.take(black_box(&paces), 1, clock.now()).now_or_never().unwrap();
            black_box(grant.unwrap());
        }
    })
}

fn governor() -> DefaultKeyedRateLimiter<PaceKey> {
    let rate = NonZeroU32::new(RATE).unwrap();
    Governor::keyed(Quota::per_second(rate).allow_burst(NonZeroU32::new(RATE / 50).unwrap()))
}

fn governed(limiter: &DefaultKeyedRateLimiter<PaceKey>, scene: Scene, times: u64) -> Duration {
    on_threads(times, |thread, times| {
        let paces = scene.paces(thread);
        for _ in 0..times {
            // It decides about one key at a time, and cannot take back what it granted before another key refused.
            let granted = paces.iter().all(|pace| limiter.check_key(black_box(&pace.key)).is_ok());
            black_box(granted);
        }
    })
}

/// The most starts that two threads get in a second, above the rate.
fn over_admitted(span: Duration) -> usize {
    let (limiter, clock) = (LocalRateLimiter::new(), SystemClock::new());
    let granted = std::sync::Mutex::new(Vec::<DateTime<Utc>>::new());
    on_threads(1, |thread, _| {
        let (paces, mut own) = (Scene::SameKey.paces(thread), Vec::new());
        let end = clock.monotonic() + span;
        while clock.monotonic() < end {
            let now = clock.now();
            let grant = limiter.take(&paces, 3, now).now_or_never().unwrap().unwrap();
            own.extend(std::iter::repeat_n(now, grant.granted as usize));
        }
        granted.lock().unwrap().extend(own);
    });
    let mut granted = granted.into_inner().unwrap();
    granted.sort();
    let (mut first, mut most) = (0, 0);
    for last in 0..granted.len() {
        while granted[last] - granted[first] >= chrono::TimeDelta::seconds(1) {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    assert!(granted.len() as u64 > span.as_secs() * u64::from(RATE) / 2, "{} granted", granted.len());
    most.saturating_sub(RATE as usize)
}

fn in_process(c: &mut Criterion) {
    for scene in Scene::ALL {
        let mut group = c.benchmark_group(format!("limiter, 2 threads, {}", scene.name()));
        group.throughput(Throughput::Elements(THREADS));
        let (ours, theirs) = (LocalRateLimiter::new(), governor());
        group.bench_function("LocalRateLimiter", |b| b.iter_custom(|times| local(&ours, scene, times)));
        group.bench_function("governor", |b| b.iter_custom(|times| governed(&theirs, scene, times)));
        group.finish();
    }
    println!("\nRatio of decisions a second to governor, median of 9 alternating rounds:");
    for scene in Scene::ALL {
        let (ours, theirs, times) = (LocalRateLimiter::new(), governor(), 300_000);
        let mut ratios: Vec<f64> = (0..9)
            .map(|_| {
                let (ours, theirs) = (local(&ours, scene, times), governed(&theirs, scene, times));
                theirs.as_secs_f64() / ours.as_secs_f64()
            })
            .collect();
        ratios.sort_by(f64::total_cmp);
        println!("  {}: {:.2}", scene.name(), ratios[ratios.len() / 2]);
    }
    println!(
        "Starts above the rate in the fullest second of 3 s: {}\n",
        over_admitted(Duration::from_secs(3))
    );
}

fn on_redis(c: &mut Criterion) {
    let Ok(url) = std::env::var("RIVVI_TEST_REDIS") else {
        println!("limiter on Redis: not measured, since RIVVI_TEST_REDIS is not set");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clock = SystemClock::new();
    let mut options = RedisOptions::default();
    options.prefix = format!("bench-{}", IdSource::random().next(clock.now()).simple());
    let redis = runtime.block_on(Redis::open_with(&url, options)).unwrap();
    let limiter = Arc::new(RedisRateLimiter::new(&redis));
    let paces = Scene::ThreeKeys.paces(1);
    let take = async || limiter.take(&paces, 1, clock.now()).await.unwrap();
    runtime.block_on(async {
        take().await;
        clock.sleep_until(clock.now() + Duration::from_millis(1_100)).await;
    });
    let mut group = c.benchmark_group("limiter on Redis, three keys");
    group.throughput(Throughput::Elements(1));
    group.bench_function("one after the other", |b| b.to_async(&runtime).iter(&take));
    group.throughput(Throughput::Elements(64));
    group.bench_function("64 at once", |b| b.to_async(&runtime).iter(|| join_all((0..64).map(|_| take()))));
    group.finish();
}

criterion_group!(benches, in_process, on_redis);
criterion_main!(benches);
