//! What reading a phone number costs: the two candidate libraries, and `E164::parse` on top of the chosen one.
//!
//! Every row is a number as it stands in a sheet of its region, and the libraries do the whole job of an importer:
//! parse, judge, and write as E.164. See `docs/adr/0004-phone-number-library.md`.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rivvi_core::domain::{E164, Region};
use rivvi_core::policy::zone::zones_of;

/// A notation, its text and the region it is read in. The numbers are made up.
const ROWS: [(&str, &str, &str); 6] = [
    ("local", "(212) 555-0123", "US"),
    ("bare", "542345678", "IL"),
    ("international", "+972 54-234-5678", "IL"),
    ("prefix", "00972542345678", "IL"),
    ("abroad", "+44 20 7946 0123", "DE"),
    ("invalid", "054-1234567", "IL"),
];

fn number_parsing(criterion: &mut Criterion) {
    for (notation, text, region) in ROWS {
        let mut group = criterion.benchmark_group(format!("number_parsing/{notation}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("rlibphonenumber", |bencher| {
            let region = rlibphonenumber::Region::from_code(region).ok();
            bencher.iter(|| {
                let number = rlibphonenumber::PHONE_NUMBER_UTIL.parse(black_box(text), region).ok()?;
                let format = rlibphonenumber::PhoneNumberFormat::E164;
                number.is_valid().then(|| number.format_as(format).into_owned())
            });
        });
        group.bench_function("phonenumber", |bencher| {
            let region = region.parse::<phonenumber::country::Id>().ok();
            bencher.iter(|| {
                let number = phonenumber::parse(region, black_box(text)).ok()?;
                number.is_valid().then(|| number.format().mode(phonenumber::Mode::E164).to_string())
            });
        });
        group.bench_function("rivvi", |bencher| {
            let Ok(region) = Region::new(region) else { return };
            bencher.iter(|| E164::parse(black_box(text), region));
        });
    }
}

fn zones(criterion: &mut Criterion) {
    for (place, digits) in
        [("israel", 972_542_345_678), ("new_york", 12_125_550_123), ("australia", 61_412_345_678)]
    {
        if let Some(number) = E164::from_digits(digits) {
            criterion.bench_function(&format!("zones_of/{place}"), |bencher| {
                bencher.iter(|| zones_of(black_box(number)));
            });
        }
    }
}

criterion_group!(benches, number_parsing, zones);
criterion_main!(benches);
