//! Webhooks as the corpus writes them.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderName, HeaderValue, Method};
use rivvi_core::provider::WebhookRequest;

/// When every webhook arrives, 2026-09-21T14:13:20Z.
pub(super) const ARRIVES_AT_MS: i64 = 1_790_000_000_000;

pub(super) fn arrives_at() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(ARRIVES_AT_MS).unwrap_or_default()
}

/// A request from an input: a line with method and address, lines of headers, an empty line, the body. What is no method,
/// address or header is left out, for a server does not let it through.
pub(super) fn read(input: &[u8]) -> WebhookRequest {
    let (head, body) = match input.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&input[..end], &input[end + 2..]),
        None => (&[][..], input),
    };
    let mut request = WebhookRequest::new(Bytes::copy_from_slice(body));
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next().unwrap_or_default().splitn(2, |byte| *byte == b' ');
    if let Some(Ok(method)) = first.next().map(Method::from_bytes) {
        *request.method_mut() = method;
    }
    if let Some(Ok(uri)) = first.next().map(http::Uri::try_from) {
        *request.uri_mut() = uri;
    }
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = parts.next().and_then(|name| HeaderName::from_bytes(name).ok());
        let value = parts.next().and_then(|value| HeaderValue::from_bytes(value.trim_ascii()).ok());
        if let (Some(name), Some(value)) = (name, value) {
            request.headers_mut().append(name, value);
        }
    }
    request
}

/// The same request with one header in place of all of that name.
pub(super) fn with_header(request: &WebhookRequest, name: &'static str, value: &str) -> WebhookRequest {
    let mut request = request.clone();
    if let Ok(value) = HeaderValue::from_str(value) {
        request.headers_mut().insert(name, value);
    }
    request
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A MAC over parts of a text.
pub(super) fn mac<M: hmac::Mac + hmac::digest::KeyInit>(key: &str, parts: &[&[u8]]) -> Vec<u8> {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of every length")]
    let mut mac = <M as hmac::Mac>::new_from_slice(key.as_bytes()).expect("a key");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}
