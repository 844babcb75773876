//! The trait of voice providers.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::action::ActionResult;
use super::error::{ProviderError, ProviderErrorKind};
use super::inbound::{InboundAnswer, InboundCall, InboundOptOut};
use super::update::CallUpdate;
use super::webhook::{WebhookError, WebhookRequest};
use crate::domain::{
    CallId, CallerId, CallsPerSecond, CampaignId, ContactId, E164, OrgId, PersonFields, Personal,
    ProviderName, RunId,
};
use crate::flow::Flow;

/// A vendor or switch that places calls.
///
/// Implementations are shared by every task of the engine. They never repeat [`place_call`](Self::place_call) by
/// themselves, and never put numbers, names or credentials into errors, logs or `Debug`.
/// `rivvi_core::testkit::voice` (feature `testkit`) checks an implementation against this text.
#[async_trait]
pub trait VoiceProvider: Debug + Send + Sync + 'static {
    /// The name it is registered under; the same for as long as its calls are remembered.
    fn name(&self) -> ProviderName;

    /// What it can do. The defaults promise nothing.
    fn capabilities(&self) -> VoiceCapabilities {
        VoiceCapabilities::default()
    }

    /// Called once before the first call. A provider that pushes events keeps `sink` and delivers to it.
    ///
    /// # Errors
    /// If the provider cannot be reached or refuses the credentials; the engine tries again later.
    async fn connect(&self, sink: Arc<dyn UpdateSink>) -> Result<(), ProviderError> {
        let _ = sink;
        Ok(())
    }

    /// Asks the provider to place a call.
    ///
    /// `Ok` means the provider has the call. With [`VoiceCapabilities::idempotent_placement`], a repetition with the
    /// same [`PlaceCall::call_id`] rings nobody again and is `Ok` too.
    ///
    /// # Errors
    /// [`Delivery::NotSent`](super::Delivery::NotSent) only if it is certain that nobody is or will be called. A
    /// timeout, a cut connection after the request was written, or an answer that is not understood is
    /// [`Delivery::Unknown`](super::Delivery::Unknown).
    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError>;

    /// Looks a call up.
    ///
    /// # Errors
    /// If the provider cannot be asked now, or has no lookup ([`ProviderErrorKind::Unsupported`]).
    async fn find_call(&self, query: &FindCall) -> Result<CallLookup, ProviderError> {
        let _ = query;
        Err(ProviderError::not_sent(&self.name(), "find_call", ProviderErrorKind::Unsupported))
    }

    /// Ends a call in whatever state it is, also one that waits in the provider's queue. A call that is over or not
    /// known is `Ok`. The end itself is told by an update.
    ///
    /// # Errors
    /// If the provider cannot be asked now, or cannot end calls ([`ProviderErrorKind::Unsupported`]).
    async fn hang_up(&self, query: &FindCall) -> Result<(), ProviderError> {
        let _ = query;
        Err(ProviderError::not_sent(&self.name(), "hang_up", ProviderErrorKind::Unsupported))
    }

    /// Hands the result of the action with this [`key`](super::CallEvent::Action) to the conversation that asked for it.
    /// It may come twice, and for a conversation that does not wait for it or is over: that changes nothing. A result that
    /// is lost is not told again.
    ///
    /// # Errors
    /// If it cannot be handed on now.
    async fn action_result(
        &self,
        call: &FindCall,
        key: &str,
        result: &ActionResult,
    ) -> Result<(), ProviderError> {
        let _ = (call, key, result);
        Ok(())
    }

    /// Verifies and reads a webhook: the signature first, over the raw body, then the content. Pure.
    ///
    /// Events that tell nothing about a call give an empty list.
    ///
    /// # Errors
    /// [`WebhookError`]; the host answers with [`WebhookError::status`].
    fn decode_webhook(
        &self,
        request: &WebhookRequest,
        now: DateTime<Utc>,
    ) -> Result<Vec<CallUpdate>, WebhookError> {
        let _ = (request, now);
        Err(WebhookError::Unsupported)
    }

    /// Reads from a webhook that [`decode_webhook`](Self::decode_webhook) has verified who asked not to be called in a call
    /// that came in and belongs to none of ours: the organization that was called suppresses the number. Pure.
    fn inbound_opt_out(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Option<InboundOptOut> {
        let _ = (request, now);
        None
    }

    /// Verifies and reads the webhook by which the vendor asks what to do about a call that comes in: the signature
    /// first, over the raw body, then the content. Pure.
    ///
    /// # Errors
    /// [`WebhookError`]; the host answers with [`WebhookError::status`].
    fn decode_inbound(
        &self,
        request: &WebhookRequest,
        now: DateTime<Utc>,
    ) -> Result<InboundCall, WebhookError> {
        let _ = (request, now);
        Err(WebhookError::Unsupported)
    }

    /// The vendor's form of the answer to that webhook. Whatever the vendor tells later of the call must lead
    /// [`decode_webhook`](Self::decode_webhook) to [`CallEvent::CalledBack`](super::CallEvent::CalledBack) with the ids of
    /// [`InboundAnswer::call`], or to nothing if there are none. Pure.
    fn encode_inbound(&self, answer: &InboundAnswer) -> http::Response<bytes::Bytes> {
        let _ = answer;
        let mut response = http::Response::new(bytes::Bytes::new());
        *response.status_mut() = http::StatusCode::NO_CONTENT;
        response
    }
}

/// What a voice provider can do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VoiceCapabilities {
    /// For how long a repeated `place_call` with the same id is recognized. `None`: a repetition is a second call.
    pub idempotent_placement: Option<Duration>,
    /// How calls can be looked up.
    pub lookup: Lookup,
    /// Whether calls can be ended.
    pub hang_up: bool,
    /// How fast it may be fed; the engine stays below.
    pub calls_per_second: Option<CallsPerSecond>,
    /// How long after a request a call may still come into being: a lookup that finds nothing is believed only
    /// after this time. Default 2 minutes.
    pub settles_after: Duration,
    /// How long a call may stay without news before it is looked up, beyond its longest duration. Default 5 minutes.
    pub silence_max: Duration,
}

impl Default for VoiceCapabilities {
    fn default() -> Self {
        Self {
            idempotent_placement: None,
            lookup: Lookup::None,
            hang_up: false,
            calls_per_second: None,
            settles_after: Duration::from_secs(120),
            silence_max: Duration::from_secs(300),
        }
    }
}

/// How calls can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Not at all.
    None,
    /// By the provider's own id, so only once the provider has answered.
    ByReference,
    /// By our id as well, so also when the answer was lost.
    ByCallId,
}

/// A call to be placed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PlaceCall {
    /// Our id of the call, to be passed as client reference and, where the provider has one, as idempotency key.
    pub call_id: CallId,
    /// Whose call.
    pub org_id: OrgId,
    /// For which campaign.
    pub campaign_id: CampaignId,
    /// For which run.
    pub run_id: RunId,
    /// To reach which contact.
    pub contact_id: ContactId,
    /// The number to call.
    pub to: E164,
    /// The number to show.
    pub from: CallerId,
    /// The agent that talks.
    pub agent_id: Option<String>,
    /// The flow that leads the conversation, if one does: as it was when the run was created.
    pub flow: Option<Arc<Flow>>,
    /// What the agent is told to say and to do, with the contact's variables filled in, if the campaign has a prompt.
    pub prompt: Option<Personal<String>>,
    /// What is known of the person.
    pub person: PersonFields,
    /// Variables of the campaign and of the contact; the contact's win.
    pub variables: Personal<Arc<BTreeMap<String, String>>>,
    /// How long to let it ring.
    pub ring_timeout: Duration,
    /// The longest the call may last.
    pub max_duration: Duration,
}

/// The provider's answer to an accepted call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlacedCall {
    /// The provider's own id of the call, if it gave one.
    pub reference: Option<String>,
}

/// Which call to look up or to end.
#[derive(Debug, Clone)]
pub struct FindCall {
    /// Our id.
    pub call_id: CallId,
    /// The provider's id, if known.
    pub reference: Option<String>,
    /// The number called.
    pub to: E164,
    /// When the intent was committed; the call cannot be older.
    pub intended_at: DateTime<Utc>,
}

/// What a lookup found.
#[derive(Debug, Clone, PartialEq)]
pub enum CallLookup {
    /// The provider knows the call; everything it can tell about it now.
    Found(Vec<CallUpdate>),
    /// The provider does not know the call.
    NotFound,
}

/// Where a provider that pushes delivers its updates.
#[async_trait]
pub trait UpdateSink: Debug + Send + Sync + 'static {
    /// Delivers updates; they are stored when this returns `Ok`.
    ///
    /// # Errors
    /// If the store is away: deliver them again later.
    async fn deliver(&self, updates: Vec<CallUpdate>) -> Result<(), crate::storage::StorageError>;
}
