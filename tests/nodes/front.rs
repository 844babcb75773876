//! The worker as its user sees it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{example, sheet, stderr};
use crate::{CAMPAIGN, TIMES, cluster};

fn worker(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = example("worker");
    command.current_dir(folder).args(["--json", "--campaign", "campaign.toml"]).args(TIMES).args(arguments);
    command
}

fn folder(rows: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("people.csv"), sheet(rows)).unwrap();
    std::fs::write(folder.path().join("campaign.toml"), CAMPAIGN).unwrap();
    folder
}

fn one_object(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

#[test]
fn asked_to_stop_it_leaves_in_order_and_another_node_finishes() {
    let folder = folder(60);
    let arguments = ["--ledger", "sqlite:run.db", "--network-log", "legs.jsonl", "--cps", "20"];
    let first = worker(folder.path(), &arguments)
        .args(["--contacts", "people.csv", "--node", "first"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while std::fs::metadata(folder.path().join("legs.jsonl")).map_or(0, |file| file.len()) < 4_000 {
        std::thread::park_timeout(std::time::Duration::from_millis(2));
    }
    cluster::signal(&first, "-TERM");
    let first = first.wait_with_output().unwrap();
    assert_eq!(first.status.code(), Some(130), "{}", stderr(&first));
    let stopped = one_object(&first);
    assert_eq!((stopped["status"].as_str(), stopped["node"].as_str()), (Some("active"), Some("first")));

    // Without a sheet, a node joins the run that is under way.
    let second = worker(folder.path(), &arguments).args(["--node", "second"]).output().unwrap();
    assert!(second.status.success(), "{}", stderr(&second));
    let (ended, count) = (one_object(&second), |value: &Value| value["node_calls_placed"].as_u64().unwrap());
    assert_eq!((&ended["run_id"], ended["status"].as_str()), (&stopped["run_id"], Some("completed")));
    assert_eq!(count(&stopped) + count(&ended), ended["calls_placed"].as_u64().unwrap());
    assert!(count(&stopped) > 0 && count(&ended) > 0);
    assert_eq!((ended["ledger"].as_str(), ended["limiter"].as_str()), (Some("sqlite"), Some("local")));

    // A node that comes late finds the run over, and dials nobody.
    let third = worker(folder.path(), &arguments).args(["--contacts", "people.csv"]).output().unwrap();
    assert!(third.status.success(), "{}", stderr(&third));
    let late = one_object(&third);
    assert_eq!((&late["run_id"], count(&late)), (&ended["run_id"], 0));
}

#[test]
fn wrong_input_is_one_clear_line_that_names_the_option_and_exit_code_2() {
    let folder = folder(5);
    std::fs::write(folder.path().join("not-a-db.db"), "text ".repeat(1_000)).unwrap();
    std::fs::write(folder.path().join("legs.jsonl"), "{\"hello\": 1}\n").unwrap();
    let quickstart = example("quickstart")
        .current_dir(folder.path())
        .args(["--contacts", "people.csv", "--db", "ahead.db", "--start", "2126-01-01T08:00:00Z"])
        .output()
        .unwrap();
    assert!(quickstart.status.success(), "{}", stderr(&quickstart));
    let people = ["--contacts", "people.csv"];
    let cases: &[(&[&str], &[&str])] = &[
        (&["--ledger", "mysql://user:s3cret@host/db"], &["--ledger", "`mysql`", "expected sqlite:PATH"]),
        (&["--ledger", "run.db"], &["--ledger", "expected sqlite:PATH"]),
        (&["--ledger", "sqlite:not-a-db.db"], &["--ledger", "not-a-db.db"]),
        (&["--ledger", "sqlite:absent/run.db"], &["--ledger", "absent/run.db"]),
        (&["--ledger", "sqlite:ahead.db"], &["--ledger", "ahead of this machine's clock"]),
        (&["--ledger", "sqlite:a.db", "--limiter", "amqp://user:s3cret@host"], &["--limiter", "`amqp`"]),
        (
            &["--ledger", "sqlite:b.db", "--network-log", "legs.jsonl"],
            &["--network-log", "legs.jsonl: line 1"],
        ),
        (&["--ledger", "sqlite:c.db", "--lease", "1s"], &["--lease", "at least twice"]),
        (&["--ledger", "sqlite:d.db", "--contacts", "absent.csv"], &["absent.csv", "no such file"]),
        (&["--ledger", "sqlite:e.db", "--campaign", "people.csv"], &["people.csv"]),
        (&["--ledger", "sqlite:f.db", "--lease", "soon"], &["--lease"]),
        (&["--ledger", "sqlite:g.db", "--haste", "0"], &["--haste", "expected a number"]),
        (&[], &["--ledger"]),
    ];
    for (arguments, expected) in cases {
        let mut command = example("worker");
        command.current_dir(folder.path()).args(people.iter().filter(|_| !arguments.contains(&"--contacts")));
        check_refused(command.args(*arguments), expected);
    }
    let mut command = example("worker");
    let joins = command.current_dir(folder.path()).args(["--ledger", "sqlite:empty.db"]);
    check_refused(joins, &["--contacts", "no run of this organization is under way"]);
}

fn check_refused(command: &mut Command, expected: &[&str]) {
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{command:?}: {text}");
    assert!(output.stdout.is_empty(), "{command:?}");
    for part in expected {
        assert!(text.contains(part), "{command:?}: expected {part:?} in {text}");
    }
    assert!(!text.contains("s3cret") && !text.contains("panicked"), "{text}");
}
