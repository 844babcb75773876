//! The quick start is killed again and again, at random instants, and loses nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveTime, TimeDelta, Utc, Weekday};
use rivvi::providers::Leg;
use serde_json::Value;

/// How often it is killed at least, over all rounds.
const KILLS_MIN: u32 = 30;
const ROWS: u64 = 150;
const SUPPRESSED: u64 = 10;
const CAMPAIGN: &str = r#"
name = "Kill test"
channel = "voice"
required_fields = ["first_name", "phone"]
[[windows]]
days = ["sun", "mon", "tue", "wed", "thu"]
from = "09:00"
to = "20:30"
[retry]
busy      = { after = "15m", max = 2 }
no_answer = { after = "2h", max = 2 }
voicemail = { after = "1d", max = 1 }
failed    = { after = "5m", max = 1 }
[caps]
lifetime = 5
per_day = 2
rolling = { attempts = 7, days = 7 }
[run]
end_after = "20d"
"#;

#[test]
fn killed_at_any_instant_it_calls_nobody_twice_and_completes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("people.csv"), support::sheet(ROWS)).unwrap();
    std::fs::write(folder.path().join("campaign.toml"), CAMPAIGN).unwrap();
    let suppressed: Vec<String> = (0..SUPPRESSED).map(|row| number(row * 5)).collect();
    std::fs::write(folder.path().join("suppress.txt"), suppressed.join("\n")).unwrap();

    let (mut kills, mut rounds, mut dice) = (0, 0, Dice(20_260_302));
    while kills < KILLS_MIN {
        rounds += 1;
        assert!(rounds < 50, "the rounds end before they can be killed");
        kills += round(folder.path(), rounds, &suppressed, &mut dice);
    }
    println!("{kills} kills in {rounds} rounds");
}

/// Runs one sheet to its end, killed up to 20 times on the way. Returns the number of kills.
fn round(folder: &Path, round: u64, suppressed: &[String], dice: &mut Dice) -> u32 {
    let (db, log) = (folder.join(format!("{round}.db")), folder.join(format!("{round}.jsonl")));
    let mut kills = 0;
    while kills < 20 {
        let mut child = command(folder, &db, &log, round).stderr(Stdio::null()).spawn().unwrap();
        let wait = Duration::from_millis(dice.below(900) + 5);
        let mut waited = Duration::ZERO;
        while waited < wait && child.try_wait().unwrap().is_none() {
            std::thread::park_timeout(Duration::from_millis(1));
            waited += Duration::from_millis(1);
        }
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let output = command(folder, &db, &log, round).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", support::stderr(&output));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    check(&result, &Leg::read_all(&log).unwrap(), suppressed);
    kills
}

fn command(folder: &Path, db: &Path, log: &Path, seed: u64) -> Command {
    let mut command = support::example("quickstart");
    command
        .current_dir(folder)
        .args(["--json", "--contacts", "people.csv", "--campaign", "campaign.toml"])
        .args(["--suppress", "suppress.txt", "--concurrency", "8"])
        .args(["--start", "2026-03-02T06:30:00Z", "--seed", &seed.to_string()])
        .arg("--db")
        .arg(db)
        .arg("--network-log")
        .arg(log)
        .stdout(Stdio::piped());
    command
}

fn check(result: &Value, legs: &[Leg], suppressed: &[String]) {
    let count = |key: &str| result[key].as_u64().unwrap();
    let sum = |key: &str| -> u64 {
        result[key].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
    };
    assert_eq!(result["status"], "completed", "{result}");
    assert_eq!((count("rows"), count("imported"), count("suppressed")), (ROWS, ROWS, SUPPRESSED), "{result}");
    assert_eq!(sum("contacts"), ROWS, "{result}");
    let not_placed = result["dispositions"]["not_placed"].as_u64().unwrap_or(0);
    assert_eq!(sum("dispositions") - not_placed, count("calls_placed"), "{result}");
    assert_eq!(
        count("calls_placed"),
        legs.len() as u64,
        "every leg is accounted for, and no other: {result}"
    );
    assert!(count("max_concurrent") <= 8);

    let calls: HashSet<_> = legs.iter().map(|leg| leg.call_id).collect();
    assert_eq!(calls.len(), legs.len(), "no call has two legs");
    let mut attempts: BTreeMap<_, Vec<DateTime<Utc>>> = BTreeMap::new();
    for leg in legs {
        assert!(!suppressed.contains(&leg.to.expose()), "a suppressed number was called");
        let local = leg.at.with_timezone(&chrono_tz::Asia::Jerusalem);
        let time = |hour, minute| NaiveTime::from_hms_opt(hour, minute, 0).unwrap();
        assert!(local.time() >= time(9, 0) && local.time() < time(20, 30), "outside the window: {local}");
        assert!(!matches!(local.weekday(), Weekday::Fri | Weekday::Sat), "on a closed day: {local}");
        attempts.entry(leg.contact_id).or_default().push(leg.at);
    }
    for attempts in attempts.values() {
        assert!(attempts.len() <= 5, "over the cap");
        let apart = attempts.windows(2).all(|pair| pair[1] - pair[0] >= TimeDelta::minutes(5));
        assert!(apart, "a second call sooner than any retry allows: {attempts:?}");
    }
}

fn number(row: u64) -> String {
    format!("+97252{:07}", 2_000_000 + row * 7)
}

/// Small repeatable random numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
