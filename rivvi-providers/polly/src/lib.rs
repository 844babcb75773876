//! Speech synthesis for Rivvi by [Amazon Polly](https://docs.aws.amazon.com/polly/latest/dg/what-is.html).
//!
//! ```no_run
//! use rivvi_core::provider::{AudioFormat, SpeechRequest, SpeechSynthesizer};
//! use rivvi_provider_polly::{Polly, PollyOptions};
//!
//! # async fn speak() -> Result<(), rivvi_core::provider::ProviderError> {
//! let polly = Polly::connect(PollyOptions::default()).await;
//! let speech = polly.synthesize(&SpeechRequest::new("Good morning.", AudioFormat::Linear8k)).await?;
//! println!("{} millionths of a dollar", polly.usage().cost_usd_micros);
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **A text of any length** is spoken: in parts of at most 3000 characters that end where sentences do, joined again. A
//!   document in SSML is not taken apart; one that is too long for Polly (3000 characters, 6000 with its tags) is refused.
//! - **Requests are paced**, [so many a second](PollyOptions::requests_per_second) and
//!   [so many at once](PollyOptions::concurrent_max).
//! - **Throttling and failures are waited for** with growing pauses, at most [`PollyOptions::patience`]; speech may always be
//!   asked for again. A synthesis that fails may have been billed for the parts that were spoken before.
//! - **What Polly bills is counted**, as it says itself in each answer. An answer that got lost is not counted.
//! - **Languages find their voice** by [`PollyOptions::voices`]. Polly has no Hebrew.
//!
//! Polly is asked for linear samples, and µ-law is made of them here, so that parts are joined without loss.

mod failure;
mod options;
mod pace;
mod split;
mod voices;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use aws_sdk_polly::Client;
use aws_sdk_polly::types::{LanguageCode, OutputFormat, TextType, VoiceId};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{
    AudioFormat, ProviderError, ProviderErrorKind, SpeechRequest, SpeechSynthesizer, SpeechText, SpeechUsage,
};
use rivvi_core::speech::audio;

pub use options::{PollyEngine, PollyOptions, PollyPrices, UnknownEngine};

use failure::Failure;
use pace::Pace;
use split::{BILLED_MAX, CHARACTERS_MAX};
use voices::Speaker;

/// Parts of one text that are spoken at once.
const PARTS_AT_ONCE: usize = 4;

/// Speech by Amazon Polly. Clones share connections, pace and what was counted.
#[derive(Clone)]
pub struct Polly {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    options: PollyOptions,
    pace: Pace,
    characters: AtomicU64,
}

impl Polly {
    /// Finds region, credentials and endpoint as AWS programs do: environment, profile, container, instance. Sends
    /// nothing yet.
    pub async fn connect(options: PollyOptions) -> Self {
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await;
        Self::new(&config, options)
    }

    /// With this configuration, whose retries and timeouts are replaced by those of `options`.
    pub fn new(config: &aws_config::SdkConfig, options: PollyOptions) -> Self {
        Self::from_client_config(aws_sdk_polly::config::Builder::from(config), options)
    }

    /// With this configuration of its client, whose retries and timeouts are replaced by those of `options`.
    pub fn from_client_config(config: aws_sdk_polly::config::Builder, options: PollyOptions) -> Self {
        let config = config
            .retry_config(aws_sdk_polly::config::retry::RetryConfig::disabled())
            .timeout_config(options.timeouts());
        let pace = Pace::new(options.requests_per_second, options.concurrent_max);
        let client = Client::from_conf(config.build());
        Self { shared: Arc::new(Shared { client, options, pace, characters: AtomicU64::new(0) }) }
    }

    /// At a server that plays Polly and checks no credentials, at a URL such as `http://127.0.0.1:5000`.
    pub fn local(url: &str, options: PollyOptions) -> Self {
        use aws_sdk_polly::config::{BehaviorVersion, Builder, Credentials, Region};
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("rivvi", "local", None, None, "local"));
        Self::from_client_config(config, options)
    }

    fn unsupported(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ProviderError {
        ProviderError::not_sent(&self.name(), "synthesize", ProviderErrorKind::Unsupported)
            .with_source(source)
    }

    /// The parts of what is to be said.
    fn parts<'a>(&self, request: &'a SpeechRequest) -> Result<Vec<&'a str>, ProviderError> {
        let text = request.text.expose().as_str();
        match request.written {
            SpeechText::Plain => Ok(split::parts(text, BILLED_MAX)),
            SpeechText::Ssml if split::length(text) > CHARACTERS_MAX => {
                Err(self.unsupported("expected a document of at most 6000 characters; make several of it"))
            }
            SpeechText::Ssml if split::billed_of_ssml(text) > BILLED_MAX => Err(self.unsupported(
                "expected a document of at most 3000 characters without its tags; make several of it",
            )),
            SpeechText::Ssml => Ok(vec![text]),
            _ => Err(self.unsupported("this kind of text is newer than the synthesizer")),
        }
    }

    /// Speaks a part, and asks again while that may help.
    async fn part(
        &self,
        part: &str,
        speaker: &Speaker,
        ssml: bool,
        rate: u32,
    ) -> Result<Bytes, ProviderError> {
        let Shared { options, pace, .. } = &*self.shared;
        let give_up = pace.now() + options.patience;
        let mut asked = 0;
        loop {
            let turn = pace.turn().await;
            let answer =
                tokio::time::timeout(options.request_timeout, self.ask(part, speaker, ssml, rate)).await;
            drop(turn);
            let failure = match answer.unwrap_or(Err(Failure::Late)) {
                Ok(speech) => return Ok(speech),
                Err(failure) => failure,
            };
            if !failure.judge().1 || !pace.pause(asked, give_up).await {
                return Err(failure.named(&self.name()));
            }
            tracing::debug!(%failure, "Polly is asked again");
            asked += 1;
        }
    }

    async fn ask(&self, part: &str, speaker: &Speaker, ssml: bool, rate: u32) -> Result<Bytes, Failure> {
        let Shared { client, options, characters, .. } = &*self.shared;
        let lexicons = (!options.lexicons.is_empty()).then(|| options.lexicons.clone());
        let answer = client
            .synthesize_speech()
            .engine(options.engine.sent())
            .voice_id(VoiceId::from(speaker.voice.as_str()))
            .set_language_code(speaker.language.as_deref().map(LanguageCode::from))
            .set_lexicon_names(lexicons)
            .output_format(OutputFormat::Pcm)
            .sample_rate(rate.to_string())
            .text_type(if ssml { TextType::Ssml } else { TextType::Text })
            .text(part)
            .send()
            .await
            .map_err(|error| Failure::of(&error))?;
        if !answer.content_type().is_some_and(|content| content.starts_with("audio/")) {
            return Err(Failure::Unreadable);
        }
        // Billed even if the speech gets lost on its way.
        let ours = if ssml { split::billed_of_ssml(part) } else { part.chars().count() };
        let billed = u64::try_from(answer.request_characters()).ok().filter(|told| *told > 0);
        characters
            .fetch_add(billed.unwrap_or_else(|| ours.try_into().unwrap_or_default()), Ordering::Relaxed);
        let speech = answer.audio_stream.collect().await.map_err(|_| Failure::Connection)?.into_bytes();
        // Of dots alone there is nothing to hear.
        let silent = speech.is_empty() && part.chars().any(char::is_alphanumeric);
        if silent || speech.len() % 2 != 0 { Err(Failure::Unreadable) } else { Ok(speech) }
    }
}

#[async_trait]
impl SpeechSynthesizer for Polly {
    fn name(&self) -> ProviderName {
        ProviderName::new("polly")
    }

    /// Engine, lexicons, and who speaks.
    fn settings(&self, request: &SpeechRequest) -> String {
        let options = &self.shared.options;
        let speaker = voices::speaker(options, request).ok();
        let (voice, language) =
            speaker.map_or((None, None), |speaker| (Some(speaker.voice), speaker.language));
        format!("{} {:?} {voice:?} {language:?}", options.engine, options.lexicons)
    }

    fn usage(&self) -> SpeechUsage {
        let characters = self.shared.characters.load(Ordering::Relaxed);
        let PollyOptions { prices, engine, .. } = &self.shared.options;
        SpeechUsage { characters, cost_usd_micros: prices.cost_usd_micros(*engine, characters) }
    }

    async fn synthesize(&self, request: &SpeechRequest) -> Result<Bytes, ProviderError> {
        if request.is_blank() {
            return Ok(Bytes::new());
        }
        let speaker = voices::speaker(&self.shared.options, request);
        let speaker = speaker.map_err(|error| self.unsupported(error))?;
        let (ssml, rate) = (request.written == SpeechText::Ssml, request.format.rate());
        let parts = self.parts(request)?;
        let parts: Vec<_> = parts.into_iter().map(|part| self.part(part, &speaker, ssml, rate)).collect();
        let spoken: Vec<Bytes> = stream::iter(parts).buffered(PARTS_AT_ONCE).try_collect().await?;
        let linear = if spoken.len() == 1 { spoken[0].clone() } else { spoken.concat().into() };
        match request.format {
            AudioFormat::Linear8k | AudioFormat::Linear16k => Ok(linear),
            AudioFormat::Mulaw8k => Ok(audio::encode(&audio::samples(&linear), rate, request.format)),
            _ => Err(self.unsupported("this audio format is newer than the synthesizer")),
        }
    }
}

impl fmt::Debug for Polly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polly").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
