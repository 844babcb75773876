//! A sheet becomes the contacts of a run.

use std::io::Read;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Inner;
use super::processed::{ProcessedReader, ProcessedWriter};
use crate::domain::{CampaignId, Contact, Organization, Personal, Priority, Run, RunId, RunState};
use crate::import::{Import, ImportError, ImportReport, ImportedContact, Sheet, SheetError};
use crate::machine::RunInput;
use crate::policy::zone::resolve;
use crate::storage::blobs::{self, Upload};
use crate::storage::{Blobs, StorageError, StorageErrorKind};

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
        // Nobody is called by a version that the journal does not tell.
        self.journal_versions(&campaign, None).await?;
        let organization = self.storage.catalog.organization(campaign.org_id).await?;
        let organization =
            organization.ok_or_else(|| not_found(format!("no organization {}", campaign.org_id)))?;

        let now = self.clock.now();
        let id = RunId::from_uuid(self.ids.next(now));
        let mut run =
            self.storage.ledger.create_run(Run::draft(id, &campaign, key, sheet.name(), now)).await?;
        if matches!(run.state, RunState::Draft | RunState::Processing | RunState::Failed) {
            run = match self.read_sheet(&run, &organization, &sheet).await {
                Ok(run) => run,
                Err(RunImportError::Sheet(error)) => {
                    let reason = "the sheet could not be read".to_owned();
                    self.change_run(run.id, RunInput::FailImport { reason }).await?;
                    return Err(error.into());
                }
                Err(RunImportError::Storage(error)) if error.kind == StorageErrorKind::Refused => {
                    self.imported_meanwhile(run.id, &sheet).await?.ok_or(error)?
                }
                // The store is away: the run stays as it is, and importing again goes on.
                Err(error) => return Err(error),
            };
        } else {
            self.restore_processed(&run, &organization, &sheet).await?;
        }
        let report = run.report.clone().ok_or_else(|| {
            let context = format!("the run of this sheet is {}; import under another key", run.state);
            StorageError::new(StorageErrorKind::Refused, "import", context)
        })?;
        Ok(ImportedRun { id: run.id, run, report })
    }

    /// Keeps the sheet and reads its contacts into the blob store, or into the ledger if there is none.
    async fn read_sheet(
        &self,
        run: &Run,
        organization: &Organization,
        sheet: &Sheet,
    ) -> Result<Run, RunImportError> {
        let Some(blobs) = &self.storage.blobs else {
            let run = self.change_run(run.id, RunInput::BeginImport).await?;
            if run.raw_file.is_some() || run.processed_file.is_some() {
                let files = RunInput::StoreFiles { raw_file: None, processed_file: None };
                self.change_run(run.id, files).await?;
            }
            let report = self.read_contacts(&run, organization, sheet, None).await?;
            return Ok(self.change_run(run.id, RunInput::FinishImport(Arc::new(report))).await?);
        };
        let raw_file = blobs::raw_upload(run, self.clock.now(), sheet.format());
        keep_upload(blobs, &raw_file, sheet).await?;
        let processed_file = blobs::processed_data(run);
        self.change_run(run.id, RunInput::BeginImport).await?;
        let files =
            RunInput::StoreFiles { raw_file: Some(raw_file), processed_file: Some(processed_file.clone()) };
        let run = self.change_run(run.id, files).await?;

        let mut processed = self.processed_writer(blobs, &run, processed_file, sheet);
        let report = match self.read_contacts(&run, organization, sheet, Some(&mut processed)).await {
            Ok(report) => report,
            Err(error) => {
                processed.abandon().await;
                return Err(error);
            }
        };
        // Another node may have finished the import meanwhile, perhaps of another sheet: its file is not replaced.
        let now = self.run_or_error(run.id, "import").await?;
        if now.state != RunState::Processing {
            processed.abandon().await;
            let context = format!("the run is {}", now.state);
            return Err(StorageError::new(StorageErrorKind::Refused, "import", context).into());
        }
        processed.finish().await?;
        put_report(blobs, &run, &report).await?;
        Ok(self.change_run(run.id, RunInput::FinishImport(Arc::new(report))).await?)
    }

    /// The run, if another node imported the same sheet into it meanwhile.
    async fn imported_meanwhile(&self, id: RunId, sheet: &Sheet) -> Result<Option<Run>, StorageError> {
        let run = self.storage.ledger.run(id).await?;
        Ok(run.filter(|run| run.report.as_ref().is_some_and(|report| report.digest == sheet.digest())))
    }

    /// Writes the file with the contacts of a run that waits for its start anew, if it is gone.
    async fn restore_processed(
        &self,
        run: &Run,
        organization: &Organization,
        sheet: &Sheet,
    ) -> Result<(), RunImportError> {
        let (Some(blobs), Some(known)) = (&self.storage.blobs, run.waits_in_blobs()) else { return Ok(()) };
        let Some(path) = run.processed_file.clone().filter(|_| known.digest == sheet.digest()) else {
            return Ok(());
        };
        match ProcessedReader::open(blobs, run, "import").await {
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.kind, StorageErrorKind::NotFound | StorageErrorKind::Corrupt) => {
                tracing::warn!(run = %run.id, %error, "a processed file is written anew");
            }
            Err(error) => return Err(error.into()),
        }
        let mut processed = self.processed_writer(blobs, run, path, sheet);
        let report = match self.read_contacts(run, organization, sheet, Some(&mut processed)).await {
            Ok(report) => report,
            Err(error) => {
                processed.abandon().await;
                return Err(error);
            }
        };
        if report.imported != known.imported {
            processed.abandon().await;
            let context = format!(
                "the sheet gives {} contacts now and gave {} at its import; cancel the run and import under another key",
                report.imported, known.imported
            );
            return Err(StorageError::new(StorageErrorKind::Refused, "import", context).into());
        }
        processed.finish().await?;
        Ok(put_report(blobs, run, known).await?)
    }

    fn processed_writer(&self, blobs: &Blobs, run: &Run, path: String, sheet: &Sheet) -> ProcessedWriter {
        ProcessedWriter::new(blobs.upload("import", path), run, sheet.digest())
    }

    /// Reads the sheet on a blocking thread and writes its contacts as they come, to `processed` or to the ledger.
    async fn read_contacts(
        &self,
        run: &Run,
        organization: &Organization,
        sheet: &Sheet,
        mut processed: Option<&mut ProcessedWriter>,
    ) -> Result<ImportReport, RunImportError> {
        let (batches, mut read) = mpsc::channel::<Vec<ImportedContact>>(AHEAD);
        let rules = run.definition.import_rules(organization.region);
        let (sheet, transformers) = (sheet.clone(), self.transformers.clone());
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
            let contacts: Vec<Contact> =
                batch.into_iter().map(|imported| contact_of(imported, run, organization)).collect();
            match &mut processed {
                Some(processed) => processed.write(&contacts).await?,
                None => {
                    self.storage.ledger.add_contacts(contacts, self.clock.now()).await?;
                }
            }
        }
        let report = reading.await.map_err(|_| thread_ended_badly("perhaps in a contact transformer"))?;
        Ok(report?)
    }
}

/// Copies the sheet to the blob store as it came.
async fn keep_upload(blobs: &Blobs, path: &str, sheet: &Sheet) -> Result<(), RunImportError> {
    let mut upload = blobs.upload("import", path.to_owned());
    let copied = copy_sheet(&mut upload, sheet).await;
    match copied {
        Ok(()) => Ok(upload.finish().await?),
        Err(error) => {
            upload.abandon().await;
            Err(error)
        }
    }
}

async fn copy_sheet(upload: &mut Upload, sheet: &Sheet) -> Result<(), RunImportError> {
    let mut bytes = sheet.raw().map_err(ImportError::from)?;
    loop {
        let name = sheet.name().to_owned();
        let reading = tokio::task::spawn_blocking(move || {
            let mut chunk = Vec::new();
            let read = bytes.by_ref().take(blobs::CHUNK_BYTES as u64).read_to_end(&mut chunk);
            read.map(|_| (bytes, chunk)).map_err(|source| SheetError::Read { name, source })
        });
        let read = reading.await.map_err(|_| thread_ended_badly("while it copied the sheet"))?;
        let (rest, chunk) = read.map_err(ImportError::from)?;
        if chunk.is_empty() {
            return Ok(());
        }
        upload.write(&chunk).await?;
        bytes = rest;
    }
}

async fn put_report(blobs: &Blobs, run: &Run, report: &ImportReport) -> Result<(), StorageError> {
    let path = blobs::validation_results(run);
    let text = serde_json::to_vec_pretty(report).map_err(|error| {
        StorageError::new(StorageErrorKind::Corrupt, "import", "the report cannot be written as JSON")
            .with_source(error)
    })?;
    blobs.put("import", &path, text).await
}

/// The text of a panic may quote a cell, so it is not passed on.
fn thread_ended_badly(place: &str) -> StorageError {
    let context = format!("the reading thread ended badly, {place}");
    StorageError::new(StorageErrorKind::Unavailable, "import", context)
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
