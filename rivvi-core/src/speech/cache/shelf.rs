//! Speech among the blobs, and the claims of those who make it.

use std::future::Future;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions};

use super::counters::Counters;
use super::key::Key;
use super::options::CachedSpeechOptions;
use crate::clock::Clock;
use crate::domain::ProviderName;
use crate::engine::breaker::{Allowance, Breaker};
use crate::provider::{ProviderError, ProviderErrorKind};
use crate::storage::Blobs;

/// Claims to the same speech of which none was lived up to, before it is made without one.
const CLAIMS_MAX: u32 = 5;
/// Pauses between looks at somebody else's claim.
const LOOK_AGAIN_FIRST: Duration = Duration::from_millis(50);
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);

/// Speech among the blobs. A store that is away is a store without speech.
pub(super) struct Shelf {
    blobs: Blobs,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    /// How long a claim holds: for a synthesis, and for putting what came of it.
    claim_for: Duration,
    breaker: Mutex<Breaker>,
    counters: Arc<Counters>,
}

/// Who makes the speech.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// We do, by the claim of this number.
    Ours(u32),
    /// Somebody has.
    Spoken(Bytes),
    /// It cannot be told: the store is away, or nobody lived up to their claim.
    Not,
}

/// The store could not be asked.
struct Away;

impl Shelf {
    pub(super) fn new(blobs: Blobs, options: &CachedSpeechOptions, counters: Arc<Counters>) -> Self {
        let claim_for = options.synthesis_max + options.store_timeout * 2;
        let (clock, timeout) = (options.clock.clone(), options.store_timeout);
        Self { blobs, clock, timeout, claim_for, breaker: Mutex::default(), counters }
    }

    /// The speech, if it is kept and the store is there.
    pub(super) async fn find(&self, key: &Key) -> Option<Bytes> {
        self.read(&key.path()).await.ok().flatten()
    }

    /// Keeps the speech. Returns what is kept: somebody else may have been faster.
    pub(super) async fn keep(&self, key: &Key, speech: Bytes) -> Bytes {
        match self.create(&key.path(), speech.clone()).await {
            Ok(true) | Err(Away) => speech,
            Ok(false) => match self.find(key).await {
                Some(kept) => {
                    Counters::count(&self.counters.lost_races);
                    kept
                }
                None => speech,
            },
        }
    }

    /// Claims to make the speech, or waits for whoever has.
    pub(super) async fn claim(&self, key: &Key) -> Claimed {
        let patience = self.clock.monotonic() + self.claim_for * 2;
        let mut nth = 1;
        while nth <= CLAIMS_MAX && self.clock.monotonic() < patience {
            let until = self.clock.now() + self.claim_for;
            match self.create(&key.claim(nth), until.to_rfc3339().into()).await {
                Err(Away) => return Claimed::Not,
                Ok(true) => {
                    // Whoever had a claim before may have put the speech and given it up since we looked.
                    let Some(speech) = self.find(key).await else { return Claimed::Ours(nth) };
                    self.give_up(key, 1..=nth).await;
                    return Claimed::Spoken(speech);
                }
                Ok(false) => match self.watch(&key.claim(nth)).await {
                    Err(Away) => return Claimed::Not,
                    Ok(Claim::Lapsed) => nth += 1,
                    Ok(Claim::GivenUp) => {
                        if let Some(speech) = self.find(key).await {
                            return Claimed::Spoken(speech);
                        }
                        nth = 1;
                    }
                },
            }
        }
        Claimed::Not
    }

    /// Removes these claims; one that cannot be removed lapses.
    pub(super) async fn give_up(&self, key: &Key, claims: RangeInclusive<u32>) {
        for nth in claims {
            let path = Path::from(key.claim(nth));
            let _ = self.ask(async { self.blobs.store().delete(&path).await }).await;
        }
    }

    /// Waits until a claim of somebody else is over.
    async fn watch(&self, path: &str) -> Result<Claim, Away> {
        let since = self.clock.monotonic();
        let mut pause = LOOK_AGAIN_FIRST;
        while let Some(written) = self.read(path).await? {
            let until = std::str::from_utf8(&written).ok();
            let until = until.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
            let now: DateTime<Utc> = self.clock.now();
            // Whoever's clock is ahead of ours gets no more time for that.
            let watched = self.clock.monotonic().saturating_sub(since);
            if until.is_none_or(|until| until <= now) || watched >= self.claim_for {
                return Ok(Claim::Lapsed);
            }
            self.clock.sleep_until(now + pause).await;
            pause = (pause * 2).min(LOOK_AGAIN_MAX);
        }
        Ok(Claim::GivenUp)
    }

    async fn read(&self, path: &str) -> Result<Option<Bytes>, Away> {
        let path = Path::from(path);
        match self.ask(async { self.blobs.store().get(&path).await?.bytes().await }).await? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) => Ok(None),
        }
    }

    /// Puts an object unless there is one. Returns whether it did.
    async fn create(&self, path: &str, bytes: Bytes) -> Result<bool, Away> {
        let path = Path::from(path);
        let options = PutOptions::from(PutMode::Create);
        let put = async { self.blobs.store().put_opts(&path, bytes.into(), options).await };
        Ok(self.ask(put).await?.is_ok())
    }

    /// Asks the store, unless it is left alone. An inner error is an answer: something is not there, or is already.
    async fn ask<T>(
        &self,
        question: impl Future<Output = Result<T, Error>>,
    ) -> Result<Result<T, Error>, Away> {
        if let Allowance::NoneBefore(_) = self.breaker(|breaker| breaker.allowance(self.clock.now())) {
            return Err(Away);
        }
        let answer = tokio::time::timeout(self.timeout, question).await;
        match answer {
            Ok(
                answer @ (Ok(_)
                | Err(
                    Error::NotFound { .. } | Error::AlreadyExists { .. } | Error::Precondition { .. },
                )),
            ) => {
                self.breaker(|breaker| breaker.succeeded(self.clock.now()));
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.away(&error)),
            Err(late) => Err(self.away(&late)),
        }
    }

    fn away(&self, error: &dyn std::error::Error) -> Away {
        tracing::warn!(%error, "kept speech could not be reached");
        Counters::count(&self.counters.store_failures);
        let name = ProviderName::new("blobs");
        let failure = ProviderError::not_sent(&name, "speech", ProviderErrorKind::Unavailable);
        self.breaker(|breaker| breaker.failed(&failure, self.clock.now()));
        Away
    }

    fn breaker<T>(&self, ask: impl FnOnce(&mut Breaker) -> T) -> T {
        ask(&mut self.breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How a claim ended.
enum Claim {
    /// It was removed: the speech is there, or could not be made.
    GivenUp,
    /// Whoever made it is late, or gone.
    Lapsed,
}
