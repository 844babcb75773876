//! What became of each contact, as CSV.

use std::fmt;
use std::path::Path;

use rivvi::Rivvi;
use rivvi::domain::{Contact, ContactState, Run};
use rivvi::storage::ContactQuery;

use crate::shared::outcome::Failure;

/// Writes what became of each contact to a CSV file.
pub(crate) async fn write(rivvi: &Rivvi, run: &Run, path: &Path) -> Result<(), Failure> {
    let broken = |error: &dyn fmt::Display| Failure::Broken(format!("{}: {error}", path.display()));
    let mut writer = csv::Writer::from_path(path).map_err(|error| broken(&error))?;
    let header = ["row", "number", "outcome", "reason", "attempts", "last_disposition", "settled_at"];
    writer.write_record(header).map_err(|error| broken(&error))?;
    let mut after = None;
    loop {
        let query = ContactQuery { run_id: run.id, number: None, after, limit: 1_000 };
        let contacts = rivvi.storage().ledger.contacts(query).await?;
        let Some(last) = contacts.last() else { break };
        after = Some(last.id);
        for contact in &contacts {
            writer.write_record(record(contact)).map_err(|error| broken(&error))?;
        }
    }
    writer.flush().map_err(|error| broken(&error))
}

fn record(contact: &Contact) -> [String; 7] {
    let (outcome, reason, at) = match contact.status.state {
        ContactState::Settled { outcome, exclusion, at } => {
            (outcome.name(), exclusion.map_or("", |reason| reason.name()), at.to_rfc3339())
        }
        ContactState::Waiting { .. } => ("waiting", "", String::new()),
        ContactState::Calling { .. } => ("calling", "", String::new()),
    };
    [
        contact.row.to_string(),
        contact.number.expose(),
        outcome.to_owned(),
        reason.to_owned(),
        contact.status.attempts.to_string(),
        contact.status.last_disposition.map_or(String::new(), |disposition| disposition.to_string()),
        at,
    ]
}
