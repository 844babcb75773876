//! Taking due contacts and beginning their calls: claim, checks and intent in one transaction.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallId, Contact, E164, OrgId, RunId, RunState};
use rivvi_core::policy::NumberFacts;
use rivvi_core::storage::{BeginCalls, Begun, Decide, Limited, WorkingSet};
use sqlx::SqliteConnection;

use crate::SqliteStorage;
use crate::error::Failure;
use crate::value::{Columns, Id, instant, nanos, number_list};
use crate::write::write;
use crate::{contact, run};

/// Contacts loaded at once.
const CHUNK_MAX: u32 = 1_000;

/// The contacts of a run that are due, first to be called first. Each priority is a range of the primary key of
/// `due`, and the next is looked at when the one before has no more, so contacts that sleep are never touched.
pub(crate) const CLAIM: &str = "\
    SELECT c.document, s.document, d.priority, d.due_at FROM ( \
        SELECT * FROM (SELECT priority, due_at, contact_id FROM due \
            WHERE run_id = ?1 AND priority = 1 AND due_at <= ?2 ORDER BY due_at, contact_id LIMIT ?3) \
        UNION ALL SELECT * FROM (SELECT priority, due_at, contact_id FROM due \
            WHERE run_id = ?1 AND priority = 2 AND due_at <= ?2 ORDER BY due_at, contact_id LIMIT ?3) \
        UNION ALL SELECT * FROM (SELECT priority, due_at, contact_id FROM due \
            WHERE run_id = ?1 AND priority = 3 AND due_at <= ?2 ORDER BY due_at, contact_id LIMIT ?3) \
        UNION ALL SELECT * FROM (SELECT priority, due_at, contact_id FROM due \
            WHERE run_id = ?1 AND priority = 4 AND due_at <= ?2 ORDER BY due_at, contact_id LIMIT ?3) \
        UNION ALL SELECT * FROM (SELECT priority, due_at, contact_id FROM due \
            WHERE run_id = ?1 AND priority = 5 AND due_at <= ?2 ORDER BY due_at, contact_id LIMIT ?3) \
        LIMIT ?3) d \
    CROSS JOIN contacts c ON c.id = d.contact_id LEFT JOIN contact_statuses s ON s.contact_id = c.id";

pub(crate) async fn begin_calls(
    store: &SqliteStorage,
    request: BeginCalls,
    decide: &Decide<'_>,
) -> Result<Begun, Failure> {
    let mut tx = store.begin().await?;
    let limited = |limited| Ok(Begun { limited: Some(limited), ..Begun::default() });
    if run::state(&mut tx, request.run_id).await? != Some(RunState::Active) {
        return limited(Limited::NotActive);
    }
    let free = free_capacity(&mut tx, &request).await?;
    if free == 0 {
        return limited(Limited::Concurrency);
    }
    let mut begun = Begun::default();
    let reason = loop {
        let calls = u32::try_from(begun.calls.len()).unwrap_or(u32::MAX);
        if calls == free {
            break Limited::Concurrency;
        }
        let wanted = (free.min(request.calls_max).saturating_sub(calls))
            .min(request.contacts_max.saturating_sub(begun.taken));
        if wanted == 0 {
            break Limited::Request;
        }
        let due = due(&mut tx, request.run_id, request.now, wanted.min(CHUNK_MAX)).await?;
        if due.is_empty() {
            break Limited::NothingDue;
        }
        // No more contacts than calls that may begin, so the capacity holds whatever is decided about them.
        begin_chunk(&mut tx, &request, decide, due, &mut begun).await?;
    };
    tx.commit().await?;
    begun.limited = Some(reason);
    Ok(begun)
}

/// How many calls the limits of organization and run leave.
async fn free_capacity(connection: &mut SqliteConnection, request: &BeginCalls) -> Result<u32, Failure> {
    let live = sqlx::query(
        "SELECT (SELECT count(*) FROM live_calls WHERE org_id = ?1), \
                (SELECT count(*) FROM live_calls WHERE run_id = ?2)",
    )
    .bind(request.org_id.blob())
    .bind(request.run_id.blob())
    .fetch_one(connection)
    .await?;
    let left = |limit: u32, live: i64| limit.saturating_sub(u32::try_from(live).unwrap_or(u32::MAX));
    let of_run = live.int(1)?;
    let left_to_run = request.run_limit.map_or(u32::MAX, |limit| left(limit, of_run));
    Ok(left(request.organization_limit, live.int(0)?).min(left_to_run))
}

async fn due(
    connection: &mut SqliteConnection,
    run_id: RunId,
    now: DateTime<Utc>,
    count: u32,
) -> Result<Vec<Contact>, Failure> {
    let query = sqlx::query(CLAIM).bind(run_id.blob()).bind(nanos(now)).bind(i64::from(count));
    let mut due = Vec::with_capacity(count as usize);
    for row in query.fetch_all(connection).await? {
        let contact = contact::read(&row, 0)?;
        due.push(((row.int(2)?, row.int(3)?, contact.id), contact));
    }
    // As the query gives them; SQLite does not promise the order of a `UNION ALL`.
    due.sort_by_key(|(place, _)| *place);
    Ok(due.into_iter().map(|(_, contact)| contact).collect())
}

async fn begin_chunk(
    connection: &mut SqliteConnection,
    request: &BeginCalls,
    decide: &Decide<'_>,
    due: Vec<Contact>,
    begun: &mut Begun,
) -> Result<(), Failure> {
    let numbers = due.iter().map(|contact| contact.number).collect();
    let mut facts = number_facts(connection, request.org_id, &numbers).await?;
    let mut set = WorkingSet::default();
    run::hold_tallies(connection, BTreeSet::from([request.run_id]), &mut set).await?;
    begun.taken += u32::try_from(due.len()).unwrap_or(u32::MAX);
    begun.calls.extend(set.begin(due, &mut facts, decide));
    write(connection, set).await
}

pub(crate) async fn facts_of_number(
    store: &SqliteStorage,
    org_id: OrgId,
    number: E164,
) -> Result<NumberFacts, Failure> {
    let mut reader = store.reader().await?;
    let facts = number_facts(&mut reader, org_id, &BTreeSet::from([number])).await?;
    Ok(facts.into_values().next().unwrap_or_default())
}

/// Facts about numbers of an organization; those without any are left out.
async fn number_facts(
    connection: &mut SqliteConnection,
    org_id: OrgId,
    numbers: &BTreeSet<E164>,
) -> Result<HashMap<E164, NumberFacts>, Failure> {
    let query = sqlx::query(
        "SELECT a.number, a.at, NULL, NULL FROM json_each(?2) n CROSS JOIN attempts a \
           ON a.org_id = ?1 AND a.number = n.value \
         UNION ALL SELECT l.number, NULL, l.call_id, NULL FROM json_each(?2) n CROSS JOIN live_calls l \
           ON l.org_id = ?1 AND l.number = n.value \
         UNION ALL SELECT s.number, NULL, NULL, s.document FROM json_each(?2) n CROSS JOIN suppressions s \
           ON s.org_id = ?1 AND s.number = n.value",
    )
    .bind(org_id.blob())
    .bind(number_list(numbers.iter().copied()));
    let mut all: HashMap<E164, NumberFacts> = HashMap::new();
    for row in query.fetch_all(connection).await? {
        let facts = all.entry(row.number(0)?).or_default();
        if let Some(at) = row.optional_int(1)? {
            facts.attempts.push(instant(at));
        } else if let Some(suppression) = row.optional_text(3)? {
            facts.suppression = Some(crate::value::thing("suppression", suppression)?);
        } else {
            facts.live_call = Some(row.id::<CallId>(2)?);
        }
    }
    for facts in all.values_mut() {
        facts.attempts.sort_unstable();
    }
    Ok(all)
}
