//! Writing what a working set of the core tells.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Call, Contact, RunId, RunTally};
use rivvi_core::storage::{AttemptChange, CallWrite, ContactWrite, WorkingSet};
use sqlx::SqliteConnection;

use crate::batch::{Batch, Value};
use crate::error::Failure;
use crate::value::document;
use crate::{item, journal, suppression};

/// Writes everything that changed.
pub(crate) async fn write(connection: &mut SqliteConnection, set: WorkingSet) -> Result<(), Failure> {
    let writes = set.into_writes();
    write_contacts(connection, writes.contacts).await?;
    write_calls(connection, writes.calls).await?;
    write_attempts(connection, writes.attempts).await?;
    write_tallies(connection, writes.tallies).await?;
    suppression::put(connection, writes.suppressions).await?;
    let outbox = writes.outbox.into_iter().map(|item| (item.created_at, item));
    item::put_outbox(connection, outbox.collect()).await?;
    let inbox = writes.inbox.into_iter().map(|item| (item.received_at, item));
    item::put_inbox(connection, inbox.collect()).await?;
    journal::append(connection, writes.entries).await
}

// A list of `VALUES` has no types, and SQLite looks a value without type up by scanning; hence the casts in the
// statements that delete.

async fn write_contacts(
    connection: &mut SqliteConnection,
    contacts: Vec<ContactWrite>,
) -> Result<(), Failure> {
    const PUT_STATUS: Batch<2> = Batch {
        head: "INSERT INTO contact_statuses (contact_id, document) VALUES ",
        tail: " ON CONFLICT (contact_id) DO UPDATE SET document = excluded.document",
    };
    let (mut left, mut entered, mut statuses) = (Vec::new(), Vec::new(), Vec::with_capacity(contacts.len()));
    for write in &contacts {
        let contact = &write.contact;
        left.extend(write.left_due().map(|due_at| due_row(contact, due_at)));
        entered.extend(write.entered_due().map(|due_at| due_row(contact, due_at)));
        statuses.push([contact.id.into(), document("status of a contact", &contact.status)?.into()]);
    }
    DELETE_DUE.run(connection, left).await?;
    INSERT_DUE.run(connection, entered).await?;
    PUT_STATUS.run(connection, statuses).await
}

pub(crate) const INSERT_DUE: Batch<4> =
    Batch { head: "INSERT INTO due (run_id, priority, due_at, contact_id) VALUES ", tail: "" };

pub(crate) const DELETE_DUE: Batch<4> = Batch {
    head: "DELETE FROM due WHERE (run_id, priority, due_at, contact_id) IN \
           (SELECT column1, CAST(column2 AS INTEGER), CAST(column3 AS INTEGER), column4 FROM (VALUES ",
    tail: "))",
};

/// The entry of a contact in `due`.
pub(crate) fn due_row(contact: &Contact, due_at: DateTime<Utc>) -> [Value; 4] {
    let priority = i64::from(contact.priority.level());
    [contact.run_id.into(), priority.into(), due_at.into(), contact.id.into()]
}

async fn write_calls(connection: &mut SqliteConnection, calls: Vec<CallWrite>) -> Result<(), Failure> {
    const PUT_CALL: Batch<3> = Batch {
        head: "INSERT INTO calls (id, contact_id, document) VALUES ",
        tail: " ON CONFLICT (id) DO UPDATE SET document = excluded.document",
    };
    const INSERT_LIVE: Batch<4> =
        Batch { head: "INSERT INTO live_calls (org_id, number, run_id, call_id) VALUES ", tail: "" };
    const INSERT_CHECK: Batch<2> =
        Batch { head: "INSERT INTO call_checks (check_at, call_id) VALUES ", tail: "" };
    const PUT_REFERENCE: Batch<3> = Batch {
        head: "INSERT INTO call_references (provider, reference, call_id) VALUES ",
        tail: " ON CONFLICT (provider, reference) DO UPDATE SET call_id = excluded.call_id",
    };
    let mut documents = Vec::with_capacity(calls.len());
    let (mut began, mut ended, mut references) = (Vec::new(), Vec::new(), Vec::new());
    let (mut checks, mut checks_before) = (Vec::new(), Vec::new());
    for write in &calls {
        let call = &write.call;
        documents.push([call.id.into(), call.contact_id.into(), document("call", call)?.into()]);
        if write.began() {
            began.push([call.org_id.into(), call.number.into(), call.run_id.into(), call.id.into()]);
        }
        if write.ended() {
            ended.push([call.org_id.into(), call.number.into()]);
        }
        if write.check_changed() {
            checks_before.extend(write.check_before().map(|at| [at.into(), call.id.into()]));
            checks.extend(call.check_at.map(|at| [at.into(), call.id.into()]));
        }
        if let Some(reference) = write.new_reference() {
            references.push([call.provider.as_str().into(), reference.into(), call.id.into()]);
        }
    }
    PUT_CALL.run(connection, documents).await?;
    DELETE_LIVE.run(connection, ended).await?;
    INSERT_LIVE.run(connection, began).await?;
    DELETE_CHECKS.run(connection, checks_before).await?;
    INSERT_CHECK.run(connection, checks).await?;
    PUT_REFERENCE.run(connection, references).await
}

pub(crate) const DELETE_LIVE: Batch<2> = Batch {
    head: "DELETE FROM live_calls WHERE (org_id, number) IN \
           (SELECT column1, CAST(column2 AS INTEGER) FROM (VALUES ",
    tail: "))",
};

pub(crate) const DELETE_CHECKS: Batch<2> = Batch {
    head: "DELETE FROM call_checks WHERE (check_at, call_id) IN \
           (SELECT CAST(column1 AS INTEGER), column2 FROM (VALUES ",
    tail: "))",
};

async fn write_attempts(
    connection: &mut SqliteConnection,
    attempts: Vec<(Call, AttemptChange)>,
) -> Result<(), Failure> {
    const ADD: Batch<4> = Batch {
        head: "INSERT INTO attempts (org_id, number, at, call_id) VALUES ",
        tail: " ON CONFLICT DO NOTHING",
    };
    const REMOVE: Batch<3> = Batch {
        head: "DELETE FROM attempts WHERE (org_id, number, at, call_id) IN \
               (SELECT a.org_id, a.number, a.at, a.call_id FROM (VALUES ",
        tail: ") gone CROSS JOIN attempts a \
               ON a.org_id = gone.column1 AND a.number = gone.column2 AND a.call_id = gone.column3)",
    };
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    for (call, change) in attempts {
        match change {
            AttemptChange::Add(at) => {
                added.push([call.org_id.into(), call.number.into(), at.into(), call.id.into()]);
            }
            AttemptChange::Remove => removed.push([call.org_id.into(), call.number.into(), call.id.into()]),
        }
    }
    ADD.run(connection, added).await?;
    REMOVE.run(connection, removed).await
}

pub(crate) async fn write_tallies(
    connection: &mut SqliteConnection,
    tallies: BTreeMap<RunId, RunTally>,
) -> Result<(), Failure> {
    const PUT: Batch<2> = Batch {
        head: "INSERT INTO run_tallies (run_id, document) VALUES ",
        tail: " ON CONFLICT (run_id) DO UPDATE SET document = excluded.document",
    };
    let row = |(run_id, tally)| Ok([Value::from(run_id), document("tally", &tally)?.into()]);
    PUT.run(connection, tallies.into_iter().map(row).collect::<Result<_, Failure>>()?).await
}
