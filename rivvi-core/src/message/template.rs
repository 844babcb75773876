//! Templates of messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use minijinja::value::{Object, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde::{Deserialize, Serialize};

use super::language::{self, BoundedText};

/// A text with variables, conditions and filters, in the language of Jinja: `"Hello {{ first_name | default("there") }}"`.
///
/// Variables are those of the campaign, the columns of the sheet, what is known of the person, what an action was asked
/// for with, and `links.NAME` for each link of the campaign; `row["Any header"]` names a column whose name is no word. A
/// variable that is missing or blank is an error unless `default` or `if … is defined` deals with it. What rendering may
/// cost is limited: the part of Jinja that is known is `if` and `for`, the usual filters, and texts put together by `~` or
/// `+` a few times.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageTemplate {
    source: String,
    environment: Arc<Environment<'static>>,
}

/// Steps that rendering may take.
const FUEL: u64 = 5_000;
const NAME: &str = "text";

impl MessageTemplate {
    /// The most bytes a template may have.
    pub const BYTES_MAX: usize = 32 * 1024;

    /// The most bytes a text may have when it is filled in.
    pub const RENDERED_MAX: usize = 64 * 1024;

    /// The text as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of the variables in it, `links` and `row` left out.
    pub fn variables(&self) -> BTreeSet<String> {
        let names = self.environment.get_template(NAME).map(|text| text.undeclared_variables(false));
        names.into_iter().flatten().filter(|name| name != "links" && name != "row").collect()
    }

    /// The text with everything filled in.
    ///
    /// # Errors
    /// [`RenderError`]: a variable has no value, or the text costs too much or gets too long.
    pub fn render(&self, variables: MessageVariables) -> Result<String, RenderError> {
        let template = self.environment.get_template(NAME).map_err(|_| RenderError::Broken)?;
        let mut text = BoundedText::new(Self::RENDERED_MAX);
        template.render_captured_to(Value::from_object(variables), &mut text).map_err(|error| match error
            .kind()
        {
            ErrorKind::UndefinedError => RenderError::Undefined,
            ErrorKind::OutOfFuel | ErrorKind::WriteFailure => RenderError::TooCostly,
            _ => RenderError::Broken,
        })?;
        Ok(text.into_text())
    }
}

impl MessageTemplate {
    /// A filter, a test or a function that does not exist, as far as rendering without any values comes to it.
    fn unknown_word(&self) -> Option<String> {
        let mut lenient = self.environment.as_ref().clone();
        lenient.set_undefined_behavior(UndefinedBehavior::Chainable);
        let nowhere = BoundedText::new(Self::RENDERED_MAX);
        let rendered =
            lenient.get_template(NAME).map(|text| text.render_captured_to(Value::UNDEFINED, nowhere).err());
        let error = rendered.unwrap_or_else(Some)?;
        let unknown = [ErrorKind::UnknownFilter, ErrorKind::UnknownTest, ErrorKind::UnknownFunction];
        unknown.contains(&error.kind()).then(|| error.detail().unwrap_or("an unknown filter").to_owned())
    }
}

impl fmt::Debug for MessageTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MessageTemplate").field(&self.source).finish()
    }
}

impl PartialEq for MessageTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for MessageTemplate {}

impl TryFrom<String> for MessageTemplate {
    type Error = MessageTemplateError;

    fn try_from(source: String) -> Result<Self, MessageTemplateError> {
        let wrong = |problem: String| Err(MessageTemplateError { problem });
        if source.trim().is_empty() {
            return wrong("expected a text that is not empty".into());
        }
        if source.len() > Self::BYTES_MAX {
            return wrong(format!("expected at most {} bytes, found {}", Self::BYTES_MAX, source.len()));
        }
        let mut environment = language::environment(FUEL);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        if let Err(error) = environment.add_template_owned(NAME, source.clone()) {
            let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
            let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            return wrong(format!("{line}{detail}"));
        }
        if let Some(problem) = language::problem(&source) {
            return wrong(problem);
        }
        let template = Self { source, environment: Arc::new(environment) };
        match template.unknown_word() {
            Some(problem) => wrong(problem),
            None => Ok(template),
        }
    }
}

impl FromStr for MessageTemplate {
    type Err = MessageTemplateError;

    fn from_str(source: &str) -> Result<Self, MessageTemplateError> {
        source.to_owned().try_into()
    }
}

impl From<MessageTemplate> for String {
    fn from(template: MessageTemplate) -> Self {
        template.source
    }
}

/// Why a text is not a [`MessageTemplate`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a template as in \"Hello {{{{ first_name }}}}\": {problem}")]
pub struct MessageTemplateError {
    problem: String,
}

/// Why a template could not be filled in. Carries no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// A variable has no value.
    #[error("a variable of the text has no value")]
    Undefined,
    /// It takes too long, or the text gets too long.
    #[error("the text takes too long to fill in, or gets too long")]
    TooCostly,
    /// A filter or function cannot work with the value it got.
    #[error("the text cannot be filled in with these values")]
    Broken,
}

/// What a [`MessageTemplate`] is filled in with. Blank values count as missing.
#[derive(Clone, Default)]
pub struct MessageVariables {
    texts: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
}

impl MessageVariables {
    /// These variables.
    pub fn new(texts: BTreeMap<String, String>) -> Self {
        Self { texts, links: BTreeMap::new() }
    }

    /// The same variables with further ones, which win.
    #[must_use]
    pub fn with(mut self, texts: impl IntoIterator<Item = (String, String)>) -> Self {
        self.texts.extend(texts);
        self
    }

    /// The same variables with these links.
    #[must_use]
    pub fn with_links(self, links: BTreeMap<String, String>) -> Self {
        Self { links, ..self }
    }

    /// The value of a variable, if it has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }
}

impl fmt::Debug for MessageVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageVariables").field("texts", &self.texts.len()).finish_non_exhaustive()
    }
}

impl Object for MessageVariables {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "links" => Some(Value::from_serialize(&self.links)),
            "row" => {
                let filled = self.texts.iter().filter(|(_, value)| !value.trim().is_empty());
                Some(filled.map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect())
            }
            name => self.value(name).map(Value::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, RenderError> {
        let texts = [("first_name", "Dana"), ("note", "  "), ("Full name", "Dana Cohen"), ("amount", "50")];
        let texts = texts.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let links = BTreeMap::from([("donate".to_owned(), "https://d.example".to_owned())]);
        let variables = MessageVariables::new(texts.into()).with_links(links);
        source.parse::<MessageTemplate>().unwrap().render(variables)
    }

    #[test]
    fn every_placeholder_is_filled_or_it_is_an_error() {
        assert_eq!(render("Hi {{ first_name }}: {{ links.donate }}").unwrap(), "Hi Dana: https://d.example");
        assert_eq!(render("{{ row['Full name'] }} & <b>").unwrap(), "Dana Cohen & <b>", "nothing is escaped");
        assert_eq!(render("{{ note | default('none') }}").unwrap(), "none", "blank is missing");
        assert_eq!(render("{% if gift is defined %}x{% else %}y{% endif %}").unwrap(), "y");
        for missing in ["{{ last_name }}", "{{ note }}", "{{ links.other }}", "{{ row['note'] }}"] {
            assert_eq!(render(missing), Err(RenderError::Undefined), "{missing}");
        }
    }

    #[test]
    fn rendering_ends() {
        let nested = "{% for a in range(9000) %}{% for b in range(9000) %}{% endfor %}{% endfor %}";
        let long = "{% for a in range(900) %}{{ 'DIGITS' }}{% endfor %}".replace("DIGITS", &"0".repeat(90));
        for costly in [nested, &long, "{{ range(9000) | join(range(9000) | join) }}"] {
            assert_eq!(render(costly), Err(RenderError::TooCostly), "{costly}");
        }
        for refused in ["{{ 'x' * 100000 }}", "{{ [1] | batch(999999999999999999) }}", "{% set a = 1 %}"] {
            assert!(refused.parse::<MessageTemplate>().is_err(), "{refused}");
        }
    }

    #[test]
    fn what_is_no_template_is_told_with_its_line() {
        let problem = |source: &str| source.parse::<MessageTemplate>().unwrap_err().to_string();
        assert!(problem("a\n{{ b").contains("line 2"), "{}", problem("a\n{{ b"));
        assert!(problem("{{ a | no_such_filter }}").contains("no_such_filter"));
        assert!(problem("  ").contains("not empty"));
        assert!(problem(&"x".repeat(MessageTemplate::BYTES_MAX + 1)).contains("at most"));
    }

    #[test]
    fn variables_are_named() {
        let template: MessageTemplate =
            "{{ a }}{% if b %}{{ links.x }}{{ row['y'] }}{% endif %}".parse().unwrap();
        assert_eq!(template.variables(), BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert!(
            !format!("{:?}", MessageVariables::new([("a".into(), "Dana".into())].into())).contains("Dana")
        );
    }
}
