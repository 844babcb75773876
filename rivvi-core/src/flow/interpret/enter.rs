//! From node to node.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Stepper, beside, go_on};
use crate::domain::Personal;
use crate::flow::definition::{Case, Node, NodeKind, NodePath};
use crate::flow::edge::counted;
use crate::flow::effect::{Effect, FlowEnding};
use crate::flow::input::Token;
use crate::flow::reaction::Prompt;
use crate::flow::session::{Exit, State, Then, Trigger, Wait};
use crate::flow::template::Template;

/// Nodes visited in one conversation at most.
pub(in crate::flow) const VISITS_MAX: usize = 1_000;
/// Sub-flows within one another at most.
pub(in crate::flow) const STACK_MAX: usize = 8;
/// How much longer than allowed the provider may take to tell the end of a recording or a transfer.
const GRACE: Duration = Duration::from_secs(10);
/// How long an agent may speak with the callee; the longest duration of the call ends it before.
const AGENT_MAX: Duration = Duration::from_secs(86_400);
/// How long an agent whom an action calls may ring.
const AGENT_RINGS: Duration = Duration::from_secs(30);
/// How long it takes to press one key.
const PRESS: Duration = Duration::from_millis(200);
/// How long a `w` pauses.
const PAUSE: Duration = Duration::from_millis(500);

impl<'a> Stepper<'a> {
    /// Leaves a node, and goes on until a node waits or the conversation is over.
    pub(super) fn leave(&mut self, exit: Exit) {
        let mut exit = Some(exit);
        while let Some(leaving) = exit.take() {
            let place = self.session.place.clone();
            exit = match leaving {
                Exit::Go { next: Some(next), by } => self.enter(beside(place.as_ref(), next), by),
                Exit::Go { next: None, .. } => self.come_back(),
                Exit::Enter { flow } => match (self.flow.subflows.get(&flow), place) {
                    (Some(section), Some(place)) if self.session.stack.len() < STACK_MAX => {
                        self.session.stack.push(place);
                        let start = NodePath { subflow: Some(flow), node: section.start.clone() };
                        self.enter(start, Trigger::Enter)
                    }
                    _ => self.broken(),
                },
                Exit::Transfer { to, then } => {
                    self.transfer(to, AGENT_RINGS, Some(then));
                    None
                }
                Exit::HangUp { ending } => {
                    self.effects.push(Effect::HangUp);
                    self.end(ending);
                    None
                }
            };
        }
    }

    /// The end of a sub-flow leads on where it was entered, the end of the flow to the end of the call.
    fn come_back(&mut self) -> Option<Exit> {
        let Some(place) = self.session.stack.pop() else {
            return Some(Exit::HangUp { ending: FlowEnding::Completed });
        };
        let next = self.flow.node(&place).and_then(|node| node.next.clone());
        self.session.place = Some(place);
        Some(Exit::Go { next, by: Trigger::Return })
    }

    fn broken(&mut self) -> Option<Exit> {
        tracing::warn!(flow = self.flow.name(), place = ?self.session.place, "a flow leads nowhere; the call ends");
        Some(Exit::HangUp { ending: FlowEnding::Broken })
    }

    fn enter(&mut self, path: NodePath, by: Trigger) -> Option<Exit> {
        let Some(node) = self.flow.node(&path) else { return self.broken() };
        if self.session.path().len() >= VISITS_MAX {
            return self.broken();
        }
        self.session.visit(path, by, self.now);
        match &node.kind {
            NodeKind::Prompt { prompt, barge_in } => {
                let barge_in = self.may_barge_in(*barge_in);
                if self.carried.is_some() && barge_in {
                    return Some(go_on(node));
                }
                self.prompt(prompt, barge_in, Then::Leave(go_on(node)))
            }
            NodeKind::Menu { input, .. }
            | NodeKind::CaptureInput { input, .. }
            | NodeKind::Listen { input, .. } => {
                let barge_in = self.may_barge_in(input.barge_in);
                match self.carried.take().filter(|_| barge_in) {
                    Some(key) => self.carry_in(node, key),
                    None => self.begin(node),
                }
            }
            NodeKind::Record { .. } => self.begin(node),
            NodeKind::Action { actions, wait_for_result, .. } => {
                let first = self.session_key(&Trigger::Next, 0);
                let exit = self.carry_out(actions, &Trigger::Next, go_on(node));
                match wait_for_result {
                    Some(longest) => {
                        self.wait(Wait::Result { key: first }, longest.duration());
                        None
                    }
                    None => Some(exit),
                }
            }
            NodeKind::Branch { cases } => {
                let holds = |case: &Case| case.holds(self.value_of(&case.variable));
                Some(match cases.iter().position(holds) {
                    Some(place) => Exit::Go {
                        next: cases.get(place).map(|case| case.next.clone()),
                        by: Trigger::Case(counted(place)),
                    },
                    None => go_on(node),
                })
            }
            NodeKind::Goto | NodeKind::Return => Some(go_on(node)),
            NodeKind::Transfer { to, timeout, .. } => {
                let to = to.as_ref().map(|to| self.fill_in(to));
                self.transfer(to, timeout.duration(), None);
                None
            }
            NodeKind::Wait { duration } => {
                self.wait(Wait::Time, duration.duration());
                None
            }
            NodeKind::SendDtmf { digits } => {
                let digits = self.fill_in(digits);
                let lasting =
                    digits.expose().chars().map(|sign| if sign == 'w' { PAUSE } else { PRESS }).sum();
                self.effects.push(Effect::SendDtmf { digits });
                self.wait(Wait::Time, lasting);
                None
            }
            NodeKind::Detect { timeout, await_greeting_end, .. } => {
                let token = self.wait(Wait::Detection, timeout.duration());
                self.effects.push(Effect::Detect { token, await_greeting_end: *await_greeting_end });
                None
            }
            NodeKind::Subflow { flow } => Some(Exit::Enter { flow: flow.clone() }),
            NodeKind::HangUp => Some(Exit::HangUp { ending: FlowEnding::Completed }),
        }
    }

    /// A key that was pressed before this node was reached.
    fn carry_in(&mut self, node: &'a Node, key: crate::flow::key::Key) -> Option<Exit> {
        if node.opt_out && self.flow.opt_out_key() == Some(key) {
            return self.opt_out();
        }
        match &node.kind {
            NodeKind::Listen { keys, .. } if keys.is_empty() => self.begin(node),
            _ => self.key(node, key),
        }
    }

    /// Starts what a node does for the callee from its beginning: with its prompt, if it has one.
    pub(super) fn begin(&mut self, node: &'a Node) -> Option<Exit> {
        self.session.digits = Personal::default();
        let (prompt, barge_in) = match &node.kind {
            NodeKind::Menu { prompt, input, .. } => (Some(prompt), input.barge_in),
            NodeKind::CaptureInput { prompt, input, .. } | NodeKind::Listen { prompt, input, .. } => {
                (prompt.as_ref(), input.barge_in)
            }
            NodeKind::Record { prompt, barge_in, .. } => (prompt.as_ref(), *barge_in),
            _ => (None, None),
        };
        match prompt {
            Some(prompt) => self.prompt(prompt, self.may_barge_in(barge_in), Then::Wait),
            None => self.wait_at(node),
        }
    }

    /// Waits for what the node waits for.
    pub(super) fn wait_at(&mut self, node: &'a Node) -> Option<Exit> {
        match &node.kind {
            NodeKind::Menu { input, .. } | NodeKind::CaptureInput { input, .. } => {
                self.wait(Wait::Digits, input.timeout.duration());
            }
            NodeKind::Listen { input, phrases, .. } => {
                let token = self.wait(Wait::Speech, input.timeout.duration());
                let hints = phrases.iter().flat_map(|phrase| phrase.any.iter().cloned()).collect();
                self.effects.push(Effect::Listen { token, hints, language: self.language(None) });
            }
            NodeKind::Record { rules, .. } => {
                let token = self.wait(Wait::Recording, rules.max_duration.duration() + GRACE);
                self.effects.push(Effect::Record { token, rules: *rules });
            }
            _ => return Some(go_on(node)),
        }
        None
    }

    /// Waits for `what`, no longer than told. Returns the token by which it is named.
    pub(super) fn wait(&mut self, what: Wait, longest: Duration) -> Token {
        let token = self.session.next_token();
        let timer = self.start_timer(longest);
        self.session.state = State::Waiting { token, timer, what };
        token
    }

    /// A fresh timer of a node that listens.
    pub(super) fn timer_of(&mut self, node: &Node) -> Token {
        let longest = match &node.kind {
            NodeKind::Listen { input, .. } => input.timeout.duration(),
            _ => Duration::ZERO,
        };
        self.start_timer(longest)
    }

    fn start_timer(&mut self, after: Duration) -> Token {
        let token = self.session.next_token();
        let span = TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX);
        self.session.timer_ends_at =
            Some(self.now.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC));
        self.effects.push(Effect::StartTimer { token, after });
        token
    }

    fn transfer(&mut self, to: Option<Personal<String>>, ring_timeout: Duration, then: Option<Box<Exit>>) {
        let token = self.wait(Wait::Agent { then, connected: false }, ring_timeout + GRACE);
        self.effects.push(Effect::Transfer { token, to, ring_timeout });
    }

    pub(super) fn agent_speaks(&mut self, token: Token, then: Option<Box<Exit>>) {
        let timer = self.start_timer(AGENT_MAX);
        let what = Wait::Agent { then, connected: true };
        self.session.state = State::Waiting { token, timer, what };
    }

    /// Plays or speaks a prompt; `then` follows.
    pub(super) fn prompt(&mut self, prompt: &Prompt, barge_in: bool, then: Then) -> Option<Exit> {
        let token = self.session.next_token();
        let effect = match prompt {
            Prompt::Audio(audio) => Effect::Play { token, audio: self.fill_in(audio) },
            Prompt::Text { text, language } => Effect::Say {
                token,
                text: self.fill_in(text),
                language: self.language(language.as_ref()),
                voice: self.flow.settings.voice.clone(),
            },
        };
        self.effects.push(effect);
        let timer = self.start_timer(self.flow.settings.prompt_max.duration());
        self.session.state = State::Prompting { playback: token, timer, barge_in, then };
        None
    }

    pub(super) fn may_barge_in(&self, of_node: Option<bool>) -> bool {
        of_node.unwrap_or(self.flow.settings.barge_in)
    }

    fn language(&self, own: Option<&Template>) -> Option<Personal<String>> {
        let language = own.or(self.flow.settings.language.as_ref())?;
        Some(self.fill_in(language)).filter(|language| !language.expose().is_empty())
    }

    pub(super) fn fill_in(&self, template: &Template) -> Personal<String> {
        template.render(|name| self.value_of(name)).into()
    }

    /// What is known under a name: learnt in the call, known before it, or given by the flow.
    pub(super) fn value_of<'s>(&'s self, name: &str) -> Option<&'s str> {
        let default = || self.flow.settings.variables.get(name).map(String::as_str);
        self.session.variable(name).filter(|value| !value.is_empty()).or_else(default)
    }
}
