//! Any gateway that speaks HTTP, by configuration.

mod answer;
mod config;
mod field;
mod template;
mod webhook;

pub use config::{ConfigError, HttpSmsConfig};

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::StatusCode;
use rivvi_core::clock::Clock;
use rivvi_core::domain::{MessageSize, ProviderName, Secret};
use rivvi_core::provider::{
    ProviderError, ProviderErrorKind, SendSms, SentSms, SmsCapabilities, SmsNews, SmsProvider, WebhookError,
    WebhookRequest,
};

use self::config::AnswerConfig;
use self::template::Templates;
use self::webhook::Webhooks;
use crate::client::Client;
use crate::failure::Failure;
use crate::money::times;
use crate::options::SmsTerms;

const OPERATION: &str = "send_sms";

/// A gateway that speaks HTTP, as its configuration says.
///
/// | | |
/// |---|---|
/// | sent again safely | as long as `limits.idempotent_for_s` says; else no |
/// | found by | nothing |
/// | receipts, messages that come in | as `webhook` says |
/// | name | the configuration's |
pub struct HttpSms {
    client: Client,
    templates: Templates,
    answer: AnswerConfig,
    webhooks: Option<Webhooks>,
    idempotent_for: Option<Duration>,
    terms: SmsTerms,
}

impl HttpSms {
    /// The provider for a gateway, with the secrets that its configuration names. Asks nothing yet; the templates are tried
    /// with a message of awkward characters.
    ///
    /// # Errors
    /// Names the key that is wrong and what was expected.
    pub fn new(
        config: HttpSmsConfig,
        secrets: BTreeMap<String, Secret>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let terms = config.terms()?;
        let templates = Templates::new(&config.request, &secrets)?;
        let webhooks = config.webhook.map(|webhook| Webhooks::new(webhook, &secrets)).transpose()?;
        let client = Client::new(terms.timeout, clock)
            .map_err(|error| ConfigError::new(error.key, format!("expected {}", error.expected)))?;
        let seconds = config.limits.idempotent_for_s.filter(|seconds| *seconds > 0);
        let idempotent_for = seconds.map(|seconds| Duration::from_secs(seconds.into()));
        Ok(Self { client, templates, answer: config.answer, webhooks, idempotent_for, terms })
    }

    async fn send(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
        let rendered = self.templates.render(request).map_err(|error| {
            let refused = ProviderError::not_sent(&self.name(), OPERATION, ProviderErrorKind::InvalidRequest);
            refused.with_source(error)
        })?;
        let mut built = self.client.request(rendered.method, rendered.url).headers(rendered.headers);
        if let Some(body) = rendered.body {
            built = built.body(body);
        }
        let failed = |failure: Failure| failure.of_effect(&self.name(), OPERATION);
        let answer = self.client.send(built).await.map_err(failed)?;
        let parts = MessageSize::of(request.text.expose()).parts;
        let price = self.terms.price_per_part.and_then(|price| times(price, parts));
        answer::judge(&self.answer, &answer, price).map_err(failed)
    }
}

#[async_trait]
impl SmsProvider for HttpSms {
    fn name(&self) -> ProviderName {
        self.terms.name.clone()
    }

    fn capabilities(&self) -> SmsCapabilities {
        let mut can = self.terms.capabilities();
        can.idempotent_sending = self.idempotent_for;
        can.receipts = self.webhooks.as_ref().is_some_and(Webhooks::has_receipts);
        can
    }

    async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
        self.send(request).await
    }

    fn decode_webhook(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Result<SmsNews, WebhookError> {
        let webhooks = self.webhooks.as_ref().ok_or(WebhookError::Unsupported)?;
        webhooks.decode(&self.name(), request, now)
    }

    fn acknowledge(&self) -> http::Response<Bytes> {
        let mut response = http::Response::new(Bytes::new());
        let status = self.webhooks.as_ref().map(Webhooks::answer_status);
        let status = status.and_then(|status| StatusCode::from_u16(status).ok());
        *response.status_mut() = status.unwrap_or(StatusCode::NO_CONTENT);
        response
    }
}

impl fmt::Debug for HttpSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSms").field("terms", &self.terms).finish_non_exhaustive()
    }
}
