//! From what PostgreSQL and the stored text say to [`StorageError`].

use std::fmt;

use rivvi_core::storage::{StorageError, StorageErrorKind};
use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// What went wrong inside a verb, before the verb puts its name to it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused or failed.
    Server(ServerError),
    /// The server did not answer, or not what it should.
    Connection(ConnectionError),
    /// Another transaction came first; what was read has changed.
    Overtaken,
    /// Something stored cannot be read.
    Unreadable(Unreadable),
    /// The rules of the domain, or a verdict that needs no translation.
    Storage(StorageError),
}

impl Failure {
    /// A failure to reach the server, in our own words.
    pub(crate) fn unreachable(problem: &'static str) -> Self {
        Self::Connection(ConnectionError(problem.to_owned()))
    }

    /// Whether another transaction was in the way, so that the same may go through now.
    pub(crate) fn is_conflict(&self) -> bool {
        match self {
            Self::Overtaken => true,
            // Deadlock, serialization failure, and keys that two transactions took at once.
            Self::Server(error) => matches!(error.code.as_str(), "40001" | "40P01" | "23505"),
            _ => false,
        }
    }

    /// Whether the connection is of no more use: it is gone, or leads to a server that only reads.
    pub(crate) fn breaks_connection(&self) -> bool {
        match self {
            Self::Connection(_) => true,
            Self::Server(error) => error.fatal || error.code == "25006",
            _ => false,
        }
    }

    /// The error of the verb `operation` on the database `name`.
    pub(crate) fn named(self, operation: &'static str, name: &dyn fmt::Display) -> StorageError {
        use StorageErrorKind::{Busy, Corrupt, Unavailable};
        match self {
            Self::Storage(error) => error,
            Self::Unreadable(problem) => {
                let context = format!("{name} holds a {} that this program cannot read", problem.what);
                StorageError::new(Corrupt, operation, context).with_source(problem)
            }
            Self::Overtaken => {
                let context = format!("{name}: other transactions keep changing the same rows; try again");
                StorageError::new(Busy, operation, context)
            }
            Self::Connection(cause) => {
                let context = format!("{name} cannot be reached or does not answer; the cause says why");
                StorageError::new(Unavailable, operation, context).with_source(cause)
            }
            Self::Server(cause) => {
                let (kind, advice) = cause.verdict();
                StorageError::new(kind, operation, format!("{name} {advice}")).with_source(cause)
            }
        }
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => Self::Server(ServerError::of(error.as_ref())),
            sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => {
                Self::Unreadable(Unreadable::new("value"))
            }
            // Their texts name hosts, files and states of the protocol, never values.
            other => Self::Connection(ConnectionError(other.to_string())),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<Unreadable> for Failure {
    fn from(problem: Unreadable) -> Self {
        Self::Unreadable(problem)
    }
}

/// What the server says, without any of the values it was about.
#[derive(Debug)]
pub(crate) struct ServerError {
    /// SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
    pub(crate) code: String,
    message: String,
    constraint: Option<String>,
    /// Whether the server has closed the connection.
    fatal: bool,
}

impl ServerError {
    fn of(error: &(dyn sqlx::error::DatabaseError + 'static)) -> Self {
        let postgres = error.try_downcast_ref::<PgDatabaseError>();
        let code = postgres.map_or("XX000", PgDatabaseError::code).to_owned();
        // Messages about data repeat them; those of these classes are about the server and the schema.
        let safe = ["08", "23", "25", "28", "3D", "40", "42", "53", "55", "57", "58", "XX"];
        let message =
            if safe.contains(&&code[..2]) { error.message() } else { "about the data of a statement" };
        let constraint = error.constraint().map(str::to_owned);
        let fatal =
            postgres.is_none_or(|error| matches!(error.severity(), PgSeverity::Panic | PgSeverity::Fatal));
        Self { message: message.to_owned(), code, constraint, fatal }
    }

    fn verdict(&self) -> (StorageErrorKind, &'static str) {
        use StorageErrorKind::{Busy, Corrupt, Incompatible, Refused, Unavailable};
        match self.code.as_str() {
            "40001" | "40P01" => (Busy, "keeps other transactions in the way; try again"),
            "55P03" => (Busy, "had a row locked by another transaction for too long; try again"),
            "57014" => (Unavailable, "took too long for a statement; see `statement_timeout`"),
            "25P03" => {
                (Unavailable, "ended a transaction that paused too long; see `idle_in_transaction_timeout`")
            }
            "25006" => (Unavailable, "only reads: it is a standby, or another server took over; try again"),
            "53300" => (
                Unavailable,
                "has no connection left; lower `max_connections` of the nodes or raise the server's",
            ),
            "53100" => (Unavailable, "cannot grow; make room on its disk"),
            "42501" => (Refused, "does not allow this to its user; see `PostgresOptions::grants`"),
            "3D000" => (Unavailable, "does not exist; create the database"),
            code => match &code[..2] {
                "08" | "53" | "57" | "58" => {
                    (Unavailable, "does not answer as it should; the cause says why")
                }
                "28" => (Unavailable, "does not let the user in; check user and password"),
                "42" | "3F" => {
                    (Incompatible, "does not have the tables that this program expects; migrate it")
                }
                "23" => (Refused, "already holds something that excludes this change"),
                "XX" => (Corrupt, "is damaged or has an internal error; the cause says more"),
                _ => (Refused, "does not take a value of this change"),
            },
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {}", self.message, self.code)?;
        if let Some(constraint) = &self.constraint {
            write!(f, ", constraint {constraint}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for ServerError {}

/// Why the server cannot be reached.
#[derive(Debug)]
pub(crate) struct ConnectionError(String);

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConnectionError {}

/// Something stored that cannot be read, described without repeating any of it.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// What it was meant to be.
    pub(crate) what: &'static str,
    /// Where reading stopped.
    place: Option<(usize, usize)>,
}

impl Unreadable {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, place: None }
    }

    /// The message of a JSON error may repeat what it found there, so only its place is kept.
    pub(crate) fn json(what: &'static str, error: &serde_json::Error) -> Self {
        Self { what, place: Some((error.line(), error.column())) }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unreadable {}", self.what)?;
        match self.place {
            Some((line, column)) => write!(f, " at line {line}, column {column} of its document"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Unreadable {}
