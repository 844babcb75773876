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

    /// Those of its settings that change how it speaks this, such as its own voice or a lexicon. Speech that is kept is
    /// used again only under the same settings.
    fn settings(&self, request: &SpeechRequest) -> String {
        let _ = request;
        String::new()
    }

    /// What it was asked to speak since it was made, and what that costs. Nothing for one that is free.
    fn usage(&self) -> SpeechUsage {
        SpeechUsage::default()
    }

    /// Speaks a text. Returns samples in the format asked for, and nothing else. Empty is valid: nothing was to be said.
    ///
    /// # Errors
    /// [`Unsupported`](super::ProviderErrorKind::Unsupported) if it has not the language, the voice, the format or the
    /// [kind of text](SpeechText); other kinds as they say. A text may always be spoken again.
    async fn synthesize(&self, request: &SpeechRequest) -> Result<Bytes, ProviderError>;
}

/// A text to be spoken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct SpeechRequest {
    /// What to say.
    pub text: Personal<String>,
    /// How it is written.
    pub written: SpeechText,
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
        let (text, written) = (Personal::new(text.into()), SpeechText::Plain);
        Self { text, written, language: None, voice: None, format }
    }

    /// This document in [SSML](SpeechText::Ssml).
    pub fn ssml(document: impl Into<String>, format: AudioFormat) -> Self {
        Self { written: SpeechText::Ssml, ..Self::new(document, format) }
    }

    /// Whether there is nothing to say.
    pub fn is_blank(&self) -> bool {
        self.text.expose().trim().is_empty()
    }
}

/// How a text is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpeechText {
    /// As it is read. Nothing in it is markup, so whatever a contact's row holds may stand in it.
    #[default]
    Plain,
    /// A document of the [Speech Synthesis Markup Language](https://www.w3.org/TR/speech-synthesis11/), from `<speak>`
    /// to `</speak>`. Who fills something into it escapes that.
    Ssml,
}

/// What was spoken, and what that costs by the price list of the synthesizer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SpeechUsage {
    /// Characters that are billed.
    pub characters: u64,
    /// Millionths of a United States dollar.
    pub cost_usd_micros: u64,
}

impl std::ops::Add for SpeechUsage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            characters: self.characters.saturating_add(other.characters),
            cost_usd_micros: self.cost_usd_micros.saturating_add(other.cost_usd_micros),
        }
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

    /// Bytes of a sample.
    pub const fn sample_bytes(self) -> usize {
        match self {
            Self::Linear8k | Self::Linear16k => 2,
            Self::Mulaw8k => 1,
        }
    }

    /// The ending of files of this format, as Asterisk knows them.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Linear8k => "sln",
            Self::Linear16k => "sln16",
            Self::Mulaw8k => "ulaw",
        }
    }
}
