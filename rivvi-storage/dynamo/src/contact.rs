//! Contacts: rows of the table `run_data`, and where they wait.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use rivvi_core::domain::{Aggregate, Contact, ContactId, E164, Event, JournalEntry, OrgId, RunId, RunState};
use rivvi_core::storage::{ContactQuery, SettleWaiting, StorageError, StorageErrorKind};
use serde_json::{Map, Value};

use crate::DynamoStorage;
use crate::commit::{Committed, Draft};
use crate::counters::{self, RunRow, TallyChange};
use crate::error::{Failure, Unreadable, not_found};
use crate::gateway::{Pause, Range};
use crate::key::{self, DUE_SHARDS};
use crate::place::{Place, Table, VERSION, When, Write};
use crate::value::{Attributes, Item, bytes, document, number, text};
use crate::work::{self, ContactRow, Numbers, call_list, call_status};

/// How large a new contact may be: an item's size, less what its status and calls may grow to.
const CONTACT_BYTES_MAX: usize = 360 * 1024;

pub(crate) async fn add(
    store: &DynamoStorage,
    contacts: Vec<Contact>,
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    let mut known = HashSet::new();
    let contacts: Vec<Contact> = contacts.into_iter().filter(|contact| known.insert(contact.id)).collect();
    check_runs(store, &contacts).await?;
    let mut by_organization: BTreeMap<OrgId, Vec<Draft>> = BTreeMap::new();
    for contact in contacts {
        let org_id = contact.org_id;
        by_organization.entry(org_id).or_default().push(draft_new(contact, now)?);
    }
    let mut added = 0;
    for (org_id, drafts) in by_organization {
        added += add_to_organization(store, org_id, drafts).await?;
    }
    Ok(added)
}

/// Refuses the batch if a run of it is not known or over.
async fn check_runs(store: &DynamoStorage, contacts: &[Contact]) -> Result<(), Failure> {
    let runs: BTreeMap<Place, RunId> =
        contacts.iter().map(|c| (key::active_run(c.run_id, c.org_id), c.run_id)).collect();
    let items = store.gateway().get_all(runs.keys().cloned()).await?;
    for (place, id) in runs {
        let Some(item) = items.get(&place) else { return Err(not_found("add_contacts", "run", id)) };
        check_open(&RunRow::read(item)?)?;
    }
    Ok(())
}

fn check_open(run: &RunRow) -> Result<(), Failure> {
    if run.state.is_final() {
        let context = "the run is over and takes no contacts";
        return Err(StorageError::new(StorageErrorKind::Refused, "add_contacts", context).into());
    }
    Ok(())
}

/// What a new contact writes. The first write is the one that must find no contact.
fn draft_new(mut contact: Contact, now: DateTime<Utc>) -> Result<Draft, Failure> {
    contact.status.sequence = 1;
    let place = key::row(contact.run_id, contact.id);
    let item = new_item(&contact)?;
    let size = bytes(&item);
    if size > CONTACT_BYTES_MAX {
        let what = format!("contact {} of row {}", contact.id, contact.row);
        return Err(Failure::TooLarge { what, bytes: size, bytes_max: CONTACT_BYTES_MAX });
    }
    let mut draft = Draft { levels: 1 << contact.priority.level(), ..Draft::default() };
    draft.writes.push(Write::Put { place, item, when: When::Absent });
    draft.writes.extend(key::due(&contact, &contact.status.state).map(|place| Write::put(place, [])));
    draft.tallies.push((contact.run_id, TallyChange::one_waiting()));
    draft.entries.push(JournalEntry {
        org_id: contact.org_id,
        aggregate: Aggregate::Contact(contact.id),
        sequence: 1,
        at: now,
        event: Event::ContactImported { row: contact.row },
    });
    Ok(draft)
}

/// Adds contacts of one organization, as many at once as fit. Returns how many were new.
async fn add_to_organization(
    store: &DynamoStorage,
    org_id: OrgId,
    mut drafts: Vec<Draft>,
) -> Result<u64, Failure> {
    drafts.reverse();
    let mut added = 0;
    let mut pause = Pause::new(store.gateway());
    let mut counters = None;
    while let Some(first) = drafts.pop() {
        // What each contact writes, with its place among all writes.
        let mut batch = vec![first];
        let mut sum = Draft::default();
        sum.absorb(batch[0].clone());
        while let Some(next) = drafts.pop_if(|next| sum.has_room_for(next)) {
            sum.absorb(next.clone());
            batch.push(next);
        }
        let mut held = match counters.take() {
            Some(held) => held,
            None => counters::load(store, org_id, &sum.runs()).await?,
        };
        if !sum.runs().iter().all(|id| held.runs.contains_key(id)) || held.runs.len() != sum.runs().len() {
            held = counters::load(store, org_id, &sum.runs()).await?;
        }
        let open = |counters: &mut counters::Counters| {
            counters.runs.values().try_for_each(check_open)?;
            Ok(counters.runs.len() == sum.runs().len())
        };
        match store.commit(&mut held, &sum, open).await? {
            Committed::Done => {
                added += batch.len() as u64;
                counters = Some(held);
                pause = Pause::new(store.gateway());
            }
            Committed::Unfit => return Err(not_found("add_contacts", "run", "of a contact any more")),
            Committed::Conflict { unmet } => {
                // Contacts that exist are left as they are, the others are tried again.
                let tried = batch.len();
                let mut at = 0;
                let mut left = Vec::new();
                for draft in batch {
                    let exists = unmet.get(at).copied().unwrap_or(false);
                    at += draft.writes.len();
                    left.extend((!exists).then_some(draft));
                }
                let none_exists = left.len() == tried;
                drafts.extend(left.into_iter().rev());
                if !none_exists {
                    continue;
                }
                pause.wait().await.map_err(|()| Failure::Contended)?;
            }
        }
    }
    Ok(added)
}

/// The item of a new contact: who is called as `patient_data`, the columns of the sheet as `campaign_data`.
fn new_item(contact: &Contact) -> Result<Item, Failure> {
    let what = "contact";
    let json = |error: serde_json::Error| Unreadable::json(what, &error);
    let Value::Object(mut fields) = serde_json::to_value(contact).map_err(json)? else {
        return Err(Unreadable::new(what).into());
    };
    let mut person = match fields.remove("person") {
        Some(Value::Object(person)) => person,
        _ => Map::new(),
    };
    person.extend(fields.remove("number").map(|number| ("phone".to_owned(), number)));
    fields.remove("variables");
    fields.remove("status");
    let columns = contact.variables.expose().iter();
    let columns = columns.map(|(name, value)| (escaped(name), text(value.clone())));
    let map = |person: Map<String, Value>| {
        serde_dynamo::to_attribute_value(person).map_err(|_| Unreadable::new(what))
    };
    let mut item = key::row(contact.run_id, contact.id).item([
        (VERSION, number(1)),
        ("org_id", text(contact.org_id.to_string())),
        ("patient_data", map(person)?),
        ("campaign_data", AttributeValue::M(columns.collect())),
        ("doc", document(what, &fields)?),
        ("status", document("status of a contact", &contact.status)?),
        ("call_status", text(call_status(&contact.status.state))),
    ]);
    item.insert("calls".to_owned(), call_list(&[]));
    Ok(item)
}

/// A column's name as DynamoDB takes it: it knows no empty names.
fn escaped(name: &str) -> String {
    if name.is_empty() || name.starts_with('~') { format!("~{name}") } else { name.to_owned() }
}

impl ContactRow {
    fn read(item: &Item) -> Result<Self, Failure> {
        let what = "contact";
        let map = |name| item.get(name).and_then(|map| map.as_m().ok()).ok_or(Unreadable::new(what));
        let person = AttributeValue::M(map("patient_data")?.clone());
        let mut person: Map<String, Value> =
            serde_dynamo::from_attribute_value(person).map_err(|_| Unreadable::new(what))?;
        let mut columns = Map::new();
        for (name, value) in map("campaign_data")? {
            let name = name.strip_prefix('~').unwrap_or(name);
            let value = value.as_s().map_err(|_| Unreadable::new(what))?;
            columns.insert(name.to_owned(), value.clone().into());
        }
        let mut fields: Map<String, Value> = item.document(what, "doc")?;
        fields.extend(person.remove("phone").map(|number| ("number".to_owned(), number)));
        fields.insert("person".to_owned(), person.into());
        fields.insert("variables".to_owned(), columns.into());
        fields.insert("status".to_owned(), item.document("status of a contact", "status")?);
        let contact =
            serde_json::from_value(fields.into()).map_err(|error| Unreadable::json(what, &error))?;
        let calls =
            item.get("calls").and_then(|list| list.as_l().ok()).map(Vec::as_slice).unwrap_or_default();
        let id = |id: &AttributeValue| id.as_s().ok()?.parse().ok();
        let calls: Option<Vec<_>> = calls.iter().map(id).collect();
        let calls = calls.ok_or(Unreadable::new("list of calls"))?;
        Ok(Self { contact, version: item.integer(VERSION)?, calls })
    }
}

/// Contacts of a run by their ids; those that do not exist are left out.
pub(crate) async fn rows(
    store: &DynamoStorage,
    ids: Vec<(RunId, ContactId)>,
) -> Result<HashMap<ContactId, ContactRow>, Failure> {
    let places = ids.into_iter().map(|(run_id, id)| key::row(run_id, id));
    let items = store.gateway().get_all(places).await?;
    let row = |item| ContactRow::read(item).map(|row| (row.contact.id, row));
    items.values().map(row).collect()
}

/// Contacts of any runs by their ids; those that do not exist are left out.
pub(crate) async fn load(
    store: &DynamoStorage,
    ids: &[ContactId],
) -> Result<HashMap<ContactId, ContactRow>, Failure> {
    let runs = store.gateway().get_all(ids.iter().copied().map(key::run_of_contact)).await?;
    let mut known = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some(run) = runs.get(&key::run_of_contact(*id)) {
            known.push((run.id("run_id")?, *id));
        }
    }
    rows(store, known).await
}

pub(crate) async fn contact(store: &DynamoStorage, id: ContactId) -> Result<Option<Contact>, Failure> {
    Ok(load(store, &[id]).await?.remove(&id).map(|row| row.contact))
}

pub(crate) async fn contacts(store: &DynamoStorage, query: ContactQuery) -> Result<Vec<Contact>, Failure> {
    let rows = of_run(store, query.run_id, query.number, query.after, query.limit).await?;
    Ok(rows.into_iter().map(|row| row.contact).collect())
}

pub(crate) async fn of_run(
    store: &DynamoStorage,
    run_id: RunId,
    number: Option<E164>,
    after: Option<ContactId>,
    limit: usize,
) -> Result<Vec<ContactRow>, Failure> {
    let range = Range {
        after: after.map(key::row_id),
        limit,
        filter: number.map(|number| (["patient_data", "phone"], number.expose())),
        ..Range::all(Table::RunData, run_id.to_string())
    };
    store.gateway().query(range).await?.iter().map(ContactRow::read).collect()
}

/// Contacts of a run that are due up to `until`, in the order in which they are called: the first `limit`.
pub(crate) async fn due(
    store: &DynamoStorage,
    run_id: RunId,
    run: &RunRow,
    until: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<(DateTime<Utc>, ContactId)>, Failure> {
    let mut due = Vec::new();
    for level in run.priorities() {
        let left = limit - due.len();
        if left == 0 {
            break;
        }
        due.extend(due_of_level(store, run_id, level, until, left).await?);
    }
    Ok(due)
}

async fn due_of_level(
    store: &DynamoStorage,
    run_id: RunId,
    level: u8,
    until: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<(DateTime<Utc>, ContactId)>, Failure> {
    let range = |shard| {
        let (after, to) = (Some(format!("{level}#")), Some(format!("{level}#{}", key::until(until))));
        let pk = key::due_partition(run_id, shard);
        store.gateway().query(Range { after, to, limit, ..Range::all(Table::Ledger, pk) })
    };
    let mut due = Vec::new();
    for item in try_join_all((0..DUE_SHARDS).map(range)).await?.into_iter().flatten() {
        let (_, at, id) = key::read_due(item.text("sk")?)?;
        due.push((at, id));
    }
    due.sort_unstable();
    due.truncate(limit);
    Ok(due)
}

/// The first instant at which a contact of the run is due.
pub(crate) async fn first_due(
    store: &DynamoStorage,
    run_id: RunId,
) -> Result<Option<DateTime<Utc>>, Failure> {
    let Some(run) = crate::run::row(store, run_id).await? else { return Ok(None) };
    let level = |level| due_of_level(store, run_id, level, DateTime::<Utc>::MAX_UTC, 1);
    let first = try_join_all(run.priorities().map(level)).await?;
    Ok(first.into_iter().flatten().map(|(at, _)| at).min())
}

/// Waiting contacts settled before the counts are looked at again.
const SETTLED_MAX: usize = 100;

pub(crate) async fn settle_waiting(store: &DynamoStorage, request: SettleWaiting) -> Result<u64, Failure> {
    let Some(run) = crate::run::run(store, request.run_id).await? else { return Ok(0) };
    let _turn = store.begin_turn(key::feed_shard(run.org_id)).await;
    let mut settled = 0;
    let mut pause = Pause::new(store.gateway());
    while settled < request.limit {
        match settle_some(store, run.org_id, &request, request.limit - settled).await? {
            Some(0) => break,
            Some(count) => {
                settled += count;
                pause = Pause::new(store.gateway());
            }
            None => pause.wait().await.map_err(|()| Failure::Contended)?,
        }
    }
    Ok(settled as u64)
}

/// Settles some contacts. `None` if others were in the way, 0 if there is none to settle.
async fn settle_some(
    store: &DynamoStorage,
    org_id: OrgId,
    request: &SettleWaiting,
    limit: usize,
) -> Result<Option<usize>, Failure> {
    let run_id = request.run_id;
    let mut counters = counters::load(store, org_id, &BTreeSet::from([run_id])).await?;
    let completing = |row: &RunRow| row.state == RunState::Completing;
    let Some(run) = counters.runs.get(&run_id).filter(|row| completing(row)) else { return Ok(Some(0)) };
    let due = due(store, run_id, run, DateTime::<Utc>::MAX_UTC, limit.min(SETTLED_MAX)).await?;
    if due.is_empty() {
        return Ok(Some(0));
    }
    let mut rows = rows(store, due.iter().map(|(_, id)| (run_id, *id)).collect()).await?;
    let mut sum = Draft::default();
    let mut count = 0;
    for (at, id) in due {
        let Some(row) = rows.remove(&id).filter(|row| row.contact.status.state.due_at() == Some(at)) else {
            continue;
        };
        let contact = row.contact.clone();
        let settle = |set: &mut rivvi_core::storage::WorkingSet| set.settle_waiting(vec![contact], request);
        let ((), draft) = work::draft(&row, &[], &mut Numbers::new(), settle)?;
        if !sum.has_room_for(&draft) {
            break;
        }
        sum.absorb(draft);
        count += 1;
    }
    if count == 0 {
        return Ok(None);
    }
    let fit = |counters: &mut counters::Counters| Ok(counters.runs.get(&run_id).is_some_and(completing));
    Ok((store.commit(&mut counters, &sum, fit).await? == Committed::Done).then_some(count))
}
