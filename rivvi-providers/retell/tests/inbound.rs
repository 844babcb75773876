//! People who call back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::Clock;
use rivvi_core::domain::{CallId, ContactState, Direction, Disposition, Outcome, RunState};
use rivvi_core::engine::ImportedRun;
use rivvi_core::provider::WebhookError;
use rivvi_core::storage::{ArchivedCall, ContactQuery, Storage};
use serde_json::{Value, json};
use support::world::{CAMPAIGN, Delivery, World};
use support::{KEY, signed, webhook};

/// The number of the organization.
const OFFICE: &str = "+97231234567";

/// What the engine answers when somebody calls in.
async fn call_in(world: &World, from: &str, to: &str) -> Value {
    let question =
        json!({ "event": "call_inbound", "call_inbound": { "from_number": from, "to_number": to } });
    let request = signed(&question, KEY, world.clock.now());
    let answer = world.rivvi.receive_inbound("retell", &request).await.unwrap();
    assert_eq!(answer.status(), 200);
    serde_json::from_slice::<Value>(answer.body()).unwrap()["call_inbound"].clone()
}

/// Retell connects the inbound call, which ends after a minute, and tells so, each event twice and the last first.
async fn talk(world: &World, id: &str, metadata: &Value, collected: Value) {
    let now = world.clock.now();
    world.clock.advance_to(now + TimeDelta::seconds(90));
    let call = json!({
        "call_id": id, "call_type": "phone_call", "direction": "inbound", "call_status": "ended",
        "disconnection_reason": "user_hangup", "metadata": metadata, "start_timestamp": now.timestamp_millis(),
        "end_timestamp": (now + TimeDelta::seconds(60)).timestamp_millis(), "duration_ms": 60_000,
        "transcript": "User: I missed your call", "collected_dynamic_variables": collected,
        "call_analysis": { "call_successful": true },
    });
    for event in ["call_analyzed", "call_ended", "call_started"] {
        for _ in 0..2 {
            world.send(&webhook(event, &call, world.clock.now())).await;
        }
    }
}

async fn state_of(world: &World, run: &ImportedRun, n: u64) -> ContactState {
    let query = ContactQuery { run_id: run.id, number: Some(World::number(n)), after: None, limit: 1 };
    world.rivvi.storage().ledger.contacts(query).await.unwrap().remove(0).status.state
}

async fn archived(world: &World, run: &ImportedRun) -> Vec<ArchivedCall> {
    world.rivvi.storage().archive.archived_calls(run.id, None, 100).await.unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_calls_back_is_known_and_done() {
    let mut world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    let run = world.start(CAMPAIGN, 3).await;
    // Nobody answered number 0, whose retry is two hours away; number 1 was busy.
    world.until(at("2026-03-02T06:35:00Z")).await;
    let answer = call_in(&world, &World::number(0).expose(), OFFICE).await;
    assert_eq!(answer["override_agent_id"], "agent_in");
    let known = &answer["dynamic_variables"];
    for (name, value) in [
        ("first_name", "Person0"),
        ("dob", "1990-04-03"),
        ("is_minor", "false"),
        ("phone", "+972522000000"),
        ("clinic", "North"),
        ("slot", "noon"),
        ("prompt", "You call Person0 from North."),
    ] {
        assert_eq!(known[name], value, "{name}");
    }
    let again = call_in(&world, &World::number(0).expose(), OFFICE).await;
    assert_eq!(again["metadata"], answer["metadata"], "asked again while it rings");

    talk(&world, "in_1", &answer["metadata"], json!({})).await;
    let state = state_of(&world, &run, 0).await;
    assert!(matches!(state, ContactState::Settled { outcome: Outcome::Completed, .. }), "{state:?}");

    world.until(at("2026-03-03T06:00:00Z")).await;
    assert_eq!(world.progress(&run).await.state, RunState::Completed);
    let calls = archived(&world, &run).await;
    let inbound: Vec<&ArchivedCall> =
        calls.iter().filter(|archived| archived.call.direction == Direction::Inbound).collect();
    let [inbound] = inbound.as_slice() else { panic!("{inbound:?}") };
    let outbound = calls.iter().find(|archived| Some(archived.call.id) == inbound.call.callback_for).unwrap();
    assert_eq!(outbound.call.disposition(), Some(Disposition::NoAnswer));
    assert_eq!((inbound.person_id, inbound.call.number), (outbound.person_id, World::number(0)));
    assert_eq!(inbound.call.disposition(), Some(Disposition::AnsweredHuman));
    assert_eq!(inbound.call.detail.transcript.as_ref().unwrap().expose(), "User: I missed your call");
    assert_eq!(inbound.call.provider_ref.as_deref(), Some("in_1"));
    assert_eq!(inbound.call.id.to_string(), answer["metadata"]["call_id"].as_str().unwrap());
    let to_zero = world.fake.all().iter().filter(|call| call["to_number"] == "+972522000000").count();
    assert_eq!(to_zero, 1, "the retry was not needed");
    assert_eq!(world.rivvi.dead_letters(None, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_for_another_time_is_called_then() {
    let mut world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    let run = world.start(CAMPAIGN, 2).await;
    world.until(at("2026-03-02T06:35:00Z")).await;
    let answer = call_in(&world, &World::number(1).expose(), OFFICE).await;
    let until = state_of(&world, &run, 1).await.due_at().unwrap();
    assert!(until >= world.clock.now() + TimeDelta::minutes(9), "it is not called while it is on the phone");
    let wish = "2026-03-02T12:00:00Z";
    talk(&world, "in_2", &answer["metadata"], json!({ "callback_at": wish })).await;
    assert_eq!(state_of(&world, &run, 1).await, ContactState::Waiting { due_at: at(wish) });
    world.until(at("2026-03-02T12:01:00Z")).await;
    let calls = world.fake.all();
    assert_eq!(calls.iter().filter(|call| call["to_number"] == "+972522000001").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_end_is_never_told_is_given_up_in_the_archive() {
    let mut world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    let run = world.start(CAMPAIGN, 1).await;
    world.until(at("2026-03-02T06:35:00Z")).await;
    call_in(&world, &World::number(0).expose(), OFFICE).await;
    world.until(at("2026-03-03T06:00:00Z")).await;
    assert_eq!(world.progress(&run).await.state, RunState::Completed);
    let calls = archived(&world, &run).await;
    let inbound = calls.iter().find(|archived| archived.call.direction == Direction::Inbound).unwrap();
    assert_eq!(inbound.call.disposition(), Some(Disposition::Unknown));
    let to_zero = world.fake.all().iter().filter(|call| call["to_number"] == "+972522000000").count();
    assert_eq!(to_zero, 2, "it was called as if nothing had happened");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_known_gets_the_agent_of_the_organization() {
    let world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    assert_eq!(call_in(&world, "+972541234567", OFFICE).await["override_agent_id"], Value::Null);
    let mut organization = world.organization.clone();
    organization.inbound_agent_id = Some("agent_desk".into());
    world.rivvi.organizations().put(organization).await.unwrap();
    let answer = call_in(&world, "+972541234567", OFFICE).await;
    assert_eq!(answer["override_agent_id"], "agent_desk");
    assert_eq!(answer["dynamic_variables"]["phone"], "+972541234567");
    assert_eq!(answer["metadata"], Value::Null);
    let withheld = call_in(&world, "anonymous", OFFICE).await;
    assert_eq!(withheld, json!({ "override_agent_id": "agent_desk" }));
    assert_eq!(call_in(&world, "+972541234567", "+12137771234").await, json!({}), "a number of nobody");
    // What Retell tells of such a call later is none of ours.
    talk(&world, "in_3", &Value::Null, json!({})).await;
    let theirs = json!({ "call_id": "out_3", "direction": "outbound", "call_status": "ongoing" });
    world.send(&webhook("call_started", &theirs, world.clock.now())).await;
    let items = world.rivvi.storage().ledger.next_due(&[]).await.unwrap();
    assert_eq!(items, None, "nothing waits for a call that will never be known");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_calls_in_and_does_not_want_to_be_called_is_not_called() {
    let world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    let from = "+972541234567";
    call_in(&world, from, OFFICE).await;
    let call = json!({
        "call_id": "in_9", "call_type": "phone_call", "direction": "inbound", "call_status": "ended",
        "disconnection_reason": "user_requested_dnc", "from_number": from, "to_number": OFFICE,
    });
    for event in ["call_ended", "call_analyzed"] {
        world.send(&webhook(event, &call, world.clock.now())).await;
    }
    let entries = world.rivvi.suppression_list().list(world.organization.id, None, 10).await.unwrap();
    let numbers: Vec<_> = entries.iter().map(|entry| entry.number.expose()).collect();
    assert_eq!(numbers, [from]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_answers_for_a_number_that_two_organizations_have() {
    let mut world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    world.start(CAMPAIGN, 1).await;
    world.until(at("2026-03-02T06:35:00Z")).await;
    let mut other = world.organization.clone();
    other.id = rivvi_core::testkit::build::org_id(77);
    world.rivvi.organizations().put(other).await.unwrap();
    assert_eq!(call_in(&world, &World::number(0).expose(), OFFICE).await, json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_over_is_remembered_until_its_contexts_lapse() {
    let mut world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    let run = world.start(CAMPAIGN, 1).await;
    world.until(at("2026-03-03T06:00:00Z")).await;
    assert_eq!(world.progress(&run).await.state, RunState::Completed);
    let caller = World::number(0).expose();

    // The ledger still has the call; what is told goes to the archive with it.
    let answer = call_in(&world, &caller, OFFICE).await;
    assert_eq!(answer["dynamic_variables"]["first_name"], "Person0");
    talk(&world, "in_4", &answer["metadata"], json!({})).await;
    assert!(matches!(
        state_of(&world, &run, 0).await,
        ContactState::Settled { outcome: Outcome::Exhausted, .. }
    ));

    // The ledger has forgotten it, the archive has not.
    world.until(at("2026-03-12T06:00:00Z")).await;
    let inbound = |calls: Vec<ArchivedCall>| -> Vec<ArchivedCall> {
        calls.into_iter().filter(|archived| archived.call.direction == Direction::Inbound).collect()
    };
    assert_eq!(inbound(archived(&world, &run).await).len(), 1);
    let query = ContactQuery { run_id: run.id, number: None, after: None, limit: 1 };
    assert_eq!(world.rivvi.storage().ledger.contacts(query).await.unwrap(), []);
    let answer = call_in(&world, &caller, OFFICE).await;
    assert_eq!(answer["override_agent_id"], "agent_in");
    assert_eq!(answer["dynamic_variables"]["first_name"], "Person0");
    assert_eq!(answer["dynamic_variables"]["prompt"], "You call Person0 from North.");
    let opted_out = json!({ "event": "call_ended", "call": {
        "call_id": "in_5", "direction": "inbound", "call_status": "ended", "metadata": answer["metadata"],
        "disconnection_reason": "user_requested_dnc", "transcript": "User: never again",
    } });
    let now = world.clock.now();
    for _ in 0..2 {
        world.send(&signed(&opted_out, KEY, now)).await;
    }
    world.until(now + TimeDelta::minutes(1)).await;
    let calls = inbound(archived(&world, &run).await);
    let id: CallId = answer["metadata"]["call_id"].as_str().unwrap().parse().unwrap();
    let call = &calls.iter().find(|archived| archived.call.id == id).unwrap().call;
    assert_eq!(call.disposition(), Some(Disposition::AnsweredHuman));
    assert_eq!(call.detail.transcript.as_ref().unwrap().expose(), "User: never again");
    assert!(call.callback_for.is_some());
    let list = world.rivvi.suppression_list();
    assert!(list.contains(world.organization.id, World::number(0)).await.unwrap());
    assert_eq!(list.list(world.organization.id, None, 10).await.unwrap().len(), 1);
    assert_eq!(world.rivvi.dead_letters(None, 10).await.unwrap(), []);

    world.until(at("2026-04-10T06:00:00Z")).await;
    let answer = call_in(&world, &caller, OFFICE).await;
    assert_eq!((&answer["override_agent_id"], &answer["metadata"]), (&Value::Null, &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_can_ask() {
    let world = World::new(Delivery::Prompt, Storage::in_memory()).await;
    let question = json!({ "event": "call_inbound", "call_inbound": { "to_number": OFFICE } });
    let now = world.clock.now();
    let forged = signed(&question, "another key", now);
    assert!(matches!(world.rivvi.receive_inbound("retell", &forged).await, Err(WebhookError::Forged)));
    let stale = signed(&question, KEY, now - TimeDelta::minutes(6));
    assert!(matches!(world.rivvi.receive_inbound("retell", &stale).await, Err(WebhookError::Stale)));
    let good = signed(&question, KEY, now);
    assert!(matches!(world.rivvi.receive_inbound("nobody", &good).await, Err(WebhookError::UnknownProvider)));
}
