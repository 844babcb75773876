//! Wake-ups between nodes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fred::clients::SubscriberClient;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::storage::Wakeups;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::connection::{Redis, Supervised};

/// How often the subscription is renewed when nothing else happens, which finds a connection that died silently.
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// How long a failed subscription is left alone.
const REST: Duration = Duration::from_millis(200);

/// [`Wakeups`] by a channel of Redis, heard on a connection of its own.
///
/// Whoever listens is woken within a round trip. After a lost connection it subscribes again and counts that as a
/// wake-up, since one may have been missed. Give each engine its own, or share one: everybody who waits is woken.
pub struct RedisWakeups {
    redis: Redis,
    channel: String,
    told: Arc<watch::Sender<u64>>,
    /// The last wake-up that somebody was woken by.
    seen: AtomicU64,
    listener: JoinHandle<()>,
    _connection: Supervised,
}

impl RedisWakeups {
    /// Begins to listen on the channel of the connection's prefix. Must be called on a Tokio runtime.
    pub fn new(redis: &Redis) -> Self {
        let channel = format!("{}:wake", redis.prefix());
        let told = Arc::new(watch::Sender::new(0));
        let client = redis.settings().subscriber();
        let listener = tokio::spawn(listen(client.clone(), channel.clone(), told.clone()));
        let connection = Supervised::start(client);
        Self {
            redis: redis.clone(),
            channel,
            told,
            seen: AtomicU64::new(0),
            listener,
            _connection: connection,
        }
    }
}

#[async_trait]
impl Wakeups for RedisWakeups {
    async fn wake(&self) {
        // Who does not hear it looks by itself, later.
        let _ = self.redis.answer(self.redis.client().publish::<(), _, _>(self.channel.as_str(), "")).await;
    }

    async fn woken(&self) {
        let mut told = self.told.subscribe();
        let now = *told.borrow_and_update();
        // Told while nobody waited?
        if self.seen.swap(now, Ordering::Relaxed) != now {
            return;
        }
        if told.changed().await.is_ok() {
            self.seen.store(*told.borrow(), Ordering::Relaxed);
        }
    }
}

impl Drop for RedisWakeups {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl fmt::Debug for RedisWakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisWakeups").field("redis", &self.redis).finish_non_exhaustive()
    }
}

/// Keeps subscribed and passes on what is told, for ever.
async fn listen(client: SubscriberClient, channel: String, told: Arc<watch::Sender<u64>>) {
    let clock = SystemClock::new();
    let (mut messages, mut reconnects) = (client.message_rx(), client.reconnect_rx());
    let mut was_subscribed = false;
    loop {
        if client.subscribe(channel.as_str()).await.is_err() {
            if std::mem::take(&mut was_subscribed) {
                let _ = client.force_reconnection().await;
            }
            clock.sleep_until(clock.now() + REST).await;
            continue;
        }
        // Something may have been told before.
        let mut tell = !std::mem::replace(&mut was_subscribed, true);
        loop {
            if std::mem::take(&mut tell) {
                told.send_modify(|times| *times += 1);
            }
            tokio::select! {
                message = messages.recv() => match message {
                    Ok(_) | Err(RecvError::Lagged(_)) => tell = true,
                    Err(RecvError::Closed) => return,
                },
                _ = reconnects.recv() => {
                    was_subscribed = false;
                    break;
                }
                () = clock.sleep_until(clock.now() + RENEW_EVERY) => break,
            }
        }
    }
}
