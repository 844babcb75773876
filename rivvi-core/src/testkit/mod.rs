//! What authors of stores and providers check their work with, and what hosts test with.
//!
//! - [`storage`]: a suite for [`Storage`], one case per promise of its traits, and
//!   [`assert_whole`](storage::assert_whole), which recounts a run.
//! - [`limiter`]: a suite for [`RateLimiter`](crate::limit::RateLimiter).
//! - [`blobs`]: a suite for [`Blobs`].
//! - [`voice`]: a suite for [`VoiceProvider`](crate::provider::VoiceProvider).
//! - [`sms`]: a suite for [`SmsProvider`](crate::provider::SmsProvider).
//! - [`speech`]: a suite for [`SpeechSynthesizer`](crate::provider::SpeechSynthesizer), and one that plays tones.
//! - [`email`]: a suite for [`EmailProvider`](crate::provider::EmailProvider).
//! - [`http`]: a far side that speaks HTTP and goes wrong when it is told to.
//! - [`ScriptedVoice`](scripted::ScriptedVoice): a provider that answers what a test tells it to.
//! - [`build`]: organizations, campaigns, runs and contacts with defaults.
//!
//! The cases are plain functions; the macros make one test of each. A suite changes with the traits it checks, in
//! the same release, so a store that is checked by the suite of this version fits the engine of this version.
//!
//! # Checking a store
//!
//! In a crate that depends on `rivvi-core`, and for its tests on `rivvi-core` with the feature `testkit`:
//!
//! ```
//! // tests/conformance.rs
//! use rivvi_core::storage::Storage;
//!
//! async fn fresh() -> Storage {
//!     Storage::in_memory() // here: the store that is to be checked, empty
//! }
//!
//! rivvi_core::storage_conformance!(fresh);
//! rivvi_core::limiter_conformance!(|| async { fresh().await.limiter });
//! # fn main() {}
//! ```
//!
//! Every case gets a store of its own. What must live as long as the store, such as a temporary directory, is
//! returned with it: `(storage, directory)`. Attributes before the factory go to every test, so a suite against a
//! server that is not always there says so: `storage_conformance!(#[ignore = "needs a server"] fresh)`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a case fails by panicking, with the message that says what was promised"
)]

mod alike;
pub mod blobs;
pub mod build;
pub mod email;
mod fault;
mod faulty;
mod faulty_blobs;
pub mod http;
pub mod limiter;
mod logs;
pub mod scripted;
pub mod sms;
pub mod speech;
pub mod storage;
pub mod voice;

pub use faulty::{FaultyLedger, LedgerFaults};
pub use faulty_blobs::{BlobFault, BlobFaults, FaultyBlobs};

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::storage::{Blobs, Storage, StorageError, StorageErrorKind};

/// What the factory of a suite returns: the thing to be checked, alone or with what must live as long.
pub trait Fixture<T>: Send + 'static {
    /// The thing to be checked.
    fn subject(&self) -> &T;
}

impl Fixture<Blobs> for Blobs {
    fn subject(&self) -> &Blobs {
        self
    }
}

impl<G: Send + 'static> Fixture<Blobs> for (Blobs, G) {
    fn subject(&self) -> &Blobs {
        &self.0
    }
}

impl Fixture<Storage> for Storage {
    fn subject(&self) -> &Storage {
        self
    }
}

impl<G: Send + 'static> Fixture<Storage> for (Storage, G) {
    fn subject(&self) -> &Storage {
        &self.0
    }
}

impl<T: ?Sized + Send + Sync + 'static> Fixture<Arc<T>> for Arc<T> {
    fn subject(&self) -> &Arc<T> {
        self
    }
}

impl<T: ?Sized + Send + Sync + 'static, G: Send + 'static> Fixture<Arc<T>> for (Arc<T>, G) {
    fn subject(&self) -> &Arc<T> {
        &self.0
    }
}

/// How long a case may take, in real time.
const CASE_MAX: Duration = Duration::from_secs(300);

/// Runs a case on a runtime of its own, with several threads.
///
/// # Panics
/// If the case does, or if it takes longer than 5 minutes.
pub fn run_case(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let in_time = tokio::time::timeout(CASE_MAX, case).await;
        assert!(in_time.is_ok(), "the case was not over after {CASE_MAX:?}: something waits for ever");
    });
}

/// Runs `tasks` tasks at once, each on its own, and returns what they return in their order.
pub(crate) async fn at_once<T, F>(tasks: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let running: Vec<_> = (0..tasks).map(|index| tokio::spawn(task(index))).collect();
    let mut results = Vec::with_capacity(tasks);
    for task in running {
        results.push(task.await.expect("the task did not panic"));
    }
    results
}

/// What the verb returns, repeated for as long as the store asks to slow down, at most a minute.
pub(crate) async fn patiently<T, F>(verb: impl Fn() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    let clock = SystemClock::new();
    let give_up = clock.monotonic() + Duration::from_secs(60);
    loop {
        match verb().await {
            Err(error) if error.kind == StorageErrorKind::Busy && clock.monotonic() < give_up => {
                clock.sleep_until(clock.now() + Duration::from_millis(2)).await;
            }
            result => return result,
        }
    }
}

/// Asserts that the list has exactly the public cases of a source file.
pub(crate) fn assert_lists_all<'a>(source: &'a str, listed: impl Iterator<Item = &'a str>, module: &str) {
    let written = source.lines().filter_map(|line| line.strip_prefix("pub async fn "));
    let written: BTreeSet<&str> = written.filter_map(|line| line.split(['(', '<']).next()).collect();
    let listed: BTreeSet<&str> = listed.collect();
    assert_eq!(written, listed, "every case of `{module}` is in the list from which tests are made");
}
