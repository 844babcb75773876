//! A ledger that keeps the cache up to date.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    Aggregate, Call, CallId, Contact, ContactId, E164, ItemId, JournalEntry, OrgId, Run, RunId, RunTally,
    Suppression,
};
use rivvi_core::machine::CallInput;
use rivvi_core::policy::NumberFacts;
use rivvi_core::storage::{
    Applied, ApplyCalls, BeginCalls, Begun, ChangeRun, ContactQuery, DeadLetter, Decide, InboxItem,
    JournalCursor, JournalPage, Ledger, OutboxItem, RunQuery, Settle, SettleWaiting, StorageError, TakeItems,
    TakeOverdue,
};

use crate::deny::DenyCache;

/// A ledger in front of another that tells a [`DenyCache`] what it learns about the suppression list.
///
/// The ledger behind decides everything, as before: the cache is written after the ledger has committed, forgets
/// before the ledger releases, and is never asked here. While Redis is away, verbs do what they do without it.
#[derive(Debug, Clone)]
pub struct CachedSuppressions {
    inner: Arc<dyn Ledger>,
    cache: Arc<DenyCache>,
}

impl CachedSuppressions {
    /// The ledger `inner` with this cache.
    pub fn new(inner: Arc<dyn Ledger>, cache: Arc<DenyCache>) -> Self {
        Self { inner, cache }
    }

    /// The cache, for front checks.
    pub fn cache(&self) -> &Arc<DenyCache> {
        &self.cache
    }

    /// Notes what the ledger says about a number.
    async fn note(&self, facts: &NumberFacts, now: DateTime<Utc>) {
        if let Some(entry) = &facts.suppression {
            // What is not noted only costs speed.
            let _ = self.cache.deny(std::slice::from_ref(entry), now).await;
        }
    }
}

/// The whole trait: the verbs given, and all others passed on.
macro_rules! pass_on {
    ({ $($own:item)* } $($verb:ident($($name:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Ledger for CachedSuppressions {
            $($own)*

            $(async fn $verb(&self, $($name: $type),*) -> Result<$answer, StorageError> {
                self.inner.$verb($($name),*).await
            })*
        }
    };
}

pass_on! {
    {
        async fn suppress(&self, entries: Vec<Suppression>) -> Result<Vec<CallId>, StorageError> {
            let live = self.inner.suppress(entries.clone()).await?;
            if let Some(now) = entries.iter().map(|entry| entry.added_at).max() {
                let _ = self.cache.deny(&entries, now).await;
            }
            Ok(live)
        }

        async fn release(&self, org_id: OrgId, number: E164, now: DateTime<Utc>) -> Result<bool, StorageError> {
            // An entry that cannot be lifted is forgotten by itself.
            let _ = self.cache.lift(org_id, number).await;
            let released = self.inner.release(org_id, number, now).await?;
            let _ = self.cache.lift(org_id, number).await;
            Ok(released)
        }

        async fn apply_calls(
            &self,
            request: ApplyCalls,
            settle: &Settle<'_>,
        ) -> Result<Vec<Applied>, StorageError> {
            let now = request.now;
            let asked = Mutex::new(Vec::new());
            let noting = |contact: &Contact, call: &Call, input: &CallInput| {
                let change = settle(contact, call, input)?;
                if let Some(entry) = &change.suppress {
                    let number = (entry.org_id, entry.number);
                    asked.lock().unwrap_or_else(PoisonError::into_inner).push(number);
                }
                Some(change)
            };
            let applied = self.inner.apply_calls(request, &noting).await?;
            for (org_id, number) in asked.into_inner().unwrap_or_else(PoisonError::into_inner) {
                // Decided is not committed, so the ledger is asked. Who opted out is written there already; an error
                // here must not hide that.
                if let Ok(facts) = self.inner.number_facts(org_id, number, now).await {
                    self.note(&facts, now).await;
                }
            }
            Ok(applied)
        }

        async fn number_facts(
            &self,
            org_id: OrgId,
            number: E164,
            now: DateTime<Utc>,
        ) -> Result<NumberFacts, StorageError> {
            let facts = self.inner.number_facts(org_id, number, now).await?;
            self.note(&facts, now).await;
            Ok(facts)
        }
    }
    create_run(run: Run) -> Run;
    add_entries(entries: Vec<JournalEntry>) -> ();
    run(id: RunId) -> Option<Run>;
    runs(query: RunQuery) -> Vec<Run>;
    change_run(id: RunId, change: &ChangeRun<'_>) -> Run;
    purge_run(id: RunId, limit: usize) -> u64;
    add_contacts(contacts: Vec<Contact>, now: DateTime<Utc>) -> u64;
    contact(id: ContactId) -> Option<Contact>;
    contacts(query: ContactQuery) -> Vec<Contact>;
    tally(run_id: RunId) -> RunTally;
    settle_waiting(request: SettleWaiting) -> u64;
    begin_calls(request: BeginCalls, decide: &Decide<'_>) -> Begun;
    take_overdue(request: TakeOverdue) -> Vec<Call>;
    call(id: CallId) -> Option<Call>;
    calls_of(contacts: &[ContactId]) -> Vec<Call>;
    live_calls(run_id: RunId, after: Option<CallId>, limit: usize) -> Vec<Call>;
    next_due(runs: &[RunId]) -> Option<DateTime<Utc>>;
    suppressions(org_id: OrgId, after: Option<E164>, limit: usize) -> Vec<Suppression>;
    take_inbox(request: TakeItems) -> Vec<InboxItem>;
    finish_inbox(ids: Vec<ItemId>) -> ();
    take_outbox(request: TakeItems) -> Vec<OutboxItem>;
    finish_outbox(ids: Vec<ItemId>) -> ();
    retry_item(id: ItemId, at: Option<DateTime<Utc>>, problem: String) -> ();
    dead_letters(after: Option<ItemId>, limit: usize) -> Vec<DeadLetter>;
    revive(ids: Vec<ItemId>, now: DateTime<Utc>) -> u64;
    journal(aggregate: Aggregate, after: u64, limit: usize) -> Vec<JournalEntry>;
    journal_feed(after: Option<JournalCursor>, limit: usize) -> JournalPage;
    last_entry_at() -> Option<DateTime<Utc>>;
    cursor(reader: &str) -> Option<JournalCursor>;
    save_cursor(reader: &str, cursor: JournalCursor) -> ();
}
