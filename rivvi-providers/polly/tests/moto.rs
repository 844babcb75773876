//! Polly as moto plays it.
//!
//! Needs `RIVVI_TEST_S3`, the URL of a moto server, such as one that `scripts/services` starts. Whatever it is asked to
//! speak, it answers with four samples of silence; what it checks are voices, formats, rates and lengths.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use rivvi_core::provider::{AudioFormat, ProviderErrorKind, SpeechRequest, SpeechSynthesizer};
use rivvi_provider_polly::{Polly, PollyEngine, PollyOptions};

fn polly() -> Polly {
    let endpoint = std::env::var("RIVVI_TEST_S3").unwrap_or_else(|_| {
        panic!(
            "RIVVI_TEST_S3 is not set: expected the URL of a moto server; start one with `scripts/services` and load \
             the variables it prints"
        )
    });
    let mut options = PollyOptions::default();
    options.engine = PollyEngine::Standard;
    Polly::local(&endpoint, options)
}

#[tokio::test]
async fn every_format_is_taken() {
    for (format, bytes) in
        [(AudioFormat::Linear8k, 8), (AudioFormat::Linear16k, 8), (AudioFormat::Mulaw8k, 4)]
    {
        let speech = polly().synthesize(&SpeechRequest::new("Good morning.", format)).await.unwrap();
        assert_eq!(speech.len(), bytes, "{format:?}");
        let ssml = SpeechRequest::ssml("<speak>Good morning.</speak>", format);
        assert_eq!(polly().synthesize(&ssml).await.unwrap().len(), bytes, "{format:?}");
    }
}

#[tokio::test]
async fn long_texts_are_taken_in_parts() {
    let polly = polly();
    let text = "Good morning, Dana. ".repeat(400);
    let speech = polly.synthesize(&SpeechRequest::new(&text, AudioFormat::Linear8k)).await.unwrap();
    assert_eq!(speech.len(), 3 * 8, "8000 characters are three parts");
    assert_eq!(polly.usage().characters, 8_000);
    assert_eq!(polly.usage().cost_usd_micros, 4 * polly.usage().characters);
}

#[tokio::test]
async fn unknown_voices_are_unsupported() {
    let mut request = SpeechRequest::new("Good morning.", AudioFormat::Linear8k);
    request.voice = Some("Nobody".into());
    let error = polly().synthesize(&request).await.unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Unsupported, "{error:?}");
}
