//! Where nodes lead.

use std::sync::Arc;

use super::action::{Action, ActionKind};
use super::definition::{InputRules, Node, NodeKind};
use super::reaction::Reaction;
use super::session::Trigger;

/// One way out of a node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Edge<'a> {
    pub(super) trigger: Trigger,
    /// The field that says where it leads.
    pub(super) field: String,
    pub(super) target: Target<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Target<'a> {
    /// A node beside it.
    Node(&'a Arc<str>),
    /// The start of a sub-flow.
    Subflow(&'a Arc<str>),
    /// The end of the flow or sub-flow.
    End,
    /// The end of the call.
    HangUp,
}

/// All ways out of a node, in the order of its fields.
pub(super) fn edges(node: &Node) -> Vec<Edge<'_>> {
    let mut edges: Vec<Edge<'_>> = match &node.kind {
        NodeKind::Branch { cases } => {
            let cases = cases.iter().enumerate().map(|(place, case)| Edge {
                trigger: Trigger::Case(counted(place)),
                field: format!("cases[{place}].next"),
                target: Target::Node(&case.next),
            });
            cases.collect()
        }
        NodeKind::Subflow { flow } => {
            vec![Edge { trigger: Trigger::Enter, field: "flow".into(), target: Target::Subflow(flow) }]
        }
        _ => Vec::new(),
    };
    if let Some(edge) = done(node) {
        edges.push(edge);
    }
    edges.extend(reactions(node).into_iter().map(|(trigger, field, reaction)| {
        let next = reaction.next.as_ref();
        let field = if next.is_some() { format!("{field}.next") } else { "next".into() };
        Edge { trigger, field, target: after(&reaction.actions, next.or(node.next.as_ref())) }
    }));
    edges
}

/// The way out of a node that is done without anything special.
fn done(node: &Node) -> Option<Edge<'_>> {
    let target = match &node.kind {
        NodeKind::Menu { .. } | NodeKind::Detect { .. } => return None,
        NodeKind::CaptureInput { entries, .. } if !entries.is_empty() => return None,
        NodeKind::Listen { phrases, .. } if !phrases.is_empty() => return None,
        NodeKind::HangUp => Target::HangUp,
        NodeKind::Action { actions, .. } => after(actions, node.next.as_ref()),
        _ => after(&[], node.next.as_ref()),
    };
    let trigger = if matches!(node.kind, NodeKind::Subflow { .. }) { Trigger::Return } else { Trigger::Next };
    Some(Edge { trigger, field: "next".into(), target })
}

/// Where actions lead when `next` follows them.
fn after<'a>(actions: &[Action], next: Option<&'a Arc<str>>) -> Target<'a> {
    match next {
        _ if actions.iter().any(|action| action.kind == ActionKind::EndCall) => Target::HangUp,
        Some(next) => Target::Node(next),
        None => Target::End,
    }
}

/// The reactions of a node: what leads to each, and the field it is written in.
pub(super) fn reactions(node: &Node) -> Vec<(Trigger, String, &Reaction)> {
    let mut reactions = Vec::new();
    let on = |trigger, field: &str, reaction| (trigger, field.to_owned(), reaction);
    match &node.kind {
        NodeKind::Menu { keys, .. } | NodeKind::Listen { keys, .. } => {
            let phrases = match &node.kind {
                NodeKind::Listen { phrases, .. } => phrases.as_slice(),
                _ => &[],
            };
            reactions.extend(phrases.iter().enumerate().map(|(place, phrase)| {
                (Trigger::Phrase(counted(place)), format!("phrases[{place}].then"), &phrase.reaction)
            }));
            let keyed = keys.iter();
            reactions
                .extend(keyed.map(|(key, reaction)| (Trigger::Key(*key), format!("keys.{key}"), reaction)));
        }
        NodeKind::CaptureInput { entries, .. } => reactions.extend(
            entries
                .iter()
                .map(|(entry, reaction)| (Trigger::Entry(entry.clone()), format!("keys.{entry}"), reaction)),
        ),
        NodeKind::Action { wait_for_result: Some(_), on_failed, .. } | NodeKind::Record { on_failed, .. } => {
            reactions.push(on(Trigger::Failed, "on_failed", on_failed));
        }
        NodeKind::Transfer { on_busy, on_no_answer, on_failed, .. } => reactions.extend([
            on(Trigger::Busy, "on_busy", on_busy),
            on(Trigger::NoAnswer, "on_no_answer", on_no_answer),
            on(Trigger::Failed, "on_failed", on_failed),
        ]),
        NodeKind::Detect { on_human, on_voicemail, on_ivr, on_unknown, .. } => reactions.extend([
            on(Trigger::Human, "on_human", on_human),
            on(Trigger::Voicemail, "on_voicemail", on_voicemail),
            on(Trigger::Ivr, "on_ivr", on_ivr),
            on(Trigger::Unknown, "on_unknown", on_unknown),
        ]),
        _ => {}
    }
    if let Some(InputRules { on_invalid, on_timeout, .. }) = input_rules(node) {
        reactions.push(on(Trigger::Invalid, "on_invalid", &on_invalid.reaction));
        reactions.push(on(Trigger::Timeout, "on_timeout", &on_timeout.reaction));
    }
    reactions
}

/// How a node waits for the callee, if it does.
pub(super) fn input_rules(node: &Node) -> Option<&InputRules> {
    match &node.kind {
        NodeKind::Menu { input, .. }
        | NodeKind::CaptureInput { input, .. }
        | NodeKind::Listen { input, .. } => Some(input),
        _ => None,
    }
}

/// A place as triggers count it.
pub(super) fn counted(place: usize) -> u16 {
    u16::try_from(place).unwrap_or(u16::MAX)
}
