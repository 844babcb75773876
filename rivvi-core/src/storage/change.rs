//! What a store asks the core inside a transaction, and what it commits.

use chrono::{DateTime, Utc};

use super::{OutboxItem, StorageError, StorageErrorKind};
use crate::domain::{
    Aggregate, Call, Contact, ContactStatus, Disposition, Event, JournalEntry, Run, RunTally, Suppression,
};
use crate::machine::CallInput;
use crate::policy::NumberFacts;

/// Decides about a due contact inside [`Ledger::begin_calls`](super::Ledger::begin_calls). Pure; may be called again with newer facts.
pub type Decide<'a> = dyn Fn(&Contact, &NumberFacts) -> Change + Send + Sync + 'a;

/// Decides about an input inside [`Ledger::apply_calls`](super::Ledger::apply_calls). `None` changes nothing. Pure; may be called again.
pub type Settle<'a> = dyn Fn(&Contact, &Call, &CallInput) -> Option<Change> + Send + Sync + 'a;

/// Decides about a change inside [`Ledger::change_run`](super::Ledger::change_run). Pure; may be called again with newer facts.
pub type ChangeRun<'a> = dyn Fn(&Run, &RunFacts) -> Result<RunChange, StorageError> + Send + Sync + 'a;

/// What changes about a contact and its call, to be committed all or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The new status of the contact; its sequence number counts the events below.
    pub status: ContactStatus,
    /// The call that begins or changes.
    pub call: Option<Box<Call>>,
    /// What changes about the attempts at the number.
    pub attempt: Option<AttemptChange>,
    /// A number to be suppressed, as by [`Ledger::suppress`](super::Ledger::suppress) but without its journal entry.
    pub suppress: Option<Suppression>,
    /// Actions to be carried out.
    pub outbox: Vec<OutboxItem>,
    /// Entries for the contact's journal, all at this instant.
    pub events: Vec<Event>,
    /// When it happened.
    pub at: DateTime<Utc>,
}

impl Change {
    /// How the call ended, if this change ends it.
    pub fn ended(&self, before: Option<&Call>) -> Option<Disposition> {
        let now = self.call.as_ref()?.disposition()?;
        before.is_none_or(Call::is_live).then_some(now)
    }

    /// Notes the change in the counts of the run.
    pub fn count(&self, before: &Contact, call_before: Option<&Call>, tally: &mut RunTally) {
        tally.leave(&before.status.state);
        tally.enter(&self.status.state);
        if let Some(disposition) = self.ended(call_before) {
            tally.end_call(disposition);
        }
        if let Some(call) = &self.call {
            tally.messages.change(call_before, call);
        }
        tally.observe_live();
    }
}

/// What changes about the attempts at a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptChange {
    /// The call counts as an attempt at this instant.
    Add(DateTime<Utc>),
    /// The call was proved not to have been placed and does not count.
    Remove,
}

/// For authors of stores: refuses entries that [`Ledger::add_entries`](super::Ledger::add_entries) does not take.
///
/// # Errors
/// [`Refused`](super::StorageErrorKind::Refused).
pub fn campaigns_only(entries: &[JournalEntry]) -> Result<(), StorageError> {
    let stranger = entries.iter().find(|entry| !matches!(entry.aggregate, Aggregate::Campaign(_)));
    stranger.map_or(Ok(()), |entry| {
        let context = format!("expected entries of campaigns, found one of a {}", entry.aggregate.kind());
        Err(StorageError::new(StorageErrorKind::Refused, "add_entries", context))
    })
}

/// What [`ChangeRun`] may look at beside the run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFacts {
    /// Other runs of the organization that are [running](crate::domain::RunState::is_running).
    pub others_running: u32,
    /// The counts of the run.
    pub tally: RunTally,
}

/// A changed run with the entries that tell why.
#[derive(Debug, Clone, PartialEq)]
pub struct RunChange {
    /// The new run; its sequence number counts the events below.
    pub run: Run,
    /// Entries for the run's journal.
    pub events: Vec<Event>,
    /// When it happened.
    pub at: DateTime<Utc>,
}
