//! One decision of the policy.
//!
//! `cargo bench -p rivvi-benches --bench policy`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use rivvi_benches::Scene;
use rivvi_core::policy::{NumberFacts, Policy, Question, RunTerms};
use rivvi_core::storage::Storage;
use tokio::runtime::Runtime;

fn policy(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let scene = runtime.block_on(Scene::open(Storage::in_memory(), 10));
    let run = runtime.block_on(scene.rivvi.runs().find(scene.run_id));
    let run = run.ok().flatten().unwrap();
    let terms = RunTerms::new(Arc::new(run), Arc::new(scene.organization.clone()));
    let contact = scene.contact(5);
    let policy = Policy::new();
    let now = scene.clock.now();
    let night = now + chrono::TimeDelta::hours(14);
    let attempts = (1..=4).map(|days| now - chrono::TimeDelta::days(days)).collect();
    let fresh = NumberFacts::default();
    let called = NumberFacts { attempts, ..NumberFacts::default() };
    let mut group = criterion.benchmark_group("policy");
    for (name, now, number) in [
        ("allow", now, &fresh),
        ("allow after four attempts", now, &called),
        ("defer to morning", night, &fresh),
    ] {
        let question = Question { now, asked_at: now, terms: &terms, contact: &contact, number };
        group.bench_function(name, |bencher| bencher.iter(|| policy.decide(black_box(&question))));
    }
    group.finish();
}

criterion_group!(benches, policy);
criterion_main!(benches);
