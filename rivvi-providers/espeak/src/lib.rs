//! Speech synthesis for Rivvi by [espeak-ng](https://github.com/espeak-ng/espeak-ng): offline, in many languages, in a
//! voice that nobody takes for a human's.
//!
//! Each text is spoken by a process `espeak-ng` of its own, which reads the text from its standard input, so that it is
//! in no list of processes. Debian has it in the package `espeak-ng`.
//!
//! ```no_run
//! use rivvi_core::provider::{AudioFormat, SpeechRequest, SpeechSynthesizer};
//! use rivvi_provider_espeak::Espeak;
//!
//! # async fn speak() -> Result<(), rivvi_core::provider::ProviderError> {
//! let speech = Espeak::new().synthesize(&SpeechRequest::new("Good morning.", AudioFormat::Linear8k)).await?;
//! assert!(speech.len() > 8_000);
//! # Ok(())
//! # }
//! ```

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{ProviderError, ProviderErrorKind, SpeechRequest, SpeechSynthesizer, SpeechText};
use rivvi_core::speech::audio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;

/// How long one text may take.
const SPEAK_MAX: Duration = Duration::from_secs(30);
/// Processes at once.
const PROCESSES_MAX: usize = 4;

/// Speech by `espeak-ng`.
#[derive(Debug, Clone)]
pub struct Espeak {
    program: OsString,
    turns: Arc<Semaphore>,
}

impl Espeak {
    /// The program `espeak-ng` in `PATH`.
    pub fn new() -> Self {
        Self::program("espeak-ng")
    }

    /// The program at this path.
    pub fn program(path: impl Into<OsString>) -> Self {
        Self { program: path.into(), turns: Arc::new(Semaphore::new(PROCESSES_MAX)) }
    }

    fn error(
        &self,
        kind: ProviderErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ProviderError {
        ProviderError::not_sent(&self.name(), "synthesize", kind).with_source(source)
    }

    async fn speak(&self, text: &str, voice: &str, written: SpeechText) -> Result<Vec<u8>, ProviderError> {
        use ProviderErrorKind::{Protocol, Unavailable, Unsupported};
        let _turn = self.turns.acquire().await.map_err(|error| self.error(Unavailable, error))?;
        let mut command = Command::new(&self.program);
        command.args(["--stdin", "--stdout", "-b", "1", "-v", voice]).kill_on_drop(true);
        if written == SpeechText::Ssml {
            command.arg("-m");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().map_err(|error| self.error(Unavailable, error))?;
        let stdin = process.stdin.take();
        // At once, because the program speaks while it reads. What it could not read shows in what it says.
        let write = async {
            if let Some(mut stdin) = stdin {
                drop(stdin.write_all(text.as_bytes()).await);
            }
        };
        let (output, ()) = tokio::join!(process.wait_with_output(), write);
        let output = output.map_err(|error| self.error(Unavailable, error))?;
        if !output.status.success() {
            return Err(self.error(Unsupported, "espeak-ng has no such language or voice"));
        }
        if output.stdout.is_empty() {
            return Err(self.error(Protocol, "espeak-ng said nothing"));
        }
        Ok(output.stdout)
    }
}

impl Default for Espeak {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl SpeechSynthesizer for Espeak {
    fn name(&self) -> ProviderName {
        ProviderName::new("espeak")
    }

    async fn synthesize(&self, request: &SpeechRequest) -> Result<Bytes, ProviderError> {
        if request.is_blank() {
            return Ok(Bytes::new());
        }
        let voice = request.voice.as_deref().or(request.language.as_deref()).unwrap_or("en");
        // A language may come from a contact's row: nothing in it may become an option or a path.
        if !voice.starts_with(|sign: char| sign.is_ascii_alphanumeric())
            || !voice.chars().all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_' | '+'))
        {
            let error = "expected a language such as `en` or a voice such as `en-us+f3`";
            return Err(self.error(ProviderErrorKind::Unsupported, error));
        }
        let wave =
            tokio::time::timeout(SPEAK_MAX, self.speak(request.text.expose(), voice, request.written)).await;
        let wave = wave.unwrap_or_else(|late| Err(self.error(ProviderErrorKind::Timeout, late)))?;
        let (rate, samples) = audio::read_wave(&wave).ok_or_else(|| {
            self.error(ProviderErrorKind::Protocol, "espeak-ng gave something else than 16-bit mono WAV")
        })?;
        Ok(audio::encode(&samples, rate, request.format))
    }
}

#[cfg(test)]
mod tests {
    use rivvi_core::provider::AudioFormat;

    use super::*;

    #[tokio::test]
    async fn nothing_is_said_of_nothing_and_no_option_is_smuggled_in() {
        let espeak = Espeak::program("/does/not/exist");
        let nothing = SpeechRequest::new("  ", AudioFormat::Linear8k);
        assert_eq!(espeak.synthesize(&nothing).await.unwrap(), Bytes::new());
        let mut option = SpeechRequest::new("a secret text", AudioFormat::Linear8k);
        for voice in ["-w/etc/passwd", "../../x", ""] {
            option.voice = Some(voice.into());
            let error = espeak.synthesize(&option).await.unwrap_err();
            assert_eq!(error.kind, ProviderErrorKind::Unsupported, "{voice}");
        }
        option.voice = None;
        let error = espeak.synthesize(&option).await.unwrap_err();
        assert_eq!(error.kind, ProviderErrorKind::Unavailable);
        assert!(!format!("{error:?}").contains("secret text"));
    }
}
