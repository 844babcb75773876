//! What is told about calls that have begun.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rivvi_core::domain::{Call, CallId, Contact, ContactId, ContactStatus, OrgId, RunId};
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
    let lately = &store.shared.lately;
    let (mut gates, mut from_memory) = (BTreeSet::new(), true);
    loop {
        let mut tx = store.begin().await?;
        if !gates.is_empty() {
            gate::enter(&mut tx, &gates).await?;
        }
        let mut loaded = load(store, &mut tx, &request.inputs, from_memory).await?;
        let mut applied = loaded.set.apply(request.clone(), settle);
        // Nothing is written of what stays as it is or is not found, so nothing would show that a remembered call is out
        // of date. Statements of this transaction see what was committed before each of them.
        let is_written = |applied: &Applied| matches!(applied, Applied::Changed { .. });
        if !loaded.remembered.is_empty() && !applied.iter().all(is_written) {
            from_memory = false;
            loaded = load(store, &mut tx, &request.inputs, from_memory).await?;
            applied = loaded.set.apply(request.clone(), settle);
        }
        let Loaded { set, homes, remembered, .. } = loaded;
        let writes = set.into_writes();
        let needed: BTreeSet<OrgId> = writes.suppressions.iter().map(|entry| entry.org_id).collect();
        if needed.is_subset(&gates) {
            // Whatever goes wrong, the calls are read anew when this is tried again.
            lately.forget(&remembered);
            write(&mut tx, writes, homes).await?;
            tx.commit().await?;
            lately.remember_applied(&applied);
            return Ok(applied);
        }
        gates.extend(needed);
    }
}

/// The calls that are meant, with their contacts.
#[derive(Default)]
struct Loaded {
    set: WorkingSet,
    homes: Homes,
    runs: BTreeSet<RunId>,
    /// Those that were not read but remembered.
    remembered: Vec<CallId>,
}

impl Loaded {
    fn hold_live(
        &mut self,
        live: &(Call, ContactStatus),
        contacts: &HashMap<ContactId, Arc<Contact>>,
    ) -> Result<(), Failure> {
        let (call, status) = live;
        let contact = contacts.get(&call.contact_id).ok_or(Unreadable::new("contact of a call"))?;
        self.homes.with(call, status);
        self.hold_tally(call.run_id);
        self.set.hold_call(call.clone());
        let mut contact = Contact::clone(contact);
        contact.status = status.clone();
        self.set.hold_contact(contact);
        Ok(())
    }

    fn hold_tally(&mut self, run_id: RunId) {
        if self.runs.insert(run_id) {
            self.set.hold_tally(run_id, tally::origin());
        }
    }
}

/// Loads the calls that are meant. Live calls are not locked: whoever changes one first wins, and the others begin anew.
async fn load(
    store: &PostgresStorage,
    tx: &mut Transaction,
    inputs: &[CallInput],
    from_memory: bool,
) -> Result<Loaded, Failure> {
    let lately = &store.shared.lately;
    let (mut loaded, mut live) = (Loaded::default(), Vec::new());
    let mut ids = meant(tx, inputs).await?;
    ids.retain(|id| {
        let Some(call) = lately.call(*id).filter(|_| from_memory) else { return true };
        loaded.remembered.push(*id);
        live.push(call);
        false
    });
    if !ids.is_empty() {
        for row in &tx.rows(sqlx::query(LIVE).bind(uuids(ids.iter().copied()))).await? {
            let call = call::read(row, 0)?;
            let status = contact::read_live_status(row, call::COLUMNS)?;
            ids.remove(&call.id);
            lately.remember_call(&call, &status);
            live.push(Arc::new((call, status)));
        }
    }
    let contacts = lately.contacts(tx, live.iter().map(|live| live.0.contact_id).collect()).await?;
    for live in live {
        loaded.hold_live(&live, &contacts)?;
    }
    if ids.is_empty() {
        return Ok(loaded);
    }
    // A call that ended after the statement before is found by this one.
    for row in &tx.rows(sqlx::query(ENDED).bind(uuids(ids))).await? {
        let call = call::read(row, 0)?;
        lately.forget([&call.id]);
        // Where a contact stands counts as it was read first, as its status does.
        if loaded.set.contact(call.contact_id).is_none() {
            loaded.homes.note(row, call::COLUMNS)?;
        }
        loaded.hold_tally(call.run_id);
        loaded.set.hold_call(call);
        loaded.set.hold_contact(contact::read_any(row, call::COLUMNS)?);
    }
    Ok(loaded)
}

/// The ids of the calls that are meant.
async fn meant(tx: &mut Transaction, inputs: &[CallInput]) -> Result<BTreeSet<CallId>, Failure> {
    let (mut ids, mut references) = (BTreeSet::new(), BTreeSet::new());
    for input in inputs {
        match &input.call {
            CallRef::Id(id) => drop(ids.insert(*id)),
            CallRef::Provider { reference, .. } => drop(references.insert(reference.as_str())),
        }
    }
    if !references.is_empty() {
        let references: Vec<_> = references.into_iter().map(text).collect();
        for row in &tx.rows(sqlx::query(BY_REFERENCE).bind(references)).await? {
            ids.insert(row.id(0)?);
        }
    }
    Ok(ids)
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
