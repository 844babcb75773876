//! Requests that keep their distance, and pauses before those that are repeated.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rivvi_core::clock::{Clock, SystemClock};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The first pause before a repetition is at most this long; each may be twice as long as the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// The longest pause before a repetition.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Lets requests pass one after the other, so many a second and so many at once.
#[derive(Debug)]
pub(crate) struct Pace {
    clock: SystemClock,
    distance: Duration,
    /// When the next request may be sent.
    next: Mutex<Duration>,
    turns: Semaphore,
}

impl Pace {
    pub(crate) fn new(per_second: NonZeroU32, at_once: NonZeroU32) -> Self {
        Self {
            clock: SystemClock::new(),
            distance: Duration::from_secs(1) / per_second.get(),
            next: Mutex::default(),
            turns: Semaphore::new(usize::try_from(at_once.get()).unwrap_or(Semaphore::MAX_PERMITS)),
        }
    }

    /// Waits for a turn, which lasts as long as what is returned is kept.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed, so there is always one.
        let turn = self.turns.acquire().await.ok();
        let now = self.clock.monotonic();
        let at = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let at = now.max(*next);
            *next = at + self.distance;
            at
        };
        self.sleep(at - now).await;
        turn
    }

    /// Whether to repeat a request for the `nth` time, after a pause that ends before `give_up`.
    pub(crate) async fn pause(&self, nth: u32, give_up: Duration) -> bool {
        let longest = (PAUSE_FIRST * 2_u32.saturating_pow(nth)).min(PAUSE_MAX);
        let pause = longest.mul_f64(SmallRng::from_os_rng().random_range(0.5..1.0));
        if self.now() + pause >= give_up {
            return false;
        }
        self.sleep(pause).await;
        true
    }

    /// Time since it was made.
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    async fn sleep(&self, span: Duration) {
        if !span.is_zero() {
            self.clock.sleep_until(self.clock.now() + span).await;
        }
    }
}
