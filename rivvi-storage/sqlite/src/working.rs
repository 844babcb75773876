//! What a verb decides about: loaded at once, changed in memory, written at once.
//!
//! Within a batch every decision sees the effect of those before, yet each row is written once, in its last state.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    Aggregate, Call, CallId, Contact, ContactId, ContactState, JournalEntry, ProviderName, RunId, RunTally,
    Suppression,
};
use rivvi_core::provider::CallRef;
use rivvi_core::storage::{AttemptChange, Change, OutboxItem};
use sqlx::SqliteConnection;

use crate::batch::{Batch, Value};
use crate::error::Failure;
use crate::value::document;
use crate::{item, journal, suppression};

/// Contacts, calls and tallies of one transaction, with what became of them.
#[derive(Debug, Default)]
pub(crate) struct WorkingSet {
    contacts: BTreeMap<ContactId, HeldContact>,
    calls: BTreeMap<CallId, HeldCall>,
    references: HashMap<(ProviderName, String), CallId>,
    tallies: BTreeMap<RunId, RunTally>,
    entries: Vec<JournalEntry>,
    attempts: Vec<(Call, AttemptChange)>,
    suppressions: Vec<Suppression>,
    outbox: Vec<(DateTime<Utc>, OutboxItem)>,
}

#[derive(Debug)]
struct HeldContact {
    now: Contact,
    stored: ContactState,
    changed: bool,
}

#[derive(Debug)]
struct HeldCall {
    now: Call,
    /// `None` if the call is new.
    stored: Option<Indexed>,
    changed: bool,
}

/// What the tables beside `calls` say of a call.
#[derive(Debug, Clone, PartialEq)]
struct Indexed {
    live: bool,
    check_at: Option<DateTime<Utc>>,
    reference: Option<String>,
}

impl Indexed {
    fn of(call: &Call) -> Self {
        Self { live: call.is_live(), check_at: call.check_at, reference: call.provider_ref.clone() }
    }
}

impl WorkingSet {
    /// Takes a contact as it is stored.
    pub(crate) fn hold_contact(&mut self, contact: Contact) {
        let stored = contact.status.state;
        self.contacts.entry(contact.id).or_insert(HeldContact { now: contact, stored, changed: false });
    }

    /// Takes a call as it is stored.
    pub(crate) fn hold_call(&mut self, call: Call) {
        if let Some(reference) = &call.provider_ref {
            self.references.insert((call.provider.clone(), reference.clone()), call.id);
        }
        let stored = Some(Indexed::of(&call));
        self.calls.entry(call.id).or_insert(HeldCall { now: call, stored, changed: false });
    }

    /// Takes the counts of a run as they are stored.
    pub(crate) fn hold_tally(&mut self, run_id: RunId, tally: RunTally) {
        self.tallies.insert(run_id, tally);
    }

    pub(crate) fn contact(&self, id: ContactId) -> Option<&Contact> {
        self.contacts.get(&id).map(|held| &held.now)
    }

    /// The call that is meant, with its contact, as they are now.
    pub(crate) fn find(&self, call: &CallRef) -> Option<(&Call, &Contact)> {
        let id = match call {
            CallRef::Id(id) => id,
            CallRef::Provider { provider, reference } => {
                self.references.get(&(provider.clone(), reference.clone()))?
            }
        };
        let call = &self.calls.get(id)?.now;
        Some((call, self.contact(call.contact_id)?))
    }

    /// Applies a change of a contact and its call.
    pub(crate) fn commit(&mut self, contact_id: ContactId, change: Change) {
        let Some(contact) = self.contacts.get_mut(&contact_id) else {
            return;
        };
        let call_before =
            change.call.as_ref().and_then(|call| self.calls.get(&call.id)).map(|held| &held.now);
        let tally = self.tallies.entry(contact.now.run_id).or_default();
        change.count(&contact.now, call_before, tally);

        let (org_id, aggregate) = (contact.now.org_id, Aggregate::Contact(contact_id));
        let first = contact.now.status.sequence + 1;
        let entries = (first..).zip(change.events);
        self.entries.extend(entries.map(|(sequence, event)| JournalEntry {
            org_id,
            aggregate,
            sequence,
            at: change.at,
            event,
        }));
        contact.now.status = change.status;
        contact.changed = true;
        if let Some(call) = change.call {
            self.attempts.extend(change.attempt.map(|attempt| (call.clone(), attempt)));
            self.put_call(call);
        }
        self.suppressions.extend(change.suppress);
        self.outbox.extend(change.outbox.into_iter().map(|item| (item.created_at, item)));
    }

    /// Replaces a call, or adds it.
    pub(crate) fn put_call(&mut self, call: Call) {
        if let Some(reference) = &call.provider_ref {
            self.references.insert((call.provider.clone(), reference.clone()), call.id);
        }
        let stored = self.calls.remove(&call.id).and_then(|held| held.stored);
        self.calls.insert(call.id, HeldCall { now: call, stored, changed: true });
    }

    /// The counts that were taken.
    pub(crate) fn into_tallies(self) -> BTreeMap<RunId, RunTally> {
        self.tallies
    }

    /// Writes everything that changed.
    pub(crate) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        let Self { contacts, calls, references: _, tallies, entries, attempts, suppressions, outbox } = self;
        write_contacts(connection, contacts).await?;
        write_calls(connection, calls).await?;
        write_attempts(connection, attempts).await?;
        write_tallies(connection, tallies).await?;
        suppression::put(connection, suppressions).await?;
        item::put_outbox(connection, outbox).await?;
        journal::append(connection, entries).await
    }
}

// A list of `VALUES` has no types, and SQLite looks a value without type up by scanning; hence the casts in the
// statements that delete.

async fn write_contacts(
    connection: &mut SqliteConnection,
    contacts: BTreeMap<ContactId, HeldContact>,
) -> Result<(), Failure> {
    const PUT_STATUS: Batch<2> = Batch {
        head: "INSERT INTO contact_statuses (contact_id, document) VALUES ",
        tail: " ON CONFLICT (contact_id) DO UPDATE SET document = excluded.document",
    };
    let (mut left, mut entered, mut statuses) = (Vec::new(), Vec::new(), Vec::with_capacity(contacts.len()));
    for held in contacts.values().filter(|held| held.changed) {
        let contact = &held.now;
        if held.stored != contact.status.state {
            left.extend(due_row(contact, &held.stored));
            entered.extend(due_row(contact, &contact.status.state));
        }
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

/// The entry of a contact in `due` while it is in `state`.
pub(crate) fn due_row(contact: &Contact, state: &ContactState) -> Option<[Value; 4]> {
    let ContactState::Waiting { due_at } = *state else {
        return None;
    };
    let priority = i64::from(contact.priority.level());
    Some([contact.run_id.into(), priority.into(), due_at.into(), contact.id.into()])
}

async fn write_calls(
    connection: &mut SqliteConnection,
    calls: BTreeMap<CallId, HeldCall>,
) -> Result<(), Failure> {
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
    for held in calls.values().filter(|held| held.changed) {
        let call = &held.now;
        documents.push([call.id.into(), call.contact_id.into(), document("call", call)?.into()]);
        let now = Indexed::of(call);
        let before = held.stored.as_ref();
        match (before.is_some_and(|before| before.live), now.live) {
            (false, true) => {
                began.push([call.org_id.into(), call.number.into(), call.run_id.into(), call.id.into()]);
            }
            (true, false) => ended.push([call.org_id.into(), call.number.into()]),
            _ => {}
        }
        let check_before = before.and_then(|before| before.check_at);
        if check_before != now.check_at {
            checks_before.extend(check_before.map(|at| [at.into(), call.id.into()]));
            checks.extend(now.check_at.map(|at| [at.into(), call.id.into()]));
        }
        if let Some(reference) = now.reference
            && before.and_then(|before| before.reference.as_ref()) != Some(&reference)
        {
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
