//! Reading the zone that a sheet names.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono_tz::{America, Asia, Pacific, TZ_VARIANTS, Tz};

/// The zone that a sheet names, in either case: an IANA name (`America/New_York`, `america/new york`), or an
/// abbreviation or everyday name of the United States and Canada (`ET`, `EST`, `Eastern`, `Mountain Standard Time`,
/// `Pacific Time (US & Canada)`, `Arizona`, `Hawaii`), or `Israel`.
///
/// `EST`, `MST` and `HST` mean the places that use them, summer time included, as people mean them, and not the
/// fixed offsets that IANA gave these names.
///
/// `None` for what is ambiguous (`IST`, `AST`, `BST`, `SST`), for offsets such as `+02:00`, which do not tell when summer
/// time begins, and for anything else.
pub fn parse_zone(text: &str) -> Option<Tz> {
    let name = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    everyday(&name).or_else(|| ZONES.get(name.replace(' ', "_").as_str()).copied())
}

/// Every IANA name in lower case.
static ZONES: LazyLock<HashMap<String, Tz>> =
    LazyLock::new(|| TZ_VARIANTS.into_iter().map(|zone| (zone.name().to_lowercase(), zone)).collect());

fn everyday(name: &str) -> Option<Tz> {
    let place = match name.split_once(" (") {
        Some((place, "us & canada)" | "us and canada)" | "us)" | "usa)" | "canada)")) => place,
        _ => name,
    };
    let place = place.strip_suffix(" zone").unwrap_or(place);
    let place = place.strip_suffix(" time").unwrap_or(place);
    let place = place.strip_suffix(" standard").or_else(|| place.strip_suffix(" daylight")).unwrap_or(place);
    Some(match place {
        "nt" | "nst" | "ndt" | "newfoundland" => America::St_Johns,
        "at" | "adt" | "atlantic" => America::Halifax,
        "et" | "est" | "edt" | "eastern" | "us eastern" => America::New_York,
        "ct" | "cst" | "cdt" | "central" | "us central" => America::Chicago,
        "mt" | "mst" | "mdt" | "mountain" => America::Denver,
        "arizona" | "us mountain" => America::Phoenix,
        "saskatchewan" => America::Regina,
        "pt" | "pst" | "pdt" | "pacific" | "us pacific" => America::Los_Angeles,
        "akt" | "akst" | "akdt" | "alaska" | "alaskan" => America::Anchorage,
        "ht" | "hst" | "hast" | "hawaii" | "hawaiian" => Pacific::Honolulu,
        "american samoa" => Pacific::Pago_Pago,
        "chst" | "guam" | "chamorro" => Pacific::Guam,
        "puerto rico" => America::Puerto_Rico,
        "israel" | "jerusalem" => Asia::Jerusalem,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use chrono_tz::{Etc, Europe};

    use super::*;

    #[test]
    fn iana_names_are_read_in_either_case() {
        for zone in TZ_VARIANTS {
            if !matches!(zone, Tz::EST | Tz::MST | Tz::HST | Tz::Israel) {
                assert_eq!(parse_zone(zone.name()), Some(zone));
                assert_eq!(parse_zone(&zone.name().to_uppercase()), Some(zone));
            }
        }
        assert_eq!(parse_zone("  america/new  york "), Some(America::New_York));
        assert_eq!(parse_zone("utc"), Some(Tz::UTC));
        assert_eq!(parse_zone("Etc/UTC"), Some(Etc::UTC));
        assert_eq!(parse_zone("Europe/Kyiv"), Some(Europe::Kyiv));
    }

    #[test]
    fn everyday_names_are_read() {
        for (text, zone) in [
            ("ET", America::New_York),
            ("EST", America::New_York),
            ("edt", America::New_York),
            ("Eastern", America::New_York),
            ("Eastern Time (US & Canada)", America::New_York),
            ("US/Eastern", Tz::US__Eastern),
            ("CST", America::Chicago),
            ("Central Standard Time", America::Chicago),
            ("MT", America::Denver),
            ("Mountain Daylight Time", America::Denver),
            ("US Mountain Standard Time", America::Phoenix),
            ("Arizona", America::Phoenix),
            ("Pacific time zone", America::Los_Angeles),
            ("PDT", America::Los_Angeles),
            ("AKT", America::Anchorage),
            ("Alaskan Standard Time", America::Anchorage),
            ("HST", Pacific::Honolulu),
            ("Newfoundland Standard Time", America::St_Johns),
            ("Atlantic", America::Halifax),
            ("Israel", Asia::Jerusalem),
            ("Israel Standard Time", Asia::Jerusalem),
        ] {
            assert_eq!(parse_zone(text), Some(zone), "{text}");
        }
    }

    #[test]
    fn what_is_ambiguous_or_no_zone_is_refused() {
        for text in
            ["", " ", "IST", "AST", "BST", "SST", "+02:00", "GMT+2:00", "US", "New York", "n/a", "Time", "E"]
        {
            assert_eq!(parse_zone(text), None, "{text}");
        }
    }
}
