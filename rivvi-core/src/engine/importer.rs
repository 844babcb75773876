//! A sheet becomes the contacts of a run.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Inner;
use crate::domain::{CampaignId, Contact, Organization, Personal, Priority, Run, RunId, RunState};
use crate::import::{Import, ImportError, ImportReport, ImportRules, ImportedContact, Sheet};
use crate::machine::RunInput;
use crate::policy::zone::resolve;
use crate::storage::{StorageError, StorageErrorKind};

/// What an import made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ImportedRun {
    /// The run.
    pub id: RunId,
    /// The run as it is now. It may be further than [`RunState::Ready`] if the sheet was imported before.
    pub run: Run,
    /// Rows, contacts, duplicates, and each refused row with its reason.
    pub report: Arc<ImportReport>,
}

/// Why a sheet could not be imported. Nothing of it is dialled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunImportError {
    /// The sheet cannot be read.
    #[error(transparent)]
    Sheet(#[from] ImportError),
    /// The store failed, or refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Contacts written in one transaction.
const BATCH: usize = 1_000;
/// Batches read ahead of the store.
const AHEAD: usize = 2;

impl Inner {
    pub(super) async fn import(
        &self,
        campaign_id: CampaignId,
        sheet: Sheet,
        key: String,
    ) -> Result<ImportedRun, RunImportError> {
        let not_found = |what: String| StorageError::new(StorageErrorKind::NotFound, "import", what);
        let campaign = self.storage.catalog.campaign(campaign_id, None).await?;
        let campaign = campaign.ok_or_else(|| not_found(format!("no campaign {campaign_id}")))?;
        let organization = self.storage.catalog.organization(campaign.org_id).await?;
        let organization =
            organization.ok_or_else(|| not_found(format!("no organization {}", campaign.org_id)))?;

        let now = self.clock.now();
        let id = RunId::from_uuid(self.ids.next(now));
        let mut run =
            self.storage.ledger.create_run(Run::draft(id, &campaign, key, sheet.name(), now)).await?;
        if matches!(run.state, RunState::Draft | RunState::Processing | RunState::Failed) {
            run = self.change_run(run.id, RunInput::BeginImport).await?;
            let rules = run.definition.import_rules(organization.region);
            match self.read_contacts(&run, &organization, sheet, rules).await {
                Ok(report) => {
                    run = self.change_run(run.id, RunInput::FinishImport(Arc::new(report))).await?;
                }
                Err(RunImportError::Sheet(error)) => {
                    let reason = "the sheet could not be read".to_owned();
                    self.change_run(run.id, RunInput::FailImport { reason }).await?;
                    return Err(error.into());
                }
                // The store is away: the run stays as it is, and importing again goes on.
                Err(error) => return Err(error),
            }
        }
        let report = run.report.clone().ok_or_else(|| {
            let context = format!("the run of this sheet is {}; import under another key", run.state);
            StorageError::new(StorageErrorKind::Refused, "import", context)
        })?;
        Ok(ImportedRun { id: run.id, run, report })
    }

    /// Reads the sheet on a blocking thread and writes its contacts as they come.
    async fn read_contacts(
        &self,
        run: &Run,
        organization: &Organization,
        sheet: Sheet,
        rules: ImportRules,
    ) -> Result<ImportReport, RunImportError> {
        let (batches, mut read) = mpsc::channel::<Vec<ImportedContact>>(AHEAD);
        let transformers = self.transformers.clone();
        let reading = tokio::task::spawn_blocking(move || -> Result<ImportReport, ImportError> {
            let mut import = Import::start(&sheet, &rules, &transformers)?;
            let mut batch = Vec::with_capacity(BATCH);
            while let Some(contact) = import.next_contact() {
                batch.push(contact?);
                // The receiver goes away only if the store failed; then nobody wants the rest.
                if batch.len() == BATCH && batches.blocking_send(std::mem::take(&mut batch)).is_err() {
                    return Ok(import.finish());
                }
            }
            let _ = batches.blocking_send(batch);
            Ok(import.finish())
        });
        while let Some(batch) = read.recv().await {
            let contacts =
                batch.into_iter().map(|imported| contact_of(imported, run, organization)).collect();
            self.storage.ledger.add_contacts(contacts, self.clock.now()).await?;
        }
        // The text of a panic may quote a cell, so it is not passed on.
        let report = reading.await.map_err(|_| {
            let context = "the reading thread ended badly, perhaps in a contact transformer";
            StorageError::new(StorageErrorKind::Unavailable, "import", context)
        })?;
        Ok(report?)
    }
}

fn contact_of(imported: ImportedContact, run: &Run, organization: &Organization) -> Contact {
    let policy = run.definition.zone_policy.unwrap_or(organization.zone_policy);
    let zones = resolve(imported.zone, imported.number, policy, organization.time_zone);
    let mut contact = Contact::new(run.id, run.org_id, imported.row, imported.number, zones, run.created_at);
    contact.person = imported.person;
    contact.priority = imported.priority.and_then(Priority::new).unwrap_or_default();
    contact.external_id = imported.external_id.map(Personal::new);
    contact.variables = Personal::new(Arc::new(imported.variables));
    contact
}
