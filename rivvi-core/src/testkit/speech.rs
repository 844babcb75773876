//! The suite for synthesizers of speech: one case per promise of [`SpeechSynthesizer`].
//!
//! [`speech_conformance!`](crate::speech_conformance) makes a test of each case. The synthesizer speaks English by
//! itself, as [`ToneSpeech`] pretends to:
//!
//! ```
//! use std::sync::Arc;
//!
//! use rivvi_core::provider::SpeechSynthesizer;
//! use rivvi_core::testkit::speech::ToneSpeech;
//!
//! async fn synthesizer() -> Arc<dyn SpeechSynthesizer> {
//!     Arc::new(ToneSpeech::new("tone")) // here: the synthesizer that is to be checked
//! }
//!
//! rivvi_core::speech_conformance!(synthesizer);
//! # fn main() {}
//! ```

mod tone;

pub use tone::{ToneFault, ToneSpeech};

use std::error::Error;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::at_once;
use crate::provider::{
    AudioFormat, ProviderError, ProviderErrorKind, SpeechRequest, SpeechSynthesizer, SpeechText,
};

const SENTENCE: &str = "Good morning Xenophilius, your appointment is tomorrow at nine.";
const FORMATS: [AudioFormat; 3] = [AudioFormat::Linear8k, AudioFormat::Linear16k, AudioFormat::Mulaw8k];

/// How long speech lasts.
fn duration(speech: &[u8], format: AudioFormat) -> Duration {
    let samples = u32::try_from(speech.len() / format.sample_bytes()).unwrap();
    Duration::from_secs(1) * samples / format.rate()
}

/// An error with all its causes, as a log shows it.
fn told(error: &ProviderError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, " {error} {error:?}");
        cause = error.source();
    }
    text
}

/// Speech consists of whole samples, and lasts as long in one format as in the others.
pub async fn speech_lasts_as_long_in_every_format(synthesizer: &Arc<dyn SpeechSynthesizer>) {
    let mut durations = Vec::new();
    for format in FORMATS {
        let speech = synthesizer.synthesize(&SpeechRequest::new(SENTENCE, format)).await.unwrap();
        assert_eq!(speech.len() % format.sample_bytes(), 0, "{format:?}: half a sample");
        durations.push(duration(&speech, format));
    }
    for lasts in &durations {
        assert!((1.0..20.0).contains(&lasts.as_secs_f64()), "a sentence of ten words takes {lasts:?}");
        let ratio = lasts.as_secs_f64() / durations[0].as_secs_f64();
        assert!((0.9..1.1).contains(&ratio), "{durations:?}: is it another rate or coding?");
    }
}

/// The same text gives speech of the same length, a little more or less.
pub async fn the_same_text_takes_as_long_again(synthesizer: &Arc<dyn SpeechSynthesizer>) {
    let request = SpeechRequest::new(SENTENCE, AudioFormat::Linear8k);
    let (first, second) = (synthesizer.synthesize(&request).await, synthesizer.synthesize(&request).await);
    let (first, second) = (first.unwrap().len(), second.unwrap().len());
    assert!(first.abs_diff(second) * 10 <= first, "{first} bytes, then {second}");
}

/// What is longer takes longer, also where it has to be taken apart, and none of it is left out.
pub async fn longer_texts_take_longer(synthesizer: &Arc<dyn SpeechSynthesizer>) {
    let one = SpeechRequest::new(SENTENCE, AudioFormat::Linear8k);
    let many = SpeechRequest::new([SENTENCE; 60].join(" "), AudioFormat::Linear8k);
    let one = synthesizer.synthesize(&one).await.unwrap().len();
    let many = synthesizer.synthesize(&many).await.unwrap().len();
    assert!((40 * one..80 * one).contains(&many), "{one} bytes, and sixty times that: {many}");
}

/// Nothing is said of nothing.
pub async fn nothing_is_said_of_nothing(synthesizer: &Arc<dyn SpeechSynthesizer>) {
    for text in ["", " ", "\r\n\t "] {
        for format in FORMATS {
            let speech = synthesizer.synthesize(&SpeechRequest::new(text, format)).await.unwrap();
            assert!(speech.is_empty(), "{text:?} became {} bytes", speech.len());
        }
    }
}

/// Any number of texts may be spoken at once.
pub async fn texts_are_spoken_at_once(synthesizer: &Arc<dyn SpeechSynthesizer>) {
    let spoken = at_once(12, |number| {
        let synthesizer = synthesizer.clone();
        async move {
            let text = format!("You are number {number}.");
            synthesizer.synthesize(&SpeechRequest::new(text, AudioFormat::Linear8k)).await
        }
    });
    for speech in spoken.await {
        assert!(speech.unwrap().len() > 4_000, "less than a quarter of a second");
    }
}

/// A voice or language that it has not is refused as unsupported, whatever is written there.
pub async fn unknown_voices_and_languages_are_unsupported(synthesizer: &Arc<dyn SpeechSynthesizer>) {
    for unknown in ["zz-nobody", "", "../../etc/passwd", "-w", "a b", "x\r\ny: z", "קול"] {
        let own = SpeechRequest::new(SENTENCE, AudioFormat::Linear8k);
        let voice = SpeechRequest { voice: Some(unknown.into()), ..own.clone() };
        let language = SpeechRequest { language: Some(unknown.into()), ..own };
        for request in [voice, language] {
            let answer = synthesizer.synthesize(&request).await.map(|speech| speech.len());
            let error = answer.expect_err(&format!("{unknown:?} was spoken"));
            assert_eq!(error.kind, ProviderErrorKind::Unsupported, "{unknown:?}: {error:?}");
        }
    }
}

/// A document in SSML is spoken without its tags, or refused as unsupported. A plain text is never one.
pub async fn markup_is_told_by_the_request_alone(synthesizer: &Arc<dyn SpeechSynthesizer>) {
    let document = "<speak>Good <break time=\"1500ms\"/> morning</speak>";
    let plain = SpeechRequest::new(document, AudioFormat::Linear8k);
    assert!(!synthesizer.synthesize(&plain).await.unwrap().is_empty(), "a plain text");
    let ssml = SpeechRequest::ssml(document, AudioFormat::Linear8k);
    assert_eq!(ssml.written, SpeechText::Ssml);
    match synthesizer.synthesize(&ssml).await {
        Ok(speech) => assert!(!speech.is_empty()),
        Err(error) => assert_eq!(error.kind, ProviderErrorKind::Unsupported, "{error:?}"),
    }
}

/// No text shows in errors and `Debug`.
pub async fn texts_are_told_to_nobody(synthesizer: &Arc<dyn SpeechSynthesizer>) {
    let request = SpeechRequest::new(SENTENCE, AudioFormat::Linear8k);
    let unknown = SpeechRequest { voice: Some("zz-nobody".into()), ..request.clone() };
    let error = synthesizer.synthesize(&unknown).await.unwrap_err();
    synthesizer.synthesize(&request).await.unwrap();
    for shown in [told(&error), format!("{synthesizer:?} {request:?}")] {
        assert!(!shown.contains("Xenophilius") && !shown.contains("appointment"), "{shown}");
    }
}

/// Its name and settings, under which speech is kept, stay; what it has billed only grows.
pub async fn its_name_and_settings_stay(synthesizer: &Arc<dyn SpeechSynthesizer>) {
    let request = SpeechRequest::new(SENTENCE, AudioFormat::Linear8k);
    let before = (synthesizer.name(), synthesizer.settings(&request), synthesizer.usage());
    synthesizer.synthesize(&request).await.unwrap();
    assert_eq!((synthesizer.name(), synthesizer.settings(&request)), (before.0, before.1));
    assert!(!synthesizer.name().as_str().is_empty());
    assert!(!synthesizer.settings(&request).contains(SENTENCE), "the text is no setting");
    let usage = synthesizer.usage();
    assert!(usage.characters >= before.2.characters && usage.cost_usd_micros >= before.2.cost_usd_micros);
}

#[doc(hidden)]
#[macro_export]
macro_rules! __speech_cases {
    ([$($then:tt)*] $($given:tt)*) => {
        $($then)*! {
            [$($given)*]
            speech_lasts_as_long_in_every_format,
            the_same_text_takes_as_long_again,
            longer_texts_take_longer,
            nothing_is_said_of_nothing,
            texts_are_spoken_at_once,
            unknown_voices_and_languages_are_unsupported,
            markup_is_told_by_the_request_alone,
            texts_are_told_to_nobody,
            its_name_and_settings_stay,
        }
    };
}

/// Makes a test of every case of the suite for synthesizers, each named like its case and with a synthesizer of its own.
///
/// The argument is a function or closure that returns a future of an `Arc<dyn SpeechSynthesizer>`, or of a pair of one
/// and whatever must live as long. Attributes before it go to every test.
#[macro_export]
macro_rules! speech_conformance {
    ($(#[$attribute:meta])* $factory:expr) => {
        $crate::__speech_cases! { [$crate::__speech_tests] [$(#[$attribute])*] ($factory) }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __speech_tests {
    ([$attributes:tt $factory:tt] $($case:ident,)*) => {
        $($crate::__speech_test! { $attributes $factory $case })*

        #[test]
        fn speech_suite_is_complete() {
            $crate::testkit::speech::assert_suite_is_complete();
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __speech_test {
    ([$($attribute:tt)*] ($factory:expr) $case:ident) => {
        #[test]
        $($attribute)*
        fn $case() {
            $crate::testkit::run_case(async {
                let fixture = ($factory)().await;
                let synthesizer: &::std::sync::Arc<dyn $crate::provider::SpeechSynthesizer> =
                    $crate::testkit::Fixture::subject(&fixture);
                $crate::testkit::speech::$case(synthesizer).await;
            });
        }
    };
}

macro_rules! cases {
    ([] $($case:ident,)*) => {
        /// The name of every case.
        pub const CASES: &[&str] = &[$(stringify!($case),)*];
    };
}

__speech_cases! { [cases] }

/// Asserts that every case is in the list from which tests are made.
///
/// # Panics
/// If one is not.
pub fn assert_suite_is_complete() {
    super::assert_lists_all(include_str!("speech.rs"), CASES.iter().copied(), "speech");
}
