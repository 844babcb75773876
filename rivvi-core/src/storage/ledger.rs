//! The transactional heart.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    Applied, ApplyCalls, BeginCalls, Begun, ChangeRun, ContactQuery, DeadLetter, Decide, InboxItem,
    JournalCursor, JournalPage, OutboxItem, RunQuery, Settle, SettleWaiting, StorageError, TakeItems,
    TakeOverdue,
};
use crate::domain::{
    Aggregate, Call, CallId, Contact, ContactId, E164, ItemId, JournalEntry, OrgId, Run, RunId, RunTally,
    Suppression,
};
use crate::policy::NumberFacts;

/// Keeps runs, contacts, calls, the suppression list, inbox, outbox and journal.
///
/// Every verb is one transaction, or a sequence of transactions each of which leaves the ledger whole; every verb
/// may be repeated after an error. What a verb decides about a contact is committed with all that hangs on it (call,
/// attempt, place in the limits, suppression, actions, journal) or not at all; a batch of contacts is committed as a
/// whole or in parts, as the store can, and after an error a part of it may stand.
///
/// Journal entries are committed with the state they describe. Their sequence numbers continue those of their
/// aggregate; [`Run::sequence`] and [`ContactStatus::sequence`](crate::domain::ContactStatus::sequence) hold the last one written.
#[async_trait]
pub trait Ledger: Debug + Send + Sync + 'static {
    // Runs

    /// Adds a run with its first journal entry ([`Event::RunCreated`](crate::domain::Event::RunCreated), at [`Run::created_at`]).
    ///
    /// If the campaign has a run with the same key already, nothing changes and that run is returned.
    async fn create_run(&self, run: Run) -> Result<Run, StorageError>;

    /// The run, or `None`.
    async fn run(&self, id: RunId) -> Result<Option<Run>, StorageError>;

    /// Runs that match, in the order of their ids.
    async fn runs(&self, query: RunQuery) -> Result<Vec<Run>, StorageError>;

    /// Changes a run: reads it with its facts, asks `change`, and commits what that returns.
    ///
    /// Changes of runs of one organization happen one after the other, so that the number of runs active at once is
    /// right. `change` may be called again with newer facts.
    ///
    /// # Errors
    /// [`NotFound`](super::StorageErrorKind::NotFound), or the error that `change` returns.
    async fn change_run(&self, id: RunId, change: &ChangeRun<'_>) -> Result<Run, StorageError>;

    /// Removes what is live of a run that is [done](crate::domain::RunState::is_done): contacts, calls, due entries. The run itself, its tally,
    /// its journal and the attempts at its numbers stay. Removes at most `limit` contacts and tells how many; a run
    /// in any other state is left alone.
    async fn purge_run(&self, id: RunId, limit: usize) -> Result<u64, StorageError>;

    // Contacts

    /// Adds contacts that wait, each with the entry [`Event::ContactImported`](crate::domain::Event::ContactImported) at `now`. Contacts whose id exists
    /// are left as they are. Returns how many were added.
    ///
    /// # Errors
    /// [`NotFound`](super::StorageErrorKind::NotFound) if the run of one of them does not exist, and
    /// [`Refused`](super::StorageErrorKind::Refused) if it is [over](crate::domain::RunState::is_final), where nobody would settle
    /// them; none is added then.
    async fn add_contacts(&self, contacts: Vec<Contact>, now: DateTime<Utc>) -> Result<u64, StorageError>;

    /// The contact, or `None`.
    async fn contact(&self, id: ContactId) -> Result<Option<Contact>, StorageError>;

    /// Contacts that match, in the order of their ids.
    async fn contacts(&self, query: ContactQuery) -> Result<Vec<Contact>, StorageError>;

    /// The counts of a run, exact at the moment of the answer.
    ///
    /// # Errors
    /// [`NotFound`](super::StorageErrorKind::NotFound).
    async fn tally(&self, run_id: RunId) -> Result<RunTally, StorageError>;

    /// Settles up to `limit` waiting contacts of a run that is [`RunState::Completing`](crate::domain::RunState::Completing), with one entry each. Returns
    /// how many. A run in any other state may dial again or is over: it is left alone.
    async fn settle_waiting(&self, request: SettleWaiting) -> Result<u64, StorageError>;

    // Calls

    /// Takes due contacts of an active run and begins calls to those that may be called: claim, checks and intent
    /// of a contact in one transaction.
    ///
    /// Contacts are taken by priority, then by due time, then by id, until the free capacity is used up or
    /// `contacts_max` were looked at. The capacity is the least of `calls_max`, what the organization's limit leaves
    /// and what the run's limit leaves, counted from the live calls in the same transaction; a contact whose change
    /// carries no call uses none of it. For each contact `decide` is asked with the facts about its number as they
    /// are in this transaction, including what was decided about the contacts before; what it returns is committed.
    /// A store that commits in parts may return after some of them, with [`Begun::limited`] `None` if more may be due.
    ///
    /// A run that is not [`RunState::Active`](crate::domain::RunState::Active) yields nothing. A contact is taken by one caller at a time.
    async fn begin_calls(&self, request: BeginCalls, decide: &Decide<'_>) -> Result<Begun, StorageError>;

    /// Applies inputs to their calls: reads each call with its contact, asks `settle`, and commits what that
    /// returns. Inputs of one contact take effect in the order given, each seeing the effect of those before, and each
    /// all or nothing.
    ///
    /// An input whose call is not known is kept in the inbox if `keep_unmatched_until` is given and it is an update.
    async fn apply_calls(
        &self,
        request: ApplyCalls,
        settle: &Settle<'_>,
    ) -> Result<Vec<Applied>, StorageError>;

    /// Takes live calls whose [`Call::check_at`] is not after `now`, the longest overdue first: each gets a lease of
    /// `node` until `hold_until` with a greater token, and `hold_until` as its new `check_at`. So a former holder is
    /// fenced out, and no other node takes the call before `hold_until`.
    async fn take_overdue(&self, request: TakeOverdue) -> Result<Vec<Call>, StorageError>;

    /// The call, or `None`.
    async fn call(&self, id: CallId) -> Result<Option<Call>, StorageError>;

    /// The calls of these contacts, in the order of the contacts, those of one contact oldest first.
    async fn calls_of(&self, contacts: &[ContactId]) -> Result<Vec<Call>, StorageError>;

    /// Live calls of a run in the order of their ids, the first `limit` after `after`.
    async fn live_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<Call>, StorageError>;

    /// Facts about a number at `now`: attempts over all runs of the organization, live call, suppression.
    async fn number_facts(
        &self,
        org_id: OrgId,
        number: E164,
        now: DateTime<Utc>,
    ) -> Result<NumberFacts, StorageError>;

    /// The earliest instant at which a contact of one of these runs is due or a call or item of the ledger wants to
    /// be looked after; `None` if there is none.
    async fn next_due(&self, runs: &[RunId]) -> Result<Option<DateTime<Utc>>, StorageError>;

    // Suppression list

    /// Adds entries, with one journal entry of the organization each. A number already on the list keeps the earlier
    /// start and the later end, see [`Suppression::merged_with`]. When this returns, no call to these numbers
    /// begins any more. Returns the calls to these numbers that are live already.
    async fn suppress(&self, entries: Vec<Suppression>) -> Result<Vec<CallId>, StorageError>;

    /// Takes a number off the list, with a journal entry. Returns whether it was on it.
    async fn release(&self, org_id: OrgId, number: E164, now: DateTime<Utc>) -> Result<bool, StorageError>;

    /// Entries of an organization in the order of their numbers, the first `limit` after `after`, lapsed ones
    /// included.
    async fn suppressions(
        &self,
        org_id: OrgId,
        after: Option<E164>,
        limit: usize,
    ) -> Result<Vec<Suppression>, StorageError>;

    // Inbox and outbox

    /// Takes unmatched updates whose time has come; they come again at `hold_until` unless finished.
    async fn take_inbox(&self, request: TakeItems) -> Result<Vec<InboxItem>, StorageError>;

    /// Removes items of the inbox that were applied.
    async fn finish_inbox(&self, ids: Vec<ItemId>) -> Result<(), StorageError>;

    /// Takes actions of the host whose time has come; they come again at `hold_until` unless finished or retried.
    async fn take_outbox(&self, request: TakeItems) -> Result<Vec<OutboxItem>, StorageError>;

    /// Removes items of the outbox that were carried out.
    async fn finish_outbox(&self, ids: Vec<ItemId>) -> Result<(), StorageError>;

    /// Has an item of inbox or outbox come again at `at`, or puts it on the dead-letter list if `at` is `None`.
    async fn retry_item(
        &self,
        id: ItemId,
        at: Option<DateTime<Utc>>,
        problem: String,
    ) -> Result<(), StorageError>;

    /// The dead-letter list in the order of ids, the first `limit` after `after`.
    async fn dead_letters(
        &self,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StorageError>;

    /// Gives items of the dead-letter list another chance at `now`. Returns how many there were.
    async fn revive(&self, ids: Vec<ItemId>, now: DateTime<Utc>) -> Result<u64, StorageError>;

    // Journal

    /// Entries of an aggregate in order, the first `limit` after sequence number `after`.
    async fn journal(
        &self,
        aggregate: Aggregate,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StorageError>;

    /// Adds entries of campaigns, whose state the [`Catalog`](super::Catalog) keeps. An entry whose place is taken is left
    /// out, so that whoever tells a second time changes nothing; it is for the caller that no place is left empty.
    ///
    /// # Errors
    /// [`Refused`](super::StorageErrorKind::Refused) if one of them belongs to another aggregate; none is added then.
    async fn add_entries(&self, entries: Vec<JournalEntry>) -> Result<(), StorageError>;

    /// Entries of all aggregates after a cursor (`None`: from the beginning), those of one aggregate in order. No
    /// entry committed before the answer is left out by following the cursors.
    async fn journal_feed(
        &self,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, StorageError>;

    /// When the latest entry was written; `None` if there is none. The time of an engine on this ledger must not lie
    /// before.
    async fn last_entry_at(&self) -> Result<Option<DateTime<Utc>>, StorageError>;

    /// The cursor last saved under `reader`.
    async fn cursor(&self, reader: &str) -> Result<Option<JournalCursor>, StorageError>;

    /// Saves how far `reader` has come.
    async fn save_cursor(&self, reader: &str, cursor: JournalCursor) -> Result<(), StorageError>;
}
