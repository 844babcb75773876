//! Runs, their counts, and what is removed when they are over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Aggregate, ContactId, Event, JournalEntry, Run, RunId, RunState, RunTally};
use rivvi_core::storage::{ChangeRun, RunFacts, RunQuery, StorageError, StorageErrorKind};
use sqlx::AssertSqlSafe;

use crate::PostgresStorage;
use crate::connection::Transaction;
use crate::error::Failure;
use crate::value::{Columns, after, count, document, instant, limit, run_state, text, uuids};
use crate::{gate, imported, journal, tally};

pub(crate) async fn create(store: &PostgresStorage, run: &Run) -> Result<Run, Failure> {
    const INSERT: &str = "INSERT INTO runs (id, org_id, campaign_id, campaign_version, key, status, created_at, \
          start_time, end_time, total_records, processed_records, document) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, $10) ON CONFLICT (campaign_id, key) DO NOTHING";
    let mut run = run.clone();
    run.sequence = 1;
    let mut tx = store.begin().await?;
    let insert = sqlx::query(INSERT)
        .bind(run.id.as_uuid())
        .bind(run.org_id.as_uuid())
        .bind(run.campaign_id.as_uuid())
        .bind(count(run.campaign_version))
        .bind(text(&run.key))
        .bind(run.state.name())
        .bind(instant(run.created_at))
        .bind(run.started_at.map(instant))
        .bind(run.finished_at.map(instant))
        .bind(document("run", &run)?);
    if tx.run(insert).await? == 0 {
        let known = sqlx::query("SELECT document FROM runs WHERE campaign_id = $1 AND key = $2")
            .bind(run.campaign_id.as_uuid())
            .bind(text(&run.key));
        return tx.row(known).await?.ok_or(Failure::Overtaken)?.thing("run", 0);
    }
    append(&mut tx, &run, 1, run.created_at, vec![Event::RunCreated]).await?;
    tx.commit().await?;
    Ok(run)
}

pub(crate) async fn run(store: &PostgresStorage, id: RunId) -> Result<Option<Run>, Failure> {
    let query = sqlx::query("SELECT document FROM runs WHERE id = $1").bind(id.as_uuid());
    let row = store.reader().await?.row(query).await?;
    row.map(|row| row.thing("run", 0)).transpose()
}

pub(crate) async fn runs(store: &PostgresStorage, query: &RunQuery) -> Result<Vec<Run>, Failure> {
    // Only the conditions that are asked for, so that there is an index for them.
    let mut sql = String::from("SELECT document FROM runs WHERE true");
    let mut arguments = 0;
    let mut condition = |asked: bool, condition: &str| {
        if asked {
            arguments += 1;
            sql.push_str(&condition.replace('?', &format!("${arguments}")));
        }
    };
    condition(query.after.is_some(), " AND id > ?");
    condition(query.org_id.is_some(), " AND org_id = ?");
    condition(query.campaign_id.is_some(), " AND campaign_id = ?");
    condition(!query.states.is_empty(), " AND status = ANY(?)");
    condition(true, " ORDER BY id LIMIT ?");

    let mut statement = sqlx::query(AssertSqlSafe(sql));
    let ids = [after(query.after), after(query.org_id), after(query.campaign_id)];
    for id in ids.into_iter().flatten() {
        statement = statement.bind(id);
    }
    if !query.states.is_empty() {
        let names: Vec<&str> = query.states.iter().map(|state| state.name()).collect();
        statement = statement.bind(names);
    }
    let count = if query.limit == 0 { i64::MAX } else { limit(query.limit) };
    let rows = store.reader().await?.rows(statement.bind(count)).await?;
    rows.iter().map(|row| row.thing("run", 0)).collect()
}

/// The gate of the organization makes changes of its runs come one after the other, and the lock on the run keeps those
/// out who add contacts or settle them.
pub(crate) async fn change(
    store: &PostgresStorage,
    id: RunId,
    change: &ChangeRun<'_>,
) -> Result<Run, Failure> {
    const LOCK: &str = "SELECT r.document FROM runs r WHERE r.id = $1 FOR UPDATE";
    const OTHERS: &str = "SELECT count(*) FROM runs WHERE org_id = $1 AND id <> $2 AND status = ANY($3)";
    const UPDATE: &str = "UPDATE runs SET status = $2, start_time = $3, end_time = $4, total_records = $5, \
        processed_records = $6, raw_file_url = $7, processed_file_url = $8, document = $9 WHERE id = $1";
    let mut tx = store.begin().await?;
    let org_id = sqlx::query("SELECT org_id FROM runs WHERE id = $1").bind(id.as_uuid());
    let Some(org_id) = tx.row(org_id).await? else { return Err(not_found("change_run", "run", id)) };
    gate::enter(&mut tx, &BTreeSet::from([org_id.id(0)?])).await?;
    let row = tx.row(sqlx::query(LOCK).bind(id.as_uuid())).await?;
    let run: Run = row.ok_or_else(|| not_found("change_run", "run", id))?.thing("run", 0)?;
    let running: Vec<&str> =
        RunState::ALL.into_iter().filter(|state| state.is_running()).map(RunState::name).collect();
    let others = sqlx::query(OTHERS).bind(run.org_id.as_uuid()).bind(id.as_uuid()).bind(running);
    let others_running = tx.row(others).await?.map_or(Ok(0), |row| row.count(0))?;
    let tally = tally::read(&mut tx, id).await?;
    let facts = RunFacts { others_running, tally };
    let changed = change(&run, &facts)?;
    let after = &changed.run;
    let update = sqlx::query(UPDATE)
        .bind(id.as_uuid())
        .bind(after.state.name())
        .bind(after.started_at.map(instant))
        .bind(after.finished_at.map(instant))
        .bind(facts.tally.contacts().cast_signed())
        .bind(facts.tally.settled().cast_signed())
        .bind(after.raw_file.as_deref().map(text))
        .bind(after.processed_file.as_deref().map(text))
        .bind(document("run", after)?);
    tx.run(update).await?;
    append(&mut tx, after, run.sequence + 1, changed.at, changed.events).await?;
    tx.commit().await?;
    Ok(changed.run)
}

async fn append(
    tx: &mut Transaction,
    run: &Run,
    first: u64,
    at: DateTime<Utc>,
    events: Vec<Event>,
) -> Result<(), Failure> {
    let (org_id, aggregate) = (run.org_id, Aggregate::Run(run.id));
    let entry = |(sequence, event)| JournalEntry { org_id, aggregate, sequence, at, event };
    journal::append(tx, (first..).zip(events).map(entry).collect()).await
}

pub(crate) async fn tally(store: &PostgresStorage, id: RunId) -> Result<RunTally, Failure> {
    let mut reader = store.reader().await?;
    let tally = tally::read(&mut reader, id).await?;
    if tally == RunTally::default() {
        // Nothing was counted, or there is nothing to count.
        let known = sqlx::query("SELECT 1 FROM runs WHERE id = $1").bind(id.as_uuid());
        reader.row(known).await?.ok_or_else(|| not_found("tally", "run", id))?;
    }
    Ok(tally)
}

/// The states of those of the runs that exist, which stay as they are until the transaction ends.
pub(crate) async fn states_held(
    tx: &mut Transaction,
    runs: &BTreeSet<RunId>,
) -> Result<BTreeMap<RunId, RunState>, Failure> {
    let query = sqlx::query("SELECT id, status FROM runs WHERE id = ANY($1) ORDER BY id FOR SHARE")
        .bind(uuids(runs.iter().copied()));
    let rows = tx.rows(query).await?;
    rows.iter().map(|row| Ok((row.id(0)?, run_state(row.text(1)?)?))).collect()
}

pub(crate) async fn purge(store: &PostgresStorage, id: RunId, count: usize) -> Result<u64, Failure> {
    let mut tx = store.begin().await?;
    let states = states_held(&mut tx, &BTreeSet::from([id])).await?;
    if !states.get(&id).is_some_and(|state| state.is_done()) {
        return Ok(0);
    }
    let contacts = imported::first_of_run(&mut tx, id, count).await?;
    if contacts.is_empty() {
        return Ok(0);
    }
    imported::remove(&mut tx, id, &contacts).await?;
    tx.commit().await?;
    Ok(contacts.len() as u64)
}

/// The first and the last id that a contact of the run can have.
pub(crate) fn contact_ids(id: RunId) -> (ContactId, ContactId) {
    (ContactId::of_row(id, 0), ContactId::of_row(id, u64::MAX))
}

pub(crate) fn not_found(operation: &'static str, what: &str, id: impl fmt::Display) -> Failure {
    StorageError::new(StorageErrorKind::NotFound, operation, format!("no {what} {id}")).into()
}
