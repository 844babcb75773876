//! Where the header row is: below titles, above people.

use super::alias::{meaning, normalize};
use super::field::Field;
use super::row::{Row, is_invisible};
use super::rules::ImportRules;

/// Rows, blank ones not counted, in which the header row is looked for; those above it are titles.
pub const HEADER_SCAN_ROWS: usize = 25;
/// Longest text that is still a header rather than prose.
const HEADER_CHARS_MAX: usize = 64;
/// So many digits in one cell make it data, not a header.
const DATA_DIGITS: usize = 7;

/// The header row: the first that has a phone column and no data. A lone cell loses against a fuller row below it.
pub(super) fn candidate<'a>(rows: &'a [Row], rules: &ImportRules) -> Option<&'a Row> {
    let explicit = rules.columns.get(Field::Phone.name());
    let is_phone = |cell: &str| match explicit {
        Some(header) => same(header, cell),
        None => {
            cell.chars().count() <= HEADER_CHARS_MAX && meaning(cell).is_some_and(|m| m.field == Field::Phone)
        }
    };
    let mut found = rows.iter().filter(|row| !has_data(row) && row.cells().any(is_phone));
    let filled = |row: &Row| row.cells().filter(|cell| !clean(cell).is_empty()).count();
    let first = found.next()?;
    match found.next() {
        Some(second) if filled(first) == 1 && filled(second) > 1 => Some(second),
        _ => Some(first),
    }
}

/// Whether the row holds a long number, as people do and headers do not.
pub(super) fn has_data(row: &Row) -> bool {
    row.cells().any(|cell| cell.chars().filter(char::is_ascii_digit).count() >= DATA_DIGITS)
}

/// Whether two texts are one header.
pub(super) fn same(a: &str, b: &str) -> bool {
    let (a, b) = (clean(a), clean(b));
    a == b || (!a.is_empty() && !normalize(&a).is_empty() && normalize(&a) == normalize(&b))
}

/// A header without invisible marks and with single spaces.
pub(super) fn clean(cell: &str) -> String {
    let visible: String = cell.chars().filter(|c| !is_invisible(*c)).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}
