//! Several nodes carry out one run as processes of their own, while they are killed, stand still past their leases, and
//! lose their servers. Afterwards the network log and the ledger must agree on what was promised.
//!
//! What happens when is drawn from a seed, which a failure prints; `RIVVI_NODES_SEED` replays it, as far as processes can
//! be replayed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod cluster;
mod disturbance;
mod front;
mod ledger;
mod legs;
#[cfg(any(feature = "postgres", feature = "dynamo", feature = "redis"))]
mod servers;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use cluster::Cluster;
use disturbance::{Dice, Disturbance};
use rivvi::storage::Storage;
use rivvi::stores::SqliteStorage;
#[cfg(any(feature = "postgres", feature = "dynamo", feature = "redis"))]
use servers::Server;

/// How many of the contacts are on the suppression list.
const SUPPRESSED: u64 = 12;
/// Calls of the organization at once, over all nodes.
const CONCURRENCY: usize = 24;
/// Calls of the organization started per second.
const CALLS_PER_SECOND: usize = 20;
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
    /// How many contacts the run has, so that it takes about as long everywhere.
    rows: u64,
    /// Nodes that pace themselves by one limiter; without it each has the whole rate.
    paced_together: bool,
}

fn write_job(folder: &Path, rows: u64) -> Vec<String> {
    std::fs::write(folder.join("people.csv"), support::sheet(rows)).unwrap();
    std::fs::write(folder.join("campaign.toml"), CAMPAIGN).unwrap();
    let suppressed: Vec<String> =
        (0..SUPPRESSED).map(|row| format!("+97252{:07}", 2_000_000 + row * 7 * 5)).collect();
    std::fs::write(folder.join("suppress.txt"), suppressed.join("\n")).unwrap();
    suppressed
}

/// Carries out the run of the test on so many nodes and checks what came of it.
async fn carry_out(folder: &Path, backend: Backend, nodes: usize, disturbances: &[Disturbance]) {
    let dice = Dice::from_environment();
    println!("RIVVI_NODES_SEED={} replays this", dice.seed());
    let suppressed = write_job(folder, backend.rows);
    let concurrency = CONCURRENCY.to_string();
    let rate = CALLS_PER_SECOND.to_string();
    let mut arguments = vec!["--json", "--contacts", "people.csv", "--campaign", "campaign.toml"];
    arguments.extend(["--suppress", "suppress.txt", "--concurrency", &concurrency, "--cps", &rate]);
    arguments.extend(["--network-log", "legs.jsonl", "--lost-answers", "0.02", "--lost-webhooks", "0.05"]);
    arguments.extend(["--ledger", &backend.ledger, "--limiter", &backend.limiter]);
    arguments.extend(TIMES);

    let mut cluster = Cluster::start(folder, nodes, &arguments);
    disturbance::disturb(&mut cluster, dice, disturbances).await;
    let results = cluster.results();

    let legs = rivvi::providers::Leg::read_all(folder.join("legs.jsonl")).unwrap();
    legs::check_once(&legs);
    legs::check_concurrency(&legs, CONCURRENCY);
    legs::check_nobody(&legs, &suppressed);
    legs::check_attempts(&legs, ATTEMPTS_MAX);
    // A start that was granted is dialled a moment later, or, where a node stood still, a while later: in any second
    // each node may add the one it had in hand.
    let paces = if backend.paced_together { 1 } else { nodes };
    legs::check_pace(&legs, CALLS_PER_SECOND * paces + nodes);
    ledger::check(&backend.storage, backend.rows, &legs, &results).await;
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
        rows: 300,
        paced_together: false,
    };
    carry_out(folder.path(), backend, 2, &[]).await;
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
        rows: 300,
        paced_together: true,
    };
    let disturbances = [
        postgres.restart("PostgreSQL is restarted", 4_000),
        redis.restart("Redis is restarted", 9_000),
        postgres.crash("PostgreSQL crashes and recovers", 14_000),
    ];
    let disturbances: Vec<Disturbance> = disturbances.into_iter().flatten().collect();
    let folder = tempfile::tempdir().unwrap();
    carry_out(folder.path(), backend, 4, &disturbances).await;
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
        rows: 180,
        paced_together: true,
    };
    let folder = tempfile::tempdir().unwrap();
    carry_out(folder.path(), backend, 2, &[]).await;
    storage.delete_tables().await.unwrap();
}

/// Tells what this test keeps in a server from what others do.
#[cfg(any(feature = "postgres", feature = "dynamo"))]
fn unique() -> i64 {
    use rivvi::clock::{Clock, SystemClock};
    SystemClock::new().now().timestamp_micros()
}
