//! Connections that are lost, servers that only read, verbs that are dropped, rows that are locked.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod database;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use database::{Schema, execute, superuser};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::Disposition;
use rivvi_core::provider::CallEvent;
use rivvi_core::storage::{
    ApplyCalls, BeginCalls, Catalog, Ledger, Limited, Storage, StorageErrorKind, Wakeups,
};
use rivvi_core::testkit::build::{self, start, told};
use rivvi_core::testkit::storage::{Scene, assert_whole, by_policy, settling};
use rivvi_storage_postgres::PostgresStorage;
use tokio::time::timeout;

/// Ends all connections of the nodes on this schema.
async fn cut(schema: &Schema) -> i64 {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1";
    sqlx::query_scalar(sql).bind(&schema.name).fetch_one(&mut superuser().await).await.unwrap()
}

/// A store whose connections are known by the name of the schema.
async fn named_store(schema: &Schema) -> PostgresStorage {
    let server: sqlx::postgres::PgConnectOptions = database::url().parse().unwrap();
    let options = rivvi_storage_postgres::PostgresOptions::with_server(server.application_name(&schema.name));
    PostgresStorage::connect_with(options.schema(&schema.name).unwrap().max_connections(4)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn work_goes_on_after_all_connections_were_cut_again_and_again() {
    let schema = Schema::new();
    let storage: Storage = named_store(&schema).await.into();
    let scene = Scene::active(&storage, 1, 400).await;
    let working = Arc::new(AtomicBool::new(true));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (storage, scene) = (storage.clone(), scene.clone());
            tokio::spawn(async move { work(&storage, &scene).await })
        })
        .collect();
    let cutter = async {
        let clock = SystemClock::new();
        let mut cuts = 0;
        while working.load(Ordering::SeqCst) {
            clock.sleep_until(clock.now() + Duration::from_millis(15)).await;
            cuts += cut(&schema).await;
        }
        cuts
    };
    let workers = async {
        let mut failures = 0;
        for worker in workers {
            failures += worker.await.unwrap();
        }
        working.store(false, Ordering::SeqCst);
        failures
    };
    let (cuts, failures) = tokio::join!(cutter, workers);
    assert!(cuts > 0 && failures > 0, "verbs were cut in the middle: {cuts} connections, {failures} verbs");
    // Connections that were cut last are found so by the next verb, and then no more.
    let last = storage.ledger.run(scene.run.id).await;
    assert!(last.is_ok_and(|run| run.is_some()) || storage.ledger.run(scene.run.id).await.unwrap().is_some());
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.waiting, tally.calling, tally.settled()), (0, 0, 400));
    assert_whole(&storage, scene.run.id).await;
}

/// Begins and ends calls until all contacts are settled. Returns how many verbs failed.
async fn work(storage: &Storage, scene: &Scene) -> usize {
    let terms = scene.terms();
    let (decide, settle) = (by_policy(&terms, start()), settling(&terms, start()));
    let mut failures = 0;
    loop {
        let request = BeginCalls { calls_max: 3, ..scene.request() };
        let begun = storage.ledger.begin_calls(request, &decide).await;
        let live = storage.ledger.live_calls(scene.run.id, None, 5).await;
        failures += usize::from(begun.is_err()) + usize::from(live.is_err());
        for error in [begun.as_ref().err(), live.as_ref().err()].into_iter().flatten() {
            assert_eq!(error.kind, StorageErrorKind::Unavailable, "{error} {error:?}");
        }
        let (Ok(begun), Ok(live)) = (begun, live) else { continue };
        if live.is_empty() && begun.taken == 0 {
            return failures;
        }
        let over =
            || CallEvent::Ended { disposition: Disposition::AnsweredHuman, reason: None, talk_time: None };
        let inputs = live.iter().map(|call| told(call, over())).collect();
        let request = ApplyCalls { inputs, now: start(), keep_unmatched_until: None };
        if let Err(error) = storage.ledger.apply_calls(request, &settle).await {
            assert!(error.is_temporary(), "{error} {error:?}");
            failures += 1;
        }
    }
}

#[tokio::test]
async fn connections_that_were_lost_while_idle_are_not_noticed_by_verbs_later() {
    let schema = Schema::new();
    let storage = named_store(&schema).await;
    storage.put_organization(build::organization(1)).await.unwrap();
    assert!(cut(&schema).await > 0);
    let clock = SystemClock::new();
    clock.sleep_until(clock.now() + Duration::from_millis(1_100)).await;
    assert!(storage.organization(build::org_id(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn server_that_only_reads_is_unavailable_until_it_can_be_written() {
    let schema = Schema::new();
    let storage = named_store(&schema).await;
    storage.put_organization(build::organization(1)).await.unwrap();
    // A role that may only read stands for a standby: new connections and old ones find it so.
    let mut role = Schema::new();
    let options = role.guarded().await;
    let storage_of_role = PostgresStorage::connect_with(options.clone()).await.unwrap();
    storage_of_role.put_organization(build::organization(1)).await.unwrap();
    let name = format!("role_{}", role.name);
    execute(&mut superuser().await, format!("ALTER ROLE {name} SET default_transaction_read_only = on"))
        .await;
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = $1";
    let _: i64 = sqlx::query_scalar(sql).bind(&name).fetch_one(&mut superuser().await).await.unwrap();
    for _ in 0..3 {
        let error = storage_of_role.put_organization(build::organization(1)).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Unavailable, "{error} {error:?}");
    }
    let error = PostgresStorage::connect_with(options).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Unavailable);
    execute(&mut superuser().await, format!("ALTER ROLE {name} RESET default_transaction_read_only")).await;
    storage_of_role.put_organization(build::organization(1)).await.unwrap();
}

/// Polls a future so many times and then drops it.
async fn after_polls<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = future.as_mut().poll(context).map(Some);
        if polled.is_pending() && left == 0 { Poll::Ready(None) } else { polled }
    })
    .await
}

/// Drops `begin_calls` after ever more polls, until it is over first.
#[tokio::test]
async fn verb_that_is_dropped_midway_leaves_nothing_behind() {
    const BATCH: usize = 50;
    let schema = Schema::new();
    let one_connection = schema.options().max_connections(1);
    let storage: Storage = PostgresStorage::connect_with(one_connection).await.unwrap().into();
    let beside = schema.store().await;
    let scene = Scene::active(&storage, 1, 2_000).await;
    let terms = scene.terms();
    let decide = by_policy(&terms, start());
    let mut dropped = 0;
    for polls in 1.. {
        let request = BeginCalls { calls_max: BATCH as u32, ..scene.request() };
        let begun = after_polls(storage.ledger.begin_calls(request, &decide), polls).await;
        // Nothing is left open that another node would have to wait for, and what it finds is whole.
        beside.suppress(vec![build::suppression(scene.organization.id, build::number(1))]).await.unwrap();
        let calls = beside.live_calls(scene.run.id, None, usize::MAX).await.unwrap().len();
        assert_eq!(calls % BATCH, 0);
        if begun.is_some() {
            break;
        }
        dropped += 1;
    }
    assert!(dropped > 0, "it waits for the server");
    scene.begin(&storage, scene.request()).await;
    assert_eq!(beside.live_calls(scene.run.id, None, usize::MAX).await.unwrap().len(), 2_000);
    assert_whole(&storage, scene.run.id).await;
}

#[tokio::test]
async fn panic_in_the_middle_of_a_transaction_rolls_it_back() {
    let schema = Schema::new();
    let storage: Storage = schema.store().await.into();
    let scene = Scene::active(&storage, 1, 10).await;
    let (ledger, request) = (storage.ledger.clone(), scene.request());
    let verb = tokio::spawn(async move {
        ledger.begin_calls(request, &|_, _| panic!("a rule of the host failed")).await
    });
    assert!(verb.await.unwrap_err().is_panic());
    assert_whole(&storage, scene.run.id).await;
    assert_eq!(scene.begin_all(&storage).await.len(), 10);
}

#[tokio::test]
async fn verb_that_waits_too_long_for_a_lock_is_busy() {
    let schema = Schema::new();
    let impatient = schema.options().lock_timeout(Duration::from_millis(100));
    let storage: Storage = PostgresStorage::connect_with(impatient).await.unwrap().into();
    let scene = Scene::active(&storage, 1, 1).await;
    let mut beside = superuser().await;
    let hold = format!("BEGIN; SELECT * FROM {}.org_gates FOR UPDATE", schema.name);
    execute(&mut beside, hold).await;
    let terms = scene.terms();
    let decide = by_policy(&terms, start());
    let error = storage.ledger.begin_calls(scene.request(), &decide).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Busy);
    assert!(storage.ledger.run(scene.run.id).await.unwrap().is_some(), "who reads waits for nobody");
    execute(&mut beside, "ROLLBACK").await;
    assert_eq!(scene.begin_all(&storage).await.len(), 1);
}

#[tokio::test]
async fn who_finds_no_room_does_not_wait_for_others_to_hear_it() {
    let schema = Schema::new();
    let options = schema.options().lock_timeout(Duration::from_millis(200));
    let storage: Storage = PostgresStorage::connect_with(options).await.unwrap().into();
    let scene = Scene::active(&storage, 1, 3).await;
    let request = |organization_limit| BeginCalls { organization_limit, ..scene.request() };
    let terms = scene.terms();
    let decide = by_policy(&terms, start());
    let begun = storage.ledger.begin_calls(request(2), &decide).await.unwrap();
    assert_eq!(begun.calls.len(), 2);

    let mut other = superuser().await;
    let hold = format!("BEGIN; SELECT * FROM {}.org_gates FOR UPDATE", schema.name);
    execute(&mut other, hold).await;
    let begun = storage.ledger.begin_calls(request(2), &decide).await.unwrap();
    assert_eq!((begun.calls.len(), begun.limited), (0, Some(Limited::Concurrency)));
    // That there is room counts only behind the gate.
    let error = storage.ledger.begin_calls(request(3), &decide).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Busy);
    execute(&mut other, "COMMIT").await;
    let begun = storage.ledger.begin_calls(request(3), &decide).await.unwrap();
    assert_eq!(begun.calls.len(), 1);
}

/// A node that is stopped in the middle of a transaction keeps the others waiting no longer than it may.
#[tokio::test]
async fn transaction_of_a_paused_node_is_ended_by_the_server() {
    let schema = Schema::new();
    let options = schema.options().idle_in_transaction_timeout(Duration::from_millis(300));
    let storage: Storage = PostgresStorage::connect_with(options).await.unwrap().into();
    let scene = Scene::active(&storage, 1, 4).await;
    let other: Storage = schema.store().await.into();
    let (ledger, request) = (storage.ledger.clone(), BeginCalls { calls_max: 1, ..scene.request() });
    let paused = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let decide = |contact: &_, _: &_| {
            // The whole runtime of the node stands still.
            let until = SystemClock::new();
            while until.monotonic() < Duration::from_millis(1_500) {
                std::hint::spin_loop();
            }
            rivvi_core::testkit::storage::allow(contact, start())
        };
        runtime.block_on(ledger.begin_calls(request, &decide))
    });
    let clock = SystemClock::new();
    clock.sleep_until(clock.now() + Duration::from_millis(200)).await;
    assert_eq!(scene.begin_all(&other).await.len(), 4, "the lock is free before the node goes on");
    let error = paused.await.unwrap().unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Unavailable, "{error} {error:?}");
    assert_whole(&other, scene.run.id).await;
}

#[tokio::test]
async fn errors_do_not_repeat_values() {
    let schema = Schema::new();
    let storage: Storage = schema.store().await.into();
    let scene = Scene::active(&storage, 1, 0).await;
    let one = scene.sibling(&storage, 2, 0).await;
    let number = build::number(4_242);
    for run in [&scene, &one] {
        let mut contact = build::contact(&run.run, 1);
        contact.number = number;
        run.add(&storage, vec![contact]).await;
    }
    scene.begin_all(&storage).await;
    // Whoever ignores that the number is being called is stopped by the key.
    let decide = |contact: &_, _: &_| rivvi_core::testkit::storage::allow(contact, start());
    let error = storage.ledger.begin_calls(one.request(), &decide).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused);
    let source = std::error::Error::source(&error).unwrap();
    let told = format!("{error} {error:?} {source} {source:?}");
    assert!(told.contains("live_calls_of_number") && !told.contains("4242"), "{told}");

    let unreadable =
        format!("UPDATE {}.organizations SET document = '{{\"id\": \"Dana Levi\"}}'", schema.name);
    execute(&mut superuser().await, unreadable).await;
    let error = storage.catalog.organization(scene.organization.id).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Corrupt);
    let told = format!("{error} {error:?} {}", std::error::Error::source(&error).unwrap());
    assert!(told.contains("organization") && !told.contains("Dana"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_wake_each_other_also_after_their_connections_were_cut() {
    let schema = Schema::new();
    let (one, other) = (named_store(&schema).await.wakeups(), named_store(&schema).await.wakeups());
    let soon = Duration::from_secs(5);
    timeout(soon, other.woken()).await.expect("who begins to listen may have missed something");
    for _ in 0..3 {
        one.wake().await;
        timeout(soon, other.woken()).await.expect("it is told");
    }
    assert!(timeout(Duration::from_millis(100), other.woken()).await.is_err(), "nobody tells anything");
    assert!(cut(&schema).await > 0);
    timeout(soon, other.woken()).await.expect("something may have been missed");
    timeout(soon, other.woken()).await.expect("it listens again");
    one.wake().await;
    timeout(soon, other.woken()).await.expect("it is told again");
}

#[tokio::test]
async fn debug_output_shows_where_and_no_secret() {
    let schema = Schema::new();
    let storage = schema.store().await;
    let password = database::url().split([':', '@']).nth(2).unwrap().to_owned();
    let told = format!("{storage:?} {:?} {:?}", schema.options(), storage.wakeups());
    assert!(told.contains(&schema.name) && !told.contains(&password), "{told}");
}
