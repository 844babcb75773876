//! Speech that is kept.

mod counters;
mod flight;
mod key;
mod memory;
mod options;
mod shelf;
mod source;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

pub use counters::SpeechStatistics;
pub use options::CachedSpeechOptions;

use crate::domain::ProviderName;
use crate::provider::{ProviderError, SpeechRequest, SpeechSynthesizer, SpeechUsage};
use crate::storage::Blobs;
use counters::Counters;
use flight::Flights;
use shelf::Shelf;
use source::Source;

/// A synthesizer in front of another that keeps what that one speaks. Clones share everything.
///
/// Speech lies at `speech/{synthesizer}/{hash}.{sln|sln16|ulaw}` among the blobs, by the SHA-256 of everything that
/// changes the sound: the text and how it is written, language, voice, format, and the
/// [settings](SpeechSynthesizer::settings) of the synthesizer. Lifecycle rules may remove it at any time.
///
/// # What it promises
///
/// - **The same text is not paid for twice** while its speech is kept. Within a process, those who want the same speech
///   at once wait for one synthesis, which goes on and is kept even if all of them leave; if it fails, all of them are
///   told so.
/// - **Nodes that share the blobs take turns.** Who is about to speak claims that, by an object that can be created only
///   once; the others wait for the speech. Whoever is late to keep it uses what is kept. Two nodes speak the same text
///   only if the blobs are away, or if one of them stalls for longer than
///   [`synthesis_max`](CachedSpeechOptions::synthesis_max) in the middle, or if their clocks differ by as much. A node
///   that dies in the middle delays that text on the others until its claim lapses.
/// - **It speaks while anything can.** Without the blobs it synthesizes, without the synthesizer it plays what is kept. A
///   blob store or a synthesizer that failed five times in a row is left alone for 30 s and longer.
/// - **A second synthesizer** may step in for what the first one cannot speak. It speaks in its own voice, because
///   voices are named by each synthesizer, and what it speaks is kept under its own name.
///
/// ```
/// use std::sync::Arc;
///
/// use rivvi_core::provider::{AudioFormat, SpeechRequest, SpeechSynthesizer};
/// use rivvi_core::speech::CachedSpeech;
/// use rivvi_core::storage::Blobs;
///
/// # async fn speak(polly: Arc<dyn SpeechSynthesizer>) -> Result<(), Box<dyn std::error::Error>> {
/// let speech = CachedSpeech::new(polly, Blobs::in_folder("speech")?);
/// let request = SpeechRequest::new("Good morning.", AudioFormat::Linear8k);
/// let first = speech.synthesize(&request).await?;
/// assert_eq!(speech.synthesize(&request).await?, first);
/// assert_eq!(speech.statistics().synthesized, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CachedSpeech {
    flights: Arc<Flights>,
    first: Arc<Source>,
    fallback: Option<Arc<Source>>,
}

impl CachedSpeech {
    /// Keeps what `synthesizer` speaks among `blobs`.
    pub fn new(synthesizer: Arc<dyn SpeechSynthesizer>, blobs: Blobs) -> Self {
        Self::with_options(synthesizer, blobs, CachedSpeechOptions::default())
    }

    /// Keeps what `synthesizer` speaks among `blobs`.
    pub fn with_options(
        synthesizer: Arc<dyn SpeechSynthesizer>,
        blobs: Blobs,
        options: CachedSpeechOptions,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        let first = Arc::new(Source::new(synthesizer));
        let fallback = options.fallback.clone().map(|second| Arc::new(Source::new(second)));
        let shelf = Shelf::new(blobs, &options, counters.clone());
        Self { flights: Arc::new(Flights::new(shelf, options, counters)), first, fallback }
    }

    /// What was asked, found and paid for since it was made.
    pub fn statistics(&self) -> SpeechStatistics {
        self.flights.counters.read(self.usage())
    }
}

#[async_trait]
impl SpeechSynthesizer for CachedSpeech {
    /// The name of the first synthesizer.
    fn name(&self) -> ProviderName {
        self.first.synthesizer.name()
    }

    fn settings(&self, request: &SpeechRequest) -> String {
        self.first.synthesizer.settings(request)
    }

    /// That of both synthesizers.
    fn usage(&self) -> SpeechUsage {
        let fallback = self.fallback.as_ref().map(|fallback| fallback.synthesizer.usage());
        self.first.synthesizer.usage() + fallback.unwrap_or_default()
    }

    async fn synthesize(&self, request: &SpeechRequest) -> Result<Bytes, ProviderError> {
        if request.is_blank() {
            return Ok(Bytes::new());
        }
        Counters::count(&self.flights.counters.requests);
        let error = match self.flights.speech(&self.first, request).await {
            Ok(speech) => return Ok(speech),
            Err(error) => error,
        };
        let Some(fallback) = &self.fallback else { return Err(told_again(&error)) };
        tracing::warn!(%error, fallback = %fallback.synthesizer.name(), "another synthesizer steps in");
        let request = SpeechRequest { voice: None, ..request.clone() };
        match self.flights.speech(fallback, &request).await {
            Ok(speech) => {
                Counters::count(&self.flights.counters.fallbacks);
                Ok(speech)
            }
            Err(second) => {
                tracing::warn!(error = %second, "nor could that one speak");
                Err(told_again(&error))
            }
        }
    }
}

impl fmt::Debug for CachedSpeech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |source: &Arc<Source>| source.synthesizer.name();
        f.debug_struct("CachedSpeech")
            .field("first", &name(&self.first))
            .field("fallback", &self.fallback.as_ref().map(name))
            .finish_non_exhaustive()
    }
}

/// The error of a synthesis, for one of those who waited for it.
fn told_again(error: &ProviderError) -> ProviderError {
    ProviderError {
        kind: error.kind,
        delivery: error.delivery,
        retry_after: error.retry_after,
        provider: error.provider.clone(),
        operation: error.operation,
        source: error.source.as_ref().map(|source| source.to_string().into()),
    }
}
