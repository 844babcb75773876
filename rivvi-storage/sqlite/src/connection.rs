//! The connections to one database: one that writes, some that read.
//!
//! SQLite lets one connection write at a time, so writers of this process queue on a mutex, where waiting costs
//! nothing; other processes are waited for by SQLite itself, up to [`BUSY_TIMEOUT`]. Readers see the last commit and
//! wait for nobody.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::{Failure, primary_code};

/// How long SQLite waits for a writer in another process before a verb fails as busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Connections that read.
const READERS: usize = 4;

/// The connections to one database.
#[derive(Debug)]
pub(crate) struct Connections {
    writer: Arc<Mutex<Writer>>,
    /// `None` for a database in memory, which has a single connection.
    readers: Option<Readers>,
}

impl Connections {
    /// Keeps a connection to a file, made with these options, as the one that writes, and opens those that read.
    pub(crate) async fn to_file(
        writer: SqliteConnection,
        options: SqliteConnectOptions,
    ) -> Result<Self, Failure> {
        let readers = Some(Readers::open(&options).await?);
        Ok(Self { writer: Writer::shared(writer, Some(options)), readers })
    }

    /// Keeps the only connection to a database in memory.
    pub(crate) fn in_memory(connection: SqliteConnection) -> Self {
        Self { writer: Writer::shared(connection, None), readers: None }
    }

    /// Begins a transaction that may write; at most one exists at a time, over all processes.
    pub(crate) async fn begin(&self) -> Result<Transaction, Failure> {
        let mut writer = self.writer.clone().lock_owned().await;
        writer.clean().await?;
        // From here on the transaction may be open, even if this future is dropped while it waits.
        writer.open = true;
        let mut transaction = Transaction { writer, shared: self.writer.clone() };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *transaction).await?;
        Ok(transaction)
    }

    /// A connection for one statement that reads. Several statements may see different commits.
    pub(crate) async fn read(&self) -> Result<Reader, Failure> {
        match &self.readers {
            Some(readers) => Ok(readers.take().await),
            None => {
                let mut writer = self.writer.clone().lock_owned().await;
                writer.clean().await?;
                Ok(Reader::Shared(writer))
            }
        }
    }
}

/// The options that every connection has in common.
pub(crate) fn options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .busy_timeout(BUSY_TIMEOUT)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .pragma("cache_size", "-65536")
        .pragma("temp_store", "MEMORY")
        .pragma("wal_autocheckpoint", "8000")
        .pragma("journal_size_limit", "67108864")
        .statement_cache_capacity(512)
        .row_buffer_size(512)
        .thread_name(|id| format!("rivvi-sqlite-{id}"))
        .disable_statement_logging()
}

/// The connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    connection: SqliteConnection,
    /// To connect again; `None` for a database in memory.
    options: Option<SqliteConnectOptions>,
    /// Whether a transaction may be open.
    open: bool,
}

impl Writer {
    fn shared(connection: SqliteConnection, options: Option<SqliteConnectOptions>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self { connection, options, open: false }))
    }

    /// Ends what a dropped transaction left. Statements of a connection run one after the other, so whatever was
    /// still under way is over when this returns.
    async fn clean(&mut self) -> Result<(), Failure> {
        if !self.open {
            return Ok(());
        }
        match sqlx::query("ROLLBACK").execute(&mut self.connection).await {
            Ok(_) => {}
            // There was no transaction: its BEGIN failed, or its COMMIT went through.
            Err(error) if primary_code(&error) == Some(1) => {}
            Err(error) => match &self.options {
                Some(options) => self.connection = options.connect().await?,
                None => return Err(error.into()),
            },
        }
        self.open = false;
        Ok(())
    }
}

/// A transaction that may write. Dropping it rolls it back, also while one of its statements is under way.
#[derive(Debug)]
pub(crate) struct Transaction {
    writer: OwnedMutexGuard<Writer>,
    shared: Arc<Mutex<Writer>>,
}

impl Transaction {
    /// Makes the changes last: when this returns, they survive a power failure.
    pub(crate) async fn commit(mut self) -> Result<(), Failure> {
        sqlx::query("COMMIT").execute(&mut *self).await?;
        self.writer.open = false;
        Ok(())
    }
}

impl Deref for Transaction {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.writer.connection
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.writer.connection
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // The next writer of this process would clean up, but other processes must not wait for it.
        if self.writer.open
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let shared = self.shared.clone();
            // A failure is found again, and reported, by the next writer.
            runtime.spawn(async move { shared.lock().await.clean().await.ok() });
        }
    }
}

/// The connections that read.
#[derive(Debug)]
struct Readers {
    connections: Vec<Arc<Mutex<SqliteConnection>>>,
    turn: AtomicUsize,
}

impl Readers {
    async fn open(options: &SqliteConnectOptions) -> Result<Self, Failure> {
        let options = options.clone().pragma("query_only", "ON").pragma("cache_size", "-16384");
        let mut connections = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            connections.push(Arc::new(Mutex::new(options.connect().await?)));
        }
        Ok(Self { connections, turn: AtomicUsize::new(0) })
    }

    /// A connection that is free, or else the next in turn once it is.
    async fn take(&self) -> Reader {
        let free = self.connections.iter().find_map(|connection| connection.clone().try_lock_owned().ok());
        if let Some(connection) = free {
            return Reader::Own(connection);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % READERS;
        Reader::Own(self.connections[turn].clone().lock_owned().await)
    }
}

/// A connection that reads, until dropped.
#[derive(Debug)]
pub(crate) enum Reader {
    /// One of several.
    Own(OwnedMutexGuard<SqliteConnection>),
    /// The only one.
    Shared(OwnedMutexGuard<Writer>),
}

impl Deref for Reader {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Shared(writer) => &writer.connection,
        }
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Shared(writer) => &mut writer.connection,
        }
    }
}
