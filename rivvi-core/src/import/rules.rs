//! What an import reads, refuses and merges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::message::MessageRule;
use super::prompt::PromptRule;
use crate::domain::Region;

/// How a contact sheet is read; part of the campaign file. The default reads every sheet whose headers can be
/// recognised, requires only a phone number and keeps the first row of each number.
///
/// ```
/// # use rivvi_core::import::ImportRules;
/// let rules: ImportRules = toml::from_str(r#"
///     region = "IL"
///     required_fields = ["first_name"]
///     columns = { phone = "Contact no. 2", balance = "Amount due" }
///     dedupe = { rule = "merge", prefer = { email = "last" } }
/// "#).unwrap();
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ImportRules {
    /// Region in which local numbers are read. Without one only international numbers (`+…`) are valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Fields or columns that every row must fill; a row that does not is refused. The phone number always is.
    pub required_fields: Vec<String>,
    /// Field or variable name to the header text in the sheet, for headers that are not recognised by themselves.
    /// A mapped field is read from that column only; a mapped variable is added beside the original column.
    pub columns: BTreeMap<String, String>,
    /// What happens to a number that occurs more than once.
    pub dedupe: Dedupe,
    /// Name of the worksheet; without one, the first visible worksheet with a header row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worksheet: Option<String>,
    /// How `03/04/1980` is read.
    pub date_order: DateOrder,
    /// The prompt whose variables every row must fill, with a text that does not get too long; a row that does not is
    /// refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PromptRule>,
    /// The texts of messages that every row must be able to fill; a row that does not is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<MessageRule>,
    /// Whether the campaign sends text messages, so that numbers which cannot receive them are worth telling.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sends_sms: bool,
}

impl ImportRules {
    /// The default rules with local numbers read in `region`.
    pub fn for_region(region: Region) -> Self {
        Self { region: Some(region), ..Self::default() }
    }
}

/// What happens to a number that occurs more than once in a sheet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Dedupe {
    /// The first row wins.
    #[default]
    KeepFirst,
    /// The last row wins. The sheet is read twice.
    KeepLast,
    /// All rows of a number become one contact. The sheet is read twice.
    Merge {
        /// Which row's value wins, by field or column; empty values never win over filled ones.
        #[serde(default)]
        prefer: BTreeMap<String, Prefer>,
        /// Which row's value wins for everything not in `prefer`.
        #[serde(default)]
        otherwise: Prefer,
    },
    /// Rows with the same number but another name or date of birth are other people and become contacts of their
    /// own; the engine never calls one number twice at once. Rows of the same person keep the first.
    KeepDistinctPeople,
}

/// Whose value wins when rows are merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Prefer {
    /// The first row that has a value.
    #[default]
    First,
    /// The last row that has a value.
    Last,
    /// The longest text, the first of equals.
    Longest,
}

/// How a date such as `03/04/1980` is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DateOrder {
    /// By what the rest of the column proves, else by the habit of the region.
    #[default]
    Auto,
    /// 3 April.
    DayFirst,
    /// March 4.
    MonthFirst,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_survive_a_round_trip() {
        let rules: ImportRules = serde_json::from_str(
            r#"{"required_fields": ["first_name"], "columns": {"phone": "Line"}, "worksheet": "A",
                "dedupe": {"rule": "merge", "prefer": {"email": "longest"}, "otherwise": "last"},
                "date_order": "month_first"}"#,
        )
        .unwrap();
        let text = serde_json::to_string(&rules).unwrap();
        assert_eq!(serde_json::from_str::<ImportRules>(&text).unwrap(), rules);
        assert!(matches!(rules.dedupe, Dedupe::Merge { otherwise: Prefer::Last, .. }));
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(serde_json::from_str::<ImportRules>(r#"{"requiredFields": []}"#).is_err());
        assert!(serde_json::from_str::<ImportRules>(r#"{"dedupe": {"rule": "keep_some"}}"#).is_err());
        assert!(
            serde_json::from_str::<ImportRules>(r#"{"dedupe": {"rule": "merge", "prefers": {}}}"#).is_err()
        );
    }
}
