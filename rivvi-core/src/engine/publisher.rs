//! What leaves the engine: actions of the host and journal entries. And what came in too early.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Inner;
use super::sms::CONFIRM_OPT_OUT;
use crate::domain::ItemId;
use crate::machine::CallInput;
use crate::storage::{Applied, OutboxItem, StorageError, TakeItems};

/// Items taken in one step.
const BATCH: usize = 500;
/// How long an item taken is left alone before it comes again.
const HOLD: Duration = Duration::from_secs(120);

impl Inner {
    /// Carries out actions that conversations asked for.
    pub(super) async fn carry_out_actions(&self) -> Result<(), StorageError> {
        for item in self.storage.ledger.take_outbox(self.take()).await? {
            if item.action == CONFIRM_OPT_OUT {
                self.confirm_opt_out(&item).await?;
                continue;
            }
            match self.carry_out(&item).await {
                Ok(()) => self.storage.ledger.finish_outbox(vec![item.id]).await?,
                Err(problem) => {
                    tracing::warn!(action = %item.action, item = %item.id, problem, "an action failed");
                    let last = item.attempts >= self.config.action_attempts_max;
                    let at = (!last).then(|| self.again_at(item.attempts));
                    self.storage.ledger.retry_item(item.id, at, problem).await?;
                }
            }
        }
        Ok(())
    }

    async fn carry_out(&self, item: &OutboxItem) -> Result<(), String> {
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
        let inputs = items.iter().map(|item| CallInput::from(item.update.clone())).collect();
        let applied = self.apply(inputs, false).await?;
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
