//! DynamoDB that throttles, fails and loses answers: what verbs answer and what is stored stays the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use rivvi_core::storage::{Catalog, Ledger, Storage, StorageErrorKind};
use rivvi_core::testkit::storage::{Scene, assert_random_sequences_agree, assert_whole};
use rivvi_core::testkit::{build, run_case};
use rivvi_storage_dynamo::{DynamoStorage, Options};
use support::proxy::{Faults, Proxy};

const FAULTS: Faults = Faults { throttled: 0.1, failed: 0.03, answer_lost: 0.05 };

/// A store behind a proxy with these faults, with tables that are there.
async fn behind(seed: u64, faults: Faults, options: Options) -> (DynamoStorage, Proxy, support::Tables) {
    let (_, tables) = support::fresh_dynamo(options.clone()).await;
    let proxy = Proxy::start(&support::endpoint(), seed, faults).await;
    (DynamoStorage::local(&proxy.url, options), proxy, tables)
}

#[test]
fn random_sequences_agree_while_requests_fail_and_answers_are_lost() {
    assert_random_sequences_agree(12, || async {
        let (storage, proxy, tables) = behind(7, FAULTS, support::options()).await;
        (Storage::from(storage), (proxy, tables))
    });
}

#[test]
fn every_kind_of_fault_fires_and_no_contact_is_called_twice() {
    run_case(async {
        let (storage, proxy, _tables) = behind(1, FAULTS, support::options()).await;
        let storage = Storage::from(storage);
        let scene = Scene::active(&storage, 1, 120).await;
        let calls = scene.begin_all(&storage).await;
        assert_eq!(calls.len(), 120);
        let over = calls.iter().map(|call| build::told(call, ended())).collect();
        scene.apply_all(&storage, over).await;
        assert_whole(&storage, scene.run.id).await;
        let fired = proxy.fired();
        assert!(fired.iter().all(|count| *count > 0), "{fired:?}");
    });
}

fn ended() -> rivvi_core::provider::CallEvent {
    let disposition = rivvi_core::domain::Disposition::AnsweredHuman;
    rivvi_core::provider::CallEvent::Ended { disposition, reason: None, talk_time: None }
}

/// A store with little patience behind a proxy that fails always.
async fn failing(faults: Faults) -> (DynamoStorage, Proxy, support::Tables) {
    let mut options = support::options();
    options.patience = Duration::from_millis(200);
    options.request_timeout = Duration::from_millis(500);
    behind(1, faults, options).await
}

#[test]
fn throttling_that_does_not_end_is_busy() {
    run_case(async {
        let faults = Faults { throttled: 1.0, failed: 0.0, answer_lost: 0.0 };
        let (storage, proxy, _tables) = failing(faults).await;
        let error = storage.put_organization(build::organization(1)).await.unwrap_err();
        assert_eq!((error.kind, error.operation), (StorageErrorKind::Busy, "put_organization"));
        assert!(error.to_string().contains("throttled"), "{error}");
        assert!(proxy.fired()[0] > 1, "it was tried again");
    });
}

#[test]
fn answers_that_never_come_are_unavailable() {
    run_case(async {
        let faults = Faults { throttled: 0.0, failed: 0.0, answer_lost: 1.0 };
        let (storage, _proxy, _tables) = failing(faults).await;
        let campaign = build::campaign(build::org_id(1), 1);
        let error = storage.create_run(build::draft(&campaign, 1)).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Unavailable);
        assert!(error.is_temporary());
    });
}
