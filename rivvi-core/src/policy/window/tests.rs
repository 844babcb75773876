use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeZone, Timelike};
use proptest::prelude::*;

use super::super::day::{DaySet, TimeOfDay};
use super::super::hours::{CallingWindow, DateRange};
use super::*;

const APIA: Tz = Tz::Pacific__Apia;
const JERUSALEM: Tz = Tz::Asia__Jerusalem;
const KATHMANDU: Tz = Tz::Asia__Kathmandu;
const KIRITIMATI: Tz = Tz::Pacific__Kiritimati;
const LORD_HOWE: Tz = Tz::Australia__Lord_Howe;
const NEW_YORK: Tz = Tz::America__New_York;
const PAGO_PAGO: Tz = Tz::Pacific__Pago_Pago;
const UTC: Tz = Tz::UTC;

fn utc(text: &str) -> DateTime<Utc> {
    format!("{text}Z").parse().unwrap()
}

/// Hours from one window per text, `"fri 22:00-01:00"`, or without a day for every day.
fn hours(windows: &[&str]) -> CallingHours {
    CallingHours::new(windows.iter().map(|text| window(text)).collect(), Vec::new())
}

fn window(text: &str) -> CallingWindow {
    let (days, times) = match text.split_once(' ') {
        Some((day, times)) => (DaySet::NONE.with(day.parse().unwrap()), times),
        None => (DaySet::EVERY, text),
    };
    let (from, to) = times.split_once('-').unwrap();
    CallingWindow::new(days, from.parse().unwrap(), to.parse().unwrap()).unwrap()
}

fn dates(texts: &[&str]) -> Vec<DateRange> {
    texts.iter().map(|text| DateRange::day(text.parse().unwrap())).collect()
}

/// The first `legal.len()` legal stretches from an instant on must be these.
#[track_caller]
fn assert_opens(constraints: &[Constraint<'_>], from: &str, legal: &[(&str, &str)]) {
    let mut at = utc(from);
    for (opens, closes) in legal {
        let interval = next_legal(constraints, at, HORIZON).unwrap();
        assert_eq!((interval.from, interval.until), (utc(opens), Some(utc(closes))));
        at = interval.until.unwrap();
    }
}

#[track_caller]
fn assert_one(windows: &[&str], zone: Tz, from: &str, legal: &[(&str, &str)]) {
    assert_opens(&[Constraint { hours: &hours(windows), zone }], from, legal);
}

#[test]
fn an_open_instant_is_its_own_answer_to_the_nanosecond() {
    let at = utc("2026-05-04T13:00:00.123456789");
    let hours = hours(&["09:00-20:30"]);
    let constraints = [Constraint { hours: &hours, zone: NEW_YORK }];
    assert!(is_legal(&constraints, at));
    let interval = next_legal(&constraints, at, TimeDelta::zero()).unwrap();
    assert_eq!(interval, Interval { from: at, until: Some(utc("2026-05-05T00:30:00")) });
}

#[test]
fn nothing_to_obey_is_always_legal() {
    let at = utc("2026-05-04T13:00:00");
    let open_ended = Some(Interval { from: at, until: None });
    assert_eq!(next_legal(&[], at, HORIZON), open_ended);
    let always = CallingHours::always();
    assert_eq!(next_legal(&[Constraint { hours: &always, zone: JERUSALEM }], at, HORIZON), open_ended);
    let past = CallingHours::new(Vec::new(), dates(&["2020-01-01", "2026-05-03"]));
    assert_eq!(next_legal(&[Constraint { hours: &past, zone: JERUSALEM }], at, HORIZON), open_ended);
}

#[test]
fn several_windows_a_day() {
    assert_one(
        &["09:00-12:30", "16:00-20:00"],
        KATHMANDU, // +05:45
        "2026-05-04T00:00:00",
        &[
            ("2026-05-04T03:15:00", "2026-05-04T06:45:00"),
            ("2026-05-04T10:15:00", "2026-05-04T14:15:00"),
            ("2026-05-05T03:15:00", "2026-05-05T06:45:00"),
        ],
    );
}

#[test]
fn weekdays_leap_day_and_year_end() {
    // 2028-02-29 is a Tuesday, 2026-12-31 a Thursday.
    assert_one(
        &["tue 09:00-10:00"],
        UTC,
        "2028-02-23T00:00:00",
        &[("2028-02-29T09:00:00", "2028-02-29T10:00:00"), ("2028-03-07T09:00:00", "2028-03-07T10:00:00")],
    );
    assert_one(
        &["thu 20:00-24:00", "fri 00:00-02:00"],
        UTC,
        "2026-12-31T00:00:00",
        &[("2026-12-31T20:00:00", "2027-01-01T02:00:00"), ("2027-01-07T20:00:00", "2027-01-08T02:00:00")],
    );
}

#[test]
fn midnight_is_crossed_into_the_next_day_and_week() {
    assert_one(
        &["sat 22:00-01:30"],
        JERUSALEM,
        "2026-01-01T00:00:00",
        &[("2026-01-03T20:00:00", "2026-01-03T23:30:00"), ("2026-01-10T20:00:00", "2026-01-10T23:30:00")],
    );
    assert_one(
        &["mon 18:00-24:00"],
        UTC,
        "2026-05-04T20:00:00",
        &[("2026-05-04T20:00:00", "2026-05-05T00:00:00")],
    );
}

#[test]
fn new_york_spring_gap() {
    // 02:00 became 03:00 on 2026-03-08 and 2027-03-14.
    for (from, gap) in
        [("2026-03-08T05:30:00", "2026-03-08T07:00:00"), ("2027-03-14T05:30:00", "2027-03-14T07:00:00")]
    {
        let day = &gap[..11];
        assert_one(&["02:30-04:00"], NEW_YORK, from, &[(gap, &format!("{day}08:00:00"))]);
        assert_one(&["01:00-02:30"], NEW_YORK, from, &[(&format!("{day}06:00:00"), gap)]);
        assert_one(
            &["01:00-04:00"],
            NEW_YORK,
            from,
            &[(&format!("{day}06:00:00"), &format!("{day}08:00:00"))],
        );
    }
    // A window wholly inside the gap does not open that day.
    assert_one(
        &["02:10-02:50"],
        NEW_YORK,
        "2026-03-08T05:30:00",
        &[("2026-03-09T06:10:00", "2026-03-09T06:50:00")],
    );
}

#[test]
fn new_york_autumn_fold_opens_twice() {
    // 02:00 became 01:00 on 2026-11-01 and 2027-11-07.
    for day in ["2026-11-01", "2027-11-07"] {
        let at = |time: &str| format!("{day}T{time}");
        assert_one(
            &["01:00-01:30"],
            NEW_YORK,
            &at("04:00:00"),
            &[(&at("05:00:00"), &at("05:30:00")), (&at("06:00:00"), &at("06:30:00"))],
        );
        assert_one(&["00:30-03:00"], NEW_YORK, &at("04:00:00"), &[(&at("04:30:00"), &at("08:00:00"))]);
        assert_one(
            &["00:30-01:15"],
            NEW_YORK,
            &at("04:00:00"),
            &[(&at("04:30:00"), &at("05:15:00")), (&at("06:00:00"), &at("06:15:00"))],
        );
    }
}

#[test]
fn israel_changes_on_a_friday() {
    // 02:00 became 03:00 on Friday 2026-03-27; the morning after opens an hour of UTC earlier.
    assert_one(
        &["thu 09:00-20:30", "fri 09:00-13:00", "fri 02:15-03:30"],
        JERUSALEM,
        "2026-03-26T00:00:00",
        &[
            ("2026-03-26T07:00:00", "2026-03-26T18:30:00"),
            ("2026-03-27T00:00:00", "2026-03-27T00:30:00"),
            ("2026-03-27T06:00:00", "2026-03-27T10:00:00"),
        ],
    );
}

#[test]
fn lord_howe_shifts_by_half_an_hour() {
    // 02:00 became 01:30 on 2026-04-05 (+11 to +10:30), and 02:00 became 02:30 on 2026-10-04.
    assert_one(
        &["01:30-01:45"],
        LORD_HOWE,
        "2026-04-04T14:00:00",
        &[("2026-04-04T14:30:00", "2026-04-04T14:45:00"), ("2026-04-04T15:00:00", "2026-04-04T15:15:00")],
    );
    assert_one(
        &["02:15-03:00"],
        LORD_HOWE,
        "2026-10-03T15:00:00",
        &[("2026-10-03T15:30:00", "2026-10-03T16:00:00")],
    );
}

#[test]
fn apia_had_no_friday_the_30th() {
    // From 2011-12-29 24:00 (-10) straight to 2011-12-31 00:00 (+14): a Thursday followed by a Saturday.
    assert_one(
        &["thu 22:00-01:00", "fri 09:00-17:00", "sat 09:00-10:00"],
        APIA,
        "2011-12-30T00:00:00",
        &[
            ("2011-12-30T08:00:00", "2011-12-30T10:00:00"),
            ("2011-12-30T19:00:00", "2011-12-30T20:00:00"),
            ("2012-01-05T08:00:00", "2012-01-05T11:00:00"),
        ],
    );
    // Blacking out the date that never was closes nothing.
    let hours = CallingHours::new(Vec::new(), dates(&["2011-12-30"]));
    let interval =
        next_legal(&[Constraint { hours: &hours, zone: APIA }], utc("2011-12-28T00:00:00"), HORIZON);
    assert_eq!(interval, Some(Interval { from: utc("2011-12-28T00:00:00"), until: None }));
}

#[test]
fn offsets_with_seconds() {
    assert_one(
        &["09:00-10:00"],
        Tz::Africa__Monrovia, // -00:44:30
        "1971-06-01T00:00:00",
        &[("1971-06-01T09:44:30", "1971-06-01T10:44:30")],
    );
}

#[test]
fn a_blackout_closes_calendar_dates() {
    let hours = CallingHours::new(vec![window("22:00-02:00")], dates(&["2026-12-25", "2027-01-01"]));
    assert_opens(
        &[Constraint { hours: &hours, zone: NEW_YORK }],
        "2026-12-24T12:00:00",
        &[
            // The evening of the 24th ends at midnight: what follows is the 25th.
            ("2026-12-25T03:00:00", "2026-12-25T05:00:00"),
            // The night of the 25th starts with the 26th.
            ("2026-12-26T05:00:00", "2026-12-26T07:00:00"),
            ("2026-12-27T03:00:00", "2026-12-27T07:00:00"),
        ],
    );
}

#[test]
fn far_blackouts_end_an_open_stretch_exactly() {
    let range = DateRange::new("2031-03-30".parse().unwrap(), "2031-11-01".parse().unwrap()).unwrap();
    let hours = CallingHours::new(Vec::new(), vec![range]);
    let constraints = [Constraint { hours: &hours, zone: NEW_YORK }];
    let before = next_legal(&constraints, utc("2026-01-01T00:00:00"), HORIZON).unwrap();
    assert_eq!(before.until, Some(utc("2031-03-30T04:00:00")));
    let after = next_legal(&constraints, utc("2031-03-30T04:00:00"), HORIZON).unwrap();
    assert_eq!(after, Interval { from: utc("2031-11-02T04:00:00"), until: None });
}

#[test]
fn a_fold_can_lead_back_into_a_blackout() {
    // At 00:01 on 2008-11-02 the clocks of Goose Bay went back to 23:01 of the day before.
    let hours = CallingHours::new(Vec::new(), dates(&["2008-11-01"]));
    let constraints = [Constraint { hours: &hours, zone: Tz::America__Goose_Bay }];
    assert_opens(&constraints, "2008-11-01T12:00:00", &[("2008-11-02T03:00:00", "2008-11-02T03:01:00")]);
    let again = next_legal(&constraints, utc("2008-11-02T03:01:00"), HORIZON).unwrap();
    assert_eq!(again, Interval { from: utc("2008-11-02T04:00:00"), until: None });
}

#[test]
fn zones_a_day_apart_intersect() {
    // -11 and +14: their wall clocks differ by 25 hours, so 09:00-20:30 is common from 10:00 to 20:30 at +14.
    let hours = hours(&["09:00-20:30"]);
    let constraints = [PAGO_PAGO, KIRITIMATI].map(|zone| Constraint { hours: &hours, zone });
    assert_opens(
        &constraints,
        "2026-05-04T12:00:00",
        &[("2026-05-04T20:00:00", "2026-05-05T06:30:00"), ("2026-05-05T20:00:00", "2026-05-06T06:30:00")],
    );
    // On Monday only: Kiritimati is a day ahead, so its Monday ends (20:30) an hour before Pago Pago's begins.
    let monday = self::hours(&["mon 09:00-20:30"]);
    let constraints = [PAGO_PAGO, KIRITIMATI].map(|zone| Constraint { hours: &monday, zone });
    assert_eq!(next_legal(&constraints, utc("2026-05-04T12:00:00"), HORIZON), None);
}

#[test]
fn campaign_windows_and_office_hours_intersect() {
    let (campaign, office) = (hours(&["10:00-20:00"]), hours(&["sun 08:00-16:00", "mon 08:00-16:00"]));
    let constraints =
        [Constraint { hours: &campaign, zone: NEW_YORK }, Constraint { hours: &office, zone: JERUSALEM }];
    // 10:00 in New York is 17:00 in Jerusalem: never, but in the weeks when only one of them has changed clocks.
    assert_eq!(next_legal(&constraints, utc("2026-05-01T00:00:00"), TimeDelta::days(100)), None);
    let late = hours(&["sun 08:00-18:00"]);
    let constraints =
        [Constraint { hours: &campaign, zone: NEW_YORK }, Constraint { hours: &late, zone: JERUSALEM }];
    assert_opens(&constraints, "2026-05-01T00:00:00", &[("2026-05-03T14:00:00", "2026-05-03T15:00:00")]);
}

#[test]
fn the_horizon_is_inclusive() {
    let hours = hours(&["09:00-10:00"]);
    let constraints = [Constraint { hours: &hours, zone: UTC }];
    let from = utc("2026-05-04T08:00:00");
    assert_eq!(next_legal(&constraints, from, TimeDelta::seconds(3_599)), None);
    assert_eq!(next_legal(&constraints, from, TimeDelta::hours(1)).unwrap().from, utc("2026-05-04T09:00:00"));
    assert_eq!(next_legal(&constraints, utc("2026-05-04T09:30:00"), TimeDelta::seconds(-1)), None);
}

#[test]
fn the_ends_of_time_do_not_panic() {
    let hours = CallingHours::new(vec![window("sun 09:00-10:00")], dates(&["2026-01-01"]));
    let constraints =
        [Constraint { hours: &hours, zone: NEW_YORK }, Constraint { hours: &hours, zone: APIA }];
    for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        assert_eq!(next_legal(&constraints, at, HORIZON), None);
    }
    assert_eq!(next_legal(&constraints[..1], DateTime::<Utc>::MAX_UTC, TimeDelta::MAX), None);
}

/// Whether hours are open by the letter of their definition, one window and one date at a time.
fn open_by_definition(hours: &CallingHours, wall: NaiveDateTime) -> bool {
    let minute = wall.hour() * 60 + wall.minute();
    let (today, yesterday) = (wall.weekday(), wall.weekday().pred());
    let in_window = |window: &CallingWindow| {
        let (from, to) = (u32::from(window.opens_at().minutes()), u32::from(window.closes_at().minutes()));
        if from < to {
            window.days().contains(today) && from <= minute && minute < to
        } else {
            window.days().contains(today) && from <= minute
                || window.days().contains(yesterday) && minute < to
        }
    };
    !hours.blackout_dates().iter().any(|dates| dates.contains(wall.date()))
        && (hours.windows().is_empty() || hours.windows().iter().any(in_window))
}

/// What a property case runs on: hours with their zones, an instant, and the step the oracle takes.
#[derive(Debug)]
struct Case {
    constraints: Vec<(CallingHours, Tz)>,
    from: DateTime<Utc>,
    step: TimeDelta,
    steps: i32,
}

impl Case {
    fn constraints(&self) -> Vec<Constraint<'_>> {
        self.constraints.iter().map(|(hours, zone)| Constraint { hours, zone: *zone }).collect()
    }

    fn legal(&self, at: DateTime<Utc>) -> bool {
        self.constraints.iter().all(|(hours, zone)| {
            open_by_definition(hours, zone.from_utc_datetime(&at.naive_utc()).naive_local())
        })
    }

    fn instants(&self) -> impl Iterator<Item = DateTime<Utc>> {
        (0..self.steps).map(|step| self.from + self.step * step)
    }

    /// The first legal instant and the first illegal one after it, found by stepping.
    fn by_stepping(&self) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let mut instants = self.instants();
        let opens = instants.by_ref().find(|at| self.legal(*at));
        (opens, instants.find(|at| !self.legal(*at)))
    }
}

/// Zones and instants shortly before something happens to their wall clocks.
const TRANSITIONS: [(Tz, &str); 14] = [
    (NEW_YORK, "2026-03-08T07:00:00"),
    (NEW_YORK, "2027-11-07T06:00:00"),
    (JERUSALEM, "2026-03-27T00:00:00"),
    (JERUSALEM, "2026-10-24T23:00:00"),
    (LORD_HOWE, "2026-04-04T15:00:00"),
    (LORD_HOWE, "2026-10-03T15:30:00"),
    (APIA, "2011-12-30T10:00:00"),
    (Tz::Pacific__Kwajalein, "1993-08-21T12:00:00"),
    (Tz::America__Goose_Bay, "2008-11-02T03:01:00"),
    (Tz::Asia__Gaza, "2040-10-20T00:00:00"),
    (Tz::America__Recife, "2000-10-15T02:00:00"),
    (Tz::America__Havana, "2026-11-01T05:00:00"),
    (Tz::Asia__Beirut, "2026-03-28T22:00:00"),
    (Tz::Antarctica__Troll, "2026-03-29T01:00:00"),
];

/// The same for zones whose offsets had seconds, which the oracle takes second by second.
const OLD_TRANSITIONS: [(Tz, &str); 3] = [
    (Tz::Africa__Monrovia, "1972-01-07T00:44:30"),
    (Tz::Europe__Dublin, "1916-10-01T02:25:21"),
    (Tz::Asia__Kathmandu, "1919-12-31T18:18:44"),
];

fn windows() -> impl Strategy<Value = Vec<CallingWindow>> {
    let time = |minutes: u16| TimeOfDay::new(minutes / 60, minutes % 60).unwrap();
    // Half of the windows lie in the small hours, where clocks change.
    let minute = prop_oneof![0..=240_u16, 0..=1440_u16];
    let window = (1..128_u8, minute.clone(), minute).prop_filter_map("empty", move |(days, from, to)| {
        let days = DaySet::EVERY.iter().filter(|day| days & 1 << day.num_days_from_sunday() != 0).collect();
        CallingWindow::new(days, time(from), time(to)).ok()
    });
    prop::collection::vec(window, 0..4)
}

fn blackouts(near: NaiveDate) -> impl Strategy<Value = Vec<DateRange>> {
    let range = (-5..9_i64, 0..3_i64).prop_map(move |(first, more)| {
        let first = near + TimeDelta::days(first);
        DateRange::new(first, first + TimeDelta::days(more)).unwrap()
    });
    prop::collection::vec(range, 0..3)
}

fn case(
    zones: impl Strategy<Value = (Tz, &'static str)>,
    step: TimeDelta,
    steps: i32,
) -> impl Strategy<Value = Case> {
    // Up to three days before the transition, or anywhere within two years around it.
    let lead = prop_oneof![3 => 0..3 * 1440_i64, 1 => -525_600..525_600_i64];
    let other =
        prop::sample::select(&[APIA, JERUSALEM, KATHMANDU, KIRITIMATI, LORD_HOWE, NEW_YORK, PAGO_PAGO, UTC]);
    (zones, lead, prop::collection::vec(other, 0..3)).prop_flat_map(move |((zone, around), lead, others)| {
        let from = utc(around) - TimeDelta::minutes(lead);
        let zones: Vec<Tz> = std::iter::once(zone).chain(others).collect();
        let hours = (windows(), blackouts(from.date_naive()))
            .prop_map(|(windows, dates)| CallingHours::new(windows, dates));
        prop::collection::vec(hours, zones.len()).prop_map(move |hours| {
            let constraints = hours.into_iter().zip(zones.iter().copied()).collect();
            Case { constraints, from, step, steps }
        })
    })
}

fn modern_case() -> impl Strategy<Value = Case> {
    case(prop::sample::select(&TRANSITIONS), TimeDelta::minutes(1), 8 * 1440)
}

fn old_case() -> impl Strategy<Value = Case> {
    case(prop::sample::select(&OLD_TRANSITIONS), TimeDelta::seconds(1), 86_400)
}

/// The answer agrees with the oracle wherever the oracle has one.
fn agrees(case: &Case) -> Result<(), TestCaseError> {
    let constraints = case.constraints();
    let (opens, closes) = case.by_stepping();
    let interval = next_legal(&constraints, case.from, case.step * (case.steps - 1));
    prop_assert_eq!(interval.map(|interval| interval.from), opens);
    if let Some(interval) = interval {
        prop_assert!(is_legal(&constraints, interval.from));
        let end = case.from + case.step * case.steps;
        match closes {
            Some(closes) => prop_assert_eq!(interval.until, Some(closes)),
            None => prop_assert!(interval.until.is_none_or(|until| until >= end)),
        }
        if let Some(until) = interval.until {
            prop_assert!(!case.legal(until), "still legal at the end, {}", until);
            prop_assert!(case.legal(until - TimeDelta::seconds(1)));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// When the current time is outside the windows no call may start: the next legal instant is the first one inside
    /// all of them, nothing before it is legal, and its end is exact.
    #[test]
    fn property_06_calling_window_enforcement(case in modern_case()) {
        agrees(&case)?;
    }

    /// A call may start only when the local time at the contact's location is inside the windows.
    #[test]
    fn property_08_timezone_aware_calling_windows(case in modern_case()) {
        let constraints = case.constraints();
        for at in case.instants() {
            prop_assert_eq!(is_legal(&constraints, at), case.legal(at), "at {}", at);
        }
    }

    /// Every stretch of a week, one after the other, covers exactly the legal minutes.
    #[test]
    fn stretches_cover_exactly_the_legal_minutes(case in modern_case()) {
        let constraints = case.constraints();
        let mut stretch = next_legal(&constraints, case.from, HORIZON);
        for at in case.instants() {
            while let Some(Interval { until: Some(until), .. }) = stretch && until <= at {
                stretch = next_legal(&constraints, until, HORIZON);
            }
            let covered = stretch.is_some_and(|stretch| stretch.from <= at);
            prop_assert_eq!(covered, case.legal(at), "at {}", at);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn offsets_with_seconds_are_exact_too(case in old_case()) {
        agrees(&case)?;
    }
}
