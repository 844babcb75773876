//! The verbs of the ledger, each with its name put to what goes wrong.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    Aggregate, Call, CallId, Contact, ContactId, E164, ItemId, JournalEntry, OrgId, Run, RunId, RunTally,
    Suppression,
};
use rivvi_core::policy::NumberFacts;
use rivvi_core::storage::{
    Applied, ApplyCalls, BeginCalls, Begun, ChangeRun, ContactQuery, DeadLetter, Decide, InboxItem,
    JournalCursor, JournalPage, Ledger, OutboxItem, RunQuery, Settle, SettleWaiting, StorageError, TakeItems,
    TakeOverdue, campaigns_only,
};

use crate::{PostgresStorage, apply, call, contact, dispatch, imported, item, journal, run, suppression};

#[async_trait]
impl Ledger for PostgresStorage {
    async fn create_run(&self, run: Run) -> Result<Run, StorageError> {
        self.retried("create_run", || run::create(self, &run)).await
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, StorageError> {
        self.verb("run", run::run(self, id)).await
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<Run>, StorageError> {
        self.verb("runs", run::runs(self, &query)).await
    }

    async fn change_run(&self, id: RunId, change: &ChangeRun<'_>) -> Result<Run, StorageError> {
        self.retried("change_run", || run::change(self, id, change)).await
    }

    async fn purge_run(&self, id: RunId, limit: usize) -> Result<u64, StorageError> {
        self.retried("purge_run", || run::purge(self, id, limit)).await
    }

    async fn add_contacts(&self, contacts: Vec<Contact>, now: DateTime<Utc>) -> Result<u64, StorageError> {
        self.retried("add_contacts", || imported::add(self, &contacts, now)).await
    }

    async fn contact(&self, id: ContactId) -> Result<Option<Contact>, StorageError> {
        self.verb("contact", contact::by_id(self, id)).await
    }

    async fn contacts(&self, query: ContactQuery) -> Result<Vec<Contact>, StorageError> {
        self.verb("contacts", contact::contacts(self, &query)).await
    }

    async fn tally(&self, run_id: RunId) -> Result<RunTally, StorageError> {
        self.verb("tally", run::tally(self, run_id)).await
    }

    async fn settle_waiting(&self, request: SettleWaiting) -> Result<u64, StorageError> {
        self.retried("settle_waiting", || contact::settle_waiting(self, &request)).await
    }

    async fn begin_calls(&self, request: BeginCalls, decide: &Decide<'_>) -> Result<Begun, StorageError> {
        self.retried("begin_calls", || dispatch::begin_calls(self, &request, decide)).await
    }

    async fn apply_calls(
        &self,
        request: ApplyCalls,
        settle: &Settle<'_>,
    ) -> Result<Vec<Applied>, StorageError> {
        self.retried("apply_calls", || apply::apply(self, &request, settle)).await
    }

    async fn take_overdue(&self, request: TakeOverdue) -> Result<Vec<Call>, StorageError> {
        self.retried("take_overdue", || call::take_overdue(self, &request)).await
    }

    async fn call(&self, id: CallId) -> Result<Option<Call>, StorageError> {
        self.verb("call", call::call(self, id)).await
    }

    async fn calls_of(&self, contacts: &[ContactId]) -> Result<Vec<Call>, StorageError> {
        self.verb("calls_of", call::of_contacts(self, contacts)).await
    }

    async fn live_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<Call>, StorageError> {
        self.verb("live_calls", call::live(self, run_id, after, limit)).await
    }

    async fn number_facts(
        &self,
        org_id: OrgId,
        number: E164,
        _now: DateTime<Utc>,
    ) -> Result<NumberFacts, StorageError> {
        self.verb("number_facts", dispatch::facts_of_number(self, org_id, number)).await
    }

    async fn next_due(&self, runs: &[RunId]) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.verb("next_due", call::next_due(self, runs)).await
    }

    async fn suppress(&self, entries: Vec<Suppression>) -> Result<Vec<CallId>, StorageError> {
        self.retried("suppress", || suppression::suppress(self, &entries)).await
    }

    async fn release(&self, org_id: OrgId, number: E164, now: DateTime<Utc>) -> Result<bool, StorageError> {
        self.retried("release", || suppression::release(self, org_id, number, now)).await
    }

    async fn suppressions(
        &self,
        org_id: OrgId,
        after: Option<E164>,
        limit: usize,
    ) -> Result<Vec<Suppression>, StorageError> {
        self.verb("suppressions", suppression::suppressions(self, org_id, after, limit)).await
    }

    async fn take_inbox(&self, request: TakeItems) -> Result<Vec<InboxItem>, StorageError> {
        self.retried("take_inbox", || item::take(self, &request)).await
    }

    async fn finish_inbox(&self, ids: Vec<ItemId>) -> Result<(), StorageError> {
        self.retried("finish_inbox", || item::finish::<InboxItem>(self, &ids)).await
    }

    async fn take_outbox(&self, request: TakeItems) -> Result<Vec<OutboxItem>, StorageError> {
        self.retried("take_outbox", || item::take(self, &request)).await
    }

    async fn finish_outbox(&self, ids: Vec<ItemId>) -> Result<(), StorageError> {
        self.retried("finish_outbox", || item::finish::<OutboxItem>(self, &ids)).await
    }

    async fn retry_item(
        &self,
        id: ItemId,
        at: Option<DateTime<Utc>>,
        problem: String,
    ) -> Result<(), StorageError> {
        self.retried("retry_item", || item::retry(self, id, at, &problem)).await
    }

    async fn dead_letters(
        &self,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        self.verb("dead_letters", item::dead_letters(self, after, limit)).await
    }

    async fn revive(&self, ids: Vec<ItemId>, now: DateTime<Utc>) -> Result<u64, StorageError> {
        self.retried("revive", || item::revive(self, &ids, now)).await
    }

    async fn journal(
        &self,
        aggregate: Aggregate,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StorageError> {
        self.verb("journal", journal::journal(self, aggregate, after, limit)).await
    }

    async fn add_entries(&self, entries: Vec<JournalEntry>) -> Result<(), StorageError> {
        campaigns_only(&entries)?;
        self.retried("add_entries", || journal::add(self, &entries)).await
    }

    async fn journal_feed(
        &self,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, StorageError> {
        self.verb("journal_feed", journal::feed(self, after.as_ref(), limit)).await
    }

    async fn last_entry_at(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        self.verb("last_entry_at", journal::last_at(self)).await
    }

    async fn cursor(&self, reader: &str) -> Result<Option<JournalCursor>, StorageError> {
        self.verb("cursor", journal::cursor(self, reader)).await
    }

    async fn save_cursor(&self, reader: &str, cursor: JournalCursor) -> Result<(), StorageError> {
        self.retried("save_cursor", || journal::save_cursor(self, reader, &cursor)).await
    }
}
