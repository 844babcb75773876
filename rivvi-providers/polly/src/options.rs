//! How Polly speaks.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use aws_sdk_polly::config::timeout::TimeoutConfig;
use aws_sdk_polly::types::Engine;

use crate::voices::NEURAL_VOICES;

/// How Polly speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollyOptions {
    /// The engine. Default neural. Not every voice and region has every engine.
    pub engine: PollyEngine,
    /// The language of texts that name none, by one of Polly's codes. Default `en-US`.
    pub language: String,
    /// The voice for each language, by Polly's codes and names: for texts that name no voice. Default a neural voice for
    /// each language that has one. A language without a region, such as `en`, is spoken by that of [`language`](
    /// Self::language) if it fits, else by the first that does.
    pub voices: BTreeMap<String, String>,
    /// Lexicons of the account, by which words are pronounced. Default none.
    pub lexicons: Vec<String>,
    /// How many requests a second are sent at most. Default 8, what accounts may send to the neural, long-form and generative
    /// engines; the standard one takes 80 (<https://docs.aws.amazon.com/polly/latest/dg/limits.html>).
    pub requests_per_second: NonZeroU32,
    /// How many requests are under way at most. Default 18, what accounts may send to the neural engine.
    pub concurrent_max: NonZeroU32,
    /// How long a connection may take. Default 2 s.
    pub connect_timeout: Duration,
    /// How long one request may take until all of its speech is there. Default 10 s.
    pub request_timeout: Duration,
    /// How long a part of a text waits in all for throttled or failed requests before it fails. Default 10 s.
    pub patience: Duration,
    /// What characters cost.
    pub prices: PollyPrices,
}

impl PollyOptions {
    /// The defaults, with this voice for this language, which is also that of texts that name none.
    pub fn with_voice(language: impl Into<String>, voice: impl Into<String>) -> Self {
        let mut options = Self { language: language.into(), ..Self::default() };
        options.voices.insert(options.language.clone(), voice.into());
        options
    }

    pub(crate) fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder().connect_timeout(self.connect_timeout).build()
    }
}

impl Default for PollyOptions {
    fn default() -> Self {
        let own = |(language, voice): &(&str, &str)| ((*language).to_owned(), (*voice).to_owned());
        Self {
            engine: PollyEngine::Neural,
            language: "en-US".into(),
            voices: NEURAL_VOICES.iter().map(own).collect(),
            lexicons: Vec::new(),
            requests_per_second: const { NonZeroU32::new(8).unwrap() },
            concurrent_max: const { NonZeroU32::new(18).unwrap() },
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(10),
            prices: PollyPrices::default(),
        }
    }
}

/// An engine of Polly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PollyEngine {
    /// Sounds of recorded speech put together.
    Standard,
    /// The usual one.
    Neural,
    /// For long texts.
    LongForm,
    /// The most like a human being.
    Generative,
}

impl PollyEngine {
    /// Every engine.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Neural, Self::LongForm, Self::Generative];

    /// Its name, as Polly writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Neural => "neural",
            Self::LongForm => "long-form",
            Self::Generative => "generative",
        }
    }

    pub(crate) fn sent(self) -> Engine {
        Engine::from(self.name())
    }
}

impl fmt::Display for PollyEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for PollyEngine {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|engine| engine.name() == text).ok_or(UnknownEngine)
    }
}

/// A text that names no engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of: standard, neural, long-form, generative")]
pub struct UnknownEngine;

/// What a million characters cost, in millionths of a United States dollar.
///
/// The defaults are what Amazon lists at <https://aws.amazon.com/polly/pricing/> (November 2026), without the free
/// characters of an account's first year.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PollyPrices {
    /// Default 4 dollars.
    pub standard_usd_micros: u64,
    /// Default 16 dollars.
    pub neural_usd_micros: u64,
    /// Default 100 dollars.
    pub long_form_usd_micros: u64,
    /// Default 30 dollars.
    pub generative_usd_micros: u64,
}

impl PollyPrices {
    /// What so many characters cost, in millionths of a dollar.
    pub fn cost_usd_micros(&self, engine: PollyEngine, characters: u64) -> u64 {
        let million = match engine {
            PollyEngine::Standard => self.standard_usd_micros,
            PollyEngine::Neural => self.neural_usd_micros,
            PollyEngine::LongForm => self.long_form_usd_micros,
            PollyEngine::Generative => self.generative_usd_micros,
        };
        u64::try_from(u128::from(million) * u128::from(characters) / 1_000_000).unwrap_or(u64::MAX)
    }
}

impl Default for PollyPrices {
    fn default() -> Self {
        const USD: u64 = 1_000_000;
        Self {
            standard_usd_micros: 4 * USD,
            neural_usd_micros: 16 * USD,
            long_form_usd_micros: 100 * USD,
            generative_usd_micros: 30 * USD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_are_read_as_they_are_written() {
        for engine in PollyEngine::ALL {
            assert_eq!(engine.to_string().parse(), Ok(engine));
            assert!(Engine::values().contains(&engine.sent().as_str()));
        }
        assert_eq!("longform".parse::<PollyEngine>(), Err(UnknownEngine));
    }

    #[test]
    fn characters_cost_what_the_list_says() {
        let prices = PollyPrices::default();
        for (engine, dollars) in PollyEngine::ALL.into_iter().zip([4, 16, 100, 30]) {
            assert_eq!(prices.cost_usd_micros(engine, 1_000_000), dollars * 1_000_000);
            assert_eq!(prices.cost_usd_micros(engine, 13), dollars * 13);
        }
        assert_eq!(prices.cost_usd_micros(PollyEngine::LongForm, u64::MAX), u64::MAX);
    }
}
