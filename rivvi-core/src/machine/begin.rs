//! From a waiting contact to its call.

use chrono::{DateTime, Utc};

use crate::domain::{
    Call, CallDetail, CallId, CallState, CallerId, Contact, ContactState, Direction, Event, Lease, Medium,
    Message, Outcome, ProviderName,
};
use crate::policy::Decision;
use crate::storage::{AttemptChange, Change};

/// What a call gets when it is intended.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Its id.
    pub call_id: CallId,
    /// The provider to be asked.
    pub provider: ProviderName,
    /// The number to show.
    pub caller_id: CallerId,
    /// The right to ask.
    pub lease: Lease,
    /// The message, if the attempt is one.
    pub message: Option<Message>,
}

/// Acts on the decision about a contact that is due: its call begins, or it waits, or it is settled. A contact that
/// does not wait is left as it is.
pub fn begin(
    contact: &Contact,
    decision: Decision,
    now: DateTime<Utc>,
    intent: impl FnOnce() -> Intent,
) -> Change {
    let Decision::Allow { until } = decision else { return refuse(contact, decision, now) };
    let mut change = unchanged(contact, now);
    if !waits(contact) {
        return change;
    }
    let call = intended(contact, intent(), until, now);
    change.events.push(Event::CallIntended {
        call_id: call.id,
        attempt: call.attempt,
        legal_until: until,
        medium: call.medium(),
    });
    change.status.state = ContactState::Calling { call_id: call.id };
    // An e-mail neither rings nor buzzes, and counts towards no cap.
    if call.medium() != Medium::Email {
        change.status.attempts += 1;
        change.attempt = Some(AttemptChange::Add(now));
    }
    change.call = Some(Box::new(call));
    counted(change)
}

/// Acts on the decision that a contact that is due may not be contacted now: it waits, or it is settled. A contact that
/// does not wait, or may be contacted, is left as it is.
pub fn refuse(contact: &Contact, decision: Decision, now: DateTime<Utc>) -> Change {
    let mut change = unchanged(contact, now);
    if !waits(contact) {
        return change;
    }
    match decision {
        Decision::Allow { .. } => return change,
        Decision::Defer { until, rule, reason } => {
            change.status.state = ContactState::Waiting { due_at: until };
            change.events.push(Event::ContactDeferred { until, rule: rule.into(), reason });
        }
        Decision::Never { outcome, exclusion, rule, reason } => {
            change.status.state = ContactState::Settled { outcome, exclusion, at: now };
            change.events.push(Event::ContactSettled { outcome, exclusion, rule: rule.into(), reason });
        }
    }
    counted(change)
}

/// Settles a contact that waits while its run ends. A contact that does not wait is left as it is.
pub fn withdraw(
    contact: &Contact,
    outcome: Outcome,
    rule: &'static str,
    reason: &'static str,
    now: DateTime<Utc>,
) -> Change {
    let mut change = unchanged(contact, now);
    if !waits(contact) {
        return change;
    }
    // Who was reached stays reached, whatever was still to follow.
    let (outcome, exclusion) = match &contact.status.plan.follow_up {
        Some(progress) if progress.reached.is_some() => {
            (progress.reached.unwrap_or(outcome), progress.exclusion)
        }
        Some(progress) if progress.awaits.is_some() => (Outcome::Unknown, None),
        _ => (outcome, None),
    };
    change.status.state = ContactState::Settled { outcome, exclusion, at: now };
    change.events.push(Event::ContactSettled {
        outcome,
        exclusion,
        rule: rule.into(),
        reason: reason.into(),
    });
    counted(change)
}

fn waits(contact: &Contact) -> bool {
    matches!(contact.status.state, ContactState::Waiting { .. })
}

/// A change of `contact` that changes nothing yet.
pub(super) fn unchanged(contact: &Contact, now: DateTime<Utc>) -> Change {
    Change {
        status: contact.status.clone(),
        call: None,
        attempt: None,
        suppress: None,
        outbox: Vec::new(),
        events: Vec::new(),
        at: now,
    }
}

/// The change with its events counted.
pub(super) fn counted(mut change: Change) -> Change {
    change.status.sequence += change.events.len() as u64;
    change
}

fn intended(contact: &Contact, intent: Intent, until: DateTime<Utc>, now: DateTime<Utc>) -> Call {
    Call {
        id: intent.call_id,
        org_id: contact.org_id,
        run_id: contact.run_id,
        contact_id: contact.id,
        direction: Direction::Outbound,
        callback_for: None,
        number: contact.number,
        caller_id: intent.caller_id,
        attempt: contact.status.attempts + 1,
        provider: intent.provider,
        provider_ref: None,
        state: CallState::Intended,
        lease: intent.lease,
        check_at: Some(intent.lease.until),
        dial_before: until,
        intended_at: now,
        asked_at: now,
        placed_at: None,
        answered_at: None,
        ended_at: None,
        detail: CallDetail {
            message: intent.message.map(Box::new),
            step: contact.status.plan.follow_up.as_ref().and_then(|progress| progress.step),
            ..CallDetail::default()
        },
    }
}
