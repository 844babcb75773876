//! What went wrong at SES, and whether an e-mail can have been sent.

use std::error::Error;
use std::fmt;

use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{Delivery, ProviderError, ProviderErrorKind};

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection came about, so nothing was written.
    NoConnection,
    /// There are no credentials or there is no region, so nothing was written.
    NotBuilt,
    /// No whole answer in time.
    Late,
    /// The connection broke after the request was, or may have been, written.
    Cut,
    /// The answer cannot be understood.
    Unreadable,
    /// The address is one that SES does not take, so it was not asked.
    Address,
    /// An answer that does not say yes. What it says besides may repeat addresses.
    Refused {
        code: String,
        status: u16,
        /// Whether it is about the address of the recipient.
        address: bool,
    },
}

impl Failure {
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Self {
        match error {
            SdkError::ServiceError(answer) => Self::Refused {
                code: answer.err().code().unwrap_or("no code").chars().take(80).collect(),
                status: answer.raw().status().as_u16(),
                address: answer.err().message().is_some_and(is_about_address),
            },
            SdkError::TimeoutError(_) => Self::Late,
            SdkError::DispatchFailure(failure) => match failure.as_connector_error() {
                Some(error) if was_connecting(error) => Self::NoConnection,
                Some(error) if error.is_timeout() => Self::Late,
                Some(error) if error.is_user() => Self::NotBuilt,
                _ => Self::Cut,
            },
            SdkError::ResponseError(_) => Self::Unreadable,
            // Before anything is sent.
            SdkError::ConstructionFailure(_) => Self::NotBuilt,
            _ => Self::Cut,
        }
    }

    /// What it means for the e-mail.
    ///
    /// A refusal with a status from 400 is certain, as SES checks before it takes an e-mail
    /// (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>). Everything else may have been sent.
    pub(crate) fn judge(&self) -> (ProviderErrorKind, Delivery) {
        use Delivery::{NotSent, Unknown};
        use ProviderErrorKind as Kind;
        let (code, status, address) = match self {
            Self::NoConnection => return (Kind::Unavailable, NotSent),
            Self::NotBuilt => return (Kind::Unauthorized, NotSent),
            Self::Late => return (Kind::Timeout, Unknown),
            Self::Cut => return (Kind::Unavailable, Unknown),
            Self::Unreadable => return (Kind::Protocol, Unknown),
            Self::Address => return (Kind::InvalidNumber, NotSent),
            Self::Refused { code, status, address } => (code.as_str(), *status, *address),
        };
        if status >= 500 {
            return (Kind::Unavailable, Unknown);
        }
        if status < 400 {
            return (Kind::Protocol, Unknown);
        }
        match code {
            "TooManyRequestsException"
            | "LimitExceededException"
            | "ThrottlingException"
            | "Throttling"
            | "RequestLimitExceeded" => (Kind::RateLimited, NotSent),
            "AccountSuspendedException" | "SendingPausedException" | "OptInRequired" => {
                (Kind::AccountBlocked, NotSent)
            }
            "AccessDeniedException"
            | "AccessDenied"
            | "UnrecognizedClientException"
            | "ExpiredTokenException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "IncompleteSignature"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized" => (Kind::Unauthorized, NotSent),
            "BadRequestException" | "InvalidParameterValue" | "MessageRejected" if address => {
                (Kind::InvalidNumber, NotSent)
            }
            _ => match status {
                401 | 403 => (Kind::Unauthorized, NotSent),
                408 => (Kind::Timeout, Unknown),
                429 => (Kind::RateLimited, NotSent),
                _ => (Kind::InvalidRequest, NotSent),
            },
        }
    }

    pub(crate) fn named(self, provider: &ProviderName) -> ProviderError {
        let (kind, delivery) = self.judge();
        let error = match delivery {
            Delivery::NotSent => ProviderError::not_sent(provider, "send_email", kind),
            Delivery::Unknown => ProviderError::unknown(provider, "send_email", kind),
        };
        error.with_source(self)
    }
}

/// Whether a message is about an address as such. The sender's was checked before.
fn is_about_address(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let about = [
        "illegal address",
        "missing final",
        "invalid domain name",
        "domain starts with",
        "domain ends with",
        "domain contains",
        "local address contains",
        "local address starts",
        "local address ends",
        "missing local",
        "user name is missing",
        "address blacklisted",
    ];
    about.iter().any(|words| message.contains(words))
}

/// Whether the client was still connecting.
fn was_connecting(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Refused { code, status, .. } = self else {
            return f.write_str(match self {
                Self::NoConnection => {
                    "no connection: expected SES at its endpoint; check region, name service and proxy"
                }
                Self::NotBuilt => "the request could not be built; are there credentials and a region?",
                Self::Late => "no whole answer within the timeout",
                Self::Unreadable => "the answer is not what the API reference says",
                Self::Address => "expected an address in ASCII, with its domain in Punycode",
                _ => "the connection broke before the answer",
            });
        };
        write!(f, "HTTP {status}, {code}")?;
        f.write_str(match code.as_str() {
            "MessageRejected" => {
                ": SES refused what it says, or the sender or, in the sandbox, the recipient is not verified"
            }
            "MailFromDomainNotVerifiedException" => ": the domain of the sender is not verified",
            "NotFoundException" => ": the account has no such configuration set in this region",
            "AccountSuspendedException" => ": the account may not send any more",
            "SendingPausedException" => ": sending is paused for the account or the configuration set",
            "TooManyRequestsException" | "LimitExceededException" => {
                ": the account has sent as much as it may"
            }
            _ => "",
        })
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_told_for_what_it_is() {
        use Delivery::{NotSent, Unknown};
        use ProviderErrorKind as Kind;
        let refused = |status, code: &str, message: &str| Failure::Refused {
            code: code.into(),
            status,
            address: is_about_address(message),
        };
        for (failure, kind, delivery) in [
            (Failure::NoConnection, Kind::Unavailable, NotSent),
            (Failure::NotBuilt, Kind::Unauthorized, NotSent),
            (Failure::Address, Kind::InvalidNumber, NotSent),
            (Failure::Late, Kind::Timeout, Unknown),
            (Failure::Cut, Kind::Unavailable, Unknown),
            (Failure::Unreadable, Kind::Protocol, Unknown),
            (
                refused(400, "MessageRejected", "Email address is not verified."),
                Kind::InvalidRequest,
                NotSent,
            ),
            (refused(400, "MessageRejected", "Address blacklisted."), Kind::InvalidNumber, NotSent),
            (refused(400, "AccountSuspendedException", ""), Kind::AccountBlocked, NotSent),
            (refused(400, "SendingPausedException", ""), Kind::AccountBlocked, NotSent),
            (refused(400, "MailFromDomainNotVerifiedException", ""), Kind::InvalidRequest, NotSent),
            (refused(400, "LimitExceededException", ""), Kind::RateLimited, NotSent),
            (refused(429, "TooManyRequestsException", ""), Kind::RateLimited, NotSent),
            (refused(400, "ThrottlingException", ""), Kind::RateLimited, NotSent),
            (refused(429, "no code", ""), Kind::RateLimited, NotSent),
            (refused(404, "NotFoundException", ""), Kind::InvalidRequest, NotSent),
            (refused(400, "BadRequestException", "Subject is too long"), Kind::InvalidRequest, NotSent),
            (refused(400, "BadRequestException", "Missing final '@domain'"), Kind::InvalidNumber, NotSent),
            (refused(403, "AccessDeniedException", "illegal address"), Kind::Unauthorized, NotSent),
            (refused(403, "no code", ""), Kind::Unauthorized, NotSent),
            (refused(408, "no code", ""), Kind::Timeout, Unknown),
            (refused(302, "no code", ""), Kind::Protocol, Unknown),
            (refused(500, "InternalFailure", ""), Kind::Unavailable, Unknown),
            (refused(503, "ThrottlingException", ""), Kind::Unavailable, Unknown),
        ] {
            assert_eq!(failure.judge(), (kind, delivery), "{failure}");
        }
    }
}
