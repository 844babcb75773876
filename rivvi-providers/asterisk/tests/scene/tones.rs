//! A recognizer of a language of three tones.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{
    AudioFormat, ProviderError, ProviderErrorKind, Recognition, RecognitionRequest, Recognized,
    SpeechRecognizer,
};

/// The words, and their tones in hertz.
const WORDS: [(&str, f64); 3] = [("low", 500.0), ("mid", 900.0), ("high", 1300.0)];
/// 20 ms at 8000 samples a second.
const BLOCK: usize = 160;
/// So much silence ends what is said.
const SILENCE: usize = 30;

/// Understands tones, and notes what it was given.
#[derive(Debug, Default)]
pub(crate) struct Tones {
    noted: Arc<Mutex<Noted>>,
    /// Nothing is understood.
    fails: bool,
}

/// What it was given.
#[derive(Debug, Default, Clone)]
pub(crate) struct Noted {
    pub(crate) requests: Vec<RecognitionRequest>,
    pub(crate) samples: usize,
    pub(crate) first_at: Option<Duration>,
    pub(crate) last_at: Option<Duration>,
    /// How long each word was.
    pub(crate) words: Vec<(&'static str, Duration)>,
}

impl Tones {
    pub(crate) fn new(fails: bool) -> Self {
        Self { fails, ..Self::default() }
    }

    pub(crate) fn noted(&self) -> Noted {
        self.noted.lock().unwrap().clone()
    }
}

#[async_trait]
impl SpeechRecognizer for Tones {
    fn name(&self) -> ProviderName {
        ProviderName::new("tones")
    }

    async fn start(&self, request: &RecognitionRequest) -> Result<Box<dyn Recognition>, ProviderError> {
        self.noted.lock().unwrap().requests.push(request.clone());
        if self.fails || request.format != AudioFormat::Linear8k {
            return Err(ProviderError::not_sent(&self.name(), "start", ProviderErrorKind::Unsupported));
        }
        Ok(Box::new(Listening {
            clock: SystemClock::new(),
            noted: self.noted.clone(),
            rest: vec![],
            current: (None, 0),
            words: vec![],
            told: 0,
        }))
    }
}

#[derive(Debug)]
struct Listening {
    clock: SystemClock,
    noted: Arc<Mutex<Noted>>,
    rest: Vec<i16>,
    /// What is heard, for how many blocks.
    current: (Option<&'static str>, usize),
    words: Vec<&'static str>,
    told: usize,
}

#[async_trait]
impl Recognition for Listening {
    async fn hear(&mut self, audio: Bytes) -> Result<Vec<Recognized>, ProviderError> {
        let samples = audio.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        self.rest.extend(samples);
        {
            let mut noted = self.noted.lock().unwrap();
            noted.samples += audio.len() / 2;
            noted.first_at.get_or_insert(self.clock.monotonic());
            noted.last_at = Some(self.clock.monotonic());
        }
        let whole = self.rest.len() / BLOCK * BLOCK;
        let blocks: Vec<i16> = self.rest.drain(..whole).collect();
        let mut last = false;
        for block in blocks.chunks_exact(BLOCK) {
            last |= self.block(block);
        }
        if self.words.len() == self.told && !last {
            return Ok(vec![]);
        }
        self.told = self.words.len();
        Ok(vec![Recognized { text: self.words.join(" ").into(), confidence: 1.0, last }])
    }
}

impl Listening {
    /// Takes 20 ms. Returns whether the speaker is done.
    fn block(&mut self, block: &[i16]) -> bool {
        let heard = word(block);
        let (word, blocks) = self.current;
        if heard == word {
            self.current.1 += 1;
        } else {
            if let Some(word) = word.filter(|_| blocks >= 4) {
                self.words.push(word);
                let length = Duration::from_millis(20) * u32::try_from(blocks).unwrap();
                self.noted.lock().unwrap().words.push((word, length));
            }
            self.current = (heard, 1);
        }
        self.current.0.is_none() && self.current.1 >= SILENCE && !self.words.is_empty()
    }
}

/// The word whose tone has most of the energy of a block that is not silent.
fn word(block: &[i16]) -> Option<&'static str> {
    let energy: f64 = block.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    if energy / (block.len() as f64) < 200.0 * 200.0 {
        return None;
    }
    let of_tone = |hertz: f64| {
        let step = std::f64::consts::TAU * hertz / 8000.0;
        let parts = block.iter().enumerate().map(|(at, sample)| {
            let (sine, cosine) = (step * at as f64).sin_cos();
            (f64::from(*sample) * sine, f64::from(*sample) * cosine)
        });
        let (sine, cosine) = parts.fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        2.0 * (sine * sine + cosine * cosine) / block.len() as f64
    };
    WORDS.into_iter().find(|(_, hertz)| of_tone(*hertz) > 0.6 * energy).map(|(word, _)| word)
}
