//! What went wrong at Polly, and whether to ask again.

use std::fmt;

use aws_sdk_polly::error::{ProvideErrorMetadata, SdkError};
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{ProviderError, ProviderErrorKind};

/// How a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Polly refused it, with a code. What it says besides may repeat the text.
    Refused { code: String, status: u16 },
    /// It could not be sent, or the connection broke.
    Connection,
    /// There was no whole answer in time.
    Late,
    /// The answer is not speech.
    Unreadable,
    /// There are no credentials or there is no region.
    NotBuilt,
}

impl Failure {
    pub(crate) fn of<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Self {
        match error {
            SdkError::ServiceError(answer) => Self::Refused {
                code: answer.err().code().unwrap_or("no code").chars().take(80).collect(),
                status: answer.raw().status().as_u16(),
            },
            SdkError::TimeoutError(_) => Self::Late,
            SdkError::DispatchFailure(failure) if failure.is_timeout() => Self::Late,
            SdkError::DispatchFailure(failure) if failure.is_user() => Self::NotBuilt,
            SdkError::DispatchFailure(_) => Self::Connection,
            SdkError::ResponseError(_) => Self::Unreadable,
            _ => Self::NotBuilt,
        }
    }

    /// The kind, and whether asking again may help.
    ///
    /// Codes of SynthesizeSpeech: <https://docs.aws.amazon.com/polly/latest/dg/API_SynthesizeSpeech.html>; of every service:
    /// <https://docs.aws.amazon.com/polly/latest/dg/CommonErrors.html>. Throttling is none of the first, and comes as 400.
    pub(crate) fn judge(&self) -> (ProviderErrorKind, bool) {
        use ProviderErrorKind as Kind;
        let (code, status) = match self {
            Self::Refused { code, status } => (code.as_str(), *status),
            Self::Connection => return (Kind::Unavailable, true),
            Self::Late => return (Kind::Timeout, true),
            Self::Unreadable => return (Kind::Protocol, true),
            Self::NotBuilt => return (Kind::Unauthorized, false),
        };
        match code {
            "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded" => {
                (Kind::RateLimited, true)
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
            | "NotAuthorized" => (Kind::Unauthorized, false),
            "OptInRequired" => (Kind::AccountBlocked, false),
            // A voice, language or engine that the service does not know is a value that it refuses.
            "LanguageNotSupportedException"
            | "EngineNotSupportedException"
            | "TextLengthExceededException"
            | "ValidationException"
            | "InvalidParameterValue" => (Kind::Unsupported, false),
            _ if status == 429 => (Kind::RateLimited, true),
            _ if status >= 500 => (Kind::Unavailable, true),
            _ if matches!(status, 401 | 403) => (Kind::Unauthorized, false),
            _ => (Kind::InvalidRequest, false),
        }
    }

    /// As the error of a synthesis, which may always be asked for again.
    pub(crate) fn named(self, provider: &ProviderName) -> ProviderError {
        ProviderError::not_sent(provider, "synthesize", self.judge().0).with_source(self)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, status } => {
                write!(f, "HTTP {status}, {code}")?;
                f.write_str(match code.as_str() {
                    "EngineNotSupportedException" => {
                        ": the voice has not this engine, or the region has it not"
                    }
                    "LanguageNotSupportedException" => ": the voice does not speak this language",
                    "ValidationException" | "InvalidParameterValue" => {
                        ": Polly has no such voice, language or engine, or they do not go together"
                    }
                    "TextLengthExceededException" => ": the text is too long for one request",
                    "InvalidSsmlException" => ": expected a document of the SSML that Polly knows",
                    "LexiconNotFoundException" => ": the account has no such lexicon in this region",
                    _ => "",
                })
            }
            Self::Connection => f.write_str("the connection could not be made, or broke"),
            Self::Late => f.write_str("no whole answer within the timeout"),
            Self::Unreadable => f.write_str("the answer is not speech of the format asked for"),
            Self::NotBuilt => {
                f.write_str("the request could not be built; are there credentials and a region?")
            }
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_told_for_what_it_is() {
        use ProviderErrorKind as Kind;
        let refused = |status, code: &str| Failure::Refused { code: code.into(), status };
        for (failure, kind, again) in [
            (refused(400, "ThrottlingException"), Kind::RateLimited, true),
            (refused(429, "no code"), Kind::RateLimited, true),
            (refused(500, "ServiceFailureException"), Kind::Unavailable, true),
            (refused(503, "no code"), Kind::Unavailable, true),
            (refused(400, "LanguageNotSupportedException"), Kind::Unsupported, false),
            (refused(400, "EngineNotSupportedException"), Kind::Unsupported, false),
            (refused(400, "TextLengthExceededException"), Kind::Unsupported, false),
            (refused(400, "ValidationException"), Kind::Unsupported, false),
            (refused(400, "InvalidSsmlException"), Kind::InvalidRequest, false),
            (refused(404, "LexiconNotFoundException"), Kind::InvalidRequest, false),
            (refused(403, "AccessDeniedException"), Kind::Unauthorized, false),
            (refused(403, "no code"), Kind::Unauthorized, false),
            (refused(400, "ExpiredTokenException"), Kind::Unauthorized, false),
            (refused(403, "OptInRequired"), Kind::AccountBlocked, false),
            (Failure::Connection, Kind::Unavailable, true),
            (Failure::Late, Kind::Timeout, true),
            (Failure::Unreadable, Kind::Protocol, true),
            (Failure::NotBuilt, Kind::Unauthorized, false),
        ] {
            assert_eq!(failure.judge(), (kind, again), "{failure}");
        }
    }
}
