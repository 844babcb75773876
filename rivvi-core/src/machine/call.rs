//! One call: which state follows which.

use crate::domain::{Call, CallState, Disposition, Medium};
use crate::machine::CallFact;
use crate::provider::{Answerer, CallEvent};

/// The state a call goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallStep {
    /// It stays as it is.
    Stay,
    /// It goes to this state.
    To(CallState),
}

/// The next state of a call.
///
/// States only go forward: what would lead back is ignored, and the first fact that ends the call decides its
/// disposition. So the provider may tell in any order and as often as it likes.
pub fn step_call(call: &Call, fact: &CallFact) -> CallStep {
    use CallState::{Answered, Ended, Intended, Unknown};
    let held = |token: u64| token == call.lease.token;
    let ended = |disposition| CallStep::To(Ended { disposition });
    match (call.state, fact) {
        (Ended { .. }, _) => CallStep::Stay,
        (Intended | Unknown, CallFact::Told { event, .. }) if call.medium() != Medium::Voice => {
            step_sent(event)
        }
        (state, CallFact::Told { event, .. }) => step_told(state, event),
        // Only who intended the call and still holds its lease knows that nothing was ever sent. That a repetition
        // was refused says nothing about the request it repeats.
        (Intended, CallFact::NotPlaced { token, .. }) if held(*token) && call.lease.is_first() => {
            ended(Disposition::NotPlaced)
        }
        (Intended | Unknown, CallFact::NotFound { token }) if held(*token) => ended(Disposition::NotPlaced),
        (Intended, CallFact::NoAnswer { token, .. }) if held(*token) => CallStep::To(Unknown),
        // Nobody can tell any more how it ended, but it was answered.
        (Answered, CallFact::NotFound { token } | CallFact::GivenUp { token }) if held(*token) => {
            ended(Disposition::AnsweredHuman)
        }
        (_, CallFact::NotFound { token } | CallFact::GivenUp { token }) if held(*token) => {
            ended(Disposition::Unknown)
        }
        _ => CallStep::Stay,
    }
}

/// The next state of a message whose provider tells something: whoever tells anything about its fate has it.
fn step_sent(event: &CallEvent) -> CallStep {
    match event {
        CallEvent::Ended { disposition, .. } => CallStep::To(CallState::Ended { disposition: *disposition }),
        CallEvent::Accepted { .. } | CallEvent::Delivery { .. } | CallEvent::Replied { .. } => {
            CallStep::To(CallState::Ended { disposition: Disposition::Sent })
        }
        _ => CallStep::Stay,
    }
}

/// The next state of a live call whose provider tells something.
fn step_told(state: CallState, event: &CallEvent) -> CallStep {
    use CallState::{Answered, Ended, Intended, Placed, Ringing, Unknown};
    match (state, event) {
        // Whose phone rang was called, whatever the provider makes of it.
        (Ringing | Answered, CallEvent::Ended { disposition: Disposition::NotPlaced, .. }) => {
            CallStep::To(Ended { disposition: Disposition::Failed })
        }
        (_, CallEvent::Ended { disposition, .. }) => CallStep::To(Ended { disposition: *disposition }),
        (Intended | Unknown, CallEvent::Accepted { .. }) => CallStep::To(Placed),
        (Intended | Unknown | Placed, CallEvent::Ringing) => CallStep::To(Ringing),
        (Intended | Unknown | Placed | Ringing, CallEvent::Answered { .. }) => CallStep::To(Answered),
        _ => CallStep::Stay,
    }
}

/// The disposition of a call that ended as `told`, given who is known to have answered.
pub(super) fn disposition_of(told: Disposition, by: Option<Answerer>) -> Disposition {
    match (told, by) {
        (Disposition::AnsweredHuman, Some(Answerer::Machine)) => Disposition::Voicemail,
        _ => told,
    }
}
