//! The import itself: rows in, contacts and a report out.

use crate::domain::NumberKind;
use std::fmt;
use std::sync::Arc;

use super::cell::filled;
use super::contact::{ContactTransformer, ImportedContact};
use super::date;
use super::dedupe::{Deduper, Verdict};
use super::error::{ImportError, SheetError};
use super::field::Field;
use super::report::{ColumnReport, ImportReport, MAX_PROBLEMS, RowProblem, Severity};
use super::resolve::Resolver;
use super::row::Row;
use super::rules::{DateOrder, ImportRules};
use super::sheet::Sheet;
use super::table::{Rows, Table};

/// Dates that prove their order before a column is believed; columns without so many are read to their end.
const DATE_PROOFS: u32 = 200;

/// A running import: an iterator over the contacts of a sheet, which ends with a [report](Self::finish).
///
/// Synchronous; run it on a thread that may block. Text is streamed, so memory does not grow with the length of the
/// file but for the numbers already seen (about 40 bytes each); a spreadsheet is held in memory.
pub struct Import {
    rows: Rows,
    row: Row,
    resolver: Resolver,
    deduper: Deduper,
    report: ImportReport,
    /// The problems of the row at hand.
    problems: Vec<RowProblem>,
    /// How many problems of each severity the report has.
    kept: [usize; 3],
    ended: bool,
}

impl Import {
    /// Finds the table in the sheet and makes ready to read its rows. Reads the sheet once for its encoding, and once
    /// more where the rules need to know the whole: to keep the last row, to merge, or to tell the order of dates.
    ///
    /// # Errors
    ///
    /// The file cannot be read, has no header row with a phone column, or lacks a column that the rules or their prompt
    /// name.
    pub fn start(
        sheet: &Sheet,
        rules: &ImportRules,
        transformers: &[Arc<dyn ContactTransformer>],
    ) -> Result<Import, ImportError> {
        let table = Table::open(sheet, rules)?;
        if let Some(rule) = rules.prompt.as_ref().filter(|_| transformers.is_empty()) {
            // What a transformer adds is known of each row alone.
            rule.check_header(sheet.name(), &table.header)?;
        }
        if let Some(rule) = rules.messages.as_ref().filter(|_| transformers.is_empty()) {
            rule.check_header(sheet.name(), &table.header)?;
        }
        let date_order = date_order(&table, rules)?;
        let resolver = Resolver {
            header: table.header.clone(),
            region: rules.region,
            date_order: date_order.unwrap_or_default(),
            transformers: transformers.to_vec(),
            prompt: rules.prompt.clone(),
            messages: rules.messages.clone(),
        };
        let mut deduper = Deduper::new(&rules.dedupe, &resolver.header);
        if deduper.counts_first() {
            let (mut rows, mut row) = (table.rows()?, Row::default());
            while rows.next(&mut row)? {
                if !row.is_blank() {
                    resolver.number_of(&row).into_iter().for_each(|number| deduper.count(number));
                }
            }
        }
        let report = ImportReport {
            sheet: sheet.name().to_owned(),
            digest: sheet.digest().to_owned(),
            format: sheet.format(),
            worksheet: table.worksheet().map(str::to_owned),
            encoding: table.encoding().map(str::to_owned),
            delimiter: table.delimiter(),
            header_row: table.header.row,
            date_order,
            columns: columns(&table),
            rows: 0,
            imported: 0,
            duplicates: 0,
            invalid: 0,
            blank_rows: 0,
            landlines: rules.sends_sms.then_some(0),
            problems: Vec::new(),
            problems_total: 0,
            complete: false,
        };
        let rows = table.rows()?;
        Ok(Self {
            rows,
            row: Row::default(),
            resolver,
            deduper,
            report,
            problems: Vec::new(),
            kept: [0; 3],
            ended: false,
        })
    }

    /// The next contact; rows that are refused or duplicates are passed over and counted. `None` at the end.
    ///
    /// Merged contacts come at the place of their last row.
    ///
    /// # Errors
    ///
    /// The file can no longer be read; the import is over.
    pub fn next_contact(&mut self) -> Option<Result<ImportedContact, ImportError>> {
        while !self.ended {
            match self.rows.next(&mut self.row) {
                Ok(true) => {}
                Ok(false) => (self.ended, self.report.complete) = (true, true),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.into()));
                }
            }
            if self.ended || self.row.is_blank() {
                self.report.blank_rows += u64::from(!self.ended);
                continue;
            }
            if let Some(contact) = self.take_row() {
                return Some(Ok(contact));
            }
        }
        None
    }

    /// The report so far; [`complete`](ImportReport::complete) once [`next_contact`](Self::next_contact) gave `None`.
    pub fn report(&self) -> &ImportReport {
        &self.report
    }

    /// Ends the import with its report.
    pub fn finish(self) -> ImportReport {
        self.report
    }

    fn take_row(&mut self) -> Option<ImportedContact> {
        self.report.rows += 1;
        for (index, column) in self.report.columns.iter_mut().enumerate() {
            column.filled += u64::from(!self.row.cell(index).trim().is_empty());
        }
        let contact = self.resolver.resolve(&self.row, &mut self.problems);
        for problem in std::mem::take(&mut self.problems) {
            self.note(problem);
        }
        let Some(contact) = contact else {
            self.report.invalid += 1;
            return None;
        };
        match self.deduper.admit(contact) {
            Verdict::Keep(contact) => {
                self.report.imported += 1;
                if let Some(landlines) = &mut self.report.landlines {
                    *landlines += u64::from(contact.number.kind() == NumberKind::FixedLine);
                }
                Some(contact)
            }
            Verdict::Duplicate(reason) => {
                self.report.duplicates += 1;
                self.note(RowProblem {
                    row: self.row.number,
                    column: String::new(),
                    value: String::new(),
                    severity: Severity::Duplicate,
                    reason,
                });
                None
            }
        }
    }

    /// Adds a problem to the report, or only counts it if there are enough of its severity.
    fn note(&mut self, problem: RowProblem) {
        self.report.problems_total += 1;
        let kept = &mut self.kept[problem.severity as usize];
        if *kept < MAX_PROBLEMS {
            *kept += 1;
            self.report.problems.push(problem);
        }
    }
}

impl Iterator for Import {
    type Item = Result<ImportedContact, ImportError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_contact()
    }
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import")
            .field("sheet", &self.report.sheet)
            .field("rows", &self.report.rows)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

fn columns(table: &Table) -> Vec<ColumnReport> {
    let report = |column: &super::header::Column| ColumnReport {
        header: column.header.clone(),
        variable: column.key.clone(),
        field: column.field,
        filled: 0,
    };
    table.header.columns.iter().map(report).collect()
}

/// How ambiguous dates of birth are read: by the rules, else as most dates of the column prove, else as the region
/// writes. `None` without such a column.
fn date_order(table: &Table, rules: &ImportRules) -> Result<Option<DateOrder>, SheetError> {
    let Some(column) = table.header.column(Field::DateOfBirth) else {
        return Ok(None);
    };
    if rules.date_order != DateOrder::Auto {
        return Ok(Some(rules.date_order));
    }
    let (mut day_first, mut month_first) = (0u32, 0u32);
    let (mut rows, mut row) = (table.rows()?, Row::default());
    while day_first + month_first < DATE_PROOFS && rows.next(&mut row)? {
        match filled(row.cell(column)).and_then(|text| date::proves(&text)) {
            Some(DateOrder::MonthFirst) => month_first += 1,
            Some(_) => day_first += 1,
            None => {}
        }
    }
    let habit = date::habit(rules.region.as_ref().map(|region| region.as_str()));
    Ok(Some(match day_first.cmp(&month_first) {
        std::cmp::Ordering::Greater => DateOrder::DayFirst,
        std::cmp::Ordering::Less => DateOrder::MonthFirst,
        std::cmp::Ordering::Equal => habit,
    }))
}
