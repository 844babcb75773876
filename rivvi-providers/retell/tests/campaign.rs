//! Whole campaigns through the engine, whatever becomes of requests and webhooks. The behaviour of calls rests on Retell's
//! documents: there is nothing real to hold it against.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::collections::{BTreeMap, HashSet};

use rivvi_core::clock::Clock;
use rivvi_core::domain::{Disposition, Outcome, RunState, RunTally};
use rivvi_core::storage::Storage;
use rivvi_core::testkit::http::HttpFault;
use support::world::{CAMPAIGN, Delivery, World};

const CREATE: &str = "/v2/create-phone-call";

/// The counts at the end of a campaign over 20 people, and how many calls each number got.
async fn outcome_of(delivery: Delivery, lost_answers: usize) -> (RunTally, BTreeMap<String, usize>) {
    let mut world = World::new(delivery, Storage::in_memory()).await;
    for _ in 0..lost_answers {
        world.fake.far.fail_next(CREATE, HttpFault::CutAfterRequest);
    }
    let run = world.start(CAMPAIGN, 20).await;
    world.until("2026-03-04T06:00:00Z".parse().unwrap()).await;

    let progress = world.progress(&run).await;
    assert_eq!(progress.state, RunState::Completed, "{delivery:?}");
    let calls = world.fake.all();
    let ids: HashSet<&str> = calls.iter().map(|call| call["metadata"]["call_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), calls.len(), "no call was made twice");
    assert_eq!(calls.len() as u64, progress.placed());
    let mut per_number: BTreeMap<String, usize> = BTreeMap::new();
    for call in &calls {
        *per_number.entry(call["to_number"].as_str().unwrap().to_owned()).or_default() += 1;
        let known = &call["retell_llm_dynamic_variables"];
        assert_eq!((&known["clinic"], &known["slot"]), (&"North".into(), &"noon".into()));
        let prompt = format!("You call {} from North.", known["first_name"].as_str().unwrap());
        assert_eq!(known["prompt"], prompt);
    }
    for (number, calls) in &per_number {
        assert!(*calls <= 2, "{number}");
    }
    let mut tally = progress.tally;
    // How many were under way at once depends on when the engine learned of ends.
    tally.live_calls_max = 0;
    (tally, per_number)
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_late_repeated_and_disordered_webhooks_make_no_difference() {
    let (tally, calls) = outcome_of(Delivery::Prompt, 0).await;
    assert_eq!(tally.outcomes[&Outcome::Completed], 12, "{tally:?}");
    assert_eq!(tally.outcomes[&Outcome::Exhausted], 6);
    assert_eq!(tally.outcomes[&Outcome::Excluded], 2);
    assert_eq!(tally.dispositions[&Disposition::InvalidNumber], 2);
    assert_eq!(calls.values().sum::<usize>(), 20 + 6 + 2 + 2, "retries, and callbacks");
    for delivery in [Delivery::Never, Delivery::TwiceAndBackwards] {
        assert_eq!(outcome_of(delivery, 0).await, (tally.clone(), calls.clone()), "{delivery:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_cause_no_second_call() {
    let expected = outcome_of(Delivery::Prompt, 0).await;
    assert_eq!(outcome_of(Delivery::Prompt, 7).await, expected);
    assert_eq!(outcome_of(Delivery::Never, 7).await, expected, "found by our id");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_that_overtake_the_answer_find_their_call() {
    let world = World::new(Delivery::Never, Storage::in_memory()).await;
    world.fake.far.fail_next(CREATE, HttpFault::CutAfterRequest);
    let run = world.start(CAMPAIGN, 1).await;
    world.rivvi.tick().await.unwrap();
    let [mut call] = world.fake.all().try_into().unwrap();
    for (event, status) in [("call_analyzed", "ended"), ("call_started", "ongoing"), ("call_ended", "ended")]
    {
        call["call_status"] = status.into();
        call["disconnection_reason"] = "user_hangup".into();
        world.send(&support::webhook(event, &call, world.clock.now())).await;
    }
    let tally = world.progress(&run).await.tally;
    assert_eq!((tally.outcomes[&Outcome::Completed], tally.calling), (1, 0), "by our id in the metadata");
    assert_eq!(world.fake.all().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn account_without_credit_pauses_the_run_and_a_slow_down_does_not() {
    let mut world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    let limited = r#"{"status":"error","message":"Account rate limited, please throttle your requests."}"#;
    world
        .fake
        .far
        .fail_next(CREATE, HttpFault::refuse_until(429, std::time::Duration::from_secs(30), limited));
    let run = world.start(CAMPAIGN, 3).await;
    world.until("2026-03-02T06:31:30Z".parse().unwrap()).await;
    assert_eq!(world.progress(&run).await.state, RunState::Active);
    assert_eq!(world.fake.all().len(), 3, "it was asked again after the wait");

    let mut world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    let broke = r#"{"status":"error","message":"Trial has ended, please add payment method."}"#;
    world.fake.far.fail_next(CREATE, HttpFault::refuse(402, broke));
    let run = world.start(CAMPAIGN, 3).await;
    world.until("2026-03-02T07:00:00Z".parse().unwrap()).await;
    assert_eq!(world.progress(&run).await.state, RunState::Paused);
}
