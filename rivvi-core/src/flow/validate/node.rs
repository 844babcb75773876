//! What is wrong with single nodes.

use std::time::Duration;

use super::Check;
use crate::domain::Span;
use crate::flow::action::{Action, ActionKind};
use crate::flow::definition::{Node, NodeKind, NodePath};
use crate::flow::edge::input_rules;
use crate::flow::key::Key;
use crate::flow::reaction::Reaction;

/// The most keys that an entry has.
const ENTRY_MAX: u8 = 50;
/// The longest that any node waits.
const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

impl Check<'_> {
    pub(super) fn node(&mut self, path: &NodePath, node: &Node) {
        if node.id.is_empty() || node.id.contains('/') {
            self.at(path, "id", "expected an id that is not empty and has no \"/\"");
        }
        if node
            .save_as
            .as_deref()
            .is_some_and(|name| name.trim().is_empty() || name.contains(['{', '}', '|']))
        {
            self.at(path, "save_as", "expected the name of a variable, without braces");
        }
        self.kind(path, node);
        self.times(path, node);
        self.texts(path, node);
    }

    fn kind(&mut self, path: &NodePath, node: &Node) {
        match &node.kind {
            NodeKind::Menu { keys, .. } => {
                if keys.is_empty() {
                    self.at(path, "keys", "a menu without keys has no way out: expected at least one key");
                }
                self.opt_out_in_keys(path, node, keys.iter());
            }
            NodeKind::Listen { keys, phrases, confidence_min, .. } => {
                self.opt_out_in_keys(path, node, keys.iter());
                if !(0.0..=1.0).contains(confidence_min) {
                    self.at(path, "confidence_min", "expected a number from 0 to 1");
                }
                for (place, phrase) in phrases.iter().enumerate() {
                    if phrase.any.is_empty() || phrase.any.iter().any(|text| text.trim().is_empty()) {
                        let field = format!("phrases[{place}].any");
                        self.at(path, field, "expected at least one text, and none that is empty");
                    }
                }
            }
            NodeKind::CaptureInput { min, max, terminator, entries, .. } => {
                self.range(path, *min, *max);
                for entry in entries.keys() {
                    self.entry(path, entry, *min, *max, *terminator);
                }
                self.opt_out_in_entries(path, node, entries.keys(), *terminator);
            }
            NodeKind::Action { actions, wait_for_result, .. } => {
                if actions.is_empty() {
                    self.at(path, "action", "is missing: expected what is to be done");
                }
                let first = actions.first().is_some_and(|action| action.kind.is_the_hosts());
                if wait_for_result.is_some() && (!first || actions.len() != 1) {
                    let problem = "expected a single action that the host carries out";
                    self.at(path, "wait_for_result", problem);
                }
            }
            NodeKind::Branch { cases } if cases.is_empty() => {
                self.at(path, "cases", "is missing: expected at least one case");
            }
            NodeKind::Goto if node.next.is_none() => {
                self.at(path, "next", "is missing: expected the id of a node");
            }
            NodeKind::Return if path.subflow.is_none() => {
                self.at(path, "type", "expected a `return` only in a sub-flow; `hang_up` ends the call");
            }
            NodeKind::SendDtmf { digits } => {
                let pressable = |sign: char| sign == 'w' || Key::new(sign).is_some();
                if digits.is_blank() || !digits.texts().all(|text| text.chars().all(pressable)) {
                    self.at(path, "digits", "expected keys 0 to 9, *, #, A to D, and w for a pause");
                }
            }
            _ => {}
        }
    }

    fn range(&mut self, path: &NodePath, min: u8, max: u8) {
        if max == 0 || max > ENTRY_MAX {
            self.at(path, "max", format!("expected 1 to {ENTRY_MAX} keys, not {max}"));
        } else if min > max {
            self.at(
                path,
                "min",
                format!("nothing is {min} keys at least and {max} at most: expected min ≤ max"),
            );
        }
    }

    fn entry(&mut self, path: &NodePath, entry: &str, min: u8, max: u8, terminator: Option<Key>) {
        let field = format!("keys.{entry}");
        let keys: Option<Vec<Key>> = entry.chars().map(Key::new).collect();
        let Some(keys) = keys else {
            self.at(path, field, "expected an entry of keys 0 to 9, *, # and A to D");
            return;
        };
        if !(usize::from(min)..=usize::from(max)).contains(&keys.len()) {
            self.at(path, field, format!("expected an entry of {min} to {max} keys, as `min` and `max` say"));
        } else if terminator.is_some_and(|terminator| keys.contains(&terminator)) {
            self.at(path, field, "expected an entry without the terminator, which ends it");
        }
    }

    /// The opt-out key may have its own meaning only.
    fn opt_out_in_keys<'k>(
        &mut self,
        path: &NodePath,
        node: &Node,
        keys: impl Iterator<Item = (&'k Key, &'k Reaction)>,
    ) {
        let Some(opt_out) = self.flow.opt_out_key().filter(|_| node.opt_out) else { return };
        for (key, reaction) in keys {
            if *key == opt_out && !is_opting_out(reaction) {
                let problem = format!(
                    "the key {key} opts out, so it can mean nothing else: expected another key, or `opt_out = false` \
                     at this node, or another `opt_out_key` of the flow"
                );
                self.at(path, format!("keys.{key}"), problem);
            }
        }
    }

    fn opt_out_in_entries<'k>(
        &mut self,
        path: &NodePath,
        node: &Node,
        entries: impl Iterator<Item = &'k String>,
        terminator: Option<Key>,
    ) {
        let Some(opt_out) = self.flow.opt_out_key().filter(|_| node.opt_out) else { return };
        let mut entries = entries.peekable();
        let clashes = match entries.peek() {
            None => opt_out.sign().is_ascii_digit(),
            Some(_) => entries.any(|entry| entry.contains(opt_out.sign())),
        };
        if clashes || terminator == Some(opt_out) {
            let problem = format!(
                "the key {opt_out} opts out, so it cannot be entered here: expected `opt_out = false`, or another \
                 `opt_out_key` of the flow such as \"*\""
            );
            self.at(path, "opt_out", problem);
        }
    }

    fn times(&mut self, path: &NodePath, node: &Node) {
        let once = |field, span: Span| (field, span.duration(), 1);
        let times = match &node.kind {
            NodeKind::Wait { duration } => vec![once("duration", *duration)],
            NodeKind::Record { rules, .. } => {
                if rules.silence.duration().is_zero() {
                    self.at(path, "silence", "expected more than \"0s\"");
                }
                vec![once("max_duration", rules.max_duration)]
            }
            NodeKind::Transfer { timeout, .. } | NodeKind::Detect { timeout, .. } => {
                vec![once("timeout", *timeout)]
            }
            NodeKind::Action { wait_for_result: Some(wait), .. } => vec![once("wait_for_result", *wait)],
            _ => input_rules(node)
                .map(|rules| ("timeout", rules.timeout.duration(), 1 + u32::from(rules.on_timeout.retries)))
                .into_iter()
                .collect(),
        };
        for (field, time, rounds) in times {
            if time.is_zero() || time > TIMEOUT_MAX {
                self.at(path, field, "expected more than \"0s\" and at most \"1h\"");
            } else if let Some(longest) = self.terms.max_duration
                && time * rounds >= longest
            {
                let (time, longest) = (Span::new(time), Span::new(longest));
                let times = if rounds > 1 { format!(", {rounds} times,") } else { String::new() };
                let problem =
                    format!("{time}{times} does not fit in a call of at most {longest}: expected less");
                self.at(path, field, problem);
            }
        }
    }
}

/// Whether a reaction does nothing but what the opt-out key does by itself.
fn is_opting_out(reaction: &Reaction) -> bool {
    let opts_out = |action: &Action| action.kind == ActionKind::AddToBlacklist;
    let nothing_else = |action: &Action| opts_out(action) || action.kind == ActionKind::EndCall;
    reaction.actions.iter().any(opts_out)
        && reaction.actions.iter().all(nothing_else)
        && reaction.next.is_none()
        && reaction.prompt.is_none()
}
