//! Wake-ups between nodes by `NOTIFY` and `LISTEN`.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::storage::Wakeups;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{PgConnection, Postgres};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::connection::connect;
use crate::error::Failure;
use crate::options::PostgresOptions;

/// How long one telling may take.
const TELL_MAX: Duration = Duration::from_secs(2);

/// A listener that hears nothing for so long asks whether it still could.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The longest pause before the listener connects again.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Wake-ups between the nodes on one schema: a notification in a channel named after it.
///
/// One connection tells, outside of every other transaction because commits that notify queue behind each other; one
/// listens, and is made anew when it is lost. Get it from [`PostgresStorage::wakeups`](crate::PostgresStorage::wakeups).
pub struct PostgresWakeups {
    server: PgConnectOptions,
    connect_timeout: Duration,
    channel: String,
    clock: SystemClock,
    teller: Mutex<Option<PgConnection>>,
    listener: Mutex<Listening>,
}

#[derive(Default)]
struct Listening {
    listener: Option<PgListener>,
    /// Times in a row that connecting failed.
    failures: u32,
}

impl PostgresWakeups {
    pub(crate) fn new(options: &PostgresOptions) -> Self {
        Self {
            server: options.connection(),
            connect_timeout: options.connect_timeout,
            channel: format!("rivvi_{}", options.schema),
            clock: SystemClock::new(),
            teller: Mutex::default(),
            listener: Mutex::default(),
        }
    }

    async fn tell(&self) -> Result<(), Failure> {
        let mut teller = self.teller.lock().await;
        // It is put back when it has answered; one that was left in the middle is gone.
        let mut connection = match teller.take() {
            Some(connection) => connection,
            None => connect(&self.server, self.connect_timeout).await?,
        };
        let notify = sqlx::query::<Postgres>("SELECT pg_notify($1, '')").bind(&self.channel);
        notify.execute(&mut connection).await?;
        *teller = Some(connection);
        Ok(())
    }

    async fn listen(&self) -> Result<PgListener, Failure> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.connect_timeout)
            .connect_with(self.server.clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(&self.channel).await?;
        Ok(listener)
    }
}

#[async_trait]
impl Wakeups for PostgresWakeups {
    async fn wake(&self) {
        // A connection that was lost while it was idle is noticed at its next use; the second try has a new one.
        for _ in 0..2 {
            match timeout(TELL_MAX, self.tell()).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::debug!(?error, "other nodes could not be woken"),
                Err(_) => tracing::debug!("other nodes could not be woken in time"),
            }
        }
    }

    async fn woken(&self) {
        let mut listening = self.listener.lock().await;
        let Some(listener) = &mut listening.listener else {
            if listening.failures > 0 {
                let pause = Duration::from_millis(50 << listening.failures.min(10)).min(BACKOFF_MAX);
                self.clock.sleep_until(self.clock.now() + pause).await;
            }
            listening.failures += 1;
            match self.listen().await {
                Ok(listener) => *listening = Listening { listener: Some(listener), failures: 0 },
                Err(error) => tracing::debug!(?error, "cannot listen for other nodes"),
            }
            // Whatever was told before was missed.
            return;
        };
        loop {
            let heard = match timeout(SILENCE_MAX, listener.try_recv()).await {
                Ok(heard) => heard.is_ok_and(|heard| heard.is_some()),
                Err(_) => match timeout(TELL_MAX, sqlx::query("SELECT 1").execute(&mut *listener)).await {
                    Ok(Ok(_)) => continue,
                    _ => false,
                },
            };
            if heard {
                // Everything that came meanwhile is told by this.
                while listener.next_buffered().is_some() {}
            } else {
                listening.listener = None;
            }
            return;
        }
    }
}

impl fmt::Debug for PostgresWakeups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresWakeups").field("channel", &self.channel).finish_non_exhaustive()
    }
}
