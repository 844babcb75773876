//! Against what the vendor publishes: its OpenAPI document, served by Prism, and its own SDK for Python.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{Personal, Secret};
use rivvi_core::provider::{
    CallLookup, Delivery, FindCall, InboundAnswer, ProviderErrorKind, VoiceProvider, WebhookError,
    WebhookRequest,
};
use rivvi_core::testkit::build;
use rivvi_provider_retell::{Retell, RetellOptions};
use serde_json::{Value, json};
use support::{FakeRetell, KEY, signed};

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run scripts/test, or eval \"$(scripts/services env)\"")
    })
}

fn retell(base_url: String) -> Retell {
    let mut options = RetellOptions::new(Secret::new(KEY));
    options.base_url = base_url;
    Retell::new(options, Arc::new(SystemClock::new())).unwrap()
}

fn prism() -> Retell {
    retell(variable("RIVVI_TEST_PRISM"))
}

#[tokio::test]
async fn placement_is_what_the_vendors_document_allows() {
    let mut request = build::place_call(1);
    request.agent_id = Some("oBeDLoLOeuAbiuaMFXRtDOLriTJ5tSxD".into());
    request.prompt = Some(Personal::new(build::UNICODE.into()));
    let placed = prism().place_call(&request).await.unwrap();
    assert!(placed.reference.is_some_and(|reference| !reference.is_empty()));
}

#[tokio::test]
async fn answers_of_the_vendors_document_are_understood() {
    let request = build::place_call(1);
    let query = FindCall {
        call_id: request.call_id,
        reference: Some("119c3f8e47135a29e65947eeb34cf12d".into()),
        to: request.to,
        intended_at: build::start(),
    };
    let CallLookup::Found(updates) = prism().find_call(&query).await.unwrap() else { panic!("it is found") };
    assert!(!updates.is_empty());
    let concurrency = prism().concurrency().await.unwrap();
    assert_eq!(concurrency.free(), Some(90));
}

/// Prism checks bodies: a request that the document does not allow is refused, so what passes above is allowed.
#[tokio::test]
async fn the_counterpart_refuses_what_the_document_does_not_allow() {
    let client = reqwest::Client::builder().tls_backend_preconfigured(no_tls()).build().unwrap();
    let url = format!("{}/v2/create-phone-call", variable("RIVVI_TEST_PRISM"));
    for (body, key, status) in [
        (json!({ "from_number": "+1", "to_number": "+2" }), Some(KEY), 201),
        (json!({ "from_number": "+1" }), Some(KEY), 422),
        (json!({ "from_number": "+1", "to_number": 2 }), Some(KEY), 422),
        (
            json!({ "from_number": "+1", "to_number": "+2", "agent_override": { "agent": { "ring_duration_ms": 1 } } }),
            Some(KEY),
            422,
        ),
        (json!({ "from_number": "+1", "to_number": "+2" }), None, 401),
    ] {
        let mut request = client.post(&url).json(&body);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        assert_eq!(request.send().await.unwrap().status(), status, "{body}");
    }
}

fn no_tls() -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth()
}

/// Asks the server around the vendor's SDK.
async fn sdk(verb: &str, asked: &Value) -> Value {
    let client = reqwest::Client::builder().tls_backend_preconfigured(no_tls()).build().unwrap();
    let url = format!("{}/retell/{verb}", variable("RIVVI_TEST_VENDOR_SDKS"));
    client.post(url).json(asked).send().await.unwrap().json().await.unwrap()
}

/// A webhook signed by the vendor's SDK.
async fn signed_by_sdk(body: &str, key: &str, at_ms: i64) -> WebhookRequest {
    let signed = sdk("sign", &json!({ "body": body, "key": key, "timestamp": at_ms })).await;
    let mut request = WebhookRequest::new(Bytes::copy_from_slice(body.as_bytes()));
    let signature = signed["signature"].as_str().unwrap().parse().unwrap();
    request.headers_mut().insert("x-retell-signature", signature);
    request
}

#[tokio::test]
async fn webhooks_signed_by_the_vendors_sdk_are_taken() {
    let retell = retell("http://127.0.0.1:9".into());
    let now = SystemClock::new().now();
    let millis = now.timestamp_millis();
    let request = build::place_call(1);
    let ours = json!({
        "call_id": request.call_id, "run_id": request.run_id, "row_id": request.contact_id,
        "org_id": request.org_id, "campaign_id": request.campaign_id,
    });
    for (name, updates) in [("Dana", 4), ("דנה \u{1f98a} \"'\\", 4)] {
        let call = json!({
            "call_id": "c", "direction": "outbound", "call_status": "ended", "disconnection_reason": "user_hangup",
            "transcript": name, "metadata": ours,
        });
        let body = serde_json::to_string_pretty(&json!({ "event": "call_ended", "call": call })).unwrap();
        let webhook = signed_by_sdk(&body, KEY, millis).await;
        assert_eq!(retell.decode_webhook(&webhook, now).unwrap().len(), updates, "{name}");
        let forged = signed_by_sdk(&body, "another key", millis).await;
        assert!(matches!(retell.decode_webhook(&forged, now), Err(WebhookError::Forged)));
        let stale = signed_by_sdk(&body, KEY, millis - 300_001).await;
        assert!(matches!(retell.decode_webhook(&stale, now), Err(WebhookError::Stale)));
    }
    let question = r#"{"event":"call_inbound","call_inbound":{"from_number":"+972541234567","to_number":"+97231234567"}}"#;
    let question = signed_by_sdk(question, KEY, millis).await;
    assert!(retell.decode_inbound(&question, now).unwrap().from.is_some());
}

/// The webhooks that other tests sign by themselves are signed as the vendor's SDK wants them.
#[tokio::test]
async fn the_vendors_sdk_takes_what_our_tests_sign() {
    let now = SystemClock::new().now();
    let webhook = signed(&json!({ "event": "call_started", "שם": "דנה" }), KEY, now);
    let signature = webhook.headers()["x-retell-signature"].to_str().unwrap();
    let body = std::str::from_utf8(webhook.body()).unwrap();
    for (key, verified) in [(KEY, true), ("another key", false)] {
        let asked = json!({ "body": body, "key": key, "signature": signature });
        assert_eq!(sdk("verify", &asked).await["verified"], verified);
    }
}

/// Requests that the OpenAPI document, which is older, does not know.
#[tokio::test]
async fn requests_are_of_the_types_of_the_vendors_sdk() {
    let fake = FakeRetell::start().await;
    let retell = fake.provider(Arc::new(SystemClock::new()), Duration::from_secs(5));
    let mut request = build::place_call(1);
    request.agent_id = Some("agent".into());
    retell.place_call(&request).await.unwrap();
    let query =
        FindCall { call_id: request.call_id, reference: None, to: request.to, intended_at: build::start() };
    assert!(matches!(retell.find_call(&query).await.unwrap(), CallLookup::Found(_)));
    for (path, kind) in
        [("/v2/create-phone-call", "CallCreatePhoneCallParams"), ("/v3/list-calls", "CallListParams")]
    {
        let [sent] = fake.requests(path).try_into().unwrap();
        let value: Value = serde_json::from_slice(sent.body()).unwrap();
        assert_eq!(
            sdk("check", &json!({ "type": kind, "value": value })).await["problem"],
            Value::Null,
            "{kind}"
        );
        let broken = json!({ "type": kind, "value": { "from_number": 7, "limit": "many" } });
        assert_ne!(sdk("check", &broken).await["problem"], Value::Null, "the types are checked");
    }
}

/// The far side of the other tests answers what the vendor's SDK, reading strictly, understands.
#[tokio::test(flavor = "multi_thread")]
async fn the_far_side_of_the_tests_answers_as_the_vendor_does() {
    let fake = FakeRetell::start().await;
    let asked =
        json!({ "base_url": fake.far.url(), "key": KEY, "to": "+972541234567", "from": "+97231234567" });
    assert_eq!(sdk("converse", &asked).await["problem"], Value::Null);
    let asked =
        json!({ "base_url": fake.far.url(), "key": "wrong", "to": "+972541234567", "from": "+97231234567" });
    assert_ne!(sdk("converse", &asked).await["problem"], Value::Null, "problems are told");
}

#[tokio::test]
async fn what_nobody_answers_is_told_for_what_it_is() {
    // The discard port: nobody listens.
    let error = retell("http://127.0.0.1:9".into()).place_call(&build::place_call(1)).await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ProviderErrorKind::Unavailable, Delivery::NotSent));
    let answer = retell("http://127.0.0.1:9".into()).encode_inbound(&InboundAnswer::default());
    assert_eq!(answer.status(), 200);
}
