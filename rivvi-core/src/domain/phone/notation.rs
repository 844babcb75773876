//! How people and spreadsheets write phone numbers, before any numbering plan is asked.

use std::borrow::Cow;

/// The text without what only concerns its display: direction marks go, exotic spaces and dashes become plain
/// ones, and a float that a spreadsheet made of a number becomes its digits.
///
/// `None` if the text is longer than any number, or a float whose last digits are lost.
pub(super) fn plain(text: &str) -> Option<Cow<'_, str>> {
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let text = text.trim();
    if text.is_ascii() {
        return from_float(text);
    }
    let plain: String = text.chars().filter(|c| !is_invisible(*c)).map(plain_char).collect();
    from_float(&plain).map(|text| Cow::Owned(text.into_owned()))
}

/// What stands before the first letter that follows a digit; `None` if no letter does.
pub(super) fn before_letters(text: &str) -> Option<&str> {
    let first_digit = text.find(char::is_numeric)?;
    let letter = first_digit + text[first_digit..].find(char::is_alphabetic)?;
    Some(&text[..letter])
}

const TEXT_BYTES_MAX: usize = 250;
/// Spreadsheets round to six digits when they show a long number, so seven digits prove that it was not rounded.
const UNROUNDED_DIGITS_MIN: usize = 7;

/// Soft hyphen, zero-width characters and the marks, embeddings, overrides and isolates of bidirectional text.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}'
        | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn plain_char(c: char) -> char {
    match c {
        // Hyphens, dashes, the minus sign, the Hebrew maqaf, and their small and full-width forms.
        '\u{2010}'..='\u{2015}'
        | '\u{2043}'
        | '\u{2212}'
        | '\u{5be}'
        | '\u{fe58}'
        | '\u{fe63}'
        | '\u{ff0d}' => '-',
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        other => other,
    }
}

fn from_float(text: &str) -> Option<Cow<'_, str>> {
    if let Some((mantissa, exponent)) = text.split_once(['E', 'e'])
        && let Ok(exponent) = exponent.parse::<usize>()
        && let Some((whole, fraction)) = mantissa.split_once('.').or(Some((mantissa, "")))
        && whole.len() == 1
        && is_digits(whole)
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
    {
        let digits = 1 + fraction.len();
        let exact = digits >= UNROUNDED_DIGITS_MIN && fraction.len() <= exponent && exponent < 15;
        return exact.then(|| format!("{whole}{fraction:0<exponent$}").into());
    }
    match text.split_once('.') {
        Some((whole, "0" | "00")) if whole.len() >= UNROUNDED_DIGITS_MIN && is_digits(whole) => {
            Some(whole.into())
        }
        _ => Some(text.into()),
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_float_becomes_its_digits() {
        for (float, digits) in [
            ("542345678.0", "542345678"),
            ("542345678.00", "542345678"),
            ("5.42345678E8", "542345678"),
            ("5.42345678e+8", "542345678"),
            ("5.42345678E+08", "542345678"),
            ("9.72542345678E11", "972542345678"),
            ("5.4234567E8", "542345670"),
            (" 542345678.0 ", "542345678"),
        ] {
            assert_eq!(plain(float).as_deref(), Some(digits));
        }
    }

    #[test]
    fn a_rounded_float_is_refused() {
        for float in
            ["5.42346E+08", "5E8", "5.4E8", "5.42345678E3", "5.42345678E99", "1.2345678E18446744073709551615"]
        {
            assert_eq!(plain(float), None);
        }
    }

    #[test]
    fn ordinary_notations_are_left_alone() {
        for text in ["212.555.0123", "050.00", "+1 212 555 0123", "1-800-FLOWERS", "E", "", "12 ext 3", "."] {
            assert_eq!(plain(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn display_characters_go() {
        assert_eq!(
            plain("\u{202a}+972\u{2011}54\u{5be}234\u{2009}5678\u{202c}").as_deref(),
            Some("+972-54-234 5678")
        );
        assert_eq!(plain(&"1".repeat(251)), None);
    }

    #[test]
    fn letters_end_a_number_only_after_a_digit() {
        assert_eq!(before_letters("Tel: 03 123"), None);
        assert_eq!(before_letters("Tel: 03 123 home"), Some("Tel: 03 123 "));
        assert_eq!(before_letters("٠٥٠ בית"), Some("٠٥٠ "));
        assert_eq!(before_letters("no digits"), None);
    }
}
