//! Which character separates the cells of a text sheet.

use super::delimited::Records;
use super::row::Row;

/// Records that decide on the delimiter.
const DELIMITER_RECORDS: usize = 50;
/// The delimiters that are tried, the most common first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The delimiter of a text, judged by its beginning: the one that gives the best header row, then the most regular
/// table. A first line `sep=;` decides. `header` judges the header row among some first rows; more is better.
pub(super) fn detect<S: Ord>(head: &[u8], tab_first: bool, header: impl Fn(&[Row]) -> Option<S>) -> u8 {
    if let [mark @ .., b'\r' | b'\n'] = &head[..head.len().min(6)]
        && let [.., delimiter] = mark
        && mark[..mark.len() - 1].eq_ignore_ascii_case(b"sep=")
        && DELIMITERS.contains(delimiter)
    {
        return *delimiter;
    }
    let mut best = (if tab_first { b'\t' } else { b',' }, (None, (0, 0)));
    for delimiter in DELIMITERS {
        let rows = first_rows(head, delimiter);
        let score = (header(&rows), regularity(&rows));
        if score > best.1 || (score == best.1 && score.0.is_some() && tab_first && delimiter == b'\t') {
            best = (delimiter, score);
        }
    }
    best.0
}

fn first_rows(head: &[u8], delimiter: u8) -> Vec<Row> {
    let mut records = Records::new(head, delimiter);
    let mut rows = Vec::new();
    let mut row = Row::default();
    while rows.len() < DELIMITER_RECORDS && matches!(records.read(&mut row), Ok(true)) {
        rows.push(row.clone());
    }
    rows
}

/// How many rows have the most frequent width above one, and that width.
fn regularity(rows: &[Row]) -> (usize, usize) {
    let widths = || rows.iter().map(Row::len).filter(|width| *width > 1);
    widths().map(|width| (widths().filter(|other| *other == width).count(), width)).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_told_apart() {
        let none = |_: &[Row]| None::<()>;
        for (text, delimiter) in [
            ("a,b,c\n1,2,3\n", b','),
            ("a;b;c\n1,5;2,5;3,5\n1,5;2,5;3,5\n", b';'),
            ("a\tb\n1,2\t3\n", b'\t'),
            ("a|b\n1|2\n", b'|'),
            ("a;b\n\"x,y,z\";1\n\"x,y,z\";1\n", b';'),
            ("sep=|\na,b\n", b'|'),
            ("phone\n123\n", b','),
        ] {
            assert_eq!(detect(text.as_bytes(), false, none), delimiter, "{text}");
        }
        assert_eq!(detect(b"phone\n1\n", true, none), b'\t');
    }
}
