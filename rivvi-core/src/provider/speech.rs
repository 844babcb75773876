//! The trait of speech synthesis.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

use super::error::ProviderError;
use crate::domain::{Personal, ProviderName};

/// What makes speech of text: an engine on this machine or a vendor.
///
/// Implementations are shared by every call. They never put texts, which may hold names, into errors, logs or `Debug`.
#[async_trait]
pub trait SpeechSynthesizer: Debug + Send + Sync + 'static {
    /// Its name in errors and in the names of what is kept of its speech.
    fn name(&self) -> ProviderName;

    /// Speaks a text. Returns samples in the format asked for, and nothing else. Empty is valid: nothing was to be said.
    ///
    /// # Errors
    /// [`Unsupported`](super::ProviderErrorKind::Unsupported) if it has not the language, the voice or the format;
    /// other kinds as they say. A text may always be spoken again.
    async fn synthesize(&self, request: &SpeechRequest) -> Result<Bytes, ProviderError>;
}

/// A text to be spoken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SpeechRequest {
    /// What to say.
    pub text: Personal<String>,
    /// In which language, for instance `en` or `he-IL`; the synthesizer's own if `None`.
    pub language: Option<String>,
    /// By which voice, as the synthesizer names it; its own if `None`.
    pub voice: Option<String>,
    /// What to return.
    pub format: AudioFormat,
}

impl SpeechRequest {
    /// This text, in the synthesizer's own language and voice.
    pub fn new(text: impl Into<String>, format: AudioFormat) -> Self {
        Self { text: Personal::new(text.into()), language: None, voice: None, format }
    }
}

/// Telephone audio: one channel, without a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AudioFormat {
    /// 8000 signed 16-bit little-endian samples a second.
    Linear8k,
    /// 16000 signed 16-bit little-endian samples a second.
    Linear16k,
    /// 8000 µ-law bytes a second (ITU-T G.711).
    Mulaw8k,
}

impl AudioFormat {
    /// Samples in a second.
    pub const fn rate(self) -> u32 {
        match self {
            Self::Linear8k | Self::Mulaw8k => 8_000,
            Self::Linear16k => 16_000,
        }
    }
}
