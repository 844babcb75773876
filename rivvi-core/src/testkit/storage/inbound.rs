//! Contacts that call back: `apply_calls`, and what the ledger keeps of their calls.

use super::{Scene, assert_whole, journal_of};
use crate::domain::{
    Aggregate, CallDetail, CallId, ContactState, Disposition, Outcome, Personal, ProviderName, ResponseTime,
};
use crate::machine::CallInput;
use crate::provider::{CallEvent, CallRef, InboundRef};
use crate::storage::{Applied, Storage, TakeItems};
use crate::testkit::build::{self, second, told, told_of};

fn ended(disposition: Disposition) -> CallEvent {
    CallEvent::Ended { disposition, reason: Some(build::UNICODE.into()), talk_time: None }
}

/// A contact that calls back and is talked to is settled, told twice as told once; its inbound call is kept to the byte with
/// the one it answers, takes no place, and is no attempt.
pub async fn contact_that_calls_back_is_settled(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    let call = scene.begin_all(storage).await.remove(0);
    // Whoever waits for a callback calls back by themselves before.
    let wish = told(&call, CallEvent::Callback { at: second(7_200) });
    scene.apply_all(storage, vec![wish, told(&call, ended(Disposition::AnsweredHuman))]).await;
    let row = call.contact_id.row();
    assert_eq!(
        scene.contact(storage, row).await.status.state,
        ContactState::Waiting { due_at: second(7_200) }
    );
    let before = storage.ledger.number_facts(call.org_id, call.number, second(1)).await.unwrap();

    let response_time = ResponseTime { p50_ms: 1, p90_ms: 2, p99_ms: 3, max_ms: u32::MAX, answers: 4 };
    let detail = CallDetail {
        transcript: Some(Personal::new(build::UNICODE.into())),
        response_time: Some(response_time),
        ..CallDetail::default()
    };
    let inbound = InboundRef {
        call_id: CallId::from_uuid(build::run_id(77).as_uuid()),
        run_id: call.run_id,
        provider: ProviderName::new(build::UNICODE),
    };
    let about = |event| -> CallInput {
        told_of(
            CallRef::Id(call.id),
            CallEvent::CalledBack { inbound: inbound.clone(), event: Box::new(event) },
        )
    };
    let story = vec![
        about(CallEvent::Accepted { reference: Some(build::UNICODE.into()) }),
        about(CallEvent::Enriched { detail: Box::new(detail.clone()) }),
        about(ended(Disposition::AnsweredHuman)),
    ];
    scene.apply_all(storage, story.clone()).await;
    let told_before = journal_of(storage, Aggregate::Contact(call.contact_id)).await;
    assert_eq!(scene.apply(storage, story).await, vec![Applied::Unchanged; 3]);

    let after = scene.call(storage, call.id).await;
    let [kept] = after.detail.called_back.as_slice() else { panic!("the inbound call is kept") };
    assert_eq!((kept.id, kept.callback_for), (inbound.call_id, Some(call.id)));
    assert_eq!(
        (kept.disposition(), kept.provider_ref.as_deref()),
        (Some(Disposition::AnsweredHuman), Some(build::UNICODE))
    );
    assert_eq!(
        (&kept.detail.transcript, kept.detail.response_time),
        (&detail.transcript, Some(response_time))
    );
    let state = scene.contact(storage, row).await.status.state;
    assert!(matches!(state, ContactState::Settled { outcome: Outcome::Completed, .. }));
    assert_eq!(storage.ledger.number_facts(call.org_id, call.number, second(1)).await.unwrap(), before);
    assert_eq!(journal_of(storage, Aggregate::Contact(call.contact_id)).await, told_before);
    assert_eq!(
        storage.ledger.next_due(&[scene.run.id]).await.unwrap().filter(|at| *at == second(7_200)),
        None
    );
    assert_whole(storage, scene.run.id).await;
}

/// What is told of an inbound call that answers an unknown call waits, as for every unknown call.
pub async fn news_of_an_unknown_inbound_call_wait(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let stranger = CallId::from_uuid(build::run_id(78).as_uuid());
    let inbound = InboundRef {
        call_id: CallId::from_uuid(build::run_id(77).as_uuid()),
        run_id: scene.run.id,
        provider: ProviderName::new("elsewhere"),
    };
    let event = CallEvent::CalledBack { inbound, event: Box::new(ended(Disposition::AnsweredHuman)) };
    let input = told_of(CallRef::Id(stranger), event.clone());
    for _ in 0..2 {
        let request = crate::storage::ApplyCalls {
            inputs: vec![input.clone()],
            now: second(1),
            keep_unmatched_until: Some(second(1_000)),
        };
        let applied = storage.ledger.apply_calls(request, &|_, _, _| None).await.unwrap();
        assert_eq!(applied, [Applied::Unmatched]);
    }
    let take = TakeItems { now: second(2), hold_until: second(100), limit: 10 };
    let items = storage.ledger.take_inbox(take).await.unwrap();
    assert_eq!(items.len(), 1);
    assert_eq!(items[0].update.event, event);
}
