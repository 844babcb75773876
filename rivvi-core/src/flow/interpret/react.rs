//! Reactions: actions at once, then a prompt, then another node.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Stepper, go_on};
use crate::domain::{Personal, Span};
use crate::flow::action::{Action, ActionKind};
use crate::flow::definition::{Node, NodeKind};
use crate::flow::edge::input_rules;
use crate::flow::effect::{Effect, FlowEnding};
use crate::flow::input::TransferOutcome;
use crate::flow::reaction::{Prompt, Reaction, Retry};
use crate::flow::session::{Exit, State, Then, Trigger, Wait};

/// When the callee is called again if the flow's time for it cannot be read.
const CALLBACK_AFTER: TimeDelta = TimeDelta::hours(1);

impl<'a> Stepper<'a> {
    /// Carries out a reaction of the node. `instead` is its prompt if it has none of its own.
    pub(super) fn react(
        &mut self,
        node: &'a Node,
        reaction: &'a Reaction,
        by: Trigger,
        instead: Option<&Prompt>,
    ) -> Option<Exit> {
        let next = reaction.next.clone().or_else(|| node.next.clone());
        let exit = self.carry_out(&reaction.actions, &by, Exit::Go { next, by: by.clone() });
        match reaction.prompt.as_ref().or(instead) {
            Some(prompt) => self.prompt(prompt, false, Then::Leave(exit)),
            None => Some(exit),
        }
    }

    /// Wrong input: the prompt for that, then the node again, or, if that was too often, what follows then.
    pub(super) fn invalid(&mut self, node: &'a Node) -> Option<Exit> {
        self.session.invalid_inputs = self.session.invalid_inputs.saturating_add(1);
        let rules = input_rules(node)?;
        let general = self.flow.settings.prompts.invalid.as_ref();
        self.retry(node, &rules.on_invalid, self.session.invalid_inputs, Trigger::Invalid, general)
    }

    /// No input: as [`invalid`](Self::invalid).
    pub(super) fn timed_out(&mut self, node: &'a Node) -> Option<Exit> {
        self.session.timeouts = self.session.timeouts.saturating_add(1);
        let rules = input_rules(node)?;
        let general = self.flow.settings.prompts.timeout.as_ref();
        self.retry(node, &rules.on_timeout, self.session.timeouts, Trigger::Timeout, general)
    }

    fn retry(
        &mut self,
        node: &'a Node,
        retry: &'a Retry,
        times: u8,
        by: Trigger,
        general: Option<&'a Prompt>,
    ) -> Option<Exit> {
        let built_in = built_in(&by);
        // Who only listens speaks only if told so.
        let silent = matches!(node.kind, NodeKind::Listen { prompt: None, .. });
        let instead = Some(general.unwrap_or(&built_in)).filter(|_| !silent);
        if times > retry.retries {
            return self.react(node, &retry.reaction, by, instead);
        }
        match retry.reaction.prompt.as_ref().or(instead) {
            Some(prompt) => {
                let barge_in = input_rules(node).and_then(|rules| rules.barge_in);
                self.prompt(prompt, self.may_barge_in(barge_in), Then::Again)
            }
            None => self.begin(node),
        }
    }

    /// Asks for actions. Returns how the node is left: as told, unless an action ends the call or goes to an agent.
    pub(super) fn carry_out(&mut self, actions: &[Action], by: &Trigger, exit: Exit) -> Exit {
        for (place, action) in actions.iter().enumerate() {
            match &action.kind {
                ActionKind::SendSms | ActionKind::TriggerDonation | ActionKind::Custom(_) => {
                    let parameters = action.parameters.iter();
                    let parameters: BTreeMap<_, _> = parameters
                        .map(|(name, text)| (name.clone(), self.fill_in(text).into_inner()))
                        .collect();
                    let key = self.session_key(by, place);
                    let name = action.kind.name().to_owned();
                    self.effects.push(Effect::Action { key, name, parameters: Personal::new(parameters) });
                }
                ActionKind::AddToBlacklist => self.suppress(),
                ActionKind::RequestCallback => {
                    let at = self.callback_at(action);
                    self.effects.push(Effect::Callback { at });
                }
                ActionKind::TransferAgent => {
                    let to = action.parameters.get("to").map(|to| self.fill_in(to));
                    return Exit::Transfer { to, then: Box::new(exit) };
                }
                ActionKind::EndCall => return Exit::HangUp { ending: FlowEnding::Completed },
            }
        }
        exit
    }

    /// The key of an action: the visit, the node, what led to it, its place. The same session that is told the same
    /// again gives the same key.
    pub(super) fn session_key(&self, by: &Trigger, place: usize) -> String {
        let visit = self.session.path().len();
        match &self.session.place {
            Some(node) => format!("{visit}:{node}:{by}:{place}"),
            None => format!("{visit}::{by}:{place}"),
        }
    }

    fn callback_at(&self, action: &Action) -> DateTime<Utc> {
        let text = |name: &str| action.parameters.get(name).map(|text| self.fill_in(text).into_inner());
        let at = text("at").and_then(|at| DateTime::parse_from_rfc3339(at.trim()).ok());
        let after = text("after").and_then(|after| after.trim().parse::<Span>().ok());
        let after = after.and_then(|after| TimeDelta::from_std(after.duration()).ok());
        match at {
            Some(at) => at.to_utc().max(self.now),
            None => self
                .now
                .checked_add_signed(after.unwrap_or(CALLBACK_AFTER))
                .unwrap_or_else(|| self.now + CALLBACK_AFTER),
        }
    }

    pub(super) fn transferred(&mut self, node: &'a Node, outcome: TransferOutcome) -> Option<Exit> {
        let State::Waiting { token, what: Wait::Agent { then, connected }, .. } = &self.session.state else {
            return None;
        };
        let (token, then, connected) = (*token, then.clone(), *connected);
        // Once connected, all that can come is the end.
        if connected != (outcome == TransferOutcome::Ended) {
            return None;
        }
        if outcome != TransferOutcome::Ended {
            match then {
                None => self.keep(node, outcome.name()),
                Some(_) => self.session.keep(ActionKind::TransferAgent.name(), outcome.name()),
            }
        }
        if outcome == TransferOutcome::Connected {
            self.agent_speaks(token, then);
            return None;
        }
        if let Some(exit) = then {
            return Some(*exit);
        }
        let NodeKind::Transfer { on_busy, on_no_answer, on_failed, .. } = &node.kind else {
            return None;
        };
        match outcome {
            TransferOutcome::Busy => self.react(node, on_busy, Trigger::Busy, None),
            TransferOutcome::NoAnswer => self.react(node, on_no_answer, Trigger::NoAnswer, None),
            TransferOutcome::Failed => self.react(node, on_failed, Trigger::Failed, None),
            TransferOutcome::Connected | TransferOutcome::Ended => Some(go_on(node)),
        }
    }

    pub(super) fn result(
        &mut self,
        told: &str,
        done: bool,
        values: &BTreeMap<String, String>,
    ) -> Option<Exit> {
        let node = match &self.session.state {
            State::Waiting { what: Wait::Result { key }, .. } if key == told => self.node()?,
            _ => return None,
        };
        let NodeKind::Action { on_failed, .. } = &node.kind else { return None };
        self.keep(node, if done { "done" } else { "failed" });
        if let Some(name) = node.result_name() {
            for (value, text) in values {
                self.session.keep(format!("{name}.{value}"), text);
            }
        }
        if done { Some(go_on(node)) } else { self.react(node, on_failed, Trigger::Failed, None) }
    }

    /// The result of an action did not come in time.
    pub(super) fn no_result(&mut self, node: &'a Node) -> Option<Exit> {
        let NodeKind::Action { on_failed, .. } = &node.kind else { return None };
        self.keep(node, "timeout");
        self.react(node, on_failed, Trigger::Failed, None)
    }
}

/// What is said when neither node nor flow say something else.
fn built_in(by: &Trigger) -> Prompt {
    let text = match by {
        Trigger::Invalid => "That is not a valid choice.",
        _ => "We did not hear an answer.",
    };
    Prompt::english(text)
}
