//! The table inside a sheet: found once, read as often as needed.

use std::io::Read;
use std::sync::Arc;

use super::delimited::Records;
use super::delimiter;
use super::error::{ImportError, SheetError};
use super::header::Header;
use super::header_row::HEADER_SCAN_ROWS;
use super::row::Row;
use super::rules::ImportRules;
use super::sheet::{Sheet, SheetFormat};
use super::text::TextEncoding;
use super::workbook::Workbook;

/// Bytes of decoded text that decide on the delimiter.
const HEAD_BYTES: u64 = 64 * 1024;

/// A table with its header row.
pub(super) struct Table {
    pub(super) header: Header,
    body: Body,
}

enum Body {
    Text { sheet: Sheet, encoding: TextEncoding, delimiter: u8 },
    Loaded { rows: Arc<Vec<Row>>, worksheet: String },
}

/// The rows of a table, from the first.
pub(super) enum Rows {
    Text { name: String, records: Records<Box<dyn Read + Send>> },
    Loaded { rows: Arc<Vec<Row>>, next: usize },
}

impl Table {
    /// Finds the table and its header row.
    pub(super) fn open(sheet: &Sheet, rules: &ImportRules) -> Result<Self, ImportError> {
        if sheet.format().is_spreadsheet() {
            Self::in_workbook(sheet, rules)
        } else {
            Self::in_text(sheet, rules)
        }
    }

    fn in_text(sheet: &Sheet, rules: &ImportRules) -> Result<Self, ImportError> {
        let read = |source| SheetError::Read { name: sheet.name().to_owned(), source };
        let region = rules.region.as_ref().map(|region| region.as_str());
        let encoding = TextEncoding::detect(sheet.reader()?, region).map_err(read)?;
        let mut head = Vec::new();
        encoding
            .decode(sheet.reader()?)
            .and_then(|text| text.take(HEAD_BYTES).read_to_end(&mut head))
            .map_err(read)?;
        let quality = |rows: &[Row]| Header::quality(rows, rules);
        let delimiter = delimiter::detect(&head, sheet.format() == SheetFormat::Tsv, quality);
        let body = Body::Text { sheet: sheet.clone(), encoding, delimiter };
        let mut rows = body.rows()?;
        let (mut first, mut row) = (Vec::new(), Row::default());
        while first.len() < HEADER_SCAN_ROWS && rows.next(&mut row)? {
            if !row.is_blank() {
                first.push(row.clone());
            }
        }
        Ok(Self { header: Header::find(sheet.name(), &first, rules)?, body })
    }

    fn in_workbook(sheet: &Sheet, rules: &ImportRules) -> Result<Self, ImportError> {
        let mut workbook = Workbook::open(sheet)?;
        let mut worksheets = workbook.worksheets();
        if let Some(wanted) = &rules.worksheet {
            let found = worksheets.clone();
            worksheets.retain(|name| name.trim() == wanted.trim());
            if worksheets.is_empty() {
                let (name, worksheet) = (sheet.name().to_owned(), wanted.clone());
                return Err(ImportError::WorksheetNotFound { name, worksheet, found });
            }
        }
        let mut first_error = None;
        for worksheet in worksheets {
            let rows = workbook.rows(&worksheet)?;
            let first: Vec<Row> =
                rows.iter().filter(|row| !row.is_blank()).take(HEADER_SCAN_ROWS).cloned().collect();
            match Header::find(sheet.name(), &first, rules) {
                Ok(header) => {
                    return Ok(Self { header, body: Body::Loaded { rows: Arc::new(rows), worksheet } });
                }
                Err(error) => _ = first_error.get_or_insert(error),
            }
        }
        Err(first_error.unwrap_or(ImportError::Sheet(SheetError::Empty { name: sheet.name().to_owned() })))
    }

    /// The rows below the header row.
    pub(super) fn rows(&self) -> Result<Rows, SheetError> {
        let mut rows = self.body.rows()?;
        let mut row = Row::default();
        while rows.next(&mut row)? && row.number < self.header.row {}
        Ok(rows)
    }

    /// The encoding of a text.
    pub(super) fn encoding(&self) -> Option<&'static str> {
        match &self.body {
            Body::Text { encoding, .. } => Some(encoding.name()),
            Body::Loaded { .. } => None,
        }
    }

    /// The delimiter of a text.
    pub(super) fn delimiter(&self) -> Option<char> {
        match &self.body {
            Body::Text { delimiter, .. } => Some(char::from(*delimiter)),
            Body::Loaded { .. } => None,
        }
    }

    /// The worksheet of a spreadsheet.
    pub(super) fn worksheet(&self) -> Option<&str> {
        match &self.body {
            Body::Text { .. } => None,
            Body::Loaded { worksheet, .. } => Some(worksheet),
        }
    }
}

impl Body {
    fn rows(&self) -> Result<Rows, SheetError> {
        match self {
            Body::Text { sheet, encoding, delimiter } => {
                let name = sheet.name().to_owned();
                let text = encoding.decode(sheet.reader()?);
                let text = text.map_err(|source| SheetError::Read { name: name.clone(), source })?;
                Ok(Rows::Text { name, records: Records::new(text, *delimiter) })
            }
            Body::Loaded { rows, .. } => Ok(Rows::Loaded { rows: rows.clone(), next: 0 }),
        }
    }
}

impl Rows {
    /// Reads the next row; `false` at the end.
    pub(super) fn next(&mut self, row: &mut Row) -> Result<bool, SheetError> {
        match self {
            Rows::Text { name, records } => {
                records.read(row).map_err(|source| SheetError::Read { name: name.clone(), source })
            }
            Rows::Loaded { rows, next } => {
                let Some(found) = rows.get(*next) else {
                    return Ok(false);
                };
                row.clone_from(found);
                *next += 1;
                Ok(true)
            }
        }
    }
}
