//! From what DynamoDB and the stored text say to [`StorageError`].

use std::fmt;

use rivvi_core::storage::{StorageError, StorageErrorKind};

/// What went wrong inside a verb, before the verb puts its name to it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// DynamoDB refused, failed or did not answer.
    Service(Answer),
    /// Something stored cannot be read.
    Unreadable(Unreadable),
    /// Others changed the same things at the same moment, again and again.
    Contended,
    /// Something is larger than an item may be.
    TooLarge {
        /// What it is, with its id.
        what: String,
        bytes: usize,
        bytes_max: usize,
    },
    /// The rules of the domain, or a verdict that needs no translation.
    Storage(StorageError),
}

/// What DynamoDB answered, or that it did not.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    /// The code of the error. The message is left out where it may repeat values.
    pub(crate) code: String,
    pub(crate) message: Option<String>,
}

/// What an error of DynamoDB means for what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing took effect, and later it may.
    Throttled,
    /// It may have taken effect.
    NoAnswer,
    /// The tables are not there.
    NoTables,
    /// The caller may not do this.
    Forbidden,
    /// Asking again does not help.
    Invalid,
}

impl Failure {
    /// The error of the verb `operation` on the tables `tables`.
    pub(crate) fn named(self, operation: &'static str, tables: &dyn fmt::Display) -> StorageError {
        use StorageErrorKind::{Busy, Corrupt, Incompatible, Refused, Unavailable};
        match self {
            Self::Storage(error) => error,
            Self::Unreadable(problem) => {
                let context = format!("{tables} hold a {} that this program cannot read", problem.what);
                StorageError::new(Corrupt, operation, context).with_source(problem)
            }
            Self::Contended => {
                let context = format!("{tables} are being changed by others at the same places; try again");
                StorageError::new(Busy, operation, context)
            }
            Self::TooLarge { what, bytes, bytes_max } => {
                let context = format!(
                    "{what} takes {bytes} bytes, and DynamoDB keeps at most {bytes_max} of it; make it shorter"
                );
                StorageError::new(Refused, operation, context)
            }
            Self::Service(answer) => {
                let (kind, advice) = match answer.verdict {
                    Verdict::Throttled => {
                        (Busy, "are throttled for too long; raise their capacity or slow down")
                    }
                    Verdict::NoAnswer => {
                        (Unavailable, "do not answer; check the network and the region's health")
                    }
                    Verdict::NoTables => {
                        (Incompatible, "are not all there; call `create_tables` or check the table prefix")
                    }
                    Verdict::Forbidden => {
                        (Refused, "may not be used with these credentials; check the IAM policy")
                    }
                    Verdict::Invalid => (Refused, "do not take this request; the cause says why"),
                };
                StorageError::new(kind, operation, format!("{tables} {advice}")).with_source(answer)
            }
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Answer {}

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

/// The error for something that does not exist.
pub(crate) fn not_found(operation: &'static str, what: &str, id: impl fmt::Display) -> Failure {
    StorageError::new(StorageErrorKind::NotFound, operation, format!("no {what} {id}")).into()
}
