//! A simple model of the outside: what the phone network saw, beside what the ledger says in the end.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use rivvi_core::domain::{
    Aggregate, Call, CallId, Contact, ContactId, ContactState, Disposition, E164, Event, Outcome, RunState,
};
use rivvi_core::provider::Lookup;
use rivvi_core::storage::object_store::ObjectStoreExt;
use rivvi_core::storage::object_store::path::Path;
use rivvi_core::storage::{ArchivedCall, ContactQuery};

use rivvi_provider_sim::SentMessage;

use crate::world::{CAP, CONCURRENCY, CONTACTS, World};

/// Checks every promise. The error says which is broken.
pub(crate) fn check(world: &World) -> Result<(), String> {
    futures::executor::block_on(async {
        legs(world).await?;
        fates(world).await?;
        ends(world).await?;
        call_logs(world).await
    })?;
    journal(world)
}

fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

/// P1, P2, P3: what the network was asked for.
async fn legs(world: &World) -> Result<(), String> {
    let history = world.network.history();
    let skew = TimeDelta::seconds(2 * world.storm.skew_seconds);
    let mut of_number: HashMap<E164, Vec<_>> = HashMap::new();
    for message in messages(world).await {
        let call = ledger_call(world, message.id).await;
        require(call.is_some(), || format!("P2: a message was sent that nobody intended: {message:?}"))?;
        of_number.entry(message.to).or_default().push((message.at, message.at));
        attempt(world, message.at, message.to, message.id, call.map(|call| call.contact_id)).await?;
    }
    let ledger = &world.storage.ledger;
    for (leg, end) in &history {
        let call = ledger.call(leg.call_id).await.unwrap();
        require(call.is_some(), || format!("P2: the network was asked for a call nobody intended: {leg:?}"))?;
        attempt(world, leg.at, leg.to, leg.call_id, Some(leg.contact_id)).await?;
        of_number.entry(leg.to).or_default().push((leg.at, *end));
    }
    for spans in of_number.values_mut() {
        spans.sort();
        let apart = spans.windows(2).all(|pair| pair[0].1 <= pair[1].0 + skew);
        require(apart, || format!("P2: two live calls to one number: {spans:?}"))?;
        require(spans.len() <= CAP, || format!("P1: over the lifetime cap: {spans:?}"))?;
    }
    let mut changes: Vec<(_, i64)> =
        history.iter().flat_map(|(leg, end)| [(leg.at, 1), (*end, -1)]).collect();
    changes.sort();
    let most = changes.iter().scan(0, |live, (_, change)| {
        *live += change;
        Some(*live)
    });
    let most = most.max().unwrap_or(0);
    require(most <= i64::from(CONCURRENCY), || format!("P3: {most} calls at once"))
}

/// P1: an attempt inside the window, and not after its number was suppressed.
async fn attempt(
    world: &World,
    at: DateTime<Utc>,
    to: E164,
    id: CallId,
    contact: Option<ContactId>,
) -> Result<(), String> {
    let skew = TimeDelta::seconds(2 * world.storm.skew_seconds);
    let contact = contact.unwrap_or_else(|| panic!("{id} is of a contact"));
    let contact = world.storage.ledger.contact(contact).await.unwrap().unwrap();
    for zone in contact.zones.zones.iter() {
        let inside = |at: DateTime<Utc>| {
            let time = at.with_timezone(&zone).time();
            time >= NaiveTime::from_hms_opt(9, 0, 0).unwrap()
                && time < NaiveTime::from_hms_opt(20, 30, 0).unwrap()
        };
        let near = inside(at) || inside(at + skew) || inside(at - skew);
        require(near, || format!("P1: {id} outside the window of {zone}, at {at}"))?;
    }
    for (number, suppressed_at, live) in &world.suppressed {
        let after = to == *number && at > *suppressed_at && !live.contains(&id);
        require(!after, || {
            format!("P1: {id} at {at}, after its suppression was acknowledged at {suppressed_at}")
        })?;
    }
    Ok(())
}

/// The messages of campaigns that the gateway took; those that confirm an opt-out are not of a campaign.
async fn messages(world: &World) -> Vec<SentMessage> {
    let sent = world.gateway.sent().into_iter();
    sent.filter(|message| !is_confirmation(message)).collect()
}

fn is_confirmation(message: &SentMessage) -> bool {
    message.text.expose().contains("no more messages")
}

/// Whether another message or call of the contact came after this one, so that its outcome tells of that.
async fn is_followed(contact: &Contact, world: &World, id: CallId) -> bool {
    let calls = world.storage.ledger.calls_of(&[contact.id]).await.unwrap();
    calls.last().is_some_and(|last| last.id != id)
}

async fn ledger_call(world: &World, id: CallId) -> Option<Call> {
    world.storage.ledger.call(id).await.unwrap()
}

/// P2, P4: each message is sent once, what is told of it is what became of it, and who says STOP is suppressed.
async fn fates(world: &World) -> Result<(), String> {
    let mut seen = HashSet::new();
    for message in world.gateway.sent() {
        require(seen.insert(message.id), || format!("P2: {} was sent twice", message.id))?;
    }
    let mut taken = HashSet::new();
    for id in world.mailbox.taken.lock().unwrap().iter() {
        require(taken.insert(*id), || format!("P2: the letter {id} was sent twice"))?;
    }
    let mut confirmed = HashSet::new();
    for message in world.gateway.sent().iter().filter(|message| is_confirmation(message)) {
        require(confirmed.insert(message.to), || format!("P2: STOP was confirmed twice: {message:?}"))?;
    }
    for sent in messages(world).await {
        let Some(call) = ledger_call(world, sent.id).await else { continue };
        let message = call.detail.message.ok_or_else(|| format!("P4: {} is no message", sent.id))?;
        if let Some(delivery) = message.delivery.filter(|delivery| delivery.state.is_final()) {
            let told = delivery.state;
            require(told == sent.fate, || {
                format!("P4: {} is told to be {told}, and is {}", sent.id, sent.fate)
            })?;
        }
        // The gateway can be asked by our id, so the end is the same without any webhook.
        let contact = world.storage.ledger.contact(call.contact_id).await.unwrap().unwrap();
        if let ContactState::Settled { outcome: Outcome::Unknown, .. } = contact.status.state {
            let found =
                world.storm.phones.lookup == Lookup::ByCallId && !is_followed(&contact, world, sent.id).await;
            require(!found, || format!("P4: {} is {}, and its contact unknown", sent.id, sent.fate))?;
        }
        for reply in message.replies.iter().filter(|reply| reply.text.expose().contains("Stop")) {
            let facts = world.storage.ledger.number_facts(call.org_id, sent.to, reply.at).await.unwrap();
            require(facts.suppression.is_some(), || {
                format!("P1: STOP in answer to {} was not heard", sent.id)
            })?;
        }
    }
    Ok(())
}

/// P4, P5: every leg is accounted for, every contact and call has ended, the counts add up.
async fn ends(world: &World) -> Result<(), String> {
    let ledger = &world.storage.ledger;
    let run = ledger.run(world.run_id).await.unwrap().unwrap();
    require(run.state == RunState::Completed, || format!("P5: the run is {}", run.state))?;
    let query = ContactQuery { run_id: world.run_id, number: None, after: None, limit: usize::MAX };
    let contacts = ledger.contacts(query).await.unwrap();
    require(contacts.len() as u64 == CONTACTS, || "P5: contacts were lost".into())?;
    let (mut outcomes, mut dispositions) = (BTreeMap::new(), BTreeMap::new());
    let mut placed = HashMap::new();
    for contact in &contacts {
        match contact.status.state {
            ContactState::Settled { outcome, .. } => *outcomes.entry(outcome).or_insert(0) += 1,
            other => return Err(format!("P5: a contact has no outcome: {other:?}")),
        }
        for call in ledger.calls_of(&[contact.id]).await.unwrap() {
            let Some(disposition) = call.disposition() else {
                return Err(format!("P5: a call has no disposition: {call:?}"));
            };
            *dispositions.entry(disposition).or_insert(0) += 1;
            placed.insert(call.id, disposition);
        }
    }
    let tally = ledger.tally(world.run_id).await.unwrap();
    require(tally.outcomes == outcomes, || format!("P5: {:?} are not {outcomes:?}", tally.outcomes))?;
    let counted = tally.dispositions == dispositions;
    require(counted, || format!("P5: {:?} are not {dispositions:?}", tally.dispositions))?;
    let mut seen: HashSet<CallId> = world.network.history().into_iter().map(|(leg, _)| leg.call_id).collect();
    seen.extend(world.gateway.sent().into_iter().map(|message| message.id));
    seen.extend(world.mailbox.taken.lock().unwrap().iter());
    for (id, disposition) in &placed {
        let rang = seen.contains(id);
        let expected = disposition.is_attempt();
        // A call given up as unknown may or may not have rung; every other word must be true.
        require(rang == expected || *disposition == Disposition::Unknown, || {
            format!("P4: call {id} is {disposition}, and the network saw it: {rang}")
        })?;
    }
    Ok(())
}

/// P4: with a blob store, every call is logged there as it is archived.
async fn call_logs(world: &World) -> Result<(), String> {
    if world.storm.blobs.is_none() {
        return Ok(());
    }
    let archived = world.storage.archive.archived_calls(world.run_id, None, usize::MAX).await.unwrap();
    let legs = world.network.legs();
    require(archived.len() >= legs, || format!("P4: {} calls are archived of {legs}", archived.len()))?;
    for call in archived {
        let path = Path::from(call.call_log.clone().unwrap_or_default());
        let log = world.blobs.get(&path).await.map_err(|error| format!("P4: {error}"))?;
        let log: ArchivedCall = serde_json::from_slice(&log.bytes().await.unwrap()).unwrap();
        require(log == call, || format!("P4: {path} is not what was archived"))?;
    }
    Ok(())
}

/// P7: the journal is gapless, tells each end once, and no end is changed.
fn journal(world: &World) -> Result<(), String> {
    let mut last: HashMap<Aggregate, u64> = HashMap::new();
    let mut ended: HashMap<CallId, Disposition> = HashMap::new();
    let mut settled: HashMap<Aggregate, u64> = HashMap::new();
    for entry in world.journal() {
        let sequence = last.entry(entry.aggregate).or_default();
        *sequence += 1;
        require(entry.sequence == *sequence, || format!("P7: a gap in the journal before {entry:?}"))?;
        match entry.event {
            Event::CallEnded { call_id, disposition, .. } => {
                let again = ended.insert(call_id, disposition);
                require(again.is_none(), || format!("P5: call {call_id} ended twice"))?;
            }
            Event::ContactSettled { .. } => {
                let times = settled.entry(entry.aggregate).or_default();
                *times += 1;
                require(*times == 1, || format!("P5: settled twice: {:?}", entry.aggregate))?;
            }
            _ => {}
        }
    }
    require(settled.len() as u64 == CONTACTS, || "P7: an outcome is not in the journal".into())?;
    Ok(())
}
