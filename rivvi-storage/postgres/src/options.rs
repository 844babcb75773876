//! How a store connects and behaves.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rivvi_core::storage::{StorageError, StorageErrorKind};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

/// How a [`PostgresStorage`](crate::PostgresStorage) connects and behaves. Set what differs from the defaults:
///
/// ```
/// use std::time::Duration;
///
/// use rivvi_storage_postgres::PostgresOptions;
///
/// # fn main() -> Result<(), rivvi_core::storage::StorageError> {
/// let options = PostgresOptions::new("postgres://rivvi:secret@db.example.com/clinic?sslmode=verify-full")?
///     .schema("calls")?
///     .max_connections(8)
///     .statement_timeout(Duration::from_secs(10));
/// assert!(!format!("{options:?}").contains("secret"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct PostgresOptions {
    pub(crate) server: PgConnectOptions,
    pub(crate) schema: String,
    pub(crate) max_connections: u32,
    pub(crate) connect_timeout: Duration,
    pub(crate) acquire_timeout: Duration,
    pub(crate) lock_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) idle_in_transaction_timeout: Duration,
    pub(crate) verb_timeout: Duration,
    pub(crate) row_level_security: bool,
    pub(crate) contacts_remembered: usize,
    pub(crate) migrate: bool,
}

impl PostgresOptions {
    /// The defaults for the server and database of a URL, `postgres://user:password@host:port/database`. What it leaves
    /// out is taken from the environment (`PGHOST`, `PGUSER`, …) and the password file, as `psql` does. Parameters
    /// such as `sslmode` and `sslrootcert` may follow.
    ///
    /// # Errors
    /// [`Refused`](StorageErrorKind::Refused) if it is not such a URL; the error does not repeat it.
    pub fn new(url: &str) -> Result<Self, StorageError> {
        let server = PgConnectOptions::from_str(url).map_err(|_| {
            let context = "expected a URL such as postgres://user:password@host:5432/database";
            StorageError::new(StorageErrorKind::Refused, "connect", context)
        })?;
        Ok(Self::with_server(server))
    }

    /// The defaults for a server given by sqlx's own options, for instance to connect with a client certificate.
    pub fn with_server(server: PgConnectOptions) -> Self {
        Self {
            server,
            schema: "rivvi".into(),
            max_connections: 10,
            connect_timeout: Duration::from_secs(5),
            acquire_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            idle_in_transaction_timeout: Duration::from_secs(10),
            verb_timeout: Duration::from_secs(60),
            row_level_security: false,
            contacts_remembered: 20_000,
            migrate: true,
        }
    }

    /// The schema that holds the tables, created if it does not exist. Default `rivvi`.
    ///
    /// # Errors
    /// [`Refused`](StorageErrorKind::Refused) unless it is 1 to 50 lower-case letters, digits and underscores, not
    /// beginning with a digit or `pg_`.
    pub fn schema(mut self, name: impl Into<String>) -> Result<Self, StorageError> {
        let name = name.into();
        let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = |byte: &u8| !byte.is_ascii_digit();
        let plain = name.bytes().all(word) && name.as_bytes().first().is_some_and(begins);
        if !plain || name.len() > 50 || name.starts_with("pg_") {
            let context = "expected a schema of 1 to 50 lower-case letters, digits and underscores, not beginning with \
                           a digit or `pg_`";
            return Err(StorageError::new(StorageErrorKind::Refused, "connect", context));
        }
        self.schema = name;
        Ok(self)
    }

    /// Connections at once, beside one for wake-ups. At least 1. Default 10; two or three per core of the server, shared
    /// between all nodes, are enough.
    #[must_use]
    pub fn max_connections(self, count: u32) -> Self {
        Self { max_connections: count.max(1), ..self }
    }

    /// How many contacts, as they were imported, are kept in memory (about 1 KB each), so that a contact whose call goes on is
    /// not read again. Default 20 000; the calls at once of this process are enough. 0 keeps none.
    #[must_use]
    pub fn contacts_remembered(self, count: usize) -> Self {
        Self { contacts_remembered: count, ..self }
    }

    /// How long a new connection may take. Default 5 s.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self { connect_timeout: timeout, ..self }
    }

    /// How long a verb waits for a connection to become free. Default 10 s.
    #[must_use]
    pub fn acquire_timeout(self, timeout: Duration) -> Self {
        Self { acquire_timeout: timeout, ..self }
    }

    /// How long a statement waits for a row that another transaction has locked, before its verb fails as
    /// [`Busy`](StorageErrorKind::Busy). Default 5 s.
    #[must_use]
    pub fn lock_timeout(self, timeout: Duration) -> Self {
        Self { lock_timeout: timeout, ..self }
    }

    /// How long a statement may run. Default 30 s.
    #[must_use]
    pub fn statement_timeout(self, timeout: Duration) -> Self {
        Self { statement_timeout: timeout, ..self }
    }

    /// After this time the server ends the transaction of a node that is paused or cut off, so that its locks keep
    /// nobody waiting. Default 10 s.
    #[must_use]
    pub fn idle_in_transaction_timeout(self, timeout: Duration) -> Self {
        Self { idle_in_transaction_timeout: timeout, ..self }
    }

    /// How long a verb may take in all; a server that vanished without a word is given up after this time. Default 60 s.
    #[must_use]
    pub fn verb_timeout(self, timeout: Duration) -> Self {
        Self { verb_timeout: timeout, ..self }
    }

    /// Whether the tables are guarded by row-level security, also against their owner. Default no. See
    /// [the crate's page](crate#tenants-in-the-database).
    #[must_use]
    pub fn row_level_security(self, guarded: bool) -> Self {
        Self { row_level_security: guarded, ..self }
    }

    /// Whether connecting brings the tables to the version of this program. Default yes. Without, it only checks, and
    /// another user with the rights to do so calls [`PostgresStorage::migrate`](crate::PostgresStorage::migrate).
    #[must_use]
    pub fn migrate(self, migrate: bool) -> Self {
        Self { migrate, ..self }
    }

    /// SQL that allows a role, which does not own the tables, everything that this program does with them.
    ///
    /// # Errors
    /// [`Refused`](StorageErrorKind::Refused) if the name of the role contains a NUL character.
    pub fn grants(&self, role: &str) -> Result<String, StorageError> {
        if role.contains('\0') {
            let context = "expected the name of a role";
            return Err(StorageError::new(StorageErrorKind::Refused, "grants", context));
        }
        let (schema, role) = (&self.schema, format!("\"{}\"", role.replace('"', "\"\"")));
        Ok(format!(
            "GRANT USAGE ON SCHEMA \"{schema}\" TO {role};\n\
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{schema}\" TO {role};\n\
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA \"{schema}\" TO {role};\n\
             ALTER DEFAULT PRIVILEGES IN SCHEMA \"{schema}\" \
             GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role};\n\
             ALTER DEFAULT PRIVILEGES IN SCHEMA \"{schema}\" GRANT USAGE ON SEQUENCES TO {role};\n"
        ))
    }

    /// Where that is, for errors: never with a password.
    pub(crate) fn name(&self) -> String {
        let server = &self.server;
        let host = match server.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => server.get_host().to_owned(),
        };
        let database = server.get_database().unwrap_or(server.get_username());
        format!("schema {} of PostgreSQL database {database} at {host}:{}", self.schema, server.get_port())
    }

    /// The options of every connection.
    ///
    /// All statements look rows up by index, for sets whose size the planner cannot know, in tables whose size changes
    /// faster than its statistics. So it gets no choice: nested loops over index scans, one plan per statement.
    pub(crate) fn connection(&self) -> PgConnectOptions {
        let millis = |time: Duration| time.as_millis().min(i32::MAX as u128).to_string();
        let settings = [
            ("search_path", self.schema.clone()),
            ("rivvi.organization", "*".into()),
            ("default_transaction_isolation", "read committed".into()),
            ("statement_timeout", millis(self.statement_timeout)),
            ("lock_timeout", millis(self.lock_timeout)),
            ("idle_in_transaction_session_timeout", millis(self.idle_in_transaction_timeout)),
            ("tcp_keepalives_idle", "10".into()),
            ("tcp_keepalives_interval", "5".into()),
            ("tcp_keepalives_count", "3".into()),
            ("plan_cache_mode", "force_generic_plan".into()),
            ("enable_seqscan", "off".into()),
            ("enable_bitmapscan", "off".into()),
            ("enable_hashjoin", "off".into()),
            ("enable_mergejoin", "off".into()),
            ("enable_memoize", "off".into()),
            ("enable_material", "off".into()),
            ("jit", "off".into()),
        ];
        let named = match self.server.get_application_name() {
            Some(_) => self.server.clone(),
            None => self.server.clone().application_name("rivvi"),
        };
        named.options(settings).statement_cache_capacity(256).disable_statement_logging()
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("name", &self.name())
            .field("max_connections", &self.max_connections)
            .field("row_level_security", &self.row_level_security)
            .field("migrate", &self.migrate)
            .finish_non_exhaustive()
    }
}
