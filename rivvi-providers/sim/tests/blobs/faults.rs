//! The blob store fails at every single operation of a life: verbs fail cleanly, and repeating them succeeds.

use std::collections::BTreeMap;

use rivvi_core::domain::{Disposition, E164, Outcome, RunId, RunState};
use rivvi_core::engine::RunImportError;
use rivvi_core::storage::{ArchivedCall, StorageErrorKind};
use rivvi_core::testkit::BlobFault;

use crate::life::{Life, sheet};

const ROWS: u64 = 12;

/// What a life leaves, but for ids and times: outcomes, dispositions, and the calls that were logged.
type End = (BTreeMap<Outcome, u64>, BTreeMap<Disposition, u64>, Vec<(E164, u32, Option<Disposition>)>);

/// Import, start, calls, end, clean-up; every verb is repeated until it succeeds.
async fn whole_life(life: &mut Life, fault: BlobFault) -> End {
    let campaign = life.campaign().await.id;
    let import = |life: &Life| {
        let (rivvi, faulty) = (life.rivvi.clone(), life.faulty.clone());
        async move {
            tokio::select! {
                imported = async { rivvi.runs().import(campaign, sheet(ROWS)).await } => Some(imported),
                () = faulty.hung() => None,
            }
        }
    };
    let run = loop {
        match import(life).await {
            Some(Ok(imported)) => break imported.id,
            Some(Err(RunImportError::Storage(error))) => assert_clean(&error, fault),
            Some(Err(error)) => panic!("{error}"),
            None => life.reborn(),
        }
        for run in life.rivvi.runs().list(Default::default()).await.unwrap() {
            assert!(matches!(run.state, RunState::Draft | RunState::Processing), "{}", run.state);
        }
    };
    assert_eq!(life.in_ledger(run).await, 0);
    loop {
        let (rivvi, faulty) = (life.rivvi.clone(), life.faulty.clone());
        let started = tokio::select! {
            started = async { rivvi.runs().start(run).await } => Some(started),
            () = faulty.hung() => None,
        };
        match started {
            Some(Ok(_)) => break,
            Some(Err(error)) => assert_clean(&error, fault),
            None => life.reborn(),
        }
        assert_eq!(life.run(run).await.state, RunState::Ready);
        assert_eq!(life.network.legs(), 0);
    }
    settle(life, fault).await;
    life.clock.advance(std::time::Duration::from_secs(8 * 86_400));
    settle(life, fault).await;
    // What could not be removed is tried again an hour later.
    life.clock.advance(std::time::Duration::from_secs(3_601));
    settle(life, fault).await;
    end_of(life, run).await
}

async fn settle(life: &mut Life, fault: BlobFault) {
    loop {
        let faulty = life.faulty.clone();
        let settled = tokio::select! {
            errors = life.settle() => Some(errors),
            () = faulty.hung() => None,
        };
        match settled {
            Some(errors) => return errors.iter().for_each(|error| assert_clean(error, fault)),
            None => life.reborn(),
        }
    }
}

async fn end_of(life: &Life, run: RunId) -> End {
    let tally = life.completed(run, ROWS).await;
    let objects = life.objects("").await;
    // An interrupted import keeps its upload, too. Copies of webhooks may be there twice or, if their node died, be
    // missing.
    assert!(objects.keys().any(|path| path.starts_with("raw-uploads")));
    assert!(objects.keys().any(|path| path.ends_with("validation-results.json")));
    assert!(!objects.keys().any(|path| path.ends_with("data.json")), "the contacts were removed");
    let logs = objects.into_iter().filter(|(path, _)| path.ends_with("-formatted.json"));
    let logs = logs.map(|(_, text)| serde_json::from_str::<ArchivedCall>(&text).unwrap().call);
    let mut calls: Vec<_> = logs.map(|call| (call.number, call.attempt, call.disposition())).collect();
    calls.sort();
    (tally.outcomes, tally.dispositions, calls)
}

fn assert_clean(error: &rivvi_core::storage::StorageError, fault: BlobFault) {
    assert_ne!(fault, BlobFault::Hang, "{error}");
    assert_eq!(error.kind, StorageErrorKind::Unavailable, "{error}");
    let text = error.to_string();
    assert!(
        ["raw-uploads/", "processed-data/", "call-logs/"].iter().any(|path| text.contains(path)),
        "{text}"
    );
    assert!(!text.contains("Person") && !text.contains("97252"), "{text}");
}

async fn every_operation_may_fail(fault: BlobFault) {
    let mut calm = Life::begin().await;
    let expected = whole_life(&mut calm, fault).await;
    let operations = calm.faulty.operations();
    assert!(operations > 40, "{operations}");
    for nth in 1..=operations {
        let mut life = Life::begin().await;
        life.faulty.fail_at(nth, fault);
        let end = whole_life(&mut life, fault).await;
        assert_eq!(life.faulty.fired().len(), 1, "operation {nth} failed");
        assert!(end == expected, "after a fault at operation {nth}:\n{end:?}\nis not\n{expected:?}");
    }
}

#[tokio::test]
async fn every_operation_may_find_the_store_away() {
    every_operation_may_fail(BlobFault::Unavailable).await;
}

#[tokio::test]
async fn every_operation_may_lose_its_answer() {
    every_operation_may_fail(BlobFault::AnswerLost).await;
}

#[tokio::test]
async fn the_process_may_die_in_every_operation() {
    every_operation_may_fail(BlobFault::Hang).await;
}
