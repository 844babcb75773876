//! By the server's clock, in real time: no second holds more than the rate, whatever the nodes believe.

use std::sync::Arc;
use std::time::Duration;

use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{CallsPerSecond, OrgId, ProviderName};

use super::*;
use crate::connection::RedisOptions;

fn options() -> RedisOptions {
    let prefix = format!("test-{}", IdSource::random().next(SystemClock::new().now()).simple());
    RedisOptions { prefix, ..RedisOptions::default() }
}

async fn node(options: &RedisOptions) -> Arc<RedisRateLimiter> {
    let url = std::env::var("RIVVI_TEST_REDIS").unwrap_or_else(|_| {
        panic!("RIVVI_TEST_REDIS is not set: run scripts/test, or eval \"$(scripts/services env)\"")
    });
    let redis = Redis::open_with(&url, options.clone()).await.unwrap();
    Arc::new(RedisRateLimiter::new(&redis))
}

fn paces(rate: f64) -> [Pace; 2] {
    let pace = |key, rate| Pace { key, rate: CallsPerSecond::new(rate).unwrap() };
    let org = PaceKey::Organization(OrgId::from_uuid(Uuid::from_u128(1)));
    [pace(org, rate), pace(PaceKey::Provider(ProviderName::new("a")), 10_000.0)]
}

/// The most starts that any half-open second holds, by the server's clock.
fn most_in_a_second(starts: &mut [(i64, u32)]) -> u32 {
    starts.sort_unstable();
    let mut most = 0;
    for (index, (first, _)) in starts.iter().enumerate() {
        let second = starts[index..].iter().take_while(|(at, _)| *at < first + 1_000_000);
        most = most.max(second.map(|(_, granted)| granted).sum());
    }
    most
}

/// Asks as the engine does, for `span` of real time, with a clock that is wrong by `skew`; sometimes gives back.
async fn drive(node: Arc<RedisRateLimiter>, rate: f64, skew: TimeDelta, span: Duration) -> Vec<(i64, u32)> {
    let (clock, paces, mut starts) = (SystemClock::new(), paces(rate), Vec::new());
    let end = clock.monotonic() + span;
    while clock.monotonic() < end {
        let now = clock.now() + skew;
        let answer = node.take_shared(&paces, 1_000, now).await.unwrap();
        let unused = if starts.len() % 4 == 3 { answer.granted / 2 } else { 0 };
        node.give_back(&paces, unused, now).await.unwrap();
        starts.push((answer.at_us, answer.granted - unused));
        clock
            .sleep_until(clock.now() + Duration::from_micros(answer.wait_us.clamp(100, 50_000) as u64))
            .await;
    }
    starts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_real_second_holds_more_than_the_rate_however_wrong_the_clocks_of_nodes_are() {
    for rate in [1.0, 2.5, 10.0, 99.9, 500.0, 2_000.0] {
        let options = options();
        let mut nodes = Vec::new();
        for skew_s in [0, 120, -120, 7] {
            let node = node(&options).await;
            let skew = TimeDelta::seconds(skew_s);
            nodes.push(tokio::spawn(drive(node, rate, skew, Duration::from_millis(3_500))));
        }
        let mut starts = Vec::new();
        for node in nodes {
            starts.extend(node.await.unwrap());
        }
        let total: u32 = starts.iter().map(|(_, granted)| granted).sum();
        let most = most_in_a_second(&mut starts);
        assert!(f64::from(most) <= f64::ceil(rate), "{most} starts in a second at a rate of {rate}");
        // 2.5 of the 3.5 seconds, since a fresh prefix settles for one; less what is lost by giving back.
        assert!(f64::from(total) >= 0.5 * 2.5 * rate, "{total} starts at a rate of {rate}");
    }
}

#[tokio::test]
async fn a_fresh_prefix_settles_for_a_second_and_tells_when_to_come() {
    let node = node(&options()).await;
    let (clock, paces) = (SystemClock::new(), paces(5.0));
    let skewed = clock.now() + TimeDelta::seconds(-90);
    let first = node.take(&paces, 5, skewed).await.unwrap();
    assert_eq!(first.granted, 0);
    let wait = first.next_at - skewed;
    assert!(wait > TimeDelta::milliseconds(900) && wait <= TimeDelta::seconds(1), "{wait}");
    clock.sleep_until(clock.now() + wait).await;
    assert_eq!(node.take(&paces, 5, clock.now()).await.unwrap().granted, 1);
}

#[tokio::test]
async fn a_data_set_that_lost_its_keys_settles_again() {
    let options = options();
    let node = node(&options).await;
    let (clock, paces) = (SystemClock::new(), paces(2.0));
    let settle = clock.now() + Duration::from_millis(1_050);
    node.take(&paces, 1, clock.now()).await.unwrap();
    clock.sleep_until(settle).await;
    assert_eq!(node.take(&paces, 1, clock.now()).await.unwrap().granted, 1);
    // As FLUSHALL would, for this prefix alone.
    let mut keys = vec![node.key("born")];
    keys.extend(paces.iter().map(|pace| node.key_of(&pace.key)));
    let lost: i64 = fred::interfaces::KeysInterface::del(node.redis.client(), keys).await.unwrap();
    assert_eq!(lost, 3);
    let again = node.take(&paces, 1, clock.now()).await.unwrap();
    assert_eq!(again.granted, 0);
}

#[tokio::test]
async fn arrivals_from_a_clock_that_was_ahead_hold_up_nobody_for_longer_than_they_must() {
    let node = node(&options()).await;
    let (clock, paces) = (SystemClock::new(), paces(10.0));
    node.take(&paces, 1, clock.now()).await.unwrap();
    clock.sleep_until(clock.now() + Duration::from_millis(1_050)).await;
    let ahead = clock.now() + TimeDelta::hours(3);
    for key in ["born".to_owned(), format!("organization:{}", Uuid::from_u128(1).simple())] {
        let value = if key == "born" { String::new() } else { " x".to_owned() };
        let value = format!("{}{value}", ahead.timestamp_micros());
        let set = fred::interfaces::KeysInterface::set(
            node.redis.client(),
            node.key(&key),
            value,
            None,
            None,
            false,
        );
        let () = set.await.unwrap();
    }
    let mut now = clock.now();
    let mut grant = node.take(&paces, 1, now).await.unwrap();
    assert!(grant.next_at - now <= TimeDelta::milliseconds(1_001), "{}", grant.next_at - now);
    let give_up = clock.now() + Duration::from_secs(5);
    while grant.granted == 0 && clock.now() < give_up {
        clock.sleep_until(grant.next_at).await;
        now = clock.now();
        grant = node.take(&paces, 1, now).await.unwrap();
    }
    assert_eq!(grant.granted, 1);
}

#[tokio::test]
async fn a_key_that_is_idle_expires() {
    let node = node(&options()).await;
    let (clock, paces) = (SystemClock::new(), paces(10.0));
    node.take(&paces, 1, clock.now()).await.unwrap();
    clock.sleep_until(clock.now() + Duration::from_millis(1_050)).await;
    assert_eq!(node.take(&paces, 1, clock.now()).await.unwrap().granted, 1);
    let key = node.key_of(&paces[0].key);
    let left: i64 = fred::interfaces::KeysInterface::pttl(node.redis.client(), key).await.unwrap();
    assert!((1..=1_200).contains(&left), "{left} ms");
}
