//! What templates may ask for: the part of Jinja whose cost is bounded.
//!
//! The interpreter counts steps, but a step may double a text, or write out a number of blanks that stands in the template.
//! So nothing can be kept under a name of its own, lists hold constants alone, texts are put together a few times at most,
//! and only filters are known whose results are bounded.

use std::io;

use minijinja::value::{Rest, Value};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, filters};

/// The longest text that a filter gives back, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// How often texts may be put together by `~` or `+` in one template. Each may double a text.
const CONCATENATIONS_MAX: usize = 8;

const STATEMENTS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];
const FILTERS: [&str; 25] = [
    "abs",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "e",
    "escape",
    "first",
    "float",
    "format",
    "int",
    "join",
    "last",
    "length",
    "lines",
    "lower",
    "replace",
    "round",
    "safe",
    "split",
    "string",
    "title",
    "trim",
    "upper",
];
const KEYWORDS: [&str; 9] = ["and", "or", "not", "in", "is", "if", "else", "elif", "for"];
const CONSTANTS: [&str; 6] = ["true", "false", "none", "True", "False", "None"];

/// An environment with the bounded filters, in which a variable without a value is an error.
#[doc(hidden)]
pub fn environment(fuel: u64) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(fuel));
    environment.add_filter("replace", replace);
    environment.add_filter("join", join);
    environment.add_filter("format", format);
    environment
}

fn too_long() -> Error {
    Error::new(ErrorKind::OutOfFuel, "the text gets too long")
}

fn replace(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let more = text.matches(from).count().saturating_mul(to.len().saturating_sub(from.len()));
    if text.len().saturating_add(more) > TEXT_BYTES_MAX.max(text.len()) {
        Err(too_long())
    } else {
        Ok(text.replace(from, to))
    }
}

fn join(items: &Value, between: Option<&str>) -> Result<String, Error> {
    let mut text = String::new();
    for (place, item) in items.try_iter()?.enumerate() {
        if place > 0 {
            text.push_str(between.unwrap_or_default());
        }
        text.push_str(&item.to_string());
        if text.len() > TEXT_BYTES_MAX {
            return Err(too_long());
        }
    }
    Ok(text)
}

/// As `printf` does, with widths of at most two digits.
fn format(state: &State<'_, '_>, text: &Value, values: Rest<Value>) -> Result<Value, Error> {
    let is_wide = |text: &str| {
        let bytes = text.as_bytes();
        text.contains('*') || bytes.windows(3).any(|three| three.iter().all(u8::is_ascii_digit))
    };
    if text.as_str().is_some_and(|text| text.len() > 1024 || is_wide(text)) {
        return Err(too_long());
    }
    filters::format(state, text, values)
}

/// A text of bounded length that is written to.
#[derive(Debug, Default)]
#[doc(hidden)]
pub struct BoundedText {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl BoundedText {
    /// An empty text that takes so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max }
    }

    /// What was written.
    pub fn into_text(self) -> String {
        String::from_utf8(self.bytes).unwrap_or_default()
    }
}

impl io::Write for BoundedText {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.bytes_max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a template asks for that none may; `None` if there is nothing of that. Asked of templates that
/// the interpreter can read.
#[doc(hidden)]
pub fn problem(source: &str) -> Option<String> {
    check(source).unwrap_or_else(|| Some("expected tags that are closed".into()))
}

/// `None` if the tags cannot be told from the text.
fn check(source: &str) -> Option<Option<String>> {
    let mut rest = source;
    let mut concatenations = 0;
    while let Some(start) = rest.find("{{").into_iter().chain(rest.find("{%")).chain(rest.find("{#")).min() {
        let kind = rest.as_bytes()[start + 1];
        rest = &rest[start + 2..];
        if kind == b'#' {
            rest = rest.split_once("#}")?.1;
            continue;
        }
        let (tokens, after) = tokens(rest, if kind == b'%' { "%}" } else { "}}" })?;
        rest = after;
        if kind == b'%' && tokens.first() == Some(&Token::Word("raw")) {
            rest = after_raw(rest)?;
            continue;
        }
        if let Some(problem) = wrong_in(&tokens, kind == b'%', &mut concatenations) {
            return Some(Some(problem));
        }
    }
    Some(None)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text,
    Number,
    Sign(char),
}

/// The tokens up to the end of an expression or a statement, and what comes after it; `None` if it has no end.
fn tokens<'a>(source: &'a str, end: &str) -> Option<(Vec<Token<'a>>, &'a str)> {
    let mut rest = source;
    let mut tokens = Vec::new();
    let mut depth = 0_usize;
    loop {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        if depth == 0 {
            let ending = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            if let Some(after) = ending.strip_prefix(end).or_else(|| rest.strip_prefix(end)) {
                return Some((tokens, after));
            }
        }
        let len = match first {
            '"' | '\'' => {
                tokens.push(Token::Text);
                len_of_text(rest, first)?
            }
            '0'..='9' => {
                tokens.push(Token::Number);
                rest.find(|c: char| !c.is_alphanumeric() && c != '_')?
            }
            c if c.is_alphabetic() || c == '_' => {
                let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
                tokens.push(Token::Word(&rest[..len]));
                len
            }
            c => {
                match c {
                    '(' | '[' | '{' => depth += 1,
                    ')' | ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                tokens.push(Token::Sign(c));
                c.len_utf8()
            }
        };
        rest = &rest[len..];
    }
}

fn len_of_text(source: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (place, c) in source.char_indices().skip(1) {
        if !escaped && c == quote {
            return Some(place + 1);
        }
        escaped = !escaped && c == '\\';
    }
    None
}

/// What comes after the end of raw text.
fn after_raw(mut rest: &str) -> Option<&str> {
    loop {
        rest = rest.split_once("{%")?.1;
        let inside = rest.trim_start_matches(['-', '+']).trim_start();
        if let Some(after) = inside.strip_prefix("endraw") {
            return Some(after.split_once("%}")?.1);
        }
    }
}

/// What a bracket is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    /// Arguments.
    Call,
    /// Of another expression.
    Group,
    /// After what it is a part of.
    Part,
    /// A list of constants.
    List,
}

fn wrong_in(tokens: &[Token<'_>], is_statement: bool, concatenations: &mut usize) -> Option<String> {
    let mut tokens = tokens;
    while let Some((Token::Sign('-' | '+'), rest)) = tokens.split_first().filter(|_| is_statement) {
        tokens = rest;
    }
    if is_statement && let Some(Token::Word(word)) = tokens.first() {
        if !STATEMENTS.contains(word) {
            return Some(format!("`{word}` is not known here: expected one of {}", STATEMENTS.join(", ")));
        }
        if tokens.contains(&Token::Word("recursive")) {
            return Some("`recursive` is not known here".into());
        }
    }
    let mut brackets: Vec<Bracket> = Vec::new();
    // The names that a loop gives stand before `in`.
    let mut naming = is_statement && tokens.first() == Some(&Token::Word("for"));
    for (place, token) in tokens.iter().enumerate() {
        let before = place.checked_sub(1).map(|place| tokens[place]);
        let is_value = match before {
            Some(Token::Word(word)) => !KEYWORDS.contains(&word),
            Some(Token::Text | Token::Sign(')' | ']')) => true,
            _ => false,
        };
        match token {
            Token::Word("in") => naming = false,
            Token::Word(filter) if before == Some(Token::Sign('|')) && !FILTERS.contains(filter) => {
                let known = FILTERS.join(", ");
                return Some(format!("the filter `{filter}` is not known: expected one of {known}"));
            }
            Token::Word(word) if brackets.last() == Some(&Bracket::List) && !CONSTANTS.contains(word) => {
                return Some("expected constants in a list".into());
            }
            Token::Sign('*') => return Some("`*` is not known here".into()),
            Token::Sign('~' | '+') => {
                *concatenations += 1;
                if *concatenations > CONCATENATIONS_MAX {
                    return Some(format!("expected `~` and `+` at most {CONCATENATIONS_MAX} times"));
                }
            }
            Token::Sign('(') if is_value => {
                brackets.push(Bracket::Call);
                let is_known = matches!(before, Some(Token::Word(word)) if word == "range" || is_named_before(tokens, place));
                if !is_known {
                    return Some("expected no function but `range`".into());
                }
            }
            Token::Sign('(') => brackets.push(Bracket::Group),
            Token::Sign('[') if brackets.last() == Some(&Bracket::List) => {
                return Some("expected constants in a list".into());
            }
            Token::Sign('[') => brackets.push(if is_value { Bracket::Part } else { Bracket::List }),
            Token::Sign('{') => return Some("expected no mapping".into()),
            Token::Sign(')' | ']') => drop(brackets.pop()),
            Token::Sign(',')
                if !naming && !matches!(brackets.last(), Some(Bracket::Call | Bracket::List)) =>
            {
                return Some("expected a list in brackets, of constants".into());
            }
            _ => {}
        }
    }
    None
}

/// Whether what is called at `place` is a filter, a test or a method.
fn is_named_before(tokens: &[Token<'_>], place: usize) -> bool {
    let named = place.checked_sub(2).map(|place| tokens[place]);
    matches!(named, Some(Token::Sign('|' | '.') | Token::Word("is" | "not")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_messages_need_is_known() {
        for source in [
            "Hello {{ first_name | default(\"you\") }}: {{ amount | int + 5 }} {{- links.give -}} {# * #}",
            "{% if language in [\"he\", 'iw', -1, true] and not (a or b) %}x{%- elif a is divisibleby(3) %}y{% else %}{% endif %}",
            "{% for i in range(3) %}{{ loop.index }}{{ row[\"a * b\"][:3] }}{% endfor %}{% for a, b in x %}{% endfor %}",
            "{% raw %}{{ a * b }}{% set %}{% endraw %}{{ '}} * {{' }}{{ \"%.2f\" | format(a | float) }}",
            "{{ a ~ b ~ c }}{{ text | replace(\"a\", \"b\") | split(\" \") | join(\"-\") }}",
            "no tags at all, 2 * 3, [a, b], {x}",
        ] {
            assert_eq!(problem(source), None, "{source}");
        }
    }

    #[test]
    fn what_may_cost_anything_is_not() {
        for source in [
            "{% set a = 1 %}",
            "{%- with a = b %}",
            "{% filter upper %}",
            "{{ 'x' * 1000000000 }}",
            "{{ a ** 9 }}",
            "{{ a | indent(999999999) }}",
            "{{ a|batch(9) }}",
            "{{ a | map('upper') }}",
            "{{ [a, a] }}",
            "{{ [[1]] }}",
            "{{ (a, a) }}",
            "{{ {'a': a} }}",
            "{{ dict(a=a) }}",
            "{{ a~a~a~a~a }}{{ a~a~a~a~a~a }}",
            "{% for a in [b ~ b] %}",
            "{% for a in b recursive %}",
            "{% for a in b, b %}",
            "{{ namespace() }}",
            "{{ '\\'' * 9 }}",
            "{#{{#}{{ a * b }}",
            "{{ a if (b, b) }}",
        ] {
            assert!(problem(source).is_some(), "{source}");
        }
    }

    #[test]
    fn filters_are_bounded() {
        let render = |source: &str| {
            environment(1_000).render_str(source, minijinja::context! { big => "x".repeat(60_000) })
        };
        assert_eq!(render("{{ 'a-a' | replace('-', '+') | upper }}").unwrap(), "A+A");
        assert_eq!(render("{{ 'a b' | split | join('-') }}{{ '%05.1f' | format(2) }}").unwrap(), "a-b002.0");
        for source in [
            "{{ big | replace('x', 'xxxx') }}",
            "{{ range(99) | join(big) }}",
            "{{ '%999999999d' | format(1) }}",
            "{{ '%*d' | format(999999999, 1) }}",
        ] {
            assert_eq!(render(source).unwrap_err().kind(), ErrorKind::OutOfFuel, "{source}");
        }
    }
}
