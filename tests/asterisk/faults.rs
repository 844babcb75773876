//! Two nodes on a real Asterisk are killed and stand still, and the network between them and Asterisk is cut, falls silent,
//! or keeps a request for long. Afterwards Asterisk's own records and the ledger must agree on what was promised.
//!
//! `scripts/real-faults` has it done for long, with so many calls as `RIVVI_REAL_FAULTS_ASTERISK_CALLS` says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use rivvi::clock::{Clock, SystemClock};
use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::windows::{Windows, zone_of};
use crate::wire::Wire;
use crate::{FLOW, TURN, archived, get, pause, server, support};

/// Short times, so that a node takes over from another within the test.
const TIMES: [&str; 12] = [
    "--place-timeout",
    "4s",
    "--lease",
    "9s",
    "--lookup-after",
    "1s",
    "--lookup-interval",
    "8s",
    "--idle-max",
    "500ms",
    "--silence",
    "5s",
];
const LEASE: Duration = Duration::from_secs(9);

const CAMPAIGN: &str = r#"
name = "Real faults"
channel = "voice"
required_fields = ["first_name", "phone"]
[call]
ring_timeout = "5s"
max_duration = "15s"
[retry]
busy      = { after = "2s", max = 1 }
no_answer = { after = "2s", max = 1 }
failed    = { after = "2s", max = 1 }
[caps]
lifetime = 3
[run]
at_end = "let_finish"
"#;
const ATTEMPTS_MAX: usize = 3;

/// What callees do, by the digits of their numbers: some talk, press keys and hang up, others are busy, do not answer, or
/// cannot be reached.
const CALLEES: [&str; 12] = ["40", "01", "20", "40", "00", "22", "21", "42", "09", "23", "20", "24"];

/// How much is done, and how fast.
struct Scale {
    folder: PathBuf,
    rows: u64,
    /// Calls that are wanted at least.
    calls: u64,
    concurrency: usize,
    /// From one fault to the next, in milliseconds.
    pause_ms: std::ops::Range<u64>,
    patience: Duration,
    windows: Option<Windows>,
    /// Whether nobody else uses the server.
    alone: bool,
}

#[test]
fn killed_stopped_and_cut_off_two_nodes_call_nobody_twice() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut dice = Dice::told();
    let wanted = std::env::var("RIVVI_REAL_FAULTS_ASTERISK_CALLS").ok();
    let wanted = wanted.map(|text| {
        text.parse::<u64>().expect("RIVVI_REAL_FAULTS_ASTERISK_CALLS: expected a number of calls")
    });
    let temporary = tempfile::tempdir().unwrap();
    let scale = match wanted {
        None => Scale {
            folder: temporary.path().to_owned(),
            rows: 40,
            calls: 40,
            concurrency: 8,
            pause_ms: 500..1_500,
            patience: Duration::from_secs(300),
            windows: None,
            alone: false,
        },
        Some(calls) => {
            let folder = support::target().join("real-faults").join(format!("asterisk-{}", dice.seed()));
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            println!("{} keeps what the nodes wrote", folder.display());
            let patience = Duration::from_secs(600 + calls * 3);
            let span = TimeDelta::from_std(patience).unwrap();
            Scale {
                folder,
                rows: calls * 17 / 20,
                calls,
                concurrency: 10,
                // So that a shorter run meets each of them too.
                pause_ms: if calls < 500 { 1_000..6_000 } else { 5_000..40_000 },
                patience,
                windows: Some(Windows::around(SystemClock::new().now(), span)),
                alone: true,
            }
        }
    };
    carry_out(&scale, &mut dice, FAULTS.len());
}

#[test]
fn a_request_that_arrives_late_calls_nobody_twice() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let temporary = tempfile::tempdir().unwrap();
    request_arrives_late(temporary.path(), "20");
}

#[test]
fn a_call_whose_request_arrives_late_is_led() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let temporary = tempfile::tempdir().unwrap();
    request_arrives_late(temporary.path(), "01");
    let said = std::fs::read_to_string(temporary.path().join("node-0.err")).unwrap();
    assert_eq!(said.matches("asked for trigger_donation").count(), 4, "{said}");
}

/// Four are called, and the network keeps the first request for longer than the engine waits before it looks.
fn request_arrives_late(folder: &Path, callee: &str) {
    prepare(folder, 4, None, &[callee]);
    let wire = Wire::to(&server().2);
    // Asterisk closes connections after 15 s without a request.
    wire.keep_next_request_for(Duration::from_secs(12));
    let mut nodes = Nodes::new(folder, wire.port, 1, 2);
    nodes.start(0);
    let clock = SystemClock::new();
    // Until the request that was kept has had its effect.
    while !nodes.are_done() || clock.monotonic() < Duration::from_secs(16) {
        assert!(clock.monotonic() < Duration::from_secs(240), "the run is not over: {}", nodes.said());
        pause(Duration::from_millis(50));
    }
    assert_eq!(wire.kept(), 1);
    let calls = archived(folder);
    let records = Record::all();
    let placed = calls.iter().filter(|call| is_attempt(disposition(call))).count();
    let legs: usize = calls.iter().map(|call| records.get(id(call)).map_or(0, Vec::len)).sum();
    assert_eq!(legs, placed, "every call has one leg: {calls:?}");
}

/// The nodes of a test, looked after as a service manager would.
struct Nodes {
    folder: PathBuf,
    port: u16,
    concurrency: usize,
    nodes: Vec<Option<Child>>,
    done: BTreeSet<usize>,
    gave_up: u32,
}

impl Nodes {
    fn new(folder: &Path, port: u16, size: usize, concurrency: usize) -> Self {
        let nodes = (0..size).map(|_| None).collect();
        Self { folder: folder.to_owned(), port, concurrency, nodes, done: BTreeSet::new(), gave_up: 0 }
    }

    fn start(&mut self, node: usize) {
        let (user, password, _) = server();
        let folder = self.folder.file_name().unwrap().to_string_lossy().replace('.', "");
        let append = |kind: &str| File::options().create(true).append(true).open(self.file(node, kind));
        let child = support::example("asterisk")
            .current_dir(&self.folder)
            .args(["--ari", &format!("http://127.0.0.1:{}", self.port), "--user", &user])
            .args(["--app", &format!("faults-{folder}-{node}")])
            .env("RIVVI_ARI_PASSWORD", password)
            .args(["--endpoint", "PJSIP/{number}@network", "--contacts", "people.csv"])
            .args(["--campaign", "campaign.toml", "--flow", "flow.toml", "--suppress", "suppress.txt"])
            .args(["--db", "run.db", "--blobs", "files", "--speech", &format!("speech-{node}"), "--json"])
            .args(["--concurrency", &self.concurrency.to_string(), "--cps", "5"])
            .args(TIMES)
            .stdin(Stdio::null())
            .stdout(File::create(self.file(node, "out")).unwrap())
            .stderr(append("err").unwrap())
            .spawn();
        self.nodes[node] = Some(child.unwrap());
    }

    /// Notices who has ended by themselves, and starts those again that must be. Returns whether all have seen the end of
    /// the run.
    fn are_done(&mut self) -> bool {
        for node in 0..self.nodes.len() {
            let Some(child) = &mut self.nodes[node] else { continue };
            let Some(status) = child.try_wait().unwrap() else { continue };
            self.nodes[node] = None;
            match status.code() {
                Some(0) => drop(self.done.insert(node)),
                Some(1 | 2) => {
                    self.gave_up += 1;
                    pause(Duration::from_millis(300));
                    self.start(node);
                }
                _ => panic!("node {node} ended with {status}: {}", self.said()),
            }
        }
        self.done.len() == self.nodes.len()
    }

    fn kill(&mut self, node: usize) {
        if let Some(mut child) = self.nodes[node].take() {
            child.kill().unwrap();
            // It may have ended by itself just now.
            if child.wait().unwrap().success() {
                self.done.insert(node);
            }
        }
    }

    fn signal(&self, node: usize, signal: &str) {
        if let Some(child) = &self.nodes[node] {
            let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
            assert!(sent.unwrap().success(), "`kill` failed");
        }
    }

    fn results(&self) -> Vec<Value> {
        let read = |node| std::fs::read_to_string(self.file(node, "out")).unwrap();
        let parse = |text: String| serde_json::from_str(&text).expect("one JSON object");
        (0..self.nodes.len()).map(read).map(parse).collect()
    }

    fn said(&self) -> String {
        let last = |node| {
            let text = std::fs::read_to_string(self.file(node, "err")).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            format!("node {node}: …\n{}\n", lines[lines.len().saturating_sub(12)..].join("\n"))
        };
        (0..self.nodes.len()).map(last).collect()
    }

    fn file(&self, node: usize, kind: &str) -> PathBuf {
        self.folder.join(format!("node-{node}.{kind}"))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

const KILLED: &str = "a node is killed";
const STOOD_STILL: &str = "a node stands still past its leases";
const CUT: &str = "the network to Asterisk is cut";
const SILENT: &str = "the network to Asterisk swallows everything for a while";
const KEPT: &str = "the network keeps a request to place a call";
const FAULTS: [&str; 5] = [KILLED, CUT, STOOD_STILL, SILENT, KEPT];

fn carry_out(scale: &Scale, dice: &mut Dice, kinds: usize) {
    let rows = prepare(&scale.folder, scale.rows, scale.windows.as_ref(), &CALLEES);
    let before = Record::all();
    let wire = Wire::to(&server().2);
    let (clock, mut fired) = (SystemClock::new(), BTreeMap::<&str, u32>::new());
    let mut nodes = Nodes::new(&scale.folder, wire.port, 2, scale.concurrency);
    // The first makes the run, the second finds it.
    nodes.start(0);
    while !scale.folder.join("run.db").exists() {
        pause(Duration::from_millis(50));
    }
    pause(Duration::from_secs(2));
    nodes.start(1);
    let mut next = clock.monotonic() + Duration::from_secs(1);
    let mut turn = 0;
    while !nodes.are_done() {
        let now = clock.monotonic();
        assert!(now < scale.patience, "the run is not over after {now:?}\n{}", nodes.said());
        if now >= next && (scale.alone || turn < kinds) {
            // Each kind in its turn, so that a short run meets all of them.
            let what = FAULTS[turn % kinds];
            turn += 1;
            let node = usize::try_from(dice.below(2)).unwrap();
            println!("{:>7} ms: {what}", now.as_millis());
            *fired.entry(what).or_default() += 1;
            let span = Duration::from_millis(500 + dice.below(if scale.alone { 12_000 } else { 2_000 }));
            match what {
                KILLED => {
                    nodes.kill(node);
                    pause(Duration::from_millis(dice.below(2_000)));
                    if !nodes.done.contains(&node) {
                        nodes.start(node);
                    }
                }
                STOOD_STILL => {
                    nodes.signal(node, "-STOP");
                    pause(LEASE + Duration::from_millis(500 + dice.below(2_000)));
                    nodes.signal(node, "-CONT");
                }
                CUT => wire.cut_for(span),
                SILENT => wire.be_silent_for(span),
                _ => wire.keep_next_request_for(Duration::from_millis(3_000 + dice.below(11_000))),
            }
            next = now
                + Duration::from_millis(
                    scale.pause_ms.start + dice.below(scale.pause_ms.end - scale.pause_ms.start),
                );
        }
        pause(Duration::from_millis(50));
    }
    println!("{:>7} ms: the run is over", clock.monotonic().as_millis());
    fired.insert("a node gives up by itself", nodes.gave_up);
    fired.insert("a request to place a call was kept by the network", wire.kept());
    for (what, times) in &fired {
        println!("fired {times} {what}");
    }
    // Longer than the network keeps a request.
    pause(Duration::from_secs(if scale.alone { 30 } else { 0 }));
    check(scale, &rows, &before, &nodes.results());
    assert!(turn >= FAULTS.len(), "the run was over before enough went wrong");
}

/// Writes the job. Returns the row of each number.
fn prepare(folder: &Path, rows: u64, windows: Option<&Windows>, callees: &[&str]) -> HashMap<String, u64> {
    let mut sheet = String::from("first name,phone,time zone\n");
    let mut row_of = HashMap::new();
    for row in 0..rows {
        let callee = callees[usize::try_from(row).unwrap() % callees.len()];
        let number = format!("+972527{callee}{row:04}");
        sheet.push_str(&format!("Person {row},{number},{}\n", zone_of(row)));
        row_of.insert(number, row);
    }
    let suppressed = row_of.iter().filter(|(_, row)| is_suppressed(**row));
    let suppressed: Vec<&str> = suppressed.map(|(number, _)| number.as_str()).collect();
    std::fs::write(folder.join("suppress.txt"), suppressed.join("\n")).unwrap();
    std::fs::write(folder.join("people.csv"), sheet).unwrap();
    let windows = windows.map_or("", |windows| &windows.text);
    std::fs::write(folder.join("campaign.toml"), format!("{CAMPAIGN}{windows}")).unwrap();
    std::fs::write(folder.join("flow.toml"), FLOW).unwrap();
    row_of
}

fn is_suppressed(row: u64) -> bool {
    row % 20 == 7
}

/// A call detail record of one of our channels.
#[derive(Debug, Clone)]
struct Record {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    disposition: String,
}

impl Record {
    /// Those of the whole server, by the id of the channel.
    fn all() -> HashMap<String, Vec<Self>> {
        let time = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap().and_utc();
        let mut records: HashMap<String, Vec<Self>> = HashMap::new();
        let text = get("/static/cdr.csv");
        for row in csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes()).records() {
            let row = row.unwrap();
            let record = Self { start: time(&row[9]), end: time(&row[11]), disposition: row[14].to_owned() };
            records.entry(row[16].to_owned()).or_default().push(record);
        }
        records
    }
}

fn check(
    scale: &Scale,
    rows: &HashMap<String, u64>,
    before: &HashMap<String, Vec<Record>>,
    results: &[Value],
) {
    let calls = archived(&scale.folder);
    let records = Record::all();
    let known: BTreeSet<&str> = calls.iter().map(id).collect();
    assert_eq!(known.len(), calls.len(), "each call is archived once");
    if scale.alone {
        let strange = records.keys().filter(|id| is_call(id) && !before.contains_key(*id));
        let strange: Vec<&String> = strange.filter(|id| !known.contains(id.as_str())).collect();
        assert!(strange.is_empty(), "Asterisk has calls that the ledger does not know: {strange:?}");
    }
    let mut attempts: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    let mut changes = Vec::new();
    for call in &calls {
        let (id, disposition) = (id(call), disposition(call));
        let number = call["number"].as_str().unwrap();
        let own = records.get(id).map_or(&[][..], Vec::as_slice);
        assert_eq!(
            own.len(),
            usize::from(is_attempt(disposition)),
            "{id} ({disposition}) to {number}: {own:?}"
        );
        let Some(record) = own.first() else { continue };
        let answered = record.disposition == "ANSWERED";
        assert_eq!(disposition == "answered_human", answered, "{id}: {disposition}, but {record:?}");
        let row = rows[number];
        assert!(!is_suppressed(row), "row {row} is suppressed and was called");
        if let Some(windows) = &scale.windows {
            assert!(
                windows.are_open(record.start, row),
                "row {row} was called outside its windows: {record:?}"
            );
        }
        attempts.entry(number).or_default().push(record);
        changes.extend([(record.start, 1), (record.end, -1)]);
    }
    for (number, attempts) in &mut attempts {
        assert!(attempts.len() <= ATTEMPTS_MAX, "{number} was called {} times", attempts.len());
        attempts.sort_by_key(|record| record.start);
        let apart = attempts.windows(2).all(|pair| pair[0].end <= pair[1].start);
        assert!(apart, "{number} was called while being called: {attempts:?}");
    }
    // Records are cut to whole seconds, so calls that only just overlap are not seen to; none that do not are.
    changes.sort_unstable();
    let mut live = 0;
    let most = changes.iter().map(|(_, change)| {
        live += change;
        live
    });
    let most = usize::try_from(most.max().unwrap()).unwrap();
    assert!(most <= scale.concurrency, "{most} calls at once, {} allowed", scale.concurrency);

    let placed = changes.len() / 2;
    println!(
        "{placed} calls to {} contacts, at most {most} at once, {} allowed",
        rows.len(),
        scale.concurrency
    );
    for result in results {
        let count = |key: &str| result[key].as_u64().unwrap();
        let sum = |key: &str| -> u64 {
            result[key].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
        };
        assert_eq!(result["status"], "completed", "{result}");
        assert_eq!((count("imported"), sum("contacts")), (scale.rows, scale.rows), "{result}");
        let suppressed = rows.values().filter(|row| is_suppressed(**row)).count() as u64;
        assert_eq!(count("suppressed"), suppressed, "{result}");
        assert_eq!(count("calls_placed"), placed as u64, "{result}");
        assert_eq!(sum("dispositions"), calls.len() as u64, "{result}");
    }
    assert!(placed as u64 >= scale.calls, "fewer calls than wanted");
}

fn is_call(id: &str) -> bool {
    id.len() == 36 && id.matches('-').count() == 4
}

fn id(call: &Value) -> &str {
    call["id"].as_str().unwrap()
}

fn disposition(call: &Value) -> &str {
    call["state"]["disposition"].as_str().unwrap()
}

fn is_attempt(disposition: &str) -> bool {
    disposition != "not_placed"
}
