//! Contact sheets as text.

use super::any;
use rivvi_core::domain::Region;
use rivvi_core::import::{Import, ImportRules, Sheet};

pub(super) const WORDS: &[&str] = &[
    "phone",
    "Phone",
    "טלפון",
    "First name",
    "Date of birth",
    "time zone",
    "e-mail",
    "+972541234567",
    "054-123-4567",
    "5.42345678E8",
    "542345678.0",
    "03/04/1980",
    "1980-04-03",
    "29.2.2023",
    ",",
    ";",
    "\t",
    "|",
    "\"",
    "\"\"",
    "\r",
    "sep=;",
    "Asia/Jerusalem",
    "\u{feff}",
    "\u{200f}",
];

const RULES: [&str; 4] = [
    "{}",
    r#"{"dedupe": {"rule": "merge", "otherwise": "longest"}, "required_fields": ["first_name"]}"#,
    r#"{"dedupe": {"rule": "keep_last"}, "sends_sms": true}"#,
    r#"{"dedupe": {"rule": "keep_distinct_people"}, "columns": {"phone": "Phone"}, "date_order": "month_first"}"#,
];

/// A text in any encoding, under each kind of rules.
pub(super) fn text(input: &[u8]) {
    for (name, rules) in ["list.csv", "list.tsv", "list.txt", "list"].into_iter().zip(RULES) {
        import(name, input, rules);
    }
}

/// Whatever the sheet, its counts add up; the report is written without harm.
pub(super) fn import(name: &str, input: &[u8], rules: &str) {
    let Ok(mut rules) = serde_json::from_str::<ImportRules>(rules) else { return };
    rules.region = Region::new("IL").ok();
    let Ok(sheet) = Sheet::from_bytes(name, input.to_vec()) else { return };
    let mut import = match Import::start(&sheet, &rules, &[]) {
        Ok(import) => import,
        Err(error) => return any(error.to_string()),
    };
    let contacts = import.by_ref().take_while(Result::is_ok).count() as u64;
    let report = import.finish();
    assert_eq!(report.rows, report.imported + report.duplicates + report.invalid);
    assert!(!report.complete || contacts == report.imported);
    any((report.to_string(), serde_json::to_string(&report)));
}
