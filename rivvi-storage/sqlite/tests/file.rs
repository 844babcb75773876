//! What is special about a store in a file: it is opened again, shared, refused, and left in the middle of things.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use rivvi_core::storage::{
    BeginCalls, Catalog, ContactQuery, JournalCursor, Ledger, RunQuery, Storage, StorageError,
    StorageErrorKind,
};
use rivvi_core::testkit::build;
use rivvi_core::testkit::storage::{Scene, assert_whole};
use rivvi_storage_sqlite::SqliteStorage;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tempfile::TempDir;

fn directory() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rivvi.db");
    (directory, path)
}

async fn plain(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

async fn refusal(path: &Path) -> StorageError {
    SqliteStorage::open(path).await.expect_err("the file is to be refused")
}

/// A request to begin up to so many calls.
fn up_to(scene: &Scene, calls: u32) -> BeginCalls {
    BeginCalls { calls_max: calls, ..scene.request() }
}

#[tokio::test]
async fn opening_again_finds_everything() {
    let (_directory, path) = directory();
    let storage: Storage = SqliteStorage::open(&path).await.unwrap().into();
    let scene = Scene::active(&storage, 1, 50).await;
    assert_eq!(scene.begin(&storage, up_to(&scene, 10)).await.calls.len(), 10);
    let before = contents(&storage, &scene).await;
    drop(storage);

    let storage: Storage = SqliteStorage::open(&path).await.unwrap().into();
    assert_eq!(contents(&storage, &scene).await, before);
    assert_whole(&storage, scene.run.id).await;
}

async fn contents(storage: &Storage, scene: &Scene) -> String {
    let query = ContactQuery { run_id: scene.run.id, number: None, after: None, limit: 1_000 };
    format!(
        "{:?}",
        (
            storage.catalog.organization(scene.organization.id).await.unwrap(),
            storage.catalog.campaign(scene.campaign.id, None).await.unwrap(),
            storage.ledger.runs(RunQuery::default()).await.unwrap(),
            storage.ledger.contacts(query).await.unwrap(),
            storage.ledger.live_calls(scene.run.id, None, 1_000).await.unwrap(),
            storage.ledger.tally(scene.run.id).await.unwrap(),
            storage.ledger.journal_feed(None, 1_000).await.unwrap(),
            storage.ledger.next_due(&[scene.run.id]).await.unwrap(),
        )
    )
}

#[tokio::test]
async fn file_of_a_newer_version_is_refused() {
    let (_directory, path) = directory();
    drop(SqliteStorage::open(&path).await.unwrap());
    let mut connection = plain(&path).await;
    execute(&mut connection, "PRAGMA user_version = 99").await;
    connection.close().await.unwrap();

    let error = refusal(&path).await;
    assert_eq!(error.kind, StorageErrorKind::Incompatible);
    assert!(error.to_string().contains("schema 99"), "{error}");
    assert!(error.to_string().contains("newer"), "{error}");
}

#[tokio::test]
async fn database_of_another_program_is_refused_and_left_alone() {
    let (_directory, path) = directory();
    let mut connection = plain(&path).await;
    execute(&mut connection, "CREATE TABLE songs (title TEXT)").await;
    assert_eq!(refusal(&path).await.kind, StorageErrorKind::Incompatible);
    let tables: Vec<(String,)> =
        sqlx::query_as("SELECT name FROM sqlite_schema").fetch_all(&mut connection).await.unwrap();
    assert_eq!(tables, [("songs".to_owned(),)]);
    let mode: (String,) = sqlx::query_as("PRAGMA journal_mode").fetch_one(&mut connection).await.unwrap();
    assert_eq!(mode.0, "delete");
}

#[tokio::test]
async fn file_that_is_no_database_is_refused_by_name() {
    let (_directory, path) = directory();
    std::fs::write(&path, "first_name,phone\nDana,+972500000000\n".repeat(100)).unwrap();
    let error = refusal(&path).await;
    assert_eq!(error.kind, StorageErrorKind::Corrupt);
    assert!(error.to_string().contains("rivvi.db"), "{error}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("first_name"));
}

#[tokio::test]
async fn missing_directory_is_told() {
    let (directory, _) = directory();
    let error = refusal(&directory.path().join("nowhere").join("rivvi.db")).await;
    assert_eq!(error.kind, StorageErrorKind::Unavailable);
    assert!(error.to_string().contains("directory"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_create_the_file_at_once() {
    for _ in 0..10 {
        let (_directory, path) = directory();
        let opening: Vec<_> = (0..8).map(|_| tokio::spawn(SqliteStorage::open(path.clone()))).collect();
        for opened in opening {
            let storage = opened.await.unwrap().unwrap();
            storage.put_organization(build::organization(1)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_share_the_work_of_one_run() {
    let (_directory, path) = directory();
    let first: Storage = SqliteStorage::open(&path).await.unwrap().into();
    let second: Storage = SqliteStorage::open(&path).await.unwrap().into();
    let scene = Scene::active(&first, 1, 200).await;
    let taking: Vec<_> = [first.clone(), second]
        .into_iter()
        .map(|storage| {
            let scene = scene.clone();
            tokio::spawn(async move {
                let mut calls = 0;
                for _ in 0..20 {
                    calls += scene.begin(&storage, up_to(&scene, 5)).await.calls.len();
                }
                calls
            })
        })
        .collect();
    let mut calls = 0;
    for taken in taking {
        calls += taken.await.unwrap();
    }
    assert_eq!(calls, 200);
    assert_whole(&first, scene.run.id).await;
}

/// Drops `begin_calls` after ever more polls, until it is over first. How many that are depends on how often the
/// thread of the connection answers before it is waited for.
#[tokio::test]
async fn verb_that_is_dropped_midway_leaves_nothing_behind() {
    const BATCH: usize = 50;
    let (_directory, path) = directory();
    let storage: Storage = SqliteStorage::open(&path).await.unwrap().into();
    let beside = SqliteStorage::open(&path).await.unwrap();
    let scene = Scene::active(&storage, 1, 2_000).await;
    let mut dropped = 0;
    for polls in 0.. {
        let begun = after_polls(scene.begin(&storage, up_to(&scene, BATCH as u32)), polls).await;
        // Nothing keeps a process beside this one from writing, and what it finds is whole.
        beside.save_cursor("beside", JournalCursor("0".into())).await.unwrap();
        let calls = beside.live_calls(scene.run.id, None, usize::MAX).await.unwrap().len();
        assert_eq!(calls % BATCH, 0);
        if begun.is_some() {
            break;
        }
        dropped += 1;
    }
    assert!(dropped > 0, "a commit waits for the disk");
    scene.begin(&storage, scene.request()).await;
    assert_eq!(beside.live_calls(scene.run.id, None, usize::MAX).await.unwrap().len(), 2_000);
    assert_whole(&storage, scene.run.id).await;
}

#[tokio::test]
async fn panic_in_the_middle_of_a_transaction_rolls_it_back() {
    let (_directory, path) = directory();
    let storage: Storage = SqliteStorage::open(&path).await.unwrap().into();
    let beside = SqliteStorage::open(&path).await.unwrap();
    let scene = Scene::active(&storage, 1, 10).await;
    let (ledger, request) = (storage.ledger.clone(), scene.request());
    let verb = tokio::spawn(async move {
        ledger.begin_calls(request, &|_, _| panic!("a rule of the host failed")).await
    });
    assert!(verb.await.unwrap_err().is_panic());
    beside.save_cursor("beside", JournalCursor("0".into())).await.unwrap();
    assert_whole(&storage, scene.run.id).await;
    assert_eq!(scene.begin_all(&storage).await.len(), 10);
}

/// Polls a future so many times and then drops it.
async fn after_polls<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test]
async fn writer_that_waits_too_long_is_told_to_try_again() {
    let (_directory, path) = directory();
    let storage = SqliteStorage::open(&path).await.unwrap();
    let mut beside = plain(&path).await;
    execute(&mut beside, "BEGIN IMMEDIATE").await;
    let error = storage.put_organization(build::organization(1)).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Busy);
    assert!(storage.organization(build::org_id(1)).await.unwrap().is_none(), "readers wait for nobody");
    execute(&mut beside, "ROLLBACK").await;
    storage.put_organization(build::organization(1)).await.unwrap();
}

#[tokio::test]
async fn unreadable_content_is_told_without_repeating_it() {
    let (_directory, path) = directory();
    let storage = SqliteStorage::open(&path).await.unwrap();
    storage.put_organization(build::organization(1)).await.unwrap();
    let mut beside = plain(&path).await;
    execute(&mut beside, r#"UPDATE organizations SET document = '{"id": "Dana Levi"}'"#).await;
    let error = storage.organization(build::org_id(1)).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Corrupt);
    let told = format!("{error} {error:?} {}", std::error::Error::source(&error).unwrap());
    assert!(told.contains("organization") && !told.contains("Dana"), "{told}");
}

#[tokio::test]
async fn debug_output_shows_the_file_and_no_content() {
    let (_directory, path) = directory();
    let storage = SqliteStorage::open(&path).await.unwrap();
    assert_eq!(format!("{storage:?}"), format!("SqliteStorage({:?})", path.display().to_string()));
}
