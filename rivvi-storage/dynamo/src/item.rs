//! Inbox, outbox and dead letters.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use rivvi_core::domain::ItemId;
use rivvi_core::storage::{DeadLetter, InboxItem, OutboxItem, TakeItems};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::DynamoStorage;
use crate::commit::ACTIONS_MAX;
use crate::error::Failure;
use crate::gateway::{Pause, Range};
use crate::key::{self, ITEM_SHARDS};
use crate::place::{Table, VERSION, When, Write};
use crate::transact::Transacted;
use crate::value::{Attributes, Item, document, instant, number, read_instant, text};

/// An item of inbox or outbox.
pub(crate) trait Boxed: Serialize + DeserializeOwned + Clone + Send + Sync {
    /// The name of its box.
    const BOX: &'static str;

    fn id(&self) -> ItemId;
    fn count_attempt(&mut self);
    fn given_up(self, problem: String) -> DeadLetter;
}

impl Boxed for InboxItem {
    const BOX: &'static str = "inbox";

    fn id(&self) -> ItemId {
        self.id
    }

    fn count_attempt(&mut self) {
        self.attempts += 1;
    }

    fn given_up(self, problem: String) -> DeadLetter {
        DeadLetter::Inbox { item: self, problem }
    }
}

impl Boxed for OutboxItem {
    const BOX: &'static str = "outbox";

    fn id(&self) -> ItemId {
        self.id
    }

    fn count_attempt(&mut self) {
        self.attempts += 1;
    }

    fn given_up(self, problem: String) -> DeadLetter {
        DeadLetter::Outbox { item: self, problem }
    }
}

/// An item as it was read.
struct Row<T> {
    thing: T,
    due: DateTime<Utc>,
    version: u64,
}

impl<T: Boxed> Row<T> {
    /// Reads an item if it is of the box.
    fn read(item: &Item) -> Result<Option<Self>, Failure> {
        if item.text("box")? != T::BOX {
            return Ok(None);
        }
        let due = read_instant(item.text("due")?)?;
        Ok(Some(Self { thing: item.document("item", "doc")?, due, version: item.integer(VERSION)? }))
    }

    /// Writes the item with a new due time in place of this one.
    fn moved(&self, thing: &T, due: DateTime<Utc>) -> Result<Vec<Write>, Failure> {
        let id = thing.id();
        let mut writes = vec![put(thing, due, Some(self.version))?];
        if due != self.due {
            writes.push(Write::delete(key::item_due(T::BOX, self.due, id)));
            writes.push(Write::put(key::item_due(T::BOX, due, id), []));
        }
        Ok(writes)
    }
}

impl<T: Boxed> Row<T> {
    /// Removes the item from its box.
    fn gone(&self, id: ItemId) -> [Write; 2] {
        let item = Write::Delete { place: key::item(id), when: When::Version(self.version) };
        [item, Write::delete(key::item_due(T::BOX, self.due, id))]
    }
}

/// Writes an item over the one of version `before`.
fn put<T: Boxed>(thing: &T, due: DateTime<Utc>, before: Option<u64>) -> Result<Write, Failure> {
    let place = key::item(thing.id());
    let item = place.item([
        (VERSION, number(before.unwrap_or(0) + 1)),
        ("box", text(T::BOX)),
        ("due", text(instant(due))),
        ("doc", document("item", thing)?),
    ]);
    Ok(Write::Put { place, item, when: When::as_read(before) })
}

/// What a new action of the host writes.
pub(crate) fn writes_of_new(item: &OutboxItem) -> Result<[Write; 2], Failure> {
    let due = item.created_at;
    Ok([put(item, due, None)?, Write::put(key::item_due(OutboxItem::BOX, due, item.id), [])])
}

/// Keeps updates of unknown calls, each once however often it comes.
pub(crate) async fn keep(store: &DynamoStorage, items: Vec<InboxItem>) -> Result<(), Failure> {
    let mut left: HashMap<ItemId, InboxItem> = HashMap::new();
    for item in items {
        left.entry(item.id).or_insert(item);
    }
    let mut left: Vec<InboxItem> = left.into_values().collect();
    let mut pause = Pause::new(store.gateway());
    while !left.is_empty() {
        let batch = left.split_off(left.len().saturating_sub(ACTIONS_MAX / 2));
        let mut writes = Vec::with_capacity(ACTIONS_MAX);
        for item in &batch {
            writes.push(put(item, item.received_at, None)?);
            writes.push(Write::put(key::item_due(InboxItem::BOX, item.received_at, item.id), []));
        }
        if let Transacted::Conflict { unmet } = store.gateway().transact(writes).await? {
            // Those that are there already are left out.
            let known = |place: usize| unmet.get(2 * place).copied().unwrap_or(false);
            left.extend(
                batch.into_iter().enumerate().filter(|(place, _)| !known(*place)).map(|(_, item)| item),
            );
            pause.wait().await.map_err(|()| Failure::Contended)?;
        }
    }
    Ok(())
}

/// Items that one transaction takes.
const TAKEN_MAX: usize = ACTIONS_MAX / 3;

pub(crate) async fn take<T: Boxed>(store: &DynamoStorage, request: TakeItems) -> Result<Vec<T>, Failure> {
    let _turn = store.take_turn().await;
    let due = due::<T>(store, request.now, request.limit).await?;
    let items = store.gateway().get_all(due.iter().map(|(_, id)| key::item(*id))).await?;
    let mut rows = Vec::with_capacity(due.len());
    for (at, id) in due {
        let row = items.get(&key::item(id)).map(Row::<T>::read).transpose()?.flatten();
        // One that changed between the two reads is left for another time.
        rows.extend(row.filter(|row| row.due == at));
    }
    let mut taken = Vec::with_capacity(rows.len());
    for chunk in rows.chunks(TAKEN_MAX) {
        match take_all(store, chunk, request.hold_until).await? {
            Some(items) => taken.extend(items),
            // Others took some of them; the rest is taken one by one.
            None => {
                for row in chunk {
                    let one = take_all(store, std::slice::from_ref(row), request.hold_until).await?;
                    taken.extend(one.into_iter().flatten());
                }
            }
        }
    }
    Ok(taken)
}

/// Takes these items, or none of them.
async fn take_all<T: Boxed>(
    store: &DynamoStorage,
    rows: &[Row<T>],
    hold_until: DateTime<Utc>,
) -> Result<Option<Vec<T>>, Failure> {
    let mut writes = Vec::with_capacity(3 * rows.len());
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let mut thing = row.thing.clone();
        thing.count_attempt();
        writes.extend(row.moved(&thing, hold_until)?);
        taken.push(thing);
    }
    let transacted = store.gateway().transact(writes).await?;
    Ok((transacted == Transacted::Done).then_some(taken))
}

/// Items that are due up to `until`, the first `limit`.
async fn due<T: Boxed>(
    store: &DynamoStorage,
    until: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<(DateTime<Utc>, ItemId)>, Failure> {
    let range = |shard| {
        let (pk, to) = (key::box_partition(T::BOX, shard), Some(key::until(until)));
        store.gateway().query(Range { to, limit, ..Range::all(Table::Ledger, pk) })
    };
    let mut due = Vec::new();
    for item in try_join_all((0..ITEM_SHARDS).map(range)).await?.into_iter().flatten() {
        due.push(key::read_timed(item.text("sk")?)?);
    }
    due.sort_unstable();
    due.truncate(limit);
    Ok(due)
}

/// The first instant at which an item of the box comes.
pub(crate) async fn first_due<T: Boxed>(store: &DynamoStorage) -> Result<Option<DateTime<Utc>>, Failure> {
    let first = due::<T>(store, DateTime::<Utc>::MAX_UTC, 1).await?;
    Ok(first.first().map(|(at, _)| *at))
}

pub(crate) async fn finish<T: Boxed>(store: &DynamoStorage, ids: Vec<ItemId>) -> Result<(), Failure> {
    for id in ids {
        change::<T>(store, id, |row| Ok(row.gone(id).into())).await?;
    }
    Ok(())
}

/// Changes an item, if it is there, until nobody is in the way. Returns whether it was there.
async fn change<T: Boxed>(
    store: &DynamoStorage,
    id: ItemId,
    change: impl Fn(&Row<T>) -> Result<Vec<Write>, Failure> + Send,
) -> Result<bool, Failure> {
    let mut pause = Pause::new(store.gateway());
    loop {
        let item = store.gateway().get(&key::item(id)).await?;
        let Some(row) = item.as_ref().map(Row::<T>::read).transpose()?.flatten() else { return Ok(false) };
        if store.gateway().transact(change(&row)?).await? == Transacted::Done {
            return Ok(true);
        }
        pause.wait().await.map_err(|()| Failure::Contended)?;
    }
}

pub(crate) async fn retry(
    store: &DynamoStorage,
    id: ItemId,
    at: Option<DateTime<Utc>>,
    problem: String,
) -> Result<(), Failure> {
    if !retry_in_box::<InboxItem>(store, id, at, &problem).await? {
        retry_in_box::<OutboxItem>(store, id, at, &problem).await?;
    }
    Ok(())
}

async fn retry_in_box<T: Boxed>(
    store: &DynamoStorage,
    id: ItemId,
    at: Option<DateTime<Utc>>,
    problem: &str,
) -> Result<bool, Failure> {
    change::<T>(store, id, |row| {
        if let Some(at) = at {
            return row.moved(&row.thing, at);
        }
        let letter = row.thing.clone().given_up(problem.to_owned());
        let place = key::key(key::DEAD, id.to_string());
        Ok([Write::put(place, [("doc", document("dead letter", &letter)?)])]
            .into_iter()
            .chain(row.gone(id))
            .collect())
    })
    .await
}

pub(crate) async fn dead_letters(
    store: &DynamoStorage,
    after: Option<ItemId>,
    limit: usize,
) -> Result<Vec<DeadLetter>, Failure> {
    let after = after.map(|after| after.to_string());
    let range = Range { after, limit, ..Range::all(Table::Ledger, key::DEAD) };
    let items = store.gateway().query(range).await?;
    items.iter().map(|item| Ok(item.document("dead letter", "doc")?)).collect()
}

pub(crate) async fn revive(
    store: &DynamoStorage,
    ids: Vec<ItemId>,
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    let mut revived = 0;
    for id in ids {
        let place = key::key(key::DEAD, id.to_string());
        let Some(item) = store.gateway().get(&place).await? else { continue };
        let (put, name) = match item.document("dead letter", "doc")? {
            DeadLetter::Inbox { item, .. } => (put(&item, now, None)?, InboxItem::BOX),
            DeadLetter::Outbox { item, .. } => (put(&item, now, None)?, OutboxItem::BOX),
        };
        let due = Write::put(key::item_due(name, now, id), []);
        let writes = vec![put, due, Write::delete(place)];
        revived += u64::from(store.gateway().transact(writes).await? == Transacted::Done);
    }
    Ok(revived)
}
