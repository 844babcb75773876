//! The deny cache only ever says no, and not for longer than promised.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod servers;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{E164, OrgId, Secret, Suppression, SuppressionSource};
use rivvi_core::storage::memory::MemoryStorage;
use rivvi_core::storage::{Ledger, Storage};
use rivvi_core::testkit::build;
use rivvi_storage_redis::{CachedSuppressions, DenyCache, Redis, RedisError};

use servers::OwnServer;

fn cache(redis: &Redis) -> DenyCache {
    DenyCache::new(redis, &Secret::new("a key of more than 16 bytes")).unwrap()
}

fn now() -> DateTime<Utc> {
    SystemClock::new().now()
}

fn entry(org: u64, number: E164, expires_at: Option<DateTime<Utc>>) -> Suppression {
    let (org_id, source) = (build::org_id(org), SuppressionSource::Admin);
    Suppression { org_id, number, source, reason: String::new(), added_at: now(), expires_at }
}

/// A store whose ledger keeps a cache.
async fn cached() -> Storage {
    let redis = servers::fresh().await;
    let storage = Storage::in_memory();
    let ledger = CachedSuppressions::new(storage.ledger.clone(), Arc::new(cache(&redis)));
    Storage { ledger: Arc::new(ledger), ..storage }
}

mod cached_ledger {
    rivvi_core::storage_conformance!(super::cached);
}

#[tokio::test]
async fn entries_are_denied_until_they_end_or_are_lifted() {
    for variable in ["RIVVI_TEST_REDIS", "RIVVI_TEST_REDIS_CLUSTER"] {
        let redis = Redis::open_with(&servers::url(variable), servers::fresh_options()).await.unwrap();
        let cache = cache(&redis);
        let numbers: Vec<E164> = (1..=4).map(build::number).collect();
        let (org, now) = (build::org_id(1), now());
        let ends = now + TimeDelta::seconds(30);
        let entries = [
            entry(1, numbers[0], None),
            entry(1, numbers[1], Some(ends)),
            entry(1, numbers[2], Some(now - TimeDelta::seconds(1))),
            entry(2, numbers[3], None),
        ];
        cache.deny(&entries, now).await.unwrap();
        assert_eq!(cache.denied(org, &numbers, now).await, [true, true, false, false]);
        assert_eq!(cache.denied(build::org_id(2), &numbers, now).await, [false, false, false, true]);
        assert_eq!(cache.denied(org, &numbers, ends).await, [true, false, false, false]);
        cache.lift(org, numbers[0]).await.unwrap();
        assert_eq!(cache.denied(org, &numbers, now).await, [false, true, false, false]);
    }
}

#[tokio::test]
async fn many_numbers_are_asked_for_at_once() {
    let redis = servers::fresh().await;
    let cache = cache(&redis);
    let numbers: Vec<E164> = (0..2_500).map(build::number).collect();
    let entries: Vec<Suppression> = numbers.iter().step_by(3).map(|number| entry(1, *number, None)).collect();
    cache.deny(&entries, now()).await.unwrap();
    let denied = cache.denied(build::org_id(1), &numbers, now()).await;
    let expected: Vec<bool> = (0..2_500).map(|index| index % 3 == 0).collect();
    assert_eq!(denied, expected);
}

#[tokio::test]
async fn an_entry_left_behind_is_forgotten() {
    let redis = servers::fresh().await;
    let cache = cache(&redis).keeping(Duration::from_secs(1));
    cache.deny(&[entry(1, build::number(1), None)], now()).await.unwrap();
    assert_eq!(cache.denied(build::org_id(1), &[build::number(1)], now()).await, [true]);
    servers::pause(Duration::from_millis(1_100)).await;
    assert_eq!(cache.denied(build::org_id(1), &[build::number(1)], now()).await, [false]);
}

/// What the ledger says, which nothing here may ever widen.
async fn forbidden(ledger: &dyn Ledger, org: OrgId, number: E164) -> bool {
    let facts = ledger.number_facts(org, number, now()).await.unwrap();
    facts.suppression.is_some_and(|entry| entry.is_active(now()))
}

#[tokio::test]
async fn the_ledger_decides_whatever_the_cache_holds_or_lost() {
    let mut server = OwnServer::start(&[]).await;
    let redis = Redis::open(&server.url()).await.unwrap();
    let cache = Arc::new(cache(&redis));
    let ledger = CachedSuppressions::new(Arc::new(MemoryStorage::new()), cache.clone());
    let (org, kept, released, late) =
        (build::org_id(1), build::number(1), build::number(2), build::number(3));
    ledger.suppress(vec![entry(1, kept, None), entry(1, released, None)]).await.unwrap();
    assert_eq!(cache.denied(org, &[kept, released], now()).await, [true, true]);
    assert!(ledger.release(org, released, now()).await.unwrap());
    assert_eq!(cache.denied(org, &[kept, released], now()).await, [true, false]);
    assert!(!forbidden(&ledger, org, released).await);

    server.kill().await;
    assert_eq!(cache.denied(org, &[kept, released], now()).await, [false, false], "away is not known");
    assert!(forbidden(&ledger, org, kept).await, "and not known is not allowed");
    ledger.suppress(vec![entry(1, late, None)]).await.unwrap();
    assert!(ledger.release(org, kept, now()).await.unwrap());

    server.start_again().await;
    for _ in 0..500 {
        if cache.deny(&[], now()).await.is_ok() && cache.lift(org, kept).await.is_ok() {
            break;
        }
        servers::pause(Duration::from_millis(20)).await;
    }
    assert_eq!(cache.denied(org, &[kept, late], now()).await, [false, false], "all was lost");
    assert!(!forbidden(&ledger, org, kept).await);
    assert!(forbidden(&ledger, org, late).await);
    assert_eq!(cache.denied(org, &[kept, late], now()).await, [false, true], "noted when it was asked for");
}

#[tokio::test]
async fn numbers_are_not_in_redis_and_the_key_must_be_long() {
    let mut server = OwnServer::start(&[]).await;
    let redis = Redis::open(&server.url()).await.unwrap();
    assert!(matches!(DenyCache::new(&redis, &Secret::new("short")), Err(RedisError::Config(_))));
    let cache = cache(&redis);
    cache.deny(&[entry(1, build::number(1), None)], now()).await.unwrap();
    server.save().await;
    let stored = server.stored();
    let digits = build::number(1).digits();
    assert!(contains(&stored, b"deny"), "the dump was read");
    assert!(!contains(&stored, digits.to_string().as_bytes()) && !contains(&stored, &digits.to_be_bytes()));
    assert!(!format!("{cache:?}").contains("a key of"));
    server.kill().await;
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
