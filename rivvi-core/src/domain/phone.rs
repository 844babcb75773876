//! Phone numbers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A phone number in E.164 form (a plus sign and at most 15 digits), packed into eight bytes.
///
/// `Debug` is redacted and there is no `Display`: read it with [`E164::expose`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(u64);

impl E164 {
    /// The number from its digits without the plus sign; `None` if it has fewer than 7 or more than 15 digits.
    pub const fn from_digits(digits: u64) -> Option<Self> {
        if digits >= 1_000_000 && digits <= 999_999_999_999_999 { Some(Self(digits)) } else { None }
    }

    /// The digits without the plus sign.
    pub const fn digits(self) -> u64 {
        self.0
    }

    /// The number as it is dialled, for instance `+972501234567`. Never hand it to a log, an error or a metric.
    pub fn expose(self) -> String {
        format!("+{}", self.0)
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("E164(***)")
    }
}

impl Serialize for E164 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.expose())
    }
}

impl<'de> Deserialize<'de> for E164 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.strip_prefix('+')
            .and_then(|digits| digits.parse().ok())
            .and_then(Self::from_digits)
            .ok_or_else(|| serde::de::Error::custom("expected a number in E.164 form such as \"+972501234567\""))
    }
}

/// A region by its two-letter ISO 3166-1 code, used to read numbers written in local form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Region([u8; 2]);

/// Why a text is not a phone number. Carries no part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhoneError {
    /// Nothing that looks like a number.
    #[error("not a phone number")]
    NotANumber,
    /// The text could be a number but no such number exists.
    #[error("no valid number of its region")]
    Invalid,
}
