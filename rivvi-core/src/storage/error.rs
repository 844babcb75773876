//! What can go wrong in a store.

use std::error::Error;
use std::fmt;

/// A failed verb of a store. Nothing of the verb took effect, unless the kind is
/// [`StorageErrorKind::Unavailable`], after which it may have; all verbs may be repeated.
#[derive(Debug)]
pub struct StorageError {
    /// What went wrong.
    pub kind: StorageErrorKind,
    /// The verb, for instance `begin_calls`.
    pub operation: &'static str,
    /// What it was about and what to do, without personal data.
    pub context: String,
    /// The cause, without personal data.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StorageError {
    /// An error of `kind` in the verb `operation`.
    pub fn new(kind: StorageErrorKind, operation: &'static str, context: impl Into<String>) -> Self {
        Self { kind, operation, context: context.into(), source: None }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Whether trying again later can help.
    pub fn is_temporary(&self) -> bool {
        matches!(self.kind, StorageErrorKind::Unavailable | StorageErrorKind::Busy)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "storage: {}: {}: {}", self.operation, self.kind, self.context)
    }
}

impl Error for StorageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What went wrong in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// What the verb is about does not exist.
    NotFound,
    /// The rules of the domain forbid the change, for instance starting a run twice.
    Refused,
    /// The store asks to slow down, or another transaction was in the way; nothing took effect.
    Busy,
    /// The store cannot be reached or did not answer; the verb may have taken effect.
    Unavailable,
    /// What the store holds cannot be read.
    Corrupt,
    /// The store is of another version than this program.
    Incompatible,
}

impl fmt::Display for StorageErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::Unavailable => "unavailable",
            Self::Corrupt => "unreadable content",
            Self::Incompatible => "incompatible version",
        })
    }
}
