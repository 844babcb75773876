//! Uploads, processed sheets and call logs, in a folder or a bucket.
//!
//! ```text
//! raw-uploads/{org}/{campaign}/{run}/{timestamp}.xlsx
//! processed-data/{org}/{campaign}/{run}/data.json
//!                                      /validation-results.json
//! call-logs/{org}/{run}/raw/{call}-webhook.json
//!                      /processed/{call}-formatted.json
//! ```
//!
//! The functions of this module name these places. All of them hold personal data; their names hold none.

mod upload;

use std::fmt;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

use super::{StorageError, StorageErrorKind};
use crate::domain::{CallId, OrgId, Run, RunId};
use crate::import::SheetFormat;

pub(crate) use upload::Upload;

/// Where the sheet of a run lies as it came at `at`; the extension is that of its format.
pub fn raw_upload(run: &Run, at: DateTime<Utc>, format: SheetFormat) -> String {
    format!("raw-uploads/{}/{}.{format}", folder(run), at.format("%Y%m%dT%H%M%S%.6fZ"))
}

/// Where the contacts of a run lie until it is started, one on each line of a JSON document.
pub fn processed_data(run: &Run) -> String {
    format!("processed-data/{}/data.json", folder(run))
}

/// Where the report of the import of a run lies.
pub fn validation_results(run: &Run) -> String {
    format!("processed-data/{}/validation-results.json", folder(run))
}

/// Where the webhooks of a call lie as they came: the first at `{call}-webhook.json`, the next ones at
/// `{call}-webhook-2.json` and so on.
pub fn raw_webhook(org_id: OrgId, run_id: RunId, call_id: CallId, nth: u32) -> String {
    let number = if nth > 1 { format!("-{nth}") } else { String::new() };
    format!("call-logs/{org_id}/{run_id}/raw/{call_id}-webhook{number}.json")
}

/// Where a finished call lies, as an [`ArchivedCall`](super::ArchivedCall) in JSON.
pub fn formatted_call(org_id: OrgId, run_id: RunId, call_id: CallId) -> String {
    format!("call-logs/{org_id}/{run_id}/processed/{call_id}-formatted.json")
}

fn folder(run: &Run) -> String {
    format!("{}/{}/{}", run.org_id, run.campaign_id, run.id)
}

/// A store of files, for what is too large or too raw for the other stores. Clones share the same store.
///
/// Every store of the [`object_store`] crate will do: a folder, S3, Google Cloud Storage, Azure.
/// It must replace objects at once, and be able to [create](PutMode::Create) one only if it does not exist, as all of
/// these are.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
}

/// Bytes of an object that are read or written in one request. A part of a multipart upload has at least 5 MiB.
pub(crate) const CHUNK_BYTES: usize = 8 * 1024 * 1024;

impl Blobs {
    /// The blobs in this store. To keep them below a folder of a bucket, wrap it in
    /// [`object_store::prefix::PrefixStore`].
    pub fn new(store: impl ObjectStore) -> Self {
        Self::shared(Arc::new(store))
    }

    /// The blobs in a store that the host keeps a handle to.
    pub fn shared(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// The blobs in a folder of this machine, which is made if it does not exist. What is written is on the disk
    /// before it counts as stored.
    ///
    /// # Errors
    /// [`Unavailable`](StorageErrorKind::Unavailable) if the folder cannot be made or opened.
    pub fn in_folder(path: impl AsRef<FilePath>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let problem = |problem: &str| {
            let context = format!("the folder {} {problem}; check its path and permissions", path.display());
            StorageError::new(StorageErrorKind::Unavailable, "open", context)
        };
        std::fs::create_dir_all(path).map_err(|error| problem("cannot be made").with_source(error))?;
        let folder = LocalFileSystem::new_with_prefix(path);
        let folder = folder.map_err(|error| problem("cannot be opened").with_source(error))?;
        Ok(Self::new(folder.with_fsync(true)))
    }

    /// The store, for reading what the engine keeps there.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Puts an object, or replaces it.
    pub(crate) async fn put(
        &self,
        operation: &'static str,
        path: &str,
        bytes: impl Into<PutPayload>,
    ) -> Result<(), StorageError> {
        let put = self.store.put(&Path::from(path), bytes.into()).await;
        put.map(drop).map_err(|error| failed(operation, path, error))
    }

    /// Puts an object unless there is one. Returns whether it did.
    pub(crate) async fn create(
        &self,
        operation: &'static str,
        path: &str,
        bytes: impl Into<PutPayload>,
    ) -> Result<bool, StorageError> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&Path::from(path), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            Err(error) => Err(failed(operation, path, error)),
        }
    }

    /// What is known of an object.
    pub(crate) async fn head(&self, operation: &'static str, path: &str) -> Result<ObjectMeta, StorageError> {
        self.store.head(&Path::from(path)).await.map_err(|error| failed(operation, path, error))
    }

    /// At most [`CHUNK_BYTES`] of an object from `offset`, which lies inside. Fails if it was replaced since `meta`
    /// was read.
    pub(crate) async fn chunk(
        &self,
        operation: &'static str,
        meta: &ObjectMeta,
        offset: u64,
    ) -> Result<Bytes, StorageError> {
        let end = meta.size.min(offset + CHUNK_BYTES as u64);
        let options = GetOptions {
            range: Some(GetRange::Bounded(offset..end)),
            if_match: meta.e_tag.clone(),
            ..GetOptions::default()
        };
        let read = async { self.store.get_opts(&meta.location, options).await?.bytes().await };
        read.await.map_err(|error| failed(operation, meta.location.as_ref(), error))
    }

    /// Removes an object. One that does not exist is removed already.
    pub(crate) async fn remove(&self, operation: &'static str, path: &str) -> Result<(), StorageError> {
        match self.store.delete(&Path::from(path)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(operation, path, error)),
        }
    }

    /// Begins to put an object of any length, which comes into being when the upload is finished.
    pub(crate) fn upload(&self, operation: &'static str, path: String) -> Upload {
        Upload::new(self.store.clone(), operation, path)
    }
}

impl fmt::Debug for Blobs {
    /// Without the settings of the store, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blobs").field(&format_args!("{}", self.store)).finish()
    }
}

fn failed(operation: &'static str, path: &str, error: Error) -> StorageError {
    let (kind, problem) = match &error {
        Error::NotFound { .. } => (StorageErrorKind::NotFound, "is missing"),
        Error::NotSupported { .. } | Error::NotImplemented { .. } => {
            (StorageErrorKind::Incompatible, "needs something that this blob store cannot do")
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            (StorageErrorKind::Unavailable, "may not be read or written; check the rights at the blob store")
        }
        Error::Precondition { .. } => (StorageErrorKind::Busy, "was replaced while it was read; try again"),
        _ => (StorageErrorKind::Unavailable, "could not be read or written; try again"),
    };
    StorageError::new(kind, operation, format!("{path} {problem}")).with_source(error)
}

#[cfg(test)]
mod tests;
