//! Far sides that take text messages, and the webhooks that they send.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{Request, Response};
use rivvi::clock::{Clock, SystemClock};
use rivvi::testkit::http::{FarSide, response};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub(crate) const KEY: &str = "abcd1234";
pub(crate) const SECRET: &str = "s3cret_f00dface";
pub(crate) const SIGNATURE_SECRET: &str = "signature_s3cret_of_32_bytes_f00";
pub(crate) const TWILIO_SID: &str = "AC00000000000000000000000000000001";
pub(crate) const PUBLIC: &str = "https://hooks.example.com/sms";

/// A message that the far side has taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) text: String,
}

/// All vendors in one: the path tells which.
pub(crate) struct Far {
    pub(crate) side: FarSide,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Far {
    pub(crate) async fn start() -> Self {
        let taken: Arc<Mutex<Vec<Taken>>> = Arc::default();
        let side = FarSide::start({
            let taken = taken.clone();
            move |request| answer(&mut taken.lock().unwrap(), request)
        })
        .await;
        Self { side, taken }
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// Waits until it has taken that many messages.
    pub(crate) async fn until_taken(&self, count: usize) -> Vec<Taken> {
        for _ in 0..600 {
            if self.taken().len() >= count {
                return self.taken();
            }
            pause(50).await;
        }
        panic!("only {} messages of {count} came", self.taken().len());
    }

    /// The only message to a number.
    pub(crate) fn to(&self, number: &str) -> Taken {
        let [taken] = self
            .taken()
            .into_iter()
            .filter(|taken| number.ends_with(taken.to.trim_start_matches(['+', '0'])))
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        taken
    }
}

pub(crate) async fn pause(millis: u64) {
    let clock = SystemClock::new();
    clock.sleep_until(clock.now() + Duration::from_millis(millis)).await;
}

fn answer(taken: &mut Vec<Taken>, request: &Request<Bytes>) -> Response<Bytes> {
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let basic = |user: &str| Some(format!("Basic {}", STANDARD.encode(format!("{user}:{SECRET}"))));
    let json_of = || -> Value { serde_json::from_slice(request.body()).unwrap() };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match request.uri().path() {
        "/sms/json" => {
            let params = params(request.body());
            let status = match (params["api_secret"].as_str(), params["to"].as_str()) {
                (SECRET, "972522000009") => "6",
                (SECRET, _) => "0",
                _ => "4",
            };
            if status == "0" {
                let id = params["client-ref"].split('/').next().unwrap().to_owned();
                let of = |name: &str| params[name].clone();
                taken.push(Taken { id, to: of("to"), from: of("from"), text: of("text") });
            }
            let part = json!({ "status": status, "message-id": format!("V{}", taken.len()),
                "message-price": "0.03", "error-text": "what +972522000009 is" });
            response(200, &[], &json!({ "message-count": "1", "messages": [part] }).to_string())
        }
        "/v1/messages" if header("authorization") == basic(KEY) => {
            let body = json_of();
            let of = |name: &str| text(&body[name]);
            taken.push(Taken { id: of("client_ref"), to: of("to"), from: of("from"), text: of("text") });
            response(202, &[], &json!({ "message_uuid": format!("uuid-{}", taken.len()) }).to_string())
        }
        path if path.ends_with("/Messages.json") && header("authorization") == basic(TWILIO_SID) => {
            let params = params(request.body());
            let (_, id) = params["StatusCallback"].split_once("?message_id=").unwrap();
            let of = |name: &str| params[name].clone();
            taken.push(Taken { id: id.to_owned(), to: of("To"), from: of("From"), text: of("Body") });
            response(201, &[], &json!({ "sid": format!("SM{:032x}", taken.len()) }).to_string())
        }
        "/api" if header("authorization").as_deref() == Some("Bearer t0ken") => {
            let sms = json_of()["sms"].clone();
            let phone = &sms["destinations"]["phone"][0];
            let (id, to) = (text(&phone["$"]["id"]), text(&phone["_"]));
            taken.push(Taken { id, to, from: text(&sms["source"]), text: text(&sms["message"]) });
            response(200, &[], &json!({ "status": 0, "shipment_id": taken.len() }).to_string())
        }
        _ => response(401, &[], "{}"),
    }
}

fn params(body: &[u8]) -> BTreeMap<String, String> {
    form_urlencoded::parse(body).into_owned().collect()
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac_sha256(secret: &str, text: &str) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// A request to the example.
#[derive(Debug, Clone)]
pub(crate) struct Webhook {
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

impl Webhook {
    /// Of Vonage's SMS API.
    pub(crate) fn vonage(fields: &[(&str, &str)], secret: &str) -> Self {
        let seconds = SystemClock::new().now().timestamp().to_string();
        let mut fields = fields.to_vec();
        fields.extend([("timestamp", seconds.as_str()), ("nonce", "1"), ("api-key", KEY)]);
        fields.sort_unstable();
        let signed: String = fields.iter().map(|(name, value)| format!("&{name}={value}")).collect();
        let signature = hex(&hmac_sha256(secret, &signed));
        fields.push(("sig", &signature));
        Self { path: "/webhook".into(), headers: vec![(FORM.0, FORM.1.into())], body: form(&fields) }
    }

    /// A receipt of Vonage's SMS API.
    pub(crate) fn receipt(message: &Taken, status: &str, code: &str) -> Self {
        let id = format!("{}/1", message.id);
        let fields = [("client-ref", &*id), ("messageId", "V"), ("status", status), ("err-code", code)];
        Self::vonage(&fields, SIGNATURE_SECRET)
    }

    /// What somebody writes, by Vonage's SMS API.
    pub(crate) fn inbound(id: &str, from: &str, text: &str) -> Self {
        let fields = [("messageId", id), ("msisdn", from), ("to", "97231234567"), ("text", text)];
        Self::vonage(&fields, SIGNATURE_SECRET)
    }

    /// A receipt of Vonage's Messages API.
    pub(crate) fn messages_receipt(message: &Taken, status: &str) -> Self {
        let now = SystemClock::new().now();
        let body = json!({ "message_uuid": "uuid", "client_ref": message.id, "status": status,
            "timestamp": now.to_rfc3339(), "channel": "sms" })
        .to_string();
        let claims = json!({ "iat": now.timestamp(), "jti": message.id, "iss": "Vonage", "api_key": KEY,
            "payload_hash": hex(&Sha256::digest(body.as_bytes())) });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(SIGNATURE_SECRET, &signed));
        let headers = vec![
            ("content-type", "application/json".into()),
            ("authorization", format!("Bearer {signed}.{signature}")),
        ];
        Self { path: "/webhook".into(), headers, body }
    }

    /// A receipt of Twilio.
    pub(crate) fn twilio_receipt(message: &Taken, status: &str) -> Self {
        let fields = [("MessageSid", "SM1"), ("MessageStatus", status)];
        let query = format!("?message_id={}", message.id);
        let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("{PUBLIC}{query}MessageSidSM1MessageStatus{status}").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let headers = vec![(FORM.0, FORM.1.into()), ("x-twilio-signature", signature)];
        Self { path: format!("/webhook{query}"), headers, body: form(&fields) }
    }

    /// Of a gateway that shows by a secret path who it is.
    pub(crate) fn gateway(path: &str, fields: &[(&str, &str)]) -> Self {
        Self { path: path.into(), headers: vec![(FORM.0, FORM.1.into())], body: form(fields) }
    }

    /// Sends it to the example. Returns the status.
    pub(crate) async fn send(self, to: SocketAddr) -> u16 {
        let Self { path, headers, body } = self;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\n{headers}content-length: {length}\r\n");
        exchange(to, head, body).await.0
    }
}

/// Asks the example for a page, as a browser does. Returns the status and the head of the answer.
pub(crate) async fn browse(address: SocketAddr, path: &str) -> (u16, String) {
    exchange(address, format!("GET {path} HTTP/1.1\r\n"), String::new()).await
}

async fn exchange(address: SocketAddr, head: String, body: String) -> (u16, String) {
    let exchanged = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!("{head}host: test\r\nconnection: close\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = exchanged.await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}
