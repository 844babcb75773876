//! From what is told about a call to its contact.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::begin::{counted, unchanged};
use super::call::{CallStep, disposition_of, step_call};
use super::learn::{learn, set_earliest};
use super::{CallFact, CallInput};
use crate::domain::{
    Call, CallState, Contact, ContactState, Disposition, Ending, Event, Exclusion, ItemId, Outcome,
    Suppression,
};
use crate::policy::retry::{RetryCause, RetryVerdict};
use crate::policy::{Decision, NumberFacts, Policy, Question, RunTerms};
use crate::provider::{Answerer, CallEvent, ProviderErrorKind, VoiceCapabilities};
use crate::storage::{AttemptChange, Change, OutboxItem};

/// What [`settle`] needs beside contact and call.
#[derive(Debug)]
pub struct SettleTerms<'a> {
    /// When.
    pub now: DateTime<Utc>,
    /// The rules, to find the next legal instant of a retry.
    pub policy: &'a Policy,
    /// The terms of the run.
    pub run: &'a RunTerms,
    /// What the call's provider can do.
    pub capabilities: &'a VoiceCapabilities,
}

/// Applies a fact to a call and its contact. `None` if it tells nothing new.
///
/// Facts may come late, twice and in any order. A call that has ended keeps its disposition, a contact that is
/// settled keeps its outcome. What the provider tells about one call leads to the same call and the same contact in
/// every order, with three exceptions, in which what comes first or last decides:
///
/// - Ends that contradict each other: the first keeps.
/// - Who answered and when to call back decide about the contact only if told before the end, for the end is decided
///   when it is told. Told later they are still noted.
/// - Analyses that set the same field to different values: the last keeps.
pub fn settle(
    contact: &Contact,
    call: &Call,
    input: &CallInput,
    terms: &SettleTerms<'_>,
    item_id: impl FnOnce() -> ItemId,
) -> Option<Change> {
    let mut settling = Settling { change: unchanged(contact, terms.now), call: call.clone(), terms };
    if let CallFact::Told { event: CallEvent::CalledBack { inbound, event }, at } = &input.fact {
        settling.called_back(contact, inbound, (event, *at), item_id);
        return settling.finish(call);
    }
    settling.learn(&input.fact);
    settling.take_effects(contact, &input.fact, item_id);
    if let CallStep::To(state) = step_call(call, &input.fact) {
        settling.enter(contact, state, &input.fact);
    }
    settling.finish(call)
}

pub(super) struct Settling<'a> {
    pub(super) change: Change,
    pub(super) call: Call,
    pub(super) terms: &'a SettleTerms<'a>,
}

impl Settling<'_> {
    /// Takes from the fact what enriches the call in any state.
    fn learn(&mut self, fact: &CallFact) {
        if let CallFact::AskAgain { token } = fact {
            let unanswered = matches!(self.call.state, CallState::Intended | CallState::Unknown);
            if unanswered && *token == self.call.lease.token {
                self.call.asked_at = self.terms.now;
                self.change.events.push(Event::CallRepeated { call_id: self.call.id });
            }
        }
        if let CallFact::Told { event, .. } = fact {
            let at = self.happened_at(fact);
            learn(&mut self.call, event, at);
        }
    }

    /// When it happened: as the provider tells, if that is possible, else now.
    fn happened_at(&self, fact: &CallFact) -> DateTime<Utc> {
        match fact {
            CallFact::Told { at, .. } => (*at).max(self.call.intended_at).min(self.terms.now),
            _ => self.terms.now,
        }
    }

    /// Side effects of the conversation: each once, also when the call is over.
    pub(super) fn take_effects(
        &mut self,
        contact: &Contact,
        fact: &CallFact,
        item_id: impl FnOnce() -> ItemId,
    ) {
        let CallFact::Told { event, at: told_at } = fact else { return };
        let call_id = self.call.id;
        match event {
            CallEvent::OptOut if self.once(OPT_OUT) => {
                self.change.suppress = Some(self.suppression(contact));
                self.change.events.push(Event::OptedOut { call_id });
                if let ContactState::Waiting { .. } = contact.status.state {
                    let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::Suppressed));
                    self.settle_as(outcome, exclusion, "suppression", "the callee opted out");
                }
            }
            CallEvent::Action { key, name, parameters } if self.once(&format!("action:{key}")) => {
                self.change.outbox.push(OutboxItem {
                    id: item_id(),
                    org_id: contact.org_id,
                    run_id: contact.run_id,
                    contact_id: contact.id,
                    call_id,
                    action: name.clone(),
                    key: key.clone(),
                    parameters: parameters.clone(),
                    created_at: self.terms.now,
                    attempts: 0,
                });
                self.change.events.push(Event::ActionRequested { call_id, action: name.clone() });
            }
            CallEvent::Callback { at } => {
                let detail = &mut self.call.detail;
                if (detail.callback_told_at, detail.callback_at) < (Some(*told_at), Some(*at)) {
                    detail.callback_told_at = Some(*told_at);
                    if detail.callback_at.replace(*at) != Some(*at) {
                        self.change.events.push(Event::CallbackRequested { call_id, at: *at });
                    }
                }
            }
            _ => {}
        }
    }

    /// Notes that the effect `key` is taken. Returns whether it was not before.
    pub(super) fn once(&mut self, key: &str) -> bool {
        let applied = &mut self.call.detail.applied;
        let place = applied.binary_search_by(|known| known.as_str().cmp(key));
        place.map_err(|place| applied.insert(place, key.to_owned())).is_err()
    }

    fn suppression(&self, contact: &Contact) -> Suppression {
        Suppression::opt_out(contact.org_id, contact.number, self.terms.now)
    }

    /// How long a call may last and stay without news.
    pub(super) fn longest(&self) -> Duration {
        let settings = &self.terms.run.run.definition.call;
        settings.max_duration.duration() + self.terms.capabilities.silence_max
    }

    fn enter(&mut self, contact: &Contact, state: CallState, fact: &CallFact) {
        let (now, call_id) = (self.terms.now, self.call.id);
        let longest = self.longest();
        self.call.state = state;
        self.call.check_at = Some(now + longest);
        match state {
            CallState::Intended => {}
            CallState::Unknown => {
                if let CallFact::NoAnswer { kind, check_at, .. } = fact {
                    self.call.check_at = Some(*check_at);
                    self.change.events.push(Event::CallUnknown { call_id, reason: kind.name().into() });
                }
            }
            CallState::Placed => {
                // A call that still waits at the provider when its interval ends is looked after then.
                self.call.check_at = Some((now + longest).min(self.call.dial_before.max(now)));
                let provider = self.call.provider.clone();
                self.change.events.push(Event::CallPlaced { call_id, provider });
            }
            CallState::Ringing => self.change.events.push(Event::CallRinging { call_id }),
            CallState::Answered => {
                let by = self.call.detail.answered_by.unwrap_or(Answerer::Unknown);
                self.change.events.push(Event::CallAnswered { call_id, by });
            }
            CallState::Ended { disposition } => self.end(contact, disposition, fact),
        }
    }

    fn end(&mut self, contact: &Contact, told: Disposition, fact: &CallFact) {
        let disposition = disposition_of(told, self.call.detail.answered_by);
        let at = self.happened_at(fact);
        if disposition.is_attempt() && disposition != Disposition::Unknown {
            set_earliest(&mut self.call.placed_at, at);
        }
        self.call.state = CallState::Ended { disposition };
        self.call.ended_at = Some(at);
        self.call.check_at = None;
        let reason = match fact {
            CallFact::NotPlaced { kind, .. } => Some(kind.name().to_owned()),
            CallFact::NotFound { .. } => Some("the provider does not know the call".into()),
            CallFact::GivenUp { .. } => Some("no news before the deadline".into()),
            _ => self.call.detail.provider_reason.clone(),
        };
        self.change.events.push(Event::CallEnded {
            call_id: self.call.id,
            disposition,
            provider_reason: reason,
        });
        // A contact that moved on without this call is left alone.
        if contact.status.state == (ContactState::Calling { call_id: self.call.id }) {
            self.change.status.last_disposition = Some(disposition);
            self.decide_contact(contact, disposition, fact);
        }
    }

    fn decide_contact(&mut self, contact: &Contact, disposition: Disposition, fact: &CallFact) {
        let now = self.terms.now;
        if !matches!(disposition, Disposition::NotPlaced | Disposition::Canceled) {
            self.change.status.not_placed = 0;
        }
        match disposition {
            Disposition::AnsweredHuman => match self.call.detail.callback_at {
                Some(at) if at <= now + CALLBACK_MAX => self.plan(contact, at.max(now), None, 1),
                Some(_) => {
                    let reason = "a human answered, and asked for a callback too far ahead";
                    self.settle_as(Outcome::Completed, None, "disposition", reason);
                }
                None => self.settle_as(Outcome::Completed, None, "disposition", "a human answered"),
            },
            Disposition::Voicemail => self.retry(contact, RetryCause::Voicemail),
            Disposition::Busy => self.retry(contact, RetryCause::Busy),
            Disposition::NoAnswer => self.retry(contact, RetryCause::NoAnswer),
            Disposition::Rejected => self.retry(contact, RetryCause::Rejected),
            Disposition::Failed => self.retry(contact, RetryCause::Failed),
            Disposition::InvalidNumber => self.settle_as(
                Outcome::Excluded,
                Some(Exclusion::InvalidNumber),
                "disposition",
                "the network says that the number does not exist",
            ),
            Disposition::Unknown => {
                self.settle_as(Outcome::Unknown, None, "at_most_once", "the fate of the call is not known");
            }
            Disposition::Canceled => self.call_again(contact, None, None),
            Disposition::NotPlaced => {
                self.change.attempt = Some(AttemptChange::Remove);
                self.change.status.attempts = contact.status.attempts.saturating_sub(1);
                match fact {
                    CallFact::NotPlaced { kind, retry_after, .. } => {
                        self.call_again(contact, Some(*kind), *retry_after);
                    }
                    _ => self.call_again(contact, None, None),
                }
            }
        }
    }

    fn retry(&mut self, contact: &Contact, cause: RetryCause) {
        if self.settled_by_callback(contact) {
            return;
        }
        let plan = &self.terms.run.run.definition.retry;
        match plan.next(cause, &contact.status.retries) {
            RetryVerdict::After(delay) => {
                self.change.status.retries.count(cause);
                let number = u32::from(self.change.status.retries.of(cause));
                self.plan(contact, self.terms.now + delay, Some(cause), number);
            }
            RetryVerdict::Exhausted { .. } => {
                self.settle_as(Outcome::Exhausted, None, "retry", "the retries of its cause are used up");
            }
            RetryVerdict::NotPlanned => {
                self.settle_as(Outcome::Exhausted, None, "retry", "no retry is planned for its cause");
            }
        }
    }

    /// After a call that nobody could have answered: again after a growing while, or after `wait` if that is longer.
    fn call_again(&mut self, contact: &Contact, kind: Option<ProviderErrorKind>, wait: Option<Duration>) {
        if self.settled_by_callback(contact) {
            return;
        }
        // A provider that is away or overloaded is no fault of the contact.
        let away = matches!(kind, Some(ProviderErrorKind::Unavailable | ProviderErrorKind::RateLimited));
        self.change.status.not_placed += u32::from(!away);
        let number = self.change.status.not_placed;
        match kind {
            Some(ProviderErrorKind::InvalidNumber) => self.settle_as(
                Outcome::Excluded,
                Some(Exclusion::InvalidNumber),
                "provider",
                "the provider cannot call the number",
            ),
            _ if number >= NOT_PLACED_MAX => {
                self.settle_as(Outcome::Exhausted, None, "provider", "no call could be placed");
            }
            _ => {
                let backoff = Duration::from_secs(5 << number.min(8)).min(BACKOFF_MAX);
                let wait = wait.unwrap_or_default().clamp(backoff, WAIT_MAX);
                self.plan(contact, self.terms.now + wait, None, number);
            }
        }
    }

    /// Has the contact wait until the first legal instant from `from` on.
    pub(super) fn plan(
        &mut self,
        contact: &Contact,
        from: DateTime<Utc>,
        cause: Option<RetryCause>,
        number: u32,
    ) {
        let run = &self.terms.run.run;
        if let Some(ending @ (Ending::Cancelled | Ending::EndTime)) = run.ending {
            self.settle_as(ending.outcome(), None, "run_state", "the run is over");
            return;
        }
        let asked = Contact { status: self.change.status.clone(), ..contact.clone() };
        let opted_out = self.call.detail.applied.iter().any(|applied| applied == OPT_OUT);
        let facts = NumberFacts {
            suppression: opted_out.then(|| self.suppression(contact)),
            ..NumberFacts::default()
        };
        // Asked as about the future, in which a pause is over; attempts are counted when the time has come.
        let asked_at = from - TimeDelta::microseconds(1);
        let question =
            Question { now: from, asked_at, terms: self.terms.run, contact: &asked, number: &facts };
        match self.terms.policy.decide(&question) {
            Decision::Never { outcome, exclusion, rule, reason } => {
                self.settle_as(outcome, exclusion, rule, &reason);
            }
            Decision::Allow { .. } => self.wait(from, cause, number),
            Decision::Defer { until, .. } => self.wait(until, cause, number),
        }
    }

    fn wait(&mut self, at: DateTime<Utc>, cause: Option<RetryCause>, number: u32) {
        self.change.status.state = ContactState::Waiting { due_at: at };
        self.change.events.push(Event::RetryPlanned { at, cause, number });
    }

    pub(super) fn settle_as(
        &mut self,
        outcome: Outcome,
        exclusion: Option<Exclusion>,
        rule: &str,
        reason: &str,
    ) {
        self.change.status.state = ContactState::Settled { outcome, exclusion, at: self.terms.now };
        self.change.events.push(Event::ContactSettled {
            outcome,
            exclusion,
            rule: rule.into(),
            reason: reason.into(),
        });
    }

    fn finish(mut self, before: &Call) -> Option<Change> {
        if self.call == *before {
            return None;
        }
        if self.change.events.is_empty() {
            self.change.events.push(Event::CallEnriched { call_id: self.call.id });
        }
        self.change.call = Some(self.call);
        Some(counted(self.change))
    }
}

/// After so many calls in a row that nobody could have answered, the contact is given up.
const NOT_PLACED_MAX: u32 = 20;

/// The longest a contact waits of our own accord after a call that nobody could have answered.
const BACKOFF_MAX: Duration = Duration::from_secs(900);

/// The longest a contact waits because the provider asked for it.
const WAIT_MAX: Duration = Duration::from_secs(86_400);

/// How far ahead a callback may lie: as far as a retry.
pub(super) const CALLBACK_MAX: TimeDelta = TimeDelta::days(366);

/// The key of the effect of [`CallEvent::OptOut`].
const OPT_OUT: &str = "opt_out";
