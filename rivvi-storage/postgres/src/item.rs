//! Inbox, outbox and the dead-letter list.

use chrono::{DateTime, Utc};
use rivvi_core::domain::{ItemId, OrgId};
use rivvi_core::storage::{DeadLetter, InboxItem, OutboxItem, TakeItems};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::PostgresStorage;
use crate::connection::{Connection, Transaction};
use crate::error::Failure;
use crate::value::{Columns, after, count, counted, document, instant, limit, uuids};

/// An item that waits in a table of its own.
pub(crate) trait Item: Serialize + DeserializeOwned + Send {
    const TABLE: &'static str;
    fn id(&self) -> ItemId;
    fn attempts(&mut self) -> &mut u32;
}

impl Item for InboxItem {
    const TABLE: &'static str = "inbox";

    fn id(&self) -> ItemId {
        self.id
    }

    fn attempts(&mut self) -> &mut u32 {
        &mut self.attempts
    }
}

impl Item for OutboxItem {
    const TABLE: &'static str = "outbox";

    fn id(&self) -> ItemId {
        self.id
    }

    fn attempts(&mut self) -> &mut u32 {
        &mut self.attempts
    }
}

/// The columns that items of both kinds have.
#[derive(Default)]
struct ItemRows {
    id: Vec<Uuid>,
    due_at: Vec<DateTime<Utc>>,
    attempts: Vec<i64>,
    document: Vec<String>,
}

impl ItemRows {
    fn push<I: Item>(&mut self, due_at: DateTime<Utc>, item: &mut I) -> Result<(), Failure> {
        self.id.push(item.id().as_uuid());
        self.due_at.push(instant(due_at));
        self.attempts.push(count(*item.attempts()));
        self.document.push(document("item", item)?);
        Ok(())
    }
}

/// Adds updates to the inbox; those that are there already stay as they are.
pub(crate) async fn put_inbox(
    tx: &mut Transaction,
    items: Vec<(DateTime<Utc>, InboxItem)>,
) -> Result<(), Failure> {
    const PUT: &str = "INSERT INTO inbox (id, due_at, attempts, document) \
        SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::text[]) ON CONFLICT (id) DO NOTHING";
    if items.is_empty() {
        return Ok(());
    }
    let mut items = items;
    items.sort_by_key(|(_, item)| item.id);
    let mut rows = ItemRows::default();
    items.iter_mut().try_for_each(|(due_at, item)| rows.push(*due_at, item))?;
    let put = sqlx::query(PUT).bind(rows.id).bind(rows.due_at).bind(rows.attempts).bind(rows.document);
    tx.run(put).await.map(drop)
}

/// Adds actions to the outbox.
pub(crate) async fn put_outbox(
    tx: &mut Transaction,
    items: Vec<(DateTime<Utc>, OutboxItem)>,
) -> Result<(), Failure> {
    const PUT: &str = "INSERT INTO outbox (id, due_at, attempts, document, org_id) \
        SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::bigint[], $4::text[], $5::uuid[]) \
        ON CONFLICT (id) DO UPDATE \
          SET due_at = excluded.due_at, attempts = excluded.attempts, document = excluded.document";
    if items.is_empty() {
        return Ok(());
    }
    let mut items = items;
    items.sort_by_key(|(_, item)| item.id);
    items.dedup_by_key(|(_, item)| item.id);
    let mut rows = ItemRows::default();
    items.iter_mut().try_for_each(|(due_at, item)| rows.push(*due_at, item))?;
    let organizations = uuids(items.iter().map(|(_, item)| item.org_id));
    let put = sqlx::query(PUT).bind(rows.id).bind(rows.due_at).bind(rows.attempts).bind(rows.document);
    tx.run(put.bind(organizations)).await.map(drop)
}

/// Takes items whose time has come, the longest overdue first.
pub(crate) async fn take<I: Item>(store: &PostgresStorage, request: &TakeItems) -> Result<Vec<I>, Failure> {
    let table = I::TABLE;
    let take = format!(
        "WITH first AS MATERIALIZED (SELECT id, due_at FROM {table} WHERE due_at <= $1 ORDER BY due_at, id LIMIT $3 \
           FOR UPDATE SKIP LOCKED) \
         UPDATE {table} i SET due_at = $2, attempts = i.attempts + 1 FROM first WHERE i.id = first.id \
         RETURNING i.attempts, i.document, first.due_at"
    );
    let query = sqlx::query(AssertSqlSafe(take))
        .bind(instant(request.now))
        .bind(instant(request.hold_until))
        .bind(limit(request.limit));
    let rows = store.reader().await?.rows(query).await?;
    let mut items = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut item: I = row.thing("item", 1)?;
        *item.attempts() = counted(row.int(0)?);
        items.push((row.instant(2)?, item));
    }
    items.sort_by_key(|(due_at, item)| (*due_at, item.id()));
    Ok(items.into_iter().map(|(_, item)| item).collect())
}

/// Removes items that are done.
pub(crate) async fn finish<I: Item>(store: &PostgresStorage, ids: &[ItemId]) -> Result<(), Failure> {
    if ids.is_empty() {
        return Ok(());
    }
    // In the order of their ids, as all do who lock several.
    let delete = format!(
        "DELETE FROM {0} WHERE id = ANY(ARRAY(SELECT id FROM {0} WHERE id = ANY($1) ORDER BY id FOR UPDATE))",
        I::TABLE
    );
    let delete = sqlx::query(AssertSqlSafe(delete)).bind(uuids(ids.iter().copied()));
    store.reader().await?.run(delete).await.map(drop)
}

pub(crate) async fn retry(
    store: &PostgresStorage,
    id: ItemId,
    at: Option<DateTime<Utc>>,
    problem: &str,
) -> Result<(), Failure> {
    const PUT: &str = "INSERT INTO dead_letters (id, org_id, document) VALUES ($1, $2, $3) \
        ON CONFLICT (id) DO UPDATE SET document = excluded.document";
    let mut tx = store.begin().await?;
    if let Some(at) = at {
        for update in
            ["UPDATE inbox SET due_at = $1 WHERE id = $2", "UPDATE outbox SET due_at = $1 WHERE id = $2"]
        {
            tx.run(sqlx::query(update).bind(instant(at)).bind(id.as_uuid())).await?;
        }
        return tx.commit().await;
    }
    let problem = problem.to_owned();
    let letter = match remove::<InboxItem>(&mut tx, id).await? {
        Some(item) => Some((None, DeadLetter::Inbox { item, problem })),
        None => {
            let item = remove::<OutboxItem>(&mut tx, id).await?;
            item.map(|item| (Some(item.org_id), DeadLetter::Outbox { item, problem }))
        }
    };
    if let Some((org_id, letter)) = letter {
        let org_id: Option<OrgId> = org_id;
        let put = sqlx::query(PUT).bind(id.as_uuid()).bind(org_id.map(|id| id.as_uuid()));
        tx.run(put.bind(document("dead letter", &letter)?)).await?;
    }
    tx.commit().await
}

async fn remove<I: Item>(connection: &mut Connection, id: ItemId) -> Result<Option<I>, Failure> {
    let delete = format!("DELETE FROM {} WHERE id = $1 RETURNING attempts, document", I::TABLE);
    let row = connection.row(sqlx::query(AssertSqlSafe(delete)).bind(id.as_uuid())).await?;
    let Some(row) = row else { return Ok(None) };
    let mut item: I = row.thing("item", 1)?;
    *item.attempts() = counted(row.int(0)?);
    Ok(Some(item))
}

pub(crate) async fn dead_letters(
    store: &PostgresStorage,
    after_id: Option<ItemId>,
    count: usize,
) -> Result<Vec<DeadLetter>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM dead_letters WHERE ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2",
    )
    .bind(after(after_id))
    .bind(limit(count));
    let rows = store.reader().await?.rows(query).await?;
    rows.iter().map(|row| row.thing("dead letter", 0)).collect()
}

pub(crate) async fn revive(
    store: &PostgresStorage,
    ids: &[ItemId],
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    let mut tx = store.begin().await?;
    let delete = sqlx::query(
        "DELETE FROM dead_letters WHERE id = ANY(ARRAY(SELECT id FROM dead_letters WHERE id = ANY($1) ORDER BY id \
         FOR UPDATE)) RETURNING document",
    );
    let letters = tx.rows(delete.bind(uuids(ids.iter().copied()))).await?;
    let (mut inbox, mut outbox) = (Vec::new(), Vec::new());
    for letter in &letters {
        match letter.thing("dead letter", 0)? {
            DeadLetter::Inbox { item, .. } => inbox.push((now, item)),
            DeadLetter::Outbox { item, .. } => outbox.push((now, item)),
        }
    }
    put_inbox(&mut tx, inbox).await?;
    put_outbox(&mut tx, outbox).await?;
    tx.commit().await?;
    Ok(letters.len() as u64)
}
