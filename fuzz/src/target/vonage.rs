//! Webhooks of Vonage, of both APIs.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hmac::Hmac;
use rivvi_core::clock::VirtualClock;
use rivvi_core::domain::Secret;
use rivvi_core::provider::{SmsProvider, WebhookError};
use rivvi_provider_sms::{
    VonageCredentials, VonageMessages, VonageMessagesOptions, VonageSignature, VonageSignatureMethod,
    VonageSms, VonageSmsOptions,
};
use sha2::{Digest, Sha256};

use super::request::{self, ARRIVES_AT_MS, arrives_at, hex, mac, with_header};

pub(super) const WORDS: &[&str] = &[
    "messageId=",
    "msisdn=",
    "to=",
    "text=",
    "status=",
    "err-code=",
    "client-ref=",
    "price=",
    "concat-ref=1",
    "concat-part=1",
    "concat-total=2",
    "message-timestamp=",
    "sig=",
    "timestamp=",
    "delivered",
    "failed",
    "application/json",
    "application/x-www-form-urlencoded",
    "Content-Type:",
    "Authorization: Bearer ",
    "&",
    "=",
    "\"client_ref\":",
    "\"message_uuid\":",
    "\"usage\":",
    "\"error\":",
    "\"channel\":\"sms\"",
    "\"message_type\":\"text\"",
    "null",
    "{\"",
    "}",
    "2026-09-21T14:13:20Z",
];

const SECRET: &str = "a signature secret of the account";

struct Providers {
    sms: VonageSms,
    messages: VonageMessages,
}

#[allow(clippy::expect_used, reason = "the options are good")]
fn providers() -> &'static Providers {
    static PROVIDERS: OnceLock<Providers> = OnceLock::new();
    PROVIDERS.get_or_init(|| {
        let clock = Arc::new(VirtualClock::new(arrives_at()));
        let mut options = VonageSmsOptions::new("abcd1234", Secret::new("s3cr3t"));
        let method = VonageSignatureMethod::HmacSha256;
        options.signature = Some(VonageSignature { secret: Secret::new(SECRET), method });
        let sms = VonageSms::new(options, clock.clone()).expect("options");
        let api_key = "abcd1234".into();
        let account = VonageCredentials::Account { api_key, api_secret: Secret::new("s3cr3t") };
        let mut options = VonageMessagesOptions::new(account);
        options.signature_secret = Some(Secret::new(SECRET));
        Providers { sms, messages: VonageMessages::new(options, clock).expect("options") }
    })
}

/// At the SMS API: as it came, and a form of the same parameters, signed.
pub(super) fn sms(input: &[u8]) {
    let provider = &providers().sms;
    let raw = request::read(input);
    assert!(provider.decode_webhook(&raw, arrives_at()).is_err(), "nothing in the corpus is signed");
    let mut params: BTreeMap<String, String> = form_urlencoded::parse(raw.body()).into_owned().collect();
    params.remove("sig");
    params.insert("timestamp".into(), (ARRIVES_AT_MS / 1000).to_string());
    let text: String =
        params.iter().map(|(name, value)| format!("&{name}={}", value.replace(['&', '='], "_"))).collect();
    params.insert("sig".into(), hex(&mac::<Hmac<Sha256>>(SECRET, &[text.as_bytes()])));
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(&params).finish();
    let mut signed = with_header(&raw, "content-type", "application/x-www-form-urlencoded");
    *signed.method_mut() = http::Method::POST;
    *signed.body_mut() = Bytes::from(form);
    let told = provider.decode_webhook(&signed, arrives_at());
    assert!(!matches!(told, Err(WebhookError::Forged | WebhookError::Stale)), "the signature holds");
}

/// At the Messages API: as it came, and with a token for its body.
pub(super) fn messages(input: &[u8]) {
    let provider = &providers().messages;
    let raw = request::read(input);
    assert!(provider.decode_webhook(&raw, arrives_at()).is_err(), "nothing in the corpus is signed");
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let hash = hex(&Sha256::digest(raw.body()));
    let claims = format!(r#"{{"iat":{},"payload_hash":"{hash}"}}"#, ARRIVES_AT_MS / 1000);
    let token = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#.into()), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(mac::<Hmac<Sha256>>(SECRET, &[token.as_bytes()]));
    let signed = with_header(&raw, "authorization", &format!("Bearer {token}.{signature}"));
    let told = provider.decode_webhook(&signed, arrives_at());
    assert!(!matches!(told, Err(WebhookError::Forged | WebhookError::Stale)), "the signature holds");
}
