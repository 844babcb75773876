//! Every state of a call under every fact.

use super::fixture::{Scene, no_answer, not_placed, told};
use crate::domain::{CallDetail, CallState, Disposition, Lease};
use crate::machine::{CallFact, CallStep, step_call};
use crate::provider::{Answerer, CallEvent};

/// What each fact does in each state; `-` is to stay. `taken over` is an intended call with a second holder, and
/// the facts in the last four columns are from the holder.
const TABLE: &str = "
             | accepted | ringing | answered | busy | opt_out | enriched | not_placed | no_answer | not_found      | given_up
intended     | placed   | ringing | answered | busy | -       | -        | not_placed | unknown   | not_placed     | lost
taken over   | placed   | ringing | answered | busy | -       | -        | -          | unknown   | not_placed     | lost
unknown      | placed   | ringing | answered | busy | -       | -        | -          | -         | not_placed     | lost
placed       | -        | ringing | answered | busy | -       | -        | -          | -         | lost           | lost
ringing      | -        | -       | answered | busy | -       | -        | -          | -         | lost           | lost
answered     | -        | -       | -        | busy | -       | -        | -          | -         | answered_human | answered_human
ended        | -        | -       | -        | -    | -       | -        | -          | -         | -              | -
";

const TOLD: [&str; 6] = ["accepted", "ringing", "answered", "busy", "opt_out", "enriched"];

/// The table as (state, fact, result).
fn cells() -> Vec<(&'static str, &'static str, &'static str)> {
    let row = |line: &'static str| line.split('|').map(str::trim).collect::<Vec<_>>();
    let mut lines = TABLE.trim_matches('\n').lines().map(row);
    let header = lines.next().unwrap();
    let cells: Vec<_> = lines
        .flat_map(|line| {
            assert_eq!(line.len(), header.len(), "{line:?}");
            header
                .clone()
                .into_iter()
                .zip(line.clone())
                .skip(1)
                .map(move |(fact, cell)| (line[0], fact, cell))
        })
        .collect();
    assert_eq!(cells.len(), 7 * 10);
    cells
}

fn scene(state: &str) -> Scene {
    let scene = Scene::new("");
    match state {
        "intended" => scene,
        "taken over" => scene.taken_over(),
        "unknown" => scene.in_state(CallState::Unknown),
        "placed" => scene.in_state(CallState::Placed),
        "ringing" => scene.in_state(CallState::Ringing),
        "answered" => scene.in_state(CallState::Answered),
        "ended" => scene.in_state(CallState::Ended { disposition: Disposition::NoAnswer }),
        other => panic!("no state {other}"),
    }
}

fn fact(name: &str, token: u64) -> CallFact {
    let event = match name {
        "accepted" => CallEvent::Accepted { reference: None },
        "ringing" => CallEvent::Ringing,
        "answered" => CallEvent::Answered { by: Answerer::Unknown },
        "busy" => super::fixture::ended(Disposition::Busy),
        "opt_out" => CallEvent::OptOut,
        "enriched" => CallEvent::Enriched { detail: Box::new(CallDetail::default()) },
        "not_placed" => return not_placed(token),
        "no_answer" => return no_answer(token),
        "not_found" => return CallFact::NotFound { token },
        "given_up" => return CallFact::GivenUp { token },
        other => panic!("no fact {other}"),
    };
    told(event, 10)
}

fn step(name: &str) -> CallStep {
    let ended = |disposition| CallStep::To(CallState::Ended { disposition });
    match name {
        "-" => CallStep::Stay,
        "unknown" => CallStep::To(CallState::Unknown),
        "placed" => CallStep::To(CallState::Placed),
        "ringing" => CallStep::To(CallState::Ringing),
        "answered" => CallStep::To(CallState::Answered),
        "busy" => ended(Disposition::Busy),
        "lost" => ended(Disposition::Unknown),
        "not_placed" => ended(Disposition::NotPlaced),
        "answered_human" => ended(Disposition::AnsweredHuman),
        other => panic!("no step {other}"),
    }
}

#[test]
fn every_fact_in_every_state_does_what_the_table_says() {
    for (state, name, expected) in cells() {
        let call = scene(state).call;
        let found = step_call(&call, &fact(name, call.lease.token));
        assert_eq!(found, step(expected), "{name} in {state}");
    }
}

#[test]
fn a_holder_that_was_fenced_out_moves_nothing_and_a_provider_is_always_heard() {
    for (state, name, expected) in cells() {
        let call = scene(state).call;
        for token in [call.lease.token - 1, call.lease.token + 1] {
            let expected = if TOLD.contains(&name) { step(expected) } else { CallStep::Stay };
            assert_eq!(step_call(&call, &fact(name, token)), expected, "{name} in {state}");
        }
    }
}

#[test]
fn a_call_ends_as_told_but_not_as_never_placed_once_it_rang() {
    for state in ["intended", "taken over", "unknown", "placed", "ringing", "answered"] {
        for disposition in Disposition::ALL {
            let rang = matches!(state, "ringing" | "answered");
            let expected = match disposition {
                Disposition::NotPlaced if rang => Disposition::Failed,
                as_told => as_told,
            };
            let step = step_call(&scene(state).call, &told(super::fixture::ended(disposition), 10));
            let expected = CallStep::To(CallState::Ended { disposition: expected });
            assert_eq!(step, expected, "{disposition} in {state}");
        }
    }
}

#[test]
fn only_the_first_token_is_first() {
    let mut lease = scene("intended").call.lease;
    assert_eq!((lease.token, lease.is_first()), (Lease::FIRST_TOKEN, true));
    lease.token += 1;
    assert!(!lease.is_first());
}
