//! Receipts and messages that came in, at the SMS API.

use chrono::{DateTime, NaiveDateTime, Utc};
use http::{Method, header};
use rivvi_core::domain::{CallId, Personal, ProviderName};
use rivvi_core::provider::{InboundSms, SmsNews, WebhookError, WebhookRequest};

use super::code;
use crate::client::header;
use crate::money::times;
use crate::params::Params;
use crate::receipt::Receipt;
use crate::vonage::{number, price};

/// The parameters of a webhook: of its query, its form or its JSON, as the account's settings say.
pub(super) fn params(request: &WebhookRequest) -> Result<Params, WebhookError> {
    if request.method() == Method::GET && request.body().is_empty() {
        return Ok(Params::of_form(request.uri().query().unwrap_or_default().as_bytes()));
    }
    let kind = header(request.headers(), header::CONTENT_TYPE.as_str()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/x-www-form-urlencoded" => Ok(Params::of_form(request.body())),
        // The signature is over what is read, so nothing that cannot be read is signed.
        "application/json" => Params::of_json(request.body()).ok_or(WebhookError::Forged),
        _ => Err(WebhookError::Forged),
    }
}

/// Our id and the number of parts, as they travel in the 40 characters of `client-ref`.
pub(super) fn client_ref(id: CallId, parts: u32) -> String {
    if parts <= 1 { id.to_string() } else { format!("{id}/{parts}") }
}

fn read_client_ref(text: &str) -> Option<(CallId, u32)> {
    let (id, parts) = text.split_once('/').unwrap_or((text, "1"));
    Some((id.parse().ok()?, parts.parse().ok()?))
}

/// What verified parameters tell. Webhooks that are neither receipt nor message tell nothing.
pub(super) fn read(
    provider: &ProviderName,
    params: &Params,
    signed_at: DateTime<Utc>,
) -> Result<SmsNews, WebhookError> {
    let mut news = SmsNews::default();
    let at = params.get("message-timestamp").and_then(instant).unwrap_or(signed_at);
    if let Some(status) = params.get("status") {
        news.updates = receipt(params, status, at).updates(provider);
    } else if params.get("text").is_some() {
        news.inbound.push(inbound(params, at)?);
    }
    Ok(news)
}

/// Each part of a message has a receipt of its own; the price of one is that of each.
fn receipt(params: &Params, status: &str, at: DateTime<Utc>) -> Receipt {
    let ours = params.get("client-ref").and_then(read_client_ref);
    let of_part = params.get("price").and_then(|text| price(text, None));
    Receipt {
        id: ours.map(|(id, _)| id),
        reference: params.get("messageId").map(str::to_owned),
        at,
        fate: code::fate(status, params.get("err-code")),
        cost: ours.and_then(|(_, parts)| times(of_part?, parts)),
    }
}

/// Long messages come in parts, in any order, and decoding keeps nothing: each part is a message of its own, whose id names
/// its place as `id/reference/part/parts`.
fn inbound(params: &Params, at: DateTime<Utc>) -> Result<InboundSms, WebhookError> {
    let expected =
        |name: &str| params.get(name).ok_or_else(|| WebhookError::Malformed(format!("expected `{name}`")));
    let mut id = expected("messageId")?.to_owned();
    if let (Some(reference), Some(part), Some(parts)) =
        (params.get("concat-ref"), params.get("concat-part"), params.get("concat-total"))
    {
        id = format!("{id}/{reference}/{part}/{parts}");
    }
    let to = number::read_sender(expected("to")?);
    Ok(InboundSms {
        id,
        from: number::read(expected("msisdn")?),
        to: to.ok_or_else(|| WebhookError::Malformed("`to`: expected a number or a short code".into()))?,
        text: Personal::new(expected("text")?.to_owned()),
        at,
        is_opt_out: false,
    })
}

/// `2026-09-21 14:13:20`, in UTC.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok().map(|at| at.and_utc())
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::{DeliveryState, Sender};
    use rivvi_core::provider::{CallEvent, CallRef};
    use rivvi_core::testkit::build;

    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn told(form: &str) -> Result<SmsNews, WebhookError> {
        read(&ProviderName::new("vonage"), &Params::of_form(form.as_bytes()), build::start())
    }

    #[test]
    fn receipts_name_our_message_and_its_whole_price() {
        let form = format!(
            "msisdn=972541234567&to=Clinic&messageId=0A1&price=0.0333&status=delivered&err-code=0&client-ref={ID}%2F3&\
            message-timestamp=2026-09-21+14%3A13%3A20"
        );
        let updates = told(&form).unwrap().updates;
        assert!(updates.iter().all(|update| update.call == CallRef::Id(ID.parse().unwrap())));
        assert!(updates.iter().all(|update| update.at.to_rfc3339() == "2026-09-21T14:13:20+00:00"));
        let [accepted, fate, cost] = updates.try_into().unwrap();
        assert_eq!(accepted.event, CallEvent::Accepted { reference: Some("0A1".into()) });
        assert!(matches!(fate.event, CallEvent::Delivery { state: DeliveryState::Delivered, .. }));
        let CallEvent::Enriched { detail } = cost.event else { panic!("the price is told") };
        assert_eq!(detail.cost.unwrap().micros, 99_900);
    }

    #[test]
    fn receipts_without_our_id_name_the_vendors() {
        let updates =
            told("messageId=0A1&status=failed&err-code=9&price=0.0333&client-ref=mine").unwrap().updates;
        assert_eq!(updates.len(), 2, "of how many parts the price is one cannot be told");
        let reference = CallRef::Provider { provider: ProviderName::new("vonage"), reference: "0A1".into() };
        assert!(updates.iter().all(|update| update.call == reference && update.at == build::start()));
        assert!(told("status=delivered").unwrap().updates.is_empty());
    }

    #[test]
    fn messages_come_in_whole_and_in_parts() {
        let whole = "msisdn=972541234567&to=97231234567&messageId=0B1&text=%D7%94%D7%A1%D7%A8&type=unicode&keyword=X&\
            message-timestamp=2026-09-21+14%3A13%3A20";
        let [inbound] = told(whole).unwrap().inbound.try_into().unwrap();
        assert_eq!((inbound.id.as_str(), inbound.text.expose().as_str()), ("0B1", "הסר"));
        assert_eq!(inbound.from.unwrap().expose(), "+972541234567");
        assert_eq!(inbound.to, Sender::new("+97231234567").unwrap());
        let part = told(&format!("{whole}&concat=true&concat-ref=17&concat-part=2&concat-total=3")).unwrap();
        assert_eq!(part.inbound[0].id, "0B1/17/2/3");
        let named = told(&whole.replace("972541234567", "Bank")).unwrap();
        assert_eq!(named.inbound[0].from, None);
    }

    #[test]
    fn what_is_neither_tells_nothing_and_garbage_is_named_without_its_content() {
        assert_eq!(told("messageId=1&type=binary&data=00").unwrap(), SmsNews::default());
        assert_eq!(told("").unwrap(), SmsNews::default());
        for form in
            ["text=Dana", "text=Dana&messageId=1&msisdn=1", "text=Dana&messageId=1&msisdn=1&to=%2B%2B"]
        {
            let error = told(form).unwrap_err();
            assert!(matches!(&error, WebhookError::Malformed(what) if !what.contains("Dana")), "{form}");
        }
    }

    #[test]
    fn parameters_come_as_query_form_or_json() {
        let read = |method: Method, uri: &str, kind: &str, body: &str| {
            let mut request = WebhookRequest::new(body.to_owned().into());
            *request.method_mut() = method;
            *request.uri_mut() = uri.parse().unwrap();
            request.headers_mut().insert("content-type", kind.parse().unwrap());
            params(&request)
        };
        let expected = Params::of_form(b"status=delivered");
        let form = "application/x-www-form-urlencoded; charset=utf-8";
        assert_eq!(read(Method::GET, "/sms?status=delivered", "", "").unwrap(), expected);
        assert_eq!(read(Method::POST, "/sms?a=b", form, "status=delivered").unwrap(), expected);
        let json = r#"{"status":"delivered"}"#;
        assert_eq!(read(Method::POST, "/sms", "application/json", json).unwrap(), expected);
        for (kind, body) in [("text/plain", "status=delivered"), ("application/json", "status=delivered")] {
            assert!(matches!(read(Method::POST, "/sms", kind, body), Err(WebhookError::Forged)));
        }
    }
}
