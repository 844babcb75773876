//! From what a flow names to what Asterisk plays.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use rivvi_core::domain::Personal;
use rivvi_core::provider::SpeechRequest;
use rivvi_core::storage::object_store::{self, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::options::{Speech, SpeechMedia};

/// Schemes of Asterisk's media URIs. A playback of any other is begun and never ends.
const SCHEMES: [&str; 6] = ["sound:", "recording:", "number:", "digits:", "characters:", "tone:"];
/// Endings of audio files, which names of sounds do not have.
const ENDINGS: [&str; 9] = [".wav", ".wav16", ".gsm", ".ulaw", ".alaw", ".sln", ".sln16", ".g722", ".mp3"];

/// The media URI for a recording that a flow names: a media URI of Asterisk, the URL of a file that Asterisk fetches,
/// or the path of a file on its disk, with or without ending.
pub(crate) fn media_uri(audio: &str) -> String {
    let audio = audio.trim();
    if SCHEMES.iter().any(|scheme| audio.starts_with(scheme)) {
        return audio.to_owned();
    }
    if audio.starts_with("http://") || audio.starts_with("https://") {
        return format!("sound:{audio}");
    }
    let path = audio.strip_prefix("file://").unwrap_or(audio);
    let name = ENDINGS.iter().find_map(|ending| path.strip_suffix(ending)).unwrap_or(path);
    // A comma would begin another medium.
    format!("sound:{}", name.replace(',', ""))
}

/// Speech that is kept, so that what was spoken once is not made again.
const KEPT_MAX: usize = 10_000;

/// Speech of texts.
#[derive(Debug)]
pub(crate) struct Speaker {
    speech: Speech,
    /// Makes the names of files: without it, nobody can try out which text one was made of.
    key: [u8; 32],
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_name: HashMap<String, Arc<OnceCell<()>>>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl Speaker {
    pub(crate) fn new(speech: Speech) -> Self {
        let mut key = [0; 32];
        StdRng::from_os_rng().fill_bytes(&mut key);
        Self { speech, key, kept: Mutex::default() }
    }

    /// What to play for a text. `None`, with a warning, if no speech could be made or kept.
    pub(crate) async fn speak(
        &self,
        text: Personal<String>,
        language: Option<String>,
        voice: Option<String>,
    ) -> Option<String> {
        let mut request = SpeechRequest::new(text.into_inner(), self.speech.format);
        (request.language, request.voice) = (language, voice);
        let name = self.name_of(&request);
        let cell = self.cell(&name).await;
        let made = cell.get_or_try_init(|| self.make(&request, &name)).await;
        made.is_ok().then(|| match &self.speech.media {
            SpeechMedia::Folder { there, .. } => format!("sound:{}/{name}", there.trim_end_matches('/')),
            SpeechMedia::Web { base_url, .. } => format!("sound:{base_url}/{name}.{}", self.ending()),
        })
    }

    async fn make(&self, request: &SpeechRequest, name: &str) -> Result<(), ()> {
        let bytes = self.speech.synthesizer.synthesize(request).await.map_err(|error| {
            tracing::warn!(%error, "a text could not be spoken");
        })?;
        let kept = match &self.speech.media {
            SpeechMedia::Folder { here, .. } => {
                self.write(here, name, &bytes).await.map_err(|e| e.to_string())
            }
            SpeechMedia::Web { store, .. } => {
                let path = object_store::path::Path::from(format!("{name}.{}", self.ending()));
                store.store().put(&path, bytes.into()).await.map(drop).map_err(|error| error.to_string())
            }
        };
        kept.map_err(|error| tracing::warn!(%error, "speech could not be kept where Asterisk finds it"))
    }

    /// Whole or not at all: Asterisk may look at any time.
    async fn write(&self, folder: &Path, name: &str, bytes: &Bytes) -> std::io::Result<()> {
        tokio::fs::create_dir_all(folder).await?;
        let (new, path) =
            (folder.join(format!("{name}.new")), folder.join(format!("{name}.{}", self.ending())));
        tokio::fs::write(&new, bytes).await?;
        tokio::fs::rename(new, path).await
    }

    async fn cell(&self, name: &str) -> Arc<OnceCell<()>> {
        let (cell, oldest) = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(cell) = kept.by_name.get(name) {
                return cell.clone();
            }
            let cell = Arc::new(OnceCell::new());
            kept.by_name.insert(name.to_owned(), cell.clone());
            kept.order.push_back(name.to_owned());
            let oldest = (kept.order.len() > KEPT_MAX).then(|| kept.order.pop_front()).flatten();
            if let Some(oldest) = &oldest {
                kept.by_name.remove(oldest);
            }
            (cell, oldest)
        };
        if let Some(oldest) = oldest {
            self.remove(&oldest).await;
        }
        cell
    }

    /// Removes speech that is not kept any more; what cannot be removed stays.
    async fn remove(&self, name: &str) {
        let file = format!("{name}.{}", self.ending());
        match &self.speech.media {
            SpeechMedia::Folder { here, .. } => drop(tokio::fs::remove_file(here.join(file)).await),
            SpeechMedia::Web { store, .. } => {
                drop(store.store().delete(&object_store::path::Path::from(file)).await);
            }
        }
    }

    /// A name that tells nothing about the text, and that no other process gives to it.
    fn name_of(&self, request: &SpeechRequest) -> String {
        let mut hash = Sha256::new();
        hash.update(self.key);
        let name = self.speech.synthesizer.name();
        let parts = [
            name.as_str(),
            request.language.as_deref().unwrap_or("-"),
            request.voice.as_deref().unwrap_or("-"),
        ];
        for part in parts.iter().chain(&[self.ending(), request.text.expose()]) {
            hash.update(u64::try_from(part.len()).unwrap_or_default().to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize()[..20].iter().fold(String::from("rivvi-"), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        })
    }

    /// How Asterisk calls files of the format.
    fn ending(&self) -> &'static str {
        self.speech.format.extension()
    }
}

/// No other process finds the files by their names, so they are removed. Those in a store are left if no runtime is there
/// any more.
impl Drop for Speaker {
    fn drop(&mut self) {
        let ending = self.ending();
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        let files = std::mem::take(&mut kept.order).into_iter().map(|name| format!("{name}.{ending}"));
        match &self.speech.media {
            SpeechMedia::Folder { here, .. } => {
                files.for_each(|file| drop(std::fs::remove_file(here.join(file))))
            }
            SpeechMedia::Web { store, .. } => {
                let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
                let (store, files): (_, Vec<String>) = (store.clone(), files.collect());
                runtime.spawn(async move {
                    for file in files {
                        drop(store.store().delete(&object_store::path::Path::from(file)).await);
                    }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rivvi_core::domain::ProviderName;
    use rivvi_core::provider::{AudioFormat, ProviderError, SpeechSynthesizer};

    #[derive(Debug)]
    struct Silence;

    #[async_trait::async_trait]
    impl SpeechSynthesizer for Silence {
        fn name(&self) -> ProviderName {
            ProviderName::new("silence")
        }

        async fn synthesize(&self, _: &SpeechRequest) -> Result<Bytes, ProviderError> {
            Ok(Bytes::from_static(&[0; 320]))
        }
    }

    #[tokio::test]
    async fn names_tell_nothing_and_files_do_not_outlive_the_provider() {
        let folder = tempfile::tempdir().unwrap();
        let speaker = || {
            let media = SpeechMedia::Folder { here: folder.path().into(), there: "/there".into() };
            let format = AudioFormat::Linear8k;
            Speaker::new(Speech { synthesizer: Arc::new(Silence), format, media })
        };
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let (one, other) = (speaker(), speaker());
        let speak =
            async |speaker: &Speaker| speaker.speak("Shalom".to_owned().into(), None, None).await.unwrap();
        let name = speak(&one).await;
        assert_eq!(speak(&one).await, name, "made once");
        assert_ne!(speak(&other).await, name, "the text alone does not give the name");
        assert_eq!(files(), 2);
        drop(one);
        assert_eq!(files(), 1);
        drop(other);
        assert_eq!(files(), 0);
    }

    #[test]
    fn what_a_flow_names_becomes_what_asterisk_plays() {
        for (audio, expected) in [
            ("sound:hello-world", "sound:hello-world"),
            ("tone:ring", "tone:ring"),
            ("hello-world", "sound:hello-world"),
            ("/srv/audio/hello.wav", "sound:/srv/audio/hello"),
            ("file:///srv/audio/hello.sln16", "sound:/srv/audio/hello"),
            ("https://example.org/a.wav?x=1", "sound:https://example.org/a.wav?x=1"),
            ("bogus:x", "sound:bogus:x"),
            ("a,digits:1", "sound:adigits:1"),
        ] {
            assert_eq!(media_uri(audio), expected);
        }
    }
}
