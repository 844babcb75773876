//! Webhooks of Twilio.

use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use rivvi_core::clock::VirtualClock;
use rivvi_core::domain::Secret;
use rivvi_core::provider::{SmsProvider, WebhookRequest};
use rivvi_provider_sms::{TwilioOptions, TwilioSms};
use sha1::Sha1;

use super::request::{self, arrives_at, mac, with_header};

pub(super) const WORDS: &[&str] = &[
    "MessageStatus=",
    "SmsStatus=",
    "MessageSid=",
    "SmsSid=",
    "ErrorCode=",
    "From=%2B972501234567",
    "To=",
    "Body=",
    "OptOutType=STOP",
    "delivered",
    "undelivered",
    "failed",
    "received",
    "message_id=",
    "bodySHA256=",
    "&",
    "=",
    "%",
    "%2B",
    "%00",
    "%ff",
    "+",
    "X-Twilio-Signature:",
    "X-Twilio-Webhooks-Signature-Settings:",
    "key=one,algorithm=HMAC_SHA256",
];

const TOKEN: &str = "0123456789abcdef";
const PUBLIC: &str = "https://hooks.example.com/sms";

#[allow(clippy::expect_used, reason = "the options are good")]
fn provider() -> &'static TwilioSms {
    static PROVIDER: OnceLock<TwilioSms> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let mut options = TwilioOptions::new("AC00000000000000000000000000000001", Secret::new(TOKEN));
        options.webhook_url = Some(PUBLIC.into());
        options.shared_keys.insert("one".into(), Secret::new(TOKEN));
        TwilioSms::new(options, Arc::new(VirtualClock::new(arrives_at()))).expect("options")
    })
}

/// The request with the signature that its parameters ask for.
fn signed(raw: &WebhookRequest) -> WebhookRequest {
    let mut params: Vec<_> = form_urlencoded::parse(raw.body()).collect();
    params.sort_unstable();
    params.dedup();
    let query = raw.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let values: String = params.iter().map(|(name, value)| format!("{name}{value}")).collect();
    let digest = mac::<Hmac<Sha1>>(TOKEN, &[PUBLIC.as_bytes(), query.as_bytes(), values.as_bytes()]);
    let mut request = with_header(raw, "x-twilio-signature", &STANDARD.encode(digest));
    request.headers_mut().remove("x-twilio-webhooks-signature-settings");
    request
}

/// As it came, and signed.
pub(super) fn webhook(input: &[u8]) {
    let raw = request::read(input);
    assert!(provider().decode_webhook(&raw, arrives_at()).is_err(), "nothing in the corpus is signed");
    let signed = signed(&raw);
    let told = provider().decode_webhook(&signed, arrives_at());
    let has_digest = raw.uri().query().is_some_and(|query| query.contains("bodySHA256"));
    let is_forged = matches!(told, Err(rivvi_core::provider::WebhookError::Forged));
    assert!(has_digest || !is_forged, "the signature holds");
    assert_eq!(told.ok(), provider().decode_webhook(&signed, arrives_at()).ok());
}
