//! Contacts, and where they stand now.

use std::collections::BTreeSet;

use rivvi_core::domain::{Contact, ContactId, ContactState, ContactStatus, RunState};
use rivvi_core::storage::{ContactQuery, SettleWaiting, WorkingSet};
use sqlx::postgres::PgRow;

use crate::PostgresStorage;
use crate::error::{Failure, Unreadable};
use crate::tally;
use crate::value::{Columns, after, digits, disposition, exclusion, limit, outcome, thing};
use crate::write::{Homes, write};
use crate::{imported, run};

/// The columns of contact `c`, its status `s` and its live call `l`, in the order in which [`read`] takes them.
macro_rules! contact {
    () => {
        "c.id, c.org_id, c.run_id, c.number, c.due_at, c.document, \
         s.sequence, s.due_at, s.call_id, s.outcome, s.exclusion, s.settled_at, s.attempts, s.not_placed, s.retries, \
         s.last_disposition, \
         l.sequence, l.call_id, l.contact_state, l.attempts, l.not_placed, l.retries, l.last_disposition"
    };
}
pub(crate) use contact;

/// Where status and live call of contact `c` are looked up.
macro_rules! with_status {
    () => {
        " LEFT JOIN contact_statuses s ON s.contact_id = c.id \
         LEFT JOIN live_calls l ON l.org_id = c.org_id AND l.number = c.number AND l.contact_id = c.id "
    };
}
pub(crate) use with_status;

/// How many columns [`read`] takes.
pub(crate) const COLUMNS: usize = 23;

/// The columns that [`read_any`] takes after those of [`contact!`].
macro_rules! settled {
    () => {
        "w.sequence, w.outcome, w.exclusion, w.settled_at, w.attempts, w.not_placed, w.retries, w.last_disposition"
    };
}
pub(crate) use settled;

/// Where the call is looked up with whose end contact `c` was settled, if it was.
macro_rules! with_settled {
    () => {
        "LEFT JOIN LATERAL (SELECT * FROM ended_calls w WHERE w.org_id = c.org_id AND w.number = c.number \
           AND w.contact_id = c.id AND w.sequence IS NOT NULL ORDER BY w.sequence DESC LIMIT 1) w ON true "
    };
}
pub(crate) use with_settled;

/// Reads a contact from columns as [`contact!`] and [`settled!`] name them, the first of which is `at`.
pub(crate) fn read_any(row: &PgRow, at: usize) -> Result<Contact, Failure> {
    let (standing, live): (Option<i64>, Option<i64>) = (row.value(at + 6)?, row.value(at + 16)?);
    let settled: Option<i64> = row.value(at + COLUMNS)?;
    let Some(sequence) = settled.filter(|_| live.is_none()).filter(|_| settled >= standing) else {
        return read(row, at);
    };
    let mut contact = imported::read(row, at)?;
    let state = read_settled(row, at + COLUMNS + 1)?;
    contact.status = read_counts(row, state, sequence, at + COLUMNS + 4)?;
    Ok(contact)
}

/// Reads a contact that is not settled, from columns as [`contact!`] names them, the first of which is `at`.
pub(crate) fn read(row: &PgRow, at: usize) -> Result<Contact, Failure> {
    let mut contact = imported::read(row, at)?;
    if row.value::<Option<i64>>(at + 16)?.is_some() {
        contact.status = read_live_status(row, at + 16)?;
    } else if row.value::<Option<i64>>(at + 6)?.is_some() {
        contact.status = read_status(row, at + 6)?;
    }
    Ok(contact)
}

fn read_status(row: &PgRow, at: usize) -> Result<ContactStatus, Failure> {
    let state = if let Some(due_at) = row.optional_instant(at + 1)? {
        ContactState::Waiting { due_at }
    } else if let Some(call_id) = row.optional_id(at + 2)? {
        ContactState::Calling { call_id }
    } else {
        read_settled(row, at + 3)?
    };
    read_counts(row, state, row.int(at)?, at + 6)
}

fn read_settled(row: &PgRow, at: usize) -> Result<ContactState, Failure> {
    let outcome = outcome(row.optional_text(at)?.ok_or(Unreadable::new("status of a contact"))?)?;
    let exclusion = row.optional_text(at + 1)?.map(exclusion).transpose()?;
    Ok(ContactState::Settled { outcome, exclusion, at: row.instant(at + 2)? })
}

/// Reads the status of a contact from its live call.
pub(crate) fn read_live_status(row: &PgRow, at: usize) -> Result<ContactStatus, Failure> {
    let state = match row.optional_text(at + 2)? {
        Some(state) => thing("state of a contact", state)?,
        None => ContactState::Calling { call_id: row.id(at + 1)? },
    };
    read_counts(row, state, row.int(at)?, at + 3)
}

fn read_counts(row: &PgRow, state: ContactState, sequence: i64, at: usize) -> Result<ContactStatus, Failure> {
    Ok(ContactStatus {
        state,
        attempts: row.count(at)?,
        plan: match row.optional_text(at + 2)? {
            Some(plan) => thing("plan of a contact", plan)?,
            None => Default::default(),
        },
        not_placed: row.count(at + 1)?,
        last_disposition: row.optional_text(at + 3)?.map(disposition).transpose()?,
        sequence: sequence.cast_unsigned(),
    })
}

pub(crate) async fn by_id(store: &PostgresStorage, id: ContactId) -> Result<Option<Contact>, Failure> {
    const CONTACT: &str = concat!(
        "SELECT ",
        contact!(),
        ", ",
        settled!(),
        " FROM contacts c",
        with_status!(),
        with_settled!(),
        "WHERE c.id = $1"
    );
    let row = store.reader().await?.row(sqlx::query(CONTACT).bind(id.as_uuid())).await?;
    row.map(|row| read_any(&row, 0)).transpose()
}

pub(crate) const OF_RUN: &str = concat!(
    "SELECT ",
    contact!(),
    ", ",
    settled!(),
    " FROM contacts c",
    with_status!(),
    with_settled!(),
    "WHERE c.id BETWEEN $2 AND $3 AND ($4::uuid IS NULL OR c.id > $4) AND c.run_id = $1 ORDER BY c.id LIMIT $5"
);

pub(crate) const OF_RUN_AND_NUMBER: &str = concat!(
    "SELECT ",
    contact!(),
    ", ",
    settled!(),
    " FROM (SELECT id FROM contacts WHERE id BETWEEN $2 AND $3 \
       AND ($4::uuid IS NULL OR id > $4) AND number = $6 ORDER BY id) found JOIN contacts c ON c.id = found.id",
    with_status!(),
    with_settled!(),
    "WHERE c.run_id = $1 ORDER BY c.id LIMIT $5"
);

pub(crate) async fn contacts(store: &PostgresStorage, query: &ContactQuery) -> Result<Vec<Contact>, Failure> {
    let (first, last) = run::contact_ids(query.run_id);
    let statement = match query.number {
        None => sqlx::query(OF_RUN),
        Some(_) => sqlx::query(OF_RUN_AND_NUMBER),
    };
    let statement = statement
        .bind(query.run_id.as_uuid())
        .bind(first.as_uuid())
        .bind(last.as_uuid())
        .bind(after(query.after))
        .bind(limit(query.limit));
    let statement = match query.number {
        None => statement,
        Some(number) => statement.bind(digits(number)),
    };
    let rows = store.reader().await?.rows(statement).await?;
    rows.iter().map(|row| read_any(row, 0)).collect()
}

const TAKE_WAITING: &str = concat!(
    "WITH taken AS ( \
       DELETE FROM due WHERE ctid = ANY(ARRAY(SELECT ctid FROM due WHERE run_id = $1 \
         ORDER BY priority, due_at, contact_id LIMIT $2 FOR UPDATE)) RETURNING contact_id \
     ) SELECT ",
    contact!(),
    " FROM taken JOIN contacts c ON c.id = taken.contact_id",
    with_status!()
);

pub(crate) async fn settle_waiting(store: &PostgresStorage, request: &SettleWaiting) -> Result<u64, Failure> {
    let mut tx = store.begin().await?;
    let state = run::states_held(&mut tx, &BTreeSet::from([request.run_id])).await?;
    if state.get(&request.run_id) != Some(&RunState::Completing) {
        return Ok(0);
    }
    let take = sqlx::query(TAKE_WAITING).bind(request.run_id.as_uuid()).bind(limit(request.limit));
    let waiting = tx.rows(take).await?;
    if waiting.is_empty() {
        return Ok(0);
    }
    let mut homes = Homes::of_taken();
    let waiting = waiting.iter().map(|row| {
        homes.note(row, 0)?;
        read(row, 0)
    });
    let waiting = waiting.collect::<Result<Vec<_>, Failure>>()?;
    let settled = waiting.len() as u64;
    let mut set = WorkingSet::default();
    set.hold_tally(request.run_id, tally::origin());
    set.settle_waiting(waiting, request);
    write(&mut tx, set.into_writes(), homes).await?;
    tx.commit().await?;
    Ok(settled)
}
