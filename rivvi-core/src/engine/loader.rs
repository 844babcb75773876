//! From the blob store to the ledger: the contacts of a run that is about to start.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Inner;
use super::processed::ProcessedReader;
use crate::domain::{Contact, ContactId, E164, Run, RunId, RunState};
use crate::storage::{Blobs, RunQuery, StorageError, StorageErrorKind};

/// Contacts written in one transaction.
const BATCH: usize = 1_000;

impl Inner {
    /// Takes the contacts of a run that [waits in blobs](Run::waits_in_blobs) into the ledger. May be repeated after an
    /// error or a crash, and done by several nodes at once: every contact is there once.
    pub(super) async fn load_contacts(&self, run: &Run, operation: &'static str) -> Result<(), StorageError> {
        if run.waits_in_blobs().is_none() || self.missing_contacts(run).await? == 0 {
            return Ok(());
        }
        let mut file = ProcessedReader::open(self.blobs(run, operation)?, run, operation).await?;
        loop {
            let contacts = file.next_batch(BATCH).await?;
            if contacts.is_empty() {
                return Ok(());
            }
            self.storage.ledger.add_contacts(contacts, self.clock.now()).await?;
        }
    }

    /// When to look again at a run whose contacts another node seems to be loading; `None` if none does. Loading twice
    /// does no harm and is only slow, so a guess will do: the number of contacts grows.
    pub(super) async fn loaded_elsewhere(
        &self,
        run: &Run,
        now: DateTime<Utc>,
    ) -> Result<Option<DateTime<Utc>>, StorageError> {
        let contacts = self.storage.ledger.tally(run.id).await?.contacts();
        let mut loading = self.loading.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = loading.insert(run.id, (contacts, now));
        if contacts == 0 || self.missing_of(run, contacts) == 0 {
            loading.remove(&run.id);
            return Ok(None);
        }
        match before {
            Some((known, since)) if known == contacts => {
                loading.insert(run.id, (known, since));
                Ok(Some(since + LOADING_REST).filter(|at| now < *at))
            }
            _ => Ok(Some(now + LOADING_REST)),
        }
    }

    /// A contact of a run that waits in blobs, with its run.
    pub(super) async fn contact_in_blobs(
        &self,
        id: ContactId,
        operation: &'static str,
    ) -> Result<Option<(Contact, Run)>, StorageError> {
        let states = vec![RunState::Ready, RunState::Scheduled];
        let runs = self.storage.ledger.runs(RunQuery { states, ..RunQuery::default() }).await?;
        let Some(run) = runs.into_iter().find(|run| run.waits_in_blobs().is_some() && id.is_of(run.id))
        else {
            return Ok(None);
        };
        let found = self.contacts_in_blobs(&run, operation, |contact| contact.id == id).await?;
        Ok(found.into_iter().next().map(|contact| (contact, run)))
    }

    /// The contacts with a number of a run that waits in blobs; none of any other run.
    pub(super) async fn number_in_blobs(
        &self,
        run_id: RunId,
        number: E164,
        operation: &'static str,
    ) -> Result<Vec<(Contact, Run)>, StorageError> {
        let run = self.storage.ledger.run(run_id).await?;
        let Some(run) = run.filter(|run| run.waits_in_blobs().is_some()) else { return Ok(Vec::new()) };
        let found = self.contacts_in_blobs(&run, operation, |contact| contact.number == number).await?;
        Ok(found.into_iter().map(|contact| (contact, run.clone())).collect())
    }

    async fn contacts_in_blobs(
        &self,
        run: &Run,
        operation: &'static str,
        wanted: impl Fn(&Contact) -> bool,
    ) -> Result<Vec<Contact>, StorageError> {
        let mut file = ProcessedReader::open(self.blobs(run, operation)?, run, operation).await?;
        let mut found = Vec::new();
        loop {
            let contacts = file.next_batch(BATCH).await?;
            if contacts.is_empty() {
                return Ok(found);
            }
            found.extend(contacts.into_iter().filter(|contact| wanted(contact)));
        }
    }

    /// Contacts of a run that wait in blobs and are not in the ledger.
    async fn missing_contacts(&self, run: &Run) -> Result<u64, StorageError> {
        Ok(self.missing_of(run, self.storage.ledger.tally(run.id).await?.contacts()))
    }

    fn missing_of(&self, run: &Run, contacts: u64) -> u64 {
        run.waits_in_blobs().map_or(0, |report| report.imported.saturating_sub(contacts))
    }

    fn blobs(&self, run: &Run, operation: &'static str) -> Result<&Blobs, StorageError> {
        self.storage.blobs.as_ref().ok_or_else(|| {
            let context = format!(
                "the contacts of run {} wait in a blob store and this engine has none; give it the `Storage::blobs` \
                 that the sheet was imported with",
                run.id
            );
            StorageError::new(StorageErrorKind::Incompatible, operation, context)
        })
    }
}

/// For how long the number of contacts must have stood still before a node takes up the loading that another began.
const LOADING_REST: Duration = Duration::from_secs(2);
