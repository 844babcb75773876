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

use crate::{SqliteStorage, call, contact, dispatch, item, journal, run, suppression};

#[async_trait]
impl Ledger for SqliteStorage {
    async fn create_run(&self, run: Run) -> Result<Run, StorageError> {
        run::create(self, run).await.map_err(self.error("create_run"))
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, StorageError> {
        run::run(self, id).await.map_err(self.error("run"))
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<Run>, StorageError> {
        run::runs(self, query).await.map_err(self.error("runs"))
    }

    async fn change_run(&self, id: RunId, change: &ChangeRun<'_>) -> Result<Run, StorageError> {
        run::change(self, id, change).await.map_err(self.error("change_run"))
    }

    async fn purge_run(&self, id: RunId, limit: usize) -> Result<u64, StorageError> {
        run::purge(self, id, limit).await.map_err(self.error("purge_run"))
    }

    async fn add_contacts(&self, contacts: Vec<Contact>, now: DateTime<Utc>) -> Result<u64, StorageError> {
        contact::add(self, contacts, now).await.map_err(self.error("add_contacts"))
    }

    async fn contact(&self, id: ContactId) -> Result<Option<Contact>, StorageError> {
        contact::contact(self, id).await.map_err(self.error("contact"))
    }

    async fn contacts(&self, query: ContactQuery) -> Result<Vec<Contact>, StorageError> {
        contact::contacts(self, query).await.map_err(self.error("contacts"))
    }

    async fn tally(&self, run_id: RunId) -> Result<RunTally, StorageError> {
        run::tally(self, run_id).await.map_err(self.error("tally"))
    }

    async fn settle_waiting(&self, request: SettleWaiting) -> Result<u64, StorageError> {
        contact::settle_waiting(self, request).await.map_err(self.error("settle_waiting"))
    }

    async fn begin_calls(&self, request: BeginCalls, decide: &Decide<'_>) -> Result<Begun, StorageError> {
        dispatch::begin_calls(self, request, decide).await.map_err(self.error("begin_calls"))
    }

    async fn apply_calls(
        &self,
        request: ApplyCalls,
        settle: &Settle<'_>,
    ) -> Result<Vec<Applied>, StorageError> {
        call::apply(self, request, settle).await.map_err(self.error("apply_calls"))
    }

    async fn take_overdue(&self, request: TakeOverdue) -> Result<Vec<Call>, StorageError> {
        call::take_overdue(self, request).await.map_err(self.error("take_overdue"))
    }

    async fn call(&self, id: CallId) -> Result<Option<Call>, StorageError> {
        call::call(self, id).await.map_err(self.error("call"))
    }

    async fn calls_of(&self, contacts: &[ContactId]) -> Result<Vec<Call>, StorageError> {
        call::of_contacts(self, contacts).await.map_err(self.error("calls_of"))
    }

    async fn live_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<Call>, StorageError> {
        call::live(self, run_id, after, limit).await.map_err(self.error("live_calls"))
    }

    async fn number_facts(
        &self,
        org_id: OrgId,
        number: E164,
        _now: DateTime<Utc>,
    ) -> Result<NumberFacts, StorageError> {
        dispatch::facts_of_number(self, org_id, number).await.map_err(self.error("number_facts"))
    }

    async fn next_due(&self, runs: &[RunId]) -> Result<Option<DateTime<Utc>>, StorageError> {
        call::next_due(self, runs).await.map_err(self.error("next_due"))
    }

    async fn suppress(&self, entries: Vec<Suppression>) -> Result<Vec<CallId>, StorageError> {
        suppression::suppress(self, entries).await.map_err(self.error("suppress"))
    }

    async fn release(&self, org_id: OrgId, number: E164, now: DateTime<Utc>) -> Result<bool, StorageError> {
        suppression::release(self, org_id, number, now).await.map_err(self.error("release"))
    }

    async fn suppressions(
        &self,
        org_id: OrgId,
        after: Option<E164>,
        limit: usize,
    ) -> Result<Vec<Suppression>, StorageError> {
        suppression::suppressions(self, org_id, after, limit).await.map_err(self.error("suppressions"))
    }

    async fn take_inbox(&self, request: TakeItems) -> Result<Vec<InboxItem>, StorageError> {
        item::take(self, request).await.map_err(self.error("take_inbox"))
    }

    async fn finish_inbox(&self, ids: Vec<ItemId>) -> Result<(), StorageError> {
        item::finish::<InboxItem>(self, ids).await.map_err(self.error("finish_inbox"))
    }

    async fn take_outbox(&self, request: TakeItems) -> Result<Vec<OutboxItem>, StorageError> {
        item::take(self, request).await.map_err(self.error("take_outbox"))
    }

    async fn finish_outbox(&self, ids: Vec<ItemId>) -> Result<(), StorageError> {
        item::finish::<OutboxItem>(self, ids).await.map_err(self.error("finish_outbox"))
    }

    async fn retry_item(
        &self,
        id: ItemId,
        at: Option<DateTime<Utc>>,
        problem: String,
    ) -> Result<(), StorageError> {
        item::retry(self, id, at, problem).await.map_err(self.error("retry_item"))
    }

    async fn dead_letters(
        &self,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        item::dead_letters(self, after, limit).await.map_err(self.error("dead_letters"))
    }

    async fn revive(&self, ids: Vec<ItemId>, now: DateTime<Utc>) -> Result<u64, StorageError> {
        item::revive(self, ids, now).await.map_err(self.error("revive"))
    }

    async fn journal(
        &self,
        aggregate: Aggregate,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StorageError> {
        journal::journal(self, aggregate, after, limit).await.map_err(self.error("journal"))
    }

    async fn add_entries(&self, entries: Vec<JournalEntry>) -> Result<(), StorageError> {
        campaigns_only(&entries)?;
        journal::add(self, entries).await.map_err(self.error("add_entries"))
    }

    async fn journal_feed(
        &self,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, StorageError> {
        journal::feed(self, after, limit).await.map_err(self.error("journal_feed"))
    }

    async fn last_entry_at(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        journal::last_at(self).await.map_err(self.error("last_entry_at"))
    }

    async fn cursor(&self, reader: &str) -> Result<Option<JournalCursor>, StorageError> {
        journal::cursor(self, reader).await.map_err(self.error("cursor"))
    }

    async fn save_cursor(&self, reader: &str, cursor: JournalCursor) -> Result<(), StorageError> {
        journal::save_cursor(self, reader, cursor).await.map_err(self.error("save_cursor"))
    }
}
