//! A synthesizer behind its circuit breaker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::engine::breaker::{Allowance, Breaker};
use crate::provider::{ProviderError, ProviderErrorKind, SpeechRequest, SpeechSynthesizer};

#[derive(Debug)]
pub(super) struct Source {
    pub(super) synthesizer: Arc<dyn SpeechSynthesizer>,
    breaker: Mutex<Breaker>,
}

impl Source {
    pub(super) fn new(synthesizer: Arc<dyn SpeechSynthesizer>) -> Self {
        Self { synthesizer, breaker: Mutex::default() }
    }

    /// Whether it may be asked now.
    pub(super) fn admit(&self, now: DateTime<Utc>) -> Result<(), ProviderError> {
        match self.breaker().allowance(now) {
            Allowance::Free | Allowance::Trial => Ok(()),
            Allowance::NoneBefore(until) => {
                let error = self.error(ProviderErrorKind::Unavailable);
                let error = error.with_retry_after((until - now).to_std().ok());
                Err(error.with_source("it failed several times in a row and is left alone for a while"))
            }
        }
    }

    /// It was admitted, and is not asked.
    pub(super) fn not_asked(&self, now: DateTime<Utc>) {
        self.breaker().give_back_trial(now);
    }

    /// Asks it, for so long.
    pub(super) async fn speak(
        &self,
        request: &SpeechRequest,
        for_long: Duration,
        clock: &dyn Clock,
    ) -> Result<Bytes, ProviderError> {
        let spoken = tokio::time::timeout(for_long, self.synthesizer.synthesize(request)).await;
        let spoken =
            spoken.unwrap_or_else(|late| Err(self.error(ProviderErrorKind::Timeout).with_source(late)));
        match &spoken {
            Ok(_) => self.breaker().succeeded(clock.now()),
            Err(error) => self.breaker().failed(error, clock.now()),
        }
        spoken
    }

    pub(super) fn error(&self, kind: ProviderErrorKind) -> ProviderError {
        ProviderError::not_sent(&self.synthesizer.name(), "synthesize", kind)
    }

    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
