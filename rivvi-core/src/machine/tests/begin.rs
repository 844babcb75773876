//! What becomes of a contact that is due.

use super::fixture::{LEGAL, at, contact, draft, intent};
use crate::domain::{CallState, ContactState, Disposition, Event, Exclusion, Medium, Outcome};
use crate::machine::{begin, withdraw};
use crate::policy::Decision;
use crate::storage::AttemptChange;

fn decisions() -> [Decision; 3] {
    [
        Decision::Allow { until: at(LEGAL) },
        Decision::Defer { until: at(60), rule: "calling_window", reason: "closed".into() },
        Decision::Never {
            outcome: Outcome::Excluded,
            exclusion: Some(Exclusion::Suppressed),
            rule: "suppression",
            reason: "listed".into(),
        },
    ]
}

#[test]
fn an_allowed_contact_is_called() {
    let mut contact = contact(&draft(""));
    contact.status.attempts = 2;
    contact.status.sequence = 7;
    let [allow, ..] = decisions();
    let change = begin(&contact, allow, at(5), || intent(4));

    let call = change.call.unwrap();
    assert_eq!((call.state, call.attempt, call.dial_before), (CallState::Intended, 3, at(LEGAL)));
    assert_eq!((call.intended_at, call.check_at), (at(5), Some(call.lease.until)));
    assert_eq!((call.contact_id, call.number), (contact.id, contact.number));
    assert_eq!(change.status.state, ContactState::Calling { call_id: call.id });
    assert_eq!((change.status.attempts, change.status.sequence), (3, 8));
    assert_eq!(change.attempt, Some(AttemptChange::Add(at(5))));
    let intended =
        Event::CallIntended { call_id: call.id, attempt: 3, legal_until: at(LEGAL), medium: Medium::Voice };
    assert_eq!((change.events, change.at), (vec![intended], at(5)));
}

#[test]
fn a_deferred_contact_waits_without_an_attempt() {
    let contact = contact(&draft(""));
    let [_, defer, _] = decisions();
    let change = begin(&contact, defer, at(5), || panic!("no call is made"));
    assert_eq!(change.status.state, ContactState::Waiting { due_at: at(60) });
    assert_eq!((change.status.attempts, change.attempt, change.call), (0, None, None));
    let rule = "calling_window".into();
    let deferred = Event::ContactDeferred { until: at(60), rule, reason: "closed".into() };
    assert_eq!(change.events, [deferred]);
}

#[test]
fn a_refused_contact_is_settled() {
    let contact = contact(&draft(""));
    let [.., never] = decisions();
    let change = begin(&contact, never, at(5), || panic!("no call is made"));
    let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::Suppressed));
    assert_eq!(change.status.state, ContactState::Settled { outcome, exclusion, at: at(5) });
    assert_eq!((change.attempt, change.call), (None, None));
    let rule = "suppression".into();
    let settled = Event::ContactSettled { outcome, exclusion, rule, reason: "listed".into() };
    assert_eq!(change.events, [settled]);
}

#[test]
fn a_contact_that_waits_is_withdrawn_when_its_run_ends() {
    let contact = contact(&draft(""));
    let change = withdraw(&contact, Outcome::Expired, "run_end", "over", at(5));
    let (outcome, exclusion) = (Outcome::Expired, None);
    assert_eq!(change.status.state, ContactState::Settled { outcome, exclusion, at: at(5) });
    assert_eq!(change.status.sequence, 1);
    let settled = Event::ContactSettled { outcome, exclusion, rule: "run_end".into(), reason: "over".into() };
    assert_eq!(change.events, [settled]);
}

#[test]
fn a_contact_that_does_not_wait_is_left_alone() {
    let mut contact = contact(&draft(""));
    let outcome = Outcome::Completed;
    for state in [
        ContactState::Calling { call_id: intent(4).call_id },
        ContactState::Settled { outcome, exclusion: None, at: at(0) },
    ] {
        contact.status.state = state;
        contact.status.last_disposition = Some(Disposition::Busy);
        let begun =
            decisions().map(|decision| begin(&contact, decision, at(5), || panic!("no call is made")));
        let withdrawn = withdraw(&contact, Outcome::Expired, "run_end", "over", at(5));
        for change in begun.into_iter().chain([withdrawn]) {
            assert_eq!(change.status, contact.status);
            assert_eq!((change.call, change.attempt, change.events), (None, None, Vec::new()));
        }
    }
}
