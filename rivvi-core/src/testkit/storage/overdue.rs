//! Calls that want to be looked after: `take_overdue`, `live_calls`, `next_due`.

use super::{Scene, allow, assert_whole, journal_of};
use crate::domain::{Aggregate, Call, CallId, Contact, ContactStatus, Disposition, Lease};
use crate::machine::CallFact;
use crate::policy::NumberFacts;
use crate::provider::{CallEvent, CallRef, ProviderErrorKind};
use crate::storage::{Applied, ApplyCalls, BeginCalls, Storage, TakeItems, TakeOverdue};
use crate::testkit::build::{self, TICK, fact, second, start, told, told_of};

fn ended() -> CallEvent {
    CallEvent::Ended { disposition: Disposition::NoAnswer, reason: None, talk_time: None }
}

fn take(now: i64, hold_until: i64) -> TakeOverdue {
    TakeOverdue { now: second(now), node: build::node_id(2), hold_until: second(hold_until), limit: 100 }
}

/// An active run with `count` calls whose `check_at` is 60 s, 59 s, 58 s … after the start.
async fn staggered(storage: &Storage, count: u64) -> (Scene, Vec<Call>) {
    let scene = Scene::active(storage, 1, count).await;
    let decide = |contact: &Contact, _: &NumberFacts| {
        let mut change = allow(contact, start());
        let call = change.call.as_mut().unwrap();
        call.check_at = Some(second(61 - i64::try_from(contact.row).unwrap()));
        change
    };
    let begun = storage.ledger.begin_calls(scene.request(), &decide).await.unwrap();
    (scene, begun.calls.into_iter().map(|(call, _)| call).collect())
}

fn ids(calls: &[Call]) -> Vec<CallId> {
    calls.iter().map(|call| call.id).collect()
}

/// Overdue calls are taken, the longest overdue first, with a lease of the taker and a greater token.
pub async fn overdue_calls_are_taken_with_a_new_lease(storage: &Storage) {
    let (scene, calls) = staggered(storage, 4).await;
    assert_eq!(
        storage.ledger.take_overdue(TakeOverdue { now: second(57) - TICK, ..take(0, 90) }).await.unwrap(),
        []
    );
    let taken = storage.ledger.take_overdue(take(59, 90)).await.unwrap();
    assert_eq!(ids(&taken), [calls[3].id, calls[2].id, calls[1].id]);
    for call in &taken {
        let before = calls.iter().find(|before| before.id == call.id).unwrap();
        let lease = Lease { node: build::node_id(2), token: before.lease.token + 1, until: second(90) };
        assert_eq!(*call, Call { lease, check_at: Some(second(90)), ..before.clone() });
        assert_eq!(scene.call(storage, call.id).await, *call);
    }
    assert_eq!(scene.call(storage, calls[0].id).await, calls[0]);
    let entries = journal_of(storage, Aggregate::Contact(calls[3].contact_id)).await;
    assert_eq!(entries.len(), 2, "taking a call is no event");
    assert_whole(storage, scene.run.id).await;
}

/// At most `limit` calls are taken, those longest overdue.
pub async fn overdue_calls_are_taken_up_to_the_limit(storage: &Storage) {
    let (scene, calls) = staggered(storage, 5).await;
    let mut order = Vec::new();
    for expected in [2, 2, 1, 0] {
        let taken = storage.ledger.take_overdue(TakeOverdue { limit: 2, ..take(60, 90) }).await.unwrap();
        assert_eq!(taken.len(), expected);
        order.extend(ids(&taken));
    }
    let mut expected = ids(&calls);
    expected.reverse();
    assert_eq!(order, expected);
    assert_whole(storage, scene.run.id).await;
}

/// A call that was taken is held until the instant given, then it is taken again.
pub async fn taken_call_is_held_and_then_comes_again(storage: &Storage) {
    let (scene, calls) = staggered(storage, 1).await;
    assert_eq!(storage.ledger.take_overdue(take(60, 90)).await.unwrap().len(), 1);
    let before = TakeOverdue { now: second(90) - TICK, ..take(90, 120) };
    assert_eq!(storage.ledger.take_overdue(before).await.unwrap(), []);
    let again =
        storage.ledger.take_overdue(TakeOverdue { node: build::node_id(3), ..take(90, 120) }).await.unwrap();
    let lease = Lease { node: build::node_id(3), token: calls[0].lease.token + 2, until: second(120) };
    assert_eq!((ids(&again), again[0].lease), (ids(&calls), lease));
    assert_whole(storage, scene.run.id).await;
}

/// A former holder is fenced out: what it claims to know about its request no longer counts.
pub async fn former_holder_is_fenced_out(storage: &Storage) {
    let (scene, calls) = staggered(storage, 1).await;
    let call = &calls[0];
    let taken = storage.ledger.take_overdue(take(60, 90)).await.unwrap().remove(0);
    let (old, new, kind) = (call.lease.token, taken.lease.token, ProviderErrorKind::Timeout);
    assert!(new > old);
    let facts = |token| {
        [
            CallFact::NotPlaced { token, kind, retry_after: None },
            CallFact::NoAnswer { token, kind, check_at: second(100) },
            CallFact::NotFound { token },
            CallFact::GivenUp { token },
        ]
    };
    let inputs = facts(old).map(|stale| fact(call, stale)).into();
    assert_eq!(scene.apply(storage, inputs).await, vec![Applied::Unchanged; 4]);
    assert_eq!(scene.call(storage, call.id).await, taken);
    let [.., not_found, _] = facts(new);
    scene.apply_all(storage, vec![fact(call, not_found)]).await;
    assert_eq!(scene.call(storage, call.id).await.disposition(), Some(Disposition::NotPlaced));
    assert_whole(storage, scene.run.id).await;
}

/// What a provider tells counts whoever holds the call.
pub async fn updates_count_whoever_holds_the_call(storage: &Storage) {
    let (scene, calls) = staggered(storage, 1).await;
    storage.ledger.take_overdue(take(60, 90)).await.unwrap();
    scene.apply_all(storage, vec![told(&calls[0], CallEvent::Ringing)]).await;
    scene.apply_all(storage, vec![told(&calls[0], ended())]).await;
    assert_whole(storage, scene.run.id).await;
}

/// A call that has ended is never overdue.
pub async fn ended_call_is_never_overdue(storage: &Storage) {
    let (scene, calls) = staggered(storage, 2).await;
    scene.apply_all(storage, vec![told(&calls[0], ended())]).await;
    let taken = storage.ledger.take_overdue(take(1_000_000, 2_000_000)).await.unwrap();
    assert_eq!(ids(&taken), [calls[1].id]);
    scene.apply_all(storage, vec![told(&calls[1], ended())]).await;
    assert_eq!(storage.ledger.take_overdue(take(3_000_000, 4_000_000)).await.unwrap(), []);
}

/// A call whose state changes is overdue at its new instant, and no longer at the old one.
pub async fn changed_call_is_overdue_at_its_new_instant(storage: &Storage) {
    let (scene, calls) = staggered(storage, 1).await;
    let (token, kind) = (calls[0].lease.token, ProviderErrorKind::Timeout);
    let check_at = second(300) + TICK;
    scene.apply_all(storage, vec![fact(&calls[0], CallFact::NoAnswer { token, kind, check_at })]).await;
    let early = TakeOverdue { now: check_at - TICK, ..take(0, 900) };
    assert_eq!(storage.ledger.take_overdue(early).await.unwrap(), []);
    let due = TakeOverdue { now: check_at, ..take(0, 900) };
    assert_eq!(ids(&storage.ledger.take_overdue(due).await.unwrap()), [calls[0].id]);
    assert_whole(storage, scene.run.id).await;
}

/// Calls of every run of every organization are looked after.
pub async fn overdue_calls_of_all_runs_are_taken(storage: &Storage) {
    let scenes = [Scene::active(storage, 1, 1).await, Scene::active(storage, 2, 1).await];
    for scene in &scenes {
        scene.begin_all(storage).await;
        scene.step(storage, crate::machine::RunInput::Cancel).await.unwrap();
    }
    assert_eq!(storage.ledger.take_overdue(take(60, 90)).await.unwrap().len(), 2);
}

/// Live calls of a run are listed in the order of their ids, page by page, until they end.
pub async fn live_calls_are_listed_page_by_page(storage: &Storage) {
    let scene = Scene::active(storage, 1, 7).await;
    let other = scene.sibling(storage, 2, 3).await;
    other.begin_all(storage).await;
    let mut calls = scene.begin_all(storage).await;
    calls.sort_by_key(|call| call.id);
    let ended_call = calls.remove(4);
    scene.apply_all(storage, vec![told(&ended_call, ended())]).await;
    let mut after = None;
    for page in [&calls[..3], &calls[3..], &[]] {
        let found = storage.ledger.live_calls(scene.run.id, after, 3).await.unwrap();
        assert_eq!(found, page);
        after = found.last().map(|call| call.id).or(after);
    }
    assert_eq!(storage.ledger.live_calls(scene.run.id, Some(ended_call.id), 100).await.unwrap(), calls[4..]);
    assert_eq!(storage.ledger.live_calls(build::run_id(9), None, 100).await.unwrap(), []);
}

/// The facts of a number: nothing for one nobody called, and each organization knows its own.
pub async fn facts_of_a_number_are_of_the_organization(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    let facts =
        async |org, number| storage.ledger.number_facts(build::org_id(org), number, start()).await.unwrap();
    let expected = NumberFacts { attempts: vec![start()], live_call: Some(call.id), suppression: None };
    assert_eq!(facts(1, call.number).await, expected);
    assert_eq!(facts(2, call.number).await, NumberFacts::default());
    assert_eq!(facts(1, build::number(999_999)).await, NumberFacts::default());
    let entry = build::suppression(build::org_id(1), call.number);
    storage.ledger.suppress(vec![entry.clone()]).await.unwrap();
    assert_eq!(facts(1, call.number).await, NumberFacts { suppression: Some(entry), ..expected });
}

/// An empty ledger has nothing to look after.
pub async fn nothing_is_due_in_an_empty_ledger(storage: &Storage) {
    assert_eq!(storage.ledger.next_due(&[]).await.unwrap(), None);
    assert_eq!(storage.ledger.next_due(&[build::run_id(1)]).await.unwrap(), None);
    assert_eq!(storage.ledger.take_overdue(take(0, 9)).await.unwrap(), []);
    let items = || TakeItems { now: start(), hold_until: second(9), limit: 9 };
    assert_eq!(storage.ledger.take_inbox(items()).await.unwrap(), []);
    assert_eq!(storage.ledger.take_outbox(items()).await.unwrap(), []);
    let scene = Scene::active(storage, 1, 0).await;
    assert_eq!(storage.ledger.next_due(&[scene.run.id]).await.unwrap(), None);
}

/// The next instant is that of the first contact of the runs asked for, or of the first call of any run.
pub async fn next_due_is_the_first_contact_or_call(storage: &Storage) {
    let one = Scene::active(storage, 1, 0).await;
    let other = one.sibling(storage, 2, 0).await;
    let waiting = |scene: &Scene, row, due_at| Contact {
        status: ContactStatus::new(due_at),
        ..build::contact(&scene.run, row)
    };
    let batch = vec![
        waiting(&one, 1, second(500)),
        waiting(&one, 2, second(400) + TICK),
        waiting(&other, 1, start()),
    ];
    assert_eq!(storage.ledger.add_contacts(batch, start()).await.unwrap(), 3);
    let next = async |runs: &[&Scene]| {
        let runs: Vec<_> = runs.iter().map(|scene| scene.run.id).collect();
        storage.ledger.next_due(&runs).await.unwrap()
    };
    assert_eq!(next(&[]).await, None);
    assert_eq!(next(&[&one]).await, Some(second(400) + TICK));
    assert_eq!(next(&[&one, &other]).await, Some(start()));
    let call = other.begin(storage, BeginCalls { calls_max: 1, ..other.request() }).await.calls.remove(0).0;
    assert_eq!(next(&[&one, &other]).await, call.check_at);
    assert_eq!(next(&[]).await, call.check_at, "calls are looked after whatever their run");
    other.apply_all(storage, vec![told(&call, ended())]).await;
    assert_eq!(next(&[&one, &other]).await, Some(second(400) + TICK));
    one.begin(storage, one.request_at(second(450))).await;
    assert_eq!(next(&[&one]).await, Some(second(500)));
}

/// Items of inbox and outbox count for the next instant, until they are finished or given up.
pub async fn next_due_knows_inbox_and_outbox(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    let parameters = Default::default();
    let action = CallEvent::Action { key: "k".into(), name: "sms".into(), parameters };
    scene.apply_at(storage, vec![told(&call, ended()), told(&call, action)], second(20)).await;
    let unknown = told_of(CallRef::Id(build::unknown_call_id(1)), CallEvent::Ringing);
    let request =
        ApplyCalls { inputs: vec![unknown], now: second(10), keep_unmatched_until: Some(second(900)) };
    storage.ledger.apply_calls(request, &|_, _, _| None).await.unwrap();

    let next = async || storage.ledger.next_due(&[scene.run.id]).await.unwrap();
    assert_eq!(next().await, Some(second(10)));
    let items = TakeItems { now: second(30), hold_until: second(50) + TICK, limit: 9 };
    let inbox = storage.ledger.take_inbox(items.clone()).await.unwrap();
    assert_eq!(next().await, Some(second(20)));
    let outbox = storage.ledger.take_outbox(TakeItems { hold_until: second(60), ..items }).await.unwrap();
    assert_eq!(next().await, Some(second(50) + TICK));
    storage.ledger.retry_item(inbox[0].id, None, "too late".into()).await.unwrap();
    assert_eq!(next().await, Some(second(60)));
    storage.ledger.finish_outbox(vec![outbox[0].id]).await.unwrap();
    assert_eq!(next().await, None);
    storage.ledger.revive(vec![inbox[0].id], second(70)).await.unwrap();
    assert_eq!(next().await, Some(second(70)));
}
