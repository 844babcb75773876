//! The claim alone: 500 due contacts are taken, looked at, and put off, in runs of different sizes.
//!
//! `cargo bench -p rivvi-benches --bench claim`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]

use chrono::TimeDelta;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rivvi_benches::Scene;
use rivvi_core::domain::Contact;
use rivvi_core::machine::begin;
use rivvi_core::policy::{Decision, NumberFacts};
use rivvi_core::storage::{BeginCalls, Storage};
use rivvi_storage_sqlite::SqliteStorage;
use tokio::runtime::Runtime;

const CLAIM: u32 = 500;

fn claim(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("claim");
    group.throughput(Throughput::Elements(u64::from(CLAIM))).sample_size(10);
    for contacts in [10_000_u64, 100_000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("claim.db");
        let sqlite: Storage = runtime.block_on(SqliteStorage::open(path)).unwrap().into();
        for (store, storage) in [("memory", Storage::in_memory()), ("sqlite", sqlite)] {
            let scene = runtime.block_on(Scene::open(storage, contacts));
            group.bench_function(BenchmarkId::new(store, contacts), |bencher| {
                bencher.iter(|| runtime.block_on(take(&scene)));
            });
        }
    }
    group.finish();
}

async fn take(scene: &Scene) {
    let now = scene.clock.now();
    let put_off = |contact: &Contact, _: &NumberFacts| {
        let until = now - TimeDelta::seconds(1);
        let decision = Decision::Defer { until, rule: "bench", reason: "put off".into() };
        begin(contact, decision, now, || unreachable!("nobody is called"))
    };
    let request = BeginCalls {
        run_id: scene.run_id,
        org_id: scene.organization.id,
        now,
        calls_max: CLAIM,
        contacts_max: CLAIM,
        organization_limit: CLAIM,
        run_limit: None,
    };
    let begun = scene.rivvi.storage().ledger.begin_calls(request, &put_off).await.unwrap();
    assert_eq!(begun.taken, CLAIM);
}

criterion_group!(benches, claim);
criterion_main!(benches);
