//! What a contact costs if nothing is decided and nothing kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rivvi_core::clock::{Clock, SystemClock};
use tokio::sync::{Semaphore, mpsc};

/// Items a second that pass through a channel, wait for a permit and become a task each.
pub(crate) async fn channel_semaphore_spawn(items: u64) -> f64 {
    let clock = SystemClock::new();
    let started = clock.monotonic();
    let (sender, mut receiver) = mpsc::channel(1_000);
    let feeding = tokio::spawn(async move {
        for item in 0..items {
            sender.send(item).await.unwrap();
        }
    });
    let (permits, sum) = (Arc::new(Semaphore::new(500)), Arc::new(AtomicU64::new(0)));
    while let Some(item) = receiver.recv().await {
        let permit = permits.clone().acquire_owned().await.unwrap();
        let sum = sum.clone();
        tokio::spawn(async move {
            sum.fetch_add(item, Ordering::Relaxed);
            drop(permit);
        });
    }
    feeding.await.unwrap();
    let _all = permits.acquire_many(500).await.unwrap();
    assert_eq!(sum.load(Ordering::Relaxed), items * (items - 1) / 2);
    items as f64 / (clock.monotonic() - started).as_secs_f64()
}
