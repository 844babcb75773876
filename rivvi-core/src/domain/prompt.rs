//! What an agent is told to say and to do.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::person::PersonFields;
use super::phone::E164;
use crate::flow::Template;

/// What an agent is told to say and to do: a part that is fixed for the campaign, and a part of the organization's own
/// that follows it. Both may name variables, `{{first_name}}`, which are those of the campaign, the columns of the sheet,
/// and [what is known of the person](PersonFields::variables).
///
/// A prompt is part of the campaign's definition, so it is versioned with it, and a run keeps the prompt it was created
/// with. A row that does not fill a variable of the prompt is refused at import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// The part that is fixed.
    pub base: Template,
    /// The organization's own part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addition: Option<Template>,
}

impl Prompt {
    /// The most bytes a prompt may have, with its variables filled in or not.
    pub const BYTES_MAX: usize = 32 * 1024;

    /// The variables that must have a value: those without a text instead.
    pub fn needed(&self) -> BTreeSet<&str> {
        self.parts().flat_map(Template::needed).collect()
    }

    /// The prompt for one contact: both parts with their variables filled in, with an empty line between them.
    pub fn render<'v>(&self, value_of: impl Fn(&str) -> Option<&'v str>) -> String {
        let parts: Vec<String> = self.parts().map(|part| part.render(&value_of)).collect();
        parts.join("\n\n")
    }

    /// SHA-256 of both parts as they were written, in hexadecimal: tells prompts apart in the journal.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for part in self.parts() {
            hash.update((part.source().len() as u64).to_be_bytes());
            hash.update(part.source());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The part that is wrong, and what is wrong with it.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        if self.base.source().trim().is_empty() {
            return Some(("prompt.base", "expected a text that is not empty".into()));
        }
        let bytes: usize = self.parts().map(|part| part.source().len()).sum();
        (bytes > Self::BYTES_MAX).then(|| {
            let key = if self.addition.is_some() { "prompt.addition" } else { "prompt.base" };
            (key, format!("expected a prompt of at most {} bytes, found {bytes}", Self::BYTES_MAX))
        })
    }

    fn parts(&self) -> impl Iterator<Item = &Template> {
        std::iter::once(&self.base).chain(&self.addition)
    }
}

/// What texts may name about one contact: the variables of the campaign, over them the columns of the contact, over them
/// what is known of the person.
pub struct ContactVariables<'a> {
    campaign: &'a BTreeMap<String, String>,
    columns: &'a BTreeMap<String, String>,
    fields: &'a PersonFields,
    number: E164,
    today: Option<NaiveDate>,
    /// Of use to prompts alone, so read when the first asks.
    person: OnceCell<BTreeMap<&'static str, String>>,
}

impl<'a> ContactVariables<'a> {
    /// What is known of a contact with this number.
    pub fn new(
        campaign: &'a BTreeMap<String, String>,
        columns: &'a BTreeMap<String, String>,
        person: &'a PersonFields,
        number: E164,
    ) -> Self {
        Self { campaign, columns, fields: person, number, today: None, person: OnceCell::new() }
    }

    /// The same with what agents are told beside: `dob`, the date of birth, and `is_minor`, which is `true`, `false` or
    /// `unknown` on this day.
    #[must_use]
    pub fn on(mut self, today: NaiveDate) -> Self {
        self.today = Some(today);
        self.person = OnceCell::new();
        self
    }

    fn person(&self) -> &BTreeMap<&'static str, String> {
        self.person.get_or_init(|| {
            let mut person = self.fields.variables(self.number);
            let Some(today) = self.today else { return person };
            let is_minor = match self.fields.is_minor(today) {
                Some(true) => "true",
                Some(false) => "false",
                None => "unknown",
            };
            person.insert("is_minor", is_minor.to_owned());
            if let Some(born) = person.get("date_of_birth").cloned() {
                person.insert("dob", born);
            }
            person
        })
    }

    /// Variables of the campaign and columns of the contact by their names; a column counts unless it is empty where the
    /// campaign has a value.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let counts =
            |(name, value): &(&String, &String)| !value.is_empty() || !self.campaign.contains_key(*name);
        let columns = self.columns.iter().filter(counts);
        self.campaign.iter().chain(columns).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// The value of a variable, if it has one.
    pub fn value(&self, name: &str) -> Option<&str> {
        let person = self.person().get(name).map(String::as_str);
        let column = || self.columns.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let campaign = || self.campaign.get(name).map(String::as_str);
        person.or_else(column).or_else(campaign).filter(|value| !value.trim().is_empty())
    }
}

impl fmt::Debug for ContactVariables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContactVariables").field("columns", &self.columns.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Personal;

    fn prompt(base: &str, addition: Option<&str>) -> Prompt {
        Prompt { base: base.parse().unwrap(), addition: addition.map(|text| text.parse().unwrap()) }
    }

    #[test]
    fn both_parts_are_filled_in_and_name_what_they_need() {
        let prompt = prompt("You call {{first_name}}.", Some("Offer {{slot}}, {{extra|nothing}} more."));
        assert_eq!(prompt.needed(), BTreeSet::from(["first_name", "slot"]));
        let text = prompt.render(|name| match name {
            "first_name" => Some("Dana"),
            "slot" => Some("noon"),
            _ => None,
        });
        assert_eq!(text, "You call Dana.\n\nOffer noon, nothing more.");
    }

    #[test]
    fn size_is_checked_and_the_part_is_named() {
        let long = "x".repeat(Prompt::BYTES_MAX);
        assert_eq!(prompt(&long, None).problem(), None);
        let cases = [
            ("", None, "prompt.base"),
            (" \n", Some("a"), "prompt.base"),
            (&long, Some("a"), "prompt.addition"),
        ];
        for (base, addition, key) in cases {
            assert_eq!(prompt(base, addition).problem().map(|(key, _)| key), Some(key));
        }
    }

    #[test]
    fn digest_tells_every_change() {
        let digests: BTreeSet<String> =
            [("a", None), ("ab", None), ("a", Some("b")), ("ab", Some("")), ("", Some("ab"))]
                .map(|(base, addition)| prompt(base, addition).digest())
                .into();
        assert_eq!(digests.len(), 5);
    }

    #[test]
    fn what_is_known_of_the_person_wins_and_blanks_are_no_values() {
        let campaign = BTreeMap::from([
            ("clinic".to_owned(), "North".to_owned()),
            ("slot".to_owned(), "noon".to_owned()),
        ]);
        let columns = BTreeMap::from([
            ("slot".to_owned(), String::new()),
            ("first_name".to_owned(), "D.".to_owned()),
            ("note".to_owned(), "  ".to_owned()),
        ]);
        let person = PersonFields { first_name: Some("Dana".to_owned().into()), ..PersonFields::default() };
        let number = E164::from_e164("+972541234567").unwrap();
        let variables = ContactVariables::new(&campaign, &columns, &person, number);
        for (name, value) in [
            ("first_name", Some("Dana")),
            ("clinic", Some("North")),
            ("slot", Some("noon")),
            ("phone", Some("+972541234567")),
            ("note", None),
            ("last_name", None),
        ] {
            assert_eq!(variables.value(name), value, "{name}");
        }
        let texts = variables.texts();
        assert_eq!(texts["slot"], "noon", "an empty cell does not hide the campaign's value");
        assert_eq!((texts["first_name"].as_str(), texts["note"].as_str(), texts.len()), ("D.", "  ", 4));
        assert!(!format!("{person:?}").contains("Dana"));

        let today = NaiveDate::from_ymd_opt(2026, 3, 2).unwrap();
        let stranger = ContactVariables::new(&campaign, &columns, &person, number).on(today);
        assert_eq!((stranger.value("dob"), stranger.value("is_minor")), (None, Some("unknown")));
        let born = NaiveDate::from_ymd_opt(2010, 4, 3);
        let child = PersonFields { date_of_birth: born.map(Personal::new), ..PersonFields::default() };
        let child = ContactVariables::new(&campaign, &columns, &child, number).on(today);
        assert_eq!((child.value("dob"), child.value("is_minor")), (Some("2010-04-03"), Some("true")));
    }
}
