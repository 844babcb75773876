//! Templates of messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use minijinja::value::{Object, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, filters, tests as jinja_tests};
use serde::{Deserialize, Serialize};

/// A text with variables, conditions and filters, in the language of Jinja: `"Hello {{ first_name | default("there") }}"`.
///
/// There are `if`, `elif`, `else` and `endif`, the tests `defined` and `undefined`, comparisons, `and`, `or`, `not` and `in`,
/// and the filters `default`, `upper`, `lower`, `title`, `capitalize`, `trim`, `length`, `first`, `last` and `replace`. Neither
/// loops nor arithmetic: what a text costs grows with its length alone.
///
/// Variables are those of the campaign, the columns of the sheet, what is known of the person, what an action was asked
/// for with, and `links.NAME` for each link of the campaign; `row["Any header"]` names a column whose name is no word. A
/// variable that is missing or blank is an error unless `default` or `if … is defined` deals with it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageTemplate {
    source: String,
    environment: Arc<Environment<'static>>,
}

/// Steps that rendering may take.
const FUEL: u64 = 20_000;
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
        let mut text = Bounded(Vec::new());
        template.render_captured_to(Value::from_object(variables), &mut text).map_err(|error| match error
            .kind()
        {
            ErrorKind::UndefinedError => RenderError::Undefined,
            ErrorKind::OutOfFuel | ErrorKind::WriteFailure => RenderError::TooCostly,
            _ => RenderError::Broken,
        })?;
        String::from_utf8(text.0).map_err(|_| RenderError::Broken)
    }
}

/// Takes a text up to the most it may have.
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > MessageTemplate::RENDERED_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is not allowed between the brackets of a template: tags other than conditions, and operators with which a short
/// text could make a long one.
fn forbidden(source: &str) -> Option<String> {
    let mut rest = source;
    while let Some((place, kind)) =
        ["{{", "{%", "{#"].into_iter().filter_map(|open| Some((rest.find(open)?, open))).min()
    {
        let inside = &rest[place + 2..];
        if kind == "{#" {
            rest = inside.split_once("#}").map_or("", |(_, after)| after);
            continue;
        }
        if kind == "{%" {
            let code = inside.trim_start_matches(['-', '+']).trim_start();
            let tag: String = code.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !["if", "elif", "else", "endif"].contains(&&*tag) {
                return Some(format!("the tag \"{tag}\" is not known: expected if, elif, else or endif"));
            }
        }
        let close = if kind == "{{" { "}}" } else { "%}" };
        let mut code = inside.trim_start_matches(['-', '+']);
        loop {
            let next = code.chars().next()?;
            if code.starts_with(close) {
                break;
            }
            if matches!(next, '\'' | '"') {
                code = after_text(&code[1..], next);
                continue;
            }
            let closes = matches!(next, '+' | '-') && code[1..].starts_with(close);
            if matches!(next, '*' | '~' | '+' | '/' | '%') && !closes {
                return Some(format!(
                    "\"{next}\" is not known: expected a variable, a filter or a comparison"
                ));
            }
            code = &code[next.len_utf8()..];
        }
        rest = &code[2..];
    }
    None
}

/// What follows the text that a quotation mark began.
fn after_text(code: &str, quote: char) -> &str {
    let mut is_escaped = false;
    for (place, c) in code.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return &code[place + c.len_utf8()..],
            _ => {}
        }
    }
    ""
}

/// Replaces as the filter of that name does, unless that makes a long text of a short one.
fn replace(text: &str, from: &str, to: &str) -> Result<String, minijinja::Error> {
    let longest = text.len() + text.matches(from).count().saturating_mul(to.len());
    if longest > MessageTemplate::RENDERED_MAX {
        return Err(ErrorKind::OutOfFuel.into());
    }
    Ok(text.replace(from, to))
}

impl MessageTemplate {
    /// A filter, a test or a function that does not exist, as far as rendering without any values comes to it.
    fn unknown_word(&self) -> Option<String> {
        let mut lenient = self.environment.as_ref().clone();
        lenient.set_undefined_behavior(UndefinedBehavior::Chainable);
        let error = lenient.get_template(NAME).and_then(|text| text.render(Value::UNDEFINED)).err()?;
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
        if let Some(problem) = forbidden(&source) {
            return wrong(problem);
        }
        let mut environment = Environment::empty();
        environment.add_filter("default", filters::default);
        environment.add_filter("upper", filters::upper);
        environment.add_filter("lower", filters::lower);
        environment.add_filter("title", filters::title);
        environment.add_filter("capitalize", filters::capitalize);
        environment.add_filter("trim", filters::trim);
        environment.add_filter("length", filters::length);
        environment.add_filter("first", filters::first);
        environment.add_filter("last", filters::last);
        environment.add_filter("replace", replace);
        environment.add_test("defined", jinja_tests::is_defined);
        environment.add_test("undefined", jinja_tests::is_undefined);
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        if let Err(error) = environment.add_template_owned(NAME, source.clone()) {
            let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
            let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
            return wrong(format!("{line}{detail}"));
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
    fn a_short_template_makes_no_long_text() {
        let doubled = format!("{{% set a = 'x' %}}{}{{{{ a }}}}", "{% set a = a ~ a %}".repeat(40));
        for forbidden in [
            doubled.as_str(),
            "{% for a in row %}{% endfor %}",
            "{%- macro a() %}{% endmacro %}",
            "{{ 'x' * 100000000 }}",
            "{{ first_name ~ first_name }}",
            "{{ 'a' + 'b' }}",
            "{{ first_name | indent(1000000000) }}",
            "{{ range(10) }}",
        ] {
            assert!(forbidden.parse::<MessageTemplate>().is_err(), "{forbidden}");
        }
        let long = "x".repeat(300);
        let grown = format!("{{{{ '{long}' | replace('x', '{long}') | replace('x', '{long}') }}}}");
        assert_eq!(render(&grown), Err(RenderError::TooCostly));
        let texts = [("a".to_owned(), "x".repeat(MessageTemplate::RENDERED_MAX / 2))];
        let template: MessageTemplate = "{{ a }}{{ a }}{{ a }}".parse().unwrap();
        assert_eq!(template.render(MessageVariables::new(texts.into())), Err(RenderError::TooCostly));
    }

    #[test]
    fn what_stands_in_texts_and_comments_is_no_operator() {
        assert_eq!(
            render("{{ note | default('a * b ~ c + \\'d') }}{# * ~ #} 1 + 1").unwrap(),
            "a * b ~ c + 'd 1 + 1"
        );
        assert_eq!(render("{%- if first_name == 'Dana' -%} x {%+ endif +%}").unwrap().trim(), "x");
        assert_eq!(render("{{- first_name -}}").unwrap(), "Dana");
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
