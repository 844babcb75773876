//! Runs, through the front.

use chrono::{DateTime, Utc};

use super::Inner;
use super::importer::{ImportedRun, RunImportError};
use super::progress::{Progress, Watch};
use crate::domain::{CampaignId, Run, RunId};
use crate::import::Sheet;
use crate::machine::RunInput;
use crate::storage::{Report, RunQuery, StorageError};

/// Runs. Got from [`Rivvi::runs`](super::Rivvi::runs).
#[derive(Debug, Clone, Copy)]
pub struct Runs<'a> {
    pub(super) inner: &'a Inner,
}

impl<'a> Runs<'a> {
    /// Imports a sheet into a new run of the latest version of a campaign. Nothing is dialled before the run is
    /// started.
    ///
    /// Importing the same sheet into the same campaign again changes nothing and gives the run it already became;
    /// an import that was interrupted goes on. To contact the same sheet again, use
    /// [`import_as`](Self::import_as) with another key.
    ///
    /// # Errors
    /// [`RunImportError`]: the file, the place in it, what is wrong and what was expected. Rows that cannot be used
    /// are no error but stand in [`ImportedRun::report`].
    pub async fn import(&self, campaign: CampaignId, sheet: Sheet) -> Result<ImportedRun, RunImportError> {
        let key = sheet.digest().to_owned();
        self.inner.import(campaign, sheet, key).await
    }

    /// Like [`import`](Self::import), with a key of the host that tells runs of the campaign apart, for instance a
    /// date.
    ///
    /// # Errors
    /// As [`import`](Self::import).
    pub async fn import_as(
        &self,
        campaign: CampaignId,
        sheet: Sheet,
        key: impl Into<String>,
    ) -> Result<ImportedRun, RunImportError> {
        self.inner.import(campaign, sheet, key.into()).await
    }

    /// Starts a run now, or at the campaign's start time if that lies ahead.
    ///
    /// # Errors
    /// [`Refused`](crate::storage::StorageErrorKind::Refused) if the run is not ready, or if the organization has as
    /// many active runs as it may.
    pub async fn start(&self, id: RunId) -> Result<Run, StorageError> {
        let run = self.inner.run_or_error(id, "start").await?;
        match run.definition.run.start {
            Some(start) if start > self.inner.clock.now() => self.schedule(id, start).await,
            _ => self.inner.start_run(id).await,
        }
    }

    /// Has a run start by itself at an instant.
    ///
    /// # Errors
    /// [`Refused`](crate::storage::StorageErrorKind::Refused) if it has started already.
    pub async fn schedule(&self, id: RunId, at: DateTime<Utc>) -> Result<Run, StorageError> {
        self.inner.change_run(id, RunInput::Schedule(at)).await
    }

    /// Begins no further call until the run is resumed. Calls under way go on.
    ///
    /// # Errors
    /// [`Refused`](crate::storage::StorageErrorKind::Refused) if the run is not active.
    pub async fn pause(&self, id: RunId, reason: &str) -> Result<Run, StorageError> {
        self.inner.change_run(id, RunInput::Pause { reason: reason.to_owned() }).await
    }

    /// Goes on after a pause.
    ///
    /// # Errors
    /// [`Refused`](crate::storage::StorageErrorKind::Refused) if the run is not paused.
    pub async fn resume(&self, id: RunId) -> Result<Run, StorageError> {
        self.inner.change_run(id, RunInput::Resume).await
    }

    /// Ends a run before its time: no further call begins, calls under way are hung up, who waits is settled as
    /// cancelled.
    ///
    /// # Errors
    /// [`Refused`](crate::storage::StorageErrorKind::Refused) if the run is over.
    pub async fn cancel(&self, id: RunId) -> Result<Run, StorageError> {
        self.inner.change_run(id, RunInput::Cancel).await
    }

    /// The run, or `None`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find(&self, id: RunId) -> Result<Option<Run>, StorageError> {
        self.inner.storage.ledger.run(id).await
    }

    /// Runs that match, in the order of their ids.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, query: RunQuery) -> Result<Vec<Run>, StorageError> {
        self.inner.storage.ledger.runs(query).await
    }

    /// Where a run stands now.
    ///
    /// # Errors
    /// [`NotFound`](crate::storage::StorageErrorKind::NotFound).
    pub async fn progress(&self, id: RunId) -> Result<Progress, StorageError> {
        self.inner.progress_of(id).await
    }

    /// Follows a run until it is over.
    pub fn watch(&self, id: RunId) -> Watch {
        Watch::new(self.inner, id)
    }

    /// The report of a run that is over, or `None`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn report(&self, id: RunId) -> Result<Option<Report>, StorageError> {
        self.inner.storage.archive.report(id).await
    }
}
