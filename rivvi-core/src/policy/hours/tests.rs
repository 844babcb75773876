use super::super::wall::DAY;
use super::*;

fn hours(toml: &str) -> CallingHours {
    toml::from_str(toml).unwrap()
}

fn week(windows: &str) -> Vec<(i64, i64)> {
    let minutes = |(from, to): &(i64, i64)| (from / 60, to / 60);
    hours(&format!("windows = [{windows}]")).week.0.iter().map(minutes).collect()
}

#[test]
fn windows_compile_to_the_minutes_of_a_week() {
    assert_eq!(week(r#"{ days = ["mon"], from = "09:00", to = "20:30" }"#), [(1980, 2670)]);
    // Overlapping and touching windows join.
    assert_eq!(
        week(
            r#"{ days = ["sun"], from = "09:00", to = "12:00" }, { days = ["sun"], from = "11:00", to = "13:00" },
               { days = ["sun"], from = "13:00", to = "14:00" }, { days = ["sun"], from = "15:00", to = "24:00" },
               { days = ["mon"], from = "00:00", to = "01:00" }"#
        ),
        [(540, 840), (900, 1500)]
    );
    // A window that crosses midnight belongs to the day it starts on, also at the end of the week.
    assert_eq!(week(r#"{ days = ["fri"], from = "22:00", to = "01:00" }"#), [(8520, 8700)]);
    assert_eq!(week(r#"{ days = ["sat"], from = "22:00", to = "01:00" }"#), [(0, 60), (9960, 10080)]);
    assert_eq!(week(r#"{ days = ["sat"], from = "22:00", to = "00:00" }"#), [(9960, 10080)]);
}

#[test]
fn a_full_week_never_closes() {
    assert_eq!(week(r#"{ from = "00:00", to = "24:00" }"#), []);
    assert_eq!(week(r#"{ from = "12:00", to = "06:00" }, { from = "06:00", to = "12:00" }"#), []);
    assert_eq!(hours("").week, CallingHours::always().week);
}

#[test]
fn blackouts_join() {
    let hours = hours(
        r#"blackout_dates = ["1970-01-05", { from = "1970-01-02", to = "1970-01-04" }, 1970-02-01,
                             { from = 1970-01-03, to = 1970-01-03 }]"#,
    );
    assert_eq!(*hours.blackouts.0, [(DAY, 5 * DAY), (31 * DAY, 32 * DAY)]);
    assert!(hours.blackout_dates()[1].contains(NaiveDate::from_ymd_opt(1970, 1, 4).unwrap()));
}

#[test]
fn hours_write_what_they_read() {
    let text = concat!(
        r#"{"windows":[{"days":["sun","fri"],"from":"09:00","to":"13:00"},{"from":"15:00","to":"24:00"}],"#,
        r#""blackout_dates":["2026-09-21",{"from":"2026-09-11","to":"2026-09-13"}]}"#
    );
    let hours: CallingHours = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&hours).unwrap(), text);
    assert_eq!(toml::from_str::<CallingHours>(&toml::to_string(&hours).unwrap()).unwrap(), hours);
    assert_eq!(serde_json::to_string(&CallingHours::always()).unwrap(), "{}");
}

#[test]
fn mistakes_are_explained() {
    for (toml, expected) in [
        (
            r#"windows = [{ from = "09:00", to = "09:00" }]"#,
            "09:00 to 09:00 is empty: for the whole day write",
        ),
        (r#"windows = [{ from = "24:00", to = "01:00" }]"#, "start it at 00:00 of the next day"),
        (r#"windows = [{ days = [], from = "09:00", to = "10:00" }]"#, "leave `days` out for every day"),
        (r#"windows = [{ from = "9am", to = "10:00" }]"#, "expected a time from \"00:00\" to \"24:00\""),
        (r#"windows = [{ from = "09:00" }]"#, "missing field `to`"),
        (r#"windows = [{ from = "09:00", to = "10:00", zone = "UTC" }]"#, "unknown field `zone`"),
        (r#"blackout = []"#, "unknown field `blackout`"),
        (r#"blackout_dates = ["25.12.2026"]"#, "expected a date such as \"2026-12-25\""),
        (r#"blackout_dates = [2026-12-25T10:00:00]"#, "expected a date such as \"2026-12-25\""),
        (
            r#"blackout_dates = [{ from = "2026-12-25", to = "2026-12-24" }]"#,
            "the dates run backwards: 2026-12-25 is after 2026-12-24",
        ),
    ] {
        let error = toml::from_str::<CallingHours>(toml).unwrap_err().to_string();
        assert!(error.contains(expected), "{toml}\n{error}");
    }
}
