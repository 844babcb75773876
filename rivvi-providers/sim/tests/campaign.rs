//! Whole campaigns on the simulated network, in virtual time.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod world;

use std::collections::{HashMap, HashSet};

use rivvi_core::domain::{E164, Exclusion, Outcome, RunState, SuppressionSource};
use rivvi_provider_sim::{Behaviour, Leg};
use world::{CAMPAIGN, world};

#[tokio::test]
async fn every_contact_ends_and_the_counts_add_up() {
    let world = world(1, Behaviour::default()).await;
    let run = world.import(CAMPAIGN, 500).await;
    let suppressed: Vec<E164> = (0..20).map(|n| E164::from_digits(972_522_000_000 + n).unwrap()).collect();
    let list = world.rivvi.suppression_list();
    list.add(world.organization.id, suppressed.clone(), SuppressionSource::Admin, "", None).await.unwrap();
    world.rivvi.runs().start(run.id).await.unwrap();
    world.settle().await;

    let progress = world.rivvi.runs().progress(run.id).await.unwrap();
    assert_eq!(progress.state, RunState::Completed);
    assert_eq!((progress.tally.waiting, progress.tally.calling), (0, 0));
    assert_eq!(progress.tally.contacts(), 500);
    assert_eq!(progress.tally.exclusions[&Exclusion::Suppressed], 20);
    assert!(progress.tally.outcomes[&Outcome::Completed] > 200);
    assert!(progress.tally.live_calls_max <= 20);

    let legs = world.legs();
    assert_eq!(legs.len() as u64, progress.placed());
    assert_eq!(legs.iter().map(|leg| leg.call_id).collect::<HashSet<_>>().len(), legs.len());
    let mut per_number: HashMap<E164, Vec<&Leg>> = HashMap::new();
    for leg in &legs {
        assert!(!suppressed.contains(&leg.to));
        let local = leg.at.with_timezone(&chrono_tz::Asia::Jerusalem).time();
        assert!(local >= chrono::NaiveTime::from_hms_opt(9, 0, 0).unwrap(), "{local}");
        assert!(local < chrono::NaiveTime::from_hms_opt(20, 30, 0).unwrap(), "{local}");
        per_number.entry(leg.to).or_default().push(leg);
    }
    assert!(per_number.values().all(|legs| legs.len() <= 3), "the cap holds");
    let report = world.rivvi.runs().report(run.id).await.unwrap().unwrap();
    assert_eq!(report.tally, progress.tally);
}

#[tokio::test]
async fn without_any_webhook_the_result_is_the_same() {
    let told = world(3, Behaviour::default()).await;
    let mut deaf = Behaviour::default();
    deaf.lost_webhooks = 1.0;
    let silent = world(3, deaf).await;
    let mut tallies = Vec::new();
    for world in [&told, &silent] {
        let run = world.import(CAMPAIGN, 120).await;
        world.rivvi.runs().start(run.id).await.unwrap();
        world.settle().await;
        let progress = world.rivvi.runs().progress(run.id).await.unwrap();
        assert_eq!(progress.state, RunState::Completed);
        tallies.push((progress.tally.outcomes, progress.tally.dispositions));
    }
    assert_eq!(tallies[0], tallies[1]);
}

#[tokio::test]
async fn lost_answers_and_repeated_webhooks_cause_no_second_call() {
    let mut behaviour = Behaviour::default();
    behaviour.lost_answers = 0.3;
    behaviour.lost_webhooks = 0.3;
    behaviour.repeated_webhooks = 0.5;
    let world = world(5, behaviour).await;
    let run = world.import(CAMPAIGN, 200).await;
    world.rivvi.runs().start(run.id).await.unwrap();
    world.settle().await;
    let progress = world.rivvi.runs().progress(run.id).await.unwrap();
    assert_eq!(progress.state, RunState::Completed);
    let legs = world.legs();
    assert_eq!(legs.len() as u64, progress.placed());
    assert_eq!(legs.iter().map(|leg| leg.call_id).collect::<HashSet<_>>().len(), legs.len());
}
