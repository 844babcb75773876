//! How soon: an idle engine calls a contact that becomes due, and contacts that are due at once are all handed over to
//! the provider. In real time, on a spawned engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rivvi_benches::Scene;
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{Contact, ContactState, ProviderName};
use rivvi_core::provider::{PlaceCall, PlacedCall, ProviderError, VoiceProvider};
use tokio::sync::mpsc;

use crate::stores::{Opened, open};

/// Contacts that become due one after the other.
const PICKED_UP: u64 = 100;

/// A provider that notes when it was asked, and never tells of its calls.
#[derive(Debug)]
struct Stopwatch {
    asked: mpsc::UnboundedSender<DateTime<Utc>>,
}

#[async_trait]
impl VoiceProvider for Stopwatch {
    fn name(&self) -> ProviderName {
        ProviderName::new("stopwatch")
    }

    async fn place_call(&self, _request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        self.asked.send(SystemClock::new().now()).unwrap();
        Ok(PlacedCall::default())
    }
}

/// Milliseconds from the instant at which a contact is due to the request to the provider: median and 99th of 100.
pub(crate) async fn pick_up(store: &str) -> (f64, f64) {
    let Opened { storage, guard } = open(store).await;
    let (asked, mut heard) = mpsc::unbounded_channel();
    let clock = SystemClock::new();
    let scene = Scene::in_real_time(storage, Arc::new(Stopwatch { asked }), 10_000).await;
    let engine = scene.rivvi.spawn();
    heard.recv().await.unwrap();
    let mut late = Vec::new();
    for row in 1..=PICKED_UP {
        let due_at = clock.now() + TimeDelta::milliseconds(100);
        let contact = waiting(&scene, row, due_at);
        scene.rivvi.storage().ledger.add_contacts(vec![contact], clock.now()).await.unwrap();
        let asked_at = heard.recv().await.unwrap();
        late.push((asked_at - due_at).num_microseconds().unwrap_or(i64::MAX) as f64 / 1e3);
    }
    engine.shutdown().await;
    guard.clean().await;
    late.sort_by(f64::total_cmp);
    (late[late.len() / 2], late[late.len() * 99 / 100])
}

/// From the instant at which the engine is woken to the last request to the provider.
pub(crate) async fn hand_over(store: &str, contacts: u64) -> Duration {
    let Opened { storage, guard } = open(store).await;
    let (asked, mut heard) = mpsc::unbounded_channel();
    let clock = SystemClock::new();
    // The scene has a contact of its own.
    let limit = u32::try_from(contacts).unwrap() + 1;
    let scene = Scene::in_real_time(storage, Arc::new(Stopwatch { asked }), limit).await;
    let due_at = clock.now();
    let all: Vec<u64> = (1..=contacts).collect();
    for rows in all.chunks(1_000) {
        let batch = rows.iter().map(|row| waiting(&scene, *row, due_at)).collect();
        scene.rivvi.storage().ledger.add_contacts(batch, due_at).await.unwrap();
    }
    let started = clock.monotonic();
    let engine = scene.rivvi.spawn();
    for _ in 0..=contacts {
        heard.recv().await.unwrap();
    }
    let took = clock.monotonic() - started;
    engine.shutdown().await;
    guard.clean().await;
    took
}

fn waiting(scene: &Scene, row: u64, due_at: DateTime<Utc>) -> Contact {
    let mut contact = scene.contact(row + 10);
    contact.status.state = ContactState::Waiting { due_at };
    contact
}
