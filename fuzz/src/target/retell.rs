//! Webhooks of Retell.

use std::sync::{Arc, OnceLock};

use hmac::Hmac;
use rivvi_core::clock::VirtualClock;
use rivvi_core::domain::Secret;
use rivvi_core::provider::{VoiceProvider, WebhookRequest};
use rivvi_provider_retell::{Retell, RetellOptions};
use sha2::Sha256;

use super::any;
use super::request::{self, ARRIVES_AT_MS, arrives_at, hex, mac, with_header};

pub(super) const WORDS: &[&str] = &[
    "call_started",
    "call_ended",
    "call_analyzed",
    "call_inbound",
    "x-retell-signature:",
    "v=",
    ",d=",
    "\"metadata\":",
    "\"disconnection_reason\":",
    "dial_busy",
    "dial_no_answer",
    "voicemail_reached",
    "user_hangup",
    "\"call_analysis\":",
    "\"custom_analysis_data\":",
    "\"call_cost\":",
    "\"combined_cost\":",
    "\"start_timestamp\":",
    "\"end_timestamp\":",
    "\"transcript\":",
    "\"opt_out\":true",
    "\"callback_at\":",
    "null",
    "{\"",
    "}",
    "[",
    "]",
];

const KEY: &str = "key_0123456789";

#[allow(clippy::expect_used, reason = "the options are good")]
fn provider() -> &'static Retell {
    static PROVIDER: OnceLock<Retell> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        let clock = Arc::new(VirtualClock::new(arrives_at()));
        Retell::new(RetellOptions::new(Secret::new(KEY)), clock).expect("options")
    })
}

fn signed(raw: &WebhookRequest) -> WebhookRequest {
    let at = ARRIVES_AT_MS.to_string();
    let digest = hex(&mac::<Hmac<Sha256>>(KEY, &[raw.body(), at.as_bytes()]));
    with_header(raw, "x-retell-signature", &format!("v={at},d={digest}"))
}

/// What calls come to, as it came and signed.
pub(super) fn webhook(input: &[u8]) {
    let raw = request::read(input);
    assert!(provider().decode_webhook(&raw, arrives_at()).is_err(), "nothing in the corpus is signed");
    let signed = signed(&raw);
    let told = provider().decode_webhook(&signed, arrives_at());
    assert_eq!(told.ok(), provider().decode_webhook(&signed, arrives_at()).ok());
    any(provider().inbound_opt_out(&signed, arrives_at()));
}

/// Calls that come in, as it came and signed.
pub(super) fn inbound(input: &[u8]) {
    let raw = request::read(input);
    assert!(provider().decode_inbound(&raw, arrives_at()).is_err(), "nothing in the corpus is signed");
    any(provider().decode_inbound(&signed(&raw), arrives_at()));
}
