//! What we have Retell keep with a call, and repeat in everything it tells of it.

use rivvi_core::domain::{CallId, CampaignId, ContactId, OrgId, ProviderName, RunId};
use rivvi_core::provider::{AnsweredCall, CallEvent, CallRef, InboundRef, PlaceCall};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Our ids in the metadata of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) call_id: CallId,
    pub(crate) run_id: RunId,
    /// The contact.
    pub(crate) row_id: ContactId,
    pub(crate) org_id: OrgId,
    pub(crate) campaign_id: CampaignId,
    /// The outbound call that an inbound one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) callback_for: Option<CallId>,
}

impl Metadata {
    pub(crate) fn of_placed(request: &PlaceCall) -> Self {
        Self {
            call_id: request.call_id,
            run_id: request.run_id,
            row_id: request.contact_id,
            org_id: request.org_id,
            campaign_id: request.campaign_id,
            callback_for: None,
        }
    }

    pub(crate) fn of_answered(call: &AnsweredCall) -> Self {
        Self {
            call_id: call.call_id,
            run_id: call.run_id,
            row_id: call.contact_id,
            org_id: call.org_id,
            campaign_id: call.campaign_id,
            callback_for: Some(call.callback_for),
        }
    }

    /// Ours, if it is ours.
    pub(crate) fn read(metadata: Option<&Value>) -> Option<Self> {
        Self::deserialize(metadata?).ok()
    }
}

/// Which call a picture is about, and how its events are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An outbound call.
    Outbound(CallRef),
    /// An inbound call, and the outbound one it answers.
    Inbound(CallId, InboundRef),
    /// A call that is none of ours.
    Stranger,
}

impl Subject {
    /// By our ids, which every call that we placed or answered for has in its metadata.
    pub(crate) fn of(provider: &ProviderName, inbound: bool, metadata: Option<&Value>) -> Self {
        match Metadata::read(metadata) {
            Some(Metadata { call_id, run_id, callback_for: Some(outbound), .. }) => {
                Self::Inbound(outbound, InboundRef { call_id, run_id, provider: provider.clone() })
            }
            _ if inbound => Self::Stranger,
            Some(ours) => Self::Outbound(CallRef::Id(ours.call_id)),
            None => Self::Stranger,
        }
    }

    /// The event as it is told of the call that the engine knows.
    pub(crate) fn tell(&self, event: CallEvent) -> Option<(CallRef, CallEvent)> {
        match self {
            Self::Outbound(call) => Some((call.clone(), event)),
            Self::Inbound(outbound, inbound) => {
                let event = CallEvent::CalledBack { inbound: inbound.clone(), event: Box::new(event) };
                Some((CallRef::Id(*outbound), event))
            }
            Self::Stranger => None,
        }
    }
}
