//! Time, always passed in: nothing in Rivvi reads the wall clock except [`SystemClock`].

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

/// What time it is, and how to wait.
#[async_trait]
pub trait Clock: Debug + Send + Sync + 'static {
    /// The instant by the wall clock. May step when the machine's clock is set.
    fn now(&self) -> DateTime<Utc>;

    /// Time passed since some fixed moment; never goes back, and goes on while the process is paused.
    fn monotonic(&self) -> Duration;

    /// Returns at `at`, or at once if that is past. Dropping the future is harmless.
    async fn sleep_until(&self, at: DateTime<Utc>);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// The clock of the machine.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    pub fn new() -> Self {
        Self { origin: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> DateTime<Utc> {
        std::time::SystemTime::now().into()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that sleeps")]
    async fn sleep_until(&self, at: DateTime<Utc>) {
        // Waits in slices, so that a clock that was set meanwhile is noticed.
        while let Ok(left) = (at - self.now()).to_std() {
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_secs(60))).await;
        }
    }
}

/// A clock that runs `speed` times as fast as the machine's, from a chosen instant: for demonstrations and tests
/// in which a day passes in seconds.
#[derive(Debug)]
pub struct ScaledClock {
    machine: SystemClock,
    start: DateTime<Utc>,
    speed: f64,
}

impl ScaledClock {
    /// A clock that shows `start` now and then passes `speed` seconds for each real second. `speed` is raised to
    /// at least 0.001.
    pub fn new(start: DateTime<Utc>, speed: f64) -> Self {
        Self { machine: SystemClock::new(), start, speed: speed.max(0.001) }
    }
}

#[async_trait]
impl Clock for ScaledClock {
    fn now(&self) -> DateTime<Utc> {
        self.start + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic().mul_f64(self.speed)
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        while let Ok(left) = (at - self.now()).to_std() {
            if left.is_zero() {
                return;
            }
            let real = left.div_f64(self.speed).max(Duration::from_micros(200));
            self.machine.sleep_until(self.machine.now() + real).await;
        }
    }
}

/// A clock that stands still until it is moved: for tests, simulations and runs "as fast as possible".
#[derive(Debug)]
pub struct VirtualClock {
    start: DateTime<Utc>,
    now: Mutex<DateTime<Utc>>,
    moved: Notify,
}

impl VirtualClock {
    /// A clock that shows `start`.
    pub fn new(start: DateTime<Utc>) -> Self {
        Self { start, now: Mutex::new(start), moved: Notify::new() }
    }

    /// Moves the clock to `at`; an instant in the past leaves it where it is.
    pub fn advance_to(&self, at: DateTime<Utc>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (*now).max(at);
        self.moved.notify_waiters();
    }

    /// Moves the clock forward by `span`.
    pub fn advance(&self, span: Duration) {
        self.advance_to(self.now() + TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX));
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn monotonic(&self) -> Duration {
        (self.now() - self.start).to_std().unwrap_or_default()
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if self.now() >= at {
                return;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_virtual_clock_wakes_sleepers_when_it_is_moved() {
        let clock = std::sync::Arc::new(VirtualClock::new(DateTime::UNIX_EPOCH));
        let at = clock.now() + Duration::from_secs(3600);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(at).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(3599));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        sleeper.await.unwrap();
        clock.advance_to(DateTime::UNIX_EPOCH);
        assert_eq!(clock.now(), at, "it never goes back");
    }

    #[tokio::test]
    async fn a_scaled_clock_passes_faster() {
        let clock = ScaledClock::new(DateTime::UNIX_EPOCH, 100_000.0);
        clock.sleep_until(DateTime::UNIX_EPOCH + Duration::from_secs(600)).await;
        assert!(clock.now() >= DateTime::UNIX_EPOCH + Duration::from_secs(600));
    }
}
