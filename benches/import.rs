//! Import of a CSV sheet and of a workbook, beside the bare readers.
//!
//! `cargo bench -p rivvi-benches --bench import`

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]

use std::fmt::Write;
use std::io::Cursor;

use calamine::Reader;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rivvi_core::domain::Region;
use rivvi_core::import::{Import, ImportRules, Sheet};

const ROWS: u64 = 20_000;

fn import(criterion: &mut Criterion) {
    let mut text = String::from("first name,last name,phone,date of birth,note\n");
    for row in 0..ROWS {
        let _ = writeln!(text, "Dana,Levi {row},052-{:07},01/02/1980,\"call, after five\"", 2_000_000 + row);
    }
    let sheet = Sheet::from_bytes("bench.csv", text.clone()).unwrap();
    let region = Region::new("IL").unwrap();
    let rules = ImportRules::for_region(region);
    let mut group = criterion.benchmark_group("import");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("csv crate alone", |bencher| {
        bencher.iter(|| {
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            reader.byte_records().filter(Result::is_ok).count()
        });
    });
    group.bench_function("rivvi", |bencher| {
        bencher.iter(|| {
            let mut import = Import::start(&sheet, &rules, &[]).unwrap();
            let mut contacts = 0;
            while let Some(contact) = import.next_contact() {
                contacts += u64::from(contact.is_ok());
            }
            assert_eq!(contacts, ROWS);
        });
    });
    group.finish();
    workbook(criterion, region);
}

fn workbook(criterion: &mut Criterion, region: Region) {
    const WORKBOOK: &[u8] = include_bytes!("../rivvi-core/tests/data/sheets/us_mixed.xlsx");
    let sheet = Sheet::from_bytes("us_mixed.xlsx", WORKBOOK).unwrap();
    let rules = ImportRules::for_region(region);
    let mut group = criterion.benchmark_group("import xlsx");
    group.throughput(Throughput::Elements(500));
    group.bench_function("calamine alone", |bencher| {
        bencher.iter(|| {
            let mut book: calamine::Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(WORKBOOK)).unwrap();
            let range = book.worksheet_range_at(0).unwrap().unwrap();
            range.rows().filter(|row| !row.is_empty()).count()
        });
    });
    group.bench_function("rivvi", |bencher| {
        bencher.iter(|| {
            let mut import = Import::start(&sheet, &rules, &[]).unwrap();
            while import.next_contact().is_some() {}
            import.finish().rows
        });
    });
    group.finish();
}

criterion_group!(benches, import);
criterion_main!(benches);
