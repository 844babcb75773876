//! The feed of the journal while transactions overlap, and after the database was moved.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod database;

use database::{Schema, execute, superuser};
use rivvi_core::domain::{Aggregate, JournalEntry};
use rivvi_core::storage::{JournalCursor, Ledger, Storage};
use rivvi_core::testkit::build;
use rivvi_core::testkit::storage::{Scene, journal_of};
use sqlx::PgConnection;

/// A transaction of another node, left open.
async fn open(schema: &Schema) -> PgConnection {
    let mut connection = superuser().await;
    execute(
        &mut connection,
        format!("SET search_path = {}; SET rivvi.organization = '*'; BEGIN", schema.name),
    )
    .await;
    connection
}

/// Takes an id for the transaction.
async fn take_id(connection: &mut PgConnection) {
    execute(connection, "SELECT pg_current_xact_id()").await;
}

/// Writes entry `sequence` of aggregate `n`, as the store does.
async fn write(connection: &mut PgConnection, n: u64, sequence: u64) {
    let id = build::run_id(n);
    let sql = format!(
        "WITH clock AS MATERIALIZED (SELECT ahead + greatest(pg_current_xact_id()::text::bigint, \
             pg_snapshot_xmax(pg_current_snapshot())::text::bigint) AS feed FROM journal_clock) \
         INSERT INTO journal (feed, sequence, at, org_id, aggregate, kind, events) \
         SELECT clock.feed, {sequence}, now(), '{id}', '{id}', 'run', '[{{\"type\":\"run_created\"}}]' FROM clock"
    );
    execute(connection, sql).await;
}

async fn commit(mut connection: PgConnection) {
    execute(&mut connection, "COMMIT").await;
}

/// Follows the feed from a cursor until nothing more comes.
async fn follow(storage: &Storage, cursor: &mut Option<JournalCursor>) -> Vec<JournalEntry> {
    let mut entries = Vec::new();
    loop {
        let page = storage.ledger.journal_feed(cursor.clone(), 2).await.unwrap();
        if page.entries.is_empty() {
            return entries;
        }
        *cursor = Some(page.next);
        entries.extend(page.entries);
    }
}

fn places(entries: &[JournalEntry]) -> Vec<(Aggregate, u64)> {
    entries.iter().map(|entry| (entry.aggregate, entry.sequence)).collect()
}

fn place(n: u64, sequence: u64) -> (Aggregate, u64) {
    (Aggregate::Run(build::run_id(n)), sequence)
}

#[tokio::test]
async fn entry_of_a_transaction_that_commits_late_is_not_passed_by() {
    let schema = Schema::new();
    let storage: Storage = schema.store().await.into();
    let (mut early, mut late) = (open(&schema).await, open(&schema).await);
    write(&mut early, 1, 1).await;
    write(&mut late, 2, 1).await;
    commit(late).await;
    let mut cursor = None;
    assert_eq!(places(&follow(&storage, &mut cursor).await), [], "what began before is still to be written");
    commit(early).await;
    assert_eq!(places(&follow(&storage, &mut cursor).await), [place(1, 1), place(2, 1)]);
}

#[tokio::test]
async fn entries_of_one_aggregate_come_in_order_whoever_got_its_id_first() {
    let schema = Schema::new();
    let storage: Storage = schema.store().await.into();
    let (mut early, mut late) = (open(&schema).await, open(&schema).await);
    take_id(&mut early).await;
    write(&mut late, 1, 1).await;
    commit(late).await;
    let mut cursor = None;
    let mut entries = follow(&storage, &mut cursor).await;
    write(&mut early, 1, 2).await;
    commit(early).await;
    entries.extend(follow(&storage, &mut cursor).await);
    assert_eq!(places(&entries), [place(1, 1), place(1, 2)]);
    assert_eq!(places(&follow(&storage, &mut None).await), [place(1, 1), place(1, 2)]);
}

#[tokio::test]
async fn transactions_that_do_not_write_to_this_journal_hold_nobody_up() {
    let schema = Schema::new();
    let other = Schema::new();
    let storage: Storage = schema.store().await.into();
    drop(other.store().await);
    let (mut idle, mut elsewhere) = (open(&schema).await, open(&other).await);
    take_id(&mut idle).await;
    write(&mut elsewhere, 7, 1).await;
    let mut writer = open(&schema).await;
    write(&mut writer, 1, 1).await;
    commit(writer).await;
    let mut cursor = None;
    assert_eq!(places(&follow(&storage, &mut cursor).await), [place(1, 1)]);
    // The one that held an id all the time writes now, and is read.
    write(&mut idle, 2, 1).await;
    assert_eq!(places(&follow(&storage, &mut cursor).await), []);
    commit(idle).await;
    assert_eq!(places(&follow(&storage, &mut cursor).await), [place(2, 1)]);
    commit(elsewhere).await;
}

#[tokio::test]
async fn what_is_rolled_back_leaves_no_gap_to_wait_for() {
    let schema = Schema::new();
    let storage: Storage = schema.store().await.into();
    let (mut failing, mut writer) = (open(&schema).await, open(&schema).await);
    write(&mut failing, 1, 1).await;
    write(&mut writer, 2, 1).await;
    execute(&mut failing, "ROLLBACK").await;
    commit(writer).await;
    assert_eq!(places(&follow(&storage, &mut None).await), [place(2, 1)]);
}

/// A dump restored on a fresh server has a feed far ahead of that server's transaction ids.
#[tokio::test]
async fn feed_goes_on_after_the_database_was_moved() {
    let schema = Schema::new();
    let storage: Storage = schema.store().await.into();
    let scene = Scene::active(&storage, 1, 2).await;
    execute(
        &mut superuser().await,
        format!("UPDATE {}.journal SET feed = feed + 1000000000000", schema.name),
    )
    .await;

    let moved = schema.store().await;
    let storage: Storage = moved.clone().into();
    let mut cursor = None;
    let before = follow(&storage, &mut cursor).await;
    assert_eq!(before.len(), 4 + 2);
    scene.begin_all(&storage).await;
    let after = follow(&storage, &mut cursor).await;
    assert_eq!(after.iter().map(|entry| entry.event.name()).collect::<Vec<_>>(), ["call_intended"; 2]);
    let entries = journal_of(&storage, Aggregate::Contact(scene.contact_id(1))).await;
    assert_eq!(moved.last_entry_at().await.unwrap(), entries.last().map(|entry| entry.at));

    let again: Storage = schema.store().await.into();
    assert_eq!(follow(&again, &mut None).await.len(), 8, "connecting again moves nothing");
}

#[tokio::test]
async fn cursor_of_another_store_is_refused() {
    let schema = Schema::new();
    let storage = schema.store().await;
    for cursor in ["", "7", "1:2", "1:2:3:4", "a:b:c", "1:2:-1"] {
        let error = storage.journal_feed(Some(JournalCursor(cursor.into())), 1).await.unwrap_err();
        assert_eq!(error.kind, rivvi_core::storage::StorageErrorKind::Refused, "{cursor}");
    }
}
