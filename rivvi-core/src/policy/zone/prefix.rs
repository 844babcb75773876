//! The zones that follow from a number's leading digits.

use std::sync::LazyLock;

use super::CandidateZones;
use crate::domain::E164;

/// All zones a number may be in: those of its longest known prefix. Empty if nothing is known, as for satellite
/// phones and international toll-free numbers.
///
/// A number whose digits tell no place (a mobile phone in most countries) may be anywhere in its country, whatever
/// prefix it has. North America is the exception: there every area code belongs to a place or to no place, and a
/// number of the latter kind (toll-free, say) may be in any zone of the calling code.
///
/// Source: libphonenumber's time zone data, see `prefixes.txt`. Takes tens of nanoseconds; about a microsecond for a
/// number outside North America whose prefix names fewer zones than its country has.
pub fn zones_of(number: E164) -> CandidateZones {
    let Some(span) = TABLE.span(number) else {
        return CandidateZones::default();
    };
    let tells_place = span.zones == span.country || is_north_american(number) || number.is_geographic();
    TABLE.zones(if tells_place { span.zones } else { span.country }).cloned().unwrap_or_default()
}

static TABLE: LazyLock<Table> = LazyLock::new(|| Table::from_text(include_str!("prefixes.txt")));

/// Length to which every number is filled up with zeros, so that a prefix is a range of numbers.
const DIGITS: u32 = 15;

/// Ranges of numbers in ascending order, each reaching to the start of the next.
struct Table {
    spans: Vec<Span>,
    groups: Vec<CandidateZones>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u64,
    /// Group of the longest prefix.
    zones: u16,
    /// Group of the calling code.
    country: u16,
}

/// The group of numbers about which nothing is known.
const UNKNOWN: u16 = 0;

impl Table {
    fn from_text(text: &str) -> Self {
        let (groups, mut prefixes) = read_groups(text);
        // A prefix sorts right before the longer prefixes it contains, so that a stack of open ranges suffices.
        prefixes.sort_unstable_by_key(|prefix| (prefix.start, prefix.length));
        let mut spans = vec![Span { start: 0, zones: UNKNOWN, country: UNKNOWN }];
        let mut open: Vec<(u64, Span)> = Vec::new();
        for prefix in prefixes {
            close_ranges(&mut open, &mut spans, prefix.start);
            let country = open.first().map_or(prefix.group, |(_, span)| span.country);
            let span = Span { start: prefix.start, zones: prefix.group, country };
            open.push((prefix.start + 10_u64.pow(DIGITS - prefix.length), span));
            push(&mut spans, span);
        }
        close_ranges(&mut open, &mut spans, u64::MAX);
        Self { spans, groups }
    }

    /// The range of a number; `None` if nothing is known about it.
    fn span(&self, number: E164) -> Option<Span> {
        let length = number.digits().checked_ilog10()? + 1;
        let filled = number.digits() * 10_u64.pow(DIGITS.checked_sub(length)?);
        let after = self.spans.partition_point(|span| span.start <= filled);
        self.spans.get(after.checked_sub(1)?).copied().filter(|span| span.zones != UNKNOWN)
    }

    fn zones(&self, group: u16) -> Option<&CandidateZones> {
        self.groups.get(usize::from(group))
    }
}

struct Prefix {
    start: u64,
    length: u32,
    group: u16,
}

/// The groups of the file, after the unknown one, and all its prefixes. A test holds the file to its form, so what
/// does not fit it is passed over here.
fn read_groups(text: &str) -> (Vec<CandidateZones>, Vec<Prefix>) {
    let mut groups = vec![CandidateZones::default()];
    let mut prefixes = Vec::new();
    for block in text.split("\n\n") {
        let words = || block.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        let zones: CandidateZones = words().filter_map(|word| word.parse::<chrono_tz::Tz>().ok()).collect();
        let Ok(group) = u16::try_from(groups.len()) else {
            break;
        };
        prefixes.extend(words().filter_map(|word| {
            let length = u32::try_from(word.len()).ok().filter(|length| *length <= DIGITS)?;
            let start = word.parse::<u64>().ok()? * 10_u64.pow(DIGITS - length);
            Some(Prefix { start, length, group })
        }));
        groups.push(zones);
    }
    (groups, prefixes)
}

/// Ends the ranges that do not reach `start`; after each, the range around it continues.
fn close_ranges(open: &mut Vec<(u64, Span)>, spans: &mut Vec<Span>, start: u64) {
    while let Some((end, _)) = open.pop_if(|(end, _)| *end <= start) {
        let around = open.last().map_or((UNKNOWN, UNKNOWN), |(_, span)| (span.zones, span.country));
        push(spans, Span { start: end, zones: around.0, country: around.1 });
    }
}

/// Adds a range; one that began at the same number was empty.
fn push(spans: &mut Vec<Span>, span: Span) {
    while spans.pop_if(|last| last.start >= span.start).is_some() {}
    spans.push(span);
}

/// Numbers of calling code 1: no other calling code begins with that digit.
fn is_north_american(number: E164) -> bool {
    let digits = number.digits();
    digits.checked_ilog10().is_some_and(|power| digits / 10_u64.pow(power) == 1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = include_str!("prefixes.txt");

    fn names(digits: u64) -> Vec<&'static str> {
        zones_of(E164::from_digits(digits).unwrap()).iter().map(Tz::name).collect()
    }

    /// The file by other means: every prefix with its zones.
    fn rows() -> HashMap<&'static str, Vec<&'static str>> {
        let mut rows = HashMap::new();
        let mut zones: Vec<&str> = Vec::new();
        let mut in_prefixes = true;
        for line in TEXT.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let digits = line.starts_with(|c: char| c.is_ascii_digit());
            if !digits && in_prefixes {
                zones.clear();
            }
            in_prefixes = digits;
            for word in line.split(' ') {
                if digits {
                    assert!(word.bytes().all(|byte| byte.is_ascii_digit()) && word.len() <= 15);
                    assert!(rows.insert(word, zones.clone()).is_none(), "{word} appears twice");
                } else {
                    zones.push(word);
                }
            }
        }
        rows
    }

    #[test]
    fn every_zone_of_the_file_exists() {
        let rows = rows();
        assert!(rows.len() > 3_000);
        for name in rows.values().flatten() {
            assert!(name.parse::<Tz>().is_ok(), "{name} is no zone of chrono-tz");
        }
    }

    #[test]
    fn the_table_is_ascending_and_complete() {
        assert!(TABLE.spans.is_sorted_by(|a, b| a.start < b.start));
        assert!(TABLE.spans.iter().all(|span| (span.zones == UNKNOWN) == (span.country == UNKNOWN)));
        assert!(TABLE.groups.iter().skip(2).all(|zones| !zones.is_empty()));
    }

    #[test]
    fn a_number_has_the_zones_of_its_longest_prefix() {
        assert_eq!(names(972_542_345_678), ["Asia/Jerusalem"]);
        assert_eq!(names(12_125_550_123), ["America/New_York"]);
        assert_eq!(names(12_082_010_123), ["America/Denver"]);
        assert_eq!(names(12_082_220_123), ["America/Boise", "America/Los_Angeles"]);
        assert_eq!(names(18_765_550_123), ["America/Jamaica"]);
        assert_eq!(names(442_079_460_123), ["Europe/London"]);
    }

    #[test]
    fn a_number_that_tells_no_place_may_be_anywhere_in_its_country() {
        assert_eq!(names(18_002_345_678).len(), 42);
        assert_eq!(names(447_400_123_456).len(), 4);
        // Mobile numbers share leading digits with places: +61 4 and +7 9.
        assert_eq!(names(61_412_345_678).len(), 8);
        assert_eq!(names(79_123_456_789).len(), 16);
        // Brazil gives its mobile numbers area codes.
        assert_eq!(names(5_511_961_234_567), ["America/Sao_Paulo"]);
    }

    #[test]
    fn nothing_is_known_of_numbers_of_no_country() {
        assert!(names(881_612_345_678).is_empty());
        assert!(names(80_012_345_678).is_empty());
        assert!(names(999_999_999_999_999).is_empty());
    }

    proptest! {
        #[test]
        fn the_table_finds_the_longest_prefix(prefix in prop::sample::select(rows().into_keys().collect::<Vec<_>>()),
                                              tail in "[0-9]{0,9}") {
            let digits = format!("{prefix}{tail}").chars().take(15).collect::<String>();
            if let Some(number) = E164::from_digits(digits.parse().unwrap()) {
                let rows = rows();
                let longest = (1..=digits.len()).rev().find_map(|length| rows.get(&digits[..length])).unwrap();
                let shortest = (1..=digits.len()).find_map(|length| rows.get(&digits[..length])).unwrap();
                let span = TABLE.span(number).unwrap();
                let zones = |group| TABLE.zones(group).unwrap().iter().map(Tz::name).collect::<Vec<_>>();
                prop_assert_eq!(&zones(span.zones), longest);
                prop_assert_eq!(&zones(span.country), shortest);
            }
        }
    }
}
