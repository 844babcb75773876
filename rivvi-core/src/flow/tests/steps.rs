//! What follows what, by tables.

use std::time::Duration;

use super::line::{Line, actions, noon, opt_outs, said};
use crate::flow::{Effect, Flow, FlowEnding, Input, Session, TransferOutcome, step};

fn flow(toml: &str) -> Flow {
    Flow::from_toml(toml).unwrap()
}

/// A menu with `fields`, after which `over` says good bye.
fn menu(fields: &str) -> Flow {
    flow(&format!(
        "start = 'menu'\n[[nodes]]\nid = 'menu'\ntype = 'menu'\ntext = 'Menu'\n{fields}\n\
         [[nodes]]\nid = 'over'\ntype = 'say'\ntext = 'Over'"
    ))
}

#[test]
fn nothing_happens_before_the_start_nor_after_the_end() {
    let flow = menu("keys = { 1 = 'over' }");
    let mut line = Line::answered(&flow, &[]);
    let fresh = Session::new(std::collections::BTreeMap::new());
    let press = line.press_of('1');
    let (session, effects) = step(&flow, fresh.clone(), &press, noon());
    assert_eq!((session, effects), (fresh, vec![]));
    assert_eq!(line.tell(&Input::Start), [], "it has started");
    assert_eq!(line.tell(&Input::HungUp), [Effect::Ended { ending: FlowEnding::HungUp }]);
    let over = line.session.clone();
    for input in [Input::HungUp, Input::Start, press, Input::Timer { token: crate::flow::Token(2) }] {
        assert_eq!(line.tell(&input), []);
        assert_eq!(line.session, over);
    }
}

#[test]
fn a_wrong_key_repeats_the_menu_until_it_is_too_often() {
    let flow = menu(
        "keys = { 1 = 'over' }\non_invalid = { text = 'Wrong', retries = 1, action = 'note', next = 'over' }",
    );
    let mut line = Line::answered(&flow, &[]);
    line.listens();
    assert_eq!(said(&line.press('5')), ["Wrong"]);
    assert_eq!(said(&line.played()), ["Menu"]);
    line.played();
    let effects = line.press('5');
    assert_eq!((said(&effects), actions(&effects)), (vec!["Wrong"], vec![("note", "1:menu:wrong input:0")]));
    assert_eq!(said(&line.played()), ["Over"]);
}

#[test]
fn without_prompts_of_its_own_a_menu_says_what_is_wrong_in_english() {
    let flow = menu("keys = { 1 = 'over' }");
    let mut line = Line::answered(&flow, &[]);
    line.listens();
    assert_eq!(said(&line.press('5')), ["That is not a valid choice."]);
    line.listens();
    assert_eq!(said(&line.waits()), ["We did not hear an answer."]);
    line.listens();
    assert_eq!(line.ending(), Some(FlowEnding::Completed), "silence is not repeated unless asked for");
}

#[test]
fn keys_interrupt_a_prompt_where_that_is_allowed() {
    for (fields, stopped) in [("", true), ("barge_in = true", true), ("barge_in = false", false)] {
        let flow = menu(&format!("{fields}\nkeys = {{ 1 = 'over' }}"));
        let mut line = Line::answered(&flow, &[]);
        let effects = line.press('1');
        assert_eq!(matches!(effects.first(), Some(Effect::StopPlayback { .. })), stopped, "{fields}");
        assert_eq!(line.place(), if stopped { "over" } else { "menu" });
        let mut line = Line::answered(&flow, &[]);
        assert_eq!(opt_outs(&line.press('9')), 1, "opting out is always heard");
    }
}

#[test]
fn a_key_during_a_welcome_is_meant_for_the_menu_after_it() {
    let text = "start = 'a'
        [[nodes]]\nid = 'a'\ntype = 'say'\ntext = 'A'\nnext = 'b'
        [[nodes]]\nid = 'b'\ntype = 'say'\ntext = 'B'\nnext = 'menu'\nBARGE
        [[nodes]]\nid = 'menu'\ntype = 'menu'\ntext = 'Menu'\nkeys = { 1 = 'over' }
        [[nodes]]\nid = 'over'\ntype = 'say'\ntext = 'Over'";
    let eager = flow(&text.replace("BARGE", ""));
    assert_eq!(said(&Line::answered(&eager, &[]).press('1')), ["Over"]);
    assert_eq!(said(&Line::answered(&eager, &[]).press('2')), ["That is not a valid choice."]);
    let patient = flow(&text.replace("BARGE", "barge_in = false"));
    let mut line = Line::answered(&patient, &[]);
    assert_eq!(said(&line.press('1')), ["B"], "what must be heard is heard");
    assert_eq!(said(&line.played()), ["Menu"], "and the key is forgotten");
}

#[test]
fn entries_end_by_length_terminator_or_silence() {
    let flow = flow(
        "start = 'pin'
        [[nodes]]\nid = 'pin'\ntype = 'capture_input'\ntext = 'Pin'\nmin = 2\nmax = 4\nopt_out = false\nnext = 'over'
        on_invalid = { text = 'Wrong' }\non_timeout = { text = 'Silence' }
        [[nodes]]\nid = 'over'\ntype = 'say'\ntext = 'Over'",
    );
    let enter = |keys: &str, timer: bool| {
        let mut line = Line::answered(&flow, &[]);
        line.listens();
        for key in keys.chars() {
            line.press(key);
        }
        if timer {
            line.waits();
        }
        (line.result("pin").map(str::to_owned), said(&line.all).last().map(|said| (*said).to_owned()))
    };
    for (keys, timer, entry, last) in [
        ("1239", false, Some("1239"), "Over"),
        ("12#", false, Some("12"), "Over"),
        ("1#", false, None, "Wrong"),
        ("12", true, Some("12"), "Over"),
        ("1", true, None, "Silence"),
        ("", true, None, "Silence"),
        ("12", false, None, "Pin"),
    ] {
        assert_eq!(enter(keys, timer), (entry.map(str::to_owned), Some(last.to_owned())), "{keys} {timer}");
    }
}

#[test]
fn entries_may_be_limited_to_some() {
    let flow = flow(
        "start = 'code'
        [[nodes]]\nid = 'code'\ntype = 'capture_input'\nvalid_inputs = ['12', '345']\nkeys = { 345 = { value = 'gold' } }
        next = 'over'\non_invalid = { text = 'Wrong' }
        [[nodes]]\nid = 'over'\ntype = 'say'\ntext = '{{code}}'",
    );
    for (keys, last) in [("12#", "12"), ("345", "gold"), ("11#", "Wrong"), ("344", "Wrong")] {
        let mut line = Line::answered(&flow, &[]);
        for key in keys.chars() {
            line.press(key);
        }
        assert_eq!(said(&line.all), [last], "{keys}");
    }
}

#[test]
fn branches_ask_variables_and_results() {
    for (case, variables, holds) in [
        ("equals = 'he'", vec![("language", "he")], true),
        ("equals = 'he'", vec![("language", " he ")], true),
        ("equals = 'he'", vec![("language", "en")], false),
        ("equals = 7", vec![("language", "7")], true),
        ("not_equals = 'he'", vec![], true),
        ("one_of = ['he', 'ar']", vec![("language", "ar")], true),
        ("one_of = ['he', 'ar']", vec![], false),
        ("present = true", vec![("language", "ar")], true),
        ("present = true", vec![("language", " ")], false),
        ("present = false", vec![], true),
        ("less_than = 18", vec![("language", "17.5")], true),
        ("less_than = 18", vec![("language", "many")], false),
        ("at_least = 18, less_than = 20", vec![("language", "18")], true),
        ("at_least = 18, less_than = 20", vec![("language", "20")], false),
    ] {
        let flow = flow(&format!(
            "start = 'a'
            [[nodes]]\nid = 'a'\ntype = 'branch'\ncases = [{{ variable = 'language', {case}, next = 'yes' }}]\nnext = 'no'
            [[nodes]]\nid = 'yes'\ntype = 'say'\ntext = 'yes'
            [[nodes]]\nid = 'no'\ntype = 'say'\ntext = 'no'",
        ));
        let line = Line::answered(&flow, &variables);
        assert_eq!(line.place(), if holds { "yes" } else { "no" }, "{case} {variables:?}");
    }
}

#[test]
fn callbacks_are_asked_for_at_an_instant() {
    let hours = |hours| noon() + chrono::TimeDelta::hours(hours) + chrono::TimeDelta::seconds(1);
    for (parameters, at) in [
        ("after = '2h'", hours(2)),
        ("after = '{{hours}}h'", hours(3)),
        ("after = 'whenever'", hours(1)),
        ("at = '2026-05-04T15:00:01Z'", hours(3)),
        ("at = '2020-01-01T00:00:00Z'", hours(0)),
    ] {
        let flow = flow(&format!(
            "start = 'a'\n[[nodes]]\nid = 'a'\ntype = 'action'
            action = {{ type = 'request_callback', parameters = {{ {parameters} }} }}",
        ));
        let line = Line::answered(&flow, &[("hours", "3")]);
        assert_eq!(line.all[0], Effect::Callback { at }, "{parameters}");
    }
}

#[test]
fn the_list_grows_by_an_action_as_well() {
    let flow = flow(
        "start = 'stop'
        [[nodes]]\nid = 'stop'\ntype = 'action'\nactions = ['add_to_blacklist', 'send_sms']\nnext = 'sorry'
        [[nodes]]\nid = 'sorry'\ntype = 'say'\ntext = 'Sorry'",
    );
    let mut line = Line::answered(&flow, &[]);
    assert_eq!((opt_outs(&line.all), said(&line.all)), (1, vec!["Sorry"]), "and the call goes on");
    line.press('9');
    assert_eq!((opt_outs(&line.all), line.ending()), (1, Some(FlowEnding::OptedOut)));
}

#[test]
fn waiting_and_pressing_keys_take_their_time() {
    let flow = flow(
        "start = 'press'
        [[nodes]]\nid = 'press'\ntype = 'send_dtmf'\ndigits = 'w1{{extension}}'\nnext = 'wait'
        [[nodes]]\nid = 'wait'\ntype = 'wait'\nduration = 2.5\nnext = 'over'
        [[nodes]]\nid = 'over'\ntype = 'hang_up'",
    );
    let mut line = Line::answered(&flow, &[("extension", "23")]);
    let timers = |effects: &[Effect]| -> Vec<Duration> {
        let timers = effects.iter().filter_map(|effect| match effect {
            Effect::StartTimer { after, .. } => Some(*after),
            _ => None,
        });
        timers.collect()
    };
    assert_eq!(line.all[0], Effect::SendDtmf { digits: "w123".to_owned().into() });
    assert_eq!(timers(&line.all), [Duration::from_millis(1_100)]);
    assert_eq!(line.press('5'), [], "keys mean nothing here");
    assert_eq!(timers(&line.waits()), [Duration::from_millis(2_500)]);
    line.waits();
    assert_eq!(line.ending(), Some(FlowEnding::Completed));
}

#[test]
fn sub_flows_return_to_where_they_were_entered() {
    let flow = flow(
        "start = 'one'
        nodes = [
            { id = 'one', type = 'subflow', flow = 'outer', next = 'two' },
            { id = 'two', type = 'subflow', flow = 'inner', next = 'three' },
            { id = 'three', type = 'say', text = 'Three' },
        ]
        subflows = [
            { id = 'outer', start = 'in', nodes = [{ id = 'in', type = 'subflow', flow = 'inner' }] },
            { id = 'inner', start = 'say', nodes = [{ id = 'say', type = 'say', text = 'Inner' }] },
        ]",
    );
    let mut line = Line::answered(&flow, &[]);
    line.listens();
    let path: Vec<String> =
        line.session.path().iter().map(|visit| format!("{} {}", visit.by, visit.node)).collect();
    assert_eq!(
        path,
        ["start one", "enter outer/in", "enter inner/say", "return two", "enter inner/say", "return three",]
    );
    assert_eq!(line.ending(), Some(FlowEnding::Completed));
}

#[test]
fn a_flow_that_makes_no_sense_ends() {
    for toml in [
        "start = 'nowhere'\nnodes = []",
        "start = 'a'\nnodes = [{ id = 'a', type = 'say', text = 'A', next = 'nowhere' }]",
        "start = 'a'\nnodes = [{ id = 'a', type = 'goto', next = 'a' }]",
        "start = 'a'\nnodes = [{ id = 'a', type = 'subflow', flow = 'nowhere' }]",
        "start = 'a'\nnodes = [{ id = 'a', type = 'subflow', flow = 'f' }]
        subflows = [{ id = 'f', start = 'b', nodes = [{ id = 'b', type = 'subflow', flow = 'f' }] }]",
    ] {
        let flow = flow(toml);
        let mut line = Line::answered(&flow, &[]);
        line.listens();
        assert_eq!(line.ending(), Some(FlowEnding::Broken), "{toml}");
        assert!(line.all.contains(&Effect::HangUp));
    }
}

#[test]
fn what_is_personal_does_not_show() {
    let flow = menu(
        "keys = { 1 = { text = '{{first_name}}', action = { type = 'note', parameters = { who = '{{first_name}}' } } } }",
    );
    let mut line = Line::answered(&flow, &[("first_name", "Dana")]);
    line.press('1');
    assert_eq!(said(&line.all).last(), Some(&"Dana"));
    let shown = format!("{:?} {:?}", line.session, line.all);
    assert!(!shown.contains("Dana"), "{shown}");
}

#[test]
fn an_agent_is_let_go_of_when_the_flow_goes_on() {
    let flow = flow(
        "start = 't'\n[[nodes]]\nid = 't'\ntype = 'transfer'\nto = '7'\non_no_answer = { text = 'Nobody' }",
    );
    let begin = || {
        let line = Line::answered(&flow, &[]);
        let token = line.thing();
        (line, token)
    };
    let (mut line, token) = begin();
    let late = line.waits();
    assert_eq!((&late[0], said(&late)), (&Effect::StopTransfer { token }, vec!["Nobody"]));
    for connected in [false, true] {
        let (mut line, token) = begin();
        if connected {
            line.transferred(TransferOutcome::Connected);
        }
        assert!(line.press('9').contains(&Effect::StopTransfer { token }), "whoever opts out is done");
    }
}
