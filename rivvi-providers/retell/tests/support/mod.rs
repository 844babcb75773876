//! A Retell that is not there: it does what the API reference says, as far as calls go, and goes wrong when it is told to.

#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

pub(crate) mod world;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use hmac::{Hmac, Mac};
use http::{Request, Response};
use rivvi_core::clock::Clock;
use rivvi_core::domain::{CallId, CallsPerSecond, Secret};
use rivvi_core::provider::WebhookRequest;
use rivvi_core::testkit::http::{FarSide, response};
use rivvi_provider_retell::{Retell, RetellOptions};
use serde_json::{Value, json};
use sha2::Sha256;

/// The API key that the account of the tests has.
pub(crate) const KEY: &str = "key_0123456789abcdef";

/// The far side with its calls.
pub(crate) struct FakeRetell {
    pub(crate) far: FarSide,
    calls: Arc<Mutex<Calls>>,
}

#[derive(Default)]
struct Calls {
    /// By Retell's id, which ascends.
    all: BTreeMap<String, Value>,
    by_key: BTreeMap<String, String>,
}

impl FakeRetell {
    pub(crate) async fn start() -> Self {
        let calls = Arc::new(Mutex::new(Calls::default()));
        let far = FarSide::start({
            let calls = calls.clone();
            move |request| answer(&mut calls.lock().unwrap(), request)
        })
        .await;
        Self { far, calls }
    }

    /// A provider for this far side, as fast as can be.
    pub(crate) fn provider(&self, clock: Arc<dyn Clock>, timeout: Duration) -> Retell {
        let mut options = RetellOptions::new(Secret::new(KEY));
        options.base_url = self.far.url();
        options.timeout = timeout;
        options.calls_per_second = CallsPerSecond::new(10_000.0);
        options.settles_after = Duration::from_secs(1);
        Retell::new(options, clock).unwrap()
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap()
    }

    /// Every call, the oldest first.
    pub(crate) fn all(&self) -> Vec<Value> {
        self.calls().all.values().cloned().collect()
    }

    /// How many calls carry our id.
    pub(crate) fn rings(&self, call_id: CallId) -> usize {
        self.all().iter().filter(|call| call["metadata"]["call_id"] == call_id.to_string()).count()
    }

    /// The call with our id.
    pub(crate) fn call(&self, call_id: CallId) -> Option<Value> {
        self.all().into_iter().find(|call| call["metadata"]["call_id"] == call_id.to_string())
    }

    /// Sets fields of a call.
    pub(crate) fn change(&self, id: &str, fields: &Value) {
        let mut calls = self.calls();
        let call = calls.all.get_mut(id).unwrap();
        for (name, value) in fields.as_object().unwrap() {
            call[name] = value.clone();
        }
    }

    /// Adds a call that was not placed by us, such as one that came in.
    pub(crate) fn add(&self, call: Value) {
        let id = call["call_id"].as_str().unwrap().to_owned();
        self.calls().all.insert(id, call);
    }

    /// Requests whose path begins so.
    pub(crate) fn requests(&self, path: &str) -> Vec<Request<Bytes>> {
        self.far.requests().into_iter().filter(|request| request.uri().path().starts_with(path)).collect()
    }
}

/// What Retell does and answers.
fn answer(calls: &mut Calls, request: &Request<Bytes>) -> Response<Bytes> {
    let refuse = |status, message: &str| {
        let body = json!({ "status": "error", "message": message }).to_string();
        response(status, &[("content-type", "application/json")], &body)
    };
    let say =
        |status, body: &Value| response(status, &[("content-type", "application/json")], &body.to_string());
    let key = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    if key != Some(&format!("Bearer {KEY}")) {
        return refuse(401, "API key is missing or invalid.");
    }
    let path = request.uri().path();
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    match (request.method().as_str(), path.rsplit_once('/').unwrap()) {
        ("POST", ("/v2", "create-phone-call")) => {
            if !body["from_number"].is_string() || !body["to_number"].is_string() {
                return refuse(400, "Invalid request format, please check API reference.");
            }
            say(201, &create(calls, &body))
        }
        ("GET", ("/v2/get-call", id)) => match calls.all.get(id) {
            Some(call) => say(200, call),
            None => refuse(422, "Cannot find requested asset under given api key."),
        },
        ("POST", ("/v3", "list-calls")) => say(200, &list(calls, &body)),
        ("POST", ("/v2/stop-call", id)) => match calls.all.get_mut(id) {
            Some(call) if call["call_status"] == "ongoing" || call["call_status"] == "registered" => {
                call["call_status"] = json!("ended");
                call["disconnection_reason"] = json!("manual_stopped");
                response(204, &[], "")
            }
            Some(_) => refuse(400, "The call is not ongoing."),
            None => refuse(404, "Not found."),
        },
        ("GET", ("", "get-concurrency")) => {
            say(200, &json!({ "current_concurrency": calls.all.len(), "concurrency_limit": 20 }))
        }
        _ => response(
            404,
            &[("content-type", "text/html")],
            &format!("<pre>Cannot {} {path}</pre>", request.method()),
        ),
    }
}

fn create(calls: &mut Calls, body: &Value) -> Value {
    let key = body["idempotency_key"].as_str().map(str::to_owned);
    if let Some(known) = key.as_ref().and_then(|key| calls.by_key.get(key)) {
        return calls.all[known].clone();
    }
    let id = format!("call_{:028x}", calls.all.len() + 1);
    let call = json!({
        "call_id": id, "call_type": "phone_call", "call_status": "registered", "agent_id": body["override_agent_id"].as_str().unwrap_or("agent_of_the_number"),
        "agent_version": 0, "direction": "outbound", "from_number": body["from_number"], "to_number": body["to_number"],
        "metadata": body["metadata"], "retell_llm_dynamic_variables": body["retell_llm_dynamic_variables"],
    });
    calls.all.insert(id.clone(), call.clone());
    calls.by_key.extend(key.map(|key| (key, id)));
    call
}

/// The calls to a number, the newest first, page by page; without transcripts.
fn list(calls: &Calls, body: &Value) -> Value {
    let number = &body["filter_criteria"]["to_number"];
    assert_eq!((&number["type"], &number["op"]), (&json!("string"), &json!("eq")));
    assert_eq!(body["sort_order"], "descending");
    let limit = body["limit"].as_u64().map_or(50, |limit| usize::try_from(limit).unwrap());
    assert!(limit <= 1_000);
    let before = body["pagination_key"].as_str();
    let of_number = calls.all.values().rev().filter(|call| call["to_number"] == number["value"]);
    let later =
        of_number.filter(|call| before.is_none_or(|before| call["call_id"].as_str().unwrap() < before));
    let mut items: Vec<Value> = later.take(limit + 1).cloned().collect();
    let has_more = items.len() > limit;
    items.truncate(limit);
    for item in &mut items {
        item.as_object_mut().unwrap().remove("transcript");
    }
    let last = items.last().map(|item| item["call_id"].clone());
    let mut answer = json!({ "items": items, "has_more": has_more });
    if has_more {
        answer["pagination_key"] = last.unwrap();
    }
    answer
}

/// A webhook as Retell sends it, signed at an instant.
pub(crate) fn webhook(event: &str, call: &Value, at: DateTime<Utc>) -> WebhookRequest {
    signed(&json!({ "event": event, "call": call }), KEY, at)
}

/// A body signed at an instant.
pub(crate) fn signed(body: &Value, key: &str, at: DateTime<Utc>) -> WebhookRequest {
    let body = Bytes::from(serde_json::to_vec(body).unwrap());
    let millis = at.timestamp_millis();
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(&[body.as_ref(), millis.to_string().as_bytes()].concat());
    let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut request = WebhookRequest::new(body);
    let signature = format!("v={millis},d={digest}");
    request.headers_mut().insert("x-retell-signature", signature.parse().unwrap());
    request
}
