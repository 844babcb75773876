//! The whole step of a contact on each store, in one run beside what the raw tools can do: claim, checks, intent, place
//! at a provider without cost, its answer, its webhook, durable outcome with journal.
//!
//! ```text
//! cargo bench -p rivvi-benches --bench backends -- [--store NAME] [--contacts N] [--batch N] [--nodes N] [--rounds N] [--quick]
//! ```
//!
//! `--store` is `memory`, `sqlite`, `postgres` or `dynamo`, all of them by default. Postgres is taken from
//! `RIVVI_TEST_POSTGRES` and DynamoDB from `RIVVI_TEST_DYNAMODB`, as `scripts/services env` prints them; `pgbench` and
//! `psql` must be on the path. Every figure is the best of the rounds, which take turns, so that what else the machine
//! does hits all of them alike. `--quick` measures only the whole step, beside `cycle_attempt` on Postgres.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]
#![allow(clippy::cast_precision_loss, reason = "counts and durations")]

mod latency;
mod options;
mod pgbench;
mod raw;
mod stores;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use options::Options;
use rivvi_benches::Scene;
use rivvi_core::clock::{Clock, SystemClock};
use stores::{Opened, open};

#[tokio::main]
async fn main() {
    let options = Options::from_arguments();
    println!(
        "{} contacts, batches of {}, {} node(s), best of {} round(s)\n",
        options.contacts, options.batch, options.nodes, options.rounds
    );
    for store in &options.stores {
        match store.as_str() {
            "memory" => memory(&options).await,
            "postgres" => postgres(&options).await,
            store => println!("{store}: {:.0} contacts/s", best(&options, store).await),
        }
        if options.quick {
            continue;
        }
        let (p50, p99) = latency::pick_up(store).await;
        println!("  idle pick-up of a contact that becomes due: p50 {p50:.2} ms, p99 {p99:.2} ms");
        let burst = options.contacts.min(10_000);
        let took = latency::hand_over(store, burst).await;
        println!("  {burst} due at once, all handed over: {:.0} ms\n", took.as_secs_f64() * 1e3);
    }
}

async fn memory(options: &Options) {
    let (mut ours, mut bare) = (0.0_f64, 0.0_f64);
    for _ in 0..options.rounds {
        ours = ours.max(whole_step(options, "memory").await);
        bare = bare.max(raw::channel_semaphore_spawn(options.contacts.max(100_000)).await);
    }
    println!("memory: {ours:.0} contacts/s");
    println!("  channel + semaphore + spawn: {bare:.0}/s, ratio {:.2}", ours / bare);
}

async fn postgres(options: &Options) {
    pgbench::prepare().await;
    if options.quick {
        for _ in 0..options.rounds {
            let ours = whole_step(options, "postgres").await;
            let raw = pgbench::rate("cycle_attempt", options.batch, 4);
            println!("postgres: {ours:.0} contacts/s, cycle_attempt: {raw:.0}/s, ratio {:.2}", ours / raw);
        }
        return;
    }
    let mut ours = 0.0_f64;
    let mut yardsticks = [("cycle_attempt", 0.0_f64), ("cycle_narrow", 0.0), ("own_statements", 0.0)];
    let (mut grown, mut claims) = (0.0_f64, [("claim", 0.0_f64), ("own_claim", 0.0), ("own_begin", 0.0)]);
    for _ in 0..options.rounds {
        ours = ours.max(whole_step(options, "postgres").await);
        grown = grown.max(whole_step(options, "postgres after a million").await);
        for (script, rate) in &mut yardsticks {
            *rate = rate.max(pgbench::rate(script, options.batch, 4));
        }
        for (script, rate) in &mut claims {
            *rate = rate.max(pgbench::rate(script, options.batch, 4));
        }
    }
    println!("postgres: {ours:.0} contacts/s");
    for (script, rate) in yardsticks {
        println!("  {script}: {rate:.0}/s, ratio {:.2}", ours / rate);
    }
    println!("  after a million finished contacts: {grown:.0} contacts/s, ratio {:.2}", grown / ours);
    let [(_, claim), (_, own_claim), (_, own_begin)] = claims;
    println!(
        "  our claim alone: {own_claim:.0}/s; by status column: {claim:.0}/s, ratio {:.2}",
        own_claim / claim
    );
    println!("  10000 calls begun by our statements alone: {:.0} ms", 1e7 / own_begin);
}

async fn best(options: &Options, store: &str) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..options.rounds {
        best = best.max(whole_step(options, store).await);
    }
    best
}

/// Contacts a second over all nodes, from the first claim to the last outcome.
async fn whole_step(options: &Options, store: &str) -> f64 {
    let Opened { storage, guard } = open(store).await;
    let per_node = options.contacts / options.nodes;
    let mut scenes = Vec::new();
    for node in 0..options.nodes {
        scenes.push(Scene::open_node(storage.clone(), node + 1, per_node, options.batch).await);
    }
    let all = per_node * options.nodes;
    let done = Arc::new(AtomicU64::new(0));
    let clock = SystemClock::new();
    let started = clock.monotonic();
    let nodes: Vec<_> = scenes
        .into_iter()
        .map(|scene| {
            let (done, clock) = (done.clone(), SystemClock::new());
            tokio::spawn(async move {
                while done.load(Ordering::Relaxed) < all {
                    let ended = scene.cycle().await as u64;
                    done.fetch_add(ended, Ordering::Relaxed);
                    if ended == 0 {
                        // Others have the places of all runs. A running engine rests as long: `BREATH` in its loop.
                        clock.sleep_until(clock.now() + Duration::from_millis(5)).await;
                    }
                }
            })
        })
        .collect();
    for node in nodes {
        node.await.unwrap();
    }
    let took: Duration = clock.monotonic() - started;
    guard.clean().await;
    all as f64 / took.as_secs_f64()
}
