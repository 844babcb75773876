//! Contacts: as imported, and where they stand now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    Aggregate, Contact, ContactId, ContactState, ContactStatus, E164, Event, JournalEntry, PersonFields,
    Personal, Priority, RunId, RunState,
};
use rivvi_core::policy::zone::ResolvedZones;
use rivvi_core::storage::{ContactQuery, SettleWaiting, StorageError, StorageErrorKind, WorkingSet};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;

use crate::PostgresStorage;
use crate::connection::Transaction;
use crate::error::{Failure, Unreadable};
use crate::table::{DueRows, StatusRows, insert_due, put_statuses};
use crate::tally::{self, Delta};
use crate::value::{
    Columns, Rows, after, digits, disposition, document, exclusion, instant, limit, outcome, rows, thing,
    uuids,
};
use crate::write::{Homes, write};
use crate::{journal, run};

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

/// Reads a contact from columns as [`contact!`] names them, the first of which is `at`.
pub(crate) fn read(row: &PgRow, at: usize) -> Result<Contact, Failure> {
    let mut contact = imported(row, at)?;
    if row.value::<Option<i64>>(at + 16)?.is_some() {
        contact.status = read_live_status(row, at + 16)?;
    } else if row.value::<Option<i64>>(at + 6)?.is_some() {
        contact.status = read_status(row, at + 6)?;
    }
    Ok(contact)
}

/// Reads a contact as it was imported.
pub(crate) fn imported(row: &PgRow, at: usize) -> Result<Contact, Failure> {
    let rest: Imported = row.thing("contact", at + 5)?;
    let (org_id, run_id, number) = (row.id(at + 1)?, row.id(at + 2)?, row.number(at + 3)?);
    let mut contact = Contact::new(run_id, org_id, rest.row, number, rest.zones, row.instant(at + 4)?);
    contact.id = row.id(at)?;
    contact.person = rest.person;
    contact.priority = rest.priority;
    contact.external_id = rest.external_id;
    contact.variables = rest.variables;
    contact.status.sequence = 1;
    Ok(contact)
}

fn read_status(row: &PgRow, at: usize) -> Result<ContactStatus, Failure> {
    let state = if let Some(due_at) = row.optional_instant(at + 1)? {
        ContactState::Waiting { due_at }
    } else if let Some(call_id) = row.optional_id(at + 2)? {
        ContactState::Calling { call_id }
    } else {
        let outcome = outcome(row.optional_text(at + 3)?.ok_or(Unreadable::new("status of a contact"))?)?;
        let exclusion = row.optional_text(at + 4)?.map(exclusion).transpose()?;
        ContactState::Settled { outcome, exclusion, at: row.instant(at + 5)? }
    };
    read_counts(row, state, row.int(at)?, at + 6)
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
        retries: match row.optional_text(at + 2)? {
            Some(retries) => thing("retries of a contact", retries)?,
            None => Default::default(),
        },
        not_placed: row.count(at + 1)?,
        last_disposition: row.optional_text(at + 3)?.map(disposition).transpose()?,
        sequence: sequence.cast_unsigned(),
    })
}

/// What stands in the document of a contact: everything but ids, number and status.
#[derive(Deserialize)]
struct Imported {
    row: u64,
    #[serde(default)]
    person: PersonFields,
    zones: ResolvedZones,
    priority: Priority,
    #[serde(default)]
    external_id: Option<Personal<String>>,
    #[serde(default)]
    variables: Personal<Arc<BTreeMap<String, String>>>,
}

/// The same as it is written.
#[derive(Serialize)]
struct Importing<'a> {
    row: u64,
    #[serde(skip_serializing_if = "is_default")]
    person: &'a PersonFields,
    zones: &'a ResolvedZones,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a Personal<String>>,
    #[serde(skip_serializing_if = "is_default")]
    variables: &'a Personal<Arc<BTreeMap<String, String>>>,
}

fn is_default<T: Default + PartialEq>(value: &&T) -> bool {
    **value == T::default()
}

rows! {
    /// Rows of `contacts`.
    ContactRows<'a> {
        id: uuid::Uuid,
        org_id: uuid::Uuid,
        run_id: uuid::Uuid,
        number: i64,
        due_at: DateTime<Utc>,
        document: String,
    }
}

impl ContactRows<'_> {
    fn push(&mut self, contact: &Contact, due_at: DateTime<Utc>) -> Result<(), Failure> {
        self.id.push(contact.id.as_uuid());
        self.org_id.push(contact.org_id.as_uuid());
        self.run_id.push(contact.run_id.as_uuid());
        self.number.push(digits(contact.number));
        self.due_at.push(instant(due_at));
        let Contact { row, person, zones, priority, external_id, variables, .. } = contact;
        let (row, priority, external_id) = (*row, *priority, external_id.as_ref());
        let importing = Importing { row, person, zones, priority, external_id, variables };
        self.document.push(document("contact", &importing)?);
        Ok(())
    }
}

pub(crate) async fn add(
    store: &PostgresStorage,
    contacts: &[Contact],
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    const INSERT: &str = "INSERT INTO contacts (id, org_id, run_id, number, due_at, document) \
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::text[]) \
        ON CONFLICT (id) DO NOTHING RETURNING id";
    if contacts.is_empty() {
        return Ok(0);
    }
    // In the order of their ids, so that two who add the same contacts wait for each other and not in a circle.
    let mut by_id: BTreeMap<ContactId, &Contact> = BTreeMap::new();
    for contact in contacts {
        by_id.entry(contact.id).or_insert(contact);
    }
    let mut tx = store.begin().await?;
    let runs: BTreeSet<RunId> = contacts.iter().map(|contact| contact.run_id).collect();
    accept_contacts(&mut tx, &runs).await?;

    let mut new_rows = ContactRows::default();
    for contact in by_id.values() {
        new_rows.push(contact, contact.status.state.due_at().unwrap_or(now))?;
    }
    let added = tx.rows(new_rows.bind(sqlx::query(INSERT))).await?;
    let added = added.iter().map(|row| row.id(0)).collect::<Result<BTreeSet<ContactId>, _>>()?;

    let (mut due, mut statuses, mut entries) = (DueRows::default(), StatusRows::default(), Vec::new());
    let mut tallies = BTreeMap::new();
    for contact in by_id.values().filter(|contact| added.contains(&contact.id)) {
        let (org_id, aggregate) = (contact.org_id, Aggregate::Contact(contact.id));
        let (_, tally) = tallies.entry(contact.run_id).or_insert_with(|| (org_id, tally::origin()));
        tally.enter(&contact.status.state);
        due.extend(contact, contact.status.state.due_at());
        let status = ContactStatus { sequence: 1, ..contact.status.clone() };
        // As long as nothing is known beside the instant it waits for, it needs no row for its status.
        if status.state.due_at().map(ContactStatus::new)
            != Some(ContactStatus { sequence: 0, ..status.clone() })
        {
            statuses.push(contact, &status)?;
        }
        let event = Event::ContactImported { row: contact.row };
        entries.push(JournalEntry { org_id, aggregate, sequence: 1, at: now, event });
    }
    insert_due(&mut tx, due).await?;
    put_statuses(&mut tx, statuses).await?;
    journal::append(&mut tx, entries).await?;
    let deltas = tallies.iter().map(|(id, (org_id, tally))| (*id, *org_id, Delta::since_origin(tally)));
    tally::add(&mut tx, deltas.collect()).await?;
    tx.commit().await?;
    Ok(added.len() as u64)
}

/// Sees to it that these runs take contacts, until the transaction ends.
async fn accept_contacts(tx: &mut Transaction, runs: &BTreeSet<RunId>) -> Result<(), Failure> {
    let states = run::states_held(tx, runs).await?;
    if let Some(unknown) = runs.iter().find(|id| !states.contains_key(id)) {
        return Err(run::not_found("add_contacts", "run", unknown));
    }
    if states.values().any(|state| state.is_final()) {
        let context = "the run is over and takes no contacts";
        return Err(StorageError::new(StorageErrorKind::Refused, "add_contacts", context).into());
    }
    Ok(())
}

pub(crate) async fn by_id(store: &PostgresStorage, id: ContactId) -> Result<Option<Contact>, Failure> {
    const CONTACT: &str =
        concat!("SELECT ", contact!(), " FROM contacts c", with_status!(), "WHERE c.id = $1");
    let row = store.reader().await?.row(sqlx::query(CONTACT).bind(id.as_uuid())).await?;
    row.map(|row| read(&row, 0)).transpose()
}

pub(crate) const OF_RUN: &str = concat!(
    "SELECT ",
    contact!(),
    " FROM contacts c",
    with_status!(),
    "WHERE c.id BETWEEN $2 AND $3 AND ($4::uuid IS NULL OR c.id > $4) AND c.run_id = $1 ORDER BY c.id LIMIT $5"
);

pub(crate) const OF_RUN_AND_NUMBER: &str = concat!(
    "SELECT ",
    contact!(),
    " FROM (SELECT id FROM contacts WHERE id BETWEEN $2 AND $3 \
       AND ($4::uuid IS NULL OR id > $4) AND number = $6 ORDER BY id) found JOIN contacts c ON c.id = found.id",
    with_status!(),
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
    rows.iter().map(|row| read(row, 0)).collect()
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

/// The numbers of contacts of a run that is purged, with their ids.
pub(crate) async fn first_of_run(
    tx: &mut Transaction,
    run_id: RunId,
    count: usize,
) -> Result<Vec<(ContactId, E164)>, Failure> {
    let (first, last) = run::contact_ids(run_id);
    let query = sqlx::query(
        "SELECT id, number FROM contacts WHERE id BETWEEN $2 AND $3 AND run_id = $1 ORDER BY id LIMIT $4 FOR UPDATE",
    )
    .bind(run_id.as_uuid())
    .bind(first.as_uuid())
    .bind(last.as_uuid())
    .bind(limit(count));
    let rows = tx.rows(query).await?;
    rows.iter().map(|row| Ok((row.id(0)?, row.number(1)?))).collect()
}

macro_rules! remove_calls {
    ($table:literal) => {
        concat!(
            "WITH gone AS (DELETE FROM ", $table, " k USING unnest($2::uuid[], $3::bigint[]) c(id, number) \
               WHERE k.org_id = (SELECT org_id FROM runs WHERE id = $1) AND k.number = c.number \
               AND k.contact_id = c.id RETURNING k.org_id, k.number, k.attempt_at, k.call_id) \
             INSERT INTO attempts (org_id, number, at, call_id) \
             SELECT org_id, number, attempt_at, call_id FROM gone WHERE attempt_at IS NOT NULL ON CONFLICT DO NOTHING"
        )
    };
}
/// Removes contacts of a run with everything that is live of them; what counts as an attempt stays.
pub(crate) async fn remove(
    tx: &mut Transaction,
    run_id: RunId,
    contacts: &[(ContactId, E164)],
) -> Result<(), Failure> {
    const CALLS: [&str; 2] = [remove_calls!("live_calls"), remove_calls!("ended_calls")];
    let ids = uuids(contacts.iter().map(|(id, _)| *id));
    let numbers: Vec<i64> = contacts.iter().map(|(_, number)| digits(*number)).collect();
    for delete in CALLS {
        let delete = sqlx::query(delete).bind(run_id.as_uuid()).bind(ids.clone());
        tx.run(delete.bind(numbers.clone())).await?;
    }
    for delete in [
        "DELETE FROM due WHERE run_id = $1 AND contact_id = ANY($2)",
        "DELETE FROM contact_statuses WHERE $1 IS NOT NULL AND contact_id = ANY($2)",
        "DELETE FROM contacts WHERE run_id = $1 AND id = ANY($2)",
    ] {
        tx.run(sqlx::query(delete).bind(run_id.as_uuid()).bind(ids.clone())).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rivvi_core::testkit::build;

    /// A contact that grows a field needs a place for it, or the field would be lost.
    #[test]
    fn every_field_of_a_contact_has_its_place() {
        let run = build::draft(&build::campaign(build::org_id(1), 1), 1);
        let contact = serde_json::to_value(build::rich_contact(&run, 1)).unwrap();
        let mut fields: Vec<&str> = contact.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        let known = [
            "external_id",
            "id",
            "number",
            "org_id",
            "person",
            "priority",
            "row",
            "run_id",
            "status",
            "variables",
            "zones",
        ];
        assert_eq!(fields, known);
        let mut status: Vec<&str> =
            contact["status"].as_object().unwrap().keys().map(String::as_str).collect();
        status.sort_unstable();
        assert_eq!(status, ["attempts", "last_disposition", "not_placed", "retries", "sequence", "state"]);
    }
}
