//! Variables in texts and branches, and actions with what they get.

use super::Check;
use crate::domain::Span;
use crate::flow::action::{Action, ActionKind};
use crate::flow::definition::{Case, Node, NodeKind, NodePath};
use crate::flow::edge::reactions;
use crate::flow::reaction::Prompt;
use crate::flow::template::Template;

impl Check<'_> {
    /// What is wrong with the variables of a text.
    pub(super) fn unknown_in(&self, template: &Template) -> Vec<String> {
        let unknown = template.needed().filter(|name| !self.is_known(name));
        unknown.map(|name| unknown_variable(name, "or write {{name|text instead}}")).collect()
    }

    fn is_known(&self, name: &str) -> bool {
        let Some(known) = &self.known else { return true };
        // The values that an action gives back are known by the host alone.
        known.contains(name) || name.split_once('.').is_some_and(|(result, _)| known.contains(result))
    }

    pub(super) fn texts(&mut self, path: &NodePath, node: &Node) {
        let prompt = match &node.kind {
            NodeKind::Prompt { prompt, .. } | NodeKind::Menu { prompt, .. } => Some(prompt),
            NodeKind::CaptureInput { prompt, .. }
            | NodeKind::Listen { prompt, .. }
            | NodeKind::Record { prompt, .. } => prompt.as_ref(),
            _ => None,
        };
        self.prompt(path, "", prompt);
        match &node.kind {
            NodeKind::Transfer { to: Some(to), .. } => self.template(path, "to", to),
            NodeKind::SendDtmf { digits } => self.template(path, "digits", digits),
            NodeKind::Branch { cases } => {
                for (place, case) in cases.iter().enumerate() {
                    self.case(path, place, case);
                }
            }
            NodeKind::Action { actions, .. } => self.actions(path, "actions", actions),
            _ => {}
        }
        for (_, field, reaction) in reactions(node) {
            self.prompt(path, &format!("{field}."), reaction.prompt.as_ref());
            self.actions(path, &format!("{field}.actions"), &reaction.actions);
            let ends = reaction.actions.iter().any(|action| action.kind == ActionKind::EndCall);
            if ends && reaction.next.is_some() {
                self.at(path, format!("{field}.next"), "expected none, for `end_call` ends the call before");
            }
        }
    }

    fn prompt(&mut self, path: &NodePath, before: &str, prompt: Option<&Prompt>) {
        for (field, template) in prompt.into_iter().flat_map(Prompt::templates) {
            self.template(path, &format!("{before}{field}"), template);
        }
    }

    fn template(&mut self, path: &NodePath, field: &str, template: &Template) {
        for problem in self.unknown_in(template) {
            self.at(path, field, problem);
        }
    }

    fn case(&mut self, path: &NodePath, place: usize, case: &Case) {
        let field = format!("cases[{place}]");
        if case.is_empty() {
            let expected = "expected at least one of `equals`, `not_equals`, `one_of`, `present`, `less_than`, `at_least`";
            self.at(path, field.as_str(), expected);
        }
        if case.one_of.as_ref().is_some_and(Vec::is_empty) {
            self.at(path, format!("{field}.one_of"), "expected at least one value");
        }
        if !self.is_known(&case.variable) && case.present.is_none() {
            let problem = unknown_variable(&case.variable, "or ask for `present` too");
            self.at(path, format!("{field}.variable"), problem);
        }
    }

    fn actions(&mut self, path: &NodePath, field: &str, actions: &[Action]) {
        for (place, action) in actions.iter().enumerate() {
            let field = format!("{field}[{place}]");
            self.action(path, &field, action);
            if action.is_last() && place + 1 < actions.len() {
                let problem =
                    format!("nothing can follow `{}`: expected it to be the last", action.kind.name());
                self.at(path, field.as_str(), problem);
            }
        }
    }

    fn action(&mut self, path: &NodePath, field: &str, action: &Action) {
        for (name, template) in &action.parameters {
            self.template(path, &format!("{field}.parameters.{name}"), template);
        }
        let name = action.kind.name();
        if action.kind.is_the_hosts()
            && let Some(registered) = &self.terms.actions
            && !registered.contains(name)
        {
            let expected = match registered.is_empty() {
                true => "register an action of this name with the engine".to_owned(),
                false => {
                    let names: Vec<&str> = registered.iter().map(String::as_str).collect();
                    format!("expected one of the registered `{}`", names.join("`, `"))
                }
            };
            self.at(path, format!("{field}.type"), format!("no action `{name}` is registered: {expected}"));
        }
        let has = |parameter: &str| action.parameters.contains_key(parameter);
        match &action.kind {
            ActionKind::SendSms if !has("text") && !has("template") => {
                let problem = "a `send_sms` says nothing: expected `text` or `template`";
                self.at(path, format!("{field}.parameters"), problem);
            }
            ActionKind::RequestCallback if has("after") == has("at") => {
                let problem = "expected either `after`, such as \"2h\", or `at`, an instant";
                self.at(path, format!("{field}.parameters"), problem);
            }
            ActionKind::RequestCallback => {
                let after = action.parameters.get("after").filter(|after| !after.has_variables());
                if after.is_some_and(|after| after.source().trim().parse::<Span>().is_err()) {
                    let problem = "expected a duration such as \"15m\", \"2h\" or \"1d\"";
                    self.at(path, format!("{field}.parameters.after"), problem);
                }
            }
            _ => {}
        }
    }
}

fn unknown_variable(name: &str, else_do: &str) -> String {
    format!(
        "unknown variable `{name}`: expected one of the campaign, a required field, a result of a node, or a field of \
         the person; give it a default in `variables` of the flow, {else_do}"
    )
}
