//! The next legal instant.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};
use rivvi_core::policy::day::{DaySet, TimeOfDay};
use rivvi_core::policy::hours::{CallingHours, CallingWindow, DateRange};
use rivvi_core::policy::window::{Constraint, is_legal, next_legal};

/// Numbers from an input; zeros after its end.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn long(&mut self) -> i64 {
        i64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// An instant: often within the years that matter, now and then anywhere.
    fn instant(&mut self) -> DateTime<Utc> {
        let seconds = match self.byte() {
            0..=200 => i64::from(self.short()) * 86_400 + i64::from(self.short()) * 2,
            _ => self.long(),
        };
        DateTime::from_timestamp(seconds, u32::from(self.byte())).unwrap_or_default()
    }

    fn time(&mut self) -> Option<TimeOfDay> {
        let minutes = self.short() % 1_441;
        TimeOfDay::new(minutes / 60, minutes % 60)
    }

    fn window(&mut self) -> Option<CallingWindow> {
        let days = self.byte();
        let week = [
            Weekday::Sun,
            Weekday::Mon,
            Weekday::Tue,
            Weekday::Wed,
            Weekday::Thu,
            Weekday::Fri,
            Weekday::Sat,
        ];
        let days: DaySet =
            week.into_iter().filter(|day| days & 1 << day.num_days_from_sunday() != 0).collect();
        CallingWindow::new(days, self.time()?, self.time()?).ok()
    }

    fn dates(&mut self, near: NaiveDate) -> Option<DateRange> {
        let first = near.checked_add_signed(TimeDelta::days(i64::from(self.byte()) - 20))?;
        DateRange::new(first, first.checked_add_signed(TimeDelta::days(i64::from(self.byte() % 40)))?).ok()
    }

    fn hours(&mut self, near: NaiveDate) -> CallingHours {
        let windows = (0..self.byte() % 5).filter_map(|_| self.window()).collect();
        let dates = (0..self.byte() % 4).filter_map(|_| self.dates(near)).collect();
        CallingHours::new(windows, dates)
    }
}

/// Up to four constraints in any zones. The answer is legal, nothing looked at before it is, and its end is exact.
pub(super) fn next(input: &[u8]) {
    let mut numbers = Numbers(input);
    let from = numbers.instant();
    let horizon = TimeDelta::days(i64::from(numbers.short()));
    let hours: Vec<(CallingHours, Tz)> = (0..numbers.byte() % 5)
        .map(|_| {
            (numbers.hours(from.date_naive()), TZ_VARIANTS[usize::from(numbers.short()) % TZ_VARIANTS.len()])
        })
        .collect();
    let constraints: Vec<_> = hours.iter().map(|(hours, zone)| Constraint { hours, zone: *zone }).collect();
    let found = next_legal(&constraints, from, horizon);
    let end = from.checked_add_signed(horizon).unwrap_or(DateTime::<Utc>::MAX_UTC);
    let before = found.map_or(end, |interval| interval.from);
    let step = ((before - from) / 50).max(TimeDelta::seconds(1));
    let mut at = from;
    while at < before {
        assert!(!is_legal(&constraints, at), "{at} is legal, too, before {before}");
        let Some(next) = at.checked_add_signed(step) else { break };
        at = next;
    }
    let Some(interval) = found else { return };
    assert!(interval.from >= from && interval.from <= end && is_legal(&constraints, interval.from));
    if let Some(until) = interval.until {
        assert!(until > interval.from && !is_legal(&constraints, until));
        let last = until - TimeDelta::seconds(1);
        assert!(last < interval.from || is_legal(&constraints, last));
    }
}
