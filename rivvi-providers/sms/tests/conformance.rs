//! Every provider keeps the promises of providers of text messages, against far sides that do what the vendors document.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{Request, Response};
use rivvi_core::clock::SystemClock;
use rivvi_core::domain::{CallId, Secret};
use rivvi_core::provider::{SmsProvider, WebhookRequest};
use rivvi_core::testkit::build;
use rivvi_core::testkit::http::{HttpFault, response};
use rivvi_core::testkit::sms::{Fault, SmsHarness};
use rivvi_provider_sms::{HttpSms, HttpSmsConfig};
use serde_json::{Value, json};
use support::{FORM, Far, Taken, form, params, post, twilio, vonage};

/// What a vendor's far side adds to what all have alike.
struct Vendor {
    /// Where messages are sent.
    path: &'static str,
    /// The answer that refuses a message for this, as the vendor refuses.
    refusal: fn(Fault) -> HttpFault,
    garbled: &'static str,
    secrets: Vec<String>,
    stale_after: Option<Duration>,
    receipt: fn(CallId, Fate) -> WebhookRequest,
    inbound: fn(&str) -> WebhookRequest,
    strange: fn(CallId) -> Vec<WebhookRequest>,
}

/// What receipts tell.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Sent,
    Delivered,
}

struct Harness {
    far: Far,
    provider: Arc<dyn SmsProvider>,
    vendor: Vendor,
}

#[async_trait]
impl SmsHarness for Harness {
    fn provider(&self) -> Arc<dyn SmsProvider> {
        self.provider.clone()
    }

    async fn sent(&self, message_id: CallId) -> Vec<String> {
        self.far.texts(message_id)
    }

    async fn requests(&self, message_id: CallId) -> usize {
        self.far.requests(message_id)
    }

    fn faults(&self) -> Vec<Fault> {
        vec![
            Fault::Unauthorized,
            Fault::AccountBlocked,
            Fault::InvalidRequest,
            Fault::InvalidNumber,
            Fault::NoSms,
            Fault::Unsubscribed,
            Fault::RateLimited,
            Fault::Unreachable,
            Fault::ServerError,
            Fault::CutAfterRequest,
            Fault::GarbledAnswer,
            Fault::CutBeforeRequest,
            Fault::CutWithinAnswer,
            Fault::Silence,
            Fault::ErrorPage,
            Fault::Redirected,
        ]
        .into_iter()
        // The SMS API of Vonage has no status for landlines; it tells by receipt.
        .filter(|fault| *fault != Fault::NoSms || self.vendor.path != "/sms/json")
        .collect()
    }

    async fn fail_next(&self, fault: Fault) {
        let fault = match fault {
            Fault::Unreachable => return self.far.side.vanish().await,
            Fault::RateLimited => HttpFault::refuse_until(429, Duration::from_secs(7), r#"{"code":20429}"#),
            Fault::ServerError => HttpFault::refuse(500, r#"{"code":20500,"message":"+972541234567"}"#),
            Fault::CutAfterRequest => HttpFault::CutAfterRequest,
            Fault::GarbledAnswer => HttpFault::Garble(response(200, &[], self.vendor.garbled)),
            Fault::CutBeforeRequest => HttpFault::CutBeforeRequest,
            Fault::CutWithinAnswer => HttpFault::CutWithinAnswer,
            Fault::Silence => HttpFault::Silence,
            Fault::ErrorPage => HttpFault::error_page(502),
            Fault::Redirected => HttpFault::redirect(307, self.vendor.path),
            other => (self.vendor.refusal)(other),
        };
        self.far.side.fail_next(self.vendor.path, fault);
    }

    async fn mend(&self) {
        self.far.side.mend().await;
    }

    fn secrets(&self) -> Vec<String> {
        self.vendor.secrets.clone()
    }

    fn receipt(&self, message_id: CallId) -> Option<WebhookRequest> {
        Some((self.vendor.receipt)(message_id, Fate::Delivered))
    }

    fn inbound(&self, text: &str) -> Option<WebhookRequest> {
        Some((self.vendor.inbound)(text))
    }

    fn forgeries(&self, webhook: &WebhookRequest) -> Vec<WebhookRequest> {
        let mut elsewhere = webhook.clone();
        *elsewhere.uri_mut() = "/webhooks/guess".parse().unwrap();
        let mut unsigned = webhook.clone();
        unsigned.headers_mut().remove("x-hook");
        // A secret in the path or in a header signs no body.
        if webhook.uri().path().contains(HOOK) {
            vec![elsewhere]
        } else if webhook.headers().contains_key("x-hook") {
            vec![unsigned]
        } else {
            rivvi_core::testkit::sms::forgeries(webhook)
        }
    }

    fn stale_after(&self) -> Option<Duration> {
        self.vendor.stale_after
    }

    fn strange_webhooks(&self, message_id: CallId) -> Vec<WebhookRequest> {
        (self.vendor.strange)(message_id)
    }

    fn story(&self, message_id: CallId) -> Vec<WebhookRequest> {
        [Fate::Sent, Fate::Delivered].map(|fate| (self.vendor.receipt)(message_id, fate)).into()
    }

    fn arrives_at(&self) -> DateTime<Utc> {
        // To the second, as signatures are.
        DateTime::from_timestamp(build::second(100).timestamp(), 0).unwrap()
    }
}

fn arrives_at() -> DateTime<Utc> {
    DateTime::from_timestamp(build::second(100).timestamp(), 0).unwrap()
}

/// An id for a text, as vendors give.
fn id_of(text: &str) -> String {
    text.bytes().fold(17_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())).to_string()
}

mod vonage_sms {
    use super::*;

    fn refusal(fault: Fault) -> HttpFault {
        let (status, text) = match fault {
            Fault::Unauthorized => ("4", "Bad Credentials"),
            Fault::AccountBlocked => ("9", "Partner quota exceeded"),
            Fault::InvalidRequest => ("15", "Invalid sender address"),
            Fault::InvalidNumber => ("3", "to address 972541234567 is not numeric"),
            Fault::Unsubscribed => ("7", "Number barred"),
            other => panic!("a fault that cannot be scripted: {other:?}"),
        };
        let message = json!({ "status": status, "error-text": text });
        HttpFault::refuse(200, &json!({ "message-count": "1", "messages": [message] }).to_string())
    }

    fn receipt(id: CallId, fate: Fate) -> WebhookRequest {
        let status = if fate == Fate::Sent { "accepted" } else { "delivered" };
        let fields = [
            ("msisdn", "972541234567"),
            ("to", "97231234567"),
            ("network-code", "42501"),
            ("messageId", "0A0000000123ABCD1"),
            ("price", "0.03330000"),
            ("status", status),
            ("scts", "2601071100"),
            ("err-code", "0"),
            ("message-timestamp", "2030-01-07 09:01:40"),
        ];
        let id = id.to_string();
        vonage::signed_form(&[&fields[..], &[("client-ref", id.as_str())]].concat(), arrives_at())
    }

    fn inbound(text: &str) -> WebhookRequest {
        let id = id_of(text);
        let fields = [
            ("msisdn", "972541234567"),
            ("to", "97231234567"),
            ("messageId", id.as_str()),
            ("text", text),
            ("type", "unicode"),
            ("keyword", "STOP"),
        ];
        vonage::signed_form(&fields, arrives_at())
    }

    fn strange(id: CallId) -> Vec<WebhookRequest> {
        let id = id.to_string();
        let about = |more: &[(&str, &str)]| {
            vonage::signed_form(&[&[("client-ref", id.as_str())], more].concat(), arrives_at())
        };
        vec![
            about(&[("status", "teleported"), ("err-code", "abducted")]),
            about(&[("status", "failed"), ("err-code", "4242"), ("price", "free")]),
            about(&[("status", "delivered"), ("hologram", "שלום"), ("message-timestamp", "soon")]),
            about(&[("type", "binary"), ("data", "0011"), ("udh", "")]),
            vonage::signed_form(&[], arrives_at()),
        ]
    }

    async fn harness() -> Harness {
        let far = vonage::sms_far().await;
        let options = vonage::sms_options(far.side.url());
        let stale_after = Some(options.webhook_age_max);
        let provider = Arc::new(vonage::sms(options));
        let secrets = vec![vonage::API_SECRET.into(), vonage::SIGNATURE_SECRET.into()];
        let (path, garbled) = ("/sms/json", r#"{"message-count":"1","#);
        let vendor = Vendor { path, refusal, garbled, secrets, stale_after, receipt, inbound, strange };
        Harness { far, provider, vendor }
    }

    rivvi_core::sms_conformance!(harness);
}

mod vonage_messages {
    use super::*;

    fn refusal(fault: Fault) -> HttpFault {
        let (status, code) = match fault {
            Fault::Unauthorized => (401, 0),
            Fault::AccountBlocked => (402, 1070),
            Fault::InvalidRequest => (422, 1120),
            Fault::InvalidNumber => (422, 1170),
            Fault::NoSms => (422, 1250),
            Fault::Unsubscribed => (422, 1240),
            other => panic!("a fault that cannot be scripted: {other:?}"),
        };
        let problem = json!({
            "type": format!("https://developer.vonage.com/api-errors/messages#{code}"),
            "title": code, "detail": "+972541234567 is none", "instance": "bf0ca0bf927b3b52e3cb03217e1a1ddf",
        });
        HttpFault::refuse(status, &problem.to_string())
    }

    fn receipt(id: CallId, fate: Fate) -> WebhookRequest {
        let status = if fate == Fate::Sent { "submitted" } else { "delivered" };
        let body = json!({
            "message_uuid": "aaaaaaaa-bbbb-4ccc-8ddd-000000000001", "to": "972541234567", "from": "97231234567",
            "timestamp": "2030-01-07T09:01:40.000Z", "status": status, "client_ref": id.to_string(),
            "usage": { "currency": "EUR", "price": "0.0333" }, "channel": "sms", "sms": { "count_total": "1" },
        });
        vonage::signed_json(&body, arrives_at())
    }

    fn inbound(text: &str) -> WebhookRequest {
        let body = json!({
            "message_uuid": id_of(text), "to": "97231234567", "from": "972541234567", "text": text,
            "timestamp": "2030-01-07T09:01:40.000Z", "channel": "sms", "message_type": "text",
        });
        vonage::signed_json(&body, arrives_at())
    }

    fn strange(id: CallId) -> Vec<WebhookRequest> {
        let about = |more: Value| {
            let mut body = json!({ "client_ref": id.to_string(), "message_uuid": null });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            vonage::signed_json(&body, arrives_at())
        };
        vec![
            about(json!({ "status": "teleported" })),
            about(json!({ "status": { "now": "gone" } })),
            about(json!({ "status": "rejected", "error": "a text", "usage": [], "timestamp": 7 })),
            about(json!({ "status": "undeliverable", "error": { "title": 4242, "type": null } })),
            about(json!({ "status": "delivered", "workflow": { "id": 1 }, "to": [1] })),
            about(json!({ "message_type": "image", "image": {} })),
        ]
    }

    async fn harness() -> Harness {
        let far = vonage::messages_far().await;
        let options = vonage::messages_options(far.side.url());
        let stale_after = Some(options.webhook_age_max);
        let provider = Arc::new(vonage::messages(options));
        let secrets = vec![vonage::API_SECRET.into(), vonage::SIGNATURE_SECRET.into()];
        let (path, garbled) = ("/v1/messages", r#"{"message_uuid":"#);
        let vendor = Vendor { path, refusal, garbled, secrets, stale_after, receipt, inbound, strange };
        Harness { far, provider, vendor }
    }

    rivvi_core::sms_conformance!(harness);
}

mod twilio_sms {
    use super::*;

    fn refusal(fault: Fault) -> HttpFault {
        let (status, code) = match fault {
            Fault::Unauthorized => (401, 20_003),
            Fault::AccountBlocked => (400, 30_002),
            Fault::InvalidRequest => (400, 21_606),
            Fault::InvalidNumber => (400, 21_211),
            Fault::NoSms => (400, 21_614),
            Fault::Unsubscribed => (400, 21_610),
            other => panic!("a fault that cannot be scripted: {other:?}"),
        };
        let body = json!({ "code": code, "message": "The number +972541234567 is none", "status": status });
        HttpFault::refuse(status, &body.to_string())
    }

    fn receipt(id: CallId, fate: Fate) -> WebhookRequest {
        let status = if fate == Fate::Sent { "sent" } else { "delivered" };
        let sid = twilio::sid(1);
        let fields = [
            ("MessageSid", sid.as_str()),
            ("MessageStatus", status),
            ("SmsSid", sid.as_str()),
            ("SmsStatus", status),
            ("AccountSid", twilio::SID),
            ("From", "+97231234567"),
            ("To", "+972541234567"),
            ("ApiVersion", "2010-04-01"),
        ];
        twilio::signed(&format!("?message_id={id}"), &fields)
    }

    fn inbound(text: &str) -> WebhookRequest {
        let id = id_of(text);
        let fields = [
            ("MessageSid", id.as_str()),
            ("SmsStatus", "received"),
            ("From", "+972541234567"),
            ("To", "+97231234567"),
            ("Body", text),
            ("NumMedia", "0"),
        ];
        twilio::signed("", &fields)
    }

    fn strange(id: CallId) -> Vec<WebhookRequest> {
        let about = |fields: &[(&str, &str)]| twilio::signed(&format!("?message_id={id}"), fields);
        vec![
            about(&[("MessageStatus", "teleported")]),
            about(&[("MessageStatus", "failed"), ("ErrorCode", "abducted")]),
            about(&[("MessageStatus", "undelivered"), ("ErrorCode", "4242"), ("Hologram", "")]),
            about(&[("EventType", "READ")]),
            twilio::signed("", &[("Body", "x"), ("From", "whatsapp:+972541234567"), ("To", "whatsapp:+1")]),
            twilio::signed("", &[]),
        ]
    }

    async fn harness() -> Harness {
        let far = twilio::far().await;
        let provider = Arc::new(twilio::provider(twilio::options(far.side.url())));
        let (path, garbled) = ("/2010-04-01/", r#"{"sid":"#);
        let (secrets, stale_after) = (vec![twilio::TOKEN.into()], None);
        let vendor = Vendor { path, refusal, garbled, secrets, stale_after, receipt, inbound, strange };
        Harness { far, provider, vendor }
    }

    rivvi_core::sms_conformance!(harness);
}

/// The secret of gateways' webhooks.
const HOOK: &str = "h00k-of-the-gateway";

/// The provider of a sample that is shipped, with another address.
fn gateway(sample: &str, address: (&str, &str)) -> Arc<dyn SmsProvider> {
    let config = sample.replace(address.0, address.1).replace("timeout_s = 25\n", "");
    let config = config.replace("[request]", "[request]\ntimeout_s = 2");
    let secrets = [("token", "t0ken"), ("hook", HOOK), ("user", "us3r"), ("password", "p4ss")];
    let secrets: BTreeMap<String, Secret> =
        secrets.into_iter().map(|(name, secret)| (name.into(), Secret::new(secret))).collect();
    let config = HttpSmsConfig::from_toml(&config).unwrap();
    Arc::new(HttpSms::new(config, secrets, Arc::new(SystemClock::new())).unwrap())
}

/// Nobody has checked that 019 does what it documents.
mod sample_of_019 {
    use super::*;

    fn sent_id(request: &Request<Bytes>) -> Option<CallId> {
        let body: Value = serde_json::from_slice(request.body()).ok()?;
        body["sms"]["destinations"]["phone"][0]["$"]["id"].as_str()?.parse().ok()
    }

    fn answer(taken: &Taken, request: &Request<Bytes>) -> Response<Bytes> {
        let say = |status: u32| {
            support::json(200, &json!({ "status": status, "message": "...", "shipment_id": 17 }))
        };
        if request.headers().get("authorization").is_none_or(|token| token != "Bearer t0ken") {
            return say(3);
        }
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        let phone = body["sms"]["destinations"]["phone"][0]["_"].as_str().unwrap();
        assert!(!phone.contains('+') && !body["sms"]["source"].as_str().unwrap().contains('+'));
        let mut taken = taken.lock().unwrap();
        taken.push((sent_id(request).unwrap(), body["sms"]["message"].as_str().unwrap().to_owned()));
        let answer =
            json!({ "status": 0, "message": "SMS will be sent", "shipment_id": format!("s{}", taken.len()) });
        support::json(200, &answer)
    }

    fn refusal(fault: Fault) -> HttpFault {
        let status = match fault {
            Fault::Unauthorized => 3,
            Fault::AccountBlocked => 4,
            Fault::InvalidRequest => 515,
            Fault::InvalidNumber => 9,
            Fault::Unsubscribed => 8,
            // 019 tells by receipt; this is what the table would say.
            Fault::NoSms => return HttpFault::refuse(200, r#"{"status":15}"#),
            other => panic!("a fault that cannot be scripted: {other:?}"),
        };
        let body = json!({ "status": status, "message": "972541234567" });
        HttpFault::refuse(200, &body.to_string())
    }

    fn webhook(fields: &[(&str, &str)]) -> WebhookRequest {
        post(&format!("/webhooks/019/{HOOK}"), FORM, form(fields.iter().copied()))
    }

    fn receipt(id: CallId, fate: Fate) -> WebhookRequest {
        let status = if fate == Fate::Sent { "-1" } else { "102" };
        let id = id.to_string();
        webhook(&[("external_id", &id), ("status", status), ("phone", "0542345678"), ("he_message", "הגיע")])
    }

    fn inbound(text: &str) -> WebhookRequest {
        webhook(&[
            ("phone", "0542345678"),
            ("dest", "0559123456"),
            ("message", text),
            ("date", "07/01/30 11:00"),
        ])
    }

    fn strange(id: CallId) -> Vec<WebhookRequest> {
        let id = id.to_string();
        vec![
            webhook(&[("external_id", &id), ("status", "abducted")]),
            webhook(&[("external_id", &id)]),
            webhook(&[]),
        ]
    }

    async fn harness() -> Harness {
        let far = Far::start(sent_id, answer).await;
        // 019 has no code for landlines in its answers.
        let sample =
            include_str!("../samples/019.toml").replace("[answer.codes]", "[answer.codes]\n15 = \"no_sms\"");
        let url = format!("{}/api", far.side.url());
        let provider = gateway(&sample, ("https://019sms.co.il/api", &url));
        let secrets = vec!["t0ken".into(), HOOK.into()];
        let (path, garbled, stale_after) = ("/api", r#"{"status":"#, None);
        let vendor = Vendor { path, refusal, garbled, secrets, stale_after, receipt, inbound, strange };
        Harness { far, provider, vendor }
    }

    rivvi_core::sms_conformance!(harness);

    #[tokio::test]
    async fn the_sample_asks_as_019_documents() {
        let far = Far::start(sent_id, answer).await;
        let url = format!("{}/api", far.side.url());
        let provider = gateway(include_str!("../samples/019.toml"), ("https://019sms.co.il/api", &url));
        for (n, to, phone, international) in
            [(1, "+972542345678", "0542345678", Value::Null), (2, "+12137771234", "12137771234", json!("1"))]
        {
            let mut request = build::send_sms(n);
            request.to = rivvi_core::domain::E164::from_e164(to).unwrap();
            let sent = provider.send_sms(&request).await.unwrap();
            assert_eq!(sent.reference, Some(format!("s{n}")));
            let asked: Value = serde_json::from_slice(far.side.requests().last().unwrap().body()).unwrap();
            let mut expected = json!({
                "user": { "username": "YOUR-USERNAME" }, "source": request.from.expose().trim_start_matches('+'),
                "destinations": { "phone": [{ "$": { "id": request.message_id.to_string() }, "_": phone }] },
                "message": build::SMS_TEXT,
            });
            if !international.is_null() {
                expected["includes_international"] = international;
            }
            assert_eq!(asked, json!({ "sms": expected }));
        }
    }
}

mod sample_of_a_gateway_by_get {
    use super::*;

    fn query(request: &Request<Bytes>) -> BTreeMap<String, String> {
        params(request.uri().query().unwrap_or_default().as_bytes())
    }

    fn sent_id(request: &Request<Bytes>) -> Option<CallId> {
        query(request).get("ref")?.parse().ok()
    }

    fn answer(taken: &Taken, request: &Request<Bytes>) -> Response<Bytes> {
        let query = query(request);
        if (query["user"].as_str(), query["pass"].as_str()) != ("us3r", "p4ss") {
            return response(200, &[], "ERR 1");
        }
        assert_eq!(query["unicode"], if query["text"].is_ascii() { "0" } else { "1" });
        taken.lock().unwrap().push((sent_id(request).unwrap(), query["text"].clone()));
        response(200, &[], "OK 123")
    }

    fn refusal(fault: Fault) -> HttpFault {
        let code = match fault {
            Fault::Unauthorized => 1,
            Fault::AccountBlocked => 2,
            Fault::InvalidRequest => 3,
            Fault::InvalidNumber => 4,
            Fault::NoSms => 5,
            Fault::Unsubscribed => 6,
            other => panic!("a fault that cannot be scripted: {other:?}"),
        };
        HttpFault::refuse(200, &format!("ERR {code}: 972541234567"))
    }

    fn webhook(fields: &[(&str, &str)]) -> WebhookRequest {
        let mut request = WebhookRequest::default();
        *request.uri_mut() = format!("/webhooks/get?{}", form(fields.iter().copied())).parse().unwrap();
        request.headers_mut().insert("x-hook", HOOK.parse().unwrap());
        // Nothing that counts, for the kit to spoil.
        request.map(|_| Bytes::from_static(b"x"))
    }

    fn receipt(id: CallId, fate: Fate) -> WebhookRequest {
        webhook(&[("ref", &id.to_string()), ("state", if fate == Fate::Sent { "sent" } else { "done" })])
    }

    fn inbound(text: &str) -> WebhookRequest {
        let id = id_of(text);
        webhook(&[("id", &id), ("from", "972542345678"), ("to", "97231234567"), ("text", text)])
    }

    fn strange(id: CallId) -> Vec<WebhookRequest> {
        vec![webhook(&[("ref", &id.to_string()), ("state", "levitating")]), webhook(&[])]
    }

    async fn harness() -> Harness {
        let far = Far::start(sent_id, answer).await;
        let url = far.side.url();
        let provider =
            gateway(include_str!("../samples/get-gateway.toml"), ("https://gateway.example", &url));
        let secrets = vec!["us3r".into(), "p4ss".into(), HOOK.into()];
        let (path, garbled, stale_after) = ("/send", "what?", None);
        let vendor = Vendor { path, refusal, garbled, secrets, stale_after, receipt, inbound, strange };
        Harness { far, provider, vendor }
    }

    rivvi_core::sms_conformance!(harness);
}

/// The guide's example is one that works.
#[test]
fn the_gateway_of_the_guide_is_read() {
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sms-provider.md"));
    let guide = guide.unwrap();
    let example = guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let gateway = gateway(example, ("", ""));
    assert!(gateway.capabilities().receipts);
    assert_eq!(gateway.capabilities().idempotent_sending, Some(Duration::from_secs(3600)));
    assert_eq!(gateway.acknowledge().status(), 200);
}
