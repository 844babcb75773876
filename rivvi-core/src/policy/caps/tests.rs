use chrono::TimeZone;
use proptest::prelude::*;

use super::*;

const NEW_YORK: Tz = Tz::America__New_York;
const KIRITIMATI: Tz = Tz::Pacific__Kiritimati;
const PAGO_PAGO: Tz = Tz::Pacific__Pago_Pago;

fn utc(text: &str) -> DateTime<Utc> {
    format!("{text}Z").parse().unwrap()
}

fn caps(toml: &str) -> Caps {
    toml::from_str(toml).unwrap()
}

fn check(caps: &str, attempts: &[&str], now: &str, zones: &[Tz]) -> CapVerdict {
    let attempts: Vec<_> = attempts.iter().map(|text| utc(text)).collect();
    self::caps(caps).check(&AttemptHistory::complete(&attempts), utc(now), zones)
}

fn until(at: &str, cap: CapKind) -> CapVerdict {
    CapVerdict::Until { at: utc(at), cap }
}

#[test]
fn no_caps_allow_everything() {
    let now = utc("2026-05-04T12:00:00");
    assert_eq!(Caps::default().check(&AttemptHistory::complete(&[now; 100]), now, &[]), CapVerdict::Within);
    assert_eq!(Caps::default().history_needed(now), None);
}

#[test]
fn a_lifetime_cap_is_final_and_needs_only_the_total() {
    let (caps, now) = (caps("lifetime = 3\nper_day = 1"), utc("2026-05-04T12:00:00"));
    let verdict = |total| caps.check(&AttemptHistory { total, recent: &[] }, now, &[NEW_YORK]);
    assert_eq!(verdict(2), CapVerdict::Within);
    assert_eq!(verdict(3), CapVerdict::Never { cap: CapKind::Lifetime });
    assert_eq!(verdict(4), CapVerdict::Never { cap: CapKind::Lifetime });
}

#[test]
fn a_day_cap_ends_at_local_midnight() {
    let twice = ["2026-05-04T13:00:00", "2026-05-04T20:00:00"];
    for (zones, now, verdict) in [
        (&[NEW_YORK][..], "2026-05-04T21:00:00", until("2026-05-05T04:00:00", CapKind::PerDay)),
        (&[NEW_YORK], "2026-05-05T04:00:00", CapVerdict::Within),
        // In Jerusalem midnight lies between now and then, but after both attempts.
        (&[Tz::Asia__Jerusalem], "2026-05-04T20:30:00", until("2026-05-04T21:00:00", CapKind::PerDay)),
        (
            &[Tz::Asia__Jerusalem, NEW_YORK],
            "2026-05-04T20:30:00",
            until("2026-05-05T04:00:00", CapKind::PerDay),
        ),
        // At +14 midnight (10:00 UTC) was before both, at -11 (11:00 UTC) too: the later midnight counts.
        (&[KIRITIMATI, PAGO_PAGO], "2026-05-04T21:00:00", until("2026-05-05T11:00:00", CapKind::PerDay)),
        // Without a zone no calendar day can be told from another.
        (&[], "2026-05-04T21:00:00", until("2026-05-06T15:00:00", CapKind::PerDay)),
    ] {
        assert_eq!(check("per_day = 2", &twice, now, zones), verdict, "{zones:?} {now}");
        assert_eq!(check("per_day = 3", &twice, now, zones), CapVerdict::Within);
    }
}

#[test]
fn a_day_may_have_25_hours_or_be_skipped() {
    // 2026-11-01 lasts from 04:00 to 05:00 the next day.
    let once = ["2026-11-01T04:00:00"];
    assert_eq!(
        check("per_day = 1", &once, "2026-11-02T04:59:59", &[NEW_YORK]),
        until("2026-11-02T05:00:00", CapKind::PerDay)
    );
    // After Thursday the 29th Apia went straight to Saturday the 31st.
    assert_eq!(
        check("per_day = 1", &["2011-12-30T00:00:00"], "2011-12-30T09:00:00", &[Tz::Pacific__Apia]),
        until("2011-12-30T10:00:00", CapKind::PerDay)
    );
    // In Alaska the 18th of October 1867 came twice.
    assert_eq!(
        check("per_day = 1", &["1867-10-17T10:00:00"], "1867-10-19T08:00:00", &[Tz::America__Sitka]),
        until("1867-10-19T09:01:13", CapKind::PerDay)
    );
}

#[test]
fn a_rolling_period_is_half_open() {
    let attempts = ["2026-05-04T10:00:00", "2026-05-04T11:00:00", "2026-05-04T12:00:00"];
    let florida = "rolling = { attempts = 3, hours = 24 }";
    for (now, verdict) in [
        ("2026-05-04T13:00:00", until("2026-05-05T10:00:00", CapKind::Rolling)),
        ("2026-05-05T09:59:59", until("2026-05-05T10:00:00", CapKind::Rolling)),
        ("2026-05-05T10:00:00", CapVerdict::Within),
    ] {
        assert_eq!(check(florida, &attempts, now, &[]), verdict);
    }
    let stricter = "rolling = { attempts = 2, days = 7 }";
    assert_eq!(
        check(stricter, &attempts, "2026-05-05T10:00:00", &[]),
        until("2026-05-11T11:00:00", CapKind::Rolling)
    );
}

#[test]
fn the_last_cap_to_yield_is_named() {
    let attempts = ["2026-05-04T13:00:00", "2026-05-04T14:00:00"];
    let now = "2026-05-04T15:00:00";
    assert_eq!(
        check("per_day = 2\nrolling = { attempts = 2, hours = 2 }", &attempts, now, &[Tz::UTC]),
        until("2026-05-05T00:00:00", CapKind::PerDay)
    );
    assert_eq!(
        check("per_day = 2\nrolling = { attempts = 2, days = 1 }", &attempts, now, &[Tz::UTC]),
        until("2026-05-05T13:00:00", CapKind::Rolling)
    );
}

#[test]
fn attempts_of_a_clock_that_runs_ahead_count() {
    let ahead = ["2026-05-04T12:00:30"];
    assert_eq!(
        check("rolling = { attempts = 1, hours = 1 }", &ahead, "2026-05-04T12:00:00", &[]),
        until("2026-05-04T13:00:30", CapKind::Rolling)
    );
    assert_eq!(
        check("per_day = 1", &ahead, "2026-05-04T12:00:00", &[Tz::UTC]),
        until("2026-05-05T00:00:00", CapKind::PerDay)
    );
}

#[test]
fn the_ends_of_time_do_not_panic() {
    let caps = caps("per_day = 1\nrolling = { attempts = 1, days = 4294967295 }");
    for now in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let verdict = caps.check(&AttemptHistory::complete(&[now]), now, &[NEW_YORK, KIRITIMATI]);
        assert_ne!(verdict, CapVerdict::Never { cap: CapKind::Rolling });
        assert!(caps.history_needed(now).is_some());
    }
}

#[test]
fn caps_write_what_they_read() {
    for text in [
        "{}",
        r#"{"lifetime":10,"per_day":2,"rolling":{"attempts":3,"hours":24}}"#,
        r#"{"rolling":{"attempts":7,"days":7}}"#,
    ] {
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Caps>(text).unwrap()).unwrap(), text);
    }
    assert_eq!(serde_json::from_str::<Caps>(r#"{"lifetime":null}"#).unwrap(), Caps::default());
}

#[test]
fn mistakes_are_explained() {
    for (toml, expected) in [
        ("lifetime = 0", "a cap of 0 would forbid every attempt"),
        ("per_day = 0", "a cap of 0 would forbid every attempt"),
        ("per_week = 3", "unknown field `per_week`"),
        ("rolling = { attempts = 0, days = 1 }", "a cap of 0 attempts would forbid every attempt"),
        ("rolling = { attempts = 3 }", "needs either `hours` or `days`, and not both"),
        ("rolling = { attempts = 3, hours = 24, days = 1 }", "needs either `hours` or `days`, and not both"),
        ("rolling = { attempts = 3, hours = 0 }", "at least 1 hour or 1 day"),
        ("rolling = { attempts = 3, weeks = 1 }", "unknown field `weeks`"),
    ] {
        let error = toml::from_str::<Caps>(toml).unwrap_err().to_string();
        assert!(error.contains(expected), "{toml}\n{error}");
    }
}

/// Whether an attempt at `at` after these would respect all caps, by the letter of their definitions.
fn allowed_by_definition(caps: &Caps, attempts: &[DateTime<Utc>], at: DateTime<Utc>, zones: &[Tz]) -> bool {
    let lifetime = caps.lifetime.is_none_or(|cap| attempts.len() < cap.get() as usize);
    let per_day = caps.per_day.is_none_or(|cap| {
        zones.iter().all(|zone| {
            let date = |at: DateTime<Utc>| zone.from_utc_datetime(&at.naive_utc()).date_naive();
            attempts.iter().filter(|attempt| date(**attempt) == date(at)).count() < cap.get() as usize
        })
    });
    let rolling = caps.rolling.is_none_or(|cap| {
        let since = at - cap.period.length();
        attempts.iter().filter(|attempt| **attempt > since).count() < cap.attempts.get() as usize
    });
    lifetime && per_day && rolling
}

fn any_caps() -> impl Strategy<Value = Caps> {
    let cap = |most: u32| prop::option::of((1..=most).prop_map(|cap| NonZeroU32::new(cap).unwrap()));
    let period = prop_oneof![
        (1..100_u32).prop_map(|hours| RollingPeriod::Hours(NonZeroU32::new(hours).unwrap())),
        (1..10_u32).prop_map(|days| RollingPeriod::Days(NonZeroU32::new(days).unwrap())),
    ];
    let rolling = (1..8_u32, period)
        .prop_map(|(attempts, period)| RollingCap { attempts: NonZeroU32::new(attempts).unwrap(), period });
    (cap(40), cap(4), prop::option::of(rolling)).prop_map(|(lifetime, per_day, rolling)| Caps {
        lifetime,
        per_day,
        rolling,
    })
}

fn any_zones() -> impl Strategy<Value = Vec<Tz>> {
    let zones =
        [NEW_YORK, KIRITIMATI, PAGO_PAGO, Tz::Asia__Jerusalem, Tz::Asia__Kathmandu, Tz::Australia__Lord_Howe];
    prop::sample::subsequence(zones.to_vec(), 1..=3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Attempts made as soon as the caps allow, or a while later, never exceed one; what is put off is put off to
    /// the very first instant allowed; and the history said to be needed suffices.
    #[test]
    fn greedy_attempts_never_exceed_a_cap(
        caps in any_caps(),
        zones in any_zones(),
        // From a few days before clocks change in America, or in Israel and Australia.
        start in prop::sample::select(&["2026-03-05T00:00:00", "2026-10-02T00:00:00", "2026-10-30T00:00:00"]),
        waits in prop::collection::vec(prop_oneof![3 => Just(0), 2 => 1..7_200_i64, 1 => 1..200_000_i64], 1..60),
    ) {
        let mut now = utc(start);
        let mut attempts = Vec::new();
        for wait in waits {
            now += TimeDelta::seconds(wait);
            let verdict = caps.check(&AttemptHistory::complete(&attempts), now, &zones);
            let needed = caps.history_needed(now).unwrap_or(now);
            let recent = &attempts[attempts.partition_point(|attempt| *attempt <= needed)..];
            let total = u32::try_from(attempts.len()).unwrap();
            prop_assert_eq!(caps.check(&AttemptHistory { total, recent }, now, &zones), verdict);

            let allowed = |at| allowed_by_definition(&caps, &attempts, at, &zones);
            match verdict {
                CapVerdict::Within => prop_assert!(allowed(now)),
                CapVerdict::Until { at, .. } => {
                    prop_assert!(at > now && allowed(at));
                    prop_assert!(!allowed(at - TimeDelta::nanoseconds(1)));
                    let mut between = now;
                    while between < at {
                        prop_assert!(!allowed(between), "already at {}", between);
                        between += TimeDelta::minutes(15);
                    }
                    now = at;
                }
                CapVerdict::Never { cap } => {
                    prop_assert_eq!(cap, CapKind::Lifetime);
                    prop_assert_eq!(Some(total), caps.lifetime.map(NonZeroU32::get));
                    return Ok(());
                }
            }
            // Judged by definition, this attempt exceeds no cap; and so, one by one, none does.
            prop_assert!(allowed(now));
            attempts.push(now);
        }
    }
}
