//! What a host can add to the engine, beside providers, stores, rules and transformers.

use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;

use crate::domain::JournalEntry;
use crate::provider::ActionResult;
use crate::storage::OutboxItem;

/// An error of the host's own code. Its text goes to the dead-letter list and to logs: no personal data.
pub type HostError = Box<dyn Error + Send + Sync>;

/// Receives every journal entry, at least once, those of one aggregate in order.
///
/// How far a sink has come is kept in the store under its name, so it goes on where it was after a restart.
#[async_trait]
pub trait EventSink: Debug + Send + Sync + 'static {
    /// The name under which its progress is kept.
    fn name(&self) -> &str;

    /// Takes entries.
    ///
    /// # Errors
    /// The same entries come again later.
    async fn publish(&self, entries: &[JournalEntry]) -> Result<(), HostError>;
}

/// An action of the host that a conversation may ask for, by key or by agent: a donation link, a ticket, a booking.
#[async_trait]
pub trait HostAction: Debug + Send + Sync + 'static {
    /// The name conversations use.
    fn name(&self) -> &str;

    /// Carries it out. Returns what it gives back to the conversation, if that waits for it. May be called again for the
    /// same [`OutboxItem::id`] after an error or a crash; the host recognizes the repetition by that id.
    ///
    /// # Errors
    /// It is tried again later, and goes to the dead-letter list after
    /// [`EngineConfig::action_attempts_max`](super::EngineConfig::action_attempts_max) attempts.
    async fn carry_out(&self, item: &OutboxItem) -> Result<ActionResult, HostError>;
}
