//! Calls in which a contact calls back.
//!
//! An inbound call is kept with the outbound call it answers and changes with it, so that contact, calls and journal stay
//! one aggregate. It holds no slot, is no attempt, and is never looked up: whoever called us needs no second call, and if
//! its end is never told, the contact is called as if nothing had happened, only later, and the archive gives the call up.

use chrono::{DateTime, Utc};

use super::CallFact;
use super::call::{CallStep, disposition_of, step_call};
use super::learn::learn;
use super::settle::Settling;
use crate::domain::{
    Call, CallDetail, CallId, CallState, Contact, ContactState, Direction, Disposition, Event, ItemId, Lease,
    Outcome,
};
use crate::provider::{CallEvent, InboundRef};

/// Inbound calls kept with one outbound call; more tell nothing new.
const CALLED_BACK_MAX: usize = 32;

/// A call in which the contact of `outbound` calls back, heard of at `now`.
pub fn inbound_call(outbound: &Call, inbound: &InboundRef, now: DateTime<Utc>) -> Call {
    Call {
        id: inbound.call_id,
        direction: Direction::Inbound,
        callback_for: Some(outbound.id),
        provider: inbound.provider.clone(),
        provider_ref: None,
        state: CallState::Placed,
        lease: Lease { until: now, ..outbound.lease },
        check_at: None,
        dial_before: now,
        intended_at: now,
        asked_at: now,
        placed_at: Some(now),
        answered_at: None,
        ended_at: None,
        detail: CallDetail::default(),
        ..outbound.clone()
    }
}

/// Takes from an event what it tells about an inbound call itself: its state and what came of it.
pub fn step_inbound(call: &mut Call, event: &CallEvent, told_at: DateTime<Utc>, now: DateTime<Utc>) {
    let at = told_at.max(call.intended_at).min(now);
    let given_up = call.state;
    if is_given_up(call) {
        call.state = if call.answered_at.is_some() { CallState::Answered } else { CallState::Placed };
    }
    learn(call, event, at);
    let fact = CallFact::Told { event: event.clone(), at: told_at };
    match step_call(call, &fact) {
        CallStep::Stay if matches!(given_up, CallState::Ended { .. }) => call.state = given_up,
        CallStep::Stay => {}
        CallStep::To(CallState::Ended { disposition }) => {
            let disposition = disposition_of(disposition, call.detail.answered_by);
            call.state = CallState::Ended { disposition };
            call.ended_at = Some(at);
            call.check_at = None;
        }
        CallStep::To(state) => call.state = state,
    }
}

/// Ends an inbound call whose end was not told in time, or of which nobody waits for the end: whoever was answered was
/// talked to, and else nobody knows. When it ended stays open, and so is the rest if the end is told after all.
pub fn give_up_inbound(call: &mut Call, now: DateTime<Utc>) {
    if call.is_live() && call.check_at.is_none_or(|at| at <= now) {
        let told = match call.state {
            CallState::Answered => Disposition::AnsweredHuman,
            _ => Disposition::Unknown,
        };
        call.state = CallState::Ended { disposition: disposition_of(told, call.detail.answered_by) };
        call.check_at = None;
    }
}

fn is_given_up(call: &Call) -> bool {
    !call.is_live() && call.ended_at.is_none()
}

/// Whether a human was talked to in one of the inbound calls.
pub(super) fn was_talked_to(outbound: &Call) -> Option<&Call> {
    let talked = |call: &&Call| call.disposition() == Some(Disposition::AnsweredHuman);
    outbound.detail.called_back.iter().rev().find(talked)
}

impl Settling<'_> {
    /// Something happens to a call in which the contact calls back.
    pub(super) fn called_back(
        &mut self,
        contact: &Contact,
        inbound: &InboundRef,
        (event, told_at): (&CallEvent, DateTime<Utc>),
        item_id: impl FnOnce() -> ItemId,
    ) {
        // Effects of the conversation are those of any other, under the id of the inbound call.
        let fact = CallFact::Told { event: event.clone(), at: told_at };
        let Some(before) = self.called_back_before(inbound) else {
            // Too many to be kept; who does not want to be called is heard all the same.
            if matches!(event, CallEvent::OptOut) {
                self.take_effects(contact, &fact, item_id);
            }
            return;
        };
        let change = std::mem::replace(&mut self.change, super::begin::unchanged(contact, self.terms.now));
        let mut own = Settling { change, call: Box::new(before.clone()), terms: self.terms };
        own.take_effects(contact, &fact, item_id);
        step_inbound(&mut own.call, event, told_at, self.terms.now);
        let Settling { change, call: after, .. } = own;
        self.change = change;
        if before.is_live()
            && let Some(disposition) = after.disposition()
        {
            let (call_id, provider_reason) = (after.id, after.detail.provider_reason.clone());
            self.change.events.push(Event::InboundEnded { call_id, disposition, provider_reason });
        }
        let place = self.call.detail.called_back.iter_mut().find(|call| call.id == after.id);
        if let Some(place) = place {
            place.clone_from(&after);
        }
        if let ContactState::Waiting { due_at } = self.change.status.state {
            self.answer_waiting(contact, due_at, &after);
        }
    }

    /// The inbound call as it was before this event, noted if it is new; `None` if there are too many.
    fn called_back_before(&mut self, inbound: &InboundRef) -> Option<Call> {
        let known = &mut self.call.detail.called_back;
        if let Some(call) = known.iter().find(|call| call.id == inbound.call_id) {
            return Some(call.clone());
        }
        if known.len() >= CALLED_BACK_MAX || inbound.call_id == self.call.id {
            return None;
        }
        let mut call = inbound_call(&self.call, inbound, self.terms.now);
        call.check_at = Some(self.terms.now + self.longest());
        self.call.detail.called_back.push(call.clone());
        let call_id = self.call.id;
        self.change.events.push(Event::CalledBack { call_id, inbound_id: inbound.call_id });
        Some(call)
    }

    /// A contact that waits is not called while it is on the phone, and is done when it was talked to.
    fn answer_waiting(&mut self, contact: &Contact, due_at: DateTime<Utc>, inbound: &Call) {
        match inbound.check_at {
            Some(until) if inbound.is_live() && due_at < until => {
                self.once(&format!("{}{}", deferral(inbound.id, until), due_at.timestamp_millis()));
                self.wait_until(until, "the contact is calling");
            }
            _ if self.settled_by_callback(contact) => {}
            _ => {
                if let Some(before) = self.due_before(due_at).map(|before| before.max(self.terms.now)) {
                    self.wait_until(before, "the contact is not calling any more");
                }
            }
        }
    }

    fn wait_until(&mut self, until: DateTime<Utc>, reason: &'static str) {
        self.change.status.state = ContactState::Waiting { due_at: until };
        let (rule, reason) = ("inbound".into(), reason.into());
        self.change.events.push(Event::ContactDeferred { until, rule, reason });
    }

    /// When the contact would be due if it had not been deferred by inbound calls that are over now; `None` if it was not.
    fn due_before(&self, due_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let over = self.call.detail.called_back.iter().filter(|call| !call.is_live());
        let mut before = None;
        for call in over.rev() {
            let deferral = deferral(call.id, before.unwrap_or(due_at));
            let known = self.call.detail.applied.iter().find_map(|key| key.strip_prefix(&deferral));
            let earlier = known.and_then(|millis| DateTime::from_timestamp_millis(millis.parse().ok()?));
            before = earlier.or(before);
        }
        before
    }

    /// Settles the contact, or plans the callback it asked for, if it called back and was talked to. Returns whether.
    pub(super) fn settled_by_callback(&mut self, contact: &Contact) -> bool {
        if !self.terms.run.run.definition.inbound.settles {
            return false;
        }
        let Some(inbound) = was_talked_to(&self.call) else { return false };
        // What was promised to the contact, and what it is waiting to hear of, comes all the same; it is not called again.
        let plan = &self.change.status.plan;
        if plan.is_in_follow_up() || plan.has_more() {
            return false;
        }
        match inbound.detail.callback_at.filter(|at| *at <= self.terms.now + super::settle::CALLBACK_MAX) {
            // A wish that was granted, or is being granted, is not planned anew by what is told later.
            Some(at) if self.is_planned(at, inbound.id) => {}
            Some(at) => {
                let id = inbound.id;
                self.once(&planned(id, at));
                self.plan(contact, at.max(self.terms.now), None, 1);
            }
            None => {
                self.settle_as(
                    Outcome::Completed,
                    None,
                    "inbound",
                    "the contact called back and was talked to",
                );
            }
        }
        true
    }

    fn is_planned(&self, at: DateTime<Utc>, inbound: CallId) -> bool {
        self.call.detail.applied.contains(&planned(inbound, at))
    }
}

/// Begins the key of a deferral until then because of an inbound call; when the contact was due before ends it.
fn deferral(inbound: CallId, until: DateTime<Utc>) -> String {
    format!("deferred:{inbound}:{}:", until.timestamp_millis())
}

/// The key of the effect of a callback that was asked for in an inbound call.
fn planned(inbound: CallId, at: DateTime<Utc>) -> String {
    format!("callback:{inbound}:{}", at.timestamp_millis())
}
