//! A zone's wall clock as arithmetic over whole seconds.
//!
//! Between two changes of a zone's offset, wall time and UTC run in step. Everything here works on such steady
//! stretches, so daylight-saving gaps and folds, half-hour shifts and skipped days need no cases of their own.

use chrono::{DateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// Seconds in a day of 24 hours.
pub(super) const DAY: i64 = 86_400;

/// No zone keeps an offset for a shorter time than this. A test scans the zone database for it from 1970 on; the
/// shortest time ever was a little under four days (Freetown, 1939).
pub(super) const SHORTEST_STEADY: i64 = 3 * DAY;

/// Twice the largest offset any zone ever had (Manila, nearly -16 h), rounded up: two wall clock readings are never
/// further apart than the instants they belong to plus this.
pub(super) const LARGEST_SHIFT: i64 = 2 * DAY;

/// The wall clock of one zone. Instants are seconds since the epoch; wall times are seconds since 1970-01-01 00:00
/// on that clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock {
    zone: Tz,
}

impl WallClock {
    /// The wall clock of a zone.
    pub(super) fn of(zone: Tz) -> Self {
        Self { zone }
    }

    /// Wall time minus UTC at an instant, in seconds.
    pub(super) fn offset(self, at: i64) -> i64 {
        let utc = instant(at).unwrap_or(DateTime::<Utc>::MAX_UTC).naive_utc();
        i64::from(self.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
    }

    /// The calendar date at an instant, in days since 1970-01-01.
    pub(super) fn date(self, at: i64) -> i64 {
        (at + self.offset(at)).div_euclid(DAY)
    }

    /// The first instant after `at` with another calendar date than `at`.
    pub(super) fn next_date(self, at: i64) -> i64 {
        let date = self.date(at);
        let mut next = at;
        while self.date(next) == date {
            let offset = self.offset(next);
            next = self.steady_until(next, offset, (date + 1) * DAY - (next + offset));
        }
        next
    }

    /// The latest instant up to which the clock provably keeps the `offset` it has at `at`, without looking further
    /// than `reach` (positive) seconds ahead. Always after `at`; an answer short of `at + reach` is either the exact
    /// instant of a change or a place to look on from.
    pub(super) fn steady_until(self, at: i64, offset: i64, reach: i64) -> i64 {
        let end = at + reach.min(SHORTEST_STEADY);
        if self.offset(end) == offset { end } else { self.change_between(at, end, offset) }
    }

    /// The instant in `(before, after]` at which the offset stops being `offset`, found by bisection.
    fn change_between(self, mut before: i64, mut after: i64, offset: i64) -> i64 {
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.offset(middle) == offset { before = middle } else { after = middle }
        }
        after
    }
}

/// The instant a number of seconds after the epoch, if chrono can represent it.
pub(super) fn instant(at: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at, 0)
}

#[cfg(test)]
mod tests {
    use chrono_tz::TZ_VARIANTS;

    use super::*;

    fn utc(text: &str) -> i64 {
        text.parse::<DateTime<Utc>>().unwrap().timestamp()
    }

    #[test]
    fn the_constants_hold_for_the_whole_zone_database() {
        for zone in TZ_VARIANTS {
            let clock = WallClock::of(zone);
            let earliest = clock.offset(utc("1800-01-01T00:00:00Z"));
            assert!(2 * earliest.abs() <= LARGEST_SHIFT, "{zone} was {earliest} s from UTC");
            let mut day = utc("1970-01-01T00:00:00Z");
            let (mut offset, mut changed) = (clock.offset(day), None);
            while day < utc("2040-01-01T00:00:00Z") {
                day += DAY;
                let now = clock.offset(day);
                if now == offset {
                    continue;
                }
                let change = clock.change_between(day - DAY, day, offset);
                if let Some(last) = changed {
                    assert!(change - last > SHORTEST_STEADY, "{zone} changed at {last} and at {change}");
                }
                assert!(2 * now.abs().max(offset.abs()) <= LARGEST_SHIFT, "{zone} is {now} s from UTC");
                (offset, changed) = (now, Some(change));
            }
        }
    }

    #[test]
    fn finds_changes_to_the_second() {
        for (zone, around, change) in [
            (Tz::America__New_York, "2026-03-07T12:00:00Z", "2026-03-08T07:00:00Z"),
            (Tz::Asia__Jerusalem, "2026-03-26T00:00:00Z", "2026-03-27T00:00:00Z"),
            (Tz::Australia__Lord_Howe, "2026-04-04T00:00:00Z", "2026-04-04T15:00:00Z"),
            (Tz::Pacific__Apia, "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z"),
            (Tz::Europe__Dublin, "1916-10-01T00:00:00Z", "1916-10-01T02:25:21Z"),
        ] {
            let (clock, around) = (WallClock::of(zone), utc(around));
            let found = clock.steady_until(around, clock.offset(around), 2 * DAY);
            assert_eq!(instant(found), instant(utc(change)), "{zone}");
        }
    }

    #[test]
    fn dates_end_where_the_wall_clock_says() {
        for (zone, at, next) in [
            (Tz::Asia__Kathmandu, "2026-05-01T00:00:00Z", "2026-05-01T18:15:00Z"),
            // A day of 25 hours.
            (Tz::America__New_York, "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
            // Samoa went from the 29th straight to the 31st.
            (Tz::Pacific__Apia, "2011-12-29T20:00:00Z", "2011-12-30T10:00:00Z"),
            // At 00:01 the clocks of Goose Bay went back into the day before, which then ended a second time.
            (Tz::America__Goose_Bay, "2008-11-02T02:30:00Z", "2008-11-02T03:00:00Z"),
            (Tz::America__Goose_Bay, "2008-11-02T03:00:00Z", "2008-11-02T03:01:00Z"),
            (Tz::America__Goose_Bay, "2008-11-02T03:01:00Z", "2008-11-02T04:00:00Z"),
        ] {
            assert_eq!(instant(WallClock::of(zone).next_date(utc(at))), instant(utc(next)), "{zone} {at}");
        }
    }
}
