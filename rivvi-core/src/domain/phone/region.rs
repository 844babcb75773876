//! Regions.

use std::fmt;
use std::str::FromStr;

use rlibphonenumber::PHONE_NUMBER_UTIL;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A region by its two-letter ISO 3166-1 code, used to read numbers written in local form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region([u8; 2]);

impl Region {
    /// The region with this code in either case, if its numbering plan is known.
    ///
    /// # Errors
    ///
    /// [`UnknownRegion`] for anything else, such as a calling code or a country's name.
    pub fn new(code: &str) -> Result<Self, UnknownRegion> {
        let [first, second] = *code.as_bytes() else {
            return Err(UnknownRegion);
        };
        let region = rlibphonenumber::Region::from_code(code).map_err(|_| UnknownRegion)?;
        PHONE_NUMBER_UTIL.get_country_code_for_region(region).ok_or(UnknownRegion)?;
        Ok(Self([first.to_ascii_uppercase(), second.to_ascii_uppercase()]))
    }

    /// The code in upper case.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Region {
    type Err = UnknownRegion;

    fn from_str(code: &str) -> Result<Self, UnknownRegion> {
        Self::new(code)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Region({})", self.as_str())
    }
}

impl Serialize for Region {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Region {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::new(&code).map_err(serde::de::Error::custom)
    }
}

/// The text is not the code of a region whose numbering plan is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a two-letter region code with a known numbering plan, such as \"IL\" or \"US\"")]
pub struct UnknownRegion;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read_in_either_case() {
        let region = Region::new("il").unwrap();
        assert_eq!(
            (region.as_str(), format!("{region}"), format!("{region:?}")),
            ("IL", "IL".into(), "Region(IL)".into())
        );
        assert_eq!("IL".parse(), Ok(region));
        assert_eq!(serde_json::to_string(&region).unwrap(), "\"IL\"");
        assert_eq!(serde_json::from_str::<Region>("\"iL\"").unwrap(), region);
        for code in ["", "I", "ISR", "972", "001", "ZZ", "AQ", "é"] {
            assert_eq!(Region::new(code), Err(UnknownRegion), "{code}");
        }
    }
}
