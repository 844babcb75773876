//! Runs: their documents, the lists they are on, and what is removed when they are over.

use std::collections::BTreeSet;
use std::time::Duration;

use rivvi_core::domain::{Aggregate, Event, JournalEntry, Run, RunId, RunTally};
use rivvi_core::storage::{ChangeRun, RunChange, RunFacts, RunQuery, StorageError, StorageErrorKind};

use crate::DynamoStorage;
use crate::commit::{Committed, Draft};
use crate::counters::{self, Counters, RunRow};
use crate::error::{Failure, not_found};
use crate::gateway::{Pause, Range};
use crate::place::{Place, Table, VERSION, When, Write};
use crate::value::{Attributes, Item, document, number, text, thing};
use crate::work::ContactRow;
use crate::{call, contact, key};

/// How long the live counts of a run that is over stay.
const KEPT_AFTER_END: Duration = Duration::from_secs(7 * 86_400);

pub(crate) async fn create(store: &DynamoStorage, run: Run) -> Result<Run, Failure> {
    let mut run = run;
    run.sequence = 1;
    let key_place = key::run_key(run.campaign_id, &run.key);
    let mut pause = Pause::new(store.gateway());
    loop {
        if let Some(item) = store.gateway().get(&key_place).await? {
            let id = item.id("run_id")?;
            return self::run(store, id).await?.ok_or_else(|| not_found("create_run", "run", id));
        }
        let draft = draft_new(&run, key_place.clone())?;
        let mut counters = counters::load(store, run.org_id, &BTreeSet::new()).await?;
        match store.commit(&mut counters, &draft, |_| Ok(true)).await? {
            Committed::Done => return Ok(run),
            // The first write is the run's key, the next two are the run itself and what its contacts' ids begin with.
            Committed::Conflict { unmet } if matches!(unmet[..], [false, run, rows, ..] if run || rows) => {
                let context =
                    format!("a run exists that has the id {} or begins like it; choose another id", run.id);
                return Err(StorageError::new(StorageErrorKind::Refused, "create_run", context).into());
            }
            _ => pause.wait().await.map_err(|()| Failure::Contended)?,
        }
    }
}

fn draft_new(run: &Run, key_place: Place) -> Result<Draft, Failure> {
    let id = run.id.to_string();
    let new = |place: Place, item: Item| Write::Put { place, item, when: When::Absent };
    let key_item = key_place.item([("run_id", text(id.clone())), ("key", text(run.key.clone()))]);
    let place = key::run(run.id);
    let document = run_item(&place, run, 1, None)?;
    let rows = key::run_of_contact(rivvi_core::domain::ContactId::of_row(run.id, 0));
    let rows_item = rows.item([("run_id", text(id))]);
    let live = key::active_run(run.id, run.org_id);
    let mut live_item = live.item([("campaign_id", text(run.campaign_id.to_string()))]);
    let row = RunRow::new(run.state);
    live_item.extend(row.attributes()?.into_iter().map(|(name, value)| (name.to_owned(), value)));
    let mut writes =
        vec![new(key_place, key_item), new(place, document), new(rows, rows_item), new(live, live_item)];
    let lists = key::run_lists(run.org_id, run.campaign_id);
    writes.extend(lists.map(|list| Write::put(key::key(list, run.id.to_string()), [])));
    writes.push(open_write(run));
    let entries = entries(run, 1, run.created_at, vec![Event::RunCreated]);
    Ok(Draft { writes, entries, ..Draft::default() })
}

/// Keeps the run on the list of those that are not over, or takes it off.
fn open_write(run: &Run) -> Write {
    let place = key::key(key::OPEN_RUNS, run.id.to_string());
    if run.state.is_final() { Write::delete(place) } else { Write::put(place, []) }
}

fn run_item(place: &Place, run: &Run, version: u64, tally: Option<&RunTally>) -> Result<Item, Failure> {
    let mut item = place.item([(VERSION, number(version)), ("doc", document("run", run)?)]);
    if let Some(tally) = tally {
        item.insert("tally".to_owned(), document("tally", tally)?);
    }
    Ok(item)
}

fn entries(
    run: &Run,
    first: u64,
    at: chrono::DateTime<chrono::Utc>,
    events: Vec<Event>,
) -> Vec<JournalEntry> {
    let (org_id, aggregate) = (run.org_id, Aggregate::Run(run.id));
    let entry = |(sequence, event)| JournalEntry { org_id, aggregate, sequence, at, event };
    (first..).zip(events).map(entry).collect()
}

pub(crate) async fn run(store: &DynamoStorage, id: RunId) -> Result<Option<Run>, Failure> {
    let item = store.gateway().get(&key::run(id)).await?;
    item.map(|item| Ok(item.document("run", "doc")?)).transpose()
}

/// Runs read at once.
const PAGE: usize = 100;

pub(crate) async fn runs(store: &DynamoStorage, query: RunQuery) -> Result<Vec<Run>, Failure> {
    let limit = if query.limit == 0 { usize::MAX } else { query.limit };
    let list = match (query.org_id, query.campaign_id) {
        (_, Some(id)) => key::runs_of_campaign(id),
        (Some(id), None) => key::runs_of_organization(id),
        (None, None) if !query.states.is_empty() && !query.states.iter().any(|state| state.is_final()) => {
            key::OPEN_RUNS.to_owned()
        }
        (None, None) => key::ALL_RUNS.to_owned(),
    };
    let mut after = query.after.map(|after| after.to_string());
    let mut found = Vec::new();
    loop {
        let range = Range { after: after.take(), limit: PAGE, ..Range::all(Table::Ledger, list.clone()) };
        let page = store.gateway().query(range).await?;
        let ids = page.iter().map(|item| item.id("sk")).collect::<Result<Vec<RunId>, _>>()?;
        let items = store.gateway().get_all(ids.iter().map(|id| key::run(*id))).await?;
        for id in &ids {
            let Some(item) = items.get(&key::run(*id)) else { continue };
            let run: Run = item.document("run", "doc")?;
            let matches = query.org_id.is_none_or(|org_id| run.org_id == org_id)
                && (query.states.is_empty() || query.states.contains(&run.state));
            if matches && found.len() < limit {
                found.push(run);
            }
        }
        match ids.last() {
            Some(last) if ids.len() == PAGE && found.len() < limit => after = Some(last.to_string()),
            _ => return Ok(found),
        }
    }
}

pub(crate) async fn change(store: &DynamoStorage, id: RunId, change: &ChangeRun<'_>) -> Result<Run, Failure> {
    let mut pause = Pause::new(store.gateway());
    loop {
        if let Some(run) = change_once(store, id, change).await? {
            return Ok(run);
        }
        pause.wait().await.map_err(|()| Failure::Contended)?;
    }
}

/// Changes a run unless others are in the way.
async fn change_once(
    store: &DynamoStorage,
    id: RunId,
    change: &ChangeRun<'_>,
) -> Result<Option<Run>, Failure> {
    let place = key::run(id);
    let Some(item) = store.gateway().get(&place).await? else {
        return Err(not_found("change_run", "run", id));
    };
    let before: Run = item.document("run", "doc")?;
    let version = item.integer(VERSION)?;
    let mut counters = counters::load(store, before.org_id, &BTreeSet::from([id])).await?;
    // Counts that DynamoDB removed, as of a run long over, are kept with the run.
    let kept = item.optional_text("tally").map(|tally| thing::<RunTally>("tally", tally)).transpose()?;
    let mut changed = None;
    // Asked under the lock: the counts of a busy run never stand still.
    let draft = |counters: &mut Counters| {
        let row = counters.runs.get_mut(&id);
        let tally = row.as_ref().map(|row| row.tally.clone()).or(kept).unwrap_or_default();
        let running = &mut counters.organization.running;
        let others = running.saturating_sub(u64::from(before.state.is_running()));
        let others_running = u32::try_from(others).unwrap_or(u32::MAX);
        let RunChange { run, events, at } =
            change(&before, &RunFacts { others_running, tally: tally.clone() })?;
        *running = others + u64::from(run.state.is_running());
        if let Some(row) = row {
            row.state = run.state;
            row.expires = run.state.is_done().then(|| expires(at));
        }
        let item = run_item(&place, &run, version + 1, run.state.is_done().then_some(&tally))?;
        let mut writes = vec![Write::Put { place, item, when: When::Version(version) }];
        if before.state.is_final() != run.state.is_final() {
            writes.push(open_write(&run));
        }
        let entries = entries(&run, before.sequence + 1, at, events);
        changed = Some(run);
        Ok(Some(Draft { writes, entries, ..Draft::default() }))
    };
    let committed = store.commit_with(&mut counters, draft).await?;
    Ok(changed.filter(|_| committed == Committed::Done))
}

fn expires(at: chrono::DateTime<chrono::Utc>) -> u64 {
    u64::try_from((at + KEPT_AFTER_END).timestamp()).unwrap_or(0)
}

/// The live counts of a run; `None` if it does not exist or they are gone.
pub(crate) async fn row(store: &DynamoStorage, id: RunId) -> Result<Option<RunRow>, Failure> {
    let range = Range { limit: 1, ..Range::all(Table::ActiveRuns, id.to_string()) };
    store.gateway().query(range).await?.first().map(RunRow::read).transpose()
}

pub(crate) async fn tally(store: &DynamoStorage, id: RunId) -> Result<RunTally, Failure> {
    if let Some(row) = row(store, id).await? {
        return Ok(row.tally);
    }
    let item = store.gateway().get(&key::run(id)).await?;
    let item = item.ok_or_else(|| not_found("tally", "run", id))?;
    Ok(item.document("tally", "tally")?)
}

/// Contacts removed at once.
const PURGED_MAX: usize = 100;

pub(crate) async fn purge(store: &DynamoStorage, id: RunId, limit: usize) -> Result<u64, Failure> {
    let run = self::run(store, id).await?;
    if !run.is_some_and(|run| run.state.is_done()) {
        return Ok(0);
    }
    let mut purged = 0;
    while purged < limit {
        let wanted = (limit - purged).min(PURGED_MAX);
        let rows = contact::of_run(store, id, None, None, wanted).await?;
        purge_contacts(store, &rows).await?;
        purged += rows.len();
        if rows.len() < wanted {
            break;
        }
    }
    Ok(purged as u64)
}

/// Removes contacts with their calls, and with what lies beside these. The contacts go last: so what fails midway is
/// found again.
async fn purge_contacts(store: &DynamoStorage, rows: &[ContactRow]) -> Result<(), Failure> {
    let calls = call::load(store, rows.iter().flat_map(|row| row.calls.clone()).collect()).await?;
    let mut beside = Vec::new();
    for call::CallRow { call, .. } in calls.values() {
        beside.push(Write::delete(key::call(call.id)));
        beside.push(Write::delete(key::live(call.run_id, call.id)));
        beside.extend(call.check_at.map(|at| Write::delete(key::check(at, call.id))));
        let reference = call.provider_ref.as_deref();
        beside.extend(reference.map(|known| Write::delete(key::reference(call.provider.as_str(), known))));
    }
    for row in rows {
        beside.extend(key::due(&row.contact, &row.contact.status.state).map(Write::delete));
    }
    store.gateway().write_all(beside).await?;
    let contacts = rows.iter().map(|row| Write::delete(key::row(row.contact.run_id, row.contact.id)));
    store.gateway().write_all(contacts.collect()).await
}
