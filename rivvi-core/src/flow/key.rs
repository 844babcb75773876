//! Keys of a telephone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One key of a telephone: `0` to `9`, `*`, `#`, or `A` to `D`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(u8);

impl Key {
    /// The key that opts out unless a flow names another.
    pub const NINE: Self = Self(b'9');
    /// The key that ends an entry unless a node names another.
    pub const POUND: Self = Self(b'#');

    /// The key with this sign.
    pub const fn new(sign: char) -> Option<Self> {
        match sign {
            '0'..='9' | '*' | '#' | 'A'..='D' => Some(Self(sign as u8)),
            'a'..='d' => Some(Self((sign as u8).to_ascii_uppercase())),
            _ => None,
        }
    }

    /// The sign on the key.
    pub const fn sign(self) -> char {
        self.0 as char
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Write::write_char(f, self.sign())
    }
}

/// Which key it is is told nowhere by accident: keys may spell a secret number.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(*)")
    }
}

/// A text is not a [`Key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one key: \"0\" to \"9\", \"*\", \"#\" or \"A\" to \"D\"")]
pub struct KeyError;

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut signs = text.chars();
        let key = signs.next().and_then(Self::new).ok_or(KeyError)?;
        signs.next().map_or(Ok(key), |_| Err(KeyError))
    }
}

impl TryFrom<String> for Key {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.sign().into()
    }
}
