//! Attempt caps: how often one number may be tried, over all runs of an organization.

use std::fmt;
use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize};

use super::wall::{WallClock, instant};

/// From its first instant to its last, no calendar date has taken longer than this on any wall clock: 24 hours and
/// the time that clocks went back, which was at most another 24 (Alaska in 1867, to the other side of the date line).
const LONGEST_DATE: TimeDelta = TimeDelta::hours(50);

/// How many attempts a number may get. All caps given must hold; the default caps nothing.
///
/// ```toml
/// lifetime = 10
/// per_day = 2
/// rolling = { attempts = 3, hours = 24 }
/// ```
///
/// Three solicitations in 24 hours, as the Florida Telemarketing Act allows (Fla. Stat. § 501.616(6)(b)), are
/// `rolling = { attempts = 3, hours = 24 }`. Seven calls in seven days, beyond which US Regulation F presumes that a
/// debt collector harasses (12 CFR 1006.14(b)(2)(i)), are `rolling = { attempts = 7, days = 7 }`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Attempts ever.
    #[serde(deserialize_with = "optional_cap", skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<NonZeroU32>,
    /// Attempts per calendar day of the contact's own zone.
    #[serde(deserialize_with = "optional_cap", skip_serializing_if = "Option::is_none")]
    pub per_day: Option<NonZeroU32>,
    /// Attempts within any period of a given length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolling: Option<RollingCap>,
}

impl Caps {
    /// Whether a number with this history may be attempted at `now`, and if not, when.
    ///
    /// `zones` are all the zones the contact may be in; the day cap must hold in every one of them. Without any zone
    /// the day is unknown, and the cap holds for every 50 hours, longer than any calendar day.
    ///
    /// Attempts later than `now`, as a node whose clock runs ahead records them, count like those before.
    pub fn check(&self, history: &AttemptHistory<'_>, now: DateTime<Utc>, zones: &[Tz]) -> CapVerdict {
        if self.lifetime.is_some_and(|cap| history.total >= cap.get()) {
            return CapVerdict::Never { cap: CapKind::Lifetime };
        }
        let mut verdict = CapVerdict::Within;
        let mut at = now;
        // Every cap in turn puts the attempt off to the first instant it allows, until none has anything against it.
        while let Some((later, cap)) = self.put_off(history.recent, at, zones) {
            at = later;
            verdict = CapVerdict::Until { at, cap };
        }
        verdict
    }

    /// How far back the instants of attempts must be known for an answer at `now`: all after this instant. `None` if
    /// the total is enough.
    pub fn history_needed(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let per_day = self.per_day.map(|_| LONGEST_DATE);
        let rolling = self.rolling.map(|cap| cap.period.length());
        let longest = per_day.max(rolling)?;
        Some(now.checked_sub_signed(longest).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    /// The next instant worth a look if one of the caps forbids an attempt at `at`, and that cap.
    fn put_off(
        &self,
        attempts: &[DateTime<Utc>],
        at: DateTime<Utc>,
        zones: &[Tz],
    ) -> Option<(DateTime<Utc>, CapKind)> {
        let rolling =
            self.rolling.and_then(|cap| within_period(cap.attempts, cap.period.length(), attempts, at));
        let per_day = || {
            let cap = self.per_day?;
            if zones.is_empty() {
                return within_period(cap, LONGEST_DATE, attempts, at);
            }
            zones.iter().find_map(|zone| within_date(cap, WallClock::of(*zone), attempts, at))
        };
        let rolling = rolling.map(|later| (later, CapKind::Rolling));
        rolling.or_else(|| per_day().map(|later| (later, CapKind::PerDay)))
    }
}

/// At most so many attempts in any period of this length. The period is half-open: an attempt exactly its length ago
/// no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RollingText", into = "RollingText")]
pub struct RollingCap {
    /// Attempts within the period.
    pub attempts: NonZeroU32,
    /// The length of the period.
    pub period: RollingPeriod,
}

/// The length of the period of a [`RollingCap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RollingPeriod {
    /// Hours.
    Hours(NonZeroU32),
    /// Days of 24 hours, whatever the calendar says.
    Days(NonZeroU32),
}

impl RollingPeriod {
    /// The period as a time difference.
    pub fn length(self) -> TimeDelta {
        match self {
            Self::Hours(hours) => TimeDelta::hours(i64::from(hours.get())),
            Self::Days(days) => TimeDelta::days(i64::from(days.get())),
        }
    }
}

/// What is known of the earlier attempts to a number: those that count, by whatever rule the caller has for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptHistory<'a> {
    /// How many there ever were.
    pub total: u32,
    /// The instants of the recent ones, ascending: at least all after [`Caps::history_needed`].
    pub recent: &'a [DateTime<Utc>],
}

impl<'a> AttemptHistory<'a> {
    /// A history known in full, from its instants in ascending order.
    pub fn complete(instants: &'a [DateTime<Utc>]) -> Self {
        Self { total: u32::try_from(instants.len()).unwrap_or(u32::MAX), recent: instants }
    }
}

/// What the caps say to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapVerdict {
    /// All caps allow it.
    Within,
    /// Not now, but from an instant on.
    Until {
        /// The first instant at which all caps allow it, unless there are attempts in between.
        at: DateTime<Utc>,
        /// The cap that forbids it the longest.
        cap: CapKind,
    },
    /// Not now and at no later time.
    Never {
        /// The cap that forbids it.
        cap: CapKind,
    },
}

/// One of the [`Caps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CapKind {
    /// Attempts ever.
    Lifetime,
    /// Attempts per calendar day.
    PerDay,
    /// Attempts within a rolling period.
    Rolling,
}

impl fmt::Display for CapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lifetime => "lifetime cap",
            Self::PerDay => "cap per day",
            Self::Rolling => "rolling cap",
        })
    }
}

/// If a cap on the period that ends at `at` is reached: the instant at which enough attempts have left it.
fn within_period(
    cap: NonZeroU32,
    length: TimeDelta,
    attempts: &[DateTime<Utc>],
    at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    // With this attempt and all after it in the period, the cap is reached.
    let decisive = attempts[attempts.len().checked_sub(cap.get() as usize)?];
    let leaves = decisive.checked_add_signed(length).unwrap_or(DateTime::<Utc>::MAX_UTC);
    (leaves > at).then_some(leaves)
}

/// If a cap on the calendar date at `at` is reached: the instant at which the next date begins.
fn within_date(
    cap: NonZeroU32,
    clock: WallClock,
    attempts: &[DateTime<Utc>],
    at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if attempts.len() < cap.get() as usize {
        return None;
    }
    let date = clock.date(at.timestamp());
    let same_date = attempts
        .iter()
        .rev()
        .take_while(|attempt| at.signed_duration_since(**attempt) < LONGEST_DATE)
        .filter(|attempt| clock.date(attempt.timestamp()) == date)
        .take(cap.get() as usize);
    let reached = same_date.count() == cap.get() as usize;
    let next_date = || instant(clock.next_date(at.timestamp())).unwrap_or(DateTime::<Utc>::MAX_UTC);
    reached.then(next_date).filter(|next| *next > at)
}

fn optional_cap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<NonZeroU32>, D::Error> {
    let Some(cap) = Option::<u32>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let zero = || serde::de::Error::custom("a cap of 0 would forbid every attempt: leave it out for no cap");
    NonZeroU32::new(cap).map(Some).ok_or_else(zero)
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "RollingCap", deny_unknown_fields)]
struct RollingText {
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u32>,
}

impl TryFrom<RollingText> for RollingCap {
    type Error = &'static str;

    fn try_from(text: RollingText) -> Result<Self, &'static str> {
        let attempts = NonZeroU32::new(text.attempts)
            .ok_or("a cap of 0 attempts would forbid every attempt: leave it out for no cap")?;
        let length =
            |count| NonZeroU32::new(count).ok_or("a rolling period must be at least 1 hour or 1 day long");
        let period = match (text.hours, text.days) {
            (Some(hours), None) => RollingPeriod::Hours(length(hours)?),
            (None, Some(days)) => RollingPeriod::Days(length(days)?),
            _ => return Err("a rolling cap needs either `hours` or `days`, and not both"),
        };
        Ok(Self { attempts, period })
    }
}

impl From<RollingCap> for RollingText {
    fn from(cap: RollingCap) -> Self {
        let (hours, days) = match cap.period {
            RollingPeriod::Hours(hours) => (Some(hours.get()), None),
            RollingPeriod::Days(days) => (None, Some(days.get())),
        };
        Self { attempts: cap.attempts.get(), hours, days }
    }
}

#[cfg(test)]
mod tests;
