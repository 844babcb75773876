//! Where a conversation stands.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::definition::NodePath;
use super::effect::FlowEnding;
use super::input::Token;
use super::key::Key;
use crate::domain::Personal;
use crate::provider::PlaceCall;

/// One conversation: everything [`step`](super::step) needs to go on, also after a restart. Serialize it between steps.
///
/// It holds what the callee entered and what is known of them; `Debug` does not show that.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub(super) state: State,
    /// Where it is; `None` before the start.
    pub(super) place: Option<NodePath>,
    /// The `subflow` nodes to come back to, the innermost last.
    pub(super) stack: Vec<NodePath>,
    /// What was known before the call.
    variables: Personal<BTreeMap<String, String>>,
    /// What was learnt in it.
    pub(super) results: Personal<BTreeMap<String, String>>,
    /// What was entered so far at this node.
    pub(super) digits: Personal<String>,
    pub(super) invalid_inputs: u8,
    pub(super) timeouts: u8,
    pub(super) opted_out: bool,
    tokens: u32,
    /// When the latest timer ends.
    pub(super) timer_ends_at: Option<DateTime<Utc>>,
    path: Vec<Visit>,
    /// Ids of the latest presses of keys.
    presses: VecDeque<String>,
}

/// Presses whose ids are remembered.
const PRESSES_MAX: usize = 256;

impl Session {
    /// A conversation that has not begun, with what is known of the callee.
    pub fn new(variables: BTreeMap<String, String>) -> Self {
        Self {
            state: State::New,
            place: None,
            stack: Vec::new(),
            variables: Personal::new(variables),
            results: Personal::default(),
            digits: Personal::default(),
            invalid_inputs: 0,
            timeouts: 0,
            opted_out: false,
            tokens: 0,
            timer_ends_at: None,
            path: Vec::new(),
            presses: VecDeque::new(),
        }
    }

    /// The conversation of a call that is about to be placed: its variables, and what is known of the person under the
    /// names `phone`, `first_name`, `last_name`, `date_of_birth`, `email` and `language`.
    pub fn for_call(call: &PlaceCall) -> Self {
        let mut variables = BTreeMap::clone(call.variables.expose());
        let person = call.person.variables(call.to);
        variables.extend(person.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Self::new(variables)
    }

    /// How it ended, if it has.
    pub fn ending(&self) -> Option<FlowEnding> {
        match &self.state {
            State::Over { ending } => Some(*ending),
            _ => None,
        }
    }

    /// The node it is at, or was at last.
    pub fn place(&self) -> Option<&NodePath> {
        self.place.as_ref()
    }

    /// The timer that runs and when it ends; every session that has begun and is not over has one. Start it again
    /// after a restart: whatever else got lost then, the conversation goes on when it ends.
    pub fn timer(&self) -> Option<(Token, DateTime<Utc>)> {
        match &self.state {
            State::Prompting { timer, .. } | State::Waiting { timer, .. } => {
                self.timer_ends_at.map(|ends_at| (*timer, ends_at))
            }
            State::New | State::Over { .. } => None,
        }
    }

    /// The nodes it came through.
    pub fn path(&self) -> &[Visit] {
        &self.path
    }

    /// What was learnt in it: entries, keys, and how transfers and actions ended, under the names the flow gives.
    pub fn results(&self) -> &Personal<BTreeMap<String, String>> {
        &self.results
    }

    /// Whether the callee opted out.
    pub fn opted_out(&self) -> bool {
        self.opted_out
    }

    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let known = self.results.expose().get(name).or_else(|| self.variables.expose().get(name));
        known.map(String::as_str)
    }

    pub(super) fn next_token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    pub(super) fn visit(&mut self, node: NodePath, by: Trigger, at: DateTime<Utc>) {
        self.place = Some(node.clone());
        self.path.push(Visit { node, by, at });
        self.digits = Personal::default();
        (self.invalid_inputs, self.timeouts) = (0, 0);
    }

    /// Notes a press. Returns whether it is new.
    pub(super) fn press(&mut self, id: &str) -> bool {
        if self.presses.iter().any(|known| known == id) {
            return false;
        }
        if self.presses.len() == PRESSES_MAX {
            self.presses.pop_front();
        }
        self.presses.push_back(id.to_owned());
        true
    }

    pub(super) fn keep(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let mut results = std::mem::take(&mut self.results).into_inner();
        results.insert(name.into(), value.into());
        self.results = Personal::new(results);
    }
}

/// What a session waits for. Every state before the last has a timer, so none lasts for ever.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub(super) enum State {
    New,
    /// A prompt is under way.
    Prompting {
        playback: Token,
        timer: Token,
        barge_in: bool,
        then: Then,
    },
    /// Something else is under way, named `token`.
    Waiting {
        token: Token,
        timer: Token,
        what: Wait,
    },
    Over {
        ending: FlowEnding,
    },
}

/// What follows a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Then {
    /// The node waits.
    Wait,
    /// The node starts over.
    Again,
    /// The node is left.
    Leave(Exit),
}

/// How a node is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Exit {
    /// To another node, or to the end of the flow or sub-flow.
    Go { next: Option<Arc<str>>, by: Trigger },
    /// Into a sub-flow.
    Enter { flow: Arc<str> },
    /// To an agent, and out of the node after that.
    Transfer { to: Option<Personal<String>>, then: Box<Exit> },
    /// To the end of the call.
    HangUp { ending: FlowEnding },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wait {
    Digits,
    Speech,
    Recording,
    Detection,
    /// An agent. What follows is told by the node, if that is a transfer itself, or else by `then`.
    Agent {
        then: Option<Box<Exit>>,
        connected: bool,
    },
    /// The result of the action with this key.
    Result {
        key: String,
    },
    Time,
}

/// One node that a session came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The node.
    pub node: NodePath,
    /// What led from the node before to it.
    pub by: Trigger,
    /// When.
    pub at: DateTime<Utc>,
}

/// What leads from a node to the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trigger {
    /// The beginning of the call.
    Start,
    /// The node is done.
    Next,
    /// A key.
    Key(Key),
    /// One of the entries that the node knows.
    Entry(String),
    /// One of the phrases that the node knows, counted from 0.
    Phrase(u16),
    /// One of the cases of a branch, counted from 0.
    Case(u16),
    /// Wrong input, more often than the node allows.
    Invalid,
    /// No input, more often than the node allows.
    Timeout,
    /// A human answered.
    Human,
    /// A voicemail answered.
    Voicemail,
    /// A machine with a menu answered.
    Ivr,
    /// It is not known who answered.
    Unknown,
    /// The agent was busy.
    Busy,
    /// The agent did not answer.
    NoAnswer,
    /// It failed.
    Failed,
    /// Into a sub-flow.
    Enter,
    /// Back from a sub-flow.
    Return,
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start"),
            Self::Next => f.write_str("next"),
            Self::Key(key) => key.fmt(f),
            Self::Entry(entry) => write!(f, "entry {entry}"),
            Self::Phrase(place) => write!(f, "phrase {}", place + 1),
            Self::Case(place) => write!(f, "case {}", place + 1),
            Self::Invalid => f.write_str("wrong input"),
            Self::Timeout => f.write_str("silence"),
            Self::Human => f.write_str("human"),
            Self::Voicemail => f.write_str("voicemail"),
            Self::Ivr => f.write_str("ivr"),
            Self::Unknown => f.write_str("unknown"),
            Self::Busy => f.write_str("busy"),
            Self::NoAnswer => f.write_str("no answer"),
            Self::Failed => f.write_str("failed"),
            Self::Enter => f.write_str("enter"),
            Self::Return => f.write_str("return"),
        }
    }
}
