//! The shared limiter keeps the promises of the trait, on every kind of server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod servers;

use std::sync::Arc;

use rivvi_core::limit::RateLimiter;
use rivvi_storage_redis::{LimiterOptions, Redis, RedisRateLimiter, TimeSource};

/// A limiter by the callers' time, since the suite lets time pass as fast as it is answered.
async fn limiter_at(variable: &str) -> Arc<dyn RateLimiter> {
    let redis = Redis::open_with(&servers::url(variable), servers::fresh_options()).await.unwrap();
    let options = LimiterOptions::default().with_time(TimeSource::Caller);
    Arc::new(RedisRateLimiter::with_options(&redis, options))
}

mod single {
    rivvi_core::limiter_conformance!(|| super::limiter_at("RIVVI_TEST_REDIS"));
}

mod cluster {
    rivvi_core::limiter_conformance!(|| super::limiter_at("RIVVI_TEST_REDIS_CLUSTER"));
}

mod sentinel {
    rivvi_core::limiter_conformance!(|| super::limiter_at("RIVVI_TEST_REDIS_SENTINEL"));
}
