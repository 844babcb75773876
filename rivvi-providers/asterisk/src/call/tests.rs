//! Calls judged and led by events as a real Asterisk 22.10 sent them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::domain::Disposition;
use rivvi_core::flow::{Flow, Session};
use rivvi_core::provider::{Answerer, CallEvent, Recognized};

use super::order::Order;
use super::{CallMachine, Happening, Lead, Leg, Mark, Orphan, Talk};
use crate::ari::{ChannelState, Event, What};

mod failures;

const CALL: &str = "0199a000-0000-7000-8000-00000000c0de";
const EVENTS: &str = include_str!("../../tests/data/events.json");

fn scenario(name: &str) -> Vec<Event> {
    let all: BTreeMap<String, Vec<serde_json::Value>> = serde_json::from_str(EVENTS).unwrap();
    let events = all.get(name).unwrap_or_else(|| panic!("there is no scenario {name}"));
    events.iter().map(|event| Event::read(&event.to_string()).unwrap()).collect()
}

/// Where the last event of a scenario begins that the callee answers.
fn told(events: &[Event]) -> Vec<CallEvent> {
    let mut leg = Leg::default();
    events.iter().filter(|event| event.channel == CALL).flat_map(|event| leg.judge(event)).collect()
}

#[test]
fn every_recorded_ending_is_told_for_what_it_was() {
    use Disposition::{AnsweredHuman, Busy, Canceled, Failed, InvalidNumber, NoAnswer, Rejected};
    for (name, rings, expected, reason) in [
        ("answered_we_hang_up", true, AnsweredHuman, "16 normal clearing"),
        ("answered_they_hang_up", false, AnsweredHuman, "16 normal clearing"),
        ("answered_key_we_hang_up", false, AnsweredHuman, "16 normal clearing"),
        ("rings_until_our_timeout", true, NoAnswer, "19 no answer (SIP 480)"),
        ("we_cancel_while_it_rings", true, Canceled, "16 normal clearing"),
        ("ended_by_us_as_busy", true, Busy, "17 user busy"),
        ("asked_over_the_socket", false, AnsweredHuman, "16 normal clearing"),
        ("nobody_listens", false, Failed, "18 no user responding (SIP 408)"),
        ("nobody_listens_until_our_timeout", false, Failed, "19 no answer (SIP 480)"),
        ("sip_403", false, Rejected, "21 call rejected (SIP 403)"),
        ("sip_404", false, InvalidNumber, "1 unallocated number (SIP 404)"),
        ("sip_408", false, Failed, "18 no user responding (SIP 408)"),
        ("sip_410", false, InvalidNumber, "22 number changed (SIP 410)"),
        ("sip_480", false, NoAnswer, "19 no answer (SIP 480)"),
        ("sip_484", false, InvalidNumber, "28 invalid number format (SIP 484)"),
        ("sip_486", false, Busy, "17 user busy (SIP 486)"),
        ("sip_488", false, Failed, "58 bearer capability not available (SIP 488)"),
        ("sip_500", false, Failed, "38 network out of order (SIP 500)"),
        ("sip_503", false, Failed, "34 circuit or channel congestion (SIP 503)"),
        ("sip_600", false, Busy, "17 user busy (SIP 600)"),
        ("sip_603", false, Rejected, "21 call rejected (SIP 603)"),
        ("sip_604", false, InvalidNumber, "1 unallocated number (SIP 604)"),
    ] {
        let told = told(&scenario(name));
        assert_eq!(told.contains(&CallEvent::Ringing), rings, "{name}");
        let answered = told.contains(&CallEvent::Answered { by: Answerer::Unknown });
        assert_eq!(answered, expected == AnsweredHuman, "{name}");
        let Some(CallEvent::Ended { disposition, reason: why, talk_time }) = told.last() else {
            panic!("{name} is not over: {told:?}")
        };
        assert_eq!((*disposition, why.as_deref()), (expected, Some(reason)), "{name}");
        assert_eq!(talk_time.is_some(), answered, "{name}");
    }
}

#[test]
fn what_the_dialplan_detected_before_anything_else_was_told_is_heard() {
    for (name, by) in
        [("dialplan_detected_human", Answerer::Human), ("dialplan_detected_machine", Answerer::Machine)]
    {
        let mut line = Line::of(ASK);
        let orders: Vec<Order> =
            scenario(name).into_iter().flat_map(|event| line.happens(Happening::Event(event))).collect();
        let heard = orders.iter().filter_map(|order| match order {
            Order::Tell { event: CallEvent::Answered { by }, .. } => Some(*by),
            _ => None,
        });
        assert_eq!(heard.collect::<Vec<_>>(), [Answerer::Unknown, by], "{name}");
        assert_eq!(playing(&orders), ["q"], "{name}");
    }
}

#[test]
fn events_that_come_twice_or_are_missing_tell_nothing_twice() {
    for name in ["answered_we_hang_up", "sip_486", "rings_until_our_timeout", "detected_human"] {
        let events = scenario(name);
        let once = told(&events);
        let twice: Vec<Event> = events.iter().flat_map(|event| [event.clone(), event.clone()]).collect();
        assert_eq!(told(&twice), once, "{name}");
        for missing in 0..events.len() - 1 {
            let mut some = events.clone();
            some.remove(missing);
            let ends = told(&some).iter().filter(|event| matches!(event, CallEvent::Ended { .. })).count();
            assert!(ends <= 1, "{name} without {:?}", events[missing].what);
        }
    }
}

#[test]
fn a_machine_stays_one_when_a_later_look_finds_nothing() {
    let mut leg = Leg::found(ChannelState::Up, start());
    let machine = CallEvent::Answered { by: Answerer::Machine };
    assert_eq!(leg.answered_by(Answerer::Unknown), None);
    assert_eq!(leg.answered_by(Answerer::Machine), Some(machine.clone()));
    assert_eq!(leg.answered_by(Answerer::Unknown), None);
    assert_eq!(leg.answered_by(Answerer::Machine), None, "told before");
    assert_eq!(leg.told_so_far().pop().map(|(_, event)| event), Some(machine));
    let CallEvent::Ended { disposition, .. } = leg.end_unseen(start()) else { panic!("an end") };
    assert_eq!(disposition, Disposition::Voicemail);
}

#[test]
fn what_a_server_noted_about_an_end_is_read() {
    let at = start();
    let ended = |value: &str| match Mark::read(value) {
        Mark::Ended(noted) => match Leg::default().end_noted(noted, at) {
            CallEvent::Ended { disposition, talk_time, .. } => Some((disposition, talk_time)),
            _ => None,
        },
        _ => None,
    };
    assert_eq!(ended("ended,17,BUSY,0"), Some((Disposition::Busy, None)));
    assert_eq!(ended("ended,19,NO ANSWER,0"), Some((Disposition::NoAnswer, None)));
    assert_eq!(ended("ended,20,NO ANSWER,0"), Some((Disposition::NoAnswer, None)), "as after ringing");
    assert_eq!(ended("ended,16,NO ANSWER,0"), Some((Disposition::Canceled, None)));
    let talked = Some(Duration::from_secs(7));
    assert_eq!(ended("ended,16,ANSWERED,7"), Some((Disposition::AnsweredHuman, talked)));
    assert_eq!(Mark::read("asked"), Mark::Asked);
    assert_eq!(Mark::read("ended,,ANSWERED"), Mark::Asked, "a note that cannot be read proves no more");
    assert_eq!(Mark::read(""), Mark::None);
}

fn start() -> DateTime<Utc> {
    "2026-03-01T10:00:00Z".parse().unwrap()
}

/// A call led by a flow, told what happens by hand.
struct Line {
    machine: CallMachine,
    now: DateTime<Utc>,
}

impl Line {
    fn of(flow: &str) -> Self {
        let flow = Arc::new(Flow::from_toml(flow).unwrap());
        let talk = Talk::new(CALL.into(), flow, Session::new(BTreeMap::new()));
        let machine =
            CallMachine::new(CALL.into(), Lead::Flow(Box::new(talk)), Duration::from_secs(60), false);
        Self { machine, now: start() }
    }

    /// The same when somebody has answered.
    fn answered(flow: &str) -> Self {
        let mut line = Self::of(flow);
        let told = line.own(What::State(ChannelState::Up));
        assert!(matches!(told[..], [Order::Tell { event: CallEvent::Answered { .. }, .. }]), "{told:?}");
        line
    }

    fn event(&mut self, channel: &str, what: What) -> Vec<Order> {
        let event = Event { at: self.now, channel: channel.into(), what };
        self.machine.take(Happening::Event(event), self.now)
    }

    fn happens(&mut self, happening: Happening) -> Vec<Order> {
        self.machine.take(happening, self.now)
    }

    fn own(&mut self, what: What) -> Vec<Order> {
        self.event(CALL, what)
    }

    fn enters(&mut self, args: &[&str]) -> Vec<Order> {
        self.own(What::StasisStart { args: args.iter().map(|arg| (*arg).to_owned()).collect() })
    }

    /// Lets time pass until something is due.
    fn waits(&mut self) -> Vec<Order> {
        self.now = self.machine.wake_at().expect("something is waited for");
        self.machine.take(Happening::Wake, self.now)
    }
}

fn playing(orders: &[Order]) -> Vec<&str> {
    let audio = orders.iter().filter_map(|order| match order {
        Order::Play { audio, .. } => Some(audio.expose().as_str()),
        _ => None,
    });
    audio.collect()
}

const ASK: &str = "start = 'ask'\n[[nodes]]\nid = 'ask'\ntype = 'menu'\naudio = 'q'\n\
                   keys = { 1 = { action = 'yes', next = 'bye' } }\non_timeout = 'bye'\n\
                   [[nodes]]\nid = 'bye'\ntype = 'play_audio'\naudio = 'b'\n";

#[test]
fn a_key_stops_the_prompt_and_the_end_of_the_flow_hangs_up() {
    let mut line = Line::answered(ASK);
    assert_eq!(playing(&line.enters(&["call"])), ["q"]);
    let orders = line.own(What::Dtmf('1'));
    assert_eq!(orders[0], Order::StopPlayback { playback: format!("{CALL}-p1") });
    assert!(matches!(&orders[1], Order::Tell { event: CallEvent::Action { name, .. }, .. } if name == "yes"));
    assert_eq!(playing(&orders), ["b"]);
    assert_eq!(line.own(What::PlaybackFinished { id: format!("{CALL}-p1") }), [], "the one that was stopped");
    let Some(Order::Play { playback, .. }) = orders.last().cloned() else { panic!("{orders:?}") };
    let over = line.own(What::PlaybackFinished { id: playback });
    assert_eq!(over, [Order::HangUp { channel: CALL.into() }]);
    let told = line.own(What::Destroyed { cause: 16, sip: None });
    assert!(matches!(told[..], [Order::Tell { .. }, Order::Done]), "{told:?}");
}

#[test]
fn while_the_channel_is_away_for_detection_nothing_is_ordered_of_it() {
    let flow = "start = 'who'\n[[nodes]]\nid = 'who'\ntype = 'detect'\ntimeout = '2s'\non_unknown = 'ask'\n\
                on_human = 'ask'\n"
        .to_owned()
        + ASK.split_once('\n').unwrap().1;
    let mut line = Line::answered(&flow);
    assert_eq!(line.enters(&["call"]), [Order::Detect]);
    assert_eq!(line.own(What::StasisEnd), []);
    assert_eq!(line.waits(), [], "the flow does not wait for it any more, but nothing can be played");
    let orders = line.enters(&["detected", "HUMAN", "HUMAN-800-800"]);
    assert_eq!(playing(&orders), ["q"], "what waited is played");
    assert!(matches!(&orders[0], Order::Tell { event: CallEvent::Answered { by: Answerer::Human }, .. }));
}

#[test]
fn a_greeting_is_heard_to_its_end() {
    let flow = "start = 'who'\n[[nodes]]\nid = 'who'\ntype = 'detect'\ntimeout = '30s'\non_voicemail = 'm'\n\
                [[nodes]]\nid = 'm'\ntype = 'play_audio'\naudio = 'message'\n";
    let machine = |line: &mut Line| {
        line.enters(&["call"]);
        line.enters(&["detected", "MACHINE", "LONGGREETING-1500-1500"])
    };
    let mut line = Line::answered(flow);
    assert_eq!(machine(&mut line).last(), Some(&Order::WatchTalking));
    assert_eq!(line.own(What::TalkingStarted), []);
    assert_eq!(playing(&line.own(What::TalkingFinished)), ["message"]);
    let told = line.own(What::Destroyed { cause: 16, sip: None });
    let Order::Tell { event: CallEvent::Ended { disposition, .. }, .. } = &told[0] else {
        panic!("{told:?}")
    };
    assert_eq!(*disposition, Disposition::Voicemail);

    let mut line = Line::answered(flow);
    machine(&mut line);
    assert_eq!(playing(&line.waits()), ["message"], "the greeting was over before");
}

#[test]
fn whoever_says_nothing_is_not_taken_for_a_machine() {
    for (status, cause, expected) in [
        ("HUMAN", "HUMAN-801-800", Some(Answerer::Human)),
        ("MACHINE", "LONGGREETING-1500-1500", Some(Answerer::Machine)),
        ("MACHINE", "MAXWORDS-3-2", Some(Answerer::Machine)),
        ("MACHINE", "INITIALSILENCE-2500-2500", None),
        ("NOTSURE", "TOOLONG-4920", None),
        ("HANGUP", "", None),
    ] {
        let mut line = Line::answered(ASK);
        line.enters(&["call"]);
        let orders = line.enters(&["detected", status, cause]);
        let by = orders.iter().find_map(|order| match order {
            Order::Tell { event: CallEvent::Answered { by }, .. } => Some(*by),
            _ => None,
        });
        assert_eq!(by, expected, "{status} {cause}");
    }
}

#[test]
fn words_lead_on_and_nobody_listens_after_the_end() {
    let flow = "start = 'l'\n[[nodes]]\nid = 'l'\ntype = 'listen'\nphrases = [{ any = ['yes'], then = 'b' }]\n\
                [[nodes]]\nid = 'b'\ntype = 'play_audio'\naudio = 'b'\n";
    let listening = || {
        let mut line = Line::answered(flow);
        let orders = line.enters(&["call"]);
        let [Order::Listen { token, hints, .. }] = &orders[..] else { panic!("{orders:?}") };
        assert_eq!(*hints, ["yes"]);
        (*token, line)
    };
    let say = |text: &str, last| Recognized { text: text.to_owned().into(), confidence: 1.0, last };
    let (token, mut line) = listening();
    assert_eq!(line.happens(Happening::Heard { token, heard: say("well", false) }), []);
    let orders = line.happens(Happening::Heard { token, heard: say("well yes", false) });
    assert_eq!((&orders[0], playing(&orders)), (&Order::StopListening, vec!["b"]));
    assert_eq!(line.happens(Happening::Heard { token, heard: say("well yes", true) }), [], "told late");

    let destroyed = What::Destroyed { cause: 16, sip: None };
    let (token, mut line) = listening();
    line.happens(Happening::Heard { token, heard: say("Yes", true) });
    assert!(!line.own(destroyed.clone()).contains(&Order::StopListening), "it is over by itself");
    let (_, mut line) = listening();
    assert_eq!(line.own(destroyed)[0], Order::StopListening);
}

const TRANSFER: &str = "start = 't'\n[[nodes]]\nid = 't'\ntype = 'transfer'\nto = '7'\ntimeout = '5s'\n\
                        on_busy = { audio = 'busy', next = 'h' }\n[[nodes]]\nid = 'h'\ntype = 'hang_up'\n";

#[test]
fn an_agent_is_called_bridged_and_let_go_of() {
    let mut line = Line::answered(TRANSFER);
    let orders = line.enters(&["call"]);
    assert_eq!(orders[0], Order::Ring(true));
    let Order::CallAgent { channel, .. } = orders[1].clone() else { panic!("{orders:?}") };
    let up = line.event(&channel, What::StasisStart { args: vec!["agent".into()] });
    assert!(matches!(up[..], [Order::Ring(false), Order::Bridge { .. }]), "{up:?}");
    line.happens(Happening::Bridged { channel: channel.clone(), done: true });
    let gone = line.own(What::Destroyed { cause: 16, sip: None });
    assert!(gone.contains(&Order::HangUp { channel }), "the agent is let go of: {gone:?}");

    let mut line = Line::answered(TRANSFER);
    let orders = line.enters(&["call"]);
    let Order::CallAgent { channel, .. } = orders[1].clone() else { panic!("{orders:?}") };
    line.event(&channel, What::HangupRequest { soft: false });
    let busy = line.event(&channel, What::Destroyed { cause: 17, sip: Some(486) });
    assert_eq!((busy.first(), playing(&busy)), (Some(&Order::Ring(false)), vec!["busy"]));
    assert_eq!(line.event(&channel, What::Destroyed { cause: 17, sip: Some(486) }), [], "told twice");
}

#[test]
fn a_call_is_ended_when_its_time_is_over_and_again_until_it_is() {
    let mut line = Line::answered("start = 'w'\n[[nodes]]\nid = 'w'\ntype = 'wait'\nduration = '1h'\n");
    line.enters(&["call"]);
    let hang_up = [Order::HangUp { channel: CALL.into() }];
    assert_eq!(line.waits(), hang_up);
    assert_eq!(line.now, start() + TimeDelta::seconds(60));
    assert_eq!(line.waits(), hang_up, "the server may not have heard it");
    let gone = line.machine.take(Happening::Gone(Mark::None), line.now);
    assert!(matches!(gone[..], [Order::Tell { .. }, Order::Done]), "{gone:?}");
    assert_eq!(line.machine.take(Happening::HangUp, line.now), []);
}

#[test]
fn a_call_that_was_never_heard_of_again_is_not_made_up() {
    let mut line = Line::of(ASK);
    let gone = line.machine.take(Happening::Gone(Mark::Asked), line.now);
    let Order::Tell { event: CallEvent::Ended { disposition, .. }, .. } = &gone[0] else {
        panic!("{gone:?}")
    };
    assert_eq!(*disposition, Disposition::Unknown);
}

#[test]
fn a_recorded_transfer_and_recorded_sounds_read_as_they_were() {
    let mut kinds = BTreeMap::new();
    for event in
        ["bridged_with_agent", "sounds_missing_and_played", "recorded", "talking"].map(scenario).concat()
    {
        let name = format!("{:?}", event.what).split([' ', '(']).next().unwrap_or_default().to_owned();
        *kinds.entry(name).or_insert(0) += 1;
    }
    for kind in
        ["PlaybackStarted", "PlaybackFinished", "RecordingFinished", "TalkingStarted", "TalkingFinished"]
    {
        assert!(kinds.contains_key(kind), "{kind} is in {kinds:?}");
    }
    let replaced = scenario("application_replaced");
    assert_eq!(replaced[0].what, What::Replaced);
}
