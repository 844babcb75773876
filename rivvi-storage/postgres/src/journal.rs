//! The journal and its feed.
//!
//! Transactions commit in another order than they began, so a reader must not pass by entries that are still to be
//! committed. Each row carries a `feed`: the id of the transaction that wrote it, or, if that is greater, the first id
//! beyond all transactions that were complete when it wrote. So
//!
//! - a change of an aggregate that follows another has no smaller `feed`, and a greater `position` if it is equal;
//! - a transaction under way writes no `feed` below its own id;
//! - one that begins to write after some instant writes no `feed` below what was the first such id at that instant, and if
//!   it writes that very one, then at a `position` that was not given out yet.
//!
//! A reader first notes how far it may go: that id and the last position given out, then the ids of those that hold a
//! lock to write to the journal, below which it stays. Then it reads. Whoever takes that lock later writes beyond.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Aggregate, CampaignId, ContactId, Event, JournalEntry, OrgId, RunId};
use rivvi_core::storage::{JournalCursor, JournalPage, StorageError, StorageErrorKind};
use sqlx::postgres::PgRow;

use crate::PostgresStorage;
use crate::connection::{Connection, Transaction};
use crate::error::{Failure, Unreadable};
use crate::page::{self, Told};
use crate::rows::{Rows, put, rows};
use crate::value::{Columns, document, instant, limit, long_document, of_text, text};

rows! {
    /// Rows of `journal` that are not pages.
    JournalRows<'a> {
        sequence: i64,
        at: DateTime<Utc>,
        org_id: uuid::Uuid,
        aggregate: uuid::Uuid,
        kind: &'a str,
        size: i64,
        events: String,
    }
}

/// The `feed` of what is written now. It comes before the position is drawn: materialized, for otherwise the server works out
/// the columns in their order, and draws the position first.
macro_rules! feed_now {
    () => {
        "WITH clock AS MATERIALIZED (SELECT ahead + greatest(pg_current_xact_id()::text::bigint, \
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint) AS feed FROM journal_clock) "
    };
}

pub(crate) const APPEND: &str = concat!(
    feed_now!(),
    "INSERT INTO journal (feed, sequence, at, org_id, aggregate, kind, size, events) SELECT clock.feed, row.* \
     FROM clock, unnest($1::bigint[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::bigint[], $7::text[]) AS row"
);

/// Appends entries of anything but contacts, those of one aggregate in their order.
pub(crate) async fn append(tx: &mut Transaction, entries: Vec<JournalEntry>) -> Result<(), Failure> {
    let mut entries = entries;
    // In one order for all, so that two who write to the same aggregates do not wait for each other in a circle.
    entries.sort_by_key(|entry| (entry.aggregate, entry.sequence));
    let mut rows = JournalRows::default();
    let mut left = entries.as_slice();
    while let Some(first) = left.first() {
        let follows = |entry: &&JournalEntry| entry.aggregate == first.aggregate && entry.at == first.at;
        let (together, rest) = left.split_at(left.iter().take_while(follows).count());
        left = rest;
        rows.sequence.push(first.sequence.cast_signed());
        rows.at.push(instant(first.at));
        rows.org_id.push(first.org_id.as_uuid());
        rows.aggregate.push(first.aggregate.uuid());
        rows.kind.push(first.aggregate.kind());
        rows.size.push(limit(together.len()));
        let events: Vec<&Event> = together.iter().map(|entry| &entry.event).collect();
        rows.events.push(document("journal event", &events)?);
    }
    put(tx, APPEND, rows).await.map(drop)
}

/// Appends those entries whose place is free, each in a row of its own. Who tells the same at the same time waits.
pub(crate) async fn add(store: &PostgresStorage, entries: &[JournalEntry]) -> Result<(), Failure> {
    const UNLESS_TOLD: &str = " ON CONFLICT (aggregate, sequence, kind) DO NOTHING";
    let mut entries: Vec<&JournalEntry> = entries.iter().collect();
    entries.sort_by_key(|entry| (entry.aggregate, entry.sequence));
    let mut rows = JournalRows::default();
    for entry in entries {
        rows.sequence.push(entry.sequence.cast_signed());
        rows.at.push(instant(entry.at));
        rows.org_id.push(entry.org_id.as_uuid());
        rows.aggregate.push(entry.aggregate.uuid());
        rows.kind.push(entry.aggregate.kind());
        rows.size.push(1);
        rows.events.push(document("journal event", &[&entry.event])?);
    }
    if rows.is_empty() {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    let add = format!("{APPEND}{UNLESS_TOLD}");
    tx.run(rows.bind(sqlx::query(sqlx::AssertSqlSafe(add)))).await?;
    tx.commit().await
}

const APPEND_PAGE: &str = concat!(
    feed_now!(),
    "INSERT INTO journal (feed, at, org_id, size, events) SELECT clock.feed, $1, $2, $3, $4 FROM clock RETURNING position"
);

/// Appends entries of contacts, those of one contact in their order. Returns in which page those of each contact stand:
/// it must be noted with the contact, or they are lost.
pub(crate) async fn append_pages(
    tx: &mut Transaction,
    entries: &[JournalEntry],
) -> Result<HashMap<ContactId, i64>, Failure> {
    let mut by_organization: BTreeMap<OrgId, Vec<&JournalEntry>> = BTreeMap::new();
    for entry in entries {
        by_organization.entry(entry.org_id).or_default().push(entry);
    }
    let mut pages = HashMap::with_capacity(entries.len());
    for (org_id, entries) in by_organization {
        for told in page::split(&Told::of(&entries)) {
            let Some(at) = told.iter().map(Told::at).max() else { continue };
            let size: usize = told.iter().map(|told| told.events.len()).sum();
            let insert = sqlx::query(APPEND_PAGE)
                .bind(instant(at))
                .bind(org_id.as_uuid())
                .bind(limit(size))
                .bind(long_document("journal page", &told, told.len() * 256)?);
            let row = tx.row(insert).await?.ok_or(Unreadable::new("clock of the journal"))?;
            let position = row.int(0)?;
            pages.extend(told.iter().map(|told| (told.contact, position)));
        }
    }
    Ok(pages)
}

/// The columns that [`read`] takes.
macro_rules! row {
    () => {
        "aggregate, kind, sequence, org_id, at, events, feed, position"
    };
}

pub(crate) const OF_AGGREGATE: &str = concat!(
    "SELECT ",
    row!(),
    " FROM journal WHERE aggregate = $1 AND kind = $2 AND sequence >= coalesce((SELECT sequence FROM journal \
      WHERE aggregate = $1 AND kind = $2 AND sequence <= $3 ORDER BY sequence DESC LIMIT 1), 0) \
    ORDER BY sequence LIMIT $4"
);

pub(crate) async fn journal(
    store: &PostgresStorage,
    aggregate: Aggregate,
    after: u64,
    count: usize,
) -> Result<Vec<JournalEntry>, Failure> {
    let mut reader = store.reader().await?;
    // The first row may have nothing after the sequence number that is asked for.
    let query = sqlx::query(OF_AGGREGATE)
        .bind(aggregate.uuid())
        .bind(aggregate.kind())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(limit(count.saturating_add(1)));
    let mut entries = Vec::new();
    for row in &reader.rows(query).await? {
        entries.extend(read(row)?);
    }
    if let Aggregate::Contact(id) = aggregate {
        entries.extend(in_pages(&mut reader, id).await?);
        entries.sort_by_key(|entry| entry.sequence);
    }
    entries.retain(|entry| entry.sequence > after);
    entries.truncate(count);
    Ok(entries)
}

pub(crate) const PAGES_OF_CONTACT: &str = concat!(
    "SELECT ",
    row!(),
    " FROM journal WHERE position = ANY(ARRAY( \
       SELECT page FROM contacts WHERE id = $1 AND page IS NOT NULL \
       UNION SELECT unnest(pages) FROM contact_statuses WHERE contact_id = $1 \
       UNION SELECT unnest(l.pages) FROM contacts c JOIN live_calls l \
         ON l.org_id = c.org_id AND l.number = c.number AND l.contact_id = c.id WHERE c.id = $1 \
       UNION SELECT unnest(e.pages) FROM contacts c JOIN ended_calls e \
         ON e.org_id = c.org_id AND e.number = c.number AND e.contact_id = c.id WHERE c.id = $1 \
       UNION SELECT unnest(pages) FROM purged_contacts WHERE contact_id = $1))"
);

/// What the pages tell of a contact, in any order.
async fn in_pages(reader: &mut Connection, id: ContactId) -> Result<Vec<JournalEntry>, Failure> {
    let rows = reader.rows(sqlx::query(PAGES_OF_CONTACT).bind(id.as_uuid())).await?;
    let mut entries = Vec::new();
    for row in &rows {
        entries.extend(page::read(row.text(5)?, row.id(3)?, |contact| contact == id)?);
    }
    Ok(entries)
}

/// A place in the feed: before the entry `index` of the row at `position`, or after that row if it has no such entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    feed: i64,
    position: i64,
    index: usize,
}

impl Place {
    const BEGINNING: Self = Self { feed: 0, position: 0, index: 0 };

    fn of(cursor: Option<&JournalCursor>) -> Result<Self, Failure> {
        let Some(cursor) = cursor else { return Ok(Self::BEGINNING) };
        let mut parts = cursor.0.split(':');
        let mut part = || parts.next()?.parse::<i64>().ok();
        let place =
            (|| Some(Self { feed: part()?, position: part()?, index: usize::try_from(part()?).ok()? }))();
        let refused =
            || StorageError::new(StorageErrorKind::Refused, "journal_feed", "not a cursor of this store");
        match place {
            Some(place) if parts.next().is_none() => Ok(place),
            _ => Err(refused().into()),
        }
    }

    fn cursor(self) -> JournalCursor {
        JournalCursor(format!("{}:{}:{}", self.feed, self.position, self.index))
    }
}

/// How far a reader may go: what stands up to there is there for good. The position is read before the locks. The ids in
/// `pg_locks` have 32 bits; they lie within 2^31 of the present.
pub(crate) const HORIZON: &str = "\
    WITH clock AS MATERIALIZED ( \
      SELECT ahead, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now, \
        pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS oldest_open, \
        coalesce(pg_sequence_last_value('journal_position_seq'), 0) AS last FROM journal_clock \
    ) \
    SELECT clock.ahead + least(clock.now, writing.oldest), \
      CASE WHEN writing.oldest <= clock.now THEN 0 ELSE clock.last END \
    FROM clock CROSS JOIN LATERAL ( \
      SELECT min(CASE WHEN id.transactionid IS NULL THEN clock.oldest_open ELSE clock.now - \
          CASE WHEN behind.ids >= 2147483648 THEN behind.ids - 4294967296 ELSE behind.ids END END) AS oldest \
      FROM pg_locks writer LEFT JOIN pg_locks id ON id.virtualtransaction = writer.virtualtransaction \
        AND id.locktype = 'transactionid' AND id.mode = 'ExclusiveLock' \
      CROSS JOIN LATERAL (SELECT (clock.now - id.transactionid::text::bigint) & 4294967295 AS ids) behind \
      WHERE writer.locktype = 'relation' AND writer.mode = 'RowExclusiveLock' \
        AND writer.relation = 'journal'::regclass \
        AND writer.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
    ) writing";

/// Rows until they hold as many entries as are asked for, $6 of them in vain.
pub(crate) const FEED: &str = concat!(
    "SELECT ",
    row!(),
    " FROM (SELECT *, sum(size) OVER (ORDER BY feed, position) - size AS before FROM (SELECT * FROM journal \
       WHERE (feed, position) >= ($1, $2) AND (feed, position) <= ($3, $4) ORDER BY feed, position LIMIT $5) first) \
     counted WHERE before < $5 + $6 ORDER BY feed, position"
);

pub(crate) async fn feed(
    store: &PostgresStorage,
    after: Option<&JournalCursor>,
    count: usize,
) -> Result<JournalPage, Failure> {
    let mut place = Place::of(after)?;
    let mut reader = store.reader().await?;
    let horizon = reader.row(sqlx::query(HORIZON)).await?.ok_or(Unreadable::new("clock of the journal"))?;
    // The first row may have been read to its end.
    let query = sqlx::query(FEED)
        .bind(place.feed)
        .bind(place.position)
        .bind(horizon.int(0)?)
        .bind(horizon.int(1)?)
        .bind(limit(count.saturating_add(1)))
        .bind(limit(place.index));
    let rows = reader.rows(query).await?;
    let mut entries = Vec::new();
    for row in &rows {
        let (feed, position) = (row.int(6)?, row.int(7)?);
        let from = if (feed, position) == (place.feed, place.position) { place.index } else { 0 };
        let left = count - entries.len();
        if left == 0 {
            break;
        }
        let before = entries.len();
        entries.extend(read(row)?.into_iter().skip(from).take(left));
        place = Place { feed, position, index: from + entries.len() - before };
    }
    Ok(JournalPage { entries, next: place.cursor() })
}

pub(crate) async fn last_at(store: &PostgresStorage) -> Result<Option<DateTime<Utc>>, Failure> {
    let query = sqlx::query("SELECT at FROM journal ORDER BY feed DESC, position DESC LIMIT 1");
    let row = store.reader().await?.row(query).await?;
    row.map(|row| row.instant(0)).transpose()
}

pub(crate) async fn cursor(store: &PostgresStorage, reader: &str) -> Result<Option<JournalCursor>, Failure> {
    let query = sqlx::query("SELECT cursor FROM journal_cursors WHERE reader = $1").bind(text(reader));
    let row = store.reader().await?.row(query).await?;
    row.map(|row| Ok(JournalCursor(of_text(row.text(0)?)))).transpose()
}

pub(crate) async fn save_cursor(
    store: &PostgresStorage,
    reader: &str,
    cursor: &JournalCursor,
) -> Result<(), Failure> {
    let save = sqlx::query(
        "INSERT INTO journal_cursors (reader, cursor) VALUES ($1, $2) \
         ON CONFLICT (reader) DO UPDATE SET cursor = excluded.cursor",
    )
    .bind(text(reader))
    .bind(text(&cursor.0));
    store.reader().await?.run(save).await.map(drop)
}

/// The entries of a row, by aggregate and in order.
fn read(row: &PgRow) -> Result<Vec<JournalEntry>, Failure> {
    let Some(kind) = row.optional_text(1)? else { return page::read(row.text(5)?, row.id(3)?, |_| true) };
    let aggregate = match kind {
        "organization" => Aggregate::Organization(row.id::<OrgId>(0)?),
        "campaign" => Aggregate::Campaign(row.id::<CampaignId>(0)?),
        "run" => Aggregate::Run(row.id::<RunId>(0)?),
        "contact" => Aggregate::Contact(row.id::<ContactId>(0)?),
        _ => return Err(Unreadable::new("journal entry of an unknown kind").into()),
    };
    let (first, org_id, at) = (row.int(2)?.cast_unsigned(), row.id(3)?, row.instant(4)?);
    let events: Vec<Event> = row.thing("journal event", 5)?;
    let entry = |(sequence, event)| JournalEntry { org_id, aggregate, sequence, at, event };
    Ok((first..).zip(events).map(entry).collect())
}
