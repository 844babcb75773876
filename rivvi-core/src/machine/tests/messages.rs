//! Messages and follow-ups: the specification's flows, receipts in any order, and what is never sent twice.

use proptest::prelude::*;

use super::fixture::{Scene, answered, at, ended, told};
use crate::domain::{ContactState, DeliveryFailure, DeliveryState, Disposition, Exclusion, Message, Outcome};
use crate::machine::{CallFact, Hindrance, hinder, look_again};
use crate::policy::follow_up::Upcoming;
use crate::provider::{Answerer, CallEvent, ProviderErrorKind};

const SMS: &str = "channel = 'sms'\nmessage.text = 'Hello'\n";

/// Press 1, a link by text message, and its text by voice where that fails.
const DONATION: &str = r#"
channel = "hybrid"

[[follow_up]]
name = "link"
on = "action:trigger_donation"
sms = "Thank you: {{ amount }}"

[[follow_up]]
name = "link_by_voice"
on = "link.no_sms"
after = "1m"
speech = "Thank you."

[[follow_up]]
name = "letter"
on = ["exhausted", "too_long"]
email = { subject = "We called", text = "Dear" }

[[follow_up]]
name = "ticket"
on = "exhausted"
after = "5m"
action = "crm"
"#;

fn delivery(state: DeliveryState, failure: Option<DeliveryFailure>) -> CallEvent {
    CallEvent::Delivery { state, failure, code: Some("7".into()) }
}

fn accepted() -> CallFact {
    told(CallEvent::Accepted { reference: Some("ref".into()) }, 1)
}

fn donate() -> CallFact {
    let parameters = [("amount".to_owned(), "50".to_owned())];
    let event = CallEvent::Action {
        key: "1".into(),
        name: "trigger_donation".into(),
        parameters: std::collections::BTreeMap::from(parameters).into(),
    };
    told(event, 5)
}

fn outcome(scene: &Scene) -> Option<(Outcome, Option<Exclusion>)> {
    match scene.state() {
        ContactState::Settled { outcome, exclusion, .. } => Some((outcome, exclusion)),
        _ => None,
    }
}

/// The follow-up that the contact is in.
fn step(scene: &Scene) -> Option<&str> {
    scene.contact.status.plan.step(&scene.terms.run.definition).map(|step| step.name.as_str())
}

/// A donation is asked for, and the call ends.
fn donated() -> Scene {
    let mut scene = Scene::new(DONATION);
    scene.tell(told(answered(Answerer::Human), 2));
    scene.tell(donate());
    scene.now = at(30);
    scene.tell(told(ended(Disposition::AnsweredHuman), 30));
    scene
}

#[test]
fn a_key_sends_the_link_and_a_landline_hears_it_by_voice() {
    let mut scene = donated();
    assert!(scene.outbox.is_empty(), "the follow-up carries the action out, not the host");
    assert_eq!((step(&scene), scene.state().due_at()), (Some("link"), Some(at(30))));
    assert_eq!(scene.contact.status.plan.follow_up.as_ref().unwrap().given.expose()["amount"], "50");

    scene.write(5, Message::sms("Thank you: 50"));
    scene.tell(accepted());
    assert!(matches!(scene.contact.status.plan.upcoming(&scene.terms.run.definition), Upcoming::Receipt(_)));
    scene.now = at(60);
    scene.tell(told(delivery(DeliveryState::Failed, Some(DeliveryFailure::NoSms)), 60));
    assert_eq!((step(&scene), scene.state().due_at()), (Some("link_by_voice"), Some(at(120))));

    scene.now = at(120);
    scene.call_again(6);
    scene.tell(told(answered(Answerer::Human), 121));
    let mut failed = scene.clone();
    scene.tell(told(ended(Disposition::AnsweredHuman), 150));
    assert_eq!(outcome(&scene), Some((Outcome::FallbackDelivered, None)));
    failed.tell(told(ended(Disposition::NoAnswer), 150));
    assert_eq!(outcome(&failed), Some((Outcome::FallbackFailed, None)));
}

#[test]
fn a_link_that_arrives_leaves_the_contact_completed() {
    let mut scene = donated();
    scene.write(5, Message::sms("Thank you"));
    scene.tell(told(delivery(DeliveryState::Delivered, None), 31));
    assert_eq!(outcome(&scene), Some((Outcome::Completed, None)));
    assert!(!scene.tell(told(delivery(DeliveryState::Failed, Some(DeliveryFailure::NoSms)), 32)));
    let mut other = donated();
    other.write(5, Message::sms("Thank you"));
    other.tell(accepted());
    other.tell(told(delivery(DeliveryState::Undelivered, Some(DeliveryFailure::Blocked)), 31));
    assert_eq!(outcome(&other), Some((Outcome::Completed, None)), "a human was reached all the same");
}

#[test]
fn without_an_answer_a_letter_and_a_ticket_follow() {
    let mut scene = Scene::new(DONATION);
    scene.tell(told(ended(Disposition::NoAnswer), 30));
    assert_eq!(step(&scene), Some("letter"));
    let item = &scene.outbox[0];
    assert_eq!((item.action.as_str(), item.created_at), ("crm", at(300)));
    let address = crate::domain::EmailAddress::new("dana@clinic.example").unwrap();
    let attempts = scene.attempts.len();
    scene.write(5, Message::email(address, "We called", "Dear"));
    assert_eq!(scene.attempts.len(), attempts, "an e-mail is no attempt at the number");
}

#[test]
fn a_call_that_lasts_as_long_as_it_may_is_followed_by_a_letter() {
    let mut scene = Scene::new(DONATION);
    scene.tell(told(answered(Answerer::Human), 2));
    scene.now = at(541);
    scene.tell(told(ended(Disposition::AnsweredHuman), 541));
    assert_eq!(step(&scene), Some("letter"));
}

#[test]
fn messages_come_to_the_outcomes_of_their_receipts() {
    use DeliveryFailure::{Blocked, InvalidNumber, NoSms, Unreachable, Unsubscribed};
    use DeliveryState::{Delivered, Failed, Undelivered};
    let excluded = |why| (Outcome::Excluded, Some(why));
    for (state, failure, expected) in [
        (Delivered, None, (Outcome::Completed, None)),
        (Undelivered, Some(Blocked), (Outcome::Exhausted, None)),
        (Undelivered, Some(Unreachable), (Outcome::Exhausted, None)),
        (Failed, None, (Outcome::Exhausted, None)),
        (Failed, Some(NoSms), excluded(Exclusion::NoSms)),
        (Failed, Some(InvalidNumber), excluded(Exclusion::InvalidNumber)),
        (Undelivered, Some(Unsubscribed), excluded(Exclusion::Suppressed)),
    ] {
        // Before the provider's answer, after it, and as the refusal of the request where that is the same.
        for first in [false, true] {
            let mut scene = Scene::new(SMS);
            if !first {
                scene.tell(accepted());
                assert_eq!(scene.call.disposition(), Some(Disposition::Sent));
            }
            scene.tell(told(delivery(state, failure), 9));
            assert_eq!(outcome(&scene), Some(expected), "{failure:?}");
            assert_eq!(scene.suppressed.len(), usize::from(failure == Some(Unsubscribed)));
            assert!(!scene.tell(told(delivery(state, failure), 9)), "told twice");
        }
    }
    for (kind, expected) in [
        (ProviderErrorKind::NoSms, excluded(Exclusion::NoSms)),
        (ProviderErrorKind::Unsubscribed, excluded(Exclusion::Suppressed)),
        (ProviderErrorKind::InvalidNumber, excluded(Exclusion::InvalidNumber)),
    ] {
        let mut scene = Scene::new(SMS);
        scene.tell(CallFact::NotPlaced { token: 1, kind, retry_after: None });
        assert_eq!(outcome(&scene), Some(expected), "{kind}");
    }
}

#[test]
fn a_phone_that_is_off_is_written_to_again_as_the_plan_says() {
    let mut scene = Scene::new(&format!("{SMS}retry.failed = {{ after = '1h', max = 1 }}"));
    scene.tell(accepted());
    scene.tell(told(delivery(DeliveryState::Undelivered, Some(DeliveryFailure::Unreachable)), 9));
    assert_eq!(scene.state().due_at(), Some(at(3_600)));
    scene.write(5, Message::sms("Hello"));
    scene.tell(told(delivery(DeliveryState::Undelivered, Some(DeliveryFailure::Unreachable)), 9));
    assert_eq!(outcome(&scene), Some((Outcome::Exhausted, None)));
}

#[test]
fn a_receipt_is_looked_for_ever_more_rarely_and_at_last_given_up() {
    let mut scene = Scene::new(SMS);
    scene.tell(accepted());
    let definition = scene.terms.run.definition.clone();
    let mut looks = Vec::new();
    while let Some(due) = scene.state().due_at() {
        looks.push((due - at(0)).num_minutes());
        scene.now = due;
        let change = look_again(&scene.contact, &definition, true, due);
        scene.commit_contact(change);
    }
    assert_eq!(
        looks,
        [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 4320, 4322],
        "what the last look finds counts"
    );
    assert_eq!(outcome(&scene), Some((Outcome::Unknown, None)));
    assert!(scene.tell(told(delivery(DeliveryState::Delivered, None), 9)), "still noted");
    assert_eq!(outcome(&scene), Some((Outcome::Unknown, None)));
}

#[test]
fn a_landline_is_not_written_to_but_called_if_the_plan_says_so() {
    let contact = |toml: &str| {
        let terms = super::fixture::terms(toml);
        (super::fixture::contact(&terms.run), terms.run.definition.clone())
    };
    let (alone, definition) = contact(SMS);
    let change = hinder(&alone, &definition, &Hindrance::NoSms, at(0));
    assert!(matches!(
        change.status.state,
        ContactState::Settled { outcome: Outcome::Excluded, exclusion: Some(Exclusion::NoSms), .. }
    ));
    let (spoken, definition) =
        contact(&format!("{SMS}[[follow_up]]\nname = 'say'\non = 'no_sms'\nspeech = 'Hello'"));
    let change = hinder(&spoken, &definition, &Hindrance::NoSms, at(0));
    assert_eq!(change.status.state, ContactState::Waiting { due_at: at(0) });
    assert_eq!(change.status.plan.step(&definition).unwrap().name, "say");
    // What cannot take place is passed over.
    let waiting = crate::domain::Contact { status: change.status, ..spoken };
    let refused = Hindrance::Refused {
        outcome: Outcome::Exhausted,
        exclusion: None,
        rule: "caps",
        reason: "over".into(),
    };
    let change = hinder(&waiting, &definition, &refused, at(1));
    assert!(matches!(
        change.status.state,
        ContactState::Settled { outcome: Outcome::FallbackFailed, exclusion: None, .. }
    ));
}

#[test]
fn answers_are_kept_once_and_stop_is_heard() {
    let mut scene = Scene::new(&format!("{SMS}message.on_reply = 'inbox'"));
    scene.tell(accepted());
    let reply = |id: &str| told(CallEvent::Replied { id: id.into(), text: "yes".to_owned().into() }, 9);
    assert!(scene.tell(reply("a")) && scene.tell(reply("b")) && !scene.tell(reply("a")));
    assert_eq!(scene.call.detail.message.as_ref().unwrap().replies.len(), 2);
    assert_eq!(scene.outbox.iter().map(|item| item.action.as_str()).collect::<Vec<_>>(), ["inbox", "inbox"]);
    scene.tell(told(CallEvent::OptOut, 9));
    assert_eq!(
        (outcome(&scene), scene.suppressed.len()),
        (Some((Outcome::Excluded, Some(Exclusion::Suppressed))), 1)
    );
}

#[test]
fn hits_are_counted_once_each() {
    let mut scene = Scene::new(SMS);
    scene.tell(accepted());
    let click = |key: &str| told(CallEvent::Clicked { key: key.into() }, 9);
    assert!(scene.tell(click("0:1")) && scene.tell(click("0:2")) && !scene.tell(click("0:1")));
    let tally = scene.tally.messages;
    assert_eq!((tally.clicks, tally.opened, tally.parts), (2, 1, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a provider tells about a message, in any order and as often as it likes: one disposition, one outcome,
    /// and never a state left for an earlier one. The scene checks every change.
    #[test]
    fn what_is_told_of_a_message_leads_to_one_outcome(told_of in proptest::collection::vec((0..9_usize, 0..20_i64), 1..24)) {
        let mut scene = Scene::new(&format!("{SMS}[[follow_up]]\nname = 'say'\non = 'no_sms'\nspeech = 'Hello'"));
        let mut settled = None;
        for (what, second) in told_of {
            let event = match what {
                0 => CallEvent::Accepted { reference: Some("r".into()) },
                1 => delivery(DeliveryState::Queued, None),
                2 => delivery(DeliveryState::Sent, None),
                3 => delivery(DeliveryState::Delivered, None),
                4 => delivery(DeliveryState::Failed, Some(DeliveryFailure::NoSms)),
                5 => delivery(DeliveryState::Undelivered, Some(DeliveryFailure::Unreachable)),
                6 => CallEvent::Replied { id: "1".into(), text: String::new().into() },
                7 => CallEvent::Opened,
                _ => CallEvent::OptOut,
            };
            let before = scene.call.detail.message.as_ref().and_then(|message| message.delivery.clone());
            scene.tell(told(event, second));
            let after = scene.call.detail.message.as_ref().and_then(|message| message.delivery.clone());
            if let Some(before) = before {
                let after = after.unwrap();
                prop_assert!(before.state <= after.state);
                prop_assert!(!before.state.is_final() || before == after);
            }
            if settled.is_some() {
                prop_assert_eq!(outcome(&scene), settled);
            }
            settled = outcome(&scene);
        }
        let tally = scene.tally.messages;
        prop_assert!(tally.delivered + tally.undelivered + tally.failed <= 1);
        prop_assert!(scene.suppressed.len() <= 1);
    }
}
