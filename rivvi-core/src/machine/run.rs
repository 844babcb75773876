//! A run: which state follows which.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::domain::{Ending, Event, Run, RunState};
use crate::import::ImportReport;
use crate::storage::{RunChange, RunFacts, StorageError, StorageErrorKind};

/// What a run is told.
#[derive(Debug, Clone, PartialEq)]
pub enum RunInput {
    /// The sheet is about to be read. May be repeated after an interruption.
    BeginImport,
    /// Where the files of the import lie in the blob store; `None` without one.
    StoreFiles {
        /// The sheet as it came.
        raw_file: Option<String>,
        /// The contacts, until the start takes them into the ledger.
        processed_file: Option<String>,
    },
    /// The sheet was read; all contacts are stored.
    FinishImport(Arc<ImportReport>),
    /// The sheet cannot be read.
    FailImport {
        /// Why, without personal data.
        reason: String,
    },
    /// Start by itself at an instant.
    Schedule(DateTime<Utc>),
    /// Start now.
    Start {
        /// How many runs the organization may have active at once.
        active_runs_max: u32,
    },
    /// Make no calls for now.
    Pause {
        /// Why, in a few words.
        reason: String,
    },
    /// Go on after a pause.
    Resume,
    /// End before the time.
    Cancel,
    /// The end time may have come.
    CheckEnd,
    /// All contacts may be settled.
    CheckSettled,
    /// Everything is archived.
    Finish,
    /// The contacts were removed from the blob store.
    RemoveProcessed,
}

/// The next state of a run. An input that asks for what is so already changes nothing.
///
/// # Errors
/// [`StorageErrorKind::Refused`], with what would have been possible, if the input does not fit the state.
pub fn step_run(
    run: &Run,
    facts: &RunFacts,
    input: &RunInput,
    now: DateTime<Utc>,
) -> Result<RunChange, StorageError> {
    use RunState::{
        Active, Cancelled, Completed, Completing, Draft, Failed, Paused, Processing, Ready, Scheduled,
    };
    let mut next = run.clone();
    let mut reason = None;
    match (run.state, input) {
        (Draft | Processing | Failed, RunInput::BeginImport) => {
            next.state = Processing;
            next.finished_at = None;
        }
        (Processing, RunInput::StoreFiles { raw_file, processed_file }) => {
            next.raw_file.clone_from(raw_file);
            next.processed_file.clone_from(processed_file);
            reason = raw_file.as_ref().map(|path| format!("the sheet lies at {path}"));
        }
        (Processing, RunInput::FinishImport(report)) => {
            next.state = Ready;
            next.report = Some(report.clone());
        }
        (Draft | Processing, RunInput::FailImport { reason: why }) => {
            next.state = Failed;
            next.finished_at = Some(now);
            reason = Some(why.clone());
        }
        (Ready | Scheduled, RunInput::Schedule(at)) => {
            next.state = Scheduled;
            next.start_at = Some(*at);
            reason = Some(format!("to start at {}", at.to_rfc3339_opts(SecondsFormat::AutoSi, true)));
        }
        (Ready | Scheduled, RunInput::Start { active_runs_max }) => {
            if facts.others_running >= *active_runs_max {
                return Err(refused(
                    "start",
                    format!(
                        "the organization has {} active run(s) and may have {active_runs_max}; wait for one to end or \
                         cancel it",
                        facts.others_running
                    ),
                ));
            }
            if let Some(report) = run.waits_in_blobs() {
                require_loaded(facts.tally.contacts(), report.imported)?;
            }
            next.state = Active;
            next.started_at = Some(now);
            next.ends_at = run.definition.run.ends_at(now);
        }
        (Active, RunInput::Pause { reason: why }) => {
            next.state = Paused;
            reason = Some(why.clone());
        }
        (Paused, RunInput::Resume) => next.state = Active,
        (Draft | Processing | Ready | Scheduled | Active | Paused | Failed, RunInput::Cancel) => {
            next.finished_at = None;
            next.state = Completing;
            next.ending = Some(Ending::Cancelled);
        }
        (Active | Paused, RunInput::CheckEnd) if run.ends_at.is_some_and(|end| now >= end) => {
            next.state = Completing;
            next.ending = Some(Ending::EndTime);
        }
        (Active | Paused, RunInput::CheckSettled) if facts.tally.waiting + facts.tally.calling == 0 => {
            next.state = Completing;
            next.ending = Some(Ending::Settled);
        }
        (Completing, RunInput::Finish) => {
            if facts.tally.waiting + facts.tally.calling > 0 {
                return Err(refused("finish", "contacts are still waiting or being called"));
            }
            next.state = if run.ending == Some(Ending::Cancelled) { Cancelled } else { Completed };
            next.finished_at = Some(now);
        }
        (Completed | Cancelled, RunInput::RemoveProcessed) => {
            next.processed_file = None;
            reason = Some("the contacts were removed from the blob store".into());
        }
        // Two who read the same sheet at once come to the same end.
        (Ready, RunInput::FinishImport(report)) if run.report.as_ref() == Some(report) => {}
        (Failed, RunInput::FailImport { .. })
        | (Active, RunInput::Start { .. } | RunInput::Resume)
        | (Paused, RunInput::Pause { .. })
        | (Completed | Cancelled, RunInput::Finish)
        | (_, RunInput::CheckEnd | RunInput::CheckSettled) => {}
        (Completing | Cancelled, RunInput::Cancel) if run.ending == Some(Ending::Cancelled) => {}
        (state, input) => return Err(refused(input.verb(), format!("the run is {state}"))),
    }
    let mut events = Vec::new();
    if next != *run {
        if next.state == Completing {
            next.completing_since = Some(now);
        }
        events.push(Event::RunChanged { from: run.state, to: next.state, ending: next.ending, reason });
    }
    next.sequence += events.len() as u64;
    Ok(RunChange { run: next, events, at: now })
}

impl RunInput {
    const fn verb(&self) -> &'static str {
        match self {
            Self::BeginImport | Self::StoreFiles { .. } | Self::FinishImport(_) | Self::FailImport { .. } => {
                "import"
            }
            Self::Schedule(_) => "schedule",
            Self::Start { .. } => "start",
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::CheckEnd | Self::CheckSettled | Self::Finish => "finish",
            Self::RemoveProcessed => "purge",
        }
    }
}

/// A run whose contacts waited in the blob store starts with all of them and no others.
fn require_loaded(contacts: u64, imported: u64) -> Result<(), StorageError> {
    if contacts == imported {
        return Ok(());
    }
    let context = format!(
        "the ledger has {contacts} contacts of the run and its import counted {imported}; start it through the \
         engine, which loads them, or cancel it and import the sheet under another key"
    );
    Err(StorageError::new(StorageErrorKind::Corrupt, "start", context))
}

fn refused(operation: &'static str, context: impl Into<String>) -> StorageError {
    StorageError::new(StorageErrorKind::Refused, operation, context)
}
