//! What went wrong at Retell, and whether a call can have come of it.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use http::HeaderMap;
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{Delivery, ProviderError, ProviderErrorKind};
use serde::Deserialize;

/// How a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    Refused {
        /// The status.
        status: u16,
        /// What it is about, as far as the answer says.
        about: About,
        /// How long Retell asks to wait.
        retry_after: Option<Duration>,
    },
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// The number that is to be called.
    Callee,
    /// Something else, or it is not said.
    Something,
}

/// What a failure means for a request that takes effect once, such as a placement.
///
/// A refusal is certain where Retell documents it as a check before anything happens. Everything else may have taken
/// effect: an error of the server, a status that is not documented, an answer that got lost. The statuses are those of the
/// API reference (400, 401, 402, 422, 429, 500) and those that proxies in front of it give.
pub(crate) fn judge(failure: Failure) -> (ProviderErrorKind, Delivery) {
    use Delivery::{NotSent, Unknown};
    use ProviderErrorKind as Kind;
    match failure {
        Failure::NoConnection => (Kind::Unavailable, NotSent),
        Failure::NoRequest => (Kind::InvalidRequest, NotSent),
        Failure::TimedOut => (Kind::Timeout, Unknown),
        Failure::Cut => (Kind::Unavailable, Unknown),
        Failure::Unreadable => (Kind::Protocol, Unknown),
        Failure::Refused { status: 400 | 422, about: About::Callee, .. } => (Kind::InvalidNumber, NotSent),
        Failure::Refused { status, .. } => match status {
            401 | 403 => (Kind::Unauthorized, NotSent),
            402 => (Kind::AccountBlocked, NotSent),
            400 | 404 | 405 | 410 | 411 | 413..=415 | 422 | 431 => (Kind::InvalidRequest, NotSent),
            429 => (Kind::RateLimited, NotSent),
            408 => (Kind::Timeout, Unknown),
            500.. => (Kind::Unavailable, Unknown),
            _ => (Kind::Protocol, Unknown),
        },
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

    /// The failure that an answer of this status tells.
    pub(crate) fn of_answer(status: u16, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Self {
        Self::Refused { status, about: about(body), retry_after: retry_after(headers, now) }
    }

    /// The status, if there was an answer.
    pub(crate) fn status(self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// As the error of a request that takes effect once.
    pub(crate) fn of_effect(self, provider: &ProviderName, operation: &'static str) -> ProviderError {
        let (kind, delivery) = judge(self);
        let error = match delivery {
            Delivery::NotSent => ProviderError::not_sent(provider, operation, kind),
            Delivery::Unknown => ProviderError::unknown(provider, operation, kind),
        };
        self.explain(error)
    }

    /// As the error of a request that changes nothing.
    pub(crate) fn of_question(self, provider: &ProviderName, operation: &'static str) -> ProviderError {
        self.explain(ProviderError::not_sent(provider, operation, judge(self).0))
    }

    fn explain(self, error: ProviderError) -> ProviderError {
        let wait = match self {
            Self::Refused { retry_after, .. } => retry_after,
            _ => None,
        };
        error.with_retry_after(wait).with_source(Explanation(self))
    }
}

/// A failure in words. What Retell wrote is left out, because it may repeat numbers and names.
#[derive(Debug)]
struct Explanation(Failure);

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure::Refused { status, .. } = self.0 else {
            return f.write_str(match self.0 {
                Failure::NoConnection => {
                    "no connection: expected Retell at the base URL; check URL, name service and proxy"
                }
                Failure::NoRequest => {
                    "the request could not be made: expected a base URL such as https://api.retellai.com"
                }
                Failure::TimedOut => "no whole answer within the timeout",
                Failure::Unreadable => "the answer is not what the API reference says",
                _ => "the connection broke before the answer",
            });
        };
        write!(f, "HTTP {status}")?;
        f.write_str(match status {
            400 => ": Retell refused the request",
            401 | 403 => ": check the API key",
            402 => ": check the payment method of the Retell account",
            404 | 405 => ": no such resource; check the base URL",
            422 => ": the number to call from, or the agent, does not belong to the account of the API key",
            429 => ": the account has as many requests or calls as it may",
            _ => "",
        })
    }
}

impl std::error::Error for Explanation {}

/// Errors are `{"status": "error", "message": "..."}`; but an unknown route, or a proxy, answers in HTML.
fn about(body: &[u8]) -> About {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let Ok(Message { message }) = serde_json::from_slice(body) else { return About::Something };
    let message = message.to_ascii_lowercase();
    // What is also about us would be so for every contact: the run is paused, and nobody is excluded.
    let ours = ["from_number", "from number", "agent"];
    if ours.iter().any(|words| message.contains(words)) {
        return About::Something;
    }
    let callee = ["to_number", "to number", "destination number", "do_not_call", "do not call"];
    if callee.iter().any(|words| message.contains(words)) { About::Callee } else { About::Something }
}

/// The wait of `retry-after-ms` or `retry-after`, as seconds or as a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text =
        |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse().ok()) {
        return Some(Duration::from_millis(millis));
    }
    let after = text("retry-after")?;
    if let Ok(seconds) = after.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(after).ok()?;
    (at.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> Failure {
        Failure::of_answer(status, &HeaderMap::new(), body.as_bytes(), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn every_failure_is_told_for_what_it_is() {
        use Delivery::{NotSent, Unknown};
        use ProviderErrorKind as Kind;
        let error = |message: &str| format!(r#"{{"status":"error","message":"{message}"}}"#);
        for (failure, kind, delivery) in [
            (Failure::NoConnection, Kind::Unavailable, NotSent),
            (Failure::NoRequest, Kind::InvalidRequest, NotSent),
            (Failure::TimedOut, Kind::Timeout, Unknown),
            (Failure::Cut, Kind::Unavailable, Unknown),
            (Failure::Unreadable, Kind::Protocol, Unknown),
            (refused(400, &error("Invalid request format")), Kind::InvalidRequest, NotSent),
            (refused(400, &error("to_number is not valid E.164")), Kind::InvalidNumber, NotSent),
            (refused(422, &error("To number +1 is invalid")), Kind::InvalidNumber, NotSent),
            (
                refused(422, &error("Cannot find requested asset under given api key.")),
                Kind::InvalidRequest,
                NotSent,
            ),
            (refused(401, &error("API key is missing or invalid.")), Kind::Unauthorized, NotSent),
            (
                refused(402, &error("Trial has ended, please add payment method.")),
                Kind::AccountBlocked,
                NotSent,
            ),
            (refused(403, ""), Kind::Unauthorized, NotSent),
            (refused(404, "<!DOCTYPE html>Cannot POST /v9"), Kind::InvalidRequest, NotSent),
            (refused(405, ""), Kind::InvalidRequest, NotSent),
            (refused(413, "<html>"), Kind::InvalidRequest, NotSent),
            (
                refused(429, &error("Account rate limited, please throttle your requests.")),
                Kind::RateLimited,
                NotSent,
            ),
            (refused(429, &error("to_number")), Kind::RateLimited, NotSent),
            (refused(408, ""), Kind::Timeout, Unknown),
            (refused(409, ""), Kind::Protocol, Unknown),
            (refused(418, ""), Kind::Protocol, Unknown),
            (refused(301, ""), Kind::Protocol, Unknown),
            (refused(307, ""), Kind::Protocol, Unknown),
            (refused(199, ""), Kind::Protocol, Unknown),
            (refused(500, &error("An unexpected server error occurred.")), Kind::Unavailable, Unknown),
            (refused(502, "<html>to_number</html>"), Kind::Unavailable, Unknown),
            (refused(503, ""), Kind::Unavailable, Unknown),
            (refused(599, ""), Kind::Unavailable, Unknown),
        ] {
            assert_eq!(judge(failure), (kind, delivery), "{failure:?}");
        }
    }

    #[test]
    fn wait_is_read_in_every_form() {
        let now = DateTime::parse_from_rfc3339("2026-11-21T10:00:00Z").unwrap().to_utc();
        for (name, text, seconds) in [
            ("retry-after", "7", Some(7.0)),
            ("retry-after", " 0 ", Some(0.0)),
            ("retry-after", "Sat, 21 Nov 2026 10:00:30 GMT", Some(30.0)),
            ("retry-after", "Sat, 21 Nov 2026 09:00:00 GMT", None),
            ("retry-after", "soon", None),
            ("retry-after", "-1", None),
            ("retry-after-ms", "1500", Some(1.5)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, text.parse().unwrap());
            assert_eq!(retry_after(&headers, now).map(|wait| wait.as_secs_f64()), seconds, "{name}: {text}");
        }
    }
}
