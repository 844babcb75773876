//! The trait of providers of text messages.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::error::{ProviderError, ProviderErrorKind};
use super::update::CallUpdate;
use super::voice::Lookup;
use super::webhook::{WebhookError, WebhookRequest};
use crate::domain::{
    CallId, CallsPerSecond, CampaignId, ContactId, E164, Money, OrgId, Personal, ProviderName, RunId, Sender,
};

/// A vendor or gateway that sends text messages.
///
/// Implementations are shared by every task of the engine. They never repeat [`send_sms`](Self::send_sms) by themselves,
/// and never put numbers, texts or credentials into errors, logs or `Debug`. `rivvi_core::testkit::sms` (feature `testkit`)
/// checks an implementation against this text.
#[async_trait]
pub trait SmsProvider: Debug + Send + Sync + 'static {
    /// The name it is registered under; the same for as long as its messages are remembered.
    fn name(&self) -> ProviderName;

    /// What it can do. The defaults promise nothing.
    fn capabilities(&self) -> SmsCapabilities {
        SmsCapabilities::default()
    }

    /// Hands a message to the provider.
    ///
    /// `Ok` means the provider has the message. With [`SmsCapabilities::idempotent_sending`], a repetition with the same
    /// [`SendSms::message_id`] sends nothing again and is `Ok` too.
    ///
    /// # Errors
    /// [`Delivery::NotSent`](super::Delivery::NotSent) only if it is certain that nothing is or will be sent. A timeout, a
    /// cut connection after the request was written, or an answer that is not understood is
    /// [`Delivery::Unknown`](super::Delivery::Unknown). A number that cannot receive messages is
    /// [`NoSms`](ProviderErrorKind::NoSms), a recipient who wants none is [`Unsubscribed`](ProviderErrorKind::Unsubscribed).
    async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError>;

    /// Looks a message up.
    ///
    /// # Errors
    /// If the provider cannot be asked now, or has no lookup ([`ProviderErrorKind::Unsupported`]).
    async fn find_sms(&self, query: &FindSms) -> Result<SmsLookup, ProviderError> {
        let _ = query;
        Err(ProviderError::not_sent(&self.name(), "find_sms", ProviderErrorKind::Unsupported))
    }

    /// Verifies and reads a webhook, a delivery receipt or a message that came in: the signature first, over the raw body,
    /// then the content. Pure.
    ///
    /// # Errors
    /// [`WebhookError`]; the host answers with [`WebhookError::status`].
    fn decode_webhook(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Result<SmsNews, WebhookError> {
        let _ = (request, now);
        Err(WebhookError::Unsupported)
    }

    /// What the vendor wants to be answered when its webhook was taken: 204 without a body by default. Pure.
    fn acknowledge(&self) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::new());
        *response.status_mut() = http::StatusCode::NO_CONTENT;
        response
    }
}

/// What a provider of text messages can do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SmsCapabilities {
    /// For how long a repeated `send_sms` with the same id is recognized. `None`: a repetition is a second message.
    pub idempotent_sending: Option<Duration>,
    /// How messages can be looked up.
    pub lookup: Lookup,
    /// Whether it tells, by webhook or lookup, what became of a message. If not, a message that was accepted counts as
    /// delivered.
    pub receipts: bool,
    /// How fast it may be fed by all senders together; the engine stays below.
    pub messages_per_second: Option<CallsPerSecond>,
    /// How fast it may be fed by one sender.
    pub sender_messages_per_second: Option<CallsPerSecond>,
    /// How long after a request a message may still come into being: a lookup that finds nothing is believed only after this
    /// time. Default 2 minutes.
    pub settles_after: Duration,
}

impl Default for SmsCapabilities {
    fn default() -> Self {
        Self {
            idempotent_sending: None,
            lookup: Lookup::None,
            receipts: false,
            messages_per_second: None,
            sender_messages_per_second: None,
            settles_after: Duration::from_secs(120),
        }
    }
}

/// A text message to be sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SendSms {
    /// Our id of the message, to be passed as client reference and, where the provider has one, as idempotency key.
    pub message_id: CallId,
    /// Whose message.
    pub org_id: OrgId,
    /// For which campaign.
    pub campaign_id: CampaignId,
    /// For which run.
    pub run_id: RunId,
    /// To reach which contact.
    pub contact_id: ContactId,
    /// The number it goes to.
    pub to: E164,
    /// Who it comes from.
    pub from: Sender,
    /// What it says.
    pub text: Personal<String>,
    /// How long the network may try to deliver it.
    pub valid_for: Duration,
}

impl SendSms {
    /// A message outside any campaign, for trying out a provider and for tests.
    pub fn new(message_id: CallId, to: E164, from: Sender, text: impl Into<String>) -> Self {
        let none = uuid::Uuid::nil();
        Self {
            message_id,
            org_id: OrgId::from_uuid(none),
            campaign_id: CampaignId::from_uuid(none),
            run_id: RunId::from_uuid(none),
            contact_id: ContactId::from_uuid(none),
            to,
            from,
            text: Personal::new(text.into()),
            valid_for: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// The provider's answer to an accepted message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentSms {
    /// The provider's own id of the message, if it gave one. Of a message in several parts with an id each, the first.
    pub reference: Option<String>,
    /// What it cost, if that is told already.
    pub cost: Option<Money>,
}

/// Which message to look up.
#[derive(Debug, Clone)]
pub struct FindSms {
    /// Our id.
    pub message_id: CallId,
    /// The provider's id, if known.
    pub reference: Option<String>,
    /// The number it went to.
    pub to: E164,
    /// When the intent was committed; the message cannot be older.
    pub intended_at: DateTime<Utc>,
}

/// What a lookup found.
#[derive(Debug, Clone, PartialEq)]
pub enum SmsLookup {
    /// The provider knows the message; everything it can tell about it now:
    /// [`Accepted`](super::CallEvent::Accepted), [`Delivery`](super::CallEvent::Delivery), cost by
    /// [`Enriched`](super::CallEvent::Enriched).
    Found(Vec<CallUpdate>),
    /// The provider does not know the message.
    NotFound,
}

/// What a webhook of a provider of text messages tells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SmsNews {
    /// About messages of ours: receipts, cost.
    pub updates: Vec<CallUpdate>,
    /// Messages that came in.
    pub inbound: Vec<InboundSms>,
}

/// A message that came in.
#[derive(Debug, Clone, PartialEq)]
pub struct InboundSms {
    /// The provider's id of it: the same message takes effect once.
    pub id: String,
    /// Who wrote; `None` if the sender is no number, so that nobody can be matched.
    pub from: Option<E164>,
    /// To which of our numbers or short codes.
    pub to: Sender,
    /// What it says, with the parts of a long message put together.
    pub text: Personal<String>,
    /// When, by the provider's clock.
    pub at: DateTime<Utc>,
    /// The vendor itself recognized it as a wish for no more messages, and may have confirmed it.
    pub is_opt_out: bool,
}
