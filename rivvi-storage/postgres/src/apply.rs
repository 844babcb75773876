//! What is told about calls that have begun.

use std::collections::BTreeSet;

use rivvi_core::domain::OrgId;
use rivvi_core::machine::CallInput;
use rivvi_core::provider::CallRef;
use rivvi_core::storage::{Applied, ApplyCalls, Settle, WorkingSet};

use crate::PostgresStorage;
use crate::call::{self, ended_call, live_call};
use crate::connection::Transaction;
use crate::contact::{self, contact, settled, with_settled, with_status};
use crate::error::{Failure, Unreadable};
use crate::gate;
use crate::tally;
use crate::value::{Columns, text, uuids};
use crate::write::{Homes, write};

/// Applies the inputs. A number that is suppressed needs the gate of its organization, which must be held before
/// anything else is locked; so if one turns out to be, the transaction begins anew with the gates.
pub(crate) async fn apply(
    store: &PostgresStorage,
    request: &ApplyCalls,
    settle: &Settle<'_>,
) -> Result<Vec<Applied>, Failure> {
    let mut gates = BTreeSet::new();
    loop {
        let mut tx = store.begin().await?;
        if !gates.is_empty() {
            gate::enter(&mut tx, &gates).await?;
        }
        let (mut set, homes) = load(store, &mut tx, &request.inputs).await?;
        let applied = set.apply(request.clone(), settle);
        let writes = set.into_writes();
        let needed: BTreeSet<OrgId> = writes.suppressions.iter().map(|entry| entry.org_id).collect();
        if needed.is_subset(&gates) {
            write(&mut tx, writes, homes).await?;
            tx.commit().await?;
            return Ok(applied);
        }
        gates.extend(needed);
    }
}

/// Loads the calls that are meant, with their contacts. Live calls are not locked: whoever changes one first wins, and the
/// others begin anew.
async fn load(
    store: &PostgresStorage,
    tx: &mut Transaction,
    inputs: &[CallInput],
) -> Result<(WorkingSet, Homes), Failure> {
    let (mut ids, mut references) = (BTreeSet::new(), BTreeSet::new());
    for input in inputs {
        match &input.call {
            CallRef::Id(id) => drop(ids.insert(*id)),
            CallRef::Provider { reference, .. } => drop(references.insert(reference.as_str())),
        }
    }
    if !references.is_empty() {
        let references: Vec<_> = references.into_iter().map(text).collect();
        let found = tx.rows(sqlx::query(BY_REFERENCE).bind(references)).await?;
        for row in &found {
            ids.insert(row.id(0)?);
        }
    }
    let (mut set, mut homes) = (WorkingSet::default(), Homes::default());
    if ids.is_empty() {
        return Ok((set, homes));
    }
    let live = tx.rows(sqlx::query(LIVE).bind(uuids(ids.iter().copied()))).await?;
    let calls = live.iter().map(|row| call::read(row, 0)).collect::<Result<Vec<_>, _>>()?;
    let contacts = calls.iter().map(|call| call.contact_id).collect();
    let mut contacts = store.shared.lately.contacts(tx, contacts).await?;
    for (row, call) in live.iter().zip(calls) {
        let mut contact = contacts.remove(&call.contact_id).ok_or(Unreadable::new("contact of a call"))?;
        contact.status = contact::read_live_status(row, call::COLUMNS)?;
        ids.remove(&call.id);
        homes.with(&call, &contact.status);
        set.hold_tally(call.run_id, tally::origin());
        set.hold_call(call);
        set.hold_contact(contact);
    }
    if ids.is_empty() {
        return Ok((set, homes));
    }
    // A call that ended after the statement before is found by this one.
    let ended = tx.rows(sqlx::query(ENDED).bind(uuids(ids))).await?;
    for row in &ended {
        let call = call::read(row, 0)?;
        homes.note(row, call::COLUMNS)?;
        set.hold_tally(call.run_id, tally::origin());
        set.hold_call(call);
        set.hold_contact(contact::read_any(row, call::COLUMNS)?);
    }
    Ok((set, homes))
}

/// The calls that may be meant: those whose references have the same hash.
pub(crate) const BY_REFERENCE: &str = "\
    SELECT r.call_id FROM unnest($1::text[]) AS meant(reference) \
      JOIN call_references r ON r.hash = hashtextextended(meant.reference, 0)";

pub(crate) const LIVE: &str = concat!(
    "SELECT ",
    live_call!("l"),
    ", l.sequence, l.call_id, l.contact_state, l.attempts, l.not_placed, l.retries, l.last_disposition \
     FROM live_calls l WHERE l.call_id = ANY($1)"
);

pub(crate) const ENDED: &str = concat!(
    "SELECT ",
    ended_call!("e"),
    ", ",
    contact!(),
    ", ",
    settled!(),
    " FROM ended_calls e JOIN contacts c ON c.id = e.contact_id",
    with_status!(),
    with_settled!(),
    "WHERE e.call_id = ANY($1) ORDER BY e.call_id FOR UPDATE OF e"
);
