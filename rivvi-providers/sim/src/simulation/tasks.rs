//! Futures that a seed takes turns with, and the time they wait for.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::{Clock, VirtualClock};
use tokio::sync::Notify;

/// Something a node does.
pub(super) struct Task<Work, Done> {
    pub(super) node: usize,
    pub(super) work: Work,
    future: Pin<Box<dyn Future<Output = Done> + Send>>,
    flag: Arc<Flag>,
}

impl<Work, Done> Task<Work, Done> {
    pub(super) fn new(
        node: usize,
        work: Work,
        woken: &Arc<Notify>,
        future: impl Future<Output = Done> + Send + 'static,
    ) -> Self {
        let flag = Arc::new(Flag { ready: AtomicBool::new(true), woken: woken.clone() });
        Self { node, work, future: Box::pin(future), flag }
    }

    /// Whether it has something to do.
    pub(super) fn is_ready(&self) -> bool {
        self.flag.ready.load(Ordering::Acquire)
    }

    /// Lets it go on to its next await.
    pub(super) fn poll(&mut self) -> Poll<Done> {
        self.flag.ready.store(false, Ordering::Release);
        let waker = self.flag.clone().into();
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

struct Flag {
    ready: AtomicBool,
    woken: Arc<Notify>,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.ready.store(true, Ordering::Release);
        self.woken.notify_one();
    }
}

/// The instants for which somebody waits.
#[derive(Debug, Default)]
pub(super) struct Timers {
    waited_for: Mutex<BTreeSet<(DateTime<Utc>, u64)>>,
}

impl Timers {
    /// The first of them after `now`. What is past is waited for by a node that stands still.
    pub(super) fn next_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.waited_for().range((now, u64::MAX)..).next().map(|(at, _)| *at)
    }

    fn waited_for(&self) -> MutexGuard<'_, BTreeSet<(DateTime<Utc>, u64)>> {
        self.waited_for.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of a node: it may differ from the true one, and tells the world for when it is wanted.
#[derive(Debug, Clone)]
pub(super) struct NodeClock {
    pub(super) base: Arc<VirtualClock>,
    pub(super) skew: TimeDelta,
    pub(super) timers: Arc<Timers>,
}

/// Taken off when nobody waits any more.
struct Waiting<'a> {
    timers: &'a Timers,
    entry: (DateTime<Utc>, u64),
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.timers.waited_for().remove(&self.entry);
    }
}

#[async_trait]
impl Clock for NodeClock {
    fn now(&self) -> DateTime<Utc> {
        self.base.now() + self.skew
    }

    fn monotonic(&self) -> Duration {
        self.base.monotonic()
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        let at = at.checked_sub_signed(self.skew).unwrap_or(at);
        if at <= self.base.now() {
            return;
        }
        let _waiting = {
            let mut waited_for = self.timers.waited_for();
            let nth = (0..).find(|nth| !waited_for.contains(&(at, *nth))).unwrap_or_default();
            waited_for.insert((at, nth));
            Waiting { timers: &self.timers, entry: (at, nth) }
        };
        self.base.sleep_until(at).await;
    }
}
