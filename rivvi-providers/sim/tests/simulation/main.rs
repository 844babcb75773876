//! The whole engine in a storm, decided by a seed: several nodes with clocks that differ, on a ledger that fails, some
//! with a blob store that fails, at a network that loses answers and webhooks, crashing at any await. Then the faults
//! heal, and everything must settle.
//!
//! `RIVVI_SEED=17 cargo test -p rivvi-provider-sim --test simulation` replays one seed with its timeline;
//! `RIVVI_SEEDS=5000` runs as many, from `RIVVI_FIRST_SEED` on. `scripts/soak` runs many on all cores.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod checker;
mod world;

use std::collections::BTreeMap;

use world::{Sabotage, Storm, World};

/// Seeds run by default.
const SEEDS: u64 = 120;

/// Faults that must have fired in the end.
const FAULTS: [&str; 8] = [
    "store busy",
    "store unavailable",
    "store answer lost",
    "blobs unavailable",
    "blobs answer lost",
    "crash",
    "pause",
    "suppression",
];

#[test]
fn no_storm_breaks_a_promise() {
    if let Some(seed) = number("RIVVI_SEED") {
        let world = World::run(seed, Storm::of(seed));
        world.timeline().iter().for_each(|line| println!("{line}"));
        checker::check(&world).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        return;
    }
    let mut fired: BTreeMap<&str, u64> = FAULTS.map(|fault| (fault, 0)).into();
    let (first, seeds) = (number("RIVVI_FIRST_SEED"), number("RIVVI_SEEDS").unwrap_or(SEEDS));
    for seed in (first.unwrap_or(0)..).take(usize::try_from(seeds).unwrap()) {
        let world = World::run(seed, Storm::of(seed));
        if let Err(broken) = checker::check(&world) {
            panic!("{broken}\nreplay: RIVVI_SEED={seed} cargo test -p rivvi-provider-sim --test simulation");
        }
        for (fault, count) in world.fired() {
            *fired.entry(fault).or_default() += count;
        }
    }
    for (fault, count) in &fired {
        println!("fired {count} {fault}");
    }
    // A part of a longer run may be too short for all of them.
    let missing = fired.iter().find(|(_, count)| first.is_none() && **count == 0);
    assert_eq!(missing, None, "it never fired");
}

/// Every defect is found within so many seeds.
const FOUND_WITHIN: u64 = 40;

#[test]
fn the_checker_finds_every_sabotage() {
    for sabotage in Sabotage::ALL {
        let found = (0..FOUND_WITHIN).find_map(|seed| {
            let storm = Storm { sabotage: Some(sabotage), ..Storm::of(seed) };
            checker::check(&World::run(seed, storm)).err().map(|broken| (seed, broken))
        });
        match found {
            Some((seed, broken)) => println!("{sabotage:?} found with seed {seed}: {broken:.60}"),
            None => panic!("{sabotage:?} was not found in {FOUND_WITHIN} seeds"),
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    for seed in 0..5 {
        let journal = || World::run(seed, Storm::of(seed)).journal_bytes();
        assert!(journal() == journal(), "seed {seed}");
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
