//! Runs, their counts, and what is removed when they are over.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rivvi_core::domain::{Aggregate, Call, ContactId, Event, JournalEntry, Run, RunId, RunState, RunTally};
use rivvi_core::storage::{ChangeRun, RunFacts, RunQuery, StorageError, StorageErrorKind, WorkingSet};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, SqliteConnection};

use crate::SqliteStorage;
use crate::error::Failure;
use crate::value::{Columns, Id, document, id_list, limit, state_list};
use crate::write::{DELETE_CHECKS, DELETE_DUE, due_row, write_tallies};
use crate::{contact, journal};

pub(crate) async fn create(store: &SqliteStorage, mut run: Run) -> Result<Run, Failure> {
    let mut tx = store.begin().await?;
    let known = sqlx::query("SELECT document FROM runs WHERE campaign_id = ? AND key = ?")
        .bind(run.campaign_id.blob())
        .bind(run.key.clone())
        .fetch_optional(&mut *tx)
        .await?;
    if let Some(known) = known {
        return known.thing("run", 0);
    }
    run.sequence = 1;
    sqlx::query("INSERT INTO runs (id, org_id, campaign_id, key, state, document) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(run.id.blob())
        .bind(run.org_id.blob())
        .bind(run.campaign_id.blob())
        .bind(run.key.clone())
        .bind(run.state.name())
        .bind(document("run", &run)?)
        .execute(&mut *tx)
        .await?;
    write_tallies(&mut tx, BTreeMap::from([(run.id, RunTally::default())])).await?;
    append(&mut tx, &run, 1, run.created_at, vec![Event::RunCreated]).await?;
    tx.commit().await?;
    Ok(run)
}

pub(crate) async fn run(store: &SqliteStorage, id: RunId) -> Result<Option<Run>, Failure> {
    let query = sqlx::query("SELECT document FROM runs WHERE id = ?").bind(id.blob());
    let row = query.fetch_optional(&mut *store.reader().await?).await?;
    row.map(|row| row.thing("run", 0)).transpose()
}

pub(crate) async fn runs(store: &SqliteStorage, query: RunQuery) -> Result<Vec<Run>, Failure> {
    // Only the conditions that are asked for, so that SQLite finds the index that fits them.
    let mut sql = String::from("SELECT document FROM runs WHERE id > ?");
    let mut arguments = SqliteArguments::default();
    let mut add = |sql: &mut String, condition: &str, value: Vec<u8>| {
        sql.push_str(condition);
        arguments.add(value)
    };
    let mut added = add(&mut sql, "", query.after.map_or_else(Vec::new, Id::blob));
    if let Some(org_id) = query.org_id {
        added = added.and_then(|()| add(&mut sql, " AND org_id = ?", org_id.blob()));
    }
    if let Some(campaign_id) = query.campaign_id {
        added = added.and_then(|()| add(&mut sql, " AND campaign_id = ?", campaign_id.blob()));
    }
    if !query.states.is_empty() {
        sql.push_str(" AND state IN (SELECT value FROM json_each(?))");
        added = added.and_then(|()| arguments.add(state_list(query.states)));
    }
    sql.push_str(" ORDER BY id LIMIT ?");
    let count = if query.limit == 0 { i64::MAX } else { limit(query.limit) };
    added.and_then(|()| arguments.add(count)).map_err(sqlx::Error::Encode)?;

    let query = sqlx::query_with(AssertSqlSafe(sql), arguments);
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(|row| row.thing("run", 0)).collect()
}

pub(crate) async fn change(store: &SqliteStorage, id: RunId, change: &ChangeRun<'_>) -> Result<Run, Failure> {
    let mut tx = store.begin().await?;
    let row = sqlx::query(
        "SELECT r.document, t.document, \
           (SELECT count(*) FROM runs other WHERE other.org_id = r.org_id AND other.id <> r.id \
            AND other.state IN (SELECT value FROM json_each(?2))) \
         FROM runs r LEFT JOIN run_tallies t ON t.run_id = r.id WHERE r.id = ?1",
    )
    .bind(id.blob())
    .bind(state_list(RunState::ALL.into_iter().filter(|state| state.is_running())))
    .fetch_optional(&mut *tx)
    .await?
    .ok_or_else(|| not_found("change_run", "run", id))?;
    let run: Run = row.thing("run", 0)?;
    let facts = RunFacts {
        others_running: u32::try_from(row.int(2)?).unwrap_or(u32::MAX),
        tally: row
            .optional_text(1)?
            .map_or(Ok(RunTally::default()), |tally| crate::value::thing("tally", tally))?,
    };
    let changed = change(&run, &facts)?;
    sqlx::query("UPDATE runs SET state = ?, document = ? WHERE id = ?")
        .bind(changed.run.state.name())
        .bind(document("run", &changed.run)?)
        .bind(id.blob())
        .execute(&mut *tx)
        .await?;
    append(&mut tx, &changed.run, run.sequence + 1, changed.at, changed.events).await?;
    tx.commit().await?;
    Ok(changed.run)
}

async fn append(
    connection: &mut SqliteConnection,
    run: &Run,
    first: u64,
    at: chrono::DateTime<chrono::Utc>,
    events: Vec<Event>,
) -> Result<(), Failure> {
    let (org_id, aggregate) = (run.org_id, Aggregate::Run(run.id));
    let entry = |(sequence, event)| JournalEntry { org_id, aggregate, sequence, at, event };
    journal::append(connection, (first..).zip(events).map(entry).collect()).await
}

pub(crate) async fn tally(store: &SqliteStorage, id: RunId) -> Result<RunTally, Failure> {
    let query = sqlx::query("SELECT document FROM run_tallies WHERE run_id = ?").bind(id.blob());
    let row = query.fetch_optional(&mut *store.reader().await?).await?;
    row.ok_or_else(|| not_found("tally", "run", id))?.thing("tally", 0)
}

/// Takes the counts of runs into a working set.
pub(crate) async fn hold_tallies(
    connection: &mut SqliteConnection,
    runs: BTreeSet<RunId>,
    set: &mut WorkingSet,
) -> Result<(), Failure> {
    for (run_id, tally) in tallies(connection, runs).await? {
        set.hold_tally(run_id, tally);
    }
    Ok(())
}

/// The counts of runs.
pub(crate) async fn tallies(
    connection: &mut SqliteConnection,
    runs: BTreeSet<RunId>,
) -> Result<BTreeMap<RunId, RunTally>, Failure> {
    let query = sqlx::query(
        "SELECT run_id, document FROM run_tallies WHERE run_id IN (SELECT unhex(value) FROM json_each(?))",
    )
    .bind(id_list(runs));
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| Ok((row.id(0)?, row.thing("tally", 1)?))).collect()
}

/// The state of a run, `None` if it is not known.
pub(crate) async fn state(connection: &mut SqliteConnection, id: RunId) -> Result<Option<RunState>, Failure> {
    let row = sqlx::query("SELECT state FROM runs WHERE id = ?").bind(id.blob());
    let Some(row) = row.fetch_optional(connection).await? else {
        return Ok(None);
    };
    let name = row.text(0)?;
    Ok(RunState::ALL.into_iter().find(|state| state.name() == name))
}

pub(crate) async fn purge(store: &SqliteStorage, id: RunId, count: usize) -> Result<u64, Failure> {
    let mut tx = store.begin().await?;
    if !state(&mut tx, id).await?.is_some_and(RunState::is_done) {
        return Ok(0);
    }
    let contacts = contact::of_run(&mut tx, id, None, None, count).await?;
    if contacts.is_empty() {
        return Ok(0);
    }
    let ids = id_list(contacts.iter().map(|contact| contact.id));
    // What lies beside the contacts and calls has keys of their content.
    let due = contacts.iter().filter_map(|contact| Some(due_row(contact, contact.status.state.due_at()?)));
    let due = due.collect();
    DELETE_DUE.run(&mut tx, due).await?;
    let calls = sqlx::query(
        "SELECT c.document FROM json_each(?) contact CROSS JOIN calls c ON c.contact_id = unhex(contact.value)",
    )
    .bind(ids.clone())
    .fetch_all(&mut *tx)
    .await?;
    let calls = calls.iter().map(|row| row.thing("call", 0)).collect::<Result<Vec<Call>, _>>()?;
    let checks = calls.iter().filter_map(|call| Some([call.check_at?.into(), call.id.into()])).collect();
    DELETE_CHECKS.run(&mut tx, checks).await?;
    let call_ids = id_list(calls.iter().map(|call| call.id));
    let references: Vec<_> = calls
        .iter()
        .filter_map(|call| Some((call.provider.as_str(), call.provider_ref.as_deref()?)))
        .collect();
    let references = document("list of references", &references)?;
    for (delete, keys) in [
        (
            "DELETE FROM live_calls WHERE (run_id, call_id) IN (SELECT l.run_id, l.call_id FROM json_each(?2) gone \
             CROSS JOIN live_calls l ON l.run_id = ?1 AND l.call_id = unhex(gone.value))",
            &call_ids,
        ),
        (
            "DELETE FROM call_references WHERE (provider, reference) IN \
             (SELECT CAST(value ->> 0 AS TEXT), CAST(value ->> 1 AS TEXT) FROM json_each(?2))",
            &references,
        ),
        ("DELETE FROM calls WHERE contact_id IN (SELECT unhex(value) FROM json_each(?2))", &ids),
        ("DELETE FROM contact_statuses WHERE contact_id IN (SELECT unhex(value) FROM json_each(?2))", &ids),
        ("DELETE FROM contacts WHERE id IN (SELECT unhex(value) FROM json_each(?2))", &ids),
    ] {
        sqlx::query(delete).bind(id.blob()).bind(keys.clone()).execute(&mut *tx).await?;
    }
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
