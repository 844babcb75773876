//! An object that is written piece by piece.

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt};

use super::{CHUNK_BYTES, failed};
use crate::storage::StorageError;

/// An object that is written piece by piece and comes into being as a whole. Holds at most about two chunks in memory.
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    operation: &'static str,
    path: String,
    buffer: Vec<u8>,
    /// Once there is more than one chunk.
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload {
    pub(super) fn new(store: Arc<dyn ObjectStore>, operation: &'static str, path: String) -> Self {
        Self { store, operation, path, buffer: Vec::new(), parts: None }
    }

    /// Adds bytes.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() > CHUNK_BYTES {
            let rest = self.buffer.split_off(CHUNK_BYTES);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.put_part(part).await.map_err(|error| failed(self.operation, &self.path, error))?;
        }
        Ok(())
    }

    /// Makes the object, in place of one that was there.
    pub(crate) async fn finish(mut self) -> Result<(), StorageError> {
        let finished = match &mut self.parts {
            None => self.store.put(&Path::from(self.path.as_str()), self.buffer.into()).await.map(drop),
            Some(parts) => match parts.put_part(self.buffer.into()).await {
                Ok(()) => parts.complete().await.map(drop),
                Err(error) => Err(error),
            },
        };
        if let (Err(_), Some(parts)) = (&finished, &mut self.parts) {
            let _ = parts.abort().await;
        }
        finished.map_err(|error| failed(self.operation, &self.path, error))
    }

    /// Gives the object up; one that was there stays.
    pub(crate) async fn abandon(self) {
        if let Some(mut parts) = self.parts {
            // What cannot be given up now is removed by the rules of the bucket for uploads that were never finished.
            let _ = parts.abort().await;
        }
    }

    async fn put_part(&mut self, part: Vec<u8>) -> object_store::Result<()> {
        if self.parts.is_none() {
            self.parts = Some(self.store.put_multipart(&Path::from(self.path.as_str())).await?);
        }
        match &mut self.parts {
            Some(parts) => parts.put_part(part.into()).await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).finish_non_exhaustive()
    }
}
