//! The form in which flows are written: every field of every kind of node, all optional.
//!
//! It is a superset of `IVRFlowDefinition { nodes, startNodeId }` with its nodes
//! `{ id, type, audioUrl, timeout, validInputs, actions, nextNodeId }` and actions `{ type, parameters }`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::action::Action;
use super::definition::{Case, Value};
use super::key::{Key, KeyError};
use super::reaction::{WrittenPrompt, WrittenReaction};
use super::template::Template;
use crate::domain::Span;

mod read;
mod source;
mod write;

pub(super) use write::type_of;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenFlow {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(alias = "startNodeId")]
    start: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    language: Option<Template>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    voice: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opt_out_key: Option<KeyOrNone>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    barge_in: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prompt_max: Option<Seconds>,
    #[serde(default, skip_serializing_if = "WrittenPrompts::is_empty")]
    prompts: WrittenPrompts,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    variables: BTreeMap<String, Value>,
    nodes: Vec<WrittenNode>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    subflows: Vec<WrittenSubflow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSubflow {
    id: Arc<str>,
    #[serde(alias = "startNodeId")]
    start: Arc<str>,
    nodes: Vec<WrittenNode>,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WrittenPrompts {
    #[serde(skip_serializing_if = "Option::is_none")]
    invalid: Option<WrittenPrompt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<WrittenPrompt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_out: Option<WrittenPrompt>,
}

impl WrittenPrompts {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NodeType {
    PlayAudio,
    Say,
    Menu,
    CaptureInput,
    Action,
    Branch,
    Goto,
    Record,
    Transfer,
    Wait,
    SendDtmf,
    Listen,
    Detect,
    Subflow,
    Return,
    HangUp,
}

impl NodeType {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PlayAudio => "play_audio",
            Self::Say => "say",
            Self::Menu => "menu",
            Self::CaptureInput => "capture_input",
            Self::Action => "action",
            Self::Branch => "branch",
            Self::Goto => "goto",
            Self::Record => "record",
            Self::Transfer => "transfer",
            Self::Wait => "wait",
            Self::SendDtmf => "send_dtmf",
            Self::Listen => "listen",
            Self::Detect => "detect",
            Self::Subflow => "subflow",
            Self::Return => "return",
            Self::HangUp => "hang_up",
        }
    }
}

/// A node with every field that some kind of node has.
macro_rules! written_node {
    ($($(#[$attribute:meta])* $field:ident: $type:ty),+ $(,)?) => {
        #[derive(Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct WrittenNode {
            id: Arc<str>,
            #[serde(rename = "type")]
            kind: NodeType,
            $(
                #[serde(default, skip_serializing_if = "Option::is_none")]
                $(#[$attribute])*
                $field: Option<$type>,
            )+
        }

        impl WrittenNode {
            fn new(id: Arc<str>, kind: NodeType) -> Self {
                Self { id, kind, $($field: None),+ }
            }
        }
    };
}

written_node! {
    #[serde(alias = "nextNodeId")]
    next: Arc<str>,
    save_as: String,
    opt_out: bool,
    #[serde(alias = "audioUrl")]
    audio: Template,
    text: Template,
    language: Template,
    barge_in: bool,
    timeout: Seconds,
    retries: u8,
    min: u8,
    max: u8,
    terminator: KeyOrNone,
    #[serde(alias = "validInputs")]
    valid_inputs: Vec<String>,
    confidence_min: f32,
    to: Template,
    digits: Template,
    duration: Seconds,
    max_duration: Seconds,
    silence: Seconds,
    beep: bool,
    await_greeting_end: bool,
    flow: Arc<str>,
    wait_for_result: Seconds,
    action: Action,
    actions: ActionList,
    keys: BTreeMap<String, WrittenReaction>,
    phrases: Vec<WrittenPhrase>,
    cases: Vec<Case>,
    on_invalid: WrittenReaction,
    on_timeout: WrittenReaction,
    on_human: WrittenReaction,
    on_voicemail: WrittenReaction,
    on_ivr: WrittenReaction,
    on_unknown: WrittenReaction,
    on_busy: WrittenReaction,
    on_no_answer: WrittenReaction,
    on_failed: WrittenReaction,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPhrase {
    any: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    then: Option<WrittenReaction>,
}

/// Actions one after another, or by the input that runs them.
#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "a list of actions, or a table from input to action")]
enum ActionList {
    InTurn(Vec<Action>),
    ByInput(BTreeMap<String, Action>),
}

/// A key, or `"none"`.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct KeyOrNone(Option<Key>);

impl TryFrom<String> for KeyOrNone {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        if text == "none" { Ok(Self(None)) } else { text.parse().map(|key| Self(Some(key))) }
    }
}

impl From<KeyOrNone> for String {
    fn from(KeyOrNone(key): KeyOrNone) -> Self {
        key.map_or_else(|| "none".into(), String::from)
    }
}

/// A span, or a number of seconds.
#[derive(Clone, Copy, Serialize)]
#[serde(transparent)]
struct Seconds(Span);

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecondsVisitor)
    }
}

struct SecondsVisitor;

impl serde::de::Visitor<'_> for SecondsVisitor {
    type Value = Seconds;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span such as \"10s\", or a number of seconds")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Seconds, E> {
        text.parse().map(Seconds).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Seconds, E> {
        Ok(Seconds(Duration::from_secs(seconds).into()))
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Seconds, E> {
        let wrong = |_| E::invalid_value(serde::de::Unexpected::Signed(seconds), &self);
        u64::try_from(seconds).map(|seconds| Seconds(Duration::from_secs(seconds).into())).map_err(wrong)
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Seconds, E> {
        let wrong = |_| E::invalid_value(serde::de::Unexpected::Float(seconds), &self);
        Duration::try_from_secs_f64(seconds).map(|span| Seconds(span.into())).map_err(wrong)
    }
}
