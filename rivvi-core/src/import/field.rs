//! The fields a column can stand for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a column means to Rivvi. A column that means nothing to it still becomes a variable of the contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Field {
    /// A phone number. A sheet may have several such columns; the first usable number of a row is taken.
    Phone,
    /// Given name.
    FirstName,
    /// Family name.
    LastName,
    /// Given and family name in one cell.
    FullName,
    /// Date of birth.
    DateOfBirth,
    /// E-mail address.
    Email,
    /// Language the person speaks.
    Language,
    /// Time zone of the contact.
    TimeZone,
    /// Priority, 1 (first) to 5 (last).
    Priority,
    /// The host's own id of this person.
    ExternalId,
}

impl Field {
    /// Every field, in the order of this declaration.
    pub const ALL: [Field; 10] = [
        Field::Phone,
        Field::FirstName,
        Field::LastName,
        Field::FullName,
        Field::DateOfBirth,
        Field::Email,
        Field::Language,
        Field::TimeZone,
        Field::Priority,
        Field::ExternalId,
    ];

    /// The name used in a campaign file, for instance `date_of_birth`.
    pub const fn name(self) -> &'static str {
        match self {
            Field::Phone => "phone",
            Field::FirstName => "first_name",
            Field::LastName => "last_name",
            Field::FullName => "full_name",
            Field::DateOfBirth => "date_of_birth",
            Field::Email => "email",
            Field::Language => "language",
            Field::TimeZone => "time_zone",
            Field::Priority => "priority",
            Field::ExternalId => "external_id",
        }
    }

    /// The field with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Field> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_by_its_name_and_serializes_as_it() {
        for field in Field::ALL {
            assert_eq!(Field::from_name(field.name()), Some(field));
            assert_eq!(serde_json::to_value(field).unwrap(), field.name());
        }
        assert_eq!(Field::from_name("shoe_size"), None);
    }
}
