//! Speech that is kept, and the suite for synthesizers on what keeps it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first error")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::TimeDelta;
use futures::future::join_all;
use futures::stream::StreamExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use rivvi_core::clock::{Clock, SystemClock, VirtualClock};
use rivvi_core::provider::{AudioFormat, ProviderErrorKind, SpeechRequest, SpeechSynthesizer};
use rivvi_core::speech::{CachedSpeech, CachedSpeechOptions};
use rivvi_core::storage::{Blobs, object_store};
use rivvi_core::testkit::speech::{ToneFault, ToneSpeech};
use rivvi_core::testkit::{BlobFault, BlobFaults, FaultyBlobs};

mod tone {
    use super::{Arc, SpeechSynthesizer, ToneSpeech};

    async fn tone() -> Arc<dyn SpeechSynthesizer> {
        Arc::new(ToneSpeech::new("tone"))
    }

    rivvi_core::speech_conformance!(tone);
}

mod cached {
    use super::{Arc, CachedSpeech, SpeechSynthesizer, ToneSpeech, memory};

    async fn cached() -> Arc<dyn SpeechSynthesizer> {
        Arc::new(CachedSpeech::new(Arc::new(ToneSpeech::new("tone")), memory()))
    }

    rivvi_core::speech_conformance!(cached);
}

fn memory() -> Blobs {
    Blobs::new(InMemory::new())
}

fn request(text: &str) -> SpeechRequest {
    SpeechRequest::new(text, AudioFormat::Linear8k)
}

fn quick() -> CachedSpeechOptions {
    let mut options = CachedSpeechOptions::default();
    options.store_timeout = Duration::from_millis(100);
    options.synthesis_max = Duration::from_millis(600);
    options
}

/// Everything in the store, by name.
async fn names(blobs: &Blobs) -> Vec<String> {
    let listed: Vec<_> = blobs.store().list(None).collect().await;
    let mut names: Vec<String> = listed.into_iter().map(|meta| meta.unwrap().location.to_string()).collect();
    names.sort();
    names
}

/// Returns once `tone` has been asked so often.
async fn asked(tone: &ToneSpeech, times: usize) {
    let clock = SystemClock::new();
    while tone.asked().len() < times {
        clock.sleep_until(clock.now() + Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_text_is_spoken_once_and_kept() {
    let (tone, blobs) = (ToneSpeech::new("tone"), memory());
    let speech = CachedSpeech::new(Arc::new(tone.clone()), blobs.clone());
    let first = speech.synthesize(&request("Good morning.")).await.unwrap();
    assert_eq!(speech.synthesize(&request("Good morning.")).await.unwrap(), first);
    let names = names(&blobs).await;
    assert!(
        names.len() == 1 && names[0].starts_with("speech/tone/") && names[0].ends_with(".sln"),
        "{names:?}"
    );

    let other_node = CachedSpeech::new(Arc::new(tone.clone()), blobs);
    assert_eq!(other_node.synthesize(&request("Good morning.")).await.unwrap(), first);
    assert_eq!(tone.asked().len(), 1);
    let statistics = speech.statistics();
    assert_eq!((statistics.requests, statistics.memory_hits, statistics.synthesized), (2, 1, 1));
    assert_eq!((statistics.paid.characters, statistics.paid.cost_usd_micros), (13, 13 * 16));
    assert_eq!((other_node.statistics().store_hits, other_node.statistics().synthesized), (1, 0));
}

#[tokio::test]
async fn those_who_want_the_same_at_once_wait_for_one_synthesis() {
    let tone = ToneSpeech::new("tone");
    let speech = CachedSpeech::new(Arc::new(tone.clone()), memory());
    tone.hold();
    let (one, other) = (request("one"), request("other"));
    let wanted = (0..50).map(|number| speech.synthesize(if number % 2 == 0 { &one } else { &other }));
    let release = async {
        asked(&tone, 2).await;
        tone.release();
    };
    let (spoken, ()) = tokio::join!(join_all(wanted), release);
    let spoken: Vec<Bytes> = spoken.into_iter().map(Result::unwrap).collect();
    assert!(spoken.iter().enumerate().all(|(number, speech)| *speech == spoken[number % 2]));
    assert_ne!(spoken[0], spoken[1]);
    assert_eq!(tone.asked().len(), 2);
    assert_eq!(speech.statistics().joined, 48);
}

#[tokio::test]
async fn who_leaves_strands_nobody_and_wastes_nothing() {
    let tone = ToneSpeech::new("tone");
    let speech = CachedSpeech::new(Arc::new(tone.clone()), memory());
    tone.hold();
    let wait = |text: &'static str| {
        let speech = speech.clone();
        tokio::spawn(async move { speech.synthesize(&request(text)).await })
    };
    let (leader, lonely) = (wait("together"), wait("alone"));
    asked(&tone, 2).await;
    let follower = wait("together");
    while speech.statistics().joined == 0 {
        tokio::task::yield_now().await;
    }
    leader.abort();
    lonely.abort();
    tone.release();
    assert!(!follower.await.unwrap().unwrap().is_empty());
    speech.synthesize(&request("alone")).await.unwrap();
    assert_eq!(tone.asked().len(), 2, "what nobody waited for was kept");
}

#[tokio::test]
async fn all_who_wait_are_told_what_went_wrong_and_the_next_one_tries_again() {
    let tone = ToneSpeech::new("tone");
    let speech = CachedSpeech::new(Arc::new(tone.clone()), memory());
    for fault in [ToneFault::Panic, ToneFault::Fail(ProviderErrorKind::RateLimited)] {
        let before = tone.asked().len();
        tone.hold();
        tone.fail_next(fault);
        let request = request(&format!("{fault:?}"));
        let release = async {
            asked(&tone, before + 1).await;
            tone.release();
        };
        let (told, ()) = tokio::join!(join_all((0..8).map(|_| speech.synthesize(&request))), release);
        for error in told.into_iter().map(Result::unwrap_err) {
            let kind = match fault {
                ToneFault::Fail(kind) => kind,
                _ => ProviderErrorKind::Unavailable,
            };
            assert_eq!((error.kind, error.provider.as_str()), (kind, "tone"), "{error:?}");
        }
        assert_eq!(tone.asked().len(), before + 1);
    }
    let refused = speech.synthesize(&request("soon after")).await.unwrap_err();
    assert!(refused.retry_after.is_some(), "it asked to slow down: {refused:?}");
    assert_eq!(speech.statistics().refused, 1);
}

#[tokio::test]
async fn nodes_take_turns() {
    let (tone, blobs) = (ToneSpeech::new("tone"), memory());
    let nodes: Vec<CachedSpeech> =
        (0..4).map(|_| CachedSpeech::new(Arc::new(tone.clone()), blobs.clone())).collect();
    tone.hold();
    let release = async {
        asked(&tone, 8).await;
        let clock = SystemClock::new();
        clock.sleep_until(clock.now() + Duration::from_millis(100)).await;
        tone.release();
    };
    let requests: Vec<SpeechRequest> = (0..8).map(|text| request(&format!("text {text}"))).collect();
    let wanted = nodes.iter().flat_map(|node| requests.iter().map(|request| node.synthesize(request)));
    let (spoken, ()) = tokio::join!(join_all(wanted), release);
    let spoken: Vec<Bytes> = spoken.into_iter().map(Result::unwrap).collect();
    assert!((0..32).all(|place| spoken[place] == spoken[place % 8]));
    assert_eq!(tone.asked().len(), 8, "each text once, on one of four nodes");
    let names = names(&blobs).await;
    assert!(
        names.len() == 8 && names.iter().all(|name| name.ends_with(".sln")),
        "no claim is left: {names:?}"
    );
}

#[tokio::test]
async fn when_one_node_fails_another_tries() {
    let blobs = memory();
    let (broken, whole) = (ToneSpeech::new("tone"), ToneSpeech::new("tone"));
    let node = |tone: &ToneSpeech| CachedSpeech::new(Arc::new(tone.clone()), blobs.clone());
    let (first, second) = (node(&broken), node(&whole));
    broken.hold();
    broken.fail_next(ToneFault::Fail(ProviderErrorKind::Unavailable));
    let text = request("text");
    let later = async {
        asked(&broken, 1).await;
        let release = async {
            let clock = SystemClock::new();
            clock.sleep_until(clock.now() + Duration::from_millis(120)).await;
            assert_eq!(whole.asked().len(), 0, "it waits while the other one tries");
            broken.release();
        };
        tokio::join!(second.synthesize(&text), release).0
    };
    let (failed, spoken) = tokio::join!(first.synthesize(&text), later);
    assert_eq!(failed.unwrap_err().kind, ProviderErrorKind::Unavailable);
    assert!(!spoken.unwrap().is_empty());
}

#[tokio::test]
async fn the_claim_of_a_node_that_died_lapses() {
    let blobs = memory();
    let dead = ToneSpeech::new("tone");
    let dying = CachedSpeech::with_options(Arc::new(dead.clone()), blobs.clone(), quick());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    dead.hold();
    runtime.spawn(async move { dying.synthesize(&request("text")).await });
    asked(&dead, 1).await;
    runtime.shutdown_background();
    assert_eq!(names(&blobs).await.len(), 1, "its claim");

    let tone = ToneSpeech::new("tone");
    let living = CachedSpeech::with_options(Arc::new(tone.clone()), blobs.clone(), quick());
    assert!(!living.synthesize(&request("text")).await.unwrap().is_empty());
    assert_eq!(tone.asked().len(), 1);
    let names = names(&blobs).await;
    assert!(names.len() == 1 && names[0].ends_with(".sln"), "{names:?}");
}

#[tokio::test]
async fn whoever_is_late_uses_what_is_kept() {
    let (tone, blobs) = (ToneSpeech::new("tone"), memory());
    let speech = CachedSpeech::new(Arc::new(tone.clone()), blobs.clone());
    tone.hold();
    let meddle = async {
        asked(&tone, 1).await;
        let claim = names(&blobs).await.remove(0);
        let path = Path::from(claim.strip_suffix(".claim-1").unwrap());
        blobs.store().put(&path, Bytes::from_static(b"of the winner").into()).await.unwrap();
        tone.release();
    };
    let text = request("text");
    let (spoken, ()) = tokio::join!(speech.synthesize(&text), meddle);
    assert_eq!(spoken.unwrap(), Bytes::from_static(b"of the winner"));
    assert_eq!(speech.synthesize(&text).await.unwrap(), Bytes::from_static(b"of the winner"));
    assert_eq!(speech.statistics().lost_races, 1);
}

#[tokio::test]
async fn without_the_blobs_it_speaks_and_after_a_while_asks_no_more() {
    let store = FaultyBlobs::new(
        Arc::new(InMemory::new()),
        1,
        BlobFaults { unavailable: 1.0, ..BlobFaults::default() },
    );
    let clock = Arc::new(VirtualClock::new("2027-06-01T07:00:00Z".parse().unwrap()));
    let mut options = quick();
    options.clock = clock.clone();
    let tone = ToneSpeech::new("tone");
    let speech = CachedSpeech::with_options(Arc::new(tone.clone()), Blobs::new(store.clone()), options);
    for number in 0..20 {
        assert!(!speech.synthesize(&request(&format!("text {number}"))).await.unwrap().is_empty());
    }
    assert_eq!((store.operations(), speech.statistics().store_failures), (5, 5));
    assert!(!speech.synthesize(&request("text 1")).await.unwrap().is_empty());
    assert_eq!(tone.asked().len(), 20, "memory is there");

    store.set_faults(BlobFaults::default());
    clock.advance(Duration::from_secs(31));
    speech.synthesize(&request("new")).await.unwrap();
    assert!(names(&Blobs::new(store)).await.iter().any(|name| name.ends_with(".sln")), "it is asked again");
}

#[tokio::test]
async fn a_store_that_hangs_delays_nobody_for_long() {
    let store = FaultyBlobs::new(Arc::new(InMemory::new()), 1, BlobFaults::default());
    store.fail_at(1, BlobFault::Hang);
    let speech =
        CachedSpeech::with_options(Arc::new(ToneSpeech::new("tone")), Blobs::new(store.clone()), quick());
    let clock = SystemClock::new();
    assert!(!speech.synthesize(&request("text")).await.unwrap().is_empty());
    assert!(clock.monotonic() < Duration::from_secs(2));
    assert_eq!(speech.statistics().store_failures, 1);
}

#[tokio::test]
async fn lost_answers_of_the_store_change_nothing() {
    for seed in 0..20 {
        let faults = BlobFaults { unavailable: 0.2, answer_lost: 0.3 };
        let store = FaultyBlobs::new(Arc::new(InMemory::new()), seed, faults);
        let tone = ToneSpeech::new("tone");
        let node = || CachedSpeech::with_options(Arc::new(tone.clone()), Blobs::new(store.clone()), quick());
        let (one, other) = (node(), node());
        let text = request("text");
        let (first, second) = tokio::join!(one.synthesize(&text), other.synthesize(&text));
        assert_eq!(first.unwrap(), second.unwrap(), "seed {seed}");
    }
}

#[tokio::test]
async fn without_the_synthesizer_it_plays_what_is_kept_and_asks_it_rarely() {
    let (tone, blobs) = (ToneSpeech::new("tone"), memory());
    let clock = Arc::new(VirtualClock::new("2027-06-01T07:00:00Z".parse().unwrap()));
    let mut options = quick();
    options.clock = clock.clone();
    CachedSpeech::new(Arc::new(tone.clone()), blobs.clone()).synthesize(&request("kept")).await.unwrap();
    let speech = CachedSpeech::with_options(Arc::new(tone.clone()), blobs, options);
    tone.set_away(Some(ProviderErrorKind::Timeout));
    for number in 0..20 {
        let error = speech.synthesize(&request(&format!("new {number}"))).await.unwrap_err();
        assert!(matches!(error.kind, ProviderErrorKind::Timeout | ProviderErrorKind::Unavailable));
    }
    assert_eq!(tone.asked().len(), 1 + 5);
    assert_eq!((speech.statistics().failed, speech.statistics().refused), (5, 15));
    assert!(!speech.synthesize(&request("kept")).await.unwrap().is_empty());

    tone.set_away(None);
    clock.advance(TimeDelta::seconds(31).to_std().unwrap());
    for number in 0..3 {
        speech.synthesize(&request(&format!("new {number}"))).await.unwrap();
    }
}

#[tokio::test]
async fn a_synthesis_that_never_ends_is_given_up() {
    let tone = ToneSpeech::new("tone");
    let speech = CachedSpeech::with_options(Arc::new(tone.clone()), memory(), quick());
    tone.fail_next(ToneFault::Hang);
    let error = speech.synthesize(&request("text")).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Timeout);
    speech.synthesize(&request("text")).await.unwrap();
}

#[tokio::test]
async fn a_second_synthesizer_steps_in_with_its_own_voice_and_place() {
    let (first, second, blobs) = (ToneSpeech::new("first"), ToneSpeech::new("second"), memory());
    let mut options = quick();
    options.fallback = Some(Arc::new(second.clone()));
    let speech = CachedSpeech::with_options(Arc::new(first.clone()), blobs.clone(), options);
    let mut text = request("text");
    text.voice = Some("tone".into());
    first.fail_next(ToneFault::Fail(ProviderErrorKind::Unsupported));
    speech.synthesize(&text).await.unwrap();
    assert_eq!(second.asked(), [request("text")], "without the voice of the first");
    assert_eq!(speech.statistics().fallbacks, 1);
    assert!(names(&blobs).await.iter().all(|name| name.starts_with("speech/second/")));
    speech.synthesize(&text).await.unwrap();
    assert_eq!(first.asked().len(), 2, "the first one is asked again");
    assert_eq!(speech.usage().characters, 8);

    first.set_away(Some(ProviderErrorKind::Unavailable));
    second.set_away(Some(ProviderErrorKind::Unsupported));
    let error = speech.synthesize(&request("other")).await.unwrap_err();
    assert_eq!((error.kind, error.provider.as_str()), (ProviderErrorKind::Unavailable, "first"));
}
