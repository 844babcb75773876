//! What arrives from a provider by HTTP.

use bytes::Bytes;
use http::StatusCode;

/// A webhook as it arrived: headers, path and raw body. Any HTTP server's request converts to it.
pub type WebhookRequest = http::Request<Bytes>;

/// Why a webhook was not accepted. Carries no content of the request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// No provider of that name is registered.
    #[error("no provider of that name is registered")]
    UnknownProvider,
    /// The provider has no webhooks.
    #[error("the provider has no webhooks")]
    Unsupported,
    /// The signature is missing or wrong.
    #[error("the signature is missing or does not match the body")]
    Forged,
    /// The signature is right but too old or too far in the future.
    #[error("the signature is outside the time allowed")]
    Stale,
    /// The content could not be read.
    #[error("the content could not be read: {0}")]
    Malformed(String),
    /// The store is away, so the events were not stored.
    #[error("the events could not be stored")]
    NotStored(#[source] crate::storage::StorageError),
}

impl WebhookError {
    /// The HTTP status to answer with: one in the 500s asks the provider to deliver again.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnknownProvider | Self::Unsupported => StatusCode::NOT_FOUND,
            Self::Forged | Self::Stale => StatusCode::UNAUTHORIZED,
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::NotStored(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
