//! Requests that fail, and events that are lost.

use super::*;

#[test]
fn an_agent_who_was_not_called_or_connected_for_certain_is_hung_up() {
    let begun = || {
        let mut line = Line::answered(&TRANSFER.replace("on_busy", "on_failed"));
        let orders = line.enters(&["call"]);
        let Order::CallAgent { channel, .. } = orders[1].clone() else { panic!("{orders:?}") };
        (line, channel)
    };
    let enters = || What::StasisStart { args: vec!["agent".into()] };
    let (mut line, channel) = begun();
    let failed = line.happens(Happening::AgentNotCalled { channel: channel.clone() });
    assert_eq!(failed[0], Order::HangUp { channel: channel.clone() }, "the request may have taken effect");
    assert_eq!(playing(&failed), ["busy"], "the flow hears that it failed");
    assert_eq!(line.event(&channel, enters()), [Order::HangUp { channel }], "who answers all the same");

    let (mut line, channel) = begun();
    line.event(&channel, enters());
    let failed = line.happens(Happening::Bridged { channel: channel.clone(), done: false });
    assert_eq!(failed[0], Order::HangUp { channel });
    assert!(matches!(failed[1], Order::EndBridge { .. }), "{failed:?}");
    assert_eq!(playing(&failed), ["busy"], "the flow hears that it failed");
}

#[test]
fn a_second_transfer_lets_go_of_the_first_agent() {
    let again = TRANSFER.replace("on_busy = { audio = 'busy', next = 'h' }", "on_no_answer = 'u'")
        + "[[nodes]]\nid = 'u'\ntype = 'transfer'\nto = '8'\ntimeout = '5s'\n";
    let mut line = Line::answered(&again);
    let orders = line.enters(&["call"]);
    let Order::CallAgent { channel, .. } = orders[1].clone() else { panic!("{orders:?}") };
    let orders = line.waits();
    assert_eq!(orders[0], Order::HangUp { channel: channel.clone() });
    let second =
        |order: &Order| matches!(order, Order::CallAgent { channel: other, .. } if *other != channel);
    assert!(orders.iter().any(second), "{orders:?}");
}

#[test]
fn a_flow_goes_on_when_detection_cannot_be_begun() {
    let flow = "start = 'who'\n[[nodes]]\nid = 'who'\ntype = 'detect'\ntimeout = '30s'\non_unknown = 'ask'\n"
        .to_owned()
        + ASK.split_once('\n').unwrap().1;
    let mut line = Line::answered(&flow);
    assert_eq!(line.enters(&["call"]), [Order::Detect]);
    assert_eq!(playing(&line.happens(Happening::NotDetected)), ["q"]);
}

#[test]
fn a_channel_that_came_while_the_link_was_lost_is_led_once() {
    let flow = "start = 'who'\n[[nodes]]\nid = 'who'\ntype = 'detect'\ntimeout = '30s'\non_human = 'ask'\n"
        .to_owned()
        + ASK.split_once('\n').unwrap().1;
    let here = |args: &[&str]| Happening::Here { args: args.iter().map(|arg| (*arg).to_owned()).collect() };
    let human = ["detected", "HUMAN", "HUMAN-800-800"];
    let mut line = Line::answered(&flow);
    assert_eq!(line.happens(here(&["call"])), [Order::Detect]);
    assert_eq!(line.happens(here(&["call"])), [], "it is on its way to the dialplan");
    assert_eq!(line.enters(&["call"]), [], "told late");
    assert_eq!(line.own(What::StasisEnd), []);
    assert_eq!(playing(&line.happens(here(&human))), ["q"]);
    assert_eq!(line.happens(here(&human)), []);

    let leg = Leg::found(ChannelState::Up, start());
    let mut orphan = Line { machine: CallMachine::found(CALL.into(), leg, Orphan::default()), now: start() };
    assert_eq!(orphan.happens(here(&["call"])), [], "a call that may go on without us does");
}

#[test]
fn a_channel_tells_whether_it_is_ours() {
    for (state, app_name, app_data, expected) in [
        ("Up", "Stasis", "rivvi,detected,HUMAN,HUMAN-1-1", Some(vec!["detected", "HUMAN", "HUMAN-1-1"])),
        ("Up", "Stasis", "rivvi", Some(vec![])),
        ("Ring", "Stasis", "rivvi,call", None),
        ("Up", "Stasis", "rivvi2,call", None),
        ("Up", "AMD", "", None),
    ] {
        let dialplan = serde_json::json!({ "app_name": app_name, "app_data": app_data });
        let channel = serde_json::json!({ "id": CALL, "state": state, "dialplan": dialplan });
        let channel: crate::ari::Channel = serde_json::from_value(channel).unwrap();
        let expected: Option<Vec<String>> =
            expected.map(|args| args.into_iter().map(str::to_owned).collect());
        assert_eq!(channel.entered("rivvi"), expected, "{state} {app_name} {app_data}");
    }
}

#[test]
fn a_call_that_cannot_be_handed_to_its_agent_is_hung_up() {
    let lead = Lead::Agent("sales".into());
    let mut line =
        Line { machine: CallMachine::new(CALL.into(), lead, Duration::from_secs(60), false), now: start() };
    assert!(line.enters(&["call"]).contains(&Order::Hand { agent: "sales".into() }));
    assert_eq!(line.happens(Happening::NotHanded), [Order::HangUp { channel: CALL.into() }]);
}

#[test]
fn a_recording_that_was_never_begun_is_not_waited_for_and_others_are() {
    let recorded = || {
        let lead = Lead::Agent("sales".into());
        let machine = CallMachine::new(CALL.into(), lead, Duration::from_secs(60), true);
        let mut line = Line { machine, now: start() };
        assert!(line.enters(&["call"]).iter().any(|order| matches!(order, Order::Overhear { .. })));
        line
    };
    let destroyed = || What::Destroyed { cause: 16, sip: None };
    let mut line = recorded();
    assert!(!line.own(destroyed()).contains(&Order::Done), "the recording is waited for");
    assert_eq!(line.happens(Happening::NotRecorded { token: None }), [Order::Done]);

    let mut line = recorded();
    line.own(destroyed());
    assert_eq!(line.waits(), [Order::Done], "the end of the recording was never told");

    let mut line = recorded();
    let finished = What::RecordingFinished { name: format!("{CALL}-all") };
    assert!(matches!(line.event(&format!("{CALL}-ear"), finished)[..], [Order::Keep { .. }]));
    let token = rivvi_core::flow::Token(7);
    assert_eq!(line.happens(Happening::NotRecorded { token: Some(token) }), []);
    assert!(!line.own(destroyed()).contains(&Order::Done), "what is being kept is waited for");
    assert_eq!(line.waits(), [], "however long that takes");
    assert_eq!(line.machine.wake_at(), None);
    assert_eq!(line.happens(Happening::Kept { token: None, reference: None }), [Order::Done]);
}

#[test]
fn an_agent_whom_the_flow_waits_for_no_more_is_not_connected() {
    let transfer = TRANSFER.replace("on_busy = {", "on_no_answer = {");
    let mut line = Line::answered(&transfer);
    let orders = line.enters(&["call"]);
    let Order::CallAgent { channel, .. } = orders[1].clone() else { panic!("{orders:?}") };
    let orders = line.waits();
    assert_eq!(orders[..2], [Order::HangUp { channel: channel.clone() }, Order::Ring(false)]);
    assert_eq!(playing(&orders), ["busy"]);
    let late = line.event(&channel, What::StasisStart { args: vec!["agent".into()] });
    assert_eq!(late, [Order::HangUp { channel }]);
}

#[test]
fn news_of_an_agent_that_was_missed_is_made_good() {
    let called = |ringing: bool| {
        let mut line = Line::answered(&TRANSFER.replace("on_busy", "on_failed"));
        let orders = line.enters(&["call"]);
        let Order::CallAgent { channel, .. } = orders[1].clone() else { panic!("{orders:?}") };
        if ringing {
            line.event(&channel, What::State(ChannelState::Ringing));
        }
        (line, channel)
    };
    let beside = |there: &[(&str, bool)]| {
        let there = there.iter().map(|(id, entered)| ((*id).to_owned(), entered.then(Vec::new)));
        Happening::Beside { there: there.collect() }
    };
    let (mut line, channel) = called(false);
    assert_eq!(line.happens(beside(&[])), [], "the request for it may be on its way");
    assert_eq!(line.happens(beside(&[(&channel, false)])), [], "it rings");
    let orders = line.happens(beside(&[(&channel, true)]));
    assert!(matches!(orders[..], [Order::Ring(false), Order::Bridge { .. }]), "{orders:?}");
    assert_eq!(line.happens(beside(&[(&channel, true)])), []);

    let (mut line, _) = called(true);
    assert_eq!(playing(&line.happens(beside(&[]))), ["busy"], "it failed");
}
