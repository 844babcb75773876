//! A simulated gateway of text messages.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::Clock;
use rivvi_core::domain::{
    CallId, CallsPerSecond, Currency, DeliveryFailure, DeliveryState, E164, Money, NumberKind, Personal,
    ProviderName, Secret, Sender,
};
use rivvi_core::engine::Rivvi;
use rivvi_core::provider::{
    CallEvent, CallRef, CallUpdate, FindSms, InboundSms, Lookup, ProviderError, ProviderErrorKind, SendSms,
    SentSms, SmsCapabilities, SmsLookup, SmsNews, SmsProvider, WebhookError, WebhookRequest,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::script::Dice;
use crate::webhook;

/// How a gateway and the phones behind it behave. Shares are from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GatewayBehaviour {
    /// Share of phones that are off or out of reach.
    pub unreachable: f64,
    /// Share of phones that cannot receive text messages although their number does not tell. Landlines never can.
    pub no_sms: f64,
    /// Share of recipients who are on the vendor's own list of those who want none.
    pub unsubscribed: f64,
    /// Share of recipients who answer.
    pub replies: f64,
    /// Share of answers that say STOP.
    pub stops: f64,
    /// Share of requests whose answer is lost although the message is sent.
    pub lost_answers: f64,
    /// Share of requests that are refused for the moment, without any message.
    pub refused: f64,
    /// Share of webhooks that come up to a day late, and out of order.
    pub late_webhooks: f64,
    /// Share of webhooks that are never delivered.
    pub lost_webhooks: f64,
    /// Share of webhooks that are delivered twice.
    pub repeated_webhooks: f64,
    /// How messages can be looked up. Default by our id.
    pub lookup: Lookup,
    /// How fast one sender may be fed.
    pub sender_messages_per_second: Option<CallsPerSecond>,
}

impl Default for GatewayBehaviour {
    /// Phones as campaigns meet them, at a gateway without faults.
    fn default() -> Self {
        Self {
            unreachable: 0.03,
            no_sms: 0.02,
            unsubscribed: 0.005,
            replies: 0.05,
            stops: 0.2,
            lost_answers: 0.0,
            refused: 0.0,
            late_webhooks: 0.0,
            lost_webhooks: 0.0,
            repeated_webhooks: 0.0,
            lookup: Lookup::ByCallId,
            sender_messages_per_second: None,
        }
    }
}

/// A text message as the gateway took it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SentMessage {
    /// The id it was sent with.
    pub id: CallId,
    /// When.
    pub at: DateTime<Utc>,
    /// Whom to.
    pub to: E164,
    /// Who from.
    pub from: Sender,
    /// What it says.
    pub text: Personal<String>,
    /// What becomes of it in the end.
    pub fate: DeliveryState,
}

/// A gateway of text messages that is not there. Clones share the same gateway.
///
/// A number answers each message in the same way for the same seed. What becomes of messages is told by signed webhooks.
#[derive(Clone)]
pub struct SimulatedGateway {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    seed: u64,
    key: Secret,
    state: Mutex<State>,
    scheduled: Notify,
}

struct State {
    behaviour: GatewayBehaviour,
    /// In the order in which they were taken.
    sent: Vec<SentMessage>,
    events: HashMap<CallId, Vec<(DateTime<Utc>, CallEvent)>>,
    requests: u64,
    lose_next_answer: bool,
    webhooks: BTreeMap<(DateTime<Utc>, u64), News>,
    scheduled: u64,
    fired: BTreeMap<&'static str, u64>,
}

/// What a webhook of the gateway tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    Receipt(CallUpdate),
    Inbound { id: String, from: E164, to: Sender, text: Personal<String>, at: DateTime<Utc> },
}

impl SimulatedGateway {
    /// The name it is registered under.
    pub const NAME: &str = "sim-sms";

    /// A gateway whose phones behave as `behaviour` and `seed` decide, in the time of `clock`.
    pub fn new(clock: Arc<dyn Clock>, seed: u64, behaviour: GatewayBehaviour) -> Self {
        let state = State {
            behaviour,
            sent: Vec::new(),
            events: HashMap::new(),
            requests: 0,
            lose_next_answer: false,
            webhooks: BTreeMap::new(),
            scheduled: 0,
            fired: BTreeMap::new(),
        };
        let key = Secret::new(format!("simulated-gateway-{seed}"));
        Self {
            shared: Arc::new(Shared { clock, seed, key, state: Mutex::new(state), scheduled: Notify::new() }),
        }
    }

    /// Every message that was sent, in the order in which they were taken; one that was asked for twice stands twice.
    pub fn sent(&self) -> Vec<SentMessage> {
        self.state().sent.clone()
    }

    /// Behaves differently from now on.
    pub fn set_behaviour(&self, behaviour: GatewayBehaviour) {
        self.state().behaviour = behaviour;
    }

    /// How often each kind of fault was seen to fire.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        self.state().fired.clone()
    }

    /// Loses the answer to the next request that sends a message.
    pub fn lose_next_answer(&self) {
        self.state().lose_next_answer = true;
    }

    /// A phone writes to one of the senders.
    pub fn write(&self, from: E164, to: Sender, text: &str) {
        let at = self.shared.clock.now();
        let mut state = self.state();
        let id = format!("in-{}", state.scheduled);
        state.schedule(at, News::Inbound { id, from, to, text: Personal::new(text.to_owned()), at });
        self.shared.scheduled.notify_one();
    }

    /// When the next webhook is to be delivered.
    pub fn next_event_at(&self) -> Option<DateTime<Utc>> {
        self.state().webhooks.keys().next().map(|(at, _)| *at)
    }

    /// Takes the webhooks that are due at `now`, signed, in the order of their times.
    pub fn take_webhooks(&self, now: DateTime<Utc>) -> Vec<WebhookRequest> {
        self.take_due(now).iter().map(|news| self.sign(news, now)).collect()
    }

    /// Takes what is due to be told at `now`, in the order of its times.
    pub(crate) fn take_due(&self, now: DateTime<Utc>) -> Vec<News> {
        self.state().take_due(now)
    }

    /// The webhook that tells news at `now`.
    pub(crate) fn sign(&self, news: &News, now: DateTime<Utc>) -> WebhookRequest {
        webhook::encode(news, &self.shared.key, now)
    }

    /// Tells news at `at`.
    pub(crate) fn tell_at(&self, at: DateTime<Utc>, news: News) {
        self.state().schedule(at, news);
    }

    /// Delivers the webhooks that are due to an engine, and delivers again what it could not store.
    pub async fn deliver_due(&self, rivvi: &Rivvi) {
        let now = self.shared.clock.now();
        let due = self.take_due(now);
        let requests: Vec<WebhookRequest> = due.iter().map(|news| self.sign(news, now)).collect();
        let answers =
            futures::future::join_all(requests.iter().map(|request| rivvi.receive(Self::NAME, request)))
                .await;
        for (news, answer) in due.into_iter().zip(answers) {
            if answer.is_err_and(|error| error.status().is_server_error()) {
                self.state().schedule(now + TimeDelta::seconds(10), news);
            }
        }
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

    /// What becomes of a message, told step by step, and what its recipient answers.
    fn story(&self, behaviour: &GatewayBehaviour, request: &SendSms, at: DateTime<Utc>) -> Story {
        let nth =
            u64::from_be_bytes(request.message_id.as_uuid().as_bytes()[8..].try_into().unwrap_or_default());
        let mut dice = Dice::new(self.shared.seed.wrapping_add(11), request.to, nth);
        let mut phone = Dice::new(self.shared.seed.wrapping_add(12), request.to, 0);
        let is_landline = request.to.kind() == NumberKind::FixedLine;
        let failure = if is_landline || phone.happens(behaviour.no_sms) {
            Some((DeliveryState::Failed, DeliveryFailure::NoSms, "30006"))
        } else if phone.happens(behaviour.unsubscribed) {
            Some((DeliveryState::Undelivered, DeliveryFailure::Unsubscribed, "21610"))
        } else if dice.happens(behaviour.unreachable) {
            Some((DeliveryState::Undelivered, DeliveryFailure::Unreachable, "30003"))
        } else {
            None
        };
        let after = |seconds: u64| at + TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0));
        let delivery = |state, failure, code: Option<&str>| CallEvent::Delivery {
            state,
            failure,
            code: code.map(str::to_owned),
        };
        let mut events = vec![
            (at, CallEvent::Accepted { reference: Some(reference(request.message_id)) }),
            (after(1), delivery(DeliveryState::Sent, None, None)),
        ];
        let last = after(2 + dice.below(20));
        let mut answer = None;
        events.push(match failure {
            Some((state, failure, code)) => (last, delivery(state, Some(failure), Some(code))),
            None => {
                if dice.happens(behaviour.replies) {
                    let text = if dice.happens(behaviour.stops) { " Stop. " } else { "Thank you" };
                    answer = Some((after(60 + dice.below(3_600)), text));
                }
                (last, delivery(DeliveryState::Delivered, None, None))
            }
        });
        let price = Money { micros: 7_900, currency: Currency::USD };
        Story { events, answer, price, dice }
    }
}

struct Story {
    events: Vec<(DateTime<Utc>, CallEvent)>,
    answer: Option<(DateTime<Utc>, &'static str)>,
    price: Money,
    dice: Dice,
}

impl State {
    fn schedule(&mut self, at: DateTime<Utc>, news: News) {
        self.scheduled += 1;
        self.webhooks.insert((at, self.scheduled), news);
    }

    fn take_due(&mut self, now: DateTime<Utc>) -> Vec<News> {
        let later = self.webhooks.split_off(&(now + TimeDelta::microseconds(1), 0));
        std::mem::replace(&mut self.webhooks, later).into_values().collect()
    }

    /// Schedules the webhooks of a message, with the faults of webhooks.
    fn tell(&mut self, request: &SendSms, story: &mut Story) {
        let receipts = story.events.iter().skip(1).map(|(at, event)| {
            let call = CallRef::Id(request.message_id);
            (*at, News::Receipt(CallUpdate { call, at: *at, event: event.clone() }))
        });
        let answer = story.answer.map(|(at, text)| {
            let id = format!("re-{}", request.message_id);
            let (from, to, text) = (request.to, request.from.clone(), Personal::new(text.to_owned()));
            (at, News::Inbound { id, from, to, text, at })
        });
        let news: Vec<_> = receipts.chain(answer).collect();
        for (at, news) in news {
            let (behaviour, dice) = (&self.behaviour, &mut story.dice);
            let is_receipt = matches!(news, News::Receipt(_));
            if is_receipt && dice.happens(behaviour.lost_webhooks) {
                *self.fired.entry("receipt lost").or_default() += 1;
                continue;
            }
            let late = dice.happens(behaviour.late_webhooks);
            let late = if late { dice.below(86_400) } else { 0 };
            let again = dice.happens(behaviour.repeated_webhooks).then(|| dice.below(600));
            for (fault, fires) in [("receipt late", late > 0), ("receipt repeated", again.is_some())] {
                *self.fired.entry(fault).or_default() += u64::from(fires);
            }
            let after = |seconds: u64| at + TimeDelta::seconds(i64::try_from(seconds).unwrap_or(0));
            if let Some(again) = again {
                self.schedule(after(again), news.clone());
            }
            self.schedule(after(late), news);
        }
    }
}

fn reference(id: CallId) -> String {
    format!("SM{}", id.as_uuid().simple())
}

#[async_trait]
impl SmsProvider for SimulatedGateway {
    fn name(&self) -> ProviderName {
        ProviderName::new(Self::NAME)
    }

    fn capabilities(&self) -> SmsCapabilities {
        let state = self.state();
        let mut capabilities = SmsCapabilities::default();
        capabilities.lookup = state.behaviour.lookup;
        capabilities.receipts = true;
        capabilities.sender_messages_per_second = state.behaviour.sender_messages_per_second;
        capabilities.settles_after = Duration::from_secs(1);
        capabilities
    }

    async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
        let now = self.shared.clock.now();
        let mut state = self.state();
        state.requests += 1;
        let behaviour = state.behaviour.clone();
        let mut dice = Dice::new(self.shared.seed.wrapping_add(13), request.to, state.requests);
        if dice.happens(behaviour.refused) {
            *state.fired.entry("message refused").or_default() += 1;
            let kinds = [ProviderErrorKind::Unavailable, ProviderErrorKind::RateLimited];
            let kind = kinds[usize::from(dice.happens(0.5))];
            return Err(ProviderError::not_sent(&self.name(), "send_sms", kind));
        }
        let mut story = self.story(&behaviour, request, now);
        let fate = story.events.iter().rev().find_map(|(_, event)| match event {
            CallEvent::Delivery { state, .. } => Some(*state),
            _ => None,
        });
        state.sent.push(SentMessage {
            id: request.message_id,
            at: now,
            to: request.to,
            from: request.from.clone(),
            text: request.text.clone(),
            fate: fate.unwrap_or(DeliveryState::Queued),
        });
        state.tell(request, &mut story);
        state.events.insert(request.message_id, story.events);
        self.shared.scheduled.notify_one();
        if std::mem::take(&mut state.lose_next_answer) || dice.happens(behaviour.lost_answers) {
            *state.fired.entry("message answer lost").or_default() += 1;
            return Err(ProviderError::unknown(&self.name(), "send_sms", ProviderErrorKind::Timeout));
        }
        Ok(SentSms { reference: Some(reference(request.message_id)), cost: Some(story.price) })
    }

    async fn find_sms(&self, query: &FindSms) -> Result<SmsLookup, ProviderError> {
        let now = self.shared.clock.now();
        let state = self.state();
        let can = match state.behaviour.lookup {
            Lookup::None => false,
            Lookup::ByReference => query.reference.is_some(),
            Lookup::ByCallId => true,
        };
        if !can {
            return Err(ProviderError::not_sent(&self.name(), "find_sms", ProviderErrorKind::Unsupported));
        }
        let Some(events) = state.events.get(&query.message_id) else { return Ok(SmsLookup::NotFound) };
        let so_far = events.iter().filter(|(at, _)| *at <= now);
        let call = CallRef::Id(query.message_id);
        let told = |(at, event): &(DateTime<Utc>, CallEvent)| CallUpdate {
            call: call.clone(),
            at: *at,
            event: event.clone(),
        };
        Ok(SmsLookup::Found(so_far.map(told).collect()))
    }

    fn decode_webhook(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Result<SmsNews, WebhookError> {
        let mut news = SmsNews::default();
        match webhook::decode(request, &self.shared.key, now, Duration::from_secs(300))? {
            News::Receipt(update) => news.updates.push(update),
            News::Inbound { id, from, to, text, at } => {
                news.inbound.push(InboundSms { id, from: Some(from), to, text, at, is_opt_out: false });
            }
        }
        Ok(news)
    }
}

impl fmt::Debug for SimulatedGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("SimulatedGateway")
            .field("seed", &self.shared.seed)
            .field("behaviour", &state.behaviour)
            .field("sent", &state.sent.len())
            .finish_non_exhaustive()
    }
}
