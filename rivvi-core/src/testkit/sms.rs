//! The suite for providers of text messages: one case per promise of [`SmsProvider`].
//!
//! A provider is checked against a far side that its author can look into, mostly a [`FarSide`](super::http::FarSide) that
//! does what the vendor documents. The author implements [`SmsHarness`] for the pair of both, and
//! [`sms_conformance!`](crate::sms_conformance) makes a test of each case. What a provider declares in its
//! [capabilities](SmsProvider::capabilities) is checked to be there, what it does not declare to be refused as unsupported; no
//! case is skipped.
//!
//! ```
//! use std::sync::{Arc, Mutex};
//!
//! use async_trait::async_trait;
//! use rivvi_core::domain::{CallId, ProviderName};
//! use rivvi_core::provider::{
//!     ProviderError, ProviderErrorKind, SendSms, SentSms, SmsProvider, WebhookRequest,
//! };
//! use rivvi_core::testkit::sms::{Fault, SmsHarness};
//!
//! /// A provider that is its own far side.
//! #[derive(Debug, Default)]
//! struct Outbox(Mutex<Vec<SendSms>>, Mutex<Option<ProviderErrorKind>>);
//!
//! #[async_trait]
//! impl SmsProvider for Outbox {
//!     fn name(&self) -> ProviderName {
//!         ProviderName::new("outbox")
//!     }
//!
//!     async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
//!         if let Some(kind) = self.1.lock().unwrap().take() {
//!             return Err(ProviderError::not_sent(&self.name(), "send_sms", kind));
//!         }
//!         self.0.lock().unwrap().push(request.clone());
//!         Ok(SentSms::default())
//!     }
//! }
//!
//! struct Harness(Arc<Outbox>);
//!
//! impl Harness {
//!     fn of(&self, id: CallId) -> Vec<SendSms> {
//!         self.0.0.lock().unwrap().iter().filter(|sent| sent.message_id == id).cloned().collect()
//!     }
//! }
//!
//! #[async_trait]
//! impl SmsHarness for Harness {
//!     fn provider(&self) -> Arc<dyn SmsProvider> {
//!         self.0.clone()
//!     }
//!
//!     async fn sent(&self, message_id: CallId) -> Vec<String> {
//!         self.of(message_id).iter().map(|sent| sent.text.expose().clone()).collect()
//!     }
//!
//!     async fn requests(&self, message_id: CallId) -> usize {
//!         self.of(message_id).len()
//!     }
//!
//!     fn faults(&self) -> Vec<Fault> {
//!         vec![Fault::NoSms]
//!     }
//!
//!     async fn fail_next(&self, fault: Fault) {
//!         assert_eq!(fault, Fault::NoSms);
//!         *self.0.1.lock().unwrap() = Some(ProviderErrorKind::NoSms);
//!     }
//!
//!     fn secrets(&self) -> Vec<String> {
//!         Vec::new()
//!     }
//!
//!     fn receipt(&self, _message_id: CallId) -> Option<WebhookRequest> {
//!         None
//!     }
//!
//!     fn inbound(&self, _text: &str) -> Option<WebhookRequest> {
//!         None
//!     }
//! }
//!
//! async fn harness() -> Harness {
//!     Harness(Arc::default())
//! }
//!
//! rivvi_core::sms_conformance!(harness);
//! # fn main() {}
//! ```

mod suite;
mod webhook;

pub use super::fault::Fault;
pub use suite::{CASES, assert_suite_is_complete};
pub use webhook::{
    forged_webhook_is_refused, garbage_webhook_does_not_panic, inbound_message_is_read_as_it_was_written,
    receipt_is_read_alike_every_time, receipts_told_in_any_order_end_alike, stale_webhook_is_refused,
    strange_webhook_is_acknowledged,
};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::alike::{assert_holds_none, assert_told_as, broken, drop_after, everything_of, unlike};
use super::logs::Logs;
use super::{at_once, build};
use crate::domain::{CallId, Sender};
use crate::provider::{
    CallRef, CallUpdate, Delivery, FindSms, Lookup, ProviderErrorKind, SendSms, SentSms, SmsLookup,
    SmsProvider, WebhookRequest,
};

/// A provider and its far side.
#[async_trait]
pub trait SmsHarness: Send + Sync + 'static {
    /// The provider, always the same one.
    fn provider(&self) -> Arc<dyn SmsProvider>;

    /// The texts of the messages that the far side has taken for this id: one for each time it was asked and did not refuse.
    async fn sent(&self, message_id: CallId) -> Vec<String>;

    /// How many requests to send this message have reached the far side, answered or not.
    async fn requests(&self, message_id: CallId) -> usize;

    /// What can be made to go wrong; at least one of them.
    fn faults(&self) -> Vec<Fault>;

    /// Has the next request to send a message go wrong, and those after it go well again.
    async fn fail_next(&self, fault: Fault);

    /// Keys, tokens and passwords of the provider, which must not be seen anywhere.
    fn secrets(&self) -> Vec<String>;

    /// A webhook as the far side sends it, properly signed, that tells that this message, which was sent before, is
    /// delivered. `None` if the provider has no receipts by webhook.
    fn receipt(&self, message_id: CallId) -> Option<WebhookRequest>;

    /// A webhook as the far side sends it, properly signed, for a message that came in. `None` if the provider has none.
    fn inbound(&self, text: &str) -> Option<WebhookRequest>;

    /// Has the far side be as it was after a fault that lasts, such as [`Fault::Unreachable`]. Called after every request
    /// that was to go wrong. Default: nothing is to be done.
    async fn mend(&self) {}

    /// Who messages may come from. Default a number, a name and a short code.
    fn senders(&self) -> Vec<Sender> {
        ["+97231234567", "Clinic", "12345"].into_iter().filter_map(Sender::new).collect()
    }

    /// Webhooks that are forged, made of one that is not. Default [`forgeries`]; narrow it where less
    /// is signed.
    fn forgeries(&self, webhook: &WebhookRequest) -> Vec<WebhookRequest> {
        forgeries(webhook)
    }

    /// How old a webhook may be by its signature; `None` if signatures say nothing of time. Default `None`.
    fn stale_after(&self) -> Option<Duration> {
        None
    }

    /// Webhooks as the far side may send them one day, properly signed: events, fields and words that nobody knows. Default
    /// none, for a far side that never changes.
    fn strange_webhooks(&self, message_id: CallId) -> Vec<WebhookRequest> {
        let _ = message_id;
        Vec::new()
    }

    /// All receipts of the message, which was sent before, at most 5. No two of them contradict each other. Default the
    /// [`receipt`](Self::receipt).
    fn story(&self, message_id: CallId) -> Vec<WebhookRequest> {
        self.receipt(message_id).into_iter().collect()
    }

    /// When the webhook arrives. Default [`build::start`].
    fn arrives_at(&self) -> DateTime<Utc> {
        build::start()
    }
}

/// Webhooks that are forged where every byte of the body is signed: without headers, and with other bodies.
pub fn forgeries(webhook: &WebhookRequest) -> Vec<WebhookRequest> {
    broken(webhook)
}

async fn send(provider: &Arc<dyn SmsProvider>, n: u64) -> (SendSms, SentSms) {
    let request = build::send_sms(n);
    let sent = provider.send_sms(&request).await.unwrap();
    (request, sent)
}

async fn times_sent<H: SmsHarness>(harness: &H, request: &SendSms) -> usize {
    harness.sent(request.message_id).await.len()
}

fn query(request: &SendSms, reference: Option<String>) -> FindSms {
    FindSms { message_id: request.message_id, reference, to: request.to, intended_at: build::start() }
}

fn assert_about(updates: &[CallUpdate], provider: &Arc<dyn SmsProvider>, request: &SendSms, sent: &SentSms) {
    for update in updates {
        let about = match &update.call {
            CallRef::Id(id) => *id == request.message_id,
            CallRef::Provider { provider: name, reference } => {
                *name == provider.name() && sent.reference.as_ref() == Some(reference)
            }
        };
        assert!(about, "the update is about another message: {:?}", update.call);
    }
}

/// Asserts that a text holds nothing that must not be seen.
fn assert_clean(text: &str, harness: &impl SmsHarness, request: &SendSms) {
    let mut forbidden = harness.secrets();
    forbidden.push(request.to.digits().to_string());
    forbidden.extend(build::SMS_NAMES.map(str::to_owned));
    assert_holds_none(text, &forbidden);
}

/// The name is there and stays the same, also in errors, and so do the capabilities.
pub async fn name_and_capabilities_stay_the_same<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let (name, capabilities) = (provider.name(), provider.capabilities());
    assert!(!name.as_str().is_empty());
    send(&provider, 1).await;
    assert_eq!(provider.name(), name);
    assert_eq!(provider.capabilities(), capabilities);
    assert!(capabilities.idempotent_sending.is_none_or(|span| !span.is_zero()), "promise nothing instead");
    let told =
        harness.receipt(build::send_sms(1).message_id).is_some() || capabilities.lookup != Lookup::None;
    assert_eq!(capabilities.receipts, told, "what becomes of messages is told by webhook or lookup");
}

/// A message goes out once, on one request, and says what it was to say, to the letter.
pub async fn message_goes_out_once_as_it_was_written<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let texts = [build::SMS_TEXT, "hello", "{{ to }} %s <b>&amp;</b> \"'\\ a=b&c+d %2B", "a\nb", " x "];
    for (n, text) in (1..).zip(texts) {
        let mut request = build::send_sms(n);
        request.text = text.to_owned().into();
        let sent = provider.send_sms(&request).await.unwrap();
        assert_eq!(harness.requests(request.message_id).await, 1);
        assert_eq!(harness.sent(request.message_id).await, [text]);
        assert!(
            sent.reference.is_none_or(|reference| !reference.is_empty()),
            "no reference instead of an empty one"
        );
    }
}

/// A long message goes out whole.
pub async fn long_message_goes_out_whole<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    for (n, text) in (1..).zip(["a".repeat(161), "ש".repeat(210)]) {
        let mut request = build::send_sms(n);
        request.text = text.clone().into();
        provider.send_sms(&request).await.unwrap();
        assert_eq!(harness.sent(request.message_id).await, [text]);
    }
}

/// Messages come from a number, a name or a short code, as far as the provider has them.
pub async fn message_comes_from_every_kind_of_sender<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    for (n, sender) in (1..).zip(harness.senders()) {
        let mut request = build::send_sms(n);
        request.from = sender;
        provider.send_sms(&request).await.unwrap();
        assert_eq!(times_sent(harness, &request).await, 1);
    }
}

/// Messages sent at once all go out once, and their references are distinct.
pub async fn messages_sent_at_once_go_out_once_each<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let sent = at_once(20, |n| {
        let provider = provider.clone();
        async move { send(&provider, n as u64 + 1).await }
    })
    .await;
    let mut references = BTreeSet::new();
    for (request, sent) in sent {
        assert_eq!(times_sent(harness, &request).await, 1);
        assert!(
            sent.reference.is_none_or(|reference| references.insert(reference)),
            "a reference names one message"
        );
    }
}

/// Where sending is declared idempotent, a repetition sends nothing again and is answered alike, one after the other and at
/// once. Where it is not, a single request is a single message all the same.
pub async fn repeated_sending_goes_out_once_if_declared<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let (request, sent) = send(&provider, 1).await;
    if provider.capabilities().idempotent_sending.is_some() {
        let again = at_once(4, |_| {
            let (provider, request) = (provider.clone(), request.clone());
            async move { provider.send_sms(&request).await.unwrap() }
        })
        .await;
        for again in again {
            let both = again.reference.zip(sent.reference.clone());
            assert!(both.is_none_or(|(again, first)| again == first), "it is the same message");
        }
    }
    assert_eq!(times_sent(harness, &request).await, 1);
}

/// A lookup finds a message that was sent and does not find another one, as far as declared; undeclared it is unsupported,
/// as it is by our id where references alone are declared.
pub async fn lookup_does_what_is_declared<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let (request, sent) = send(&provider, 1).await;
    let other = build::send_sms(2);
    let lookup = provider.capabilities().lookup;
    if lookup != Lookup::ByCallId {
        let error = provider.find_sms(&query(&request, None)).await.unwrap_err();
        assert_eq!((error.kind, error.delivery), (ProviderErrorKind::Unsupported, Delivery::NotSent));
        assert_eq!(error.provider, provider.name());
    }
    if lookup == Lookup::None {
        let error = provider.find_sms(&query(&request, sent.reference)).await.unwrap_err();
        assert_eq!(error.kind, ProviderErrorKind::Unsupported);
        return;
    }
    if lookup == Lookup::ByReference {
        assert!(sent.reference.is_some(), "a lookup by reference needs references");
    }
    let by_both = provider.find_sms(&query(&request, sent.reference.clone())).await.unwrap();
    let SmsLookup::Found(updates) = by_both else { panic!("a message that was sent is found") };
    assert_about(&updates, &provider, &request, &sent);
    if let Some(reference) = &sent.reference {
        let nobody = Some(unlike(reference));
        assert_eq!(provider.find_sms(&query(&other, nobody)).await.unwrap(), SmsLookup::NotFound);
    }
    if lookup == Lookup::ByCallId {
        let by_id = provider.find_sms(&query(&request, None)).await.unwrap();
        assert!(matches!(by_id, SmsLookup::Found(_)), "a message that was sent is found by our id alone");
        assert_eq!(provider.find_sms(&query(&other, None)).await.unwrap(), SmsLookup::NotFound);
    }
    assert_eq!(times_sent(harness, &request).await, 1, "looking up sends nothing");
    assert_eq!(times_sent(harness, &other).await, 0);
}

/// Sending may be dropped at any point: the message goes out at most once, also if it is then sent again where that is
/// declared to be safe, and the provider goes on working.
pub async fn dropped_sending_goes_out_at_most_once<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    for polls in 0..8 {
        let request = build::send_sms(polls * 2 + 1);
        drop_after(polls, provider.send_sms(&request)).await;
        if provider.capabilities().idempotent_sending.is_some() {
            provider.send_sms(&request).await.unwrap();
            assert_eq!(times_sent(harness, &request).await, 1, "dropped after {polls} polls");
        }
        let (other, _) = send(&provider, polls * 2 + 2).await;
        assert_eq!(times_sent(harness, &other).await, 1);
        assert!(times_sent(harness, &request).await <= 1, "dropped after {polls} polls");
    }
}

/// Whatever goes wrong is told for what it is: as not sent only if nothing is, and never repeated by itself.
pub async fn faults_are_told_for_what_they_are<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let faults = harness.faults();
    assert!(!faults.is_empty(), "a far side that never fails checks nothing");
    for (n, fault) in (1..).zip(faults) {
        let request = build::send_sms(n);
        harness.fail_next(fault).await;
        let error = provider.send_sms(&request).await.expect_err("it went wrong");
        harness.mend().await;
        assert_told_as(fault, &error, &provider.name(), "send_sms");
        assert!(
            harness.requests(request.message_id).await <= 1,
            "{fault:?}: a provider does not repeat by itself"
        );
        let sent = times_sent(harness, &request).await;
        assert!(sent <= 1);
        assert!(!error.may_repeat() || sent == 0, "{fault:?}: told as not sent, and it goes out");
    }
}

/// After something went wrong the next message goes out.
pub async fn provider_recovers_from_faults<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    for (n, fault) in (1..).zip(harness.faults()) {
        harness.fail_next(fault).await;
        assert!(provider.send_sms(&build::send_sms(n * 2)).await.is_err());
        harness.mend().await;
        let (request, _) = send(&provider, n * 2 + 1).await;
        assert_eq!(times_sent(harness, &request).await, 1, "after {fault:?}");
    }
}

/// Neither `Debug` nor any text of an error nor any log shows a number, a text or a secret. Logs are heard on the thread that
/// sends.
pub async fn texts_and_logs_show_no_personal_data_and_no_secrets<H: SmsHarness>(harness: &H) {
    let provider = harness.provider();
    let logs = Logs::listen();
    let (request, sent) = send(&provider, 1).await;
    assert_clean(&format!("{provider:?}\n{provider:#?}\n{request:?}\n{sent:?}"), harness, &request);
    for (n, fault) in (2..).zip(harness.faults()) {
        let request = build::send_sms(n);
        harness.fail_next(fault).await;
        let error = provider.send_sms(&request).await.expect_err("it went wrong");
        harness.mend().await;
        assert_clean(&everything_of(&error), harness, &request);
        assert_clean(&logs.text(), harness, &request);
    }
    let at = harness.arrives_at();
    let webhooks = [harness.receipt(request.message_id), harness.inbound(build::SMS_TEXT)];
    for webhook in webhooks.iter().flatten() {
        let news = provider.decode_webhook(webhook, at);
        assert_clean(&format!("{news:?}"), harness, &request);
        for broken in broken(webhook) {
            if let Err(error) = provider.decode_webhook(&broken, at) {
                assert_clean(&format!("{error}\n{error:?}"), harness, &request);
            }
        }
    }
    assert_clean(&logs.text(), harness, &request);
}
