use chrono::TimeDelta;
use rivvi_core::domain::{CallId, RunId};
use rivvi_core::provider::{CallRef, InboundRef};
use rivvi_core::testkit::build;
use serde_json::json;

use super::*;

fn provider() -> ProviderName {
    ProviderName::new("retell")
}

fn own() -> (CallId, RunId) {
    let request = build::place_call(1);
    (request.call_id, request.run_id)
}

/// A picture with our metadata and these fields.
fn picture(fields: &Value) -> Picture {
    let request = build::place_call(1);
    let mut all = json!({
        "call_id": "retell_1", "direction": "outbound", "metadata": crate::metadata::Metadata::of_placed(&request),
    });
    for (name, value) in fields.as_object().unwrap() {
        all[name] = value.clone();
    }
    serde_json::from_value(all).unwrap()
}

fn told(fields: &Value, occasion: Occasion) -> Vec<CallUpdate> {
    of_call(&provider(), &picture(fields), occasion, "callback_at", build::start())
}

fn events(fields: &Value, occasion: Occasion) -> Vec<CallEvent> {
    told(fields, occasion).into_iter().map(|update| update.event).collect()
}

fn disposition(fields: &Value) -> (bool, Option<Disposition>) {
    let events = events(fields, Occasion::Lookup(own().0));
    let answered = events.iter().any(|event| matches!(event, CallEvent::Answered { .. }));
    let ended = events.iter().find_map(|event| match event {
        CallEvent::Ended { disposition, .. } => Some(*disposition),
        _ => None,
    });
    (answered, ended)
}

#[test]
fn status_and_reason_decide_together() {
    use Disposition::{AnsweredHuman, Busy, Canceled, Failed, InvalidNumber, NotPlaced, Voicemail};
    for (status, reason, started, expected) in [
        ("registered", "", false, (false, None)),
        ("ongoing", "", true, (true, None)),
        ("ended", "user_hangup", true, (true, Some(AnsweredHuman))),
        ("ended", "", true, (true, Some(AnsweredHuman))),
        ("ended", "abducted_by_aliens", true, (true, Some(AnsweredHuman))),
        ("not_connected", "abducted_by_aliens", false, (false, Some(Failed))),
        ("error", "abducted_by_aliens", true, (true, Some(Failed))),
        ("teleported", "user_hangup", true, (true, Some(AnsweredHuman))),
        ("ended", "voicemail_reached", true, (true, Some(Voicemail))),
        ("not_connected", "dial_busy", false, (false, Some(Busy))),
        ("not_connected", "user_hangup", false, (false, Some(Failed))),
        ("not_connected", "invalid_destination", false, (false, Some(InvalidNumber))),
        ("ended", "manual_stopped", true, (true, Some(AnsweredHuman))),
        ("not_connected", "manual_stopped", false, (false, Some(Canceled))),
        ("error", "concurrency_limit_reached", false, (false, Some(NotPlaced))),
        ("error", "budget_reached", true, (true, Some(AnsweredHuman))),
        ("error", "error_llm_websocket_open", true, (true, Some(Failed))),
    ] {
        let mut fields = json!({ "call_status": status });
        if !reason.is_empty() {
            fields["disconnection_reason"] = json!(reason);
        }
        if started {
            fields["start_timestamp"] = json!(build::start().timestamp_millis());
        }
        if status == "teleported" {
            // A status that is new is over if the occasion says so.
            assert_eq!(disposition(&fields), (true, None));
            let events = events(&fields, Occasion::Ended);
            assert!(matches!(events[2], CallEvent::Ended { disposition: AnsweredHuman, .. }));
            continue;
        }
        assert_eq!(disposition(&fields), expected, "{status}, {reason}");
    }
}

#[test]
fn times_are_those_of_the_call() {
    let start = build::second(10);
    let end = build::second(70);
    let fields = json!({
        "call_status": "ended", "disconnection_reason": "agent_hangup", "duration_ms": 60_000,
        "start_timestamp": start.timestamp_millis(), "end_timestamp": end.timestamp_millis(),
    });
    let told = told(&fields, Occasion::Ended);
    let times: Vec<_> = told.iter().map(|update| (update.at - build::start()).num_seconds()).collect();
    assert_eq!(times, [9, 9, 69], "to the millisecond below");
    assert!(told.iter().all(|update| update.call == CallRef::Id(own().0)));
    let CallEvent::Ended { talk_time, reason, .. } = &told[2].event else { panic!("{told:?}") };
    assert_eq!((talk_time.unwrap().as_secs(), reason.as_deref()), (60, Some("agent_hangup")));
    let CallEvent::Accepted { reference } = &told[0].event else { panic!("{told:?}") };
    assert_eq!(reference.as_deref(), Some("retell_1"));
}

#[test]
fn wishes_of_the_callee_come_before_the_end_and_findings_of_the_analysis_after_it() {
    let at = build::second(7_200);
    let text = at.to_rfc3339();
    let fields = json!({
        "call_status": "ended", "disconnection_reason": "user_requested_callback",
        "collected_dynamic_variables": { "callback_at": text, "slot": "noon" },
        "call_analysis": { "in_voicemail": true, "custom_analysis_data": { "callback_at": "next week" } },
    });
    let events = events(&fields, Occasion::Lookup(own().0));
    let names: Vec<&str> = events.iter().map(name).collect();
    assert_eq!(names, ["accepted", "answered", "callback", "ended", "answered", "enriched"]);
    assert_eq!(events[2], CallEvent::Callback { at });
    assert_eq!(events[4], CallEvent::Answered { by: Answerer::Machine });
    let CallEvent::Enriched { detail } = &events[5] else { panic!("{events:?}") };
    let analysis = detail.analysis.as_ref().unwrap().expose();
    assert_eq!(analysis["collected_dynamic_variables"]["slot"], "noon");

    let fields = json!({ "call_status": "ended", "disconnection_reason": "user_requested_dnc" });
    let names: Vec<&str> =
        super::tests::events(&fields, Occasion::Lookup(own().0)).iter().map(name).collect();
    assert_eq!(names, ["accepted", "answered", "opt_out", "ended"]);
    // A wish that names no instant is kept as the reason.
    let fields = json!({ "call_status": "ended", "disconnection_reason": "user_requested_callback",
        "collected_dynamic_variables": { "callback_at": "tomorrow" } });
    let names: Vec<&str> =
        super::tests::events(&fields, Occasion::Lookup(own().0)).iter().map(name).collect();
    assert_eq!(names, ["accepted", "answered", "ended"]);
}

fn name(event: &CallEvent) -> &'static str {
    match event {
        CallEvent::Accepted { .. } => "accepted",
        CallEvent::Answered { .. } => "answered",
        CallEvent::OptOut => "opt_out",
        CallEvent::Callback { .. } => "callback",
        CallEvent::Ended { .. } => "ended",
        CallEvent::Enriched { .. } => "enriched",
        CallEvent::CalledBack { .. } => "called_back",
        _ => "another",
    }
}

#[test]
fn everything_worth_keeping_is_kept() {
    let fields = json!({
        "call_status": "ended", "recording_url": "", "scrubbed_recording_url": "https://r/1", "transcript": "Agent: hi",
        "call_cost": { "combined_cost": 7.25 }, "call_analysis": { "call_successful": true },
        "latency": { "e2e": { "p50": 800.4, "p90": 1200, "p95": 1300, "p99": 1500, "max": 1600.5, "num": 9 } },
    });
    let events = events(&fields, Occasion::Lookup(own().0));
    let Some(CallEvent::Enriched { detail }) = events.last() else { panic!("{events:?}") };
    assert_eq!(detail.cost, Some(Money { micros: 72_500, currency: Currency::USD }));
    assert_eq!(detail.recording_url.as_ref().unwrap().expose(), "https://r/1");
    assert_eq!(detail.transcript.as_ref().unwrap().expose(), "Agent: hi");
    assert_eq!(detail.analysis.as_ref().unwrap().expose()["call_successful"], true);
    let times = ResponseTime { p50_ms: 800, p90_ms: 1200, p99_ms: 1500, max_ms: 1601, answers: 9 };
    assert_eq!(detail.response_time, Some(times));
    for cost in [json!(-1), json!(1e300), json!("7")] {
        let fields = json!({ "call_status": "ended", "call_cost": { "combined_cost": cost } });
        assert!(!events_have_detail(&fields), "{cost}");
    }
}

fn events_have_detail(fields: &Value) -> bool {
    events(fields, Occasion::Lookup(own().0)).iter().any(|event| matches!(event, CallEvent::Enriched { .. }))
}

#[test]
fn calls_are_found_by_our_ids_or_else_by_theirs() {
    let (call_id, run_id) = own();
    let outbound = build::place_call(2).call_id;
    let answering = |fields: Value| {
        let mut answering = json!({ "call_status": "ongoing", "direction": "inbound" });
        for (name, value) in fields.as_object().unwrap() {
            answering[name] = value.clone();
        }
        told(&answering, Occasion::Started)
    };
    let mut metadata = serde_json::to_value(picture(&json!({})).metadata).unwrap();
    metadata["callback_for"] = json!(outbound);
    let updates = answering(json!({ "metadata": metadata }));
    assert_eq!(updates.len(), 2);
    for update in updates {
        assert_eq!(update.call, CallRef::Id(outbound));
        let inbound = InboundRef { call_id, run_id, provider: provider() };
        assert!(matches!(update.event, CallEvent::CalledBack { inbound: of, .. } if of == inbound));
    }
    assert_eq!(answering(json!({ "metadata": null })), [], "somebody called in of whom nothing is known");

    for metadata in [json!({ "run_id": 7 }), json!("theirs"), Value::Null] {
        let strange = json!({ "call_status": "ongoing", "metadata": metadata });
        assert_eq!(told(&strange, Occasion::Started), [], "somebody else placed it");
        let asked = told(&strange, Occasion::Lookup(own().0));
        assert!(asked.len() == 2 && asked.iter().all(|update| update.call == CallRef::Id(own().0)));
    }
}

#[test]
fn a_start_without_times_happens_when_it_is_told() {
    let updates = told(&json!({}), Occasion::Started);
    assert_eq!(updates.len(), 2);
    assert!(updates.iter().all(|update| update.at == build::start()));
    let late = told(&json!({ "end_timestamp": i64::MAX }), Occasion::Ended);
    assert!(late.iter().all(|update| (update.at - build::start()).abs() < TimeDelta::seconds(1)));
}
