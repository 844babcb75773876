//! Phone numbers and the regions whose rules they are read by.

mod notation;
mod region;

use std::fmt;

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat, PhoneNumberType,
    ValidationError,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::region::{Region, UnknownRegion};

/// A phone number in E.164 form (a plus sign and at most 15 digits), packed into eight bytes.
///
/// `Debug` is redacted and there is no `Display`: read it with [`E164::expose`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct E164(u64);

impl E164 {
    /// Reads a number as people write it in sheets, and promises that the numbering plan of its country has such
    /// a number.
    ///
    /// `region` explains numbers in local form; a number that starts with a plus sign needs no region. Understood
    /// are local numbers with or without their leading zero, the region's international prefix (`00` in most,
    /// `011` in North America), the calling code without a plus sign, any punctuation, dashes, spaces and
    /// direction marks of Unicode, decimal digits of any script, and spreadsheet floats (`542345678.0`,
    /// `5.42345678E8`) that have lost no digit.
    ///
    /// The verdict is that of Google's libphonenumber (`isValidNumber`), made stricter in three ways, each of
    /// which would otherwise dial a stranger: letters stand for digits in `+1` numbers only (`1-800-FLOWERS`,
    /// but not `030 1234567 home`), a rounded float is refused, and so is what fits no E.164 number of 7 to 15
    /// digits.
    ///
    /// A number with an extension is the number without it: whoever answers there is whom the campaign reaches.
    ///
    /// # Errors
    ///
    /// A [`PhoneError`] that says what is wrong and repeats no part of the text.
    pub fn parse(text: &str, region: Region) -> Result<Self, PhoneError> {
        let text = notation::plain(text).ok_or(PhoneError::NotANumber)?;
        let region = rlibphonenumber::Region::from_code(region.as_str()).map_err(|_| PhoneError::Invalid)?;
        let number = parse_valid(&text, region)?;
        if let Some(before_letters) = notation::before_letters(&text)
            && number.country_code != NORTH_AMERICA
        {
            let shorter = parse_valid(before_letters, region).map_err(|_| PhoneError::NotANumber)?;
            if e164_digits(&shorter) != e164_digits(&number) {
                return Err(PhoneError::NotANumber);
            }
        }
        let digits = e164_digits(&number).ok_or(PhoneError::TooLong)?;
        Self::from_digits(digits).ok_or(if digits < E164_MIN {
            PhoneError::TooShort
        } else {
            PhoneError::TooLong
        })
    }

    /// Reads an exact E.164 text: a plus sign, then 7 to 15 ASCII digits, and nothing else.
    ///
    /// Only the form is judged, so that a stored number stays readable when numbering plans change.
    ///
    /// # Errors
    ///
    /// [`PhoneError::NotANumber`], [`PhoneError::TooShort`] or [`PhoneError::TooLong`].
    pub fn from_e164(text: &str) -> Result<Self, PhoneError> {
        let digits = text.strip_prefix('+').ok_or(PhoneError::NotANumber)?;
        if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PhoneError::NotANumber);
        }
        match digits.len() {
            ..7 => Err(PhoneError::TooShort),
            16.. => Err(PhoneError::TooLong),
            _ => digits.parse().map(Self).map_err(|_| PhoneError::NotANumber),
        }
    }

    /// The number from its digits without the plus sign; `None` if it has fewer than 7 or more than 15 digits.
    pub const fn from_digits(digits: u64) -> Option<Self> {
        if digits >= E164_MIN && digits <= E164_MAX { Some(Self(digits)) } else { None }
    }

    /// The digits without the plus sign.
    pub const fn digits(self) -> u64 {
        self.0
    }

    /// The number as it is dialled, for instance `+972502345678`. Never hand it to a log, an error or a metric.
    pub fn expose(self) -> String {
        format!("+{}", self.0)
    }

    /// The region the number belongs to; `None` for numbers of no single region (satellite networks, `+800`) and
    /// for numbers that no numbering plan knows.
    pub fn region(self) -> Option<Region> {
        let region = PHONE_NUMBER_UTIL.get_region_for_number(&self.read()?)?;
        Region::new(&region.as_region_str()).ok()
    }

    /// What the numbering plan says the number is for. A mobile number that was ported stays what it was.
    pub fn kind(self) -> NumberKind {
        match self.read().map(|number| PHONE_NUMBER_UTIL.get_number_type(&number)) {
            Some(PhoneNumberType::Mobile) => NumberKind::Mobile,
            Some(PhoneNumberType::FixedLine) => NumberKind::FixedLine,
            Some(PhoneNumberType::FixedLineOrMobile) => NumberKind::FixedLineOrMobile,
            Some(PhoneNumberType::TollFree) => NumberKind::TollFree,
            Some(PhoneNumberType::PremiumRate) => NumberKind::Premium,
            Some(PhoneNumberType::VoIP) => NumberKind::Voip,
            _ => NumberKind::Other,
        }
    }

    /// Whether the leading digits tell where the line is: true for fixed lines, and for mobile numbers in the few
    /// countries that give them area codes.
    pub(crate) fn is_geographic(self) -> bool {
        self.read().is_some_and(|number| PHONE_NUMBER_UTIL.is_number_geographical(&number))
    }

    fn read(self) -> Option<PhoneNumber> {
        PHONE_NUMBER_UTIL.parse(self.expose(), None).ok()
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("E164(***)")
    }
}

impl Serialize for E164 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.expose())
    }
}

impl<'de> Deserialize<'de> for E164 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_e164(&text).map_err(|_| {
            serde::de::Error::custom("expected a number in E.164 form such as \"+972502345678\"")
        })
    }
}

/// What a number is for, by the numbering plan of its country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NumberKind {
    /// A mobile phone: can receive text messages.
    Mobile,
    /// A line at a fixed place: cannot be expected to receive text messages.
    FixedLine,
    /// One of the two; the plan does not tell which (all of North America).
    FixedLineOrMobile,
    /// Free of charge for the caller: a business, not a person.
    TollFree,
    /// The caller pays more than for an ordinary call. Calling one costs money and reaches a service.
    Premium,
    /// A line over the internet that is tied to no place.
    Voip,
    /// Anything else: shared cost, personal, pager, company-wide or voicemail numbers, and unknown ones.
    Other,
}

/// Why a text is not a phone number. Carries no part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PhoneError {
    /// Nothing that looks like a number, or a number mixed with words or rounded by a spreadsheet.
    #[error("not a phone number")]
    NotANumber,
    /// The number starts with a plus sign or an international prefix, but no country has the code that follows.
    #[error("unknown country calling code")]
    UnknownCallingCode,
    /// Digits are missing, perhaps the area code.
    #[error("too short for a phone number of its region")]
    TooShort,
    /// There are more digits than any number has; perhaps two numbers in one cell.
    #[error("too long for a phone number of its region")]
    TooLong,
    /// The length is plausible, but the numbering plan has no such number.
    #[error("no valid number of its region")]
    Invalid,
}

const E164_MIN: u64 = 1_000_000;
const E164_MAX: u64 = 999_999_999_999_999;
/// The calling code shared by the United States, Canada and much of the Caribbean.
const NORTH_AMERICA: i32 = 1;

fn parse_valid(text: &str, region: rlibphonenumber::Region) -> Result<PhoneNumber, PhoneError> {
    let number = PHONE_NUMBER_UTIL.parse(text, Some(region)).map_err(|error| match error {
        ParseError::InvalidCountryCode => PhoneError::UnknownCallingCode,
        ParseError::NotANumber(_) => PhoneError::NotANumber,
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn => PhoneError::TooShort,
        ParseError::TooLongNsn => PhoneError::TooLong,
    })?;
    if PHONE_NUMBER_UTIL.is_valid_number(&number) {
        return Ok(number);
    }
    Err(match PHONE_NUMBER_UTIL.is_possible_number_with_reason(&number) {
        Ok(NumberLengthType::IsPossibleLocalOnly) | Err(ValidationError::TooShort) => PhoneError::TooShort,
        Err(ValidationError::TooLong) => PhoneError::TooLong,
        Err(ValidationError::InvalidCountryCode) => PhoneError::UnknownCallingCode,
        Ok(NumberLengthType::IsPossible) | Err(ValidationError::InvalidLength) => PhoneError::Invalid,
    })
}

/// Calling code and national number, with the zeros that some national numbers begin with.
fn e164_digits(number: &PhoneNumber) -> Option<u64> {
    number.format_as(PhoneNumberFormat::E164).strip_prefix('+')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str, region: &str) -> Result<String, PhoneError> {
        E164::parse(text, Region::new(region).unwrap()).map(E164::expose)
    }

    fn kind(text: &str) -> NumberKind {
        E164::from_e164(text).unwrap().kind()
    }

    #[test]
    fn every_notation_of_a_number_is_the_same_number() {
        for text in [
            "054-234-5678",
            "542345678",
            "542345678.0",
            "5.42345678E8",
            "+972 54-234-5678",
            "+972 (0)54 2345678",
            "00972542345678",
            "972542345678",
            "(054) 234.5678",
            "\u{202b}054\u{2011}234\u{5be}5678\u{202c}",
            "０５４２３４５６７８",
            "٠٥٤٢٣٤٥٦٧٨",
            "tel:+972542345678",
            "Mobile: 054 234 5678",
            "0542345678 ext. 12",
        ] {
            assert_eq!(parse(text, "IL").as_deref(), Ok("+972542345678"), "{text}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        assert_eq!(parse("", "IL"), Err(PhoneError::NotANumber));
        assert_eq!(parse("n/a", "IL"), Err(PhoneError::NotANumber));
        assert_eq!(parse("+999 12345678", "IL"), Err(PhoneError::UnknownCallingCode));
        assert_eq!(parse("054-234", "IL"), Err(PhoneError::TooShort));
        assert_eq!(parse("555-0123", "US"), Err(PhoneError::TooShort));
        assert_eq!(parse("212-555-0123-4567", "US"), Err(PhoneError::TooLong));
        assert_eq!(parse("112-555-0123", "US"), Err(PhoneError::Invalid));
    }

    #[test]
    fn no_stranger_is_dialled() {
        assert_eq!(parse("1-800-FLOWERS", "US").as_deref(), Ok("+18003569377"));
        // libphonenumber reads the words as the digits 4663 and 67, and both numbers as one.
        assert_eq!(parse("030 1234567 (home)", "DE"), Err(PhoneError::NotANumber));
        assert_eq!(parse("0212 5550123 or 0124", "DE"), Err(PhoneError::NotANumber));
        // A spreadsheet rounded the last digits away.
        assert_eq!(parse("5.42346E+08", "IL"), Err(PhoneError::NotANumber));
        // The fraction would be the tenth digit.
        assert_eq!(parse("212555012.0", "US"), Err(PhoneError::TooShort));
    }

    #[test]
    fn exact_texts_are_exact() {
        assert_eq!(E164::from_e164("+972542345678").map(E164::digits), Ok(972_542_345_678));
        for text in
            ["972542345678", "++972542345678", "+0972542345678", "+972 542345678", "+", "+٩٧٢٥٤٢٣٤٥٦٧٨"]
        {
            assert_eq!(E164::from_e164(text), Err(PhoneError::NotANumber));
            assert!(serde_json::from_str::<E164>(&format!("{text:?}")).is_err());
        }
        assert_eq!(E164::from_e164("+123456"), Err(PhoneError::TooShort));
        assert_eq!(E164::from_e164("+1234567890123456"), Err(PhoneError::TooLong));
    }

    #[test]
    fn a_number_is_not_shown_by_accident() {
        assert_eq!(format!("{:?}", E164::from_e164("+972542345678")), "Ok(E164(***))");
    }

    #[test]
    fn a_number_tells_its_region_and_kind() {
        let region = |text| E164::from_e164(text).unwrap().region().map(|region| region.to_string());
        assert_eq!(region("+972542345678").as_deref(), Some("IL"));
        assert_eq!(region("+14165550123").as_deref(), Some("CA"));
        assert_eq!(region("+80012345678"), None);
        assert_eq!(region("+999123456789"), None);
        assert_eq!(kind("+972542345678"), NumberKind::Mobile);
        assert_eq!(kind("+97221234567"), NumberKind::FixedLine);
        assert_eq!(kind("+12125550123"), NumberKind::FixedLineOrMobile);
        assert_eq!(kind("+18002345678"), NumberKind::TollFree);
        assert_eq!(kind("+19002345678"), NumberKind::Premium);
        assert_eq!(kind("+972771234567"), NumberKind::Voip);
        assert_eq!(kind("+999123456789"), NumberKind::Other);
    }

    proptest! {
        #[test]
        fn whatever_parses_is_its_own_exact_form(text in "[+0-9 ().xA-Z\u{2011}-]{0,24}", region in "US|IL|GB|DE|IT|BR") {
            let region = Region::new(&region).unwrap();
            if let Ok(number) = E164::parse(&text, region) {
                prop_assert_eq!(E164::from_e164(&number.expose()), Ok(number));
                prop_assert_eq!(E164::parse(&number.expose(), region), Ok(number));
            }
        }

        /// A number is accepted if and only if its country has it, however it is written.
        #[test]
        fn property_03_phone_number_validation_correctness(
            text in "\\+(9725[0-9]{8}|1[2-9][0-9]{9}|44[0-9]{9,10}|[1-9][0-9]{5,16})",
            region in "US|IL|GB|DE|IT|BR",
        ) {
            let region = Region::new(&region).unwrap();
            let number = PHONE_NUMBER_UTIL.parse(&text, None).ok();
            let number = number.filter(|number| PHONE_NUMBER_UTIL.is_valid_number(number));
            let digits = number.as_ref().and_then(e164_digits).and_then(E164::from_digits);
            prop_assert_eq!(E164::parse(&text, region).ok(), digits, "{}", text);
            let Some((number, digits)) = number.zip(digits) else { return Ok(()) };
            let international = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::International);
            prop_assert_eq!(E164::parse(&international, region), Ok(digits), "{}", international);
            if let Some(home) = digits.region() {
                let national = PHONE_NUMBER_UTIL.format(&number, PhoneNumberFormat::National);
                prop_assert_eq!(E164::parse(&national, home), Ok(digits), "{} in {}", national, home.as_str());
            }
        }

        #[test]
        fn any_text_is_safe(text in any::<String>()) {
            let _ = E164::parse(&text, Region::new("US").unwrap());
        }
    }
}
