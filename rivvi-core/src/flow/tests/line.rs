//! A telephone line on which a session runs, for tests.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::flow::session::State;
use crate::flow::{Detected, Effect, Flow, FlowEnding, Input, Key, Session, Token, TransferOutcome, step};

/// Noon of Monday 4 May 2026, UTC.
pub(super) fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_777_896_000, 0).unwrap()
}

/// A session on its way, with all that it asked for.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    flow: &'a Flow,
    pub(super) session: Session,
    pub(super) now: DateTime<Utc>,
    /// Everything asked for so far.
    pub(super) all: Vec<Effect>,
    presses: u32,
}

impl<'a> Line<'a> {
    /// A call that was just answered.
    pub(super) fn answered(flow: &'a Flow, variables: &[(&str, &str)]) -> Self {
        let variables: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let session = Session::new(variables);
        let mut line = Self { flow, session, now: noon(), all: Vec::new(), presses: 0 };
        line.tell(&Input::Start);
        line
    }

    /// Tells the session something. Returns what it asks for.
    pub(super) fn tell(&mut self, input: &Input) -> Vec<Effect> {
        self.now += TimeDelta::seconds(1);
        let (session, effects) = step(self.flow, self.session.clone(), input, self.now);
        self.session = session;
        self.all.extend(effects.iter().cloned());
        effects
    }

    /// The next press of a key.
    pub(super) fn press_of(&mut self, key: char) -> Input {
        self.presses += 1;
        Input::Digit { id: format!("press-{}", self.presses), key: Key::new(key).unwrap() }
    }

    pub(super) fn press(&mut self, key: char) -> Vec<Effect> {
        let press = self.press_of(key);
        self.tell(&press)
    }

    /// Plays the prompt that is under way to its end.
    pub(super) fn played(&mut self) -> Vec<Effect> {
        let token = self.playback().expect("a prompt is under way");
        self.tell(&Input::PlaybackFinished { token })
    }

    /// Plays prompts to their end until the session waits for something else, or is over.
    pub(super) fn listens(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while self.playback().is_some() {
            effects.extend(self.played());
        }
        effects
    }

    /// Lets the time of the current timer pass.
    pub(super) fn waits(&mut self) -> Vec<Effect> {
        let token = self.timer().expect("a timer runs");
        self.tell(&Input::Timer { token })
    }

    pub(super) fn hears(&mut self, text: &str, confidence: f32, last: bool) -> Vec<Effect> {
        let token = self.thing();
        self.tell(&Input::SpeechResult { token, text: text.to_owned().into(), confidence, last })
    }

    pub(super) fn detects(&mut self, what: Detected) -> Vec<Effect> {
        let token = self.thing();
        self.tell(&Input::DetectionResult { token, what })
    }

    pub(super) fn recorded(&mut self, reference: Option<&str>) -> Vec<Effect> {
        let token = self.thing();
        let reference = reference.map(|reference| reference.to_owned().into());
        self.tell(&Input::RecordingFinished { token, reference })
    }

    pub(super) fn transferred(&mut self, outcome: TransferOutcome) -> Vec<Effect> {
        let token = self.thing();
        self.tell(&Input::TransferResult { token, outcome })
    }

    pub(super) fn playback(&self) -> Option<Token> {
        match &self.session.state {
            State::Prompting { playback, .. } => Some(*playback),
            _ => None,
        }
    }

    pub(super) fn timer(&self) -> Option<Token> {
        match &self.session.state {
            State::Prompting { timer, .. } | State::Waiting { timer, .. } => Some(*timer),
            State::New | State::Over { .. } => None,
        }
    }

    /// What the session waits for, if not a prompt.
    pub(super) fn thing(&self) -> Token {
        match &self.session.state {
            State::Waiting { token, .. } => *token,
            _ => Token(0),
        }
    }

    /// The id of the node it is at, with its sub-flow.
    pub(super) fn place(&self) -> String {
        self.session.place().map(ToString::to_string).unwrap_or_default()
    }

    pub(super) fn ending(&self) -> Option<FlowEnding> {
        self.session.ending()
    }

    pub(super) fn result(&self, name: &str) -> Option<&str> {
        self.session.results().expose().get(name).map(String::as_str)
    }
}

/// What is played and said.
pub(super) fn said(effects: &[Effect]) -> Vec<&str> {
    let said = effects.iter().filter_map(|effect| match effect {
        Effect::Say { text, .. } => Some(text.expose().as_str()),
        Effect::Play { audio, .. } => Some(audio.expose().as_str()),
        _ => None,
    });
    said.collect()
}

/// Names and keys of the actions asked for.
pub(super) fn actions(effects: &[Effect]) -> Vec<(&str, &str)> {
    let actions = effects.iter().filter_map(|effect| match effect {
        Effect::Action { key, name, .. } => Some((name.as_str(), key.as_str())),
        _ => None,
    });
    actions.collect()
}

pub(super) fn opt_outs(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| **effect == Effect::OptOut).count()
}
