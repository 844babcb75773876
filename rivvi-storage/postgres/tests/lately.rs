//! Two nodes that change the same calls in turn: what one remembers of a call is out of date whenever the other changed it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod database;

use database::Schema;
use rivvi_core::domain::{Aggregate, Call, Disposition};
use rivvi_core::machine::CallInput;
use rivvi_core::provider::{Answerer, CallEvent, CallRef};
use rivvi_core::storage::{Applied, Storage, TakeOverdue};
use rivvi_core::testkit::build::{self, second, told, told_of};
use rivvi_core::testkit::storage::{Scene, assert_whole};

const CONTACTS: u64 = 40;

/// What may be told of a call; some of it twice, late, or after its end.
fn events(call: &Call) -> [CallEvent; 7] {
    let ended = |disposition| CallEvent::Ended { disposition, reason: None, talk_time: None };
    [
        CallEvent::Accepted { reference: Some(reference_of(call)) },
        CallEvent::Ringing,
        CallEvent::Answered { by: Answerer::Human },
        CallEvent::OptOut,
        CallEvent::Action { key: "k".into(), name: "sms".into(), parameters: Default::default() },
        ended(Disposition::Busy),
        ended(Disposition::AnsweredHuman),
    ]
}

/// The provider's id of a call, once it was told.
fn reference_of(call: &Call) -> String {
    format!("reference of {}", call.id)
}

/// Batches of inputs in an order that looks random and is always the same.
fn batches(calls: &[Call]) -> Vec<Vec<CallInput>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = move |count: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % count
    };
    let mut input = || {
        let call = &calls[below(calls.len())];
        let event = events(call)[below(7)].clone();
        let (provider, reference) = (call.provider.clone(), reference_of(call));
        match below(3) {
            0 => told_of(CallRef::Provider { provider, reference }, event),
            _ => told(call, event),
        }
    };
    (0..300).map(|n| (0..=n % 7).map(|_| input()).collect()).collect()
}

#[tokio::test]
async fn nodes_that_change_the_same_calls_in_turn_decide_as_one() {
    let schema = Schema::new();
    let nodes: [Storage; 2] = [schema.store().await.into(), schema.store().await.into()];
    let alone = Storage::in_memory();
    let (scene, reference) =
        (Scene::active(&nodes[0], 1, CONTACTS).await, Scene::active(&alone, 1, CONTACTS).await);
    let (calls, same) = (scene.begin_all(&nodes[0]).await, reference.begin_all(&alone).await);
    assert_eq!(calls, same);
    for (n, batch) in batches(&calls).into_iter().enumerate() {
        let node = &nodes[(n / 2 + n / 7) % 2];
        if n % 50 == 25 {
            // A holder is replaced behind the back of the other.
            let request = |n| TakeOverdue {
                now: second(1_000 * n),
                node: build::node_id(9),
                hold_until: second(1_000 * n + 500),
                limit: 5,
            };
            let n = i64::try_from(n).unwrap();
            let taken = node.ledger.take_overdue(request(n)).await.unwrap();
            assert_eq!(taken, alone.ledger.take_overdue(request(n)).await.unwrap());
        }
        assert_eq!(scene.apply(node, batch.clone()).await, reference.apply(&alone, batch).await, "batch {n}");
    }
    for row in 1..=CONTACTS {
        let (contact, known) = (scene.contact(&nodes[1], row).await, reference.contact(&alone, row).await);
        assert_eq!(contact, known);
        let journal = |storage: &Storage| {
            let (ledger, id) = (storage.ledger.clone(), Aggregate::Contact(contact.id));
            async move { ledger.journal(id, 0, 1_000).await.unwrap() }
        };
        assert_eq!(journal(&nodes[0]).await, journal(&alone).await);
    }
    for call in &calls {
        assert_eq!(scene.call(&nodes[0], call.id).await, reference.call(&alone, call.id).await);
    }
    assert_whole(&nodes[1], scene.run.id).await;
    assert_eq!(
        nodes[1].ledger.tally(scene.run.id).await.unwrap(),
        alone.ledger.tally(scene.run.id).await.unwrap()
    );
}

#[tokio::test]
async fn what_another_node_learned_to_call_a_call_is_known_here() {
    let schema = Schema::new();
    let nodes: [Storage; 2] = [schema.store().await.into(), schema.store().await.into()];
    let scene = Scene::active(&nodes[0], 1, 1).await;
    // The first node remembers the call as it began; the second is told its reference.
    let call = scene.begin_all(&nodes[0]).await.remove(0);
    let accepted = CallEvent::Accepted { reference: Some(reference_of(&call)) };
    scene.apply_all(&nodes[1], vec![told(&call, accepted)]).await;
    let (provider, reference) = (call.provider.clone(), reference_of(&call));
    let ended = events(&call)[6].clone();
    let applied =
        scene.apply(&nodes[0], vec![told_of(CallRef::Provider { provider, reference }, ended)]).await;
    assert!(matches!(&applied[..], [Applied::Changed { call, .. }] if !call.is_live()), "{applied:?}");
    assert_whole(&nodes[1], scene.run.id).await;
}
