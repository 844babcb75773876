//! The forms in which users write campaigns, and their mistakes.

use chrono::Weekday;
use proptest::prelude::*;

use super::*;
use crate::policy::retry::RetryCause;

const TOML: &str = r#"
name = "Appointment reminder"
channel = "voice"
agent_id = "agent_demo"
required_fields = ["first_name", "phone"]

[[windows]]
days = ["sun", "mon", "tue", "wed", "thu"]
from = "09:00"
to = "20:30"

[retry]
busy      = { after = "15m", max = 2 }
no_answer = { after = "2h", max = 2 }
voicemail = { after = "1d", max = 1 }
failed    = { after = "5m", max = 1 }

[caps]
lifetime = 5
per_day = 2
rolling = { attempts = 7, days = 7 }

[run]
end_after = "5d"                     # or end = "2026-12-01T00:00:00Z"
at_end = "hang_up"                   # or "let_finish"
"#;

const JSON: &str = r#"{
    "name": "Appointment reminder",
    "channel": "voice",
    "agent_id": "agent_demo",
    "required_fields": ["first_name", "phone"],
    "windows": [{"days": ["sun", "mon", "tue", "wed", "thu"], "from": "09:00", "to": "20:30"}],
    "retry": {
        "busy": {"after": "15m", "max": 2},
        "no_answer": {"after": "2h", "max": 2},
        "voicemail": {"after": "1d", "max": 1},
        "failed": {"after": "5m", "max": 1}
    },
    "caps": {"lifetime": 5, "per_day": 2, "rolling": {"attempts": 7, "days": 7}},
    "run": {"end_after": "5d", "at_end": "hang_up"}
}"#;

/// Every key there is.
const WHOLE: &str = r#"
name = "Everything"
channel = "hybrid"
agent_id = "agent_demo"
required_fields = ["first_name"]
region = "IL"
variables = { clinic = "North", greeting = "שלום" }
blackout_dates = ["2026-09-21", { from = "2026-09-11", to = "2026-09-13" }]
zone_policy = "organization_fallback"
[[windows]]
from = "22:00"
to = "02:00"
[[windows]]
days = ["fri"]
from = "09:00"
to = "24:00"
[retry]
rejected = { after = "1h", max = 3, backoff = 2.0, at_most = "1d" }
[caps]
rolling = { attempts = 3, hours = 24 }
[limits]
concurrent_calls = 40
calls_per_second = 2.5
[call]
ring_timeout = "25s"
max_duration = "20m"
[import]
columns = { phone = "Mobile" }
dedupe = { rule = "keep_last" }
worksheet = "Patients"
date_order = "day_first"
[run]
start = "2026-05-01T06:00:00Z"
end = "2026-12-01T00:00:00Z"
at_end = "let_finish"
"#;

#[test]
fn the_sample_campaign_reads_the_same_in_toml_and_json() {
    let campaign = CampaignDefinition::from_toml(TOML).unwrap();
    assert_eq!(CampaignDefinition::from_json(JSON).unwrap(), campaign);

    assert_eq!((&*campaign.name, campaign.channel), ("Appointment reminder", Channel::Voice));
    assert_eq!(campaign.agent_id.as_deref(), Some("agent_demo"));
    assert_eq!(campaign.required_fields, ["first_name", "phone"]);
    let [window] = &campaign.windows[..] else { panic!("{:?}", campaign.windows) };
    assert_eq!(
        (window.opens_at().to_string(), window.closes_at().to_string()),
        ("09:00".into(), "20:30".into())
    );
    assert!(window.days().contains(Weekday::Sun) && !window.days().contains(Weekday::Fri));
    let rule = |cause| campaign.retry.rule(cause).map(|rule| (rule.after().to_string(), rule.max()));
    assert_eq!(rule(RetryCause::Busy), Some(("15m".into(), 2)));
    assert_eq!(rule(RetryCause::NoAnswer), Some(("2h".into(), 2)));
    assert_eq!(rule(RetryCause::Voicemail), Some(("1d".into(), 1)));
    assert_eq!(rule(RetryCause::Failed), Some(("5m".into(), 1)));
    assert_eq!(rule(RetryCause::Rejected), None);
    let caps = campaign.caps;
    assert_eq!((caps.lifetime.map(u32::from), caps.per_day.map(u32::from)), (Some(5), Some(2)));
    assert_eq!(caps.rolling.map(|cap| cap.period.length()), Some(TimeDelta::days(7)));
    assert_eq!((campaign.run.end_after, campaign.run.at_end), (Some(Span::from_days(5)), AtEnd::HangUp));
    assert_eq!(campaign.call, CallSettings::default());
}

#[test]
fn the_other_forms_of_the_sample_read_too() {
    let other = TOML.replace("\"hang_up\"", "\"let_finish\"");
    for end in ["\"2026-12-01T00:00:00Z\"", "2026-12-01T00:00:00Z", "\"2026-12-01T02:00:00+02:00\""] {
        let other = other.replace("end_after = \"5d\"", &format!("end = {end}"));
        let run = CampaignDefinition::from_toml(&other).unwrap().run;
        let start = "2026-05-04T12:00:00Z".parse().unwrap();
        assert_eq!(run.ends_at(start), Some("2026-12-01T00:00:00Z".parse().unwrap()), "{end}");
        assert_eq!(run.at_end, AtEnd::LetFinish);
    }
}

#[test]
fn an_end_beyond_the_calendar_is_its_end() {
    let run = RunSettings { end_after: Some(Span::from_days(u32::MAX)), ..RunSettings::default() };
    assert_eq!(run.ends_at(DateTime::UNIX_EPOCH), Some(DateTime::<Utc>::MAX_UTC));
}

#[test]
fn what_is_read_is_written_and_reads_back() {
    for text in [TOML, WHOLE, "name = 'x'\nchannel = 'sms'\nmessage.text = 'Hello'"] {
        let campaign = CampaignDefinition::from_toml(text).unwrap();
        let json = serde_json::to_string(&campaign).unwrap();
        assert_eq!(CampaignDefinition::from_json(&json).unwrap(), campaign);
        let toml = toml::to_string(&campaign).unwrap();
        assert_eq!(CampaignDefinition::from_toml(&toml).unwrap(), campaign, "{toml}");
    }
}

/// The sample with one line replaced or added.
fn with(line: &str, instead: &str) -> String {
    assert_eq!(TOML.matches(line).count(), 1, "{line}");
    TOML.replace(line, instead)
}

#[test]
fn mistakes_in_toml_are_named_with_their_key_and_what_is_expected() {
    for (text, key, problem) in [
        (with("[caps]", "[cap]"), "cap", "unknown field `cap`, expected one of `name`, `channel`"),
        (
            with("per_day = 2", "per_week = 2"),
            "caps.per_week",
            "unknown field `per_week`, expected one of `lifetime`",
        ),
        (with("at_end = ", "at_the_end = "), "run.at_the_end", "unknown field `at_the_end`"),
        (with("\"Appointment reminder\"", "7"), "name", "invalid type: integer `7`, expected a string"),
        (with("\"Appointment reminder\"", "' '"), "name", "expected a name that is not empty"),
        (with("[\"first_name\", \"phone\"]", "'phone'"), "required_fields", "expected a sequence"),
        (with("name = \"Appointment reminder\"\n", ""), "line 1", "missing field `name`"),
        (
            with("channel = \"voice\"", "channel = \"fax\""),
            "channel",
            "unknown variant `fax`, expected one of `voice`",
        ),
        (
            with("after = \"15m\"", "after = \"soon\""),
            "retry.busy.after",
            "expected a duration such as \"15m\"",
        ),
        (with("after = \"15m\"", "after = 15"), "retry.busy.after", "expected a duration such as \"15m\""),
        (with("after = \"15m\", max = 2", "after = \"15m\", max = 0"), "retry.busy", "leave the rule out"),
        (with("\"5d\" ", "\"5 fortnights\" "), "run.end_after", "expected a duration such as \"15m\""),
        (with("\"5d\" ", "\"0s\" "), "run.end_after", "expected \"1s\" to \"366d\""),
        (with("\"5d\" ", "\"1000000y\" "), "run.end_after", "expected \"1s\" to \"366d\""),
        (
            with("\"tue\"", "\"tues\""),
            "windows[0].days",
            "unknown weekday \"tues\": expected \"sun\", \"mon\"",
        ),
        (with("\"20:30\"", "\"09:00\""), "windows[0]", "a window from 09:00 to 09:00 is empty"),
        (with("\"20:30\"", "\"8:30pm\""), "windows[0].to", "expected a time from \"00:00\" to \"24:00\""),
        (
            with("end_after = \"5d\" ", "end_after = \"5d\"\nend = \"2026-12-01T00:00:00Z\""),
            "run.end_after",
            "not both",
        ),
        (with("end_after = \"5d\" ", "end = \"tomorrow\""), "run.end", "expected an instant with its offset"),
        (
            with("end_after = \"5d\" ", "end = 2026-12-01T00:00:00"),
            "run.end",
            "expected an instant with its offset",
        ),
        (with("end_after = \"5d\" ", "start = 7"), "run.start", "expected an instant with its offset"),
        (
            with("end_after = \"5d\" ", "start = \"2026-12-01T00:00:00Z\"\nend = \"2026-12-01T00:00:00Z\""),
            "run.end",
            "expected an end after `run.start`",
        ),
        (with("lifetime = 5", "lifetime = -5"), "caps.lifetime", "invalid value: integer `-5`, expected u32"),
        (with("lifetime = 5", "lifetime = 0"), "caps.lifetime", "leave it out for no cap"),
        (
            with("attempts = 7", "attempts = -7"),
            "caps.rolling.attempts",
            "invalid value: integer `-7`, expected u32",
        ),
        (with("days = 7", "days = 7, hours = 1"), "caps.rolling", "either `hours` or `days`"),
        (with("[[windows]]", "region = \"Israel\"\n[[windows]]"), "region", "such as \"IL\" or \"US\""),
        (
            with("[[windows]]", "blackout_dates = [\"25.12.2026\"]\n[[windows]]"),
            "blackout_dates[0]",
            "expected a date",
        ),
        (
            with(
                "[[windows]]",
                "blackout_dates = [{ from = \"2026-12-25\", to = \"2026-12-24\" }]\n[[windows]]",
            ),
            "blackout_dates[0]",
            "the dates run backwards",
        ),
        (
            with("[run]", "[call]\nring_timeout = \"2s\"\n[run]"),
            "call.ring_timeout",
            "expected \"5s\" to \"10m\"",
        ),
        (
            with("[run]", "[call]\nring_timeout = \"1h\"\n[run]"),
            "call.ring_timeout",
            "expected \"5s\" to \"10m\"",
        ),
        (with("[run]", "[call]\nmax_duration = \"10s\"\n[run]"), "call.max_duration", "to \"1d\""),
        (with("[run]", "[call]\nmax_duration = \"300000y\"\n[run]"), "call.max_duration", "to \"1d\""),
        (
            with("[run]", "[limits]\nconcurrent_calls = 0\n[run]"),
            "limits.concurrent_calls",
            "expected at least 1",
        ),
        (with("[run]", "[limits]\ncalls_per_second = 0\n[run]"), "limits.calls_per_second", "above 0"),
        (with("[run]", "[run"), "line 23", "unclosed table"),
        (with("[run]", "[caps]\n[run]"), "line 23", "duplicate key"),
    ] {
        let error = CampaignDefinition::from_toml(&text).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.problem.contains(problem), "{error}\nshould say {problem}");
        assert!(!error.to_string().contains('\n'), "an error is one line: {error:?}");
    }
}

#[test]
fn mistakes_in_json_are_named_with_their_key_and_what_is_expected() {
    let with = |part: &str, instead: &str| {
        assert_eq!(JSON.matches(part).count(), 1, "{part}");
        JSON.replace(part, instead)
    };
    for (text, key, problem) in [
        (with("\"caps\"", "\"cap\""), "cap", "unknown field `cap`"),
        (with("\"per_day\": 2", "\"per_day\": \"2\""), "caps.per_day", "expected u32"),
        (with("\"voice\"", "\"fax\""), "channel", "unknown variant `fax`"),
        (with("\"15m\"", "\"soon\""), "retry.busy.after", "expected a duration such as \"15m\""),
        (with("\"20:30\"", "\"09:00\""), "windows[0]", "is empty"),
        (with("\"lifetime\": 5", "\"lifetime\": -5"), "caps.lifetime", "integer `-5`"),
        (with("\"5d\"", "\"5d\", \"end\": \"2026-12-01T00:00:00Z\""), "run.end_after", "not both"),
        (with("\"tue\"", "\"tues\""), "windows[0].days", "unknown weekday \"tues\""),
        (format!("{JSON} {{}}"), "line 15", "nothing after the closing brace"),
        ("{".to_owned(), "line 1", "EOF while parsing"),
        ("[]".to_owned(), "line 1", "expected struct CampaignDefinition"),
    ] {
        let error = CampaignDefinition::from_json(&text).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.problem.contains(problem), "{error}\nshould say {problem}");
        assert!(!error.to_string().contains('\n'), "an error is one line: {error:?}");
    }
}

proptest! {
    /// No text makes reading panic, and every error is one line.
    #[test]
    fn any_text_is_read_or_explained_in_one_line(
        line in 0..30_usize,
        instead in "[a-z_\\[\\]{}=\"'0-9:. \t\r\n\u{0}-]{0,20}",
    ) {
        let mut lines: Vec<&str> = TOML.lines().collect();
        let place = line % lines.len();
        lines[place] = &instead;
        if let Err(error) = CampaignDefinition::from_toml(&lines.join("\n")) {
            prop_assert!(!error.to_string().contains('\n'), "{error:?}");
            prop_assert!(!error.key.is_empty() && !error.problem.is_empty());
        }
    }
}
