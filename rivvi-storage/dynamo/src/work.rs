//! A contact in work: what was read of it, what the core makes of it, and what is written.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use rivvi_core::domain::{CallId, Contact, ContactState, E164, OrgId};
use rivvi_core::storage::{ContactWrite, WorkingSet, Writes};

use crate::call::{self, CallRow};
use crate::commit::Draft;
use crate::counters::TallyChange;
use crate::error::Failure;
use crate::number::NumberRow;
use crate::place::{VERSION, When, Write};
use crate::value::{document, number, text};
use crate::{item, key};

/// A contact as it was read.
#[derive(Debug, Clone)]
pub(crate) struct ContactRow {
    pub(crate) contact: Contact,
    pub(crate) version: u64,
    /// Its calls, oldest first.
    pub(crate) calls: Vec<CallId>,
}

/// What is known of numbers while several contacts are in work one after the other, each seeing those before.
pub(crate) type Numbers = HashMap<E164, NumberRow>;

/// Has the core decide about one contact, and drafts what is to be written. `known` are the calls it may look at.
pub(crate) fn draft<T>(
    row: &ContactRow,
    known: &[CallRow],
    numbers: &mut Numbers,
    decide: impl FnOnce(&mut WorkingSet) -> T,
) -> Result<(T, Draft), Failure> {
    let mut set = WorkingSet::default();
    set.hold_tally(row.contact.run_id, TallyChange::base());
    known.iter().for_each(|known| set.hold_call(known.call.clone()));
    let decided = decide(&mut set);
    let writes = set.into_writes();
    let mut draft = Draft::default();
    draft_number(row, &writes, numbers, &mut draft)?;
    for write in &writes.contacts {
        draft.writes.push(contact_write(row, write, &writes)?);
        draft.writes.extend(due_writes(write));
    }
    for write in &writes.calls {
        let before = known.iter().find(|known| known.call.id == write.call.id).map(|known| known.version);
        call::draft(write, before, &mut draft)?;
    }
    for wanted in &writes.outbox {
        draft.writes.extend(item::writes_of_new(wanted)?);
    }
    draft.tallies = writes.tallies.iter().map(|(run_id, tally)| (*run_id, TallyChange::of(tally))).collect();
    draft.entries = writes.entries;
    Ok((decided, draft))
}

fn draft_number(
    row: &ContactRow,
    writes: &Writes,
    numbers: &mut Numbers,
    draft: &mut Draft,
) -> Result<(), Failure> {
    let Contact { org_id, number, .. } = row.contact;
    let known = numbers.entry(number).or_default();
    let Some(after) = known.after(writes)? else { return Ok(()) };
    if after.suppression != known.suppression {
        draft.writes.extend(suppressed_write(org_id, number, &after)?);
    }
    draft.numbers.insert(key::number(org_id, number), (known.version, after.clone()));
    *known = after;
    Ok(())
}

/// Writes a number's entry of the suppression list.
pub(crate) fn suppressed_write(
    org_id: OrgId,
    number: E164,
    row: &NumberRow,
) -> Result<Option<Write>, Failure> {
    let write = |suppression| {
        let attributes = [("doc", document("suppression", suppression)?)];
        Ok(Write::put(key::suppressed(org_id, number), attributes))
    };
    row.suppression.as_ref().map(write).transpose()
}

fn contact_write(row: &ContactRow, write: &ContactWrite, writes: &Writes) -> Result<Write, Failure> {
    let contact = &write.contact;
    let mut set = vec![
        (VERSION, number(row.version + 1)),
        ("status", document("status of a contact", &contact.status)?),
        ("call_status", text(call_status(&contact.status.state))),
    ];
    let new = writes.calls.iter().filter(|write| write.is_new()).map(|write| write.call.id);
    let calls: Vec<CallId> = row.calls.iter().copied().chain(new).collect();
    if calls.len() != row.calls.len() {
        set.push(("calls", call_list(&calls)));
    }
    set.extend(calls.last().map(|last| ("call_id", text(last.to_string()))));
    Ok(Write::Update { place: key::row(contact.run_id, contact.id), set, when: When::Version(row.version) })
}

pub(crate) fn call_list(calls: &[CallId]) -> AttributeValue {
    AttributeValue::L(calls.iter().map(|id| text(id.to_string())).collect())
}

/// The word for the state of a contact in the attribute `call_status`.
pub(crate) fn call_status(state: &ContactState) -> &'static str {
    match state {
        ContactState::Waiting { .. } => "waiting",
        ContactState::Calling { .. } => "calling",
        ContactState::Settled { outcome, .. } => outcome.name(),
    }
}

fn due_writes(write: &ContactWrite) -> impl Iterator<Item = Write> {
    let place = |due_at| key::due(&write.contact, &ContactState::Waiting { due_at });
    let left = write.left_due().and_then(place).map(Write::delete);
    let entered = write.entered_due().and_then(place).map(|place| Write::put(place, []));
    left.into_iter().chain(entered)
}
