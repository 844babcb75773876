//! A look at an ods file before it is decoded.
//!
//! The decoder reads on for ever where an element is not closed, and writes every repeated cell and row out ([ODF] 19.675,
//! 19.679), so that a few bytes can ask for more memory than there is. So the elements are matched and the cells are
//! measured here first, with the same reading of the file and without trust.
//!
//! [ODF]: https://docs.oasis-open.org/office/OpenDocument/v1.3/os/part3-schema/OpenDocument-v1.3-os-part3-schema.html

use std::io::{BufRead, BufReader, Read, Seek};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

/// What the file claims to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Its worksheets take at most this many bytes once they are decoded.
    Bytes(u64),
    /// It contradicts itself or the format.
    Broken,
}

/// Rows and columns to which the decoder keeps.
const ROWS: u64 = 1_048_576;
const COLUMNS: u64 = 16_384;

/// Memory that the decoder takes for one cell without its text, empty or not: its value and its formula.
const CELL_BYTES: u64 = 64;

/// Parts that the decoder reads.
const PARTS: [&str; 3] = ["META-INF/manifest.xml", "styles.xml", "content.xml"];

/// Measures the worksheets of an ods file.
pub(super) fn measure<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Finding {
    let mut bytes = 0_u64;
    for part in PARTS {
        // A part that is missing is missed by the decoder, or not needed.
        let Ok(file) = archive.by_name(part) else { continue };
        match measure_part(BufReader::new(file)) {
            Some(more) => bytes = bytes.saturating_add(more),
            None => return Finding::Broken,
        }
    }
    Finding::Bytes(bytes)
}

/// What the tables of one part take; `None` if an element is not closed, or not where it was opened.
fn measure_part(part: impl BufRead) -> Option<u64> {
    let mut reader = Reader::from_reader(part);
    reader.config_mut().expand_empty_elements = true;
    let (mut depth, mut bytes) = (0_u64, 0_u64);
    let mut table = Table::default();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match reader.read_event_into(&mut buffer).ok()? {
            Event::Start(element) => {
                depth += 1;
                table.open(&element)?;
            }
            Event::End(element) => {
                depth = depth.checked_sub(1)?;
                if element.name().0 == "table:table" {
                    bytes = bytes.saturating_add(std::mem::take(&mut table).bytes());
                }
            }
            Event::Text(text) => table.row.text(text.len() as u64),
            Event::GeneralRef(name) => table.row.text(name.len() as u64),
            Event::CData(text) => table.row.text(text.len() as u64),
            Event::Eof => return (depth == 0).then(|| bytes.saturating_add(table.bytes())),
            _ => {}
        }
    }
}

/// One worksheet so far.
#[derive(Default)]
struct Table {
    row: Row,
    /// Rows between the first and the last that have anything in them.
    rows: u64,
    /// Empty rows that count once something follows.
    empty_rows: u64,
    width: u64,
    /// Texts, and cells as they are written before rows are repeated.
    bytes: u64,
}

/// The row at hand.
#[derive(Default)]
struct Row {
    repeats: u64,
    /// Cells up to the last that has anything in it.
    width: u64,
    empty_cells: u64,
    text_bytes: u64,
    /// How often the cell at hand is repeated, with everything in it.
    cell_repeats: u64,
}

impl Table {
    fn open(&mut self, element: &BytesStart<'_>) -> Option<()> {
        match element.name().0 {
            "table:table-row" => {
                self.end_row();
                self.row =
                    Row { repeats: repeats(element, "table:number-rows-repeated", ROWS)?, ..Row::default() };
            }
            "table:table-cell" | "table:covered-table-cell" => {
                let columns = repeats(element, "table:number-columns-repeated", COLUMNS)?;
                self.row.cell(columns, has_content(element)?, element.len() as u64);
            }
            "text:s" => self.row.text(repeats(element, "text:c", u64::MAX)?),
            _ => {}
        }
        Some(())
    }

    fn end_row(&mut self) {
        let row = std::mem::take(&mut self.row);
        if row.width == 0 {
            self.empty_rows = self.empty_rows.saturating_add(row.repeats);
            return;
        }
        if self.rows == 0 {
            self.empty_rows = 0;
        }
        self.rows =
            self.rows.saturating_add(std::mem::take(&mut self.empty_rows)).saturating_add(row.repeats);
        self.width = self.width.max(row.width);
        let texts = row.text_bytes.saturating_mul(row.repeats.saturating_add(1));
        self.bytes = self.bytes.saturating_add(row.width * CELL_BYTES).saturating_add(texts);
    }

    fn bytes(mut self) -> u64 {
        self.end_row();
        self.rows.saturating_mul(self.width * CELL_BYTES).saturating_add(self.bytes)
    }
}

impl Row {
    fn cell(&mut self, columns: u64, has_content: bool, attributes: u64) {
        self.cell_repeats = columns;
        if has_content {
            self.width = (self.width + self.empty_cells).min(COLUMNS) + columns;
            self.width = self.width.min(COLUMNS);
            self.empty_cells = 0;
            self.text(attributes);
        } else {
            self.empty_cells = (self.empty_cells + columns).min(COLUMNS);
        }
    }

    fn text(&mut self, bytes: u64) {
        self.text_bytes = self.text_bytes.saturating_add(bytes.saturating_mul(self.cell_repeats.max(1)));
    }
}

/// How often an element is repeated, at most `most` times.
fn repeats(element: &BytesStart<'_>, name: &str, most: u64) -> Option<u64> {
    match element.try_get_attribute(name).ok()? {
        Some(times) => Some(times.value.trim().parse().unwrap_or(u64::MAX).min(most)),
        None => Some(1),
    }
}

/// Whether a cell has a value or a formula.
fn has_content(cell: &BytesStart<'_>) -> Option<bool> {
    for attribute in cell.attributes() {
        let attribute = attribute.ok()?;
        let name = attribute.key.0;
        if name.starts_with("office:") || name.starts_with("calcext:") || name == "table:formula" {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const PEOPLE: &[u8] = include_bytes!("../../tests/data/people.ods");

    fn rows(rows: &str) -> Option<u64> {
        measure_part(format!("<a><table:table>{rows}</table:table></a>").as_bytes())
    }

    #[test]
    fn a_real_file_is_measured() {
        let Finding::Bytes(bytes) = measure(&mut ZipArchive::new(Cursor::new(PEOPLE)).unwrap()) else {
            panic!("it is a good file")
        };
        assert!((1_000..100_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn elements_that_are_not_closed_are_noticed() {
        assert!(measure_part(&b"<a><b/></a>"[..]).is_some());
        for text in
            ["<a><table:table>", "<a><b></a></b>", "<a></b>", "</a>", "<a><office:annotation></a>", "<a"]
        {
            assert_eq!(measure_part(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn repetition_counts_up_to_the_last_cell_that_has_anything() {
        let cell = "<table:table-cell office:value='1'/>";
        let one = rows(&format!("<table:table-row>{cell}</table:table-row>")).unwrap();
        assert!(one < 300, "{one}");
        let empty = "<table:table-cell table:style-name='a' table:number-columns-repeated='16384'/>";
        let trailing = format!(
            "<table:table-row>{cell}{empty}</table:table-row><table:table-row table:number-rows-repeated='1048575'>{empty}</table:table-row>"
        );
        assert_eq!(rows(&trailing), Some(one));
        for (row, least) in [
            (format!("<table:table-row table:number-rows-repeated='1000000'>{cell}</table:table-row>"), 64_000_000),
            (format!("<table:table-row>{empty}{cell}</table:table-row>"), 1_000_000),
            (
                format!("{trailing}<table:table-row>{cell}</table:table-row>"),
                64_000_000,
            ),
            (
                "<table:table-row><table:table-cell office:value-type='string' table:number-columns-repeated='9000'>\
                <text:p><text:s text:c='99999'/></text:p></table:table-cell></table:table-row>"
                    .to_owned(),
                900_000_000,
            ),
            (
                "<table:table-row><table:table-cell office:value-type='string' \
                table:number-columns-repeated='99999999999999999999'/></table:table-row>"
                    .to_owned(),
                COLUMNS * 64,
            ),
        ] {
            let bytes = rows(&row).unwrap();
            assert!(bytes >= least, "{bytes}: {row}");
        }
    }
}
