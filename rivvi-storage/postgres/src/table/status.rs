//! Where contacts stand: in `contact_statuses`, or in columns of their calls.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallId, Contact, ContactState, ContactStatus};
use rivvi_core::policy::follow_up::PlanProgress;
use uuid::Uuid;

use crate::connection::Transaction;
use crate::error::Failure;
use crate::rows::{Bulk, Rows, rows};
use crate::value::{count, document, instant};

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

rows! {
    /// Statuses of contacts that are settled with the ends of their calls; all empty for others.
    EndStatusRows<'a> {
        outcome: Option<&'static str>,
        exclusion: Option<&'static str>,
        settled_at: Option<DateTime<Utc>>,
        attempts: Option<i64>,
        not_placed: Option<i64>,
        retries: Option<String>,
        last_disposition: Option<&'static str>,
        sequence: Option<i64>,
    }
}

impl EndStatusRows<'_> {
    /// Adds the status if it is final. Returns whether it is.
    pub(crate) fn push(&mut self, status: Option<&ContactStatus>) -> Result<bool, Failure> {
        let settled = status.and_then(|status| match status.state {
            ContactState::Settled { outcome, exclusion, at } => Some((status, outcome, exclusion, at)),
            _ => None,
        });
        self.outcome.push(settled.map(|(_, outcome, ..)| outcome.name()));
        self.exclusion.push(settled.and_then(|(_, _, exclusion, _)| Some(exclusion?.name())));
        self.settled_at.push(settled.map(|(.., at)| instant(at)));
        let status = settled.map(|(status, ..)| status);
        self.attempts.push(status.map(|status| count(status.attempts)));
        self.not_placed.push(status.map(|status| count(status.not_placed)));
        self.retries.push(status.map(retries).transpose()?.flatten());
        self.last_disposition.push(status.and_then(|status| Some(status.last_disposition?.name())));
        self.sequence.push(status.map(|status| status.sequence.cast_signed()));
        Ok(status.is_some())
    }
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
        replaced: Option<i64>,
        page: Option<i64>,
    }
}

impl StatusRows<'_> {
    /// Adds the status of a contact; `replaced` is the sequence in the row as it was read, 0 if there was none, and `None`
    /// if nobody else can have changed it.
    pub(crate) fn push(
        &mut self,
        contact: &Contact,
        status: &ContactStatus,
        replaced: Option<i64>,
        page: Option<i64>,
    ) -> Result<(), Failure> {
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
        self.replaced.push(replaced);
        self.page.push(page);
        Ok(())
    }
}

/// Writes statuses, none of which may have changed since it was read.
pub(crate) async fn put_statuses(tx: &mut Transaction, statuses: StatusRows<'_>) -> Result<(), Failure> {
    let expected = statuses.len() as u64;
    let written = PUT_STATUSES.put(tx, statuses).await?;
    if written == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

static PUT_STATUSES: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&[StatusRows::COLUMNS], |rows| {
        format!(
            "INSERT INTO contact_statuses AS s (contact_id, org_id, due_at, call_id, outcome, exclusion, settled_at, attempts, \
           not_placed, retries, last_disposition, sequence, replaced, pages) \
         SELECT contact_id, org_id, due_at, call_id, outcome, exclusion, settled_at, attempts, not_placed, retries, \
           last_disposition, sequence, replaced, CASE WHEN page IS NULL THEN '{{}}' ELSE ARRAY[page] END FROM {rows} \
         ON CONFLICT (contact_id) DO UPDATE SET due_at = excluded.due_at, call_id = excluded.call_id, \
           outcome = excluded.outcome, exclusion = excluded.exclusion, settled_at = excluded.settled_at, \
           attempts = excluded.attempts, not_placed = excluded.not_placed, retries = excluded.retries, \
           last_disposition = excluded.last_disposition, sequence = excluded.sequence, replaced = excluded.replaced, \
           pages = s.pages || excluded.pages \
           WHERE excluded.replaced IS NULL OR s.sequence = excluded.replaced"
        )
    })
});

rows! {
    /// Statuses that are left behind by contacts whose calls begin.
    LeftRows<'a> {
        contact_id: Uuid,
        known: i64,
        sequence: i64,
    }
}

impl LeftRows<'_> {
    pub(crate) fn push(&mut self, contact: &Contact, known: i64) {
        self.contact_id.push(contact.id.as_uuid());
        self.known.push(known);
        self.sequence.push(contact.status.sequence.cast_signed());
    }
}

/// Notes with statuses that they are left behind, so that whoever read them before finds them changed.
pub(crate) async fn leave_statuses(tx: &mut Transaction, left: LeftRows<'_>) -> Result<(), Failure> {
    let expected = left.len() as u64;
    if LEAVE_STATUSES.put(tx, left).await? == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

static LEAVE_STATUSES: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&[LeftRows::COLUMNS], |rows| {
        format!(
            "UPDATE contact_statuses s SET sequence = row.sequence FROM {rows} \
         WHERE s.contact_id = row.contact_id AND s.sequence = row.known"
        )
    })
});

fn retries(status: &ContactStatus) -> Result<Option<String>, Failure> {
    let none = status.plan == PlanProgress::default();
    if none { Ok(None) } else { document("plan of a contact", &status.plan).map(Some) }
}
