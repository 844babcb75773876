//! The quick start as its user sees it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use support::{example, sheet, stderr};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    example("quickstart").current_dir(folder).args(arguments).output().unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("people.csv"), sheet(60)).unwrap();
    folder
}

#[test]
fn the_shipped_sheet_runs_to_its_end() {
    let folder = folder();
    let suppress = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/suppress.txt");
    let output = run(folder.path(), &["--json", "--suppress", suppress]);
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["status"], "completed");
    let count = |key: &str| result[key].as_u64().unwrap();
    assert_eq!(count("rows"), count("imported") + count("duplicates") + count("invalid"));
    assert!(count("max_concurrent") <= 20);
    assert!(folder.path().join("quickstart-report.csv").exists());
}

#[test]
fn the_same_seed_gives_the_same_result_and_another_seed_another() {
    let folder = folder();
    let result = |seed: &str| -> Value {
        let output = run(folder.path(), &["--json", "--contacts", "people.csv", "--seed", seed]);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        result["dispositions"].clone()
    };
    assert_eq!(result("7"), result("7"));
    assert_ne!(result("7"), result("8"));
}

#[test]
fn with_a_folder_for_files_the_result_is_the_same() {
    let folder = folder();
    let result = |arguments: &[&str]| -> Value {
        let arguments = [&["--json", "--contacts", "people.csv"], arguments].concat();
        serde_json::from_slice(&run(folder.path(), &arguments).stdout).unwrap()
    };
    assert_eq!(result(&["--blobs", "files"])["dispositions"], result(&[])["dispositions"]);
    for kept in ["raw-uploads", "processed-data", "call-logs"] {
        assert!(folder.path().join("files").join(kept).is_dir(), "{kept}");
    }
}

#[test]
fn the_same_command_twice_calls_nobody_again() {
    let folder = folder();
    let arguments = ["--json", "--contacts", "people.csv", "--db", "run.db", "--network-log", "legs.jsonl"];
    let first: Value = serde_json::from_slice(&run(folder.path(), &arguments).stdout).unwrap();
    let legs = std::fs::read(folder.path().join("legs.jsonl")).unwrap();
    let output = run(folder.path(), &arguments);
    let second: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(first["dispositions"], second["dispositions"]);
    assert_eq!(first["run_id"], second["run_id"]);
    assert_eq!(std::fs::read(folder.path().join("legs.jsonl")).unwrap(), legs);
    assert!(stderr(&output).contains("use another --db"), "{}", stderr(&output));
}

#[test]
fn the_decision_trail_of_a_contact_is_told() {
    let folder = folder();
    let output = run(folder.path(), &["--contacts", "people.csv", "--explain", "052-2000007"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("imported from row"), "{text}");
    assert!(text.contains("attempt 1 allowed until"), "{text}");
    assert!(text.contains("settled: "), "{text}");
}

#[test]
fn calls_per_second_and_concurrency_hold_in_the_network_log() {
    let folder = folder();
    let arguments =
        ["--json", "--contacts", "people.csv", "--cps", "2", "--concurrency", "3", "--network-log", "l"];
    let output = run(folder.path(), &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["max_concurrent"].as_u64().unwrap() <= 3);
    let legs = rivvi::providers::Leg::read_all(folder.path().join("l")).unwrap();
    for (index, leg) in legs.iter().enumerate() {
        let second =
            legs[index..].iter().take_while(|other| other.at - leg.at < chrono::TimeDelta::seconds(1));
        assert!(second.count() <= 2, "more than 2 calls in a second");
    }
}

#[test]
fn in_time_that_passes_it_comes_to_the_same_end() {
    let folder = folder();
    let arguments = ["--json", "--contacts", "people.csv", "--speed", "20000", "--network-log", "l"];
    let output = run(folder.path(), &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(result["contacts"]["completed"].as_u64().unwrap() > 10, "{result}");
    assert_eq!(result["status"], "completed", "{result}");
    let legs = rivvi::providers::Leg::read_all(folder.path().join("l")).unwrap();
    assert_eq!(result["calls_placed"].as_u64().unwrap(), legs.len() as u64);
}

#[cfg(unix)]
#[test]
fn interrupted_it_says_how_to_go_on_and_goes_on() {
    let folder = folder();
    std::fs::write(folder.path().join("many.csv"), sheet(1_500)).unwrap();
    let arguments = ["--json", "--contacts", "many.csv", "--db", "run.db", "--network-log", "legs.jsonl"];
    let child = example("quickstart")
        .current_dir(folder.path())
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Interrupt it once it has begun to call.
    while std::fs::metadata(folder.path().join("legs.jsonl")).map_or(0, |file| file.len()) < 5_000 {
        std::thread::park_timeout(std::time::Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("--db run.db"), "{}", stderr(&output));
    let interrupted: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(interrupted["status"], "active");
    let output = run(folder.path(), &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["status"], "completed");
    assert_eq!(result["run_id"], interrupted["run_id"]);
}

#[test]
fn wrong_input_is_one_clear_line_and_exit_code_2() {
    let folder = folder();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("empty.csv", "");
    write("no-phone.csv", "name,age\nDana,4\n");
    write("notes.pdf", "%PDF-1.4");
    write("fax.toml", "name = 'x'\nchannel = 'fax'\n");
    write(
        "window.toml",
        "name='x'\nchannel='voice'\n[[windows]]\ndays=['someday']\nfrom='09:00'\nto='10:00'\n",
    );
    write("broken.toml", "name = 'x\n");
    write("key.json", "{\"name\": \"x\", \"channel\": \"voice\", \"colour\": 1}");
    write("numbers.txt", "052-2000007\nnot a number\n");
    write("not-a-db.db", &"text ".repeat(1_000));
    write("legs.jsonl", "{\"hello\": 1}");
    let cases: &[(&[&str], &[&str])] = &[
        (&["--contacts", "absent.csv"], &["absent.csv", "no such file"]),
        (&["--contacts", "empty.csv"], &["empty.csv", "empty"]),
        (&["--contacts", "no-phone.csv"], &["no-phone.csv", "phone"]),
        (&["--contacts", "notes.pdf"], &["notes.pdf", "expected csv"]),
        (&["--campaign", "fax.toml"], &["fax.toml", "channel", "voice"]),
        (&["--campaign", "window.toml"], &["window.toml", "windows[0]", "days"]),
        (&["--campaign", "broken.toml"], &["broken.toml", "line 1"]),
        (&["--campaign", "key.json"], &["key.json", "colour"]),
        (&["--campaign", "absent.toml"], &["absent.toml"]),
        (&["--suppress", "numbers.txt"], &["numbers.txt: line 2", "expected one phone number per line"]),
        (&["--db", "not-a-db.db"], &["not-a-db.db"]),
        (&["--network-log", "legs.jsonl"], &["legs.jsonl: line 1"]),
        (&["--explain", "12"], &["--explain", "expected a phone number"]),
        (&["--region", "XX"], &["--region", "ISO 3166"]),
        (&["--start", "yesterday"], &["--start", "expected an instant"]),
        (&["--cps", "0"], &["--cps", "above 0"]),
        (&["--report", "absent/report.csv"], &["absent/report.csv"]),
    ];
    for (arguments, expected) in cases {
        let output = run(folder.path(), arguments);
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let errors: Vec<&str> = text.lines().filter(|line| line.contains("error:")).collect();
        assert_eq!(errors.len(), 1, "{arguments:?}: {text}");
        for part in *expected {
            assert!(errors[0].contains(part), "{arguments:?}: expected {part:?} in {text}");
        }
        assert!(!text.contains("panicked"), "{text}");
    }
}
