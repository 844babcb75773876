//! What each column of a table means.

use std::cmp::Reverse;

use super::alias::{self, Meaning, RANK_BARE_NAME, RANK_FAMILY_FIRST, meaning};
use super::error::{ImportError, SheetError};
use super::field::Field;
use super::header_row::{HEADER_SCAN_ROWS, candidate, clean, has_data, same};
use super::row::{MAX_COLUMNS, Row, RowFault};
use super::rules::ImportRules;

/// The columns of a table and their meaning.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) row: u64,
    pub(super) columns: Vec<Column>,
    /// The phone columns, in the order in which they are tried.
    pub(super) phones: Vec<usize>,
    /// The full name starts with the family name.
    pub(super) family_first: bool,
    /// Variables that the rules name, beside the original column.
    pub(super) extras: Vec<(String, usize)>,
    pub(super) required: Vec<Required>,
    by_field: [Option<usize>; Field::ALL.len()],
}

/// One column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// The header as written, without surrounding space; empty if the column has none.
    pub(super) header: String,
    /// The unique name of its variable.
    pub(super) key: String,
    pub(super) field: Option<Field>,
}

/// What every row must fill.
#[derive(Debug, Clone)]
pub(super) enum Required {
    Field(Field),
    Column { name: String, index: usize },
}

impl Header {
    /// Finds the header row among the first rows of a sheet.
    pub(super) fn find(name: &str, rows: &[Row], rules: &ImportRules) -> Result<Self, ImportError> {
        let Some(row) = candidate(rows, rules) else {
            return Err(Self::missing(name, rows, rules));
        };
        if row.fault == Some(RowFault::TooManyColumns) {
            let (name, row) = (name.to_owned(), row.number);
            return Err(SheetError::TooManyColumns { name, row, limit: MAX_COLUMNS }.into());
        }
        let mut header = Self::of_row(row);
        header.map_by_rules(name, rules)?;
        header.map_by_alias();
        header.require(name, rules)?;
        header.check_preferences(name, rules)?;
        Ok(header)
    }

    /// How good the header row among these rows is: how many columns of it are known, then how early it comes.
    pub(super) fn quality(rows: &[Row], rules: &ImportRules) -> Option<(usize, Reverse<u64>)> {
        let row = candidate(&rows[..rows.len().min(HEADER_SCAN_ROWS)], rules)?;
        let mapped = |cell: &str| rules.columns.values().any(|header| same(header, cell));
        let known = row.cells().filter(|cell| mapped(cell) || meaning(cell).is_some()).count();
        Some((known, Reverse(row.number)))
    }

    /// The column of a field that has only one.
    pub(super) fn column(&self, field: Field) -> Option<usize> {
        self.by_field[field as usize]
    }

    /// How the report and the errors call a column: by its header, else by its number.
    pub(super) fn title(&self, index: usize) -> String {
        match self.columns.get(index) {
            Some(column) if !column.header.is_empty() => column.header.clone(),
            _ => numbered(index),
        }
    }

    /// The column that a header text, a variable or a field name means.
    pub(super) fn lookup(&self, name: &str) -> Option<usize> {
        let extra = self.extras.iter().find(|(variable, _)| variable == name).map(|(_, index)| *index);
        let key = || self.columns.iter().position(|column| column.key == name);
        let header = || self.columns.iter().position(|column| same(&column.header, name));
        extra.or_else(key).or_else(header)
    }

    fn of_row(row: &Row) -> Self {
        let mut columns: Vec<Column> = Vec::with_capacity(row.len());
        for cell in row.cells() {
            let header = clean(cell);
            let base = if header.is_empty() { numbered(columns.len()) } else { header.clone() };
            let taken = |key: &String| columns.iter().any(|column| column.key == *key);
            let key = std::iter::once(base.clone())
                .chain((2..).map(|n| format!("{base}_{n}")))
                .find(|key| !taken(key))
                .unwrap_or(base);
            columns.push(Column { header, key, field: None });
        }
        while columns.last().is_some_and(|column| column.header.is_empty()) {
            columns.pop();
        }
        Self {
            row: row.number,
            columns,
            phones: Vec::new(),
            family_first: false,
            extras: Vec::new(),
            required: Vec::new(),
            by_field: [None; Field::ALL.len()],
        }
    }

    fn map_by_rules(&mut self, name: &str, rules: &ImportRules) -> Result<(), ImportError> {
        for (target, text) in &rules.columns {
            let Some(index) = self.columns.iter().position(|column| same(&column.header, text)) else {
                return Err(self.not_found(name, &format!("columns.{target}"), text));
            };
            match Field::from_name(target) {
                Some(field) => {
                    self.columns[index].field = Some(field);
                    self.by_field[field as usize] = Some(index);
                }
                None => self.extras.push((target.clone(), index)),
            }
        }
        self.phones.extend(self.column(Field::Phone));
        Ok(())
    }

    fn map_by_alias(&mut self) {
        let mut found: Vec<(Meaning, usize)> = Vec::new();
        for (index, column) in self.columns.iter().enumerate().filter(|(_, column)| column.field.is_none()) {
            found.extend(meaning(&column.header).map(|meaning| (meaning, index)));
        }
        let has = |field| found.iter().any(|(meaning, _)| meaning.field == field);
        let bare_is_given = (has(Field::LastName) || self.column(Field::LastName).is_some())
            && !(has(Field::FirstName) || self.column(Field::FirstName).is_some());
        for (meaning, _) in &mut found {
            if bare_is_given && meaning.field == Field::FullName && meaning.rank == RANK_BARE_NAME {
                meaning.field = Field::FirstName;
            }
        }
        found.sort_by_key(|(meaning, index)| (meaning.rank, *index));
        let phone_is_explicit = !self.phones.is_empty();
        for (alias::Meaning { field, rank }, index) in found {
            if field == Field::Phone {
                if phone_is_explicit {
                    continue;
                }
                self.phones.push(index);
            } else if self.column(field).is_some() {
                continue;
            }
            self.by_field[field as usize].get_or_insert(index);
            self.columns[index].field = Some(field);
            self.family_first |= field == Field::FullName && rank == RANK_FAMILY_FIRST;
        }
    }

    fn require(&mut self, name: &str, rules: &ImportRules) -> Result<(), ImportError> {
        for wanted in &rules.required_fields {
            let required = match Field::from_name(wanted) {
                Some(field) if self.provides(field) => Some(Required::Field(field)),
                Some(_) => None,
                None => self.lookup(wanted).map(|index| Required::Column { name: wanted.clone(), index }),
            };
            self.required.push(required.ok_or_else(|| ImportError::RequiredColumnMissing {
                name: name.to_owned(),
                field: wanted.clone(),
                row: self.row,
                found: self.headers(),
            })?);
        }
        Ok(())
    }

    /// Whether contacts get a variable of exactly this name.
    pub(super) fn variable(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.key == name)
            || self.extras.iter().any(|(extra, _)| extra == name)
    }

    /// Whether some column can fill the field.
    pub(super) fn provides(&self, field: Field) -> bool {
        let has = |field| self.column(field).is_some();
        match field {
            Field::FirstName | Field::LastName => has(field) || has(Field::FullName),
            Field::FullName => has(field) || has(Field::FirstName) || has(Field::LastName),
            _ => has(field),
        }
    }

    fn check_preferences(&self, name: &str, rules: &ImportRules) -> Result<(), ImportError> {
        let super::Dedupe::Merge { prefer, .. } = &rules.dedupe else {
            return Ok(());
        };
        match prefer.keys().find(|key| Field::from_name(key).is_none() && self.lookup(key).is_none()) {
            Some(key) => Err(self.not_found(name, "dedupe.prefer", key)),
            None => Ok(()),
        }
    }

    pub(super) fn headers(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.header.clone()).filter(|header| !header.is_empty()).collect()
    }

    fn not_found(&self, name: &str, setting: &str, header: &str) -> ImportError {
        ImportError::ColumnNotFound {
            name: name.to_owned(),
            setting: setting.to_owned(),
            header: header.to_owned(),
            row: self.row,
            found: self.headers(),
        }
    }

    /// The error for a sheet without a header row. It repeats a row only if that row cannot be a person.
    fn missing(name: &str, rows: &[Row], rules: &ImportRules) -> ImportError {
        if let Some(header) = rules.columns.get(Field::Phone.name()) {
            let by_alias = ImportRules { columns: Default::default(), ..rules.clone() };
            if let Some(row) = candidate(rows, &by_alias) {
                return Self::of_row(row).not_found(name, "columns.phone", header);
            }
        }
        let people_follow = rows.iter().skip(1).any(has_data) || rows.len() == 1;
        let first_row = rows.first().filter(|row| !has_data(row) && people_follow);
        ImportError::NoHeaderRow {
            name: name.to_owned(),
            scanned: rows.len(),
            first_row: first_row.map(|row| Self::of_row(row).headers()).unwrap_or_default(),
        }
    }
}

/// The name of a column without a header; it counts from 1.
pub(super) fn numbered(index: usize) -> String {
    format!("column_{}", index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(table: &[&[&str]]) -> Vec<Row> {
        let fill = |(number, cells): (usize, &&[&str])| {
            let mut row = Row::default();
            row.start(number as u64 + 1);
            cells.iter().for_each(|cell| row.push(cell));
            row
        };
        table.iter().enumerate().map(fill).collect()
    }

    fn find(table: &[&[&str]], rules: &ImportRules) -> Result<Header, ImportError> {
        Header::find("list.csv", &rows(table), rules)
    }

    #[test]
    fn titles_above_the_header_are_skipped() {
        let table: &[&[&str]] =
            &[&["Phone"], &["Telephone list of 2026"], &["Name", "Phone"], &["Dana", "0541234567"]];
        let header = find(table, &ImportRules::default()).unwrap();
        assert_eq!((header.row, header.phones.as_slice()), (3, &[1][..]));
    }

    #[test]
    fn phones_are_tried_mobile_first() {
        let table: &[&[&str]] = &[&["Home phone", "Phone", "Fax", "Mobile", "Work phone", "Phone 2"]];
        assert_eq!(find(table, &ImportRules::default()).unwrap().phones, [3, 1, 5, 0, 4]);
    }

    #[test]
    fn a_bare_name_beside_a_family_name_is_the_given_name() {
        let header = find(&[&["שם", "שם משפחה", "טלפון"]], &ImportRules::default()).unwrap();
        assert_eq!(header.column(Field::FirstName), Some(0));
        assert_eq!(header.column(Field::FullName), None);
    }

    #[test]
    fn keys_are_unique_and_unnamed_columns_are_numbered() {
        let header = find(&[&["Phone", "Note", "", "Note", "Note_2", ""]], &ImportRules::default()).unwrap();
        let keys: Vec<&str> = header.columns.iter().map(|column| column.key.as_str()).collect();
        assert_eq!(keys, ["Phone", "Note", "column_3", "Note_2", "Note_2_2"]);
    }

    #[test]
    fn the_rules_map_before_the_aliases() {
        let columns = [("phone", "Line A"), ("balance", "amount DUE")];
        let columns = columns.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let rules = ImportRules { columns, ..ImportRules::default() };
        let header = find(&[&["Phone", "Line A", "Amount due"]], &rules).unwrap();
        assert_eq!(header.phones, [1]);
        assert_eq!(header.extras, [("balance".to_owned(), 2)]);
        let error = find(&[&["Phone", "Line B"]], &rules).unwrap_err().to_string();
        assert!(error.contains("columns.phone") && error.contains("\"Line B\""), "{error}");
    }

    #[test]
    fn what_is_required_must_have_a_column() {
        let require =
            |field: &str| ImportRules { required_fields: vec![field.into()], ..ImportRules::default() };
        let table: &[&[&str]] = &[&["Name", "Phone", "Clinic"]];
        for field in ["first_name", "last_name", "full_name", "phone", "Clinic", "clinic"] {
            assert_eq!(find(table, &require(field)).unwrap().required.len(), 1, "{field}");
        }
        let error = find(table, &require("email")).unwrap_err().to_string();
        assert!(error.contains("\"email\"") && error.contains("\"Clinic\""), "{error}");
    }

    #[test]
    fn people_are_not_repeated_when_there_is_no_header() {
        let error = find(&[&["Dana", "0541234567"]], &ImportRules::default()).unwrap_err().to_string();
        assert!(
            error.contains("columns.phone") && !error.contains("Dana") && !error.contains("054"),
            "{error}"
        );
        let error =
            find(&[&["Client", "Line"], &["Dana", "0541234567"]], &ImportRules::default()).unwrap_err();
        assert!(error.to_string().contains("\"Line\""), "{error}");
    }
}
