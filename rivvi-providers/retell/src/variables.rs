//! What the agent knows: Retell's dynamic variables, all of them texts.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rivvi_core::domain::{E164, PersonFields, Personal};

/// The dynamic variables for one person: the variables of campaign and contact, and over them `first_name`, `last_name`,
/// `dob` (as `1990-04-03`), `is_minor` (`true`, `false` or `unknown`) and `phone`, which are always there, because Retell
/// has the agent read out the name of a variable that it was not given. A field of the person that is not known is what the
/// variables say, or empty.
pub(crate) fn of_person(
    person: &PersonFields,
    number: E164,
    variables: &BTreeMap<String, String>,
    today: NaiveDate,
) -> BTreeMap<String, String> {
    let mut all = variables.clone();
    // A header may be empty, which cannot be named in a prompt.
    all.remove("");
    let text = |field: &Option<Personal<String>>| field.as_ref().map(|text| text.expose().clone());
    let born = person.date_of_birth.as_ref().map(|date| *date.expose());
    let minor = person.is_minor(today).map(|minor| if minor { "true" } else { "false" });
    let known = [
        ("first_name", text(&person.first_name)),
        ("last_name", text(&person.last_name)),
        ("dob", born.map(|date| date.to_string())),
        ("is_minor", Some(minor.unwrap_or("unknown").to_owned())),
        ("phone", Some(number.expose())),
    ];
    for (name, value) in known {
        let otherwise = || all.get(name).cloned().unwrap_or_default();
        let value = value.unwrap_or_else(otherwise);
        all.insert(name.to_owned(), value);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn the_five_are_always_there() {
        let number = E164::from_e164("+972541234567").unwrap();
        let today = date("2026-03-02");
        let nobody = of_person(&PersonFields::default(), number, &BTreeMap::new(), today);
        let expected = [
            ("dob", ""),
            ("first_name", ""),
            ("is_minor", "unknown"),
            ("last_name", ""),
            ("phone", "+972541234567"),
        ];
        assert_eq!(nobody.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);

        let columns =
            [("", "x"), ("first_name", "D."), ("dob", "3.4.90"), ("phone", "054-1"), ("slot", "noon")];
        let columns = columns.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut person = PersonFields::default();
        person.first_name = Some("Dana".to_owned().into());
        let known = of_person(&person, number, &columns, today);
        assert_eq!((known["first_name"].as_str(), known["slot"].as_str()), ("Dana", "noon"));
        assert_eq!((known["dob"].as_str(), known["phone"].as_str()), ("3.4.90", "+972541234567"));
        assert_eq!(known.len(), 6);

        person.date_of_birth = Some(date("2010-04-03").into());
        let known = of_person(&person, number, &columns, today);
        assert_eq!((known["dob"].as_str(), known["is_minor"].as_str()), ("2010-04-03", "true"));
    }
}
