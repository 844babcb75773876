//! Inbox, outbox and the dead-letter list.

use chrono::{DateTime, Utc};
use rivvi_core::domain::ItemId;
use rivvi_core::storage::{DeadLetter, InboxItem, OutboxItem, TakeItems};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::SqliteStorage;
use crate::batch::Batch;
use crate::error::Failure;
use crate::value::{Columns, Id, document, id_list, limit, nanos};

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

/// Adds updates to the inbox; those that are there already stay as they are.
pub(crate) async fn put_inbox(
    connection: &mut SqliteConnection,
    items: Vec<(DateTime<Utc>, InboxItem)>,
) -> Result<(), Failure> {
    const PUT: Batch<4> = Batch {
        head: "INSERT INTO inbox (id, due_at, attempts, document) VALUES ",
        tail: " ON CONFLICT (id) DO NOTHING",
    };
    PUT.run(connection, rows(items)?).await
}

/// Adds actions to the outbox.
pub(crate) async fn put_outbox(
    connection: &mut SqliteConnection,
    items: Vec<(DateTime<Utc>, OutboxItem)>,
) -> Result<(), Failure> {
    const PUT: Batch<4> = Batch {
        head: "INSERT INTO outbox (id, due_at, attempts, document) VALUES ",
        tail: " ON CONFLICT (id) DO UPDATE \
               SET due_at = excluded.due_at, attempts = excluded.attempts, document = excluded.document",
    };
    PUT.run(connection, rows(items)?).await
}

fn rows<I: Item>(items: Vec<(DateTime<Utc>, I)>) -> Result<Vec<[crate::batch::Value; 4]>, Failure> {
    let row = |(due_at, mut item): (DateTime<Utc>, I)| {
        let attempts = i64::from(*item.attempts());
        Ok([item.id().into(), due_at.into(), attempts.into(), document("item", &item)?.into()])
    };
    items.into_iter().map(row).collect()
}

/// Takes items whose time has come, the longest overdue first.
pub(crate) async fn take<I: Item>(store: &SqliteStorage, request: TakeItems) -> Result<Vec<I>, Failure> {
    let table = I::TABLE;
    // Asked often and mostly in vain, so not as a writer.
    let any = sqlx::query(AssertSqlSafe(format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE due_at <= ?)")))
        .bind(nanos(request.now))
        .fetch_one(&mut *store.reader().await?)
        .await?;
    if any.int(0)? == 0 || request.limit == 0 {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    let due = sqlx::query(AssertSqlSafe(format!(
        "SELECT attempts, document FROM {table} WHERE due_at <= ? ORDER BY due_at, id LIMIT ?"
    )))
    .bind(nanos(request.now))
    .bind(limit(request.limit))
    .fetch_all(&mut *tx)
    .await?;
    let mut items = Vec::with_capacity(due.len());
    for row in &due {
        let mut item: I = row.thing("item", 1)?;
        *item.attempts() = attempts(row.int(0)? + 1);
        items.push(item);
    }
    sqlx::query(AssertSqlSafe(format!(
        "UPDATE {table} SET due_at = ?, attempts = attempts + 1 WHERE id IN (SELECT unhex(value) FROM json_each(?))"
    )))
    .bind(nanos(request.hold_until))
    .bind(id_list(items.iter().map(Item::id)))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(items)
}

/// Removes items that are done.
pub(crate) async fn finish<I: Item>(store: &SqliteStorage, ids: Vec<ItemId>) -> Result<(), Failure> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut tx = store.begin().await?;
    let table = I::TABLE;
    sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM {table} WHERE id IN (SELECT unhex(value) FROM json_each(?))"
    )))
    .bind(id_list(ids))
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

pub(crate) async fn retry(
    store: &SqliteStorage,
    id: ItemId,
    at: Option<DateTime<Utc>>,
    problem: String,
) -> Result<(), Failure> {
    let mut tx = store.begin().await?;
    if let Some(at) = at {
        for update in
            ["UPDATE inbox SET due_at = ? WHERE id = ?", "UPDATE outbox SET due_at = ? WHERE id = ?"]
        {
            sqlx::query(update).bind(nanos(at)).bind(id.blob()).execute(&mut *tx).await?;
        }
        return tx.commit().await;
    }
    let letter = match remove::<InboxItem>(&mut tx, id).await? {
        Some(item) => Some(DeadLetter::Inbox { item, problem }),
        None => {
            let item = remove::<OutboxItem>(&mut tx, id).await?;
            item.map(|item| DeadLetter::Outbox { item, problem })
        }
    };
    if let Some(letter) = letter {
        sqlx::query(
            "INSERT INTO dead_letters (id, document) VALUES (?, ?) \
             ON CONFLICT (id) DO UPDATE SET document = excluded.document",
        )
        .bind(id.blob())
        .bind(document("dead letter", &letter)?)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

pub(crate) async fn dead_letters(
    store: &SqliteStorage,
    after: Option<ItemId>,
    count: usize,
) -> Result<Vec<DeadLetter>, Failure> {
    let query = sqlx::query("SELECT document FROM dead_letters WHERE id > ? ORDER BY id LIMIT ?")
        .bind(after.map_or_else(Vec::new, Id::blob))
        .bind(limit(count));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(|row| row.thing("dead letter", 0)).collect()
}

pub(crate) async fn revive(
    store: &SqliteStorage,
    ids: Vec<ItemId>,
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    let mut tx = store.begin().await?;
    let letters = sqlx::query(
        "DELETE FROM dead_letters WHERE id IN (SELECT unhex(value) FROM json_each(?)) RETURNING document",
    )
    .bind(id_list(ids))
    .fetch_all(&mut *tx)
    .await?;
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

async fn remove<I: Item>(connection: &mut SqliteConnection, id: ItemId) -> Result<Option<I>, Failure> {
    let table = I::TABLE;
    let delete = format!("DELETE FROM {table} WHERE id = ? RETURNING attempts, document");
    let rows = sqlx::query(AssertSqlSafe(delete)).bind(id.blob()).fetch_all(connection).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let mut item: I = row.thing("item", 1)?;
    *item.attempts() = attempts(row.int(0)?);
    Ok(Some(item))
}

fn attempts(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
