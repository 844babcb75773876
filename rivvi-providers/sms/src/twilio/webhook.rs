//! Receipts and messages that came in.

use chrono::{DateTime, Utc};
use rivvi_core::domain::{E164, Personal, ProviderName, Sender};
use rivvi_core::provider::{InboundSms, SmsNews, WebhookError, WebhookRequest};

use super::code::fate;
use super::message::OUR_ID;
use crate::params::Params;
use crate::receipt::Receipt;

/// What a verified webhook tells. Those of other channels, and those that are neither receipt nor message, tell nothing.
/// Twilio's webhooks say nothing of time, so it is that of their arrival.
///
/// Source: <https://www.twilio.com/docs/messaging/guides/webhook-request>,
/// <https://www.twilio.com/docs/messaging/guides/track-outbound-message-status>
pub(super) fn read(
    provider: &ProviderName,
    request: &WebhookRequest,
    now: DateTime<Utc>,
) -> Result<SmsNews, WebhookError> {
    let query = Params::of_form(request.uri().query().unwrap_or_default().as_bytes());
    // A number may be set up to use GET.
    let params = if request.body().is_empty() { query.clone() } else { Params::of_form(request.body()) };
    let mut news = SmsNews::default();
    let status = params.get("MessageStatus").or_else(|| params.get("SmsStatus"));
    match status {
        // Messages that come in have the status `received`, in one parameter or in both.
        Some(status) if status != "received" && status != "receiving" => {
            let receipt = Receipt {
                id: query.get(OUR_ID).and_then(|id| id.parse().ok()),
                reference: sid(&params).map(str::to_owned),
                at: now,
                fate: fate(status, params.get("ErrorCode").and_then(|code| code.parse().ok())),
                cost: None,
            };
            news.updates = receipt.updates(provider);
        }
        _ if params.any("Body").is_some() => news.inbound.extend(inbound(&params, now)?),
        _ => {}
    }
    Ok(news)
}

fn sid(params: &Params) -> Option<&str> {
    params.get("MessageSid").or_else(|| params.get("SmsSid"))
}

/// A text message that came in; `None` for one of another channel, such as `whatsapp:+972541234567`.
fn inbound(params: &Params, now: DateTime<Utc>) -> Result<Option<InboundSms>, WebhookError> {
    let expected = |name: &str| WebhookError::Malformed(format!("expected `{name}`"));
    let (from, to) = (params.get("From").ok_or_else(|| expected("From"))?, params.get("To"));
    let to = to.ok_or_else(|| expected("To"))?;
    if from.contains(':') || to.contains(':') {
        return Ok(None);
    }
    Ok(Some(InboundSms {
        id: sid(params).ok_or_else(|| expected("MessageSid"))?.to_owned(),
        from: E164::from_e164(from).ok(),
        to: Sender::new(to).ok_or_else(|| expected("To"))?,
        text: Personal::new(params.any("Body").unwrap_or_default().to_owned()),
        at: now,
        is_opt_out: params.get("OptOutType") == Some("STOP"),
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rivvi_core::domain::{DeliveryFailure, DeliveryState};
    use rivvi_core::provider::{CallEvent, CallRef};
    use rivvi_core::testkit::build;

    use super::*;

    fn told(query: &str, body: &str) -> Result<SmsNews, WebhookError> {
        let mut request = WebhookRequest::new(Bytes::copy_from_slice(body.as_bytes()));
        *request.uri_mut() = format!("/sms?{query}").parse().unwrap();
        read(&ProviderName::new("twilio"), &request, build::start())
    }

    #[test]
    fn receipts_name_our_message_by_the_query_and_otherwise_the_vendors() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        let body = "MessageSid=SM1&MessageStatus=undelivered&SmsSid=SM1&SmsStatus=undelivered&ErrorCode=30006&\
            From=%2B15017122661&To=%2B972501234567&RawDlrDoneDate=2611211000";
        let updates = told(&format!("message_id={id}"), body).unwrap().updates;
        assert!(updates.iter().all(|update| update.call == CallRef::Id(id.parse().unwrap())));
        let expected = CallEvent::Delivery {
            state: DeliveryState::Undelivered,
            failure: Some(DeliveryFailure::NoSms),
            code: Some("30006".into()),
        };
        assert_eq!(updates[1].event, expected);
        let updates = told("message_id=mine", body).unwrap().updates;
        let reference = CallRef::Provider { provider: ProviderName::new("twilio"), reference: "SM1".into() };
        assert!(updates.iter().all(|update| update.call == reference));
        assert!(told("", "MessageStatus=sent").unwrap().updates.is_empty());
    }

    #[test]
    fn messages_come_in() {
        let body = "MessageSid=SM2&SmsSid=SM2&SmsStatus=received&AccountSid=AC1&From=%2B972501234567&To=%2B15017122661&\
            Body=%D7%94%D7%A1%D7%A8&NumMedia=0&NumSegments=1";
        let [inbound] = told("", body).unwrap().inbound.try_into().unwrap();
        assert_eq!((inbound.id.as_str(), inbound.text.expose().as_str()), ("SM2", "הסר"));
        assert_eq!(inbound.from.unwrap().expose(), "+972501234567");
        assert!(!inbound.is_opt_out);
        assert!(told("", &format!("{body}&OptOutType=STOP")).unwrap().inbound[0].is_opt_out);
        assert!(!told("", &format!("{body}&OptOutType=HELP")).unwrap().inbound[0].is_opt_out);
        let whatsapp = body.replace("From=", "From=whatsapp%3A");
        assert_eq!(told("", &whatsapp).unwrap(), SmsNews::default());
        assert_eq!(told("", &body.replace("%2B972501234567", "Bank")).unwrap().inbound[0].from, None);
        assert_eq!(told(body, "").unwrap().inbound.len(), 1, "by GET");
        let empty = told("", &body.replace("%D7%94%D7%A1%D7%A8", "")).unwrap();
        assert_eq!(empty.inbound[0].text.expose(), "", "a picture without a text");
    }

    #[test]
    fn what_is_neither_tells_nothing_and_garbage_is_named_without_its_content() {
        assert_eq!(told("", "").unwrap(), SmsNews::default());
        assert_eq!(told("", "CallSid=CA1&CallStatus=completed").unwrap(), SmsNews::default());
        for body in ["Body=Dana", "Body=Dana&From=1", "Body=Dana&From=1&To=%00", "Body=Dana&From=1&To=12345"]
        {
            let error = told("", body).unwrap_err();
            assert!(matches!(&error, WebhookError::Malformed(what) if !what.contains("Dana")), "{body}");
        }
    }
}
