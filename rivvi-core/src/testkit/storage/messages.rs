//! Text messages and follow-ups: what the ledger keeps of them, and that receipts find them.

use std::collections::BTreeMap;

use super::{PROVIDER, Scene, assert_whole, decided};
use crate::domain::{
    Call, Contact, ContactState, DeliveryFailure, DeliveryState, Disposition, EmailAddress, Event, Lease,
    Message, Outcome, Personal, ProviderName, Sender,
};
use crate::machine::{self, CallInput, Hindrance, Intent};
use crate::policy::Decision;
use crate::policy::follow_up::Upcoming;
use crate::provider::{CallEvent, CallRef};
use crate::storage::{Applied, BeginCalls, Change, Storage, TakeItems};
use crate::testkit::build::{self, second, told, told_of};

const PLAN: &str = r#"
name = "Donation"
channel = "sms"
message.text = "Hello"
message.on_reply = "inbox"

[[follow_up]]
name = "say"
on = "no_sms"
after = "1m"
speech = "Hello"

[[follow_up]]
name = "ticket"
on = ["no_sms", "say.exhausted"]
after = "10m"
action = "crm"
"#;

fn message() -> Message {
    Message { sender: Sender::new("Clinic"), ..Message::sms(build::UNICODE) }
}

/// The change that begins what a due contact's plan says.
fn begin(contact: &Contact, scene: &Scene, request: &BeginCalls) -> Change {
    let Upcoming::Attempt { medium, .. } = contact.status.plan.upcoming(&scene.run.definition) else {
        return machine::look_again(contact, &scene.run.definition, true, request.now);
    };
    let message = (medium == crate::domain::Medium::Sms).then(message);
    let allowed = Decision::Allow { until: request.now + std::time::Duration::from_secs(3_600) };
    machine::begin(contact, allowed, request.now, || Intent {
        call_id: build::call_id(contact.id, contact.status.sequence),
        provider: ProviderName::new(PROVIDER),
        caller_id: build::organization(1).caller_id,
        lease: Lease {
            node: build::node_id(1),
            token: 1,
            until: request.now + std::time::Duration::from_secs(60),
        },
        message,
    })
}

async fn begin_all(storage: &Storage, scene: &Scene, at: i64) -> Vec<Call> {
    let request = scene.request_at(second(at));
    let decide = |contact: &Contact, _: &_| begin(contact, scene, &request);
    let begun = storage.ledger.begin_calls(request.clone(), &decide).await.unwrap();
    begun.calls.into_iter().map(|(call, _)| call).collect()
}

fn reference(call: &Call) -> String {
    format!("ref {} {}", build::UNICODE, call.contact_id.row())
}

fn accepted(call: &Call) -> CallInput {
    told(call, CallEvent::Accepted { reference: Some(reference(call)) })
}

/// A receipt that names the message by its provider's reference alone.
fn receipt(call: &Call, state: DeliveryState, failure: Option<DeliveryFailure>) -> CallInput {
    let meant = CallRef::Provider { provider: call.provider.clone(), reference: reference(call) };
    told_of(meant, CallEvent::Delivery { state, failure, code: Some(build::UNICODE.into()) })
}

/// A message takes no place once its provider has it; it is kept to the byte, its contact waits for the receipt, and is
/// settled by it, told twice as told once.
pub async fn message_waits_for_its_receipt_without_a_place(storage: &Storage) {
    let scene = Scene::active_of(storage, 1, 2, PLAN).await;
    let messages = begin_all(storage, &scene, 0).await;
    assert_eq!(messages.len(), 2);
    let applied = scene.apply(storage, messages.iter().map(accepted).collect()).await;
    assert_eq!(storage.ledger.live_calls(scene.run.id, None, 10).await.unwrap(), []);
    for (message, applied) in messages.iter().zip(applied) {
        let Applied::Changed { call, status } = applied else { panic!("it was accepted") };
        assert_eq!(call.disposition(), Some(Disposition::Sent));
        assert_eq!(scene.call(storage, message.id).await, *call);
        let kept = scene.contact(storage, message.contact_id.row()).await;
        assert_eq!(kept.status, status);
        assert_eq!(kept.status.plan.awaits().map(|awaits| awaits.message), Some(message.id));
        let facts = storage.ledger.number_facts(message.org_id, message.number, second(1)).await.unwrap();
        assert_eq!((facts.live_call, facts.attempts.len()), (None, 1));
    }
    assert_whole(storage, scene.run.id).await;

    let receipt = receipt(&messages[0], DeliveryState::Delivered, None);
    let story = vec![receipt.clone(), receipt];
    let applied = scene.apply(storage, story.clone()).await;
    assert!(matches!(applied[..], [Applied::Changed { .. }, Applied::Unchanged]), "{applied:?}");
    assert_eq!(scene.apply(storage, story).await, vec![Applied::Unchanged; 2]);
    let settled = scene.contact(storage, messages[0].contact_id.row()).await;
    let ContactState::Settled { outcome, .. } = settled.status.state else { panic!("it is settled") };
    assert_eq!(outcome, Outcome::Completed);
    let delivery = scene.call(storage, messages[0].id).await.detail.message.unwrap().delivery.unwrap();
    assert_eq!((delivery.state, delivery.code.as_deref()), (DeliveryState::Delivered, Some(build::UNICODE)));

    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.dispositions[&Disposition::Sent], tally.messages.delivered), (2, 1));
    assert_eq!(tally.messages.parts, 2 * u64::from(message().size().parts));
    assert_eq!(storage.ledger.next_due(&[scene.run.id]).await.unwrap(), Some(second(300)));
    assert_whole(storage, scene.run.id).await;
}

/// A message that fails is followed by a call, with an outcome of its own; both stand with their contact in their order.
pub async fn follow_up_begins_after_a_message_that_failed(storage: &Storage) {
    let scene = Scene::active_of(storage, 1, 1, PLAN).await;
    let message = begin_all(storage, &scene, 0).await.remove(0);
    // In one batch, the receipt first, as webhooks may come.
    let failed = told(
        &message,
        CallEvent::Delivery {
            state: DeliveryState::Failed,
            failure: Some(DeliveryFailure::NoSms),
            code: None,
        },
    );
    scene.apply(storage, vec![failed, accepted(&message)]).await;
    let waiting = scene.contact(storage, 1).await;
    assert_eq!(waiting.status.plan.step(&scene.run.definition).map(|step| &*step.name), Some("say"));
    assert_eq!(waiting.status.state.due_at(), Some(second(60)));
    assert_eq!(begin_all(storage, &scene, 59).await, []);
    let call = begin_all(storage, &scene, 60).await.remove(0);
    assert_eq!((call.attempt, &call.detail.message), (2, &None));
    let ended = CallEvent::Ended { disposition: Disposition::AnsweredHuman, reason: None, talk_time: None };
    scene.apply_at(storage, vec![told(&call, ended)], second(70)).await;

    let contact = scene.contact(storage, 1).await;
    assert!(matches!(
        contact.status.state,
        ContactState::Settled { outcome: Outcome::FallbackDelivered, .. }
    ));
    let calls = storage.ledger.calls_of(&[contact.id]).await.unwrap();
    assert_eq!(calls.iter().map(|call| call.id).collect::<Vec<_>>(), [message.id, call.id]);
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.outcomes[&Outcome::FallbackDelivered], tally.messages.failed), (1, 1));
    assert_whole(storage, scene.run.id).await;
}

/// What a follow-up has the host do waits in the outbox until its time, whether a call led to it or none.
pub async fn action_of_a_follow_up_waits_until_its_time(storage: &Storage) {
    let scene = Scene::active_of(storage, 1, 2, PLAN).await;
    let request = BeginCalls { calls_max: 1, contacts_max: 1, ..scene.request() };
    let hindered = |contact: &Contact, _: &_| {
        machine::hinder(contact, &scene.run.definition, &Hindrance::NoSms, request.now)
    };
    assert_eq!(storage.ledger.begin_calls(request.clone(), &hindered).await.unwrap().taken, 1);
    let message = begin_all(storage, &scene, 0).await.remove(0);
    scene
        .apply(
            storage,
            vec![accepted(&message), receipt(&message, DeliveryState::Failed, Some(DeliveryFailure::NoSms))],
        )
        .await;

    let take = |at| TakeItems { now: second(at), hold_until: second(at + 60), limit: 10 };
    assert_eq!(storage.ledger.take_outbox(take(599)).await.unwrap(), []);
    let mut items = storage.ledger.take_outbox(take(600)).await.unwrap();
    items.sort_by_key(|item| item.contact_id);
    let led: Vec<_> = items.iter().map(|item| (item.contact_id, item.call_id)).collect();
    assert_eq!(led, [(scene.contact_id(1), None), (scene.contact_id(2), Some(message.id))]);
    storage.ledger.finish_outbox(items.iter().map(|item| item.id).collect()).await.unwrap();
    assert_whole(storage, scene.run.id).await;
}

/// What is asked for with an action, an e-mail, answers and hits are kept to the byte.
pub async fn everything_about_a_message_is_kept(storage: &Storage) {
    let plan = "name = 'x'\nchannel = 'hybrid'\nmessage.on_reply = 'inbox'\n\
                [[follow_up]]\nname = 'link'\non = 'action:give'\nsms = '{{ amount }}'\n\
                [[follow_up]]\nname = 'letter'\non = 'link.delivered'\nemail = { subject = 'a', text = 'b' }";
    let scene = Scene::active_of(storage, 1, 1, plan).await;
    let call = scene.begin_all(storage).await.remove(0);
    let parameters = BTreeMap::from([("amount".to_owned(), build::UNICODE.to_owned())]);
    let action =
        CallEvent::Action { key: "1".into(), name: "give".into(), parameters: parameters.clone().into() };
    let ended = CallEvent::Ended { disposition: Disposition::AnsweredHuman, reason: None, talk_time: None };
    scene.apply(storage, vec![told(&call, action), told(&call, ended)]).await;
    let contact = scene.contact(storage, 1).await;
    assert_eq!(contact.status.plan.follow_up.as_ref().unwrap().given.expose(), &parameters);

    let message = begin_all(storage, &scene, 0).await.remove(0);
    let reply = CallEvent::Replied { id: build::UNICODE.into(), text: Personal::new(build::UNICODE.into()) };
    let click = CallEvent::Clicked { key: "0:1".into() };
    let mut story = vec![accepted(&message)];
    story.extend([reply, CallEvent::Opened, click].map(|event| told(&message, event)));
    story.push(receipt(&message, DeliveryState::Delivered, None));
    scene.apply(storage, story).await;
    let kept = scene.call(storage, message.id).await.detail.message.unwrap();
    assert_eq!((kept.text.expose().as_str(), kept.sender), (build::UNICODE, Sender::new("Clinic")));
    assert_eq!((kept.replies.len(), kept.clicks, kept.opened_at), (1, 1, Some(build::start())));
    assert_eq!(kept.replies[0].text.expose(), build::UNICODE);

    // The e-mail is no attempt at the number.
    let address = EmailAddress::new("zoë@exämple.example").unwrap();
    let request = scene.request();
    let decide = |contact: &Contact, _: &_| {
        let change = decided(
            contact,
            Decision::Defer { until: second(9), rule: "x", reason: "y".into() },
            request.now,
        );
        assert!(matches!(change.events[..], [Event::ContactDeferred { .. }]));
        machine::begin(contact, Decision::Allow { until: second(60) }, request.now, || Intent {
            call_id: build::call_id(contact.id, contact.status.sequence),
            provider: ProviderName::new("mail"),
            caller_id: build::organization(1).caller_id,
            lease: Lease { node: build::node_id(1), token: 1, until: second(60) },
            message: Some(Message::email(address.clone(), build::UNICODE, build::UNICODE)),
        })
    };
    let begun = storage.ledger.begin_calls(request.clone(), &decide).await.unwrap();
    let (mail, _) = &begun.calls[0];
    assert_eq!(scene.call(storage, mail.id).await, *mail);
    let facts = storage.ledger.number_facts(mail.org_id, mail.number, second(1)).await.unwrap();
    assert_eq!((facts.live_call, facts.attempts.len()), (Some(mail.id), 2));
    scene.apply(storage, vec![told(mail, CallEvent::Accepted { reference: None })]).await;
    let contact = scene.contact(storage, 1).await;
    assert!(matches!(contact.status.state, ContactState::Settled { outcome: Outcome::Completed, .. }));
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.messages.replies, tally.messages.opened, tally.messages.clicks), (1, 1, 1));
    assert_whole(storage, scene.run.id).await;
}

/// Receipts of many messages in one batch, in another order than they were sent.
pub async fn large_batch_of_receipts_is_applied(storage: &Storage) {
    const COUNT: u64 = 500;
    let scene = Scene::active_of(storage, 1, COUNT, PLAN).await;
    let mut messages = begin_all(storage, &scene, 0).await;
    scene.apply(storage, messages.iter().map(accepted).collect()).await;
    messages.reverse();
    let receipts = messages.iter().map(|message| receipt(message, DeliveryState::Delivered, None));
    let applied = scene.apply(storage, receipts.collect()).await;
    assert!(applied.iter().all(|applied| matches!(applied, Applied::Changed { .. })));
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!(
        (tally.waiting, tally.outcomes[&Outcome::Completed], tally.messages.delivered),
        (0, COUNT, COUNT)
    );
    assert_whole(storage, scene.run.id).await;
}
