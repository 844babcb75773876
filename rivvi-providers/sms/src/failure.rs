//! What went wrong, and whether a message can have gone out all the same.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use rivvi_core::domain::{DeliveryFailure, ProviderName};
use rivvi_core::provider::{Delivery, ProviderError, ProviderErrorKind};

use crate::client::header;

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection came about, so nothing was written.
    NoConnection,
    /// The request could not be made at all.
    NoRequest,
    /// No whole answer in time.
    TimedOut,
    /// The connection broke after the request was, or may have been, written.
    Cut,
    /// An answer that says yes in a form that cannot be understood.
    Unreadable,
    /// An answer that does not say yes.
    Refused(Refusal),
}

/// An answer that does not say yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) kind: ProviderErrorKind,
    pub(crate) delivery: Delivery,
    /// The status of HTTP.
    pub(crate) status: u16,
    /// The vendor's own code, of its table.
    pub(crate) code: Option<String>,
    /// How long the vendor asks to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// What a status means by itself.
    pub(crate) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        let (kind, delivery) = judge(status);
        Self { kind, delivery, status, code: None, retry_after }
    }

    /// The same refusal, of which the vendor's code says more: nothing is sent.
    pub(crate) fn with_code(self, code: impl fmt::Display, kind: ProviderErrorKind) -> Self {
        Self { kind, delivery: Delivery::NotSent, code: Some(code.to_string()), ..self }
    }
}

/// What a status means for a request that takes effect once.
///
/// A refusal is certain where HTTP has it before anything happens. Everything else may have taken effect: an error of the
/// server, a status that nobody documents, a redirection.
fn judge(status: u16) -> (ProviderErrorKind, Delivery) {
    use Delivery::{NotSent, Unknown};
    use ProviderErrorKind as Kind;
    match status {
        401 | 403 => (Kind::Unauthorized, NotSent),
        402 => (Kind::AccountBlocked, NotSent),
        400 | 404 | 405 | 410 | 411 | 413..=415 | 422 | 431 => (Kind::InvalidRequest, NotSent),
        429 => (Kind::RateLimited, NotSent),
        408 => (Kind::Timeout, Unknown),
        500.. => (Kind::Unavailable, Unknown),
        _ => (Kind::Protocol, Unknown),
    }
}

/// As what a message is refused that a receipt would tell to have failed for this.
pub(crate) fn refused_for(failure: DeliveryFailure) -> ProviderErrorKind {
    use ProviderErrorKind as Kind;
    match failure {
        DeliveryFailure::NoSms => Kind::NoSms,
        DeliveryFailure::Unsubscribed => Kind::Unsubscribed,
        DeliveryFailure::InvalidNumber => Kind::InvalidNumber,
        DeliveryFailure::Throttled => Kind::RateLimited,
        DeliveryFailure::Unreachable => Kind::Unavailable,
        DeliveryFailure::Account => Kind::AccountBlocked,
        _ => Kind::InvalidRequest,
    }
}

impl Failure {
    /// The failure of an HTTP client.
    pub(crate) fn of_client(error: &reqwest::Error) -> Self {
        if error.is_connect() {
            Self::NoConnection
        } else if error.is_builder() {
            Self::NoRequest
        } else if error.is_timeout() {
            Self::TimedOut
        } else if error.is_decode() {
            Self::Unreadable
        } else {
            Self::Cut
        }
    }

    fn judge(&self) -> (ProviderErrorKind, Delivery) {
        use Delivery::{NotSent, Unknown};
        use ProviderErrorKind as Kind;
        match self {
            Self::NoConnection => (Kind::Unavailable, NotSent),
            Self::NoRequest => (Kind::InvalidRequest, NotSent),
            Self::TimedOut => (Kind::Timeout, Unknown),
            Self::Cut => (Kind::Unavailable, Unknown),
            Self::Unreadable => (Kind::Protocol, Unknown),
            Self::Refused(refusal) => (refusal.kind, refusal.delivery),
        }
    }

    /// As the error of a request that takes effect once.
    pub(crate) fn of_effect(self, provider: &ProviderName, operation: &'static str) -> ProviderError {
        let (kind, delivery) = self.judge();
        let error = match delivery {
            Delivery::NotSent => ProviderError::not_sent(provider, operation, kind),
            Delivery::Unknown => ProviderError::unknown(provider, operation, kind),
        };
        self.explain(error)
    }

    /// As the error of a request that changes nothing.
    pub(crate) fn of_question(self, provider: &ProviderName, operation: &'static str) -> ProviderError {
        let kind = self.judge().0;
        self.explain(ProviderError::not_sent(provider, operation, kind))
    }

    fn explain(self, error: ProviderError) -> ProviderError {
        let wait = match &self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        };
        error.with_retry_after(wait).with_source(Explanation(self))
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A failure in words. What the vendor wrote is left out, because it may repeat numbers and texts.
#[derive(Debug)]
struct Explanation(Failure);

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::NoConnection => {
                f.write_str("no connection: check the URL, the name service and the proxy")
            }
            Failure::NoRequest => f.write_str("the request could not be made: check the URL and the headers"),
            Failure::TimedOut => f.write_str("no whole answer within the timeout"),
            Failure::Cut => f.write_str("the connection broke before the answer"),
            Failure::Unreadable => f.write_str("the answer is not what the vendor documents"),
            Failure::Refused(Refusal { status, code: Some(code), .. }) => {
                write!(f, "HTTP {status}, code {code}")
            }
            Failure::Refused(Refusal { status, .. }) => write!(f, "HTTP {status}"),
        }
    }
}

impl std::error::Error for Explanation {}

/// The wait of `retry-after`, as seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let after = header(headers, "retry-after")?.trim();
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(after).ok()?;
    (at.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_told_for_what_it_is() {
        use Delivery::{NotSent, Unknown};
        use ProviderErrorKind as Kind;
        let status = |status| Failure::Refused(Refusal::of_status(status, None));
        for (failure, kind, delivery) in [
            (Failure::NoConnection, Kind::Unavailable, NotSent),
            (Failure::NoRequest, Kind::InvalidRequest, NotSent),
            (Failure::TimedOut, Kind::Timeout, Unknown),
            (Failure::Cut, Kind::Unavailable, Unknown),
            (Failure::Unreadable, Kind::Protocol, Unknown),
            (status(400), Kind::InvalidRequest, NotSent),
            (status(401), Kind::Unauthorized, NotSent),
            (status(402), Kind::AccountBlocked, NotSent),
            (status(403), Kind::Unauthorized, NotSent),
            (status(404), Kind::InvalidRequest, NotSent),
            (status(408), Kind::Timeout, Unknown),
            (status(409), Kind::Protocol, Unknown),
            (status(413), Kind::InvalidRequest, NotSent),
            (status(422), Kind::InvalidRequest, NotSent),
            (status(429), Kind::RateLimited, NotSent),
            (status(199), Kind::Protocol, Unknown),
            (status(301), Kind::Protocol, Unknown),
            (status(307), Kind::Protocol, Unknown),
            (status(500), Kind::Unavailable, Unknown),
            (status(503), Kind::Unavailable, Unknown),
            (status(599), Kind::Unavailable, Unknown),
            (
                Refusal::of_status(400, None).with_code(21_610, Kind::Unsubscribed).into(),
                Kind::Unsubscribed,
                NotSent,
            ),
        ] {
            let text = format!("{failure:?}");
            let error = failure.of_effect(&ProviderName::new("vendor"), "send_sms");
            assert_eq!((error.kind, error.delivery), (kind, delivery), "{text}");
        }
    }

    #[test]
    fn wait_is_read_in_every_form() {
        let now = DateTime::parse_from_rfc3339("2026-11-21T10:00:00Z").unwrap().to_utc();
        for (text, seconds) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sat, 21 Nov 2026 10:00:30 GMT", Some(30)),
            ("Sat, 21 Nov 2026 09:00:00 GMT", None),
            ("soon", None),
            ("-1", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", text.parse().unwrap());
            assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
