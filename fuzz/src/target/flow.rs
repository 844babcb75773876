//! Flows: read, checked, drawn, and led.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use rivvi_core::flow::{
    Detected, Effect, Flow, FlowTerms, Input, Key, Session, Token, Traffic, TransferOutcome, step,
};

use super::any;
use super::request::arrives_at;

pub(super) const WORDS: &[&str] = &[
    "say",
    "menu",
    "capture_input",
    "listen",
    "action",
    "branch",
    "goto",
    "record",
    "transfer",
    "wait",
    "send_dtmf",
    "detect",
    "subflow",
    "return",
    "hang_up",
    "\"next\":",
    "\"id\":",
    "\"type\":",
    "\"start\":",
    "\"nodes\":",
    "\"subflows\":",
    "\"keys\":",
    "\"phrases\":",
    "\"on_timeout\":",
    "\"on_invalid\":",
    "\"max\":",
    "\"min\":",
    "\"timeout\":",
    "\"repeat\":",
    "[[nodes]]",
    "[[subflows]]",
    "next = \"",
    "type = \"",
    "{{first_name}}",
    "{{",
    "}}",
    "opt_out",
    "prompt_max",
    "\"1h\"",
    "99999999999d",
    "\n---\n",
];

fn read(text: &str) -> Vec<Flow> {
    [Flow::from_toml(text), Flow::from_json(text)].into_iter().flatten().collect()
}

/// A flow: problems are one line each; what is read is written and read back, checked and drawn.
pub(super) fn definition(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for error in [Flow::from_toml(&text).err(), Flow::from_json(&text).err()].into_iter().flatten() {
        assert!(error.problems.iter().all(|problem| !problem.to_string().contains('\n')), "{error}");
    }
    for flow in read(&text) {
        let json = serde_json::to_string(&flow).unwrap_or_default();
        assert_eq!(Flow::from_json(&json).as_ref(), Ok(&flow), "{json}");
        let terms = FlowTerms::default().with_variables(["first_name"]).with_actions(["send_sms"]);
        if let Err(error) = flow.validate(&terms) {
            assert!(error.problems.iter().all(|problem| !problem.to_string().contains('\n')), "{error}");
        }
        any((flow.to_mermaid(None), flow.to_dot(None), flow.host_actions()));
    }
}

/// A flow and, after a line `---`, what happens in its call, a few bytes each. Also flows that make no sense are led: a
/// session has a timer until it ends, ends once, and is the same after it was written and read back.
pub(super) fn session(input: &[u8]) {
    let end = input.windows(5).position(|part| part == b"\n---\n");
    let (text, happens) = end.map_or((input, &[][..]), |end| (&input[..end], &input[end + 5..]));
    for flow in read(&String::from_utf8_lossy(text)) {
        lead(&flow, happens);
    }
}

/// Things that happen in one call.
const HAPPENINGS_MAX: usize = 60;

fn lead(flow: &Flow, happens: &[u8]) {
    let variables = BTreeMap::from([("first_name".to_owned(), "Dana".to_owned())]);
    let mut now = arrives_at();
    let (mut session, mut effects) = step(flow, Session::new(variables), &Input::Start, now);
    let mut ends = count_ends(&effects);
    for (number, bytes) in happens.chunks(2).take(HAPPENINGS_MAX).enumerate() {
        now += TimeDelta::milliseconds(i64::from(bytes[0]) * 40);
        let input =
            happening(&session, &effects, number, bytes[0], bytes.get(1).copied().unwrap_or_default());
        let was_over = session.ending().is_some();
        let written = serde_json::to_string(&session).unwrap_or_default();
        let restored = serde_json::from_str(&written).map(|session| step(flow, session, &input, now));
        let (next, what) = step(flow, session, &input, now);
        assert_eq!(restored.ok().as_ref(), Some(&(next.clone(), what.clone())), "{written}");
        ends += count_ends(&what);
        assert!(!was_over || what.is_empty(), "it is over");
        assert!(next.ending().is_some() || next.timer().is_some(), "it cannot hang");
        (session, effects) = (next, what);
    }
    assert_eq!(ends, usize::from(session.ending().is_some()));
    any(flow.to_mermaid(Some(&Traffic::of_call(&session))));
}

fn count_ends(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Ended { .. })).count()
}

/// What two bytes say that happens: mostly about something that is under way.
fn happening(session: &Session, effects: &[Effect], number: usize, kind: u8, more: u8) -> Input {
    let latest = session.timer().map_or(0, |(token, _)| token.0);
    let token = Token(latest.wrapping_sub(u32::from(more % 4)));
    let texts = ["yes", "no", "", "one two three", "שלום"];
    match kind % 12 {
        0 | 1 => Input::Timer { token: Token(latest) },
        2 => Input::PlaybackFinished { token },
        3..=5 => {
            let key = Key::new(char::from(b"0123456789*#ABCD"[usize::from(more % 16)]));
            Input::Digit { id: number.to_string(), key: key.unwrap_or(Key::NINE) }
        }
        6 => {
            let text = texts[usize::from(more) % texts.len()].to_owned().into();
            Input::SpeechResult {
                token,
                text,
                confidence: f32::from(more) / 255.0,
                last: more.is_multiple_of(2),
            }
        }
        7 => {
            let found = [Detected::Human, Detected::Voicemail, Detected::Ivr, Detected::Unknown];
            Input::DetectionResult { token, what: found[usize::from(more / 4 % 4)] }
        }
        8 => {
            let reference = (more >= 128).then(|| "recording".to_owned().into());
            Input::RecordingFinished { token, reference }
        }
        9 => {
            use TransferOutcome::{Busy, Connected, Ended, Failed, NoAnswer};
            let outcome = [Connected, Ended, Busy, NoAnswer, Failed][usize::from(more / 4 % 5)];
            Input::TransferResult { token, outcome }
        }
        10 => {
            let asked = effects.iter().find_map(|effect| match effect {
                Effect::Action { key, .. } => Some(key.clone()),
                _ => None,
            });
            let values = BTreeMap::from([("when".to_owned(), "noon".to_owned())]).into();
            Input::ActionResult { key: asked.unwrap_or_default(), done: more.is_multiple_of(2), values }
        }
        _ if more == 255 => Input::HungUp,
        _ => Input::Start,
    }
}
