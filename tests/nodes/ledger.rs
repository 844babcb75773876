//! What the ledger says of the run, beside the network log.

use std::collections::{HashMap, HashSet};

use rivvi::domain::{
    Aggregate, Call, CallId, Contact, ContactId, ContactState, Disposition, Event, Exclusion, JournalEntry,
    Run, RunState,
};
use rivvi::providers::Leg;
use rivvi::storage::{ContactQuery, RunQuery, Storage};
use serde_json::Value;

/// The ledger agrees with the network log, with itself, and with what the nodes said at the end.
pub(crate) async fn check(storage: &Storage, rows: u64, suppressed: u64, legs: &[Leg], results: &[Value]) {
    let runs = storage.ledger.runs(RunQuery::default()).await.unwrap();
    assert_eq!(runs.len(), 1, "the nodes made one run");
    let run = &runs[0];
    assert_eq!(storage.catalog.organizations(None, 10).await.unwrap().len(), 1);
    assert_eq!(storage.catalog.campaigns(run.org_id, None, 10).await.unwrap().len(), 1);

    let (mut contacts, mut calls, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let query = ContactQuery { run_id: run.id, number: None, after, limit: 1_000 };
        let some = storage.ledger.contacts(query).await.unwrap();
        let ids: Vec<ContactId> = some.iter().map(|contact| contact.id).collect();
        let Some(last) = ids.last() else { break };
        after = Some(*last);
        calls.extend(storage.ledger.calls_of(&ids).await.unwrap());
        contacts.extend(some);
    }
    check_run(storage, run).await;
    check_contacts(storage, &contacts, rows).await;
    check_calls(&calls, legs);
    check_counts(storage, run, &calls, rows, suppressed).await;
    let placed = legs.len();
    for result in results {
        assert_eq!(result["run_id"], run.id.to_string());
        assert_eq!(result["status"], "completed");
        assert_eq!(result["imported"], rows);
        assert_eq!(result["calls_placed"], placed, "{result}");
    }
}

/// It was started once and completed once, and archived.
async fn check_run(storage: &Storage, run: &Run) {
    assert_eq!(run.state, RunState::Completed);
    let journal = journal(storage, Aggregate::Run(run.id)).await;
    let entered = |state: RunState| {
        journal
            .iter()
            .filter(|entry| matches!(entry.event, Event::RunChanged { to, .. } if to == state))
            .count()
    };
    for state in [RunState::Ready, RunState::Active, RunState::Completing, RunState::Completed] {
        assert_eq!(entered(state), 1, "how often the run became {state}");
    }
    assert!(storage.archive.report(run.id).await.unwrap().is_some());
}

/// Each row is a contact, and each contact has one outcome.
async fn check_contacts(storage: &Storage, contacts: &[Contact], rows: u64) {
    let read: HashSet<u64> = contacts.iter().map(|contact| contact.row).collect();
    assert_eq!((contacts.len() as u64, read.len() as u64), (rows, rows));
    for contact in contacts {
        assert!(
            matches!(contact.status.state, ContactState::Settled { .. }),
            "row {} has no outcome",
            contact.row
        );
        let journal = journal(storage, Aggregate::Contact(contact.id)).await;
        let settled =
            journal.iter().filter(|entry| matches!(entry.event, Event::ContactSettled { .. })).count();
        assert_eq!(settled, 1, "outcomes of row {}", contact.row);
        assert_eq!(contact.status.sequence, journal.len() as u64);
    }
}

/// Each call that was an attempt has its leg and no other has one; each attempt at a contact has one leg.
fn check_calls(calls: &[Call], legs: &[Leg]) {
    let mut leg_of: HashMap<CallId, &Leg> = legs.iter().map(|leg| (leg.call_id, leg)).collect();
    let mut attempts = HashSet::new();
    for call in calls {
        let disposition = call.disposition().expect("a call is still live");
        let leg = leg_of.remove(&call.id);
        assert_eq!(leg.is_some(), disposition.is_attempt(), "call {}: {disposition}", call.id);
        assert_ne!(disposition, Disposition::Unknown, "call {} could have been looked up", call.id);
        if let Some(leg) = leg {
            assert_eq!((leg.contact_id, leg.to), (call.contact_id, call.number));
            assert!(
                attempts.insert((call.contact_id, call.attempt)),
                "two legs for one attempt: call {}",
                call.id
            );
        }
    }
    assert!(leg_of.is_empty(), "{} legs without a call", leg_of.len());
}

/// The counts add up.
async fn check_counts(storage: &Storage, run: &Run, calls: &[Call], rows: u64, suppressed: u64) {
    let tally = storage.ledger.tally(run.id).await.unwrap();
    assert_eq!((tally.waiting, tally.calling, tally.settled()), (0, 0, rows));
    assert_eq!(tally.dispositions.values().sum::<u64>(), calls.len() as u64);
    assert_eq!(tally.exclusions.get(&Exclusion::Suppressed).copied(), Some(suppressed));
}

async fn journal(storage: &Storage, aggregate: Aggregate) -> Vec<JournalEntry> {
    let entries = storage.ledger.journal(aggregate, 0, 10_000).await.unwrap();
    assert!((1..).zip(&entries).all(|(sequence, entry)| entry.sequence == sequence), "a gap in the journal");
    entries
}
