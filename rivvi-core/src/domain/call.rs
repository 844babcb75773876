//! One attempt to reach a contact.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::campaign::CampaignDefinition;
use super::disposition::Disposition;
use super::ids::{CallId, ContactId, NodeId, OrgId, RunId};
use super::message::{Medium, Message};
use super::organization::CallerId;
use super::personal::Personal;
use super::phone::E164;
use crate::provider::Answerer;

/// One attempt to reach a contact, by voice or by [message](CallDetail::message), or a call in which a contact called
/// back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Call {
    /// Its id, which the provider gets as client reference.
    pub id: CallId,
    /// Whose call.
    pub org_id: OrgId,
    /// The run it was made for.
    pub run_id: RunId,
    /// The contact it tries to reach.
    pub contact_id: ContactId,
    /// Who called whom.
    #[serde(default, skip_serializing_if = "Direction::is_outbound")]
    pub direction: Direction,
    /// The outbound call that an inbound one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_for: Option<CallId>,
    /// The contact's number: the number called, or from which an inbound call came.
    pub number: E164,
    /// The organization's number: the number shown, or that an inbound call came to.
    pub caller_id: CallerId,
    /// Which attempt at this contact, counted from 1; for an inbound call that of the call it answers.
    pub attempt: u32,
    /// The provider asked, or to be asked.
    pub provider: ProviderName,
    /// The provider's own id of the call, once known.
    pub provider_ref: Option<String>,
    /// Where it stands.
    pub state: CallState,
    /// Who may ask the provider to place it.
    pub lease: Lease,
    /// When the reconciler looks after it if nothing happens before; `None` once it has ended.
    pub check_at: Option<DateTime<Utc>>,
    /// The end of the legal interval it was allowed in: it is not placed at or after this instant, and a call that
    /// still waits at the provider then is cancelled.
    pub dial_before: DateTime<Utc>,
    /// When the intent was committed.
    pub intended_at: DateTime<Utc>,
    /// When the provider was asked last, at the latest: the intent, or the repetition of a request whose answer was
    /// lost.
    pub asked_at: DateTime<Utc>,
    /// When the provider accepted it, as far as is known: the earliest that it told of.
    pub placed_at: Option<DateTime<Utc>>,
    /// When someone or something answered: the earliest that the provider told of.
    pub answered_at: Option<DateTime<Utc>>,
    /// When it ended, by the provider's telling; when it was found to be over, if the provider did not tell.
    pub ended_at: Option<DateTime<Utc>>,
    /// What came of it beside the disposition; may still grow after the end.
    pub detail: CallDetail,
}

impl Call {
    /// How it ended, if it has.
    pub fn disposition(&self) -> Option<Disposition> {
        match self.state {
            CallState::Ended { disposition } => Some(disposition),
            _ => None,
        }
    }

    /// By what it tries to reach the contact.
    pub fn medium(&self) -> Medium {
        self.detail.message.as_ref().map_or(Medium::Voice, |message| message.medium)
    }

    /// The name of the follow-up it belongs to.
    pub fn step<'a>(&self, definition: &'a CampaignDefinition) -> Option<&'a str> {
        let step = definition.follow_up.get(usize::from(self.detail.step?))?;
        Some(&step.name)
    }

    /// Whether it holds a slot: everything that has not ended.
    pub fn is_live(&self) -> bool {
        !matches!(self.state, CallState::Ended { .. })
    }
}

/// Who called whom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// We called the contact.
    #[default]
    Outbound,
    /// The contact called us.
    Inbound,
}

impl Direction {
    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
    fn is_outbound(&self) -> bool {
        *self == Self::Outbound
    }
}

/// The states of a call, in the order they are passed through. States may be left out; none is entered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
#[non_exhaustive]
pub enum CallState {
    /// Committed, not yet confirmed by the provider.
    Intended,
    /// The provider was asked and its answer was lost; it is being looked for.
    Unknown,
    /// The provider accepted it.
    Placed,
    /// The callee's phone rings.
    Ringing,
    /// Someone or something answered.
    Answered,
    /// Over.
    Ended {
        /// How.
        disposition: Disposition,
    },
}

impl CallState {
    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Unknown => "unknown",
            Self::Placed => "placed",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Ended { .. } => "ended",
        }
    }
}

/// The right to ask the provider to place a call: held by one node until an instant, told apart by a token that
/// grows with every holder, so that a holder who was paused too long is fenced out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The holder.
    pub node: NodeId,
    /// Grows with every new holder.
    pub token: u64,
    /// When it lapses (exclusive).
    pub until: DateTime<Utc>,
}

impl Lease {
    /// The token of the node that intended the call. Whoever takes the call over gets a greater one.
    pub const FIRST_TOKEN: u64 = 1;

    /// Whether nobody has taken the call over since it was intended, so that nobody else can have asked for it.
    pub const fn is_first(&self) -> bool {
        self.token == Self::FIRST_TOKEN
    }
}

/// What came of a call beside its disposition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CallDetail {
    /// The message, if the attempt is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Box<Message>>,
    /// The follow-up it belongs to, by its place in the campaign; the campaign's own attempts if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u8>,
    /// From answer to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub talk_time: Option<Duration>,
    /// Who or what answered, as far as is known. A machine once recognized is not taken for a human again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<Answerer>,
    /// When the callee asked to be called again: the latest wish.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_at: Option<DateTime<Utc>>,
    /// When the callee said so, by the provider's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback_told_at: Option<DateTime<Utc>>,
    /// The provider's own word for how it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_reason: Option<String>,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// Where the recording lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording_url: Option<Personal<String>>,
    /// What was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<Personal<String>>,
    /// What an analysis of the call found, as the provider tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Personal<serde_json::Value>>,
    /// How long the callee waited for the agent's answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_time: Option<ResponseTime>,
    /// The calls in which the contact called back because of this one, in the order in which they were heard of. Each
    /// becomes a call of its own in the archive.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub called_back: Vec<Call>,
    /// Keys of the events with side effects that were applied, so that each takes effect once; in ascending order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<String>,
}

/// How long the callee waited for the agent's answers, in milliseconds, over the answers of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseTime {
    /// Half of the answers took no longer.
    pub p50_ms: u32,
    /// Nine of ten answers took no longer.
    pub p90_ms: u32,
    /// All but one in a hundred took no longer.
    pub p99_ms: u32,
    /// The longest.
    pub max_ms: u32,
    /// How many answers there were.
    pub answers: u32,
}

/// An amount of money in millionths of its currency's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Millionths of a unit.
    pub micros: i64,
    /// ISO 4217 code.
    pub currency: Currency,
}

/// An ISO 4217 currency code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// United States dollar.
    pub const USD: Self = Self(*b"USD");

    /// The currency with this code of three letters.
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Self(bytes))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Currency {
    type Error = &'static str;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        Self::new(&code).ok_or("expected an ISO 4217 code such as \"USD\"")
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.to_string()
    }
}

/// The name a provider is registered under, for instance `retell`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProviderName(std::sync::Arc<str>);

impl ProviderName {
    /// The provider called `name`.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ProviderName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}
