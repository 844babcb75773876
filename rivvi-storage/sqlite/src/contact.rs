//! Contacts.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Aggregate, Contact, ContactId, E164, Event, JournalEntry, RunId, RunState};
use rivvi_core::storage::{ContactQuery, SettleWaiting, StorageError, StorageErrorKind, WorkingSet};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::SqliteStorage;
use crate::batch::Batch;
use crate::error::Failure;
use crate::value::{Columns, Id, digits, document, id_list, limit};
use crate::write::{INSERT_DUE, due_row, write, write_tallies};
use crate::{journal, run};

pub(crate) async fn add(
    store: &SqliteStorage,
    contacts: Vec<Contact>,
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    const INSERT: Batch<4> =
        Batch { head: "INSERT INTO contacts (id, run_id, number, document) VALUES ", tail: "" };
    let mut tx = store.begin().await?;
    let runs: BTreeSet<RunId> = contacts.iter().map(|contact| contact.run_id).collect();
    let mut over = false;
    for id in &runs {
        match run::state(&mut tx, *id).await? {
            Some(state) => over |= state.is_final(),
            None => return Err(run::not_found("add_contacts", "run", id)),
        }
    }
    if over {
        let context = "the run is over and takes no contacts";
        return Err(StorageError::new(StorageErrorKind::Refused, "add_contacts", context).into());
    }
    let mut seen = known_among(&mut tx, &contacts).await?;
    let mut tallies = run::tallies(&mut tx, runs).await?;

    let (mut rows, mut due, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for mut contact in contacts {
        if !seen.insert(contact.id) {
            continue;
        }
        contact.status.sequence = 1;
        tallies.entry(contact.run_id).or_default().enter(&contact.status.state);
        due.extend(contact.status.state.due_at().map(|due_at| due_row(&contact, due_at)));
        entries.push(JournalEntry {
            org_id: contact.org_id,
            aggregate: Aggregate::Contact(contact.id),
            sequence: 1,
            at: now,
            event: Event::ContactImported { row: contact.row },
        });
        let document = document("contact", &contact)?;
        rows.push([contact.id.into(), contact.run_id.into(), contact.number.into(), document.into()]);
    }
    let added = rows.len() as u64;
    INSERT.run(&mut tx, rows).await?;
    INSERT_DUE.run(&mut tx, due).await?;
    journal::append(&mut tx, entries).await?;
    write_tallies(&mut tx, tallies).await?;
    tx.commit().await?;
    Ok(added)
}

/// Those of the contacts whose ids exist.
async fn known_among(
    connection: &mut SqliteConnection,
    contacts: &[Contact],
) -> Result<BTreeSet<ContactId>, Failure> {
    let ids = || contacts.iter().map(|contact| contact.id);
    let (Some(first), Some(last)) = (ids().min(), ids().max()) else {
        return Ok(BTreeSet::new());
    };
    // The rows of a sheet come in their order, so mostly there is nothing yet in the range of a batch.
    let any = sqlx::query("SELECT EXISTS (SELECT 1 FROM contacts WHERE id BETWEEN ? AND ?)")
        .bind(first.blob())
        .bind(last.blob())
        .fetch_one(&mut *connection)
        .await?;
    if any.int(0)? == 0 {
        return Ok(BTreeSet::new());
    }
    let query = sqlx::query("SELECT id FROM contacts WHERE id IN (SELECT unhex(value) FROM json_each(?))")
        .bind(id_list(ids()));
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| row.id(0)).collect()
}

pub(crate) async fn contact(store: &SqliteStorage, id: ContactId) -> Result<Option<Contact>, Failure> {
    let query = sqlx::query(
        "SELECT c.document, s.document FROM contacts c \
         LEFT JOIN contact_statuses s ON s.contact_id = c.id WHERE c.id = ?",
    )
    .bind(id.blob());
    let row = query.fetch_optional(&mut *store.reader().await?).await?;
    row.map(|row| read(&row, 0)).transpose()
}

pub(crate) async fn contacts(store: &SqliteStorage, query: ContactQuery) -> Result<Vec<Contact>, Failure> {
    let mut reader = store.reader().await?;
    of_run(&mut reader, query.run_id, query.number, query.after, query.limit).await
}

/// Contacts of a run in the order of their ids.
pub(crate) async fn of_run(
    connection: &mut SqliteConnection,
    run_id: RunId,
    number: Option<E164>,
    after: Option<ContactId>,
    count: usize,
) -> Result<Vec<Contact>, Failure> {
    let (first, last) = run::contact_ids(run_id);
    let rows = match number {
        None => sqlx::query(
            "SELECT c.document, s.document FROM contacts c LEFT JOIN contact_statuses s ON s.contact_id = c.id \
             WHERE c.id > ?1 AND c.id >= ?2 AND c.id <= ?3 AND c.run_id = ?4 ORDER BY c.id LIMIT ?5",
        ),
        Some(_) => sqlx::query(
            "SELECT c.document, s.document FROM contacts c LEFT JOIN contact_statuses s ON s.contact_id = c.id \
             WHERE c.number = ?6 AND c.id > ?1 AND c.id >= ?2 AND c.id <= ?3 AND c.run_id = ?4 \
             ORDER BY c.id LIMIT ?5",
        ),
    }
    .bind(after.map_or_else(Vec::new, Id::blob))
    .bind(after.map_or(first, |after| after.max(first)).blob())
    .bind(last.blob())
    .bind(run_id.blob())
    .bind(limit(count))
    .bind(number.map_or(0, digits))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| read(row, 0)).collect()
}

/// Reads a contact from its document in column `column` and its later status in the next.
pub(crate) fn read(row: &SqliteRow, column: usize) -> Result<Contact, Failure> {
    let mut contact: Contact = row.thing("contact", column)?;
    if let Some(status) = row.optional_text(column + 1)? {
        contact.status = crate::value::thing("status of a contact", status)?;
    }
    Ok(contact)
}

pub(crate) async fn settle_waiting(store: &SqliteStorage, request: SettleWaiting) -> Result<u64, Failure> {
    let mut tx = store.begin().await?;
    if run::state(&mut tx, request.run_id).await? != Some(RunState::Completing) {
        return Ok(0);
    }
    let waiting = sqlx::query(
        "SELECT c.document, s.document FROM \
           (SELECT contact_id FROM due WHERE run_id = ?1 ORDER BY priority, due_at, contact_id LIMIT ?2) d \
         CROSS JOIN contacts c ON c.id = d.contact_id LEFT JOIN contact_statuses s ON s.contact_id = c.id",
    )
    .bind(request.run_id.blob())
    .bind(limit(request.limit))
    .fetch_all(&mut *tx)
    .await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let settled = waiting.len() as u64;
    let waiting = waiting.iter().map(|row| read(row, 0)).collect::<Result<_, _>>()?;
    let mut set = WorkingSet::default();
    run::hold_tallies(&mut tx, BTreeSet::from([request.run_id]), &mut set).await?;
    set.settle_waiting(waiting, &request);
    write(&mut tx, set).await?;
    tx.commit().await?;
    Ok(settled)
}
