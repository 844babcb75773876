//! What can go wrong at a provider, and whether it is safe to try again.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::domain::ProviderName;

/// A failed request to a provider.
///
/// Whether a request may be repeated is told by [`delivery`](Self::delivery) alone, never by the kind.
#[derive(Debug)]
pub struct ProviderError {
    /// What went wrong.
    pub kind: ProviderErrorKind,
    /// Whether the request can have taken effect.
    pub delivery: Delivery,
    /// How long the provider asked us to wait.
    pub retry_after: Option<Duration>,
    /// Which provider.
    pub provider: ProviderName,
    /// What was asked, for instance `place_call`.
    pub operation: &'static str,
    /// The cause, without secrets or personal data.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ProviderError {
    /// An error of which it is proved that the request had no effect.
    pub fn not_sent(provider: &ProviderName, operation: &'static str, kind: ProviderErrorKind) -> Self {
        let delivery = Delivery::NotSent;
        Self { kind, delivery, retry_after: None, provider: provider.clone(), operation, source: None }
    }

    /// An error after which the request may have had its effect.
    pub fn unknown(provider: &ProviderName, operation: &'static str, kind: ProviderErrorKind) -> Self {
        let delivery = Delivery::Unknown;
        Self { kind, delivery, retry_after: None, provider: provider.clone(), operation, source: None }
    }

    /// The same error with the wait the provider asked for; more than a day counts as a day.
    #[must_use]
    pub fn with_retry_after(self, wait: Option<Duration>) -> Self {
        Self { retry_after: wait.map(|wait| wait.min(RETRY_AFTER_MAX)), ..self }
    }

    /// The same error with its cause, which must be free of secrets and personal data.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Whether the request may be repeated, here or at another provider.
    pub fn may_repeat(&self) -> bool {
        self.delivery == Delivery::NotSent
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, provider, operation, .. } = self;
        write!(f, "{provider}: {operation} failed: {kind}")?;
        if self.delivery == Delivery::Unknown {
            f.write_str("; it may have taken effect")?;
        }
        if let Some(wait) = self.retry_after {
            write!(f, "; try again after {}", humantime::format_duration(wait))?;
        }
        Ok(())
    }
}

impl Error for ProviderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// The longest wait that a provider may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether a failed request can have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Proved not to have taken effect: refused, or never written to the wire.
    NotSent,
    /// It may have taken effect.
    Unknown,
}

/// What went wrong at a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProviderErrorKind {
    /// The credentials were refused. The run is paused.
    Unauthorized,
    /// The account is blocked or out of credit. The run is paused.
    AccountBlocked,
    /// The request makes no sense to the provider, for instance an unknown agent. The run is paused.
    InvalidRequest,
    /// The number cannot be called. The contact is excluded.
    InvalidNumber,
    /// The number cannot receive text messages: a landline, or a phone without them.
    NoSms,
    /// The recipient wants no messages of this sender. The number is suppressed.
    Unsubscribed,
    /// Too many requests or calls. The pace slows down.
    RateLimited,
    /// The provider is down or cannot be reached.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// The answer could not be understood.
    Protocol,
    /// The provider cannot do that.
    Unsupported,
}

impl ProviderErrorKind {
    /// Whether every further call would fail the same way until a person acts.
    pub const fn needs_a_person(self) -> bool {
        matches!(self, Self::Unauthorized | Self::AccountBlocked | Self::InvalidRequest)
    }

    /// The name used in the journal and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::AccountBlocked => "account_blocked",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidNumber => "invalid_number",
            Self::NoSms => "no_sms",
            Self::Unsubscribed => "unsubscribed",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Unsupported => "unsupported",
        }
    }
}

impl fmt::Display for ProviderErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unauthorized => "the credentials were refused",
            Self::AccountBlocked => "the account is blocked or out of credit",
            Self::InvalidRequest => "the request was refused as invalid",
            Self::InvalidNumber => "the number cannot be called",
            Self::NoSms => "the number cannot receive text messages",
            Self::Unsubscribed => "the recipient wants no messages",
            Self::RateLimited => "too many requests",
            Self::Unavailable => "the provider is unavailable",
            Self::Timeout => "no answer in time",
            Self::Protocol => "the answer could not be understood",
            Self::Unsupported => "the provider does not support it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_waits_count_as_a_day() {
        let wait = |asked| {
            let provider = ProviderName::new("vendor");
            let error = ProviderError::not_sent(&provider, "place_call", ProviderErrorKind::RateLimited);
            error.with_retry_after(asked).retry_after
        };
        assert_eq!(wait(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(wait(Some(Duration::from_secs(u64::MAX))), Some(RETRY_AFTER_MAX));
        assert_eq!(wait(None), None);
    }
}
