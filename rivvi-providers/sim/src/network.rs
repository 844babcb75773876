//! The network itself.

mod legs;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::{Clock, VirtualClock};
use rivvi_core::domain::{CallId, E164, ProviderName, Secret};
use rivvi_core::engine::Rivvi;
use rivvi_core::provider::{
    CallLookup, CallRef, CallUpdate, FindCall, Lookup, PlaceCall, PlacedCall, ProviderError,
    ProviderErrorKind, VoiceCapabilities, VoiceProvider, WebhookError, WebhookRequest,
};
use rivvi_core::storage::StorageError;
use tokio::sync::Notify;

use crate::log::{Leg, NetworkLog, NetworkLogError};
use crate::script::{Dice, Script};
use crate::turns::Turns;
use crate::{Behaviour, webhook};

/// A phone network that is not there. Clones share the same network.
#[derive(Clone)]
pub struct SimulatedNetwork {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    seed: u64,
    behaviour: Behaviour,
    key: Secret,
    state: Mutex<State>,
    /// Something new is to be delivered.
    scheduled: Notify,
}

#[derive(Default)]
struct State {
    /// The behaviour, once it was changed.
    behaviour: Option<Behaviour>,
    log: Option<NetworkLog>,
    /// If other processes write to the log as well.
    turns: Option<Turns>,
    calls: HashMap<CallId, PlacedLeg>,
    /// Legs placed here.
    placed: usize,
    requests: u64,
    requests_of: HashMap<CallId, usize>,
    lose_next_answer: bool,
    legs_to: HashMap<E164, u64>,

    /// Webhooks to be delivered, by time and order of scheduling.
    webhooks: BTreeMap<(DateTime<Utc>, u64), CallUpdate>,
    scheduled: u64,
    fired: BTreeMap<&'static str, u64>,
}

struct PlacedLeg {
    leg: Leg,
    script: Script,
}

impl SimulatedNetwork {
    /// A network whose callees behave as `behaviour` and `seed` decide, in the time of `clock`.
    pub fn new(clock: Arc<dyn Clock>, seed: u64, behaviour: Behaviour) -> Self {
        let key = Secret::new(format!("simulated-network-{seed}"));
        let state = Mutex::default();
        Self { shared: Arc::new(Shared { clock, seed, behaviour, key, state, scheduled: Notify::new() }) }
    }

    /// Has the network write each leg to a file before it answers. What the file holds already is read back: the
    /// network knows the calls it has seen and goes on with those that are not over. Webhooks that were due before
    /// the last leg are not sent again, so an engine must look up what it missed.
    ///
    /// # Errors
    /// If the file cannot be read or written, or holds something else.
    pub fn attach_log(&self, path: impl AsRef<Path>) -> Result<(), NetworkLogError> {
        let (log, legs) = NetworkLog::open(path.as_ref())?;
        let mut state = self.state();
        state.log = Some(log);
        let last = legs.iter().map(|leg| leg.at).max();
        for leg in legs {
            let script = self.script_again(&state, &leg);
            self.schedule_webhooks(&mut state, &leg, &script);
            state.remember(leg, script);
        }
        // What was due before the last leg was sent before the interruption, or is lost like a vendor's webhook
        // that nobody was there to take.
        if let Some(last) = last {
            state.webhooks.retain(|(at, _), _| *at >= last);
        }
        Ok(())
    }

    /// Has the network write each leg to a file that it shares with the networks of other processes on this machine:
    /// together they are one network. Seed and behaviour must be the same in all of them, and their clocks must show
    /// the same, passing time.
    ///
    /// A call that any of them has placed rings nobody again, and each can look it up: what becomes of a leg follows
    /// from the seed and from the legs before it in the file. The process that places a leg delivers its webhooks; if
    /// it ends, they are lost like a vendor's webhooks that nobody was there to take, and an engine must look up what
    /// it missed. That a leg was hung up is known to the process that did it.
    ///
    /// Legs are written whole and one after the other, in the order of their times.
    ///
    /// # Errors
    /// If the file cannot be read or written, or holds something else.
    pub fn attach_shared_log(&self, path: impl AsRef<Path>) -> Result<(), NetworkLogError> {
        let path = path.as_ref();
        let (log, legs) = NetworkLog::open_shared(path)?;
        let turns =
            Turns::at(path).map_err(|source| NetworkLogError::Io { path: path.to_owned(), source })?;
        let mut state = self.state();
        (state.log, state.turns) = (Some(log), Some(turns));
        self.learn(&mut state, legs);
        Ok(())
    }

    /// Legs placed so far, those read back included.
    pub fn legs(&self) -> usize {
        self.state().calls.len()
    }

    /// Legs this network placed, without those read back and those of other processes.
    pub fn legs_placed(&self) -> usize {
        self.state().placed
    }

    /// Every leg with the instant at which it ended or will end, oldest first.
    pub fn history(&self) -> Vec<(Leg, DateTime<Utc>)> {
        let state = self.state();
        let ended = |placed: &PlacedLeg| placed.script.ends_at().unwrap_or(placed.leg.at);
        let mut legs: Vec<_> =
            state.calls.values().map(|placed| (placed.leg.clone(), ended(placed))).collect();
        legs.sort_by_key(|(leg, _)| (leg.at, leg.call_id));
        legs
    }

    /// How often each kind of fault was seen to fire.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        self.state().fired.clone()
    }

    /// Loses the answer to the next request that makes a call.
    pub fn lose_next_answer(&self) {
        self.state().lose_next_answer = true;
    }

    /// How often it was asked to place a call.
    pub fn requests_of(&self, call_id: CallId) -> usize {
        self.state().requests_of.get(&call_id).copied().unwrap_or(0)
    }

    /// Behaves differently from now on. Legs that were placed before go on as they were decided.
    pub fn set_behaviour(&self, behaviour: Behaviour) {
        self.state().behaviour = Some(behaviour);
    }

    /// When the next webhook is to be delivered.
    pub fn next_event_at(&self) -> Option<DateTime<Utc>> {
        self.state().webhooks.keys().next().map(|(at, _)| *at)
    }

    /// Takes the webhooks that are due at `now`, signed, in the order of their times.
    pub fn take_webhooks(&self, now: DateTime<Utc>) -> Vec<WebhookRequest> {
        self.take_due(now).iter().map(|update| self.sign(update, now)).collect()
    }

    /// Takes what is due to be told at `now`, in the order of its times.
    pub(crate) fn take_due(&self, now: DateTime<Utc>) -> Vec<CallUpdate> {
        let mut state = self.state();
        let later = state.webhooks.split_off(&(now + TimeDelta::microseconds(1), 0));
        std::mem::replace(&mut state.webhooks, later).into_values().collect()
    }

    /// The webhook that tells an update at `now`.
    pub(crate) fn sign(&self, update: &CallUpdate, now: DateTime<Utc>) -> WebhookRequest {
        webhook::encode(update, &self.shared.key, now)
    }

    /// Tells an update at `at`.
    pub(crate) fn tell_at(&self, at: DateTime<Utc>, update: CallUpdate) {
        self.schedule(&mut self.state(), at, update);
    }

    /// Delivers the webhooks that are due to an engine, and delivers again what it could not store.
    pub async fn deliver_due(&self, rivvi: &Rivvi) {
        let now = self.shared.clock.now();
        let due = self.take_due(now);
        let name = self.name();
        let requests: Vec<WebhookRequest> = due.iter().map(|update| self.sign(update, now)).collect();
        let answers =
            futures::future::join_all(requests.iter().map(|request| rivvi.receive(name.as_str(), request)))
                .await;
        for (update, answer) in due.into_iter().zip(answers) {
            if answer.is_err_and(|error| error.status().is_server_error()) {
                let mut state = self.state();
                let again = now + self.behaviour(&state).takes(10);
                self.schedule(&mut state, again, update);
            }
        }
    }

    /// One step of a simulation in virtual time: delivers what is due, lets the engine do what is to be done, and
    /// moves the clock to the next instant at which something happens. Returns `false`, with the clock where it
    /// was, when nothing is left to happen.
    ///
    /// # Errors
    /// If the engine's store fails; the next step goes on.
    pub async fn step(&self, rivvi: &Rivvi, clock: &VirtualClock) -> Result<bool, StorageError> {
        self.deliver_due(rivvi).await;
        let tick = rivvi.tick().await?;
        let next = [tick.next_at, self.next_event_at()].into_iter().flatten().min();
        if let Some(next) = next {
            clock.advance_to(next.max(clock.now() + TimeDelta::milliseconds(1)));
        }
        Ok(next.is_some())
    }

    /// Delivers webhooks to an engine as they become due, until the future is dropped.
    pub async fn deliver_to(&self, rivvi: Rivvi) {
        loop {
            self.deliver_due(&rivvi).await;
            let scheduled = self.shared.scheduled.notified();
            match self.next_event_at() {
                None => scheduled.await,
                Some(at) => {
                    tokio::select! {
                        () = scheduled => {}
                        () = self.shared.clock.sleep_until(at) => {}
                    }
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn behaviour(&self, state: &State) -> Behaviour {
        state.behaviour.clone().unwrap_or_else(|| self.shared.behaviour.clone())
    }
}

#[async_trait]
impl VoiceProvider for SimulatedNetwork {
    fn name(&self) -> ProviderName {
        ProviderName::new("sim")
    }

    fn capabilities(&self) -> VoiceCapabilities {
        let mut capabilities = VoiceCapabilities::default();
        capabilities.idempotent_placement = Some(Duration::from_secs(86_400));
        capabilities.lookup = Lookup::ByCallId;
        capabilities.hang_up = true;
        let behaviour = self.behaviour(&self.state());
        capabilities.calls_per_second = behaviour.calls_per_second;
        capabilities.settles_after = Duration::from_secs(1);
        capabilities.silence_max = behaviour.silence_max;
        capabilities
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        let not_sent = |kind| ProviderError::not_sent(&self.name(), "place_call", kind);
        let unreadable = |error: Box<dyn std::error::Error + Send + Sync>| {
            not_sent(ProviderErrorKind::Unavailable).with_source(error)
        };
        let _turn = self.turn().await.map_err(|error| unreadable(error.into()))?;
        let mut state = self.state();
        let behaviour = self.behaviour(&state);
        // Refusals are drawn for each request, not for each leg: a repetition may pass.
        state.requests += 1;
        *state.requests_of.entry(request.call_id).or_default() += 1;
        let mut dice = Dice::new(self.shared.seed.wrapping_add(3), request.to, state.requests);
        if dice.happens(behaviour.refused) {
            state.count("call refused");
            let kinds = [ProviderErrorKind::Unavailable, ProviderErrorKind::RateLimited];
            let kind = kinds[usize::from(dice.happens(0.5))];
            let wait = dice.happens(0.3).then(|| Duration::from_secs(1 + dice.below(600)));
            return Err(not_sent(kind).with_retry_after(wait));
        }
        self.catch_up(&mut state).map_err(|error| unreadable(error.into()))?;
        if state.calls.contains_key(&request.call_id) {
            return Ok(PlacedCall::default());
        }
        let mut leg = Leg {
            at: self.shared.clock.now(),
            call_id: request.call_id,
            to: request.to,
            from: request.from.0,
            run_id: request.run_id,
            contact_id: request.contact_id,
            ends_at: None,
        };
        let ring_timeout = TimeDelta::from_std(request.ring_timeout).unwrap_or(TimeDelta::MAX);
        let script = self.script(&state, &leg, ring_timeout);
        leg.ends_at = script.ends_at();
        if let Some(log) = &mut state.log {
            log.append(&leg).map_err(|error| {
                // What was written of the line is cut off when the log is read back.
                ProviderError::unknown(&self.name(), "place_call", ProviderErrorKind::Unavailable)
                    .with_source(error)
            })?;
        }
        self.schedule_webhooks(&mut state, &leg, &script);
        if script.events.get(1).is_some_and(|(at, _)| *at - leg.at >= TimeDelta::hours(1)) {
            state.count("call queued");
        }
        state.remember(leg, script);
        state.placed += 1;
        let nth = state.legs_to.get(&request.to).copied().unwrap_or(0);
        let mut dice = Dice::new(self.shared.seed.wrapping_add(2), request.to, nth);
        if std::mem::take(&mut state.lose_next_answer) || dice.happens(behaviour.lost_answers) {
            state.count("call answer lost");
            return Err(ProviderError::unknown(&self.name(), "place_call", ProviderErrorKind::Timeout));
        }
        Ok(PlacedCall::default())
    }

    async fn find_call(&self, query: &FindCall) -> Result<CallLookup, ProviderError> {
        let mut state = self.state();
        self.catch_up(&mut state).map_err(|error| {
            ProviderError::not_sent(&self.name(), "find_call", ProviderErrorKind::Unavailable)
                .with_source(error)
        })?;
        let now = self.shared.clock.now();
        let Some(leg) = state.calls.get(&query.call_id) else { return Ok(CallLookup::NotFound) };
        let so_far = leg.script.events.iter().take_while(|(at, _)| *at <= now);
        let call = CallRef::Id(query.call_id);
        Ok(CallLookup::Found(
            so_far
                .map(|(at, event)| CallUpdate { call: call.clone(), at: *at, event: event.clone() })
                .collect(),
        ))
    }

    async fn hang_up(&self, query: &FindCall) -> Result<(), ProviderError> {
        let now = self.shared.clock.now();
        let mut state = self.state();
        let Some(leg) = state.calls.get_mut(&query.call_id) else { return Ok(()) };
        if !leg.script.hang_up(now) {
            return Ok(());
        }
        let end = leg.script.events.last().cloned();
        let call = CallRef::Id(query.call_id);
        state.webhooks.retain(|_, update| update.call != call);
        if let Some((at, event)) = end {
            self.schedule(&mut state, at, CallUpdate { call, at, event });
        }
        Ok(())
    }

    fn decode_webhook(
        &self,
        request: &WebhookRequest,
        now: DateTime<Utc>,
    ) -> Result<Vec<CallUpdate>, WebhookError> {
        let age_max = self.behaviour(&self.state()).webhook_age_max;
        webhook::decode(request, &self.shared.key, now, age_max).map(|update| vec![update])
    }
}

impl fmt::Debug for SimulatedNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimulatedNetwork")
            .field("seed", &self.shared.seed)
            .field("behaviour", &self.shared.behaviour)
            .field("legs", &state.calls.len())
            .finish_non_exhaustive()
    }
}
