//! What several nodes of Rivvi share through Redis: pacing, wake-ups, a cache of suppressed numbers, live counters.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use rivvi_core::storage::Storage;
//! use rivvi_storage_redis::{Redis, RedisRateLimiter, RedisWakeups};
//!
//! # async fn example(store: Storage) -> Result<(), rivvi_storage_redis::RedisError> {
//! let redis = Redis::open("redis://127.0.0.1:6379").await?;
//! let storage = Storage {
//!     limiter: Arc::new(RedisRateLimiter::new(&redis)),
//!     wakeups: Arc::new(RedisWakeups::new(&redis)),
//!     ..store
//! };
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **Redis is never the truth.** It may be emptied at any time: pacing then pauses for a second, wake-ups come late,
//!   the cache knows nothing, and counters begin anew. No call is made because of it that would not be made otherwise.
//! - **No second holds more starts than the rate**, over all nodes, whatever their clocks say, and across restarts of
//!   Redis. See [`RedisRateLimiter`] and [`WhenAway`].
//! - **It comes back by itself.** While Redis is away, everything fails within [`RedisOptions::timeout`], mostly at
//!   once; an outage is logged when it begins and when it ends.
//! - **No secrets, no personal data**: neither in logs, errors and `Debug` output nor, in clear, in Redis.
//!
//! # How it is built
//!
//! ```text
//!  RedisRateLimiter   DenyCache   LiveCounters      RedisWakeups
//!        │  ╲             │            │              │      │
//!        │  Fallback      │            │              │   listen (a connection of its own)
//!        ▼                ▼            ▼              │      │
//!        Script: one step of the server each          │      │
//!        │                │            │              │      │
//!        ▼                ▼            ▼              ▼      ▼
//!        Redis: one connection, supervised, that fails instead of queueing
//! ```
//!
//! One server, a cluster, and servers behind sentinels are told apart by the URL alone: see [`Redis::open_with`].

mod connection;
mod counters;
mod deny;
mod error;
mod limiter;
mod script;
mod url;
mod wakeups;

pub use connection::{Redis, RedisOptions};
pub use counters::{LiveCounters, LiveCounts};
pub use deny::{CachedSuppressions, DenyCache};
pub use error::RedisError;
pub use limiter::{LimiterOptions, RedisRateLimiter, TimeSource, WhenAway};
pub use wakeups::RedisWakeups;
