//! Does the cost of a contact grow with the run? Prints a table for 10 k to 1 M contacts.
//!
//! `cargo bench -p rivvi-benches --bench growth -- [--store memory|sqlite] [--max CONTACTS]`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]

use std::time::Duration;

use rivvi_benches::Scene;
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::storage::Storage;
use rivvi_storage_sqlite::SqliteStorage;

/// Batches timed alone at the start and at the end of a run.
const TIMED: usize = 10;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let max: u64 = value("--max").and_then(|max| max.parse().ok()).unwrap_or(100_000);
    let stores = value("--store").map_or(vec!["memory".to_owned(), "sqlite".to_owned()], |store| vec![store]);
    println!("| store | contacts | import/s | whole run/s | first batches, ms per 500 | last batches |");
    println!("|---|---:|---:|---:|---:|---:|");
    for store in stores {
        for contacts in [10_000, 100_000, 1_000_000].into_iter().filter(|contacts| *contacts <= max) {
            measure(&store, contacts).await;
        }
    }
}

async fn measure(store: &str, contacts: u64) {
    let folder = tempfile::tempdir().unwrap();
    let storage = match store {
        "memory" => Storage::in_memory(),
        _ => match SqliteStorage::open(folder.path().join("growth.db")).await {
            Ok(storage) => storage.into(),
            Err(error) => panic!("{error}"),
        },
    };
    let clock = SystemClock::new();
    let scene = Scene::open(storage, contacts).await;
    let imported = clock.monotonic();
    let mut batches = Vec::new();
    loop {
        let before = clock.monotonic();
        if scene.cycle().await == 0 {
            break;
        }
        batches.push(clock.monotonic() - before);
    }
    let ran = clock.monotonic() - imported;
    #[allow(clippy::cast_precision_loss, reason = "counts of contacts")]
    let per_second = |time: Duration| contacts as f64 / time.as_secs_f64();
    let typical = |batches: &[Duration]| {
        let mut sorted = batches.to_vec();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    let timed = TIMED.min(batches.len() / 2);
    println!(
        "| {store} | {contacts} | {:.0} | {:.0} | {:.2} | {:.2} |",
        per_second(imported),
        per_second(ran),
        typical(&batches[..timed]),
        typical(&batches[batches.len() - timed..]),
    );
}
