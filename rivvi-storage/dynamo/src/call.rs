//! Calls: their documents, and the places beside them for those that are live.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use rivvi_core::domain::{Call, CallId, ContactId, Personal, RunId};
use rivvi_core::storage::{CallWrite, TakeOverdue, WorkingSet};

use crate::DynamoStorage;
use crate::commit::{ACTIONS_MAX, Draft};
use crate::contact;
use crate::error::Failure;
use crate::gateway::Range;
use crate::key::{self, CHECK_SHARDS};
use crate::place::{Table, VERSION, When, Write};
use crate::transact::Transacted;
use crate::value::{Attributes, ITEM_BYTES_MAX, Item, document, number, text};

/// A call as it was read.
#[derive(Debug, Clone)]
pub(crate) struct CallRow {
    pub(crate) call: Call,
    pub(crate) version: u64,
}

impl CallRow {
    fn read(item: &Item) -> Result<Self, Failure> {
        Ok(Self { call: item.document("call", "doc")?, version: item.integer(VERSION)? })
    }
}

/// Loads calls; those that do not exist are left out.
pub(crate) async fn load(
    store: &DynamoStorage,
    ids: Vec<CallId>,
) -> Result<HashMap<CallId, CallRow>, Failure> {
    let items = store.gateway().get_all(ids.into_iter().map(key::call)).await?;
    let row = |item| CallRow::read(item).map(|row| (row.call.id, row));
    items.values().map(row).collect()
}

/// The calls that providers know by these references.
pub(crate) async fn by_reference(
    store: &DynamoStorage,
    references: &[(&str, &str)],
) -> Result<HashMap<(String, String), CallId>, Failure> {
    let place = |(provider, reference): &(&str, &str)| key::reference(provider, reference);
    let items = store.gateway().get_all(references.iter().map(place)).await?;
    let mut found = HashMap::new();
    for (provider, reference) in references {
        if let Some(item) = items.get(&key::reference(provider, reference)) {
            found.insert(((*provider).to_owned(), (*reference).to_owned()), item.id("call_id")?);
        }
    }
    Ok(found)
}

/// Drafts what is written of a call whose stored version is `before`.
pub(crate) fn draft(write: &CallWrite, before: Option<u64>, draft: &mut Draft) -> Result<(), Failure> {
    let call = &write.call;
    let place = key::call(call.id);
    let attributes =
        [(VERSION, number(before.unwrap_or(0) + 1)), ("doc", document("call", &*fitting(call))?)];
    draft.writes.push(Write::Put { item: place.item(attributes), place, when: When::as_read(before) });
    draft.writes.extend(check_writes(write));
    if write.began() {
        draft.began += 1;
        draft.writes.push(Write::put(key::live(call.run_id, call.id), []));
    }
    if write.ended() {
        draft.ended += 1;
        draft.writes.push(Write::delete(key::live(call.run_id, call.id)));
    }
    if let Some(reference) = write.new_reference() {
        let place = key::reference(call.provider.as_str(), reference);
        draft.writes.push(Write::put(place, [("call_id", text(call.id.to_string()))]));
    }
    Ok(())
}

fn check_writes(write: &CallWrite) -> impl Iterator<Item = Write> {
    let changed = write.check_changed();
    let place = |at: DateTime<Utc>| key::check(at, write.call.id);
    let before = write.check_before().filter(|_| changed).map(|at| Write::delete(place(at)));
    let now = write.call.check_at.filter(|_| changed).map(|at| Write::put(place(at), []));
    before.into_iter().chain(now)
}

/// How large the document of a call may be.
const CALL_BYTES_MAX: usize = ITEM_BYTES_MAX - 4 * 1024;

/// The call itself, or, where that is larger than an item may be, the call with its transcript cut and its analysis
/// replaced by a note: what a provider tells must not keep the call from ending.
pub(crate) fn fitting(call: &Call) -> std::borrow::Cow<'_, Call> {
    use std::borrow::Cow;
    let bytes = |call: &Call| serde_json::to_vec(call).map_or(0, |written| written.len());
    let before = bytes(call);
    if before <= CALL_BYTES_MAX {
        return Cow::Borrowed(call);
    }
    let mut call = call.clone();
    if let Some(analysis) = call.detail.analysis.take() {
        let bytes = analysis.expose().to_string().len();
        let note = format!("left out: its {bytes} bytes do not fit into an item of DynamoDB");
        call.detail.analysis = (bytes <= CALL_BYTES_MAX / 2)
            .then_some(analysis)
            .or_else(|| Some(Personal::new(serde_json::json!({ "rivvi": note }))));
    }
    let mut transcript = call.detail.transcript.take().map(Personal::into_inner).unwrap_or_default();
    let room = CALL_BYTES_MAX.saturating_sub(bytes(&call) + CUT.len() + 64);
    let written = |text: &str| serde_json::to_string(text).map_or(0, |written| written.len());
    while written(&transcript) > room && !transcript.is_empty() {
        let excess = written(&transcript) - room;
        let mut end = transcript.len().saturating_sub(excess.div_ceil(6).max(1));
        while !transcript.is_char_boundary(end) {
            end -= 1;
        }
        transcript.truncate(end);
    }
    call.detail.transcript = Some(Personal::new(transcript + CUT));
    tracing::warn!(call_id = %call.id, bytes = before, bytes_max = CALL_BYTES_MAX, "details of a call were cut");
    Cow::Owned(call)
}

/// What a transcript that was cut ends with.
const CUT: &str = " [cut: the rest does not fit into an item of DynamoDB]";

pub(crate) async fn call(store: &DynamoStorage, id: CallId) -> Result<Option<Call>, Failure> {
    let item = store.gateway().get(&key::call(id)).await?;
    item.map(|item| Ok(CallRow::read(&item)?.call)).transpose()
}

pub(crate) async fn of_contacts(store: &DynamoStorage, ids: &[ContactId]) -> Result<Vec<Call>, Failure> {
    let contacts = contact::load(store, ids).await?;
    let calls_of = |id: &ContactId| contacts.get(id).map(|row| row.calls.clone()).unwrap_or_default();
    let known: Vec<CallId> = ids.iter().flat_map(calls_of).collect();
    let mut calls = load(store, known.clone()).await?;
    Ok(known.iter().filter_map(|id| Some(calls.remove(id)?.call)).collect())
}

pub(crate) async fn live(
    store: &DynamoStorage,
    run_id: RunId,
    after: Option<CallId>,
    limit: usize,
) -> Result<Vec<Call>, Failure> {
    let after = after.map(|after| after.to_string());
    let range = Range { after, limit, ..Range::all(Table::Ledger, key::live_partition(run_id)) };
    let items = store.gateway().query(range).await?;
    let ids = items.iter().map(|item| item.id("sk")).collect::<Result<Vec<CallId>, _>>()?;
    let mut calls = load(store, ids.clone()).await?;
    // One that ended between the two reads is left out.
    Ok(ids.iter().filter_map(|id| Some(calls.remove(id)?.call)).filter(Call::is_live).collect())
}

/// Overdue calls that one transaction takes: the call, where it stood, where it stands.
const TAKEN_MAX: usize = ACTIONS_MAX / 3;

pub(crate) async fn take_overdue(store: &DynamoStorage, request: TakeOverdue) -> Result<Vec<Call>, Failure> {
    let _turn = store.take_turn().await;
    let due = due_checks(store, request.now, request.limit).await?;
    let mut rows = load(store, due.iter().map(|(_, id)| *id).collect()).await?;
    // One that changed between the two reads is left for another time.
    let overdue: Vec<CallRow> = due
        .iter()
        .filter_map(|(at, id)| rows.remove(id).filter(|row| row.call.check_at == Some(*at)))
        .collect();
    let mut taken = Vec::with_capacity(overdue.len());
    for chunk in overdue.chunks(TAKEN_MAX) {
        match take(store, chunk, &request).await? {
            Some(calls) => taken.extend(calls),
            // Others took some of them; the rest is taken one by one.
            None => {
                for row in chunk {
                    taken.extend(
                        take(store, std::slice::from_ref(row), &request).await?.into_iter().flatten(),
                    );
                }
            }
        }
    }
    Ok(taken)
}

/// Takes these calls, or none of them.
async fn take(
    store: &DynamoStorage,
    rows: &[CallRow],
    request: &TakeOverdue,
) -> Result<Option<Vec<Call>>, Failure> {
    let versions: BTreeMap<CallId, u64> = rows.iter().map(|row| (row.call.id, row.version)).collect();
    let mut set = WorkingSet::default();
    let taken = set.take_over(rows.iter().map(|row| row.call.clone()).collect(), request);
    let mut writes = Draft::default();
    for write in &set.into_writes().calls {
        draft(write, versions.get(&write.call.id).copied(), &mut writes)?;
    }
    let transacted = store.gateway().transact(writes.writes).await?;
    Ok((transacted == Transacted::Done).then_some(taken))
}

/// Instants up to `until` at which calls are to be looked after, the first `limit`.
async fn due_checks(
    store: &DynamoStorage,
    until: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<(DateTime<Utc>, CallId)>, Failure> {
    let range = |shard| {
        let to = Some(key::until(until));
        store.gateway().query(Range { to, limit, ..Range::all(Table::Ledger, key::check_partition(shard)) })
    };
    let mut due = Vec::new();
    for item in try_join_all((0..CHECK_SHARDS).map(range)).await?.into_iter().flatten() {
        due.push(key::read_timed(item.text("sk")?)?);
    }
    due.sort_unstable();
    due.truncate(limit);
    Ok(due)
}

/// The first instant at which a call is to be looked after.
pub(crate) async fn first_check(store: &DynamoStorage) -> Result<Option<DateTime<Utc>>, Failure> {
    let first = due_checks(store, DateTime::<Utc>::MAX_UTC, 1).await?;
    Ok(first.first().map(|(at, _)| *at))
}
