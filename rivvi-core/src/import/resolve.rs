//! One row becomes one contact, or is refused with a reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cell::{filled, is_error, is_filled, priority, redact, redact_number, split_name};
use super::contact::{ContactTransformer, ImportedContact};
use super::date;
use super::field::Field;
use super::header::{Header, Required, numbered};
use super::message::MessageRule;
use super::prompt::PromptRule;
use super::report::{ProblemReason, RowProblem, Severity};
use super::row::{Row, RowFault};
use super::rules::DateOrder;
use crate::domain::PersonFields;
use crate::domain::{E164, PhoneError, Region};
use crate::policy::zone::parse_zone;

/// Reads rows by a header.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    pub(super) header: Header,
    pub(super) region: Option<Region>,
    pub(super) date_order: DateOrder,
    pub(super) transformers: Vec<Arc<dyn ContactTransformer>>,
    pub(super) prompt: Option<PromptRule>,
    pub(super) messages: Option<MessageRule>,
}

impl Resolver {
    /// The contact in a row; `None` if the row is refused, in which case one of the added `problems` says why.
    pub(super) fn resolve(&self, row: &Row, problems: &mut Vec<RowProblem>) -> Option<ImportedContact> {
        let mut problems = Problems { header: &self.header, row: row.number, list: problems };
        if let Some(fault) = row.fault {
            problems.fault(fault);
            return None;
        }
        if row.stray_quote {
            problems.add(Severity::Warning, None, String::new(), ProblemReason::OpenQuote);
        }
        let number = self.number(row, &mut problems)?;
        let text = |field| self.header.column(field).and_then(|index| filled(row.cell(index)));
        self.note_errors(row, &mut problems);
        let mut contact = ImportedContact {
            row: row.number,
            number,
            person: self.person(row, &mut problems),
            zone: self.read(row, Field::TimeZone, &mut problems, ProblemReason::UnknownTimeZone, parse_zone),
            priority: self.read(
                row,
                Field::Priority,
                &mut problems,
                ProblemReason::InvalidPriority,
                priority,
            ),
            external_id: text(Field::ExternalId),
            variables: self.variables(row),
        };
        self.check_required(row, &contact, &mut problems)?;
        for transformer in &self.transformers {
            if let Err(detail) = transformer.transform(&mut contact) {
                problems.add(Severity::Refused, None, String::new(), ProblemReason::Transformer { detail });
                return None;
            }
        }
        let prompt = self.prompt.as_ref().and_then(|rule| rule.problem(&contact));
        let problem = prompt.or_else(|| self.messages.as_ref().and_then(|rule| rule.problem(&contact)));
        if let Some(reason) = problem {
            problems.add(Severity::Refused, None, String::new(), reason);
            return None;
        }
        Some(contact)
    }

    /// The number of the contact that [`resolve`](Self::resolve) gives for a row, found with less work where possible.
    pub(super) fn number_of(&self, row: &Row) -> Option<E164> {
        let mut ignored = Vec::new();
        if !self.transformers.is_empty()
            || !self.header.required.is_empty()
            || self.prompt.is_some()
            || self.messages.is_some()
        {
            return self.resolve(row, &mut ignored).map(|contact| contact.number);
        }
        let mut problems = Problems { header: &self.header, row: row.number, list: &mut ignored };
        if row.fault.is_some() { None } else { self.number(row, &mut problems) }
    }

    /// The first usable number. Cells that are passed over on the way are warnings.
    fn number(&self, row: &Row, problems: &mut Problems<'_>) -> Option<E164> {
        let mut refused = Vec::new();
        for &index in &self.header.phones {
            let cell = row.cell(index);
            if !is_filled(cell) && !is_error(cell) {
                continue;
            }
            match self.parse_number(cell) {
                Ok(number) => {
                    for (index, reason) in refused {
                        problems.add(Severity::Warning, Some(index), redact_number(row.cell(index)), reason);
                    }
                    return Some(number);
                }
                Err(_) if is_error(cell) => refused.push((index, ProblemReason::CellError)),
                Err(error) => {
                    refused.push((index, ProblemReason::InvalidNumber { detail: error.to_string() }))
                }
            }
        }
        match refused.into_iter().next() {
            Some((index, reason)) => {
                problems.add(Severity::Refused, Some(index), redact_number(row.cell(index)), reason);
            }
            None => {
                let column = self.header.phones.first().copied();
                problems.add(Severity::Refused, column, String::new(), ProblemReason::NoNumber);
            }
        }
        None
    }

    fn parse_number(&self, cell: &str) -> Result<E164, PhoneError> {
        if let Some(region) = self.region {
            return E164::parse(cell, region);
        }
        match (filled(cell), Region::new("US")) {
            // A plus sign makes the number independent of the region it is read in.
            (Some(text), Ok(any)) if text.starts_with(['+', '＋']) => E164::parse(&text, any),
            _ => Err(PhoneError::Invalid),
        }
    }

    fn person(&self, row: &Row, problems: &mut Problems<'_>) -> PersonFields {
        let text = |field| self.header.column(field).and_then(|index| filled(row.cell(index)));
        let mut first = text(Field::FirstName);
        let mut last = text(Field::LastName);
        if (first.is_none() || last.is_none())
            && let Some(full) = text(Field::FullName)
        {
            let (given, family) = split_name(&full, self.header.family_first);
            first = first.or(given);
            last = last.or(family);
        }
        let order = self.date_order;
        let born = |text: &str| date::parse(text, order);
        PersonFields {
            first_name: first.map(Into::into),
            last_name: last.map(Into::into),
            date_of_birth: self
                .read(row, Field::DateOfBirth, problems, ProblemReason::InvalidDate, born)
                .map(Into::into),
            email: text(Field::Email).map(Into::into),
            language: text(Field::Language).map(Into::into),
        }
    }

    /// Reads a field that has a form; what does not have it is a warning.
    fn read<T>(
        &self,
        row: &Row,
        field: Field,
        problems: &mut Problems<'_>,
        reason: ProblemReason,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let index = self.header.column(field)?;
        let text = filled(row.cell(index))?;
        let value = parse(&text);
        if value.is_none() {
            problems.add(Severity::Warning, Some(index), shown(field, &text), reason);
        }
        value
    }

    /// Errors of the spreadsheet in known columns, except the phone columns, are warnings.
    fn note_errors(&self, row: &Row, problems: &mut Problems<'_>) {
        for (index, column) in self.header.columns.iter().enumerate() {
            let cell = row.cell(index);
            if column.field.is_some_and(|field| field != Field::Phone) && is_error(cell) {
                problems.add(
                    Severity::Warning,
                    Some(index),
                    cell.trim().to_owned(),
                    ProblemReason::CellError,
                );
            }
        }
    }

    fn variables(&self, row: &Row) -> BTreeMap<String, String> {
        let columns = &self.header.columns;
        let named = columns.iter().enumerate().filter_map(|(index, column)| {
            let cell = row.cell(index);
            (!column.header.is_empty() || !cell.is_empty()).then(|| (column.key.clone(), cell.to_owned()))
        });
        let beyond = (columns.len()..row.len()).filter(|index| !row.cell(*index).is_empty());
        let mut variables: BTreeMap<String, String> = named.collect();
        for index in beyond {
            let mut key = numbered(index);
            while variables.contains_key(&key) {
                key.push('_');
            }
            variables.insert(key, row.cell(index).to_owned());
        }
        for (name, index) in &self.header.extras {
            variables.insert(name.clone(), row.cell(*index).to_owned());
        }
        variables
    }

    fn check_required(
        &self,
        row: &Row,
        contact: &ImportedContact,
        problems: &mut Problems<'_>,
    ) -> Option<()> {
        for required in &self.header.required {
            let (name, index, present) = match required {
                Required::Column { name, index } => {
                    (name.as_str(), Some(*index), is_filled(row.cell(*index)))
                }
                Required::Field(field) => (field.name(), self.header.column(*field), has(contact, *field)),
            };
            if !present {
                let value = index.map(|index| redact(row.cell(index))).unwrap_or_default();
                let reason = ProblemReason::RequiredEmpty { field: name.to_owned() };
                problems.refuse_instead(index, value, reason);
                return None;
            }
        }
        Some(())
    }
}

fn has(contact: &ImportedContact, field: Field) -> bool {
    let person = &contact.person;
    match field {
        Field::Phone => true,
        Field::FirstName => person.first_name.is_some(),
        Field::LastName => person.last_name.is_some(),
        Field::FullName => person.first_name.is_some() || person.last_name.is_some(),
        Field::DateOfBirth => person.date_of_birth.is_some(),
        Field::Email => person.email.is_some(),
        Field::Language => person.language.is_some(),
        Field::TimeZone => contact.zone.is_some(),
        Field::Priority => contact.priority.is_some(),
        Field::ExternalId => contact.external_id.is_some(),
    }
}

/// What a report shows of a value that cannot be read: all of it only if it has the look of what it should be.
fn shown(field: Field, text: &str) -> String {
    let zone = field == Field::TimeZone && text.len() <= 40 && text.is_ascii() && text.contains('/');
    let number = field == Field::Priority && text.len() <= 3 && text.bytes().all(|b| b.is_ascii_digit());
    if number || zone && !text.bytes().any(|b| b.is_ascii_digit()) { text.to_owned() } else { redact(text) }
}

/// Collects the problems of one row.
struct Problems<'a> {
    header: &'a Header,
    row: u64,
    list: &'a mut Vec<RowProblem>,
}

impl Problems<'_> {
    fn add(&mut self, severity: Severity, column: Option<usize>, value: String, reason: ProblemReason) {
        let column = column.map(|index| self.header.title(index)).unwrap_or_default();
        self.list.push(RowProblem { row: self.row, column, value, severity, reason });
    }

    /// Refuses the row for an empty required field; if the field has a value that could not be read, for that.
    fn refuse_instead(&mut self, column: Option<usize>, value: String, reason: ProblemReason) {
        let title = column.map(|index| self.header.title(index)).unwrap_or_default();
        match self.list.iter_mut().find(|problem| !title.is_empty() && problem.column == title) {
            Some(problem) => problem.severity = Severity::Refused,
            None => self.add(Severity::Refused, column, value, reason),
        }
    }

    fn fault(&mut self, fault: RowFault) {
        let (column, reason) = match fault {
            RowFault::RowTooLong => (None, ProblemReason::RowTooLong),
            RowFault::CellTooLong(index) => (Some(index), ProblemReason::CellTooLong),
            RowFault::TooManyColumns => (None, ProblemReason::TooManyColumns),
        };
        self.add(Severity::Refused, column, String::new(), reason);
    }
}
