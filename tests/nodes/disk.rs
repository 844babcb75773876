//! A node whose disk is full: the files of its ledger may not grow, by a limit that the kernel sets.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rivvi::clock::{Clock, SystemClock};
use rivvi::providers::Leg;
use rivvi::storage::{RunQuery, Storage};
use rivvi::stores::SqliteStorage;

use crate::long::Scale;
use crate::support::example;
use crate::{TIMES, TURN, ledger, legs, write_job};

/// How large the files of a process may become.
fn limit_files(child: &Child, bytes: &str) {
    let limited = Command::new("prlimit")
        .args(["--pid", &child.id().to_string(), &format!("--fsize={bytes}:")])
        .status()
        .expect("prlimit (util-linux) is missing");
    assert!(limited.success(), "prlimit failed");
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let worker = example("worker");
    // The signal of the limit would end it; without it a write fails, as on a full disk. What it says goes elsewhere.
    Command::new("bash")
        .args(["-c", "trap '' XFSZ; exec \"$@\" > >(exec cat >out) 2> >(exec cat >>err)", "bash"])
        .arg(worker.get_program())
        .current_dir(folder)
        .args(["--json", "--contacts", "people.csv", "--campaign", "campaign.toml"])
        .args(["--suppress", "suppress.txt", "--ledger", "sqlite:run.db", "--blobs", "files"])
        .args([
            "--network-log",
            "legs.jsonl",
            "--cps",
            "20",
            "--concurrency",
            "24",
            "--lost-webhooks",
            "0.05",
        ])
        .args(TIMES)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

async fn until(what: &str, folder: &Path, is_so: impl Fn() -> bool) {
    let clock = SystemClock::new();
    while !is_so() {
        let said = || std::fs::read_to_string(folder.join("err")).unwrap_or_default();
        assert!(clock.monotonic() < Duration::from_secs(120), "not after two minutes: {what}\n{}", said());
        clock.sleep_until(clock.now() + Duration::from_millis(20)).await;
    }
}

async fn pause(seconds: u64) {
    let clock = SystemClock::new();
    clock.sleep_until(clock.now() + Duration::from_secs(seconds)).await;
}

/// The disk is full while calls are under way, and when the run is archived: nobody is called, the node says why, and goes
/// on by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_full_disk_nobody_is_called_and_nothing_is_lost() {
    let _turn = TURN.lock().await;
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    let scale = Scale::short(folder, 120);
    let suppressed = write_job(&scale);
    let placed = || Leg::read_all(folder.join("legs.jsonl")).map_or(0, |legs| legs.len());
    let said = |what: &str| std::fs::read_to_string(folder.join("err")).is_ok_and(|text| text.contains(what));
    let mut node = start(folder, &[]);

    until("thirty calls are placed", folder, || placed() >= 30).await;
    // The write-ahead log may not grow any more. The network's log is far smaller, so that what is dialled is seen.
    let size = std::fs::metadata(folder.join("run.db-wal")).unwrap().len();
    assert!(size > 1 << 18, "{size}");
    limit_files(&node, &size.to_string());
    until("it says that it cannot write", folder, || {
        said("waiting for the store") && said("look at its disk")
    })
    .await;
    // What was intended before may still be dialled.
    pause(1).await;
    let before = placed();
    pause(3).await;
    assert_eq!(placed(), before, "nobody is called who could not be written down");
    limit_files(&node, "unlimited");
    until("it goes on", folder, || placed() > before + 10).await;

    // Killed while its disk is full, it cannot begin anew before there is room.
    limit_files(&node, "4096");
    pause(1).await;
    node.kill().unwrap();
    node.wait().unwrap();
    let mut node = start(folder, &[]);
    let storage: Storage = SqliteStorage::open(folder.join("run.db")).await.unwrap().into();
    let run = storage.ledger.runs(RunQuery::default()).await.unwrap().remove(0);
    let clock = SystemClock::new();
    while storage.ledger.tally(run.id).await.unwrap().settled() < scale.rows {
        assert!(clock.monotonic() < Duration::from_secs(120), "not all contacts are settled");
        clock.sleep_until(clock.now() + Duration::from_millis(10)).await;
    }
    // Now only the archive is missing, and the call logs among the blobs.
    limit_files(&node, "64");
    let complaints = || {
        let text = std::fs::read_to_string(folder.join("err")).unwrap();
        text.matches("waiting for the store").count()
    };
    let so_far = complaints();
    until("it says that it cannot archive", folder, || complaints() > so_far).await;
    assert!(node.try_wait().unwrap().is_none(), "the run is not over");
    limit_files(&node, "unlimited");
    assert!(node.wait().unwrap().success());

    let legs = Leg::read_all(folder.join("legs.jsonl")).unwrap();
    legs::check_once(&legs);
    legs::check_concurrency(&legs, scale.concurrency);
    legs::check_nobody(&legs, &suppressed);
    let result = || serde_json::from_slice(&std::fs::read(folder.join("out")).unwrap()).ok();
    until("it tells the result", folder, || result().is_some()).await;
    let logs = call_logs(&folder.join("files/call-logs"));
    let calls = storage.ledger.tally(run.id).await.unwrap().dispositions.values().sum::<u64>();
    assert_eq!(logs, calls, "each call has its log");
    ledger::check(&storage, scale.rows, scale.suppressed(), &legs, &[result().unwrap()]).await;
}

/// How many call logs lie below a folder. All files there are whole.
fn call_logs(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let count = |path: PathBuf| {
        if path.is_dir() {
            return call_logs(&path);
        }
        serde_json::from_slice::<serde_json::Value>(&std::fs::read(&path).unwrap()).unwrap();
        u64::from(path.to_string_lossy().ends_with("-formatted.json"))
    };
    entries.map(count).sum()
}
