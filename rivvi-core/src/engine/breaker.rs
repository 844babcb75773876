//! A circuit breaker for each provider: pure, driven by the engine and by speech that is kept.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::provider::{ProviderError, ProviderErrorKind};

/// Keeps a failing provider from being asked: after five failures in a row it is left alone for 30 s, then one call
/// tries it; each failed trial doubles the pause, up to 10 minutes. A provider that asks to slow down is left alone
/// for as long as it says. Answers to calls that were asked for before the pause change nothing about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Breaker {
    failures: u32,
    open_until: Option<DateTime<Utc>>,
    pause: Duration,
    /// One call is trying whether the provider works again.
    trial: bool,
}

const FAILURES_MAX: u32 = 5;
const PAUSE_MIN: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(600);
const SLOW_DOWN: Duration = Duration::from_secs(5);

impl Breaker {
    /// How many calls may be placed at `now`. A trial is given once; until its answer nobody else tries.
    pub(crate) fn allowance(&mut self, now: DateTime<Utc>) -> Allowance {
        match self.open_until {
            Some(until) if now < until => Allowance::NoneBefore(until),
            Some(_) => {
                self.trial = true;
                self.open_until = Some(now + PAUSE_MIN);
                Allowance::Trial
            }
            None => Allowance::Free,
        }
    }

    /// The trial was not used: the next who asks gets it.
    pub(crate) fn give_back_trial(&mut self, now: DateTime<Utc>) {
        if std::mem::take(&mut self.trial) {
            self.open_until = Some(now);
        }
    }

    pub(crate) fn succeeded(&mut self, now: DateTime<Utc>) {
        if self.is_closed_or_trying(now) {
            *self = Self::default();
        }
    }

    pub(crate) fn failed(&mut self, error: &ProviderError, now: DateTime<Utc>) {
        match error.kind {
            ProviderErrorKind::RateLimited => {
                let until = now + error.retry_after.unwrap_or(SLOW_DOWN);
                self.open_until = Some(self.open_until.map_or(until, |known| known.max(until)));
                self.trial = false;
            }
            ProviderErrorKind::Unavailable | ProviderErrorKind::Timeout | ProviderErrorKind::Protocol => {
                if !self.is_closed_or_trying(now) {
                    return;
                }
                self.failures += 1;
                if self.failures >= FAILURES_MAX {
                    self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
                    self.open_until = Some(now + error.retry_after.unwrap_or_default().max(self.pause));
                    self.trial = false;
                }
            }
            // The provider is there and said no.
            _ => self.succeeded(now),
        }
    }

    fn is_closed_or_trying(&self, now: DateTime<Utc>) -> bool {
        self.trial || self.open_until.is_none_or(|until| until <= now)
    }
}

/// How many calls a provider may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// As many as the limits allow.
    Free,
    /// One, to see whether it works again.
    Trial,
    /// None before this instant.
    NoneBefore(DateTime<Utc>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProviderName;

    #[test]
    fn it_opens_after_five_failures_tries_once_and_doubles_its_pause() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let down = ProviderError::unknown(&ProviderName::new("p"), "place_call", ProviderErrorKind::Timeout);
        let mut breaker = Breaker::default();
        (0..4).for_each(|_| breaker.failed(&down, now));
        assert_eq!(breaker.allowance(now), Allowance::Free);
        breaker.failed(&down, now);
        assert_eq!(breaker.allowance(now), Allowance::NoneBefore(now + PAUSE_MIN));
        breaker.failed(&down, now);
        breaker.succeeded(now);
        assert_eq!(
            breaker.allowance(now),
            Allowance::NoneBefore(now + PAUSE_MIN),
            "late answers change nothing"
        );
        assert_eq!(breaker.allowance(now + PAUSE_MIN), Allowance::Trial);
        let nobody_else = Allowance::NoneBefore(now + PAUSE_MIN * 2);
        assert_eq!(breaker.allowance(now + PAUSE_MIN), nobody_else);
        breaker.give_back_trial(now + PAUSE_MIN);
        assert_eq!(breaker.allowance(now + PAUSE_MIN), Allowance::Trial, "an unused trial is given again");
        breaker.failed(&down, now + PAUSE_MIN);
        assert_eq!(breaker.allowance(now + PAUSE_MIN), Allowance::NoneBefore(now + PAUSE_MIN * 3));
        assert_eq!(breaker.allowance(now + PAUSE_MIN * 3), Allowance::Trial);
        breaker.succeeded(now + PAUSE_MIN * 3);
        assert_eq!(breaker.allowance(now + PAUSE_MIN * 3), Allowance::Free);
    }
}
