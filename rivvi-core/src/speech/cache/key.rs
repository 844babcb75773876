//! Where speech lies.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::provider::{SpeechRequest, SpeechSynthesizer, SpeechText};

/// Where the speech of a request lies, and the claims to make it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Without ending.
    stem: String,
    ending: &'static str,
}

impl Key {
    pub(super) fn of(synthesizer: &dyn SpeechSynthesizer, request: &SpeechRequest) -> Self {
        let (name, settings) = (synthesizer.name(), synthesizer.settings(request));
        let ending = request.format.extension();
        let written = match request.written {
            SpeechText::Plain => "plain",
            SpeechText::Ssml => "ssml",
        };
        let parts = [
            Some("rivvi speech 1"),
            Some(name.as_str()),
            Some(settings.as_str()),
            request.language.as_deref(),
            request.voice.as_deref(),
            Some(ending),
            Some(written),
            Some(request.text.expose().as_str()),
        ];
        let mut stem = format!("speech/{}/", folder(name.as_str()));
        for byte in digest(&parts) {
            let _ = write!(stem, "{byte:02x}");
        }
        Self { stem, ending }
    }

    /// Of the speech.
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.stem, self.ending)
    }

    /// Of the claim that is made when those before have lapsed; the first is 1.
    pub(super) fn claim(&self, nth: u32) -> String {
        format!("{}.{}.claim-{nth}", self.stem, self.ending)
    }
}

/// Each part with its length, so that no two lists of parts read alike.
fn digest(parts: &[Option<&str>]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        let length = part.map_or(u64::MAX, |part| u64::try_from(part.len()).unwrap_or(u64::MAX - 1));
        hash.update(length.to_be_bytes());
        hash.update(part.unwrap_or_default());
    }
    hash.finalize().into()
}

/// A name as one folder of every store.
fn folder(name: &str) -> String {
    name.chars().map(|sign| if sign.is_ascii_alphanumeric() || sign == '-' { sign } else { '_' }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashSet;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::domain::ProviderName;
    use crate::provider::{AudioFormat, ProviderError};

    #[derive(Debug)]
    pub(in crate::speech::cache) struct Named(
        pub(in crate::speech::cache) &'static str,
        pub(in crate::speech::cache) &'static str,
    );

    #[async_trait]
    impl SpeechSynthesizer for Named {
        fn name(&self) -> ProviderName {
            ProviderName::new(self.0)
        }

        fn settings(&self, _: &SpeechRequest) -> String {
            self.1.to_owned()
        }

        async fn synthesize(&self, _: &SpeechRequest) -> Result<Bytes, ProviderError> {
            Ok(Bytes::new())
        }
    }

    #[test]
    fn everything_that_changes_the_sound_changes_the_place() {
        let request = |text: &str, language: Option<&str>, voice: Option<&str>, format| {
            let mut request = SpeechRequest::new(text, format);
            request.language = language.map(str::to_owned);
            request.voice = voice.map(str::to_owned);
            request
        };
        let plain = AudioFormat::Linear8k;
        let places = [
            Key::of(&Named("a", ""), &request("text", None, None, plain)),
            Key::of(&Named("b", ""), &request("text", None, None, plain)),
            Key::of(&Named("a", "neural"), &request("text", None, None, plain)),
            Key::of(&Named("a", ""), &request("Text", None, None, plain)),
            Key::of(&Named("a", ""), &request("text", Some("en"), None, plain)),
            Key::of(&Named("a", ""), &request("text", None, Some("en"), plain)),
            Key::of(&Named("a", ""), &request("text", None, Some(""), plain)),
            Key::of(&Named("a", ""), &request("text", None, None, AudioFormat::Linear16k)),
            Key::of(&Named("a", ""), &request("text", None, None, AudioFormat::Mulaw8k)),
            Key::of(&Named("a", ""), &SpeechRequest::ssml("text", plain)),
        ];
        let paths: HashSet<String> = places.iter().map(Key::path).collect();
        assert_eq!(paths.len(), places.len());
        assert_eq!(places[0], Key::of(&Named("a", ""), &request("text", None, None, plain)));
    }

    #[test]
    fn a_place_tells_the_synthesizer_and_the_format_and_nothing_else() {
        let key = Key::of(&Named("a/../b", ""), &SpeechRequest::new("Dana", AudioFormat::Mulaw8k));
        let path = key.path();
        let hash = path.strip_prefix("speech/a____b/").and_then(|path| path.strip_suffix(".ulaw")).unwrap();
        assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}");
        assert_eq!(key.claim(2), format!("{path}.claim-2"));
    }
}
