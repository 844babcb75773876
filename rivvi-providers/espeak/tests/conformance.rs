//! The suite for synthesizers on espeak-ng, which must be in `PATH` (Debian: `espeak-ng`).

#![allow(clippy::unwrap_used, reason = "a test stops at the first error")]

use std::sync::Arc;

use rivvi_core::provider::{AudioFormat, SpeechRequest, SpeechSynthesizer};
use rivvi_provider_espeak::Espeak;

async fn espeak() -> Arc<dyn SpeechSynthesizer> {
    Arc::new(Espeak::new())
}

rivvi_core::speech_conformance!(espeak);

#[tokio::test]
async fn tags_of_documents_are_obeyed() {
    let seconds = async |request: SpeechRequest| {
        let speech = Espeak::new().synthesize(&request).await.unwrap();
        speech.len() as f64 / 16_000.0
    };
    let plain = seconds(SpeechRequest::new("Good morning", AudioFormat::Linear8k)).await;
    let document = "<speak>Good <break time=\"2s\"/> morning</speak>";
    let paused = seconds(SpeechRequest::ssml(document, AudioFormat::Linear8k)).await;
    assert!((1.5..3.5).contains(&(paused - plain)), "{plain} s, then {paused} s");
}

/// More than a pipe holds, in both directions.
#[tokio::test]
async fn a_long_text_is_read_to_its_end() {
    let text = format!("{}{}The end.", "Good morning. ".repeat(3), " ".repeat(200_000));
    let speech = Espeak::new().synthesize(&SpeechRequest::new(text, AudioFormat::Mulaw8k)).await.unwrap();
    assert!(speech.len() > 16_000, "{} bytes", speech.len());
}

/// Any text that is to be said becomes speech, longer texts longer speech.
#[tokio::test]
async fn property_29_every_text_becomes_speech() {
    let words = [
        "Good morning",
        "Dana",
        "your balance is 4,274.12",
        "שלום",
        "press 1",
        "thank you & good bye",
        "<b>",
    ];
    let espeak = Espeak::new();
    for case in 0..100 {
        let text: Vec<&str> = (0..=case % 5).map(|place| words[(case + place * 3) % words.len()]).collect();
        let length = async |text: String| {
            let request = SpeechRequest::new(text, AudioFormat::Mulaw8k);
            espeak.synthesize(&request).await.unwrap().len()
        };
        let once = length(text.join(". ")).await;
        assert!(once > 800, "case {case}: a tenth of a second");
        if case % 10 > 0 {
            continue;
        }
        let twice = length(format!("{}. Good morning. {}", text.join(". "), text.join(". "))).await;
        assert!(twice > once, "case {case}");
    }
}
