//! Connections to the server, and transactions on them.
//!
//! A verb may be dropped at any await, and a server may vanish at any time. So a connection counts as unsound from
//! before a statement is sent until its answer has arrived; one that is given back unsound, or with a transaction open,
//! is first rolled back in the background, and thrown away if that fails.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rivvi_core::clock::{Clock, SystemClock};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection as _, PgConnection, Postgres, Row as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::Failure;
use crate::options::PostgresOptions;

/// A connection that was idle for so long is asked whether it is still of use.
const CHECK_AFTER: Duration = Duration::from_secs(1);

/// A connection that was idle for so long is closed.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// How long looking after a connection may take before it is thrown away.
const CARE_MAX: Duration = Duration::from_secs(5);

/// The connections of a store.
pub(crate) struct Connections {
    shared: Arc<Shared>,
    permits: Arc<Semaphore>,
    acquire_timeout: Duration,
}

struct Shared {
    server: PgConnectOptions,
    connect_timeout: Duration,
    clock: SystemClock,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// With the instants at which they were given back, the latest last.
    connections: Vec<(PgConnection, Duration)>,
    /// Connections given back before this instant may be broken.
    suspect_before: Duration,
}

impl Connections {
    pub(crate) fn new(options: &PostgresOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                server: options.connection(),
                connect_timeout: options.connect_timeout,
                clock: SystemClock::new(),
                idle: Mutex::default(),
            }),
            permits: Arc::new(Semaphore::new(options.max_connections as usize)),
            acquire_timeout: options.acquire_timeout,
        }
    }

    /// A connection for statements that are each for themselves.
    pub(crate) async fn take(&self) -> Result<Connection, Failure> {
        let permit = timeout(self.acquire_timeout, self.permits.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else {
            return Err(Failure::unreachable("no connection became free in time; see `max_connections`"));
        };
        let connection = self.shared.connection().await?;
        Ok(Connection {
            inner: Some(connection),
            shared: self.shared.clone(),
            sound: true,
            open: false,
            permit: Some(permit),
        })
    }

    /// A connection with a transaction begun.
    pub(crate) async fn begin(&self) -> Result<Transaction, Failure> {
        let mut connection = self.take().await?;
        connection.open = true;
        connection.raw("BEGIN").await?;
        Ok(Transaction(connection))
    }

    /// A connection with a transaction begun by a statement without arguments. Returns whether that has rows.
    pub(crate) async fn begin_with(&self, statement: String) -> Result<(Transaction, bool), Failure> {
        let mut connection = self.take().await?;
        connection.open = true;
        let begin = sqlx::AssertSqlSafe(format!("BEGIN; {statement}"));
        let result = sqlx::raw_sql(begin).fetch_all(connection.use_it()?).await;
        let found = !connection.note(result)?.is_empty();
        Ok((Transaction(connection), found))
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Shared {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connection(&self) -> Result<PgConnection, Failure> {
        loop {
            let (latest, suspect_before) = {
                let mut idle = self.idle();
                (idle.connections.pop(), idle.suspect_before)
            };
            let Some((mut connection, since)) = latest else {
                return connect(&self.server, self.connect_timeout).await;
            };
            let now = self.clock.monotonic();
            if since >= suspect_before && now.saturating_sub(since) < CHECK_AFTER {
                return Ok(connection);
            }
            if let Ok(Ok(true)) = timeout(CARE_MAX, can_write(&mut connection)).await {
                return Ok(connection);
            }
        }
    }

    fn give_back(&self, connection: PgConnection) {
        let now = self.clock.monotonic();
        let mut idle = self.idle();
        idle.connections.retain(|(_, since)| now.saturating_sub(*since) < IDLE_MAX);
        idle.connections.push((connection, now));
    }

    /// What broke one connection has mostly broken all.
    fn suspect_all(&self) {
        let now = self.clock.monotonic();
        self.idle().suspect_before = now;
    }
}

/// A new connection to a server that can be written.
pub(crate) async fn connect(server: &PgConnectOptions, within: Duration) -> Result<PgConnection, Failure> {
    let connecting = async {
        let mut connection = server.connect().await?;
        if can_write(&mut connection).await? {
            return Ok(connection);
        }
        Err(Failure::unreachable("the server only reads: it is a standby, or another one took over"))
    };
    let connected = timeout(within, connecting).await;
    connected.unwrap_or_else(|_| Err(Failure::unreachable("connecting took too long")))
}

/// Whether the server can be written. After a failover a live connection may lead to one that only reads.
async fn can_write(connection: &mut PgConnection) -> Result<bool, Failure> {
    let only_reads = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
    let row = sqlx::query(only_reads).fetch_one(connection).await?;
    Ok(!row.try_get::<bool, _>(0)?)
}

/// A connection, until dropped.
pub(crate) struct Connection {
    /// `None` once it was given back or thrown away.
    inner: Option<PgConnection>,
    shared: Arc<Shared>,
    /// Whether no answer is awaited.
    sound: bool,
    /// Whether a transaction may be open.
    open: bool,
    permit: Option<OwnedSemaphorePermit>,
}

/// A statement with its arguments.
pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

impl Connection {
    /// All rows of a statement.
    pub(crate) async fn rows(&mut self, statement: Statement<'_>) -> Result<Vec<PgRow>, Failure> {
        let connection = self.use_it()?;
        let result = statement.fetch_all(connection).await;
        self.note(result)
    }

    /// The first row of a statement, if it has any.
    pub(crate) async fn row(&mut self, statement: Statement<'_>) -> Result<Option<PgRow>, Failure> {
        let connection = self.use_it()?;
        let result = statement.fetch_optional(connection).await;
        self.note(result)
    }

    /// Runs a statement; how many rows it changed.
    pub(crate) async fn run(&mut self, statement: Statement<'_>) -> Result<u64, Failure> {
        let connection = self.use_it()?;
        let result = statement.execute(connection).await;
        Ok(self.note(result)?.rows_affected())
    }

    /// Runs SQL without arguments, which may be several statements.
    pub(crate) async fn raw(&mut self, sql: &'static str) -> Result<(), Failure> {
        let connection = self.use_it()?;
        let result = sqlx::raw_sql(sql).execute(connection).await;
        self.note(result).map(drop)
    }

    fn use_it(&mut self) -> Result<&mut PgConnection, Failure> {
        self.sound = false;
        self.inner.as_mut().ok_or_else(|| Failure::unreachable("the connection was lost"))
    }

    fn note<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, Failure> {
        match result {
            Ok(answer) => {
                self.sound = true;
                Ok(answer)
            }
            Err(error) => {
                let failure = Failure::from(error);
                if failure.breaks_connection() {
                    self.inner = None;
                    self.shared.suspect_all();
                } else {
                    // The server has answered, so the next statement can follow.
                    self.sound = true;
                }
                Err(failure)
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(mut connection) = self.inner.take() else { return };
        if self.sound && !self.open {
            self.shared.give_back(connection);
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (shared, permit) = (self.shared.clone(), self.permit.take());
        runtime.spawn(async move {
            // Statements of a connection run one after the other, so whatever was under way is over then.
            let rolled_back = sqlx::raw_sql("ROLLBACK").execute(&mut connection);
            match timeout(CARE_MAX, rolled_back).await {
                Ok(Ok(_)) => shared.give_back(connection),
                // The server ends what is left when it finds the connection closed.
                _ => drop(timeout(CARE_MAX, connection.close_hard()).await),
            }
            drop(permit);
        });
    }
}

/// A connection with an open transaction. Dropping it rolls it back.
pub(crate) struct Transaction(Connection);

impl Transaction {
    /// Makes the changes last: when this returns, they survive a power failure of the server.
    pub(crate) async fn commit(mut self) -> Result<(), Failure> {
        self.0.raw("COMMIT").await?;
        self.0.open = false;
        Ok(())
    }
}

impl Transaction {
    /// Undoes the changes, and lets others have what it locked at once.
    pub(crate) async fn roll_back(mut self) -> Result<(), Failure> {
        self.0.raw("ROLLBACK").await?;
        self.0.open = false;
        Ok(())
    }
}

impl std::ops::Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl std::ops::DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}
