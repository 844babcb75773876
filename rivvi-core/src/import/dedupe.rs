//! What happens to a number that occurs more than once.
//!
//! Memory is one small entry per number, plus the contacts of the groups that are being merged.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::contact::ImportedContact;
use super::field::Field;
use super::header::Header;
use super::report::ProblemReason;
use super::rules::{Dedupe, Prefer};
use crate::domain::E164;

/// Decides on every contact in the order of the file.
#[derive(Debug)]
pub(super) enum Deduper {
    /// The row that has each number.
    KeepFirst(HashMap<u64, u64>),
    /// How often each number is still to come.
    KeepLast(HashMap<u64, u32>),
    Merge {
        left: HashMap<u64, u32>,
        open: HashMap<u64, ImportedContact>,
        preferences: Preferences,
    },
    /// The first person of each number, and the further ones.
    DistinctPeople {
        first: HashMap<u64, Identity>,
        further: HashMap<u64, Vec<Identity>>,
    },
}

/// The answer on one contact.
#[derive(Debug)]
pub(super) enum Verdict {
    Keep(ImportedContact),
    Duplicate(ProblemReason),
}

/// Who a row is about, as a hash, and its row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity {
    person: u64,
    row: u64,
}

impl Deduper {
    /// The rule at work on a sheet with this header.
    pub(super) fn new(rule: &Dedupe, header: &Header) -> Self {
        match rule {
            Dedupe::KeepFirst => Deduper::KeepFirst(HashMap::new()),
            Dedupe::KeepLast => Deduper::KeepLast(HashMap::new()),
            Dedupe::Merge { prefer, otherwise } => Deduper::Merge {
                left: HashMap::new(),
                open: HashMap::new(),
                preferences: Preferences::new(prefer, *otherwise, header),
            },
            Dedupe::KeepDistinctPeople => {
                Deduper::DistinctPeople { first: HashMap::new(), further: HashMap::new() }
            }
        }
    }

    /// Whether every contact must be [counted](Self::count) before the first is [admitted](Self::admit).
    pub(super) fn counts_first(&self) -> bool {
        matches!(self, Deduper::KeepLast(_) | Deduper::Merge { .. })
    }

    /// Counts the number of a contact in the first pass.
    pub(super) fn count(&mut self, number: E164) {
        if let Deduper::KeepLast(left) | Deduper::Merge { left, .. } = self {
            *left.entry(number.digits()).or_default() += 1;
        }
    }

    /// Decides on a contact.
    pub(super) fn admit(&mut self, contact: ImportedContact) -> Verdict {
        let number = contact.number.digits();
        match self {
            Deduper::KeepFirst(rows) => match rows.get(&number) {
                Some(kept_row) => Verdict::Duplicate(ProblemReason::DuplicateOf { kept_row: *kept_row }),
                None => {
                    rows.insert(number, contact.row);
                    Verdict::Keep(contact)
                }
            },
            Deduper::KeepLast(left) => {
                if more_to_come(left, number) {
                    Verdict::Duplicate(ProblemReason::ReplacedByLaterRow)
                } else {
                    Verdict::Keep(contact)
                }
            }
            Deduper::Merge { left, open, preferences } => {
                let merged = match open.remove(&number) {
                    Some(earlier) => preferences.merge(earlier, contact),
                    None => contact,
                };
                if more_to_come(left, number) {
                    open.insert(number, merged);
                    Verdict::Duplicate(ProblemReason::MergedIntoLaterRow)
                } else {
                    Verdict::Keep(merged)
                }
            }
            Deduper::DistinctPeople { first, further } => {
                let identity = Identity { person: person_hash(&contact), row: contact.row };
                let Some(known) = first.get(&number) else {
                    first.insert(number, identity);
                    return Verdict::Keep(contact);
                };
                let others = further.get(&number).into_iter().flatten();
                // A row that names nobody is nobody new.
                let same = std::iter::once(known)
                    .chain(others)
                    .find(|other| other.person == identity.person || identity.person == NOBODY);
                if let Some(same) = same {
                    return Verdict::Duplicate(ProblemReason::DuplicateOf { kept_row: same.row });
                }
                further.entry(number).or_default().push(identity);
                Verdict::Keep(contact)
            }
        }
    }
}

/// Takes one from the rows of a number that are left; whether more are.
fn more_to_come(left: &mut HashMap<u64, u32>, number: u64) -> bool {
    left.get_mut(&number).is_some_and(|left| {
        *left = left.saturating_sub(1);
        *left > 0
    })
}

/// The hash of a row without name and date of birth.
const NOBODY: u64 = 0;

/// Name and date of birth, whatever the case and the spaces.
fn person_hash(contact: &ImportedContact) -> u64 {
    let person = &contact.person;
    let names = [&person.first_name, &person.last_name].map(|name| {
        let name = name.as_ref().map(|name| name.expose().to_lowercase()).unwrap_or_default();
        name.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    let born = person.date_of_birth.as_ref().map(|date| *date.expose());
    if born.is_none() && names.iter().all(String::is_empty) {
        return NOBODY;
    }
    let mut hasher = DefaultHasher::new();
    (names, born).hash(&mut hasher);
    hasher.finish().max(NOBODY + 1)
}

/// Whose value wins, by field and by variable.
#[derive(Debug)]
pub(super) struct Preferences {
    fields: [Prefer; Field::ALL.len()],
    variables: HashMap<String, Prefer>,
    otherwise: Prefer,
}

impl Preferences {
    fn new(prefer: &std::collections::BTreeMap<String, Prefer>, otherwise: Prefer, header: &Header) -> Self {
        let fields = Field::ALL.map(|field| prefer.get(field.name()).copied().unwrap_or(otherwise));
        let mut variables = HashMap::new();
        for column in &header.columns {
            if let Some(field) = column.field.filter(|field| prefer.contains_key(field.name())) {
                variables.insert(column.key.clone(), fields[field as usize]);
            }
        }
        for (name, preferred) in prefer {
            variables.insert(name.clone(), *preferred);
            if let Some(column) = header.lookup(name).and_then(|index| header.columns.get(index)) {
                variables.insert(column.key.clone(), *preferred);
            }
        }
        Self { fields, variables, otherwise }
    }

    /// One contact of two, of which `earlier` comes first in the file. It keeps the row of the first.
    fn merge(&self, earlier: ImportedContact, later: ImportedContact) -> ImportedContact {
        let of = |field: Field| self.fields[field as usize];
        let text = |value: &crate::domain::Personal<String>| value.expose().len();
        let mut merged = earlier;
        let (person, other) = (&mut merged.person, later.person);
        pick(&mut person.first_name, other.first_name, of(Field::FirstName), text);
        pick(&mut person.last_name, other.last_name, of(Field::LastName), text);
        pick(&mut person.date_of_birth, other.date_of_birth, of(Field::DateOfBirth), |_| 0);
        pick(&mut person.email, other.email, of(Field::Email), text);
        pick(&mut person.language, other.language, of(Field::Language), text);
        pick(&mut merged.zone, later.zone, of(Field::TimeZone), |_| 0);
        pick(&mut merged.priority, later.priority, of(Field::Priority), |_| 0);
        pick(&mut merged.external_id, later.external_id, of(Field::ExternalId), String::len);
        for (key, value) in later.variables {
            let preferred = self.variables.get(&key).copied().unwrap_or(self.otherwise);
            let slot = merged.variables.entry(key).or_default();
            let mut kept = Some(std::mem::take(slot)).filter(|text| !text.trim().is_empty());
            let other = Some(value).filter(|text| !text.trim().is_empty());
            pick(&mut kept, other, preferred, String::len);
            *slot = kept.unwrap_or_default();
        }
        merged
    }
}

fn pick<T>(kept: &mut Option<T>, other: Option<T>, prefer: Prefer, len: impl Fn(&T) -> usize) {
    let Some(other) = other else { return };
    let wins = match (kept.as_ref(), prefer) {
        (None, _) | (_, Prefer::Last) => true,
        (Some(kept), Prefer::Longest) => len(&other) > len(kept),
        (Some(_), Prefer::First) => false,
    };
    if wins {
        *kept = Some(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(prefer: Prefer, values: [&str; 3]) -> String {
        let mut kept = None;
        for value in values {
            pick(&mut kept, Some(value.to_owned()).filter(|v| !v.is_empty()), prefer, String::len);
        }
        kept.unwrap_or_default()
    }

    #[test]
    fn empty_values_never_win() {
        assert_eq!(picked(Prefer::First, ["", "a", "bb"]), "a");
        assert_eq!(picked(Prefer::Last, ["a", "bb", ""]), "bb");
        assert_eq!(picked(Prefer::Longest, ["aa", "bb", "c"]), "aa");
        assert_eq!(picked(Prefer::Longest, ["", "", ""]), "");
    }
}
