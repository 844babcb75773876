//! Rows must fill the texts of messages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::contact::ImportedContact;
use super::error::ImportError;
use super::header::Header;
use super::prompt::fills;
use super::report::ProblemReason;
use crate::domain::ContactVariables;
use crate::message::{MessageTemplate, MessageVariables, RenderError};

/// The texts of messages that every row must be able to fill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRule {
    /// The texts, by their keys in the campaign.
    pub texts: BTreeMap<String, MessageTemplate>,
    /// The variables of the campaign.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// The links of the campaign.
    #[serde(default)]
    pub links: BTreeMap<String, String>,
}

impl MessageRule {
    /// Finds a text that no row of the sheet can fill, for neither the campaign nor the sheet has what it needs.
    pub(super) fn check_header(&self, name: &str, header: &Header) -> Result<(), ImportError> {
        for (text, template) in &self.texts {
            let known = |variable: &String| self.variables.contains_key(variable) || fills(header, variable);
            let (known, missing): (Vec<String>, Vec<String>) =
                template.variables().into_iter().partition(known);
            let filled = known.into_iter().map(|variable| (variable, "x".to_owned())).collect();
            let variables = MessageVariables::new(filled).with_links(self.links.clone());
            if let (Err(RenderError::Undefined), Some(variable)) =
                (template.render(variables), missing.into_iter().next())
            {
                return Err(ImportError::MessageVariableMissing {
                    name: name.to_owned(),
                    text: text.clone(),
                    variable,
                    row: header.row,
                    found: header.headers(),
                });
            }
        }
        Ok(())
    }

    /// What keeps a contact from being written to.
    pub(super) fn problem(&self, contact: &ImportedContact) -> Option<ProblemReason> {
        let (person, number) = (&contact.person, contact.number);
        let known = ContactVariables::new(&self.variables, &contact.variables, person, number);
        let of_person = person.variables(number).into_iter().filter(|(_, value)| !value.trim().is_empty());
        let of_person = of_person.map(|(name, value)| (name.to_owned(), value));
        let variables = MessageVariables::new(known.texts()).with(of_person).with_links(self.links.clone());
        self.texts.iter().find_map(|(text, template)| {
            let error = template.render(variables.clone()).err()?;
            let missing = template.variables().into_iter().find(|name| variables.value(name).is_none());
            let (text, detail) = (text.clone(), error.to_string());
            Some(match missing {
                Some(variable) => ProblemReason::MessageVariableEmpty { text, variable },
                None => ProblemReason::MessageNotFilled { text, detail },
            })
        })
    }
}
