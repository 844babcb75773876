//! Rows of `live_calls` and `ended_calls`, with the statuses of contacts that stand there.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Call, CallDetail, CallId, CallState, ContactStatus};
use rivvi_core::storage::AttemptChange;
use uuid::Uuid;

use super::status::{EndStatusRows, LiveStatusRows};
use crate::connection::Transaction;
use crate::error::Failure;
use crate::rows::{Bulk, Rows, names, rows};
use crate::value::{count, digits, document, instant, text};

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
        page: Option<i64>,
    }
}

impl<'a> CallRows<'a> {
    pub(crate) fn push(
        &mut self,
        call: &'a Call,
        attempt: Attempt,
        known: Version,
        page: Option<i64>,
    ) -> Result<(), Failure> {
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
        self.page.push(page);
        Ok(())
    }
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

rows! {
    /// Live calls of which only the status of the contact changes.
    MovedRows<'a> {
        call_id: Uuid,
        known: i64,
        page: Option<i64>,
    }
}

impl MovedRows<'_> {
    pub(crate) fn push(&mut self, call_id: CallId, known: i64, page: Option<i64>) {
        self.call_id.push(call_id.as_uuid());
        self.known.push(known);
        self.page.push(page);
    }
}

/// Adds live calls; the three lists are of the same calls in the same order.
pub(crate) async fn insert_live(
    tx: &mut Transaction,
    calls: CallRows<'_>,
    statuses: LiveStatusRows<'_>,
    intents: IntentRows<'_>,
) -> Result<(), Failure> {
    INSERT_LIVE.put(tx, (calls, statuses, intents)).await.map(drop)
}

static INSERT_LIVE: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&[CallRows::COLUMNS, LiveStatusRows::COLUMNS, IntentRows::COLUMNS], |rows| {
        let call = "call_id, provider_ref, state, lease_node, lease_token, lease_until, check_at, asked_at, placed_at, \
                answered_at, ended_at, detail, attempt_at";
        let (status, intent) = (names(LiveStatusRows::COLUMNS), names(IntentRows::COLUMNS));
        format!(
            "INSERT INTO live_calls ({call}, {status}, {intent}, check_from, pages) \
         SELECT {call}, {status}, {intent}, check_at, ARRAY[page] FROM {rows}"
        )
    })
});

/// Changes live calls with the statuses of their contacts; the lists are of the same calls in the same order.
pub(crate) async fn update_live(
    tx: &mut Transaction,
    calls: CallRows<'_>,
    statuses: LiveStatusRows<'_>,
) -> Result<(), Failure> {
    let expected = calls.len() as u64;
    if UPDATE_LIVE.put(tx, (calls, statuses)).await? == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

/// `check_from` moves back alone, and so mostly stays: see `0003_journal_pages.sql`.
static UPDATE_LIVE: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&[CallRows::COLUMNS, LiveStatusRows::COLUMNS], |rows| {
        format!(
            "UPDATE live_calls l SET provider_ref = row.provider_ref, state = row.state, lease_node = row.lease_node, \
           lease_token = row.lease_token, lease_until = row.lease_until, check_at = row.check_at, \
           check_from = least(l.check_from, row.check_at), asked_at = row.asked_at, placed_at = row.placed_at, \
           answered_at = row.answered_at, ended_at = row.ended_at, detail = row.detail, \
           attempt_at = CASE WHEN row.forget THEN NULL ELSE coalesce(row.attempt_at, l.attempt_at) END, \
           contact_state = row.contact_state, attempts = row.attempts, not_placed = row.not_placed, \
           retries = row.retries, last_disposition = row.last_disposition, sequence = row.sequence, \
           pages = array_cat(l.pages, {PAGE}) \
         FROM {rows} WHERE l.call_id = row.call_id AND {AS_KNOWN}"
        )
    })
});

/// Whether a live call and the status of its contact are as they were read.
const AS_KNOWN: &str = "l.lease_token = row.known_token AND l.sequence = row.known_sequence";

/// The page of the journal that is written now, as a list.
const PAGE: &str = "CASE WHEN row.page IS NULL THEN '{}' ELSE ARRAY[row.page] END";

/// Moves live calls that end to those that have ended, with the statuses of contacts that are settled thereby; the lists
/// are of the same calls in the same order.
pub(crate) async fn end_calls(
    tx: &mut Transaction,
    calls: CallRows<'_>,
    statuses: EndStatusRows<'_>,
) -> Result<(), Failure> {
    let expected = calls.len() as u64;
    if END.put(tx, (calls, statuses)).await? == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

static END: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&[CallRows::COLUMNS, EndStatusRows::COLUMNS], |rows| {
        format!(
            "WITH gone AS ( \
           DELETE FROM live_calls l USING {rows} WHERE l.call_id = row.call_id AND {AS_KNOWN} \
           RETURNING l.call_id, l.org_id, l.run_id, l.contact_id, l.number, l.caller_id, l.attempt, l.provider, \
             row.provider_ref, row.state, row.lease_node, row.lease_token, row.lease_until, row.check_at, \
             l.dial_before, l.intended_at, row.asked_at, row.placed_at, row.answered_at, row.ended_at, row.detail, \
             CASE WHEN row.forget THEN NULL ELSE coalesce(row.attempt_at, l.attempt_at) END, l.began, \
             array_cat(l.pages, {PAGE}), row.outcome, row.exclusion, row.settled_at, row.attempts, row.not_placed, \
             row.retries, row.last_disposition, row.sequence \
         ) INSERT INTO ended_calls SELECT * FROM gone"
        )
    })
});

/// Changes calls that have ended before.
pub(crate) async fn update_ended(tx: &mut Transaction, calls: CallRows<'_>) -> Result<(), Failure> {
    UPDATE_ENDED.put(tx, calls).await.map(drop)
}

static UPDATE_ENDED: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&[CallRows::COLUMNS], |rows| {
        format!(
            "UPDATE ended_calls e SET provider_ref = row.provider_ref, disposition = row.state, \
           lease_node = row.lease_node, lease_token = row.lease_token, lease_until = row.lease_until, \
           check_at = row.check_at, asked_at = row.asked_at, placed_at = row.placed_at, \
           answered_at = row.answered_at, ended_at = row.ended_at, detail = row.detail, \
           attempt_at = CASE WHEN row.forget THEN NULL ELSE coalesce(row.attempt_at, e.attempt_at) END, \
           pages = array_cat(e.pages, {PAGE}) \
         FROM {rows} WHERE e.call_id = row.call_id"
        )
    })
});

/// Changes the statuses of contacts that stand with live calls which do not change themselves.
pub(crate) async fn update_live_statuses(
    tx: &mut Transaction,
    moved: MovedRows<'_>,
    statuses: LiveStatusRows<'_>,
) -> Result<(), Failure> {
    let expected = moved.len() as u64;
    let updated = UPDATE_LIVE_STATUSES.put(tx, (moved, statuses)).await?;
    if updated == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

static UPDATE_LIVE_STATUSES: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&[MovedRows::COLUMNS, LiveStatusRows::COLUMNS], |rows| {
        format!(
            "UPDATE live_calls l SET contact_state = row.contact_state, attempts = row.attempts, \
           not_placed = row.not_placed, retries = row.retries, last_disposition = row.last_disposition, \
           sequence = row.sequence, pages = array_cat(l.pages, {PAGE}) \
         FROM {rows} WHERE l.call_id = row.call_id AND l.sequence = row.known"
        )
    })
});
