//! Every transition of the machines with its meaning. The tables are held against the machines, which are asked in
//! all states about all inputs, and the documentation is drawn from the tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use super::fixture::{RETRIES, Scene, at, contact, draft, ended, intent, no_answer, not_placed, terms, told};
use super::run::{INPUTS, input, run};
use crate::domain::{
    CallDetail, CallState, ContactState, DeliveryState, Disposition, Ending, Lease, Outcome, RunState,
    RunTally,
};
use crate::machine::{CallFact, CallStep, begin, step_call, step_run, withdraw};
use crate::policy::{Decision, RunTerms};
use crate::provider::{Answerer, CallEvent, InboundRef};
use crate::storage::RunFacts;

/// A transition: from a state, on an input, to a state; and what that means.
type Transition = (&'static str, &'static str, &'static str, &'static str);

const RUN: &[Transition] = &[
    ("draft", "begin_import", "processing", "The sheet is about to be read."),
    ("draft", "fail_import", "failed", "The sheet cannot be read at all."),
    ("draft", "cancel", "completing", "Nothing was imported, nothing will be."),
    (
        "processing",
        "store_files",
        "processing",
        "The sheet lies in the blob store; the contacts come there, too.",
    ),
    ("processing", "finish_import", "ready", "All rows were read; every usable one is a waiting contact."),
    ("processing", "fail_import", "failed", "The sheet cannot be read to its end. It may be imported again."),
    ("processing", "cancel", "completing", "The contacts read so far are settled as cancelled."),
    (
        "failed",
        "begin_import",
        "processing",
        "The sheet is read again; rows that are contacts already stay as they are.",
    ),
    ("failed", "cancel", "completing", "The contacts read so far are settled as cancelled."),
    ("ready", "schedule", "scheduled", "The run starts by itself at an instant."),
    ("ready", "start", "active", "Calls are made from now on. The end of the run is fixed here."),
    ("ready", "cancel", "completing", "All contacts are settled as cancelled, none was called."),
    ("scheduled", "schedule", "scheduled", "The run starts at another instant."),
    ("scheduled", "start", "active", "The start time has come, or somebody did not wait for it."),
    ("scheduled", "cancel", "completing", "All contacts are settled as cancelled, none was called."),
    ("active", "pause", "paused", "No call begins; calls under way go on."),
    (
        "active",
        "cancel",
        "completing",
        "No call begins; calls under way are hung up; who waits is settled as cancelled.",
    ),
    (
        "active",
        "check_end",
        "completing",
        "The end time has come: no call begins; who waits is settled as expired.",
    ),
    ("active", "check_settled", "completing", "Every contact has its outcome."),
    ("paused", "resume", "active", "Calls begin again. The end of the run did not move."),
    ("paused", "cancel", "completing", "As from active."),
    ("paused", "check_end", "completing", "A pause does not put off the end."),
    ("paused", "check_settled", "completing", "The last call under way settled the last contact."),
    ("completing", "finish", "completed", "No contact waits, no call is live, and everything is archived."),
    ("completing", "finish", "cancelled", "The same, after a cancellation."),
];

const CONTACT: &[Transition] = &[
    ("waiting", "allow", "calling", "Every rule allows a call: it is intended, and counts as an attempt."),
    ("waiting", "defer", "waiting", "A rule asks to wait: until the next instant at which no rule does."),
    ("waiting", "never", "settled", "A rule refuses for this run: excluded, exhausted or expired."),
    ("waiting", "run over", "settled", "The run ends first: expired, or cancelled."),
    ("waiting", "opt_out", "settled", "The callee opts out in a call that is over already: excluded."),
    ("waiting", "calls_in", "waiting", "The contact calls us: it is not called while it is on the phone."),
    ("waiting", "called_back", "settled", "The contact called us and was talked to: completed."),
    ("waiting", "delivered", "settled", "The message that was waited for has arrived: completed."),
    (
        "waiting",
        "undelivered",
        "waiting",
        "The message did not arrive, and the plan has something that follows.",
    ),
    (
        "waiting",
        "undelivered",
        "settled",
        "The message did not arrive, and nothing follows: exhausted or excluded.",
    ),
    ("calling", "sent", "waiting", "The provider has the message; its receipt is waited for."),
    ("calling", "sent", "settled", "The provider has the message, and tells no more: completed."),
    ("calling", "delivered", "settled", "The receipt came before the provider's answer: completed."),
    ("calling", "undelivered", "waiting", "The same, and the plan has something that follows."),
    ("calling", "undelivered", "settled", "The same, and nothing follows: exhausted or excluded."),
    ("calling", "answered_human", "settled", "A human was reached: completed."),
    (
        "calling",
        "answered_human",
        "waiting",
        "A human asked to be called back: waits for the first legal instant from then on.",
    ),
    ("calling", "voicemail", "waiting", "A machine answered, and the plan has a retry left."),
    ("calling", "voicemail", "settled", "A machine answered, and no retry is left: exhausted."),
    ("calling", "busy", "waiting", "The line was busy, and the plan has a retry left."),
    ("calling", "busy", "settled", "The line was busy, and no retry is left: exhausted."),
    ("calling", "no_answer", "waiting", "Nobody answered, and the plan has a retry left."),
    ("calling", "no_answer", "settled", "Nobody answered, and no retry is left: exhausted."),
    ("calling", "rejected", "waiting", "The callee declined, and the plan has a retry left."),
    ("calling", "rejected", "settled", "The callee declined, and no retry is left: exhausted."),
    ("calling", "failed", "waiting", "The call failed on its way, and the plan has a retry left."),
    ("calling", "failed", "settled", "The call failed on its way, and no retry is left: exhausted."),
    ("calling", "invalid_number", "settled", "The network says that there is no such number: excluded."),
    (
        "calling",
        "canceled",
        "waiting",
        "We ended the call before anyone answered: again after a growing while.",
    ),
    ("calling", "canceled", "settled", "The run is over, or it was the twentieth such call in a row."),
    (
        "calling",
        "not_placed",
        "waiting",
        "Nobody was called, so it is no attempt: again after a growing while.",
    ),
    (
        "calling",
        "not_placed",
        "settled",
        "The run is over, the number cannot be called, or it was the twentieth such call in a row.",
    ),
    ("calling", "unknown", "settled", "The fate of the call is not known, so nobody calls again: unknown."),
];

const CALL: &[Transition] = &[
    ("intended", "accepted", "placed", "The provider has the call."),
    ("intended", "message accepted", "ended", "The provider has the message: sent."),
    ("intended", "delivery", "ended", "The first thing told is what became of the message: sent."),
    ("intended", "replied", "ended", "The first thing told is an answer to the message: sent."),
    (
        "intended",
        "ringing",
        "ringing",
        "The phone rings; the provider's acceptance is still to come, or lost.",
    ),
    ("intended", "answered", "answered", "The first thing the provider tells is the answer."),
    ("intended", "ended", "ended", "The first thing the provider tells is the end, as it tells."),
    (
        "intended",
        "not_placed",
        "ended",
        "Nothing was sent or the provider refused, and nobody else can have asked: not placed.",
    ),
    ("intended", "answer_lost", "unknown", "The provider was asked, and may or may not have the call."),
    (
        "intended",
        "not_found",
        "ended",
        "The provider does not know the call and cannot come to know it: not placed.",
    ),
    ("intended", "given_up", "ended", "Nothing could be found out before the deadline: unknown."),
    ("unknown", "accepted", "placed", "The provider has the call after all, or recognized its repetition."),
    ("unknown", "message accepted", "ended", "The provider has the message after all: sent."),
    ("unknown", "delivery", "ended", "The message was sent after all."),
    ("unknown", "replied", "ended", "The message was sent after all."),
    ("unknown", "ringing", "ringing", "The call went out after all."),
    ("unknown", "answered", "answered", "The call went out after all."),
    ("unknown", "ended", "ended", "The call went out after all, and is over."),
    (
        "unknown",
        "not_found",
        "ended",
        "The provider does not know the call and cannot come to know it: not placed.",
    ),
    ("unknown", "given_up", "ended", "Nothing could be found out before the deadline: unknown."),
    ("placed", "ringing", "ringing", "The callee's phone rings."),
    ("placed", "answered", "answered", "Someone or something answered."),
    ("placed", "ended", "ended", "Over, as the provider tells."),
    ("placed", "not_found", "ended", "The provider had the call and forgot it: unknown."),
    ("placed", "given_up", "ended", "No end was told before the deadline: unknown."),
    ("ringing", "answered", "answered", "Someone or something answered."),
    ("ringing", "ended", "ended", "Over, as the provider tells; never as not placed, for the phone rang."),
    ("ringing", "not_found", "ended", "The provider had the call and forgot it: unknown."),
    ("ringing", "given_up", "ended", "No end was told before the deadline: unknown."),
    ("answered", "ended", "ended", "Over, as the provider tells; as voicemail if a machine answered."),
    ("answered", "not_found", "ended", "The provider forgot how it ended, but it was answered."),
    ("answered", "given_up", "ended", "No end was told before the deadline, but it was answered."),
];

/// A campaign by text message.
const SMS: &str = "channel = 'sms'\nmessage.text = 'Hello'\n";

fn delivery(state: DeliveryState) -> CallEvent {
    CallEvent::Delivery { state, failure: None, code: None }
}

/// The transitions a machine was seen to make.
type Seen = BTreeSet<(&'static str, &'static str, &'static str)>;

fn runs() -> Seen {
    let tally = |waiting| RunFacts { others_running: 0, tally: RunTally { waiting, ..RunTally::default() } };
    let mut seen = Seen::new();
    for (state, name) in RunState::ALL.into_iter().flat_map(|state| INPUTS.map(|name| (state, name))) {
        for facts in [tally(0), tally(1), RunFacts { others_running: 1, ..tally(0) }] {
            for (ending, now) in
                [(Ending::EndTime, at(-1)), (Ending::EndTime, at(0)), (Ending::Cancelled, at(0))]
            {
                let mut run = run(state);
                run.ending = run.ending.and(Some(ending));
                let Ok(change) = step_run(&run, &facts, &input(name), now) else { continue };
                if !change.events.is_empty() {
                    seen.insert((state.name(), name, change.run.state.name()));
                }
            }
        }
    }
    seen
}

fn calls() -> Seen {
    let disposition = Disposition::Failed;
    let states = [
        CallState::Intended,
        CallState::Unknown,
        CallState::Placed,
        CallState::Ringing,
        CallState::Answered,
        CallState::Ended { disposition },
    ];
    let facts = |token| {
        let detail = Box::new(CallDetail::default());
        [
            ("accepted", told(CallEvent::Accepted { reference: None }, 0)),
            ("ringing", told(CallEvent::Ringing, 0)),
            ("answered", told(CallEvent::Answered { by: Answerer::Unknown }, 0)),
            ("ended", told(ended(disposition), 0)),
            ("opt_out", told(CallEvent::OptOut, 0)),
            ("callback", told(CallEvent::Callback { at: at(0) }, 0)),
            ("action", told(super::fixture::action("1"), 0)),
            ("enriched", told(CallEvent::Enriched { detail }, 0)),
            ("not_placed", not_placed(token)),
            ("answer_lost", no_answer(token)),
            ("not_found", CallFact::NotFound { token }),
            ("given_up", CallFact::GivenUp { token }),
        ]
    };
    let mut seen = Seen::new();
    for state in [CallState::Intended, CallState::Unknown, CallState::Ended { disposition }] {
        let message = Scene::new(SMS).in_state(state).call;
        let reply = CallEvent::Replied { id: "1".into(), text: String::new().into() };
        for (name, event) in [
            ("message accepted", CallEvent::Accepted { reference: None }),
            ("delivery", delivery(DeliveryState::Queued)),
            ("replied", reply),
            ("opened", CallEvent::Opened),
        ] {
            if let CallStep::To(next) = step_call(&message, &told(event, 0)) {
                seen.insert((state.name(), name, next.name()));
            }
        }
    }
    for scene in [Scene::new(""), Scene::new("").taken_over()] {
        for (state, token) in states.into_iter().flat_map(|state| (0..4).map(move |token| (state, token))) {
            let call = scene.clone().in_state(state).call;
            for (name, fact) in facts(token) {
                if let CallStep::To(next) = step_call(&call, &fact) {
                    seen.insert((state.name(), name, next.name()));
                }
            }
        }
    }
    seen
}

fn name_of(state: ContactState) -> &'static str {
    match state {
        ContactState::Waiting { .. } => "waiting",
        ContactState::Calling { .. } => "calling",
        ContactState::Settled { .. } => "settled",
    }
}

fn contacts() -> Seen {
    let mut seen = Seen::new();
    let settled = ContactState::Settled { outcome: Outcome::Completed, exclusion: None, at: at(0) };
    let calling = ContactState::Calling { call_id: intent(4).call_id };
    let (rule, reason, outcome) = ("rule", "reason".into(), Outcome::Excluded);
    let decisions = [
        ("allow", Decision::Allow { until: at(60) }),
        ("defer", Decision::Defer { until: at(60), rule, reason }),
        ("never", Decision::Never { outcome, exclusion: None, rule, reason: "reason".into() }),
    ];
    for state in [ContactState::Waiting { due_at: at(0) }, calling, settled] {
        let mut contact = contact(&draft(""));
        contact.status.state = state;
        let begun = decisions
            .iter()
            .map(|(name, decision)| (*name, begin(&contact, decision.clone(), at(0), || intent(4))));
        let withdrawn = withdraw(&contact, Outcome::Expired, "run_end", "over", at(0));
        for (name, change) in begun.chain([("run over", withdrawn)]) {
            if !change.events.is_empty() {
                seen.insert((name_of(state), name, name_of(change.status.state)));
            }
        }
    }
    for plan in ["", "[[follow_up]]\nname = 'say'\non = 'undelivered'\nspeech = 'Hello'"] {
        let live = Scene::new(&format!("{SMS}{plan}"));
        let mut waiting = live.clone();
        waiting.tell(told(CallEvent::Accepted { reference: None }, 0));
        for scene in [live, waiting] {
            for (name, event) in [
                ("sent", CallEvent::Accepted { reference: None }),
                ("delivered", delivery(DeliveryState::Delivered)),
                ("undelivered", delivery(DeliveryState::Undelivered)),
            ] {
                let Some(change) = scene.ask(told(event, 0)) else { continue };
                if change.status.state != scene.state() {
                    seen.insert((name_of(scene.state()), name, name_of(change.status.state)));
                }
            }
        }
    }
    for scene in scenes() {
        for state in [ContactState::Waiting { due_at: at(0) }, calling, settled] {
            let mut scene = scene.clone();
            scene.contact.status.state = state;
            let mut facts: Vec<_> = Disposition::ALL.map(|end| (end.name(), told(ended(end), 0))).into();
            facts.push(("opt_out", told(CallEvent::OptOut, 0)));
            for (name, event) in
                [("calls_in", CallEvent::Ringing), ("called_back", ended(Disposition::AnsweredHuman))]
            {
                let inbound = InboundRef {
                    call_id: intent(77).call_id,
                    run_id: scene.contact.run_id,
                    provider: intent(77).provider,
                };
                facts.push((name, told(CallEvent::CalledBack { inbound, event: Box::new(event) }, 0)));
            }
            facts.push(("action", told(super::fixture::action("1"), 0)));
            facts.push(("ringing", told(CallEvent::Ringing, 0)));
            for (name, fact) in facts {
                let Some(change) = scene.ask(fact) else { continue };
                if change.status.state != state {
                    seen.insert((name_of(state), name, name_of(change.status.state)));
                }
            }
        }
    }
    seen
}

/// Calls of contacts with and without a plan, with a callback, in a run that is over.
fn scenes() -> Vec<Scene> {
    let mut called_back = Scene::new(RETRIES);
    called_back.tell(told(CallEvent::Callback { at: at(60) }, 0));
    let RunTerms { run, organization, .. } = terms(RETRIES);
    let mut over = run.as_ref().clone();
    (over.state, over.ending) = (RunState::Completing, Some(Ending::Cancelled));
    let over = Scene::of(RunTerms::new(over.into(), organization));
    vec![Scene::new(""), Scene::new(RETRIES), called_back, over]
}

fn declared(transitions: &[Transition]) -> Seen {
    let declared: Seen = transitions.iter().map(|(from, on, to, _)| (*from, *on, *to)).collect();
    assert_eq!(declared.len(), transitions.len(), "a transition is declared twice");
    declared
}

/// Each declared transition happens, and no other does.
#[test]
fn the_machines_make_the_declared_transitions_and_no_others() {
    assert_eq!(Lease::FIRST_TOKEN, 1, "the tokens asked about lie around the first");
    for (machine, seen, transitions) in
        [("run", runs(), RUN), ("contact", contacts(), CONTACT), ("call", calls(), CALL)]
    {
        let declared = declared(transitions);
        let undeclared: Vec<_> = seen.difference(&declared).collect();
        let unseen: Vec<_> = declared.difference(&seen).collect();
        assert!(
            undeclared.is_empty() && unseen.is_empty(),
            "{machine}: not declared {undeclared:?}, never seen {unseen:?}"
        );
    }
}

/// The diagram and the table of a machine.
fn drawn(transitions: &[Transition], first: &str, last: &[&str]) -> String {
    let mut text = format!("```mermaid\nstateDiagram-v2\n    [*] --> {first}\n");
    let mut arrows: Vec<(&str, &str)> = Vec::new();
    for (from, _, to, _) in transitions {
        if !arrows.contains(&(from, to)) {
            arrows.push((from, to));
        }
    }
    for arrow in arrows {
        let inputs =
            transitions.iter().filter(|(from, _, to, _)| (*from, *to) == arrow).map(|(_, on, _, _)| *on);
        let inputs = inputs.collect::<Vec<_>>().join(", ");
        writeln!(text, "    {} --> {}: {inputs}", arrow.0, arrow.1).unwrap();
    }
    for state in last {
        writeln!(text, "    {state} --> [*]").unwrap();
    }
    text.push_str("```\n\n| from | on | to | meaning |\n|---|---|---|---|\n");
    for (from, on, to, meaning) in transitions {
        writeln!(text, "| {from} | {on} | {to} | {meaning} |").unwrap();
    }
    text
}

/// The text with what stands between the marks of `machine` replaced.
fn with_section(text: &str, machine: &str, section: &str) -> String {
    let (begin, end) = (format!("<!-- begin {machine} -->\n"), format!("<!-- end {machine} -->\n"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("the page has no mark {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("the page has no mark {end}"));
    format!("{before}{begin}{section}{end}{after}")
}

/// The page on state machines shows the machines as they are. With `RIVVI_BLESS=1` it is rewritten.
#[test]
fn state_machines_doc_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/state-machines.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut current = page.clone();
    for (machine, section) in [
        ("run", drawn(RUN, "draft", &["completed", "cancelled", "failed"])),
        ("contact", drawn(CONTACT, "waiting", &["settled"])),
        ("call", drawn(CALL, "intended", &["ended"])),
    ] {
        current = with_section(&current, machine, &section);
    }
    if std::env::var_os("RIVVI_BLESS").is_some() {
        std::fs::write(&path, current).unwrap();
        return;
    }
    assert!(page == current, "{} is out of date: run the tests with RIVVI_BLESS=1", path.display());
}
