//! The dispatch path end to end: claim, decide, intend, place at a provider without cost, settle.
//!
//! `cargo bench -p rivvi-benches --bench dispatch`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rivvi_benches::Scene;
use rivvi_core::storage::Storage;
use rivvi_storage_sqlite::SqliteStorage;
use tokio::runtime::Runtime;

const CONTACTS: u64 = 5_000;

fn dispatch(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("dispatch");
    group.throughput(Throughput::Elements(CONTACTS)).sample_size(10);
    group.bench_function("memory", |bencher| {
        let open = || runtime.block_on(Scene::open(Storage::in_memory(), CONTACTS));
        bencher.iter_batched(open, |scene| runtime.block_on(run(&scene)), BatchSize::PerIteration);
    });
    group.bench_function("sqlite", |bencher| {
        let folder = tempfile::tempdir().unwrap();
        let mut files = 0;
        let open = || {
            files += 1;
            let path = folder.path().join(format!("{files}.db"));
            runtime.block_on(async {
                let storage = SqliteStorage::open(path).await.unwrap();
                Scene::open(storage.into(), CONTACTS).await
            })
        };
        bencher.iter_batched(open, |scene| runtime.block_on(run(&scene)), BatchSize::PerIteration);
    });
    group.finish();
}

async fn run(scene: &Scene) {
    while scene.cycle().await > 0 {}
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
