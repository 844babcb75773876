//! Several nodes carry out one run as processes of their own, while they are killed, stand still past their leases, and
//! lose their servers. Afterwards the network log and the ledger must agree on what was promised.
//!
//! What happens when is drawn from a seed, which a failure prints; `RIVVI_NODES_SEED` replays it, as far as processes can
//! be replayed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod cluster;
#[cfg(target_os = "linux")]
mod disk;
mod disturbance;
mod front;
mod ledger;
mod legs;
mod long;
#[cfg(any(feature = "postgres", feature = "dynamo", feature = "redis"))]
mod servers;
#[path = "../support/mod.rs"]
mod support;

use cluster::Cluster;
use disturbance::Disturbance;
use long::{Scale, digits_of};
use rivvi::storage::Storage;
use rivvi::stores::SqliteStorage;
#[cfg(any(feature = "postgres", feature = "dynamo", feature = "redis"))]
use servers::Server;
use support::dice::Dice;

/// Calls to one contact: the caps allow no more, whatever the retries would.
const ATTEMPTS_MAX: usize = 4;

const CAMPAIGN: &str = r#"
name = "Several nodes"
channel = "voice"
required_fields = ["first_name", "phone"]
[retry]
busy      = { after = "1s", max = 2 }
no_answer = { after = "2s", max = 2 }
voicemail = { after = "1s", max = 1 }
failed    = { after = "1s", max = 1 }
[caps]
lifetime = 4
[call]
ring_timeout = "5s"
max_duration = "5s"
[run]
at_end = "let_finish"
"#;

/// Short times, so that nodes take over from each other within the test.
const TIMES: [&str; 16] = [
    "--place-timeout",
    "1s",
    "--lease",
    "3s",
    "--lookup-after",
    "500ms",
    "--lookup-interval",
    "2s",
    "--idle-max",
    "250ms",
    "--analysis-grace",
    "1s",
    "--haste",
    "40",
    "--silence",
    "1s",
];

/// Where the nodes of a test keep everything.
struct Backend {
    ledger: String,
    limiter: String,
    /// A handle of the test's own to what the nodes keep.
    storage: Storage,
    /// Nodes that pace themselves by one limiter; without it each has the whole rate.
    paced_together: bool,
}

fn write_job(scale: &Scale) -> Vec<String> {
    let folder = &scale.folder;
    std::fs::write(folder.join("people.csv"), scale.sheet()).unwrap();
    let windows = scale.windows.as_ref().map_or("", |windows| &windows.text);
    std::fs::write(folder.join("campaign.toml"), format!("{CAMPAIGN}{windows}")).unwrap();
    let suppressed: Vec<String> =
        (0..scale.suppressed()).map(|row| format!("+97252{:07}", digits_of(row * 5))).collect();
    std::fs::write(folder.join("suppress.txt"), suppressed.join("\n")).unwrap();
    suppressed
}

/// Carries out the run of the test on so many nodes and checks what came of it.
async fn carry_out(
    scale: Scale,
    mut dice: Dice,
    backend: Backend,
    nodes: usize,
    disturbances: &[Disturbance],
) {
    let suppressed = write_job(&scale);
    let concurrency = scale.concurrency.to_string();
    let rate = scale.calls_per_second.to_string();
    let mut arguments = vec!["--json", "--contacts", "people.csv", "--campaign", "campaign.toml"];
    arguments.extend(["--suppress", "suppress.txt", "--concurrency", &concurrency, "--cps", &rate]);
    arguments.extend(["--network-log", "legs.jsonl", "--lost-answers", "0.02", "--lost-webhooks", "0.05"]);
    arguments.extend(["--ledger", &backend.ledger, "--limiter", &backend.limiter]);
    arguments.extend(TIMES);

    let mut cluster = Cluster::start(&scale.folder, nodes, &arguments);
    disturbance::disturb(&mut cluster, &mut dice, &scale.tempo, disturbances).await;
    let results = cluster.results();

    let legs = rivvi::providers::Leg::read_all(scale.folder.join("legs.jsonl")).unwrap();
    println!("{} calls to {} contacts", legs.len(), scale.rows);
    legs::check_once(&legs);
    legs::check_concurrency(&legs, scale.concurrency);
    legs::check_nobody(&legs, &suppressed);
    legs::check_attempts(&legs, ATTEMPTS_MAX);
    if let Some(windows) = &scale.windows {
        legs::check_windows(&legs, windows);
    }
    // A start that was granted is dialled a moment later, or, where a node stood still, a while later: in any second
    // each node may add the one it had in hand.
    let paces = if backend.paced_together { 1 } else { nodes };
    legs::check_pace(&legs, scale.calls_per_second * paces + nodes);
    ledger::check(&backend.storage, scale.rows, scale.suppressed(), &legs, &results).await;
    assert!(long::calls().is_none_or(|wanted| legs.len() as u64 >= wanted), "fewer calls than wanted");
}

/// One run at a time: they share the cores of the machine, and the servers that they restart.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_one_sqlite_file() {
    let _turn = TURN.lock().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.db");
    let backend = Backend {
        ledger: "sqlite:run.db".into(),
        limiter: "local".into(),
        storage: SqliteStorage::open(&path).await.unwrap().into(),
        paced_together: false,
    };
    carry_out(Scale::short(folder.path(), 300), Dice::told(), backend, 2, &[]).await;
}

#[cfg(all(feature = "postgres", feature = "redis"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_on_postgres_and_redis_that_are_restarted() {
    use rivvi::stores::{PostgresOptions, PostgresStorage};

    let _turn = TURN.lock().await;
    let (postgres, redis) = (Server::own("postgres"), Server::own("redis"));
    let schema = format!("nodes_{}", unique());
    let with_schema = if postgres.url.contains('?') { '&' } else { '?' };
    let options = PostgresOptions::new(&postgres.url).unwrap().schema(&*schema).unwrap();
    let backend = Backend {
        ledger: format!("{}{with_schema}schema={schema}", postgres.url),
        limiter: format!("{}?prefix={schema}", redis.url),
        storage: PostgresStorage::connect_with(options).await.unwrap().into(),
        paced_together: true,
    };
    let mut dice = Dice::told();
    let (folder, scale, disturbances);
    match long::calls() {
        None => {
            folder = tempfile::tempdir().unwrap();
            scale = Scale::short(folder.path(), 300);
            disturbances = vec![
                postgres.restart("PostgreSQL is restarted", 4_000),
                redis.crash("Redis crashes and is started again", 8_000),
                postgres.crash("PostgreSQL crashes and recovers", 12_000),
                postgres.full_disk("the disk of PostgreSQL is full for 5 s", 17_000),
            ];
        }
        Some(calls) => {
            scale = Scale::long(calls, dice.seed());
            disturbances = again_and_again(&scale, &mut dice, &postgres, &redis);
        }
    }
    let disturbances: Vec<Disturbance> = disturbances.into_iter().flatten().collect();
    carry_out(scale, dice, backend, 4, &disturbances).await;
}

/// Something happens to a server about every 40 s.
#[cfg(all(feature = "postgres", feature = "redis"))]
fn again_and_again(
    scale: &Scale,
    dice: &mut Dice,
    postgres: &Server,
    redis: &Server,
) -> Vec<Option<Disturbance>> {
    let mut at_ms = 15_000;
    let mut disturbances = Vec::new();
    while u128::from(at_ms) < scale.tempo.patience.as_millis() {
        disturbances.push(match disturbances.len() % 5 {
            0 => postgres.restart("PostgreSQL is restarted", at_ms),
            1 => redis.crash("Redis crashes and is started again", at_ms),
            2 => postgres.crash("PostgreSQL crashes and recovers", at_ms),
            3 => redis.restart("Redis is restarted", at_ms),
            _ => postgres.full_disk("the disk of PostgreSQL is full for 5 s", at_ms),
        });
        at_ms += 20_000 + dice.below(40_000);
    }
    disturbances
}

#[cfg(all(feature = "dynamo", feature = "redis"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_dynamodb() {
    use rivvi::stores::{DynamoOptions, DynamoStorage};

    let _turn = TURN.lock().await;
    let (dynamodb, redis) = (Server::shared("dynamodb"), Server::own("redis"));
    let prefix = format!("nodes_{}_", unique());
    let storage = DynamoStorage::local(&dynamodb.url, DynamoOptions::with_prefix(&prefix));
    let host = dynamodb.url.trim_start_matches("http://");
    let backend = Backend {
        ledger: format!("dynamodb://{host}?prefix={prefix}"),
        limiter: format!("{}?prefix={prefix}", redis.url),
        storage: storage.clone().into(),
        paced_together: true,
    };
    let folder = tempfile::tempdir().unwrap();
    // Few enough at once that they are reached beside a server that takes its time.
    let scale = Scale { concurrency: 10, ..Scale::short(folder.path(), 180) };
    carry_out(scale, Dice::told(), backend, 2, &[]).await;
    storage.delete_tables().await.unwrap();
}

/// Tells what this test keeps in a server from what others do.
#[cfg(any(feature = "postgres", feature = "dynamo"))]
fn unique() -> i64 {
    use rivvi::clock::{Clock, SystemClock};
    SystemClock::new().now().timestamp_micros()
}
