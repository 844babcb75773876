//! What a vendor tells of a message, as updates.

use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallDetail, CallId, DeliveryFailure, DeliveryState, Money, ProviderName};
use rivvi_core::provider::{CallEvent, CallRef, CallUpdate};

/// Everything that is told of one message at once.
#[derive(Debug)]
pub(crate) struct Receipt {
    /// Our id, if it came back.
    pub(crate) id: Option<CallId>,
    /// The vendor's id.
    pub(crate) reference: Option<String>,
    pub(crate) at: DateTime<Utc>,
    /// What became of it, if that is told in a word we know.
    pub(crate) fate: Option<Fate>,
    pub(crate) cost: Option<Money>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) state: DeliveryState,
    pub(crate) failure: Option<DeliveryFailure>,
    pub(crate) code: Option<String>,
}

impl Fate {
    pub(crate) fn of(state: DeliveryState) -> Self {
        Self { state, failure: None, code: None }
    }
}

impl Receipt {
    /// The receipt as updates about the message: that it was accepted, what became of it, and its cost. Nothing if nobody
    /// can tell which message it is.
    pub(crate) fn updates(self, provider: &ProviderName) -> Vec<CallUpdate> {
        let Self { id, reference, at, fate, cost } = self;
        let call = match (id, &reference) {
            (Some(id), _) => CallRef::Id(id),
            (None, Some(reference)) => {
                CallRef::Provider { provider: provider.clone(), reference: reference.clone() }
            }
            (None, None) => return Vec::new(),
        };
        let accepted = CallEvent::Accepted { reference };
        let fate = fate.map(|Fate { state, failure, code }| CallEvent::Delivery { state, failure, code });
        let cost = cost.map(|cost| {
            let mut detail = Box::<CallDetail>::default();
            detail.cost = Some(cost);
            CallEvent::Enriched { detail }
        });
        let events = std::iter::once(accepted).chain(fate).chain(cost);
        events.map(|event| CallUpdate { call: call.clone(), at, event }).collect()
    }
}
