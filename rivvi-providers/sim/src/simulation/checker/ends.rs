//! P4, P5: everything has ended, the counts add up, and everything is kept.

use std::collections::{BTreeMap, HashSet};

use rivvi_core::domain::{CallId, ContactState, Disposition, RunState};
use rivvi_core::storage::object_store::ObjectStoreExt;
use rivvi_core::storage::object_store::path::Path;
use rivvi_core::storage::{ArchivedCall, ContactQuery};

use super::super::setting::CONTACTS;
use super::super::world::World;
use super::{Broken, Remains, require};

pub(super) async fn check(world: &World, remains: &Remains) -> Result<(), Broken> {
    let ledger = &world.around.storage.ledger;
    let run = ledger.run(world.run_id).await?;
    let state = run.map(|run| run.state);
    let cancelled = state == Some(RunState::Cancelled) && world.fired().contains_key("cancel");
    require(state == Some(RunState::Completed) || cancelled, || format!("P5: the run is {state:?}"))?;
    require(remains.contacts.len() as u64 == CONTACTS, || "P5: contacts were lost".to_owned())?;
    let (mut outcomes, mut dispositions) = (BTreeMap::new(), BTreeMap::new());
    for contact in &remains.contacts {
        match contact.status.state {
            ContactState::Settled { outcome, .. } => *outcomes.entry(outcome).or_insert(0) += 1,
            other => return Err(Broken(format!("P5: {} has no outcome: {other:?}", contact.id))),
        }
    }
    let around = &world.around;
    let mut seen: HashSet<CallId> = around.network.history().iter().map(|(leg, _)| leg.call_id).collect();
    seen.extend(around.gateway.sent().iter().map(|message| message.id));
    seen.extend(around.mailbox.taken().iter().map(|(id, _)| *id));
    for (id, call) in &remains.calls {
        let disposition = call.disposition();
        let disposition =
            disposition.ok_or_else(|| Broken(format!("P5: {id} has no disposition: {call:?}")))?;
        *dispositions.entry(disposition).or_insert(0) += 1;
        let (rang, told) = (seen.contains(id), disposition.is_attempt());
        // A call given up as unknown may or may not have rung; every other word must be true.
        require(rang == told || disposition == Disposition::Unknown, || {
            format!("P4: {id} is {disposition}, and somebody was asked for it: {rang}")
        })?;
    }
    let tally = ledger.tally(world.run_id).await?;
    require(tally.outcomes == outcomes, || format!("P5: {:?} are not {outcomes:?}", tally.outcomes))?;
    let counted = tally.dispositions == dispositions;
    require(counted, || format!("P5: {:?} are not {dispositions:?}", tally.dispositions))?;
    archived(world, remains).await
}

/// P4: every call is archived and, with a blob store, logged there.
async fn archived(world: &World, remains: &Remains) -> Result<(), Broken> {
    let archive = &world.around.storage.archive;
    let archived = archive.archived_calls(world.run_id, None, usize::MAX).await?;
    let attempts = remains.calls.values().filter_map(rivvi_core::domain::Call::disposition);
    let attempts = attempts.filter(|disposition| disposition.is_attempt()).count();
    require(archived.len() >= attempts, || format!("P4: {} of {attempts} are archived", archived.len()))?;
    if world.storm.blobs.is_none() {
        return Ok(());
    }
    for call in archived {
        let path = Path::from(call.call_log.clone().unwrap_or_default());
        let lost = |error: &dyn std::fmt::Display| Broken(format!("P4: {path}: {error}"));
        let log = world.blobs.get(&path).await.map_err(|error| lost(&error))?;
        let log = log.bytes().await.map_err(|error| lost(&error))?;
        let log: ArchivedCall = serde_json::from_slice(&log).map_err(|error| lost(&error))?;
        require(log == call, || format!("P4: {path} is not what was archived"))?;
    }
    Ok(())
}

pub(super) async fn check_purged(world: &World) -> Result<(), Broken> {
    let ledger = &world.around.storage.ledger;
    let query = ContactQuery { run_id: world.run_id, number: None, after: None, limit: usize::MAX };
    let left = ledger.contacts(query).await?.len();
    require(left == 0, || format!("P8: {left} contacts are left a week after the end"))?;
    let tally = ledger.tally(world.run_id).await?;
    require(tally.settled() == CONTACTS, || "P5: the counts were lost with the contacts".to_owned())?;
    let report = world.around.storage.archive.report(world.run_id).await?;
    require(report.is_some(), || "P5: the run has no report".to_owned())
}
