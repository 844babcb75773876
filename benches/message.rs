//! The text of a message: filled in for a contact, and counted in parts.
//!
//! `cargo bench -p rivvi-benches --bench message`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use rivvi_core::domain::MessageSize;
use rivvi_core::message::{MessageTemplate, MessageVariables};

fn message(criterion: &mut Criterion) {
    let columns = ["first_name", "last_name", "slot", "doctor", "street", "city", "balance", "note"];
    let texts: BTreeMap<String, String> =
        columns.iter().map(|name| ((*name).to_owned(), format!("value of {name}"))).collect();
    let links = BTreeMap::from([("map".to_owned(), "https://go.clinic.example/0123456789".to_owned())]);
    let variables = MessageVariables::new(texts).with_links(links);
    let template = |source: &str| source.parse::<MessageTemplate>().unwrap();
    let plain = template("Dear {{ first_name }}, see you at {{ slot }}: {{ links.map }}");
    let choosing = template(
        "{% if balance is defined %}You owe {{ balance | upper }}.{% else %}Thank you.{% endif %} \
         {{ title | default('Dear') }} {{ row['last_name'] }}, {{ doctor }} waits in {{ city }}.",
    );
    let mut group = criterion.benchmark_group("message");
    group.bench_function("fill in a text", |bencher| {
        bencher.iter(|| plain.render(black_box(variables.clone())).unwrap());
    });
    group.bench_function("fill in a text with conditions", |bencher| {
        bencher.iter(|| choosing.render(black_box(variables.clone())).unwrap());
    });
    group.bench_function("read a template", |bencher| {
        bencher.iter(|| template(black_box(plain.source())));
    });
    for (name, text) in [
        ("count 160 characters of GSM-7", "a".repeat(160)),
        ("count 300 characters of GSM-7", "Hello € ".repeat(38)),
        ("count 300 Hebrew characters", "שלום ".repeat(60)),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| MessageSize::of(black_box(&text))));
    }
    group.finish();
}

criterion_group!(benches, message);
criterion_main!(benches);
