//! What arrives by webhook: signatures, garbage, news of the vendor, repetition and disorder.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::{VoiceHarness, assert_about, connected, place};
use crate::domain::{Call, CallId, Contact, ItemId, Lease};
use crate::machine::{CallInput, Intent, SettleTerms, begin, settle};
use crate::policy::{Decision, Policy, RunTerms};
use crate::provider::{CallUpdate, PlaceCall, VoiceProvider, WebhookError, WebhookRequest};
use crate::testkit::alike::{broken, orders, with_spoilt_headers};
use crate::testkit::build;

/// A webhook is read, as often as it comes, to the same updates about its call. A provider without webhooks says so.
pub async fn webhook_is_read_alike_every_time<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, placed) = place(&provider, 1).await;
    let now = harness.arrives_at();
    let Some(webhook) = harness.webhook(request.call_id) else {
        let error = provider.decode_webhook(&WebhookRequest::new(Bytes::new()), now).unwrap_err();
        assert!(matches!(error, WebhookError::Unsupported), "{error:?}");
        return;
    };
    let updates = provider.decode_webhook(&webhook, now).unwrap();
    assert!(!updates.is_empty(), "it tells something");
    assert_about(&updates, &provider, &request, &placed);
    for _ in 0..3 {
        assert_eq!(provider.decode_webhook(&webhook, now).unwrap(), updates);
    }
}

/// A webhook whose signature is missing, or does not match every byte of the body, is refused as forged, before its
/// content is looked at.
pub async fn forged_webhook_is_refused<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, _) = place(&provider, 1).await;
    let now = harness.arrives_at();
    let Some(webhook) = harness.webhook(request.call_id) else {
        let forged = WebhookRequest::new(Bytes::from_static(b"{}"));
        assert!(matches!(provider.decode_webhook(&forged, now), Err(WebhookError::Unsupported)));
        return;
    };
    for (index, broken) in broken(&webhook).into_iter().enumerate() {
        let error = provider.decode_webhook(&broken, now).expect_err("it is forged");
        let refused = matches!(error, WebhookError::Forged | WebhookError::Stale);
        assert!(refused, "forgery {index} was refused as {error:?}: the signature comes first");
        assert!(error.status().is_client_error(), "nobody is asked to deliver it again");
    }
}

/// Whatever comes in headers and body, nothing panics.
pub async fn garbage_webhook_does_not_panic<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, _) = place(&provider, 1).await;
    let now = harness.arrives_at();
    let webhook = harness.webhook(request.call_id).unwrap_or_default();
    for spoilt in with_spoilt_headers(&webhook) {
        // A header that is not signed may say anything; what counts is that there is an answer.
        drop(provider.decode_webhook(&spoilt, now));
    }
    for instant in [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC] {
        drop(provider.decode_webhook(&webhook, instant));
    }
    let (request, _) = place(&provider, 2).await;
    assert_eq!(harness.rings(request.call_id).await, 1, "it still works");
}

/// A webhook is taken for as long after its signature as is declared, and not much longer; as for one that seems to
/// come from the future. Where nothing is declared, its age does not matter.
pub async fn stale_webhook_is_refused<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, _) = place(&provider, 1).await;
    let now = harness.arrives_at();
    let Some(webhook) = harness.webhook(request.call_id) else {
        assert_eq!(harness.stale_after(), None, "without webhooks there is no age");
        return;
    };
    let updates = provider.decode_webhook(&webhook, now).unwrap();
    let Some(age_max) = harness.stale_after() else {
        assert_eq!(provider.decode_webhook(&webhook, now + TimeDelta::days(365)).unwrap(), updates);
        return;
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

/// What the vendor adds without notice (fields, events, words) is acknowledged, not refused: it would come again and
/// again. What is told about the call is about the call.
pub async fn strange_webhook_is_acknowledged<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, placed) = place(&provider, 1).await;
    for (index, webhook) in harness.strange_webhooks(request.call_id).into_iter().enumerate() {
        match provider.decode_webhook(&webhook, harness.arrives_at()) {
            Ok(updates) => assert_about(&updates, &provider, &request, &placed),
            Err(error) => panic!("strange webhook {index} is refused: {error:?}"),
        }
    }
}

/// The webhooks of a call lead to the same call and the same contact in every order, also if each comes twice.
pub async fn story_told_in_any_order_ends_alike<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, placed) = place(&provider, 1).await;
    let now = harness.arrives_at();
    let told: Vec<Vec<CallUpdate>> = harness
        .story(request.call_id)
        .iter()
        .map(|webhook| provider.decode_webhook(webhook, now).unwrap())
        .collect();
    for updates in &told {
        assert_about(updates, &provider, &request, &placed);
    }
    let mut expected = None;
    for order in orders(told.len()) {
        let twice = order.iter().chain(&order);
        let ending = ending(&provider, &request, twice.flat_map(|place| told[*place].clone()), now);
        let expected = expected.get_or_insert_with(|| ending.clone());
        assert_eq!(*expected, ending, "told in the order {order:?}");
    }
}

/// The call and the contact after these updates.
fn ending(
    provider: &std::sync::Arc<dyn VoiceProvider>,
    request: &PlaceCall,
    updates: impl Iterator<Item = CallUpdate>,
    now: DateTime<Utc>,
) -> (Call, Contact) {
    let run = build::draft(&build::campaign(request.org_id, 1), 1);
    let terms = RunTerms::new(run.clone().into(), build::organization(1).into());
    let mut contact = build::rich_contact(&run, 1);
    let intent = || Intent {
        call_id: CallId::from_uuid(request.call_id.as_uuid()),
        provider: provider.name(),
        caller_id: request.from,
        lease: Lease { node: build::node_id(1), token: Lease::FIRST_TOKEN, until: build::second(90) },
        message: None,
    };
    let until = now + Duration::from_secs(86_400);
    let begun = begin(&contact, Decision::Allow { until }, build::start(), intent);
    contact.status = begun.status;
    let mut call = *begun.call.unwrap();
    let (policy, capabilities) = (Policy::new(), provider.capabilities());
    let terms = SettleTerms {
        now: now + Duration::from_secs(1),
        policy: &policy,
        run: &terms,
        capabilities: &capabilities,
        receipts: true,
    };
    for update in updates {
        let item = || ItemId::from_uuid(request.call_id.as_uuid());
        if let Some(change) = settle(&contact, &call, &CallInput::from(update), &terms, item) {
            contact.status = change.status;
            call = change.call.map_or(call, |call| *call);
        }
    }
    // How much was written on the way there depends on the way.
    contact.status.sequence = 0;
    (call, contact)
}
