//! Calls that have begun.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Call, CallId, ContactId, RunId};
use rivvi_core::machine::CallInput;
use rivvi_core::provider::CallRef;
use rivvi_core::storage::{Applied, ApplyCalls, Settle, TakeOverdue, WorkingSet};
use sqlx::SqliteConnection;

use crate::SqliteStorage;
use crate::error::Failure;
use crate::value::{Columns, Id, document, id_list, instant, limit, nanos};
use crate::write::write;
use crate::{contact, run};

pub(crate) async fn apply(
    store: &SqliteStorage,
    request: ApplyCalls,
    settle: &Settle<'_>,
) -> Result<Vec<Applied>, Failure> {
    let mut tx = store.begin().await?;
    let mut set = load(&mut tx, &request.inputs).await?;
    let applied = set.apply(request, settle);
    write(&mut tx, set).await?;
    tx.commit().await?;
    Ok(applied)
}

/// Loads the calls that are meant, with their contacts and the counts of their runs.
async fn load(connection: &mut SqliteConnection, inputs: &[CallInput]) -> Result<WorkingSet, Failure> {
    let (mut ids, mut references) = (BTreeSet::new(), BTreeSet::new());
    for input in inputs {
        match &input.call {
            CallRef::Id(id) => drop(ids.insert(*id)),
            CallRef::Provider { provider, reference } => {
                references.insert((provider.as_str(), reference.as_str()));
            }
        }
    }
    let query = sqlx::query(
        "SELECT c.document, k.document, s.document FROM \
           (SELECT unhex(value) AS id FROM json_each(?1) \
            UNION SELECT r.call_id FROM json_each(?2) meant CROSS JOIN call_references r \
              ON r.provider = meant.value ->> 0 AND r.reference = meant.value ->> 1) meant \
         CROSS JOIN calls c ON c.id = meant.id \
         CROSS JOIN contacts k ON k.id = c.contact_id \
         LEFT JOIN contact_statuses s ON s.contact_id = k.id",
    )
    .bind(id_list(ids))
    .bind(document("list of references", &references)?);
    let mut set = WorkingSet::default();
    let mut runs = BTreeSet::new();
    for row in query.fetch_all(&mut *connection).await? {
        let call: Call = row.thing("call", 0)?;
        runs.insert(call.run_id);
        set.hold_call(call);
        set.hold_contact(contact::read(&row, 1)?);
    }
    run::hold_tallies(connection, runs, &mut set).await?;
    Ok(set)
}

pub(crate) async fn take_overdue(store: &SqliteStorage, request: TakeOverdue) -> Result<Vec<Call>, Failure> {
    // Asked often and mostly in vain, so not as a writer.
    let any = sqlx::query("SELECT EXISTS (SELECT 1 FROM call_checks WHERE check_at <= ?)")
        .bind(nanos(request.now))
        .fetch_one(&mut *store.reader().await?)
        .await?;
    if any.int(0)? == 0 {
        return Ok(Vec::new());
    }
    let mut tx = store.begin().await?;
    let overdue = sqlx::query(
        "SELECT c.document FROM (SELECT check_at, call_id FROM call_checks WHERE check_at <= ? \
           ORDER BY check_at, call_id LIMIT ?) d CROSS JOIN calls c ON c.id = d.call_id",
    )
    .bind(nanos(request.now))
    .bind(limit(request.limit))
    .fetch_all(&mut *tx)
    .await?;
    let overdue = overdue.iter().map(|row| row.thing("call", 0)).collect::<Result<_, _>>()?;
    let mut set = WorkingSet::default();
    let overdue = set.take_over(overdue, &request);
    write(&mut tx, set).await?;
    tx.commit().await?;
    Ok(overdue)
}

pub(crate) async fn call(store: &SqliteStorage, id: CallId) -> Result<Option<Call>, Failure> {
    let query = sqlx::query("SELECT document FROM calls WHERE id = ?").bind(id.blob());
    let row = query.fetch_optional(&mut *store.reader().await?).await?;
    row.map(|row| row.thing("call", 0)).transpose()
}

pub(crate) async fn of_contacts(store: &SqliteStorage, contacts: &[ContactId]) -> Result<Vec<Call>, Failure> {
    let query = sqlx::query(
        "SELECT c.document FROM json_each(?) contact CROSS JOIN calls c ON c.contact_id = unhex(contact.value) \
         ORDER BY contact.key, c.rowid",
    )
    .bind(id_list(contacts.iter().copied()));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(|row| row.thing("call", 0)).collect()
}

pub(crate) async fn live(
    store: &SqliteStorage,
    run_id: RunId,
    after: Option<CallId>,
    count: usize,
) -> Result<Vec<Call>, Failure> {
    let query = sqlx::query(
        "SELECT c.document FROM (SELECT call_id FROM live_calls WHERE run_id = ? AND call_id > ? \
           ORDER BY call_id LIMIT ?) l CROSS JOIN calls c ON c.id = l.call_id ORDER BY l.call_id",
    )
    .bind(run_id.blob())
    .bind(after.map_or_else(Vec::new, Id::blob))
    .bind(limit(count));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(|row| row.thing("call", 0)).collect()
}

pub(crate) async fn next_due(
    store: &SqliteStorage,
    runs: &[RunId],
) -> Result<Option<DateTime<Utc>>, Failure> {
    let query = sqlx::query(
        "SELECT min(at) FROM ( \
           SELECT (SELECT min(due_at) FROM due WHERE run_id = unhex(run.value) AND priority = level.column1) AS at \
             FROM json_each(?) run CROSS JOIN (VALUES (1), (2), (3), (4), (5)) level \
           UNION ALL SELECT (SELECT min(check_at) FROM call_checks) \
           UNION ALL SELECT (SELECT min(due_at) FROM inbox) \
           UNION ALL SELECT (SELECT min(due_at) FROM outbox))",
    )
    .bind(id_list(runs.iter().copied()));
    let row = query.fetch_one(&mut *store.reader().await?).await?;
    Ok(row.optional_int(0)?.map(instant))
}
