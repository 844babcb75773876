//! A contact as it comes out of a sheet, and the host's hook to change or refuse it.

use std::{collections::BTreeMap, fmt};

use chrono_tz::Tz;

use crate::domain::{E164, PersonFields};

/// One contact of a sheet. `Debug` shows only which parts are present.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImportedContact {
    /// The row in the file, counted from 1 as a spreadsheet shows it; for a text file, the line on which it starts.
    pub row: u64,
    /// The number to call.
    pub number: E164,
    /// The known fields of the person.
    pub person: PersonFields,
    /// The zone the sheet states; `None` leaves it to the number.
    pub zone: Option<Tz>,
    /// 1 (first) to 5 (last).
    pub priority: Option<u8>,
    /// The host's own id of this person.
    pub external_id: Option<String>,
    /// Every original column by its header, with its exact text, and the mapped variables.
    pub variables: BTreeMap<String, String>,
}

impl ImportedContact {
    /// A contact with nothing but a number, for instance to test a [`ContactTransformer`].
    pub fn new(row: u64, number: E164) -> Self {
        Self {
            row,
            number,
            person: PersonFields::default(),
            zone: None,
            priority: None,
            external_id: None,
            variables: BTreeMap::new(),
        }
    }
}

impl fmt::Debug for ImportedContact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportedContact")
            .field("row", &self.row)
            .field("number", &self.number)
            .field("person", &self.person)
            .field("zone", &self.zone)
            .field("priority", &self.priority)
            .field("external_id", &self.external_id.as_ref().map(|_| "***"))
            .field("variables", &format_args!("{} columns", self.variables.len()))
            .finish()
    }
}

/// The host's own step on every contact, before deduplication: compute a variable, correct a field, refuse a row.
///
/// Rules that read the sheet twice ([`KeepLast`](super::Dedupe::KeepLast), [`Merge`](super::Dedupe::Merge)) call it
/// twice per row, so the same contact must always give the same answer.
pub trait ContactTransformer: fmt::Debug + Send + Sync {
    /// Changes the contact in place.
    ///
    /// # Errors
    ///
    /// A reason why this row must not become a contact. It is shown in the report as it is, so it must not repeat
    /// personal data. A refused row counts as invalid; the import goes on.
    fn transform(&self, contact: &mut ImportedContact) -> Result<(), String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_personal_data() {
        let contact = ImportedContact {
            row: 7,
            number: E164::from_digits(972_541_234_567).unwrap(),
            person: PersonFields { first_name: Some("Dana".to_owned().into()), ..PersonFields::default() },
            zone: None,
            priority: Some(3),
            external_id: Some("A-99".into()),
            variables: [("Note".to_owned(), "call her mother".to_owned())].into(),
        };
        let text = format!("{contact:?}");
        for secret in ["Dana", "541234567", "A-99", "mother"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
