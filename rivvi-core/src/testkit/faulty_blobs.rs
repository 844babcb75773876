//! A blob store that fails: for simulations.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Notify;

use super::faulty::Yield;

/// What goes wrong with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobFault {
    /// The store could not be reached; nothing took effect.
    Unavailable,
    /// The operation took effect, and its answer was lost.
    AnswerLost,
    /// The operation takes no effect and never returns: whoever waits for it is as good as dead.
    Hang,
}

/// How often an operation fails, as shares from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BlobFaults {
    /// See [`BlobFault::Unavailable`].
    pub unavailable: f64,
    /// See [`BlobFault::AnswerLost`].
    pub answer_lost: f64,
}

/// A blob store in front of another that fails when it is told to, or as often as a seed decides. Every operation
/// yields before and after its effect. Clones share their faults. Listing never fails.
#[derive(Debug, Clone)]
pub struct FaultyBlobs {
    inner: Arc<dyn ObjectStore>,
    plan: Plan,
}

#[derive(Debug, Clone)]
struct Plan {
    state: Arc<Mutex<PlanState>>,
    hung: Arc<Notify>,
}

#[derive(Debug)]
struct PlanState {
    operations: u64,
    fail_at: Option<(u64, BlobFault)>,
    random: StdRng,
    faults: BlobFaults,
    fired: BTreeMap<&'static str, u64>,
}

impl FaultyBlobs {
    /// A store that passes everything on to `inner`, and fails as `faults` and `seed` decide.
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64, faults: BlobFaults) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let state = PlanState { operations: 0, fail_at: None, random, faults, fired: BTreeMap::new() };
        let plan = Plan { state: Arc::new(Mutex::new(state)), hung: Arc::new(Notify::new()) };
        Self { inner, plan }
    }

    /// Fails as these say from now on.
    pub fn set_faults(&self, faults: BlobFaults) {
        self.plan.state().faults = faults;
    }

    /// Fails once, at the operation that is the `nth` since the store was made, counted from 1.
    pub fn fail_at(&self, nth: u64, fault: BlobFault) {
        self.plan.state().fail_at = Some((nth, fault));
    }

    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.plan.state().operations
    }

    /// Returns when an operation hangs.
    pub async fn hung(&self) {
        self.plan.hung.notified().await;
    }

    /// How often each kind of fault was seen to fire.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        self.plan.state().fired.clone()
    }
}

impl Plan {
    fn state(&self) -> MutexGuard<'_, PlanState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn around<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        Yield::default().await;
        let fault = self.state().next_fault();
        match fault {
            Some(BlobFault::Unavailable) => return Err(away()),
            Some(BlobFault::Hang) => {
                self.hung.notify_one();
                std::future::pending::<()>().await;
            }
            Some(BlobFault::AnswerLost) | None => {}
        }
        let result = operation.await;
        Yield::default().await;
        if fault == Some(BlobFault::AnswerLost) { result.and(Err(away())) } else { result }
    }
}

impl PlanState {
    fn next_fault(&mut self) -> Option<BlobFault> {
        self.operations += 1;
        let planned = self.fail_at.take_if(|(nth, _)| *nth == self.operations).map(|(_, fault)| fault);
        let unavailable = self.random.random_bool(self.faults.unavailable);
        let answer_lost = self.random.random_bool(self.faults.answer_lost);
        let fault = planned
            .or(unavailable.then_some(BlobFault::Unavailable))
            .or(answer_lost.then_some(BlobFault::AnswerLost))?;
        let name = match fault {
            BlobFault::Unavailable => "blobs unavailable",
            BlobFault::AnswerLost => "blobs answer lost",
            BlobFault::Hang => "blobs hang",
        };
        *self.fired.entry(name).or_default() += 1;
        Some(fault)
    }
}

fn away() -> Error {
    Error::Generic { store: "faulty", source: "a fault of the simulation".into() }
}

impl fmt::Display for FaultyBlobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyBlobs({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyBlobs {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.plan.around(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.plan.around(self.inner.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(FaultyUpload { upload, plan: self.plan.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.plan.around(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        let delete = move |location: Result<Path>| {
            let store = store.clone();
            async move {
                let location = location?;
                store.plan.around(store.inner.delete(&location)).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.plan.around(self.inner.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    upload: Box<dyn MultipartUpload>,
    plan: Plan,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, plan) = (self.upload.put_part(data), self.plan.clone());
        Box::pin(async move { plan.around(part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.plan.around(self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.plan.around(self.upload.abort()).await
    }
}
