//! What lies between an engine and a provider: a line that is slow, cut, or no longer paid for.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rivvi_core::clock::Clock;
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{
    CallLookup, CallUpdate, FindCall, FindSms, PlaceCall, PlacedCall, ProviderError, ProviderErrorKind,
    SendSms, SentSms, SmsCapabilities, SmsLookup, SmsNews, SmsProvider, VoiceCapabilities, VoiceProvider,
    WebhookError, WebhookRequest,
};

/// The state of the lines of all nodes.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    dice: StdRng,
    /// Share of requests that are slow on their way there, and share of answers on their way back.
    slow: f64,
    down_until: Option<DateTime<Utc>>,
    revoked_until: Option<DateTime<Utc>>,
    fired: BTreeMap<&'static str, u64>,
}

impl Lines {
    pub(super) fn new(seed: u64, slow: f64) -> Self {
        let dice = StdRng::seed_from_u64(seed);
        let state = State { dice, slow, down_until: None, revoked_until: None, fired: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Nothing gets through until then.
    pub(super) fn cut_until(&self, at: DateTime<Utc>) {
        self.state().down_until = Some(at);
    }

    /// Every request is refused until then, for its key is not valid any more.
    pub(super) fn revoke_until(&self, at: DateTime<Utc>) {
        self.state().revoked_until = Some(at);
    }

    pub(super) fn heal(&self) {
        let mut state = self.state();
        (state.slow, state.down_until, state.revoked_until) = (0.0, None, None);
    }

    pub(super) fn fired(&self) -> BTreeMap<&'static str, u64> {
        self.state().fired.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with a request, and how long it and its answer take.
    fn weather(&self, now: DateTime<Utc>) -> Result<(TimeDelta, TimeDelta), ProviderErrorKind> {
        let mut state = self.state();
        let problem = if state.down_until.is_some_and(|until| now < until) {
            Some((ProviderErrorKind::Unavailable, "provider away"))
        } else if state.revoked_until.is_some_and(|until| now < until) {
            Some((ProviderErrorKind::Unauthorized, "key revoked"))
        } else {
            None
        };
        if let Some((kind, fault)) = problem {
            *state.fired.entry(fault).or_default() += 1;
            return Err(kind);
        }
        let slow = state.slow;
        let mut takes = |fault| {
            if slow == 0.0 || !state.dice.random_bool(slow) {
                return TimeDelta::zero();
            }
            *state.fired.entry(fault).or_default() += 1;
            // Now and then longer than the engine waits.
            TimeDelta::milliseconds(state.dice.random_range(50..45_000))
        };
        Ok((takes("request slow"), takes("answer slow")))
    }
}

/// A provider at the end of a line.
pub(super) struct OverLine<P: ?Sized> {
    pub(super) provider: Arc<P>,
    pub(super) lines: Lines,
    pub(super) clock: Arc<dyn Clock>,
}

impl<P: ?Sized> OverLine<P> {
    async fn pass<T>(
        &self,
        name: ProviderName,
        operation: &'static str,
        request: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        let weather = self.lines.weather(self.clock.now());
        let (there, back) = weather.map_err(|kind| ProviderError::not_sent(&name, operation, kind))?;
        self.wait(there).await;
        let answer = request.await;
        self.wait(back).await;
        answer
    }

    async fn wait(&self, span: TimeDelta) {
        self.clock.sleep_until(self.clock.now() + span).await;
    }
}

impl<P: fmt::Debug + ?Sized> fmt::Debug for OverLine<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OverLine").field(&&self.provider).finish()
    }
}

#[async_trait]
impl VoiceProvider for OverLine<dyn VoiceProvider> {
    fn name(&self) -> ProviderName {
        self.provider.name()
    }

    fn capabilities(&self) -> VoiceCapabilities {
        let mut capabilities = self.provider.capabilities();
        // A request may be on its way for as long as the engine waits for its answer.
        capabilities.settles_after += Duration::from_secs(30);
        capabilities
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        self.pass(self.name(), "place_call", self.provider.place_call(request)).await
    }

    async fn find_call(&self, query: &FindCall) -> Result<CallLookup, ProviderError> {
        self.pass(self.name(), "find_call", self.provider.find_call(query)).await
    }

    async fn hang_up(&self, query: &FindCall) -> Result<(), ProviderError> {
        self.pass(self.name(), "hang_up", self.provider.hang_up(query)).await
    }

    fn decode_webhook(
        &self,
        request: &WebhookRequest,
        now: DateTime<Utc>,
    ) -> Result<Vec<CallUpdate>, WebhookError> {
        self.provider.decode_webhook(request, now)
    }
}

#[async_trait]
impl SmsProvider for OverLine<dyn SmsProvider> {
    fn name(&self) -> ProviderName {
        self.provider.name()
    }

    fn capabilities(&self) -> SmsCapabilities {
        let mut capabilities = self.provider.capabilities();
        capabilities.settles_after += Duration::from_secs(30);
        capabilities
    }

    async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
        self.pass(self.name(), "send_sms", self.provider.send_sms(request)).await
    }

    async fn find_sms(&self, query: &FindSms) -> Result<SmsLookup, ProviderError> {
        self.pass(self.name(), "find_sms", self.provider.find_sms(query)).await
    }

    fn decode_webhook(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Result<SmsNews, WebhookError> {
        self.provider.decode_webhook(request, now)
    }
}
