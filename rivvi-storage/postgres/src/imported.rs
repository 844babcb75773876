//! Contacts as they are imported: nothing of it changes until their run is purged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    Aggregate, Contact, ContactId, ContactStatus, E164, Event, JournalEntry, PersonFields, Personal,
    Priority, RunId,
};
use rivvi_core::policy::zone::ResolvedZones;
use rivvi_core::storage::{StorageError, StorageErrorKind};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;

use crate::PostgresStorage;
use crate::connection::Transaction;
use crate::error::Failure;
use crate::rows::{put, rows};
use crate::table::{DueRows, StatusRows, insert_due, put_statuses};
use crate::tally::{self, Delta};
use crate::value::{Columns, digits, document, instant, limit, uuids};
use crate::{journal, run};

/// Reads a contact as it was imported: id, organization, run, number, the instant it is due and the document, the first of
/// which is `at`.
pub(crate) fn read(row: &PgRow, at: usize) -> Result<Contact, Failure> {
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
        page: Option<i64>,
    }
}

impl ContactRows<'_> {
    fn push(&mut self, contact: &Contact, due_at: DateTime<Utc>, page: Option<i64>) -> Result<(), Failure> {
        self.id.push(contact.id.as_uuid());
        self.org_id.push(contact.org_id.as_uuid());
        self.run_id.push(contact.run_id.as_uuid());
        self.number.push(digits(contact.number));
        self.due_at.push(instant(due_at));
        let Contact { row, person, zones, priority, external_id, variables, .. } = contact;
        let (row, priority, external_id) = (*row, *priority, external_id.as_ref());
        let importing = Importing { row, person, zones, priority, external_id, variables };
        self.document.push(document("contact", &importing)?);
        self.page.push(page);
        Ok(())
    }
}

pub(crate) async fn add(
    store: &PostgresStorage,
    contacts: &[Contact],
    now: DateTime<Utc>,
) -> Result<u64, Failure> {
    const KNOWN: &str = "SELECT id FROM contacts WHERE id = ANY($1)";
    const INSERT: &str = "INSERT INTO contacts (id, org_id, run_id, number, due_at, document, page) \
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[], $5::timestamptz[], $6::text[], \
          $7::bigint[]) ON CONFLICT (id) DO NOTHING";
    if contacts.is_empty() {
        return Ok(0);
    }
    // In the order of their ids, so that two who add the same contacts wait for each other and not in a circle.
    let mut new: BTreeMap<ContactId, &Contact> = BTreeMap::new();
    for contact in contacts {
        new.entry(contact.id).or_insert(contact);
    }
    let mut tx = store.begin().await?;
    let runs: BTreeSet<RunId> = contacts.iter().map(|contact| contact.run_id).collect();
    accept_contacts(&mut tx, &runs).await?;
    for row in &tx.rows(sqlx::query(KNOWN).bind(uuids(new.keys().copied()))).await? {
        new.remove(&row.id(0)?);
    }

    let entries = new.values().map(|contact| JournalEntry {
        org_id: contact.org_id,
        aggregate: Aggregate::Contact(contact.id),
        sequence: 1,
        at: now,
        event: Event::ContactImported { row: contact.row },
    });
    let entries: Vec<_> = entries.collect();
    let pages = journal::append_pages(&mut tx, &entries).await?;
    let (mut rows, mut due, mut statuses) =
        (ContactRows::default(), DueRows::default(), StatusRows::default());
    let mut tallies = BTreeMap::new();
    for contact in new.values() {
        let due_at = contact.status.state.due_at();
        rows.push(contact, due_at.unwrap_or(now), pages.get(&contact.id).copied())?;
        due.extend(contact, due_at);
        let status = ContactStatus { sequence: 1, ..contact.status.clone() };
        // As long as nothing is known beside the instant it waits for, it needs no row for its status.
        if due_at.map(ContactStatus::new) != Some(ContactStatus { sequence: 0, ..status.clone() }) {
            statuses.push(contact, &status, None, None)?;
        }
        let (_, tally) = tallies.entry(contact.run_id).or_insert_with(|| (contact.org_id, tally::origin()));
        tally.enter(&contact.status.state);
    }
    let added = new.len() as u64;
    if put(&mut tx, INSERT, rows).await? < added {
        // Another one adds the same contacts now.
        return Err(Failure::Overtaken);
    }
    insert_due(&mut tx, due).await?;
    put_statuses(&mut tx, statuses).await?;
    let deltas = tallies.iter().map(|(id, (org_id, tally))| (*id, *org_id, Delta::since_origin(tally)));
    tally::add(&mut tx, deltas.collect()).await?;
    tx.commit().await?;
    Ok(added)
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
               AND k.contact_id = c.id \
               RETURNING k.org_id, k.number, k.attempt_at, k.call_id, k.contact_id, k.pages, k.provider_ref), \
             unreferenced AS (DELETE FROM call_references r USING gone \
               WHERE r.hash = hashtextextended(gone.provider_ref, 0) AND r.call_id = gone.call_id), \
             told AS (INSERT INTO purged_contacts AS p (contact_id, org_id, pages) \
               SELECT contact_id, org_id, array_agg(page) FROM gone, unnest(pages) page GROUP BY contact_id, org_id \
               ON CONFLICT (contact_id) DO UPDATE SET pages = p.pages || excluded.pages) \
             INSERT INTO attempts (org_id, number, at, call_id) \
             SELECT org_id, number, attempt_at, call_id FROM gone WHERE attempt_at IS NOT NULL ON CONFLICT DO NOTHING"
        )
    };
}

macro_rules! remove_contacts {
    ($table:literal, $id:literal, $pages:literal) => {
        concat!(
            "WITH gone AS (DELETE FROM ", $table, " k USING unnest($1::uuid[]) c(id) WHERE k.", $id, " = c.id \
               RETURNING k.", $id, " AS contact_id, k.org_id, ", $pages, " AS pages) \
             INSERT INTO purged_contacts AS p (contact_id, org_id, pages) SELECT * FROM gone WHERE pages <> '{}' \
             ON CONFLICT (contact_id) DO UPDATE SET pages = p.pages || excluded.pages"
        )
    };
}

/// Removes contacts of a run with everything that is live of them; what counts as an attempt stays, and in which pages of
/// the journal they are told of.
pub(crate) async fn remove(
    tx: &mut Transaction,
    run_id: RunId,
    contacts: &[(ContactId, E164)],
) -> Result<(), Failure> {
    const CALLS: [&str; 2] = [remove_calls!("live_calls"), remove_calls!("ended_calls")];
    const CONTACTS: [&str; 2] = [
        remove_contacts!("contact_statuses", "contact_id", "k.pages"),
        remove_contacts!("contacts", "id", "CASE WHEN k.page IS NULL THEN '{}' ELSE ARRAY[k.page] END"),
    ];
    let ids = uuids(contacts.iter().map(|(id, _)| *id));
    let numbers: Vec<i64> = contacts.iter().map(|(_, number)| digits(*number)).collect();
    for delete in CALLS {
        let delete = sqlx::query(delete).bind(run_id.as_uuid()).bind(ids.clone());
        tx.run(delete.bind(numbers.clone())).await?;
    }
    let due = sqlx::query("DELETE FROM due WHERE run_id = $1 AND contact_id = ANY($2)");
    tx.run(due.bind(run_id.as_uuid()).bind(ids.clone())).await?;
    for delete in CONTACTS {
        tx.run(sqlx::query(delete).bind(ids.clone())).await?;
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
        assert_eq!(status, ["attempts", "last_disposition", "not_placed", "plan", "sequence", "state"]);
    }
}
