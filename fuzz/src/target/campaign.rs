//! Definitions of campaigns.

use rivvi_core::domain::{CampaignDefinition, Region};
use rivvi_core::policy::window::{Constraint, HORIZON, next_legal};

use super::any;
use super::request::arrives_at;

pub(super) const WORDS: &[&str] = &[
    "[[windows]]",
    "days = [\"sun\"]",
    "from = \"00:00\"",
    "to = \"24:00\"",
    "blackout_dates = [",
    "\"2026-12-25\"",
    "retry.",
    "busy",
    "no_answer",
    "after = \"",
    "max = ",
    "backoff",
    "[limits]",
    "[caps]",
    "[[follow_up]]",
    "on = \"",
    "sms = \"",
    "speech = \"",
    "email = { subject = \"",
    "action = \"",
    "undelivered",
    "exhausted",
    "no_sms",
    "channel = \"sms\"",
    "channel = \"hybrid\"",
    "[message]",
    "text = \"{{ first_name }}\"",
    "[links]",
    "[import]",
    "[flow]",
    "[[flow.nodes]]",
    "dedupe = { rule = \"merge\" }",
    "end_after = \"",
    "366d",
    "99999999999d",
    "[prompt]",
    "{{",
    "}}",
    "[variables]",
    "\"\"\"",
];

/// A definition: errors name a key in one line; what is good is written and read back, and knows when it may call.
pub(super) fn definition(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for read in [CampaignDefinition::from_toml, CampaignDefinition::from_json] {
        match read(&text) {
            Err(error) => assert!(!error.to_string().contains('\n'), "{error}"),
            Ok(definition) => good(&definition),
        }
    }
}

fn good(definition: &CampaignDefinition) {
    let json = serde_json::to_string(definition).unwrap_or_default();
    assert_eq!(CampaignDefinition::from_json(&json).as_ref(), Ok(definition), "{json}");
    let hours = definition.hours();
    for zone in [chrono_tz::UTC, chrono_tz::Asia::Jerusalem] {
        any(next_legal(&[Constraint { hours: &hours, zone }], arrives_at(), HORIZON));
    }
    if let Ok(region) = Region::new("IL") {
        any(definition.import_rules(region));
    }
    any((definition.media(), definition.main_message(), definition.run.ends_at(arrives_at())));
}
