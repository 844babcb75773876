//! One row of a sheet, the same for text and spreadsheets.

/// Most columns a row may have. A wider header row fails the import, a wider row is refused.
pub const MAX_COLUMNS: usize = 1_000;
/// Longest cell, in bytes of UTF-8. A row with a longer one is refused.
pub const MAX_CELL_BYTES: usize = 64 * 1024;
/// Longest row of a text file, in bytes of UTF-8. A longer one is refused.
pub const MAX_ROW_BYTES: usize = 4 * 1024 * 1024;

/// The cells of one row as exact texts, in one buffer that is used again for the next row.
#[derive(Clone, Default)]
pub(super) struct Row {
    /// The row as a person counts it: from 1; for text, the line on which it starts.
    pub(super) number: u64,
    /// Why the row cannot be used, although it could be read.
    pub(super) fault: Option<RowFault>,
    /// A quotation mark was never closed and is taken as a character.
    pub(super) stray_quote: bool,
    text: String,
    ends: Vec<u32>,
}

/// A limit that a row breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowFault {
    /// Longer than [`MAX_ROW_BYTES`].
    RowTooLong,
    /// The cell in this column, counted from 0, is longer than [`MAX_CELL_BYTES`].
    CellTooLong(usize),
    /// More than [`MAX_COLUMNS`].
    TooManyColumns,
}

impl Row {
    /// An empty row with a number.
    pub(super) fn start(&mut self, number: u64) {
        self.number = number;
        self.fault = None;
        self.stray_quote = false;
        self.text.clear();
        self.ends.clear();
    }

    /// Adds a cell at the end.
    pub(super) fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.end_cell();
    }

    /// Adds empty cells until there are `len`.
    pub(super) fn pad(&mut self, len: usize) {
        while self.ends.len() < len && self.fault.is_none() {
            self.end_cell();
        }
    }

    /// Replaces all cells: their texts one after the other, and where each ends. Limits are judged here.
    pub(super) fn set(&mut self, text: String, ends: &[usize]) {
        self.text = text;
        self.ends.clear();
        for end in ends {
            self.end_cell_at(*end);
        }
    }

    /// The text buffer, to be filled again.
    pub(super) fn take_text(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        bytes
    }

    /// Gives back the memory that is not needed.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }

    /// The number of cells.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The exact text of a cell; empty where the row is shorter.
    pub(super) fn cell(&self, column: usize) -> &str {
        let Some(end) = self.ends.get(column) else {
            return "";
        };
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        self.text.get(start as usize..*end as usize).unwrap_or_default()
    }

    /// All cells.
    pub(super) fn cells(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|column| self.cell(column))
    }

    /// Whether no cell has a visible character.
    pub(super) fn is_blank(&self) -> bool {
        self.fault.is_none() && self.text.chars().all(|c| c.is_whitespace() || is_invisible(c))
    }

    fn end_cell(&mut self) {
        self.end_cell_at(self.text.len());
    }

    fn end_cell_at(&mut self, end: usize) {
        if self.ends.len() == MAX_COLUMNS {
            self.fault.get_or_insert(RowFault::TooManyColumns);
            return;
        }
        let start = self.ends.last().map_or(0, |end| *end as usize);
        if end - start > MAX_CELL_BYTES {
            self.fault.get_or_insert(RowFault::CellTooLong(self.ends.len()));
        }
        self.ends.push(u32::try_from(end).unwrap_or(u32::MAX));
    }
}

/// Marks of direction and width that copying leaves in texts.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{061C}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_exact_and_missing_ones_empty() {
        let mut row = Row::default();
        row.start(4);
        row.push(" a ");
        row.push("");
        row.push("ב");
        assert_eq!(row.cells().collect::<Vec<_>>(), [" a ", "", "ב"]);
        assert_eq!((row.number, row.cell(9), row.is_blank()), (4, "", false));
        row.start(5);
        row.pad(2);
        row.push("\u{200F} ");
        assert!(row.is_blank() && row.len() == 3);
    }

    #[test]
    fn limits_become_faults() {
        let mut row = Row::default();
        row.push(&"x".repeat(MAX_CELL_BYTES));
        assert_eq!(row.fault, None);
        row.push(&"x".repeat(MAX_CELL_BYTES + 1));
        assert_eq!(row.fault, Some(RowFault::CellTooLong(1)));
        row.start(1);
        row.pad(MAX_COLUMNS);
        assert_eq!(row.fault, None);
        row.push("one more");
        assert_eq!((row.fault, row.len()), (Some(RowFault::TooManyColumns), MAX_COLUMNS));
    }
}
