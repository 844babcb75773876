//! What a flow consists of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::action::Action;
use super::edge::reactions;
use super::key::Key;
use super::reaction::{Prompt, Reaction, Retry};
use super::template::Template;
use super::written::WrittenFlow;
use crate::domain::Span;

/// A conversation as data: nodes, what they wait for, and what follows.
///
/// It is read from TOML or JSON ([`from_toml`](Self::from_toml), [`from_json`](Self::from_json)), or as the part `flow`
/// of a campaign. What is read has the right shape; whether it also makes sense is told by [`validate`](Self::validate).
/// [`step`](super::step) runs any flow, also one that does not make sense, without ever panicking or hanging.
///
/// ```
/// use rivvi_core::flow::{Flow, FlowTerms};
///
/// let flow = Flow::from_toml(r#"
///     start = "ask"
///
///     [[nodes]]
///     id = "ask"
///     type = "menu"
///     text = "Press 1 to give ten, 9 never to be called again."
///     keys = { 1 = { action = "trigger_donation", next = "thanks" } }
///
///     [[nodes]]
///     id = "thanks"
///     type = "say"
///     text = "Thank you, {{first_name|and good bye}}."
/// "#)?;
/// flow.validate(&FlowTerms::default())?;
///
/// let wrong = Flow::from_json(r#"{"startNodeId": "a", "nodes": [{"id": "a", "type": "say", "text": 7}]}"#);
/// assert_eq!(wrong.unwrap_err().problems[0].node.as_deref(), Some("a"));
/// # Ok::<(), rivvi_core::flow::FlowError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "WrittenFlow", into = "WrittenFlow")]
pub struct Flow {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) main: Section,
    pub(super) subflows: BTreeMap<Arc<str>, Section>,
}

impl Flow {
    /// Its name, for people; may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key with which a callee opts out, if there is one.
    pub fn opt_out_key(&self) -> Option<Key> {
        self.settings.opt_out_key
    }

    /// The node that a call starts at.
    pub fn start(&self) -> NodePath {
        NodePath { subflow: None, node: self.main.start.clone() }
    }

    /// All nodes: those of the flow itself, then those of its sub-flows, in the order of writing.
    pub fn nodes(&self) -> impl Iterator<Item = NodePath> {
        self.all().map(|(path, _)| path)
    }

    /// Whether it waits for words, for which a provider needs a
    /// [`SpeechRecognizer`](crate::provider::SpeechRecognizer).
    pub fn listens(&self) -> bool {
        self.all().any(|(_, node)| matches!(node.kind, NodeKind::Listen { .. }))
    }

    /// The names of the actions that the host is to carry out: those it must register.
    pub fn host_actions(&self) -> BTreeSet<String> {
        let of_node = |node: &Node| match &node.kind {
            NodeKind::Action { actions, .. } => actions.clone(),
            _ => Vec::new(),
        };
        let of_reactions = |node: &Node| {
            let reactions = reactions(node).into_iter();
            reactions.flat_map(|(_, _, reaction)| reaction.actions.clone()).collect::<Vec<_>>()
        };
        let actions = self.all().flat_map(|(_, node)| [of_node(node), of_reactions(node)].concat());
        actions
            .filter(|action| action.kind.is_the_hosts())
            .map(|action| action.kind.name().to_owned())
            .collect()
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = (Option<&Arc<str>>, &Section)> {
        let subflows = self.subflows.iter().map(|(id, section)| (Some(id), section));
        std::iter::once((None, &self.main)).chain(subflows)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (NodePath, &Node)> {
        self.sections().flat_map(|(subflow, section)| {
            let path = move |node: &Node| NodePath { subflow: subflow.cloned(), node: node.id.clone() };
            section.nodes.iter().map(move |node| (path(node), node))
        })
    }

    pub(super) fn section(&self, subflow: Option<&Arc<str>>) -> Option<&Section> {
        subflow.map_or(Some(&self.main), |id| self.subflows.get(id))
    }

    pub(super) fn node(&self, path: &NodePath) -> Option<&Node> {
        self.section(path.subflow.as_ref())?.node(&path.node)
    }
}

/// What holds for the whole flow.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) language: Option<Template>,
    pub(super) voice: Option<String>,
    pub(super) opt_out_key: Option<Key>,
    pub(super) barge_in: bool,
    pub(super) prompt_max: Span,
    pub(super) prompts: Prompts,
    pub(super) variables: BTreeMap<String, String>,
}

/// What is played where a node says nothing else.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Prompts {
    pub(super) invalid: Option<Prompt>,
    pub(super) timeout: Option<Prompt>,
    pub(super) opt_out: Option<Prompt>,
}

/// Nodes that lead to one another: the flow itself or one of its sub-flows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    pub(super) start: Arc<str>,
    pub(super) nodes: Vec<Node>,
    index: HashMap<Arc<str>, usize>,
}

impl Section {
    pub(super) fn new(start: Arc<str>, nodes: Vec<Node>) -> Self {
        let index = nodes.iter().enumerate().map(|(place, node)| (node.id.clone(), place)).collect();
        Self { start, nodes, index }
    }

    pub(super) fn node(&self, id: &str) -> Option<&Node> {
        self.index.get(id).and_then(|place| self.nodes.get(*place))
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) id: Arc<str>,
    /// Whether the opt-out key works here.
    pub(super) opt_out: bool,
    /// Where it leads; if absent, the call is hung up, or the sub-flow returns.
    pub(super) next: Option<Arc<str>>,
    /// The variable that its result is kept in; the id of the node if absent.
    pub(super) save_as: Option<String>,
    pub(super) kind: NodeKind,
}

impl Node {
    /// The variable that its result is kept in, if it has results.
    pub(super) fn result_name(&self) -> Option<&str> {
        self.kind.has_result().then(|| self.save_as.as_deref().unwrap_or(&self.id))
    }
}

/// What a node does.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum NodeKind {
    Prompt {
        prompt: Prompt,
        barge_in: Option<bool>,
    },
    Menu {
        prompt: Prompt,
        input: InputRules,
        keys: BTreeMap<Key, Reaction>,
    },
    CaptureInput {
        prompt: Option<Prompt>,
        input: InputRules,
        min: u8,
        max: u8,
        terminator: Option<Key>,
        /// The entries that are valid; all if empty.
        entries: BTreeMap<String, Reaction>,
    },
    Listen {
        prompt: Option<Prompt>,
        input: InputRules,
        phrases: Vec<Phrase>,
        /// What is recognized with less certainty counts as not understood.
        confidence_min: f32,
        keys: BTreeMap<Key, Reaction>,
    },
    Action {
        actions: Vec<Action>,
        /// How long to wait for the result, if at all.
        wait_for_result: Option<Span>,
        on_failed: Reaction,
    },
    Branch {
        cases: Vec<Case>,
    },
    Goto,
    Record {
        prompt: Option<Prompt>,
        barge_in: Option<bool>,
        rules: RecordingRules,
        on_failed: Reaction,
    },
    Transfer {
        to: Option<Template>,
        timeout: Span,
        on_busy: Reaction,
        on_no_answer: Reaction,
        on_failed: Reaction,
    },
    Wait {
        duration: Span,
    },
    SendDtmf {
        digits: Template,
    },
    Detect {
        timeout: Span,
        await_greeting_end: bool,
        on_human: Reaction,
        on_voicemail: Reaction,
        on_ivr: Reaction,
        on_unknown: Reaction,
    },
    Subflow {
        flow: Arc<str>,
    },
    Return,
    HangUp,
}

impl NodeKind {
    /// Whether it waits for something that the callee, the host or the network does, and keeps what comes of it.
    pub(super) fn has_result(&self) -> bool {
        match self {
            Self::Menu { .. }
            | Self::CaptureInput { .. }
            | Self::Listen { .. }
            | Self::Record { .. }
            | Self::Transfer { .. }
            | Self::Detect { .. } => true,
            Self::Action { wait_for_result, .. } => wait_for_result.is_some(),
            Self::Prompt { .. }
            | Self::Branch { .. }
            | Self::Goto
            | Self::Wait { .. }
            | Self::SendDtmf { .. }
            | Self::Subflow { .. }
            | Self::Return
            | Self::HangUp => false,
        }
    }
}

/// How a node waits for the callee.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InputRules {
    pub(super) timeout: Span,
    pub(super) barge_in: Option<bool>,
    pub(super) on_invalid: Retry,
    pub(super) on_timeout: Retry,
}

/// What `listen` waits to hear.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phrase {
    /// Any of these, in any case, anywhere in what was said.
    pub(super) any: Vec<String>,
    pub(super) reaction: Reaction,
}

/// How long a recording lasts and what ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingRules {
    /// The longest it lasts. Default 60 s.
    pub max_duration: Span,
    /// So much silence ends it. Default 3 s.
    pub silence: Span,
    /// The key that ends it, if one does. Default `#`.
    pub terminator: Option<Key>,
    /// Whether a tone is played before. Default yes.
    pub beep: bool,
}

/// A case of a branch: all that is given must hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) variable: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) equals: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) not_equals: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) one_of: Option<Vec<Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) present: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) less_than: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at_least: Option<f64>,
    pub(super) next: Arc<str>,
}

impl Case {
    /// Whether it asks anything at all.
    pub(super) fn is_empty(&self) -> bool {
        let Self { equals, not_equals, one_of, present, less_than, at_least, .. } = self;
        equals.is_none()
            && not_equals.is_none()
            && one_of.is_none()
            && present.is_none()
            && less_than.is_none()
            && at_least.is_none()
    }

    /// Whether it holds for `value`, the text of its variable. Outer blanks do not count; a text that is no number is
    /// neither less than nor at least a number.
    pub(super) fn holds(&self, value: Option<&str>) -> bool {
        let text = value.unwrap_or_default().trim();
        let number = text.parse::<f64>().ok();
        let is = |expected: &Value| expected.0.trim() == text;
        self.equals.as_ref().is_none_or(is)
            && !self.not_equals.as_ref().is_some_and(is)
            && self.one_of.as_ref().is_none_or(|values| values.iter().any(is))
            && self.present.is_none_or(|present| present != text.is_empty())
            && self.less_than.is_none_or(|bound| number.is_some_and(|number| number < bound))
            && self.at_least.is_none_or(|bound| number.is_some_and(|number| number >= bound))
    }
}

/// A value to compare with: a text, a number or a truth value, as its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Scalar", into = "String")]
pub(super) struct Value(pub(super) String);

#[derive(Deserialize)]
#[serde(untagged, expecting = "a text, a number or a truth value")]
enum Scalar {
    Text(String),
    Integer(i64),
    Number(f64),
    Truth(bool),
}

impl From<Scalar> for Value {
    fn from(scalar: Scalar) -> Self {
        Self(match scalar {
            Scalar::Text(text) => text,
            Scalar::Integer(number) => number.to_string(),
            Scalar::Number(number) => number.to_string(),
            Scalar::Truth(truth) => truth.to_string(),
        })
    }
}

impl From<Value> for String {
    fn from(value: Value) -> Self {
        value.0
    }
}

/// The place of a node: its id, and that of the sub-flow it is in. Written `menu` or `language/menu`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct NodePath {
    /// The sub-flow; `None` in the flow itself.
    pub subflow: Option<Arc<str>>,
    /// The node.
    pub node: Arc<str>,
}

impl fmt::Display for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subflow) = &self.subflow {
            write!(f, "{subflow}/")?;
        }
        f.write_str(&self.node)
    }
}

impl fmt::Debug for NodePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<String> for NodePath {
    fn from(text: String) -> Self {
        match text.split_once('/') {
            Some((subflow, node)) => Self { subflow: Some(subflow.into()), node: node.into() },
            None => Self { subflow: None, node: text.into() },
        }
    }
}

impl From<NodePath> for String {
    fn from(path: NodePath) -> Self {
        path.to_string()
    }
}
