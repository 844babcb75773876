//! Spans of time as humans write them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, written `"15m"`, `"2h"`, `"2h30m"` or `"1d"`. A day is always 24 hours.
///
/// Reading accepts whatever [`humantime`](https://docs.rs/humantime) does; writing uses days, hours, minutes,
/// seconds and their decimal fractions, and what is written reads back as the same span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(Duration);

impl Span {
    /// Wraps a duration.
    pub const fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// A span of whole seconds.
    pub const fn from_secs(seconds: u32) -> Self {
        Self(Duration::from_secs(seconds as u64))
    }

    /// A span of whole minutes.
    pub const fn from_mins(minutes: u32) -> Self {
        Self::from_secs_of(minutes, 60)
    }

    /// A span of whole hours.
    pub const fn from_hours(hours: u32) -> Self {
        Self::from_secs_of(hours, 3_600)
    }

    /// A span of whole days of 24 hours.
    pub const fn from_days(days: u32) -> Self {
        Self::from_secs_of(days, 86_400)
    }

    /// The span as a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }

    const fn from_secs_of(count: u32, unit_secs: u64) -> Self {
        Self(Duration::from_secs(count as u64 * unit_secs))
    }
}

impl From<Duration> for Span {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.0
    }
}

/// Why a text is not a [`Span`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("expected a duration such as \"15m\", \"2h\" or \"1d\", not {text:?}: {reason}")]
pub struct SpanError {
    text: String,
    reason: humantime::DurationError,
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|reason| SpanError { text: text.to_owned(), reason })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let (secs, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        let parts = [
            (secs / 86_400, "d"),
            (secs / 3_600 % 24, "h"),
            (secs / 60 % 60, "m"),
            (secs % 60, "s"),
            (u64::from(nanos / 1_000_000), "ms"),
            (u64::from(nanos / 1_000 % 1_000), "us"),
            (u64::from(nanos % 1_000), "ns"),
        ];
        parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .try_for_each(|(count, unit)| write!(f, "{count}{unit}"))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(SpanVisitor)
    }
}

struct SpanVisitor;

impl serde::de::Visitor<'_> for SpanVisitor {
    type Value = Span;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"15m\", \"2h\" or \"1d\"")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Span, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_writes_what_humans_write() {
        for (text, secs, written) in [
            ("90s", 90, "1m30s"),
            ("15m", 900, "15m"),
            ("2h", 7_200, "2h"),
            ("2h30m", 9_000, "2h30m"),
            ("1h 30min", 5_400, "1h30m"),
            ("5d", 432_000, "5d"),
            ("0s", 0, "0s"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.duration(), Duration::from_secs(secs), "{text}");
            assert_eq!(span.to_string(), written);
        }
        assert_eq!(Span::from_mins(90), "1h30m".parse().unwrap());
        assert_eq!(Span::from_hours(36), "1d12h".parse().unwrap());
        assert_eq!(Span::from_days(2), "2d".parse().unwrap());
    }

    #[test]
    fn says_what_it_expects() {
        for json in ["\"soon\"", "\"15\"", "\"\"", "\"-5m\"", "15"] {
            let error = serde_json::from_str::<Span>(json).unwrap_err().to_string();
            assert!(error.contains("a duration such as \"15m\", \"2h\" or \"1d\""), "{json}: {error}");
        }
    }

    proptest! {
        #[test]
        fn written_spans_read_back(secs in 0..u64::from(u32::MAX), nanos in 0..1_000_000_000_u32) {
            let span = Span::new(Duration::new(secs, nanos));
            let json = serde_json::to_string(&span).unwrap();
            prop_assert_eq!(serde_json::from_str::<Span>(&json).unwrap(), span);
        }
    }
}
