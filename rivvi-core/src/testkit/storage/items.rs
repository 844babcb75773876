//! Inbox, outbox and dead letters: `take_*`, `finish_*`, `retry_item`, `dead_letters`, `revive`.

use std::collections::BTreeSet;

use super::{Scene, assert_whole};
use crate::domain::ItemId;
use crate::machine::CallInput;
use crate::provider::{CallEvent, CallRef};
use crate::storage::{ApplyCalls, DeadLetter, InboxItem, OutboxItem, Storage, TakeItems};
use crate::testkit::build::{self, TICK, second, start, told, told_of};

fn unknown(n: u64) -> CallInput {
    told_of(CallRef::Id(build::unknown_call_id(n)), CallEvent::Ringing)
}

async fn keep(storage: &Storage, updates: u64) {
    let inputs = (1..=updates).map(unknown).collect();
    let request = ApplyCalls { inputs, now: start(), keep_unmatched_until: Some(second(900)) };
    storage.ledger.apply_calls(request, &|_, _, _| None).await.unwrap();
}

async fn ask_for(storage: &Storage, actions: u64) -> Scene {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    let action = |n| {
        let parameters = build::variables().into();
        told(&call, CallEvent::Action { key: format!("{n}"), name: build::UNICODE.into(), parameters })
    };
    scene.apply_all(storage, (0..actions).map(action).collect()).await;
    scene
}

fn take(now: i64, hold_until: i64) -> TakeItems {
    TakeItems { now: second(now), hold_until: second(hold_until), limit: 100 }
}

async fn inbox(storage: &Storage, request: TakeItems) -> Vec<InboxItem> {
    storage.ledger.take_inbox(request).await.unwrap()
}

async fn outbox(storage: &Storage, request: TakeItems) -> Vec<OutboxItem> {
    storage.ledger.take_outbox(request).await.unwrap()
}

fn inbox_ids(items: &[InboxItem]) -> BTreeSet<ItemId> {
    items.iter().map(|item| item.id).collect()
}

fn outbox_ids(items: &[OutboxItem]) -> BTreeSet<ItemId> {
    items.iter().map(|item| item.id).collect()
}

/// Items of the inbox are held for whoever took them, count how often they were taken, and come until finished.
pub async fn inbox_items_come_until_they_are_finished(storage: &Storage) {
    keep(storage, 2).await;
    let first = inbox(storage, take(0, 60)).await;
    assert_eq!(first.iter().map(|item| item.attempts).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(inbox(storage, TakeItems { now: second(60) - TICK, ..take(0, 99) }).await, []);
    let again = inbox(storage, take(60, 90)).await;
    assert_eq!(inbox_ids(&again), inbox_ids(&first));
    assert_eq!(again.iter().map(|item| item.attempts).collect::<Vec<_>>(), [2, 2]);
    let updates: Vec<_> = again.iter().map(|item| item.update.clone()).collect();
    assert!(updates.iter().all(|update| first.iter().any(|item| item.update == *update)));

    storage.ledger.finish_inbox(vec![first[0].id]).await.unwrap();
    storage.ledger.finish_inbox(vec![first[0].id]).await.unwrap();
    storage.ledger.finish_inbox(Vec::new()).await.unwrap();
    assert_eq!(inbox_ids(&inbox(storage, take(1_000, 2_000)).await), BTreeSet::from([first[1].id]));
}

/// Items of the outbox are held for whoever took them, count how often they were taken, and come until finished.
pub async fn outbox_items_come_until_they_are_finished(storage: &Storage) {
    let scene = ask_for(storage, 2).await;
    let first = outbox(storage, take(0, 60)).await;
    assert_eq!(first.iter().map(|item| item.attempts).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(outbox(storage, TakeItems { now: second(60) - TICK, ..take(0, 99) }).await, []);
    let again = outbox(storage, take(60, 90)).await;
    assert_eq!(outbox_ids(&again), outbox_ids(&first));
    for item in &again {
        let before = first.iter().find(|before| before.id == item.id).unwrap();
        assert_eq!(*item, OutboxItem { attempts: 2, ..before.clone() }, "it is the same at every repetition");
        assert_ne!(item.key, "", "the key comes back");
        assert_eq!((item.action.as_str(), item.parameters.expose()), (build::UNICODE, &build::variables()));
    }
    storage.ledger.finish_outbox(vec![first[0].id]).await.unwrap();
    storage.ledger.finish_outbox(vec![first[0].id]).await.unwrap();
    assert_eq!(outbox_ids(&outbox(storage, take(1_000, 2_000)).await), BTreeSet::from([first[1].id]));
    assert_whole(storage, scene.run.id).await;
}

/// At most `limit` items are taken, each by one taker.
pub async fn items_are_taken_up_to_the_limit(storage: &Storage) {
    keep(storage, 5).await;
    ask_for(storage, 5).await;
    let (mut taken_in, mut taken_out) = (BTreeSet::new(), BTreeSet::new());
    for expected in [2, 2, 1, 0] {
        let request = || TakeItems { limit: 2, ..take(0, 60) };
        let (from_inbox, from_outbox) = (inbox(storage, request()).await, outbox(storage, request()).await);
        assert_eq!((from_inbox.len(), from_outbox.len()), (expected, expected));
        taken_in.extend(inbox_ids(&from_inbox));
        taken_out.extend(outbox_ids(&from_outbox));
    }
    assert_eq!((taken_in.len(), taken_out.len()), (5, 5));
}

/// An item that is to be tried again comes at its new instant, earlier or later than it was held until.
pub async fn retried_items_come_at_their_new_instant(storage: &Storage) {
    keep(storage, 1).await;
    ask_for(storage, 1).await;
    let (received, asked) =
        (inbox(storage, take(0, 60)).await.remove(0), outbox(storage, take(0, 60)).await.remove(0));
    for at in [30, 600] {
        for id in [received.id, asked.id] {
            storage.ledger.retry_item(id, Some(second(at)), "not yet".into()).await.unwrap();
        }
        let early = TakeItems { now: second(at) - TICK, ..take(0, 900) };
        assert_eq!((inbox(storage, early.clone()).await, outbox(storage, early).await), (vec![], vec![]));
        assert_eq!(inbox(storage, take(at, 900)).await.len(), 1);
        assert_eq!(outbox(storage, take(at, 900)).await.len(), 1);
    }
    let unknown = ItemId::from_uuid(build::run_id(9).as_uuid());
    storage.ledger.retry_item(unknown, Some(start()), "nothing".into()).await.unwrap();
    storage.ledger.retry_item(unknown, None, "nothing".into()).await.unwrap();
    assert_eq!(storage.ledger.dead_letters(None, 9).await.unwrap(), []);
}

/// An item that is given up stands on the dead-letter list with its problem and comes no more.
pub async fn given_up_items_are_on_the_dead_letter_list(storage: &Storage) {
    keep(storage, 1).await;
    ask_for(storage, 1).await;
    let (received, asked) =
        (inbox(storage, take(0, 60)).await.remove(0), outbox(storage, take(0, 60)).await.remove(0));
    storage.ledger.retry_item(received.id, None, format!("in: {}", build::UNICODE)).await.unwrap();
    storage.ledger.retry_item(asked.id, None, format!("out: {}", build::UNICODE)).await.unwrap();
    assert_eq!(inbox(storage, take(9_000, 9_999)).await, []);
    assert_eq!(outbox(storage, take(9_000, 9_999)).await, []);
    let mut expected = vec![
        DeadLetter::Inbox { item: received, problem: format!("in: {}", build::UNICODE) },
        DeadLetter::Outbox { item: asked, problem: format!("out: {}", build::UNICODE) },
    ];
    expected.sort_by_key(DeadLetter::id);
    assert_eq!(storage.ledger.dead_letters(None, 9).await.unwrap(), expected);
}

/// The dead-letter list comes in the order of ids, inbox and outbox together, page by page.
pub async fn dead_letters_come_page_by_page(storage: &Storage) {
    keep(storage, 4).await;
    ask_for(storage, 3).await;
    let mut ids: Vec<ItemId> = inbox_ids(&inbox(storage, take(0, 60)).await).into_iter().collect();
    ids.extend(outbox_ids(&outbox(storage, take(0, 60)).await));
    for id in &ids {
        storage.ledger.retry_item(*id, None, "given up".into()).await.unwrap();
    }
    ids.sort();
    let mut after = None;
    for page in [&ids[..3], &ids[3..6], &ids[6..], &[]] {
        let found: Vec<_> =
            storage.ledger.dead_letters(after, 3).await.unwrap().iter().map(DeadLetter::id).collect();
        assert_eq!(found, page);
        after = found.last().copied().or(after);
    }
}

/// A revived item comes again at once, from where it was given up.
pub async fn revived_items_come_again(storage: &Storage) {
    keep(storage, 1).await;
    ask_for(storage, 2).await;
    let received = inbox(storage, take(0, 60)).await.remove(0);
    let asked = outbox(storage, take(0, 60)).await;
    for id in [received.id, asked[0].id] {
        storage.ledger.retry_item(id, None, "given up".into()).await.unwrap();
    }
    let ids = vec![received.id, asked[0].id, asked[1].id, ItemId::from_uuid(build::run_id(9).as_uuid())];
    let now = second(5) + TICK;
    assert_eq!(storage.ledger.revive(ids.clone(), now).await.unwrap(), 2, "only those on the list");
    assert_eq!(storage.ledger.revive(ids, now).await.unwrap(), 0);
    assert_eq!(storage.ledger.dead_letters(None, 9).await.unwrap(), []);
    let early = TakeItems { now: second(5), ..take(0, 90) };
    assert_eq!((inbox(storage, early.clone()).await, outbox(storage, early).await), (vec![], vec![]));
    let at = TakeItems { now, ..take(0, 90) };
    let (from_inbox, from_outbox) = (inbox(storage, at.clone()).await, outbox(storage, at).await);
    assert_eq!(
        (inbox_ids(&from_inbox), outbox_ids(&from_outbox)),
        ([received.id].into(), [asked[0].id].into())
    );
    assert_eq!(from_inbox[0].update, received.update);
}

/// An update that was applied and comes once more is kept once more.
pub async fn finished_update_may_be_kept_again(storage: &Storage) {
    keep(storage, 1).await;
    let first = inbox(storage, take(0, 60)).await.remove(0);
    storage.ledger.finish_inbox(vec![first.id]).await.unwrap();
    keep(storage, 1).await;
    let again = inbox(storage, take(0, 60)).await.remove(0);
    assert_eq!((again.id, again.attempts), (first.id, 1));
}
