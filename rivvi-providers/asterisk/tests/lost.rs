//! Links that are lost and processes that die in the middle of real calls.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod scene;

use std::sync::atomic::Ordering;
use std::time::Duration;

use rivvi_core::domain::{CallId, Disposition};
use rivvi_core::provider::{CallEvent, CallLookup, Delivery, ProviderErrorKind, VoiceProvider};
use rivvi_provider_asterisk::Orphans;
use scene::proxy::Proxy;
use scene::{ASK, Callee, Console, Scene, actions, disposition};

const STAY: &str = "start = 'w'\n[[nodes]]\nid = 'w'\ntype = 'wait'\nduration = '50s'";

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_dead_process_are_hung_up_and_told() {
    let options = scene::options();
    let dead = Scene::open_with(options.clone()).await;
    let (talks, rings) = (dead.request(Callee::SILENT, STAY), dead.request(Callee::RINGS, STAY));
    for request in [&talks, &rings] {
        dead.asterisk.place_call(request).await.unwrap();
    }
    dead.told.answered(talks.call_id).await;
    dead.told.until(rings.call_id, |event| *event == CallEvent::Ringing).await;
    drop(dead);

    let scene = Scene::open_with(options).await;
    let told = scene.told.over(talks.call_id).await;
    assert_eq!(disposition(&told), Disposition::AnsweredHuman);
    let told = scene.told.over(rings.call_id).await;
    assert_eq!(disposition(&told), Disposition::Canceled);
    let console = Console::new();
    for request in [&talks, &rings] {
        assert_eq!(console.channels_of(request.call_id).await, Vec::<String>::new(), "no orphan");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_dead_process_may_go_on() {
    let mut options = scene::options();
    options.orphans = Orphans::LetTalk;
    let dead = Scene::open_with(options.clone()).await;
    let call = dead.place(Callee::SILENT, STAY).await;
    dead.told.answered(call).await;
    // Until its channel is in the application: else Asterisk drops it.
    dead.pause(Duration::from_millis(300)).await;
    drop(dead);

    let scene = Scene::open_with(options).await;
    scene.told.answered(call).await;
    scene.pause(Duration::from_secs(1)).await;
    let console = Console::new();
    assert_eq!(console.channels_of(call).await.len(), 1, "it goes on");
    console.delete(&format!("channels/{call}")).await;
    assert_eq!(disposition(&scene.told.over(call).await), Disposition::AnsweredHuman);
}

/// Connects with whoever stays on the line.
fn transfer() -> String {
    let agent = Callee::HUMAN.number().expose();
    format!(
        "start = 't'\n[[nodes]]\nid = 't'\ntype = 'transfer'\nto = '{agent}'\ntimeout = '20s'\n\
         on_no_answer = {{ action = 'no_answer' }}\non_failed = {{ action = 'failed' }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_of_a_dead_process_goes_on_until_one_of_them_hangs_up() {
    let console = Console::new();
    for leaves in ["-a", ""] {
        let mut options = scene::options();
        options.orphans = Orphans::LetTalk;
        let dead = Scene::open_with(options.clone()).await;
        let call = dead.place(Callee::SILENT, &transfer()).await;
        console.until_bridged(&dead.clock, call, 2).await;
        drop(dead);
        let scene = Scene::open_with(options).await;
        scene.told.answered(call).await;
        scene.pause(Duration::from_millis(500)).await;
        console.until_bridged(&scene.clock, call, 2).await;
        let channels = console.channels_of(call).await;
        let leaving = channels.iter().find(|id| match leaves {
            "" => **id == call.to_string(),
            agent => id.contains(&format!("{call}{agent}")),
        });
        console.delete(&format!("channels/{}", leaving.unwrap())).await;
        assert_eq!(disposition(&scene.told.over(call).await), Disposition::AnsweredHuman);
        console.until_bridged(&scene.clock, call, 0).await;
        scene.pause(Duration::from_millis(300)).await;
        assert_eq!(console.channels_of(call).await, Vec::<String>::new(), "both are gone");
        assert!(console.bridges_of(call).await.is_empty(), "and so is the bridge");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_transfer_of_a_dead_process_stays() {
    let (console, options) = (Console::new(), scene::options());
    let dead = Scene::open_with(options.clone()).await;
    let talks = dead.place(Callee::SILENT, &transfer()).await;
    let ended = dead.place(Callee::SILENT, &transfer()).await;
    for call in [talks, ended] {
        console.until_bridged(&dead.clock, call, 2).await;
    }
    drop(dead);
    for channel in console.channels_of(ended).await {
        console.delete(&format!("channels/{channel}")).await;
    }
    assert_eq!(console.bridges_of(ended).await.len(), 1, "nobody takes it down");
    let scene = Scene::open_with(options).await;
    assert_eq!(disposition(&scene.told.over(talks).await), Disposition::AnsweredHuman);
    scene.pause(Duration::from_millis(300)).await;
    for call in [talks, ended] {
        assert_eq!(console.channels_of(call).await, Vec::<String>::new());
        assert!(console.bridges_of(call).await.is_empty());
    }
}

/// A call whose agent is being called and answers in half a second.
async fn calls_agent(scene: &Scene) -> CallId {
    let call = scene.place(Callee::SILENT, &transfer()).await;
    scene.told.answered(call).await;
    while Console::new().channels_of(call).await.len() < 2 {
        scene.pause(Duration::from_millis(10)).await;
    }
    scene.pause(Duration::from_millis(200)).await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_who_answers_unheard_is_connected() {
    let (console, proxy) = (Console::new(), Proxy::open().await);
    let scene = Scene::open_at(&proxy.url(), scene::options()).await;
    let call = calls_agent(&scene).await;
    proxy.hold(true);
    scene.pause(Duration::from_secs(13)).await;
    proxy.hold(false);
    console.until_bridged(&scene.clock, call, 2).await;
    let channels = console.channels_of(call).await;
    let agent = channels.iter().find(|id| **id != call.to_string()).unwrap();
    console.delete(&format!("channels/{agent}")).await;
    assert_eq!(disposition(&scene.told.over(call).await), Disposition::AnsweredHuman);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whom_asterisk_drops_while_the_link_is_lost_has_failed() {
    let proxy = Proxy::open().await;
    let scene = Scene::open_at(&proxy.url(), scene::options()).await;
    let call = calls_agent(&scene).await;
    proxy.cut_for(Duration::from_secs(2)).await;
    let told = scene.told.over(call).await;
    assert_eq!(actions(&told), ["failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_end_was_not_stored_is_found_as_it_ended_and_not_placed_again() {
    let options = scene::options();
    let dead = Scene::open_with(options.clone()).await;
    dead.told.away.store(true, Ordering::Relaxed);
    let mut requests = vec![];
    for (callee, expected) in [
        (Callee::BUSY, Disposition::Busy),
        (Callee::REJECTS, Disposition::Rejected),
        (Callee::HANGS_UP, Disposition::AnsweredHuman),
    ] {
        let request = dead.request(callee, STAY);
        dead.asterisk.place_call(&request).await.unwrap();
        requests.push((request, expected));
    }
    dead.pause(Duration::from_secs(3)).await;
    drop(dead);

    let scene = Scene::open_with(options).await;
    let console = Console::new();
    for (request, expected) in requests {
        let found = scene.asterisk.find_call(&scene.query(&request)).await.unwrap();
        let CallLookup::Found(updates) = found else { panic!("{expected:?}: it is not found") };
        let events: Vec<CallEvent> = updates.into_iter().map(|update| update.event).collect();
        assert_eq!(disposition(&events), expected);
        scene.asterisk.place_call(&request).await.unwrap();
        assert_eq!(
            console.channels_of(request.call_id).await,
            Vec::<String>::new(),
            "it is not placed again"
        );
        assert_eq!(console.records_of(request.call_id).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_never_placed_is_not_found() {
    let scene = Scene::open().await;
    let request = scene.request(Callee::SILENT, STAY);
    // As far from the start of a server that was just started as clocks may differ.
    let mut late = scene.query(&request);
    late.intended_at += chrono::TimeDelta::minutes(1);
    assert_eq!(scene.asterisk.find_call(&late).await.unwrap(), CallLookup::NotFound);
    let mut old = scene.query(&request);
    old.intended_at -= chrono::TimeDelta::days(30);
    let found = scene.asterisk.find_call(&old).await.unwrap();
    let CallLookup::Found(updates) = found else { panic!("the server may have forgotten it") };
    let events: Vec<CallEvent> = updates.into_iter().map(|update| update.event).collect();
    assert_eq!(
        disposition(&events),
        Disposition::Unknown,
        "what a server knew before it was restarted is not known"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_link_is_mended_and_what_was_missed_is_told() {
    let proxy = Proxy::open().await;
    let scene = Scene::open_at(&proxy.url(), scene::options()).await;
    let stays = scene.place(Callee::PRESSES_9, ASK).await;
    let missed = scene.place(Callee::HANGS_UP, STAY).await;
    scene.told.answered(missed).await;
    proxy.cut_for(Duration::from_millis(1_700)).await;
    assert!(!scene.asterisk.servers()[0].connected);
    let refused = scene.asterisk.place_call(&scene.request(Callee::SILENT, STAY)).await.unwrap_err();
    assert_eq!((refused.kind, refused.delivery), (ProviderErrorKind::Unavailable, Delivery::NotSent));
    assert_eq!(disposition(&scene.told.over(missed).await), Disposition::AnsweredHuman, "it ended meanwhile");
    let told = scene.told.over(stays).await;
    assert_eq!(disposition(&told), Disposition::AnsweredHuman, "it went on");
    let (_, told) = scene.talk(Callee::PRESSES_1, ASK).await;
    assert_eq!(actions(&told), ["trigger_donation"], "calls are placed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_says_nothing_is_given_up() {
    let proxy = Proxy::open().await;
    let scene = Scene::open_at(&proxy.url(), scene::options()).await;
    let call = scene.place(Callee::HANGS_UP, STAY).await;
    scene.told.answered(call).await;
    proxy.hold(true);
    scene.pause(Duration::from_secs(13)).await;
    assert!(!scene.asterisk.servers()[0].connected, "neither event nor sign of life came");
    proxy.hold(false);
    assert_eq!(disposition(&scene.told.over(call).await), Disposition::AnsweredHuman);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_or_drained_slows_down_and_fails_nobody() {
    let server = |calls_max| {
        let mut server = rivvi_provider_asterisk::AsteriskServer::new("pbx1", &scene::url()).unwrap();
        server.calls_max = calls_max;
        server
    };
    let clock = std::sync::Arc::new(rivvi_core::clock::SystemClock::new());
    let asterisk =
        rivvi_provider_asterisk::Asterisk::new(scene::options(), [server(Some(1))], clock.clone()).unwrap();
    let told = scene::Told::new();
    asterisk.connect(told.clone()).await.unwrap();
    let scene = Scene { asterisk, told, clock, app: String::new() };
    let first = scene.place(Callee::SILENT, STAY).await;
    let second = scene.request(Callee::SILENT, STAY);
    let error = scene.asterisk.place_call(&second).await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ProviderErrorKind::RateLimited, Delivery::NotSent));
    assert!(error.retry_after.is_some());
    scene.told.answered(first).await;
    Console::new().delete(&format!("channels/{first}")).await;
    scene.told.over(first).await;
    scene.pause(Duration::from_millis(100)).await;

    assert!(scene.asterisk.drain("pbx1", true) && !scene.asterisk.drain("pbx2", true));
    let error = scene.asterisk.place_call(&second).await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ProviderErrorKind::Unavailable, Delivery::NotSent));
    scene.asterisk.drain("pbx1", false);
    scene.asterisk.place_call(&second).await.unwrap();
    scene.told.answered(second.call_id).await;
    scene.asterisk.hang_up(&scene.query(&second)).await.unwrap();
    scene.told.over(second.call_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_lacks_needs_a_person() {
    let mut options = scene::options();
    options.endpoint = "PJSIP/{number}@no-such-trunk".into();
    let scene = Scene::open_with(options).await;
    let error = scene.asterisk.place_call(&scene.request(Callee::SILENT, STAY)).await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ProviderErrorKind::InvalidRequest, Delivery::NotSent));

    let wrong = scene::url().replace("rivvi:", "rivvi:wrong");
    let server = rivvi_provider_asterisk::AsteriskServer::new("pbx1", &wrong).unwrap();
    let clock = std::sync::Arc::new(rivvi_core::clock::SystemClock::new());
    let asterisk = rivvi_provider_asterisk::Asterisk::new(scene::options(), [server], clock).unwrap();
    let error = asterisk.connect(scene::Told::new()).await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (ProviderErrorKind::Unauthorized, Delivery::NotSent));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_dialplan_lacks_is_told() {
    let scene = Scene::open().await;
    assert_eq!(scene.asterisk.servers()[0].missing, Vec::<String>::new());
    let mut options = scene::options();
    options.context = "callees".into();
    options.agents_context = Some("nobody".into());
    let scene = Scene::open_with(options).await;
    assert_eq!(scene.asterisk.servers()[0].missing, ["callees,detect,1", "callees,ended,1", "nobody"]);
    let left = Console::new().get("channels").await;
    assert!(!left.to_string().contains("rivvi-check"), "{left}");
}
