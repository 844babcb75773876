//! The suppression list.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Aggregate, CallId, E164, Event, JournalEntry, OrgId, Suppression};
use sqlx::SqliteConnection;

use crate::SqliteStorage;
use crate::batch::Batch;
use crate::error::Failure;
use crate::journal;
use crate::value::{Columns, Id, digits, document, limit};

type Key = (OrgId, E164);

pub(crate) async fn suppress(
    store: &SqliteStorage,
    entries: Vec<Suppression>,
) -> Result<Vec<CallId>, Failure> {
    let mut tx = store.begin().await?;
    let live = live_calls(&mut tx, &entries).await?;
    let live = entries.iter().filter_map(|entry| live.get(&key(entry)).copied()).collect();
    let mut sequences: BTreeMap<OrgId, u64> = BTreeMap::new();
    let mut told = Vec::with_capacity(entries.len());
    for entry in &entries {
        let (org_id, aggregate) = (entry.org_id, Aggregate::Organization(entry.org_id));
        let sequence = match sequences.get(&org_id) {
            Some(last) => last + 1,
            None => journal::last_sequence(&mut tx, aggregate).await? + 1,
        };
        sequences.insert(org_id, sequence);
        let event = Event::NumberSuppressed { suppression: entry.clone() };
        told.push(JournalEntry { org_id, aggregate, sequence, at: entry.added_at, event });
    }
    put(&mut tx, entries).await?;
    journal::append(&mut tx, told).await?;
    tx.commit().await?;
    Ok(live)
}

/// Adds entries, merged with those on the list.
pub(crate) async fn put(connection: &mut SqliteConnection, entries: Vec<Suppression>) -> Result<(), Failure> {
    const PUT: Batch<3> = Batch {
        head: "INSERT INTO suppressions (org_id, number, document) VALUES ",
        tail: " ON CONFLICT (org_id, number) DO UPDATE SET document = excluded.document",
    };
    if entries.is_empty() {
        return Ok(());
    }
    let query = sqlx::query(
        "SELECT s.document FROM json_each(?) key CROSS JOIN suppressions s \
         ON s.org_id = unhex(key.value ->> 0) AND s.number = key.value ->> 1",
    )
    .bind(key_list(&entries)?);
    let mut list: BTreeMap<Key, Suppression> = BTreeMap::new();
    for row in query.fetch_all(&mut *connection).await? {
        let known: Suppression = row.thing("suppression", 0)?;
        list.insert(key(&known), known);
    }
    for entry in entries {
        let merged = list.get(&key(&entry)).map_or_else(|| entry.clone(), |known| known.merged_with(&entry));
        list.insert(key(&entry), merged);
    }
    let mut rows = Vec::with_capacity(list.len());
    for entry in list.into_values() {
        rows.push([entry.org_id.into(), entry.number.into(), document("suppression", &entry)?.into()]);
    }
    PUT.run(connection, rows).await
}

pub(crate) async fn release(
    store: &SqliteStorage,
    org_id: OrgId,
    number: E164,
    now: DateTime<Utc>,
) -> Result<bool, Failure> {
    let mut tx = store.begin().await?;
    let removed = sqlx::query("DELETE FROM suppressions WHERE org_id = ? AND number = ?")
        .bind(org_id.blob())
        .bind(digits(number))
        .execute(&mut *tx)
        .await?;
    if removed.rows_affected() == 0 {
        return Ok(false);
    }
    let aggregate = Aggregate::Organization(org_id);
    let sequence = journal::last_sequence(&mut tx, aggregate).await? + 1;
    let event = Event::NumberReleased { number };
    journal::append(&mut tx, vec![JournalEntry { org_id, aggregate, sequence, at: now, event }]).await?;
    tx.commit().await?;
    Ok(true)
}

pub(crate) async fn suppressions(
    store: &SqliteStorage,
    org_id: OrgId,
    after: Option<E164>,
    count: usize,
) -> Result<Vec<Suppression>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM suppressions WHERE org_id = ? AND number > ? ORDER BY number LIMIT ?",
    )
    .bind(org_id.blob())
    .bind(after.map_or(0, digits))
    .bind(limit(count));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(|row| row.thing("suppression", 0)).collect()
}

async fn live_calls(
    connection: &mut SqliteConnection,
    entries: &[Suppression],
) -> Result<BTreeMap<Key, CallId>, Failure> {
    let query = sqlx::query(
        "SELECT l.org_id, l.number, l.call_id FROM json_each(?) key CROSS JOIN live_calls l \
         ON l.org_id = unhex(key.value ->> 0) AND l.number = key.value ->> 1",
    )
    .bind(key_list(entries)?);
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| Ok(((row.id(0)?, row.number(1)?), row.id(2)?))).collect()
}

fn key(entry: &Suppression) -> Key {
    (entry.org_id, entry.number)
}

fn key_list(entries: &[Suppression]) -> Result<String, Failure> {
    let keys =
        entries.iter().map(|entry| (entry.org_id.as_uuid().simple().to_string(), digits(entry.number)));
    document("list of numbers", &keys.collect::<Vec<_>>())
}
