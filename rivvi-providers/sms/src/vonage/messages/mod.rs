//! Vonage's Messages API, for text messages.

mod code;
mod options;
mod token;
mod webhook;

pub use options::{VonageApplication, VonageCredentials, VonageMessagesOptions};

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use http::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Url};
use rivvi_core::clock::Clock;
use rivvi_core::domain::{MessageEncoding, MessageSize, ProviderName};
use rivvi_core::provider::{
    ProviderError, SendSms, SentSms, SmsCapabilities, SmsNews, SmsProvider, WebhookError, WebhookRequest,
};
use serde::Deserialize;
use serde_json::{Value, json};

use self::code::Problem;
use self::token::Issuer;
use super::number;
use crate::client::{Answer, Client, base_url};
use crate::failure::Failure;
use crate::money::times;
use crate::options::OptionsError;

/// Vonage's Messages API as a provider of text messages.
///
/// | | |
/// |---|---|
/// | sent again safely | no |
/// | found by | nothing; a lost answer waits for the receipt, which has our id |
/// | receipts | one for each change, signed; with price |
/// | messages that come in | signed; long ones put together by Vonage |
/// | name | `vonage-messages` |
pub struct VonageMessages {
    client: Client,
    url: Url,
    issuer: Option<Issuer>,
    options: VonageMessagesOptions,
}

impl VonageMessages {
    /// The provider for one account. Asks nothing yet.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn new(options: VonageMessagesOptions, clock: Arc<dyn Clock>) -> Result<Self, OptionsError> {
        options.check()?;
        let issuer = match &options.credentials {
            VonageCredentials::Application(application) => Some(Issuer::new(application)?),
            VonageCredentials::Account { .. } => None,
        };
        let wrong = OptionsError { key: "base_url", expected: "a base URL such as https://api.nexmo.com" };
        let url = base_url(&options.base_url)?.join("v1/messages").map_err(|_| wrong)?;
        Ok(Self { client: Client::new(options.terms.timeout, clock)?, url, issuer, options })
    }

    fn authorized(&self, request: RequestBuilder) -> Option<RequestBuilder> {
        if let VonageCredentials::Account { api_key, api_secret } = &self.options.credentials {
            return Some(request.basic_auth(api_key, Some(api_secret.expose())));
        }
        let token = self.issuer.as_ref()?.issue(self.client.clock().now())?;
        Some(request.bearer_auth(token))
    }

    async fn send(&self, request: &SendSms) -> Result<SentSms, Failure> {
        let body = body(request, self.options.webhook_url.as_deref());
        let post = self.client.request(Method::POST, self.url.clone());
        let post = post.header(CONTENT_TYPE, "application/json").body(body.to_string());
        let post = self.authorized(post).ok_or(Failure::NoRequest)?;
        let reference = judge(&self.client.send(post).await?)?;
        let parts = MessageSize::of(request.text.expose()).parts;
        let cost = self.options.terms.price_per_part.and_then(|price| times(price, parts));
        Ok(SentSms { reference: Some(reference), cost })
    }
}

/// The body of a request.
///
/// Source: `vonage_messages.models.Sms` of the vendor's SDK for Python (1.8.1).
fn body(request: &SendSms, webhook_url: Option<&str>) -> Value {
    let encoding = match MessageSize::of(request.text.expose()).encoding {
        MessageEncoding::Gsm7 => "text",
        MessageEncoding::Ucs2 => "unicode",
    };
    let mut body = json!({
        "channel": "sms", "message_type": "text", "to": number::written(request.to),
        "from": number::written_sender(&request.from), "text": request.text.expose(),
        "client_ref": request.message_id.to_string(), "ttl": request.valid_for.as_secs().clamp(20, 604_800),
        "sms": { "encoding_type": encoding },
    });
    if let Some(url) = webhook_url {
        body["webhook_url"] = json!(url);
        body["webhook_version"] = json!("v1");
    }
    body
}

/// The vendor's id of an accepted message.
fn judge(answer: &Answer) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Accepted {
        message_uuid: String,
    }
    if !answer.is_success() {
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap_or_default();
        return Err(problem.refusal(answer.refusal()).into());
    }
    let Accepted { message_uuid } = answer.json()?;
    if message_uuid.is_empty() { Err(Failure::Unreadable) } else { Ok(message_uuid) }
}

#[async_trait]
impl SmsProvider for VonageMessages {
    fn name(&self) -> ProviderName {
        self.options.terms.name.clone()
    }

    fn capabilities(&self) -> SmsCapabilities {
        let mut can = self.options.terms.capabilities();
        can.receipts = self.options.signature_secret.is_some();
        can
    }

    async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
        self.send(request).await.map_err(|failure| failure.of_effect(&self.name(), "send_sms"))
    }

    fn decode_webhook(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Result<SmsNews, WebhookError> {
        let secret = self.options.signature_secret.as_ref().ok_or(WebhookError::Unsupported)?;
        let signed_at = token::verify(request, secret, now, self.options.webhook_age_max)?;
        webhook::read(&self.name(), request.body(), signed_at)
    }
}

impl fmt::Debug for VonageMessages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VonageMessages").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::{E164, Sender};
    use rivvi_core::testkit::build;

    use super::*;

    #[test]
    fn requests_say_what_is_to_be_sent() {
        let id = build::unknown_call_id(1);
        let to = E164::from_e164("+972541234567").unwrap();
        let request = SendSms::new(id, to, Sender::new("Clinic").unwrap(), "שלום");
        assert_eq!(
            body(&request, Some("https://hooks.example.com/vonage")),
            json!({
                "channel": "sms", "message_type": "text", "to": "972541234567", "from": "Clinic", "text": "שלום",
                "client_ref": id.to_string(), "ttl": 86_400, "sms": { "encoding_type": "unicode" },
                "webhook_url": "https://hooks.example.com/vonage", "webhook_version": "v1",
            })
        );
    }

    #[test]
    fn answers_without_an_id_are_not_understood() {
        let told = |status, body: &str| judge(&Answer { status, body: body.into(), retry_after: None });
        assert_eq!(told(202, r#"{"message_uuid":"a","workflow_id":null}"#), Ok("a".into()));
        for body in ["", "{}", r#"{"message_uuid":""}"#, r#"{"message_uuid":7}"#] {
            assert_eq!(told(202, body), Err(Failure::Unreadable), "{body}");
        }
        assert!(matches!(told(404, "<html>"), Err(Failure::Refused(refusal)) if refusal.code.is_none()));
    }
}
