//! Taking due contacts and beginning their calls: claim, checks and intent in one transaction.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Contact, ContactId, E164, OrgId, RunTally, Suppression};
use rivvi_core::policy::NumberFacts;
use rivvi_core::storage::{BeginCalls, Begun, Decide, Limited, WorkingSet};
use sqlx::postgres::PgRow;

use crate::PostgresStorage;
use crate::connection::{Connection, Transaction};
use crate::contact::{self, contact};
use crate::error::Failure;
use crate::tally::{self, Delta};
use crate::value::{Columns, digits, instant};
use crate::write::{Homes, write_all};
use crate::{gate, suppression};

/// Contacts loaded at once.
const CHUNK_MAX: u32 = 1_000;

/// Whether the run is active, and how many calls are live.
pub(crate) const CAPACITY: &str = "\
    SELECT r.status = 'active', live.of_organization, live.of_run, counted.calling, counted.most \
    FROM runs r, \
      (SELECT count(*) AS of_organization, count(*) FILTER (WHERE run_id = $1) AS of_run \
         FROM live_calls WHERE org_id = $2) live, \
      (SELECT coalesce(sum(counts[2]), 0)::bigint AS calling, coalesce(max(live_calls_max), 0) AS most \
         FROM run_tallies WHERE run_id = $1) counted \
    WHERE r.id = $1";

macro_rules! first_due {
    ($priority:literal) => {
        concat!(
            "SELECT ctid FROM (SELECT ctid FROM due WHERE run_id = $1 AND priority = ",
            $priority,
            " AND due_at <= $2 ORDER BY due_at, contact_id LIMIT $3 FOR UPDATE SKIP LOCKED) p",
            $priority
        )
    };
}

/// The columns that [`read_facts`] takes: live call, attempts, suppression.
macro_rules! facts {
    ($org_id:literal, $number:literal) => {
        concat!(
            "n.call_id, n.attempt_at, \
             ARRAY(SELECT e.attempt_at FROM ended_calls e WHERE e.org_id = ",
            $org_id,
            " AND e.number = ",
            $number,
            " AND e.attempt_at IS NOT NULL \
               UNION ALL SELECT a.at FROM attempts a WHERE a.org_id = ",
            $org_id,
            " AND a.number = ",
            $number,
            "), \
             x.org_id, x.number, x.source, x.reason, x.added_at, x.expires_at"
        )
    };
}

macro_rules! facts_of {
    ($org_id:literal, $number:literal) => {
        concat!(
            " LEFT JOIN live_calls n ON n.org_id = ",
            $org_id,
            " AND n.number = ",
            $number,
            " LEFT JOIN suppressions x ON x.org_id = ",
            $org_id,
            " AND x.number = ",
            $number
        )
    };
}

/// Takes the contacts of a run that are due, first to be called first, with the facts about their numbers. Each priority
/// is a range of the index of `due`, and the next is looked at when the one before has no more, so contacts that sleep
/// are never touched.
pub(crate) const CLAIM: &str = concat!(
    "WITH taken AS ( \
       DELETE FROM due WHERE ctid = ANY(ARRAY(SELECT * FROM ( ",
    first_due!("1"),
    " UNION ALL ",
    first_due!("2"),
    " UNION ALL ",
    first_due!("3"),
    " UNION ALL ",
    first_due!("4"),
    " UNION ALL ",
    first_due!("5"),
    ") first LIMIT $3)) RETURNING priority, due_at, contact_id \
     ) SELECT ",
    contact!(),
    ", taken.priority, taken.due_at, ",
    facts!("c.org_id", "c.number"),
    " FROM taken JOIN contacts c ON c.id = taken.contact_id \
      LEFT JOIN contact_statuses s ON s.contact_id = c.id",
    facts_of!("c.org_id", "c.number"),
    " LEFT JOIN LATERAL (SELECT n.* WHERE n.contact_id = c.id) l ON true"
);

pub(crate) async fn begin_calls(
    store: &PostgresStorage,
    request: &BeginCalls,
    decide: &Decide<'_>,
) -> Result<Begun, Failure> {
    let nothing = |reason| Begun { limited: Some(reason), ..Begun::default() };
    let (mut tx, entered) = gate::try_enter(store, request.org_id).await?;
    if !entered {
        // Whoever is at work there may be at it for a while; who finds no room need not wait to hear that.
        if let Err(reason) = capacity(&mut tx, request).await? {
            tx.roll_back().await?;
            return Ok(nothing(reason));
        }
        gate::enter(&mut tx, &BTreeSet::from([request.org_id])).await?;
    }
    let capacity = match capacity(&mut tx, request).await? {
        Ok(capacity) => capacity,
        Err(reason) => {
            tx.roll_back().await?;
            return Ok(nothing(reason));
        }
    };
    let mut tally = capacity.tally;
    let mut begun = Begun::default();
    let reason = loop {
        let calls = u32::try_from(begun.calls.len()).unwrap_or(u32::MAX);
        if calls == capacity.free {
            break Limited::Concurrency;
        }
        let wanted = (capacity.free.min(request.calls_max).saturating_sub(calls))
            .min(request.contacts_max.saturating_sub(begun.taken));
        if wanted == 0 {
            break Limited::Request;
        }
        // No more contacts than calls that may begin, so the capacity holds whatever is decided about them.
        let due = claim(store, &mut tx, request, wanted.min(CHUNK_MAX)).await?;
        if due.contacts.is_empty() {
            break Limited::NothingDue;
        }
        tally = begin_chunk(&mut tx, request, decide, due, tally, &mut begun).await?;
    };
    tx.commit().await?;
    for (call, contact) in &begun.calls {
        store.shared.lately.remember_call(call, &contact.status);
    }
    begun.limited = Some(reason);
    Ok(begun)
}

struct Capacity {
    /// How many calls the limits of organization and run leave.
    free: u32,
    /// To count the changes with: how many calls of the run are live, and were at most, is as it is.
    tally: RunTally,
}

/// What stands in the way, if no call may begin.
async fn capacity(tx: &mut Transaction, request: &BeginCalls) -> Result<Result<Capacity, Limited>, Failure> {
    let query = sqlx::query(CAPACITY).bind(request.run_id.as_uuid()).bind(request.org_id.as_uuid());
    let Some(row) = tx.row(query).await? else { return Ok(Err(Limited::NotActive)) };
    if !row.value::<bool>(0)? {
        return Ok(Err(Limited::NotActive));
    }
    let left = |limit: u32, live: i64| limit.saturating_sub(u32::try_from(live).unwrap_or(u32::MAX));
    let of_run = row.int(2)?;
    let left_to_run = request.run_limit.map_or(u32::MAX, |limit| left(limit, of_run));
    let free = left(request.organization_limit, row.int(1)?).min(left_to_run);
    if free == 0 {
        return Ok(Err(Limited::Concurrency));
    }
    let tally = RunTally {
        calling: u64::try_from(row.int(3)?).unwrap_or(0),
        live_calls_max: u64::try_from(row.int(4)?).unwrap_or(0),
        ..tally::origin()
    };
    Ok(Ok(Capacity { free, tally }))
}

/// Contacts that were taken, in their order.
struct Due {
    contacts: Vec<Contact>,
    facts: HashMap<E164, NumberFacts>,
    homes: Homes,
}

async fn claim(
    store: &PostgresStorage,
    tx: &mut Transaction,
    request: &BeginCalls,
    count: u32,
) -> Result<Due, Failure> {
    let query = sqlx::query(CLAIM).bind(request.run_id.as_uuid()).bind(instant(request.now));
    let rows = tx.rows(query.bind(i64::from(count))).await?;
    let mut due = Vec::with_capacity(rows.len());
    for row in &rows {
        let place: (i16, _) = (row.value(contact::COLUMNS)?, row.instant(contact::COLUMNS + 1)?);
        due.push((place, row.id::<ContactId>(0)?, row));
    }
    due.sort_unstable_by_key(|(place, id, _)| (*place, *id));
    let (mut contacts, mut facts) = (Vec::with_capacity(due.len()), HashMap::with_capacity(due.len()));
    let mut homes = Homes::of_taken();
    for (.., row) in due {
        let contact = contact::read(row, 0)?;
        homes.note(row, 0)?;
        facts.insert(contact.number, read_facts(row, contact::COLUMNS + 2)?);
        store.shared.lately.remember(&contact);
        contacts.push(contact);
    }
    Ok(Due { contacts, facts, homes })
}

async fn begin_chunk(
    tx: &mut Transaction,
    request: &BeginCalls,
    decide: &Decide<'_>,
    due: Due,
    tally: RunTally,
    begun: &mut Begun,
) -> Result<RunTally, Failure> {
    let Due { contacts, mut facts, homes } = due;
    let mut set = WorkingSet::default();
    set.hold_tally(request.run_id, tally.clone());
    begun.taken += u32::try_from(contacts.len()).unwrap_or(u32::MAX);
    begun.calls.extend(set.begin(contacts, &mut facts, decide));
    let mut writes = set.into_writes();
    let after = std::mem::take(&mut writes.tallies).remove(&request.run_id).unwrap_or_else(|| tally.clone());
    write_all(tx, writes, homes).await?;
    tally::add(tx, vec![(request.run_id, request.org_id, Delta::between(&tally, &after))]).await?;
    Ok(after)
}

pub(crate) async fn facts_of_number(
    store: &PostgresStorage,
    org_id: OrgId,
    number: E164,
) -> Result<NumberFacts, Failure> {
    let mut reader = store.reader().await?;
    number_facts(&mut reader, org_id, number).await
}

async fn number_facts(
    connection: &mut Connection,
    org_id: OrgId,
    number: E164,
) -> Result<NumberFacts, Failure> {
    const FACTS: &str = concat!(
        "SELECT ",
        facts!("k.org_id", "k.number"),
        " FROM (SELECT $1::uuid AS org_id, $2::bigint AS number) k",
        facts_of!("k.org_id", "k.number")
    );
    let query = sqlx::query(FACTS).bind(org_id.as_uuid()).bind(digits(number));
    connection.row(query).await?.map_or(Ok(NumberFacts::default()), |row| read_facts(&row, 0))
}

/// Reads facts about a number from columns as [`facts!`] names them, the first of which is `at`.
fn read_facts(row: &PgRow, at: usize) -> Result<NumberFacts, Failure> {
    let mut attempts: Vec<DateTime<Utc>> = row.value(at + 2)?;
    attempts.extend(row.optional_instant(at + 1)?);
    attempts.sort_unstable();
    let suppression: Option<Suppression> = match row.optional_text(at + 5)? {
        Some(_) => Some(suppression::read(row, at + 3)?),
        None => None,
    };
    Ok(NumberFacts { attempts, live_call: row.optional_id(at)?, suppression })
}
