//! What people do to runs: pause, cancel, schedule, end; and several organizations side by side.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod world;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::Clock;
use rivvi_core::domain::{CampaignDefinition, Disposition, Outcome, RunState};
use rivvi_core::engine::NewOrganization;
use rivvi_core::import::Sheet;
use rivvi_core::policy::hours::CallingHours;
use rivvi_core::storage::StorageErrorKind;
use rivvi_provider_sim::Behaviour;
use world::{CAMPAIGN, World, world};

/// Steps until the clock has reached `until`.
async fn pass(world: &World, until: DateTime<Utc>) {
    while world.clock.now() < until && world.network.step(&world.rivvi, &world.clock).await.unwrap() {}
}

#[tokio::test]
async fn a_paused_run_starts_no_call_and_goes_on_when_resumed() {
    let world = world(1, Behaviour::default()).await;
    let run = world.import(CAMPAIGN, 200).await;
    world.rivvi.runs().start(run.id).await.unwrap();
    pass(&world, world.clock.now() + TimeDelta::minutes(40)).await;
    world.rivvi.runs().pause(run.id, "a test").await.unwrap();
    let before = world.legs().len();
    pass(&world, world.clock.now() + TimeDelta::hours(3)).await;
    assert_eq!(world.legs().len(), before, "no call starts");
    let progress = world.rivvi.runs().progress(run.id).await.unwrap();
    assert_eq!(
        (progress.state, progress.active()),
        (RunState::Paused, 0),
        "calls under way ended by themselves"
    );
    world.rivvi.runs().resume(run.id).await.unwrap();
    world.settle().await;
    assert_eq!(world.rivvi.runs().progress(run.id).await.unwrap().state, RunState::Completed);
}

#[tokio::test]
async fn a_cancelled_run_hangs_up_and_settles_everyone() {
    let world = world(2, Behaviour::default()).await;
    let run = world.import(CAMPAIGN, 600).await;
    world.rivvi.runs().start(run.id).await.unwrap();
    pass(&world, world.clock.now() + TimeDelta::minutes(40)).await;
    world.rivvi.runs().cancel(run.id).await.unwrap();
    let (before, cancelled_at) = (world.legs().len(), world.clock.now());
    world.settle().await;
    let progress = world.rivvi.runs().progress(run.id).await.unwrap();
    assert_eq!(progress.state, RunState::Cancelled);
    assert_eq!(progress.tally.settled(), 600);
    assert!(progress.tally.outcomes[&Outcome::Cancelled] > 100);
    assert_eq!(world.legs().len(), before);
    let ends = world.network.history().into_iter().map(|(_, end)| end).max().unwrap();
    assert!(
        ends <= cancelled_at + TimeDelta::seconds(1),
        "calls under way were hung up at once, not at {ends}"
    );
    let error = world.rivvi.runs().resume(run.id).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused);
}

#[tokio::test]
async fn property_07_at_its_end_a_run_hangs_up_or_lets_finish_as_the_campaign_says() {
    for (at_end, hung_up) in [("hang_up", true), ("let_finish", false)] {
        let world = world(3, Behaviour::default()).await;
        let campaign = format!("{CAMPAIGN}\n[run]\nend_after = \"47m\"\nat_end = \"{at_end}\"");
        let run = world.import(&campaign, 900).await;
        // The run starts at 08:30 in Israel, half an hour before the window opens.
        world.rivvi.runs().start(run.id).await.unwrap();
        world.settle().await;
        let end = run.run.created_at + TimeDelta::minutes(47);
        let progress = world.rivvi.runs().progress(run.id).await.unwrap();
        assert_eq!(progress.state, RunState::Completed);
        assert_eq!(progress.tally.settled(), 900);
        assert!(progress.tally.outcomes[&Outcome::Expired] > 0);
        assert!(world.legs().iter().all(|leg| leg.at < end), "no call starts at or after the end");
        let late = world.network.history().into_iter().any(|(_, ended)| ended > end + TimeDelta::seconds(1));
        assert_eq!(late, !hung_up, "{at_end}");
    }
}

#[tokio::test]
async fn a_scheduled_run_starts_by_itself_and_another_must_wait() {
    let world = world(4, Behaviour::default()).await;
    let first = world.import(CAMPAIGN, 20).await;
    let second = world.import(&CAMPAIGN.replace("Reminder", "Second"), 20).await;
    let start = world.clock.now() + TimeDelta::hours(5);
    world.rivvi.runs().schedule(first.id, start).await.unwrap();
    pass(&world, start - TimeDelta::minutes(1)).await;
    assert!(world.legs().is_empty());
    while world.rivvi.runs().progress(first.id).await.unwrap().state != RunState::Active {
        assert!(world.network.step(&world.rivvi, &world.clock).await.unwrap());
    }
    assert!(world.clock.now() >= start);
    let error = world.rivvi.runs().start(second.id).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused, "one active run per organization");
    world.settle().await;
    world.rivvi.runs().start(second.id).await.unwrap();
    world.settle().await;
    assert_eq!(world.rivvi.runs().progress(second.id).await.unwrap().state, RunState::Completed);
}

#[tokio::test]
async fn property_09_organizations_side_by_side_do_not_starve_each_other() {
    let world = world(5, Behaviour::default()).await;
    let large = world.import(CAMPAIGN, 400).await;
    let new = NewOrganization {
        name: "Small".into(),
        caller_id: world.organization.caller_id,
        time_zone: chrono_tz::Asia::Jerusalem,
        region: world.organization.region,
    };
    let small_organization = world.rivvi.organizations().create(new).await.unwrap();
    let definition = CampaignDefinition::from_toml(CAMPAIGN).unwrap();
    let campaign = world.rivvi.campaigns().create(small_organization.id, definition).await.unwrap();
    let sheet =
        Sheet::from_bytes("small.csv", "name,phone\nA,0522000001\nB,0522000002\nC,0522000003\n").unwrap();
    let small = world.rivvi.runs().import(campaign.id, sheet).await.unwrap();
    world.rivvi.runs().start(large.id).await.unwrap();
    world.rivvi.runs().start(small.id).await.unwrap();
    // The same numbers, but of another organization: neither waits for the other.
    pass(&world, world.clock.now() + TimeDelta::minutes(35)).await;
    let progress = world.rivvi.runs().progress(small.id).await.unwrap();
    assert!(progress.placed() >= 3, "the small run was served at once: {progress}");
    world.settle().await;
    for run in [large.id, small.id] {
        assert_eq!(world.rivvi.runs().progress(run).await.unwrap().state, RunState::Completed);
    }
}

#[tokio::test]
async fn office_hours_of_the_organization_hold_in_its_own_zone() {
    let world = world(6, Behaviour::default()).await;
    let mut organization = world.organization.clone();
    let hours: CallingHours =
        serde_json::from_str(r#"{"windows":[{"days":["wed"],"from":"10:00","to":"12:00"}]}"#).unwrap();
    organization.office_hours = Some(hours);
    world.rivvi.organizations().put(organization).await.unwrap();
    let run = world.import(CAMPAIGN, 30).await;
    world.rivvi.runs().start(run.id).await.unwrap();
    world.settle().await;
    let legs = world.legs();
    assert!(!legs.is_empty());
    for leg in legs {
        let local = leg.at.with_timezone(&chrono_tz::Asia::Jerusalem);
        assert_eq!(local.format("%a").to_string(), "Wed");
        assert!((10..12).contains(&chrono::Timelike::hour(&local)), "{local}");
    }
}

#[tokio::test]
async fn an_engine_that_runs_by_itself_and_is_shut_down_hands_over_to_the_next() {
    let world = world(7, Behaviour::default()).await;
    let clock = std::sync::Arc::new(rivvi_core::clock::ScaledClock::new(world.clock.now(), 40_000.0));
    let network = rivvi_provider_sim::SimulatedNetwork::new(clock.clone(), 7, Behaviour::default());
    let engine = || {
        rivvi_core::engine::Rivvi::builder()
            .storage(world.rivvi.storage().clone())
            .voice(network.clone())
            .clock(clock.clone())
            .build()
            .unwrap()
    };
    let run = world.import(CAMPAIGN, 60).await;
    let mut first = Some(engine());
    first.as_ref().unwrap().runs().start(run.id).await.unwrap();
    let mut calls = 0;
    // One engine after the other, each shut down in the middle.
    for turn in 0..200 {
        let rivvi = first.take().unwrap_or_else(engine);
        let handle = rivvi.spawn();
        let delivering = tokio::spawn({
            let (network, rivvi) = (network.clone(), rivvi.clone());
            async move { network.deliver_to(rivvi).await }
        });
        clock.sleep_until(clock.now() + Duration::from_secs(if turn < 3 { 2_400 } else { 40_000 })).await;
        handle.shutdown().await;
        delivering.abort();
        let progress = rivvi.runs().progress(run.id).await.unwrap();
        calls = progress.placed();
        if progress.state == RunState::Completed {
            assert_eq!(progress.tally.settled(), 60);
            assert_eq!(calls as usize, network.legs(), "every leg is accounted for");
            assert_eq!(progress.tally.dispositions.get(&Disposition::Unknown), None);
            return;
        }
    }
    panic!("the run does not end; {calls} calls");
}

/// Panics at the first entries it gets.
#[derive(Debug, Default)]
struct Clumsy(std::sync::atomic::AtomicBool);

#[async_trait::async_trait]
impl rivvi_core::engine::EventSink for Clumsy {
    fn name(&self) -> &str {
        "clumsy"
    }

    async fn publish(
        &self,
        _entries: &[rivvi_core::domain::JournalEntry],
    ) -> Result<(), rivvi_core::engine::HostError> {
        assert!(self.0.swap(true, std::sync::atomic::Ordering::Relaxed), "clumsy on purpose");
        Ok(())
    }
}

#[tokio::test]
async fn a_host_that_panics_and_a_handle_that_is_dropped_do_not_end_the_engine() {
    let world = world(8, Behaviour::default()).await;
    let clock = std::sync::Arc::new(rivvi_core::clock::ScaledClock::new(world.clock.now(), 40_000.0));
    let network = rivvi_provider_sim::SimulatedNetwork::new(clock.clone(), 8, Behaviour::default());
    let rivvi = rivvi_core::engine::Rivvi::builder()
        .storage(world.rivvi.storage().clone())
        .voice(network.clone())
        .clock(clock.clone())
        .event_sink(Clumsy::default())
        .build()
        .unwrap();
    let run = world.import(CAMPAIGN, 20).await;
    rivvi.runs().start(run.id).await.unwrap();
    drop(rivvi.spawn());
    let delivering = tokio::spawn({
        let rivvi = rivvi.clone();
        async move { network.deliver_to(rivvi).await }
    });
    for _ in 0..500 {
        clock.sleep_until(clock.now() + Duration::from_secs(4_000)).await;
        if rivvi.runs().progress(run.id).await.unwrap().state == RunState::Completed {
            delivering.abort();
            return;
        }
    }
    panic!("the run does not end");
}
