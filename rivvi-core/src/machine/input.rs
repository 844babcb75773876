//! What the machine of contact and call is told.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::provider::{CallEvent, CallRef, CallUpdate, ProviderErrorKind};

/// Something about a call, for [`settle`](super::settle).
#[derive(Debug, Clone, PartialEq)]
pub struct CallInput {
    /// Which call.
    pub call: CallRef,
    /// What about it.
    pub fact: CallFact,
}

impl From<CallUpdate> for CallInput {
    fn from(update: CallUpdate) -> Self {
        Self { call: update.call, fact: CallFact::Told { event: update.event, at: update.at } }
    }
}

/// What is known about a call.
///
/// Facts with a token come from whoever holds the call's lease; with another token they are from a holder that was
/// fenced out, and only what cannot do harm is taken from them.
#[derive(Debug, Clone, PartialEq)]
pub enum CallFact {
    /// The provider told something.
    Told {
        /// What.
        event: CallEvent,
        /// When it happened, by the provider's clock.
        at: DateTime<Utc>,
    },
    /// The request is proved to have had no effect.
    NotPlaced {
        /// The token of the holder that asked.
        token: u64,
        /// What went wrong.
        kind: ProviderErrorKind,
        /// How long the provider asked to wait.
        retry_after: Option<Duration>,
    },
    /// The request was made and its answer was lost.
    NoAnswer {
        /// The token of the holder that asked.
        token: u64,
        /// What went wrong.
        kind: ProviderErrorKind,
        /// When to look the call up.
        check_at: DateTime<Utc>,
    },
    /// The provider is about to be asked again for the same call.
    AskAgain {
        /// The token of the holder that asks.
        token: u64,
    },
    /// The provider does not know the call, and cannot come to know it any more.
    NotFound {
        /// The token of the holder that looked.
        token: u64,
    },
    /// Nothing could be found out before the deadline.
    GivenUp {
        /// The token of the holder that looked.
        token: u64,
    },
}
