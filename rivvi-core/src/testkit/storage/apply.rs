//! What is told about calls: `apply_calls`, `calls_of`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::{PROVIDER, Scene, assert_whole, item_id, journal_of, settling};
use crate::domain::{
    Aggregate, Call, CallDetail, CallState, Contact, ContactState, Currency, Disposition, Event, Money,
    Outcome, Personal, ProviderName, SuppressionSource,
};
use crate::machine::{CallFact, CallInput};
use crate::provider::{Answerer, CallEvent, CallRef, ProviderErrorKind};
use crate::storage::{Applied, ApplyCalls, BeginCalls, Change, Storage, TakeItems};
use crate::testkit::build::{self, TICK, fact, second, start, told, told_of};

fn ended(disposition: Disposition) -> CallEvent {
    CallEvent::Ended {
        disposition,
        reason: Some(build::UNICODE.into()),
        talk_time: Some(Duration::from_micros(1)),
    }
}

fn accepted(reference: &str) -> CallEvent {
    CallEvent::Accepted { reference: Some(reference.into()) }
}

fn by_reference(provider: &str, reference: &str) -> CallRef {
    CallRef::Provider { provider: ProviderName::new(provider), reference: reference.into() }
}

fn action(key: &str) -> CallEvent {
    let parameters = Personal::new(build::variables());
    CallEvent::Action { key: key.into(), name: "send_sms".into(), parameters }
}

fn everything() -> TakeItems {
    TakeItems { now: second(1_000_000), hold_until: second(2_000_000), limit: 10_000 }
}

/// What settling returns is committed: call, status, counts and entries; the answer holds the new state.
pub async fn change_of_a_call_is_committed(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    let contact = scene.contact(storage, 1).await;
    let now = second(30) + TICK;
    let input = told(&call, ended(Disposition::AnsweredHuman));
    let expected = settling(&scene.terms(), now)(&contact, &call, &input).expect("it changes the call");

    let applied = scene.apply_at(storage, vec![input], now).await;
    let after = *expected.call.clone().unwrap();
    assert_eq!(
        applied,
        [Applied::Changed { call: Box::new(after.clone()), status: expected.status.clone() }]
    );
    assert_eq!(scene.call(storage, call.id).await, after);
    assert_eq!((after.ended_at, after.disposition()), (Some(start()), Some(Disposition::AnsweredHuman)));
    assert_eq!(scene.contact(storage, 1).await.status, expected.status);
    let entries = journal_of(storage, Aggregate::Contact(contact.id)).await;
    let told: Vec<_> = entries.into_iter().skip(2).map(|e| (e.sequence, e.at, e.event)).collect();
    let events: Vec<_> = (3..).zip(expected.events).map(|(sequence, event)| (sequence, now, event)).collect();
    assert_eq!(told, events);
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.calling, tally.settled(), tally.live_calls_max), (0, 1, 1));
    assert_eq!(tally.dispositions, BTreeMap::from([(Disposition::AnsweredHuman, 1)]));
    let facts = storage.ledger.number_facts(call.org_id, call.number, now).await.unwrap();
    assert_eq!((facts.attempts, facts.live_call), (vec![start()], None));
    assert_whole(storage, scene.run.id).await;
}

/// Settling is asked with contact, call and input as they stand; `None` changes nothing.
pub async fn input_that_tells_nothing_new_changes_nothing(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    scene.add(storage, vec![build::rich_contact(&scene.run, 1)]).await;
    let call = scene.begin_all(storage).await.remove(0);
    let contact = scene.contact(storage, 1).await;
    let input = told(&call, CallEvent::Ringing);
    let asked = Mutex::new(Vec::new());
    let look = |contact: &Contact, call: &Call, input: &CallInput| {
        asked.lock().unwrap().push((contact.clone(), call.clone(), input.clone()));
        None
    };
    let request =
        ApplyCalls { inputs: vec![input.clone()], now: start(), keep_unmatched_until: Some(second(60)) };
    assert_eq!(storage.ledger.apply_calls(request, &look).await.unwrap(), [Applied::Unchanged]);
    assert_eq!(asked.into_inner().unwrap().pop(), Some((contact.clone(), call.clone(), input)));
    assert_eq!(scene.contact(storage, 1).await, contact);
    assert_eq!(scene.call(storage, call.id).await, call);
    assert_eq!(storage.ledger.take_inbox(everything()).await.unwrap(), [], "its call is known");
    assert_whole(storage, scene.run.id).await;
}

/// A call is found by the provider's id once that is known, and only by the id of its own provider.
pub async fn call_is_found_by_the_reference_of_its_provider(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    let calls = scene.begin_all(storage).await;
    let reference = format!("ref-{}", build::UNICODE);
    let ringing = || told_of(by_reference(PROVIDER, &reference), CallEvent::Ringing);
    assert_eq!(scene.apply(storage, vec![ringing()]).await, [Applied::Unmatched]);
    scene.apply_all(storage, vec![told(&calls[1], accepted(&reference))]).await;
    let of_other = told_of(by_reference("other", &reference), CallEvent::Ringing);
    assert_eq!(scene.apply(storage, vec![of_other]).await, [Applied::Unmatched]);
    scene.apply_all(storage, vec![ringing()]).await;
    assert_eq!(scene.call(storage, calls[1].id).await.state, CallState::Ringing);
    assert_eq!(scene.call(storage, calls[0].id).await, calls[0]);
    assert_eq!(scene.call(storage, calls[1].id).await.provider_ref, Some(reference));
    assert_whole(storage, scene.run.id).await;
}

/// Inputs of one batch take effect in their order, each seeing those before, also by a reference learnt in the batch.
pub async fn inputs_of_a_batch_see_those_before(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    let calls = scene.begin_all(storage).await;
    let by_ref = |event| told_of(by_reference(PROVIDER, "ref-1"), event);
    let applied = scene
        .apply(
            storage,
            vec![
                by_ref(CallEvent::Ringing),
                told(&calls[0], accepted("ref-1")),
                told(&calls[1], CallEvent::Ringing),
                by_ref(CallEvent::Ringing),
                by_ref(CallEvent::Ringing),
                told(&calls[0], CallEvent::Answered { by: Answerer::Machine }),
                by_ref(ended(Disposition::AnsweredHuman)),
                told(&calls[0], ended(Disposition::Busy)),
            ],
        )
        .await;
    let told: Vec<_> = applied
        .iter()
        .map(|applied| match applied {
            Applied::Changed { call, .. } => Some(call.state),
            Applied::Unchanged => None,
            Applied::Unmatched => Some(CallState::Unknown),
        })
        .collect();
    let over = CallState::Ended { disposition: Disposition::Voicemail };
    let expected = [
        Some(CallState::Unknown),
        Some(CallState::Placed),
        Some(CallState::Ringing),
        Some(CallState::Ringing),
        None,
        Some(CallState::Answered),
        Some(over),
        None,
    ];
    assert_eq!(told, expected);
    let entries = journal_of(storage, Aggregate::Contact(calls[0].contact_id)).await;
    let names: Vec<&str> = entries.iter().map(|entry| entry.event.name()).collect();
    let expected = [
        "contact_imported",
        "call_intended",
        "call_placed",
        "call_ringing",
        "call_answered",
        "call_ended",
        "contact_settled",
    ];
    assert_eq!(names, expected);
    assert_whole(storage, scene.run.id).await;
}

/// The same update applied again changes nothing, however often it comes.
pub async fn repeated_updates_take_effect_once(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    let inputs = vec![
        told(&call, accepted("ref-1")),
        told(&call, action("key-1")),
        told(&call, CallEvent::OptOut),
        told(&call, ended(Disposition::AnsweredHuman)),
    ];
    scene.apply_all(storage, inputs.clone()).await;
    let (contact, tally) =
        (scene.contact(storage, 1).await, storage.ledger.tally(scene.run.id).await.unwrap());
    for _ in 0..3 {
        let applied = scene.apply(storage, inputs.clone()).await;
        assert!(applied.iter().all(|applied| *applied == Applied::Unchanged), "{applied:?}");
    }
    assert_eq!(scene.contact(storage, 1).await, contact);
    assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap(), tally);
    assert_eq!(storage.ledger.take_outbox(everything()).await.unwrap().len(), 1);
    assert_whole(storage, scene.run.id).await;
}

/// An update of an unknown call is kept once, however often it comes, and only if that is asked for.
pub async fn update_of_an_unknown_call_is_kept_once_if_asked_for(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    let unknown = told_of(CallRef::Id(build::unknown_call_id(1)), action(build::UNICODE));
    let by_ref = told_of(by_reference(PROVIDER, "ref-9"), CallEvent::Ringing);
    let inputs = vec![unknown.clone(), told(&call, CallEvent::Ringing), by_ref.clone(), unknown.clone()];
    let terms = scene.terms();
    let settle = settling(&terms, start());

    let request = ApplyCalls { inputs, now: second(5), keep_unmatched_until: None };
    let applied = storage.ledger.apply_calls(request.clone(), &settle).await.unwrap();
    let matched: Vec<bool> = applied.iter().map(|applied| *applied != Applied::Unmatched).collect();
    assert_eq!(matched, [false, true, false, false]);
    assert_eq!(storage.ledger.take_inbox(everything()).await.unwrap(), [], "nobody asked to keep them");

    for later in 0..3 {
        let now = second(5 + later) + TICK;
        let request = ApplyCalls { now, keep_unmatched_until: Some(second(900) + TICK), ..request.clone() };
        let applied = storage.ledger.apply_calls(request, &settle).await.unwrap();
        let unmatched = applied.iter().filter(|applied| **applied == Applied::Unmatched).count();
        assert_eq!(unmatched, 3);
    }
    let kept = storage.ledger.take_inbox(everything()).await.unwrap();
    assert_eq!(kept.len(), 2, "each update is kept once");
    for input in [unknown, by_ref] {
        let item = kept.iter().find(|item| item.update.call == input.call).expect("it is kept");
        assert_eq!(CallInput::from(item.update.clone()), input);
        assert_eq!((item.received_at, item.expires_at), (second(5) + TICK, second(900) + TICK));
    }
    assert_whole(storage, scene.run.id).await;
}

/// Facts that did not come from a provider are not kept when their call is unknown.
pub async fn facts_about_unknown_calls_are_not_kept(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = CallRef::Id(build::unknown_call_id(1));
    let facts = [
        CallFact::NotFound { token: 1 },
        CallFact::GivenUp { token: 1 },
        CallFact::NotPlaced { token: 1, kind: ProviderErrorKind::Timeout, retry_after: None },
        CallFact::NoAnswer { token: 1, kind: ProviderErrorKind::Timeout, check_at: second(60) },
    ];
    let inputs: Vec<_> = facts.into_iter().map(|fact| CallInput { call: call.clone(), fact }).collect();
    let request = ApplyCalls { inputs, now: start(), keep_unmatched_until: Some(second(60)) };
    let terms = scene.terms();
    let applied = storage.ledger.apply_calls(request, &settling(&terms, start())).await.unwrap();
    assert_eq!(applied, vec![Applied::Unmatched; 4]);
    assert_eq!(storage.ledger.take_inbox(everything()).await.unwrap(), []);
}

/// A call that was proved not to have been placed is no attempt at its number.
pub async fn call_that_was_not_placed_is_no_attempt(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let number = build::number(7);
    let other = scene.sibling(storage, 2, 0).await;
    other.add(storage, vec![Contact { number, ..build::contact(&other.run, 1) }]).await;
    let earlier = other.begin(storage, other.request()).await.calls.remove(0).0;
    other.apply_all(storage, vec![told(&earlier, ended(Disposition::Busy))]).await;
    scene.add(storage, vec![Contact { number, ..build::contact(&scene.run, 1) }]).await;

    let call = scene.begin(storage, scene.request_at(second(9))).await.calls.remove(0).0;
    let facts = async || storage.ledger.number_facts(call.org_id, number, second(9)).await.unwrap();
    assert_eq!(facts().await.attempts, [start(), second(9)]);
    let kind = ProviderErrorKind::Unavailable;
    let not_placed = CallFact::NotPlaced { token: 1, kind, retry_after: None };
    scene.apply_all(storage, vec![fact(&call, not_placed)]).await;
    assert_eq!((facts().await.attempts, facts().await.live_call), (vec![start()], None));
    let contact = scene.contact(storage, 1).await;
    assert_eq!(contact.status.attempts, 0);
    assert!(matches!(contact.status.state, ContactState::Waiting { .. }), "it is tried again");
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!(tally.dispositions, BTreeMap::from([(Disposition::NotPlaced, 1)]));

    let again = scene.begin(storage, scene.request_at(second(86_400))).await.calls.remove(0).0;
    assert_eq!(again.attempt, 1, "the attempt that was none is not counted");
    let calls = storage.ledger.calls_of(&[contact.id]).await.unwrap();
    assert_eq!(calls.iter().map(|call| call.id).collect::<Vec<_>>(), [call.id, again.id]);
    assert_whole(storage, scene.run.id).await;
    assert_whole(storage, other.run.id).await;
}

/// A suppression in a change is on the list with the same commit, merged with what was there, without an entry of the
/// organization.
pub async fn opt_out_suppresses_the_number_at_once(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    let same_number = scene.sibling(storage, 2, 0).await;
    let begun = scene.begin(storage, BeginCalls { calls_max: 1, ..scene.request() }).await;
    let call = &begun.calls[0].0;
    let known = crate::domain::Suppression {
        added_at: second(-900),
        expires_at: Some(second(900)),
        ..build::suppression(call.org_id, call.number)
    };
    storage.ledger.suppress(vec![known]).await.unwrap();
    let organization = Aggregate::Organization(call.org_id);
    let entries = journal_of(storage, organization).await.len();

    scene.apply_all(storage, vec![told(call, CallEvent::OptOut)]).await;
    let facts = storage.ledger.number_facts(call.org_id, call.number, start()).await.unwrap();
    let entry = facts.suppression.expect("the number is suppressed");
    assert_eq!(entry.source, SuppressionSource::OptOut);
    assert_eq!((entry.added_at, entry.expires_at), (second(-900), None));
    assert_eq!(journal_of(storage, organization).await.len(), entries);
    let own = journal_of(storage, Aggregate::Contact(call.contact_id)).await;
    assert!(own.iter().any(|entry| entry.event == Event::OptedOut { call_id: call.id }));

    scene.apply_all(storage, vec![told(call, ended(Disposition::NoAnswer))]).await;
    let contact = Contact { number: call.number, ..build::contact(&same_number.run, 1) };
    same_number.add(storage, vec![contact]).await;
    let begun = same_number.begin_by_policy(storage, same_number.request()).await;
    assert_eq!((begun.calls.len(), begun.taken), (0, 1));
    assert_whole(storage, scene.run.id).await;
    assert_whole(storage, same_number.run.id).await;
}

/// Actions in a change wait in the outbox, to the byte, from the instant of the change on.
pub async fn actions_of_a_change_wait_in_the_outbox(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    let calls = scene.begin_all(storage).await;
    let inputs: Vec<_> =
        [(0, "a"), (0, "b"), (1, "a")].map(|(call, key)| told(&calls[call], action(key))).into();
    let now = second(9) + TICK;
    scene.apply_at(storage, inputs.clone(), now).await;
    let take = |now| TakeItems { now, hold_until: second(60), limit: 10 };
    assert_eq!(storage.ledger.take_outbox(take(now - TICK)).await.unwrap(), []);
    let items = storage.ledger.take_outbox(take(now)).await.unwrap();
    assert_eq!(items.len(), 3);
    for (input, call) in inputs.iter().zip([&calls[0], &calls[0], &calls[1]]) {
        let item = items.iter().find(|item| item.id == item_id(call.id, input)).expect("it waits");
        assert_eq!((item.org_id, item.run_id), (call.org_id, call.run_id));
        assert_eq!((item.contact_id, item.call_id), (call.contact_id, Some(call.id)));
        assert_eq!((item.action.as_str(), item.created_at), ("send_sms", now));
        assert_eq!(*item.parameters.expose(), build::variables());
    }
    assert_whole(storage, scene.run.id).await;
}

/// What comes after the end enriches the call, to the byte, and leaves its disposition, its contact and the counts.
pub async fn late_analysis_enriches_a_call_that_ended(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    scene.apply_all(storage, vec![told(&call, ended(Disposition::Voicemail))]).await;
    let (before, tally) =
        (scene.contact(storage, 1).await, storage.ledger.tally(scene.run.id).await.unwrap());
    let detail = CallDetail {
        talk_time: Some(Duration::from_nanos(1_234_567_890_123)),
        provider_reason: Some(build::UNICODE.into()),
        cost: Some(Money { micros: -9_007_199_254_740_993, currency: Currency::new("ILS").unwrap() }),
        recording_url: Some(Personal::new("https://example.com/ü?a=1&b=%20".into())),
        transcript: Some(Personal::new(build::UNICODE.repeat(1_000))),
        analysis: Some(Personal::new(serde_json::json!({
            "größe": [1.5, null, true, u64::MAX, i64::MIN], "": { "שלום": build::UNICODE }
        }))),
        ..CallDetail::default()
    };
    let late = told(&call, CallEvent::Enriched { detail: Box::new(detail.clone()) });
    scene.apply_all(storage, vec![late.clone()]).await;

    let after = scene.call(storage, call.id).await;
    assert_eq!(after.disposition(), Some(Disposition::Voicemail));
    assert_eq!(after.detail.talk_time, detail.talk_time);
    assert_eq!(after.detail.cost, detail.cost);
    assert_eq!(
        after.detail.transcript.as_ref().map(Personal::expose),
        detail.transcript.as_ref().map(Personal::expose)
    );
    assert_eq!(
        after.detail.analysis.as_ref().map(Personal::expose),
        detail.analysis.as_ref().map(Personal::expose)
    );
    assert_eq!(after.detail, CallDetail { applied: after.detail.applied.clone(), ..detail });
    let contact = scene.contact(storage, 1).await;
    assert_eq!(
        (contact.status.state, contact.status.sequence),
        (before.status.state, before.status.sequence + 1)
    );
    assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap(), tally);
    assert_eq!(scene.apply(storage, vec![late]).await, [Applied::Unchanged]);
    assert_whole(storage, scene.run.id).await;
}

/// A contact that waits for its next call is not moved by late news of the one before, whose effects still count.
pub async fn late_inputs_to_an_earlier_call_leave_its_contact(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let first = scene.begin_all(storage).await.remove(0);
    scene.apply_all(storage, vec![told(&first, ended(Disposition::Canceled))]).await;
    let waiting = scene.contact(storage, 1).await;
    assert!(matches!(waiting.status.state, ContactState::Waiting { .. }));
    scene.apply_all(storage, vec![told(&first, action("late"))]).await;
    assert_eq!(scene.contact(storage, 1).await.status.state, waiting.status.state);

    let second_call = scene.begin(storage, scene.request_at(second(60))).await.calls.remove(0).0;
    let late = vec![
        told(&first, ended(Disposition::AnsweredHuman)),
        told(&first, CallEvent::OptOut),
        fact(&first, CallFact::GivenUp { token: first.lease.token }),
    ];
    scene.apply(storage, late).await;
    let calling = scene.contact(storage, 1).await;
    assert_eq!(calling.status.state, ContactState::Calling { call_id: second_call.id });
    assert_eq!(scene.call(storage, first.id).await.disposition(), Some(Disposition::Canceled));
    let facts = storage.ledger.number_facts(first.org_id, first.number, second(60)).await.unwrap();
    assert!(facts.suppression.is_some(), "an opt-out counts however late");
    assert_eq!(facts.live_call, Some(second_call.id));
    assert_eq!(storage.ledger.take_outbox(everything()).await.unwrap().len(), 1);
    assert_whole(storage, scene.run.id).await;
}

/// A settled contact keeps its outcome whatever its calls still tell.
pub async fn late_inputs_leave_a_settled_contact_settled(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    scene.apply_all(storage, vec![fact(&call, CallFact::GivenUp { token: call.lease.token })]).await;
    let settled = ContactState::Settled { outcome: Outcome::Unknown, exclusion: None, at: start() };
    assert_eq!(scene.contact(storage, 1).await.status.state, settled);
    let late = vec![
        told(&call, CallEvent::Ringing),
        told(&call, ended(Disposition::AnsweredHuman)),
        told(&call, CallEvent::Callback { at: second(900) }),
    ];
    scene.apply(storage, late).await;
    assert_eq!(scene.contact(storage, 1).await.status.state, settled);
    assert_eq!(scene.call(storage, call.id).await.disposition(), Some(Disposition::Unknown));
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!(tally.dispositions, BTreeMap::from([(Disposition::Unknown, 1)]));
    assert_eq!((tally.waiting, tally.calling, tally.settled()), (0, 0, 1));
    assert_whole(storage, scene.run.id).await;
}

/// A call that ends with a callback has its contact wait until then.
pub async fn contact_waits_for_its_callback(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    let at = second(7_200) + TICK;
    let inputs =
        vec![told(&call, CallEvent::Callback { at }), told(&call, ended(Disposition::AnsweredHuman))];
    scene.apply_all(storage, inputs).await;
    assert_eq!(scene.contact(storage, 1).await.status.state, ContactState::Waiting { due_at: at });
    assert_eq!(storage.ledger.next_due(&[scene.run.id]).await.unwrap(), Some(at));
    let early = scene.begin_by_policy(storage, scene.request_at(at - TICK)).await;
    assert_eq!(early.taken, 0);
    let begun = scene.begin_by_policy(storage, scene.request_at(at)).await;
    assert_eq!(begun.calls[0].0.attempt, 2);
    assert_whole(storage, scene.run.id).await;
}

/// One batch may hold inputs of calls of several runs and organizations.
pub async fn batch_may_hold_calls_of_several_runs(storage: &Storage) {
    let scenes = [Scene::active(storage, 1, 2).await, Scene::active(storage, 2, 2).await];
    let mut inputs = Vec::new();
    for scene in &scenes {
        for call in scene.begin_all(storage).await {
            inputs.push(told(&call, ended(Disposition::AnsweredHuman)));
        }
    }
    inputs.swap(0, 3);
    scenes[0].apply_all(storage, inputs).await;
    for scene in &scenes {
        assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap().settled(), 2);
        assert_whole(storage, scene.run.id).await;
    }
}

/// A change may put the contact and its call wherever the domain allows; the store adds no rule of its own.
pub async fn change_is_committed_as_it_is(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    let changed = |contact: &Contact, call: &Call, _: &CallInput| {
        let mut status = contact.status.clone();
        status.last_disposition = Some(Disposition::Rejected);
        status.not_placed = 3;
        let call = Call { check_at: Some(second(40) + TICK), ..call.clone() };
        let (attempt, suppress) = (None, None);
        Some(Change {
            status,
            call: Some(Box::new(call)),
            attempt,
            suppress,
            outbox: vec![],
            events: vec![],
            at: start(),
        })
    };
    let request = ApplyCalls {
        inputs: vec![told(&call, CallEvent::Ringing)],
        now: start(),
        keep_unmatched_until: None,
    };
    storage.ledger.apply_calls(request, &changed).await.unwrap();
    let contact = scene.contact(storage, 1).await;
    assert_eq!(
        (contact.status.last_disposition, contact.status.not_placed),
        (Some(Disposition::Rejected), 3)
    );
    let stored = scene.call(storage, call.id).await;
    assert_eq!(stored, Call { check_at: Some(second(40) + TICK), ..call });
    assert_eq!(storage.ledger.next_due(&[]).await.unwrap(), Some(second(40) + TICK));
    assert_whole(storage, scene.run.id).await;
}

/// The calls of contacts come in the order of the contacts, those of one contact oldest first.
pub async fn calls_of_contacts_come_in_their_order(storage: &Storage) {
    let scene = Scene::active(storage, 1, 3).await;
    let mut expected: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for round in 0..3 {
        let begun = scene.begin(storage, scene.request_at(second(round * 60))).await;
        let calls: Vec<Call> = begun.calls.into_iter().map(|(call, _)| call).collect();
        for (row, call) in (1..).zip(&calls) {
            expected.entry(row).or_default().push(call.id);
        }
        scene
            .apply_all(storage, calls.iter().map(|call| told(call, ended(Disposition::Canceled))).collect())
            .await;
    }
    let asked = [3, 9, 1].map(|row| scene.contact_id(row));
    let found = storage.ledger.calls_of(&asked).await.unwrap();
    let ids: Vec<_> = found.iter().map(|call| call.id).collect();
    assert_eq!(ids, [&expected[&3][..], &expected[&1][..]].concat());
    assert_eq!(storage.ledger.calls_of(&[]).await.unwrap(), []);
    assert_whole(storage, scene.run.id).await;
}

/// Nothing applied is nothing changed.
pub async fn empty_batch_of_inputs_changes_nothing(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    assert_eq!(scene.apply(storage, Vec::new()).await, []);
    assert_whole(storage, scene.run.id).await;
}

/// A batch of 2,000 inputs is applied as one, each answered in its place.
pub async fn large_batch_of_inputs_is_applied(storage: &Storage) {
    let scene = Scene::active(storage, 1, 500).await;
    let calls = scene.begin_all(storage).await;
    let mut inputs = Vec::new();
    for event in [
        accepted("x"),
        CallEvent::Ringing,
        CallEvent::Answered { by: Answerer::Human },
        ended(Disposition::AnsweredHuman),
    ] {
        for (index, call) in calls.iter().enumerate() {
            let event = match &event {
                CallEvent::Accepted { .. } => accepted(&format!("ref-{index}")),
                other => other.clone(),
            };
            inputs.push(told(call, event));
        }
    }
    assert_eq!(inputs.len(), 2_000);
    let applied = scene.apply(storage, inputs.clone()).await;
    for (input, applied) in inputs.iter().zip(&applied) {
        let Applied::Changed { call, .. } = applied else { panic!("{input:?} changed nothing") };
        assert_eq!(input.call, CallRef::Id(call.id));
    }
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!(tally.dispositions, BTreeMap::from([(Disposition::AnsweredHuman, 500)]));
    assert_eq!((tally.settled(), tally.live_calls_max), (500, 500));
    assert_whole(storage, scene.run.id).await;
}
