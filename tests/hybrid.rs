//! The example for calls and messages: simulated, and as a whole chain on a real Asterisk. Somebody presses 1, no message
//! reaches their phone, its text is made into speech, and a second call plays it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use rivvi::provider::{AudioFormat, SpeechRequest, SpeechSynthesizer};
use rivvi::providers::Espeak;
use rivvi::speech::audio;
use rivvi::testkit::http::FarSide;
use serde_json::Value;
use support::{example, stderr};

const TEXT: &str = "Thank you Dana. You can give to the hospital at charity dot example.";

const FLOW: &str = r#"
start = "ask"
[[nodes]]
id = "ask"
type = "menu"
audio = "sound:vm-intro"
timeout = "5s"
on_timeout = "end"
keys = { 1 = { action = "trigger_donation", next = "end" } }
[[nodes]]
id = "end"
type = "hang_up"
"#;

const CAMPAIGN: &str = r#"
name = "Chain"
channel = "hybrid"
[[follow_up]]
name = "link"
on = "action:trigger_donation"
sms = "Give at https://charity.example"
[[follow_up]]
name = "link_by_voice"
on = "link.no_sms"
speech = "Thank you {{ first_name }}. You can give to the hospital at charity dot example."
[call]
ring_timeout = "5s"
max_duration = "25s"
[run]
end_after = "1h"
"#;

fn result(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn in_virtual_time_every_contact_ends_and_fallbacks_are_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("people.csv"), support::sheet(80)).unwrap();
    let mut command = example("hybrid");
    command.current_dir(folder.path()).args(["--contacts", "people.csv", "--no-sms", "0.5", "--json"]);
    let result = result(&command.output().unwrap());
    assert_eq!(result["status"], "completed");
    let contacts = result["contacts"].as_object().unwrap();
    assert_eq!(contacts.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 80, "{result}");
    let fallbacks =
        contacts["fallback_delivered"].as_u64().unwrap() + contacts["fallback_failed"].as_u64().unwrap();
    assert_eq!(Some(fallbacks), result["messages"]["failed"].as_u64(), "{result}");
    assert!(fallbacks > 5, "{result}");
}

#[test]
fn what_is_wrong_is_told_and_where() {
    for (options, expected) in [
        (vec!["--voice", "asterisk"], "--ari is missing"),
        (vec!["--no-sms", "2"], "expected a number from 0 to 1"),
        (vec!["--contacts", "nobody.csv"], "nobody.csv"),
        (vec!["--campaign", "nothing.toml"], "nothing.toml"),
    ] {
        let output = example("hybrid").args(&options).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_no_phone_takes_is_heard_in_a_second_call() {
    // What Polly is asked to say, espeak says: real words, whose sound is known here.
    let espeak = Espeak::new();
    let spoken = espeak.synthesize(&SpeechRequest::new(TEXT, AudioFormat::Linear8k)).await.unwrap();
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let polly = FarSide::start({
        let (asked, spoken) = (asked.clone(), spoken.clone());
        move |request| {
            asked.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap_or_default());
            let characters = TEXT.chars().count().to_string();
            Response::builder()
                .header("content-type", "audio/pcm")
                .header("x-amzn-requestcharacters", characters)
                .body(spoken.clone())
                .unwrap_or_else(|_| Response::new(Bytes::new()))
        }
    })
    .await;

    let folder = tempfile::tempdir().unwrap();
    let number = format!("+97252745{:04}", std::process::id() % 10_000);
    let sheet = format!("first name,phone\nDana,{number}\n");
    for (name, text) in [("people.csv", sheet.as_str()), ("campaign.toml", CAMPAIGN), ("flow.toml", FLOW)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let before = heard(&number).len();
    let output = chain(folder.path(), &polly.url());
    let result = result(&output);
    assert_eq!(result["status"], "completed", "{result}");
    assert_eq!(result["contacts"]["fallback_delivered"], 1, "{result}");
    assert_eq!((&result["calls_placed"], &result["messages"]["failed"]), (&2.into(), &1.into()), "{result}");

    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1, "a text is paid for once: {asked:?}");
    assert_eq!(asked[0]["Text"], TEXT);

    // What the callee heard in the second call is what was spoken.
    let recordings = heard(&number);
    assert_eq!(recordings.len() - before, 2, "{recordings:?}");
    let (rate, heard) = audio::read_wave(&recording(recordings.last().unwrap())).unwrap();
    assert_eq!(rate, 8_000);
    let alike = likeness(&audio::samples(&spoken), &heard);
    assert!(alike > 0.9, "what was heard is like what was spoken by {alike:.3}");
    let other = SpeechRequest::new("Something quite different, and not as long.", AudioFormat::Linear8k);
    let other = espeak.synthesize(&other).await.unwrap();
    let unlike = likeness(&audio::samples(&other), &heard);
    assert!(unlike < 0.8, "another text is unlike it: {unlike:.3}");
}

/// The example on Asterisk, for phones of which none takes messages.
fn chain(folder: &Path, polly: &str) -> Output {
    let (user, password, address) = server();
    let mut command = example("hybrid");
    command
        .current_dir(folder)
        .args(["--voice", "asterisk", "--ari", &format!("http://{address}"), "--user", &user])
        .args(["--app", &format!("hybrid-{}", std::process::id())])
        .env("RIVVI_ARI_PASSWORD", password)
        .args(["--endpoint", "PJSIP/{number}@network", "--speech", "speech", "--blobs", "blobs"])
        .args(["--contacts", "people.csv", "--campaign", "campaign.toml", "--flow", "flow.toml", "--json"])
        .args(["--speaker", "polly", "--polly-endpoint", polly, "--no-sms", "1"]);
    command.output().unwrap()
}

/// How alike the loudness of two sounds is over time, wherever the shorter lies in the longer: 1 for the same.
fn likeness(spoken: &[i16], heard: &[i16]) -> f64 {
    const FRAME: usize = 160;
    let loudness = |samples: &[i16]| -> Vec<f64> {
        let energy = |frame: &[i16]| frame.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>();
        samples.chunks(FRAME).map(|frame| (energy(frame) / FRAME as f64).sqrt()).collect()
    };
    // Recording may begin a moment after playing.
    let silence = vec![0; 8_000];
    let heard = [silence.as_slice(), heard, silence.as_slice()].concat();
    let (spoken, heard) = (loudness(spoken), loudness(&heard));
    let correlation = |window: &[f64]| {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (a, b) = (mean(&spoken), mean(window));
        let both: f64 = spoken.iter().zip(window).map(|(x, y)| (x - a) * (y - b)).sum();
        let of = |values: &[f64], mean: f64| values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        both / (of(&spoken, a) * of(window, b)).sqrt().max(1.0)
    };
    heard.windows(spoken.len()).map(correlation).fold(0.0, f64::max)
}

/// User, password and address of the Asterisk of the tests.
fn server() -> (String, String, String) {
    let url = std::env::var("RIVVI_TEST_ASTERISK")
        .expect("RIVVI_TEST_ASTERISK names no Asterisk; run: eval \"$(scripts/services env)\"");
    let (credentials, address) = url.trim_start_matches("http://").split_once('@').unwrap();
    let (user, password) = credentials.split_once(':').unwrap();
    (user.into(), password.into(), address.trim_end_matches('/').into())
}

/// The recordings of what a callee heard, oldest first.
fn heard(number: &str) -> Vec<String> {
    let stored: Vec<BTreeMap<String, String>> =
        serde_json::from_slice(&get("/ari/recordings/stored")).unwrap();
    let prefix = format!("heard-{}-", number.trim_start_matches('+'));
    let mut names: Vec<String> = stored.into_iter().filter_map(|mut stored| stored.remove("name")).collect();
    names.retain(|name| name.starts_with(&prefix));
    names.sort();
    names
}

fn recording(name: &str) -> Vec<u8> {
    get(&format!("/ari/recordings/stored/{name}/file"))
}

/// What Asterisk's web server gives out.
fn get(path: &str) -> Vec<u8> {
    let (user, password, address) = server();
    let mut stream = TcpStream::connect(&address).unwrap();
    let request = format!("GET {path}?api_key={user}:{password} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
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
    body
}
