//! What happens when Redis goes away and comes back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod servers;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{CallsPerSecond, OrgId};
use rivvi_core::limit::{Pace, PaceKey, RateLimiter};
use rivvi_storage_redis::{LimiterOptions, Redis, RedisError, RedisOptions, RedisRateLimiter, WhenAway};

use servers::OwnServer;

fn pace(rate: f64) -> [Pace; 1] {
    let org = OrgId::from_uuid(uuid::Uuid::from_u128(1));
    [Pace { key: PaceKey::Organization(org), rate: CallsPerSecond::new(rate).unwrap() }]
}

/// A second that surely held more starts than the rate: the sum of all grants that were asked for and answered within
/// it.
fn most_in_a_second(grants: &[(DateTime<Utc>, DateTime<Utc>, u32)]) -> u32 {
    let within = |from: DateTime<Utc>| {
        let end = from + Duration::from_secs(1);
        grants
            .iter()
            .filter(|(asked, told, _)| *asked >= from && *told < end)
            .map(|(.., granted)| granted)
            .sum()
    };
    grants.iter().map(|(asked, ..)| within(*asked)).max().unwrap_or(0)
}

#[derive(Debug, Default)]
struct Seen {
    grants: Vec<(DateTime<Utc>, DateTime<Utc>, u32)>,
    failures: u32,
    slowest: Duration,
}

/// Asks as fast as it is answered until told to stop.
async fn press(limiter: Arc<RedisRateLimiter>, rate: f64, stop: Arc<AtomicBool>) -> Seen {
    let (clock, mut seen) = (SystemClock::new(), Seen::default());
    while !stop.load(Ordering::Relaxed) {
        let asked = clock.now();
        match limiter.take(&pace(rate), 100, asked).await {
            Ok(grant) => seen.grants.push((asked, clock.now(), grant.granted)),
            Err(_) => seen.failures += 1,
        }
        seen.slowest = seen.slowest.max((clock.now() - asked).to_std().unwrap());
        servers::pause(Duration::from_millis(2)).await;
    }
    seen
}

async fn presses(
    url: &str,
    rate: f64,
    when_away: WhenAway,
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<Seen>> {
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let redis = Redis::open(url).await.unwrap();
        let options = LimiterOptions::default().with_when_away(when_away);
        let limiter = Arc::new(RedisRateLimiter::with_options(&redis, options));
        tasks.push(tokio::spawn(press(limiter, rate, stop.clone())));
    }
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_stops_the_pace_and_never_adds_to_it() {
    // In memory alone, and with a snapshot that is older than what was granted since.
    for stale_snapshot in [false, true] {
        let mut server = OwnServer::start(&[]).await;
        let (rate, stop) = (50.0, Arc::new(AtomicBool::new(false)));
        let tasks = presses(&server.url(), rate, WhenAway::Stop, &stop).await;
        servers::pause(Duration::from_millis(1_500)).await;
        if stale_snapshot {
            server.save().await;
        }
        servers::pause(Duration::from_millis(700)).await;
        let mut restarted = Vec::new();
        for _ in 0..2 {
            server.kill().await;
            servers::pause(Duration::from_millis(200)).await;
            restarted.push(SystemClock::new().now());
            server.start_again().await;
            servers::pause(Duration::from_millis(300)).await;
        }
        servers::pause(Duration::from_millis(3_000)).await;
        let recovered_from = SystemClock::new().now() - Duration::from_millis(1_000);
        stop.store(true, Ordering::Relaxed);
        let mut grants = Vec::new();
        for task in tasks {
            let seen = task.await.unwrap();
            assert!(seen.slowest < Duration::from_millis(2_500), "an answer took {:?}", seen.slowest);
            grants.extend(seen.grants);
        }
        for at in restarted {
            let settled = at + Duration::from_secs(1);
            let early = grants.iter().filter(|(asked, told, _)| *asked >= at && *told < settled);
            assert_eq!(
                early.map(|(.., n)| n).sum::<u32>(),
                0,
                "a server that may have forgotten settles first"
            );
        }
        let most = most_in_a_second(&grants);
        assert!(most <= 50, "{most} starts in a second, stale snapshot: {stale_snapshot}");
        let recovered: u32 =
            grants.iter().filter(|(asked, ..)| *asked >= recovered_from).map(|(.., n)| n).sum();
        assert!(recovered >= 25, "{recovered} starts in the last second");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_stops_the_pace_until_it_goes_on() {
    let server = OwnServer::start(&[]).await;
    let (rate, stop) = (50.0, Arc::new(AtomicBool::new(false)));
    let tasks = presses(&server.url(), rate, WhenAway::Stop, &stop).await;
    servers::pause(Duration::from_millis(1_500)).await;
    server.signal("STOP").await;
    servers::pause(Duration::from_millis(4_000)).await;
    server.signal("CONT").await;
    servers::pause(Duration::from_millis(4_000)).await;
    let recovered_from = SystemClock::new().now() - Duration::from_millis(1_000);
    stop.store(true, Ordering::Relaxed);
    let mut grants = Vec::new();
    for task in tasks {
        let seen = task.await.unwrap();
        assert!(seen.failures > 0, "the outage was noticed");
        assert!(seen.slowest < Duration::from_millis(2_500), "an answer took {:?}", seen.slowest);
        grants.extend(seen.grants);
    }
    assert!(most_in_a_second(&grants) <= 50);
    let recovered: u32 = grants.iter().filter(|(asked, ..)| *asked >= recovered_from).map(|(.., n)| n).sum();
    assert!(recovered >= 25, "{recovered} starts in the last second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_pace_for_themselves_at_their_share_if_told_to() {
    let mut server = OwnServer::start(&[]).await;
    let (rate, stop) = (60.0, Arc::new(AtomicBool::new(false)));
    let tasks = presses(&server.url(), rate, WhenAway::Local { share: 1.0 / 3.0 }, &stop).await;
    servers::pause(Duration::from_millis(1_800)).await;
    let away_from = SystemClock::new().now();
    server.kill().await;
    servers::pause(Duration::from_millis(3_500)).await;
    let away_until = SystemClock::new().now();
    server.start_again().await;
    servers::pause(Duration::from_millis(4_500)).await;
    stop.store(true, Ordering::Relaxed);
    let mut grants = Vec::new();
    for task in tasks {
        let seen = task.await.unwrap();
        assert_eq!(seen.failures, 0, "it paced for itself");
        let alone = seen.grants.iter().filter(|(asked, told, _)| *asked > away_from && *told < away_until);
        let alone: u32 = alone.map(|(.., granted)| granted).sum();
        assert!(
            (20..=60).contains(&alone),
            "{alone} starts alone in 3.5 s, of which the first second is a pause"
        );
        grants.extend(seen.grants);
    }
    let most = most_in_a_second(&grants);
    assert!(most <= 60, "{most} starts in a second");
}

#[tokio::test]
async fn a_node_may_start_while_redis_is_away() {
    let mut server = OwnServer::start(&[]).await;
    server.kill().await;
    let refused = Redis::open(&server.url()).await.unwrap_err();
    assert!(matches!(refused, RedisError::Away { .. }), "{refused}");
    let redis = Redis::open_lazily(&server.url(), RedisOptions::default()).unwrap();
    let limiter = RedisRateLimiter::new(&redis);
    let clock = SystemClock::new();
    let error = limiter.take(&pace(100.0), 1, clock.now()).await.unwrap_err();
    assert!(error.to_string().contains("127.0.0.1"), "{error}");
    assert!(!redis.is_there());
    assert_eq!(limiter.take(&[], 7, clock.now()).await.unwrap().granted, 7, "nothing is paced");
    server.start_again().await;
    let give_up = clock.now() + Duration::from_secs(10);
    loop {
        assert!(clock.now() < give_up, "it did not recover");
        if limiter.take(&pace(100.0), 1, clock.now()).await.is_ok_and(|grant| grant.granted == 1) {
            break;
        }
        servers::pause(Duration::from_millis(20)).await;
    }
    assert!(redis.is_there());
}

#[tokio::test]
async fn secrets_of_the_url_are_in_no_error_and_no_debug_output() {
    let server = OwnServer::start(&["--requirepass", "right"]).await;
    let url = format!("redis://:s3cret@127.0.0.1:{}", server.port);
    let error = Redis::open(&url).await.unwrap_err();
    assert!(error.to_string().contains("credentials"), "{error}");
    assert!(!format!("{error:?}{error}").contains("s3cret"));
    let redis = Redis::open(&url.replace("s3cret", "right")).await.unwrap();
    assert!(!format!("{redis:?}{:?}", RedisRateLimiter::new(&redis)).contains("right"));
}
