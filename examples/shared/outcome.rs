//! What came of it, for programs and for people.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use rivvi::domain::{Channel, Disposition, Exclusion, Outcome, Run, RunTally};
use rivvi::engine::{Progress, RunImportError};
use rivvi::import::ImportReport;
use rivvi::storage::StorageError;
use serde_json::{Map, Value, json};

/// Why the program ends without having done its job.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user's input is wrong.
    Input(String),
    /// Something else went wrong.
    Broken(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Input(_) => ExitCode::from(2),
            Self::Broken(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input(text) | Self::Broken(text) => f.write_str(text),
        }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<RunImportError> for Failure {
    fn from(error: RunImportError) -> Self {
        match error {
            RunImportError::Storage(error) => error.into(),
            error => Self::Input(error.to_string()),
        }
    }
}

/// The machine's form of a run that was interrupted before its sheet was imported.
pub(crate) fn nothing_yet() -> Value {
    json!({
        "run_id": null, "status": "processing", "rows": 0, "imported": 0, "duplicates": 0, "invalid": 0,
        "suppressed": 0, "calls_placed": 0, "contacts": {}, "dispositions": {}, "max_concurrent": 0,
        "virtual_seconds": 0.0, "wall_seconds": 0.0,
    })
}

/// The machine's form of the result.
pub(crate) fn as_json(run: &Run, import: &ImportReport, progress: &Progress, wall: Duration) -> Value {
    let tally = &progress.tally;
    let mut contacts = Map::new();
    for outcome in Outcome::ALL {
        let count = tally.outcomes.get(&outcome).copied().unwrap_or(0);
        // Only campaigns with messages come to these.
        if count > 0 || !matches!(outcome, Outcome::FallbackDelivered | Outcome::FallbackFailed) {
            contacts.insert(outcome.name().into(), json!(count));
        }
    }
    for (state, count) in [("waiting", tally.waiting), ("calling", tally.calling)] {
        if count > 0 {
            contacts.insert(state.into(), json!(count));
        }
    }
    let mut dispositions = Map::new();
    for disposition in Disposition::ALL {
        let count = tally.dispositions.get(&disposition).copied().unwrap_or(0);
        if count > 0 || USUAL.contains(&disposition) {
            dispositions.insert(disposition.name().into(), json!(count));
        }
    }
    let mut result = json!({
        "run_id": run.id,
        "status": run.state,
        "rows": import.rows,
        "imported": import.imported,
        "duplicates": import.duplicates,
        "invalid": import.invalid,
        "suppressed": tally.exclusions.get(&Exclusion::Suppressed).copied().unwrap_or(0),
        "calls_placed": progress.placed() - sent(tally),
        "contacts": contacts,
        "dispositions": dispositions,
        "max_concurrent": tally.live_calls_max,
        "virtual_seconds": progress.elapsed.as_secs_f64(),
        "wall_seconds": wall.as_secs_f64(),
    });
    if sent(tally) > 0 {
        let mut messages = Map::from_iter([("sent".to_owned(), json!(sent(tally)))]);
        messages.extend(tally.messages.named().map(|(name, count)| (name.to_owned(), json!(count))));
        result["messages"] = Value::Object(messages);
    }
    result
}

/// Dispositions that are listed even when there was none.
const USUAL: [Disposition; 6] = [
    Disposition::AnsweredHuman,
    Disposition::Voicemail,
    Disposition::Busy,
    Disposition::NoAnswer,
    Disposition::Rejected,
    Disposition::Failed,
];

/// The people's form of the result.
pub(crate) fn as_text(run: &Run, import: &ImportReport, progress: &Progress) -> String {
    let tally = &progress.tally;
    let (placed, attempts) = match run.definition.channel {
        Channel::Sms => (format!("{} messages sent", sent(tally)), "other attempts"),
        _ => (format!("{} calls placed", progress.placed() - sent(tally)), "calls"),
    };
    let mut text = format!(
        "\nRun {} is {}.\n  {} rows: {} imported, {} duplicates, {} invalid\n  {placed}, at most {} at once\n",
        run.id,
        run.state,
        import.rows,
        import.imported,
        import.duplicates,
        import.invalid,
        tally.live_calls_max,
    );
    text.push_str("\n  contacts\n");
    for (outcome, count) in &tally.outcomes {
        text.push_str(&bar(outcome.name(), *count, tally.contacts()));
    }
    for (exclusion, count) in &tally.exclusions {
        text.push_str(&format!("      of these {:<18} {count:>7}\n", exclusion.name()));
    }
    let others = tally.dispositions.iter().filter(|(disposition, _)| **disposition != Disposition::Sent);
    let others: String =
        others.map(|(disposition, count)| bar(disposition.name(), *count, progress.placed())).collect();
    if !others.is_empty() {
        text.push_str(&format!("\n  {attempts}\n{others}"));
    }
    if sent(tally) > 0 {
        text.push_str("\n  messages\n");
        text.push_str(&format!("    {:<18} {:>7}\n", "sent", sent(tally)));
        for (name, count) in tally.messages.named().into_iter().filter(|(name, _)| *name != "parts") {
            text.push_str(&bar(name, count, sent(tally)));
        }
    }
    text
}

/// Messages that were handed to a provider.
fn sent(tally: &RunTally) -> u64 {
    tally.dispositions.get(&Disposition::Sent).copied().unwrap_or(0)
}

fn bar(name: &str, count: u64, of: u64) -> String {
    let filled = usize::try_from(count * 30 / of.max(1)).unwrap_or(30).min(30);
    format!("    {name:<18} {count:>7}  {}\n", "█".repeat(filled))
}
