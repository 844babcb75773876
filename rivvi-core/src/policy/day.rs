//! Days of the week and times of day, as a human writes them into a configuration.

use std::fmt;
use std::str::FromStr;

use chrono::Weekday;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The days of the week, Sunday first, with the names they are written by.
const WEEK: [(Weekday, &str); 7] = [
    (Weekday::Sun, "sun"),
    (Weekday::Mon, "mon"),
    (Weekday::Tue, "tue"),
    (Weekday::Wed, "wed"),
    (Weekday::Thu, "thu"),
    (Weekday::Fri, "fri"),
    (Weekday::Sat, "sat"),
];

/// A set of days of the week, written `["sun", "mon"]`. Reading also accepts full names, in any case.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct DaySet(u8);

impl DaySet {
    /// No day.
    pub const NONE: Self = Self(0);
    /// All seven days.
    pub const EVERY: Self = Self(0b111_1111);

    /// This set and one more day.
    pub const fn with(self, day: Weekday) -> Self {
        Self(self.0 | 1 << day.num_days_from_sunday())
    }

    /// Whether a day is in the set.
    pub const fn contains(self, day: Weekday) -> bool {
        self.0 & 1 << day.num_days_from_sunday() != 0
    }

    /// Whether no day is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The days of the set, Sunday first.
    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        WEEK.into_iter().map(|(day, _)| day).filter(move |day| self.contains(*day))
    }
}

impl FromIterator<Weekday> for DaySet {
    fn from_iter<I: IntoIterator<Item = Weekday>>(days: I) -> Self {
        days.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Debug for DaySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Serialize for DaySet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(WEEK.iter().filter(|(day, _)| self.contains(*day)).map(|(_, name)| name))
    }
}

impl<'de> Deserialize<'de> for DaySet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(DaySetVisitor)
    }
}

struct DaySetVisitor;

impl<'de> Visitor<'de> for DaySetVisitor {
    type Value = DaySet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of weekdays such as [\"sun\", \"mon\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<DaySet, A::Error> {
        let mut days = DaySet::NONE;
        while let Some(name) = names.next_element::<String>()? {
            let day = name.parse().map_err(|_| {
                de::Error::custom(format_args!(
                    "unknown weekday {name:?}: expected \"sun\", \"mon\", \"tue\", \"wed\", \"thu\", \"fri\" or \"sat\""
                ))
            })?;
            days = days.with(day);
        }
        Ok(days)
    }
}

/// A time of day to the minute, from `00:00` up to and including `24:00`, the end of the day.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// `00:00`, the start of the day.
    pub const START_OF_DAY: Self = Self(0);
    /// `24:00`, the end of the day.
    pub const END_OF_DAY: Self = Self(24 * 60);

    /// A time from hours and minutes; `None` past `24:00` or from 60 minutes on.
    pub const fn new(hour: u16, minute: u16) -> Option<Self> {
        if hour < 24 && minute < 60 || hour == 24 && minute == 0 {
            Some(Self(hour * 60 + minute))
        } else {
            None
        }
    }

    /// Minutes since the start of the day, 0 to 1440.
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

/// Why a text is not a [`TimeOfDay`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time from \"00:00\" to \"24:00\" such as \"09:30\", not {text:?}")]
pub struct TimeOfDayError {
    text: String,
}

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let two_digits = |part: &str| match part.as_bytes() {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
                Some(u16::from(tens - b'0') * 10 + u16::from(ones - b'0'))
            }
            _ => None,
        };
        text.split_once(':')
            .and_then(|(hour, minute)| Self::new(two_digits(hour)?, two_digits(minute)?))
            .ok_or_else(|| TimeOfDayError { text: text.to_owned() })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl fmt::Debug for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TimeOfDay {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TimeOfDayVisitor)
    }
}

struct TimeOfDayVisitor;

impl Visitor<'_> for TimeOfDayVisitor {
    type Value = TimeOfDay;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time of day such as \"09:30\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TimeOfDay, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_read_short_and_full_names_in_any_case() {
        let days: DaySet = serde_json::from_str(r#"["MON", "sunday", "Fri", "mon"]"#).unwrap();
        assert_eq!(days, [Weekday::Sun, Weekday::Mon, Weekday::Fri].into_iter().collect());
        assert_eq!(serde_json::to_string(&days).unwrap(), r#"["sun","mon","fri"]"#);
        assert_eq!(format!("{days:?}"), "{Sun, Mon, Fri}");
        assert_eq!(DaySet::EVERY.iter().count(), 7);
        assert!(DaySet::default().is_empty());
    }

    #[test]
    fn an_unknown_day_is_named_in_the_error() {
        let error = serde_json::from_str::<DaySet>(r#"["funday"]"#).unwrap_err().to_string();
        assert!(error.contains("unknown weekday \"funday\": expected \"sun\""), "{error}");
    }

    #[test]
    fn times_read_and_write_two_digits_each() {
        for (text, minutes) in [("00:00", 0), ("09:05", 545), ("23:59", 1439), ("24:00", 1440)] {
            let time: TimeOfDay = text.parse().unwrap();
            assert_eq!(time.minutes(), minutes);
            assert_eq!(time.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in ["24:01", "25:00", "12:60", "9:00", "0900", "09:00:00", "+9:00", "", "noon"] {
            let error = text.parse::<TimeOfDay>().unwrap_err().to_string();
            assert!(error.starts_with("expected a time from \"00:00\" to \"24:00\""), "{error}");
        }
    }
}
