//! What arrives by webhook: signatures, garbage, news of the vendor, repetition and disorder.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::{SmsHarness, assert_about, send};
use crate::domain::{DeliveryFailure, DeliveryState, Money};
use crate::provider::{CallEvent, CallUpdate, SmsNews, WebhookError, WebhookRequest};
use crate::testkit::alike::{broken, orders, with_spoilt_headers};
use crate::testkit::build;

/// Everything the far side may send: a receipt of message 1, which was sent, and a message that came in.
fn webhooks<H: SmsHarness>(harness: &H) -> Vec<WebhookRequest> {
    let receipt = harness.receipt(build::send_sms(1).message_id);
    receipt.into_iter().chain(harness.inbound("STOP")).collect()
}

/// A receipt is read, as often as it comes, to the same updates: that its message is delivered. A provider without webhooks
/// says so.
pub async fn receipt_is_read_alike_every_time<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let (request, sent) = send(&provider, 1).await;
    let now = harness.arrives_at();
    let Some(webhook) = harness.receipt(request.message_id) else {
        let nothing = WebhookRequest::new(Bytes::new());
        let error = provider.decode_webhook(&nothing, now).expect_err("it holds nothing");
        let expected = if harness.inbound("STOP").is_some() {
            matches!(error, WebhookError::Forged)
        } else {
            matches!(error, WebhookError::Unsupported)
        };
        assert!(expected, "{error:?}");
        return;
    };
    let news = provider.decode_webhook(&webhook, now).unwrap();
    assert!(news.inbound.is_empty(), "a receipt is no message");
    assert_about(&news.updates, &provider, &request, &sent);
    let is_delivery = |update: &CallUpdate| {
        matches!(update.event, CallEvent::Delivery { state: DeliveryState::Delivered, failure: None, .. })
    };
    assert!(news.updates.iter().any(is_delivery), "it is delivered");
    for _ in 0..3 {
        assert_eq!(provider.decode_webhook(&webhook, now).unwrap(), news);
    }
    assert!(provider.acknowledge().status().is_success());
}

/// A message that came in is read, as often as it comes, to the same: who wrote what, under an id of its own.
pub async fn inbound_message_is_read_as_it_was_written<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let now = harness.arrives_at();
    let mut ids = Vec::new();
    for text in [build::SMS_TEXT, "STOP", "הסר", "a=b&c+d %2B \"'\\ <b>", "a\nb"] {
        let Some(webhook) = harness.inbound(text) else { return };
        let news = provider.decode_webhook(&webhook, now).unwrap();
        assert!(news.updates.is_empty(), "a message is no receipt");
        let [inbound] = news.inbound.as_slice() else { panic!("one message came in") };
        assert_eq!(inbound.text.expose(), text);
        assert!(inbound.from.is_some() && !inbound.id.is_empty());
        assert_eq!(provider.decode_webhook(&webhook, now).unwrap(), news);
        ids.push(inbound.id.clone());
    }
    ids.sort_unstable();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "an id names one message");
}

/// A webhook whose signature is missing, or does not match what was signed, is refused as forged, before its content is looked
/// at.
pub async fn forged_webhook_is_refused<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    send(&provider, 1).await;
    let now = harness.arrives_at();
    let webhooks = webhooks(harness);
    if webhooks.is_empty() {
        let forged = WebhookRequest::new(Bytes::from_static(b"{}"));
        assert!(matches!(provider.decode_webhook(&forged, now), Err(WebhookError::Unsupported)));
    }
    for webhook in webhooks {
        assert!(provider.decode_webhook(&webhook, now).is_ok());
        for (index, broken) in harness.forgeries(&webhook).into_iter().enumerate() {
            let error = provider.decode_webhook(&broken, now).expect_err("it is forged");
            let refused = matches!(error, WebhookError::Forged | WebhookError::Stale);
            assert!(refused, "forgery {index} was refused as {error:?}: the signature comes first");
            assert!(error.status().is_client_error(), "nobody is asked to deliver it again");
        }
    }
}

/// Whatever comes in headers and body, nothing panics.
pub async fn garbage_webhook_does_not_panic<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    send(&provider, 1).await;
    let now = harness.arrives_at();
    for webhook in webhooks(harness) {
        for spoilt in with_spoilt_headers(&webhook).iter().chain(&broken(&webhook)) {
            // A header that is not signed may say anything; what counts is that there is an answer.
            drop(provider.decode_webhook(spoilt, now));
        }
        for instant in [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC] {
            drop(provider.decode_webhook(&webhook, instant));
        }
    }
    drop(provider.decode_webhook(&WebhookRequest::default(), now));
    let (request, _) = send(&provider, 2).await;
    assert_eq!(harness.sent(request.message_id).await.len(), 1, "it still works");
}

/// A webhook is taken for as long after its signature as is declared, and not much longer; as for one that seems to come
/// from the future. Where nothing is declared, its age does not matter.
pub async fn stale_webhook_is_refused<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    send(&provider, 1).await;
    let now = harness.arrives_at();
    let webhooks = webhooks(harness);
    assert!(!webhooks.is_empty() || harness.stale_after().is_none(), "without webhooks there is no age");
    for webhook in webhooks {
        let Some(age_max) = harness.stale_after() else {
            assert!(provider.decode_webhook(&webhook, now + TimeDelta::days(365)).is_ok());
            continue;
        };
        let age_max = TimeDelta::from_std(age_max).unwrap();
        let second = TimeDelta::seconds(1);
        for at in [now + age_max - second, now - age_max + second] {
            assert!(provider.decode_webhook(&webhook, at).is_ok(), "it is not too old yet");
        }
        for at in [now + age_max + second, now - age_max - second] {
            let error = provider.decode_webhook(&webhook, at).expect_err("it is too old");
            assert!(matches!(error, WebhookError::Stale), "{error:?}");
        }
    }
}

/// What the vendor adds without notice (fields, events, words) is acknowledged, not refused: it would come again and again.
/// What is told about the message is about the message.
pub async fn strange_webhook_is_acknowledged<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let (request, sent) = send(&provider, 1).await;
    for (index, webhook) in harness.strange_webhooks(request.message_id).into_iter().enumerate() {
        match provider.decode_webhook(&webhook, harness.arrives_at()) {
            Ok(SmsNews { updates, .. }) => assert_about(&updates, &provider, &request, &sent),
            Err(error) => panic!("strange webhook {index} is refused: {error:?}"),
        }
    }
}

/// What becomes of a message, as far as its receipts tell.
#[derive(Debug, Default, Clone, PartialEq)]
struct Ending {
    reference: Option<String>,
    delivery: Option<(DeliveryState, Option<DeliveryFailure>)>,
    cost: Option<Money>,
}

impl Ending {
    fn learn(&mut self, event: &CallEvent) {
        match event {
            CallEvent::Accepted { reference } => {
                self.reference = self.reference.take().or_else(|| reference.clone());
            }
            CallEvent::Delivery { state, failure, .. } => {
                // What is known is never left for an earlier state.
                if self.delivery.is_none_or(|(known, _)| *state > known) {
                    self.delivery = Some((*state, *failure));
                }
            }
            CallEvent::Enriched { detail } => self.cost = detail.cost.or(self.cost),
            other => panic!("a receipt does not tell this: {other:?}"),
        }
    }
}

/// The receipts of a message lead to the same end in every order, also if each comes twice.
pub async fn receipts_told_in_any_order_end_alike<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let (request, sent) = send(&provider, 1).await;
    let now = harness.arrives_at();
    let told: Vec<Vec<CallUpdate>> = harness
        .story(request.message_id)
        .iter()
        .map(|webhook| provider.decode_webhook(webhook, now).unwrap().updates)
        .collect();
    let mut expected = None;
    for order in orders(told.len()) {
        let mut ending = Ending::default();
        for updates in order.iter().chain(&order).map(|place| &told[*place]) {
            assert_about(updates, &provider, &request, &sent);
            updates.iter().for_each(|update| ending.learn(&update.event));
        }
        let expected = expected.get_or_insert_with(|| ending.clone());
        assert_eq!(*expected, ending, "told in the order {order:?}");
    }
}
