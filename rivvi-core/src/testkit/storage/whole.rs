//! Recounting a run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::domain::{
    Aggregate, Call, CallId, Contact, ContactId, ContactState, Disposition, E164, Event, JournalEntry,
    Medium, RunId, RunState, RunTally,
};
use crate::storage::{ContactQuery, Storage};

/// Contacts or entries read at once.
const PAGE: usize = 500;

/// Recounts a run and asserts that the store is whole: that all its answers about the run agree, and that they keep
/// the promises.
///
/// - Every contact waits, is called or is settled; it is called exactly if one of its calls is live, and by that one.
/// - The live calls of the run are the calls of its contacts that have not ended, no two of them to one number.
/// - [`Ledger::tally`](crate::storage::Ledger::tally) is what counting contacts and calls gives.
/// - The journal of the run and of each contact is gapless, begins with the import, ends at the sequence number in
///   the status, has one intent per call and one end per ended call; and the feed of all entries has it too.
/// - Every call that may have rung is among the attempts at its number.
/// - Somebody will look: a live call has an instant at which it is looked after, and
///   [`Ledger::next_due`](crate::storage::Ledger::next_due) is not later than what is due first.
///
/// Nothing else may write to the run meanwhile, and it must not be purged.
///
/// # Panics
/// If one of these does not hold.
pub async fn assert_whole(storage: &Storage, run_id: RunId) {
    let run = storage.ledger.run(run_id).await.unwrap().expect("the run exists");
    let contacts = all_contacts(storage, run_id).await;
    let calls = calls_of(storage, &contacts).await;
    let mut journal = whole_feed(storage).await;

    let run_entries = journal.remove(&Aggregate::Run(run_id)).unwrap_or_default();
    assert_gapless(&run_entries, run.sequence);
    assert_eq!(run_entries.first().map(|entry| &entry.event), Some(&Event::RunCreated));

    let mut tally = RunTally::default();
    let mut live = BTreeSet::new();
    let mut numbers: BTreeMap<E164, Vec<&Call>> = BTreeMap::new();
    for contact in &contacts {
        let own = calls.get(&contact.id).map(Vec::as_slice).unwrap_or_default();
        assert_contact(contact, own);
        assert_entries(contact, own, &journal.remove(&Aggregate::Contact(contact.id)).unwrap_or_default());
        tally.enter(&contact.status.state);
        own.iter().filter_map(Call::disposition).for_each(|disposition| tally.end_call(disposition));
        live.extend(own.iter().filter(|call| call.is_live()).map(|call| call.id));
        numbers.entry(contact.number).or_default().extend(own);
    }
    assert_eq!(all_live_calls(storage, run_id).await, live, "live_calls lists the calls that have not ended");
    assert_tally(&storage.ledger.tally(run_id).await.unwrap(), &tally, contacts.len());
    if matches!(run.state, RunState::Completed | RunState::Cancelled) {
        assert_eq!((tally.waiting, tally.calling), (0, 0), "a run that is over has only settled contacts");
    }
    for (number, calls) in numbers {
        assert_number(storage, run.org_id, number, &calls).await;
    }
    assert_next_due(storage, run_id, &contacts, &calls).await;
}

/// All journal entries of an aggregate, in order.
pub async fn journal_of(storage: &Storage, aggregate: Aggregate) -> Vec<JournalEntry> {
    let mut entries: Vec<JournalEntry> = Vec::new();
    loop {
        let after = entries.last().map_or(0, |entry| entry.sequence);
        let page = storage.ledger.journal(aggregate, after, PAGE).await.unwrap();
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

/// Every entry of the feed, by aggregate, those of one aggregate in the order of the feed.
pub(super) async fn whole_feed(storage: &Storage) -> BTreeMap<Aggregate, Vec<JournalEntry>> {
    let mut by_aggregate: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = storage.ledger.journal_feed(after, PAGE).await.unwrap();
        if page.entries.is_empty() {
            return by_aggregate;
        }
        for entry in page.entries {
            by_aggregate.entry(entry.aggregate).or_default().push(entry);
        }
        after = Some(page.next);
    }
}

/// Asserts that the sequence numbers are 1 to `last`.
pub(super) fn assert_gapless(entries: &[JournalEntry], last: u64) {
    let sequences: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
    let expected: Vec<u64> = (1..=last).collect();
    assert_eq!(sequences, expected, "sequence numbers have no gaps and end where the aggregate says");
}

async fn all_contacts(storage: &Storage, run_id: RunId) -> Vec<Contact> {
    let mut contacts: Vec<Contact> = Vec::new();
    loop {
        let after = contacts.last().map(|contact| contact.id);
        let query = ContactQuery { run_id, number: None, after, limit: PAGE };
        let page = storage.ledger.contacts(query).await.unwrap();
        if page.is_empty() {
            return contacts;
        }
        contacts.extend(page);
    }
}

async fn calls_of(storage: &Storage, contacts: &[Contact]) -> BTreeMap<ContactId, Vec<Call>> {
    let mut calls: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for chunk in contacts.chunks(PAGE) {
        let ids: Vec<ContactId> = chunk.iter().map(|contact| contact.id).collect();
        for call in storage.ledger.calls_of(&ids).await.unwrap() {
            calls.entry(call.contact_id).or_default().push(call);
        }
    }
    calls
}

async fn all_live_calls(storage: &Storage, run_id: RunId) -> BTreeSet<CallId> {
    let mut live = BTreeSet::new();
    loop {
        let page = storage.ledger.live_calls(run_id, live.last().copied(), PAGE).await.unwrap();
        if page.is_empty() {
            return live;
        }
        for call in page {
            assert!(call.is_live(), "{} has ended and is listed as live", call.id);
            assert!(live.insert(call.id), "{} is listed twice", call.id);
        }
    }
}

fn assert_contact(contact: &Contact, calls: &[Call]) {
    let id = contact.id;
    let live: Vec<CallId> = calls.iter().filter(|call| call.is_live()).map(|call| call.id).collect();
    match contact.status.state {
        ContactState::Calling { call_id } => assert_eq!(live, [call_id], "{id} is called by its live call"),
        _ => assert_eq!(live, [], "{id} is not called and has no live call"),
    }
    for call in calls {
        let belongs = (call.contact_id, call.run_id, call.org_id, call.number);
        assert_eq!(
            belongs,
            (id, contact.run_id, contact.org_id, contact.number),
            "{} belongs to {id}",
            call.id
        );
        assert_eq!(call.is_live(), call.ended_at.is_none(), "{} has ended if it says when", call.id);
        assert_eq!(call.is_live(), call.check_at.is_some(), "{} is looked after while it is live", call.id);
    }
    let counted = calls.iter().filter(|call| may_have_rung(call)).count();
    assert_eq!(contact.status.attempts as usize, counted, "{id} counts the calls that may have rung");
}

fn may_have_rung(call: &Call) -> bool {
    call.medium() != Medium::Email && call.disposition().is_none_or(Disposition::is_attempt)
}

fn assert_entries(contact: &Contact, calls: &[Call], entries: &[JournalEntry]) {
    let id = contact.id;
    assert_gapless(entries, contact.status.sequence);
    assert!(
        entries.iter().all(|entry| entry.org_id == contact.org_id),
        "entries of {id} name its organization"
    );
    let first = entries.first().map(|entry| &entry.event);
    assert_eq!(
        first,
        Some(&Event::ContactImported { row: contact.row }),
        "the journal of {id} begins with it"
    );
    let intended = entries.iter().filter_map(|entry| match entry.event {
        Event::CallIntended { call_id, .. } => Some(call_id),
        _ => None,
    });
    let begun: BTreeSet<CallId> = calls.iter().map(|call| call.id).collect();
    assert_eq!(intended.clone().count(), calls.len(), "{id} has one intent per call");
    assert_eq!(intended.collect::<BTreeSet<_>>(), begun, "{id} has the intents of its calls");
    for call in calls {
        let ends = entries.iter().filter_map(|entry| match entry.event {
            Event::CallEnded { call_id, disposition, .. } if call_id == call.id => Some(disposition),
            _ => None,
        });
        let told: Vec<Disposition> = ends.collect();
        assert_eq!(
            told,
            call.disposition().into_iter().collect::<Vec<_>>(),
            "the end of {} is told once",
            call.id
        );
    }
    let settled = entries.iter().filter(|entry| matches!(entry.event, Event::ContactSettled { .. })).count();
    let is_settled = matches!(contact.status.state, ContactState::Settled { .. });
    assert_eq!(settled, usize::from(is_settled), "{id} is settled at most once, and its journal says so");
}

fn assert_tally(told: &RunTally, counted: &RunTally, contacts: usize) {
    let counts = |tally: &RunTally| {
        let outcomes: BTreeMap<_, _> = tally.outcomes.clone().into_iter().filter(|(_, n)| *n > 0).collect();
        let exclusions: BTreeMap<_, _> =
            tally.exclusions.clone().into_iter().filter(|(_, n)| *n > 0).collect();
        let ends: BTreeMap<_, _> = tally.dispositions.clone().into_iter().filter(|(_, n)| *n > 0).collect();
        (tally.waiting, tally.calling, outcomes, exclusions, ends)
    };
    assert_eq!(counts(told), counts(counted), "the tally is what counting gives");
    assert!(told.live_calls_max >= counted.calling, "the most calls live at once were no fewer than now");
    assert!(told.live_calls_max <= contacts as u64, "no contact has two live calls");
}

async fn assert_number(storage: &Storage, org_id: crate::domain::OrgId, number: E164, calls: &[&Call]) {
    let now = calls.iter().map(|call| call.intended_at).max().unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
    let facts = storage.ledger.number_facts(org_id, number, now).await.unwrap();
    assert!(facts.attempts.is_sorted(), "attempts ascend");
    let mut attempts = facts.attempts.clone();
    for call in calls.iter().filter(|call| may_have_rung(call)) {
        let place = attempts.iter().position(|at| *at == call.intended_at);
        let place = place.unwrap_or_else(|| panic!("{} is an attempt at its number", call.id));
        attempts.remove(place);
    }
    let live: Vec<CallId> = calls.iter().filter(|call| call.is_live()).map(|call| call.id).collect();
    assert!(live.len() <= 1, "a number has at most one live call, not {live:?}");
    if let Some(id) = live.first() {
        assert_eq!(facts.live_call, Some(*id), "the number's live call is known");
    }
    if let Some(id) = facts.live_call {
        let known = storage.ledger.call(id).await.unwrap().expect("the number's live call exists");
        assert!(known.is_live() && known.number == number, "the number's live call {id} is one");
    }
}

async fn assert_next_due(
    storage: &Storage,
    run_id: RunId,
    contacts: &[Contact],
    calls: &BTreeMap<ContactId, Vec<Call>>,
) {
    let waiting = contacts.iter().filter_map(|contact| match contact.status.state {
        ContactState::Waiting { due_at } => Some(due_at),
        _ => None,
    });
    let checks = calls.values().flatten().filter_map(|call| call.check_at);
    if let Some(first) = waiting.chain(checks).min() {
        let told = storage.ledger.next_due(&[run_id]).await.unwrap();
        assert!(told.is_some_and(|told| told <= first), "something is due at {first}, not first at {told:?}");
    }
}
