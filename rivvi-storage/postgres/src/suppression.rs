//! The suppression list.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    Aggregate, CallId, E164, Event, JournalEntry, OrgId, Suppression, SuppressionSource,
};
use sqlx::postgres::PgRow;

use crate::PostgresStorage;
use crate::connection::{Connection, Transaction};
use crate::error::{Failure, Unreadable};
use crate::rows::{self, rows};
use crate::value::{Columns, digits, instant, limit, of_text, text};
use crate::{gate, journal};

type Key = (OrgId, E164);

pub(crate) async fn suppress(
    store: &PostgresStorage,
    entries: &[Suppression],
) -> Result<Vec<CallId>, Failure> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    let organizations: BTreeSet<OrgId> = entries.iter().map(|entry| entry.org_id).collect();
    let mut sequences = gate::enter(&mut tx, &organizations).await?;
    let live = live_calls(&mut tx, entries).await?;
    let live = entries.iter().filter_map(|entry| live.get(&key(entry)).copied()).collect();
    let mut told = Vec::with_capacity(entries.len());
    for entry in entries {
        let (org_id, aggregate) = (entry.org_id, Aggregate::Organization(entry.org_id));
        let last = sequences.entry(org_id).or_default();
        *last += 1;
        let event = Event::NumberSuppressed { suppression: entry.clone() };
        told.push(JournalEntry { org_id, aggregate, sequence: *last, at: entry.added_at, event });
    }
    put(&mut tx, entries.to_vec()).await?;
    gate::note(&mut tx, sequences).await?;
    journal::append(&mut tx, told).await?;
    tx.commit().await?;
    Ok(live)
}

rows! {
    SuppressionRows<'a> {
        org_id: uuid::Uuid,
        number: i64,
        source: String,
        reason: std::borrow::Cow<'a, str>,
        added_at: DateTime<Utc>,
        expires_at: Option<DateTime<Utc>>,
    }
}

/// Adds entries, merged with those on the list. The gates of their organizations must be held.
pub(crate) async fn put(tx: &mut Transaction, entries: Vec<Suppression>) -> Result<(), Failure> {
    const KNOWN: &str = "SELECT x.org_id, x.number, x.source, x.reason, x.added_at, x.expires_at \
        FROM unnest($1::uuid[], $2::bigint[]) k(org_id, number) \
        JOIN suppressions x ON x.org_id = k.org_id AND x.number = k.number";
    const PUT: &str = "INSERT INTO suppressions (org_id, number, source, reason, added_at, expires_at) \
        SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[]) \
        ON CONFLICT (org_id, number) DO UPDATE SET source = excluded.source, reason = excluded.reason, \
          added_at = excluded.added_at, expires_at = excluded.expires_at";
    if entries.is_empty() {
        return Ok(());
    }
    let (organizations, numbers) = keys(&entries);
    let mut list: BTreeMap<Key, Suppression> = BTreeMap::new();
    for row in tx.rows(sqlx::query(KNOWN).bind(organizations).bind(numbers)).await? {
        let known = read(&row, 0)?;
        list.insert(key(&known), known);
    }
    for entry in entries {
        let merged = list.get(&key(&entry)).map_or_else(|| entry.clone(), |known| known.merged_with(&entry));
        list.insert(key(&entry), merged);
    }
    let mut kept = SuppressionRows::default();
    for entry in list.values() {
        kept.org_id.push(entry.org_id.as_uuid());
        kept.number.push(digits(entry.number));
        kept.source.push(source_name(entry.source)?);
        kept.reason.push(text(&entry.reason));
        kept.added_at.push(instant(entry.added_at));
        kept.expires_at.push(entry.expires_at.map(instant));
    }
    rows::put(tx, PUT, kept).await.map(drop)
}

/// Reads an entry from its columns, the first of which is `at`.
pub(crate) fn read(row: &PgRow, at: usize) -> Result<Suppression, Failure> {
    Ok(Suppression {
        org_id: row.id(at)?,
        number: row.number(at + 1)?,
        source: source(row.text(at + 2)?)?,
        reason: of_text(row.text(at + 3)?),
        added_at: row.instant(at + 4)?,
        expires_at: row.optional_instant(at + 5)?,
    })
}

/// The word that stands for a source in the core's own serialization.
fn source_name(source: SuppressionSource) -> Result<String, Failure> {
    let unreadable = || Unreadable::new("source of a suppression");
    let value = serde_json::to_value(source).map_err(|_| unreadable())?;
    Ok(value.as_str().ok_or_else(unreadable)?.to_owned())
}

fn source(name: &str) -> Result<SuppressionSource, Failure> {
    serde_json::from_value(name.into()).map_err(|_| Unreadable::new("source of a suppression").into())
}

pub(crate) async fn release(
    store: &PostgresStorage,
    org_id: OrgId,
    number: E164,
    now: DateTime<Utc>,
) -> Result<bool, Failure> {
    let mut tx = store.begin().await?;
    let mut sequences = gate::enter(&mut tx, &BTreeSet::from([org_id])).await?;
    let delete = sqlx::query("DELETE FROM suppressions WHERE org_id = $1 AND number = $2")
        .bind(org_id.as_uuid())
        .bind(digits(number));
    if tx.run(delete).await? == 0 {
        return Ok(false);
    }
    let last = sequences.entry(org_id).or_default();
    *last += 1;
    let (aggregate, event) = (Aggregate::Organization(org_id), Event::NumberReleased { number });
    let told = vec![JournalEntry { org_id, aggregate, sequence: *last, at: now, event }];
    gate::note(&mut tx, sequences).await?;
    journal::append(&mut tx, told).await?;
    tx.commit().await?;
    Ok(true)
}

pub(crate) async fn suppressions(
    store: &PostgresStorage,
    org_id: OrgId,
    after: Option<E164>,
    count: usize,
) -> Result<Vec<Suppression>, Failure> {
    let query = sqlx::query(
        "SELECT org_id, number, source, reason, added_at, expires_at FROM suppressions \
         WHERE org_id = $1 AND number > $2 ORDER BY number LIMIT $3",
    )
    .bind(org_id.as_uuid())
    .bind(after.map_or(0, digits))
    .bind(limit(count));
    let rows = store.reader().await?.rows(query).await?;
    rows.iter().map(|row| read(row, 0)).collect()
}

async fn live_calls(
    connection: &mut Connection,
    entries: &[Suppression],
) -> Result<BTreeMap<Key, CallId>, Failure> {
    let (organizations, numbers) = keys(entries);
    let query = sqlx::query(
        "SELECT l.org_id, l.number, l.call_id FROM unnest($1::uuid[], $2::bigint[]) k(org_id, number) \
         JOIN live_calls l ON l.org_id = k.org_id AND l.number = k.number",
    );
    let rows = connection.rows(query.bind(organizations).bind(numbers)).await?;
    rows.iter().map(|row| Ok(((row.id(0)?, row.number(1)?), row.id(2)?))).collect()
}

fn key(entry: &Suppression) -> Key {
    (entry.org_id, entry.number)
}

/// The different keys of entries.
fn keys(entries: &[Suppression]) -> (Vec<uuid::Uuid>, Vec<i64>) {
    let keys: BTreeSet<Key> = entries.iter().map(key).collect();
    keys.into_iter().map(|(org_id, number)| (org_id.as_uuid(), digits(number))).unzip()
}
