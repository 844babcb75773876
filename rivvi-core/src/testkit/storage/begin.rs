//! Claim, checks and intent: `begin_calls`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Scene, allow, assert_whole, decided, defer, journal_of};
use crate::domain::{
    Aggregate, CallState, Contact, ContactState, ContactStatus, Disposition, Event, Exclusion, Outcome,
    Priority, Run, RunState,
};
use crate::policy::{Decision, NumberFacts};
use crate::provider::CallEvent;
use crate::storage::{BeginCalls, Begun, Limited, RunChange, RunFacts, Storage};
use crate::testkit::build::{self, TICK, second, start};

/// Contacts are taken by priority, then by due time, then by id.
pub async fn calls_follow_priority_then_due_time_then_id(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let row = |row, priority, due_at| {
        let contact = build::contact(&scene.run, row);
        Contact { priority: Priority::new(priority).unwrap(), status: ContactStatus::new(due_at), ..contact }
    };
    let batch = vec![
        row(1, 5, second(-900)),
        row(2, 3, second(-10)),
        row(3, 3, second(-10) - TICK),
        row(4, 1, start()),
        row(5, 3, second(-10)),
        row(6, 1, start() - TICK),
        row(7, 2, start()),
        row(8, 4, second(-100_000_000)),
        row(9, 1, start() - TICK),
    ];
    scene.add(storage, batch).await;
    let mut order = Vec::new();
    for calls_max in [4, 1, 2, 9] {
        let begun = scene.begin(storage, BeginCalls { calls_max, ..scene.request() }).await;
        order.extend(begun.calls.iter().map(|(_, contact)| contact.row));
    }
    assert_eq!(order, [6, 9, 4, 7, 3, 2, 5, 8, 1]);
    assert_whole(storage, scene.run.id).await;
}

/// A contact is due at its instant, not a microsecond before.
pub async fn contacts_are_taken_when_they_are_due_and_not_before(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let mut contact = build::contact(&scene.run, 1);
    contact.priority = Priority::FIRST;
    contact.status = ContactStatus::new(second(60));
    scene.add(storage, vec![contact, build::contact(&scene.run, 2)]).await;

    let before = scene.begin(storage, scene.request_at(second(60) - TICK)).await;
    assert_eq!(before.calls.iter().map(|(_, contact)| contact.row).collect::<Vec<_>>(), [2]);
    assert_eq!((before.taken, before.limited), (1, Some(Limited::NothingDue)));
    let at = scene.begin(storage, scene.request_at(second(60))).await;
    assert_eq!(at.calls.iter().map(|(_, contact)| contact.row).collect::<Vec<_>>(), [1]);
    assert_whole(storage, scene.run.id).await;
}

/// An allowed contact is called: call, status, attempt, counts and entry are committed together and returned.
pub async fn allowed_contact_is_called(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    scene.add(storage, vec![build::rich_contact(&scene.run, 1)]).await;
    let before = scene.contact(storage, 1).await;
    let now = second(3) + TICK;
    let begun = scene.begin(storage, scene.request_at(now)).await;

    let change = allow(&before, now);
    let call = *change.call.clone().unwrap();
    let after = Contact { status: change.status.clone(), ..before };
    assert_eq!(
        begun,
        Begun { calls: vec![(call.clone(), after.clone())], taken: 1, limited: Some(Limited::NothingDue) }
    );
    assert_eq!(after.status.state, ContactState::Calling { call_id: call.id });
    assert_eq!(scene.contact(storage, 1).await, after);
    assert_eq!(scene.call(storage, call.id).await, call);
    let calls = storage.ledger.calls_of(&[after.id]).await.unwrap();
    assert_eq!(calls, std::slice::from_ref(&call));
    let facts = storage.ledger.number_facts(after.org_id, after.number, now).await.unwrap();
    let expected = NumberFacts { attempts: vec![now], live_call: Some(call.id), suppression: None };
    assert_eq!(facts, expected);
    let entries = journal_of(storage, Aggregate::Contact(after.id)).await;
    let told: Vec<_> = entries.iter().skip(1).map(|e| (e.sequence, e.at, e.event.clone())).collect();
    assert_eq!(told, [(2, now, change.events[0].clone())]);
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.waiting, tally.calling, tally.live_calls_max), (0, 1, 1));
    assert_whole(storage, scene.run.id).await;
}

/// A contact that is put off waits until then, in the order of its new due time.
pub async fn deferred_contact_waits_until_its_new_due_time(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    let until = second(600) + TICK;
    let put_off = |contact: &Contact, _: &NumberFacts| match contact.row {
        1 => defer(contact, until, start()),
        _ => defer(contact, until - TICK, start()),
    };
    let begun = storage.ledger.begin_calls(scene.request(), &put_off).await.unwrap();
    assert_eq!(begun, Begun { calls: vec![], taken: 2, limited: Some(Limited::NothingDue) });
    let contact = scene.contact(storage, 1).await;
    assert_eq!(contact.status.state, ContactState::Waiting { due_at: until });
    assert_eq!((contact.status.sequence, contact.status.attempts), (2, 0));
    let entry = journal_of(storage, Aggregate::Contact(contact.id)).await.pop().unwrap();
    let event = Event::ContactDeferred { until, rule: "testkit".into(), reason: "put off".into() };
    assert_eq!((entry.sequence, entry.at, entry.event), (2, start(), event));
    assert_whole(storage, scene.run.id).await;

    let early = scene.begin(storage, scene.request_at(until - TICK - TICK)).await;
    assert_eq!((early.taken, early.limited), (0, Some(Limited::NothingDue)));
    let due = scene.begin(storage, scene.request_at(until)).await;
    assert_eq!(due.calls.iter().map(|(_, contact)| contact.row).collect::<Vec<_>>(), [2, 1]);
    assert_whole(storage, scene.run.id).await;
}

/// A contact that is never to be called is settled and not taken again.
pub async fn refused_contact_is_settled(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let refuse = |contact: &Contact, _: &NumberFacts| {
        let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::HostRule));
        let decision = Decision::Never { outcome, exclusion, rule: "host", reason: build::UNICODE.into() };
        decided(contact, decision, second(1))
    };
    let begun = storage.ledger.begin_calls(scene.request(), &refuse).await.unwrap();
    assert_eq!(begun, Begun { calls: vec![], taken: 1, limited: Some(Limited::NothingDue) });
    let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::HostRule));
    let contact = scene.contact(storage, 1).await;
    assert_eq!(contact.status.state, ContactState::Settled { outcome, exclusion, at: second(1) });
    let entry = journal_of(storage, Aggregate::Contact(contact.id)).await.pop().unwrap();
    let event =
        Event::ContactSettled { outcome, exclusion, rule: "host".into(), reason: build::UNICODE.into() };
    assert_eq!((entry.sequence, entry.at, entry.event), (2, second(1), event));
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!(tally.outcomes.get(&outcome), Some(&1));
    assert_eq!(tally.exclusions.get(&Exclusion::HostRule), Some(&1));
    let again = scene.begin(storage, scene.request_at(second(1_000_000))).await;
    assert_eq!(again.taken, 0);
    assert_eq!(storage.ledger.next_due(&[scene.run.id]).await.unwrap(), None);
    assert_whole(storage, scene.run.id).await;
}

/// What is decided sees the contact as it stands and the facts of its number.
pub async fn decision_sees_the_contact_as_it_stands(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    scene.add(storage, vec![build::rich_contact(&scene.run, 1)]).await;
    let put_off = |contact: &Contact, _: &NumberFacts| defer(contact, second(5), start());
    storage.ledger.begin_calls(scene.request(), &put_off).await.unwrap();
    let stored = scene.contact(storage, 1).await;
    assert_eq!(stored.status.sequence, 2);
    let decide = |contact: &Contact, facts: &NumberFacts| {
        assert_eq!(*contact, stored);
        assert_eq!(*facts, NumberFacts::default());
        allow(contact, second(5))
    };
    let begun = storage.ledger.begin_calls(scene.request_at(second(5)), &decide).await.unwrap();
    assert_eq!(begun.calls.len(), 1);
    assert_whole(storage, scene.run.id).await;
}

/// The facts hold the attempts of all runs of the organization, in ascending order, and of no other.
pub async fn decision_sees_attempts_of_all_runs_of_the_organization(storage: &Storage) {
    let number = build::number(7);
    let scene = Scene::active(storage, 1, 0).await;
    let mut last = None;
    // The later attempt comes first: a clock of another node may run ahead.
    for (n, at) in [(2, second(-50)), (3, second(-90)), (4, second(-50) + TICK)] {
        let run = scene.sibling(storage, n, 0).await;
        let contact = Contact { number, status: ContactStatus::new(at), ..build::contact(&run.run, 1) };
        run.add(storage, vec![contact]).await;
        let begun = run.begin(storage, run.request_at(at)).await;
        let ended = CallEvent::Ended { disposition: Disposition::Busy, reason: None, talk_time: None };
        run.apply_all(storage, vec![build::told(&begun.calls[0].0, ended)]).await;
        last = Some(run);
    }
    let stranger = Scene::active(storage, 5, 0).await;
    stranger.add(storage, vec![Contact { number, ..build::contact(&stranger.run, 1) }]).await;
    stranger.begin_all(storage).await;

    scene.add(storage, vec![Contact { number, ..build::contact(&scene.run, 1) }]).await;
    let expected = vec![second(-90), second(-50), second(-50) + TICK];
    let decide = |contact: &Contact, facts: &NumberFacts| {
        assert_eq!(facts.attempts, expected);
        assert_eq!(facts.live_call, None, "a call of another organization is not seen");
        allow(contact, start())
    };
    assert_eq!(storage.ledger.begin_calls(scene.request(), &decide).await.unwrap().calls.len(), 1);
    for scene in [&scene, &stranger, last.as_ref().unwrap()] {
        assert_whole(storage, scene.run.id).await;
    }
}

/// The facts hold the live call of the number, in whatever run of the organization, until it ends.
pub async fn decision_sees_the_live_call_of_another_run(storage: &Storage) {
    let number = build::number(7);
    let one = Scene::active(storage, 1, 0).await;
    let other = one.sibling(storage, 2, 0).await;
    for scene in [&one, &other] {
        scene.add(storage, vec![Contact { number, ..build::contact(&scene.run, 1) }]).await;
    }
    let call = one.begin_all(storage).await.remove(0);
    let busy = |contact: &Contact, facts: &NumberFacts| {
        assert_eq!(facts.live_call, Some(call.id));
        defer(contact, second(5), start())
    };
    assert_eq!(storage.ledger.begin_calls(other.request(), &busy).await.unwrap().taken, 1);
    let ended = CallEvent::Ended { disposition: Disposition::Busy, reason: None, talk_time: None };
    one.apply_all(storage, vec![build::told(&call, ended)]).await;
    let free = |contact: &Contact, facts: &NumberFacts| {
        assert_eq!(facts.live_call, None);
        allow(contact, second(5))
    };
    assert_eq!(storage.ledger.begin_calls(other.request_at(second(5)), &free).await.unwrap().calls.len(), 1);
    assert_whole(storage, one.run.id).await;
    assert_whole(storage, other.run.id).await;
}

/// The facts hold the number's entry of the suppression list, lapsed or not; the policy then refuses it for good, puts
/// it off, or lets it through.
pub async fn decision_sees_the_suppression_list(storage: &Storage) {
    let scene = Scene::active(storage, 1, 4).await;
    let entry = |row, seconds: Option<i64>| {
        let entry = build::suppression(scene.organization.id, build::contact(&scene.run, row).number);
        crate::domain::Suppression { expires_at: seconds.map(second), ..entry }
    };
    let entries = vec![entry(1, None), entry(2, Some(60)), entry(3, Some(0))];
    storage.ledger.suppress(entries.clone()).await.unwrap();
    let seen = Mutex::new(Vec::new());
    let (terms, now) = (scene.terms(), start());
    let policy = super::by_policy(&terms, now);
    let decide = |contact: &Contact, facts: &NumberFacts| {
        seen.lock().unwrap().push((contact.row, facts.suppression.clone()));
        policy(contact, facts)
    };
    let begun = storage.ledger.begin_calls(scene.request(), &decide).await.unwrap();
    let seen = seen.into_inner().unwrap();
    for (row, entry) in (1..).zip(entries.into_iter().map(Some).chain([None])) {
        assert!(
            seen.contains(&(row, entry.clone())),
            "row {row} was decided with {entry:?}, not with {seen:?}"
        );
    }
    assert_eq!(begun.calls.iter().map(|(_, contact)| contact.row).collect::<Vec<_>>(), [3, 4]);
    let state = |row| async move { scene_state(storage, row).await };
    let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::Suppressed));
    assert_eq!(state(scene.contact_id(1)).await, ContactState::Settled { outcome, exclusion, at: start() });
    assert_eq!(state(scene.contact_id(2)).await, ContactState::Waiting { due_at: second(60) });
    assert_whole(storage, scene.run.id).await;
}

async fn scene_state(storage: &Storage, id: crate::domain::ContactId) -> ContactState {
    storage.ledger.contact(id).await.unwrap().expect("the contact exists").status.state
}

/// A suppression list is its organization's own.
pub async fn decision_does_not_see_the_suppression_list_of_another_organization(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let number = build::contact(&scene.run, 1).number;
    storage.ledger.suppress(vec![build::suppression(build::org_id(2), number)]).await.unwrap();
    let begun = scene.begin_by_policy(storage, scene.request()).await;
    assert_eq!(begun.calls.len(), 1);
}

/// Two contacts with one number in one batch: the second is decided with the first's call and attempt in sight.
pub async fn contacts_with_one_number_see_each_other(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let number = build::number(7);
    let batch =
        build::contacts(&scene.run, 3).into_iter().map(|contact| Contact { number, ..contact }).collect();
    scene.add(storage, batch).await;
    let seen = Mutex::new(Vec::new());
    let (terms, now) = (scene.terms(), start());
    let policy = super::by_policy(&terms, now);
    let decide = |contact: &Contact, facts: &NumberFacts| {
        seen.lock().unwrap().push((contact.row, facts.live_call, facts.attempts.clone()));
        policy(contact, facts)
    };
    let begun = storage.ledger.begin_calls(scene.request(), &decide).await.unwrap();
    assert_eq!((begun.calls.len(), begun.taken), (1, 3));
    let call = &begun.calls[0].0;
    let mut seen = seen.into_inner().unwrap();
    let last = seen.split_off(seen.len() - 2);
    assert_eq!(last, [(2, Some(call.id), vec![start()]), (3, Some(call.id), vec![start()])]);
    assert_whole(storage, scene.run.id).await;
}

/// What was decided about earlier contacts of the batch counts for the caps of the later ones.
pub async fn caps_hold_within_one_batch(storage: &Storage) {
    let mut scene = Scene::active(storage, 1, 0).await;
    let number = build::number(7);
    let batch =
        build::contacts(&scene.run, 2).into_iter().map(|contact| Contact { number, ..contact }).collect();
    scene.add(storage, batch).await;
    let mut definition = (*scene.run.definition).clone();
    definition.caps.lifetime = std::num::NonZeroU32::new(1);
    scene.run.definition = definition.into();
    let begun = scene.begin_by_policy(storage, scene.request()).await;
    assert_eq!((begun.calls.len(), begun.taken), (1, 2));
    let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::Cap));
    let settled = ContactState::Settled { outcome, exclusion, at: start() };
    assert_eq!(scene.contact(storage, 2).await.status.state, settled);
    assert_whole(storage, scene.run.id).await;
}

/// A run that is not active, or does not exist, yields nothing and nobody is asked about.
pub async fn run_that_is_not_active_yields_nothing(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    let asked = AtomicU32::new(0);
    let decide = |contact: &Contact, _: &NumberFacts| {
        asked.fetch_add(1, Ordering::Relaxed);
        allow(contact, start())
    };
    let nothing = Begun { calls: vec![], taken: 0, limited: Some(Limited::NotActive) };
    for state in RunState::ALL.into_iter().filter(|state| *state != RunState::Active) {
        let set = |run: &Run, _: &RunFacts| {
            Ok(RunChange { run: Run { state, ..run.clone() }, events: vec![], at: start() })
        };
        storage.ledger.change_run(scene.run.id, &set).await.unwrap();
        let begun = storage.ledger.begin_calls(scene.request(), &decide).await.unwrap();
        assert_eq!(begun, nothing, "a run that is {state}");
    }
    let unknown = BeginCalls { run_id: build::run_id(9), ..scene.request() };
    assert_eq!(storage.ledger.begin_calls(unknown, &decide).await.unwrap(), nothing, "a run nobody created");
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap().waiting, 2);
}

/// `calls_max` bounds the calls; contacts that get none do not use it up.
pub async fn calls_max_bounds_calls_and_not_contacts(storage: &Storage) {
    let scene = Scene::active(storage, 1, 9).await;
    let every_third = |contact: &Contact, _: &NumberFacts| match contact.row % 3 {
        0 => allow(contact, start()),
        _ => defer(contact, second(60), start()),
    };
    let request = BeginCalls { calls_max: 2, ..scene.request() };
    let begun = storage.ledger.begin_calls(request, &every_third).await.unwrap();
    assert_eq!(begun.calls.iter().map(|(_, contact)| contact.row).collect::<Vec<_>>(), [3, 6]);
    assert_eq!((begun.taken, begun.limited), (6, Some(Limited::Request)));
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.waiting, tally.calling), (7, 2));
    assert_whole(storage, scene.run.id).await;
}

/// `contacts_max` bounds the contacts looked at, whatever is decided about them.
pub async fn contacts_max_bounds_contacts(storage: &Storage) {
    let scene = Scene::active(storage, 1, 9).await;
    let put_off = |contact: &Contact, _: &NumberFacts| defer(contact, second(60), start());
    let request = BeginCalls { contacts_max: 4, ..scene.request() };
    let begun = storage.ledger.begin_calls(request.clone(), &put_off).await.unwrap();
    assert_eq!(begun, Begun { calls: vec![], taken: 4, limited: Some(Limited::Request) });
    let begun = scene.begin(storage, request).await;
    assert_eq!((begun.calls.len(), begun.taken, begun.limited), (4, 4, Some(Limited::Request)));
    assert_eq!(begun.calls[0].1.row, 5);
    assert_whole(storage, scene.run.id).await;
}

/// The organization's limit counts its live calls over all runs; a call that ends gives its place back.
pub async fn organization_limit_counts_live_calls_of_all_runs(storage: &Storage) {
    let one = Scene::active(storage, 1, 9).await;
    let other = one.sibling(storage, 2, 9).await;
    let stranger = Scene::active(storage, 3, 9).await;
    stranger.begin_all(storage).await;
    let limited = |scene: &Scene, organization_limit| BeginCalls { organization_limit, ..scene.request() };

    let begun = one.begin(storage, limited(&one, 3)).await;
    assert_eq!((begun.calls.len(), begun.taken, begun.limited), (3, 3, Some(Limited::Concurrency)));
    let full = other.begin(storage, limited(&other, 3)).await;
    assert_eq!(full, Begun { calls: vec![], taken: 0, limited: Some(Limited::Concurrency) });
    let more = other.begin(storage, limited(&other, 5)).await;
    assert_eq!((more.calls.len(), more.limited), (2, Some(Limited::Concurrency)));
    let lowered = other.begin(storage, limited(&other, 1)).await;
    assert_eq!((lowered.taken, lowered.limited), (0, Some(Limited::Concurrency)));

    let ended = CallEvent::Ended { disposition: Disposition::NoAnswer, reason: None, talk_time: None };
    one.apply_all(storage, vec![build::told(&begun.calls[1].0, ended)]).await;
    let freed = other.begin(storage, limited(&other, 5)).await;
    assert_eq!((freed.calls.len(), freed.limited), (1, Some(Limited::Concurrency)));
    for scene in [&one, &other, &stranger] {
        assert_whole(storage, scene.run.id).await;
    }
}

/// The run's limit counts its own live calls only.
pub async fn run_limit_counts_live_calls_of_the_run(storage: &Storage) {
    let one = Scene::active(storage, 1, 9).await;
    let other = one.sibling(storage, 2, 9).await;
    let limited = |scene: &Scene, limit| BeginCalls { run_limit: Some(limit), ..scene.request() };
    assert_eq!(one.begin(storage, limited(&one, 4)).await.calls.len(), 4);
    let begun = other.begin(storage, limited(&other, 2)).await;
    assert_eq!((begun.calls.len(), begun.limited), (2, Some(Limited::Concurrency)));
    let full = other.begin(storage, limited(&other, 2)).await;
    assert_eq!((full.taken, full.limited), (0, Some(Limited::Concurrency)));
    assert_eq!(other.begin(storage, limited(&other, 3)).await.calls.len(), 1);
    let neither = BeginCalls { run_limit: Some(7), organization_limit: 8, ..other.request() };
    assert_eq!(other.begin(storage, neither).await.calls.len(), 1, "the organization has 7 of 8");
    assert_whole(storage, one.run.id).await;
    assert_whole(storage, other.run.id).await;
}

/// A contact that is put off or refused takes no place under a limit.
pub async fn contacts_without_a_call_take_no_place(storage: &Storage) {
    let scene = Scene::active(storage, 1, 6).await;
    let last = |contact: &Contact, _: &NumberFacts| match contact.row {
        6 => allow(contact, start()),
        _ => defer(contact, second(60), start()),
    };
    let request = BeginCalls { organization_limit: 1, ..scene.request() };
    let begun = storage.ledger.begin_calls(request, &last).await.unwrap();
    assert_eq!((begun.calls.len(), begun.taken, begun.limited), (1, 6, Some(Limited::Concurrency)));
    assert_whole(storage, scene.run.id).await;
}

/// A contact whose due time is put off only a little is taken again in a later batch, each entry after the other.
pub async fn entries_of_a_contact_continue_over_batches(storage: &Storage) {
    let scene = Scene::active(storage, 1, 3).await;
    let mut now: DateTime<Utc> = start();
    for _ in 0..5 {
        let until = now + TimeDelta::milliseconds(1);
        let put_off = |contact: &Contact, _: &NumberFacts| defer(contact, until, now);
        assert_eq!(storage.ledger.begin_calls(scene.request_at(now), &put_off).await.unwrap().taken, 3);
        now = until;
    }
    assert_eq!(scene.begin(storage, scene.request_at(now)).await.calls.len(), 3);
    assert_eq!(scene.contact(storage, 2).await.status.sequence, 7);
    assert_whole(storage, scene.run.id).await;
}

/// Calls keep the lease, the instants and the state they were intended with.
pub async fn intended_call_keeps_its_lease(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let now = second(1) + TICK;
    let call = scene.begin(storage, scene.request_at(now)).await.calls.remove(0).0;
    let stored = scene.call(storage, call.id).await;
    assert_eq!(stored.state, CallState::Intended);
    assert_eq!((stored.lease.node, stored.lease.token), (build::node_id(1), 1));
    assert_eq!(stored.lease.until, now + Duration::from_secs(60));
    assert_eq!(stored.check_at, Some(stored.lease.until));
    assert_eq!((stored.intended_at, stored.dial_before), (now, now + Duration::from_secs(3_600)));
    assert_eq!(storage.ledger.call(build::unknown_call_id(1)).await.unwrap(), None);
}

/// A batch of 2,000 calls is begun as one.
pub async fn large_batch_of_calls_is_begun(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2_000).await;
    let begun = scene.begin_by_policy(storage, scene.request()).await;
    assert_eq!((begun.calls.len(), begun.taken, begun.limited), (2_000, 2_000, Some(Limited::NothingDue)));
    let rows: Vec<u64> = begun.calls.iter().map(|(_, contact)| contact.row).collect();
    assert_eq!(rows, (1..=2_000).collect::<Vec<_>>());
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.waiting, tally.calling, tally.live_calls_max), (0, 2_000, 2_000));
    assert_whole(storage, scene.run.id).await;
}
