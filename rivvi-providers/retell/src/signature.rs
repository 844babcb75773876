//! Who sent a webhook, and when.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use rivvi_core::domain::Secret;
use rivvi_core::provider::{WebhookError, WebhookRequest};
use sha2::Sha256;

/// The header that carries the signature.
const HEADER: &str = "x-retell-signature";

/// Verifies the signature over the raw body: `v=<unix milliseconds>,d=<hex>`, where the digest is HMAC-SHA256, under the
/// API key, of the body followed by the decimal milliseconds. The digests are compared in constant time. Returns when it
/// was signed.
///
/// # Errors
/// [`WebhookError::Forged`], or [`WebhookError::Stale`] if it was signed more than `age_max` before or after `now`.
///
/// Source: `webhook_auth` of Retell's official SDKs (retell-sdk 6.2.13 for Python, 5.66.1 for TypeScript).
pub(crate) fn verify(
    request: &WebhookRequest,
    key: &Secret,
    now: DateTime<Utc>,
    age_max: Duration,
) -> Result<DateTime<Utc>, WebhookError> {
    let mut values = request.headers().get_all(HEADER).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(WebhookError::Forged) };
    let (millis, digest) = value.to_str().ok().and_then(parse).ok_or(WebhookError::Forged)?;
    mac(key, request.body(), millis).verify_slice(&digest).map_err(|_| WebhookError::Forged)?;
    let signed_at = DateTime::from_timestamp_millis(millis).ok_or(WebhookError::Stale)?;
    match (now - signed_at).abs().to_std() {
        Ok(age) if age <= age_max => Ok(signed_at),
        _ => Err(WebhookError::Stale),
    }
}

fn mac(key: &Secret, body: &[u8], millis: i64) -> Hmac<Sha256> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.expose().as_bytes())
        .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
    mac.update(body);
    mac.update(millis.to_string().as_bytes());
    mac
}

fn parse(header: &str) -> Option<(i64, [u8; 32])> {
    let (millis, digest) = header.strip_prefix("v=")?.split_once(",d=")?;
    if millis.is_empty() || !millis.bytes().all(|byte| byte.is_ascii_digit()) || digest.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digest.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some((millis.parse().ok()?, bytes))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::TimeDelta;
    use serde::Deserialize;

    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(300);

    /// What the vendor's SDKs make of one body and key.
    #[derive(Deserialize)]
    struct Vector {
        key: String,
        timestamp_ms: i64,
        body: String,
        signature: String,
    }

    fn vector() -> Vector {
        serde_json::from_str(include_str!("../tests/data/signature.json")).unwrap()
    }

    fn request(body: &str, signature: &str) -> WebhookRequest {
        let mut request = WebhookRequest::new(Bytes::copy_from_slice(body.as_bytes()));
        request.headers_mut().insert(HEADER, http::HeaderValue::from_str(signature).unwrap());
        request
    }

    fn judge(body: &str, signature: &str, key: &str, late_ms: i64) -> Result<DateTime<Utc>, WebhookError> {
        let now = DateTime::from_timestamp_millis(vector().timestamp_ms + late_ms).unwrap();
        verify(&request(body, signature), &Secret::new(key), now, TOLERANCE)
    }

    #[test]
    fn judges_as_the_vendors_sdks_do() {
        let Vector { key, timestamp_ms, body, signature } = vector();
        let signed_at = DateTime::from_timestamp_millis(timestamp_ms).unwrap();
        for late_ms in [0, 300_000, -300_000] {
            assert_eq!(judge(&body, &signature, &key, late_ms).unwrap(), signed_at, "{late_ms}");
        }
        for late_ms in [300_001, -300_001] {
            assert!(matches!(judge(&body, &signature, &key, late_ms), Err(WebhookError::Stale)), "{late_ms}");
        }
        let digest = &signature[signature.len() - 64..];
        let forgeries = [
            (format!("{body} "), signature.clone(), key.clone()),
            (body.clone(), signature.clone(), "wrong_key".into()),
            (body.clone(), format!(" {signature}"), key.clone()),
            (body.clone(), format!("{signature} "), key.clone()),
            (body.clone(), signature[..signature.len() - 1].into(), key.clone()),
            (body.clone(), format!("v={},d={digest}", timestamp_ms + 1), key.clone()),
            (body.clone(), format!("v=+{timestamp_ms},d={digest}"), key.clone()),
            (body.clone(), format!("v=,d={digest}"), key.clone()),
            (body.clone(), format!("v=99999999999999999999,d={digest}"), key.clone()),
            (body.clone(), format!("d={digest},v={timestamp_ms}"), key.clone()),
            (body.clone(), String::new(), key.clone()),
        ];
        for (n, (body, signature, key)) in forgeries.iter().enumerate() {
            assert!(matches!(judge(body, signature, key, 0), Err(WebhookError::Forged)), "forgery {n}");
        }
        let upper = format!("v={timestamp_ms},d={}", digest.to_uppercase());
        assert!(judge(&body, &upper, &key, 0).is_ok(), "the TypeScript SDK takes capital letters, too");
    }

    #[test]
    fn two_signatures_are_none() {
        let Vector { key, timestamp_ms, body, signature } = vector();
        let mut request = request(&body, &signature);
        request.headers_mut().append(HEADER, http::HeaderValue::from_str(&signature).unwrap());
        let now = DateTime::from_timestamp_millis(timestamp_ms).unwrap() + TimeDelta::seconds(1);
        let judged = verify(&request, &Secret::new(key), now, TOLERANCE);
        assert!(matches!(judged, Err(WebhookError::Forged)));
    }
}
