//! Calling hours compiled to sorted ranges of wall time, in seconds.

use chrono::{NaiveDate, Weekday};

use super::hours::{CallingWindow, DateRange};
use super::wall::DAY;

/// A stretch of wall time, `since..until`, over which hours stay open or stay closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) open: bool,
    pub(super) since: i64,
    pub(super) until: i64,
}

/// The open seconds of a week that starts on Sunday at 00:00: disjoint, not touching, sorted. No range at all stands
/// for a week that never closes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Week(pub(super) Box<[(i64, i64)]>);

impl Week {
    const LENGTH: i64 = 7 * DAY;
    /// 1970-01-01 was a Thursday.
    const EPOCH: i64 = Weekday::Thu.num_days_from_sunday() as i64 * DAY;

    /// The union of all windows.
    pub(super) fn compile(windows: &[CallingWindow]) -> Self {
        let mut ranges = Vec::new();
        for window in windows {
            let from = i64::from(window.opens_at().minutes()) * 60;
            let to = i64::from(window.closes_at().minutes()) * 60;
            let length = (to - from).rem_euclid(DAY);
            let length = if length == 0 { DAY } else { length };
            for day in window.days().iter() {
                let opens = i64::from(day.num_days_from_sunday()) * DAY + from;
                let closes = opens + length;
                ranges.push((opens, closes.min(Self::LENGTH)));
                if closes > Self::LENGTH {
                    ranges.push((0, closes - Self::LENGTH));
                }
            }
        }
        match merge(ranges) {
            whole if *whole == [(0, Self::LENGTH)] => Self::default(),
            ranges => Self(ranges),
        }
    }

    /// The stretch that holds a wall time (seconds since 1970-01-01 00:00), cut off at the ends of its week.
    pub(super) fn stretch(&self, wall: i64) -> Stretch {
        if self.0.is_empty() {
            return Stretch { open: true, since: i64::MIN, until: i64::MAX };
        }
        let start = wall - (wall + Self::EPOCH).rem_euclid(Self::LENGTH);
        let within = between(&self.0, wall - start);
        Stretch {
            open: within.open,
            since: start + within.since.max(0),
            until: start + within.until.min(Self::LENGTH),
        }
    }
}

/// The blacked-out wall times: disjoint, not touching, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Blackouts(pub(super) Box<[(i64, i64)]>);

impl Blackouts {
    /// The union of all dates.
    pub(super) fn compile(dates: &[DateRange]) -> Self {
        let midnight = |date: NaiveDate| i64::from(date.to_epoch_days()) * DAY;
        Self(merge(
            dates.iter().map(|range| (midnight(range.first()), midnight(range.last()) + DAY)).collect(),
        ))
    }

    /// The stretch that holds a wall time; blacked-out times are not open.
    pub(super) fn stretch(&self, wall: i64) -> Stretch {
        let inside = between(&self.0, wall);
        Stretch { open: !inside.open, ..inside }
    }
}

/// Sorts half-open ranges and joins those that overlap or touch.
fn merge(mut ranges: Vec<(i64, i64)>) -> Box<[(i64, i64)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, last| {
        let joins = next.0 <= last.1;
        if joins {
            last.1 = last.1.max(next.1);
        }
        joins
    });
    ranges.into_boxed_slice()
}

/// The range that holds `point` (open), or the space between two ranges that does (not open).
fn between(ranges: &[(i64, i64)], point: i64) -> Stretch {
    let next = ranges.partition_point(|(_, end)| *end <= point);
    match ranges.get(next) {
        Some(&(since, until)) if since <= point => Stretch { open: true, since, until },
        after => Stretch {
            open: false,
            since: next.checked_sub(1).map_or(i64::MIN, |before| ranges[before].1),
            until: after.map_or(i64::MAX, |range| range.0),
        },
    }
}
