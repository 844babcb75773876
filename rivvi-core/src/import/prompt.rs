//! Rows must fill the variables of the prompt.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::contact::ImportedContact;
use super::error::ImportError;
use super::field::Field;
use super::header::Header;
use super::report::ProblemReason;
use crate::domain::{ContactVariables, PersonFields, Prompt};

/// The prompt that every row must be able to fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptRule {
    /// The prompt.
    pub prompt: Prompt,
    /// The variables of the campaign.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

impl PromptRule {
    /// Finds a variable for which neither the campaign nor the sheet has anything.
    pub(super) fn check_header(&self, name: &str, header: &Header) -> Result<(), ImportError> {
        let known = |variable: &str| self.variables.contains_key(variable) || fills(header, variable);
        match self.prompt.needed().into_iter().find(|variable| !known(variable)) {
            None => Ok(()),
            Some(variable) => Err(ImportError::PromptVariableMissing {
                name: name.to_owned(),
                variable: variable.to_owned(),
                row: header.row,
                found: header.headers(),
            }),
        }
    }

    /// What keeps a contact from being called with the prompt.
    pub(super) fn problem(&self, contact: &ImportedContact) -> Option<ProblemReason> {
        let (person, number) = (&contact.person, contact.number);
        // Whichever the day, the same variables have a value.
        let variables = ContactVariables::new(&self.variables, &contact.variables, person, number)
            .on(NaiveDate::default());
        if let Some(empty) = self.prompt.needed().into_iter().find(|name| variables.value(name).is_none()) {
            return Some(ProblemReason::PromptVariableEmpty { variable: empty.to_owned() });
        }
        let bytes = self.prompt.render(|name| variables.value(name)).len();
        (bytes > Prompt::BYTES_MAX).then_some(ProblemReason::PromptTooLong { bytes })
    }
}

/// Whether a sheet with this header can fill a variable.
pub(super) fn fills(header: &Header, variable: &str) -> bool {
    let field = match variable {
        "is_minor" => return true,
        "dob" => Some(Field::DateOfBirth),
        variable => {
            let of_person = PersonFields::VARIABLES.contains(&variable);
            of_person.then(|| Field::from_name(variable)).flatten()
        }
    };
    field.is_some_and(|field| header.provides(field)) || header.variable(variable)
}
