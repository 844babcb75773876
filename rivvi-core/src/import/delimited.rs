//! Records of delimited text (RFC 4180 and what people make of it), streamed in bounded memory.
//!
//! Lines may end in LF, CRLF or CR; blank lines are skipped; a quoted cell may hold delimiters, line breaks and doubled
//! quotes. A quotation mark that is never closed, or not within twice [`MAX_CELL_BYTES`], would swallow the rows below:
//! its line is read again with quotation marks as plain characters, so one slip costs one row.

use std::io::{self, Read};

use super::row::{MAX_CELL_BYTES, MAX_ROW_BYTES, Row, RowFault};

/// Initial size of the window on the text; it grows up to a little more than one row.
const WINDOW_BYTES: usize = 256 * 1024;

/// A reader of records over UTF-8 bytes.
pub(super) struct Records<R> {
    reader: R,
    delimiter: u8,
    window: Vec<u8>,
    at: usize,
    end: usize,
    /// The reader has no more bytes.
    ended: bool,
    /// The line at `at`, counted from 1.
    line: u64,
    ends: Vec<usize>,
}

/// What came of parsing one record from a window.
enum Parsed {
    /// The record takes this many bytes and line breaks.
    Record { bytes: usize, lines: u64 },
    /// The window ends before the record does.
    NeedMore,
    /// A quotation mark is not closed.
    OpenQuote,
}

impl<R: Read> Records<R> {
    /// Records separated by line breaks, with cells separated by `delimiter`.
    pub(super) fn new(reader: R, delimiter: u8) -> Self {
        let window = vec![0; WINDOW_BYTES];
        Self { reader, delimiter, window, at: 0, end: 0, ended: false, line: 1, ends: Vec::new() }
    }

    /// Reads the next record into `row`; `false` at the end.
    pub(super) fn read(&mut self, row: &mut Row) -> io::Result<bool> {
        self.skip_blank_lines()?;
        if self.at == self.end {
            return Ok(false);
        }
        row.start(self.line);
        let mut text = row.take_text();
        let mut quotes = true;
        loop {
            let window = &self.window[self.at..self.end];
            match parse(window, self.delimiter, quotes, self.ended, &mut text, &mut self.ends) {
                Parsed::Record { bytes, lines } => {
                    self.at += bytes;
                    self.line += lines;
                    if bytes > MAX_ROW_BYTES {
                        row.fault = Some(RowFault::RowTooLong);
                    } else {
                        row.set(into_text(text), &self.ends);
                    }
                    break;
                }
                Parsed::OpenQuote => {
                    quotes = false;
                    row.stray_quote = true;
                }
                Parsed::NeedMore if window.len() > MAX_ROW_BYTES => {
                    self.skip_line()?;
                    row.fault = Some(RowFault::RowTooLong);
                    break;
                }
                Parsed::NeedMore => self.more()?,
            }
        }
        Ok(true)
    }

    fn skip_blank_lines(&mut self) -> io::Result<()> {
        loop {
            while self.at < self.end {
                match self.window[self.at] {
                    b'\n' => self.line += 1,
                    b'\r' => {
                        if self.at + 1 == self.end && !self.ended {
                            break;
                        }
                        // The line feed of a CRLF counts the line.
                        let pair = self.window[self.at + 1..self.end].first() == Some(&b'\n');
                        self.line += u64::from(!pair);
                    }
                    _ => return Ok(()),
                }
                self.at += 1;
            }
            if self.ended {
                return Ok(());
            }
            self.more()?;
        }
    }

    /// Drops everything up to and including the next line break.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            if let Some(n) = self.window[self.at..self.end].iter().position(|byte| *byte == b'\n') {
                self.at += n + 1;
                self.line += 1;
                return Ok(());
            }
            self.at = self.end;
            if self.ended {
                return Ok(());
            }
            self.more()?;
        }
    }

    /// Moves the rest to the front of the window and reads more behind it.
    fn more(&mut self) -> io::Result<()> {
        self.window.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        if self.end == self.window.len() {
            self.window.resize(self.window.len() * 2, 0);
        }
        while !self.ended && self.end < self.window.len() {
            match self.reader.read(&mut self.window[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(n) => self.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Parses one record at the start of `window` into `text` and the `ends` of its cells.
fn parse(
    window: &[u8],
    delimiter: u8,
    quotes: bool,
    ended: bool,
    text: &mut Vec<u8>,
    ends: &mut Vec<usize>,
) -> Parsed {
    text.clear();
    ends.clear();
    let (mut at, mut lines) = (0, 0);
    loop {
        if quotes && window.get(at) == Some(&b'"') {
            let lines_before = lines;
            match parse_quoted(&window[at + 1..], ended, text, &mut lines) {
                Ok(bytes) => at += 1 + bytes,
                Err(other) => return other,
            }
            // A mark that "closes" on another line, in the middle of a cell, opens that cell instead.
            let closes = window.get(at).is_none_or(|b| *b == delimiter || *b == b'\n' || *b == b'\r');
            if lines > lines_before && !closes {
                return Parsed::OpenQuote;
            }
        }
        let rest = &window[at..];
        let len =
            rest.iter().position(|b| *b == delimiter || *b == b'\n' || *b == b'\r').unwrap_or(rest.len());
        text.extend_from_slice(&rest[..len]);
        at += len;
        let finish = |bytes, lines| Parsed::Record { bytes, lines };
        match (window.get(at), window.get(at + 1)) {
            (None, _) if !ended => return Parsed::NeedMore,
            (Some(b'\r'), None) if !ended => return Parsed::NeedMore,
            (byte, next) => {
                ends.push(text.len());
                match byte {
                    None => return finish(at, lines),
                    Some(b'\r') if next == Some(&b'\n') => return finish(at + 2, lines + 1),
                    Some(b'\r' | b'\n') => return finish(at + 1, lines + 1),
                    Some(_) => at += 1,
                }
            }
        }
    }
}

/// Parses a quoted cell after its opening mark; gives the bytes up to and including the closing mark.
fn parse_quoted(window: &[u8], ended: bool, text: &mut Vec<u8>, lines: &mut u64) -> Result<usize, Parsed> {
    let mut at = 0;
    loop {
        let rest = &window[at..];
        let Some(len) = rest.iter().position(|byte| *byte == b'"') else {
            return Err(if ended || window.len() > MAX_CELL_BYTES * 2 {
                Parsed::OpenQuote
            } else {
                Parsed::NeedMore
            });
        };
        if at + len > MAX_CELL_BYTES * 2 {
            return Err(Parsed::OpenQuote);
        }
        text.extend_from_slice(&rest[..len]);
        *lines += line_breaks(&rest[..len]);
        at += len + 1;
        match window.get(at) {
            Some(b'"') => {
                text.push(b'"');
                at += 1;
            }
            None if !ended => return Err(Parsed::NeedMore),
            _ => return Ok(at),
        }
    }
}

/// Line breaks in a cell: LF, CRLF and CR each count once.
fn line_breaks(cell: &[u8]) -> u64 {
    let feeds = cell.iter().filter(|byte| **byte == b'\n').count();
    let returns =
        cell.iter().enumerate().filter(|(i, byte)| **byte == b'\r' && cell.get(i + 1) != Some(&b'\n'));
    (feeds + returns.count()) as u64
}

/// The bytes as text. They are valid unless the file changed while it was read.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| {
        // Keep every cell boundary where it is: one character per broken byte, one byte each.
        e.into_bytes().into_iter().map(|byte| if byte.is_ascii() { char::from(byte) } else { '?' }).collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reader that gives few bytes at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(buffer.len()).min(3);
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn records(text: &[u8]) -> Vec<(u64, Vec<String>)> {
        let mut records = Records::new(Trickle(text), b',');
        let (mut row, mut all) = (Row::default(), Vec::new());
        while records.read(&mut row).unwrap() {
            all.push((row.number, row.cells().map(str::to_owned).collect()));
        }
        all
    }

    #[test]
    fn every_line_ending_and_its_line_number() {
        for ending in ["\n", "\r\n", "\r"] {
            let text = ["", "a,b", "", "\"x", "y\",\"q\"\"q\"", "", "", "last,"].join(ending);
            let cells = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
            assert_eq!(
                records(text.as_bytes()),
                [
                    (2, cells(["a", "b"])),
                    (4, cells([&format!("x{ending}y"), "q\"q"])),
                    (8, cells(["last", ""]))
                ],
                "{ending:?}"
            );
        }
    }

    #[test]
    fn text_behind_a_closing_quote_and_quotes_inside_a_cell_are_kept() {
        let cells = &records(b"\"a\"b,c \"d\", \"e\"\n")[0].1;
        assert_eq!(cells, &["ab", "c \"d\"", " \"e\""]);
    }

    #[test]
    fn an_open_quote_costs_one_row() {
        let text = b"a,b\n\"open,1\nc,d\n\"e\",f\n";
        let rows = records(text);
        assert_eq!(rows.len(), 4);
        assert_eq!(rows[1], (2, vec!["\"open".to_owned(), "1".to_owned()]));
        assert_eq!(rows[3].1, ["e", "f"]);
    }

    #[test]
    fn a_row_over_the_limit_is_a_fault_and_the_next_one_is_read() {
        let mut text = vec![b'x'; MAX_ROW_BYTES + 100];
        text.extend_from_slice(b"\nnext,1\n");
        let mut records = Records::new(text.as_slice(), b',');
        let mut row = Row::default();
        assert!(records.read(&mut row).unwrap());
        assert_eq!(row.fault, Some(RowFault::RowTooLong));
        assert!(records.read(&mut row).unwrap());
        assert_eq!((row.number, row.cell(0), row.fault), (2, "next", None));
    }

    proptest! {
        #[test]
        fn reads_what_the_csv_crate_writes(
            table in prop::collection::vec(prop::collection::vec("[a\",;\r\n א]{0,6}", 2..5), 1..8)
        ) {
            let mut writer = csv::WriterBuilder::new()
                .flexible(true)
                .quote_style(csv::QuoteStyle::Always)
                .from_writer(Vec::new());
            for cells in &table {
                writer.write_record(cells).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let read: Vec<Vec<String>> = records(&text).into_iter().map(|(_, cells)| cells).collect();
            prop_assert_eq!(read, table);
        }

        #[test]
        fn any_bytes_are_records(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let breaks = line_breaks(&bytes) + 1;
            for (line, _) in records(&bytes) {
                prop_assert!(line <= breaks);
            }
        }
    }
}
