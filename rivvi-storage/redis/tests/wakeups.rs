//! Wake-ups arrive at every node, and a lost connection counts as one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod servers;

use std::time::Duration;

use rivvi_core::storage::Wakeups;
use rivvi_storage_redis::{Redis, RedisWakeups};

use servers::OwnServer;

const SOON: Duration = Duration::from_secs(5);

async fn is_woken(wakeups: &RedisWakeups, within: Duration) -> bool {
    tokio::time::timeout(within, wakeups.woken()).await.is_ok()
}

/// Waits until it listens, which counts as a wake-up, as does the connection if it was late.
async fn listening(redis: &Redis) -> RedisWakeups {
    let wakeups = RedisWakeups::new(redis);
    assert!(is_woken(&wakeups, SOON).await, "it subscribed");
    while is_woken(&wakeups, Duration::from_millis(150)).await {}
    wakeups
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_is_woken_on_every_kind_of_server() {
    for variable in ["RIVVI_TEST_REDIS", "RIVVI_TEST_REDIS_CLUSTER", "RIVVI_TEST_REDIS_SENTINEL"] {
        let options = servers::fresh_options();
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let redis = Redis::open_with(&servers::url(variable), options.clone()).await.unwrap();
            nodes.push(listening(&redis).await);
        }
        let other = Redis::open_with(&servers::url(variable), servers::fresh_options()).await.unwrap();
        let other = listening(&other).await;
        for teller in 0..nodes.len() {
            nodes[teller].wake().await;
            for (index, node) in nodes.iter().enumerate() {
                assert!(is_woken(node, SOON).await, "{variable}: node {index} by {teller}");
            }
        }
        assert!(!is_woken(&other, Duration::from_millis(200)).await, "{variable}: another prefix");
    }
}

#[tokio::test]
async fn what_is_told_while_nobody_waits_is_heard_once() {
    let redis = servers::fresh().await;
    let wakeups = listening(&redis).await;
    wakeups.wake().await;
    wakeups.wake().await;
    servers::pause(Duration::from_millis(200)).await;
    assert!(is_woken(&wakeups, Duration::ZERO + SOON).await);
    assert!(!is_woken(&wakeups, Duration::from_millis(200)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_who_wait_are_woken() {
    let redis = servers::fresh().await;
    let wakeups = std::sync::Arc::new(listening(&redis).await);
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let wakeups = wakeups.clone();
            tokio::spawn(async move { is_woken(&wakeups, SOON).await })
        })
        .collect();
    servers::pause(Duration::from_millis(100)).await;
    wakeups.wake().await;
    for waiting in waiting {
        assert!(waiting.await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_a_wake_up_and_is_mended() {
    let mut server = OwnServer::start(&[]).await;
    let redis = Redis::open(&server.url()).await.unwrap();
    let wakeups = listening(&redis).await;
    server.kill().await;
    wakeups.wake().await;
    assert!(!is_woken(&wakeups, Duration::from_millis(300)).await, "nobody can be told");
    server.start_again().await;
    assert!(is_woken(&wakeups, SOON).await, "something may have been missed");
    let mut heard = false;
    for _ in 0..50 {
        wakeups.wake().await;
        heard |= is_woken(&wakeups, Duration::from_millis(100)).await;
    }
    assert!(heard && redis.is_there());
}
