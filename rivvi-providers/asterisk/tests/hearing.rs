//! What callees say, heard over real RTP.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod scene;

use std::sync::Arc;
use std::time::Duration;

use rivvi_core::domain::Disposition;
use rivvi_core::provider::{AudioFormat, CallEvent};
use rivvi_provider_asterisk::Hearing;
use scene::tones::Tones;
use scene::{Callee, Console, Scene, actions, disposition};

/// Tells what is heard, and leads on when all of it was said.
const LISTEN: &str = r#"
    start = "listen"
    language = "tones"
    [[nodes]]
    id = "listen"
    type = "listen"
    timeout = "4s"
    phrases = [{ any = ["low mid high mid"], then = "understood" }]
    keys = { 1 = { action = "key" } }
    on_invalid = { retries = 0, action = "invalid" }
    on_timeout = { retries = 0, action = "nothing_heard" }
    [[nodes]]
    id = "understood"
    type = "action"
    action = { type = "understood", parameters = { words = "{{listen}}" } }
"#;

async fn hearing(fails: bool) -> (Scene, Arc<Tones>) {
    let tones = Arc::new(Tones::new(fails));
    let mut options = scene::options();
    options.hearing = Some(Hearing { recognizer: tones.clone(), format: AudioFormat::Linear8k });
    (Scene::open_with(options).await, tones)
}

/// Nothing of a call stays on the server.
async fn gone(scene: &Scene, call: rivvi_core::domain::CallId) {
    scene.pause(Duration::from_millis(500)).await;
    let console = Console::new();
    assert_eq!(console.channels_of(call).await, Vec::<String>::new());
    assert!(!console.get("bridges").await.to_string().contains(&call.to_string()), "no bridge stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_callee_says_is_heard_as_it_is_said() {
    let (scene, tones) = hearing(false).await;
    let (call, told) = scene.talk(Callee::TONES, LISTEN).await;
    assert_eq!(actions(&told), ["understood"]);
    let words = told.iter().find_map(|event| match event {
        CallEvent::Action { parameters, .. } => parameters.expose().get("words").cloned(),
        _ => None,
    });
    assert_eq!(words.as_deref(), Some("low mid high mid"));
    assert_eq!(disposition(&told), Disposition::AnsweredHuman);

    let noted = tones.noted();
    assert_eq!(noted.requests[0].language.as_deref(), Some("tones"));
    assert_eq!(noted.requests[0].hints, ["low mid high mid"]);
    for (word, length) in &noted.words {
        let whole = Duration::from_millis(160)..=Duration::from_millis(240);
        assert!(
            whole.contains(length),
            "{word} of 200 ms lasted {length:?}: something is missing or doubled"
        );
    }
    let heard = Duration::from_secs(1) * u32::try_from(noted.samples).unwrap() / 8000;
    let lasted = noted.last_at.unwrap() - noted.first_at.unwrap();
    let apart = heard.abs_diff(lasted);
    assert!(apart < Duration::from_millis(250), "{heard:?} of audio came in {lasted:?}");
    assert!(heard > Duration::from_millis(2_400), "from the answer on: {heard:?}");
    gone(&scene, call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_and_a_recognizer_that_fails_are_timeouts() {
    let (scene, tones) = hearing(false).await;
    let (call, told) = scene.talk(Callee::SILENT, LISTEN).await;
    assert_eq!(actions(&told), ["nothing_heard"]);
    assert!(tones.noted().samples > 3 * 8000, "silence is heard, too");
    gone(&scene, call).await;
    let (scene, _) = hearing(true).await;
    let (call, told) = scene.talk(Callee::TONES, LISTEN).await;
    assert_eq!(actions(&told), ["nothing_heard"]);
    gone(&scene, call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_end_listening_and_so_does_hanging_up() {
    let (scene, _) = hearing(false).await;
    let (call, told) = scene.talk(Callee::PRESSES_1, LISTEN).await;
    assert_eq!(actions(&told), ["key"]);
    gone(&scene, call).await;
    let (call, told) = scene.talk(Callee::HANGS_UP, LISTEN).await;
    assert_eq!(actions(&told), Vec::<&str>::new());
    gone(&scene, call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_recognizer_only_keys_are_heard() {
    let scene = Scene::open().await;
    let (_, told) = scene.talk(Callee::TONES, LISTEN).await;
    assert_eq!(actions(&told), ["nothing_heard"]);
    let (_, told) = scene.talk(Callee::PRESSES_1, LISTEN).await;
    assert_eq!(actions(&told), ["key"]);
}
