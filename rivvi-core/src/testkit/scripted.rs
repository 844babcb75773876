//! A provider that answers what a test tells it to.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::HeaderValue;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::domain::{CallId, ProviderName};
use crate::provider::{
    CallEvent, CallLookup, CallRef, CallUpdate, FindCall, Lookup, PlaceCall, PlacedCall, ProviderError,
    ProviderErrorKind, UpdateSink, VoiceCapabilities, VoiceProvider, WebhookError, WebhookRequest,
};
use crate::storage::StorageError;

/// A [`VoiceProvider`] for tests: answers requests from a queue, records them, and tells what a test has it tell.
///
/// It keeps its word like a real provider: with [`VoiceCapabilities::idempotent_placement`] a repeated request rings
/// nobody again, without it the phone rings twice, and [`rings`](Self::rings) tells so. By default it accepts every
/// call, rings once per request, and can do everything.
///
/// ```
/// use rivvi_core::provider::{ProviderErrorKind, VoiceProvider};
/// use rivvi_core::testkit::{build, scripted::{Answer, ScriptedVoice}};
///
/// # rivvi_core::testkit::run_case(async {
/// let voice = ScriptedVoice::new("scripted");
/// voice.next(Answer::Lost { kind: ProviderErrorKind::Timeout, rings: true });
/// let request = build::place_call(1);
/// assert!(!voice.place_call(&request).await.unwrap_err().may_repeat());
/// assert_eq!(voice.rings(request.call_id), 1, "the phone rings, though nobody was told");
/// # });
/// ```
pub struct ScriptedVoice {
    name: ProviderName,
    capabilities: VoiceCapabilities,
    script: Mutex<Script>,
    asked: Notify,
}

/// How a [`ScriptedVoice`] answers a request to place a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It has the call, and the phone rings.
    Accept,
    /// It refuses, and nobody is called.
    Refuse {
        /// Why.
        kind: ProviderErrorKind,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// Its answer is lost.
    Lost {
        /// What the caller sees.
        kind: ProviderErrorKind,
        /// Whether the phone rings all the same.
        rings: bool,
    },
    /// It never answers.
    Hang {
        /// Whether the phone rings all the same.
        rings: bool,
    },
}

impl Answer {
    /// It refuses for this reason, and nobody is called.
    pub const fn refuse(kind: ProviderErrorKind) -> Self {
        Self::Refuse { kind, retry_after: None }
    }

    const fn rings(self) -> bool {
        matches!(self, Self::Accept | Self::Lost { rings: true, .. } | Self::Hang { rings: true })
    }
}

struct Script {
    answers: VecDeque<Answer>,
    otherwise: Answer,
    sink: Option<Arc<dyn UpdateSink>>,
    placements: Vec<PlaceCall>,
    lookups: Vec<FindCall>,
    hang_ups: Vec<FindCall>,
    /// What the far side knows, by our id.
    calls: BTreeMap<CallId, FarCall>,
}

#[derive(Default)]
struct FarCall {
    rings: usize,
    told: Vec<CallUpdate>,
}

impl ScriptedVoice {
    /// A provider that can do everything and accepts every call.
    pub fn new(name: &str) -> Self {
        let capabilities = VoiceCapabilities {
            idempotent_placement: Some(Duration::from_secs(86_400)),
            lookup: Lookup::ByCallId,
            hang_up: true,
            ..VoiceCapabilities::default()
        };
        Self::with_capabilities(name, capabilities)
    }

    /// A provider that can do this and accepts every call.
    pub fn with_capabilities(name: &str, capabilities: VoiceCapabilities) -> Self {
        let script = Script {
            answers: VecDeque::new(),
            otherwise: Answer::Accept,
            sink: None,
            placements: Vec::new(),
            lookups: Vec::new(),
            hang_ups: Vec::new(),
            calls: BTreeMap::new(),
        };
        Self { name: ProviderName::new(name), capabilities, script: Mutex::new(script), asked: Notify::new() }
    }

    /// Queues the answer to the next request that has none yet.
    pub fn next(&self, answer: Answer) {
        self.script().answers.push_back(answer);
    }

    /// How to answer when the queue is empty.
    pub fn always(&self, answer: Answer) {
        self.script().otherwise = answer;
    }

    /// Every request to place a call so far, in the order they came.
    pub fn placements(&self) -> Vec<PlaceCall> {
        self.script().placements.clone()
    }

    /// Every lookup so far, in the order they came.
    pub fn lookups(&self) -> Vec<FindCall> {
        self.script().lookups.clone()
    }

    /// Every request to end a call so far, in the order they came.
    pub fn hang_ups(&self) -> Vec<FindCall> {
        self.script().hang_ups.clone()
    }

    /// How often a phone rang for this call. More than once is what must never happen.
    pub fn rings(&self, call_id: CallId) -> usize {
        self.script().calls.get(&call_id).map_or(0, |call| call.rings)
    }

    /// The most rings of any call.
    pub fn rings_max(&self) -> usize {
        self.script().calls.values().map(|call| call.rings).max().unwrap_or(0)
    }

    /// Returns when at least so many requests to place a call have come.
    pub async fn until_placements(&self, count: usize) {
        loop {
            let mut asked = std::pin::pin!(self.asked.notified());
            asked.as_mut().enable();
            if self.script().placements.len() >= count {
                return;
            }
            asked.await;
        }
    }

    /// The far side forgets a call, so that a lookup finds nothing.
    pub fn forget(&self, call_id: CallId) {
        self.script().calls.remove(&call_id);
    }

    /// Something happens to a call at the far side: a lookup tells it from now on, but nobody is told by itself.
    pub fn happen(&self, call_id: CallId, event: CallEvent, at: DateTime<Utc>) -> CallUpdate {
        let update = CallUpdate { call: CallRef::Id(call_id), at, event };
        self.script().calls.entry(call_id).or_default().told.push(update.clone());
        update
    }

    /// Something happens to a call, and the engine is told at once.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn tell(
        &self,
        call_id: CallId,
        event: CallEvent,
        at: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let update = self.happen(call_id, event, at);
        self.deliver(vec![update]).await
    }

    /// Delivers updates to the engine, as they are.
    ///
    /// # Errors
    /// What the engine answers.
    ///
    /// # Panics
    /// If the engine has not connected yet.
    pub async fn deliver(&self, updates: Vec<CallUpdate>) -> Result<(), StorageError> {
        let sink = self.script().sink.clone().expect("the engine connects before anything is delivered");
        sink.deliver(updates).await
    }

    /// The webhook by which this provider tells these updates, properly signed.
    pub fn webhook(&self, updates: &[CallUpdate]) -> WebhookRequest {
        let body = Bytes::from(serde_json::to_vec(updates).unwrap());
        let signature = HeaderValue::from_str(&self.signature_of(&body)).unwrap();
        let mut request = WebhookRequest::new(body);
        request.headers_mut().insert(SIGNATURE, signature);
        request
    }

    /// What the provider signs its webhooks with: must never be seen anywhere.
    pub const fn signing_key(&self) -> &'static str {
        "scripted-signing-key"
    }

    /// The provider's own id of a call.
    pub fn reference_of(&self, call_id: CallId) -> String {
        format!("{}/{call_id}", self.name)
    }

    fn signature_of(&self, body: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(self.signing_key());
        hash.update(body);
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unsupported(&self, operation: &'static str) -> ProviderError {
        ProviderError::not_sent(&self.name, operation, ProviderErrorKind::Unsupported)
    }

    /// Notes the request and decides how to answer it.
    fn answer(&self, request: &PlaceCall) -> Answer {
        let mut script = self.script();
        script.placements.push(request.clone());
        let repeated = script.calls.get(&request.call_id).is_some_and(|call| call.rings > 0);
        if repeated && self.capabilities.idempotent_placement.is_some() {
            return Answer::Accept;
        }
        let answer = script.answers.pop_front().unwrap_or(script.otherwise);
        if answer.rings() {
            let accepted = CallEvent::Accepted { reference: Some(self.reference_of(request.call_id)) };
            let update =
                CallUpdate { call: CallRef::Id(request.call_id), at: super::build::start(), event: accepted };
            let call = script.calls.entry(request.call_id).or_default();
            call.rings += 1;
            call.told.push(update);
        }
        answer
    }
}

/// The header with the signature of a webhook.
const SIGNATURE: &str = "x-scripted-signature";

impl fmt::Debug for ScriptedVoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let placements = self.script().placements.len();
        f.debug_struct("ScriptedVoice").field("name", &self.name).field("placements", &placements).finish()
    }
}

#[async_trait]
impl VoiceProvider for ScriptedVoice {
    fn name(&self) -> ProviderName {
        self.name.clone()
    }

    fn capabilities(&self) -> VoiceCapabilities {
        self.capabilities.clone()
    }

    async fn connect(&self, sink: Arc<dyn UpdateSink>) -> Result<(), ProviderError> {
        self.script().sink = Some(sink);
        Ok(())
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        let answer = self.answer(request);
        self.asked.notify_waiters();
        match answer {
            Answer::Accept => Ok(PlacedCall { reference: Some(self.reference_of(request.call_id)) }),
            Answer::Refuse { kind, retry_after } => {
                Err(ProviderError::not_sent(&self.name, "place_call", kind).with_retry_after(retry_after))
            }
            Answer::Lost { kind, .. } => Err(ProviderError::unknown(&self.name, "place_call", kind)),
            Answer::Hang { .. } => std::future::pending().await,
        }
    }

    async fn find_call(&self, query: &FindCall) -> Result<CallLookup, ProviderError> {
        let mut script = self.script();
        script.lookups.push(query.clone());
        let known = match self.capabilities.lookup {
            Lookup::None => return Err(self.unsupported("find_call")),
            Lookup::ByReference => query.reference.as_ref() == Some(&self.reference_of(query.call_id)),
            Lookup::ByCallId => true,
        };
        let call = script.calls.get(&query.call_id).filter(|_| known);
        Ok(call.map_or(CallLookup::NotFound, |call| CallLookup::Found(call.told.clone())))
    }

    async fn hang_up(&self, query: &FindCall) -> Result<(), ProviderError> {
        self.script().hang_ups.push(query.clone());
        if self.capabilities.hang_up { Ok(()) } else { Err(self.unsupported("hang_up")) }
    }

    fn decode_webhook(
        &self,
        request: &WebhookRequest,
        _now: DateTime<Utc>,
    ) -> Result<Vec<CallUpdate>, WebhookError> {
        let signature = request.headers().get(SIGNATURE).ok_or(WebhookError::Forged)?;
        if signature.as_bytes() != self.signature_of(request.body()).as_bytes() {
            return Err(WebhookError::Forged);
        }
        serde_json::from_slice(request.body())
            .map_err(|_| WebhookError::Malformed("expected a list of updates".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{build, run_case};

    #[test]
    fn without_idempotent_placement_a_repetition_rings_again() {
        run_case(async {
            let voice = ScriptedVoice::with_capabilities("plain", VoiceCapabilities::default());
            let request = build::place_call(1);
            voice.next(Answer::Lost { kind: ProviderErrorKind::Timeout, rings: true });
            assert!(voice.place_call(&request).await.is_err());
            assert!(voice.place_call(&request).await.is_ok());
            assert_eq!((voice.rings(request.call_id), voice.rings_max()), (2, 2));
        });
    }

    #[test]
    fn answers_come_from_the_queue_and_then_as_always() {
        run_case(async {
            let voice = ScriptedVoice::new("scripted");
            voice.always(Answer::refuse(ProviderErrorKind::Unavailable));
            voice.next(Answer::Refuse {
                kind: ProviderErrorKind::RateLimited,
                retry_after: Some(Duration::from_secs(7)),
            });
            voice.next(Answer::Accept);
            let first = voice.place_call(&build::place_call(1)).await.unwrap_err();
            assert_eq!(
                (first.kind, first.retry_after),
                (ProviderErrorKind::RateLimited, Some(Duration::from_secs(7)))
            );
            assert!(voice.place_call(&build::place_call(2)).await.is_ok());
            let third = voice.place_call(&build::place_call(3)).await.unwrap_err();
            assert_eq!(third.kind, ProviderErrorKind::Unavailable);
            assert_eq!(voice.placements().len(), 3);
        });
    }

    #[test]
    fn waiting_for_placements_ends_when_they_come_also_if_they_are_never_answered() {
        run_case(async {
            let voice = Arc::new(ScriptedVoice::new("scripted"));
            voice.always(Answer::Hang { rings: false });
            let request = build::place_call(1);
            let asking = tokio::spawn({
                let (voice, request) = (voice.clone(), request.clone());
                async move { voice.place_call(&request).await }
            });
            voice.until_placements(1).await;
            assert!(!asking.is_finished());
            assert_eq!(voice.rings(request.call_id), 0);
            asking.abort();
        });
    }
}
