//! The meaning of single cells: names, priorities, errors of a spreadsheet, and what a report may show of them.

use super::row::is_invisible;

/// Longest value that a report shows, in characters.
const SHOWN_CHARS_MAX: usize = 32;

/// The text of a cell without surrounding space and invisible marks; `None` if nothing is left or the cell holds an
/// error of a spreadsheet.
pub(super) fn filled(cell: &str) -> Option<String> {
    if !is_filled(cell) {
        return None;
    }
    if cell.is_ascii() {
        return Some(cell.trim().to_owned());
    }
    let text: String = cell.chars().filter(|c| !is_invisible(*c)).collect();
    Some(text.trim().to_owned())
}

/// Whether the cell holds a value: something visible that is no error of a spreadsheet.
pub(super) fn is_filled(cell: &str) -> bool {
    cell.chars().any(|c| !c.is_whitespace() && !is_invisible(c)) && !is_error(cell)
}

/// Whether the cell holds an error such as `#N/A`.
pub(super) fn is_error(cell: &str) -> bool {
    const ERRORS: [&str; 9] =
        ["#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!", "#NULL!", "#GETTING_DATA", "#SPILL!"];
    cell.contains('#') && ERRORS.contains(&cell.trim_matches(|c: char| c.is_whitespace() || is_invisible(c)))
}

/// Splits a full name into given and family name: at a comma (`Levi, Dana`), else behind the first word, or before the
/// given name where the sheet writes the family name first. Titles are dropped.
pub(super) fn split_name(text: &str, family_first: bool) -> (Option<String>, Option<String>) {
    if let Some((family, given)) = text.split_once(',') {
        return (joined(given.split_whitespace()), joined(without_title(family)));
    }
    let mut words = without_title(text);
    let first = words.next();
    let rest = joined(words);
    match (first, rest, family_first) {
        (Some(family), Some(given), true) => (Some(given), Some(family.to_owned())),
        (first, rest, _) => (first.map(str::to_owned), rest),
    }
}

fn without_title(text: &str) -> impl Iterator<Item = &str> {
    const TITLES: [&str; 17] = [
        "mr",
        "mrs",
        "ms",
        "miss",
        "mx",
        "dr",
        "prof",
        "professor",
        "sir",
        "rabbi",
        "מר",
        "גב",
        "גברת",
        "דר",
        "פרופ",
        "פרופסור",
        "הרב",
    ];
    let is_title = |word: &&str| {
        let bare: String = word.chars().filter(|c| c.is_alphabetic()).collect();
        TITLES.contains(&bare.to_lowercase().as_str())
    };
    // A title is only a title if a name follows.
    let titles = text.split_whitespace().take_while(is_title).count();
    let words = text.split_whitespace().count();
    text.split_whitespace().skip(if titles < words { titles } else { 0 })
}

fn joined<'a>(words: impl Iterator<Item = &'a str>) -> Option<String> {
    let text = words.collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then_some(text)
}

/// A priority of 1 (first) to 5 (last): a number, or a word for 1, 3 and 5.
pub(super) fn priority(text: &str) -> Option<u8> {
    let text = text.strip_suffix(".0").unwrap_or(text).to_lowercase();
    match text.as_str() {
        "low" | "נמוך" | "נמוכה" => Some(5),
        "normal" | "medium" | "רגיל" | "רגילה" | "בינוני" | "בינונית" => Some(3),
        "high" | "urgent" | "גבוה" | "גבוהה" | "דחוף" | "דחופה" => Some(1),
        number => number.parse().ok().filter(|priority| (1..=5).contains(priority)),
    }
}

/// A cell with every letter and digit as `*`.
pub(super) fn redact(cell: &str) -> String {
    mask(cell, 0)
}

/// A phone cell of which only the prefix that all numbers share is shown: `05*******`.
pub(super) fn redact_number(cell: &str) -> String {
    let prefix = cell.trim_start().chars().take(2).all(|c| c.is_ascii_digit() || c == '+');
    mask(cell.trim(), if prefix { 2 } else { 0 })
}

fn mask(cell: &str, shown: usize) -> String {
    let hide = |(index, c): (usize, char)| match c {
        c if index < shown => c,
        c if c.is_alphanumeric() => '*',
        c if c.is_ascii_punctuation() || c == ' ' => c,
        c if c.is_whitespace() => ' ',
        _ => '*',
    };
    let mut text: String = cell.chars().enumerate().map(hide).take(SHOWN_CHARS_MAX).collect();
    if cell.chars().nth(SHOWN_CHARS_MAX).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split() {
        let split = |text| {
            let (first, last) = split_name(text, false);
            (first.unwrap_or_default(), last.unwrap_or_default())
        };
        for (text, first, last) in [
            ("Dana Levi", "Dana", "Levi"),
            ("Zoë ben-David", "Zoë", "ben-David"),
            ("Levi,  Dana Ruth", "Dana Ruth", "Levi"),
            ("Juan García Márquez", "Juan", "García Márquez"),
            ("Dr. Dana Levi", "Dana", "Levi"),
            ("ד\"ר דנה כהן", "דנה", "כהן"),
            ("גב' כהן", "כהן", ""),
            ("Dana", "Dana", ""),
            ("Rabbi", "Rabbi", ""),
            ("", "", ""),
        ] {
            assert_eq!(split(text), (first.to_owned(), last.to_owned()), "{text}");
        }
        assert_eq!(split_name("כהן דנה רות", true), (Some("דנה רות".to_owned()), Some("כהן".to_owned())));
    }

    #[test]
    fn priorities_are_one_to_five() {
        assert_eq!(["1", "5.0", "high", "נמוך"].map(priority), [Some(1), Some(5), Some(1), Some(5)]);
        assert_eq!(["0", "6", "", "soon", "-1"].map(priority), [None; 5]);
    }

    #[test]
    fn errors_and_marks_are_nothing() {
        assert_eq!(filled(" \u{200F}#N/A "), None);
        assert!(is_error(" \u{200F}#N/A ") && !is_filled(" \u{200F} ") && is_filled("0"));
        assert_eq!(filled("\u{202A} Dana\u{202C} "), Some("Dana".to_owned()));
        assert_eq!(filled("#1"), Some("#1".to_owned()));
    }

    #[test]
    fn nothing_personal_is_shown() {
        assert_eq!(redact_number(" 050-1234567"), "05*-*******");
        assert_eq!(redact_number("+972501234567"), "+9***********");
        assert_eq!(redact_number("call Dana"), "**** ****");
        assert_eq!(redact("דנה 1980\nx"), "*** **** *");
        assert_eq!(redact(&"x".repeat(100)).chars().count(), SHOWN_CHARS_MAX + 1);
    }
}
