//! Several processes share one network by its log. Here each is a network of its own in one process: what they know of
//! each other, they know from the file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use std::fs::OpenOptions;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::{Clock, ScaledClock};
use rivvi_core::domain::E164;
use rivvi_core::provider::{CallEvent, CallLookup, Delivery, FindCall, PlaceCall, VoiceProvider};
use rivvi_core::testkit::build;
use rivvi_provider_sim::{Behaviour, Leg, SimulatedNetwork};

const SEED: u64 = 5;

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("legs.jsonl");
    (folder, path)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ScaledClock::new(build::start(), 1_000.0))
}

fn joined(path: &std::path::Path, clock: Arc<dyn Clock>) -> SimulatedNetwork {
    let network = SimulatedNetwork::new(clock, SEED, Behaviour::default());
    network.attach_shared_log(path).unwrap();
    network
}

fn find(request: &PlaceCall, at: DateTime<Utc>) -> FindCall {
    FindCall { call_id: request.call_id, reference: None, to: request.to, intended_at: at }
}

async fn ended(network: &SimulatedNetwork, request: &PlaceCall) -> Option<(DateTime<Utc>, CallEvent)> {
    let CallLookup::Found(updates) = network.find_call(&find(request, build::start())).await.unwrap() else {
        panic!("the call is not known");
    };
    let end = updates.into_iter().find(|update| matches!(update.event, CallEvent::Ended { .. }));
    end.map(|update| (update.at, update.event))
}

#[tokio::test]
async fn a_call_that_another_process_placed_is_known_and_not_placed_again() {
    let (_folder, path) = folder();
    let clock = clock();
    let (one, other) = (joined(&path, clock.clone()), joined(&path, clock.clone()));
    let mut requests: Vec<PlaceCall> = (0..40).map(build::place_call).collect();
    for request in &mut requests {
        // Another ring timeout than a network that reads the log would think of.
        request.ring_timeout = Duration::from_secs(11);
        one.place_call(request).await.unwrap();
        other.place_call(request).await.unwrap();
    }
    let legs = Leg::read_all(&path).unwrap();
    assert_eq!(legs.len(), 40, "each call has one leg");
    assert!(legs.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let over = legs.iter().filter_map(|leg| leg.ends_at).max().unwrap();
    clock.sleep_until(over).await;
    // One that comes later knows as much.
    let third = joined(&path, clock.clone());
    for (request, leg) in requests.iter().zip(&legs) {
        let end = ended(&one, request).await;
        assert_eq!(end.as_ref().map(|(at, _)| *at), leg.ends_at);
        assert_eq!(ended(&other, request).await, end);
        assert_eq!(ended(&third, request).await, end);
    }
    assert!(!one.take_webhooks(over).is_empty());
    assert!(other.take_webhooks(over).is_empty(), "webhooks come from who placed the call");
    assert!(third.take_webhooks(over).is_empty());
}

#[tokio::test]
async fn what_happens_to_a_number_does_not_depend_on_who_calls_it() {
    let behaviour = Behaviour::default;
    let (alone, shared) = (folder(), folder());
    let clock = clock();
    let single = SimulatedNetwork::new(clock.clone(), SEED, behaviour());
    single.attach_log(&alone.1).unwrap();
    let nodes = [joined(&shared.1, clock.clone()), joined(&shared.1, clock.clone())];
    for n in 0..60 {
        let mut request = build::place_call(n);
        request.to = E164::from_e164("+972541000003").unwrap();
        single.place_call(&request).await.unwrap();
        nodes[n as usize % 2].place_call(&request).await.unwrap();
    }
    let lengths = |path| -> Vec<TimeDelta> {
        Leg::read_all(path).unwrap().iter().map(|leg| leg.ends_at.unwrap() - leg.at).collect()
    };
    assert_eq!(lengths(&alone.1), lengths(&shared.1));
}

#[tokio::test]
async fn a_process_that_stands_still_in_its_turn_keeps_others_from_placing_but_not_from_giving_up() {
    let (_folder, path) = folder();
    let network = joined(&path, clock());
    let stands_still = OpenOptions::new().append(true).open(&path).unwrap();
    stands_still.lock().unwrap();
    let request = build::place_call(1);
    let given_up = tokio::time::timeout(Duration::from_millis(50), network.place_call(&request)).await;
    assert!(given_up.is_err(), "it waits for its turn");
    assert_eq!(network.find_call(&find(&request, build::start())).await.unwrap(), CallLookup::NotFound);
    stands_still.unlock().unwrap();
    assert_eq!(Leg::read_all(&path).unwrap(), [], "who gave up has placed nothing");
    network.place_call(&request).await.unwrap();
    assert_eq!(network.legs(), 1);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_is_told_as_nothing_sent() {
    let (_folder, path) = folder();
    let network = joined(&path, clock());
    std::fs::write(&path, "{\"hello\":1}\n").unwrap();
    let error = network.place_call(&build::place_call(1)).await.unwrap_err();
    assert_eq!(error.delivery, Delivery::NotSent);
    assert!(network.find_call(&find(&build::place_call(1), build::start())).await.is_err());
}

#[test]
fn in_haste_the_same_happens_sooner() {
    let (alone, hasty) = (folder(), folder());
    let lengths = |path: &std::path::Path, haste: f64| -> Vec<i64> {
        let mut behaviour = Behaviour::default();
        behaviour.haste = haste;
        let network = SimulatedNetwork::new(clock(), SEED, behaviour);
        network.attach_log(path).unwrap();
        for n in 0..30 {
            futures::executor::block_on(network.place_call(&build::place_call(n))).unwrap();
        }
        Leg::read_all(path)
            .unwrap()
            .iter()
            .map(|leg| (leg.ends_at.unwrap() - leg.at).num_milliseconds())
            .collect()
    };
    let (slow, fast) = (lengths(&alone.1, 1.0), lengths(&hasty.1, 20.0));
    assert!(slow.iter().zip(&fast).all(|(slow, fast)| (slow - fast * 20).abs() <= 20), "{slow:?} {fast:?}");
}
