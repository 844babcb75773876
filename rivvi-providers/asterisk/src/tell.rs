//! Telling the engine, in the order things happened, until it has stored them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rivvi_core::clock::Clock;
use rivvi_core::domain::CallId;
use rivvi_core::provider::{CallEvent, CallRef, CallUpdate, UpdateSink};
use tokio::sync::mpsc;

use crate::server::Server;

/// Updates delivered at once.
const BATCH: usize = 500;
const AGAIN_MIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(5);

/// What is to be told, and by whom it was seen.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) call: CallId,
    pub(crate) update: CallUpdate,
    pub(crate) server: Arc<Server>,
}

/// The way to the engine.
#[derive(Debug)]
pub(crate) struct Teller {
    queue: mpsc::UnboundedSender<Told>,
    sink: Arc<RwLock<Option<Arc<dyn UpdateSink>>>>,
}

impl Teller {
    /// The teller and what it does, to be run beside it.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (queue, told) = mpsc::unbounded_channel();
        let sink = Arc::new(RwLock::new(None));
        (Self { queue, sink: sink.clone() }, deliver(told, sink, clock))
    }

    /// From now on everything is delivered there, also what waits.
    pub(crate) fn deliver_to(&self, sink: Arc<dyn UpdateSink>) {
        *self.sink.write().unwrap_or_else(PoisonError::into_inner) = Some(sink);
    }

    pub(crate) fn tell(
        &self,
        server: &Arc<Server>,
        call: CallId,
        event: CallEvent,
        at: chrono::DateTime<chrono::Utc>,
    ) {
        let update = CallUpdate { call: CallRef::Id(call), at, event };
        let _ = self.queue.send(Told { call, update, server: server.clone() });
    }
}

async fn deliver(
    mut queue: mpsc::UnboundedReceiver<Told>,
    sink: Arc<RwLock<Option<Arc<dyn UpdateSink>>>>,
    clock: Arc<dyn Clock>,
) {
    let mut told = Vec::new();
    while queue.recv_many(&mut told, BATCH).await > 0 {
        let updates: Vec<CallUpdate> = told.iter().map(|told| told.update.clone()).collect();
        let mut wait = AGAIN_MIN;
        loop {
            let to = sink.read().unwrap_or_else(PoisonError::into_inner).clone();
            match to {
                Some(sink) => match sink.deliver(updates.clone()).await {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::warn!(%error, updates = updates.len(), "updates are delivered again")
                    }
                },
                None => tracing::debug!("updates wait until the engine connects"),
            }
            clock.sleep_until(clock.now() + wait).await;
            wait = (wait * 2).min(AGAIN_MAX);
        }
        // Only now nobody needs the server's own note of the end any more.
        for Told { call, server, .. } in told.drain(..).filter(|told| is_end(&told.update)) {
            tokio::spawn(async move { server.forget(call).await });
        }
    }
}

fn is_end(update: &CallUpdate) -> bool {
    matches!(update.event, CallEvent::Ended { .. })
}
