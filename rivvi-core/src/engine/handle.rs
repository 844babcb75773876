//! A running engine.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::trouble::Loop;
use super::{Inner, Rivvi};
use crate::storage::StorageError;

/// A running engine. Dropping it lets the engine run on; [`shutdown`](Self::shutdown) ends it.
#[derive(Debug)]
#[must_use = "without the handle the engine cannot be shut down"]
pub struct EngineHandle {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Rivvi {
    /// Runs the engine on the current Tokio runtime until it is shut down: due contacts are called, a freed slot is
    /// refilled at once, runs start and end at their time.
    ///
    /// Errors of the store are logged and tried again, with a growing pause of up to 10 s; meanwhile
    /// [`trouble`](Self::trouble) tells them.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn spawn(&self) -> EngineHandle {
        let (stop, stopped) = watch::channel(false);
        let dispatching = tokio::spawn(kept_alive(self.inner.clone(), stopped.clone(), dispatch_loop));
        let upkeep = tokio::spawn(kept_alive(self.inner.clone(), stopped.clone(), upkeep_loop));
        let listening = tokio::spawn(kept_alive(self.inner.clone(), stopped, listen_loop));
        EngineHandle { stop, tasks: vec![dispatching, upkeep, listening] }
    }
}

impl EngineHandle {
    /// Ends the engine gracefully: no call begins any more, and the answers of providers that were asked are awaited
    /// and stored. Calls under way go on; the next engine on the store takes them over.
    pub async fn shutdown(self) {
        let _ = self.stop.send(true);
        for task in self.tasks {
            if task.await.is_err() {
                tracing::error!("a task of the engine ended badly");
            }
        }
    }
}

/// Runs a loop of the engine until it is stopped, and begins it anew if it panics: a defect of a provider or of a
/// host's hook must not end the engine for everyone.
async fn kept_alive<F>(
    inner: Arc<Inner>,
    mut stopped: watch::Receiver<bool>,
    run: fn(Arc<Inner>, watch::Receiver<bool>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    // The text of a panic may hold personal data, so it is not logged.
    while tokio::spawn(run(inner.clone(), stopped.clone())).await.is_err() {
        tracing::error!("a loop of the engine panicked and begins anew");
        until_stopped(inner.clock.sleep_until(inner.clock.now() + AFTER_PANIC), &mut stopped).await;
    }
}

/// How long a loop rests after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(1);

async fn dispatch_loop(inner: Arc<Inner>, mut stopped: watch::Receiver<bool>) {
    let _running = Running::new(&inner);
    let mut placing = JoinSet::new();
    let mut pause = Pause::of(Loop::Dispatch);
    while !*stopped.borrow() {
        let round = match inner.dispatch().await {
            Ok(round) => round,
            Err(error) => {
                pause.after(&inner, &error, &mut stopped).await;
                continue;
            }
        };
        pause.none(&inner);
        let next_at = inner.next_at(&round, None).await.unwrap_or(None);
        for placement in round.placements {
            let inner = inner.clone();
            placing.spawn(async move {
                let inputs = inner.place(placement).await;
                inner.submit_patiently(inputs).await;
            });
        }
        if !round.receipts.is_empty() {
            let inner = inner.clone();
            placing.spawn(async move {
                if let Err(error) = inner.look_up_receipts(round.receipts).await {
                    tracing::warn!(%error, "what was found of messages could not be stored; they are looked up again");
                }
            });
        }
        while placing.try_join_next().is_some() {}
        let now = inner.clock.now();
        let at = next_at.unwrap_or(now + inner.config.idle_max).min(now + inner.config.idle_max);
        // Where time runs fast no sleep may be long enough to let others have their turn.
        tokio::task::yield_now().await;
        // What is due already is up to the upkeep, or came in just now.
        let sleep = inner.clock.sleep_until(at.max(now + BREATH));
        let wake = inner.dispatch_wake.notified();
        tokio::pin!(wake);
        until_stopped(select(sleep, wake), &mut stopped).await;
    }
    while placing.join_next().await.is_some() {}
}

async fn upkeep_loop(inner: Arc<Inner>, mut stopped: watch::Receiver<bool>) {
    let mut pause = Pause::of(Loop::Upkeep);
    while !*stopped.borrow() {
        let next = match inner.upkeep().await {
            Ok(next) => next,
            Err(error) => {
                pause.after(&inner, &error, &mut stopped).await;
                continue;
            }
        };
        pause.none(&inner);
        inner.write_copies_soon();
        inner.dispatch_wake.notify_one();
        let now = inner.clock.now();
        let at = next.unwrap_or(now + inner.config.idle_max).min(now + inner.config.idle_max);
        // Waking at every event would make upkeep compete with dispatching: a short rest gathers events.
        let rest = inner.clock.sleep_until((now + REST).min(at));
        if !until_stopped(rest, &mut stopped).await {
            continue;
        }
        let sleep = inner.clock.sleep_until(at);
        let wake = inner.upkeep_wake.notified();
        tokio::pin!(wake);
        until_stopped(select(sleep, wake), &mut stopped).await;
    }
    inner.within(inner.write_copies()).await;
}

/// Looks for work when another node says that there is some.
async fn listen_loop(inner: Arc<Inner>, mut stopped: watch::Receiver<bool>) {
    while until_stopped(inner.storage.wakeups.woken(), &mut stopped).await {
        inner.wake_here();
    }
}

/// Counts a dispatching loop while it runs.
#[derive(Debug)]
struct Running(Arc<Inner>);

impl Running {
    fn new(inner: &Arc<Inner>) -> Self {
        inner.loops.fetch_add(1, Ordering::Relaxed);
        Self(inner.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.loops.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits for `work`. Returns whether it came to its end before the engine was told to stop.
async fn until_stopped<T>(
    work: impl Future<Output = T> + Unpin,
    stopped: &mut watch::Receiver<bool>,
) -> bool {
    let stop = async {
        // Whoever dropped the handle cannot stop the engine any more: it runs on.
        if stopped.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::pin!(stop);
    matches!(select(work, stop).await, Either::Left(_))
}

/// The least time between two rounds of dispatching that nothing woke.
const BREATH: Duration = Duration::from_millis(5);

/// The least time between two rounds of upkeep.
const REST: Duration = Duration::from_millis(50);

/// A growing pause after errors of the store.
#[derive(Debug)]
struct Pause {
    of: Loop,
    errors: u32,
}

impl Pause {
    fn of(of: Loop) -> Self {
        Self { of, errors: 0 }
    }

    async fn after(&mut self, inner: &Inner, error: &StorageError, stopped: &mut watch::Receiver<bool>) {
        self.errors += 1;
        let wait = Duration::from_millis(100 << self.errors.min(7)).min(Duration::from_secs(10));
        tracing::error!(%error, "the store failed; trying again in {wait:?}");
        inner.note_trouble(self.of, error);
        until_stopped(inner.clock.sleep_until(inner.clock.now() + wait), stopped).await;
    }

    /// The store works.
    fn none(&mut self, inner: &Inner) {
        if std::mem::take(&mut self.errors) > 0 {
            inner.end_trouble(self.of);
        }
    }
}
