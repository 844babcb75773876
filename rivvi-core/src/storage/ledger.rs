//! The transactional heart.

use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::StorageError;
use crate::domain::{
    Aggregate, Call, CallId, CampaignId, Contact, ContactId, ContactStatus, Disposition, E164, Event, ItemId,
    JournalEntry, OrgId, Outcome, Personal, Run, RunId, RunState, RunTally, Suppression,
};
use crate::machine::CallInput;
use crate::policy::NumberFacts;
use crate::provider::CallUpdate;

/// Keeps runs, contacts, calls, the suppression list, inbox, outbox and journal.
///
/// Every verb is one transaction, or a sequence of transactions each of which leaves the ledger whole; every verb
/// may be repeated after an error. Verbs that take a batch write it as one.
///
/// Journal entries are committed with the state they describe. Their sequence numbers continue those of their
/// aggregate; [`Run::sequence`] and [`ContactStatus::sequence`] hold the last one written.
#[async_trait]
pub trait Ledger: Debug + Send + Sync + 'static {
    // Runs

    /// Adds a run with its first journal entry ([`Event::RunCreated`], at [`Run::created_at`]).
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

    /// Removes what is live of a run that is [done](RunState::is_done): contacts, calls, due entries. The run itself, its tally,
    /// its journal and the attempts at its numbers stay. Removes at most `limit` contacts and tells how many; a run
    /// in any other state is left alone.
    async fn purge_run(&self, id: RunId, limit: usize) -> Result<u64, StorageError>;

    // Contacts

    /// Adds contacts that wait, each with the entry [`Event::ContactImported`] at `now`. Contacts whose id exists
    /// are left as they are. Returns how many were added.
    ///
    /// # Errors
    /// [`NotFound`](super::StorageErrorKind::NotFound) if the run of one of them does not exist, and
    /// [`Refused`](super::StorageErrorKind::Refused) if it is [over](RunState::is_final), where nobody would settle
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

    /// Settles up to `limit` waiting contacts of a run that is [`RunState::Completing`], with one entry each. Returns
    /// how many. A run in any other state may dial again or is over: it is left alone.
    async fn settle_waiting(&self, request: SettleWaiting) -> Result<u64, StorageError>;

    // Calls

    /// Takes due contacts of an active run and begins calls to those that may be called: claim, checks and intent
    /// in one transaction.
    ///
    /// Contacts are taken by priority, then by due time, then by id, until the free capacity is used up or
    /// `contacts_max` were looked at. The capacity is the least of `calls_max`, what the organization's limit leaves
    /// and what the run's limit leaves, counted from the live calls in the same transaction; a contact whose change
    /// carries no call uses none of it. For each contact `decide` is asked with the facts about its number as they
    /// are in this transaction, including what was decided about the contacts before; what it returns is committed.
    ///
    /// A run that is not [`RunState::Active`] yields nothing. A contact is taken by one caller at a time.
    async fn begin_calls(&self, request: BeginCalls, decide: &Decide<'_>) -> Result<Begun, StorageError>;

    /// Applies inputs to their calls: reads each call with its contact, asks `settle`, and commits what that
    /// returns; all in one transaction, in the order given, each input seeing the effect of those before.
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

/// Decides about a due contact inside [`Ledger::begin_calls`]. Pure; may be called again with newer facts.
pub type Decide<'a> = dyn Fn(&Contact, &NumberFacts) -> Change + Send + Sync + 'a;

/// Decides about an input inside [`Ledger::apply_calls`]. `None` changes nothing. Pure; may be called again.
pub type Settle<'a> = dyn Fn(&Contact, &Call, &CallInput) -> Option<Change> + Send + Sync + 'a;

/// Decides about a change inside [`Ledger::change_run`]. Pure; may be called again with newer facts.
pub type ChangeRun<'a> = dyn Fn(&Run, &RunFacts) -> Result<RunChange, StorageError> + Send + Sync + 'a;

/// What changes about a contact and its call, to be committed all or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The new status of the contact; its sequence number counts the events below.
    pub status: ContactStatus,
    /// The call that begins or changes.
    pub call: Option<Call>,
    /// What changes about the attempts at the number.
    pub attempt: Option<AttemptChange>,
    /// A number to be suppressed, as by [`Ledger::suppress`] but without its journal entry.
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

/// What [`ChangeRun`] may look at beside the run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunFacts {
    /// Other runs of the organization that are [running](RunState::is_running).
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

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunQuery {
    /// Of this organization.
    pub org_id: Option<OrgId>,
    /// Of this campaign.
    pub campaign_id: Option<CampaignId>,
    /// In one of these states; empty is any.
    pub states: Vec<RunState>,
    /// After this id.
    pub after: Option<RunId>,
    /// At most this many; 0 is no limit.
    pub limit: usize,
}

/// Which contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactQuery {
    /// Of this run.
    pub run_id: RunId,
    /// With this number.
    pub number: Option<E164>,
    /// After this id.
    pub after: Option<ContactId>,
    /// At most this many.
    pub limit: usize,
}

/// What [`Ledger::settle_waiting`] is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleWaiting {
    /// The run.
    pub run_id: RunId,
    /// The outcome they get.
    pub outcome: Outcome,
    /// The rule that decided, for the journal.
    pub rule: &'static str,
    /// Its finding, for the journal.
    pub reason: &'static str,
    /// When.
    pub now: DateTime<Utc>,
    /// At most this many contacts.
    pub limit: usize,
}

/// What [`Ledger::begin_calls`] is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginCalls {
    /// The run.
    pub run_id: RunId,
    /// The organization of the run.
    pub org_id: OrgId,
    /// When.
    pub now: DateTime<Utc>,
    /// At most this many calls.
    pub calls_max: u32,
    /// At most this many contacts are looked at.
    pub contacts_max: u32,
    /// Live calls of the organization at once.
    pub organization_limit: u32,
    /// Live calls of the run at once.
    pub run_limit: Option<u32>,
}

/// What [`Ledger::begin_calls`] did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Begun {
    /// Calls that may now be placed, with their contacts.
    pub calls: Vec<(Call, Contact)>,
    /// Contacts looked at.
    pub taken: u32,
    /// What kept it from looking at more.
    pub limited: Option<Limited>,
}

/// What kept [`Ledger::begin_calls`] from taking more contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// No further contact is due.
    NothingDue,
    /// The run is not active.
    NotActive,
    /// `calls_max` or `contacts_max` is used up.
    Request,
    /// The organization or the run has as many live calls as it may.
    Concurrency,
}

/// What [`Ledger::apply_calls`] is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplyCalls {
    /// The inputs, in the order in which they take effect.
    pub inputs: Vec<CallInput>,
    /// When.
    pub now: DateTime<Utc>,
    /// Keep updates of unknown calls in the inbox until this instant.
    pub keep_unmatched_until: Option<DateTime<Utc>>,
}

/// What became of an input.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// It changed the call or its contact.
    Changed {
        /// The call as it is now.
        call: Box<Call>,
        /// The contact's status as it is now.
        status: ContactStatus,
    },
    /// It told nothing new.
    Unchanged,
    /// Its call is not known; kept in the inbox if asked for.
    Unmatched,
}

/// What [`Ledger::take_overdue`] is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeOverdue {
    /// When.
    pub now: DateTime<Utc>,
    /// Who takes them.
    pub node: crate::domain::NodeId,
    /// Until when they are held.
    pub hold_until: DateTime<Utc>,
    /// At most this many.
    pub limit: usize,
}

/// What [`Ledger::take_inbox`] and [`Ledger::take_outbox`] are to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeItems {
    /// When.
    pub now: DateTime<Utc>,
    /// Until when they are held.
    pub hold_until: DateTime<Utc>,
    /// At most this many.
    pub limit: usize,
}

/// An update whose call was not known when it arrived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InboxItem {
    /// Its id.
    pub id: ItemId,
    /// The update.
    pub update: CallUpdate,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// When it is given up.
    pub expires_at: DateTime<Utc>,
    /// How often it was taken.
    pub attempts: u32,
}

impl InboxItem {
    /// The item of an update that matches no call. Its id is derived from the update, so that the same update is
    /// kept once however often it arrives.
    pub fn unmatched(update: CallUpdate, received_at: DateTime<Utc>, expires_at: DateTime<Utc>) -> Self {
        let text = serde_json::to_vec(&update).unwrap_or_default();
        let digest = Sha256::digest(text);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        let id = ItemId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid());
        Self { id, update, received_at, expires_at, attempts: 0 }
    }
}

/// An action of the host to be carried out, once in effect: the host recognizes a repetition by the id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// Its id, the same at every repetition.
    pub id: ItemId,
    /// Whose call asked for it.
    pub org_id: OrgId,
    /// The run of the call.
    pub run_id: RunId,
    /// The contact of the call.
    pub contact_id: ContactId,
    /// The call.
    pub call_id: CallId,
    /// The name under which the host registered the action.
    pub action: String,
    /// What the conversation gives to it.
    pub parameters: Personal<BTreeMap<String, String>>,
    /// Since when it is to be carried out.
    pub created_at: DateTime<Utc>,
    /// How often it was taken.
    pub attempts: u32,
}

/// An item of inbox or outbox that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DeadLetter {
    /// An update whose call never became known.
    Inbox {
        /// The item.
        item: InboxItem,
        /// Why it was given up.
        problem: String,
    },
    /// An action that kept failing.
    Outbox {
        /// The item.
        item: OutboxItem,
        /// Why it was given up.
        problem: String,
    },
}

impl DeadLetter {
    /// The id of the item.
    pub fn id(&self) -> ItemId {
        match self {
            Self::Inbox { item, .. } => item.id,
            Self::Outbox { item, .. } => item.id,
        }
    }
}

/// A place in the feed of all journal entries, in a form known to its store alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JournalCursor(pub String);

/// Some entries of the journal and where to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalPage {
    /// The entries.
    pub entries: Vec<JournalEntry>,
    /// The place after the last of them.
    pub next: JournalCursor,
}
