//! The journal: entries by aggregate, the feed of all, and readers' places in it.
//!
//! An entry lies twice: by itself in the table `journal`, and with the others of its transaction in one item of its
//! organization's feed. Positions are given under the lock of the shard's head, in the order of commit. So a reader who
//! has read up to a position has everything that was committed before.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::domain::{Aggregate, CallId, JournalEntry, OrgId};
use rivvi_core::storage::{JournalCursor, JournalPage, StorageError, StorageErrorKind};

use crate::DynamoStorage;
use crate::commit::{Committed, Draft};
use crate::counters::{self, Counters, Head};
use crate::error::{Failure, Unreadable};
use crate::gateway::{Pause, Range};
use crate::key::{self, FEED_SHARDS};
use crate::place::{Place, Table, Write};
use crate::schema::{BY_CORRELATION, BY_EVENT};
use crate::value::{Attributes, Item, document, instant, text};

/// About how many bytes an entry takes as a document.
pub(crate) fn entry_bytes(entry: &JournalEntry) -> usize {
    serde_json::to_vec(entry).map_or(0, |written| written.len())
}

pub(crate) fn write_entry(entry: &JournalEntry) -> Result<Write, Failure> {
    let place = place(entry.aggregate, entry.sequence);
    Ok(Write::put(
        place,
        [
            ("org_event", text(org_event(entry.org_id, entry.event.name()))),
            ("at", text(instant(entry.at))),
            ("correlation_id", text(correlation(entry)?)),
            ("doc", document("journal entry", entry)?),
        ],
    ))
}

/// Entries that one transaction adds.
const ADDED_MAX: usize = 30;

/// Adds entries whose place is free. Two who tell the same at once follow each other.
pub(crate) async fn add(store: &DynamoStorage, entries: Vec<JournalEntry>) -> Result<(), Failure> {
    let mut by_organization: BTreeMap<OrgId, Vec<JournalEntry>> = BTreeMap::new();
    for entry in entries {
        by_organization.entry(entry.org_id).or_default().push(entry);
    }
    for (org_id, entries) in by_organization {
        for chunk in entries.chunks(ADDED_MAX) {
            let mut pause = Pause::new(store.gateway());
            while !add_some(store, org_id, chunk).await? {
                pause.wait().await.map_err(|()| Failure::Contended)?;
            }
        }
    }
    Ok(())
}

/// Adds entries of one organization; returns whether nobody was in the way.
async fn add_some(store: &DynamoStorage, org_id: OrgId, entries: &[JournalEntry]) -> Result<bool, Failure> {
    let mut counters = counters::load(store, org_id, &BTreeSet::new()).await?;
    let places = entries.iter().map(|entry| place(entry.aggregate, entry.sequence));
    let told = store.gateway().get_all(places).await?;
    let free = |entry: &&JournalEntry| !told.contains_key(&place(entry.aggregate, entry.sequence));
    let draft = Draft { entries: entries.iter().filter(free).cloned().collect(), ..Draft::default() };
    if draft.entries.is_empty() {
        return Ok(true);
    }
    // Every transaction of the shard moves its head, so at the same position nobody has told anything meanwhile.
    let read = counters.head.position;
    let fit = |counters: &mut Counters| Ok(counters.head.position == read);
    Ok(store.commit(&mut counters, &draft, fit).await? == Committed::Done)
}

/// The entries of one transaction, in the feed of their shard.
pub(crate) fn write_feed(
    shard: u8,
    position: u64,
    entries: &[JournalEntry],
) -> Result<Option<Write>, Failure> {
    if entries.is_empty() {
        return Ok(None);
    }
    let place = key::key(key::feed(shard), key::position(position));
    Ok(Some(Write::put(place, [("doc", document("journal entries", &entries)?)])))
}

fn place(aggregate: Aggregate, sequence: u64) -> Place {
    let pk = format!("{}#{}", aggregate.kind(), aggregate.uuid());
    Place { table: Table::Journal, pk, sk: sequence.to_string() }
}

fn org_event(org_id: OrgId, event: &str) -> String {
    format!("{org_id}#{event}")
}

/// What an entry hangs together with: its call, or else its aggregate.
fn correlation(entry: &JournalEntry) -> Result<String, Failure> {
    let event = serde_json::to_value(&entry.event).map_err(|error| Unreadable::json("event", &error))?;
    let call = event.get("call_id").and_then(serde_json::Value::as_str);
    Ok(call.map_or_else(|| entry.aggregate.uuid().to_string(), str::to_owned))
}

pub(crate) async fn journal(
    store: &DynamoStorage,
    aggregate: Aggregate,
    after: u64,
    limit: usize,
) -> Result<Vec<JournalEntry>, Failure> {
    let Place { table, pk, sk } = place(aggregate, after);
    if limit == 0 {
        return Ok(Vec::new());
    }
    let range = Range { after: Some(sk), limit, ..Range::all(table, pk) };
    entries(store.gateway().query(range).await?)
}

fn entries(items: Vec<Item>) -> Result<Vec<JournalEntry>, Failure> {
    items.iter().map(|item| Ok(item.document("journal entry", "doc")?)).collect()
}

impl DynamoStorage {
    /// Entries of one type, see [`Event::name`](rivvi_core::domain::Event::name), of an organization, oldest first: the
    /// first `limit` written at or after `from`. The index behind it may lag behind by moments.
    ///
    /// # Errors
    /// As the verbs of the ledger.
    pub async fn entries_of_type(
        &self,
        org_id: OrgId,
        event: &str,
        from: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StorageError> {
        let after = instant(from.checked_sub_signed(TimeDelta::nanoseconds(1)).unwrap_or(from));
        let key = ["org_event", "at"];
        let range = Range {
            index: Some((BY_EVENT, key)),
            after: Some(after),
            limit,
            ..Range::all(Table::Journal, org_event(org_id, event))
        };
        indexed(self, range).await.map_err(self.error("entries_of_type"))
    }

    /// Entries about one call, oldest first. The index behind it may lag behind by moments.
    ///
    /// # Errors
    /// As the verbs of the ledger.
    pub async fn entries_of_call(&self, id: CallId) -> Result<Vec<JournalEntry>, StorageError> {
        let key = ["correlation_id", "at"];
        let range =
            Range { index: Some((BY_CORRELATION, key)), ..Range::all(Table::Journal, id.to_string()) };
        indexed(self, range).await.map_err(self.error("entries_of_call"))
    }
}

/// Entries found by an index, read from the table itself.
async fn indexed(store: &DynamoStorage, range: Range<'_>) -> Result<Vec<JournalEntry>, Failure> {
    let keys = store.gateway().query(range).await?;
    let places: Vec<Place> = keys.iter().filter_map(|item| Place::of(Table::Journal, item)).collect();
    let items = store.gateway().get_all(places.iter().cloned()).await?;
    let mut found = entries(places.iter().filter_map(|place| items.get(place)).cloned().collect())?;
    found.sort_by_key(|entry| (entry.at, entry.sequence));
    Ok(found)
}

/// How far a reader has come in the feeds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Reader {
    /// The feed to begin with, so that a busy one does not keep the others waiting.
    turn: u8,
    /// Per feed the next place to be read.
    feeds: BTreeMap<u8, Next>,
}

/// The next place to be read in a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Next {
    /// Items before this position were read.
    position: u64,
    /// So many entries of the item at this position were read.
    entries: usize,
}

impl Next {
    const FIRST: Self = Self { position: 1, entries: 0 };
}

impl Reader {
    fn next(&self, shard: u8) -> Next {
        self.feeds.get(&shard).copied().unwrap_or(Next::FIRST)
    }

    /// `TURN;SHARD:POSITION.ENTRIES;…`
    fn write(&self) -> JournalCursor {
        let feeds = self.feeds.iter();
        let feeds = feeds.map(|(shard, next)| format!(";{shard}:{}.{}", next.position, next.entries));
        JournalCursor(format!("{}{}", self.turn, feeds.collect::<String>()))
    }

    fn read(cursor: &JournalCursor) -> Option<Self> {
        let mut parts = cursor.0.split(';');
        let turn = parts.next()?.parse().ok().filter(|turn| *turn < FEED_SHARDS)?;
        let feed = |part: &str| {
            let (shard, rest) = part.split_once(':')?;
            let (position, entries) = rest.split_once('.')?;
            let next = Next { position: position.parse().ok()?, entries: entries.parse().ok()? };
            Some((shard.parse().ok()?, next))
        };
        Some(Self { turn, feeds: parts.map(feed).collect::<Option<_>>()? })
    }
}

pub(crate) async fn feed(
    store: &DynamoStorage,
    after: Option<JournalCursor>,
    limit: usize,
) -> Result<JournalPage, Failure> {
    let mut reader = match &after {
        None => Reader::default(),
        Some(cursor) => Reader::read(cursor).ok_or_else(|| {
            StorageError::new(StorageErrorKind::Refused, "journal_feed", "not a cursor of this store")
        })?,
    };
    let heads = heads(store).await?;
    let mut entries: Vec<JournalEntry> = Vec::new();
    for shard in (0..FEED_SHARDS).map(|place| (reader.turn + place) % FEED_SHARDS) {
        let head = heads.get(&shard).map_or(0, |head| head.position);
        if entries.len() >= limit {
            break;
        }
        if head >= reader.next(shard).position {
            let next = read_feed(store, shard, head, reader.next(shard), limit, &mut entries).await?;
            reader.feeds.insert(shard, next);
        }
    }
    if let Some(last) = entries.last() {
        reader.turn = (key::feed_shard(last.org_id) + 1) % FEED_SHARDS;
    }
    Ok(JournalPage { entries, next: reader.write() })
}

/// Reads on in one feed, whose last position is `head` or a later one, until it ends or there are `limit` entries.
async fn read_feed(
    store: &DynamoStorage,
    shard: u8,
    head: u64,
    from: Next,
    limit: usize,
    entries: &mut Vec<JournalEntry>,
) -> Result<Next, Failure> {
    // Every item has at least one entry.
    let items_max = limit - entries.len();
    let after = Some(key::position(from.position - 1));
    let range = Range { after, limit: items_max, ..Range::all(Table::Ledger, key::feed(shard)) };
    let items = store.gateway().query(range).await?;
    let ends = items.len() < items_max;
    let mut next = from;
    for item in items {
        let position = item.text("sk")?.parse().map_err(|_| Unreadable::new("position"))?;
        let held: Vec<JournalEntry> = item.document("journal entries", "doc")?;
        let read = if position == from.position { from.entries } else { 0 };
        let taken = held.len().saturating_sub(read).min(limit - entries.len());
        next = if read + taken < held.len() {
            Next { position, entries: read + taken }
        } else {
            Next { position: position + 1, entries: 0 }
        };
        entries.extend(held.into_iter().skip(read).take(taken));
        if entries.len() == limit {
            return Ok(next);
        }
    }
    // Transactions without entries give positions too.
    Ok(if ends && next.position <= head { Next { position: head + 1, entries: 0 } } else { next })
}

async fn heads(store: &DynamoStorage) -> Result<BTreeMap<u8, Head>, Failure> {
    let items = store.gateway().get_all((0..FEED_SHARDS).map(key::head)).await?;
    let head = |shard: u8| Some(Head::read(items.get(&key::head(shard))?).map(|head| (shard, head)));
    (0..FEED_SHARDS).filter_map(head).collect()
}

pub(crate) async fn last_at(store: &DynamoStorage) -> Result<Option<DateTime<Utc>>, Failure> {
    Ok(heads(store).await?.into_values().filter_map(|head| head.last_at).max())
}

pub(crate) async fn cursor(store: &DynamoStorage, reader: &str) -> Result<Option<JournalCursor>, Failure> {
    let item = store.gateway().get(&key::cursor(reader)).await?;
    item.map(|item| Ok(JournalCursor(item.text("cursor")?.to_owned()))).transpose()
}

pub(crate) async fn save_cursor(
    store: &DynamoStorage,
    reader: &str,
    cursor: JournalCursor,
) -> Result<(), Failure> {
    let attributes = [("reader", text(reader)), ("cursor", text(cursor.0))];
    store.gateway().write_all(vec![Write::put(key::cursor(reader), attributes)]).await
}
