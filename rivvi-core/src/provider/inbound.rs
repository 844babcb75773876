//! Calls that come in.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::{CallId, CampaignId, ContactId, E164, OrgId, PersonFields, Personal, RunId};

/// A call that comes in and waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InboundCall {
    /// Who calls; `None` if the number is withheld or cannot be read.
    pub from: Option<E164>,
    /// The number that is called.
    pub to: E164,
    /// The provider's own id of the call, if it has one already.
    pub reference: Option<String>,
}

impl InboundCall {
    /// A call from one number to another.
    pub fn new(from: Option<E164>, to: E164) -> Self {
        Self { from, to, reference: None }
    }
}

/// Somebody who asked, in a call that came in and answers none of ours, not to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboundOptOut {
    /// Who called.
    pub from: E164,
    /// The number that was called.
    pub to: E164,
    /// When they said so.
    pub at: DateTime<Utc>,
}

/// Who answers an inbound call, and what they know. The default leaves everything to the provider.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct InboundAnswer {
    /// The agent that answers; the provider's own choice if absent.
    pub agent_id: Option<String>,
    /// The call, if it is known why the person calls.
    pub call: Option<AnsweredCall>,
    /// Who calls, if they are known.
    pub from: Option<E164>,
    /// What is known of the person.
    pub person: PersonFields,
    /// What the agent is told to say and to do, with the contact's variables filled in, if the campaign has a prompt.
    pub prompt: Option<Personal<String>>,
    /// Variables of the campaign and of the contact; the contact's win.
    pub variables: Personal<BTreeMap<String, String>>,
}

/// An inbound call and the outbound call it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnsweredCall {
    /// Our id of the inbound call.
    pub call_id: CallId,
    /// The outbound call it answers.
    pub callback_for: CallId,
    /// Whose call.
    pub org_id: OrgId,
    /// The campaign of the outbound call.
    pub campaign_id: CampaignId,
    /// The run of the outbound call.
    pub run_id: RunId,
    /// The contact that calls.
    pub contact_id: ContactId,
}
