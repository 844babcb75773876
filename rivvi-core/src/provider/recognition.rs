//! The traits of speech recognition.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

use super::error::ProviderError;
use super::speech::AudioFormat;
use crate::domain::{Personal, ProviderName};

/// What understands speech: an engine on this machine or a vendor.
///
/// Implementations are shared by every call. They never put what was said, which may hold names, into errors, logs or
/// `Debug`.
#[async_trait]
pub trait SpeechRecognizer: Debug + Send + Sync + 'static {
    /// Its name in errors.
    fn name(&self) -> ProviderName;

    /// Begins to listen to one speaker.
    ///
    /// # Errors
    /// [`Unsupported`](super::ProviderErrorKind::Unsupported) if it has not the language or the format; other kinds as
    /// they say.
    async fn start(&self, request: &RecognitionRequest) -> Result<Box<dyn Recognition>, ProviderError>;
}

/// One speaker being listened to. Dropping it ends that.
#[async_trait]
pub trait Recognition: Debug + Send + 'static {
    /// Takes what was heard next, in the order in which it was said and as fast as it was said: usually 20 ms, silence
    /// too. Returns what was understood since the last time, at once: what takes longer comes with a later piece.
    ///
    /// # Errors
    /// Nothing more will be understood.
    async fn hear(&mut self, audio: Bytes) -> Result<Vec<Recognized>, ProviderError>;
}

/// How to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecognitionRequest {
    /// The form of the audio.
    pub format: AudioFormat,
    /// The language that is spoken, for instance `en` or `he-IL`; the recognizer's own if `None`.
    pub language: Option<String>,
    /// What is expected to be said, and to be understood before all else. Anything else may be said.
    pub hints: Vec<String>,
}

impl RecognitionRequest {
    /// Audio of this form, in the recognizer's own language, with nothing expected.
    pub fn new(format: AudioFormat) -> Self {
        Self { format, language: None, hints: Vec::new() }
    }
}

/// What was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognized {
    /// The words, from the beginning of this recognition on.
    pub text: Personal<String>,
    /// How certain they are, 0 to 1.
    pub confidence: f32,
    /// Whether the speaker is done: nothing follows.
    pub last: bool,
}
