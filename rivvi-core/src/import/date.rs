//! Dates of birth as people write them.

use chrono::{Days, NaiveDate};

use super::rules::DateOrder;

/// Two-digit years up to this one are of this century, the others of the last (as in Excel).
const CENTURY_PIVOT: i32 = 29;
/// Years outside are slips of the pen.
const YEARS: std::ops::RangeInclusive<i32> = 1850..=2200;
/// Serial day numbers that are read as dates, 1927 to 2100; shorter numbers are more likely something else.
const SERIAL_DAYS: std::ops::RangeInclusive<u64> = 10_000..=73_415;

/// The date in a cell; `order` reads what is ambiguous. Understood are `1980-03-05`, `5/3/1980`, `05.03.80`, `5 March
/// 1980`, `Mar 5, 1980`, `5 במרץ 1980`, `19800305`, the serial numbers of spreadsheets, and any of them with a time.
pub(super) fn parse(text: &str, order: DateOrder) -> Option<NaiveDate> {
    let words = words(without_time(text));
    let date = match words.as_slice() {
        [Word::Number(digits)] => parse_digits(digits, order),
        [Word::Number(year), Word::Number(month), Word::Number(day)] if year.len() == 4 => {
            build(year, month, day)
        }
        [Word::Number(a), Word::Number(b), Word::Number(year)] if a.len() <= 2 && b.len() <= 2 => {
            let (first, second) =
                if order == DateOrder::MonthFirst { ((a, b), (b, a)) } else { ((b, a), (a, b)) };
            build(year, first.0, first.1).or_else(|| build(year, second.0, second.1))
        }
        [Word::Number(day), Word::Month(month), Word::Number(year)]
        | [Word::Month(month), Word::Number(day), Word::Number(year)]
        | [Word::Number(year), Word::Month(month), Word::Number(day)]
            if day.len() <= 2 =>
        {
            build(year, &month.to_string(), day)
        }
        _ => None,
    };
    date.filter(|date| YEARS.contains(&chrono::Datelike::year(date)))
}

/// The order that a cell proves, if it proves one: `25/12/1980` has the day first.
pub(super) fn proves(text: &str) -> Option<DateOrder> {
    let words = words(without_time(text));
    let [Word::Number(a), Word::Number(b), Word::Number(year)] = words.as_slice() else {
        return None;
    };
    let (first, second): (u32, u32) = (a.parse().ok()?, b.parse().ok()?);
    match (a.len() <= 2 && build(year, "1", "1").is_some(), first, second) {
        (true, 13..=31, 1..=12) => Some(DateOrder::DayFirst),
        (true, 1..=12, 13..=31) => Some(DateOrder::MonthFirst),
        _ => None,
    }
}

/// The order that people of a region write. Only these begin with the month.
pub(super) fn habit(region: Option<&str>) -> DateOrder {
    const MONTH_FIRST: [&str; 9] = ["US", "PR", "VI", "GU", "AS", "MP", "PH", "FM", "PW"];
    match region {
        Some(region) if MONTH_FIRST.contains(&region) => DateOrder::MonthFirst,
        _ => DateOrder::DayFirst,
    }
}

enum Word<'a> {
    Number(&'a str),
    Month(u32),
}

/// The text up to a time of day.
fn without_time(text: &str) -> &str {
    match text.find(':') {
        Some(colon) => {
            text[..colon].trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['T', 't'])
        }
        None => text,
    }
}

/// Numbers and months. Weekdays, ordinals and punctuation are dropped; any other word makes the text no date.
fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let digit = c.is_ascii_digit();
        let same_kind = |c: char| {
            if digit { c.is_ascii_digit() } else { c.is_alphabetic() }
        };
        let end = rest.find(|c| !same_kind(c)).unwrap_or(rest.len());
        if end == 0 {
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (word, tail) = rest.split_at(end);
        rest = tail;
        if digit {
            words.push(Word::Number(word));
        } else if let Some(month) = month(&word.to_lowercase()) {
            words.push(Word::Month(month));
        } else if !is_filler(&word.to_lowercase()) {
            return Vec::new();
        }
    }
    words
}

fn month(word: &str) -> Option<u32> {
    const ENGLISH: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    const HEBREW: [&str; 12] = [
        "ינואר",
        "פברואר",
        "מרץ",
        "אפריל",
        "מאי",
        "יוני",
        "יולי",
        "אוגוסט",
        "ספטמבר",
        "אוקטובר",
        "נובמבר",
        "דצמבר",
    ];
    let hebrew = word.strip_prefix('ב').unwrap_or(word);
    let hebrew = if hebrew == "מרס" { "מרץ" } else { hebrew };
    let english =
        |name: &&str| word == "sept" && **name == *"september" || word.len() >= 3 && name.starts_with(word);
    let found = ENGLISH.iter().position(english);
    found.or_else(|| HEBREW.iter().position(|name| *name == hebrew)).map(|index| index as u32 + 1)
}

fn is_filler(word: &str) -> bool {
    const FILLERS: [&str; 8] = ["st", "nd", "rd", "th", "of", "the", "am", "pm"];
    const WEEKDAYS: [&str; 7] =
        ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    FILLERS.contains(&word) || (word.len() >= 3 && WEEKDAYS.iter().any(|day| day.starts_with(word)))
}

fn parse_digits(digits: &str, order: DateOrder) -> Option<NaiveDate> {
    match digits.len() {
        5 => {
            let serial = digits.parse().ok().filter(|serial| SERIAL_DAYS.contains(serial))?;
            NaiveDate::from_ymd_opt(1899, 12, 30)?.checked_add_days(Days::new(serial))
        }
        8 => {
            let year_first = build(&digits[..4], &digits[4..6], &digits[6..]);
            let year_first = year_first.filter(|date| YEARS.contains(&chrono::Datelike::year(date)));
            let (a, b, year) = (&digits[..2], &digits[2..4], &digits[4..]);
            let (month, day) = if order == DateOrder::MonthFirst { (a, b) } else { (b, a) };
            year_first.or_else(|| build(year, month, day)).or_else(|| build(year, day, month))
        }
        _ => None,
    }
}

fn build(year: &str, month: &str, day: &str) -> Option<NaiveDate> {
    let value: i32 = year.parse().ok()?;
    let year = match year.len() {
        4 => value,
        2 if value <= CENTURY_PIVOT => 2000 + value,
        2 => 1900 + value,
        _ => return None,
    };
    NaiveDate::from_ymd_opt(year, month.parse().ok()?, day.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn iso(text: &str, order: DateOrder) -> String {
        parse(text, order).map(|date| date.to_string()).unwrap_or_default()
    }

    #[test]
    fn one_day_in_many_formats() {
        for text in [
            "1980-03-05",
            "1980/3/5",
            "1980.03.05",
            "5/3/1980",
            "05.03.1980",
            "5-3-80",
            "05 03 1980",
            "5 March 1980",
            "5 Mar 1980",
            "05-MAR-80",
            "March 5, 1980",
            "Mar. 5th, 1980",
            "Wednesday, March 5, 1980",
            "5 במרץ 1980",
            "5 מרץ 1980",
            "19800305",
            "05031980",
            "29285",
            "1980-03-05 14:30:00",
            "1980-03-05T00:00:00Z",
            " 5/3/1980 2:30 PM ",
            "\u{200F}5.3.1980",
            "1980 Mar 5",
        ] {
            assert_eq!(iso(text, DateOrder::DayFirst), "1980-03-05", "{text}");
        }
    }

    #[test]
    fn order_matters_only_where_it_is_ambiguous() {
        assert_eq!(iso("03/05/1980", DateOrder::MonthFirst), "1980-03-05");
        assert_eq!(iso("03/05/1980", DateOrder::DayFirst), "1980-05-03");
        assert_eq!(iso("25/12/1980", DateOrder::MonthFirst), "1980-12-25");
        assert_eq!(iso("12/25/1980", DateOrder::DayFirst), "1980-12-25");
    }

    #[test]
    fn two_digit_years_and_leap_days() {
        assert_eq!(iso("1.1.29", DateOrder::DayFirst), "2029-01-01");
        assert_eq!(iso("1.1.30", DateOrder::DayFirst), "1930-01-01");
        assert_eq!(iso("29.2.1984", DateOrder::DayFirst), "1984-02-29");
        assert_eq!(iso("29.2.1983", DateOrder::DayFirst), "");
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "n/a",
            "1980",
            "31/31/1980",
            "0/0/1980",
            "5 Foo 1980",
            "1/2/3/4",
            "99999",
            "12:30",
            "1980-13-01",
        ] {
            assert_eq!(iso(text, DateOrder::DayFirst), "", "{text}");
        }
    }

    #[test]
    fn proofs() {
        assert_eq!(proves("25/12/1980"), Some(DateOrder::DayFirst));
        assert_eq!(proves("12.25.80"), Some(DateOrder::MonthFirst));
        for text in ["03/04/1980", "1980-12-25", "25 December 1980", "", "99/1/1980"] {
            assert_eq!(proves(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_date_is_read_back(days in 0u64..100_000, month_first: bool) {
            let date = NaiveDate::from_ymd_opt(1900, 1, 1).unwrap() + Days::new(days);
            let (order, format) = if month_first {
                (DateOrder::MonthFirst, "%m/%d/%Y")
            } else {
                (DateOrder::DayFirst, "%d/%m/%Y")
            };
            prop_assert_eq!(parse(&date.format(format).to_string(), order), Some(date));
            prop_assert_eq!(parse(&date.to_string(), order), Some(date));
            prop_assert!(proves(&date.format(format).to_string()).is_none_or(|proof| proof == order));
        }

        #[test]
        fn any_text_is_harmless(text in "\\PC{0,20}") {
            let _ = (parse(&text, DateOrder::Auto), proves(&text));
        }
    }
}
