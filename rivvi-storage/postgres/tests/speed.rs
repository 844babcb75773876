//! How fast contacts go through: begun, placed and ended in batches, with their journal. Run by hand, on a quiet machine:
//!
//! `cargo test --release -p rivvi-storage-postgres --test speed -- --ignored --nocapture`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod database;

use std::time::Duration;

use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{Call, Disposition};
use rivvi_core::machine::CallInput;
use rivvi_core::provider::{CallEvent, CallRef};
use rivvi_core::storage::{ApplyCalls, BeginCalls, Storage};
use rivvi_core::testkit::build::{start, told, told_of};
use rivvi_core::testkit::storage::{PROVIDER, Scene, by_policy, settling};

const BATCH: u32 = 500;

/// Begins, places and ends one batch; how many calls that were.
async fn cycle(storage: &Storage, scene: &Scene, spent: &mut [Duration; 3]) -> usize {
    let (clock, terms) = (SystemClock::new(), scene.terms());
    let (decide, settle) = (by_policy(&terms, start()), settling(&terms, start()));
    let begun_at = clock.monotonic();
    let request = BeginCalls { calls_max: BATCH, contacts_max: BATCH, ..scene.request() };
    let begun = storage.ledger.begin_calls(request, &decide).await.unwrap();
    let placed_at = clock.monotonic();
    let calls: Vec<&Call> = begun.calls.iter().map(|(call, _)| call).collect();
    let apply = async |inputs: Vec<CallInput>| {
        let request = ApplyCalls { inputs, now: start(), keep_unmatched_until: None };
        storage.ledger.apply_calls(request, &settle).await.unwrap();
    };
    let reference = |call: &Call| format!("CA{}", call.id.as_uuid().simple());
    apply(
        calls
            .iter()
            .map(|call| told(call, CallEvent::Accepted { reference: Some(reference(call)) }))
            .collect(),
    )
    .await;
    let ended_at = clock.monotonic();
    let ended = || CallEvent::Ended {
        disposition: Disposition::AnsweredHuman,
        reason: None,
        talk_time: Some(Duration::from_secs(42)),
    };
    let by_reference =
        |call: &Call| CallRef::Provider { provider: PROVIDER.into(), reference: reference(call) };
    apply(calls.iter().map(|call| told_of(by_reference(call), ended())).collect()).await;
    spent[0] += placed_at - begun_at;
    spent[1] += ended_at - placed_at;
    spent[2] += clock.monotonic() - ended_at;
    calls.len()
}

async fn import(storage: &Storage, n: u64, contacts: u64) -> Scene {
    let scene = Scene::active(storage, n, 0).await;
    let all: Vec<_> =
        (1..=contacts).map(|row| rivvi_core::testkit::build::contact(&scene.run, row)).collect();
    for chunk in all.chunks(2_000) {
        scene.add(storage, chunk.to_vec()).await;
    }
    scene
}

#[test]
#[ignore = "a measurement"]
fn contacts_per_second() {
    let contacts: u64 = std::env::var("CONTACTS").map_or(20_000, |count| count.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = SystemClock::new();
        for clients in [1, 2, 4] {
            let (storage, _schema) = database::fresh().await;
            let mut scenes = Vec::new();
            let importing = clock.monotonic();
            for n in 0..clients {
                scenes.push(import(&storage, 100 * (n + 1), contacts).await);
            }
            let import_rate = (clients * contacts) as f64 / (clock.monotonic() - importing).as_secs_f64();
            let began = clock.monotonic();
            let running: Vec<_> = scenes
                .into_iter()
                .map(|scene| {
                    let storage = storage.clone();
                    tokio::spawn(async move {
                        let mut spent = [Duration::ZERO; 3];
                        while cycle(&storage, &scene, &mut spent).await > 0 {}
                        spent
                    })
                })
                .collect();
            let mut spent = [Duration::ZERO; 3];
            for task in running {
                spent.iter_mut().zip(task.await.unwrap()).for_each(|(sum, more)| *sum += more);
            }
            let rate = (clients * contacts) as f64 / (clock.monotonic() - began).as_secs_f64();
            let micros = spent.map(|spent| spent.as_micros() / u128::from(clients * contacts));
            println!("{clients} runs: {rate:.0} contacts/s; begin, place, end: {micros:?} us each; import {import_rate:.0}/s");
        }
    });
}
