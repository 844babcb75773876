//! From what is written to the flow. Checks the shape: which fields a kind of node has and what must be there.

use std::collections::BTreeMap;

use super::{ActionList, KeyOrNone, NodeType, Seconds, WrittenFlow, WrittenNode};
use crate::domain::Span;
use crate::flow::definition::{
    Flow, InputRules, Node, NodeKind, Phrase, Prompts, RecordingRules, Section, Settings,
};
use crate::flow::error::{FlowError, FlowProblem};
use crate::flow::key::Key;
use crate::flow::reaction::{Prompt, Reaction, Retry, WrittenPrompt, WrittenReaction};

/// How long a node waits for the callee if it does not say.
const TIMEOUT: Span = Span::from_secs(10);
/// How often a node starts over after a wrong input if it does not say.
const INVALID_RETRIES: u8 = 2;
/// How often a node starts over after silence if it does not say.
const TIMEOUT_RETRIES: u8 = 0;
/// The longest that a prompt is waited for if the flow does not say.
const PROMPT_MAX: Span = Span::from_mins(5);

impl TryFrom<WrittenFlow> for Flow {
    type Error = FlowError;

    fn try_from(written: WrittenFlow) -> Result<Self, FlowError> {
        let mut problems = Vec::new();
        let mut subflows = BTreeMap::new();
        let mut read = |subflow: Option<&str>, nodes: Vec<WrittenNode>| -> Vec<Node> {
            let read = |node| NodeReader::of(subflow, node, &mut problems).read();
            nodes.into_iter().filter_map(read).collect()
        };
        let main = Section::new(written.start, read(None, written.nodes));
        let mut twice = Vec::new();
        for subflow in written.subflows {
            let nodes = read(Some(&subflow.id), subflow.nodes);
            let section = Section::new(subflow.start, nodes);
            if subflows.insert(subflow.id.clone(), section).is_some() {
                let problem = format!("two sub-flows are called `{}`: expected ids that differ", subflow.id);
                twice.push(FlowProblem::of_flow("subflows", problem));
            }
        }
        problems.extend(twice);
        let mut prompt = |name: &str, written: Option<WrittenPrompt>| {
            written.unwrap_or_default().read().unwrap_or_else(|(field, problem)| {
                problems.push(FlowProblem::of_flow(format!("prompts.{name}.{field}"), problem));
                None
            })
        };
        let prompts = Prompts {
            invalid: prompt("invalid", written.prompts.invalid),
            timeout: prompt("timeout", written.prompts.timeout),
            opt_out: prompt("opt_out", written.prompts.opt_out),
        };
        FlowError::unless_none(problems)?;
        let settings = Settings {
            language: written.language,
            voice: written.voice,
            opt_out_key: written.opt_out_key.map_or(Some(Key::NINE), |KeyOrNone(key)| key),
            barge_in: written.barge_in.unwrap_or(true),
            prompt_max: written.prompt_max.map_or(PROMPT_MAX, |Seconds(span)| span),
            prompts,
            variables: written.variables.into_iter().map(|(name, value)| (name, value.0)).collect(),
        };
        Ok(Self { name: written.name, settings, main, subflows })
    }
}

/// Reads one node: takes what its kind has, and complains of the rest.
struct NodeReader<'a> {
    path: String,
    node: WrittenNode,
    problems: &'a mut Vec<FlowProblem>,
}

impl<'a> NodeReader<'a> {
    fn of(subflow: Option<&str>, node: WrittenNode, problems: &'a mut Vec<FlowProblem>) -> Self {
        let path = subflow.map_or_else(|| node.id.to_string(), |subflow| format!("{subflow}/{}", node.id));
        Self { path, node, problems }
    }

    fn read(mut self) -> Option<Node> {
        let id = self.node.id.clone();
        let opt_out = self.node.opt_out.take().unwrap_or(true);
        let next = match self.node.kind {
            NodeType::HangUp | NodeType::Return => None,
            _ => self.node.next.take(),
        };
        let kind = self.kind();
        let kind = kind?;
        let save_as = if kind.has_result() { self.node.save_as.take() } else { None };
        self.complain_of_the_rest();
        Some(Node { id, opt_out, next, save_as, kind })
    }

    fn kind(&mut self) -> Option<NodeKind> {
        Some(match self.node.kind {
            NodeType::PlayAudio => {
                if self.node.text.is_some() {
                    self.problem("text", "expected `audio` in a `play_audio`; a text is spoken by a `say`");
                    self.node.text = None;
                }
                NodeKind::Prompt { prompt: self.needed_prompt("audio")?, barge_in: self.node.barge_in.take() }
            }
            NodeType::Say => {
                if self.node.audio.is_some() {
                    self.problem(
                        "audio",
                        "expected `text` in a `say`; a recording is played by a `play_audio`",
                    );
                    self.node.audio = None;
                }
                NodeKind::Prompt { prompt: self.needed_prompt("text")?, barge_in: self.node.barge_in.take() }
            }
            NodeType::Menu => {
                let keys = self.choices();
                let keys = self.as_keys(keys);
                let prompt = self.needed_prompt("audio");
                let input = self.input();
                NodeKind::Menu { prompt: prompt?, input, keys }
            }
            NodeType::CaptureInput => self.capture_input(),
            NodeType::Listen => {
                let keys = self.reactions_by_input();
                let keys = self.as_keys(keys);
                NodeKind::Listen {
                    prompt: self.prompt(),
                    phrases: self.phrases(),
                    confidence_min: self.confidence_min(),
                    input: self.input(),
                    keys,
                }
            }
            NodeType::Action => self.action(),
            NodeType::Branch => NodeKind::Branch { cases: self.node.cases.take().unwrap_or_default() },
            NodeType::Goto => NodeKind::Goto,
            NodeType::Record => NodeKind::Record {
                prompt: self.prompt(),
                barge_in: self.node.barge_in.take(),
                rules: RecordingRules {
                    max_duration: span(&mut self.node.max_duration, Span::from_secs(60)),
                    silence: span(&mut self.node.silence, Span::from_secs(3)),
                    terminator: self.terminator(),
                    beep: self.node.beep.take().unwrap_or(true),
                },
                on_failed: self.reaction("on_failed"),
            },
            NodeType::Transfer => NodeKind::Transfer {
                to: self.node.to.take(),
                timeout: span(&mut self.node.timeout, Span::from_secs(30)),
                on_busy: self.reaction("on_busy"),
                on_no_answer: self.reaction("on_no_answer"),
                on_failed: self.reaction("on_failed"),
            },
            NodeType::Wait => {
                let duration = self.node.duration.take();
                let Seconds(duration) =
                    self.needed("duration", "how long to wait, such as \"2s\"", duration)?;
                NodeKind::Wait { duration }
            }
            NodeType::SendDtmf => {
                let digits = self.node.digits.take();
                NodeKind::SendDtmf {
                    digits: self.needed("digits", "the keys to press, such as \"1w#\"", digits)?,
                }
            }
            NodeType::Detect => NodeKind::Detect {
                timeout: span(&mut self.node.timeout, TIMEOUT),
                await_greeting_end: self.node.await_greeting_end.take().unwrap_or(true),
                on_human: self.reaction("on_human"),
                on_voicemail: self.reaction("on_voicemail"),
                on_ivr: self.reaction("on_ivr"),
                on_unknown: self.reaction("on_unknown"),
            },
            NodeType::Subflow => {
                let flow = self.node.flow.take();
                NodeKind::Subflow { flow: self.needed("flow", "the id of a sub-flow", flow)? }
            }
            NodeType::Return => NodeKind::Return,
            NodeType::HangUp => NodeKind::HangUp,
        })
    }

    fn capture_input(&mut self) -> NodeKind {
        let entries = self.choices();
        let longest = entries.keys().map(|entry| entry.chars().count()).max().unwrap_or(1);
        let min = self.node.min.take().unwrap_or(1);
        let max = self.node.max.take().unwrap_or(min.max(u8::try_from(longest).unwrap_or(u8::MAX)));
        NodeKind::CaptureInput {
            prompt: self.prompt(),
            min,
            max,
            terminator: self.terminator(),
            input: self.input(),
            entries,
        }
    }

    fn action(&mut self) -> NodeKind {
        let mut actions = match self.node.actions.take() {
            Some(ActionList::InTurn(actions)) => actions,
            Some(ActionList::ByInput(actions)) => actions.into_values().collect(),
            None => Vec::new(),
        };
        actions.extend(self.node.action.take());
        let wait_for_result = self.node.wait_for_result.take().map(|Seconds(span)| span);
        let on_failed = match wait_for_result {
            Some(_) => self.reaction("on_failed"),
            None => Reaction::default(),
        };
        NodeKind::Action { actions, wait_for_result, on_failed }
    }

    /// What each input leads to: `keys`, and what the specification knows, `actions` and `validInputs`.
    fn choices(&mut self) -> BTreeMap<String, Reaction> {
        let mut choices = self.reactions_by_input();
        match self.node.actions.take() {
            Some(ActionList::ByInput(actions)) => {
                for (input, action) in actions {
                    choices.entry(input).or_default().actions.push(action);
                }
            }
            Some(ActionList::InTurn(_)) => self.problem("actions", "expected a table from input to action"),
            None => {}
        }
        let valid = self.node.valid_inputs.take();
        if let Some(valid) = &valid
            && let Some(other) = choices.keys().find(|input| !valid.contains(input))
        {
            let problem = format!("the input `{other}` has a reaction: expected it among the valid ones");
            self.problem("valid_inputs", problem);
        }
        for input in valid.into_iter().flatten() {
            choices.entry(input).or_default();
        }
        choices
    }

    fn reactions_by_input(&mut self) -> BTreeMap<String, Reaction> {
        let written = self.node.keys.take().unwrap_or_default();
        let reactions = written.into_iter().map(|(input, written)| {
            let reaction = self.read_reaction(&format!("keys.{input}"), written);
            (input, reaction)
        });
        reactions.collect()
    }

    fn as_keys(&mut self, choices: BTreeMap<String, Reaction>) -> BTreeMap<Key, Reaction> {
        let mut keys = BTreeMap::new();
        for (input, reaction) in choices {
            match input.parse::<Key>() {
                Ok(key) => {
                    keys.insert(key, reaction);
                }
                Err(error) => self.problem(format!("keys.{input}"), error.to_string()),
            }
        }
        keys
    }

    fn phrases(&mut self) -> Vec<Phrase> {
        let written = self.node.phrases.take().unwrap_or_default();
        let phrases = written.into_iter().enumerate().map(|(place, phrase)| {
            let reaction = phrase.then.unwrap_or_default();
            let reaction = self.read_reaction(&format!("phrases[{place}].then"), reaction);
            Phrase { any: phrase.any, reaction }
        });
        phrases.collect()
    }

    fn input(&mut self) -> InputRules {
        let retries = self.node.retries.take();
        let (on_invalid, on_timeout) = (self.node.on_invalid.take(), self.node.on_timeout.take());
        InputRules {
            timeout: span(&mut self.node.timeout, TIMEOUT),
            barge_in: self.node.barge_in.take(),
            on_invalid: self.retry("on_invalid", on_invalid, retries.unwrap_or(INVALID_RETRIES)),
            on_timeout: self.retry("on_timeout", on_timeout, retries.unwrap_or(TIMEOUT_RETRIES)),
        }
    }

    fn retry(&mut self, field: &str, written: Option<WrittenReaction>, retries: u8) -> Retry {
        let mut written = written.unwrap_or_default();
        let retries = written.retries.take().unwrap_or(retries);
        Retry { retries, reaction: self.read_reaction(field, written) }
    }

    fn reaction(&mut self, field: &'static str) -> Reaction {
        let node = &mut self.node;
        let written = match field {
            "on_human" => node.on_human.take(),
            "on_voicemail" => node.on_voicemail.take(),
            "on_ivr" => node.on_ivr.take(),
            "on_unknown" => node.on_unknown.take(),
            "on_busy" => node.on_busy.take(),
            "on_no_answer" => node.on_no_answer.take(),
            _ => node.on_failed.take(),
        };
        self.read_reaction(field, written.unwrap_or_default())
    }

    fn read_reaction(&mut self, field: &str, written: WrittenReaction) -> Reaction {
        if written.retries.is_some() {
            self.problem(format!("{field}.retries"), "expected only in `on_invalid` and `on_timeout`");
        }
        if written.value.is_some() && field.starts_with("on_") {
            self.problem(format!("{field}.value"), "expected only for a key, an entry or a phrase");
        }
        written.read().unwrap_or_else(|(part, problem)| {
            self.problem(format!("{field}.{part}"), problem);
            Reaction::default()
        })
    }

    fn prompt(&mut self) -> Option<Prompt> {
        let WrittenNode { audio, text, language, .. } = &mut self.node;
        let written = WrittenPrompt { audio: audio.take(), text: text.take(), language: language.take() };
        written.read().unwrap_or_else(|(field, problem)| {
            self.problem(field, problem);
            None
        })
    }

    fn needed_prompt(&mut self, field: &str) -> Option<Prompt> {
        let before = self.problems.len();
        let prompt = self.prompt();
        if prompt.is_none() && self.problems.len() == before {
            let problem = match self.node.kind {
                NodeType::PlayAudio => "is missing: expected `audio`, the recording to play",
                NodeType::Say => "is missing: expected `text`, what to say",
                _ => "is missing: expected `audio` or `text`, what the callee is asked",
            };
            self.problem(field, problem);
        }
        prompt
    }

    fn needed<T>(&mut self, field: &str, expected: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.problem(field, format!("is missing: expected {expected}"));
        }
        value
    }

    fn terminator(&mut self) -> Option<Key> {
        self.node.terminator.take().map_or(Some(Key::POUND), |KeyOrNone(key)| key)
    }

    fn complain_of_the_rest(&mut self) {
        let Ok(serde_json::Value::Object(rest)) = serde_json::to_value(&self.node) else { return };
        for field in rest.keys().filter(|field| !["id", "type"].contains(&field.as_str())) {
            let problem = match (field.as_str(), self.node.kind) {
                ("on_failed", NodeType::Action) => "expected only together with `wait_for_result`".to_owned(),
                (_, kind) => format!("a `{}` has no such field: expected it to be left out", kind.name()),
            };
            self.problem(field, problem);
        }
    }

    /// A number that has no notation in JSON would be lost where the flow is stored.
    fn confidence_min(&mut self) -> f32 {
        let confidence = self.node.confidence_min.take().unwrap_or(0.0);
        if !confidence.is_finite() {
            self.problem("confidence_min", "expected a number from 0 to 1");
        }
        confidence
    }

    fn problem(&mut self, field: impl Into<String>, problem: impl Into<String>) {
        self.problems.push(FlowProblem::at(&self.path, field, problem));
    }
}

fn span(written: &mut Option<Seconds>, default: Span) -> Span {
    written.take().map_or(default, |Seconds(span)| span)
}
