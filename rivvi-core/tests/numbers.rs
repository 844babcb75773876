//! Numbers in many notations and regions, against the verdict of Google's libphonenumber.

use rivvi_core::domain::{E164, Region};

const NUMBERS: &str = include_str!("data/numbers.tsv");

#[test]
fn numbers_are_read_as_libphonenumber_reads_them() {
    let mut rows = 0;
    for line in NUMBERS.lines().filter(|line| !line.starts_with('#')) {
        let [text, region, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("a row needs three cells: {line}")
        };
        let number = E164::parse(&unescape(text), Region::new(region).unwrap());
        let verdict = number.map_or("invalid".to_owned(), E164::expose);
        assert_eq!(verdict, expected, "{text} in {region}");
        rows += 1;
    }
    assert!(rows >= 200, "the table lost rows: {rows} are left");
}

/// Replaces `\u{...}` by the character it stands for.
fn unescape(text: &str) -> String {
    let mut parts = text.split("\\u{");
    let plain = parts.next().unwrap_or_default().to_owned();
    parts.filter_map(|part| part.split_once('}')).fold(plain, |plain, (code, rest)| {
        let character = u32::from_str_radix(code, 16).ok().and_then(char::from_u32);
        plain + &character.map(String::from).unwrap_or_default() + rest
    })
}
