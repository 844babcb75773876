//! Flows that make no sense.

use std::time::Duration;

use crate::flow::{Flow, FlowTerms};

fn terms() -> FlowTerms {
    FlowTerms::default()
        .with_variables(["balance"])
        .with_actions(["note"])
        .with_max_duration(Duration::from_secs(300))
}

/// What is wrong with `toml`, each as `node field: problem`.
fn problems(toml: &str) -> Vec<String> {
    let flow = Flow::from_toml(toml).unwrap_or_else(|error| panic!("{toml}\n{error}"));
    let Err(error) = flow.validate(&terms()) else { return Vec::new() };
    let named = error.problems.iter().map(|problem| {
        format!("{} {}: {}", problem.node.as_deref().unwrap_or("-"), problem.field, problem.problem)
    });
    named.collect()
}

/// A flow that starts at `a`, a node with these fields, and has a node `over`.
fn node(fields: &str) -> String {
    format!("start = 'a'\nnodes = [\n{{ id = 'a', {fields} }},\n{{ id = 'over', type = 'hang_up' }},\n]")
}

#[test]
fn a_flow_that_makes_sense_has_no_problems() {
    for fields in [
        "type = 'say', text = '{{first_name}} {{balance}} {{nobody|}}', next = 'over'",
        "type = 'menu', text = 'x', keys = { 1 = 'over', 9 = { action = 'add_to_blacklist' } }",
        "type = 'menu', text = 'x', keys = { 9 = 'over' }, opt_out = false",
        "type = 'menu', text = 'x', keys = { 1 = 'over' }, on_timeout = { next = 'a', retries = 1 }",
        "type = 'capture_input', min = 4, opt_out = false, next = 'over'",
        "type = 'capture_input', valid_inputs = ['1', '22'], next = 'over'",
        "type = 'branch', cases = [{ variable = 'nobody', present = true, next = 'over' }], next = 'over'",
        "type = 'action', action = 'note', wait_for_result = 5, next = 'over'",
        "type = 'action', actions = ['note', { type = 'request_callback', parameters = { after = '{{balance}}h' } }, 'end_call'], next = 'over'",
    ] {
        let mut found = problems(&node(fields));
        // Where nothing but the end of the call follows, nothing leads to the other node.
        found.retain(|problem| !problem.starts_with("over id: nothing leads"));
        assert_eq!(found, [""; 0], "{fields}");
    }
}

#[test]
fn what_is_wrong_with_a_node_is_named() {
    for (fields, expected) in [
        (
            "type = 'say', text = 'x', next = 'nowhere'",
            "a next: there is no node `nowhere`: expected one of `a`, `over`",
        ),
        ("type = 'menu', text = 'x', keys = { 1 = 'nowhere' }", "a keys.1.next: there is no node `nowhere`"),
        (
            "type = 'menu', text = 'x', keys = { 1 = 'over' }, on_timeout = 'b'",
            "a on_timeout.next: there is no node `b`",
        ),
        (
            "type = 'subflow', flow = 'f', next = 'over'",
            "a flow: there is no sub-flow `f`, and no sub-flow at all",
        ),
        ("type = 'menu', text = 'x'", "a keys: a menu without keys has no way out"),
        ("type = 'menu', text = 'x', keys = { 9 = 'over' }", "a keys.9: the key 9 opts out"),
        (
            "type = 'menu', text = 'x', keys = { 9 = { action = 'add_to_blacklist', next = 'over' } }",
            "a keys.9: the key 9 opts out",
        ),
        ("type = 'listen', keys = { 9 = 'over' }", "a keys.9: the key 9 opts out"),
        (
            "type = 'capture_input', next = 'over'",
            "a opt_out: the key 9 opts out, so it cannot be entered here",
        ),
        ("type = 'capture_input', valid_inputs = ['19'], next = 'over'", "a opt_out: the key 9 opts out"),
        ("type = 'capture_input', terminator = '9', valid_inputs = ['1']", "a opt_out: the key 9 opts out"),
        (
            "type = 'capture_input', opt_out = false, min = 3, max = 2",
            "a min: nothing is 3 keys at least and 2 at most",
        ),
        ("type = 'capture_input', opt_out = false, max = 0", "a max: expected 1 to 50 keys, not 0"),
        (
            "type = 'capture_input', valid_inputs = ['1', '22'], max = 1",
            "a keys.22: expected an entry of 1 to 1 keys",
        ),
        ("type = 'capture_input', valid_inputs = ['x']", "a keys.x: expected an entry of keys"),
        (
            "type = 'capture_input', valid_inputs = ['1#']",
            "a keys.1#: expected an entry without the terminator",
        ),
        ("type = 'goto'", "a next: is missing"),
        ("type = 'branch', next = 'over'", "a cases: is missing"),
        (
            "type = 'branch', cases = [{ variable = 'balance', next = 'over' }]",
            "a cases[0]: expected at least one of",
        ),
        (
            "type = 'branch', cases = [{ variable = 'balance', one_of = [], next = 'over' }]",
            "a cases[0].one_of: expected at least one value",
        ),
        (
            "type = 'branch', cases = [{ variable = 'nobody', equals = 1, next = 'over' }]",
            "a cases[0].variable: unknown variable `nobody`",
        ),
        ("type = 'say', text = 'Dear {{nobody}}'", "a text: unknown variable `nobody`"),
        (
            "type = 'menu', text = 'x', keys = { 1 = { text = '{{y}}' } }",
            "a keys.1.text: unknown variable `y`",
        ),
        ("type = 'send_dtmf', digits = '12-3'", "a digits: expected keys 0 to 9"),
        ("type = 'return'", "a type: expected a `return` only in a sub-flow"),
        ("type = 'action'", "a action: is missing"),
        (
            "type = 'action', action = 'notes'",
            "a actions[0].type: no action `notes` is registered: expected one of the registered `note`",
        ),
        ("type = 'action', action = 'send_sms'", "a actions[0].parameters: a `send_sms` says nothing"),
        ("type = 'action', action = 'request_callback'", "a actions[0].parameters: expected either `after`"),
        (
            "type = 'action', action = { type = 'request_callback', parameters = { after = 'soon' } }",
            "a actions[0].parameters.after: expected a duration",
        ),
        ("type = 'action', actions = ['end_call', 'note']", "a actions[0]: nothing can follow `end_call`"),
        (
            "type = 'action', action = 'end_call', wait_for_result = 5",
            "a wait_for_result: expected a single action",
        ),
        (
            "type = 'menu', text = 'x', keys = { 1 = { action = 'end_call', next = 'over' } }",
            "a keys.1.next: expected none, for `end_call` ends the call before",
        ),
        ("type = 'wait', duration = 0", "a duration: expected more than \"0s\""),
        ("type = 'wait', duration = '2h'", "a duration: expected more than \"0s\" and at most \"1h\""),
        ("type = 'wait', duration = '5m'", "a duration: 5m does not fit in a call of at most 5m"),
        (
            "type = 'menu', text = 'x', keys = { 1 = 'over' }, timeout = '2m', retries = 2",
            "a timeout: 2m, 3 times, does not fit in a call of at most 5m",
        ),
        ("type = 'listen', confidence_min = 1.5", "a confidence_min: expected a number from 0 to 1"),
        ("type = 'listen', phrases = [{ any = [] }]", "a phrases[0].any: expected at least one text"),
        (
            "type = 'menu', text = 'x', keys = { 1 = 'over' }, save_as = '{{a}}'",
            "a save_as: expected the name",
        ),
    ] {
        let found = problems(&node(fields));
        let count = found.iter().filter(|problem| problem.contains(expected)).count();
        assert_eq!(count, 1, "{fields}\nshould say once {expected}\nbut says {found:#?}");
    }
}

#[test]
fn what_is_wrong_with_the_whole_is_named() {
    for (toml, expected) in [
        ("start = 'a'\nnodes = []", "- nodes: expected at least one node"),
        ("start = 'b'\nnodes = [{ id = 'a', type = 'hang_up' }]", "- start: there is no node `b`: expected one of `a`"),
        (
            "start = 'a'\nnodes = [{ id = 'a', type = 'hang_up' }, { id = 'a', type = 'hang_up' }]",
            "a id: two nodes have this id",
        ),
        ("start = 'a/b'\nnodes = [{ id = 'a/b', type = 'hang_up' }]", "a/b id: expected an id that is not empty"),
        (
            "start = 'a'\nnodes = [{ id = 'a', type = 'hang_up' }, { id = 'b', type = 'say', text = 'x' }]",
            "b id: nothing leads to this node",
        ),
        (
            "start = 'a'\nnodes = [{ id = 'a', type = 'hang_up' }]\n\
             subflows = [{ id = 'f', start = 'b', nodes = [{ id = 'b', type = 'return' }] }]",
            "f/b id: nothing leads to this node",
        ),
        (
            "start = 'a'\nnodes = [{ id = 'a', type = 'menu', text = 'x', keys = { 1 = 'a' }, next = 'a' }]",
            "a keys.1.next: no way out",
        ),
        (
            "start = 'a'\nnodes = [{ id = 'a', type = 'say', text = 'x', next = 'b' }, { id = 'b', type = 'goto', next = 'c' },
             { id = 'c', type = 'wait', duration = 1, next = 'b' }]",
            "b next: goes round in a circle `b` → `c` → `b`",
        ),
        (
            "start = 'a'\nnodes = [{ id = 'a', type = 'subflow', flow = 'f', next = 'a' }]
             subflows = [{ id = 'f', start = 'b', nodes = [{ id = 'b', type = 'say', text = 'x' }] }]",
            "a next: goes round in a circle `a` → `a`",
        ),
        (
            "start = 'a'\nnodes = [{ id = 'a', type = 'subflow', flow = 'f' }]
             subflows = [{ id = 'f', start = 'b', nodes = [{ id = 'b', type = 'subflow', flow = 'f' }] }]",
            "f/b flow: enters a sub-flow that this one is within",
        ),
        ("start = 'a'\nprompt_max = 0\nnodes = [{ id = 'a', type = 'hang_up' }]", "- prompt_max: expected more"),
        (
            "start = 'a'\nprompts = { opt_out = { text = '{{x}}' } }\nnodes = [{ id = 'a', type = 'hang_up' }]",
            "- prompts.opt_out.text: unknown variable `x`",
        ),
    ] {
        let found = problems(toml);
        let count = found.iter().filter(|problem| problem.contains(expected)).count();
        assert_eq!(count, 1, "{toml}\nshould say once {expected}\nbut says {found:#?}");
    }
}

#[test]
fn sub_flows_lie_within_one_another_only_so_deep() {
    let deep = |levels: usize| {
        let subflows: Vec<String> = (0..levels)
            .map(|level| {
                let node = match level + 1 == levels {
                    true => "type = 'return'".to_owned(),
                    false => format!("type = 'subflow', flow = 'f{}'", level + 1),
                };
                format!("{{ id = 'f{level}', start = 'b', nodes = [{{ id = 'b', {node} }}] }}")
            })
            .collect();
        problems(&format!(
            "start = 'a'\nnodes = [{{ id = 'a', type = 'subflow', flow = 'f0' }}]\nsubflows = [{}]",
            subflows.join(", ")
        ))
    };
    assert_eq!(deep(8), [""; 0]);
    assert_eq!(deep(9), ["a flow: sub-flows lie too deep within one another: expected at most 8"]);
}

#[test]
fn all_problems_come_at_once() {
    let found = problems(
        "start = 'a'
        nodes = [
            { id = 'a', type = 'menu', text = '{{x}}', keys = { 9 = 'nowhere' } },
            { id = 'b', type = 'wait', duration = 0, next = 'b' },
        ]",
    );
    let fields: Vec<&str> = found.iter().filter_map(|problem| problem.split(':').next()).collect();
    assert_eq!(fields, ["a keys.9", "a text", "a keys.9.next", "b duration", "b id", "b next"]);
}

#[test]
fn what_is_not_known_is_not_checked() {
    let flow = Flow::from_toml(&node("type = 'action', action = 'anything', next = 'over'")).unwrap();
    assert_eq!(flow.validate(&FlowTerms::default()), Ok(()));
    let none: [&str; 0] = [];
    let error = flow.validate(&FlowTerms::default().with_actions(none)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node `a`, actions[0].type: no action `anything` is registered: register an action of this name with the engine"
    );
}
