//! The whole engine in storms: see `rivvi_provider_sim::simulation`.
//!
//! `RIVVI_SEED=17 cargo test -p rivvi-provider-sim --features simulation --test simulation no_storm -- --nocapture` replays
//! one seed with its timeline; `RIVVI_SEEDS=5000` runs as many, from `RIVVI_FIRST_SEED` on. `scripts/soak` runs many.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod sabotage;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;
use rivvi_provider_sim::simulation::{Sound, Storm, World};

/// Seeds run by default: each weather with each kind of campaign some forty times.
const SEEDS: u64 = 1_000;

/// A world lives for at least so long.
const LIVES: TimeDelta = TimeDelta::days(7);

/// What must have fired in the end.
const FAULTS: [&str; 40] = [
    "blobs answer lost",
    "blobs unavailable",
    "call answer lost",
    "call queued",
    "call refused",
    "cancel",
    "clock set back",
    "clock set forward",
    "end of a year",
    "key revoked",
    "answer slow",
    "leap day",
    "limit and hours changed",
    "message answer lost",
    "message refused",
    "node crashed",
    "node stood still",
    "pause",
    "provider away",
    "receipt late",
    "receipt lost",
    "receipt repeated",
    "request slow",
    "resume",
    "store answer lost",
    "store away",
    "store busy",
    "store slow",
    "store stale",
    "store unavailable",
    "suppression",
    "webhook forged",
    "webhook late",
    "webhook lost",
    "webhook repeated",
    "webhook unknown",
    "webhook wrong",
    "attempts",
    "seeds",
    "simulated days",
];

#[test]
fn no_storm_breaks_a_promise() {
    if let Some(seed) = number("RIVVI_SEED") {
        let world = World::run(Storm::of(seed), &Sound);
        world.timeline().iter().for_each(|line| println!("{line}"));
        world.verdict().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        return;
    }
    let (first, seeds) = (number("RIVVI_FIRST_SEED"), number("RIVVI_SEEDS").unwrap_or(SEEDS));
    let next = AtomicU64::new(first.unwrap_or(0));
    let end = first.unwrap_or(0) + seeds;
    let fired = Mutex::new(BTreeMap::from(FAULTS.map(|fault| (fault, 0))));
    std::thread::scope(|scope| {
        for _ in 0..number("RIVVI_THREADS").unwrap_or(2) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let world = World::run(Storm::of(seed), &Sound);
                    if let Err(broken) = world.verdict() {
                        panic!("{broken}\nreplay: {}", replay(seed));
                    }
                    assert!(world.lived() >= LIVES, "seed {seed} lived for {}", world.lived());
                    let mut fired = fired.lock().unwrap();
                    for (fault, count) in world.fired() {
                        *fired.entry(fault).or_default() += count;
                    }
                    *fired.entry("attempts").or_default() += world.attempts() as u64;
                    *fired.entry("seeds").or_default() += 1;
                    *fired.entry("simulated days").or_default() += world.lived().num_days() as u64;
                }
            });
        }
    });
    let fired = fired.into_inner().unwrap();
    for (fault, count) in &fired {
        println!("fired {count} {fault}");
    }
    // A part of a longer run may be too short for all of them.
    let missing = fired.iter().find(|(_, count)| first.is_none() && **count == 0);
    assert_eq!(missing, None, "it never fired");
    let unknown = fired.keys().find(|fault| !FAULTS.contains(fault));
    assert_eq!(unknown, None, "it must be seen to fire, too: name it in FAULTS");
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    // Every weather, and every kind of campaign.
    for seed in (0..24).step_by(3).chain([1, 5]) {
        let journal = || World::run(Storm::of(seed), &Sound).journal_bytes();
        let (one, other) = (journal(), journal());
        assert!(one.len() > 10_000, "seed {seed} has a journal");
        assert!(one == other, "seed {seed}");
    }
}

fn replay(seed: u64) -> String {
    let test = "cargo test -p rivvi-provider-sim --features simulation --test simulation no_storm";
    format!("RIVVI_SEED={seed} {test} -- --nocapture")
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
