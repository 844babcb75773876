//! Twilio Messaging.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{Request, Response};
use rivvi_core::clock::SystemClock;
use rivvi_core::domain::{CallId, Secret};
use rivvi_core::provider::WebhookRequest;
use rivvi_provider_sms::{TwilioOptions, TwilioSms};
use serde_json::{Value, json};
use sha1::Sha1;

use super::{FORM, Far, Taken, form, params, post};

pub(crate) const SID: &str = "AC00000000000000000000000000000001";
pub(crate) const TOKEN: &str = "twilio-t0ken";
pub(crate) const PUBLIC: &str = "https://hooks.example.com/sms/twilio";

pub(crate) fn options(base_url: String) -> TwilioOptions {
    let mut options = TwilioOptions::new(SID, Secret::new(TOKEN));
    options.webhook_url = Some(PUBLIC.into());
    options.base_url = base_url;
    options.terms.timeout = Duration::from_secs(2);
    options
}

pub(crate) fn provider(options: TwilioOptions) -> TwilioSms {
    TwilioSms::new(options, Arc::new(SystemClock::new())).unwrap()
}

fn id_of(request: &Request<Bytes>) -> Option<CallId> {
    let callback = params(request.body()).remove("StatusCallback")?;
    let query = callback.split_once('?')?.1.to_owned();
    params(query.as_bytes()).get("message_id")?.parse().ok()
}

pub(crate) async fn far() -> Far {
    Far::start(id_of, answer).await
}

fn message(n: usize, id: CallId, text: &str) -> Value {
    json!({
        "sid": sid(n), "account_sid": SID, "body": text, "status": "queued", "direction": "outbound-api",
        "num_segments": "1", "price": null, "price_unit": "USD", "error_code": null, "error_message": null,
        "date_created": "Mon, 07 Jan 2030 09:00:00 +0000", "date_updated": "Mon, 07 Jan 2030 09:00:00 +0000",
        "uri": format!("/2010-04-01/Accounts/{SID}/Messages/{}.json", sid(n)), "our_id": id.to_string(),
    })
}

/// The id of the message that was taken as number `n`, from 1.
pub(crate) fn sid(n: usize) -> String {
    format!("SM{n:032x}")
}

fn answer(taken: &Taken, request: &Request<Bytes>) -> Response<Bytes> {
    let basic = STANDARD.encode(format!("{SID}:{TOKEN}"));
    let authorization = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    let refuse = |status: u16, code: u32, message: &str| {
        super::json(status, &json!({ "code": code, "message": message, "status": status }))
    };
    if authorization != Some(&format!("Basic {basic}")) {
        return refuse(401, 20_003, "Authenticate");
    }
    let base = format!("/2010-04-01/Accounts/{SID}/Messages");
    let path = request.uri().path().strip_prefix(base.as_str()).unwrap();
    let mut taken = taken.lock().unwrap();
    if request.method() == "POST" && path == ".json" {
        let params = params(request.body());
        assert!(params["To"].starts_with('+') && params.contains_key("From"));
        taken.push((id_of(request).unwrap(), params["Body"].clone()));
        let (id, text) = taken.last().unwrap();
        return super::json(201, &message(taken.len(), *id, text));
    }
    let found = taken.iter().enumerate().find(|(index, _)| path == format!("/{}.json", sid(index + 1)));
    match found {
        Some((index, (id, text))) => {
            let mut message = message(index + 1, *id, text);
            message["status"] = json!("delivered");
            message["price"] = json!("-0.00790");
            super::json(200, &message)
        }
        None => refuse(404, 20_404, "The requested resource was not found"),
    }
}

/// A webhook as Twilio sends it to our public address with this query, which begins with `?` or is empty.
pub(crate) fn signed(query: &str, fields: &[(&str, &str)]) -> WebhookRequest {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let text: String = sorted.iter().map(|(name, value)| format!("{name}{value}")).collect();
    let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(TOKEN.as_bytes()).unwrap();
    mac.update(format!("{PUBLIC}{query}{text}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let mut request = post(&format!("/sms/twilio{query}"), FORM, form(fields.iter().copied()));
    request.headers_mut().insert("x-twilio-signature", signature.parse().unwrap());
    request
}
