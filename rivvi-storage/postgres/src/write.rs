//! Writing what a working set of the core tells, one statement per table.
//!
//! The status of a contact stands with its live call while there is one, with the call whose end settled it, and in
//! `contact_statuses` otherwise: so the three changes of a usual call (it begins, it is placed, it ends) write no row of its
//! own for it. Every change notes the page of the journal in which it is told.

use std::collections::{BTreeMap, HashMap, HashSet};

use rivvi_core::domain::{Call, CallId, Contact, ContactId, ContactStatus};
use rivvi_core::storage::Writes;
use sqlx::postgres::PgRow;

use crate::connection::Transaction;
use crate::error::{Failure, Unreadable};
use crate::table::{
    Attempt, CallRows, DueRows, EndStatusRows, IntentRows, LeftRows, LiveStatusRows, MovedRows,
    ReferenceRows, StatusRows, Version, delete_due, end_calls, insert_due, insert_live, leave_statuses,
    put_references, put_statuses, update_ended, update_live, update_live_statuses,
};
use crate::tally::{self, Delta};
use crate::value::Columns;
use crate::{item, journal, suppression};

/// Where the contacts of a working set come from.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    /// The live calls with which their statuses stand, and the sequences there.
    live: HashMap<ContactId, (CallId, i64)>,
    /// The sequences of their statuses that stand by themselves, 0 if there is none. Not told of those whose live call was
    /// read: nobody changes it without that call.
    statuses: HashMap<ContactId, i64>,
    /// Live calls as they were read, which must not have changed when they are written.
    versions: HashMap<CallId, Version>,
    /// Whether their rows in `due` are gone already.
    taken: bool,
}

impl Homes {
    /// Of contacts whose rows in `due` were taken.
    pub(crate) fn of_taken() -> Self {
        Self { taken: true, ..Self::default() }
    }

    /// Notes where the status of the contact stands that [`contact::read`](crate::contact::read) reads from this row.
    pub(crate) fn note(&mut self, row: &PgRow, at: usize) -> Result<(), Failure> {
        let id: ContactId = row.id(at)?;
        if let Some(call_id) = row.optional_id(at + 17)? {
            self.live.insert(id, (call_id, row.int(at + 16)?));
        }
        self.statuses.insert(id, row.value::<Option<i64>>(at + 6)?.unwrap_or(0));
        Ok(())
    }

    /// Notes that the status of a contact stands with a live call, and what tells whether that has changed.
    pub(crate) fn with(&mut self, call: &Call, status: &ContactStatus) {
        self.live.insert(call.contact_id, (call.id, status.sequence.cast_signed()));
        self.versions.insert(call.id, Version::of(call, status));
    }
}

/// Writes everything that changed. The counts of the runs must have been held as [`tally::origin`].
pub(crate) async fn write(tx: &mut Transaction, writes: Writes, homes: Homes) -> Result<(), Failure> {
    let mut writes = writes;
    let tallies = std::mem::take(&mut writes.tallies);
    let organizations: HashMap<_, _> =
        writes.contacts.iter().map(|write| (write.contact.run_id, write.contact.org_id)).collect();
    let deltas = tallies.iter().filter_map(|(run_id, tally)| {
        Some((*run_id, *organizations.get(run_id)?, Delta::since_origin(tally)))
    });
    let deltas: Vec<_> = deltas.collect();
    write_all(tx, writes, homes).await?;
    tally::add(tx, deltas).await
}

/// Writes everything that changed but the counts.
pub(crate) async fn write_all(tx: &mut Transaction, writes: Writes, homes: Homes) -> Result<(), Failure> {
    // Whatever changed is held or was seen to be as it was read, so the pages come after those that told of it before.
    let pages = journal::append_pages(tx, &writes.entries).await?;
    let rows = Rows::of(&writes, homes, pages)?;
    // As claims do: first what is due, then where contacts stand.
    delete_due(tx, rows.left_due).await?;
    leave_statuses(tx, rows.left).await?;
    insert_live(tx, rows.began, rows.began_statuses, rows.intents).await?;
    update_live(tx, rows.changed, rows.changed_statuses).await?;
    end_calls(tx, rows.ended, rows.ended_statuses).await?;
    update_ended(tx, rows.ended_before).await?;
    put_references(tx, rows.references).await?;
    update_live_statuses(tx, rows.moved, rows.moved_statuses).await?;
    put_statuses(tx, rows.statuses).await?;
    insert_due(tx, rows.due).await?;
    suppression::put(tx, writes.suppressions).await?;
    item::put_outbox(tx, writes.outbox.into_iter().map(|item| (item.created_at, item)).collect()).await?;
    item::put_inbox(tx, writes.inbox.into_iter().map(|item| (item.received_at, item)).collect()).await
}

/// What is written, by statement.
#[derive(Default)]
struct Rows<'a> {
    /// Statuses of contacts whose calls begin.
    left: LeftRows<'a>,
    /// Calls that begin.
    began: CallRows<'a>,
    began_statuses: LiveStatusRows<'a>,
    intents: IntentRows<'a>,
    /// Live calls that change, with the statuses of their contacts.
    changed: CallRows<'a>,
    changed_statuses: LiveStatusRows<'a>,
    /// Live calls that end, with the statuses of contacts that are settled thereby.
    ended: CallRows<'a>,
    ended_statuses: EndStatusRows<'a>,
    /// Calls that had ended before.
    ended_before: CallRows<'a>,
    references: ReferenceRows<'a>,
    /// Contacts whose live call does not change.
    moved: MovedRows<'a>,
    moved_statuses: LiveStatusRows<'a>,
    /// Contacts whose statuses stand by themselves.
    statuses: StatusRows<'a>,
    left_due: DueRows<'a>,
    due: DueRows<'a>,
}

impl<'a> Rows<'a> {
    fn of(writes: &'a Writes, homes: Homes, pages: HashMap<ContactId, i64>) -> Result<Self, Failure> {
        let mut rows = Self::default();
        let contacts: BTreeMap<ContactId, &Contact> =
            writes.contacts.iter().map(|write| (write.contact.id, &write.contact)).collect();
        let attempts: HashMap<CallId, Attempt> =
            writes.attempts.iter().map(|(call, change)| (call.id, Attempt::from(*change))).collect();
        let (mut live, mut statuses) = (homes.live, homes.statuses);
        // Each page is noted once.
        let mut pages = pages;
        let version = |id: &CallId| homes.versions.get(id).copied().unwrap_or_default();
        // Whose status is written with its call.
        let mut written: HashSet<ContactId> = HashSet::new();
        for write in &writes.calls {
            let call = &write.call;
            let attempt = attempts.get(&call.id).copied().unwrap_or_default();
            let contact =
                || contacts.get(&call.contact_id).copied().ok_or(Unreadable::new("contact of a call"));
            rows.references.extend(write);
            let mut page = pages.remove(&call.contact_id);
            if write.is_new() {
                rows.began.push(call, attempt, Version::default(), page.take())?;
                rows.began_statuses.push(call.id, &contact()?.status)?;
                rows.intents.push(call, contact()?.status.sequence);
                if let Some(known) = statuses.remove(&call.contact_id).filter(|known| *known > 0) {
                    rows.left.push(contact()?, known);
                }
            } else if call.is_live() {
                rows.changed.push(call, attempt, version(&call.id), page.take())?;
                rows.changed_statuses.push(call.id, &contact()?.status)?;
            }
            if call.is_live() {
                live.insert(call.contact_id, (call.id, 0));
                written.insert(call.contact_id);
                continue;
            }
            if live.get(&call.contact_id).is_some_and(|(id, _)| *id == call.id) {
                live.remove(&call.contact_id);
            }
            // One that begins and ends at once is inserted and moved.
            let known =
                if write.is_new() { Version::of(call, &contact()?.status) } else { version(&call.id) };
            if write.is_new() || write.ended() {
                rows.ended.push(call, attempt, known, page)?;
                if rows.ended_statuses.push(contacts.get(&call.contact_id).map(|contact| &contact.status))? {
                    written.insert(call.contact_id);
                }
            } else {
                rows.ended_before.push(call, attempt, known, page)?;
            }
        }
        for write in &writes.contacts {
            let (contact, status) = (&write.contact, &write.contact.status);
            if homes.taken {
                rows.due.extend(contact, status.state.due_at());
            } else {
                rows.left_due.extend(contact, write.left_due());
                rows.due.extend(contact, write.entered_due());
            }
            if written.contains(&contact.id) {
                continue;
            }
            let page = pages.remove(&contact.id);
            match live.get(&contact.id) {
                Some((call_id, known)) => {
                    rows.moved.push(*call_id, *known, page);
                    rows.moved_statuses.push(*call_id, status)?;
                }
                None => rows.statuses.push(contact, status, statuses.remove(&contact.id), page)?,
            }
        }
        Ok(rows)
    }
}
