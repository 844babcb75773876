//! Spreadsheets (xlsx, xls, ods): their worksheets as rows of exact texts.
//!
//! A worksheet is held in memory, so what it may take is limited before and while it is read: the unpacked size of the
//! archive, the extent of an xls file or the tables of an ods file, the width of a row and the length of a cell.

use std::io::{self, BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use calamine::{Data, DataType, ExcelDateTime, Ods, Reader, SheetType, SheetVisible, Xls, Xlsx};

use super::error::SheetError;
use super::ods_limits;
use super::row::{MAX_COLUMNS, Row, RowFault};
use super::sheet::{ReadSeek, Sheet, SheetFormat};
use super::xls_limits::{self, Finding};

/// Most bytes that a workbook may have after unpacking.
pub const MAX_UNPACKED_BYTES: u64 = 1024 * 1024 * 1024;
/// Most files in the archive of a workbook; real ones have some dozens.
const MAX_ARCHIVE_FILES: usize = 10_000;

/// Memory that one cell takes in a row beside its text, at least.
const CELL_BYTES: u64 = 8;
/// Memory that the xls decoder takes for one cell, empty or not.
const XLS_CELL_BYTES: u64 = 128;

type Source = BufReader<Box<dyn ReadSeek>>;

/// An opened workbook.
pub(super) struct Workbook {
    name: String,
    book: Book,
}

enum Book {
    Xlsx(Box<Xlsx<Source>>),
    Xls(Box<Xls<Source>>),
    Ods(Box<Ods<Source>>),
}

impl Workbook {
    /// Opens the workbook in a sheet.
    pub(super) fn open(sheet: &Sheet) -> Result<Self, SheetError> {
        let name = sheet.name().to_owned();
        if sheet.format() == SheetFormat::Xls {
            check_extent(&name, sheet.reader()?)?;
        } else {
            check_unpacked_size(&name, sheet.reader()?)?;
        }
        if sheet.format() == SheetFormat::Ods {
            check_tables(&name, sheet.reader()?)?;
        }
        let source = BufReader::new(sheet.reader()?);
        let book = guarded(|| match sheet.format() {
            SheetFormat::Xls => Xls::new(source).map(|book| Book::Xls(Box::new(book))).map_err(|e| match e {
                calamine::XlsError::Password => PROTECTED,
                _ => "it is no readable xls workbook",
            }),
            SheetFormat::Ods => Ods::new(source).map(|book| Book::Ods(Box::new(book))).map_err(|e| match e {
                calamine::OdsError::Password => PROTECTED,
                _ => "it is no readable ods workbook",
            }),
            _ => Xlsx::new(source).map(|book| Book::Xlsx(Box::new(book))).map_err(|e| match e {
                calamine::XlsxError::Password => PROTECTED,
                _ => "it is no readable xlsx workbook",
            }),
        });
        match book {
            Ok(book) => Ok(Self { name, book }),
            Err(detail) => Err(broken(name, detail)),
        }
    }

    /// The names of its worksheets in their order, the hidden ones last.
    pub(super) fn worksheets(&self) -> Vec<String> {
        let sheets = match &self.book {
            Book::Xlsx(book) => book.sheets_metadata(),
            Book::Xls(book) => book.sheets_metadata(),
            Book::Ods(book) => book.sheets_metadata(),
        };
        let tables = sheets.iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
        let (shown, hidden): (Vec<_>, Vec<_>) =
            tables.partition(|sheet| sheet.visible == SheetVisible::Visible);
        shown.into_iter().chain(hidden).map(|sheet| sheet.name.clone()).collect()
    }

    /// The rows of a worksheet that have any cell.
    pub(super) fn rows(&mut self, worksheet: &str) -> Result<Vec<Row>, SheetError> {
        let rows = guarded(|| match &mut self.book {
            Book::Xlsx(book) => xlsx_rows(book, worksheet),
            Book::Xls(book) => {
                book.worksheet_range(worksheet).map(|r| range_rows(&r)).map_err(|_| UNREADABLE)
            }
            Book::Ods(book) => {
                book.worksheet_range(worksheet).map(|r| range_rows(&r)).map_err(|_| UNREADABLE)
            }
        });
        rows.map_err(|detail| match detail {
            TOO_LARGE => SheetError::TooLarge { name: self.name.clone(), limit_bytes: MAX_UNPACKED_BYTES },
            _ => broken(self.name.clone(), detail),
        })
    }
}

const PROTECTED: &str = "it is protected by a password";
const UNREADABLE: &str = "a worksheet cannot be read";
const TOO_LARGE: &str = "a worksheet is too large";

fn broken(name: String, detail: &str) -> SheetError {
    SheetError::Broken { name, detail: detail.to_owned() }
}

/// Runs the decoder so that a panic on a damaged file becomes an error of that file.
fn guarded<T>(decode: impl FnOnce() -> Result<T, &'static str>) -> Result<T, &'static str> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err("its contents are contradictory"))
}

/// Whether a zip archive says of itself to be an `OpenDocument` spreadsheet.
pub(super) fn is_ods(head: &[u8]) -> bool {
    const MIMETYPE: &[u8] = b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet";
    head.windows(MIMETYPE.len()).any(|window| window == MIMETYPE)
}

/// Measures an xls file before its decoder trusts it.
fn check_extent(name: &str, mut reader: Box<dyn ReadSeek>) -> Result<(), SheetError> {
    let mut file = Vec::new();
    reader.read_to_end(&mut file).map_err(|source| SheetError::Read { name: name.to_owned(), source })?;
    match xls_limits::measure(&file) {
        Finding::Cells(cells) if cells > MAX_UNPACKED_BYTES / XLS_CELL_BYTES => {
            Err(SheetError::TooLarge { name: name.to_owned(), limit_bytes: MAX_UNPACKED_BYTES })
        }
        Finding::Cells(_) => Ok(()),
        Finding::Broken => Err(broken(name.to_owned(), "it is no readable xls workbook")),
    }
}

/// Measures an ods file before its decoder trusts it.
fn check_tables(name: &str, reader: Box<dyn ReadSeek>) -> Result<(), SheetError> {
    let unreadable = "it is no readable ods workbook";
    let measured = guarded(|| {
        let mut archive = zip::ZipArchive::new(BufReader::new(reader)).map_err(|_| unreadable)?;
        Ok(ods_limits::measure(&mut archive))
    });
    match measured.map_err(|detail| broken(name.to_owned(), detail))? {
        ods_limits::Finding::Bytes(bytes) if bytes > MAX_UNPACKED_BYTES => {
            Err(SheetError::TooLarge { name: name.to_owned(), limit_bytes: MAX_UNPACKED_BYTES })
        }
        ods_limits::Finding::Bytes(_) => Ok(()),
        ods_limits::Finding::Broken => Err(broken(name.to_owned(), unreadable)),
    }
}

/// Unpacks the archive into nothing, because the sizes it declares need not be true.
fn check_unpacked_size(name: &str, reader: Box<dyn ReadSeek>) -> Result<(), SheetError> {
    let no_archive = || broken(name.to_owned(), "it is no complete zip archive");
    let checked = guarded(|| {
        let mut archive = zip::ZipArchive::new(BufReader::new(reader)).map_err(|_| "")?;
        if archive.len() > MAX_ARCHIVE_FILES {
            return Ok(false);
        }
        let mut left = MAX_UNPACKED_BYTES;
        for index in 0..archive.len() {
            let file = archive.by_index(index).map_err(|_| "")?;
            let unpacked = io::copy(&mut file.take(left + 1), &mut io::sink()).map_err(|_| "")?;
            if unpacked > left {
                return Ok(false);
            }
            left -= unpacked;
        }
        Ok(true)
    });
    match checked {
        Ok(true) => Ok(()),
        Ok(false) => Err(SheetError::TooLarge { name: name.to_owned(), limit_bytes: MAX_UNPACKED_BYTES }),
        Err(_) => Err(no_archive()),
    }
}

/// Reads cell by cell, so that one cell far away does not cost the memory of all cells before it. A text that cells share
/// stands in the file once and in memory for each of them, so texts are counted.
fn xlsx_rows<R: Read + Seek>(book: &mut Xlsx<R>, worksheet: &str) -> Result<Vec<Row>, &'static str> {
    let mut cells = book.worksheet_cells_reader(worksheet).map_err(|_| UNREADABLE)?;
    let mut rows: Vec<Row> = Vec::new();
    let mut sorted = true;
    let mut left = MAX_UNPACKED_BYTES;
    while let Some(cell) = cells.next_cell().map_err(|_| UNREADABLE)? {
        let (row, column) = cell.get_position();
        let value = Data::from(cell.get_value().clone());
        if value == Data::Empty {
            continue;
        }
        let text_bytes = value.get_string().map_or(0, |text| text.len() as u64);
        left = left.checked_sub(CELL_BYTES + text_bytes).ok_or(TOO_LARGE)?;
        let number = u64::from(row) + 1;
        if rows.last().is_none_or(|last| last.number != number) {
            if let Some(last) = rows.last_mut() {
                last.shrink();
                sorted &= last.number < number;
            }
            let mut row = Row::default();
            row.start(number);
            rows.push(row);
            // The empty cells before this one have their places, too.
            left =
                left.checked_sub(CELL_BYTES * u64::from(column).min(MAX_COLUMNS as u64)).ok_or(TOO_LARGE)?;
        }
        if let Some(row) = rows.last_mut() {
            place(row, column as usize, &value);
        }
    }
    if !sorted {
        rows.sort_by_key(|row| row.number);
    }
    Ok(rows)
}

fn range_rows(range: &calamine::Range<Data>) -> Vec<Row> {
    let (first_row, first_column) = range.start().unwrap_or_default();
    let mut rows = Vec::new();
    for (offset, cells) in range.rows().enumerate() {
        if cells.iter().all(DataType::is_empty) {
            continue;
        }
        let mut row = Row::default();
        row.start(u64::from(first_row) + offset as u64 + 1);
        for (column, value) in cells.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            place(&mut row, first_column as usize + column, value);
        }
        row.shrink();
        rows.push(row);
    }
    rows
}

fn place(row: &mut Row, column: usize, value: &Data) {
    if column >= MAX_COLUMNS {
        row.fault.get_or_insert(RowFault::TooManyColumns);
        return;
    }
    row.pad(column);
    if row.len() == column {
        row.push(&text_of(value));
    }
}

/// The text of a cell: as written, numbers in their shortest exact form, dates in ISO 8601.
fn text_of(value: &Data) -> String {
    match value {
        Data::Empty => String::new(),
        Data::String(text) | Data::DurationIso(text) => text.clone(),
        Data::DateTimeIso(text) => text.strip_suffix("T00:00:00").unwrap_or(text).replacen('T', " ", 1),
        Data::Int(number) => number.to_string(),
        Data::Float(number) => number.to_string(),
        Data::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        Data::Error(error) => error.to_string(),
        Data::DateTime(time) => time_text(time),
    }
}

/// Last day that spreadsheets know, as a serial number.
const SERIAL_DAY_MAX: f64 = 2_958_466.0;

fn time_text(time: &ExcelDateTime) -> String {
    let serial = time.as_f64();
    if !(0.0..SERIAL_DAY_MAX).contains(&serial) {
        return serial.to_string();
    }
    if time.is_duration() {
        let seconds = (serial * 86_400.0).round() as u64;
        return format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    let Some(at) = time.as_datetime() else {
        return serial.to_string();
    };
    if serial < 1.0 {
        at.format("%H:%M:%S").to_string()
    } else if at.time() == chrono::NaiveTime::MIN {
        at.format("%Y-%m-%d").to_string()
    } else {
        at.format("%Y-%m-%d %H:%M:%S").to_string()
    }
}

#[cfg(test)]
mod tests {
    use calamine::{CellErrorType, ExcelDateTimeType};

    use super::*;

    #[test]
    fn cells_have_their_shortest_exact_text() {
        let date = |serial| Data::DateTime(ExcelDateTime::new(serial, ExcelDateTimeType::DateTime, false));
        let span = |serial| Data::DateTime(ExcelDateTime::new(serial, ExcelDateTimeType::TimeDelta, false));
        for (value, text) in [
            (Data::Float(541_234_567.0), "541234567"),
            (Data::Float(5.41e8), "541000000"),
            (Data::Float(4274.12), "4274.12"),
            (Data::Float(0.1 + 0.2), "0.30000000000000004"),
            (Data::Int(-7), "-7"),
            (Data::Bool(true), "TRUE"),
            (Data::Error(CellErrorType::NA), "#N/A"),
            (Data::String(" as is ".into()), " as is "),
            (date(27167.0), "1974-05-18"),
            (date(27167.5), "1974-05-18 12:00:00"),
            (date(0.25), "06:00:00"),
            (date(541_234_567.0), "541234567"),
            (span(1.5), "36:00:00"),
            (Data::DateTimeIso("1974-05-18T00:00:00".into()), "1974-05-18"),
            (Data::DateTimeIso("1974-05-18T10:00:00".into()), "1974-05-18 10:00:00"),
        ] {
            assert_eq!(text_of(&value), text);
        }
    }

    #[test]
    fn a_damaged_workbook_is_an_error_of_the_file() {
        for bytes in [&b"PK\x03\x04 and no more"[..], b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1 and no more"] {
            let sheet = Sheet::from_bytes("list", bytes).unwrap();
            let error = Workbook::open(&sheet).err().unwrap().to_string();
            assert!(error.contains("list") && error.contains("save it as"), "{error}");
        }
    }
}
