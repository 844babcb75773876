//! The suite for synthesizers, and faults, on a scripted server that answers as Polly is documented to.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::provider::{AudioFormat, Delivery, ProviderErrorKind, SpeechRequest, SpeechSynthesizer};
use rivvi_core::speech::CachedSpeech;
use rivvi_core::storage::{Blobs, object_store::memory::InMemory};
use rivvi_core::testkit::http::{FarSide, HttpFault, response};
use rivvi_provider_polly::{Polly, PollyEngine, PollyOptions};
use serde_json::Value;

/// The voices that this one has.
const VOICES: [&str; 3] = ["Joanna", "Amy", "Kajal"];

fn refusal(status: u16, code: &str, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "message": message }).to_string();
    response(status, &[("x-amzn-errortype", code), ("content-type", "application/json")], &body)
}

fn body(request: &Request<Bytes>) -> Value {
    serde_json::from_slice(request.body()).unwrap()
}

/// 60 ms of samples, which tell the sign, for each sign.
fn speak(text: &str, rate: u32) -> Vec<u8> {
    let sound =
        |sign: char| vec![u8::try_from(u32::from(sign) % 251).unwrap(); rate as usize * 60 / 1_000 * 2];
    text.chars().flat_map(sound).collect()
}

fn polly(request: &Request<Bytes>) -> Response<Bytes> {
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/v1/speech"));
    assert!(request.headers()["authorization"].to_str().unwrap().starts_with("AWS4-HMAC-SHA256 "));
    let asked = body(request);
    let text = asked["Text"].as_str().unwrap();
    assert_eq!(asked["OutputFormat"], "pcm");
    if !VOICES.contains(&asked["VoiceId"].as_str().unwrap()) {
        let message = format!("1 validation error detected: Value at 'voiceId' for {text}");
        return refusal(400, "ValidationException", &message);
    }
    if text.chars().count() > 6_000 || (asked["TextType"] == "text" && text.chars().count() > 3_000) {
        return refusal(400, "TextLengthExceededException", "Maximum text length has been exceeded");
    }
    if asked["TextType"] == "ssml" && !text.starts_with("<speak>") {
        return refusal(400, "InvalidSsmlException", "Invalid SSML request");
    }
    let rate: u32 = asked["SampleRate"].as_str().unwrap().parse().unwrap();
    let characters = text.chars().count().to_string();
    let mut answer =
        response(200, &[("content-type", "audio/pcm"), ("x-amzn-requestcharacters", &characters)], "");
    *answer.body_mut() = speak(text, rate).into();
    answer
}

fn options() -> PollyOptions {
    let mut options = PollyOptions::default();
    options.requests_per_second = NonZeroU32::new(1_000).unwrap();
    options.request_timeout = Duration::from_secs(3);
    options.patience = Duration::from_secs(9);
    options
}

async fn far() -> (Arc<dyn SpeechSynthesizer>, FarSide) {
    let far = FarSide::start(polly).await;
    (Arc::new(Polly::local(&far.url(), options())), far)
}

rivvi_core::speech_conformance!(far);

fn request(text: &str) -> SpeechRequest {
    SpeechRequest::new(text, AudioFormat::Linear8k)
}

#[tokio::test]
async fn it_asks_as_it_is_told_to() {
    let far = FarSide::start(polly).await;
    let mut options = options();
    options.engine = PollyEngine::Generative;
    options.lexicons = vec!["clinic".into()];
    let polly = Polly::local(&far.url(), options);
    let mut asked = SpeechRequest::ssml("<speak>Hi</speak>", AudioFormat::Linear16k);
    asked.language = Some("en-GB".into());
    polly.synthesize(&asked).await.unwrap();
    let mut plain = request("<speak>Hi</speak>");
    plain.voice = Some("Joanna".into());
    plain.format = AudioFormat::Mulaw8k;
    let mulaw = polly.synthesize(&plain).await.unwrap();
    assert_eq!(mulaw.len(), 17 * 480);
    let sent: Vec<Value> = far.requests().iter().map(body).collect();
    let expected = serde_json::json!({
        "Engine": "generative", "LanguageCode": "en-GB", "LexiconNames": ["clinic"], "OutputFormat": "pcm",
        "SampleRate": "16000", "Text": "<speak>Hi</speak>", "TextType": "ssml", "VoiceId": "Amy",
    });
    assert_eq!(sent[0], expected);
    let expected = serde_json::json!({
        "Engine": "generative", "LexiconNames": ["clinic"], "OutputFormat": "pcm", "SampleRate": "8000",
        "Text": "<speak>Hi</speak>", "TextType": "text", "VoiceId": "Joanna",
    });
    assert_eq!(sent[1], expected);
    assert_ne!(polly.settings(&asked), polly.settings(&plain));
}

#[tokio::test]
async fn long_texts_come_back_in_order_and_are_billed_once() {
    let far = FarSide::start(polly).await;
    let polly = Polly::local(&far.url(), options());
    let text: String = (0..700).map(|number| format!("Sentence number {number}. ")).collect();
    let speech = polly.synthesize(&request(&text)).await.unwrap();
    assert!(far.requests().len() >= 5);
    assert!(speech[..] == speak(&text, 8_000)[..], "joined as it was written");
    let usage = polly.usage();
    assert_eq!(usage.characters, text.chars().count() as u64);
    assert_eq!(usage.cost_usd_micros, usage.characters * 16);
}

#[tokio::test]
async fn documents_that_are_too_long_are_refused_here() {
    let far = FarSide::start(polly).await;
    let polly = Polly::local(&far.url(), options());
    for document in
        [format!("<speak>{}</speak>", "x".repeat(3_001)), format!("<speak>{}</speak>", "<p/>".repeat(2_000))]
    {
        let asked = SpeechRequest::ssml(document, AudioFormat::Linear8k);
        let error = polly.synthesize(&asked).await.unwrap_err();
        assert_eq!(error.kind, ProviderErrorKind::Unsupported, "{error:?}");
    }
    let mut hebrew = request("שלום");
    hebrew.language = Some("he-IL".into());
    let error = polly.synthesize(&hebrew).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Unsupported);
    assert!(error.source.unwrap().to_string().contains("Hebrew"));
    assert!(far.requests().is_empty() && polly.usage().characters == 0);
}

#[tokio::test]
async fn what_passes_is_waited_for() {
    let far = FarSide::start(polly).await;
    let polly = Polly::local(&far.url(), options());
    for fault in [
        HttpFault::Refuse(refusal(400, "ThrottlingException", "Rate exceeded")),
        HttpFault::Refuse(refusal(429, "TooManyRequestsException", "")),
        HttpFault::Refuse(refusal(500, "ServiceFailureException", "")),
        HttpFault::error_page(503),
        HttpFault::CutBeforeRequest,
        HttpFault::CutAfterRequest,
        HttpFault::CutWithinAnswer,
        HttpFault::Silence,
        HttpFault::Garble(response(200, &[("content-type", "text/html")], "<html>")),
        HttpFault::Garble(response(200, &[("content-type", "audio/pcm")], "odd")),
        HttpFault::Garble(response(200, &[("content-type", "audio/pcm")], "")),
    ] {
        let told = format!("{fault:?}");
        far.fail_next("/v1/speech", fault);
        let before = far.requests().len();
        let speech = polly.synthesize(&request("Good morning.")).await;
        assert_eq!(speech.unwrap().len(), 13 * 960, "{told}");
        assert!(far.requests().len() - before <= 2, "{told}");
    }
}

#[tokio::test]
async fn what_stays_is_told_for_what_it_is() {
    use ProviderErrorKind as Kind;
    let far = FarSide::start(polly).await;
    let mut options = options();
    options.patience = Duration::from_millis(300);
    let polly = Polly::local(&far.url(), options);
    for (status, code, kind, asked) in [
        (400, "ThrottlingException", Kind::RateLimited, 2..=4),
        (500, "ServiceFailureException", Kind::Unavailable, 2..=4),
        (403, "AccessDeniedException", Kind::Unauthorized, 1..=1),
        (403, "UnrecognizedClientException", Kind::Unauthorized, 1..=1),
        (400, "EngineNotSupportedException", Kind::Unsupported, 1..=1),
        (400, "LanguageNotSupportedException", Kind::Unsupported, 1..=1),
        (404, "LexiconNotFoundException", Kind::InvalidRequest, 1..=1),
        (400, "InvalidSsmlException", Kind::InvalidRequest, 1..=1),
    ] {
        let far = FarSide::start(move |_| refusal(status, code, "about Xenophilius")).await;
        let mut options = self::options();
        options.patience = Duration::from_millis(300);
        let polly = Polly::local(&far.url(), options);
        let error = polly.synthesize(&request("A secret about Xenophilius")).await.unwrap_err();
        assert_eq!((error.kind, error.delivery), (kind, Delivery::NotSent), "{code}: {error:?}");
        assert!(asked.contains(&far.requests().len()), "{code}: {} requests", far.requests().len());
        assert!(format!("{error:?}").contains(code));
        assert!(!format!("{error:?} {polly:?}").contains("Xenophilius"), "{error:?}");
    }
    far.vanish().await;
    let error = polly.synthesize(&request("text")).await.unwrap_err();
    assert_eq!((error.kind, error.delivery), (Kind::Unavailable, Delivery::NotSent), "{error:?}");
}

#[tokio::test]
async fn requests_keep_their_distance() {
    let far = FarSide::start(polly).await;
    let mut options = options();
    options.requests_per_second = NonZeroU32::new(20).unwrap();
    let polly = Polly::local(&far.url(), options);
    let clock = SystemClock::new();
    let texts: Vec<SpeechRequest> = (0..11).map(|number| request(&format!("Text {number}"))).collect();
    futures::future::join_all(texts.iter().map(|text| polly.synthesize(text))).await;
    assert_eq!(far.requests().len(), 11);
    assert!(clock.monotonic() >= Duration::from_millis(480), "{:?}", clock.monotonic());
}

#[tokio::test]
async fn through_the_cache_the_same_text_is_paid_once() {
    let far = FarSide::start(polly).await;
    let speech =
        CachedSpeech::new(Arc::new(Polly::local(&far.url(), options())), Blobs::new(InMemory::new()));
    for _ in 0..5 {
        speech.synthesize(&request("Good morning.")).await.unwrap();
    }
    let statistics = speech.statistics();
    assert_eq!((statistics.paid.characters, statistics.paid.cost_usd_micros), (13, 13 * 16));
    assert_eq!(far.requests().len(), 1);
}
