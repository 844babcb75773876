//! Calling windows: is this instant legal, and when is the next one that is.
//!
//! The hours are those of an ordinary campaign, two weekly patterns and ten blackout dates. The contact either has
//! one zone or is ambiguous among the five of the United States.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]
#![allow(missing_docs)]

use std::hint::black_box;

use chrono::{DateTime, Days, NaiveDate, Utc, Weekday};
use chrono_tz::Tz;
use criterion::{Criterion, criterion_group, criterion_main};
use rivvi_core::policy::day::DaySet;
use rivvi_core::policy::hours::{CallingHours, CallingWindow, DateRange};
use rivvi_core::policy::window::{Constraint, HORIZON, is_legal, next_legal};

const ZONES: [Tz; 5] = [
    Tz::America__New_York,
    Tz::America__Chicago,
    Tz::America__Denver,
    Tz::America__Los_Angeles,
    Tz::Pacific__Honolulu,
];

fn hours() -> CallingHours {
    let window =
        |days, from: &str, to: &str| CallingWindow::new(days, from.parse().unwrap(), to.parse().unwrap());
    let weekend = DaySet::NONE.with(Weekday::Sat).with(Weekday::Sun);
    let workdays = DaySet::EVERY.iter().filter(|day| !weekend.contains(*day)).collect();
    let windows =
        vec![window(workdays, "09:00", "20:30").unwrap(), window(weekend, "11:00", "18:00").unwrap()];
    let holiday = |month| DateRange::day(NaiveDate::from_ymd_opt(2026, month, 1).unwrap() + Days::new(3));
    CallingHours::new(windows, (1..=10).map(holiday).collect())
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn window(c: &mut Criterion) {
    let (hours, always) = (hours(), CallingHours::always());
    let constraints = ZONES.map(|zone| Constraint { hours: &hours, zone });
    let unbound = ZONES.map(|zone| Constraint { hours: &always, zone });
    // A Tuesday: 16:00 in New York and 10:00 in Honolulu; then 23:00 and 17:00.
    let (open, closed) = (at("2026-05-12T20:00:00Z"), at("2026-05-13T03:00:00Z"));
    // Saturday 23:00 in New York, clocks change in the night.
    let changing = at("2026-11-01T03:00:00Z");
    assert!(is_legal(&constraints, open) && !is_legal(&constraints[..1], closed));

    let mut group = c.benchmark_group("is_legal");
    group.bench_function("one zone", |b| b.iter(|| is_legal(black_box(&constraints[..1]), black_box(open))));
    group.bench_function("five zones", |b| b.iter(|| is_legal(black_box(&constraints), black_box(open))));
    group.finish();

    let mut group = c.benchmark_group("next_legal");
    let mut case = |name: &str, constraints: &[Constraint<'_>], from: DateTime<Utc>| {
        group.bench_function(name, |b| {
            b.iter(|| next_legal(black_box(constraints), black_box(from), HORIZON).unwrap());
        });
    };
    case("always open", &unbound, open);
    case("open, one zone", &constraints[..1], open);
    case("open, five zones", &constraints, open);
    case("closed, one zone", &constraints[..1], closed);
    case("closed, five zones", &constraints, closed);
    case("over a clock change, one zone", &constraints[..1], changing);
    case("over a clock change, five zones", &constraints, changing);
    group.finish();

    // Two hours that never meet: the search goes all the way to the horizon.
    let never = ["09:00-12:00", "13:00-15:00"].map(|text| {
        let (from, to) = text.split_once('-').unwrap();
        let window = CallingWindow::new(DaySet::EVERY, from.parse().unwrap(), to.parse().unwrap()).unwrap();
        CallingHours::new(vec![window], Vec::new())
    });
    let never = [0, 1].map(|one| Constraint { hours: &never[one], zone: Tz::America__New_York });
    c.bench_function("next_legal/never, 400 days", |b| {
        b.iter(|| next_legal(black_box(&never), black_box(open), HORIZON));
    });
}

criterion_group!(benches, window);
criterion_main!(benches);
