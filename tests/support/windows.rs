//! Calling windows that open for three minutes out of four, so that a run of minutes meets many ends of windows.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

#[derive(Debug)]
pub(crate) struct Windows {
    /// In the campaign's notation.
    pub(crate) text: String,
}

const PERIOD_MINUTES: i64 = 4;
const OPEN_MINUTES: i64 = 3;

/// Where contacts live: some hours apart, and two minutes by the period, so that somebody may always be called.
const ZONES: [Tz; 2] = [Tz::Asia__Jerusalem, Tz::Asia__Kolkata];

/// The zone of a row of a sheet.
pub(crate) fn zone_of(row: u64) -> Tz {
    ZONES[usize::from(row % 2 == 1)]
}

impl Windows {
    /// Those from an hour before now until an hour after this span, in both zones.
    pub(crate) fn around(now: DateTime<Utc>, span: TimeDelta) -> Self {
        let mut text = String::new();
        for zone in ZONES {
            let local = now.with_timezone(&zone).naive_local() - TimeDelta::hours(1);
            let minutes = local.time().signed_duration_since(NaiveTime::MIN).num_minutes();
            let first = minutes - minutes % PERIOD_MINUTES;
            for period in 0..(span.num_minutes() + 120) / PERIOD_MINUTES {
                let from = (first + period * PERIOD_MINUTES) % (24 * 60);
                let clock = |minutes: i64| format!("{:02}:{:02}", minutes / 60, minutes % 60);
                text.push_str(&format!(
                    "[[windows]]\ndays = [\"sun\", \"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\"]\n\
                     from = \"{}\"\nto = \"{}\"\n",
                    clock(from),
                    clock(from + OPEN_MINUTES)
                ));
            }
        }
        Self { text }
    }

    /// Whether somebody in a row of a sheet may be called then.
    pub(crate) fn are_open(&self, at: DateTime<Utc>, row: u64) -> bool {
        let local = at.with_timezone(&zone_of(row)).time();
        let minutes = local.signed_duration_since(NaiveTime::MIN).num_minutes();
        minutes % PERIOD_MINUTES < OPEN_MINUTES
    }
}
