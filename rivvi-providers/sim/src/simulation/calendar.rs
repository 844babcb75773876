//! What of the calendar a world has met.

use chrono::{DateTime, Datelike, Offset, TimeDelta, Utc};

use super::setting::ZONES;

/// How often clocks were set forward or back in a zone, a year ended, and a leap day came.
pub(super) fn met(from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<(&'static str, u64)> {
    let mut met = Vec::new();
    for day in (0..(to - from).num_days()).map(|day| from + TimeDelta::days(day)) {
        let next = day + TimeDelta::days(1);
        for zone in ZONES {
            let offset = |at: DateTime<Utc>| at.with_timezone(&zone).offset().fix().local_minus_utc();
            match offset(next) - offset(day) {
                0 => {}
                change if change > 0 => met.push(("clock set forward", 1)),
                _ => met.push(("clock set back", 1)),
            }
        }
        if day.year() != next.year() {
            met.push(("end of a year", 1));
        }
        if (day.month(), day.day()) == (2, 29) {
            met.push(("leap day", 1));
        }
    }
    met
}
