//! From the flow back to what is written, in one form for all ways of writing it.

use std::collections::BTreeMap;

use super::{
    ActionList, KeyOrNone, NodeType, Seconds, WrittenFlow, WrittenNode, WrittenPhrase, WrittenPrompts,
    WrittenSubflow,
};
use crate::domain::Span;
use crate::flow::definition::{Flow, InputRules, Node, NodeKind, RecordingRules, Section, Value};
use crate::flow::key::Key;
use crate::flow::reaction::{Prompt, Reaction, Retry, WrittenPrompt, WrittenReaction};

impl From<Flow> for WrittenFlow {
    fn from(Flow { name, settings, main, subflows }: Flow) -> Self {
        let prompt = |prompt: Option<Prompt>| prompt.map(|prompt| WrittenPrompt::from(Some(prompt)));
        let subflows = subflows.into_iter().map(|(id, section)| {
            let start = section.start.clone();
            WrittenSubflow { id, start, nodes: nodes(section) }
        });
        Self {
            name,
            start: main.start.clone(),
            language: settings.language,
            voice: settings.voice,
            opt_out_key: Some(KeyOrNone(settings.opt_out_key)),
            barge_in: Some(settings.barge_in),
            prompt_max: Some(Seconds(settings.prompt_max)),
            prompts: WrittenPrompts {
                invalid: prompt(settings.prompts.invalid),
                timeout: prompt(settings.prompts.timeout),
                opt_out: prompt(settings.prompts.opt_out),
            },
            variables: settings.variables.into_iter().map(|(name, value)| (name, Value(value))).collect(),
            nodes: nodes(main),
            subflows: subflows.collect(),
        }
    }
}

fn nodes(section: Section) -> Vec<WrittenNode> {
    section.nodes.into_iter().map(WrittenNode::from).collect()
}

impl From<Node> for WrittenNode {
    fn from(Node { id, opt_out, next, save_as, kind }: Node) -> Self {
        let mut written = Self::new(id, type_of(&kind));
        written.next = next;
        written.save_as = save_as;
        written.opt_out = (!opt_out).then_some(false);
        written.write(kind);
        written
    }
}

/// The type that a node of this kind is written with.
pub(in crate::flow) fn type_of(kind: &NodeKind) -> NodeType {
    match kind {
        NodeKind::Prompt { prompt: Prompt::Audio(_), .. } => NodeType::PlayAudio,
        NodeKind::Prompt { prompt: Prompt::Text { .. }, .. } => NodeType::Say,
        NodeKind::Menu { .. } => NodeType::Menu,
        NodeKind::CaptureInput { .. } => NodeType::CaptureInput,
        NodeKind::Listen { .. } => NodeType::Listen,
        NodeKind::Action { .. } => NodeType::Action,
        NodeKind::Branch { .. } => NodeType::Branch,
        NodeKind::Goto => NodeType::Goto,
        NodeKind::Record { .. } => NodeType::Record,
        NodeKind::Transfer { .. } => NodeType::Transfer,
        NodeKind::Wait { .. } => NodeType::Wait,
        NodeKind::SendDtmf { .. } => NodeType::SendDtmf,
        NodeKind::Detect { .. } => NodeType::Detect,
        NodeKind::Subflow { .. } => NodeType::Subflow,
        NodeKind::Return => NodeType::Return,
        NodeKind::HangUp => NodeType::HangUp,
    }
}

impl WrittenNode {
    fn write(&mut self, kind: NodeKind) {
        match kind {
            NodeKind::Prompt { prompt, barge_in } => {
                self.write_prompt(Some(prompt));
                self.barge_in = barge_in;
            }
            NodeKind::Menu { prompt, input, keys } => {
                self.write_prompt(Some(prompt));
                self.write_input(input);
                self.write_keys(keys);
            }
            NodeKind::CaptureInput { prompt, input, min, max, terminator, entries } => {
                self.write_prompt(prompt);
                self.write_input(input);
                (self.min, self.max, self.terminator) = (Some(min), Some(max), Some(KeyOrNone(terminator)));
                let entries = entries.into_iter().map(|(entry, reaction)| (entry, reaction.into()));
                self.keys = Some(entries.collect()).filter(|entries: &BTreeMap<_, _>| !entries.is_empty());
            }
            NodeKind::Listen { prompt, input, phrases, confidence_min, keys } => {
                self.write_prompt(prompt);
                self.write_input(input);
                self.write_keys(keys);
                self.confidence_min = Some(confidence_min);
                let phrases = phrases
                    .into_iter()
                    .map(|phrase| WrittenPhrase { any: phrase.any, then: written(phrase.reaction) });
                self.phrases = Some(phrases.collect()).filter(|phrases: &Vec<_>| !phrases.is_empty());
            }
            NodeKind::Action { actions, wait_for_result, on_failed } => {
                self.actions = Some(ActionList::InTurn(actions));
                self.wait_for_result = wait_for_result.map(Seconds);
                self.on_failed = written(on_failed);
            }
            NodeKind::Branch { cases } => self.cases = Some(cases),
            NodeKind::Record { prompt, barge_in, rules, on_failed } => {
                self.write_prompt(prompt);
                self.barge_in = barge_in;
                self.write_recording(rules);
                self.on_failed = written(on_failed);
            }
            NodeKind::Transfer { to, timeout, on_busy, on_no_answer, on_failed } => {
                self.to = to;
                self.timeout = Some(Seconds(timeout));
                self.on_busy = written(on_busy);
                self.on_no_answer = written(on_no_answer);
                self.on_failed = written(on_failed);
            }
            NodeKind::Wait { duration } => self.duration = Some(Seconds(duration)),
            NodeKind::SendDtmf { digits } => self.digits = Some(digits),
            NodeKind::Detect { timeout, await_greeting_end, on_human, on_voicemail, on_ivr, on_unknown } => {
                self.timeout = Some(Seconds(timeout));
                self.await_greeting_end = Some(await_greeting_end);
                self.on_human = written(on_human);
                self.on_voicemail = written(on_voicemail);
                self.on_ivr = written(on_ivr);
                self.on_unknown = written(on_unknown);
            }
            NodeKind::Subflow { flow } => self.flow = Some(flow),
            NodeKind::Goto | NodeKind::Return | NodeKind::HangUp => {}
        }
    }

    fn write_prompt(&mut self, prompt: Option<Prompt>) {
        let WrittenPrompt { audio, text, language } = prompt.into();
        (self.audio, self.text, self.language) = (audio, text, language);
    }

    fn write_input(&mut self, input: InputRules) {
        let InputRules { timeout, barge_in, on_invalid, on_timeout } = input;
        let retry =
            |Retry { retries, reaction }| WrittenReaction { retries: Some(retries), ..reaction.into() };
        (self.timeout, self.barge_in) = (Some(Seconds(timeout)), barge_in);
        (self.on_invalid, self.on_timeout) = (Some(retry(on_invalid)), Some(retry(on_timeout)));
    }

    fn write_keys(&mut self, keys: BTreeMap<Key, Reaction>) {
        let keys: BTreeMap<_, _> =
            keys.into_iter().map(|(key, reaction)| (key.to_string(), reaction.into())).collect();
        self.keys = Some(keys).filter(|keys| !keys.is_empty());
    }

    fn write_recording(&mut self, rules: RecordingRules) {
        let span = |span: Span| Some(Seconds(span));
        (self.max_duration, self.silence) = (span(rules.max_duration), span(rules.silence));
        (self.terminator, self.beep) = (Some(KeyOrNone(rules.terminator)), Some(rules.beep));
    }
}

/// A reaction that says something, in writing.
fn written(reaction: Reaction) -> Option<WrittenReaction> {
    (reaction != Reaction::default()).then(|| reaction.into())
}
