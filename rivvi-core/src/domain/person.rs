//! The known fields of a person.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{OrgId, PersonId};
use super::personal::Personal;
use super::phone::E164;

/// The age from which a person is no minor.
const OF_AGE: i32 = 18;

/// The fields of a person that Rivvi understands; everything else a sheet carries is a variable of the contact.
///
/// All of them are personal: `Debug` shows only which are present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct PersonFields {
    /// Given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<Personal<String>>,
    /// Family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<Personal<String>>,
    /// Date of birth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date_of_birth: Option<Personal<NaiveDate>>,
    /// E-mail address, as written in the sheet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Personal<String>>,
    /// Language the person speaks, as written in the sheet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<Personal<String>>,
}

impl PersonFields {
    /// The names under which texts may use what is known of a person: those of [`variables`](Self::variables).
    pub const VARIABLES: [&str; 6] =
        ["phone", "first_name", "last_name", "date_of_birth", "email", "language"];

    /// What is known, with the number, as variables of texts: dates as `1990-04-03`, numbers as `+972541234567`.
    pub fn variables(&self, number: E164) -> BTreeMap<&'static str, String> {
        let text = |field: &Option<Personal<String>>| field.as_ref().map(|text| text.expose().clone());
        let birth = self.date_of_birth.as_ref().map(|date| date.expose().to_string());
        let values = [
            Some(number.expose()),
            text(&self.first_name),
            text(&self.last_name),
            birth,
            text(&self.email),
            text(&self.language),
        ];
        Self::VARIABLES.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Whether the person is under 18 on this day; `None` without a date of birth.
    pub fn is_minor(&self, today: NaiveDate) -> Option<bool> {
        let born = *self.date_of_birth.as_ref()?.expose();
        let birthday_is_past = (today.month(), today.day()) >= (born.month(), born.day());
        Some(today.year() - born.year() - i32::from(!birthday_is_past) < OF_AGE)
    }

    /// These fields, with those of `other` where one is missing here.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self {
            first_name: self.first_name.clone().or_else(|| other.first_name.clone()),
            last_name: self.last_name.clone().or_else(|| other.last_name.clone()),
            date_of_birth: self.date_of_birth.clone().or_else(|| other.date_of_birth.clone()),
            email: self.email.clone().or_else(|| other.email.clone()),
            language: self.language.clone().or_else(|| other.language.clone()),
        }
    }
}

/// A human known to an organization across its runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Its id.
    pub id: PersonId,
    /// Whose person.
    pub org_id: OrgId,
    /// Tells persons of one organization apart, see [`Person::hash_of`].
    pub hash: String,
    /// The number last used.
    pub number: E164,
    /// What is known, the latest value of each field.
    pub fields: PersonFields,
}

impl Person {
    /// The hash by which a person is recognized across runs: SHA-256, in hexadecimal, over the organization, the
    /// number, and the names and date of birth without case and outer blanks.
    pub fn hash_of(org_id: OrgId, number: E164, fields: &PersonFields) -> String {
        let text = |value: &Option<Personal<String>>| {
            value.as_ref().map(|value| value.expose().trim().to_lowercase()).unwrap_or_default()
        };
        let birth = fields.date_of_birth.as_ref().map(|date| date.expose().to_string()).unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(org_id.as_uuid().as_bytes());
        for part in [number.expose(), text(&fields.first_name), text(&fields.last_name), birth] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_counted_in_birthdays() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        for (born, today, minor) in [
            ("2008-03-02", "2026-03-02", false),
            ("2008-03-03", "2026-03-02", true),
            ("2008-02-29", "2026-02-28", true),
            ("2008-02-29", "2026-03-01", false),
            ("2030-01-01", "2026-03-02", true),
            ("1944-02-29", "2026-03-02", false),
        ] {
            let person = PersonFields { date_of_birth: Some(date(born).into()), ..PersonFields::default() };
            assert_eq!(person.is_minor(date(today)), Some(minor), "{born} on {today}");
        }
        assert_eq!(PersonFields::default().is_minor(date("2026-03-02")), None);
    }
}
