//! Properties of whole campaigns, in virtual time, each with a hundred cases and more. The numbers are those of
//! docs/properties.md.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rivvi_core::clock::Clock;
use rivvi_core::domain::{Disposition, E164, Outcome, SuppressionSource};
use rivvi_core::storage::ContactQuery;
use rivvi_provider_sim::Behaviour;
use world::{CAMPAIGN, world};

fn number_of(row: u64) -> E164 {
    E164::from_digits(972_522_000_000 + row).unwrap()
}

#[tokio::test]
async fn property_13_an_imported_list_holds_at_once_in_a_run_under_way() {
    let world = world(13, Behaviour::default()).await;
    let run = world.import(CAMPAIGN, 400).await;
    world.rivvi.runs().start(run.id).await.unwrap();
    while world.network.legs() < 60 {
        assert!(world.network.step(&world.rivvi, &world.clock).await.unwrap());
    }
    let listed: BTreeSet<E164> = (0..400).filter(|row| row % 2 == 0).map(number_of).collect();
    let list = world.rivvi.suppression_list();
    let done =
        list.add(world.organization.id, listed.clone(), SuppressionSource::Import, "", None).await.unwrap();
    assert_eq!(done.numbers, 200);
    let before: BTreeSet<_> = world.legs().into_iter().map(|leg| leg.call_id).collect();
    world.settle().await;
    let after: Vec<_> = world.legs().into_iter().filter(|leg| !before.contains(&leg.call_id)).collect();
    assert!(after.len() > 100 && after.iter().all(|leg| !listed.contains(&leg.to)));
    let progress = world.rivvi.runs().progress(run.id).await.unwrap();
    assert_eq!(progress.tally.settled(), 400);
    assert!(progress.tally.outcomes[&Outcome::Excluded] > 100, "{progress}");
}

#[tokio::test]
async fn property_14_entries_are_kept_with_the_time_they_were_added() {
    let world = world(14, Behaviour::default()).await;
    let (list, org) = (world.rivvi.suppression_list(), world.organization.id);
    let mut expected = BTreeMap::new();
    for row in 0..150 {
        world.clock.advance(Duration::from_secs(row * 7 + 1));
        expected.insert(number_of(row), world.clock.now());
        list.add(org, [number_of(row)], SuppressionSource::Admin, "asked by letter", None).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(400 * 86_400));
    list.add(org, (0..50).map(number_of), SuppressionSource::OptOut, "", None).await.unwrap();
    let kept = list.list(org, None, usize::MAX).await.unwrap();
    let kept: BTreeMap<_, _> = kept.into_iter().map(|entry| (entry.number, entry.added_at)).collect();
    assert_eq!(kept, expected);
    for row in 0..150 {
        assert!(list.contains(org, number_of(row)).await.unwrap());
    }
}

#[tokio::test]
async fn property_41_every_end_of_a_call_counts_at_once() {
    let world = world(41, Behaviour::default()).await;
    let run = world.import(CAMPAIGN, 120).await.id;
    world.rivvi.runs().start(run).await.unwrap();
    let ledger = &world.rivvi.storage().ledger;
    let mut seen = 0;
    while world.network.step(&world.rivvi, &world.clock).await.unwrap() {
        let tally = ledger.tally(run).await.unwrap();
        let ends: u64 = tally.dispositions.values().sum();
        if ends == seen {
            continue;
        }
        seen = ends;
        let query = ContactQuery { run_id: run, number: None, after: None, limit: usize::MAX };
        let mut counted = BTreeMap::<Disposition, u64>::new();
        for contact in ledger.contacts(query).await.unwrap() {
            let calls = ledger.calls_of(&[contact.id]).await.unwrap();
            calls
                .iter()
                .filter_map(|call| call.disposition())
                .for_each(|end| *counted.entry(end).or_default() += 1);
        }
        assert_eq!(tally.dispositions, counted);
    }
    assert!(seen >= 120, "{seen}");
}
