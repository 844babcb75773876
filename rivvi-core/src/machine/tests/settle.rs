//! What becomes of a contact whose call is told something about.

use std::time::Duration;

use super::fixture::{
    LEGAL, RETRIES, Scene, action, after, answered, at, ended, intent, no_answer, not_placed, terms, told,
};
use crate::domain::{
    CallDetail, CallState, ContactState, Disposition, Ending, Event, Exclusion, Outcome, RunState,
    SuppressionSource,
};
use crate::machine::CallFact;
use crate::policy::RunTerms;
use crate::policy::retry::RetryCause;
use crate::provider::{Answerer, CallEvent, ProviderErrorKind};
use crate::storage::AttemptChange;

/// The contact after its call ended so, at one second past noon.
fn after_end(toml: &str, disposition: Disposition) -> ContactState {
    let mut scene = Scene::new(toml).at(1);
    assert!(scene.tell(told(ended(disposition), 1)));
    scene.state()
}

fn settled(outcome: Outcome) -> ContactState {
    ContactState::Settled { outcome, exclusion: None, at: at(1) }
}

fn waiting(seconds: i64) -> ContactState {
    ContactState::Waiting { due_at: at(seconds) }
}

#[test]
fn each_disposition_decides_about_the_contact() {
    use Disposition::*;
    let invalid = ContactState::Settled {
        outcome: Outcome::Excluded,
        exclusion: Some(Exclusion::InvalidNumber),
        at: at(1),
    };
    let exhausted = settled(Outcome::Exhausted);
    for (disposition, with_plan, without_plan) in [
        (AnsweredHuman, settled(Outcome::Completed), settled(Outcome::Completed)),
        (Voicemail, waiting(3_601), exhausted),
        (Busy, waiting(3_601), exhausted),
        (NoAnswer, waiting(3_601), exhausted),
        (Rejected, waiting(3_601), exhausted),
        (InvalidNumber, invalid, invalid),
        (Failed, waiting(3_601), exhausted),
        (Canceled, waiting(11), waiting(11)),
        (Unknown, settled(Outcome::Unknown), settled(Outcome::Unknown)),
        (NotPlaced, waiting(11), waiting(11)),
    ] {
        assert_eq!(after_end(RETRIES, disposition), with_plan, "{disposition} with a plan");
        assert_eq!(after_end("", disposition), without_plan, "{disposition} without a plan");
    }
}

#[test]
fn an_ended_call_is_told_whole() {
    let mut scene = Scene::new(RETRIES).at(40);
    let reason = Some("486".to_owned());
    let talk_time = Some(Duration::from_secs(3));
    scene.tell(told(
        CallEvent::Ended { disposition: Disposition::Busy, reason: reason.clone(), talk_time },
        30,
    ));
    let call = &scene.call;
    assert_eq!(call.disposition(), Some(Disposition::Busy));
    assert_eq!((call.placed_at, call.ended_at, call.check_at), (Some(at(30)), Some(at(30)), None));
    assert_eq!((call.detail.talk_time, &call.detail.provider_reason), (talk_time, &reason));
    assert_eq!(scene.contact.status.last_disposition, Some(Disposition::Busy));
    let (call_id, disposition, cause) = (call.id, Disposition::Busy, Some(RetryCause::Busy));
    let events = [
        Event::CallEnded { call_id, disposition, provider_reason: reason },
        Event::RetryPlanned { at: at(3_640), cause, number: 1 },
    ];
    assert_eq!(scene.journal[1..], events);
    let tally = &scene.tally;
    assert_eq!((tally.waiting, tally.calling, tally.live_calls_max), (1, 0, 1));
    assert_eq!(scene.tally.dispositions, [(Disposition::Busy, 1)].into());
}

#[test]
fn retries_are_counted_per_cause_and_end() {
    let mut scene = Scene::new(RETRIES);
    for (nth, (disposition, expected)) in [
        (Disposition::Busy, "retry_planned"),
        (Disposition::Busy, "retry_planned"),
        (Disposition::NoAnswer, "retry_planned"),
        (Disposition::Busy, "contact_settled"),
    ]
    .into_iter()
    .enumerate()
    {
        if nth > 0 {
            scene.call_again(10 + nth as u128);
        }
        assert_eq!(scene.call.attempt as usize, nth + 1);
        scene.tell(told(ended(disposition), 0));
        assert_eq!(scene.events().last(), Some(&expected));
    }
    let retries = scene.contact.status.plan.retries;
    assert_eq!((retries.of(RetryCause::Busy), retries.of(RetryCause::NoAnswer)), (2, 1));
    let outcome = Outcome::Exhausted;
    assert_eq!(scene.state(), ContactState::Settled { outcome, exclusion: None, at: at(0) });
    assert_eq!(scene.contact.status.attempts, 4);
}

#[test]
fn a_machine_that_answered_is_no_human() {
    for (by, expected) in [
        (vec![Answerer::Machine], Disposition::Voicemail),
        (vec![Answerer::Human, Answerer::Machine], Disposition::Voicemail),
        (vec![Answerer::Machine, Answerer::Human], Disposition::Voicemail),
        (vec![Answerer::Machine, Answerer::Unknown], Disposition::Voicemail),
        (vec![Answerer::Human, Answerer::Unknown], Disposition::AnsweredHuman),
        (vec![Answerer::Unknown], Disposition::AnsweredHuman),
    ] {
        let mut scene = Scene::new(RETRIES).at(9);
        for by in &by {
            scene.tell(told(answered(*by), 5));
        }
        scene.tell(told(ended(Disposition::AnsweredHuman), 9));
        assert_eq!(scene.call.disposition(), Some(expected), "{by:?}");
    }
}

#[test]
fn a_callback_is_kept_at_the_next_legal_instant() {
    let day = 86_400;
    let evening = "[[windows]]\nfrom = '09:00'\nto = '20:00'";
    for (toml, wish, expected) in [
        ("", 7_200, waiting(7_200)),
        ("", -7_200, waiting(1)),
        (evening, 9 * 3_600, waiting(21 * 3_600)),
        ("", 366 * day, waiting(366 * day)),
        ("", 366 * day + 2, settled(Outcome::Completed)),
        ("run.end_after = '5d'", 6 * day, settled(Outcome::Expired)),
    ] {
        let mut scene = Scene::new(toml).at(1);
        scene.tell(told(CallEvent::Callback { at: at(wish) }, 1));
        scene.tell(told(ended(Disposition::AnsweredHuman), 1));
        assert_eq!(scene.state(), expected, "{toml} {wish}");
    }
}

#[test]
fn the_latest_wish_for_a_callback_counts_however_they_arrive() {
    let wish = |wish, told_at| told(CallEvent::Callback { at: at(wish) }, told_at);
    let (first, second) = (wish(1_000, 5), wish(500, 6));
    for order in [vec![&first, &second], vec![&second, &first], vec![&first, &second, &first, &second]] {
        let mut scene = Scene::new("").at(9);
        for fact in order {
            scene.tell(fact.clone());
        }
        assert_eq!(scene.call.detail.callback_at, Some(at(500)));
        assert!(scene.journal.len() <= 3, "a repetition is not journaled: {:?}", scene.events());
    }
}

#[test]
fn a_call_that_was_not_placed_is_no_attempt() {
    let mut scene = Scene::new("").at(3);
    let change = scene.ask(not_placed(1)).unwrap();
    assert_eq!(change.attempt, Some(AttemptChange::Remove));
    scene.tell(not_placed(1));
    let status = &scene.contact.status;
    assert_eq!((status.attempts, status.not_placed), (0, 1));
    assert_eq!((scene.call.placed_at, scene.call.ended_at), (None, Some(at(3))));
    assert_eq!(scene.attempts, []);
    assert_eq!(scene.tally.attempts_ended(), 0);
    scene.call_again(5);
    assert_eq!(scene.call.attempt, 1, "the next call is the same attempt");
}

#[test]
fn calls_that_nobody_could_answer_come_again_ever_later_and_not_for_ever() {
    for event in [None, Some(ended(Disposition::Canceled)), Some(ended(Disposition::NotPlaced))] {
        let mut scene = Scene::new("");
        let mut waits = Vec::new();
        for call in 5.. {
            let fact = event.clone().map_or(not_placed(1), |event| told(event, 0));
            scene.tell(fact);
            let ContactState::Waiting { due_at } = scene.state() else { break };
            waits.push((due_at - scene.now).num_seconds());
            scene.call_again(call);
        }
        assert_eq!(waits[..9], [10, 20, 40, 80, 160, 320, 640, 900, 900], "{event:?}");
        assert_eq!(waits.len(), 19);
        let outcome = Outcome::Exhausted;
        assert_eq!(scene.state(), ContactState::Settled { outcome, exclusion: None, at: at(0) });
    }
}

#[test]
fn a_call_that_rang_ends_the_row_of_those_that_did_not() {
    let mut scene = Scene::new(RETRIES);
    scene.tell(not_placed(1));
    scene.call_again(5);
    scene.tell(told(ended(Disposition::Canceled), 0));
    assert_eq!(scene.contact.status.not_placed, 2);
    scene.call_again(6);
    scene.tell(told(ended(Disposition::Busy), 0));
    assert_eq!(scene.contact.status.not_placed, 0);
}

#[test]
fn the_reason_why_a_call_was_not_placed_decides_how_it_goes_on() {
    let refused = |kind, retry_after| CallFact::NotPlaced { token: 1, kind, retry_after };
    let (hour, week) = (Duration::from_secs(3_600), Duration::from_secs(7 * 86_400));
    for (kind, retry_after, due_at, counted) in [
        (ProviderErrorKind::Timeout, None, at(10), 1),
        (ProviderErrorKind::Timeout, Some(Duration::ZERO), at(10), 1),
        (ProviderErrorKind::RateLimited, None, at(5), 0),
        (ProviderErrorKind::RateLimited, Some(hour), after(hour), 0),
        (ProviderErrorKind::Unavailable, Some(week), at(86_400), 0),
        (ProviderErrorKind::Unavailable, Some(Duration::MAX), at(86_400), 0),
    ] {
        let mut scene = Scene::new("");
        scene.tell(refused(kind, retry_after));
        assert_eq!(scene.state(), ContactState::Waiting { due_at }, "{kind} {retry_after:?}");
        assert_eq!(scene.contact.status.not_placed, counted, "{kind}");
    }
    let mut scene = Scene::new("");
    scene.tell(refused(ProviderErrorKind::InvalidNumber, None));
    let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::InvalidNumber));
    assert_eq!(scene.state(), ContactState::Settled { outcome, exclusion, at: at(0) });
}

/// The first request may have had its effect: only a lookup can prove that it had none.
#[test]
fn a_refused_repetition_does_not_free_the_contact_for_another_call() {
    let lost = |mut scene: Scene| {
        assert!(scene.tell(no_answer(1)));
        scene
    };
    for mut scene in [lost(Scene::new("")), lost(Scene::new("")).taken_over(), Scene::new("").taken_over()] {
        let token = scene.call.lease.token;
        assert!(!scene.tell(not_placed(token)), "in {:?}", scene.call.state);
        assert_eq!(scene.state(), ContactState::Calling { call_id: scene.call.id });
        assert!(scene.tell(CallFact::NotFound { token }));
        assert_eq!(scene.call.disposition(), Some(Disposition::NotPlaced));
    }
}

#[test]
fn a_lost_answer_is_looked_after_when_told() {
    let mut scene = Scene::new("");
    scene.tell(no_answer(1));
    assert_eq!((scene.call.state, scene.call.check_at), (CallState::Unknown, Some(at(120))));
    assert_eq!(scene.events(), ["call_unknown"]);
}

#[test]
fn a_call_is_looked_after_when_it_should_be_over() {
    let longest = 540 + 300;
    for (event, intended_check) in [
        (CallEvent::Accepted { reference: None }, longest),
        (CallEvent::Ringing, longest),
        (answered(Answerer::Human), longest),
    ] {
        let mut scene = Scene::new("").at(10);
        scene.tell(told(event, 10));
        assert_eq!(scene.call.check_at, Some(at(10 + intended_check)));
    }
    // A call that still waits at the provider when its interval ends is looked after then, or at once.
    for (now, check) in [(LEGAL - 60, LEGAL), (LEGAL + 60, LEGAL + 60)] {
        let mut scene = Scene::new("").at(now);
        scene.tell(told(CallEvent::Accepted { reference: None }, now));
        assert_eq!(scene.call.check_at, Some(at(check)));
    }
}

#[test]
fn times_are_the_providers_as_far_as_they_are_possible() {
    let mut scene = Scene::new("").at(60);
    scene.tell(told(answered(Answerer::Human), 20));
    assert_eq!((scene.call.placed_at, scene.call.answered_at), (Some(at(20)), Some(at(20))));
    scene.tell(told(CallEvent::Ringing, 15));
    assert_eq!((scene.call.placed_at, scene.call.answered_at), (Some(at(15)), Some(at(20))));
    scene.tell(told(CallEvent::Accepted { reference: None }, -500));
    assert_eq!(scene.call.placed_at, Some(at(0)), "not before it was intended");
    scene.tell(told(ended(Disposition::AnsweredHuman), 5_000));
    assert_eq!(scene.call.ended_at, Some(at(60)), "not in the future");
}

#[test]
fn effects_are_taken_once_also_after_the_end() {
    for late in [false, true] {
        let mut scene = Scene::new("").at(30);
        if late {
            scene.tell(told(ended(Disposition::AnsweredHuman), 20));
        }
        for event in [action("1"), action("2"), CallEvent::OptOut, action("opt_out")] {
            assert!(scene.tell(told(event.clone(), 10)));
            assert!(!scene.tell(told(event, 11)), "a repetition tells nothing new");
        }
        assert_eq!(scene.outbox.len(), 3);
        let item = &scene.outbox[0];
        assert_eq!(
            (item.call_id, item.contact_id, &*item.action),
            (Some(scene.call.id), scene.contact.id, "send_link")
        );
        assert_eq!((item.created_at, item.attempts), (at(30), 0));
        let [entry] = &scene.suppressed[..] else { panic!("{:?}", scene.suppressed) };
        assert_eq!((entry.number, entry.source), (scene.contact.number, SuppressionSource::OptOut));
        assert_eq!((entry.added_at, entry.expires_at), (at(30), None));
        let effects = ["action_requested", "action_requested", "opted_out", "action_requested"];
        assert_eq!(scene.events()[scene.journal.len() - 5..], effects);
    }
}

#[test]
fn a_callee_that_opted_out_is_not_called_again_whether_told_before_or_after_the_end() {
    let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::Suppressed));
    let excluded = ContactState::Settled { outcome, exclusion, at: at(1) };
    for (disposition, expected) in [
        (Disposition::Failed, excluded),
        (Disposition::Canceled, excluded),
        (Disposition::Voicemail, excluded),
        (Disposition::AnsweredHuman, settled(Outcome::Completed)),
    ] {
        for order in [[CallEvent::OptOut, ended(disposition)], [ended(disposition), CallEvent::OptOut]] {
            let mut scene = Scene::new(RETRIES).at(1);
            for event in order {
                scene.tell(told(event, 1));
            }
            assert_eq!((scene.state(), scene.suppressed.len()), (expected, 1), "{disposition}");
        }
    }
}

#[test]
fn news_after_the_end_changes_neither_disposition_nor_contact() {
    let token = 1;
    for disposition in Disposition::ALL {
        let mut scene = Scene::new(RETRIES).at(1);
        scene.tell(told(ended(disposition), 1));
        let (state, call_state) = (scene.state(), scene.call.state);
        let detail = CallDetail { provider_reason: Some("late".into()), ..CallDetail::default() };
        for fact in [
            told(CallEvent::Accepted { reference: Some("ref".into()) }, 1),
            told(CallEvent::Ringing, 1),
            told(answered(Answerer::Machine), 1),
            told(action("1"), 1),
            told(CallEvent::Callback { at: at(99) }, 1),
            told(ended(Disposition::AnsweredHuman), 1),
            told(ended(Disposition::Busy), 1),
            told(CallEvent::Enriched { detail: Box::new(detail) }, 1),
            not_placed(token),
            no_answer(token),
            CallFact::NotFound { token },
            CallFact::GivenUp { token },
        ] {
            scene.tell(fact);
            assert_eq!((scene.state(), scene.call.state), (state, call_state), "{disposition}");
        }
        assert_eq!(scene.call.detail.provider_reason.as_deref(), Some("late"));
    }
}

#[test]
fn a_call_that_ends_after_its_contact_moved_on_leaves_it_alone() {
    let outcome = Outcome::Cancelled;
    for state in [
        ContactState::Waiting { due_at: at(500) },
        ContactState::Calling { call_id: intent(77).call_id },
        ContactState::Settled { outcome, exclusion: None, at: at(0) },
    ] {
        for disposition in Disposition::ALL {
            let mut scene = Scene::new(RETRIES).at(1);
            scene.contact.status.state = state;
            let change = scene.ask(told(ended(disposition), 1)).unwrap();
            assert_eq!(change.call.unwrap().disposition(), Some(disposition));
            assert_eq!((change.status.state, change.status.last_disposition), (state, None));
            assert_eq!((change.attempt, change.events.len()), (None, 1));
        }
    }
}

#[test]
fn nobody_is_called_again_once_the_run_is_over() {
    let over = |ending| {
        let RunTerms { run, organization, .. } = terms(RETRIES);
        let mut run = run.as_ref().clone();
        run.state = RunState::Completing;
        run.ending = Some(ending);
        RunTerms::new(run.into(), organization)
    };
    for (ending, expected) in [(Ending::Cancelled, Outcome::Cancelled), (Ending::EndTime, Outcome::Expired)] {
        for (disposition, expected) in [
            (Disposition::Busy, expected),
            (Disposition::Canceled, expected),
            (Disposition::NotPlaced, expected),
            (Disposition::AnsweredHuman, Outcome::Completed),
            (Disposition::Unknown, Outcome::Unknown),
        ] {
            let mut scene = Scene::of(over(ending)).at(1);
            scene.tell(told(ended(disposition), 1));
            assert_eq!(scene.state(), settled(expected), "{disposition} after {ending:?}");
        }
    }
}

#[test]
fn a_paused_run_keeps_planning() {
    let RunTerms { run, organization, .. } = terms(RETRIES);
    let mut run = run.as_ref().clone();
    run.state = RunState::Paused;
    let mut scene = Scene::of(RunTerms::new(run.into(), organization)).at(1);
    scene.tell(told(ended(Disposition::Busy), 1));
    assert_eq!(scene.state(), waiting(3_601));
}

#[test]
fn a_retry_after_the_end_of_the_run_is_not_waited_for() {
    let mut scene = Scene::new(&format!("run.end_after = '1h'\n{RETRIES}")).at(1);
    scene.tell(told(ended(Disposition::Busy), 1));
    assert_eq!(scene.state(), settled(Outcome::Expired));
    let Some(Event::ContactSettled { rule, .. }) = scene.journal.last() else { panic!() };
    assert_eq!(rule, "run_end");
}

#[test]
fn what_is_learned_without_another_effect_is_journaled_once() {
    let detail = CallDetail { provider_reason: Some("late".into()), ..CallDetail::default() };
    let enriched = CallEvent::Enriched { detail: Box::new(detail) };
    let reference = CallEvent::Accepted { reference: Some("ref".into()) };
    let mut scene = Scene::new("").at(30).in_state(CallState::Answered);
    for event in [reference, answered(Answerer::Machine), enriched] {
        assert!(scene.tell(told(event.clone(), 10)), "{event:?}");
        assert_eq!(scene.events().last(), Some(&"call_enriched"));
        assert!(!scene.tell(told(event.clone(), 10)), "{event:?} again");
    }
    assert_eq!(scene.call.provider_ref.as_deref(), Some("ref"));
    let other = told(CallEvent::Accepted { reference: Some("other".into()) }, 10);
    assert!(!scene.tell(other), "the first reference is kept");
}

#[test]
fn an_analysis_says_nothing_about_effects() {
    let detail = CallDetail {
        callback_at: Some(at(99)),
        applied: vec!["opt_out".into()],
        answered_by: Some(Answerer::Machine),
        ..CallDetail::default()
    };
    let scene = Scene::new("");
    assert_eq!(scene.ask(told(CallEvent::Enriched { detail: Box::new(detail) }, 0)), None);
}

#[test]
fn instants_out_of_all_reason_do_no_harm() {
    use chrono::{DateTime, Utc};
    for wish in [DateTime::<Utc>::MAX_UTC, DateTime::<Utc>::MIN_UTC] {
        let mut scene = Scene::new("");
        for event in [
            CallEvent::Callback { at: wish },
            CallEvent::Accepted { reference: None },
            answered(Answerer::Human),
            ended(Disposition::AnsweredHuman),
        ] {
            scene.tell(CallFact::Told { event, at: wish });
        }
        assert!(!scene.call.is_live());
        assert_eq!(scene.call.ended_at, Some(at(0)));
    }
}
