//! Texts with variables.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text with variables, `"Hello {{first_name}}"`. Where a variable may be missing or empty, a text instead can be
/// given, `"Hello {{first_name|there}}"`. Braces that are not doubled stand for themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable { name: String, otherwise: Option<String> },
}

impl Template {
    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// A text without variables.
    pub(super) fn plain(text: &str) -> Self {
        Self { source: text.to_owned(), parts: vec![Part::Text(text.to_owned())] }
    }

    /// Whether it has variables.
    pub(super) fn has_variables(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Variable { .. }))
    }

    /// The texts between the variables.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Variable { .. } => None,
        })
    }

    /// Whether there is nothing in it but blanks.
    pub(super) fn is_blank(&self) -> bool {
        self.source.trim().is_empty()
    }

    /// The text with its variables filled in. A variable that is missing or empty becomes the text given instead, or
    /// nothing.
    pub fn render<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> String {
        let mut text = String::with_capacity(self.source.len());
        for part in &self.parts {
            text.push_str(match part {
                Part::Text(part) => part,
                Part::Variable { name, otherwise } => {
                    let value = value_of(name).filter(|value| !value.is_empty());
                    value.or(otherwise.as_deref()).unwrap_or_default()
                }
            });
        }
        text
    }

    /// The variables in it that must have a value: those without a text instead.
    pub fn needed(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable { name, otherwise: None } => Some(name.as_str()),
            _ => None,
        })
    }
}

impl From<Template> for String {
    fn from(template: Template) -> Self {
        template.source
    }
}

impl TryFrom<String> for Template {
    type Error = TemplateError;

    fn try_from(source: String) -> Result<Self, TemplateError> {
        let parts = parts_of(&source)?;
        Ok(Self { source, parts })
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(source: &str) -> Result<Self, TemplateError> {
        source.to_owned().try_into()
    }
}

/// Why a text is not a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected variables as in \"Hello {{{{first_name}}}}\": {problem}")]
pub struct TemplateError {
    problem: String,
}

fn parts_of(source: &str) -> Result<Vec<Part>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, after) = after.split_once("}}").ok_or_else(|| TemplateError {
            problem: format!(
                "\"{{{{\" after {} signs is not closed by \"}}}}\"",
                source.len() - after.len() - 2
            ),
        })?;
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(variable(inside)?);
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

fn variable(inside: &str) -> Result<Part, TemplateError> {
    let (name, otherwise) = match inside.split_once('|') {
        Some((name, otherwise)) => (name.trim(), Some(otherwise.trim().to_owned())),
        None => (inside.trim(), None),
    };
    if name.is_empty() || name.contains(['{', '}']) {
        return Err(TemplateError { problem: format!("{inside:?} is not the name of a variable") });
    }
    Ok(Part::Variable { name: name.to_owned(), otherwise })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn variables_are_filled_in() {
        let value_of = |name: &str| match name {
            "first_name" => Some("Dana"),
            "empty" => Some(""),
            _ => None,
        };
        for (source, text) in [
            ("Hello", "Hello"),
            ("", ""),
            ("Hello {{first_name}}!", "Hello Dana!"),
            ("{{ first_name }}{{first_name}}", "DanaDana"),
            ("Hello {{nobody}}.", "Hello ."),
            ("Hello {{nobody|friend}}.", "Hello friend."),
            ("Hello {{empty|friend}}.", "Hello friend."),
            ("Hello {{first_name|friend}}.", "Hello Dana."),
            ("a {single} brace }} is text", "a {single} brace }} is text"),
        ] {
            let template: Template = source.parse().unwrap();
            assert_eq!(template.render(value_of), text, "{source}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (source, problem) in [
            ("Hello {{first_name", "after 6 signs is not closed"),
            ("Hello {{}}", "\"\" is not the name of a variable"),
            ("Hello {{ |x}}", "\" |x\" is not the name of a variable"),
            ("Hello {{{a}}}", "is not the name of a variable"),
        ] {
            let error = source.parse::<Template>().unwrap_err().to_string();
            assert!(error.contains(problem), "{source}: {error}");
            assert!(error.contains("\"Hello {{first_name}}\""), "{error}");
        }
    }

    proptest! {
        /// Property 22, template variable substitution: for any template, every placeholder is replaced by the value
        /// of its variable, and none remains.
        #[test]
        fn property_22_sms_template_variable_substitution(
            pieces in prop::collection::vec(("[a-z .,]{0,8}", "[a-z_]{1,8}", "[A-Z]{1,8}"), 0..6),
        ) {
            let mut source = String::new();
            let mut expected = String::new();
            let mut values = std::collections::BTreeMap::new();
            for (text, name, value) in &pieces {
                values.entry(name.as_str()).or_insert(value.as_str());
                let _ = write!(source, "{text}{{{{{name}}}}}");
                let _ = write!(expected, "{text}{}", values[name.as_str()]);
            }
            let template: Template = source.parse().unwrap();
            prop_assert_eq!(template.render(|name| values.get(name).copied()), expected);
            prop_assert_eq!(template.source(), source);
        }

        #[test]
        fn any_text_is_read_or_explained(source in ".{0,40}") {
            if let Ok(template) = source.parse::<Template>() {
                prop_assert_eq!(template.source(), source);
            }
        }
    }
}
