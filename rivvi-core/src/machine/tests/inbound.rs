//! What becomes of a contact that calls back.

use uuid::Uuid;

use super::fixture::{LEGAL, RETRIES, Scene, action, answered, at, ended, told};
use crate::domain::{
    Call, CallDetail, CallId, CallState, ContactState, Direction, Disposition, Event, Exclusion, Outcome,
    ProviderName, RunId,
};
use crate::machine::{CallFact, give_up_inbound, inbound_call, step_inbound};
use crate::provider::{Answerer, CallEvent, InboundRef};

fn inbound(n: u128) -> InboundRef {
    InboundRef {
        call_id: CallId::from_uuid(Uuid::from_u128(1_000 + n)),
        run_id: RunId::from_uuid(Uuid::from_u128(3)),
        provider: ProviderName::new("elsewhere"),
    }
}

fn called_back(n: u128, event: CallEvent, seconds: i64) -> CallFact {
    told(CallEvent::CalledBack { inbound: inbound(n), event: Box::new(event) }, seconds)
}

fn accepted() -> CallEvent {
    CallEvent::Accepted { reference: Some("in_1".into()) }
}

fn talked() -> CallEvent {
    ended(Disposition::AnsweredHuman)
}

/// The line was busy a minute after noon, the contact is to be called again an hour later, and it is five past.
fn busy(toml: &str) -> Scene {
    let mut scene = Scene::new(toml).at(60);
    scene.tell(told(ended(Disposition::Busy), 60));
    assert!(matches!(scene.state(), ContactState::Waiting { .. }));
    scene.at(300)
}

fn the_inbound(scene: &Scene) -> &Call {
    let [call] = scene.call.detail.called_back.as_slice() else { panic!("{:?}", scene.call.detail) };
    call
}

#[test]
fn whoever_calls_back_and_is_talked_to_is_done() {
    let mut scene = busy(RETRIES);
    assert!(scene.tell(called_back(1, accepted(), 300)));
    scene = scene.at(303);
    assert!(scene.tell(called_back(1, answered(Answerer::Unknown), 302)));
    scene = scene.at(400);
    assert!(scene.tell(called_back(1, talked(), 390)));
    let done = ContactState::Settled { outcome: Outcome::Completed, exclusion: None, at: at(400) };
    assert_eq!(scene.state(), done);
    assert_eq!(scene.events()[2..], ["called_back", "call_enriched", "inbound_ended", "contact_settled"]);
    let (call, outbound) = (the_inbound(&scene), &scene.call);
    assert_eq!((call.direction, call.callback_for), (Direction::Inbound, Some(outbound.id)));
    assert_eq!((call.number, call.caller_id), (outbound.number, outbound.caller_id));
    assert_eq!(call.provider_ref.as_deref(), Some("in_1"));
    assert_eq!((call.answered_at, call.ended_at), (Some(at(302)), Some(at(390))));
    assert_eq!(outbound.disposition(), Some(Disposition::Busy), "the outbound call stays what it was");
    assert_eq!(scene.contact.status.attempts, 1, "an inbound call is no attempt");
}

#[test]
fn nobody_is_called_while_on_the_phone() {
    // A retry that would come in the middle of the conversation.
    let mut scene = busy("[retry]\nbusy = { after = '5m', max = 2 }").at(300);
    assert_eq!(scene.state(), ContactState::Waiting { due_at: at(360) });
    scene.tell(called_back(1, accepted(), 300));
    // The longest call, and as long as it may stay without news.
    let until = at(300 + 540 + 300);
    assert_eq!(scene.state(), ContactState::Waiting { due_at: until });
    assert!(matches!(scene.journal.last(), Some(Event::ContactDeferred { rule, .. }) if rule == "inbound"));
    assert!(!scene.tell(called_back(1, accepted(), 300)), "told twice it tells nothing new");
    // A second call defers no further by what it takes for the first.
    scene = scene.at(310);
    scene.tell(called_back(2, accepted(), 310));
    assert_eq!(scene.state(), ContactState::Waiting { due_at: at(310 + 540 + 300) });
    // A call that came to nothing leaves the contact waiting for the other, and both lead back to where it was.
    scene.tell(called_back(1, ended(Disposition::Failed), 310));
    assert_eq!(scene.state(), ContactState::Waiting { due_at: at(310 + 540 + 300) });
    scene.tell(called_back(2, ended(Disposition::Failed), 310));
    assert_eq!(scene.state(), ContactState::Waiting { due_at: at(360) });
    assert!(!scene.tell(called_back(2, ended(Disposition::Failed), 310)));
    // What was due meanwhile is due at once.
    let mut late = busy("[retry]\nbusy = { after = '5m', max = 2 }");
    late.tell(called_back(1, accepted(), 300));
    late = late.at(400);
    late.tell(called_back(1, ended(Disposition::Failed), 390));
    assert_eq!(late.state(), ContactState::Waiting { due_at: at(400) });
    // A later retry is left where it is.
    let mut later = busy(RETRIES);
    later.tell(called_back(1, accepted(), 300));
    assert_eq!(later.state(), ContactState::Waiting { due_at: at(3_660) });
}

#[test]
fn a_campaign_may_want_to_call_all_the_same() {
    let mut scene = busy(&format!("{RETRIES}\n[inbound]\nsettles = false"));
    scene.tell(called_back(1, talked(), 300));
    assert_eq!(scene.state(), ContactState::Waiting { due_at: at(3_660) });
    assert_eq!(the_inbound(&scene).disposition(), Some(Disposition::AnsweredHuman));
}

#[test]
fn whoever_asks_for_a_callback_in_an_inbound_call_gets_it() {
    let mut scene = busy(RETRIES);
    let wish = CallEvent::Callback { at: at(7_200) };
    scene.tell(called_back(1, wish.clone(), 310));
    assert_eq!(scene.state(), ContactState::Waiting { due_at: at(3_660) }, "not before the end");
    scene.tell(called_back(1, talked(), 320));
    assert_eq!(scene.state(), ContactState::Waiting { due_at: at(7_200) });
    assert!(matches!(scene.journal.last(), Some(Event::RetryPlanned { .. })));
    // What is told later does not plan it anew.
    for event in [wish, talked(), CallEvent::Enriched { detail: Box::new(cost()) }] {
        scene.tell(called_back(1, event, 330));
        assert_eq!(scene.state(), ContactState::Waiting { due_at: at(7_200) });
    }
    assert_eq!(the_inbound(&scene).detail.cost, cost().cost);
    // The contact is called at that time, and that call decides.
    scene = scene.at(7_200);
    scene.call_again(5);
    scene.tell(told(talked(), 7_200));
    assert!(matches!(scene.state(), ContactState::Settled { outcome: Outcome::Completed, .. }));
}

fn cost() -> CallDetail {
    let money = crate::domain::Money { micros: 70_000, currency: crate::domain::Currency::USD };
    CallDetail { cost: Some(money), ..CallDetail::default() }
}

#[test]
fn opting_out_in_an_inbound_call_takes_effect_at_once() {
    let mut scene = busy(RETRIES);
    scene.tell(called_back(1, CallEvent::OptOut, 310));
    let excluded = Some(Exclusion::Suppressed);
    assert!(
        matches!(scene.state(), ContactState::Settled { outcome: Outcome::Excluded, exclusion, .. } if exclusion == excluded)
    );
    assert_eq!(scene.suppressed.len(), 1);
    assert!(!scene.tell(called_back(1, CallEvent::OptOut, 310)));
    scene.tell(called_back(1, talked(), 320));
    assert_eq!(scene.suppressed.len(), 1);
}

#[test]
fn actions_of_an_inbound_call_are_its_own() {
    let mut scene = busy(RETRIES);
    scene.tell(called_back(1, action("1"), 310));
    assert!(!scene.tell(called_back(1, action("1"), 310)));
    scene.tell(told(action("1"), 310));
    let of: Vec<CallId> = scene.outbox.iter().filter_map(|item| item.call_id).collect();
    assert_eq!(of, [inbound(1).call_id, scene.call.id]);
}

#[test]
fn whoever_calls_back_while_being_called_is_done_when_that_call_ends() {
    for (end, expected) in [
        (Disposition::Busy, Outcome::Completed),
        (Disposition::NoAnswer, Outcome::Completed),
        (Disposition::Canceled, Outcome::Completed),
        (Disposition::AnsweredHuman, Outcome::Completed),
        (Disposition::InvalidNumber, Outcome::Excluded),
    ] {
        let mut scene = Scene::new(RETRIES).at(30);
        scene.tell(told(accepted(), 10));
        scene.tell(called_back(1, accepted(), 12));
        scene.tell(called_back(1, talked(), 25));
        assert!(matches!(scene.state(), ContactState::Calling { .. }), "the call goes on");
        scene.tell(told(ended(end), 30));
        assert!(
            matches!(scene.state(), ContactState::Settled { outcome, .. } if outcome == expected),
            "{end}"
        );
    }
}

#[test]
fn a_settled_contact_stays_settled() {
    let mut scene = Scene::new("").at(60);
    scene.tell(told(ended(Disposition::NoAnswer), 60));
    let settled = scene.state();
    assert!(matches!(settled, ContactState::Settled { outcome: Outcome::Exhausted, .. }));
    scene = scene.at(900);
    scene.tell(called_back(1, accepted(), 800));
    scene.tell(called_back(1, talked(), 850));
    assert_eq!(scene.state(), settled);
    assert_eq!(the_inbound(&scene).disposition(), Some(Disposition::AnsweredHuman));
}

#[test]
fn a_run_that_is_over_plans_nothing() {
    let mut scene = busy(&format!("{RETRIES}\n[run]\nend_after = '2h'"));
    let mut run = (*scene.terms.run).clone();
    run.ending = Some(crate::domain::Ending::EndTime);
    scene.terms =
        std::sync::Arc::new(crate::policy::RunTerms::new(run.into(), scene.terms.organization.clone()));
    scene.tell(called_back(1, CallEvent::Callback { at: at(LEGAL * 5) }, 310));
    scene.tell(called_back(1, talked(), 320));
    assert!(matches!(scene.state(), ContactState::Settled { outcome: Outcome::Expired, .. }));
}

#[test]
fn order_and_repetition_make_no_difference() {
    let wish = CallEvent::Callback { at: at(7_200) };
    let story =
        [accepted(), answered(Answerer::Unknown), talked(), CallEvent::Enriched { detail: Box::new(cost()) }];
    for with_wish in [false, true] {
        let mut expected = None;
        for turn in 0..story.len() {
            for reversed in [false, true] {
                let mut scene = busy(RETRIES);
                // The wish is heard before the end, as for every call.
                if with_wish {
                    scene.tell(called_back(1, wish.clone(), 301));
                }
                let mut order: Vec<&CallEvent> = story.iter().collect();
                order.rotate_left(turn);
                if reversed {
                    order.reverse();
                }
                for event in order.iter().chain(&order) {
                    scene.tell(called_back(1, (*event).clone(), 305));
                }
                let ending = (scene.state(), the_inbound(&scene).clone());
                assert_eq!(*expected.get_or_insert_with(|| ending.clone()), ending);
            }
        }
    }
}

#[test]
fn there_is_an_end_to_what_is_kept() {
    let mut scene = busy(RETRIES);
    let mut taken = 0;
    for n in 0..100 {
        taken += usize::from(scene.tell(called_back(n, accepted(), 300)));
    }
    assert_eq!(scene.call.detail.called_back.len(), taken);
    assert!(taken < 100);
    let own = InboundRef { call_id: scene.call.id, ..inbound(1) };
    let event = CallEvent::CalledBack { inbound: own, event: Box::new(talked()) };
    assert!(!scene.tell(told(event, 300)), "a call is not called back by itself");
    let within = CallEvent::CalledBack { inbound: inbound(2), event: Box::new(talked()) };
    let before = scene.call.detail.called_back.clone();
    scene.tell(called_back(1, within, 300));
    assert!(scene.call.detail.called_back.iter().all(|call| call.state != CallState::Intended));
    assert_eq!(scene.call.detail.called_back, before);
    scene.tell(called_back(99, CallEvent::OptOut, 310));
    assert_eq!(scene.suppressed.len(), 1, "who does not want to be called is heard however often they call");
    assert!(matches!(scene.state(), ContactState::Settled { outcome: Outcome::Excluded, .. }));
}

#[test]
fn an_inbound_call_whose_end_is_never_told_is_given_up_until_it_is() {
    let outbound = busy(RETRIES).call;
    for (answered_first, given_up) in [(false, Disposition::Unknown), (true, Disposition::AnsweredHuman)] {
        let mut call = inbound_call(&outbound, &inbound(1), at(300));
        call.check_at = Some(at(1_000));
        if answered_first {
            step_inbound(&mut call, &answered(Answerer::Unknown), at(310), at(310));
        }
        give_up_inbound(&mut call, at(999));
        assert!(call.is_live(), "not yet");
        give_up_inbound(&mut call, at(1_000));
        assert_eq!((call.disposition(), call.ended_at), (Some(given_up), None));
        let before = call.clone();
        step_inbound(&mut call, &accepted(), at(300), at(1_001));
        assert_eq!(call.state, before.state, "that tells no end");
        step_inbound(&mut call, &ended(Disposition::Voicemail), at(400), at(1_001));
        assert_eq!((call.disposition(), call.ended_at), (Some(Disposition::Voicemail), Some(at(400))));
        step_inbound(&mut call, &talked(), at(500), at(1_002));
        assert_eq!(call.disposition(), Some(Disposition::Voicemail), "the first end told counts");
    }
}
