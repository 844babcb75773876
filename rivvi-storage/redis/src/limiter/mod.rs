//! Pacing that all nodes share.

mod fallback;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use fred::types::{Key, Value};
use rivvi_core::domain::IdSource;
use rivvi_core::limit::{Cells, Grant, LimiterUnavailable, Pace, PaceKey, RateLimiter};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::connection::Redis;
use crate::error::RedisError;
use crate::limiter::fallback::Fallback;
use crate::script::Script;

/// How a shared limiter behaves.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct LimiterOptions {
    /// Whose clock decides. Default: the server's.
    pub time: TimeSource,
    /// What happens while Redis is away. Default: nothing starts.
    pub when_away: WhenAway,
}

impl LimiterOptions {
    /// The same options with another clock.
    #[must_use]
    pub fn with_time(self, time: TimeSource) -> Self {
        Self { time, ..self }
    }

    /// The same options for another conduct while Redis is away.
    #[must_use]
    pub fn with_when_away(self, when_away: WhenAway) -> Self {
        Self { when_away, ..self }
    }
}

/// Whose clock decides what a second is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TimeSource {
    /// The clock of the Redis server: nodes may disagree about the time as much as they like. [`Grant::next_at`] is
    /// the caller's time plus the wait that the server tells.
    #[default]
    Server,
    /// The time that the caller passes in, for engines on a virtual or faster clock, which all nodes must share.
    Caller,
}

/// What a limiter does while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum WhenAway {
    /// Nothing is granted, so no call starts. The promise of [`RateLimiter`] holds.
    #[default]
    Stop,
    /// Each node paces for itself, at a share of every rate, beginning a second after Redis was last heard of; and
    /// Redis is used again a second after the node last granted something by itself.
    ///
    /// A second then holds at most the rate times the share, rounded up, from each node: with a share of one by the
    /// number of nodes about the rate while all are cut off, but more than that for rates of few starts a second.
    /// While only some nodes are cut off, their shares come on top of what Redis grants to the others.
    Local {
        /// The share of every rate, above 0 and at most 1.
        share: f64,
    },
}

/// A limiter that all nodes on one Redis share.
///
/// Every [`take`](RateLimiter::take) is one script and so one step of the server, whatever the number of paces: all
/// or nothing, in one round trip. The numbers are those of [`Cells`], so it promises what
/// [`LocalRateLimiter`](rivvi_core::limit::LocalRateLimiter) promises, for the seconds of the server's clock.
///
/// A server that may have forgotten what it granted (it was restarted, another one took over, or its data was
/// flushed) grants nothing for the first second, so that a second across the loss holds no more than the rate. For
/// the same reason a Redis that never served this prefix grants its first start after a second.
///
/// Starts are given back where nobody else was charged since; otherwise they are lost, which only slows down.
#[derive(Debug)]
pub struct RedisRateLimiter {
    redis: Redis,
    options: LimiterOptions,
    take: Script,
    give_back: Script,
    /// Tells this limiter's charges from those of others.
    name: Uuid,
    /// Whether the store was seen to keep arrivals.
    settled: std::sync::atomic::AtomicBool,
    fallback: Option<Fallback>,
}

/// What the server decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Answer {
    granted: u32,
    wait_us: i64,
    /// The instant that decided, in microseconds since the epoch.
    at_us: i64,
}

/// How long a data set that may have lost arrivals grants nothing.
const SETTLE_US: i64 = 1_000_000;
/// Longer than any interval between starts that makes sense (31 years), and exact as a Lua number with any time added.
const INTERVAL_MAX_US: i64 = 1_000_000_000_000_000;

impl RedisRateLimiter {
    /// A limiter with the default options: the server's clock decides, and nothing starts while Redis is away.
    pub fn new(redis: &Redis) -> Self {
        Self::with_options(redis, LimiterOptions::default())
    }

    /// A limiter with these options. A share outside 0 to 1 is brought into that range; one of 0 grants nothing.
    pub fn with_options(redis: &Redis, options: LimiterOptions) -> Self {
        let fallback = match options.when_away {
            WhenAway::Stop => None,
            WhenAway::Local { share } => Some(Fallback::new(share)),
        };
        // The prefix in the text makes it a script of its own, which a server process knows only if it has served
        // this prefix.
        let take = format!("-- {}\n{}", redis.prefix(), include_str!("take.lua"));
        Self {
            redis: redis.clone(),
            options,
            take: Script::new(take),
            give_back: Script::new(include_str!("give_back.lua")),
            name: IdSource::random().next(DateTime::UNIX_EPOCH),
            settled: std::sync::atomic::AtomicBool::new(false),
            fallback,
        }
    }

    async fn take_shared(&self, paces: &[Pace], want: u32, now: DateTime<Utc>) -> Result<Answer, RedisError> {
        use std::sync::atomic::Ordering::Relaxed;

        let mut keys = Vec::with_capacity(paces.len() + 1);
        keys.push(self.key("born"));
        keys.extend(paces.iter().map(|pace| self.key_of(&pace.key)));
        let settled = self.settled.load(Relaxed);
        let (caller, keep_ms) = match self.options.time {
            TimeSource::Server => (String::new(), 1_000),
            // Their time may pass more slowly than that of the server, which removes idle keys.
            TimeSource::Caller => (now.timestamp_micros().to_string(), 86_400_000),
        };
        // Time that is passed in may have begun with this caller, and so may the store.
        let settle_us = if self.options.time == TimeSource::Server || settled { SETTLE_US } else { 0 };
        let arguments = |new: i64| {
            let mut arguments: Vec<Value> = vec![
                i64::from(want).into(),
                caller.as_str().into(),
                self.charge(now).into(),
                settle_us.into(),
                new.into(),
                keep_ms.into(),
            ];
            for pace in paces {
                let cells = Cells::of(pace.rate);
                arguments.push(interval_us(cells).into());
                arguments.push(cells.burst.into());
            }
            arguments
        };
        let answer = match self.take.run_known(&self.redis, keys.clone(), arguments(0)).await? {
            Some(answer) => answer,
            None => self.take.run_new(&self.redis, keys, arguments(1)).await?,
        };
        self.settled.store(true, Relaxed);
        let (granted, wait_us, at_us) = answer.convert().map_err(|_| RedisError::Unreadable("grant"))?;
        Ok(Answer { granted, wait_us, at_us })
    }

    async fn give_back_shared(
        &self,
        paces: &[Pace],
        unused: u32,
        now: DateTime<Utc>,
    ) -> Result<(), RedisError> {
        let keys = paces.iter().map(|pace| self.key_of(&pace.key)).collect();
        let mut arguments: Vec<Value> = vec![i64::from(unused).into(), self.charge(now).into()];
        arguments.extend(paces.iter().map(|pace| Value::from(interval_us(Cells::of(pace.rate)))));
        self.give_back.run(&self.redis, keys, arguments).await.map(|_| ())
    }

    /// Who is charged for what is granted at `now`. By the callers' common clock, all that is granted at one instant
    /// is alike; by the server's, only this caller knows which grant its instant names.
    fn charge(&self, now: DateTime<Utc>) -> String {
        match self.options.time {
            TimeSource::Server => format!("{}@{}", self.name.simple(), now.timestamp_micros()),
            TimeSource::Caller => now.timestamp_micros().to_string(),
        }
    }

    /// One hash tag for all keys of a prefix, since a script may only touch keys of one slot of a cluster.
    fn key(&self, name: &str) -> Key {
        format!("{{{}:pace}}:{name}", self.redis.prefix()).into()
    }

    fn key_of(&self, key: &PaceKey) -> Key {
        match key {
            PaceKey::Organization(id) => self.key(&format!("organization:{}", id.as_uuid().simple())),
            PaceKey::Campaign(id) => self.key(&format!("campaign:{}", id.as_uuid().simple())),
            PaceKey::Provider(name) => self.key(&format!("provider:{name}")),
            // A number in a key would show up in slow logs and monitors.
            PaceKey::CallerId(caller) => {
                let digest = Sha256::digest(caller.0.digits().to_be_bytes());
                let short = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                self.key(&format!("caller:{short:016x}"))
            }
            PaceKey::Messages(id) => self.key(&format!("messages:{}", id.as_uuid().simple())),
            PaceKey::CampaignMessages(id) => {
                self.key(&format!("campaign-messages:{}", id.as_uuid().simple()))
            }
            PaceKey::Sender(sender) => {
                let digest = Sha256::digest(sender);
                let short = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
                self.key(&format!("sender:{short:016x}"))
            }
            other => self.key(&format!("other:{other:?}")),
        }
    }
}

fn interval_us(cells: Cells) -> i64 {
    cells.interval_us.clamp(1, INTERVAL_MAX_US)
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    async fn take(&self, paces: &[Pace], want: u32, now: DateTime<Utc>) -> Result<Grant, LimiterUnavailable> {
        if paces.is_empty() {
            return Ok(Grant { granted: want, next_at: now });
        }
        let shared = self.take_shared(paces, want, now).await;
        let Some(fallback) = &self.fallback else {
            let Answer { granted, wait_us, .. } = shared.map_err(unavailable)?;
            return Ok(Grant { granted, next_at: later(now, wait_us) });
        };
        match shared {
            Ok(Answer { granted, wait_us, .. }) => match fallback.rejoin(granted, now) {
                None => Ok(Grant { granted, next_at: later(now, wait_us) }),
                Some(next_at) => {
                    // What cannot be given back only slows down.
                    let _ = self.give_back_shared(paces, granted, now).await;
                    Ok(Grant { granted: 0, next_at })
                }
            },
            Err(_) => fallback.take(paces, want, now).await,
        }
    }

    async fn give_back(
        &self,
        paces: &[Pace],
        unused: u32,
        now: DateTime<Utc>,
    ) -> Result<(), LimiterUnavailable> {
        if paces.is_empty() || unused == 0 {
            return Ok(());
        }
        match &self.fallback {
            Some(fallback) if fallback.granted_at(now) => fallback.give_back(paces, unused, now).await,
            _ => self.give_back_shared(paces, unused, now).await.map_err(unavailable),
        }
    }
}

fn later(now: DateTime<Utc>, wait_us: i64) -> DateTime<Utc> {
    now.checked_add_signed(TimeDelta::microseconds(wait_us)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn unavailable(error: RedisError) -> LimiterUnavailable {
    LimiterUnavailable { reason: error.to_string() }
}
