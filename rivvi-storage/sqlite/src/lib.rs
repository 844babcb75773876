//! Rivvi's embedded store: [`Catalog`], [`Ledger`] and [`Archive`] in one SQLite file.
//!
//! ```no_run
//! use rivvi_core::storage::Storage;
//! use rivvi_storage_sqlite::SqliteStorage;
//!
//! # async fn example() -> Result<(), rivvi_core::storage::StorageError> {
//! let storage: Storage = SqliteStorage::open("rivvi.db").await?.into();
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **Nothing that was answered is lost.** Write-ahead log with `synchronous = FULL`: when a verb returns, its effect
//!   survives the end of the process and of the machine.
//! - **All or nothing.** Every verb that writes is one `BEGIN IMMEDIATE` transaction. A verb whose future is dropped
//!   midway has no effect, or its whole effect.
//! - **Several processes may share a file** on one machine (not over a network file system). Writers take turns; a
//!   verb that waited 5 seconds for its turn fails as [`Busy`](rivvi_core::storage::StorageErrorKind::Busy).
//! - **Claiming stays flat.** What is due is a narrow index of its own, so taking the next contacts costs the same in
//!   a run of ten thousand and of a million.
//!
//! # How it is built
//!
//! ```text
//!  Ledger / Catalog / Archive     one thin method per verb
//!        │
//!  run, contact, call, ...        the SQL of each thing, over sets of rows
//!        │
//!  write                          what a working set of the core tells, table by table
//!        │
//!  batch, value                   rows to statements, columns to the words of the domain
//!        │
//!  connection ─ schema            one writer, some readers, WAL; tables and their versions
//! ```
//!
//! SQLite runs on a thread per connection, and each statement is a trip there and back. So a verb reads what it needs
//! with a few statements over sets, asks the core's pure functions, and writes the result the same way.
//!
//! [`Catalog`]: rivvi_core::storage::Catalog
//! [`Ledger`]: rivvi_core::storage::Ledger
//! [`Archive`]: rivvi_core::storage::Archive

mod archive;
mod batch;
mod call;
mod catalog;
mod connection;
mod contact;
mod dispatch;
mod error;
mod item;
mod journal;
mod ledger;
#[cfg(test)]
mod plans;
mod run;
mod schema;
mod suppression;
mod value;
mod write;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rivvi_core::storage::{Storage, StorageError};
use sqlx::ConnectOptions;

use crate::connection::{Connections, Reader, Transaction};
use crate::error::Failure;

/// A store in one SQLite file. Clones share its connections.
#[derive(Clone)]
pub struct SqliteStorage {
    shared: Arc<Shared>,
}

struct Shared {
    /// For errors: the path, or that it is in memory.
    name: String,
    connections: Connections,
}

impl SqliteStorage {
    /// Opens the file, which is created if it does not exist, and brings its tables to the version of this program.
    ///
    /// # Errors
    /// [`Incompatible`](rivvi_core::storage::StorageErrorKind::Incompatible) if a newer version or another program
    /// wrote the file, [`Corrupt`](rivvi_core::storage::StorageErrorKind::Corrupt) if it is no database,
    /// [`Unavailable`](rivvi_core::storage::StorageErrorKind::Unavailable) if it cannot be opened.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let options = connection::options().filename(path).create_if_missing(true);
        let connections = async {
            let mut writer = options.connect().await?;
            schema::prepare(&mut writer, &name).await?;
            Connections::to_file(writer, options).await
        };
        let connections = connections.await.map_err(|failure| failure.named("open", &name))?;
        Ok(Self { shared: Arc::new(Shared { name, connections }) })
    }

    /// An empty store in memory, gone with its last clone. For tests of SQL; a store of the core's own
    /// ([`MemoryStorage`](rivvi_core::storage::memory::MemoryStorage)) is faster.
    ///
    /// # Errors
    /// [`Unavailable`](rivvi_core::storage::StorageErrorKind::Unavailable) if there is no memory or thread left.
    pub async fn open_in_memory() -> Result<Self, StorageError> {
        let name = String::from("the database in memory");
        let connections = async {
            let mut connection = connection::options().in_memory(true).connect().await?;
            schema::migrate(&mut connection, &name).await?;
            Ok(Connections::in_memory(connection))
        };
        let connections = connections.await.map_err(|failure: Failure| failure.named("open", &name))?;
        Ok(Self { shared: Arc::new(Shared { name, connections }) })
    }

    async fn begin(&self) -> Result<Transaction, Failure> {
        self.shared.connections.begin().await
    }

    async fn reader(&self) -> Result<Reader, Failure> {
        self.shared.connections.read().await
    }

    /// Puts the name of its verb to what went wrong.
    fn error(&self, operation: &'static str) -> impl FnOnce(Failure) -> StorageError {
        move |failure| failure.named(operation, &self.shared.name)
    }
}

impl fmt::Debug for SqliteStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStorage").field(&self.shared.name).finish()
    }
}

impl From<SqliteStorage> for Storage {
    fn from(storage: SqliteStorage) -> Self {
        Self::from_backend(storage)
    }
}
