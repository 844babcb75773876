//! Texts with placeholders: of messages, and of flows.

use std::collections::BTreeMap;

use rivvi_core::flow::Template;
use rivvi_core::message::{MessageTemplate, MessageVariables};

use super::any;

pub(super) const WORDS: &[&str] = &[
    "{{ first_name }}",
    "{{",
    "}}",
    "{%",
    "%}",
    "{#",
    "#}",
    "{%- ",
    "{% if ",
    "{% else %}",
    "{% elif ",
    "{% endif %}",
    "{% for a in ",
    "{% endfor %}",
    "{% set a = ",
    "{% endset %}",
    "{% with a = ",
    "{% endwith %}",
    "{% raw %}",
    "{% endraw %}",
    "{% filter upper %}",
    " | default(\"x\")",
    " | upper",
    " | replace(\"a\", \"aaaa\")",
    " | join(big)",
    " | indent(999999999)",
    " | batch(999999999999)",
    " | slice(999999999999)",
    " | format(",
    "\"%999999999d\"",
    " | tojson",
    " | list",
    " | string",
    " | length",
    " | reverse",
    " | sort",
    " | map(\"upper\")",
    " ~ ",
    " * ",
    " ** ",
    " + ",
    " is defined",
    " not in ",
    "[",
    "]",
    "{",
    "range(9999)",
    "namespace()",
    "loop.index",
    "links.give",
    "row[\"big\"]",
    "big",
    "a",
    "(",
    ")",
    " == ",
    "\"",
    "debug()",
];

fn variables() -> BTreeMap<String, String> {
    let text = |text: &str| text.to_owned();
    let values = [("first_name", "Dana"), ("note", " "), ("amount", "50"), ("a", "x"), ("language", "he")];
    let mut variables: BTreeMap<_, _> = values.map(|(name, value)| (text(name), text(value))).into();
    variables.insert(text("big"), "aé\u{1f98a}\n".repeat(2_000));
    variables
}

/// A message, filled in: in bounded time and memory, to a bounded text.
pub(super) fn message(input: &[u8]) {
    let Ok(template) = String::from_utf8_lossy(input).parse::<MessageTemplate>() else { return };
    any(template.variables());
    let links = BTreeMap::from([("give".to_owned(), "https://go.example/x".to_owned())]);
    for values in [variables(), BTreeMap::new()] {
        let filled = template.render(MessageVariables::new(values).with_links(links.clone()));
        assert!(filled.map_or(0, |text| text.len()) <= MessageTemplate::RENDERED_MAX);
    }
}

/// A prompt of a flow, filled in: its length is that of its parts.
pub(super) fn flow(input: &[u8]) {
    let Ok(template) = String::from_utf8_lossy(input).parse::<Template>() else { return };
    let variables = variables();
    let filled = template.render(|name| variables.get(name).map(String::as_str));
    assert!(filled.len() <= template.source().len() * (1 + variables["big"].len()));
    let plain = template.render(|_| None);
    assert!(plain.len() <= template.source().len());
    any(template.needed().count());
}
