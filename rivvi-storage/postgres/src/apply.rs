//! What is told about calls that have begun.

use std::collections::BTreeSet;

use rivvi_core::domain::OrgId;
use rivvi_core::machine::CallInput;
use rivvi_core::provider::CallRef;
use rivvi_core::storage::{Applied, ApplyCalls, Settle, WorkingSet};

use crate::PostgresStorage;
use crate::call::{self, ended_call, live_call};
use crate::connection::Transaction;
use crate::contact::{self, contact, with_status};
use crate::error::Failure;
use crate::gate;
use crate::tally;
use crate::value::{Columns, text, uuids};
use crate::write::{Homes, write};

macro_rules! is_meant {
    () => {
        "hashtextextended(k.provider_ref, 0) = hashtextextended(meant.reference, 0) \
         AND k.provider_ref = meant.reference AND k.provider = meant.provider"
    };
}

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
        let (mut set, homes) = load(&mut tx, &request.inputs).await?;
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
async fn load(tx: &mut Transaction, inputs: &[CallInput]) -> Result<(WorkingSet, Homes), Failure> {
    let (mut ids, mut references) = (BTreeSet::new(), BTreeSet::new());
    for input in inputs {
        match &input.call {
            CallRef::Id(id) => drop(ids.insert(*id)),
            CallRef::Provider { provider, reference } => {
                references.insert((provider.as_str(), reference.as_str()));
            }
        }
    }
    if !references.is_empty() {
        let (providers, references): (Vec<_>, Vec<_>) =
            references.into_iter().map(|(provider, reference)| (text(provider), text(reference))).unzip();
        let found = tx.rows(sqlx::query(BY_REFERENCE).bind(providers).bind(references)).await?;
        for row in &found {
            ids.insert(row.id(0)?);
        }
    }
    let (mut set, mut homes) = (WorkingSet::default(), Homes::default());
    if ids.is_empty() {
        return Ok((set, homes));
    }
    let live = tx.rows(sqlx::query(LIVE).bind(uuids(ids.iter().copied()))).await?;
    for row in &live {
        let call = call::read(row, 0)?;
        let mut contact = contact::imported(row, call::COLUMNS)?;
        contact.status = contact::read_live_status(row, call::COLUMNS + 6)?;
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
        set.hold_contact(contact::read(row, call::COLUMNS)?);
    }
    Ok((set, homes))
}

pub(crate) const BY_REFERENCE: &str = concat!(
    "SELECT k.call_id FROM unnest($1::text[], $2::text[]) AS meant(provider, reference) JOIN live_calls k ON ",
    is_meant!(),
    " UNION ALL SELECT k.call_id FROM unnest($1::text[], $2::text[]) AS meant(provider, reference) JOIN ended_calls k ON ",
    is_meant!()
);

pub(crate) const LIVE: &str = concat!(
    "SELECT ",
    live_call!("l"),
    ", c.id, c.org_id, c.run_id, c.number, c.due_at, c.document, \
       l.sequence, l.call_id, l.contact_state, l.attempts, l.not_placed, l.retries, l.last_disposition \
     FROM live_calls l JOIN contacts c ON c.id = l.contact_id WHERE l.call_id = ANY($1)"
);

pub(crate) const ENDED: &str = concat!(
    "SELECT ",
    ended_call!("e"),
    ", ",
    contact!(),
    " FROM ended_calls e JOIN contacts c ON c.id = e.contact_id",
    with_status!(),
    "WHERE e.call_id = ANY($1) ORDER BY e.call_id FOR UPDATE OF e"
);
