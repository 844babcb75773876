//! Calls: reading them, listing them, taking those that want to be looked after.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    Call, CallDetail, CallId, CallState, CallerId, ContactId, Lease, ProviderName, RunId,
};
use rivvi_core::storage::TakeOverdue;
use sqlx::postgres::PgRow;

use crate::PostgresStorage;
use crate::error::{Failure, Unreadable};
use crate::value::{Columns, after, disposition, instant, limit, of_text, uuids};

/// The columns of a call that has not ended, in the order in which [`read`] takes them.
macro_rules! live_call {
    ($of:literal) => {
        $crate::call::call_columns!($of, "state, NULL::text")
    };
}
pub(crate) use live_call;

/// The columns of a call that has ended, in the order in which [`read`] takes them.
macro_rules! ended_call {
    ($of:literal) => {
        $crate::call::call_columns!($of, "disposition, 'ended'")
    };
}
pub(crate) use ended_call;

macro_rules! call_columns {
    ($of:literal, $state:literal) => {
        concat!(
            $of,
            ".call_id, ",
            $of,
            ".org_id, ",
            $of,
            ".run_id, ",
            $of,
            ".contact_id, ",
            $of,
            ".number, ",
            $of,
            ".caller_id, ",
            $of,
            ".attempt, ",
            $of,
            ".provider, ",
            $of,
            ".provider_ref, ",
            $of,
            ".",
            $state,
            ", ",
            $of,
            ".lease_node, ",
            $of,
            ".lease_token, ",
            $of,
            ".lease_until, ",
            $of,
            ".check_at, ",
            $of,
            ".dial_before, ",
            $of,
            ".intended_at, ",
            $of,
            ".asked_at, ",
            $of,
            ".placed_at, ",
            $of,
            ".answered_at, ",
            $of,
            ".ended_at, ",
            $of,
            ".detail"
        )
    };
}
pub(crate) use call_columns;

/// How many columns [`read`] takes.
pub(crate) const COLUMNS: usize = 22;

/// Reads a call from columns as [`live_call!`] and [`ended_call!`] name them, the first of which is `at`.
pub(crate) fn read(row: &PgRow, at: usize) -> Result<Call, Failure> {
    let mut call = TEMPLATE.clone().ok_or(Unreadable::new("call"))?;
    call.id = row.id(at)?;
    call.org_id = row.id(at + 1)?;
    call.run_id = row.id(at + 2)?;
    call.contact_id = row.id(at + 3)?;
    call.number = row.number(at + 4)?;
    call.caller_id = CallerId(row.number(at + 5)?);
    call.attempt = row.count(at + 6)?;
    call.provider = ProviderName::new(&of_text(row.text(at + 7)?));
    call.provider_ref = row.optional_text(at + 8)?.map(of_text);
    let state = row.text(at + 9)?;
    call.state = match row.optional_text(at + 10)? {
        None => {
            LIVE.into_iter().find(|live| live.name() == state).ok_or(Unreadable::new("state of a call"))?
        }
        Some(_) => CallState::Ended { disposition: disposition(state)? },
    };
    let token = row.int(at + 12)?.cast_unsigned();
    call.lease = Lease { node: row.id(at + 11)?, token, until: row.instant(at + 13)? };
    call.check_at = row.optional_instant(at + 14)?;
    call.dial_before = row.instant(at + 15)?;
    call.intended_at = row.instant(at + 16)?;
    call.asked_at = row.instant(at + 17)?;
    call.placed_at = row.optional_instant(at + 18)?;
    call.answered_at = row.optional_instant(at + 19)?;
    call.ended_at = row.optional_instant(at + 20)?;
    call.detail = match row.optional_text(at + 21)? {
        None => CallDetail::default(),
        Some(detail) => crate::value::thing("detail of a call", detail)?,
    };
    Ok(call)
}

/// The states of a call that has not ended.
const LIVE: [CallState; 5] =
    [CallState::Intended, CallState::Unknown, CallState::Placed, CallState::Ringing, CallState::Answered];

/// Some call, to be filled: calls cannot be made from their parts outside of the core.
static TEMPLATE: LazyLock<Option<Call>> = LazyLock::new(|| {
    let nobody = "00000000-0000-0000-0000-000000000000";
    let never = "1970-01-01T00:00:00Z";
    let template = serde_json::json!({
        "id": nobody, "org_id": nobody, "run_id": nobody, "contact_id": nobody,
        "number": "+97231234567", "caller_id": "+97231234567", "attempt": 1, "provider": "",
        "provider_ref": null, "state": { "state": "intended" },
        "lease": { "node": nobody, "token": 1, "until": never }, "check_at": null, "dial_before": never,
        "intended_at": never, "asked_at": never, "placed_at": null, "answered_at": null, "ended_at": null,
        "detail": {},
    });
    serde_json::from_value(template).ok()
});

pub(crate) async fn call(store: &PostgresStorage, id: CallId) -> Result<Option<Call>, Failure> {
    const CALL: &str = concat!(
        "SELECT ",
        live_call!("l"),
        " FROM live_calls l WHERE call_id = $1 UNION ALL \
         SELECT ",
        ended_call!("e"),
        " FROM ended_calls e WHERE call_id = $1"
    );
    let row = store.reader().await?.row(sqlx::query(CALL).bind(id.as_uuid())).await?;
    row.map(|row| read(&row, 0)).transpose()
}

/// Calls are found by the number of their contact, for which there is an index.
pub(crate) async fn of_contacts(
    store: &PostgresStorage,
    contacts: &[ContactId],
) -> Result<Vec<Call>, Failure> {
    const CALLS: &str = concat!(
        "SELECT k.* FROM unnest($1::uuid[]) WITH ORDINALITY asked(id, place) JOIN contacts c ON c.id = asked.id \
         JOIN LATERAL ( \
           SELECT ",
        live_call!("l"),
        ", l.began FROM live_calls l \
             WHERE l.org_id = c.org_id AND l.number = c.number AND l.contact_id = c.id \
           UNION ALL SELECT ",
        ended_call!("e"),
        ", e.began FROM ended_calls e \
             WHERE e.org_id = c.org_id AND e.number = c.number AND e.contact_id = c.id \
         ) k ON true ORDER BY asked.place, k.began, k.call_id"
    );
    let query = sqlx::query(CALLS).bind(uuids(contacts.iter().copied()));
    let rows = store.reader().await?.rows(query).await?;
    rows.iter().map(|row| read(row, 0)).collect()
}

/// Live calls are few, and those of one organization are together; so they need no index by run.
pub(crate) async fn live(
    store: &PostgresStorage,
    run_id: RunId,
    after_id: Option<CallId>,
    count: usize,
) -> Result<Vec<Call>, Failure> {
    const LIVE: &str = concat!(
        "SELECT ",
        live_call!("l"),
        " FROM live_calls l WHERE l.org_id = (SELECT org_id FROM runs WHERE id = $1) \
         AND l.run_id = $1 AND ($2::uuid IS NULL OR l.call_id > $2) ORDER BY l.call_id LIMIT $3"
    );
    let query = sqlx::query(LIVE).bind(run_id.as_uuid()).bind(after(after_id)).bind(limit(count));
    let rows = store.reader().await?.rows(query).await?;
    rows.iter().map(|row| read(row, 0)).collect()
}

/// Calls whose `check_from` has passed while `check_at` is still to come are put off on the way, each once per instant.
pub(crate) const TAKE_OVERDUE: &str = concat!(
    "WITH put_off AS ( \
       UPDATE live_calls SET check_from = check_at WHERE call_id = ANY(ARRAY( \
         SELECT call_id FROM live_calls WHERE check_from <= $1 AND (check_at IS NULL OR check_at > $1) \
         ORDER BY check_from LIMIT 1000 FOR UPDATE SKIP LOCKED)) \
     ), overdue AS MATERIALIZED ( \
       SELECT call_id, check_at FROM live_calls WHERE check_from <= $1 AND check_at <= $1 \
       ORDER BY check_at, call_id LIMIT $4 FOR UPDATE SKIP LOCKED \
     ) \
     UPDATE live_calls l SET lease_node = $2, lease_token = l.lease_token + 1, lease_until = $3, check_at = $3, \
       check_from = $3 \
     FROM overdue WHERE l.call_id = overdue.call_id \
     RETURNING ",
    live_call!("l"),
    ", overdue.check_at"
);

pub(crate) async fn take_overdue(
    store: &PostgresStorage,
    request: &TakeOverdue,
) -> Result<Vec<Call>, Failure> {
    let query = sqlx::query(TAKE_OVERDUE)
        .bind(instant(request.now))
        .bind(request.node.as_uuid())
        .bind(instant(request.hold_until))
        .bind(limit(request.limit));
    let rows = store.reader().await?.rows(query).await?;
    let taken = rows.iter().map(|row| Ok((row.instant(COLUMNS)?, read(row, 0)?)));
    let mut taken = taken.collect::<Result<Vec<_>, Failure>>()?;
    taken.sort_by_key(|(overdue_since, call)| (*overdue_since, call.id));
    Ok(taken.into_iter().map(|(_, call)| call).collect())
}

/// Of very many live calls, how soon the first wants to be looked after may be told too early.
pub(crate) const NEXT_DUE: &str = "\
    SELECT least( \
      (SELECT min(first.due_at) FROM unnest($1::uuid[]) run(id) CROSS JOIN generate_series(1, 5) level(priority) \
         CROSS JOIN LATERAL (SELECT d.due_at FROM due d WHERE d.run_id = run.id AND d.priority = level.priority \
           ORDER BY d.due_at LIMIT 1) first), \
      (SELECT least(min(check_at), CASE WHEN count(*) = 100 THEN max(check_from) END) \
         FROM (SELECT check_at, check_from FROM live_calls WHERE check_from IS NOT NULL \
           ORDER BY check_from LIMIT 100) first), \
      (SELECT due_at FROM inbox ORDER BY due_at LIMIT 1), \
      (SELECT due_at FROM outbox ORDER BY due_at LIMIT 1))";

pub(crate) async fn next_due(
    store: &PostgresStorage,
    runs: &[RunId],
) -> Result<Option<DateTime<Utc>>, Failure> {
    let query = sqlx::query(NEXT_DUE).bind(uuids(runs.iter().copied()));
    let row = store.reader().await?.row(query).await?;
    row.map_or(Ok(None), |row| row.optional_instant(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call that grows a field needs a column for it, or the field would be lost.
    #[test]
    fn every_field_of_a_call_has_its_columns() {
        let call = serde_json::to_value(TEMPLATE.clone().expect("the template is a call")).unwrap();
        let fields: Vec<&str> = call.as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = [
            "id",
            "org_id",
            "run_id",
            "contact_id",
            "number",
            "caller_id",
            "attempt",
            "provider",
            "provider_ref",
            "state",
            "lease",
            "check_at",
            "dial_before",
            "intended_at",
            "asked_at",
            "placed_at",
            "answered_at",
            "ended_at",
            "detail",
        ];
        known.sort_unstable();
        let mut fields = fields;
        fields.sort_unstable();
        assert_eq!(fields, known);
        assert_eq!(live_call!("l").matches("l.").count() + 1, COLUMNS);
    }
}
