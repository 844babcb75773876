//! Vonage's two APIs.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use http::{Request, Response};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{CallId, MessageSize, Secret};
use rivvi_core::provider::WebhookRequest;
use rivvi_provider_sms::{
    VonageCredentials, VonageMessages, VonageMessagesOptions, VonageSignature, VonageSignatureMethod,
    VonageSms, VonageSmsOptions,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{FORM, Far, Taken, form, params, post};

pub(crate) const API_KEY: &str = "abcd1234";
pub(crate) const API_SECRET: &str = "vonage-s3cr3t";
pub(crate) const SIGNATURE_SECRET: &str = "vonage_signature_s3cr3t_of_32_bytes";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(message: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(SIGNATURE_SECRET.as_bytes()).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn sms_options(base_url: String) -> VonageSmsOptions {
    let mut options = VonageSmsOptions::new(API_KEY, Secret::new(API_SECRET));
    let method = VonageSignatureMethod::HmacSha256;
    options.signature = Some(VonageSignature { secret: Secret::new(SIGNATURE_SECRET), method });
    options.base_url = base_url;
    options.terms.timeout = Duration::from_secs(2);
    options
}

pub(crate) fn sms(options: VonageSmsOptions) -> VonageSms {
    VonageSms::new(options, std::sync::Arc::new(SystemClock::new())).unwrap()
}

fn client_ref(reference: &str) -> Option<CallId> {
    reference.split('/').next()?.parse().ok()
}

fn sms_id(request: &Request<Bytes>) -> Option<CallId> {
    client_ref(params(request.body()).get("client-ref")?)
}

pub(crate) async fn sms_far() -> Far {
    Far::start(sms_id, answer_sms).await
}

fn answer_sms(taken: &Taken, request: &Request<Bytes>) -> Response<Bytes> {
    let refuse = |status: &str, text: &str| {
        let message = json!({ "status": status, "error-text": text });
        super::json(200, &json!({ "message-count": "1", "messages": [message] }))
    };
    if (request.method().as_str(), request.uri().path()) != ("POST", "/sms/json") {
        return super::json(404, &json!({}));
    }
    let params = params(request.body());
    let value = |name: &str| params.get(name).map(String::as_str);
    if (value("api_key"), value("api_secret")) != (Some(API_KEY), Some(API_SECRET)) {
        return refuse("4", "Bad Credentials");
    }
    let (Some(to), Some(text), Some(_)) = (value("to"), value("text"), value("from")) else {
        return refuse("2", "Missing to param");
    };
    assert!(!to.starts_with('+') && to.bytes().all(|byte| byte.is_ascii_digit()));
    let size = MessageSize::of(text);
    assert_eq!(value("type"), Some(if text.is_ascii() { "text" } else { "unicode" }));
    let reference = value("client-ref").unwrap();
    assert!(reference.len() <= 40);
    let mut taken = taken.lock().unwrap();
    taken.push((client_ref(reference).unwrap(), text.to_owned()));
    let part = |part: u32| {
        json!({
            "to": to, "message-id": format!("{:012X}{part:04X}", taken.len()), "status": "0",
            "remaining-balance": "3.14", "message-price": "0.0333", "network": "42501", "client-ref": reference,
        })
    };
    let parts: Vec<Value> = (1..=size.parts).map(part).collect();
    super::json(200, &json!({ "message-count": parts.len().to_string(), "messages": parts }))
}

/// A webhook of the SMS API as a form, signed at an instant.
pub(crate) fn signed_form(fields: &[(&str, &str)], at: DateTime<Utc>) -> WebhookRequest {
    let seconds = at.timestamp().to_string();
    let mut fields = fields.to_vec();
    fields.extend([("timestamp", seconds.as_str()), ("nonce", "ec11dd3e"), ("api-key", API_KEY)]);
    let mut sorted = fields.clone();
    sorted.sort_unstable();
    let text: String =
        sorted.iter().map(|(name, value)| format!("&{name}={}", value.replace(['&', '='], "_"))).collect();
    let signature = hex(&hmac(text.as_bytes())).to_uppercase();
    fields.push(("sig", signature.as_str()));
    post("/webhooks/vonage", FORM, form(fields))
}

pub(crate) fn messages_options(base_url: String) -> VonageMessagesOptions {
    let api_secret = Secret::new(API_SECRET);
    let credentials = VonageCredentials::Account { api_key: API_KEY.into(), api_secret };
    let mut options = VonageMessagesOptions::new(credentials);
    options.signature_secret = Some(Secret::new(SIGNATURE_SECRET));
    options.base_url = base_url;
    options.terms.timeout = Duration::from_secs(2);
    options
}

pub(crate) fn messages(options: VonageMessagesOptions) -> VonageMessages {
    VonageMessages::new(options, std::sync::Arc::new(SystemClock::new())).unwrap()
}

fn messages_id(request: &Request<Bytes>) -> Option<CallId> {
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    body["client_ref"].as_str()?.parse().ok()
}

pub(crate) async fn messages_far() -> Far {
    Far::start(messages_id, answer_messages).await
}

fn answer_messages(taken: &Taken, request: &Request<Bytes>) -> Response<Bytes> {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{API_KEY}:{API_SECRET}"));
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if authorization != Some(&format!("Basic {basic}")) {
        return super::json(401, &json!({ "type": "https://developer.vonage.com/api-errors#unauthorized" }));
    }
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/messages"));
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!((&body["channel"], &body["message_type"]), (&json!("sms"), &json!("text")));
    let text = body["text"].as_str().unwrap();
    let encoding = if text.is_ascii() { "text" } else { "unicode" };
    assert_eq!(body["sms"]["encoding_type"], encoding);
    let mut taken = taken.lock().unwrap();
    taken.push((messages_id(request).unwrap(), text.to_owned()));
    let uuid = format!("aaaaaaaa-bbbb-4ccc-8ddd-{:012x}", taken.len());
    super::json(202, &json!({ "message_uuid": uuid, "workflow_id": null }))
}

/// A webhook of the Messages API, signed at an instant.
pub(crate) fn signed_json(body: &Value, at: DateTime<Utc>) -> WebhookRequest {
    let body = body.to_string();
    let claims = json!({
        "iat": at.timestamp(), "jti": "c5ba8f24-1a14-4c10-bfdf-3fbe8ce511b5", "iss": "Vonage",
        "payload_hash": hex(&Sha256::digest(body.as_bytes())), "api_key": API_KEY,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(hmac(signed.as_bytes())));
    let mut request = post("/webhooks/vonage", "application/json", body);
    request.headers_mut().insert("authorization", token.parse().unwrap());
    request
}

/// The time, to the second.
pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(SystemClock::new().now().timestamp(), 0).unwrap()
}
