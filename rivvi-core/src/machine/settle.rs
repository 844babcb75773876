//! From what is told about a call to its contact.

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::begin::{counted, unchanged};
use super::call::{CallStep, disposition_of, step_call};
use super::follow_up::{self, Conclusion};
use super::learn::{learn, set_earliest};
use super::{CallFact, CallInput};
use crate::domain::{
    Call, CallState, Contact, ContactState, DeliveryFailure, DeliveryState, Disposition, Ending, Event,
    Exclusion, ItemId, Medium, Message, MessageDelivery, Outcome, Personal, Reply, Suppression,
};
use crate::policy::follow_up::{AwaitedReceipt, PlanEvent};
use crate::policy::retry::{RetryCause, RetryVerdict};
use crate::policy::{Decision, NumberFacts, Policy, Question, RunTerms};
use crate::provider::{Answerer, CallEvent, Lookup, ProviderErrorKind, VoiceCapabilities};
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
    /// What the call's provider can do. For a message, how its provider looks messages up.
    pub capabilities: &'a VoiceCapabilities,
    /// Whether the message's provider tells what became of it.
    pub receipts: bool,
}

/// Applies a fact to a call and its contact. `None` if it tells nothing new.
///
/// Facts may come late, twice and in any order. A call that has ended keeps its disposition, a contact that is
/// settled keeps its outcome. What the provider tells about one call leads to the same call and the same contact in
/// every order, with four exceptions, in which what comes first or last decides:
///
/// - Ends that contradict each other: the first keeps.
/// - Who answered and when to call back decide about the contact only if told before the end, for the end is decided
///   when it is told. Told later they are still noted.
/// - Analyses that set the same field to different values: the last keeps.
/// - An action that a follow-up waits for starts it unless the contact is settled by then: told later, the host gets it.
pub fn settle(
    contact: &Contact,
    call: &Call,
    input: &CallInput,
    terms: &SettleTerms<'_>,
    item_id: impl FnOnce() -> ItemId,
) -> Option<Change> {
    let mut settling =
        Settling { change: unchanged(contact, terms.now), call: Box::new(call.clone()), terms };
    if let CallFact::Told { event: CallEvent::CalledBack { inbound, event }, at } = &input.fact {
        settling.called_back(contact, inbound, (event, *at), item_id);
        return settling.finish(call);
    }
    settling.learn(&input.fact);
    settling.note_delivery(call);
    settling.take_effects(contact, &input.fact, item_id);
    if let CallStep::To(state) = step_call(call, &input.fact) {
        settling.enter(contact, state, &input.fact);
    } else {
        settling.take_receipt(contact);
    }
    settling.finish(call)
}

pub(super) struct Settling<'a> {
    pub(super) change: Change,
    pub(super) call: Box<Call>,
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
                    let reached =
                        contact.status.plan.follow_up.as_ref().and_then(|progress| progress.reached);
                    let exclusion = reached.is_none().then_some(Exclusion::Suppressed);
                    let outcome = reached.unwrap_or(Outcome::Excluded);
                    self.settle_as(outcome, exclusion, "suppression", "the callee opted out");
                }
            }
            CallEvent::Action { key, name, parameters } if self.once(&format!("action:{key}")) => {
                self.change.events.push(Event::ActionRequested { call_id, action: name.clone() });
                let definition = &self.terms.run.run.definition;
                let is_settled = matches!(self.change.status.state, ContactState::Settled { .. });
                let given = (name.as_str(), parameters);
                if !is_settled
                    && follow_up::start_for_action(&mut self.change, contact, &self.call, definition, given)
                {
                    return;
                }
                self.change.outbox.push(OutboxItem {
                    id: item_id(),
                    org_id: contact.org_id,
                    run_id: contact.run_id,
                    contact_id: contact.id,
                    call_id: Some(call_id),
                    action: name.clone(),
                    key: key.clone(),
                    parameters: parameters.clone(),
                    created_at: self.terms.now,
                    attempts: 0,
                });
            }
            CallEvent::Replied { id, text } => self.take_reply(contact, id, text, *told_at, item_id),
            CallEvent::Opened => self.note_opened(self.happened_at(fact)),
            CallEvent::Clicked { key } => {
                let clicks = self.call.detail.message.as_ref().map(|message| message.clicks);
                if clicks.is_some_and(|clicks| clicks < CLICKS_MAX) && self.once(&format!("click:{key}")) {
                    self.note_opened(self.happened_at(fact));
                    self.call.detail.message.iter_mut().for_each(|message| message.clicks += 1);
                }
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

    /// Tells when more became known of the fate of the message.
    fn note_delivery(&mut self, before: &Call) {
        let known = before.detail.message.as_ref().and_then(|message| message.delivery.as_ref());
        let Some(delivery) = self.call.detail.message.as_ref().and_then(|message| message.delivery.as_ref())
        else {
            return;
        };
        if known != Some(delivery) {
            self.change.events.push(Event::MessageDelivery {
                call_id: self.call.id,
                state: delivery.state,
                failure: delivery.failure,
                code: delivery.code.clone(),
            });
        }
    }

    /// Keeps what the contact answered, and gives it to the host if the campaign says so.
    fn take_reply(
        &mut self,
        contact: &Contact,
        id: &str,
        text: &Personal<String>,
        at: DateTime<Utc>,
        item_id: impl FnOnce() -> ItemId,
    ) {
        let Some(message) = &mut self.call.detail.message else { return };
        if message.replies.len() >= Message::REPLIES_MAX || message.replies.iter().any(|known| known.id == id)
        {
            return;
        }
        message.replies.push(Reply { id: id.to_owned(), text: text.clone(), at });
        self.change.events.push(Event::MessageReplied { call_id: self.call.id });
        if let Some(action) = &self.terms.run.run.definition.message.on_reply {
            let parameters = [
                ("text".to_owned(), text.expose().clone()),
                ("reply_id".to_owned(), id.to_owned()),
                ("message_id".to_owned(), self.call.id.to_string()),
            ];
            self.change.outbox.push(OutboxItem {
                id: item_id(),
                org_id: contact.org_id,
                run_id: contact.run_id,
                contact_id: contact.id,
                call_id: Some(self.call.id),
                action: action.clone(),
                key: String::new(),
                parameters: Personal::new(parameters.into()),
                created_at: self.terms.now,
                attempts: 0,
            });
        }
    }

    fn note_opened(&mut self, at: DateTime<Utc>) {
        let Some(message) = &mut self.call.detail.message else { return };
        let is_new = message.opened_at.is_none();
        set_earliest(&mut message.opened_at, at);
        if is_new {
            self.change.events.push(Event::MessageOpened { call_id: self.call.id });
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
                Some(_) => self.reached(contact, "a human answered, and asked for a callback too far ahead"),
                None => self.reached(contact, "a human answered"),
            },
            Disposition::Voicemail => self.retry(contact, RetryCause::Voicemail),
            Disposition::Busy => self.retry(contact, RetryCause::Busy),
            Disposition::NoAnswer => self.retry(contact, RetryCause::NoAnswer),
            Disposition::Rejected => self.retry(contact, RetryCause::Rejected),
            Disposition::Failed => self.retry(contact, RetryCause::Failed),
            Disposition::InvalidNumber => {
                let reason = "the network says that the number does not exist";
                self.exclude(contact, Exclusion::InvalidNumber, "disposition", reason);
            }
            Disposition::Unknown if self.is_receipt_awaited() => self.await_receipt(),
            Disposition::Unknown => self.conclude(
                contact,
                &Conclusion {
                    events: &[],
                    outcome: Outcome::Unknown,
                    exclusion: None,
                    rule: "at_most_once",
                    reason: "the fate of the call is not known".into(),
                },
            ),
            Disposition::Sent => self.sent(contact),
            Disposition::Canceled => self.call_again(contact, None, None),
            Disposition::NotPlaced => {
                if self.call.medium() != Medium::Email {
                    self.change.attempt = Some(AttemptChange::Remove);
                    self.change.status.attempts = contact.status.attempts.saturating_sub(1);
                }
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
        let plan = &mut self.change.status.plan;
        match plan.retry_plan(&self.terms.run.run.definition).next(cause, &plan.retries) {
            RetryVerdict::After(delay) => {
                plan.retries.count(cause);
                let number = u32::from(plan.retries.of(cause));
                self.plan(contact, self.terms.now + delay, Some(cause), number);
            }
            RetryVerdict::Exhausted { .. } => {
                self.exhausted(contact, Some(cause), "retry", "the retries of its cause are used up");
            }
            RetryVerdict::NotPlanned => {
                self.exhausted(contact, Some(cause), "retry", "no retry is planned for its cause");
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
            Some(ProviderErrorKind::InvalidNumber) => {
                let reason = "the provider cannot call the number";
                self.exclude(contact, Exclusion::InvalidNumber, "provider", reason);
            }
            Some(ProviderErrorKind::NoSms) => self.failed_for(contact, DeliveryFailure::NoSms),
            Some(ProviderErrorKind::Unsubscribed) => self.failed_for(contact, DeliveryFailure::Unsubscribed),
            _ if number >= NOT_PLACED_MAX => {
                self.exhausted(contact, None, "provider", "no call could be placed");
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
        if let Some(ending @ (Ending::Cancelled | Ending::EndTime)) = self.terms.run.run.ending {
            let plan = &self.change.status.plan;
            let reached = plan.follow_up.as_ref().and_then(|progress| progress.reached);
            let exclusion = plan.exclusion();
            self.settle_as(reached.unwrap_or(ending.outcome()), exclusion, "run_state", "the run is over");
            return;
        }
        match self.legal_from(contact, from) {
            Ok(at) => self.wait(at, cause, number),
            Err((rule, reason, ..)) if self.change.status.plan.is_in_follow_up() => {
                let next =
                    follow_up::pass_over(&mut self.change, &self.terms.run.run.definition, rule, reason);
                self.plan_follow_ups(contact, next);
            }
            Err((rule, reason, outcome, exclusion)) => {
                let events = follow_up::refused(outcome);
                self.conclude(contact, &Conclusion { events, outcome, exclusion, rule, reason });
            }
        }
    }

    /// Has the contact wait for its next follow-up, or for the first after it that may take place.
    fn plan_follow_ups(&mut self, contact: &Contact, mut next: Option<DateTime<Utc>>) {
        let definition = &self.terms.run.run.definition;
        while let Some(from) = next {
            next = match self.legal_from(contact, from) {
                Ok(at) => return follow_up::wait(&mut self.change, definition, at),
                Err((rule, reason, ..)) => follow_up::pass_over(&mut self.change, definition, rule, reason),
            };
        }
    }

    /// The first legal instant from `from` on, or why there is none.
    fn legal_from(&self, contact: &Contact, from: DateTime<Utc>) -> Result<DateTime<Utc>, Refusal> {
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
            Decision::Never { outcome, exclusion, rule, reason } => Err((rule, reason, outcome, exclusion)),
            Decision::Allow { .. } => Ok(from),
            Decision::Defer { until, .. } => Ok(until),
        }
    }

    /// The attempts under way are over: what the plan says follows, or the contact is settled.
    fn conclude(&mut self, contact: &Contact, conclusion: &Conclusion<'_>) {
        let (definition, call_id) = (&self.terms.run.run.definition, Some(self.call.id));
        let next = follow_up::conclude(&mut self.change, contact, call_id, definition, conclusion);
        if next.is_some()
            && let Some(ending @ (Ending::Cancelled | Ending::EndTime)) = self.terms.run.run.ending
        {
            let reached = self.change.status.plan.follow_up.as_ref().and_then(|progress| progress.reached);
            self.settle_as(reached.unwrap_or(ending.outcome()), None, "run_state", "the run is over");
            return;
        }
        self.plan_follow_ups(contact, next);
    }

    /// A human answered.
    fn reached(&mut self, contact: &Contact, reason: &'static str) {
        let events: &[PlanEvent] = if self.lasted_too_long() {
            &[PlanEvent::AnsweredHuman, PlanEvent::TooLong]
        } else {
            &[PlanEvent::AnsweredHuman]
        };
        let (outcome, exclusion, rule) = (Outcome::Completed, None, "disposition");
        self.conclude(contact, &Conclusion { events, outcome, exclusion, rule, reason: reason.into() });
    }

    /// Whether the call lasted as long as it may, give or take what providers round.
    fn lasted_too_long(&self) -> bool {
        let longest = self.terms.run.run.definition.call.max_duration.duration().saturating_sub(ROUNDED);
        let lasted =
            self.call.placed_at.zip(self.call.ended_at).and_then(|(from, to)| (to - from).to_std().ok());
        self.call.detail.talk_time.max(lasted).is_some_and(|lasted| lasted >= longest)
    }

    /// No human was reached, and no retry is left.
    fn exhausted(
        &mut self,
        contact: &Contact,
        cause: Option<RetryCause>,
        rule: &'static str,
        reason: impl Into<Cow<'static, str>>,
    ) {
        let what = match (self.call.medium(), cause) {
            (Medium::Voice, Some(cause)) => Some(PlanEvent::of(cause)),
            (Medium::Voice, None) => None,
            _ => Some(PlanEvent::Undelivered),
        };
        let events: Vec<PlanEvent> = what.into_iter().chain([PlanEvent::Exhausted]).collect();
        let (outcome, exclusion) = (Outcome::Exhausted, None);
        let reason = reason.into();
        self.conclude(contact, &Conclusion { events: &events, outcome, exclusion, rule, reason });
    }

    /// The contact cannot be reached in this way, now or later.
    fn exclude(&mut self, contact: &Contact, exclusion: Exclusion, rule: &'static str, reason: &'static str) {
        let events: &[PlanEvent] = match (self.call.medium(), exclusion) {
            (Medium::Voice, _) => &[],
            (_, Exclusion::NoSms) => &[PlanEvent::NoSms, PlanEvent::Undelivered],
            _ => &[PlanEvent::Undelivered],
        };
        let (outcome, exclusion, reason) = (Outcome::Excluded, Some(exclusion), reason.into());
        self.conclude(contact, &Conclusion { events, outcome, exclusion, rule, reason });
    }

    /// The provider has the message.
    fn sent(&mut self, contact: &Contact) {
        let delivery = self.call.detail.message.as_ref().and_then(|message| message.delivery.as_ref());
        if delivery.is_some_and(|delivery| delivery.state.is_final()) {
            self.take_fate(contact);
        } else if self.is_receipt_awaited() {
            self.await_receipt();
        } else {
            self.delivered(contact, "the provider accepted the message");
        }
    }

    /// Whether somebody will tell what became of the message.
    fn is_receipt_awaited(&self) -> bool {
        self.call.medium() == Medium::Sms && self.terms.receipts
    }

    /// Has the contact wait for what is told of its message.
    fn await_receipt(&mut self) {
        let awaits = AwaitedReceipt { message: self.call.id, since: self.terms.now, is_last: false };
        let can_look = self.terms.capabilities.lookup != Lookup::None;
        let until = follow_up::next_look(awaits, &self.terms.run.run.definition, can_look, self.terms.now);
        self.change.status.plan.follow_up_mut().awaits = Some(awaits);
        let due_at = until.unwrap_or(self.terms.now);
        self.change.status.state = ContactState::Waiting { due_at };
        self.change.events.push(follow_up::awaiting(due_at));
    }

    /// What became of a message that the contact waits for.
    fn take_receipt(&mut self, contact: &Contact) {
        let waits = matches!(self.change.status.state, ContactState::Waiting { .. })
            && self.change.status.plan.awaits().is_some_and(|awaits| awaits.message == self.call.id);
        let delivery = self.call.detail.message.as_ref().and_then(|message| message.delivery.as_ref());
        if waits && delivery.is_some_and(|delivery| delivery.state.is_final()) {
            self.take_fate(contact);
        }
    }

    /// Acts on what finally became of the message.
    fn take_fate(&mut self, contact: &Contact) {
        if let Some(progress) = &mut self.change.status.plan.follow_up {
            progress.awaits = None;
        }
        let delivery = self.call.detail.message.as_ref().and_then(|message| message.delivery.clone());
        match delivery {
            Some(MessageDelivery { state: DeliveryState::Delivered, .. }) => {
                self.delivered(contact, "the message was delivered");
            }
            delivery => {
                let failure = delivery.and_then(|delivery| delivery.failure);
                self.failed_for(contact, failure.unwrap_or(DeliveryFailure::Other));
            }
        }
    }

    fn delivered(&mut self, contact: &Contact, reason: &'static str) {
        let (outcome, exclusion, rule) = (Outcome::Completed, None, "delivery");
        let (events, reason) = (&[PlanEvent::Delivered], reason.into());
        self.conclude(contact, &Conclusion { events, outcome, exclusion, rule, reason });
    }

    /// The message did not arrive.
    fn failed_for(&mut self, contact: &Contact, failure: DeliveryFailure) {
        let rule = "delivery";
        match failure {
            DeliveryFailure::Unsubscribed => {
                if self.once(OPT_OUT) {
                    self.change.suppress = Some(self.suppression(contact));
                    self.change.events.push(Event::OptedOut { call_id: self.call.id });
                }
                self.exclude(contact, Exclusion::Suppressed, rule, "the recipient wants no messages");
            }
            DeliveryFailure::NoSms => {
                let reason = "the number cannot receive text messages";
                self.exclude(contact, Exclusion::NoSms, rule, reason);
            }
            DeliveryFailure::InvalidNumber => {
                self.exclude(contact, Exclusion::InvalidNumber, rule, "the number does not exist");
            }
            failure if failure.is_temporary() => self.retry(contact, RetryCause::Failed),
            failure => {
                let reason = format!("the message was not delivered: {}", failure.name());
                self.exhausted(contact, None, rule, reason);
            }
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
        rule: &'static str,
        reason: &'static str,
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
        if *self.call == *before {
            return None;
        }
        if self.change.events.is_empty() {
            self.change.events.push(Event::CallEnriched { call_id: self.call.id });
        }
        self.change.call = Some(self.call);
        Some(counted(self.change))
    }
}

/// Why there is no legal instant: rule, finding, outcome and exclusion.
type Refusal = (&'static str, Cow<'static, str>, Outcome, Option<Exclusion>);

/// Clicks counted of one message.
const CLICKS_MAX: u32 = 64;

/// How much less than the longest a call may last and still count as that long.
const ROUNDED: Duration = Duration::from_secs(2);

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
