//! Phone numbers as people write them.

use rivvi_core::domain::{E164, Region};
use rivvi_core::policy::zone::{ZonePolicy, parse_zone, resolve, zones_of};

use super::any;

pub(super) const WORDS: &[&str] = &[
    "+972",
    "+1",
    "+44",
    "00",
    "011",
    "054-123-4567",
    "5.42345678E8",
    "542345678.0",
    ".0",
    "E+",
    "ext. 5",
    "x12",
    "#",
    "tel:",
    ";phone-context=",
    "FLOWERS",
    "(",
    ")",
    "-",
    "–",
    "\u{200f}",
    "٠١٢٣٤٥٦٧٨٩",
    "０５４",
    "Asia/",
    "UTC+2",
    "America/New_York",
];

/// A number in several regions: what is read is read back, and its zones are found alike. The same text as a time zone.
pub(super) fn number(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for region in ["IL", "US", "DE", "IT", "AR", "SG"] {
        let Ok(region) = Region::new(region) else { continue };
        let Ok(number) = E164::parse(&text, region) else { continue };
        assert_eq!(E164::from_e164(&number.expose()), Ok(number));
        any((number.kind(), number.region()));
        let zones = resolve(None, number, ZonePolicy::default(), chrono_tz::UTC).zones;
        assert_eq!(zones, zones_of(number), "nothing else is known");
    }
    if let Ok(number) = E164::from_e164(&text) {
        assert_eq!(number.expose(), text);
        any((number.kind(), number.region(), zones_of(number)));
    }
    any((Region::new(&text), parse_zone(&text)));
}
