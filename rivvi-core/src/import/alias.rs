//! Headers that are recognised by themselves, in English and Hebrew.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::field::Field;
use super::row::is_invisible;

/// What a header means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) field: Field,
    /// Among columns of one field, the lower rank is taken first: a mobile number before a home number.
    pub(super) rank: u8,
}

/// Rank of a header that is only "name": beside a family name it means the given name.
pub(super) const RANK_BARE_NAME: u8 = 1;
/// Rank of a full name that starts with the family name.
pub(super) const RANK_FAMILY_FIRST: u8 = 2;

/// The meaning of a header, if it is known.
pub(super) fn meaning(header: &str) -> Option<Meaning> {
    let words = normalize(header);
    let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let aliases = ALIASES.get_or_init(table);
    let known = |words: &[&str]| aliases.get(words.join(" ").as_str()).copied();
    let bare = strip_owner(strip_counter(&words));
    known(&words).or_else(|| known(strip_counter(&words))).or_else(|| known(bare))
}

/// A header as it is compared: lower case, without marks of direction, vowel points and quotes; any punctuation, line
/// break or change from lower to upper case is a space; every way to write "number" is one.
pub(super) fn normalize(header: &str) -> String {
    let mut spaced = String::with_capacity(header.len() + 8);
    let mut after_lower = false;
    for c in header.chars() {
        if c.is_uppercase() && after_lower {
            spaced.push(' ');
        }
        after_lower = c.is_lowercase();
        match c {
            '#' | '№' => spaced.push_str(" number "),
            '\'' | '"' | '`' | '’' | '‘' | '“' | '”' | '\u{5F3}' | '\u{5F4}' => {}
            '\u{591}'..='\u{5BD}' | '\u{5BF}'..='\u{5C7}' => {}
            c if is_invisible(c) => {}
            c if c.is_alphanumeric() => spaced.extend(c.to_lowercase()),
            _ => spaced.push(' '),
        }
    }
    let words = spaced.split_whitespace().map(|word| match word {
        "no" | "num" | "nr" | "nbr" => "number",
        "מס" => "מספר",
        word => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `phone 2` is a phone.
fn strip_counter<'a, 'b>(words: &'b [&'a str]) -> &'b [&'a str] {
    match words {
        [rest @ .., last] if !rest.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) => rest,
        words => words,
    }
}

/// `patient phone` is a phone, and so is `טלפון הלקוח`.
fn strip_owner<'a, 'b>(words: &'b [&'a str]) -> &'b [&'a str] {
    const OWNERS: [&str; 20] = [
        "patient",
        "patients",
        "customer",
        "client",
        "contact",
        "member",
        "guest",
        "donor",
        "user",
        "person",
        "lead",
        "subscriber",
        "recipient",
        "student",
        "employee",
        "tenant",
        "pt",
        "cust",
        "primary",
        "main",
    ];
    const OWNERS_HEBREW: [&str; 14] = [
        "לקוח",
        "הלקוח",
        "מטופל",
        "המטופל",
        "מטופלת",
        "חבר",
        "החבר",
        "תורם",
        "התורם",
        "נמען",
        "הנמען",
        "איש",
        "ראשי",
        "עיקרי",
    ];
    match words {
        [first, rest @ ..] if !rest.is_empty() && OWNERS.contains(first) => strip_owner(rest),
        [rest @ .., last] if !rest.is_empty() && OWNERS_HEBREW.contains(last) => rest,
        words => words,
    }
}

static ALIASES: OnceLock<HashMap<&'static str, Meaning>> = OnceLock::new();

fn table() -> HashMap<&'static str, Meaning> {
    let rows = GROUPS.iter().flat_map(|(field, rank, aliases)| {
        aliases.split(',').map(move |alias| (alias.trim(), Meaning { field: *field, rank: *rank }))
    });
    rows.collect()
}

/// Field, rank, and the headers in their [`normalize`]d form, separated by commas.
const GROUPS: &[(Field, u8, &str)] = &[
    (
        Field::Phone,
        0,
        "mobile, mobile phone, mobile number, mobile phone number, phone mobile, mobile tel, mobile telephone, cell, \
         cells, cell phone, cell number, cell phone number, cellphone, cellphone number, cellular, cellular phone, \
         cellular number, phone cell, tel mobile, tel cell, gsm, handphone, whatsapp, whatsapp number, \
         נייד, מספר נייד, טלפון נייד, מספר טלפון נייד, טל נייד, מספר טל נייד, נייד מספר, סלולרי, טלפון סלולרי, סלולר, \
         מספר סלולרי, פלאפון, מספר פלאפון, פלאפון נייד, טלפון סלולארי, סלולארי, ווטסאפ",
    ),
    (
        Field::Phone,
        1,
        "phone, phones, phone number, phone numbers, phonenumber, number phone, tel, tel number, telephone, \
         telephone number, tele, telefon, telefono, teléfono, ph, ph number, phone e164, e164, msisdn, contact number, \
         contact phone, contact phone number, contact tel, call number, number to call, dial number, best phone, \
         preferred phone, \
         טלפון, מספר טלפון, מספר הטלפון, טל, מספר טל, טלפונים, טלפון ליצירת קשר, מספר ליצירת קשר, טלפון ראשי",
    ),
    (
        Field::Phone,
        2,
        "home phone, home number, home phone number, home telephone, home tel, phone home, tel home, landline, \
         landline number, house phone, evening phone, \
         טלפון בית, טלפון בבית, טל בית, טלפון קווי, מספר בית טלפון, קווי, נייח, טלפון נייח",
    ),
    (
        Field::Phone,
        3,
        "work phone, work number, work phone number, work telephone, business phone, business number, office phone, \
         office number, phone work, tel work, day phone, daytime phone, company phone, \
         טלפון עבודה, טלפון בעבודה, טל עבודה, טלפון משרד",
    ),
    (
        Field::Phone,
        4,
        "other phone, alternate phone, alternative phone, alt phone, secondary phone, second phone, backup phone, \
         phone other, phone alternate, secondary number, alternate number, additional phone, \
         טלפון נוסף, נייד נוסף, טלפון אחר, טלפון משני, טל נוסף",
    ),
    (
        Field::FirstName,
        0,
        "first name, firstname, first, given name, givenname, given, forename, fname, f name, name first, first names, \
         christian name, שם פרטי, פרטי, שם פרטי בעברית, השם הפרטי",
    ),
    (
        Field::LastName,
        0,
        "last name, lastname, last, surname, family name, familyname, family, lname, l name, name last, \
         שם משפחה, משפחה, שם המשפחה, שם משפחה בעברית",
    ),
    (
        Field::FullName,
        0,
        "full name, fullname, complete name, first and last name, first last name, name surname, name and surname, \
         display name, contact name, שם מלא, שם פרטי ומשפחה, שם ומשפחה, שם ושם משפחה, שם פרטי ושם משפחה, שם איש קשר",
    ),
    (Field::FullName, RANK_BARE_NAME, "name, names, שם, השם"),
    (
        Field::FullName,
        RANK_FAMILY_FIRST,
        "last name first name, last first name, surname and name, surname name, surname first name, \
         שם משפחה ופרטי, שם משפחה ושם פרטי, משפחה ופרטי",
    ),
    (
        Field::DateOfBirth,
        0,
        "date of birth, dob, d o b, birth date, birthdate, birthday, birth day, date birth, born, born on, birth, \
         תאריך לידה, ת לידה, תאריך הלידה, לידה, יום הולדת, תל, תאריך לידה לועזי",
    ),
    (
        Field::Email,
        0,
        "email, e mail, mail, email address, e mail address, mail address, emails, \
         דואל, דוא ל, אימייל, מייל, כתובת מייל, כתובת דואל, כתובת אימייל, דואר אלקטרוני, כתובת דואר אלקטרוני, אי מייל",
    ),
    (
        Field::Language,
        0,
        "language, lang, preferred language, spoken language, locale, mother tongue, שפה, שפת אם, שפה מועדפת, שפת דיבור",
    ),
    (
        Field::TimeZone,
        0,
        "time zone, timezone, tz, time zone name, iana time zone, olson time zone, אזור זמן, איזור זמן",
    ),
    (Field::Priority, 0, "priority, prio, call priority, importance, urgency, עדיפות, דחיפות, קדימות, תעדוף"),
    (
        Field::ExternalId,
        0,
        "external id, externalid, ext id, id, id number, mrn, medical record number, record id, record number, uid, uuid, \
         crm id, customer id, client id, patient id, member id, contact id, customer number, client number, \
         patient number, member number, membership number, account number, account id, reference, reference number, \
         ref, ref number, national id, ssn, \
         תז, ת ז, תעודת זהות, מספר תעודת זהות, מספר זהות, מספר לקוח, מספר מטופל, מספר תיק, מזהה, מספר מזהה, קוד לקוח, \
         מספר חבר, מספר ת ז, מספר תז, אסמכתא",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_is_written_in_its_normal_form_and_once() {
        let mut seen = HashMap::new();
        for (field, rank, aliases) in GROUPS {
            for alias in aliases.split(',').map(str::trim) {
                assert_eq!(normalize(alias), alias);
                assert_eq!(seen.insert(alias, (field, rank)), None, "{alias} is listed twice");
            }
        }
    }

    #[test]
    fn headers_people_write() {
        for (header, field) in [
            ("Cell #", Field::Phone),
            ("PHONE", Field::Phone),
            ("phone_number", Field::Phone),
            ("phoneNumber", Field::Phone),
            ("Tel. No.", Field::Phone),
            ("Phone (mobile)", Field::Phone),
            ("Phone 2", Field::Phone),
            ("\u{200F}טלפון\u{200F}", Field::Phone),
            ("מס' טלפון", Field::Phone),
            ("מס׳ נייד", Field::Phone),
            ("טלפון הלקוח", Field::Phone),
            ("Mobile\nphone", Field::Phone),
            ("given name", Field::FirstName),
            ("FirstName", Field::FirstName),
            ("surname", Field::LastName),
            ("Patient name", Field::FullName),
            ("שם", Field::FullName),
            ("patient_dob", Field::DateOfBirth),
            ("D.O.B.", Field::DateOfBirth),
            ("תאריך לידה:", Field::DateOfBirth),
            ("E-Mail", Field::Email),
            ("דוא\"ל", Field::Email),
            ("דוא״ל", Field::Email),
            ("Time Zone", Field::TimeZone),
            ("ת.ז.", Field::ExternalId),
            ("MRN", Field::ExternalId),
            ("עדיפות", Field::Priority),
            ("שפה", Field::Language),
        ] {
            assert_eq!(meaning(header).map(|m| m.field), Some(field), "{header}");
        }
        for header in
            ["", "Note", "Clinic export", "amount due", "Emergency contact phone", "2", "Telephone list 2026"]
        {
            assert_eq!(meaning(header), None, "{header}");
        }
    }

    #[test]
    fn mobile_numbers_rank_before_home_numbers() {
        let rank = |header| meaning(header).map(|m| m.rank);
        assert!(rank("נייד") < rank("Phone") && rank("Phone") < rank("Home phone"));
        assert!(rank("Home phone") < rank("Work phone"));
    }
}
