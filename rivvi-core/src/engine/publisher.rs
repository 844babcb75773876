//! What leaves the engine: actions of the host and journal entries. And what came in too early.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::Inner;
use super::sms::CONFIRM_OPT_OUT;
use crate::domain::{Call, ContactId, ItemId};
use crate::machine::CallInput;
use crate::provider::{ActionResult, FindCall};
use crate::storage::{Applied, OutboxItem, StorageError, TakeItems};

/// Items taken in one step.
const BATCH: usize = 500;
/// Contacts whose actions are carried out at the same time.
const AT_ONCE: usize = 32;
/// How long an item taken is left alone before it comes again.
const HOLD: Duration = Duration::from_secs(120);

impl Inner {
    /// Carries out actions that conversations asked for.
    pub(super) async fn carry_out_actions(&self) -> Result<(), StorageError> {
        // Those of one contact in the order asked for, those of several at once: somebody may be waiting.
        let mut by_contact: BTreeMap<ContactId, Vec<OutboxItem>> = BTreeMap::new();
        let taken_at = self.clock.now();
        for item in self.storage.ledger.take_outbox(self.take()).await? {
            by_contact.entry(item.contact_id).or_default().push(item);
        }
        let contacts = stream::iter(by_contact.into_values()).map(|items| async {
            for item in items {
                self.carry_out_and_tell(item, taken_at).await?;
            }
            Ok(())
        });
        contacts.buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn carry_out_and_tell(
        &self,
        item: OutboxItem,
        taken_at: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        if item.action == CONFIRM_OPT_OUT {
            return self.confirm_opt_out(&item, taken_at).await;
        }
        match self.carry_out(&item).await {
            Ok(result) => {
                self.tell_result(&item, &result).await?;
                self.storage.ledger.finish_outbox(vec![item.id]).await
            }
            Err(problem) => {
                tracing::warn!(action = %item.action, item = %item.id, problem, "an action failed");
                let last = item.attempts >= self.config.action_attempts_max;
                if last {
                    self.tell_result(&item, &ActionResult::failed()).await?;
                }
                let at = (!last).then(|| self.again_at(item.attempts));
                self.storage.ledger.retry_item(item.id, at, problem).await
            }
        }
    }

    /// Hands a result to the conversation that asked for the action, as long as there is one.
    async fn tell_result(&self, item: &OutboxItem, result: &ActionResult) -> Result<(), StorageError> {
        let Some(call_id) = item.call_id else { return Ok(()) };
        let call = self.storage.ledger.call(call_id).await?.filter(Call::is_live);
        let Some(call) = call else { return Ok(()) };
        let provider = self.voice.iter().find(|provider| provider.name() == call.provider);
        let Some(provider) = provider else { return Ok(()) };
        let query = FindCall {
            call_id: call.id,
            reference: call.provider_ref,
            to: call.number,
            intended_at: call.intended_at,
        };
        let told = self.within(provider.action_result(&query, &item.key, result)).await;
        if let Some(Err(error)) = told {
            tracing::warn!(call = %call.id, %error, "the result of an action was not told; its conversation goes on without");
        }
        Ok(())
    }

    async fn carry_out(&self, item: &OutboxItem) -> Result<ActionResult, String> {
        let action = self.actions.get(&item.action);
        let action = action.ok_or("no action of this name is registered; register it and revive the item")?;
        let answer = self.within(action.carry_out(item)).await.ok_or("it took too long")?;
        answer.map_err(|error| error.to_string())
    }

    /// Publishes new journal entries to every sink.
    pub(super) async fn publish_journal(&self) -> Result<(), StorageError> {
        for sink in &self.sinks {
            loop {
                let cursor = self.storage.ledger.cursor(sink.name()).await?;
                let page = self.storage.ledger.journal_feed(cursor, BATCH).await?;
                if page.entries.is_empty() {
                    break;
                }
                let late = || Err("it took too long".into());
                if let Err(error) = self.within(sink.publish(&page.entries)).await.unwrap_or_else(late) {
                    tracing::warn!(sink = sink.name(), %error, "an event sink refused entries; they come again");
                    break;
                }
                self.storage.ledger.save_cursor(sink.name(), page.next).await?;
            }
        }
        Ok(())
    }

    /// Tries updates again whose call was not known when they came.
    pub(super) async fn match_inbox(&self) -> Result<(), StorageError> {
        let now = self.clock.now();
        let items = self.storage.ledger.take_inbox(self.take()).await?;
        if items.is_empty() {
            return Ok(());
        }
        let inputs: Vec<_> = items.iter().map(|item| CallInput::from(item.update.clone())).collect();
        let applied = self.apply(&inputs, false).await?;
        let mut matched: Vec<ItemId> = Vec::new();
        for (item, applied) in items.into_iter().zip(applied) {
            if applied != Applied::Unmatched || self.archive_inbound(&item.update).await? {
                matched.push(item.id);
            } else if now >= item.expires_at {
                let problem = "no call of this id became known".to_owned();
                self.storage.ledger.retry_item(item.id, None, problem).await?;
            } else {
                let at = self.again_at(item.attempts).min(item.expires_at);
                self.storage.ledger.retry_item(item.id, Some(at), String::new()).await?;
            }
        }
        self.storage.ledger.finish_inbox(matched).await
    }

    fn take(&self) -> TakeItems {
        let now = self.clock.now();
        TakeItems { now, hold_until: now + HOLD, limit: BATCH }
    }

    /// 5 s after the first attempt, then twice as long each time, up to an hour.
    fn again_at(&self, attempts: u32) -> DateTime<Utc> {
        let wait = 5_u64.saturating_mul(1 << attempts.saturating_sub(1).min(10));
        self.clock.now() + Duration::from_secs(wait.min(3600))
    }
}
