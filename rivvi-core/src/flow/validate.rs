//! Whether a flow makes sense.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use super::action::ActionKind;
use super::definition::{Flow, Node, NodePath};
use super::edge::{Target, edges};
use super::error::{FlowError, FlowProblem};
use crate::domain::PersonFields;

mod graph;
mod node;
mod text;

/// What a flow is checked against. What is `None` is not known and not checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowTerms {
    /// The variables that every contact has, beside what is known of persons.
    pub variables: Option<BTreeSet<String>>,
    /// The actions that the host registered.
    pub actions: Option<BTreeSet<String>>,
    /// The longest that a call may last.
    pub max_duration: Option<Duration>,
}

impl FlowTerms {
    /// With the variables that every contact has.
    #[must_use]
    pub fn with_variables(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.variables = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// With the actions that the host registered.
    #[must_use]
    pub fn with_actions(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.actions = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// With the longest that a call may last.
    #[must_use]
    pub fn with_max_duration(mut self, longest: Duration) -> Self {
        self.max_duration = Some(longest);
        self
    }
}

impl Flow {
    /// Finds everything in the flow that makes no sense: targets that are not there, nodes that are never reached,
    /// menus without a way out, circles in which nothing waits for the callee, sub-flows within themselves, keys with
    /// two meanings, ranges of digits that nothing fits, unknown variables and actions, and times that the call is too
    /// short for.
    ///
    /// # Errors
    /// All problems at once, each with its node, its field and what was expected.
    pub fn validate(&self, terms: &FlowTerms) -> Result<(), FlowError> {
        let mut check = Check { flow: self, terms, known: self.known_variables(terms), problems: Vec::new() };
        check.settings();
        for (subflow, section) in self.sections() {
            let mut ids = HashSet::new();
            check.start(subflow.map(|id| &**id), section);
            for node in &section.nodes {
                let path = NodePath { subflow: subflow.cloned(), node: node.id.clone() };
                if !ids.insert(&node.id) {
                    check.at(&path, "id", "two nodes have this id: expected ids that differ");
                }
                check.node(&path, node);
                check.targets(&path, node);
            }
        }
        check.graph();
        FlowError::unless_none(check.problems)
    }

    /// Everything a text or branch may name; `None` if the contacts' variables are not known.
    fn known_variables(&self, terms: &FlowTerms) -> Option<BTreeSet<String>> {
        let mut known = terms.variables.clone()?;
        known.extend(PersonFields::VARIABLES.map(str::to_owned));
        known.extend(self.settings.variables.keys().cloned());
        known.extend(self.all().filter_map(|(_, node)| node.result_name().map(str::to_owned)));
        known.insert(ActionKind::TransferAgent.name().to_owned());
        Some(known)
    }
}

struct Check<'a> {
    flow: &'a Flow,
    terms: &'a FlowTerms,
    known: Option<BTreeSet<String>>,
    problems: Vec<FlowProblem>,
}

impl Check<'_> {
    fn at(&mut self, path: &NodePath, field: impl Into<String>, problem: impl Into<String>) {
        self.problems.push(FlowProblem::at(path, field, problem));
    }

    fn settings(&mut self) {
        let settings = &self.flow.settings;
        let longest = Duration::from_secs(3_600);
        if settings.prompt_max.duration().is_zero() || settings.prompt_max.duration() > longest {
            self.problems
                .push(FlowProblem::of_flow("prompt_max", "expected more than \"0s\" and at most \"1h\""));
        }
        let prompts = &settings.prompts;
        for (name, prompt) in
            [("invalid", &prompts.invalid), ("timeout", &prompts.timeout), ("opt_out", &prompts.opt_out)]
        {
            for (field, template) in prompt.iter().flat_map(|prompt| prompt.templates()) {
                for problem in self.unknown_in(template) {
                    self.problems.push(FlowProblem::of_flow(format!("prompts.{name}.{field}"), problem));
                }
            }
        }
        if let Some(language) = &settings.language {
            for problem in self.unknown_in(language) {
                self.problems.push(FlowProblem::of_flow("language", problem));
            }
        }
    }

    fn start(&mut self, subflow: Option<&str>, section: &super::definition::Section) {
        let field = subflow.map_or_else(|| "start".to_owned(), |id| format!("subflows.{id}.start"));
        if section.nodes.is_empty() {
            let field = field.replace("start", "nodes");
            self.problems.push(FlowProblem::of_flow(field, "expected at least one node"));
        } else if section.node(&section.start).is_none() {
            let problem = no_such("node", &section.start, section.nodes.iter().map(|node| &*node.id));
            self.problems.push(FlowProblem::of_flow(field, problem));
        }
        if let Some(id) = subflow
            && (id.is_empty() || id.contains('/'))
        {
            let problem = format!("the id {id:?}: expected one that is not empty and has no \"/\"");
            self.problems.push(FlowProblem::of_flow("subflows", problem));
        }
    }

    /// Whether every node and sub-flow that is named is there.
    fn targets(&mut self, path: &NodePath, node: &Node) {
        let Some(section) = self.flow.section(path.subflow.as_ref()) else { return };
        let mut said = HashSet::new();
        for edge in edges(node) {
            let problem = match edge.target {
                Target::Node(id) if section.node(id).is_none() => {
                    no_such("node", id, section.nodes.iter().map(|node| &*node.id))
                }
                Target::Subflow(id) if !self.flow.subflows.contains_key(id) => {
                    no_such("sub-flow", id, self.flow.subflows.keys().map(|id| &**id))
                }
                _ => continue,
            };
            if said.insert(edge.field.clone()) {
                self.at(path, edge.field, problem);
            }
        }
    }
}

fn no_such<'a>(what: &str, id: &str, there: impl Iterator<Item = &'a str>) -> String {
    const NAMED_MAX: usize = 8;
    let mut there: Vec<&str> = there.collect();
    let more = if there.len() > NAMED_MAX { ", …" } else { "" };
    there.truncate(NAMED_MAX);
    match there.is_empty() {
        true => format!("there is no {what} `{id}`, and no {what} at all"),
        false => format!("there is no {what} `{id}`: expected one of `{}`{more}", there.join("`, `")),
    }
}
