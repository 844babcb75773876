//! The journal: append-only, in the order of commits.

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Aggregate, CampaignId, ContactId, JournalEntry, OrgId, RunId};
use rivvi_core::storage::{JournalCursor, JournalPage, StorageError, StorageErrorKind};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::SqliteStorage;
use crate::batch::Batch;
use crate::error::{Failure, Unreadable};
use crate::value::{Columns, Id, document, instant, limit};

/// Appends entries in their order.
pub(crate) async fn append(
    connection: &mut SqliteConnection,
    entries: Vec<JournalEntry>,
) -> Result<(), Failure> {
    const APPEND: Batch<6> = Batch {
        head: "INSERT INTO journal (kind, aggregate, sequence, org_id, at, event) VALUES ",
        tail: "",
    };
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        rows.push([
            entry.aggregate.kind().into(),
            entry.aggregate.uuid().into(),
            entry.sequence.cast_signed().into(),
            entry.org_id.into(),
            entry.at.into(),
            document("journal event", &entry.event)?.into(),
        ]);
    }
    APPEND.run(connection, rows).await
}

/// Appends those entries whose place is free.
pub(crate) async fn add(store: &SqliteStorage, entries: Vec<JournalEntry>) -> Result<(), Failure> {
    let mut tx = store.begin().await?;
    let mut free = Vec::with_capacity(entries.len());
    for entry in entries {
        if entry.sequence > last_sequence(&mut tx, entry.aggregate).await? {
            free.push(entry);
        }
    }
    append(&mut tx, free).await?;
    tx.commit().await
}

/// The sequence number of the last entry of an aggregate, 0 if it has none.
pub(crate) async fn last_sequence(
    connection: &mut SqliteConnection,
    aggregate: Aggregate,
) -> Result<u64, Failure> {
    let query =
        sqlx::query("SELECT coalesce(max(sequence), 0) FROM journal WHERE aggregate = ? AND kind = ?")
            .bind(aggregate.uuid().blob())
            .bind(aggregate.kind());
    Ok(query.fetch_one(connection).await?.int(0)?.cast_unsigned())
}

pub(crate) async fn journal(
    store: &SqliteStorage,
    aggregate: Aggregate,
    after: u64,
    count: usize,
) -> Result<Vec<JournalEntry>, Failure> {
    let query = sqlx::query(
        "SELECT position, kind, aggregate, sequence, org_id, at, event FROM journal \
         WHERE aggregate = ? AND kind = ? AND sequence > ? ORDER BY sequence LIMIT ?",
    )
    .bind(aggregate.uuid().blob())
    .bind(aggregate.kind())
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(limit(count));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(entry).collect()
}

pub(crate) async fn feed(
    store: &SqliteStorage,
    after: Option<JournalCursor>,
    count: usize,
) -> Result<JournalPage, Failure> {
    let from = after.map_or(Ok(0), |cursor| cursor.0.parse::<i64>()).map_err(|_| {
        StorageError::new(StorageErrorKind::Refused, "journal_feed", "not a cursor of this store")
    })?;
    let query = sqlx::query(
        "SELECT position, kind, aggregate, sequence, org_id, at, event FROM journal \
         WHERE position > ? ORDER BY position LIMIT ?",
    )
    .bind(from)
    .bind(limit(count));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    let next = rows.last().map_or(Ok(from), |row| row.int(0))?;
    let entries = rows.iter().map(entry).collect::<Result<_, _>>()?;
    Ok(JournalPage { entries, next: JournalCursor(next.to_string()) })
}

pub(crate) async fn last_at(store: &SqliteStorage) -> Result<Option<DateTime<Utc>>, Failure> {
    let query = sqlx::query("SELECT at FROM journal ORDER BY position DESC LIMIT 1");
    let row = query.fetch_optional(&mut *store.reader().await?).await?;
    row.map(|row| Ok(instant(row.int(0)?))).transpose()
}

pub(crate) async fn cursor(store: &SqliteStorage, reader: &str) -> Result<Option<JournalCursor>, Failure> {
    let query = sqlx::query("SELECT cursor FROM journal_cursors WHERE reader = ?").bind(reader.to_owned());
    let row = query.fetch_optional(&mut *store.reader().await?).await?;
    row.map(|row| Ok(JournalCursor(row.text(0)?.to_owned()))).transpose()
}

pub(crate) async fn save_cursor(
    store: &SqliteStorage,
    reader: &str,
    cursor: JournalCursor,
) -> Result<(), Failure> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "INSERT INTO journal_cursors (reader, cursor) VALUES (?, ?) \
         ON CONFLICT (reader) DO UPDATE SET cursor = excluded.cursor",
    )
    .bind(reader.to_owned())
    .bind(cursor.0)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

fn entry(row: &SqliteRow) -> Result<JournalEntry, Failure> {
    let aggregate = match row.text(1)? {
        "organization" => Aggregate::Organization(row.id::<OrgId>(2)?),
        "campaign" => Aggregate::Campaign(row.id::<CampaignId>(2)?),
        "run" => Aggregate::Run(row.id::<RunId>(2)?),
        "contact" => Aggregate::Contact(row.id::<ContactId>(2)?),
        _ => return Err(Unreadable::new("journal entry of an unknown kind").into()),
    };
    Ok(JournalEntry {
        org_id: row.id(4)?,
        aggregate,
        sequence: row.int(3)?.cast_unsigned(),
        at: instant(row.int(5)?),
        event: row.thing("journal event", 6)?,
    })
}
