//! Vonage's SMS API.

mod code;
mod options;
mod signature;
mod webhook;

pub use options::VonageSmsOptions;
pub use signature::{VonageSignature, VonageSignatureMethod};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::{Method, Url};
use rivvi_core::clock::Clock;
use rivvi_core::domain::{MessageEncoding, MessageSize, Money, ProviderName};
use rivvi_core::provider::{
    ProviderError, SendSms, SentSms, SmsCapabilities, SmsNews, SmsProvider, WebhookError, WebhookRequest,
};
use serde::Deserialize;
use serde_json::Value;

use super::{number, price};
use crate::client::{Answer, Client, base_url, form};
use crate::failure::Failure;
use crate::money::{plus, times};
use crate::options::OptionsError;

/// Vonage's SMS API as a provider of text messages.
///
/// | | |
/// |---|---|
/// | sent again safely | no |
/// | found by | nothing; a lost answer waits for the receipt, which has our id |
/// | receipts | one for each part, signed; with price |
/// | long messages | one answer for each part; if one part was accepted, the message was |
/// | messages that come in | signed; each part of a long one by itself, as `id/reference/part/parts` |
/// | name | `vonage` |
pub struct VonageSms {
    client: Client,
    url: Url,
    options: VonageSmsOptions,
}

impl VonageSms {
    /// The provider for one account. Asks nothing yet.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn new(options: VonageSmsOptions, clock: Arc<dyn Clock>) -> Result<Self, OptionsError> {
        options.check()?;
        let wrong = OptionsError { key: "base_url", expected: "a base URL such as https://rest.nexmo.com" };
        let url = base_url(&options.base_url)?.join("sms/json").map_err(|_| wrong)?;
        Ok(Self { client: Client::new(options.terms.timeout, clock)?, url, options })
    }

    async fn send(&self, request: &SendSms) -> Result<SentSms, Failure> {
        let fields = fields(request, &self.options, self.client.clock().now());
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let post = form(self.client.request(Method::POST, self.url.clone()), fields);
        let answer = self.client.send(post).await?;
        judge(&answer, self.options.terms.price_per_part)
    }
}

/// The parameters of a request.
///
/// Source: <https://developer.vonage.com/en/api/sms>.
fn fields(request: &SendSms, options: &VonageSmsOptions, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let size = MessageSize::of(request.text.expose());
    let kind = match size.encoding {
        MessageEncoding::Gsm7 => "text",
        MessageEncoding::Ucs2 => "unicode",
    };
    let valid_for = request.valid_for.clamp(Duration::from_secs(20), Duration::from_secs(604_800));
    let mut fields = vec![
        ("api_key", options.api_key.clone()),
        ("from", number::written_sender(&request.from)),
        ("to", number::written(request.to)),
        ("text", request.text.expose().clone()),
        ("type", kind.into()),
        ("ttl", valid_for.as_millis().to_string()),
        ("client-ref", webhook::client_ref(request.message_id, size.parts)),
    ];
    fields.extend(options.webhook_url.clone().map(|url| ("callback", url)));
    match &options.signature {
        Some(signature) if options.sign_requests => {
            fields.push(("timestamp", now.timestamp().to_string()));
            let sig = signature.of(fields.iter().map(|(name, value)| (*name, value.as_str())));
            fields.push(("sig", sig));
        }
        _ => fields.push(("api_secret", options.api_secret.expose().to_owned())),
    }
    fields
}

/// One part in the answer. `status` is a text, but who knows.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Part {
    status: Value,
    #[serde(default)]
    message_id: Option<String>,
    #[serde(default)]
    message_price: Option<String>,
    #[serde(default)]
    error_text: Option<String>,
}

impl Part {
    fn status(&self) -> String {
        self.status.as_str().map_or_else(|| self.status.to_string(), str::to_owned)
    }
}

/// What an answer means. Its status of HTTP is 200 whatever happened; each part says for itself.
fn judge(answer: &Answer, price_per_part: Option<Money>) -> Result<SentSms, Failure> {
    #[derive(Deserialize)]
    struct Parts {
        messages: Vec<Part>,
    }
    if !answer.is_success() {
        return Err(answer.refusal().into());
    }
    let Parts { messages } = answer.json()?;
    let accepted: Vec<&Part> = messages.iter().filter(|part| part.status() == code::ACCEPTED).collect();
    if accepted.is_empty() {
        let first = messages.first().ok_or(Failure::Unreadable)?;
        return Err(code::refusal(answer.refusal(), &first.status(), first.error_text.as_deref()).into());
    }
    let told = accepted.iter().map(|part| price(part.message_price.as_deref()?, None));
    let told = told.reduce(|sum, price| plus(sum?, price?)).flatten();
    let parts = u32::try_from(accepted.len()).unwrap_or(u32::MAX);
    let reference = accepted.iter().find_map(|part| part.message_id.clone()).filter(|id| !id.is_empty());
    Ok(SentSms { reference, cost: told.or_else(|| times(price_per_part?, parts)) })
}

#[async_trait]
impl SmsProvider for VonageSms {
    fn name(&self) -> ProviderName {
        self.options.terms.name.clone()
    }

    fn capabilities(&self) -> SmsCapabilities {
        let mut can = self.options.terms.capabilities();
        can.receipts = self.options.signature.is_some();
        can
    }

    async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
        self.send(request).await.map_err(|failure| failure.of_effect(&self.name(), "send_sms"))
    }

    fn decode_webhook(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Result<SmsNews, WebhookError> {
        let signature = self.options.signature.as_ref().ok_or(WebhookError::Unsupported)?;
        let params = webhook::params(request)?;
        let signed_at = signature.verify(&params, now, self.options.webhook_age_max)?;
        webhook::read(&self.name(), &params, signed_at)
    }
}

impl fmt::Debug for VonageSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VonageSms").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::{E164, Secret, Sender};
    use rivvi_core::provider::{Delivery, ProviderErrorKind};
    use rivvi_core::testkit::build;

    use super::*;

    fn told(body: &str) -> Result<SentSms, Failure> {
        let eur = rivvi_core::domain::Currency::new("EUR").unwrap();
        let answer = Answer { status: 200, body: body.into(), retry_after: None };
        judge(&answer, Some(Money { micros: 50_000, currency: eur }))
    }

    fn cost(body: &str) -> Option<i64> {
        told(body).unwrap().cost.map(|cost| cost.micros)
    }

    #[test]
    fn a_message_of_which_one_part_is_accepted_is_accepted() {
        let whole = r#"{"message-count":"2","messages":[
            {"status":"0","message-id":"A1","message-price":"0.0333"},{"status":"0","message-id":"A2","message-price":"0.0333"}]}"#;
        assert_eq!(told(whole).unwrap().reference.as_deref(), Some("A1"));
        assert_eq!(cost(whole), Some(66_600));
        let some =
            r#"{"messages":[{"status":"1","error-text":"Throttled"},{"status":"0","message-id":"A2"}]}"#;
        assert_eq!(told(some).unwrap().reference.as_deref(), Some("A2"));
        assert_eq!(cost(some), Some(50_000), "the price that the host told");
        assert_eq!(told(r#"{"messages":[{"status":"0"}]}"#).unwrap().reference, None);
        assert_eq!(told(r#"{"messages":[{"status":0,"message-id":""}]}"#).unwrap().reference, None);
    }

    #[test]
    fn a_message_of_which_no_part_is_accepted_is_refused() {
        let refused = told(r#"{"message-count":"1","messages":[{"status":"9","error-text":"no money"}]}"#);
        let Err(Failure::Refused(refusal)) = refused else { panic!("it is refused") };
        assert_eq!((refusal.kind, refusal.delivery), (ProviderErrorKind::AccountBlocked, Delivery::NotSent));
        for unreadable in ["", "{}", r#"{"messages":[]}"#, r#"{"messages":[{}]}"#, "<html>"] {
            assert_eq!(told(unreadable), Err(Failure::Unreadable), "{unreadable}");
        }
    }

    #[test]
    fn requests_say_what_is_to_be_sent() {
        let mut options = VonageSmsOptions::new("abcd1234", Secret::new("s3cr3t"));
        options.webhook_url = Some("https://hooks.example.com/vonage".into());
        let id = build::unknown_call_id(1);
        let to = E164::from_e164("+972541234567").unwrap();
        let send = |from: &str, text: &str| SendSms::new(id, to, Sender::new(from).unwrap(), text);
        let of = |request: &SendSms, options: &VonageSmsOptions| -> Vec<(&'static str, String)> {
            fields(request, options, DateTime::from_timestamp(1_790_000_000, 0).unwrap())
        };
        let value = |fields: &[(&str, String)], name: &str| {
            fields.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone())
        };
        let hebrew = of(&send("+97231234567", "שלום"), &options);
        for (name, expected) in [
            ("from", "97231234567"),
            ("to", "972541234567"),
            ("type", "unicode"),
            ("ttl", "86400000"),
            ("client-ref", id.to_string().as_str()),
            ("callback", "https://hooks.example.com/vonage"),
            ("api_secret", "s3cr3t"),
        ] {
            assert_eq!(value(&hebrew, name).as_deref(), Some(expected), "{name}");
        }
        let long = of(&send("Clinic", &"a".repeat(161)), &options);
        assert_eq!(value(&long, "type").as_deref(), Some("text"));
        let reference = value(&long, "client-ref").unwrap();
        assert_eq!(reference, format!("{id}/2"));
        assert!(reference.len() <= 40);
        let method = VonageSignatureMethod::HmacSha256;
        options.signature = Some(VonageSignature { secret: Secret::new("key"), method });
        options.sign_requests = true;
        let signed = of(&send("Clinic", "hello"), &options);
        assert_eq!(value(&signed, "api_secret"), None);
        assert_eq!(value(&signed, "timestamp").as_deref(), Some("1790000000"));
        assert_eq!(value(&signed, "sig").map(|sig| sig.len()), Some(64));
    }
}
