//! Calling hours: weekly windows and blackout dates, compiled for fast answers.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::calendar::{Blackouts, Stretch, Week};
use super::day::{DaySet, TimeOfDay};
use super::wall::WallClock;

/// When calls may be made, on whichever wall clock it is held against: inside one of the weekly windows and not on
/// a blackout date.
///
/// Without windows every time of the week is open. A blackout date closes that calendar date from midnight to
/// midnight, also the part of it that a window of the evening before reaches into.
///
/// ```toml
/// windows = [
///     { days = ["sun", "mon", "tue", "wed", "thu"], from = "09:00", to = "20:30" },
///     { days = ["fri"], from = "09:00", to = "13:00" },
/// ]
/// blackout_dates = ["2026-09-21", { from = "2026-09-11", to = "2026-09-13" }]
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "HoursText", into = "HoursText")]
pub struct CallingHours {
    windows: Vec<CallingWindow>,
    blackout_dates: Vec<DateRange>,
    week: Week,
    blackouts: Blackouts,
}

impl CallingHours {
    /// Hours with these windows (none: always open) except on the blackout dates. Both may overlap and come in any
    /// order.
    pub fn new(windows: Vec<CallingWindow>, blackout_dates: Vec<DateRange>) -> Self {
        let week = Week::compile(&windows);
        let blackouts = Blackouts::compile(&blackout_dates);
        Self { windows, blackout_dates, week, blackouts }
    }

    /// Hours that never close.
    pub fn always() -> Self {
        Self::default()
    }

    /// The weekly windows as they were given; none means every time of the week.
    pub fn windows(&self) -> &[CallingWindow] {
        &self.windows
    }

    /// The blackout dates as they were given.
    pub fn blackout_dates(&self) -> &[DateRange] {
        &self.blackout_dates
    }

    /// Whether calls may be made at an instant, judged by the wall clock of `zone`.
    pub fn is_open(&self, at: DateTime<Utc>, zone: Tz) -> bool {
        let at = at.timestamp();
        self.stretch(at + WallClock::of(zone).offset(at)).open
    }

    /// What holds at a wall time (seconds since 1970-01-01 00:00 on the wall clock), and around it.
    pub(super) fn stretch(&self, wall: i64) -> Stretch {
        let dark = self.blackouts.stretch(wall);
        if !dark.open {
            return dark;
        }
        let week = self.week.stretch(wall);
        Stretch { open: week.open, since: week.since.max(dark.since), until: week.until.min(dark.until) }
    }
}

/// One weekly calling window: on these days from a time (inclusive) to a time (exclusive), on the contact's own
/// wall clock.
///
/// A window whose `from` is later than its `to` crosses midnight and belongs to the day it starts on:
/// `{ days = ["sat"], from = "22:00", to = "01:00" }` ends on Sunday at 01:00. `days` may be left out for every day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "WindowText", into = "WindowText")]
pub struct CallingWindow {
    days: DaySet,
    from: TimeOfDay,
    to: TimeOfDay,
}

impl CallingWindow {
    /// A window on `days` from `from` to `to`.
    pub fn new(days: DaySet, from: TimeOfDay, to: TimeOfDay) -> Result<Self, HoursError> {
        if days.is_empty() {
            return Err(HoursError::NoDays);
        }
        if from == to {
            return Err(HoursError::EmptyWindow { at: from });
        }
        if from == TimeOfDay::END_OF_DAY {
            return Err(HoursError::StartsAtEndOfDay);
        }
        Ok(Self { days, from, to })
    }

    /// The days the window starts on.
    pub fn days(&self) -> DaySet {
        self.days
    }

    /// When it opens.
    pub fn opens_at(&self) -> TimeOfDay {
        self.from
    }

    /// When it closes; earlier than `opens_at` if the window crosses midnight.
    pub fn closes_at(&self) -> TimeOfDay {
        self.to
    }
}

/// Calendar dates from a first to a last one, both included. Written as one date, `"2026-12-25"`, or as a range,
/// `{ from = "2026-12-24", to = "2026-12-26" }`; in TOML the quotes may be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "DatesText", into = "DatesText")]
pub struct DateRange {
    from: NaiveDate,
    to: NaiveDate,
}

impl DateRange {
    /// The dates from `from` to `to`, both included.
    pub fn new(from: NaiveDate, to: NaiveDate) -> Result<Self, HoursError> {
        if from <= to { Ok(Self { from, to }) } else { Err(HoursError::ReversedDates { from, to }) }
    }

    /// A single date.
    pub fn day(date: NaiveDate) -> Self {
        Self { from: date, to: date }
    }

    /// The first date.
    pub fn first(&self) -> NaiveDate {
        self.from
    }

    /// The last date.
    pub fn last(&self) -> NaiveDate {
        self.to
    }

    /// Whether a date is one of these.
    pub fn contains(&self, date: NaiveDate) -> bool {
        (self.from..=self.to).contains(&date)
    }
}

/// Why something is not a window or a range of dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HoursError {
    /// The window is on no day.
    #[error("a window on no day never opens: leave `days` out for every day")]
    NoDays,
    /// The window ends when it starts.
    #[error("a window from {at} to {at} is empty: for the whole day write from = \"00:00\", to = \"24:00\"")]
    EmptyWindow {
        /// The time given for both.
        at: TimeOfDay,
    },
    /// The window starts at `24:00`.
    #[error("a window cannot start at 24:00: start it at 00:00 of the next day")]
    StartsAtEndOfDay,
    /// The first date is after the last one.
    #[error("the dates run backwards: {from} is after {to}")]
    ReversedDates {
        /// The date given as the first.
        from: NaiveDate,
        /// The date given as the last.
        to: NaiveDate,
    },
    /// The text is no date.
    #[error("expected a date such as \"2026-12-25\"")]
    NotADate,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename = "CallingHours", deny_unknown_fields, default)]
struct HoursText {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    windows: Vec<CallingWindow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blackout_dates: Vec<DateRange>,
}

impl From<HoursText> for CallingHours {
    fn from(text: HoursText) -> Self {
        Self::new(text.windows, text.blackout_dates)
    }
}

impl From<CallingHours> for HoursText {
    fn from(hours: CallingHours) -> Self {
        Self { windows: hours.windows, blackout_dates: hours.blackout_dates }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "CallingWindow", deny_unknown_fields)]
struct WindowText {
    #[serde(default = "every_day", skip_serializing_if = "is_every_day")]
    days: DaySet,
    from: TimeOfDay,
    to: TimeOfDay,
}

fn every_day() -> DaySet {
    DaySet::EVERY
}

fn is_every_day(days: &DaySet) -> bool {
    *days == DaySet::EVERY
}

impl TryFrom<WindowText> for CallingWindow {
    type Error = HoursError;

    fn try_from(text: WindowText) -> Result<Self, HoursError> {
        Self::new(text.days, text.from, text.to)
    }
}

impl From<CallingWindow> for WindowText {
    fn from(CallingWindow { days, from, to }: CallingWindow) -> Self {
        Self { days, from, to }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a date such as \"2026-12-25\" or { from = \"2026-12-24\", to = \"2026-12-26\" }"
)]
enum DatesText {
    Day(DateText),
    Range(RangeText),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeText {
    from: DateText,
    to: DateText,
}

/// A date as text, or as the native date TOML has.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum DateText {
    Text(NaiveDate),
    Toml(toml::value::Datetime),
}

impl TryFrom<DateText> for NaiveDate {
    type Error = HoursError;

    fn try_from(text: DateText) -> Result<Self, HoursError> {
        match text {
            DateText::Text(date) => Ok(date),
            DateText::Toml(toml::value::Datetime { date: Some(date), time: None, .. }) => {
                Self::from_ymd_opt(i32::from(date.year), u32::from(date.month), u32::from(date.day))
                    .ok_or(HoursError::NotADate)
            }
            DateText::Toml(_) => Err(HoursError::NotADate),
        }
    }
}

impl TryFrom<DatesText> for DateRange {
    type Error = HoursError;

    fn try_from(text: DatesText) -> Result<Self, HoursError> {
        match text {
            DatesText::Day(date) => Ok(Self::day(date.try_into()?)),
            DatesText::Range(RangeText { from, to }) => Self::new(from.try_into()?, to.try_into()?),
        }
    }
}

impl From<DateRange> for DatesText {
    fn from(DateRange { from, to }: DateRange) -> Self {
        let (from_text, to_text) = (DateText::Text(from), DateText::Text(to));
        if from == to {
            Self::Day(from_text)
        } else {
            Self::Range(RangeText { from: from_text, to: to_text })
        }
    }
}

#[cfg(test)]
mod tests;
