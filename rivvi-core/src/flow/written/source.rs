//! Flows as texts.

use super::WrittenFlow;
use crate::flow::definition::Flow;
use crate::flow::error::{FlowError, FlowProblem};

impl Flow {
    /// Reads the TOML form.
    ///
    /// # Errors
    /// What does not have the shape of a flow, with node and field: the first mistake of the notation, or else every
    /// field that is missing or out of place.
    pub fn from_toml(text: &str) -> Result<Self, FlowError> {
        let line = |span: Option<std::ops::Range<usize>>| {
            let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
            before.matches('\n').count() + 1
        };
        let reader = toml::Deserializer::parse(text)
            .map_err(|error| malformed(None, "", line(error.span()), error.message()))?;
        let written: WrittenFlow = serde_path_to_error::deserialize(reader).map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.inner());
            malformed(toml::from_str(text).ok(), &path, line(inner.span()), inner.message())
        })?;
        written.try_into()
    }

    /// Reads the JSON form, which has the same shape.
    ///
    /// # Errors
    /// As those of [`from_toml`](Self::from_toml).
    pub fn from_json(text: &str) -> Result<Self, FlowError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let written: WrittenFlow = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.inner());
            malformed(serde_json::from_str(text).ok(), &path, inner.line(), &inner.to_string())
        })?;
        reader
            .end()
            .map_err(|error| malformed(None, "", error.line(), "expected nothing after the closing brace"))?;
        written.try_into()
    }
}

/// The error of a text in which `path` cannot be read, named by the node it lies in if that can be found.
fn malformed(whole: Option<serde_json::Value>, path: &str, line: usize, message: &str) -> FlowError {
    let (node, field) = whole.and_then(|whole| node_of(&whole, path)).unwrap_or((None, path.to_owned()));
    let field = if ["", ".", "?"].contains(&field.as_str()) { format!("line {line}") } else { field };
    let problem = match node {
        Some(node) => FlowProblem::at(node, field, message),
        None => FlowProblem::of_flow(field, message),
    };
    FlowError { problems: vec![problem] }
}

/// The node that a path such as `subflows[0].nodes[2].timeout` leads into, and the rest of the path.
fn node_of(whole: &serde_json::Value, path: &str) -> Option<(Option<String>, String)> {
    let (section, subflow, rest) = match path.strip_prefix("subflows[") {
        Some(rest) => {
            let (place, rest) = rest.split_once("].")?;
            let section = whole.get("subflows")?.get(place.parse::<usize>().ok()?)?;
            (section, section.get("id").and_then(|id| id.as_str()), rest)
        }
        None => (whole, None, path),
    };
    let (place, field) = rest.strip_prefix("nodes[")?.split_once(']')?;
    let node = section.get("nodes")?.get(place.parse::<usize>().ok()?)?;
    let id =
        node.get("id").and_then(|id| id.as_str()).map_or_else(|| format!("number {place}"), str::to_owned);
    let id = subflow.map_or_else(|| id.clone(), |subflow| format!("{subflow}/{id}"));
    let field = field.trim_start_matches('.');
    Some((Some(id), if field.is_empty() { "fields".into() } else { field.to_owned() }))
}
