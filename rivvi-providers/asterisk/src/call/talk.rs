//! A conversation led by a flow: from effects to orders, from what happens to inputs. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rivvi_core::flow::{Detected, Effect, Flow, Input, Key, Session, Token, TransferOutcome, step};

use rivvi_core::provider::{ActionResult, Recognized};

use super::detection::Detection;
use super::order::{Order, presses};
use super::transfer::Transfer;
use crate::ari::{Event, What};

/// A flow at work in one call.
#[derive(Debug)]
pub(crate) struct Talk {
    /// The id of the call's channel.
    channel: String,
    flow: Arc<Flow>,
    session: Session,
    started: bool,
    /// Whether the channel takes commands; while it is in the dialplan, it does not.
    commandable: bool,
    /// What waits until it does.
    waiting: Vec<Effect>,
    /// The text that speech is being made of.
    speaking: Option<Token>,
    /// Whether speech is being recognized.
    listening: bool,
    detection: Option<Detection>,
    transfer: Option<Transfer>,
    /// What is being recorded, and the key that ends it if Asterisk does not know that key.
    recording: Option<(Token, Option<Key>)>,
    presses: u64,
    over: bool,
}

impl Talk {
    pub(crate) fn new(channel: String, flow: Arc<Flow>, session: Session) -> Self {
        Self {
            channel,
            flow,
            session,
            started: false,
            commandable: false,
            waiting: Vec::new(),
            speaking: None,
            listening: false,
            detection: None,
            transfer: None,
            recording: None,
            presses: 0,
            over: false,
        }
    }

    /// Whether this is the channel of an agent.
    pub(crate) fn has_agent(&self, channel: &str) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.channel == channel)
    }

    /// Whether a recording is under way.
    pub(crate) fn is_recording(&self) -> bool {
        self.recording.is_some()
    }

    /// Whether the channel is in the dialplan to find out who answered.
    pub(crate) fn is_detecting(&self) -> bool {
        !self.commandable && self.detection.as_ref().is_some_and(Detection::is_listening)
    }

    /// When it is to be told of the time.
    pub(crate) fn wake_at(&self) -> Option<DateTime<Utc>> {
        let timer = self.session.timer().map(|(_, at)| at);
        let detection = self.detection.as_ref().and_then(Detection::wake_at);
        timer.into_iter().chain(detection).min()
    }

    /// The time has come on.
    pub(crate) fn wake(&mut self, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        if let Some(found) = self.detection.as_mut().and_then(|detection| detection.wake(now)) {
            self.detected(found, now, orders);
        }
        if let Some((token, at)) = self.session.timer()
            && at <= now
        {
            self.tell(&Input::Timer { token }, now, orders);
        }
    }

    /// The channel takes commands, for the first time or again.
    pub(crate) fn commandable(
        &mut self,
        found: Option<Detected>,
        now: DateTime<Utc>,
        orders: &mut Vec<Order>,
    ) {
        self.commandable = true;
        for effect in std::mem::take(&mut self.waiting) {
            self.perform(effect, now, orders);
        }
        if !std::mem::replace(&mut self.started, true) {
            self.tell(&Input::Start, now, orders);
        }
        if let (Some(found), Some(detection)) = (found, &mut self.detection)
            && let Some(found) = detection.back(found, now, orders)
        {
            self.detected(found, now, orders);
        }
    }

    /// Takes an event of the callee's channel.
    pub(crate) fn take(&mut self, event: &Event, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        match &event.what {
            What::Dtmf(sign) => self.pressed(*sign, now, orders),
            What::PlaybackFinished { id } => {
                if let Some(token) = self.token_of(id, 'p') {
                    self.tell(&Input::PlaybackFinished { token }, now, orders);
                }
            }
            What::RecordingFinished { name } => {
                if let Some(token) = self.token_of(name, 'r') {
                    self.recording = None;
                    orders.push(Order::Keep { token: Some(token), name: name.clone() });
                }
            }
            What::RecordingFailed { name } => {
                if let Some(token) = self.token_of(name, 'r') {
                    self.recorded(token, None, now, orders);
                }
            }
            what => {
                if let Some(found) = self.detection.as_mut().and_then(|detection| detection.take(what)) {
                    self.detected(found, now, orders);
                }
            }
        }
    }

    /// Takes an event of the agent's channel.
    pub(crate) fn take_of_agent(&mut self, event: &Event, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        let Some(transfer) = &mut self.transfer else { return };
        let Some(outcome) = transfer.take(event, orders) else { return };
        self.transferred(outcome, now, orders);
    }

    /// These are the channels beside the callee's, with what those entered our application with that are there: news of
    /// them may have been missed.
    pub(crate) fn beside(
        &mut self,
        there: &BTreeMap<String, Option<Vec<String>>>,
        now: DateTime<Utc>,
        orders: &mut Vec<Order>,
    ) {
        let Some(transfer) = &mut self.transfer else { return };
        let entered = there.get(&transfer.channel).map(Option::is_some);
        if let Some(outcome) = transfer.catch_up(entered, orders) {
            self.transferred(outcome, now, orders);
        }
    }

    /// This agent could not be called.
    pub(crate) fn agent_failed(&mut self, channel: &str, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.channel == channel) else {
            return;
        };
        let outcome = transfer.failed(orders);
        self.transferred(outcome, now, orders);
    }

    /// The callee and this agent were connected, or could not be.
    pub(crate) fn bridged(&mut self, channel: &str, done: bool, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        let Some(transfer) = self.transfer.as_mut().filter(|transfer| transfer.channel == channel) else {
            return;
        };
        let outcome = if done { transfer.bridged() } else { transfer.failed(orders) };
        self.transferred(outcome, now, orders);
    }

    fn transferred(&mut self, outcome: TransferOutcome, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        let Some(token) = self.transfer.as_ref().map(|transfer| transfer.token) else { return };
        if outcome != TransferOutcome::Connected {
            self.transfer = None;
        }
        self.tell(&Input::TransferResult { token, outcome }, now, orders);
    }

    /// Speech was made of a text, or could not be.
    pub(crate) fn spoken(
        &mut self,
        token: Token,
        audio: Option<String>,
        now: DateTime<Utc>,
        orders: &mut Vec<Order>,
    ) {
        if self.speaking != Some(token) {
            return;
        }
        self.speaking = None;
        match audio {
            Some(audio) => self.perform(Effect::Play { token, audio: audio.into() }, now, orders),
            None => self.tell(&Input::PlaybackFinished { token }, now, orders),
        }
    }

    /// The callee said something.
    pub(crate) fn heard(
        &mut self,
        token: Token,
        heard: Recognized,
        now: DateTime<Utc>,
        orders: &mut Vec<Order>,
    ) {
        let Recognized { text, confidence, last } = heard;
        self.listening &= !last;
        self.tell(&Input::SpeechResult { token, text, confidence, last }, now, orders);
    }

    /// An action gives something back.
    pub(crate) fn action_result(
        &mut self,
        key: String,
        result: ActionResult,
        now: DateTime<Utc>,
        orders: &mut Vec<Order>,
    ) {
        let ActionResult { done, values } = result;
        self.tell(&Input::ActionResult { key, done, values }, now, orders);
    }

    /// A playback could not be begun.
    pub(crate) fn not_played(&mut self, token: Token, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        self.tell(&Input::PlaybackFinished { token }, now, orders);
    }

    /// A recording is kept, or could not be made or kept.
    pub(crate) fn recorded(
        &mut self,
        token: Token,
        reference: Option<String>,
        now: DateTime<Utc>,
        orders: &mut Vec<Order>,
    ) {
        self.recording = None;
        let reference = reference.map(Into::into);
        self.tell(&Input::RecordingFinished { token, reference }, now, orders);
    }

    /// The callee is gone.
    pub(crate) fn hung_up(&mut self, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        self.commandable = false;
        self.tell(&Input::HungUp, now, orders);
        if std::mem::take(&mut self.listening) {
            orders.push(Order::StopListening);
        }
        self.over = true;
        self.waiting.clear();
        if let Some(transfer) = self.transfer.take() {
            transfer.abandon(orders);
        }
    }

    fn pressed(&mut self, sign: char, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        let Some(key) = Key::new(sign) else { return };
        if let Some((token, Some(terminator))) = self.recording
            && terminator == key
        {
            orders.push(Order::StopRecording { name: self.name('r', token) });
        }
        self.presses += 1;
        let id = self.presses.to_string();
        self.tell(&Input::Digit { id, key }, now, orders);
    }

    fn detected(&mut self, what: Detected, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        if let Some(Detection { token, .. }) = self.detection.take() {
            self.tell(&Input::DetectionResult { token, what }, now, orders);
        }
    }

    fn tell(&mut self, input: &Input, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        if self.over {
            return;
        }
        let session = std::mem::replace(&mut self.session, Session::new(BTreeMap::new()));
        let (session, effects) = step(&self.flow, session, input, now);
        self.session = session;
        for effect in effects {
            self.perform(effect, now, orders);
        }
    }

    fn perform(&mut self, effect: Effect, now: DateTime<Utc>, orders: &mut Vec<Order>) {
        if let Some(event) = effect.call_event() {
            orders.push(Order::Tell { event, at: now });
            return;
        }
        if !self.commandable && self.wait(&effect) {
            return;
        }
        match effect {
            Effect::Play { token, audio } => {
                orders.push(Order::Play { token, playback: self.name('p', token), audio });
            }
            Effect::Say { token, text, language, voice } => {
                self.speaking = Some(token);
                orders.push(Order::Speak { token, text, language, voice });
            }
            Effect::StopPlayback { token } if self.speaking == Some(token) => self.speaking = None,
            Effect::StopPlayback { token } => {
                orders.push(Order::StopPlayback { playback: self.name('p', token) });
            }
            Effect::Record { token, rules } => {
                let own = rules.terminator.filter(|key| !matches!(key.sign(), '#' | '*'));
                self.recording = Some((token, own));
                orders.push(Order::Record { token, name: self.name('r', token), rules });
            }
            Effect::StopRecording { token } => {
                orders.push(Order::StopRecording { name: self.name('r', token) });
            }
            Effect::SendDtmf { digits } => {
                orders.push(Order::Press { groups: presses(digits.expose()) });
            }
            Effect::Detect { token, await_greeting_end } => {
                self.detection = Some(Detection::new(token, await_greeting_end));
                self.commandable = false;
                orders.push(Order::Detect);
            }
            Effect::Transfer { token, to, ring_timeout } => {
                if let Some(earlier) = self.transfer.take() {
                    earlier.abandon(orders);
                }
                let transfer = Transfer::new(token, &self.channel);
                orders.push(Order::Ring(true));
                let channel = transfer.channel.clone();
                orders.push(Order::CallAgent { token, channel, to, ring_timeout });
                self.transfer = Some(transfer);
            }
            Effect::Listen { token, hints, language } => {
                self.listening = true;
                orders.push(Order::Listen { token, language, hints });
            }
            Effect::StopListening { .. } => {
                self.listening = false;
                orders.push(Order::StopListening);
            }
            Effect::StopTransfer { token } => {
                if let Some(transfer) = self.transfer.take_if(|transfer| transfer.token == token) {
                    transfer.give_up(orders);
                }
            }
            Effect::HangUp => orders.push(Order::HangUp { channel: self.channel.clone() }),
            // Timers are the session's own; ends are told by the channel.
            _ => {}
        }
    }

    /// Puts an effect off until the channel takes commands, if it needs that. What stops something that waits too
    /// removes it. Returns whether nothing is to be done now.
    fn wait(&mut self, effect: &Effect) -> bool {
        let stopped = match effect {
            Effect::StopPlayback { token } | Effect::StopTransfer { token } => token,
            Effect::Play { .. }
            | Effect::Say { .. }
            | Effect::Record { .. }
            | Effect::StopRecording { .. }
            | Effect::SendDtmf { .. }
            | Effect::Detect { .. }
            | Effect::Transfer { .. } => {
                self.waiting.push(effect.clone());
                return true;
            }
            _ => return false,
        };
        let before = self.waiting.len();
        self.waiting.retain(|waiting| {
            !matches!(
                waiting,
                Effect::Play { token, .. } | Effect::Say { token, .. } | Effect::Transfer { token, .. }
                    if token == stopped
            )
        });
        self.waiting.len() != before
    }

    fn name(&self, kind: char, token: Token) -> String {
        format!("{}-{kind}{token}", self.channel)
    }

    /// The token in a name that [`name`](Self::name) made.
    fn token_of(&self, name: &str, kind: char) -> Option<Token> {
        let rest = name.strip_prefix(self.channel.as_str())?.strip_prefix('-')?;
        rest.strip_prefix(kind)?.parse().ok().map(Token)
    }
}
