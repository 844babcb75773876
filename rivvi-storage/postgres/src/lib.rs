//! Rivvi's store for several nodes: [`Catalog`], [`Ledger`] and [`Archive`] in one PostgreSQL database (14 or newer).
//!
//! ```no_run
//! use rivvi_core::storage::Storage;
//! use rivvi_storage_postgres::PostgresStorage;
//!
//! # async fn example() -> Result<(), rivvi_core::storage::StorageError> {
//! let url = "postgres://rivvi:secret@localhost/rivvi";
//! let storage: Storage = PostgresStorage::connect(url).await?.into();
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **Any number of nodes** share one database. They take due contacts with `FOR UPDATE SKIP LOCKED`, and wake each
//!   other with `LISTEN` and `NOTIFY`.
//! - **All or nothing.** Every verb that writes is one transaction. A verb whose future is dropped midway has no effect,
//!   or its whole effect, and leaves no connection behind that others could stumble over.
//! - **Limits, caps and suppression are exact over all nodes**: who begins calls of an organization holds its row in
//!   `org_gates`. Once `suppress` has returned, no call to the number begins.
//! - **Claiming stays flat.** What is due is a narrow table of its own, and calls under way are another: taking the next
//!   contacts costs the same after a million finished ones.
//! - **Failures heal.** A server that restarts, fails over or vanishes makes verbs fail as
//!   [`Unavailable`](rivvi_core::storage::StorageErrorKind::Unavailable) until it is back, and no longer.
//!
//! # Tenants in the database
//!
//! With [`PostgresOptions::row_level_security`] every table is guarded, also against its owner: a connection sees the
//! rows of the organization that its setting `rivvi.organization` names, all of them if that is `*`, and none without
//! it. The engine sets `*`; a host that reads the tables for one tenant sets that tenant's id. Superusers and roles with
//! `BYPASSRLS` pass by, so a host connects as another role, with the rights of [`PostgresOptions::grants`].
//!
//! # How it is built
//!
//! ```text
//!  Ledger / Catalog / Archive     one thin method per verb
//!        │
//!  dispatch, apply, run, ...      the SQL of each verb, over sets of rows
//!        │
//!  write                          what a working set of the core tells, table by table
//!        │
//!  call, contact, tally, value    rows and columns to the words of the domain
//!        │
//!  connection ─ schema            transactions that survive being dropped; tables and their versions
//! ```
//!
//! [`Catalog`]: rivvi_core::storage::Catalog
//! [`Ledger`]: rivvi_core::storage::Ledger
//! [`Archive`]: rivvi_core::storage::Archive

mod apply;
mod archive;
mod call;
mod catalog;
mod connection;
mod contact;
mod dispatch;
mod error;
mod gate;
mod imported;
mod item;
mod journal;
mod lately;
mod ledger;
mod options;
mod page;
#[cfg(test)]
mod plans;
mod rows;
mod run;
mod schema;
mod suppression;
mod table;
mod tally;
mod value;
mod wakeups;
mod write;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::limit::LocalRateLimiter;
use rivvi_core::storage::{Storage, StorageError};

use crate::connection::{Connection, Connections, Transaction};
use crate::error::Failure;
use crate::lately::Lately;
pub use crate::options::PostgresOptions;
pub use crate::wakeups::PostgresWakeups;

/// A store in one schema of a PostgreSQL database. Clones share its connections.
#[derive(Clone)]
pub struct PostgresStorage {
    shared: Arc<Shared>,
}

struct Shared {
    options: PostgresOptions,
    /// For errors: server, database and schema.
    name: String,
    connections: Connections,
    lately: Lately,
    clock: SystemClock,
    /// Spreads those who try again.
    tries: AtomicU64,
}

/// How often a verb is tried again after other transactions were in its way.
const TRIES: u32 = 12;

impl PostgresStorage {
    /// Connects to the database of a URL with the defaults of [`PostgresOptions`], and brings the tables to the version
    /// of this program.
    ///
    /// # Errors
    /// As [`connect_with`](Self::connect_with).
    pub async fn connect(url: &str) -> Result<Self, StorageError> {
        Self::connect_with(PostgresOptions::new(url)?).await
    }

    /// Connects, and brings the tables to the version of this program unless the options say otherwise. Any number of
    /// nodes may do so at once.
    ///
    /// # Errors
    /// [`Unavailable`](rivvi_core::storage::StorageErrorKind::Unavailable) if the server cannot be reached,
    /// [`Incompatible`](rivvi_core::storage::StorageErrorKind::Incompatible) if the schema is of a newer version, of
    /// another program, or not yet as it should be and the options forbid to change it.
    pub async fn connect_with(options: PostgresOptions) -> Result<Self, StorageError> {
        let name = options.name();
        schema::prepare(&options).await.map_err(|failure| failure.named("connect", &name))?;
        let (connections, clock) = (Connections::new(&options), SystemClock::new());
        let lately = Lately::new(options.contacts_remembered);
        let shared = Shared { options, name, connections, lately, clock, tries: AtomicU64::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Brings the tables to the version of this program, and turns on row-level security if the options ask for it: for
    /// a role with the rights to do so, while the nodes connect as another one.
    ///
    /// # Errors
    /// As [`connect_with`](Self::connect_with).
    pub async fn migrate(options: PostgresOptions) -> Result<(), StorageError> {
        let (name, options) = (options.name(), options.migrate(true));
        schema::prepare(&options).await.map_err(|failure| failure.named("migrate", &name))
    }

    /// Wake-ups between the nodes on this schema.
    pub fn wakeups(&self) -> PostgresWakeups {
        PostgresWakeups::new(&self.shared.options)
    }

    async fn begin(&self) -> Result<Transaction, Failure> {
        self.shared.connections.begin().await
    }

    /// Begins a transaction with a statement. Returns whether that has rows.
    async fn begin_with(&self, statement: String) -> Result<(Transaction, bool), Failure> {
        self.shared.connections.begin_with(statement).await
    }

    async fn reader(&self) -> Result<Connection, Failure> {
        self.shared.connections.take().await
    }

    /// Runs a verb within its time, and puts its name to what goes wrong.
    async fn verb<T>(
        &self,
        operation: &'static str,
        verb: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, StorageError> {
        let in_time = tokio::time::timeout(self.shared.options.verb_timeout, verb).await;
        let result = in_time.unwrap_or_else(|_| Err(Failure::unreachable("the verb took too long")));
        result.map_err(|failure| failure.named(operation, &self.shared.name))
    }

    /// As [`verb`](Self::verb), tried again while other transactions are in the way.
    async fn retried<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        operation: &'static str,
        verb: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        let trying = async {
            for tried in 1..TRIES {
                match verb().await {
                    Err(failure) if failure.is_conflict() => self.pause(tried).await,
                    result => return result,
                }
            }
            verb().await
        };
        self.verb(operation, trying).await
    }

    /// Waits a little, longer each time and not as long as others.
    async fn pause(&self, tried: u32) {
        let spread =
            self.shared.tries.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        let micros = (500 << tried.min(6)) + spread * 4 * u64::from(tried);
        let clock = &self.shared.clock;
        clock.sleep_until(clock.now() + Duration::from_micros(micros)).await;
    }
}

impl fmt::Debug for PostgresStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresStorage").field(&self.shared.name).finish()
    }
}

impl From<PostgresStorage> for Storage {
    /// All of it in PostgreSQL but the limiter, which paces one process: several nodes need a shared one.
    fn from(storage: PostgresStorage) -> Self {
        let (wakeups, backend) = (Arc::new(storage.wakeups()), Arc::new(storage));
        Self {
            catalog: backend.clone(),
            ledger: backend.clone(),
            archive: backend,
            blobs: None,
            limiter: Arc::new(LocalRateLimiter::new()),
            wakeups,
        }
    }
}
