//! The example for Retell as its user sees it, against a far side that is not there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, Mac};
use http::{Request, Response};
use rivvi::clock::{Clock, SystemClock};
use rivvi::testkit::http::{FarSide, HttpFault, response};
use serde_json::{Value, json};
use sha2::Sha256;
use support::{example, stderr};

const KEY: &str = "key_f00dfacef00dface";
const CREATE: &str = "/v2/create-phone-call";

const CAMPAIGN: &str = r#"
    name = "Reminder"
    channel = "voice"
    agent_id = "agent_file"
    [prompt]
    base = "You call {{first_name}}."
    [retry]
    busy = { after = "1h", max = 1 }
"#;

/// A far side that takes every call.
struct Far {
    side: FarSide,
    calls: Arc<Mutex<Vec<Value>>>,
}

impl Far {
    async fn start() -> Self {
        let calls: Arc<Mutex<Vec<Value>>> = Arc::default();
        let side = FarSide::start({
            let calls = calls.clone();
            move |request| answer(&mut calls.lock().unwrap(), request)
        })
        .await;
        Self { side, calls }
    }

    fn calls(&self) -> Vec<Value> {
        self.calls.lock().unwrap().clone()
    }

    async fn until_calls(&self, count: usize) -> Vec<Value> {
        let clock = SystemClock::new();
        for _ in 0..600 {
            let calls = self.calls();
            if calls.len() >= count {
                return calls;
            }
            clock.sleep_until(clock.now() + Duration::from_millis(50)).await;
        }
        panic!("only {} calls of {count} came", self.calls().len());
    }
}

fn answer(calls: &mut Vec<Value>, request: &Request<Bytes>) -> Response<Bytes> {
    if request.headers()["authorization"] != format!("Bearer {KEY}") {
        return response(401, &[], r#"{"status":"error","message":"API key is missing or invalid."}"#);
    }
    if request.uri().path() != CREATE {
        return response(422, &[], r#"{"status":"error","message":"Cannot find requested asset."}"#);
    }
    let body: Value = serde_json::from_slice(request.body()).unwrap();
    let known = calls.iter().find(|call| call["idempotency_key"] == body["idempotency_key"]).cloned();
    let call = known.unwrap_or_else(|| {
        let mut call = body;
        call["call_id"] = json!(format!("call_{}", calls.len()));
        call["direction"] = json!("outbound");
        calls.push(call.clone());
        call
    });
    response(201, &[], &call.to_string())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sheet = "first name,phone\nDana,+972522000001\nNoa,+972522000002\nGil,+972522000003\n";
    std::fs::write(folder.path().join("people.csv"), sheet).unwrap();
    std::fs::write(folder.path().join("campaign.toml"), CAMPAIGN).unwrap();
    folder
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn start(folder: &Path, far: &Far, listen: SocketAddr, more: &[&str]) -> Child {
    let listen = listen.to_string();
    let url = far.side.url();
    let usual = [
        ("--base-url", url.as_str()),
        ("--from", "+97231234567"),
        ("--listen", listen.as_str()),
        ("--contacts", "people.csv"),
        ("--campaign", "campaign.toml"),
        ("--db", "run.db"),
        ("--number-cps", "1000"),
        ("--analysis-grace", "0s"),
    ];
    let usual =
        usual.iter().filter(|(name, _)| !more.contains(name)).flat_map(|(name, value)| [*name, *value]);
    let mut command = example("retell");
    command.current_dir(folder).arg("--json").args(usual).args(more).env("RETELL_API_KEY", KEY);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

async fn end_of(child: Child) -> Output {
    tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap()
}

/// Sends a signed webhook to the example, which may be about to begin. Returns status and body.
async fn post(address: SocketAddr, path: &'static str, body: Value, key: &'static str) -> (u16, String) {
    let clock = SystemClock::new();
    let body = body.to_string();
    let millis = clock.now().timestamp_millis();
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{body}{millis}").as_bytes());
    let digest: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-retell-signature: v={millis},d={digest}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

fn ended(call: &Value, status: &str, reason: &str) -> Value {
    let mut call = call.clone();
    call["call_status"] = json!(status);
    call["disconnection_reason"] = json!(reason);
    json!({ "event": "call_ended", "call": call })
}

fn assert_silent(output: &Output) {
    for text in [stderr(output), String::from_utf8_lossy(&output.stdout).into_owned()] {
        assert!(!text.contains(KEY) && !text.contains("9722") && !text.contains("Dana"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_runs_to_its_end_and_people_call_back() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    far.side.fail_next(CREATE, HttpFault::CutAfterRequest);
    let child = start(folder.path(), &far, listen, &["--agent", "agent_cli", "--inbound-agent", "agent_in"]);
    let calls = far.until_calls(3).await;
    for call in &calls {
        assert_eq!(
            (&call["override_agent_id"], &call["from_number"]),
            (&json!("agent_cli"), &json!("+97231234567"))
        );
        assert!(call["retell_llm_dynamic_variables"]["prompt"].as_str().unwrap().starts_with("You call "));
    }
    let by = |number: &str| calls.iter().find(|call| call["to_number"] == number).unwrap();
    let busy = ended(by("+972522000001"), "not_connected", "dial_busy");
    let (status, _) = post(listen, "/webhook", busy.clone(), "another key").await;
    assert_eq!(status, 401, "forged");
    for body in [
        busy,
        ended(by("+972522000002"), "ended", "user_hangup"),
        ended(by("+972522000003"), "not_connected", "dial_no_answer"),
    ] {
        for _ in 0..2 {
            assert_eq!(post(listen, "/webhook", body.clone(), KEY).await.0, 204);
        }
    }
    // Who was busy calls back, so that the run does not wait for the retry.
    let question = json!({ "event": "call_inbound", "call_inbound": {
        "from_number": "+972522000001", "to_number": "+97231234567" } });
    let (status, answer) = post(listen, "/inbound", question, KEY).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["call_inbound"]["override_agent_id"]), (200, &json!("agent_in")));
    let metadata = answer["call_inbound"]["metadata"].clone();
    assert!(metadata["callback_for"].is_string(), "{answer}");
    let call = json!({ "call_id": "in_1", "direction": "inbound", "metadata": metadata });
    assert_eq!(post(listen, "/webhook", ended(&call, "ended", "user_hangup"), KEY).await.0, 204);

    let output = end_of(child).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["status"], &result["calls_placed"]), (&json!("completed"), &json!(3)));
    assert_eq!((&result["contacts"]["completed"], &result["contacts"]["exhausted"]), (&json!(2), &json!(1)));
    assert_eq!(result["dispositions"]["busy"], 1);
    assert_silent(&output);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_goes_on_without_calling_anybody_twice() {
    let (folder, far, listen) = (folder(), Far::start().await, free_address());
    let child = start(folder.path(), &far, listen, &[]);
    let calls = far.until_calls(3).await;
    let clock = SystemClock::new();
    clock.sleep_until(clock.now() + Duration::from_millis(500)).await;
    let killed = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    let output = end_of(child).await;
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("--db run.db"), "{}", stderr(&output));

    let child = start(folder.path(), &far, listen, &[]);
    // Until it listens.
    while TcpStream::connect(listen).is_err() {
        clock.sleep_until(clock.now() + Duration::from_millis(50)).await;
    }
    for call in &calls {
        assert_eq!(post(listen, "/webhook", ended(call, "ended", "agent_hangup"), KEY).await.0, 204);
    }
    let output = end_of(child).await;
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["contacts"]["completed"], 3);
    assert_eq!(far.calls().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_refused_ends_the_program_with_what_to_do() {
    let (folder, far) = (folder(), Far::start().await);
    let child = start(folder.path(), &far, free_address(), &["--api-key", "key_wrong"]);
    let output = end_of(child).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("retell: the credentials were refused"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("key_wrong"));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&result["status"], &result["calls_placed"]), (&json!("paused"), &json!(0)));
    assert_eq!(far.calls().len(), 0);
    // With the right key it goes on.
    let listen = free_address();
    let child = start(folder.path(), &far, listen, &[]);
    for call in far.until_calls(3).await {
        assert_eq!(post(listen, "/webhook", ended(&call, "ended", "agent_hangup"), KEY).await.0, 204);
    }
    assert!(end_of(child).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_named() {
    let (folder, far) = (folder(), Far::start().await);
    std::fs::write(folder.path().join("no-name.csv"), "phone\n+972522000001\n").unwrap();
    let flow = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/flows/donation.toml");
    std::fs::copy(flow, folder.path().join("flow.toml")).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (arguments, names) in [
        (&["--from", "054-1234567"][..], "--from"),
        (&["--base-url", "api.retellai.com"], "base_url"),
        (&["--api-key", "two words"], "api_key"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--listen", &taken], "--listen"),
        (&["--contacts", "nobody.csv"], "nobody.csv"),
        (&["--contacts", "no-name.csv"], "{{first_name}}"),
        (&["--campaign", "flow.toml"], "flow.toml"),
        (&["--number-cps", "0"], "--number-cps"),
    ] {
        let output = end_of(start(folder.path(), &far, free_address(), arguments)).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(names), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("two words"), "a key is not repeated");
    }
    assert_eq!(far.calls().len(), 0);
}
