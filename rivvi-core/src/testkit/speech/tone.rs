//! A synthesizer that plays tones.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::domain::ProviderName;
use crate::provider::{
    ProviderError, ProviderErrorKind, SpeechRequest, SpeechSynthesizer, SpeechText, SpeechUsage,
};
use crate::speech::audio;

/// What a [`ToneSpeech`] does instead of speaking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToneFault {
    /// It fails so.
    Fail(ProviderErrorKind),
    /// It panics.
    Panic,
    /// It never comes to an end.
    Hang,
}

/// A synthesizer that plays a tone of its own for each sign, 60 ms long, and goes wrong when a test tells it to. It has one
/// language, `en`, and one voice, `tone`; a character costs 16 millionths of a dollar. Clones are the same synthesizer.
#[derive(Clone)]
pub struct ToneSpeech {
    name: ProviderName,
    state: Arc<Mutex<State>>,
    /// Closed as long as [`hold`](Self::hold) says.
    gate: Arc<Semaphore>,
}

#[derive(Default)]
struct State {
    asked: Vec<SpeechRequest>,
    faults: VecDeque<ToneFault>,
    away: Option<ProviderErrorKind>,
    usage: SpeechUsage,
}

impl ToneSpeech {
    /// A synthesizer of this name.
    pub fn new(name: &str) -> Self {
        let gate = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self { name: ProviderName::new(name), state: Arc::default(), gate }
    }

    /// Has the next text for which nothing else is to go wrong go wrong.
    pub fn fail_next(&self, fault: ToneFault) {
        self.state().faults.push_back(fault);
    }

    /// Fails so at every text from now on, or at none.
    pub fn set_away(&self, away: Option<ProviderErrorKind>) {
        self.state().away = away;
    }

    /// Lets nobody come to an end until [`release`](Self::release). They count as asked.
    pub fn hold(&self) {
        self.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    /// Lets everybody come to an end.
    pub fn release(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS - self.gate.available_permits());
    }

    /// What it was asked for, also where it failed.
    pub fn asked(&self) -> Vec<SpeechRequest> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, kind: ProviderErrorKind) -> ProviderError {
        ProviderError::not_sent(&self.name, "synthesize", kind).with_source("it was told to")
    }

    fn begin(&self, request: &SpeechRequest) -> Option<ToneFault> {
        let mut state = self.state();
        state.asked.push(request.clone());
        state.faults.pop_front().or(state.away.map(ToneFault::Fail))
    }
}

#[async_trait]
impl SpeechSynthesizer for ToneSpeech {
    fn name(&self) -> ProviderName {
        self.name.clone()
    }

    fn usage(&self) -> SpeechUsage {
        self.state().usage
    }

    async fn synthesize(&self, request: &SpeechRequest) -> Result<Bytes, ProviderError> {
        if request.is_blank() {
            return Ok(Bytes::new());
        }
        let fault = self.begin(request);
        drop(self.gate.acquire().await);
        match fault {
            Some(ToneFault::Fail(kind)) => return Err(self.error(kind)),
            Some(ToneFault::Panic) => panic!("it was told to"),
            Some(ToneFault::Hang) => std::future::pending().await,
            None => {}
        }
        let known = |asked: &Option<String>, own: &str| asked.as_deref().is_none_or(|asked| asked == own);
        if !known(&request.voice, "tone")
            || !known(&request.language, "en")
            || request.written != SpeechText::Plain
        {
            return Err(self.error(ProviderErrorKind::Unsupported));
        }
        let text = request.text.expose();
        let characters = u64::try_from(text.chars().count()).unwrap_or_default();
        let billed = SpeechUsage { characters, cost_usd_micros: 16 * characters };
        let mut state = self.state();
        state.usage = state.usage + billed;
        drop(state);
        Ok(audio::encode(&tones(text), RATE, request.format))
    }
}

const RATE: u32 = 8_000;

/// 60 ms for each sign.
fn tones(text: &str) -> Vec<i16> {
    let tone = |sign: char| {
        let step = std::f64::consts::TAU * f64::from(300 + u32::from(sign) % 97 * 20) / f64::from(RATE);
        (0..RATE * 60 / 1_000).map(move |n| (8_000.0 * (step * f64::from(n)).sin()) as i16)
    };
    text.chars().flat_map(tone).collect()
}

impl fmt::Debug for ToneSpeech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToneSpeech").field("name", &self.name).finish_non_exhaustive()
    }
}
