//! What becomes known about a call, whatever its state.

use chrono::{DateTime, Utc};

use crate::domain::{Call, CallDetail, MessageDelivery};
use crate::provider::{Answerer, CallEvent};

/// Takes from what the provider tells what enriches the call in any state.
pub(super) fn learn(call: &mut Call, event: &CallEvent, at: DateTime<Utc>) {
    let Call { provider_ref, placed_at, answered_at, detail, .. } = call;
    match event {
        CallEvent::Accepted { reference } => {
            set_earliest(placed_at, at);
            *provider_ref = provider_ref.take().or_else(|| reference.clone());
        }
        CallEvent::Ringing => set_earliest(placed_at, at),
        CallEvent::Answered { by } => {
            set_earliest(placed_at, at);
            set_earliest(answered_at, at);
            if *by != Answerer::Unknown && detail.answered_by != Some(Answerer::Machine) {
                detail.answered_by = Some(*by);
            }
        }
        CallEvent::Ended { talk_time, reason, .. } => {
            detail.talk_time = detail.talk_time.or(*talk_time);
            detail.provider_reason = detail.provider_reason.take().or_else(|| reason.clone());
        }
        CallEvent::Delivery { state, failure, code } => {
            set_earliest(placed_at, at);
            if let Some(message) = &mut detail.message
                && message
                    .delivery
                    .as_ref()
                    .is_none_or(|known| !known.state.is_final() && known.state < *state)
            {
                let (state, failure, code) = (*state, *failure, code.clone());
                message.delivery = Some(MessageDelivery { state, failure, code, at });
            }
        }
        CallEvent::Enriched { detail: new } => enrich(detail, new),
        CallEvent::Action { .. }
        | CallEvent::OptOut
        | CallEvent::Callback { .. }
        | CallEvent::CalledBack { .. }
        | CallEvent::Replied { .. }
        | CallEvent::Opened
        | CallEvent::Clicked { .. } => {}
    }
}

/// Sets the earlier of two instants.
pub(super) fn set_earliest(field: &mut Option<DateTime<Utc>>, at: DateTime<Utc>) {
    *field = Some(field.map_or(at, |known| known.min(at)));
}

/// Sets what `new` sets. Who answered, callbacks and effects have events of their own.
fn enrich(detail: &mut CallDetail, new: &CallDetail) {
    fn set<T: Clone>(field: &mut Option<T>, new: &Option<T>) {
        if new.is_some() {
            field.clone_from(new);
        }
    }
    set(&mut detail.talk_time, &new.talk_time);
    set(&mut detail.provider_reason, &new.provider_reason);
    set(&mut detail.cost, &new.cost);
    set(&mut detail.recording_url, &new.recording_url);
    set(&mut detail.transcript, &new.transcript);
    set(&mut detail.analysis, &new.analysis);
    set(&mut detail.response_time, &new.response_time);
}
