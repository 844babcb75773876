//! Rows of the tables of contacts and calls, and the statements that write them.

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Call, CallDetail, CallId, CallState, Contact, ContactState, ContactStatus};
use rivvi_core::policy::retry::RetriesUsed;
use rivvi_core::storage::AttemptChange;
use uuid::Uuid;

use crate::connection::Transaction;
use crate::error::Failure;
use crate::value::{Rows, count, digits, document, instant, put, rows, text};

/// What changes about a call as an attempt at its number.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Attempt {
    at: Option<DateTime<Utc>>,
    forget: bool,
}

impl From<AttemptChange> for Attempt {
    fn from(change: AttemptChange) -> Self {
        match change {
            AttemptChange::Add(at) => Self { at: Some(instant(at)), forget: false },
            AttemptChange::Remove => Self { at: None, forget: true },
        }
    }
}

/// What tells whether a live call, or the status of its contact, has changed: every holder has a token of its own, and
/// every other change writes to the journal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Version {
    token: i64,
    sequence: i64,
}

impl Version {
    pub(crate) fn of(call: &Call, status: &ContactStatus) -> Self {
        Self { token: call.lease.token.cast_signed(), sequence: status.sequence.cast_signed() }
    }
}

rows! {
    /// What changes about calls.
    CallRows<'a> {
        call_id: Uuid,
        provider_ref: Option<std::borrow::Cow<'a, str>>,
        state: &'static str,
        lease_node: Uuid,
        lease_token: i64,
        lease_until: DateTime<Utc>,
        check_at: Option<DateTime<Utc>>,
        asked_at: DateTime<Utc>,
        placed_at: Option<DateTime<Utc>>,
        answered_at: Option<DateTime<Utc>>,
        ended_at: Option<DateTime<Utc>>,
        detail: Option<String>,
        attempt_at: Option<DateTime<Utc>>,
        forget: bool,
        known_token: i64,
        known_sequence: i64,
    }
}

/// The columns of [`CallRows`].
macro_rules! call_row {
    () => {
        "call_id, provider_ref, state, lease_node, lease_token, lease_until, check_at, asked_at, placed_at, \
         answered_at, ended_at, detail, attempt_at, forget, known_token, known_sequence"
    };
}

/// The same as parameters 1 to 16.
macro_rules! call_parameters {
    () => {
        "$1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::timestamptz[], $7::timestamptz[], \
         $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::text[], \
         $13::timestamptz[], $14::boolean[], $15::bigint[], $16::bigint[]"
    };
}

impl<'a> CallRows<'a> {
    pub(crate) fn push(&mut self, call: &'a Call, attempt: Attempt, known: Version) -> Result<(), Failure> {
        self.call_id.push(call.id.as_uuid());
        self.provider_ref.push(call.provider_ref.as_deref().map(text));
        self.state.push(match call.state {
            CallState::Ended { disposition } => disposition.name(),
            live => live.name(),
        });
        self.lease_node.push(call.lease.node.as_uuid());
        self.lease_token.push(call.lease.token.cast_signed());
        self.lease_until.push(instant(call.lease.until));
        self.check_at.push(call.check_at.map(instant));
        self.asked_at.push(instant(call.asked_at));
        self.placed_at.push(call.placed_at.map(instant));
        self.answered_at.push(call.answered_at.map(instant));
        self.ended_at.push(call.ended_at.map(instant));
        let plain = call.detail == CallDetail::default();
        self.detail.push(if plain { None } else { Some(document("detail of a call", &call.detail)?) });
        self.attempt_at.push(attempt.at);
        self.forget.push(attempt.forget);
        self.known_token.push(known.token);
        self.known_sequence.push(known.sequence);
        Ok(())
    }
}

rows! {
    /// Statuses of contacts that stand with their live calls.
    LiveStatusRows<'a> {
        contact_state: Option<String>,
        attempts: i64,
        not_placed: i64,
        retries: Option<String>,
        last_disposition: Option<&'static str>,
        sequence: i64,
    }
}

impl LiveStatusRows<'_> {
    pub(crate) fn push(&mut self, call_id: CallId, status: &ContactStatus) -> Result<(), Failure> {
        let usual = status.state == ContactState::Calling { call_id };
        let state = if usual { None } else { Some(document("state of a contact", &status.state)?) };
        self.contact_state.push(state);
        self.attempts.push(count(status.attempts));
        self.not_placed.push(count(status.not_placed));
        self.retries.push(retries(status)?);
        self.last_disposition.push(status.last_disposition.map(|disposition| disposition.name()));
        self.sequence.push(status.sequence.cast_signed());
        Ok(())
    }
}

fn retries(status: &ContactStatus) -> Result<Option<String>, Failure> {
    let none = status.retries == RetriesUsed::default();
    if none { Ok(None) } else { document("retries of a contact", &status.retries).map(Some) }
}

rows! {
    /// What is fixed about calls when they begin.
    IntentRows<'a> {
        org_id: Uuid,
        run_id: Uuid,
        contact_id: Uuid,
        number: i64,
        caller_id: i64,
        attempt: i64,
        provider: std::borrow::Cow<'a, str>,
        dial_before: DateTime<Utc>,
        intended_at: DateTime<Utc>,
        began: i64,
    }
}

impl<'a> IntentRows<'a> {
    pub(crate) fn push(&mut self, call: &'a Call, began: u64) {
        self.org_id.push(call.org_id.as_uuid());
        self.run_id.push(call.run_id.as_uuid());
        self.contact_id.push(call.contact_id.as_uuid());
        self.number.push(digits(call.number));
        self.caller_id.push(digits(call.caller_id.0));
        self.attempt.push(count(call.attempt));
        self.provider.push(text(call.provider.as_str()));
        self.dial_before.push(instant(call.dial_before));
        self.intended_at.push(instant(call.intended_at));
        self.began.push(began.cast_signed());
    }
}

/// Adds live calls; the three lists are of the same calls in the same order.
pub(crate) async fn insert_live(
    tx: &mut Transaction,
    calls: CallRows<'_>,
    statuses: LiveStatusRows<'_>,
    intents: IntentRows<'_>,
) -> Result<(), Failure> {
    if calls.is_empty() {
        return Ok(());
    }
    let insert = intents.bind(statuses.bind(calls.bind(sqlx::query(INSERT_LIVE))));
    tx.run(insert).await.map(drop)
}

pub(crate) const INSERT_LIVE: &str = concat!(
    "INSERT INTO live_calls (call_id, provider_ref, state, lease_node, lease_token, lease_until, check_at, asked_at, \
       placed_at, answered_at, ended_at, detail, attempt_at, contact_state, attempts, not_placed, retries, \
       last_disposition, sequence, org_id, run_id, contact_id, number, caller_id, attempt, provider, dial_before, \
       intended_at, began) \
     SELECT call_id, provider_ref, state, lease_node, lease_token, lease_until, check_at, asked_at, \
       placed_at, answered_at, ended_at, detail, attempt_at, contact_state, attempts, not_placed, retries, \
       last_disposition, sequence, org_id, run_id, contact_id, number, caller_id, attempt, provider, dial_before, \
       intended_at, began \
     FROM unnest(",
    call_parameters!(),
    ", $17::text[], $18::bigint[], $19::bigint[], $20::text[], $21::text[], $22::bigint[], $23::uuid[], $24::uuid[], \
       $25::uuid[], $26::bigint[], $27::bigint[], $28::bigint[], $29::text[], $30::timestamptz[], \
       $31::timestamptz[], $32::bigint[]) AS row(",
    call_row!(),
    ", contact_state, attempts, not_placed, retries, last_disposition, sequence, org_id, run_id, contact_id, number, \
       caller_id, attempt, provider, dial_before, intended_at, began)"
);

/// Changes live calls with the statuses of their contacts; the lists are of the same calls in the same order.
pub(crate) async fn update_live(
    tx: &mut Transaction,
    calls: CallRows<'_>,
    statuses: LiveStatusRows<'_>,
) -> Result<(), Failure> {
    if calls.is_empty() {
        return Ok(());
    }
    let expected = calls.len() as u64;
    let changed = tx.run(statuses.bind(calls.bind(sqlx::query(UPDATE_LIVE)))).await?;
    if changed == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

pub(crate) const UPDATE_LIVE: &str = concat!(
    "UPDATE live_calls l SET provider_ref = row.provider_ref, state = row.state, lease_node = row.lease_node, \
       lease_token = row.lease_token, lease_until = row.lease_until, check_at = row.check_at, \
       asked_at = row.asked_at, placed_at = row.placed_at, answered_at = row.answered_at, ended_at = row.ended_at, \
       detail = row.detail, \
       attempt_at = CASE WHEN row.forget THEN NULL ELSE coalesce(row.attempt_at, l.attempt_at) END, \
       contact_state = row.contact_state, attempts = row.attempts, not_placed = row.not_placed, \
       retries = row.retries, last_disposition = row.last_disposition, sequence = row.sequence \
     FROM unnest(",
    call_parameters!(),
    ", $17::text[], $18::bigint[], $19::bigint[], $20::text[], $21::text[], $22::bigint[]) AS row(",
    call_row!(),
    ", contact_state, attempts, not_placed, retries, last_disposition, sequence) \
     WHERE l.call_id = row.call_id AND l.lease_token = row.known_token AND l.sequence = row.known_sequence"
);

/// Moves live calls that end to those that have ended.
pub(crate) async fn end_calls(tx: &mut Transaction, calls: CallRows<'_>) -> Result<(), Failure> {
    let expected = calls.len() as u64;
    let moved = put(tx, END, calls).await?;
    if moved == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

pub(crate) const END: &str = concat!(
    "WITH gone AS ( \
       DELETE FROM live_calls l USING unnest(",
    call_parameters!(),
    ") AS row(",
    call_row!(),
    ") WHERE l.call_id = row.call_id AND l.lease_token = row.known_token AND l.sequence = row.known_sequence \
       RETURNING l.call_id, l.org_id, l.run_id, l.contact_id, l.number, l.caller_id, l.attempt, l.provider, \
         row.provider_ref, row.state, row.lease_node, row.lease_token, row.lease_until, row.check_at, l.dial_before, \
         l.intended_at, row.asked_at, row.placed_at, row.answered_at, row.ended_at, row.detail, \
         CASE WHEN row.forget THEN NULL ELSE coalesce(row.attempt_at, l.attempt_at) END, l.began \
     ) INSERT INTO ended_calls SELECT * FROM gone"
);

/// Changes calls that have ended before.
pub(crate) async fn update_ended(tx: &mut Transaction, calls: CallRows<'_>) -> Result<(), Failure> {
    put(tx, UPDATE_ENDED, calls).await.map(drop)
}

pub(crate) const UPDATE_ENDED: &str = concat!(
    "UPDATE ended_calls e SET provider_ref = row.provider_ref, disposition = row.state, \
       lease_node = row.lease_node, lease_token = row.lease_token, lease_until = row.lease_until, \
       check_at = row.check_at, asked_at = row.asked_at, placed_at = row.placed_at, answered_at = row.answered_at, \
       ended_at = row.ended_at, detail = row.detail, \
       attempt_at = CASE WHEN row.forget THEN NULL ELSE coalesce(row.attempt_at, e.attempt_at) END \
     FROM unnest(",
    call_parameters!(),
    ") AS row(",
    call_row!(),
    ") WHERE e.call_id = row.call_id"
);

/// Changes the statuses of contacts that stand with live calls which do not change themselves.
pub(crate) async fn update_live_statuses(
    tx: &mut Transaction,
    calls: Vec<Uuid>,
    statuses: LiveStatusRows<'_>,
) -> Result<(), Failure> {
    const UPDATE: &str = "UPDATE live_calls l SET contact_state = row.contact_state, attempts = row.attempts, \
         not_placed = row.not_placed, retries = row.retries, last_disposition = row.last_disposition, \
         sequence = row.sequence \
       FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::bigint[]) \
         AS row(call_id, contact_state, attempts, not_placed, retries, last_disposition, sequence) \
       WHERE l.call_id = row.call_id";
    if calls.is_empty() {
        return Ok(());
    }
    let expected = calls.len() as u64;
    let changed = tx.run(statuses.bind(sqlx::query(UPDATE).bind(calls))).await?;
    if changed == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

rows! {
    /// Statuses of contacts that have no live call.
    StatusRows<'a> {
        contact_id: Uuid,
        org_id: Uuid,
        due_at: Option<DateTime<Utc>>,
        call_id: Option<Uuid>,
        outcome: Option<&'static str>,
        exclusion: Option<&'static str>,
        settled_at: Option<DateTime<Utc>>,
        attempts: i64,
        not_placed: i64,
        retries: Option<String>,
        last_disposition: Option<&'static str>,
        sequence: i64,
    }
}

impl StatusRows<'_> {
    pub(crate) fn push(&mut self, contact: &Contact, status: &ContactStatus) -> Result<(), Failure> {
        self.contact_id.push(contact.id.as_uuid());
        self.org_id.push(contact.org_id.as_uuid());
        self.due_at.push(status.state.due_at().map(instant));
        let (mut call, mut settled, mut why, mut when) = (None, None, None, None);
        match status.state {
            ContactState::Waiting { .. } => {}
            ContactState::Calling { call_id } => call = Some(call_id.as_uuid()),
            ContactState::Settled { outcome, exclusion, at } => {
                (settled, when) = (Some(outcome.name()), Some(instant(at)));
                why = exclusion.map(|exclusion| exclusion.name());
            }
        }
        self.call_id.push(call);
        self.outcome.push(settled);
        self.exclusion.push(why);
        self.settled_at.push(when);
        self.attempts.push(count(status.attempts));
        self.not_placed.push(count(status.not_placed));
        self.retries.push(retries(status)?);
        self.last_disposition.push(status.last_disposition.map(|disposition| disposition.name()));
        self.sequence.push(status.sequence.cast_signed());
        Ok(())
    }
}

pub(crate) async fn put_statuses(tx: &mut Transaction, statuses: StatusRows<'_>) -> Result<(), Failure> {
    const PUT: &str = "INSERT INTO contact_statuses (contact_id, org_id, due_at, call_id, outcome, exclusion, \
         settled_at, attempts, not_placed, retries, last_disposition, sequence) \
       SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[], \
         $7::timestamptz[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bigint[]) \
       ON CONFLICT (contact_id) DO UPDATE SET due_at = excluded.due_at, call_id = excluded.call_id, \
         outcome = excluded.outcome, exclusion = excluded.exclusion, settled_at = excluded.settled_at, \
         attempts = excluded.attempts, not_placed = excluded.not_placed, retries = excluded.retries, \
         last_disposition = excluded.last_disposition, sequence = excluded.sequence";
    put(tx, PUT, statuses).await.map(drop)
}

rows! {
    /// Rows of `due`.
    DueRows<'a> {
        run_id: Uuid,
        priority: i16,
        due_at: DateTime<Utc>,
        contact_id: Uuid,
        org_id: Uuid,
    }
}

impl DueRows<'_> {
    /// Adds the row of a contact that is due at this instant, if it is.
    pub(crate) fn extend(&mut self, contact: &Contact, due_at: Option<DateTime<Utc>>) {
        let Some(due_at) = due_at else { return };
        self.run_id.push(contact.run_id.as_uuid());
        self.priority.push(i16::from(contact.priority.level()));
        self.due_at.push(instant(due_at));
        self.contact_id.push(contact.id.as_uuid());
        self.org_id.push(contact.org_id.as_uuid());
    }
}

pub(crate) async fn insert_due(tx: &mut Transaction, due: DueRows<'_>) -> Result<(), Failure> {
    const INSERT: &str = "INSERT INTO due (run_id, priority, due_at, contact_id, org_id) \
        SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::uuid[], $5::uuid[])";
    put(tx, INSERT, due).await.map(drop)
}

/// Removes rows, all of which must be there still.
pub(crate) async fn delete_due(tx: &mut Transaction, due: DueRows<'_>) -> Result<(), Failure> {
    let expected = due.len() as u64;
    let deleted = put(tx, DELETE_DUE, due).await?;
    if deleted == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

pub(crate) const DELETE_DUE: &str = "\
    DELETE FROM due d USING unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::uuid[], $5::uuid[]) \
      AS row(run_id, priority, due_at, contact_id, org_id) \
    WHERE d.run_id = row.run_id AND d.priority = row.priority AND d.due_at = row.due_at \
      AND d.contact_id = row.contact_id";
