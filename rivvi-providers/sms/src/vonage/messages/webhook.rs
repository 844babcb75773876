//! Receipts and messages that came in, at the Messages API.

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Personal, ProviderName};
use rivvi_core::provider::{InboundSms, SmsNews, WebhookError};
use serde::Deserialize;
use serde_json::Value;

use super::code::{Problem, fate};
use crate::receipt::Receipt;
use crate::vonage::{number, price};

/// A receipt, or a message that came in. What is not there is null.
///
/// Source: <https://developer.vonage.com/en/api/messages-olympus#webhooks>
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Webhook {
    message_uuid: Option<String>,
    client_ref: Value,
    timestamp: Value,
    status: Value,
    error: Value,
    usage: Value,
    channel: Value,
    text: Value,
    from: Value,
    to: Value,
}

/// What a verified webhook tells. Messages of other channels, and webhooks that are neither receipt nor text, tell nothing.
pub(super) fn read(
    provider: &ProviderName,
    body: &[u8],
    signed_at: DateTime<Utc>,
) -> Result<SmsNews, WebhookError> {
    let webhook: Webhook = serde_json::from_slice(body).map_err(|error| {
        WebhookError::Malformed(format!("line {}, column {}", error.line(), error.column()))
    })?;
    let mut news = SmsNews::default();
    let at = webhook.timestamp.as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let at = at.map_or(signed_at, |at| at.to_utc());
    let is_sms = webhook.channel.as_str().is_none_or(|channel| channel.eq_ignore_ascii_case("sms"));
    if let Some(status) = webhook.status.as_str() {
        news.updates = webhook.receipt(status, at).updates(provider);
    } else if let (true, Some(text)) = (is_sms, webhook.text.as_str()) {
        news.inbound.push(webhook.inbound(text, at)?);
    }
    Ok(news)
}

impl Webhook {
    fn receipt(&self, status: &str, at: DateTime<Utc>) -> Receipt {
        let problem: Problem = serde_json::from_value(self.error.clone()).unwrap_or_default();
        let cost = self.usage["price"].as_str();
        Receipt {
            id: self.client_ref.as_str().and_then(|id| id.parse().ok()),
            reference: self.message_uuid.clone(),
            at,
            fate: fate(status, &problem),
            cost: cost.and_then(|text| price(text, self.usage["currency"].as_str())),
        }
    }

    fn inbound(&self, text: &str, at: DateTime<Utc>) -> Result<InboundSms, WebhookError> {
        let expected = |name: &str| WebhookError::Malformed(format!("expected `{name}`"));
        let to = self.to.as_str().and_then(number::read_sender);
        Ok(InboundSms {
            id: self.message_uuid.clone().ok_or_else(|| expected("message_uuid"))?,
            from: number::read(self.from.as_str().ok_or_else(|| expected("from"))?),
            to: to.ok_or_else(|| expected("to"))?,
            text: Personal::new(text.to_owned()),
            at,
            is_opt_out: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::{DeliveryState, Sender};
    use rivvi_core::provider::{CallEvent, CallRef};
    use rivvi_core::testkit::build;
    use serde_json::json;

    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn told(body: &Value) -> Result<SmsNews, WebhookError> {
        read(&ProviderName::new("vonage-messages"), body.to_string().as_bytes(), build::start())
    }

    #[test]
    fn receipts_tell_state_and_price() {
        let updates = told(&json!({
            "message_uuid": "aaaa", "to": "972541234567", "from": "Clinic", "timestamp": "2026-09-21T14:13:20Z",
            "status": "submitted", "usage": { "currency": "EUR", "price": "0.0666" }, "client_ref": ID,
            "channel": "sms", "sms": { "count_total": "2" }, "destination": { "network_code": "42501" },
        }))
        .unwrap()
        .updates;
        let [accepted, sent, cost] = updates.try_into().unwrap();
        assert_eq!(accepted.call, CallRef::Id(ID.parse().unwrap()));
        assert_eq!(accepted.at.to_rfc3339(), "2026-09-21T14:13:20+00:00");
        assert!(matches!(sent.event, CallEvent::Delivery { state: DeliveryState::Sent, .. }));
        let CallEvent::Enriched { detail } = cost.event else { panic!("the price is told") };
        assert_eq!(detail.cost.unwrap().micros, 66_600);
    }

    #[test]
    fn messages_come_in() {
        let body = json!({
            "message_uuid": "bbbb", "to": "97231234567", "from": "972541234567", "text": "הסר",
            "timestamp": "2026-09-21T14:13:20.520Z", "channel": "sms", "message_type": "text",
            "sms": { "num_messages": "2", "keyword": "X" }, "usage": null,
        });
        let [inbound] = told(&body).unwrap().inbound.try_into().unwrap();
        assert_eq!((inbound.id.as_str(), inbound.text.expose().as_str()), ("bbbb", "הסר"));
        assert_eq!(inbound.from.unwrap().expose(), "+972541234567");
        assert_eq!(inbound.to, Sender::new("+97231234567").unwrap());
        let mut other = body.clone();
        other["channel"] = json!("whatsapp");
        assert_eq!(told(&other).unwrap(), SmsNews::default());
        let mut named = body;
        named["from"] = json!("Bank");
        assert_eq!(told(&named).unwrap().inbound[0].from, None);
    }

    #[test]
    fn what_is_neither_tells_nothing_and_garbage_is_named_without_its_content() {
        for body in
            [json!({}), json!([]), json!({ "message_uuid": "a", "message_type": "image", "channel": "mms" })]
        {
            assert_eq!(told(&body).unwrap(), SmsNews::default());
        }
        for body in [
            json!("Dana"),
            json!({ "text": "Dana" }),
            json!({ "text": "Dana", "from": "1", "message_uuid": "a" }),
        ] {
            let error = told(&body).unwrap_err();
            assert!(matches!(&error, WebhookError::Malformed(what) if !what.contains("Dana")), "{body}");
        }
    }
}
