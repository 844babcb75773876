//! Webhooks about calls.

use chrono::{DateTime, Utc};
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{CallUpdate, InboundOptOut, WebhookError};
use serde::Deserialize;

use crate::call::Picture;
use crate::updates::{Occasion, of_call, opted_out_stranger};

/// The body of a webhook: `{"event": "...", "call": {...}}`.
///
/// Source: <https://docs.retellai.com/features/webhook-overview>
#[derive(Deserialize)]
struct Body {
    event: String,
    #[serde(default)]
    call: Option<serde_json::Value>,
}

/// What a webhook tells, once its signature of `signed_at` is verified. Events that we do not know, or that say nothing
/// about how a call went, tell nothing.
pub(crate) fn read(
    provider: &ProviderName,
    body: &[u8],
    callback_variable: &str,
    signed_at: DateTime<Utc>,
) -> Result<Vec<CallUpdate>, WebhookError> {
    let Some((picture, occasion)) = picture(body)? else { return Ok(Vec::new()) };
    Ok(of_call(provider, &picture, occasion, callback_variable, signed_at))
}

/// Who asked not to be called in an inbound call that belongs to none of ours.
pub(crate) fn stranger_opt_out(
    provider: &ProviderName,
    body: &[u8],
    now: DateTime<Utc>,
) -> Option<InboundOptOut> {
    let (picture, occasion) = picture(body).ok()??;
    opted_out_stranger(provider, &picture, occasion, now)
}

/// The call that a webhook is about; `None` for events that say nothing about how a call went.
fn picture(body: &[u8]) -> Result<Option<(Picture, Occasion)>, WebhookError> {
    let body: Body = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    let occasion = match body.event.as_str() {
        "call_started" => Occasion::Started,
        "call_ended" | "call_analyzed" => Occasion::Ended,
        _ => return Ok(None),
    };
    let call = body.call.ok_or_else(|| WebhookError::Malformed("expected the object `call`".into()))?;
    let picture = serde_json::from_value(call).map_err(|error| malformed(&error))?;
    Ok(Some((picture, occasion)))
}

/// Where it is malformed: what stands there may be personal.
pub(crate) fn malformed(error: &serde_json::Error) -> WebhookError {
    WebhookError::Malformed(format!("line {}, column {}", error.line(), error.column()))
}

#[cfg(test)]
mod tests {
    use rivvi_core::testkit::build;

    use super::*;

    /// How much a webhook tells, with our metadata in place of `OURS`.
    fn told(body: &str) -> Result<usize, WebhookError> {
        let ours = crate::metadata::Metadata::of_placed(&build::place_call(1));
        let body = body.replace("OURS", &format!(r#""metadata":{}"#, serde_json::to_string(&ours).unwrap()));
        read(&ProviderName::new("retell"), body.as_bytes(), "callback_at", build::start())
            .map(|all| all.len())
    }

    #[test]
    fn events_that_tell_nothing_are_fine_and_garbage_is_named_without_its_content() {
        for (body, updates) in [
            (r#"{"event":"call_started","call":{"call_id":"c","direction":"outbound",OURS}}"#, 2),
            (r#"{"event":"call_ended","call":{"call_id":"c","call_status":"not_connected",OURS}}"#, 2),
            (r#"{"event":"call_analyzed","call":{"call_id":"c","call_status":"ended",OURS},"extra":[]}"#, 3),
            (r#"{"event":"call_ended","call":{"call_id":"c","call_status":"ended"}}"#, 0),
            (r#"{"event":"transcript_updated","call":{"call_id":"c"}}"#, 0),
            (r#"{"event":"transfer_started","call":{"call_id":"c"},"transfer_destination":{}}"#, 0),
            (r#"{"event":"chat_started","chat":{}}"#, 0),
            (r#"{"event":"call_dreamt","call":7}"#, 0),
        ] {
            assert_eq!(told(body).unwrap(), updates, "{body}");
        }
        for body in [
            "",
            "null",
            "[]",
            "{}",
            r#"{"event":7}"#,
            r#"{"event":"call_ended"}"#,
            r#"{"event":"call_ended","call":"Dana"}"#,
        ] {
            let error = told(body).unwrap_err();
            assert!(matches!(&error, WebhookError::Malformed(place) if !place.contains("Dana")), "{body}");
        }
    }
}
