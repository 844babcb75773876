//! From what attempts came to, to what follows.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};

use super::begin::{counted, unchanged};
use crate::domain::{
    Call, CallId, CampaignDefinition, Contact, ContactState, Event, Exclusion, Outcome, Personal,
};
use crate::policy::follow_up::{AwaitedReceipt, FollowUpAction, PlanEvent, Upcoming};
use crate::storage::{Change, OutboxItem};

/// What the attempts under way came to.
#[derive(Debug)]
pub(super) struct Conclusion<'a> {
    /// What the plan is told.
    pub(super) events: &'a [PlanEvent],
    /// The outcome, if nothing follows.
    pub(super) outcome: Outcome,
    /// The reason, if the outcome is [`Outcome::Excluded`].
    pub(super) exclusion: Option<Exclusion>,
    /// The rule that decided, for the journal.
    pub(super) rule: &'static str,
    /// Its finding, for the journal.
    pub(super) reason: Cow<'static, str>,
}

/// Begins what the plan says to the conclusion. Returns when the next follow-up may begin; `None` if the contact is
/// settled.
pub(super) fn conclude(
    change: &mut Change,
    contact: &Contact,
    call_id: Option<CallId>,
    definition: &CampaignDefinition,
    conclusion: &Conclusion<'_>,
) -> Option<DateTime<Utc>> {
    let plan = &change.status.plan;
    let outcome = plan.outcome(definition, conclusion.outcome);
    let exclusion = conclusion.exclusion.filter(|_| outcome == Outcome::Excluded);
    let step = plan.step(definition).map(|step| step.name.as_str());
    for (place, follow_up) in definition.follow_up.iter().enumerate() {
        let starts = |on: &crate::policy::follow_up::Trigger| {
            on.step.as_deref() == step && conclusion.events.contains(&on.event)
        };
        if follow_up.on.iter().any(starts) {
            start(change, contact, call_id, definition, place);
        }
    }
    let exclusion = exclusion.or(change.status.plan.exclusion()).filter(|_| outcome == Outcome::Excluded);
    if let Some(progress) = &mut change.status.plan.follow_up {
        (progress.reached, progress.exclusion) = (Some(outcome), exclusion);
        progress.awaits = None;
    }
    let next = next(change, definition);
    if next.is_none() {
        settle(change, outcome, exclusion, conclusion.rule, conclusion.reason.clone());
    }
    next
}

/// Has a follow-up begin when its turn comes; what the host does is given to it at once.
fn start(
    change: &mut Change,
    contact: &Contact,
    call_id: Option<CallId>,
    definition: &CampaignDefinition,
    place: usize,
) {
    let progress = change.status.plan.follow_up_mut();
    progress.start(place);
    let Some(follow_up) = definition.follow_up.get(place) else { return };
    if let FollowUpAction::Host { action } = &follow_up.action
        && progress.is_pending(place)
    {
        progress.mark_begun(place);
        let parameters = progress.given.clone();
        let at = later(change.at, follow_up.after.duration());
        change.events.push(Event::FollowUpPlanned { step: follow_up.name.clone(), at });
        let item = OutboxItem::of_follow_up(contact, call_id, &follow_up.name, action, parameters, at);
        change.outbox.push(item);
    }
}

/// Starts what waits for an action that the conversation asked for. Returns whether anything does.
pub(super) fn start_for_action(
    change: &mut Change,
    contact: &Contact,
    call: &Call,
    definition: &CampaignDefinition,
    (name, parameters): (&str, &Personal<std::collections::BTreeMap<String, String>>),
) -> bool {
    let step = call.step(definition);
    let waits = |on: &crate::policy::follow_up::Trigger| {
        on.step.as_deref() == step && matches!(&on.event, PlanEvent::Action(action) if action == name)
    };
    let places: Vec<usize> = definition
        .follow_up
        .iter()
        .enumerate()
        .filter(|(_, follow_up)| follow_up.on.iter().any(waits))
        .map(|(place, _)| place)
        .collect();
    if places.is_empty() {
        return false;
    }
    let progress = change.status.plan.follow_up_mut();
    let mut given = std::mem::take(&mut progress.given).into_inner();
    given.extend(parameters.expose().clone());
    progress.given = Personal::new(given);
    places.into_iter().for_each(|place| start(change, contact, Some(call.id), definition, place));
    true
}

/// Takes the next follow-up. Returns when it may begin.
pub(super) fn next(change: &mut Change, definition: &CampaignDefinition) -> Option<DateTime<Utc>> {
    let plan = &mut change.status.plan;
    let place = plan.follow_up.as_mut()?.take_next()?;
    let follow_up = definition.follow_up.get(place)?;
    plan.retries = crate::policy::retry::RetriesUsed::default();
    change.status.not_placed = 0;
    if let Some(progress) = &mut change.status.plan.follow_up {
        progress.step = u8::try_from(place).ok();
        progress.awaits = None;
    }
    Some(later(change.at, follow_up.after.duration()))
}

/// Notes that the follow-up under way cannot take place, and takes the next. Returns when that may begin; `None` if the
/// contact is settled.
pub(super) fn pass_over(
    change: &mut Change,
    definition: &CampaignDefinition,
    rule: &'static str,
    reason: Cow<'static, str>,
) -> Option<DateTime<Utc>> {
    let plan = &change.status.plan;
    if let Some(follow_up) = plan.step(definition) {
        let (step, reason) = (follow_up.name.clone(), reason.clone());
        change.events.push(Event::FollowUpSkipped { step, rule: rule.into(), reason });
    }
    let outcome = plan.outcome(definition, Outcome::Exhausted);
    let exclusion = plan.exclusion().filter(|_| outcome == Outcome::Excluded);
    if let Some(progress) = &mut change.status.plan.follow_up {
        progress.reached = Some(outcome);
    }
    let next = next(change, definition);
    if next.is_none() {
        settle(change, outcome, exclusion, rule, reason);
    }
    next
}

/// Has the contact wait for the follow-up it is in.
pub(super) fn wait(change: &mut Change, definition: &CampaignDefinition, at: DateTime<Utc>) {
    change.status.state = ContactState::Waiting { due_at: at };
    if let Some(follow_up) = change.status.plan.step(definition) {
        change.events.push(Event::FollowUpPlanned { step: follow_up.name.clone(), at });
    }
}

fn settle(
    change: &mut Change,
    outcome: Outcome,
    exclusion: Option<Exclusion>,
    rule: &'static str,
    reason: Cow<'static, str>,
) {
    change.status.state = ContactState::Settled { outcome, exclusion, at: change.at };
    change.events.push(Event::ContactSettled { outcome, exclusion, rule: rule.into(), reason });
}

/// What keeps the attempt that is due from being made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Hindrance {
    /// The number is a landline by its numbering plan, and cannot receive text messages.
    NoSms,
    /// The text cannot be filled in, or the contact has no address.
    NoText {
        /// What is missing, without personal data.
        reason: String,
    },
    /// A rule refuses for good.
    Refused {
        /// The outcome of a contact for whom nothing follows.
        outcome: Outcome,
        /// The reason, if that is [`Outcome::Excluded`].
        exclusion: Option<Exclusion>,
        /// The rule.
        rule: &'static str,
        /// Its finding.
        reason: Cow<'static, str>,
    },
}

/// Acts on a contact that is due and whose attempt cannot be made: the plan goes on without it, or the contact is settled.
/// A contact that does not wait is left as it is.
pub fn hinder(
    contact: &Contact,
    definition: &CampaignDefinition,
    hindrance: &Hindrance,
    now: DateTime<Utc>,
) -> Change {
    let mut change = unchanged(contact, now);
    if contact.status.state.due_at().is_none() {
        return change;
    }
    let at = match hindrance {
        Hindrance::NoSms => {
            let conclusion = Conclusion {
                events: &[PlanEvent::NoSms, PlanEvent::Undelivered],
                outcome: Outcome::Excluded,
                exclusion: Some(Exclusion::NoSms),
                rule: "number_kind",
                reason: "a landline cannot receive text messages".into(),
            };
            conclude(&mut change, contact, None, definition, &conclusion)
        }
        Hindrance::NoText { reason } => {
            let conclusion = Conclusion {
                events: &[PlanEvent::Undelivered],
                outcome: Outcome::Exhausted,
                exclusion: None,
                rule: "message",
                reason: reason.clone().into(),
            };
            conclude(&mut change, contact, None, definition, &conclusion)
        }
        Hindrance::Refused { rule, reason, .. } if contact.status.plan.is_in_follow_up() => {
            pass_over(&mut change, definition, rule, reason.clone())
        }
        Hindrance::Refused { outcome, exclusion, rule, reason } => {
            let (outcome, exclusion, reason) = (*outcome, *exclusion, reason.clone());
            let events = refused(outcome);
            let conclusion = Conclusion { events, outcome, exclusion, rule, reason };
            conclude(&mut change, contact, None, definition, &conclusion)
        }
    };
    if let Some(at) = at {
        wait(&mut change, definition, at);
    }
    counted(change)
}

/// Acts on a contact that is due because nobody told yet what became of its message: it waits for the next time to look
/// the message up, or for nothing more. A contact that does not wait for a receipt is left as it is.
///
/// `can_look` tells whether the provider can be asked.
pub fn look_again(
    contact: &Contact,
    definition: &CampaignDefinition,
    can_look: bool,
    now: DateTime<Utc>,
) -> Change {
    let mut change = unchanged(contact, now);
    let Upcoming::Receipt(awaits) = contact.status.plan.upcoming(definition) else { return change };
    if contact.status.state.due_at().is_none() {
        return change;
    }
    let until = next_look(awaits, definition, can_look, now).or_else(|| {
        // What is looked up at the deadline is believed, too.
        let once_more = can_look && !awaits.is_last;
        once_more.then(|| now + LAST_LOOK)
    });
    match until {
        Some(until) => {
            if let Some(progress) = &mut change.status.plan.follow_up {
                let is_last = now >= deadline(awaits, definition);
                progress.awaits = Some(AwaitedReceipt { is_last, ..awaits });
            }
            change.status.state = ContactState::Waiting { due_at: until };
            change.events.push(awaiting(until));
        }
        None => {
            let conclusion = Conclusion {
                events: &[PlanEvent::NoReceipt],
                outcome: Outcome::Unknown,
                exclusion: None,
                rule: "receipt",
                reason: "nobody told in time what became of the message".into(),
            };
            if let Some(at) = conclude(&mut change, contact, Some(awaits.message), definition, &conclusion) {
                wait(&mut change, definition, at);
            }
        }
    }
    counted(change)
}

/// What a plan is told of a contact whose attempts a rule refuses.
pub(super) fn refused(outcome: Outcome) -> &'static [PlanEvent] {
    if outcome == Outcome::Exhausted { &[PlanEvent::Exhausted] } else { &[] }
}

/// When a message is looked up next: first after 5 minutes, then when twice as long has passed since it was sent.
pub(super) fn next_look(
    awaits: AwaitedReceipt,
    definition: &CampaignDefinition,
    can_look: bool,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let deadline = deadline(awaits, definition);
    if now >= deadline {
        return None;
    }
    let passed = (now - awaits.since).max(FIRST_LOOK);
    Some(if can_look { (now + passed).min(deadline) } else { deadline })
}

fn deadline(awaits: AwaitedReceipt, definition: &CampaignDefinition) -> DateTime<Utc> {
    later(awaits.since, definition.message.receipt_within.duration())
}

/// Tells that a contact waits for the receipt of its message.
pub(super) fn awaiting(until: DateTime<Utc>) -> Event {
    let (rule, reason) = ("receipt".into(), "nobody told yet what became of the message".into());
    Event::ContactDeferred { until, rule, reason }
}

fn later(at: DateTime<Utc>, span: std::time::Duration) -> DateTime<Utc> {
    TimeDelta::from_std(span)
        .ok()
        .and_then(|span| at.checked_add_signed(span))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

const FIRST_LOOK: TimeDelta = TimeDelta::minutes(5);
/// How long what the last look finds may take to be stored.
const LAST_LOOK: TimeDelta = TimeDelta::minutes(2);
