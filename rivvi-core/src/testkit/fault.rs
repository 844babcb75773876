//! What can go wrong.

use crate::provider::{Delivery, ProviderErrorKind};

/// What can go wrong between a provider and its far side when a call is to be placed, or a message sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The credentials are refused, for instance 401.
    Unauthorized,
    /// The account is blocked or out of credit, for instance 402.
    AccountBlocked,
    /// The request is refused as invalid, for instance 400.
    InvalidRequest,
    /// The number is refused.
    InvalidNumber,
    /// The number is refused because it cannot receive text messages, for instance a landline.
    NoSms,
    /// The number is refused because its owner wants no messages.
    Unsubscribed,
    /// The far side asks to slow down and to wait for 7 seconds, for instance 429 with `Retry-After`.
    RateLimited,
    /// Nobody listens: the connection is refused, nothing is written.
    Unreachable,
    /// The far side fails, for instance 500, and does not say whether it did anything.
    ServerError,
    /// The far side takes the request and cuts the connection without an answer; the phone rings.
    CutAfterRequest,
    /// The far side does what is asked and answers with something that cannot be understood.
    GarbledAnswer,
    /// The far side closes the connection before it reads the request; the phone does not ring. Who asked cannot know that.
    CutBeforeRequest,
    /// The far side does what is asked and closes the connection in the middle of its answer.
    CutWithinAnswer,
    /// The far side does what is asked and never answers; the provider gives up by itself. Shorten its patience for the test.
    Silence,
    /// A proxy in front of the far side answers with a page in HTML, for instance 502; the phone does not ring.
    ErrorPage,
    /// The far side answers that the request is to be made elsewhere, for instance 307, which must not be followed.
    Redirected,
}

impl Fault {
    /// The error it must be told as: its kind and whether the request can have taken effect, where that is certain.
    pub(super) const fn told_as(self) -> (Option<ProviderErrorKind>, Option<Delivery>) {
        use ProviderErrorKind as Kind;
        match self {
            Self::Unauthorized => (Some(Kind::Unauthorized), Some(Delivery::NotSent)),
            Self::AccountBlocked => (Some(Kind::AccountBlocked), Some(Delivery::NotSent)),
            Self::InvalidRequest => (Some(Kind::InvalidRequest), Some(Delivery::NotSent)),
            Self::InvalidNumber => (Some(Kind::InvalidNumber), Some(Delivery::NotSent)),
            Self::NoSms => (Some(Kind::NoSms), Some(Delivery::NotSent)),
            Self::Unsubscribed => (Some(Kind::Unsubscribed), Some(Delivery::NotSent)),
            Self::RateLimited => (Some(Kind::RateLimited), Some(Delivery::NotSent)),
            Self::Unreachable => (Some(Kind::Unavailable), Some(Delivery::NotSent)),
            Self::ServerError => (Some(Kind::Unavailable), None),
            Self::CutAfterRequest => (None, Some(Delivery::Unknown)),
            Self::GarbledAnswer => (Some(Kind::Protocol), Some(Delivery::Unknown)),
            Self::CutBeforeRequest | Self::Redirected => (None, None),
            Self::CutWithinAnswer => (None, Some(Delivery::Unknown)),
            Self::Silence => (Some(Kind::Timeout), Some(Delivery::Unknown)),
            Self::ErrorPage => (Some(Kind::Unavailable), None),
        }
    }
}
