//! Real calls to every callee of the test network: SIP, RTP and RFC 4733 digits.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod scene;

use std::time::Duration;

use rivvi_core::domain::Disposition;
use rivvi_core::provider::{Answerer, CallEvent, VoiceProvider};
use scene::{ASK, Callee, Console, Scene, actions, answered_by, disposition, talk_time};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_runs_its_action_once_and_the_record_agrees() {
    let scene = Scene::open().await;
    let (call, told) = scene.talk(Callee::PRESSES_1, ASK).await;
    assert_eq!(actions(&told), ["trigger_donation"]);
    assert_eq!(disposition(&told), Disposition::AnsweredHuman);
    assert_eq!(told[..2], [CallEvent::Ringing, CallEvent::Answered { by: Answerer::Unknown }]);
    let talked = talk_time(&told).unwrap();
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(8)).contains(&talked),
        "it ends when the flow does: {talked:?}"
    );
    let console = Console::new();
    assert_eq!(console.records_of(call).await, ["ANSWERED"]);
    assert_eq!(console.channels_of(call).await, Vec::<String>::new());
    scene.pause(Duration::from_millis(300)).await;
    assert_eq!(
        console.global(&format!("RIVVI_CALL_{call}")).await,
        "",
        "what was told need not be remembered"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn media_flows_both_ways() {
    let scene = Scene::open().await;
    let call = scene.place(Callee::SPEAKS, ASK).await;
    scene.told.answered(call).await;
    scene.pause(Duration::from_secs(2)).await;
    let statistics = Console::new().get(&format!("channels/{call}/rtp_statistics")).await;
    for count in ["txcount", "rxcount"] {
        assert!(statistics[count].as_u64().unwrap() > 50, "{statistics}");
    }
    assert_eq!(statistics["rxploss"].as_u64(), Some(0), "{statistics}");
    scene.told.over(call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_interrupts_the_prompt() {
    let scene = Scene::open().await;
    let (_, told) = scene.talk(Callee::PRESSES_AT_ONCE, ASK).await;
    assert_eq!(actions(&told), ["trigger_donation"]);
    let talked = talk_time(&told).unwrap();
    // The prompt alone lasts 5 s, the good bye 1.5 s.
    assert!(talked < Duration::from_secs(4), "{talked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_opt_out_key_opts_out() {
    let scene = Scene::open().await;
    let (_, told) = scene.talk(Callee::PRESSES_9, ASK).await;
    let opt_outs = told.iter().filter(|event| **event == CallEvent::OptOut).count();
    assert_eq!((opt_outs, actions(&told)), (1, vec![]));
    assert_eq!(disposition(&told), Disposition::AnsweredHuman);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_asked_again() {
    let scene = Scene::open().await;
    let (_, told) = scene.talk(Callee::WRONG_KEY_FIRST, ASK).await;
    assert_eq!(actions(&told), ["trigger_donation"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_with_pauses_make_an_entry() {
    let scene = Scene::open().await;
    let flow = r#"
        start = "code"
        [[nodes]]
        id = "code"
        type = "capture_input"
        audio = "sound:vm-intro"
        min = 4
        max = 6
        timeout = "5s"
        next = "note"
        [[nodes]]
        id = "note"
        type = "action"
        action = { type = "note", parameters = { code = "{{code}}" } }
    "#;
    let (_, told) = scene.talk(Callee::KEYS_WITH_PAUSES, flow).await;
    let code = told.iter().find_map(|event| match event {
        CallEvent::Action { parameters, .. } => parameters.expose().get("code").cloned(),
        _ => None,
    });
    assert_eq!(code.as_deref(), Some("1234"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_runs_its_action() {
    let scene = Scene::open().await;
    let (_, told) = scene.talk(Callee::SILENT, ASK).await;
    assert_eq!(actions(&told), ["nothing_heard"]);
    assert_eq!(disposition(&told), Disposition::AnsweredHuman);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_reached_is_told_as_the_network_says() {
    let scene = Scene::open().await;
    let cases = [
        (Callee::BUSY, Disposition::Busy, "BUSY"),
        (Callee::CONGESTED, Disposition::Failed, "CONGESTION"),
        (Callee::REJECTS, Disposition::Rejected, "NO ANSWER"),
        (Callee::UNALLOCATED, Disposition::InvalidNumber, "NO ANSWER"),
        (Callee::CHANGED, Disposition::InvalidNumber, "NO ANSWER"),
        (Callee::OUT_OF_ORDER, Disposition::Failed, "NO ANSWER"),
        (Callee::ABSENT, Disposition::NoAnswer, "NO ANSWER"),
    ];
    let console = Console::new();
    for (callee, expected, record) in cases {
        let (call, told) = scene.talk(callee, ASK).await;
        assert_eq!(disposition(&told), expected, "{callee:?}: {told:?}");
        assert!(answered_by(&told).is_empty(), "{callee:?}");
        assert_eq!(talk_time(&told), None);
        assert_eq!(console.records_of(call).await, [record], "{callee:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ringing_ends_with_its_time() {
    let scene = Scene::open().await;
    let mut request = scene.request(Callee::RINGS, ASK);
    request.ring_timeout = Duration::from_secs(2);
    scene.asterisk.place_call(&request).await.unwrap();
    let told = scene.told.over(request.call_id).await;
    assert_eq!(told[0], CallEvent::Ringing);
    assert_eq!(disposition(&told), Disposition::NoAnswer);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_behind_the_trunk_is_a_failure_not_a_callee_who_does_not_answer() {
    let mut options = scene::options();
    options.endpoint = "PJSIP/{number}@nowhere".into();
    let scene = Scene::open_with(options).await;
    let mut request = scene.request(Callee::RINGS, ASK);
    request.ring_timeout = Duration::from_secs(2);
    scene.asterisk.place_call(&request).await.unwrap();
    let told = scene.told.over(request.call_id).await;
    assert_eq!(disposition(&told), Disposition::Failed, "{told:?}");
    assert!(!told.contains(&CallEvent::Ringing));
}

#[tokio::test(flavor = "multi_thread")]
async fn we_may_end_a_call_that_rings() {
    let scene = Scene::open().await;
    let request = scene.request(Callee::RINGS, ASK);
    scene.asterisk.place_call(&request).await.unwrap();
    scene.told.until(request.call_id, |event| *event == CallEvent::Ringing).await;
    scene.asterisk.hang_up(&scene.query(&request)).await.unwrap();
    assert_eq!(disposition(&scene.told.over(request.call_id).await), Disposition::Canceled);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callee_hangs_up_in_the_prompt_and_another_is_dropped_by_the_network() {
    let scene = Scene::open().await;
    for callee in [Callee::HANGS_UP, Callee::DROPPED] {
        let (_, told) = scene.talk(callee, ASK).await;
        assert_eq!(disposition(&told), Disposition::AnsweredHuman, "{callee:?}: {told:?}");
        assert!(talk_time(&told).unwrap() < Duration::from_secs(3));
        assert_eq!(actions(&told), Vec::<&str>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_when_it_has_lasted_long_enough() {
    let scene = Scene::open().await;
    let mut request =
        scene.request(Callee::SILENT, "start = 'w'\n[[nodes]]\nid = 'w'\ntype = 'wait'\nduration = '50s'");
    request.max_duration = Duration::from_secs(2);
    scene.asterisk.place_call(&request).await.unwrap();
    let told = scene.told.over(request.call_id).await;
    assert_eq!(disposition(&told), Disposition::AnsweredHuman);
    let talked = talk_time(&told).unwrap();
    assert!((Duration::from_millis(1_900)..Duration::from_millis(3_000)).contains(&talked), "{talked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_the_dialplan_talks_if_there_is_no_flow() {
    let scene = Scene::open().await;
    let mut request = scene.request(Callee::SILENT, ASK);
    (request.flow, request.agent_id) = (None, Some("reminder".into()));
    scene.asterisk.place_call(&request).await.unwrap();
    let told = scene.told.over(request.call_id).await;
    assert_eq!(disposition(&told), Disposition::AnsweredHuman);
    let talked = talk_time(&told).unwrap();
    assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&talked), "{talked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_pressed_in_the_callees_own_menu() {
    let scene = Scene::open().await;
    let flow = r#"
        start = "listen"
        [[nodes]]
        id = "listen"
        type = "wait"
        duration = "2s"
        next = "press"
        [[nodes]]
        id = "press"
        type = "send_dtmf"
        digits = "w2"
        next = "stay"
        [[nodes]]
        id = "stay"
        type = "wait"
        duration = "2s"
    "#;
    let request = scene.request(Callee::MENU, flow);
    scene.asterisk.place_call(&request).await.unwrap();
    scene.told.over(request.call_id).await;
    let digits = request.to.expose().trim_start_matches('+').to_owned();
    assert_eq!(Console::new().global(&format!("RIVVI_TEST_REACHED_{digits}")).await, "yes");
}
