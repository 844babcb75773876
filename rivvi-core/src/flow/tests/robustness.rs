//! What holds for any flow, any callee and any provider, sensible or not.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::line::{Line, actions, noon, opt_outs};
use super::properties::KEYS;
use super::samples;
use crate::flow::{Detected, Effect, Flow, FlowEnding, FlowTerms, Input, Key, Token, TransferOutcome};

/// Something told, the token of which is right, or one of before.
#[derive(Debug, Clone)]
enum Told {
    Played,
    TimeOver,
    Pressed(char),
    PressedAgain,
    Heard(&'static str, bool),
    Detected(Detected),
    Recorded(bool),
    Transferred(TransferOutcome),
    Done(bool),
    Stale(u32),
    HungUp,
}

fn told() -> impl Strategy<Value = Told> {
    let heard = ["yes", "no", "for accounting press 1", "hello", "something else", ""];
    let outcomes = [
        TransferOutcome::Connected,
        TransferOutcome::Ended,
        TransferOutcome::Busy,
        TransferOutcome::NoAnswer,
        TransferOutcome::Failed,
    ];
    let detected = [Detected::Human, Detected::Voicemail, Detected::Ivr, Detected::Unknown];
    prop_oneof![
        6 => Just(Told::Played),
        3 => Just(Told::TimeOver),
        8 => prop::sample::select(&KEYS[..]).prop_map(Told::Pressed),
        1 => Just(Told::Pressed('9')),
        1 => Just(Told::PressedAgain),
        3 => (prop::sample::select(heard.to_vec()), any::<bool>()).prop_map(|(text, last)| Told::Heard(text, last)),
        2 => prop::sample::select(detected.to_vec()).prop_map(Told::Detected),
        1 => any::<bool>().prop_map(Told::Recorded),
        2 => prop::sample::select(outcomes.to_vec()).prop_map(Told::Transferred),
        1 => any::<bool>().prop_map(Told::Done),
        2 => (0..40_u32).prop_map(Told::Stale),
        1 => Just(Told::HungUp),
    ]
}

impl Told {
    fn inputs(&self, line: &mut Line<'_>, last_press: &mut Option<Input>) -> Vec<Input> {
        let token = line.thing();
        match self {
            Self::Played => {
                line.playback().map(|token| Input::PlaybackFinished { token }).into_iter().collect()
            }
            Self::TimeOver => line.timer().map(|token| Input::Timer { token }).into_iter().collect(),
            Self::Pressed(key) => {
                let press = line.press_of(*key);
                *last_press = Some(press.clone());
                vec![press]
            }
            Self::PressedAgain => last_press.clone().into_iter().collect(),
            Self::Heard(text, last) => {
                vec![Input::SpeechResult {
                    token,
                    text: (*text).to_owned().into(),
                    confidence: 0.9,
                    last: *last,
                }]
            }
            Self::Detected(what) => vec![Input::DetectionResult { token, what: *what }],
            Self::Recorded(kept) => {
                let reference = kept.then(|| "recording".to_owned().into());
                vec![Input::RecordingFinished { token, reference }]
            }
            Self::Transferred(outcome) => vec![Input::TransferResult { token, outcome: *outcome }],
            Self::Done(done) => {
                let keys: Vec<String> =
                    actions(&line.all).into_iter().map(|(_, key)| key.to_owned()).collect();
                let result = |key| Input::ActionResult { key, done: *done, values: BTreeMap::new().into() };
                keys.into_iter().map(result).collect()
            }
            Self::Stale(number) => {
                let token = Token(*number);
                let current = [line.playback(), line.timer(), Some(line.thing())];
                if current.contains(&Some(token)) {
                    return Vec::new();
                }
                vec![
                    Input::Timer { token },
                    Input::PlaybackFinished { token },
                    Input::SpeechResult { token, text: "yes".to_owned().into(), confidence: 1.0, last: true },
                    Input::DetectionResult { token, what: Detected::Human },
                    Input::RecordingFinished { token, reference: None },
                    Input::TransferResult { token, outcome: TransferOutcome::Busy },
                ]
            }
            Self::HungUp => vec![Input::HungUp],
        }
    }
}

/// Any flow: the samples, and nodes of every type that lead anywhere, sensible or not.
fn any_flow() -> impl Strategy<Value = Flow> {
    let sample = prop::sample::select(samples::all());
    let id = || prop::sample::select(vec!["a", "b", "c", "d", "nowhere"]);
    let node = (0..15_usize, id(), id(), id(), any::<bool>()).prop_map(|(kind, next, other, third, flag)| {
        let mut node = match kind {
            0 => json!({ "type": "say", "text": "{{a}} {{nobody}}", "barge_in": flag }),
            1 => json!({ "type": "menu", "text": "menu", "keys": { "1": other, "2": { "action": "act", "next": third } } }),
            2 => json!({ "type": "capture_input", "min": 0, "max": 2, "opt_out": flag, "on_timeout": other }),
            3 => json!({ "type": "listen", "phrases": [{ "any": ["yes"], "then": other }], "keys": { "3": third } }),
            4 => json!({ "type": "action", "actions": ["one", "request_callback", "two"] }),
            5 => json!({ "type": "action", "action": "ask", "wait_for_result": "5s", "on_failed": other }),
            6 => json!({ "type": "branch", "cases": [{ "variable": "a", "equals": "1", "next": other }] }),
            7 => json!({ "type": "goto" }),
            8 => json!({ "type": "record", "text": "speak", "on_failed": other }),
            9 => json!({ "type": "transfer", "on_busy": other, "on_no_answer": { "action": "transfer_agent" } }),
            10 => json!({ "type": "wait", "duration": 1 }),
            11 => json!({ "type": "send_dtmf", "digits": "1w2" }),
            12 => json!({ "type": "detect", "on_human": other, "on_voicemail": { "action": "end_call" } }),
            13 => json!({ "type": "subflow", "flow": if flag { "f" } else { "g" } }),
            _ => return json!({ "type": if flag { "return" } else { "hang_up" } }),
        };
        node["next"] = next.into();
        node
    });
    let nodes = || {
        prop::collection::vec(node.clone(), 1..=4).prop_map(|mut nodes| {
            for (node, id) in nodes.iter_mut().zip(["a", "b", "c", "d"]) {
                node["id"] = id.into();
            }
            nodes
        })
    };
    let random = (nodes(), nodes(), nodes()).prop_map(|(main, f, g)| {
        let flow = json!({
            "start": "a",
            "nodes": main,
            "subflows": [{ "id": "f", "start": "a", "nodes": f }, { "id": "g", "start": "b", "nodes": g }],
        });
        Flow::from_json(&flow.to_string()).unwrap()
    });
    prop_oneof![sample, random]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the flow and whatever is told: a session that was serialized and read back goes on as if it had not
    /// been; what is stale changes nothing; no key of an action comes twice; a session has a timer until it is over,
    /// ends once, and asks for nothing after that.
    #[test]
    fn a_session_can_be_restored_at_any_point(flow in any_flow(), told in prop::collection::vec(told(), 0..50)) {
        let mut line = Line::answered(&flow, &[]);
        let mut restored = line.clone();
        let mut last_press = None;
        for told in told {
            let over = line.ending().is_some();
            for input in told.inputs(&mut line, &mut last_press) {
                let before = line.session.clone();
                restored.session =
                    serde_json::from_str(&serde_json::to_string(&restored.session).unwrap()).unwrap();
                let input = serde_json::from_str(&serde_json::to_string(&input).unwrap()).unwrap();
                let effects = line.tell(&input);
                prop_assert_eq!(&restored.tell(&input), &effects);
                prop_assert_eq!(&restored.session, &line.session);
                if over || matches!(told, Told::Stale(_)) {
                    prop_assert_eq!(&effects, &[]);
                    prop_assert_eq!(&before, &line.session);
                }
            }
            let timers = line.all.iter().rev().find_map(|effect| match effect {
                Effect::StartTimer { token, .. } => Some(*token),
                _ => None,
            });
            prop_assert!(line.ending().is_some() || timers == line.timer(), "the last timer is the one that counts");
            prop_assert!(line.ending().is_some() || line.timer().is_some(), "it cannot hang");
            let running = line.session.timer();
            prop_assert_eq!(running.map(|(token, _)| token), line.timer());
            prop_assert!(running.is_none_or(|(_, ends_at)| ends_at > noon()), "it can be started again");
        }
        let keys: Vec<&str> = actions(&line.all).into_iter().map(|(_, key)| key).collect();
        let different: std::collections::BTreeSet<&str> = keys.iter().copied().collect();
        prop_assert_eq!(keys.len(), different.len());
        prop_assert!(opt_outs(&line.all) <= 1);
        let ends = line.all.iter().filter(|effect| matches!(effect, Effect::Ended { .. })).count();
        prop_assert_eq!(ends, usize::from(line.ending().is_some()));
    }

    /// Who never does anything comes to the end of every flow that makes sense.
    #[test]
    fn silence_ends_every_sensible_flow(flow in any_flow()) {
        prop_assume!(flow.validate(&FlowTerms::default()).is_ok());
        let mut line = Line::answered(&flow, &[]);
        for _ in 0..1_000 {
            line.listens();
            if line.ending().is_some() {
                break;
            }
            line.waits();
        }
        prop_assert!(line.ending().is_some());
        prop_assert_ne!(line.ending(), Some(FlowEnding::HungUp));
    }

    /// What is read is written, in both notations, and reads back as the same flow.
    #[test]
    fn any_flow_is_written_and_read_back(flow in any_flow()) {
        prop_assert_eq!(&Flow::from_json(&serde_json::to_string(&flow).unwrap()).unwrap(), &flow);
        prop_assert_eq!(&Flow::from_toml(&toml::to_string(&flow).unwrap()).unwrap(), &flow);
    }

    /// Checking and drawing never panic, and every problem is one line.
    #[test]
    fn any_flow_is_checked_and_drawn(flow in any_flow()) {
        let terms = FlowTerms::default().with_variables(["a"]).with_actions(["act"]);
        if let Err(error) = flow.validate(&terms) {
            for problem in &error.problems {
                prop_assert!(!problem.field.is_empty() && !problem.problem.is_empty());
                prop_assert!(!problem.to_string().contains('\n'));
            }
        }
        let line = Line::answered(&flow, &[]);
        let traffic = crate::flow::Traffic::of_call(&line.session);
        prop_assert!(flow.to_mermaid(Some(&traffic)).starts_with("flowchart TD"));
        let dot = flow.to_dot(Some(&traffic));
        prop_assert!(dot.starts_with("digraph flow "));
    }
}

#[test]
fn keys_are_read_as_they_are_written() {
    for sign in KEYS.into_iter().chain(['9', 'A', 'D']) {
        let key = Key::new(sign).unwrap();
        assert_eq!(serde_json::from_str::<Key>(&serde_json::to_string(&key).unwrap()).unwrap(), key);
        assert_eq!(format!("{key}"), sign.to_string());
        assert!(!format!("{key:?}").contains(sign) || sign == '*');
    }
    for text in ["", "12", "x", "E", "１"] {
        assert!(text.parse::<Key>().is_err(), "{text}");
    }
}
