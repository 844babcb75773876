//! The suite for voice providers: one case per promise of [`VoiceProvider`].
//!
//! A provider is checked against a far side that its author can look into: a scripted HTTP server, a switch in a
//! container, a simulation. The author implements [`VoiceHarness`] for the pair of both, and
//! [`voice_conformance!`](crate::voice_conformance) makes a test of each case. What a provider declares in its
//! [capabilities](VoiceProvider::capabilities) is checked to be there, what it does not declare to be refused as
//! unsupported; no case is skipped.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use rivvi_core::domain::CallId;
//! use rivvi_core::provider::{CallUpdate, ProviderErrorKind, VoiceProvider, WebhookRequest};
//! use rivvi_core::testkit::scripted::{Answer, ScriptedVoice};
//! use rivvi_core::testkit::voice::{Fault, VoiceHarness};
//!
//! struct Harness(Arc<ScriptedVoice>);
//!
//! #[async_trait]
//! impl VoiceHarness for Harness {
//!     fn provider(&self) -> Arc<dyn VoiceProvider> {
//!         self.0.clone()
//!     }
//!
//!     async fn rings(&self, call_id: CallId) -> usize {
//!         self.0.rings(call_id)
//!     }
//!
//!     async fn requests(&self, call_id: CallId) -> usize {
//!         self.0.placements().iter().filter(|request| request.call_id == call_id).count()
//!     }
//!
//!     fn faults(&self) -> Vec<Fault> {
//!         vec![Fault::Unauthorized]
//!     }
//!
//!     async fn fail_next(&self, fault: Fault) {
//!         assert_eq!(fault, Fault::Unauthorized);
//!         self.0.next(Answer::refuse(ProviderErrorKind::Unauthorized));
//!     }
//!
//!     fn secrets(&self) -> Vec<String> {
//!         vec![self.0.signing_key().into()]
//!     }
//!
//!     fn webhook(&self, call_id: CallId) -> Option<WebhookRequest> {
//!         let update = self.0.happen(
//!             call_id,
//!             rivvi_core::provider::CallEvent::Ringing,
//!             rivvi_core::testkit::build::start(),
//!         );
//!         Some(self.0.webhook(&[update]))
//!     }
//! }
//!
//! async fn harness() -> Harness {
//!     Harness(Arc::new(ScriptedVoice::new("scripted")))
//! }
//!
//! rivvi_core::voice_conformance!(harness);
//! # fn main() {}
//! ```

mod suite;
mod webhook;

pub use super::fault::Fault;
pub use suite::{CASES, assert_suite_is_complete};
pub use webhook::{
    forged_webhook_is_refused, garbage_webhook_does_not_panic, stale_webhook_is_refused,
    story_told_in_any_order_ends_alike, strange_webhook_is_acknowledged, webhook_is_read_alike_every_time,
};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::alike::{assert_holds_none, assert_told_as, broken, drop_after, everything_of, unlike};
use super::{at_once, build};
use crate::domain::CallId;
use crate::provider::{
    CallLookup, CallRef, CallUpdate, Delivery, FindCall, Lookup, PlaceCall, PlacedCall, ProviderErrorKind,
    UpdateSink, VoiceProvider, WebhookRequest,
};
use crate::storage::StorageError;

/// A provider and its far side.
#[async_trait]
pub trait VoiceHarness: Send + Sync + 'static {
    /// The provider, always the same one.
    fn provider(&self) -> Arc<dyn VoiceProvider>;

    /// How many calls the far side has made or queued for this id.
    async fn rings(&self, call_id: CallId) -> usize;

    /// How many requests to place this call have reached the far side, answered or not.
    async fn requests(&self, call_id: CallId) -> usize;

    /// What can be made to go wrong; at least one of them.
    fn faults(&self) -> Vec<Fault>;

    /// Has the next request to place a call go wrong, and those after it go well again.
    async fn fail_next(&self, fault: Fault);

    /// Keys, tokens and passwords of the provider, which must not be seen anywhere.
    fn secrets(&self) -> Vec<String>;

    /// A webhook as the far side sends it, properly signed, that tells something about this call, which was placed
    /// before. `None` if the provider has no webhooks.
    fn webhook(&self, call_id: CallId) -> Option<WebhookRequest>;

    /// Has the far side be as it was after a fault that lasts, such as [`Fault::Unreachable`]. Called after every request
    /// that was to go wrong. Default: nothing is to be done.
    async fn mend(&self) {}

    /// How old a webhook may be by its signature; `None` if signatures say nothing of time. Default `None`.
    fn stale_after(&self) -> Option<Duration> {
        None
    }

    /// Webhooks as the far side may send them one day, properly signed: events, fields and words that nobody knows. Default
    /// none, for a far side that never changes.
    fn strange_webhooks(&self, call_id: CallId) -> Vec<WebhookRequest> {
        let _ = call_id;
        Vec::new()
    }

    /// All webhooks of the call, which was placed before, from its beginning to what is told after its end, at most 5. No
    /// two of them contradict each other. Default the [`webhook`](Self::webhook).
    fn story(&self, call_id: CallId) -> Vec<WebhookRequest> {
        self.webhook(call_id).into_iter().collect()
    }

    /// When the webhook arrives. Default [`build::start`].
    fn arrives_at(&self) -> DateTime<Utc> {
        build::start()
    }
}

/// A sink that takes everything and keeps nothing.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl UpdateSink for Nowhere {
    async fn deliver(&self, _updates: Vec<CallUpdate>) -> Result<(), StorageError> {
        Ok(())
    }
}

async fn connected<H: VoiceHarness>(harness: &H) -> Arc<dyn VoiceProvider> {
    let provider = harness.provider();
    provider.connect(Arc::new(Nowhere)).await.unwrap();
    provider
}

async fn place(provider: &Arc<dyn VoiceProvider>, n: u64) -> (PlaceCall, PlacedCall) {
    let request = build::place_call(n);
    let placed = provider.place_call(&request).await.unwrap();
    (request, placed)
}

fn query(request: &PlaceCall, reference: Option<String>) -> FindCall {
    FindCall { call_id: request.call_id, reference, to: request.to, intended_at: build::start() }
}

fn assert_about(
    updates: &[CallUpdate],
    provider: &Arc<dyn VoiceProvider>,
    request: &PlaceCall,
    placed: &PlacedCall,
) {
    for update in updates {
        let about = match &update.call {
            CallRef::Id(id) => *id == request.call_id,
            CallRef::Provider { provider: name, reference } => {
                *name == provider.name() && placed.reference.as_ref() == Some(reference)
            }
        };
        assert!(about, "the update is about another call: {:?}", update.call);
    }
}

/// Asserts that a text holds nothing that must not be seen.
fn assert_clean(text: &str, harness: &impl VoiceHarness, request: &PlaceCall) {
    let number = request.to.expose();
    let person = &request.person;
    let mut forbidden = harness.secrets();
    forbidden.push(number.trim_start_matches('+').to_owned());
    forbidden.extend(
        [&person.first_name, &person.last_name, &person.email]
            .into_iter()
            .flatten()
            .map(|name| name.expose().clone()),
    );
    assert_holds_none(text, &forbidden);
}

/// The name is there and stays the same, also in errors, and so do the capabilities.
pub async fn name_and_capabilities_stay_the_same<H: VoiceHarness>(harness: &H) {
    let provider = harness.provider();
    let (name, capabilities) = (provider.name(), provider.capabilities());
    assert!(!name.as_str().is_empty());
    let provider = connected(harness).await;
    place(&provider, 1).await;
    assert_eq!(provider.name(), name);
    assert_eq!(provider.capabilities(), capabilities);
    assert!(capabilities.idempotent_placement.is_none_or(|span| !span.is_zero()), "promise nothing instead");
    assert!(!capabilities.silence_max.is_zero());
}

/// A placed call rings once, on one request.
pub async fn placed_call_rings_once<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, placed) = place(&provider, 1).await;
    assert_eq!(harness.requests(request.call_id).await, 1);
    assert_eq!(harness.rings(request.call_id).await, 1);
    assert!(
        placed.reference.is_none_or(|reference| !reference.is_empty()),
        "no reference instead of an empty one"
    );
}

/// Calls placed at once all ring once, and their references are distinct.
pub async fn calls_placed_at_once_ring_once_each<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let placed = at_once(20, |n| {
        let provider = provider.clone();
        async move { place(&provider, n as u64 + 1).await }
    })
    .await;
    let mut references = BTreeSet::new();
    for (request, placed) in placed {
        assert_eq!(harness.rings(request.call_id).await, 1);
        assert!(
            placed.reference.is_none_or(|reference| references.insert(reference)),
            "a reference names one call"
        );
    }
}

/// Where placement is declared idempotent, a repetition rings nobody again and is answered alike, one after the other
/// and at once. Where it is not, a single request is a single call all the same.
pub async fn repeated_placement_rings_once_if_declared<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, placed) = place(&provider, 1).await;
    if provider.capabilities().idempotent_placement.is_some() {
        let again = at_once(4, |_| {
            let (provider, request) = (provider.clone(), request.clone());
            async move { provider.place_call(&request).await.unwrap() }
        })
        .await;
        for again in again {
            let both = again.reference.zip(placed.reference.clone());
            assert!(both.is_none_or(|(again, first)| again == first), "it is the same call");
        }
    }
    assert_eq!(harness.rings(request.call_id).await, 1);
}

/// A lookup finds a placed call and does not find another one, as far as declared; undeclared it is unsupported.
pub async fn lookup_does_what_is_declared<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, placed) = place(&provider, 1).await;
    let other = build::place_call(2);
    let nobody = placed.reference.as_ref().map(|reference| unlike(reference));
    let lookup = provider.capabilities().lookup;
    if lookup == Lookup::None {
        let error = provider.find_call(&query(&request, placed.reference)).await.unwrap_err();
        assert_eq!((error.kind, error.delivery), (ProviderErrorKind::Unsupported, Delivery::NotSent));
        assert_eq!(error.provider, provider.name());
        return;
    }
    if lookup == Lookup::ByReference {
        assert!(placed.reference.is_some(), "a lookup by reference needs references");
    }
    let by_both = provider.find_call(&query(&request, placed.reference.clone())).await.unwrap();
    let CallLookup::Found(updates) = by_both else { panic!("a placed call is found") };
    assert_about(&updates, &provider, &request, &placed);
    assert_eq!(provider.find_call(&query(&other, nobody)).await.unwrap(), CallLookup::NotFound);
    if lookup == Lookup::ByCallId {
        let by_id = provider.find_call(&query(&request, None)).await.unwrap();
        assert!(matches!(by_id, CallLookup::Found(_)), "a placed call is found by our id alone");
        assert_eq!(provider.find_call(&query(&other, None)).await.unwrap(), CallLookup::NotFound);
    }
    assert_eq!(harness.rings(request.call_id).await, 1, "looking up places nothing");
    assert_eq!(harness.rings(other.call_id).await, 0);
}

/// Hanging up is fine for a call that is placed, over, or unknown; undeclared it is unsupported.
pub async fn hang_up_does_what_is_declared<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, placed) = place(&provider, 1).await;
    let own = query(&request, placed.reference.clone());
    if !provider.capabilities().hang_up {
        let error = provider.hang_up(&own).await.unwrap_err();
        assert_eq!((error.kind, error.delivery), (ProviderErrorKind::Unsupported, Delivery::NotSent));
        return;
    }
    provider.hang_up(&own).await.unwrap();
    provider.hang_up(&own).await.unwrap();
    provider.hang_up(&query(&build::place_call(2), placed.reference.map(|r| unlike(&r)))).await.unwrap();
    provider.hang_up(&query(&build::place_call(3), None)).await.unwrap();
    assert_eq!(harness.rings(request.call_id).await, 1);
}

/// A placement may be dropped at any point: the phone rings at most once, also if the same call is then placed again where
/// that is declared to be safe, and the provider goes on working.
pub async fn dropped_placement_rings_at_most_once<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    for polls in 0..8 {
        let request = build::place_call(polls * 2 + 1);
        drop_after(polls, provider.place_call(&request)).await;
        if provider.capabilities().idempotent_placement.is_some() {
            provider.place_call(&request).await.unwrap();
            assert_eq!(harness.rings(request.call_id).await, 1, "dropped after {polls} polls");
        }
        let (other, _) = place(&provider, polls * 2 + 2).await;
        assert_eq!(harness.rings(other.call_id).await, 1);
        assert!(harness.rings(request.call_id).await <= 1, "dropped after {polls} polls");
    }
}

/// Whatever goes wrong is told for what it is: as not sent only if nobody is called, and never repeated by itself.
pub async fn faults_are_told_for_what_they_are<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let faults = harness.faults();
    assert!(!faults.is_empty(), "a far side that never fails checks nothing");
    for (n, fault) in (1..).zip(faults) {
        let request = build::place_call(n);
        harness.fail_next(fault).await;
        let error = provider.place_call(&request).await.expect_err("it went wrong");
        harness.mend().await;
        assert_told_as(fault, &error, &provider.name(), "place_call");
        assert!(
            harness.requests(request.call_id).await <= 1,
            "{fault:?}: a provider does not repeat by itself"
        );
        let rings = harness.rings(request.call_id).await;
        assert!(rings <= 1);
        assert!(!error.may_repeat() || rings == 0, "{fault:?}: told as not sent, and the phone rings");
    }
}

/// After something went wrong the next call is placed.
pub async fn provider_recovers_from_faults<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    for (n, fault) in (1..).zip(harness.faults()) {
        harness.fail_next(fault).await;
        assert!(provider.place_call(&build::place_call(n * 2)).await.is_err());
        harness.mend().await;
        let (request, _) = place(&provider, n * 2 + 1).await;
        assert_eq!(harness.rings(request.call_id).await, 1, "after {fault:?}");
    }
}

/// Neither `Debug` nor any text of an error shows a number, a name or a secret.
pub async fn texts_show_no_personal_data_and_no_secrets<H: VoiceHarness>(harness: &H) {
    let provider = connected(harness).await;
    let (request, placed) = place(&provider, 1).await;
    assert_clean(&format!("{provider:?}\n{provider:#?}\n{placed:?}"), harness, &request);
    for (n, fault) in (2..).zip(harness.faults()) {
        let request = build::place_call(n);
        harness.fail_next(fault).await;
        let error = provider.place_call(&request).await.expect_err("it went wrong");
        harness.mend().await;
        assert_clean(&everything_of(&error), harness, &request);
    }
    if let Some(webhook) = harness.webhook(request.call_id) {
        for broken in broken(&webhook) {
            if let Err(error) = provider.decode_webhook(&broken, harness.arrives_at()) {
                assert_clean(&format!("{error}\n{error:?}"), harness, &request);
            }
        }
    }
}
