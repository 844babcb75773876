//! From what SQLite and the stored text say to [`StorageError`].

use std::fmt;

use rivvi_core::storage::{StorageError, StorageErrorKind};

/// What went wrong inside a verb, before the verb puts its name to it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// SQLite refused or failed. Its messages name tables and columns, never values.
    Sql(sqlx::Error),
    /// Something stored cannot be read.
    Unreadable(Unreadable),
    /// The rules of the domain, or a verdict that needs no translation.
    Storage(StorageError),
}

impl Failure {
    /// The error of the verb `operation` on the database `name`.
    pub(crate) fn named(self, operation: &'static str, name: &dyn fmt::Display) -> StorageError {
        use StorageErrorKind::{Busy, Corrupt, Incompatible, Refused, Unavailable};
        let error = match self {
            Self::Storage(error) => return error,
            Self::Unreadable(problem) => {
                let context = format!("{name} holds a {} that this program cannot read", problem.what);
                return StorageError::new(Corrupt, operation, context).with_source(problem);
            }
            Self::Sql(error) => error,
        };
        let (kind, advice) = match primary_code(&error) {
            Some(5 | 6) => (Busy, "is being written by another process; try again"),
            Some(10) => (Unavailable, "cannot be read or written; look at its disk and its quota"),
            Some(11) => (Corrupt, "is damaged; restore it from a backup"),
            Some(26) => (Corrupt, "is not an SQLite database; choose another file"),
            Some(1) => (Incompatible, "does not have the tables that this program expects"),
            Some(8) => (Unavailable, "cannot be written; check its permissions"),
            Some(13) => (Unavailable, "cannot grow; make room on its disk"),
            Some(14) => (Unavailable, "cannot be opened; check that its directory exists and can be written"),
            Some(19) => (Refused, "already holds something that excludes this change"),
            _ => (Unavailable, "does not answer; the cause says why"),
        };
        StorageError::new(kind, operation, format!("{name} {advice}")).with_source(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
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

/// The primary result code (<https://www.sqlite.org/rescode.html>), if the error is one of SQLite's.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

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
