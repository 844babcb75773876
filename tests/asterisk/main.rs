//! The example on a real Asterisk: its counts agree with Asterisk's own records, and killing it in the middle of live calls
//! loses nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

#[cfg(unix)]
mod faults;
#[path = "../support/mod.rs"]
mod support;
#[cfg(unix)]
mod wire;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rivvi::clock::{Clock, SystemClock};
use serde_json::Value;
use support::stderr;

/// Each test counts the calls of the whole server.
static TURN: Mutex<()> = Mutex::new(());

/// Calls in which the flow asks, and takes 1 and 9 for answers.
const FLOW: &str = r#"
start = "ask"
[[nodes]]
id = "ask"
type = "menu"
audio = "sound:vm-intro"
timeout = "3s"
on_timeout = "bye"
keys = { 1 = { action = "trigger_donation", next = "bye" } }
[[nodes]]
id = "bye"
type = "say"
text = "Good bye."
"#;

/// Calls that stay until the callee hangs up.
const STAY: &str = r#"
start = "stay"
[[nodes]]
id = "stay"
type = "wait"
duration = "18s"
"#;

const CAMPAIGN: &str = r#"
name = "Asterisk test"
channel = "voice"
required_fields = ["first_name", "phone"]
[call]
ring_timeout = "5s"
max_duration = "20s"
[run]
end_after = "1h"
at_end = "hang_up"
"#;

#[test]
fn the_counts_agree_with_the_records_of_asterisk() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let callees = ["00", "01", "01", "09", "10", "12", "20", "20", "21", "22", "23", "24", "26", "40", "42"];
    prepare(folder.path(), FLOW, &callees);
    let output = command(folder.path(), "15").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["status"], "completed", "{result}");
    assert_eq!(result["calls_placed"], 15, "{result}");
    let expected = [
        ("answered_human", 8),
        ("busy", 2),
        ("no_answer", 1),
        ("failed", 2),
        ("rejected", 1),
        ("invalid_number", 1),
    ];
    for (disposition, count) in expected {
        assert_eq!(result["dispositions"][disposition], count, "{disposition} in {result}");
    }

    let calls = calls(folder.path());
    let records = records();
    let mut counted: BTreeMap<&str, u64> = BTreeMap::new();
    for (call, disposition) in &calls {
        let own = records.get(call).unwrap_or_else(|| panic!("{call} ({disposition}) has no record"));
        assert_eq!(own.len(), 1, "{call} has one record: {own:?}");
        *counted.entry(own[0].as_str()).or_default() += 1;
    }
    let told = |name: &str| result["dispositions"][name].as_u64().unwrap();
    assert_eq!(counted.get("ANSWERED"), Some(&told("answered_human")));
    assert_eq!(counted.get("BUSY"), Some(&told("busy")));
    assert_eq!(counted.values().sum::<u64>(), result["calls_placed"].as_u64().unwrap());
    let text = stderr(&output);
    assert_eq!(text.matches("asked for trigger_donation").count(), 3, "{text}");
}

#[test]
fn killed_amid_fifty_live_calls_it_leaves_no_orphan_calls_nobody_twice_and_tells_what_came_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Most are silent and stay; some hang up soon, perhaps while the program is dead; some ring.
    let mut callees = vec!["40"; 8];
    callees.extend(["21"; 4]);
    callees.extend(["12"; 50]);
    prepare(folder.path(), STAY, &callees);
    let mut child = command(folder.path(), "60").stderr(Stdio::null()).spawn().unwrap();
    let before = wait_for(|| Some(calls_in("Up")).filter(|live| live.len() >= 50));
    child.kill().unwrap();
    child.wait().unwrap();
    // Long enough for the callees who hang up.
    pause(Duration::from_secs(2));
    let left = live_calls();
    assert!(left.len() >= 50, "calls go on without the program: {}", left.len());

    let output = command(folder.path(), "60").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(live_calls(), Vec::<String>::new(), "no orphan");
    assert_eq!(result["status"], "completed", "{result}");

    let (calls, records) = (calls(folder.path()), records());
    for call in before.iter().chain(&left) {
        assert!(calls.contains_key(call), "{call} is accounted for");
    }
    for (call, disposition) in &calls {
        let own = records.get(call).unwrap_or_else(|| panic!("{call} ({disposition}) has no record"));
        assert_eq!(own.len(), 1, "{call} was called once: {own:?}");
        let answered = own[0] == "ANSWERED";
        assert_eq!(disposition == "answered_human", answered, "{call}: {disposition}, but {own:?}");
    }
    // Nobody who answered was called again.
    assert_eq!(result["dispositions"]["answered_human"], 58, "{result}");
    assert_eq!(result["contacts"]["completed"], 58, "{result}");
    assert_eq!(calls.values().filter(|disposition| *disposition == "answered_human").count(), 58);
    let settled: u64 =
        result["contacts"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(settled, 62, "{result}");
}

fn prepare(folder: &Path, flow: &str, callees: &[&str]) {
    let mut sheet = String::from("first name,phone\n");
    let own = std::process::id() % 90;
    for (row, callee) in callees.iter().enumerate() {
        sheet.push_str(&format!(
            "Person {row},+972527{callee}{:04}\n",
            own * 100 + u32::try_from(row).unwrap()
        ));
    }
    std::fs::write(folder.join("people.csv"), sheet).unwrap();
    std::fs::write(folder.join("campaign.toml"), CAMPAIGN).unwrap();
    std::fs::write(folder.join("flow.toml"), flow).unwrap();
}

fn command(folder: &Path, concurrency: &str) -> Command {
    let (user, password, address) = server();
    let app = format!("example-{}", folder.file_name().unwrap().to_string_lossy().replace('.', ""));
    let mut command = support::example("asterisk");
    command
        .current_dir(folder)
        .args(["--ari", &format!("http://{address}"), "--user", &user, "--app", &app])
        .env("RIVVI_ARI_PASSWORD", password)
        .args(["--endpoint", "PJSIP/{number}@network", "--agent-endpoint", "PJSIP/{to}@network"])
        .args(["--contacts", "people.csv", "--campaign", "campaign.toml", "--flow", "flow.toml", "--json"])
        .args(["--db", "run.db", "--blobs", "files", "--speech", "speech", "--silence", "2s"])
        .args(["--concurrency", concurrency])
        .stdout(Stdio::piped());
    command
}

/// User, password and address of the Asterisk of the tests.
fn server() -> (String, String, String) {
    let url = std::env::var("RIVVI_TEST_ASTERISK")
        .expect("RIVVI_TEST_ASTERISK names no Asterisk; run: eval \"$(scripts/services env)\"");
    let (credentials, address) = url.trim_start_matches("http://").split_once('@').unwrap();
    let (user, password) = credentials.split_once(':').unwrap();
    (user.into(), password.into(), address.trim_end_matches('/').into())
}

/// What Asterisk's web server gives out.
fn get(path: &str) -> String {
    let (user, password, address) = server();
    let mut stream = TcpStream::connect(&address).unwrap();
    let joint = if path.contains('?') { '&' } else { '?' };
    let request = format!("GET {path}{joint}api_key={user}:{password} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    // The connection stays open, so the answer ends where its head says.
    let mut answer = BufReader::new(stream);
    let mut length = None;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok(),
            None if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length.expect("Asterisk tells the length")];
    answer.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

/// The ids of the channels that are calls of ours: the other halves have ids of Asterisk's making.
fn live_calls() -> Vec<String> {
    calls_in("")
}

/// Those whose channels are in this state; any if empty.
fn calls_in(state: &str) -> Vec<String> {
    let channels: Value = serde_json::from_str(&get("/ari/channels")).unwrap();
    let channels = channels.as_array().unwrap().iter();
    let channels = channels.filter(|channel| state.is_empty() || channel["state"] == state);
    let ids = channels.map(|channel| channel["id"].as_str().unwrap().to_owned());
    ids.filter(|id| id.len() == 36 && id.matches('-').count() == 4).collect()
}

/// How the calls ended by Asterisk's call detail records: by the id of the channel.
fn records() -> BTreeMap<String, Vec<String>> {
    let mut records: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in
        csv::ReaderBuilder::new().has_headers(false).from_reader(get("/static/cdr.csv").as_bytes()).records()
    {
        let row = row.unwrap();
        records.entry(row[16].to_owned()).or_default().push(row[14].to_owned());
    }
    records
}

/// How the calls of the run ended, as the program archived them.
fn calls(folder: &Path) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    archived(folder).iter().map(|call| (text(&call["id"]), text(&call["state"]["disposition"]))).collect()
}

/// The calls of the run as the program archived them.
fn archived(folder: &Path) -> Vec<Value> {
    let mut calls = Vec::new();
    let mut folders = vec![folder.join("files/call-logs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with("-formatted.json") {
                let mut call: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                calls.push(call["call"].take());
            }
        }
    }
    calls
}

fn wait_for<T>(what: impl Fn() -> Option<T>) -> T {
    let clock = SystemClock::new();
    while clock.monotonic() < Duration::from_secs(60) {
        if let Some(found) = what() {
            return found;
        }
        pause(Duration::from_millis(50));
    }
    panic!("it did not happen within a minute");
}

fn pause(span: Duration) {
    let clock = SystemClock::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(clock.sleep_until(clock.now() + span));
}
