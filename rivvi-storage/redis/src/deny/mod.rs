//! A cache of suppressed numbers that can only say no.

mod ledger;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use fred::interfaces::KeysInterface;
use fred::types::{Key, Value};
use hmac::{Hmac, Mac};
use rivvi_core::domain::{E164, OrgId, Secret, Suppression};
use sha2::Sha256;

use crate::connection::Redis;
use crate::error::RedisError;
use crate::script::Script;

pub use ledger::CachedSuppressions;

/// Numbers asked for or written in one command.
const BATCH: usize = 1_000;
/// The end of an entry without one.
const NEVER: &str = "never";

/// A cache of numbers that must not be contacted: what it denies is denied, and about what it does not deny the ledger
/// must be asked. So nothing that is lost, late or away makes a forbidden contact possible.
///
/// It denies at most as long as the entry it was told of, and forgets every entry after [`DenyCache::keep`], so that
/// an entry lifted from the ledger behind its back, or while Redis was away, is denied for that long at most.
///
/// Numbers are kept as keyed hashes (HMAC-SHA-256 with the host's key, shortened to 128 bits), never in clear.
pub struct DenyCache {
    redis: Redis,
    hash: Hmac<Sha256>,
    keep: Duration,
    write: Script,
}

/// Writes entries: KEYS a key per entry, ARGV its end in us or `never` and how long in ms it is kept.
const WRITE: &str =
    "for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[2 * i - 1], 'PX', ARGV[2 * i]) end return 0";

impl DenyCache {
    /// A cache that hashes numbers with `key`, which all nodes share and nobody else knows, and forgets entries after
    /// an hour.
    ///
    /// # Errors
    /// [`RedisError::Config`] if the key is shorter than 16 bytes.
    pub fn new(redis: &Redis, key: &Secret) -> Result<Self, RedisError> {
        const SHORT: RedisError = RedisError::Config("the key of the deny cache must have 16 bytes or more");
        if key.expose().len() < 16 {
            return Err(SHORT);
        }
        let hash = Hmac::new_from_slice(key.expose().as_bytes()).map_err(|_| SHORT)?;
        Ok(Self { redis: redis.clone(), hash, keep: Duration::from_secs(3_600), write: Script::new(WRITE) })
    }

    /// The same cache, which forgets entries after `keep`, 1 s to 1 day: the longest that it may deny what the ledger
    /// allows again.
    #[must_use]
    pub fn keeping(self, keep: Duration) -> Self {
        Self { keep: keep.clamp(Duration::from_secs(1), Duration::from_secs(86_400)), ..self }
    }

    /// How long an entry is kept at most.
    pub fn keep(&self) -> Duration {
        self.keep
    }

    /// Notes entries that stand in the ledger. Entries without effect at `now` are left out.
    ///
    /// # Errors
    /// [`RedisError::Away`]: some or all were not noted, which only costs speed.
    pub async fn deny(&self, entries: &[Suppression], now: DateTime<Utc>) -> Result<(), RedisError> {
        let mut by_org: BTreeMap<OrgId, Vec<&Suppression>> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| entry.is_active(now)) {
            by_org.entry(entry.org_id).or_default().push(entry);
        }
        for (org_id, entries) in by_org {
            for entries in entries.chunks(BATCH) {
                let keys = entries.iter().map(|entry| self.key(org_id, entry.number)).collect();
                let mut arguments: Vec<Value> = Vec::with_capacity(entries.len() * 2);
                for entry in entries {
                    let left = entry.expires_at.and_then(|end| (end - now).to_std().ok());
                    let kept = left.map_or(self.keep, |left| left.min(self.keep));
                    let end = entry.expires_at.map(|end| end.timestamp_micros().to_string());
                    arguments.push(end.unwrap_or_else(|| NEVER.into()).into());
                    arguments.push(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX).max(1).into());
                }
                self.write.run(&self.redis, keys, arguments).await?;
            }
        }
        Ok(())
    }

    /// Forgets a number. Call it before the number is released in the ledger, and again after, so that nobody who
    /// read the ledger in between leaves the entry behind.
    ///
    /// # Errors
    /// [`RedisError::Away`]: the number may be denied for [`DenyCache::keep`] longer.
    pub async fn lift(&self, org_id: OrgId, number: E164) -> Result<(), RedisError> {
        self.redis.answer(self.redis.client().del::<(), _>(self.key(org_id, number))).await
    }

    /// Which of the numbers are surely denied at `now`, in their order. `false` is not an allowance: ask the ledger.
    /// While Redis is away nothing is known, so all are `false`.
    pub async fn denied(&self, org_id: OrgId, numbers: &[E164], now: DateTime<Utc>) -> Vec<bool> {
        let mut denied = Vec::with_capacity(numbers.len());
        for numbers in numbers.chunks(BATCH) {
            let keys: Vec<Key> = numbers.iter().map(|number| self.key(org_id, *number)).collect();
            let found = self.redis.answer(self.redis.client().mget::<Vec<Option<String>>, _>(keys)).await;
            let found = found.unwrap_or_default();
            denied.extend(found.iter().map(|end| end.as_deref().is_some_and(|end| holds(end, now))));
            denied.resize(denied.len() + numbers.len() - found.len().min(numbers.len()), false);
        }
        denied
    }

    /// One hash tag per organization: its numbers are asked for in one command, and organizations spread over a
    /// cluster.
    fn key(&self, org_id: OrgId, number: E164) -> Key {
        let mut hash = self.hash.clone();
        hash.update(org_id.as_uuid().as_bytes());
        hash.update(&number.digits().to_be_bytes());
        let bytes = hash.finalize().into_bytes();
        let short = bytes.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes));
        format!("{{{}:deny:{}}}:{short:032x}", self.redis.prefix(), org_id.as_uuid().simple()).into()
    }
}

/// Whether an entry with this end (in microseconds since the epoch, or [`NEVER`]) is in effect.
fn holds(end: &str, now: DateTime<Utc>) -> bool {
    end == NEVER || end.parse().is_ok_and(|end: i64| now.timestamp_micros() < end)
}

impl fmt::Debug for DenyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyCache")
            .field("redis", &self.redis)
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}
