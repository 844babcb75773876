//! The suppression list, through the front.

use chrono::{DateTime, Utc};

use super::Inner;
use crate::domain::{Call, CallId, CallState, E164, OrgId, Suppression, SuppressionSource};
use crate::storage::StorageError;

/// Numbers that must not be contacted. Got from [`Rivvi::suppression_list`](super::Rivvi::suppression_list).
#[derive(Debug, Clone, Copy)]
pub struct SuppressionList<'a> {
    pub(super) inner: &'a Inner,
}

/// What adding to the suppression list did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppressed {
    /// Numbers given.
    pub numbers: usize,
    /// Calls to them that were live already. Those that nobody had answered are being ended.
    pub live_calls: Vec<CallId>,
}

/// Numbers written in one transaction.
const BATCH: usize = 1_000;

impl SuppressionList<'_> {
    /// Adds numbers for good, or until `expires_at`. When this returns, no call to them begins any more in any run
    /// of the organization; calls that were under way are named in the answer.
    ///
    /// # Errors
    /// If the store fails; numbers added until then stay added.
    pub async fn add(
        &self,
        org_id: OrgId,
        numbers: impl IntoIterator<Item = E164>,
        source: SuppressionSource,
        reason: &str,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<Suppressed, StorageError> {
        let added_at = self.inner.clock.now();
        let numbers: Vec<E164> = numbers.into_iter().collect();
        let mut live_calls = Vec::new();
        for batch in numbers.chunks(BATCH) {
            let entries = batch.iter().map(|number| Suppression {
                org_id,
                number: *number,
                source,
                reason: reason.to_owned(),
                added_at,
                expires_at,
            });
            live_calls.extend(self.inner.storage.ledger.suppress(entries.collect()).await?);
        }
        for id in &live_calls {
            match self.inner.storage.ledger.call(*id).await? {
                Some(Call { state: CallState::Answered | CallState::Ended { .. }, .. }) | None => {}
                Some(call) => self.inner.hang_up(&call).await,
            }
        }
        Ok(Suppressed { numbers: numbers.len(), live_calls })
    }

    /// Takes a number off the list. Returns whether it was on it.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn remove(&self, org_id: OrgId, number: E164) -> Result<bool, StorageError> {
        self.inner.storage.ledger.release(org_id, number, self.inner.clock.now()).await
    }

    /// Whether the list forbids to contact a number now.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn contains(&self, org_id: OrgId, number: E164) -> Result<bool, StorageError> {
        let now = self.inner.clock.now();
        let facts = self.inner.storage.ledger.number_facts(org_id, number, now).await?;
        Ok(facts.suppression.is_some_and(|entry| entry.is_active(now)))
    }

    /// Entries in the order of their numbers, the first `limit` after `after`, lapsed ones included.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(
        &self,
        org_id: OrgId,
        after: Option<E164>,
        limit: usize,
    ) -> Result<Vec<Suppression>, StorageError> {
        self.inner.storage.ledger.suppressions(org_id, after, limit).await
    }
}
