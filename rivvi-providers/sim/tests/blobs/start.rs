//! From the blob store to the ledger: the start of a run.

use std::sync::Arc;

use chrono::TimeDelta;
use rivvi_core::clock::Clock;
use rivvi_core::domain::RunState;
use rivvi_core::engine::{Rivvi, RunImportError};
use rivvi_core::storage::object_store::ObjectStoreExt;
use rivvi_core::storage::object_store::path::Path;
use rivvi_core::storage::{RunQuery, Storage, StorageErrorKind};
use rivvi_core::testkit::{BlobFault, FaultyLedger, LedgerFaults};

use crate::life::{Life, sheet};

#[tokio::test]
async fn a_run_that_may_not_start_loads_nothing() {
    let life = Life::begin().await;
    let first = life.imported(20).await.id;
    let second = life.imported(30).await.id;
    life.rivvi.runs().start(first).await.unwrap();
    let before = life.faulty.operations();
    let error = life.rivvi.runs().start(second).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused);
    assert!(error.to_string().contains("may have 1"), "{error}");
    assert_eq!((life.in_ledger(second).await, life.faulty.operations()), (0, before));
    assert!(life.settle().await.is_empty());
    life.rivvi.runs().start(second).await.unwrap();
    assert_eq!(life.in_ledger(second).await, 30);
}

#[tokio::test]
async fn a_scheduled_run_loads_at_its_time_and_waits_for_its_turn() {
    let life = Life::begin().await;
    let (first, second) = (life.imported(20).await.id, life.imported(30).await.id);
    let at = life.clock.now() + TimeDelta::hours(1);
    for run in [first, second] {
        life.rivvi.runs().schedule(run, at).await.unwrap();
    }
    life.rivvi.tick().await.unwrap();
    assert_eq!((life.in_ledger(first).await, life.in_ledger(second).await), (0, 0));
    life.clock.advance_to(at);
    life.rivvi.tick().await.unwrap();
    assert_eq!((life.in_ledger(first).await, life.in_ledger(second).await), (20, 0));
    assert!(life.settle().await.is_empty());
    life.completed(first, 20).await;
    life.completed(second, 30).await;
}

/// A node that sees the contacts of a run come in leaves the loading to the other, and takes it up when they stop.
#[tokio::test]
async fn a_node_that_sees_another_load_waits() {
    let life = Life::begin().await;
    let run = life.imported(20).await;
    life.rivvi.runs().schedule(run.id, life.clock.now()).await.unwrap();
    // The other node has written a part.
    let found = life.rivvi.explain_number(run.id, number(3)).await.unwrap();
    life.storage.ledger.add_contacts(vec![found[0].contact.clone()], life.clock.now()).await.unwrap();
    let tick = life.rivvi.tick().await.unwrap();
    assert_eq!(life.in_ledger(run.id).await, 1);
    let again = life.clock.now() + TimeDelta::seconds(2);
    assert_eq!(tick.next_at, Some(again));
    // It goes on: the wait begins anew.
    life.clock.advance_to(again);
    let found = life.rivvi.explain_number(run.id, number(4)).await.unwrap();
    life.storage.ledger.add_contacts(vec![found[0].contact.clone()], life.clock.now()).await.unwrap();
    life.rivvi.tick().await.unwrap();
    assert_eq!(life.in_ledger(run.id).await, 2);
    // It died.
    life.clock.advance_to(again + TimeDelta::seconds(2));
    life.rivvi.tick().await.unwrap();
    assert_eq!(life.run(run.id).await.state, RunState::Active);
    assert!(life.settle().await.is_empty());
    life.completed(run.id, 20).await;
}

fn number(row: u64) -> rivvi_core::domain::E164 {
    rivvi_core::domain::E164::from_digits(972_522_000_000 + row).unwrap()
}

#[tokio::test]
async fn two_nodes_may_start_one_run_at_once() {
    let life = Life::begin().await;
    let run = life.imported(3_000).await.id;
    let other = Rivvi::builder()
        .storage(life.storage.clone())
        .voice(life.network.clone())
        .clock(life.clock.clone())
        .build()
        .unwrap();
    let (one, two) =
        futures::join!(async { life.rivvi.runs().start(run).await }, async { other.runs().start(run).await });
    assert_eq!((one.unwrap().state, two.unwrap().state), (RunState::Active, RunState::Active));
    assert_eq!(life.in_ledger(run).await, 3_000);
}

#[tokio::test]
async fn two_nodes_may_import_one_sheet_at_once() {
    let life = Life::begin().await;
    let campaign = life.campaign().await.id;
    let (one, two) = futures::join!(life.import(campaign, 3_000), life.import(campaign, 3_000));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.id, &one.report), (two.id, &two.report));
    life.rivvi.runs().start(one.id).await.unwrap();
    assert_eq!(life.in_ledger(one.id).await, 3_000);
}

#[tokio::test]
async fn a_missing_file_is_named_and_written_anew_by_another_import() {
    let life = Life::begin().await;
    let imported = life.imported(40).await;
    let path = imported.run.processed_file.clone().unwrap();
    life.store.delete(&Path::from(path.as_str())).await.unwrap();
    let error = life.rivvi.runs().start(imported.id).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
    assert!(
        error.to_string().contains(&path) && error.to_string().contains("import the same sheet"),
        "{error}"
    );
    assert_eq!(life.run(imported.id).await.state, RunState::Ready);

    let again = life.import(imported.run.campaign_id, 40).await.unwrap();
    assert_eq!((again.id, again.report), (imported.id, imported.report));
    life.rivvi.runs().start(imported.id).await.unwrap();
    assert!(life.settle().await.is_empty());
    life.completed(imported.id, 40).await;
}

#[tokio::test]
async fn a_spoilt_file_is_refused_and_nothing_starts() {
    let life = Life::begin().await;
    let imported = life.imported(40).await;
    let path = imported.run.processed_file.clone().unwrap();
    let text = life.objects("processed-data").await[&path].clone();
    let lines: Vec<&str> = text.lines().collect();
    let without = |line: usize| {
        let kept = lines.iter().enumerate().filter(|(index, _)| *index != line).map(|(_, text)| *text);
        kept.collect::<Vec<_>>().join("\n")
    };
    let half = (text.len() / 2..).find(|at| text.is_char_boundary(*at)).unwrap();
    let other = "00000000-0000-0000-0000-000000000009";
    for (spoilt, says) in [
        (String::new(), "ends before its end"),
        (text[..half].to_owned(), "ends before its end"),
        (without(0), "has no head"),
        (without(7), "has 39 contacts where the import counted 40"),
        (text.replace(&imported.id.to_string(), other), "of another run"),
        (text.replace(&*imported.report.digest, sheet(41).digest()), "of another sheet"),
        (text.replacen("\"number\":\"+", "\"number\":\"Dana ", 1), "no contact in line 2"),
        (text.replacen(lines[3], lines[2], 1), "out of order in line 4"),
    ] {
        life.replace(&path, spoilt).await;
        let error = life.rivvi.runs().start(imported.id).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Corrupt, "{says}: {error}");
        let chain = format!("{error} {error:?}");
        assert!(chain.contains(says) && chain.contains(&path), "{says}: {chain}");
        assert!(!chain.contains("Dana") && !chain.contains("Person"), "{chain}");
        assert_eq!(life.run(imported.id).await.state, RunState::Ready);
    }
    life.replace(&path, text).await;
    life.rivvi.runs().start(imported.id).await.unwrap();
}

/// Two sheets under one key: the file of one must never become the contacts of the other.
#[tokio::test]
async fn the_file_of_another_sheet_is_not_loaded() {
    let life = Life::begin().await;
    let campaign = life.campaign().await.id;
    let runs = life.rivvi.runs();
    let (one, two) = futures::join!(
        runs.import_as(campaign, sheet(2_500), "today"),
        runs.import_as(campaign, sheet(2_400), "today"),
    );
    let won = match (one, two) {
        (Ok(won), Err(RunImportError::Storage(error))) | (Err(RunImportError::Storage(error)), Ok(won)) => {
            assert_eq!(error.kind, StorageErrorKind::Refused);
            won
        }
        other => panic!("{other:?}"),
    };
    if let Err(error) = life.rivvi.runs().start(won.id).await {
        assert!(error.to_string().contains("another sheet"), "{error}");
        let rows = won.report.imported;
        life.rivvi.runs().import_as(campaign, sheet(rows), "today").await.unwrap();
        life.rivvi.runs().start(won.id).await.unwrap();
    }
    assert_eq!(life.in_ledger(won.id).await, won.report.imported);
}

#[tokio::test]
async fn an_engine_without_the_blobs_says_so() {
    let life = Life::begin().await;
    let run = life.imported(10).await.id;
    let storage = Storage { blobs: None, ..life.storage.clone() };
    let rivvi = Rivvi::builder().storage(storage).clock(life.clock.clone()).build().unwrap();
    let error = rivvi.runs().start(run).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Incompatible);
    assert!(error.to_string().contains("Storage::blobs"), "{error}");
    life.rivvi.runs().start(run).await.unwrap();
}

#[tokio::test]
async fn an_import_that_was_begun_with_blobs_may_end_without_them() {
    let mut life = Life::begin().await;
    let campaign = life.campaign().await.id;
    // The upload, the contacts, and now the report.
    life.faulty.fail_at(3, BlobFault::Unavailable);
    let Err(RunImportError::Storage(error)) = life.import(campaign, 2_500).await else { panic!() };
    assert!(error.to_string().contains("validation-results.json"), "{error}");
    life.storage.blobs = None;
    life.reborn();
    let imported = life.import(campaign, 2_500).await.unwrap();
    assert_eq!((&imported.run.raw_file, &imported.run.processed_file), (&None, &None));
    assert_eq!(life.in_ledger(imported.id).await, 2_500);
    life.rivvi.runs().start(imported.id).await.unwrap();
}

#[tokio::test]
async fn an_import_that_was_begun_without_blobs_may_end_with_them() {
    let mut life = Life::begin().await;
    let campaign = life.campaign().await.id;
    let (blobs, ledger) = (life.storage.blobs.take(), life.storage.ledger.clone());
    // It yields around every verb, so whoever watches sees each of them.
    life.storage.ledger = Arc::new(FaultyLedger::new(ledger.clone(), 1, LedgerFaults::default()));
    life.reborn();
    tokio::select! {
        biased;
        () = some_contacts(&life) => {}
        imported = life.import(campaign, 5_000) => panic!("{imported:?}"),
    }
    (life.storage.blobs, life.storage.ledger) = (blobs, ledger);
    life.reborn();
    let imported = life.import(campaign, 5_000).await.unwrap();
    let loaded = life.in_ledger(imported.id).await;
    assert!(loaded > 0 && loaded < 5_000, "{loaded}");
    life.rivvi.runs().start(imported.id).await.unwrap();
    assert_eq!(life.in_ledger(imported.id).await, 5_000);
}

/// Returns when the first contacts are in the ledger.
async fn some_contacts(life: &Life) {
    loop {
        if let Some(run) = life.storage.ledger.runs(RunQuery::default()).await.unwrap().first()
            && life.in_ledger(run.id).await > 0
        {
            return;
        }
        tokio::task::yield_now().await;
    }
}
