//! What follows when something happens in a conversation.

use chrono::{DateTime, Utc};

use super::definition::{Flow, Node, NodeKind, NodePath};
use super::edge::counted;
use super::effect::{Effect, FlowEnding};
use super::input::{Detected, Input, Token, TransferOutcome};
use super::key::Key;
use super::session::{Exit, Session, State, Then, Trigger, Wait};

mod enter;
mod react;

pub(super) use enter::STACK_MAX;

/// Takes a conversation one step further: what was told, and when, to what is to be done now.
///
/// A pure function: the same flow, session, input and instant give the same session and effects, also after the
/// session was serialized and read back. Inputs that were told before, and those about something that is over, give the
/// session as it was and no effects. As long as a conversation has begun and is not over, it has a timer, so it cannot
/// hang; whatever the flow, at most a thousand nodes are visited.
///
/// Whoever runs it delivers the events of the effects ([`Effect::call_event`]) first and keeps the session then. If the
/// process dies between the two, the session of before, told the same again, asks for the same actions with the same
/// keys, and each takes effect once.
pub fn step(flow: &Flow, session: Session, input: &Input, now: DateTime<Utc>) -> (Session, Vec<Effect>) {
    let mut stepper = Stepper { flow, session, now, effects: Vec::new(), carried: None };
    stepper.take(input);
    (stepper.session, stepper.effects)
}

struct Stepper<'a> {
    flow: &'a Flow,
    session: Session,
    now: DateTime<Utc>,
    effects: Vec<Effect>,
    /// A key that cut a prompt short and is meant for the node after it.
    carried: Option<Key>,
}

impl<'a> Stepper<'a> {
    fn take(&mut self, input: &Input) {
        if self.session.ending().is_some() {
            return;
        }
        let exit = match input {
            Input::Start => self.start(),
            Input::HungUp => {
                self.end(FlowEnding::HungUp);
                None
            }
            Input::PlaybackFinished { token } => self.prompt_over(*token),
            Input::Digit { id, key } => self.digit(id, *key),
            Input::Timer { token } => self.timer(*token),
            Input::SpeechResult { token, text, confidence, last } => self
                .waits(*token, |what| *what == Wait::Speech)
                .and_then(|node| self.speech(node, text.expose(), *confidence, *last)),
            Input::DetectionResult { token, what } => {
                let node = self.waits(*token, |waiting| *waiting == Wait::Detection);
                node.and_then(|node| self.detected(node, *what))
            }
            Input::RecordingFinished { token, reference } => {
                let node = self.waits(*token, |what| *what == Wait::Recording);
                node.and_then(|node| {
                    self.recorded(node, reference.as_ref().map(|place| place.expose().as_str()))
                })
            }
            Input::TransferResult { token, outcome } => {
                let node = self.waits(*token, |what| matches!(what, Wait::Agent { .. }));
                node.and_then(|node| self.transferred(node, *outcome))
            }
            Input::ActionResult { key, done, values } => self.result(key, *done, values.expose()),
        };
        if let Some(exit) = exit {
            self.leave(exit);
        }
    }

    fn start(&mut self) -> Option<Exit> {
        let is_new = self.session.state == State::New;
        is_new.then(|| Exit::Go { next: Some(self.flow.main.start.clone()), by: Trigger::Start })
    }

    /// The node it is at.
    fn node(&self) -> Option<&'a Node> {
        self.flow.node(self.session.place.as_ref()?)
    }

    /// The node, if the session waits for the thing of this token.
    fn waits(&self, thing: Token, for_this: impl Fn(&Wait) -> bool) -> Option<&'a Node> {
        match &self.session.state {
            State::Waiting { token, what, .. } if *token == thing && for_this(what) => self.node(),
            _ => None,
        }
    }

    /// Goes on after the prompt of this token, if it is the one under way.
    fn prompt_over(&mut self, token: Token) -> Option<Exit> {
        let then = match &self.session.state {
            State::Prompting { playback, then, .. } if *playback == token => then.clone(),
            _ => return None,
        };
        match then {
            Then::Leave(exit) => Some(exit),
            Then::Wait => self.wait_at(self.node()?),
            Then::Again => self.begin(self.node()?),
        }
    }

    fn timer(&mut self, told: Token) -> Option<Exit> {
        let (token, what) = match &self.session.state {
            State::Prompting { playback, timer, .. } if *timer == told => {
                let token = *playback;
                self.effects.push(Effect::StopPlayback { token });
                return self.prompt_over(token);
            }
            State::Waiting { token, timer, what } if *timer == told => (*token, what.clone()),
            _ => return None,
        };
        let node = self.node()?;
        match what {
            Wait::Digits => self.silence(node),
            Wait::Speech => {
                self.effects.push(Effect::StopListening { token });
                self.silence(node)
            }
            Wait::Recording => {
                self.effects.push(Effect::StopRecording { token });
                self.recorded(node, None)
            }
            Wait::Detection => self.detected(node, Detected::Unknown),
            Wait::Agent { connected, .. } => {
                self.effects.push(Effect::StopTransfer { token });
                let outcome = if connected { TransferOutcome::Ended } else { TransferOutcome::NoAnswer };
                self.transferred(node, outcome)
            }
            Wait::Result { .. } => self.no_result(node),
            Wait::Time => Some(go_on(node)),
        }
    }

    /// Silence with enough keys before it is an entry, all other silence a timeout.
    fn silence(&mut self, node: &'a Node) -> Option<Exit> {
        if let NodeKind::CaptureInput { min, .. } = &node.kind
            && self.session.digits.expose().len() >= usize::from(*min).max(1)
        {
            return self.entered(node);
        }
        self.timed_out(node)
    }

    fn digit(&mut self, id: &str, key: Key) -> Option<Exit> {
        if self.session.state == State::New || !self.session.press(id) {
            return None;
        }
        let node = self.node()?;
        if node.opt_out && self.flow.opt_out_key() == Some(key) {
            return self.opt_out();
        }
        match &self.session.state {
            State::Prompting { playback, barge_in: true, then, .. } => {
                let (token, then) = (*playback, then.clone());
                self.effects.push(Effect::StopPlayback { token });
                match then {
                    Then::Leave(exit) => {
                        self.carried = Some(key);
                        Some(exit)
                    }
                    Then::Wait | Then::Again => self.key(node, key),
                }
            }
            State::Waiting { what: Wait::Digits, .. } => self.key(node, key),
            State::Waiting { what: Wait::Speech, token, .. } if hears_keys(node) => {
                let token = *token;
                self.effects.push(Effect::StopListening { token });
                self.key(node, key)
            }
            _ => None,
        }
    }

    /// A key at a node that waits for keys.
    fn key(&mut self, node: &'a Node, key: Key) -> Option<Exit> {
        match &node.kind {
            NodeKind::Menu { keys, .. } | NodeKind::Listen { keys, .. } => match keys.get(&key) {
                Some(reaction) => {
                    self.keep(node, reaction.value.clone().unwrap_or_else(|| key.to_string()));
                    self.react(node, reaction, Trigger::Key(key), None)
                }
                None => self.invalid(node),
            },
            NodeKind::CaptureInput { min, max, terminator, .. } => {
                let length = self.session.digits.expose().len();
                if *terminator == Some(key) {
                    return if length < usize::from(*min) { self.invalid(node) } else { self.entered(node) };
                }
                let mut digits = std::mem::take(&mut self.session.digits).into_inner();
                digits.push(key.sign());
                self.session.digits = digits.into();
                if length + 1 >= usize::from(*max) { self.entered(node) } else { self.wait_at(node) }
            }
            // A prompt before a recording that was cut short.
            _ => self.wait_at(node),
        }
    }

    /// What was entered is complete.
    fn entered(&mut self, node: &'a Node) -> Option<Exit> {
        let NodeKind::CaptureInput { entries, .. } = &node.kind else { return None };
        let entry = std::mem::take(&mut self.session.digits).into_inner();
        let known = entries.get(&entry);
        if known.is_none() && !entries.is_empty() {
            return self.invalid(node);
        }
        let value = known.and_then(|reaction| reaction.value.clone());
        self.keep(node, value.unwrap_or_else(|| entry.clone()));
        match known {
            Some(reaction) => self.react(node, reaction, Trigger::Entry(entry), None),
            None => Some(go_on(node)),
        }
    }

    fn speech(&mut self, node: &'a Node, text: &str, confidence: f32, last: bool) -> Option<Exit> {
        let NodeKind::Listen { phrases, confidence_min, .. } = &node.kind else { return None };
        let State::Waiting { token, .. } = self.session.state else { return None };
        let said = text.to_lowercase();
        let understood = confidence >= *confidence_min && !said.trim().is_empty();
        let known = phrases.iter().enumerate().find(|(_, phrase)| {
            understood && phrase.any.iter().any(|part| said.contains(&part.to_lowercase()))
        });
        if known.is_none() && !last {
            // Somebody is speaking: silence is counted anew.
            let timer = self.timer_of(node);
            self.session.state = State::Waiting { token, timer, what: Wait::Speech };
            return None;
        }
        if !last {
            self.effects.push(Effect::StopListening { token });
        }
        match known {
            Some((place, phrase)) => {
                self.keep(node, phrase.reaction.value.as_deref().unwrap_or(text.trim()));
                let by = Trigger::Phrase(counted(place));
                self.react(node, &phrase.reaction, by, None)
            }
            None if phrases.is_empty() && understood => {
                self.keep(node, text.trim());
                Some(go_on(node))
            }
            None => self.invalid(node),
        }
    }

    fn recorded(&mut self, node: &'a Node, reference: Option<&str>) -> Option<Exit> {
        let NodeKind::Record { on_failed, .. } = &node.kind else { return None };
        match reference {
            Some(reference) => {
                self.keep(node, reference);
                Some(go_on(node))
            }
            None => self.react(node, on_failed, Trigger::Failed, None),
        }
    }

    fn detected(&mut self, node: &'a Node, what: Detected) -> Option<Exit> {
        let NodeKind::Detect { on_human, on_voicemail, on_ivr, on_unknown, .. } = &node.kind else {
            return None;
        };
        self.keep(node, what.name());
        let (reaction, by) = match what {
            Detected::Human => (on_human, Trigger::Human),
            Detected::Voicemail => (on_voicemail, Trigger::Voicemail),
            Detected::Ivr => (on_ivr, Trigger::Ivr),
            Detected::Unknown => (on_unknown, Trigger::Unknown),
        };
        self.react(node, reaction, by, None)
    }

    fn keep(&mut self, node: &Node, value: impl Into<String>) {
        if let Some(name) = node.result_name() {
            self.session.keep(name, value);
        }
    }

    /// Pressing the opt-out key: at once onto the suppression list, then a last prompt if there is one, and the end.
    fn opt_out(&mut self) -> Option<Exit> {
        let over = Exit::HangUp { ending: FlowEnding::OptedOut };
        match &self.session.state {
            State::Prompting { then: Then::Leave(exit), .. } if *exit == over => return None,
            State::Prompting { playback, .. } => {
                let token = *playback;
                self.effects.push(Effect::StopPlayback { token });
            }
            State::Waiting { token, what, .. } => {
                let token = *token;
                match what {
                    Wait::Speech => self.effects.push(Effect::StopListening { token }),
                    Wait::Recording => self.effects.push(Effect::StopRecording { token }),
                    Wait::Agent { .. } => self.effects.push(Effect::StopTransfer { token }),
                    _ => {}
                }
            }
            State::New | State::Over { .. } => {}
        }
        self.suppress();
        match &self.flow.settings.prompts.opt_out {
            Some(prompt) => self.prompt(prompt, false, Then::Leave(over)),
            None => Some(over),
        }
    }

    fn suppress(&mut self) {
        if !std::mem::replace(&mut self.session.opted_out, true) {
            self.effects.push(Effect::OptOut);
        }
    }

    fn end(&mut self, ending: FlowEnding) {
        self.session.state = State::Over { ending };
        self.effects.push(Effect::Ended { ending });
    }
}

/// Whether keys mean something to a node that listens.
fn hears_keys(node: &Node) -> bool {
    matches!(&node.kind, NodeKind::Listen { keys, .. } if !keys.is_empty())
}

/// To where the node leads when it is done.
fn go_on(node: &Node) -> Exit {
    Exit::Go { next: node.next.clone(), by: Trigger::Next }
}

/// The node with this id beside `place`.
fn beside(place: Option<&NodePath>, node: std::sync::Arc<str>) -> NodePath {
    NodePath { subflow: place.and_then(|place| place.subflow.clone()), node }
}
