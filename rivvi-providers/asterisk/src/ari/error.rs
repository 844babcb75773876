//! What can go wrong with a request to Asterisk.

use std::time::Duration;

use http::StatusCode;
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{ProviderError, ProviderErrorKind};

/// A request that did not go well. Its texts hold neither address nor content of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AriError {
    /// Nobody listens: nothing was written.
    #[error("the server cannot be reached")]
    Unreachable,
    /// The answer was lost: the request may have taken effect.
    #[error("the connection was lost before the answer came")]
    Lost,
    /// No answer in time: the request may have taken effect.
    #[error("no answer in time")]
    Timeout,
    /// The server said no.
    #[error("the server answered {status}")]
    Refused {
        status: StatusCode,
        /// Asterisk could not make the channel: the endpoint is not there, or cannot be used now.
        allocation: bool,
        retry_after: Option<Duration>,
    },
    /// The answer could not be understood.
    #[error("the answer could not be understood")]
    Garbled,
}

impl AriError {
    pub(crate) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// What it means for a request of an operation.
    ///
    /// Proved by observation: 4xx and a failed allocation made no channel. Any other 5xx proves nothing.
    pub(crate) fn told_as(self, provider: &ProviderName, operation: &'static str) -> ProviderError {
        use ProviderErrorKind as Kind;
        let not_sent = |kind| ProviderError::not_sent(provider, operation, kind);
        let unknown = |kind| ProviderError::unknown(provider, operation, kind);
        let error = match &self {
            Self::Unreachable => not_sent(Kind::Unavailable),
            Self::Lost => unknown(Kind::Unavailable),
            Self::Timeout => unknown(Kind::Timeout),
            Self::Garbled => unknown(Kind::Protocol),
            Self::Refused { status, allocation, retry_after } => match status.as_u16() {
                401 | 403 => not_sent(Kind::Unauthorized),
                429 | 503 => not_sent(Kind::RateLimited).with_retry_after(*retry_after),
                400..=499 => not_sent(Kind::InvalidRequest),
                _ if *allocation => not_sent(Kind::Unavailable),
                500..=599 => unknown(Kind::Unavailable),
                _ => unknown(Kind::Protocol),
            },
        };
        error.with_source(self)
    }
}
