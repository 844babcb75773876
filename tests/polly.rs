//! The example `polly` as its user sees it, on moto.
//!
//! Needs `RIVVI_TEST_S3`, the URL of a moto server, such as one that `scripts/services` starts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::{example, stderr};

fn endpoint() -> String {
    std::env::var("RIVVI_TEST_S3").unwrap_or_else(|_| {
        panic!(
            "RIVVI_TEST_S3 is not set: expected the URL of a moto server; start one with `scripts/services` and load \
             the variables it prints"
        )
    })
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let endpoint = endpoint();
    let arguments = [&["--endpoint-url", &endpoint], arguments].concat();
    example("polly").current_dir(folder).args(arguments).output().unwrap()
}

#[test]
fn a_text_becomes_a_file_and_is_paid_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--text", "Good morning.", "--out", "a.wav", "--cache", "kept", "--json"];
    let output = run(folder.path(), &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&told["cached"], &told["characters"]), (&Value::from(false), &Value::from(13)));
    assert!((told["cost_usd"].as_f64().unwrap() - 0.000_208).abs() < 1e-9, "{told}");
    let wave = std::fs::read(folder.path().join("a.wav")).unwrap();
    assert!(wave.starts_with(b"RIFF"));
    let (rate, samples) = rivvi::speech::audio::read_wave(&wave).unwrap();
    assert_eq!((rate, samples.len()), (8_000, 4), "what moto says to everything");

    std::fs::remove_file(folder.path().join("a.wav")).unwrap();
    let again: Value = serde_json::from_slice(&run(folder.path(), &arguments).stdout).unwrap();
    assert_eq!((&again["cached"], &again["characters"]), (&Value::from(true), &Value::from(0)));
    assert_eq!(std::fs::read(folder.path().join("a.wav")).unwrap(), wave);
}

#[test]
fn formats_engines_languages_and_documents_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, bytes) in [
        (&["--text", "Hi", "--format", "mulaw8k", "--out", "a.ulaw"][..], 4),
        (&["--text", "Hi", "--format", "linear16k", "--engine", "generative", "--out", "a.sln16"], 8),
        (&["--text", "Guten Tag", "--language", "de", "--out", "a.sln"], 8),
        (&["--text", "<speak>Hi</speak>", "--ssml", "--voice", "Amy", "--out", "a.wav"], 52),
    ] {
        let output = run(folder.path(), arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        let file = folder.path().join(arguments.last().unwrap());
        assert_eq!(std::fs::read(file).unwrap().len(), bytes, "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("characters for $"));
    }
}

#[test]
fn wrong_input_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, told) in [
        (&["--text", " ", "--out", "a.wav"][..], "something to say"),
        (&["--text", "Hi", "--out", "no/such/folder/a.wav"], "cannot be written"),
        (&["--text", "Hi", "--ssml", "--out", "a.wav"], "<speak>"),
        (&["--text", "שלום", "--language", "he-IL", "--out", "a.wav"], "no Hebrew"),
        (&["--text", "Hi", "--voice", "Nobody", "--out", "a.wav"], "no such voice"),
        (&["--text", "Hi", "--voice", "a b", "--out", "a.wav"], "one of Polly's voices"),
        (&["--text", "Hi", "--engine", "steam", "--out", "a.wav"], "expected one of: standard"),
        (&["--text", "Hi", "--endpoint-url", "nowhere", "--out", "a.wav"], "cannot be used multiple times"),
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty() && !folder.path().join("a.wav").exists());
    }
    let nobody = ["--endpoint-url", "http://127.0.0.1:9", "--text", "Hi", "--out", "a.wav"];
    let output = example("polly").current_dir(folder.path()).args(nobody).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("the connection could not be made"), "{}", stderr(&output));
}
