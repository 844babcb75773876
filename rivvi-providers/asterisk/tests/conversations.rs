//! What flows do in real calls: detect, leave a message, transfer, record, speak.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod scene;

use std::sync::Arc;
use std::time::Duration;

use rivvi_core::domain::Disposition;
use rivvi_core::provider::{ActionResult, Answerer, AudioFormat, CallEvent, VoiceProvider};
use rivvi_core::storage::Blobs;
use rivvi_core::storage::object_store::{ObjectStoreExt, path::Path};
use rivvi_provider_asterisk::{Speech, SpeechMedia};
use rivvi_provider_espeak::Espeak;
use scene::{Callee, Console, Scene, actions, answered_by, disposition, talk_time};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Finds out who answered, and leaves a message at the end of a greeting.
const DETECT: &str = r#"
    start = "who"
    [[nodes]]
    id = "who"
    type = "detect"
    timeout = "40s"
    on_human = { action = "human" }
    on_unknown = { action = "unknown" }
    on_voicemail = { action = "voicemail", next = "message" }
    [[nodes]]
    id = "message"
    type = "play_audio"
    audio = "sound:demo-congrats"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn humans_and_silence_are_told_apart() {
    let scene = Scene::open().await;
    let (_, human) = scene.talk(Callee::HUMAN, DETECT).await;
    assert_eq!(actions(&human), ["human"]);
    assert_eq!(answered_by(&human), [Answerer::Unknown, Answerer::Human]);
    assert_eq!(disposition(&human), Disposition::AnsweredHuman);
    let (_, silent) = scene.talk(Callee::SILENT, DETECT).await;
    assert_eq!(actions(&silent), ["unknown"]);
    assert_eq!(answered_by(&silent), [Answerer::Unknown]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voicemail_gets_its_message_after_the_beep() {
    let scene = Scene::open().await;
    let request = scene.request(Callee::VOICEMAIL, DETECT);
    scene.asterisk.place_call(&request).await.unwrap();
    let told = scene.told.over(request.call_id).await;
    assert_eq!(actions(&told), ["voicemail"]);
    assert_eq!(answered_by(&told), [Answerer::Unknown, Answerer::Machine]);
    assert_eq!(disposition(&told), Disposition::Voicemail);
    // What the voicemail recorded after its beep: the whole message and nothing else.
    let digits = request.to.expose().trim_start_matches('+').to_owned();
    scene.pause(Duration::from_secs(1)).await;
    let recorded = Console::new().recording(&format!("voicemail-{digits}")).await;
    let loud = loud_seconds(&recorded);
    assert!((20.0..40.0).contains(&loud), "the message of 30 s was recorded for {loud} s");
}

/// A transfer, and what comes of it.
fn transfer(to: &str) -> String {
    format!(
        r#"
        start = "agent"
        [[nodes]]
        id = "agent"
        type = "transfer"
        to = "{to}"
        timeout = "2s"
        on_busy = {{ action = "busy" }}
        on_no_answer = {{ action = "no_answer" }}
        on_failed = {{ action = "failed" }}
        next = "after"
        [[nodes]]
        id = "after"
        type = "action"
        action = {{ type = "after", parameters = {{ agent = "{{{{agent}}}}" }} }}
    "#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_speaks_with_the_callee_and_the_flow_goes_on_after() {
    let scene = Scene::open().await;
    let agent = Callee::HANGS_UP.number().expose();
    let call = scene.place(Callee::SILENT, &transfer(&agent)).await;
    scene.told.answered(call).await;
    scene.pause(Duration::from_millis(900)).await;
    let console = Console::new();
    let bridges = console.get("bridges").await;
    let own = |bridge: &&serde_json::Value| bridge["id"].as_str().unwrap().starts_with(&call.to_string());
    let bridge = bridges.as_array().unwrap().iter().find(own).expect("there is a bridge").clone();
    assert_eq!(bridge["channels"].as_array().unwrap().len(), 2, "{bridge}");
    let told = scene.told.over(call).await;
    assert_eq!(actions(&told), ["after"]);
    assert_eq!(disposition(&told), Disposition::AnsweredHuman);
    let left = console.get("bridges").await;
    assert!(left.as_array().unwrap().iter().find(own).is_none(), "the bridge is taken down");
    assert_eq!(console.channels_of(call).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_who_cannot_be_had_lead_elsewhere() {
    let scene = Scene::open().await;
    for (agent, expected) in [
        (Callee::BUSY, "busy"),
        (Callee::REJECTS, "busy"),
        (Callee::RINGS, "no_answer"),
        (Callee::UNALLOCATED, "failed"),
    ] {
        let (call, told) = scene.talk(Callee::SILENT, &transfer(&agent.number().expose())).await;
        assert_eq!(actions(&told), [expected, "after"], "{agent:?}");
        assert_eq!(Console::new().channels_of(call).await, Vec::<String>::new());
    }
    let (_, told) = scene.talk(Callee::SILENT, &transfer("nobody@elsewhere/x")).await;
    assert_eq!(actions(&told), ["failed", "after"], "what is no address is not dialled");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agents_channel_ends_with_the_callee() {
    let scene = Scene::open().await;
    let agent = Callee::HUMAN.number().expose();
    let call = scene.place(Callee::HANGS_UP, &transfer(&agent)).await;
    scene.told.over(call).await;
    scene.pause(Duration::from_millis(500)).await;
    assert_eq!(Console::new().channels_of(call).await, Vec::<String>::new());
}

const RECORD: &str = r#"
    start = "record"
    [[nodes]]
    id = "record"
    type = "record"
    max_duration = "8s"
    silence = "2s"
    beep = false
    on_failed = { action = "failed" }
    next = "note"
    [[nodes]]
    id = "note"
    type = "action"
    action = { type = "note", parameters = { place = "{{record}}" } }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_callee_says_is_kept_in_the_blob_store() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = scene::options();
    options.recordings = Some(Blobs::in_folder(folder.path()).unwrap());
    let store = options.recordings.clone().unwrap();
    let scene = Scene::open_with(options).await;
    let (call, told) = scene.talk(Callee::SPEAKS, RECORD).await;
    let place = told.iter().find_map(|event| match event {
        CallEvent::Action { parameters, .. } => parameters.expose().get("place").cloned(),
        _ => None,
    });
    let place = place.expect("the flow knows the place");
    assert!(place.contains(&call.to_string()) && place.starts_with("call-recordings/"), "{place}");
    assert!(enriched(&told).contains(&place), "and so does the engine");
    let recorded = store.store().get(&Path::from(place)).await.unwrap().bytes().await.unwrap();
    let loud = loud_seconds(&recorded);
    assert!((1.0..6.0).contains(&loud), "{loud} s of speech");
    let left = Console::new().get("recordings/stored").await;
    assert!(!left.to_string().contains(&call.to_string()), "nothing stays on the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_cut_short_by_hanging_up_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = scene::options();
    options.recordings = Some(Blobs::in_folder(folder.path()).unwrap());
    let scene = Scene::open_with(options).await;
    let call = scene.place(Callee::HANGS_UP, RECORD).await;
    let told = scene.told.until(call, |event| matches!(event, CallEvent::Enriched { .. })).await;
    assert_eq!(disposition(&scene.told.over(call).await), Disposition::AnsweredHuman);
    assert_eq!(enriched(&told).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_call_is_recorded_with_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = scene::options();
    options.recordings = Some(Blobs::in_folder(folder.path()).unwrap());
    options.record_calls = true;
    let store = options.recordings.clone().unwrap();
    let scene = Scene::open_with(options).await;
    // The callee stays silent, so what is heard is ours.
    let flow = "start = 'p'\n[[nodes]]\nid = 'p'\ntype = 'play_audio'\naudio = 'sound:vm-intro'";
    let call = scene.place(Callee::SILENT, flow).await;
    let told = scene.told.until(call, |event| matches!(event, CallEvent::Enriched { .. })).await;
    let place = enriched(&told).pop().unwrap();
    let recorded = store.store().get(&Path::from(place)).await.unwrap().bytes().await.unwrap();
    let loud = loud_seconds(&recorded);
    assert!((3.0..7.0).contains(&loud), "our prompt of 5 s is heard for {loud} s");
    scene.pause(Duration::from_millis(300)).await;
    assert_eq!(Console::new().channels_of(call).await, Vec::<String>::new());
}

const SPEAK: &str = r#"
    start = "say"
    language = "en"
    [[nodes]]
    id = "say"
    type = "say"
    text = "Good morning. This is a call of {{hotel|the North Clinic}}, to remind you of your appointment tomorrow."
"#;

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_spoken_through_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = scene::options();
    let here = folder.path().to_owned();
    let media = SpeechMedia::Folder { there: here.to_str().unwrap().to_owned(), here };
    options.speech =
        Some(Speech { synthesizer: Arc::new(Espeak::new()), format: AudioFormat::Linear8k, media });
    let scene = Scene::open_with(options).await;
    for _ in 0..2 {
        let (_, told) = scene.talk(Callee::SILENT, SPEAK).await;
        let talked = talk_time(&told).unwrap();
        assert!((Duration::from_secs(4)..Duration::from_secs(12)).contains(&talked), "{talked:?}");
    }
    let files: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 1, "what was spoken once is kept: {files:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_spoken_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let store = Blobs::in_folder(folder.path()).unwrap();
    let (base_url, fetched) = web_server(store.clone()).await;
    let mut options = scene::options();
    let media = SpeechMedia::Web { store, base_url };
    options.speech =
        Some(Speech { synthesizer: Arc::new(Espeak::new()), format: AudioFormat::Linear8k, media });
    let scene = Scene::open_with(options).await;
    let (_, told) = scene.talk(Callee::SILENT, SPEAK).await;
    let talked = talk_time(&told).unwrap();
    assert!((Duration::from_secs(4)..Duration::from_secs(12)).contains(&talked), "{talked:?}");
    assert!(*fetched.borrow() > 0, "Asterisk fetched it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_without_speech_and_a_missing_sound_do_not_hold_the_call_up() {
    let scene = Scene::open().await;
    let missing = "start = 'p'\n[[nodes]]\nid = 'p'\ntype = 'play_audio'\naudio = 'no-such-sound'";
    for flow in [SPEAK, missing] {
        let (_, told) = scene.talk(Callee::SILENT, flow).await;
        assert!(talk_time(&told).unwrap() < Duration::from_secs(2), "{told:?}");
        assert_eq!(disposition(&told), Disposition::AnsweredHuman);
    }
}

fn enriched(told: &[CallEvent]) -> Vec<String> {
    let places = told.iter().filter_map(|event| match event {
        CallEvent::Enriched { detail } => detail.recording_url.as_ref().map(|place| place.expose().clone()),
        _ => None,
    });
    places.collect()
}

/// How much of a WAV file with 8000 samples a second is not silent, in pieces of 50 ms.
fn loud_seconds(wave: &[u8]) -> f64 {
    assert_eq!(&wave[..4], b"RIFF");
    let samples: Vec<i16> =
        wave[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
    let loud =
        samples.chunks(400).filter(|piece| piece.iter().any(|sample| sample.unsigned_abs() > 300)).count();
    loud as f64 * 0.05
}

/// Gives the files of a store out, and counts how often.
async fn web_server(store: Blobs) -> (String, tokio::sync::watch::Receiver<usize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, counted) = tokio::sync::watch::channel(0);
    let count = Arc::new(count);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (store, count) = (store.clone(), count.clone());
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap();
                let text = String::from_utf8_lossy(&request[..length]).into_owned();
                let mut words = text.split_whitespace();
                let (method, path) = (words.next().unwrap(), words.next().unwrap().trim_start_matches('/'));
                let answer = match store.store().get(&Path::from(path)).await {
                    Ok(found) => {
                        let body = found.bytes().await.unwrap();
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                            body.len()
                        );
                        let body = if method == "HEAD" { &[] } else { &body[..] };
                        [head.as_bytes(), body].concat()
                    }
                    Err(_) => {
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec()
                    }
                };
                stream.write_all(&answer).await.unwrap();
                count.send_modify(|count| *count += 1);
            });
        }
    });
    (format!("http://{address}"), counted)
}

/// Asks the host for the next free day, and tells it to the callee.
const BOOK: &str = r#"
    start = "book"
    [[nodes]]
    id = "book"
    type = "action"
    action = { type = "book", parameters = { month = "May" } }
    wait_for_result = "8s"
    next = "told"
    on_failed = { action = "failed" }
    [[nodes]]
    id = "told"
    type = "action"
    action = { type = "told", parameters = { day = "{{book.day}}" } }
"#;

/// The key and the parameters of the action of this name.
fn asked_for(
    told: &[CallEvent],
    wanted: &str,
) -> Option<(String, std::collections::BTreeMap<String, String>)> {
    told.iter().find_map(|event| match event {
        CallEvent::Action { key, name, parameters } if name == wanted => {
            Some((key.clone(), parameters.expose().clone()))
        }
        _ => None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_goes_on_with_what_an_action_gives_back_to_whichever_process() {
    let (leads, other) = (Scene::open().await, Scene::open().await);
    for tells in [&leads, &other] {
        let request = leads.request(Callee::SILENT, BOOK);
        leads.asterisk.place_call(&request).await.unwrap();
        let asks = |event: &CallEvent| matches!(event, CallEvent::Action { .. });
        let (key, _) = asked_for(&leads.told.until(request.call_id, asks).await, "book").unwrap();
        let result = ActionResult::done().with("day", "3 במאי");
        let query = leads.query(&request);
        tells.asterisk.action_result(&query, "another", &ActionResult::failed()).await.unwrap();
        for _ in 0..2 {
            tells.asterisk.action_result(&query, &key, &result).await.unwrap();
        }
        let told = leads.told.over(request.call_id).await;
        assert_eq!(actions(&told), ["book", "told"]);
        assert_eq!(asked_for(&told, "told").unwrap().1["day"], "3 במאי");
        tells.asterisk.action_result(&query, &key, &result).await.unwrap();
    }
}
