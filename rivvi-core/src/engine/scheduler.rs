//! Runs: started, ended and finished at their time.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Inner;
use crate::domain::{AtEnd, CallId, CampaignDefinition, Ending, Medium, Run, RunId, RunState, RunTally};
use crate::machine::{RunInput, step_run};
use crate::storage::{RunChange, RunFacts, RunQuery, SettleWaiting, StorageError, StorageErrorKind};

/// Contacts settled in one transaction when a run ends.
const BATCH: usize = 1_000;

impl Inner {
    /// Moves every run that is to be moved at this instant. Returns when the next one is.
    pub(super) async fn schedule(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        let now = self.clock.now();
        let states = vec![RunState::Scheduled, RunState::Active, RunState::Paused, RunState::Completing];
        let runs = self.storage.ledger.runs(RunQuery { states, ..RunQuery::default() }).await?;
        let mut next: Option<DateTime<Utc>> = None;
        let mut failed = None;
        for run in runs {
            let id = run.id;
            let moved = match run.state {
                RunState::Scheduled => self.start_if_due(&run, now).await,
                RunState::Completing => self.complete(&run, now).await,
                _ => self.end_if_over(run, now).await,
            };
            match moved {
                Ok(at) => next = [next, at].into_iter().flatten().min(),
                // One run that cannot be moved must not keep the others from it.
                Err(error) => {
                    tracing::error!(run = %id, %error, "a run could not be moved");
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(next)
    }

    async fn start_if_due(
        &self,
        run: &Run,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        match run.start_at {
            Some(start) if start > now => return Ok(Some(start)),
            _ => {}
        }
        if run.waits_in_blobs().is_some()
            && let Some(at) = self.loaded_elsewhere(run, now).await?
        {
            return Ok(Some(at));
        }
        match self.start_run(run.id).await {
            Err(error) if error.kind == StorageErrorKind::Refused => {
                tracing::info!(run = %run.id, %error, "a scheduled run waits");
                Ok(Some(now + Duration::from_secs(60)))
            }
            Err(error) => Err(error),
            Ok(_) => Ok(None),
        }
    }

    async fn end_if_over(&self, run: Run, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StorageError> {
        let mut run = run;
        if run.ends_at.is_some_and(|end| now >= end) {
            run = self.change_run(run.id, RunInput::CheckEnd).await?;
        } else {
            let tally = self.storage.ledger.tally(run.id).await?;
            if tally.waiting + tally.calling == 0 {
                run = self.change_run(run.id, RunInput::CheckSettled).await?;
            }
        }
        match run.state {
            RunState::Completing => self.complete(&run, now).await,
            _ => Ok(run.ends_at),
        }
    }

    /// Settles who waits, ends calls if that is the campaign's wish, and finishes the run when nothing is left.
    async fn complete(&self, run: &Run, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StorageError> {
        let ending = run.ending.unwrap_or(Ending::EndTime);
        let (rule, reason) = match ending {
            Ending::Cancelled => ("run_state", "the run was cancelled"),
            Ending::EndTime | Ending::Settled => ("run_end", "the run ended before the next legal instant"),
        };
        self.load_to_settle(run).await?;
        loop {
            let outcome = ending.outcome();
            let request = SettleWaiting { run_id: run.id, outcome, rule, reason, now, limit: BATCH };
            if self.storage.ledger.settle_waiting(request).await? == 0 {
                break;
            }
            self.progress.send_modify(|changes| *changes += 1);
        }
        if self.storage.ledger.tally(run.id).await?.calling > 0 {
            if ending == Ending::Cancelled || run.definition.run.at_end == AtEnd::HangUp {
                self.hang_up_all(run.id).await?;
            }
            return Ok(Some(now + self.config.lookup_interval));
        }
        let grace_ends = run.completing_since.unwrap_or(now) + self.config.analysis_grace;
        if now < grace_ends {
            return Ok(Some(grace_ends));
        }
        self.archive_run(run, now).await?;
        let done = self.change_run(run.id, RunInput::Finish).await?;
        tracing::info!(run = %run.id, state = %done.state, "a run is over");
        Ok(None)
    }

    async fn hang_up_all(&self, run_id: RunId) -> Result<(), StorageError> {
        let mut after: Option<CallId> = None;
        loop {
            let calls = self.storage.ledger.live_calls(run_id, after, BATCH).await?;
            let Some(last) = calls.last() else { return Ok(()) };
            after = Some(last.id);
            futures::future::join_all(calls.iter().map(|call| self.hang_up(call))).await;
        }
    }

    /// Loads the contacts of a run that was cancelled before it started, so that each gets its outcome.
    async fn load_to_settle(&self, run: &Run) -> Result<(), StorageError> {
        match self.load_contacts(run, "cancel").await {
            Err(error) if matches!(error.kind, StorageErrorKind::NotFound | StorageErrorKind::Corrupt) => {
                // Nobody was called and nobody will be: a lost file must not keep the run from its end.
                tracing::warn!(run = %run.id, %error, "a run that never started ends without its contacts");
                Ok(())
            }
            loaded => loaded,
        }
    }

    /// Starts a run now, within its organization's limit of active runs. Contacts that wait in the blob store are loaded
    /// first, if the run may start at all.
    pub(super) async fn start_run(&self, id: RunId) -> Result<Run, StorageError> {
        let run = self.run_or_error(id, "start").await?;
        self.require_providers(&run.definition)?;
        let organization = self.storage.catalog.organization(run.org_id).await?;
        let active_runs_max = organization.map_or(0, |organization| organization.limits.active_runs);
        let start = RunInput::Start { active_runs_max };
        if run.waits_in_blobs().is_some() {
            self.require_start(id, &start).await?;
            self.load_contacts(&run, "start").await?;
        }
        self.change_run(id, start).await
    }

    /// Fails if nobody can reach contacts as the campaign says.
    fn require_providers(&self, definition: &CampaignDefinition) -> Result<(), StorageError> {
        let (what, how) =
            match definition.media().into_iter().find(|medium| self.carriers_of(*medium).is_empty()) {
                Some(Medium::Sms) => ("text messages", "sms"),
                Some(Medium::Email) => ("e-mails", "email"),
                // A voice provider may be registered at other nodes alone.
                _ => return Ok(()),
            };
        let context = format!(
            "the campaign sends {what}, and the engine has no provider of them: expected one given to `Builder::{how}`"
        );
        Err(StorageError::new(StorageErrorKind::Refused, "start", context))
    }

    /// Fails as the start would fail with all contacts loaded. Changes nothing.
    async fn require_start(&self, id: RunId, start: &RunInput) -> Result<(), StorageError> {
        let now = self.clock.now();
        let ask = |run: &Run, facts: &RunFacts| {
            let waiting = run.waits_in_blobs().map_or(0, |report| report.imported);
            let loaded = RunFacts { tally: RunTally { waiting, ..RunTally::default() }, ..facts.clone() };
            step_run(run, &loaded, start, now)?;
            Ok(RunChange { run: run.clone(), events: Vec::new(), at: now })
        };
        self.storage.ledger.change_run(id, &ask).await.map(drop)
    }

    /// Tells a run something.
    pub(super) async fn change_run(&self, id: RunId, input: RunInput) -> Result<Run, StorageError> {
        let now = self.clock.now();
        let change = |run: &Run, facts: &RunFacts| step_run(run, facts, &input, now);
        let run = self.storage.ledger.change_run(id, &change).await?;
        self.terms_of(run.clone()).await?;
        self.wake_everywhere();
        Ok(run)
    }

    pub(super) async fn run_or_error(&self, id: RunId, operation: &'static str) -> Result<Run, StorageError> {
        let run = self.storage.ledger.run(id).await?;
        run.ok_or_else(|| StorageError::new(StorageErrorKind::NotFound, operation, format!("no run {id}")))
    }

    /// Removes the live data of runs that were over long ago. Looks at most once in an hour.
    pub(super) async fn purge(&self) -> Result<(), StorageError> {
        let now = self.clock.now();
        {
            let mut purged_at = self.purged_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if purged_at.is_some_and(|at| now < at + PURGE_INTERVAL) {
                return Ok(());
            }
            *purged_at = Some(now);
        }
        let states = vec![RunState::Completed, RunState::Cancelled];
        for run in self.storage.ledger.runs(RunQuery { states, ..RunQuery::default() }).await? {
            if run.finished_at.is_some_and(|at| now >= at + self.config.live_data_kept) {
                // What came in after the run was archived goes there too.
                self.archive_contacts(&run, now).await?;
                while self.storage.ledger.purge_run(run.id, BATCH).await? > 0 {}
                self.purge_processed(&run).await?;
            }
        }
        while self.storage.archive.purge_contexts(now, BATCH).await? > 0 {}
        Ok(())
    }

    /// Removes the contacts of a run that is over from the blob store. Its upload and its call logs stay.
    async fn purge_processed(&self, run: &Run) -> Result<(), StorageError> {
        let (Some(blobs), Some(path)) = (&self.storage.blobs, &run.processed_file) else { return Ok(()) };
        match blobs.remove("purge", path).await {
            Ok(()) => self.change_run(run.id, RunInput::RemoveProcessed).await.map(drop),
            Err(error) => {
                tracing::warn!(run = %run.id, %error, "a processed file could not be removed; tried again in an hour");
                Ok(())
            }
        }
    }
}

/// How long between two looks for runs whose live data may go.
const PURGE_INTERVAL: Duration = Duration::from_secs(3600);
