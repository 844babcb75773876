//! What the journal records.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::call::ProviderName;
use super::contact::Exclusion;
use super::disposition::{Disposition, Outcome};
use super::ids::{CallId, CampaignId, ContactId, OrgId, RunId};
use super::message::{DeliveryFailure, DeliveryState, Medium};
use super::run::{Ending, RunState};
use super::suppression::Suppression;
use crate::policy::retry::RetryCause;
use crate::provider::Answerer;

/// One entry of the journal: something that happened, written in the same transaction as the state it describes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Whose organization.
    pub org_id: OrgId,
    /// What it happened to.
    pub aggregate: Aggregate,
    /// The place of the entry among those of its aggregate, counted from 1 without gaps.
    pub sequence: u64,
    /// When, by the clock of the node that wrote it.
    pub at: DateTime<Utc>,
    /// What happened.
    pub event: Event,
}

/// What an entry belongs to. A call belongs to its contact, with which it always changes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "id")]
#[non_exhaustive]
pub enum Aggregate {
    /// An organization, with its suppression list.
    Organization(OrgId),
    /// A campaign.
    Campaign(CampaignId),
    /// A run.
    Run(RunId),
    /// A contact, with its calls.
    Contact(ContactId),
}

impl Aggregate {
    /// The kind, in one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Organization(_) => "organization",
            Self::Campaign(_) => "campaign",
            Self::Run(_) => "run",
            Self::Contact(_) => "contact",
        }
    }

    /// The id as a bare UUID.
    pub const fn uuid(&self) -> uuid::Uuid {
        match self {
            Self::Organization(id) => id.as_uuid(),
            Self::Campaign(id) => id.as_uuid(),
            Self::Run(id) => id.as_uuid(),
            Self::Contact(id) => id.as_uuid(),
        }
    }
}

/// What happened. Reasons are words of the domain, never texts with personal data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
#[non_exhaustive]
pub enum Event {
    /// A run was created.
    RunCreated,
    /// A run went from one state to another, or is scheduled for another instant.
    RunChanged {
        /// The state before.
        from: RunState,
        /// The state now.
        to: RunState,
        /// Why it is ending, if it is.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        ending: Option<Ending>,
        /// Why, in a few words.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        reason: Option<String>,
    },
    /// A row became a contact.
    ContactImported {
        /// The row of the sheet.
        row: u64,
    },
    /// A contact cannot be called now and waits.
    ContactDeferred {
        /// Until when.
        until: DateTime<Utc>,
        /// The rule that decided.
        rule: Cow<'static, str>,
        /// Its finding.
        reason: Cow<'static, str>,
    },
    /// A call is about to be placed: every rule allowed it at this instant.
    CallIntended {
        /// The call.
        call_id: CallId,
        /// Which attempt.
        attempt: u32,
        /// The end of the legal interval.
        legal_until: DateTime<Utc>,
        /// By what.
        #[serde(skip_serializing_if = "is_voice", default)]
        medium: Medium,
    },
    /// The provider accepted the call.
    CallPlaced {
        /// The call.
        call_id: CallId,
        /// Which provider.
        provider: ProviderName,
    },
    /// The provider was asked and its answer was lost.
    CallUnknown {
        /// The call.
        call_id: CallId,
        /// What is known, in a few words.
        reason: String,
    },
    /// The provider, which recognizes a repetition, is asked again for the same call.
    CallRepeated {
        /// The call.
        call_id: CallId,
    },
    /// The phone rings.
    CallRinging {
        /// The call.
        call_id: CallId,
    },
    /// Someone or something answered.
    CallAnswered {
        /// The call.
        call_id: CallId,
        /// Who or what, as far as is known.
        by: Answerer,
    },
    /// The callee or the agent asked for an action of the host.
    ActionRequested {
        /// The call.
        call_id: CallId,
        /// The name of the action.
        action: String,
    },
    /// The callee does not want to be contacted again.
    OptedOut {
        /// The call in which they said so.
        call_id: CallId,
    },
    /// The callee wants to be called again.
    CallbackRequested {
        /// The call in which they said so.
        call_id: CallId,
        /// When.
        at: DateTime<Utc>,
    },
    /// The call ended.
    CallEnded {
        /// The call.
        call_id: CallId,
        /// How.
        disposition: Disposition,
        /// The provider's own word for it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        provider_reason: Option<String>,
    },
    /// More became known about the call, without another effect: analysis, recording, cost, who answered, when it was
    /// placed.
    CallEnriched {
        /// The call.
        call_id: CallId,
    },
    /// More became known about the fate of a message.
    MessageDelivery {
        /// The message.
        call_id: CallId,
        /// Where it is.
        state: DeliveryState,
        /// Why it did not arrive, if it did not.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        failure: Option<DeliveryFailure>,
        /// The provider's own code for that.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        code: Option<String>,
    },
    /// The contact answered a message.
    MessageReplied {
        /// The message.
        call_id: CallId,
    },
    /// A link of a message was followed, or the message was seen to be opened.
    MessageOpened {
        /// The message.
        call_id: CallId,
    },
    /// A follow-up begins at an instant at the earliest.
    FollowUpPlanned {
        /// Its name.
        step: String,
        /// When.
        at: DateTime<Utc>,
    },
    /// A follow-up could not take place.
    FollowUpSkipped {
        /// Its name.
        step: String,
        /// The rule that decided.
        rule: Cow<'static, str>,
        /// Its finding.
        reason: Cow<'static, str>,
    },
    /// The contact calls back.
    CalledBack {
        /// The call it answers.
        call_id: CallId,
        /// The inbound call.
        inbound_id: CallId,
    },
    /// The call in which the contact called back ended.
    InboundEnded {
        /// The inbound call.
        call_id: CallId,
        /// How.
        disposition: Disposition,
        /// The provider's own word for it.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        provider_reason: Option<String>,
    },
    /// The contact will be called again.
    RetryPlanned {
        /// When.
        at: DateTime<Utc>,
        /// After what. `None` after a call that was not placed, or for a callback.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        cause: Option<RetryCause>,
        /// Which retry of that cause, counted from 1.
        number: u32,
    },
    /// The contact has its outcome.
    ContactSettled {
        /// The outcome.
        outcome: Outcome,
        /// The reason, if it was excluded.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        exclusion: Option<Exclusion>,
        /// The rule that decided.
        rule: Cow<'static, str>,
        /// Its finding.
        reason: Cow<'static, str>,
    },
    /// A campaign got a version.
    CampaignRevised {
        /// The version.
        version: u32,
        /// Who did it, as the host calls them.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: Option<String>,
        /// The [digest](super::Prompt::digest) of its prompt, if it has one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        prompt: Option<String>,
        /// Whether the prompt is another one than that of the version before.
        prompt_changed: bool,
    },
    /// A number was added to the suppression list.
    NumberSuppressed {
        /// The entry.
        suppression: Suppression,
    },
    /// A number was taken off the suppression list.
    NumberReleased {
        /// The number.
        number: super::phone::E164,
    },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_voice(medium: &Medium) -> bool {
    *medium == Medium::Voice
}

impl Event {
    /// The type of the event as it stands in the serialized form.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunCreated => "run_created",
            Self::RunChanged { .. } => "run_changed",
            Self::ContactImported { .. } => "contact_imported",
            Self::ContactDeferred { .. } => "contact_deferred",
            Self::CallIntended { .. } => "call_intended",
            Self::CallPlaced { .. } => "call_placed",
            Self::CallUnknown { .. } => "call_unknown",
            Self::CallRepeated { .. } => "call_repeated",
            Self::CallRinging { .. } => "call_ringing",
            Self::CallAnswered { .. } => "call_answered",
            Self::ActionRequested { .. } => "action_requested",
            Self::OptedOut { .. } => "opted_out",
            Self::CallbackRequested { .. } => "callback_requested",
            Self::CallEnded { .. } => "call_ended",
            Self::CallEnriched { .. } => "call_enriched",
            Self::MessageDelivery { .. } => "message_delivery",
            Self::MessageReplied { .. } => "message_replied",
            Self::MessageOpened { .. } => "message_opened",
            Self::FollowUpPlanned { .. } => "follow_up_planned",
            Self::FollowUpSkipped { .. } => "follow_up_skipped",
            Self::CalledBack { .. } => "called_back",
            Self::InboundEnded { .. } => "inbound_ended",
            Self::RetryPlanned { .. } => "retry_planned",
            Self::ContactSettled { .. } => "contact_settled",
            Self::CampaignRevised { .. } => "campaign_revised",
            Self::NumberSuppressed { .. } => "number_suppressed",
            Self::NumberReleased { .. } => "number_released",
        }
    }
}
