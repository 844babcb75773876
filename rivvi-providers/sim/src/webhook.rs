//! Webhooks as the network sends them: JSON with an HMAC-SHA256 signature over time and raw body.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use http::Request;
use rivvi_core::domain::Secret;
use rivvi_core::provider::{WebhookError, WebhookRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

pub(crate) const SIGNATURE: &str = "x-sim-signature";

/// The webhook that tells `news`, signed at `now`.
pub(crate) fn encode(news: &impl Serialize, key: &Secret, now: DateTime<Utc>) -> WebhookRequest {
    let body = Bytes::from(serde_json::to_vec(news).unwrap_or_default());
    let at = now.timestamp_millis();
    let signature = format!("t={at},s={}", hex(&mac(key, at, &body).finalize().into_bytes()));
    let mut request = Request::new(body);
    if let Ok(value) = signature.parse() {
        request.headers_mut().insert(SIGNATURE, value);
    }
    request
}

/// Verifies and reads a webhook.
pub(crate) fn decode<T: DeserializeOwned>(
    request: &WebhookRequest,
    key: &Secret,
    now: DateTime<Utc>,
    age_max: Duration,
) -> Result<T, WebhookError> {
    let header = request.headers().get(SIGNATURE).and_then(|value| value.to_str().ok());
    let (at, signature) = header.and_then(parse_signature).ok_or(WebhookError::Forged)?;
    mac(key, at, request.body()).verify_slice(&signature).map_err(|_| WebhookError::Forged)?;
    let signed_at = DateTime::from_timestamp_millis(at).ok_or(WebhookError::Stale)?;
    if (now - signed_at).abs().to_std().is_ok_and(|age| age > age_max) {
        return Err(WebhookError::Stale);
    }
    serde_json::from_slice(request.body())
        .map_err(|error| WebhookError::Malformed(format!("line {}, column {}", error.line(), error.column())))
}

fn mac(key: &Secret, at: i64, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.expose().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(at.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    mac
}

fn parse_signature(header: &str) -> Option<(i64, Vec<u8>)> {
    let (at, signature) = header.strip_prefix("t=")?.split_once(",s=")?;
    let digits: Vec<u8> =
        signature.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let bytes = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    (digits.len() == 64).then_some((at.parse().ok()?, bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::CallId;
    use rivvi_core::provider::{CallEvent, CallRef, CallUpdate};

    use chrono::TimeDelta;

    use super::*;

    const AGE_MAX: Duration = Duration::from_secs(300);

    #[test]
    fn only_what_was_signed_lately_with_the_key_is_read() {
        let key = Secret::new("a key");
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let call = CallRef::Id("00000000-0000-7000-8000-000000000001".parse::<CallId>().unwrap());
        let update = CallUpdate { call, at: now, event: CallEvent::Ringing };
        let request = encode(&update, &key, now);
        let decode = decode::<CallUpdate>;
        assert_eq!(decode(&request, &key, now + AGE_MAX, AGE_MAX).unwrap(), update);
        let late = decode(&request, &key, now + AGE_MAX + TimeDelta::milliseconds(1), AGE_MAX);
        assert!(matches!(late, Err(WebhookError::Stale)));
        let other = decode(&request, &Secret::new("another key"), now, AGE_MAX);
        assert!(matches!(other, Err(WebhookError::Forged)));
        let mut changed = request.clone();
        *changed.body_mut() = Bytes::from([request.body().as_ref(), b" "].concat());
        assert!(matches!(decode(&changed, &key, now, AGE_MAX), Err(WebhookError::Forged)));
        assert!(matches!(decode(&Request::new(Bytes::new()), &key, now, AGE_MAX), Err(WebhookError::Forged)));
    }
}
