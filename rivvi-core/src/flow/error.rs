//! What is wrong with a flow.

use std::fmt;

/// Everything that is wrong with a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowError {
    /// At least one problem, in the order of the flow.
    pub problems: Vec<FlowProblem>,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for FlowError {}

impl FlowError {
    /// `Ok` if there are no problems.
    pub(super) fn unless_none(problems: Vec<FlowProblem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

/// One thing that is wrong with a flow, told in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowProblem {
    /// The node, written as its [`NodePath`](super::NodePath); `None` if it concerns the flow.
    pub node: Option<String>,
    /// The field, as a path such as `on_timeout.next`, or the line where there is no field.
    pub field: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

impl FlowProblem {
    pub(super) fn at(node: impl ToString, field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { node: Some(one_line(node.to_string())), ..Self::of_flow(field, problem) }
    }

    pub(super) fn of_flow(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { node: None, field: one_line(field), problem: one_line(problem) }
    }
}

/// The text in one line: names in a flow may have several.
fn one_line(text: impl Into<String>) -> String {
    text.into().trim().replace(['\n', '\r'], " ")
}

impl fmt::Display for FlowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.node {
            Some(node) => write!(f, "node `{node}`, {}: {}", self.field, self.problem),
            None => write!(f, "{}: {}", self.field, self.problem),
        }
    }
}
