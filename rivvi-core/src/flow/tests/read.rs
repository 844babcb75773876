//! Mistakes in the form of a flow.

use crate::flow::{Flow, FlowError};

const TOML: &str = r#"
start = "menu"
[[nodes]]
id = "menu"
type = "menu"
text = "Press 1"
timeout = "5s"
keys = { 1 = { action = "note", next = "over" } }
[[nodes]]
id = "over"
type = "hang_up"
[[subflows]]
id = "sub"
start = "wait"
[[subflows.nodes]]
id = "wait"
type = "wait"
duration = 1
"#;

/// The sample with one part replaced.
fn with(part: &str, instead: &str) -> String {
    assert_eq!(TOML.matches(part).count(), 1, "{part}");
    TOML.replace(part, instead)
}

fn first(error: &FlowError) -> (Option<&str>, &str, &str) {
    let problem = &error.problems[0];
    (problem.node.as_deref(), &problem.field, &problem.problem)
}

#[test]
fn mistakes_are_named_with_node_and_field() {
    Flow::from_toml(TOML).unwrap();
    for (text, node, field, expected) in [
        (with("\"5s\"", "\"soon\""), Some("menu"), "timeout", "expected a duration such as \"15m\""),
        (with("\"5s\"", "true"), Some("menu"), "timeout", "a span such as \"10s\", or a number of seconds"),
        (with("\"5s\"", "-1"), Some("menu"), "timeout", "a number of seconds"),
        (with("\"5s\"", "nan"), Some("menu"), "timeout", "a number of seconds"),
        (with("timeout =", "time_out ="), Some("menu"), "time_out", "unknown field `time_out`"),
        (with("\"menu\"\ntext", "\"meny\"\ntext"), Some("menu"), "type", "unknown variant `meny`"),
        (with("\"Press 1\"", "\"Press {{1\""), Some("menu"), "text", "is not closed"),
        (with("text = \"Press 1\"\n", ""), Some("menu"), "audio", "is missing"),
        (with("text = \"Press 1\"\n", "text = ''\n"), Some("menu"), "text", "not empty"),
        (
            with("text = \"Press 1\"\n", "text = 'a'\naudio = 'b'\n"),
            Some("menu"),
            "text",
            "either `audio` or `text`, not both",
        ),
        (
            with("text = \"Press 1\"", "audio = 'b'\nlanguage = 'en'"),
            Some("menu"),
            "language",
            "only beside `text`",
        ),
        (with("keys = { 1 =", "keys = { 12 ="), Some("menu"), "keys.12", "expected one key"),
        (
            with("action = \"note\",", "actoin = \"note\","),
            Some("menu"),
            "keys.1.actoin",
            "unknown field `actoin`, expected one of `audio`",
        ),
        (
            with("action = \"note\"", "action = 7"),
            Some("menu"),
            "keys.1.action",
            "expected an action such as",
        ),
        (with("action = \"note\"", "retries = 7"), Some("menu"), "keys.1.retries", "only in `on_invalid`"),
        (
            with("\"hang_up\"", "\"hang_up\"\nnext = 'menu'"),
            Some("over"),
            "next",
            "a `hang_up` has no such field",
        ),
        (with("\"hang_up\"", "\"say\""), Some("over"), "text", "is missing: expected `text`"),
        (with("\"hang_up\"", "\"say\"\naudio = 'a'"), Some("over"), "audio", "is played by a `play_audio`"),
        (with("\"hang_up\"", "\"play_audio\"\ntext = 'a'"), Some("over"), "text", "is spoken by a `say`"),
        (
            with("\"hang_up\"", "\"goto\"\nsave_as = 'a'"),
            Some("over"),
            "save_as",
            "a `goto` has no such field",
        ),
        (
            with("\"hang_up\"", "\"action\"\naction = 'a'\non_failed = 'menu'"),
            Some("over"),
            "on_failed",
            "only together with `wait_for_result`",
        ),
        (with("duration = 1", ""), Some("sub/wait"), "duration", "is missing: expected how long to wait"),
        (with("duration = 1", "duration = []"), Some("sub/wait"), "duration", "a number of seconds"),
        (with("duration = 1", "duration = 1\nid = 'b'"), None, "line 19", "duplicate key"),
        (with("start = \"menu\"\n", ""), None, "line 1", "missing field `start`"),
        (
            with("start = \"menu\"", "start = \"menu\"\nopt_out_key = '12'"),
            None,
            "opt_out_key",
            "expected one key",
        ),
        (
            with("start = \"menu\"", "start = \"menu\"\nprompts = { timeout = { text = 'a', audio = 'b' } }"),
            None,
            "prompts.timeout.text",
            "not both",
        ),
        (
            with("start = \"menu\"", "start = \"menu\"\nprompts = { late = 'a' }"),
            None,
            "prompts.late",
            "unknown field",
        ),
    ] {
        let error = Flow::from_toml(&text).unwrap_err();
        let (found_node, found_field, problem) = first(&error);
        assert_eq!((found_node, found_field), (node, field), "{error}");
        assert!(problem.contains(expected), "{error}\nshould say {expected}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn json_has_the_same_shape_and_the_same_mistakes() {
    for (text, node, field, expected) in [
        (
            r#"{"start": "a", "nodes": [{"id": "a", "type": "wait", "duration": "x"}]}"#,
            Some("a"),
            "duration",
            "15m",
        ),
        (
            r#"{"start": "a", "nodes": [{"id": "a", "type": "wait"}, {"id": 7}]}"#,
            Some("number 1"),
            "id",
            "a string",
        ),
        (r#"{"start": "a", "nodes": [{"type": "wait"}]}"#, Some("number 0"), "fields", "missing field `id`"),
        (r#"{"start": "a", "nodes": []} x"#, None, "line 1", "nothing after the closing brace"),
        ("[]", None, "line 1", "expected struct WrittenFlow"),
        ("{", None, "line 1", "EOF"),
    ] {
        let error = Flow::from_json(text).unwrap_err();
        let (found_node, found_field, problem) = first(&error);
        assert_eq!((found_node, found_field), (node, field), "{error}");
        assert!(problem.contains(expected), "{error}\nshould say {expected}");
    }
}

#[test]
fn all_fields_out_of_place_are_named_at_once() {
    let text = with("\"hang_up\"", "\"goto\"\nbeep = true\nmin = 2\n").replace("duration = 1", "");
    let error = Flow::from_toml(&text).unwrap_err();
    let places: Vec<String> = error
        .problems
        .iter()
        .map(|problem| format!("{} {}", problem.node.as_deref().unwrap_or_default(), problem.field))
        .collect();
    assert_eq!(places, ["over beep", "over min", "sub/wait duration"]);
}

#[test]
fn shorthands_mean_the_same_as_what_they_are_short_for() {
    let read = |keys: &str| {
        Flow::from_toml(&with("keys = { 1 = { action = \"note\", next = \"over\" } }", keys)).unwrap()
    };
    let long = read("keys = { 1 = { actions = [{ type = 'note', parameters = {} }], next = 'over' } }");
    for short in [
        "keys = { 1 = { action = 'note', next = 'over' } }",
        "keys = { 1 = { actions = ['note'], next = 'over' } }",
        "keys = { 1 = { action = { type = 'note' }, nextNodeId = 'over' } }",
        "keys = { 1 = 'over' }\nactions = { 1 = 'note' }\nvalidInputs = ['1']",
    ] {
        assert_eq!(read(short), long, "{short}");
    }
    let error = Flow::from_toml(&with("timeout = \"5s\"", "validInputs = ['2']")).unwrap_err();
    assert_eq!(first(&error).1, "valid_inputs");
}
