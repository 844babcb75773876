//! Contacts: `add_contacts`, `contact`, `contacts`, `tally`, `settle_waiting`.

use std::collections::BTreeMap;

use super::{Scene, assert_whole, journal_of};
use crate::domain::{
    Aggregate, Contact, ContactState, ContactStatus, Event, Outcome, Priority, Run, RunState, RunTally,
};
use crate::machine::RunInput;
use crate::storage::{
    BeginCalls, ContactQuery, RunChange, RunFacts, SettleWaiting, Storage, StorageErrorKind,
};
use crate::testkit::build::{self, TICK, second, start};

/// An added contact is kept as it was given, to the byte and to the microsecond, with its first entry.
pub async fn added_contact_is_kept_with_its_first_entry(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let mut contact = build::rich_contact(&scene.run, 1_048_576);
    contact.priority = Priority::LAST;
    contact.status = ContactStatus::new(second(5) + TICK);
    let now = second(9) + TICK;
    assert_eq!(storage.ledger.add_contacts(vec![contact.clone()], now).await.unwrap(), 1);

    contact.status.sequence = 1;
    let kept = storage.ledger.contact(contact.id).await.unwrap().expect("it was added");
    assert_eq!(kept.variables.expose(), contact.variables.expose(), "variables to the byte");
    assert_eq!(kept.person.first_name.as_ref().map(|name| name.expose().as_str()), Some(build::UNICODE));
    assert_eq!(
        kept.external_id.as_ref().map(|id| id.expose()),
        contact.external_id.as_ref().map(|id| id.expose())
    );
    assert_eq!(kept, contact);
    let entries = journal_of(storage, Aggregate::Contact(contact.id)).await;
    let told: Vec<_> = entries.iter().map(|e| (e.org_id, e.sequence, e.at, e.event.clone())).collect();
    assert_eq!(told, [(contact.org_id, 1, now, Event::ContactImported { row: 1_048_576 })]);
    assert_eq!(storage.ledger.contact(scene.contact_id(2)).await.unwrap(), None, "a contact nobody added");
    assert_whole(storage, scene.run.id).await;
}

/// Contacts whose id exists are left as they are, also in the middle of a call, and also within one batch.
pub async fn adding_contacts_twice_adds_none(storage: &Storage) {
    let scene = Scene::active(storage, 1, 3).await;
    let begun = scene.begin(storage, BeginCalls { calls_max: 1, ..scene.request() }).await;
    assert_eq!(begun.calls.len(), 1);
    let called = scene.contact(storage, 1).await;
    let repeated: Vec<Contact> = build::contacts(&scene.run, 4)
        .into_iter()
        .map(|contact| Contact { priority: Priority::FIRST, ..contact })
        .collect();
    assert_eq!(
        storage.ledger.add_contacts(repeated.clone(), second(60)).await.unwrap(),
        1,
        "only row 4 is new"
    );
    assert_eq!(storage.ledger.add_contacts(repeated, second(60)).await.unwrap(), 0);
    assert_eq!(scene.contact(storage, 1).await, called);
    assert_eq!(scene.contact(storage, 2).await.priority, Priority::default());
    assert_eq!(journal_of(storage, Aggregate::Contact(scene.contact_id(2))).await.len(), 1);

    let twice = vec![build::contact(&scene.run, 5), build::contact(&scene.run, 5)];
    assert_eq!(storage.ledger.add_contacts(twice, start()).await.unwrap(), 1);
    assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap().contacts(), 5);
    assert_whole(storage, scene.run.id).await;
}

/// A batch with a contact of a run that does not exist adds none of its contacts.
pub async fn batch_with_an_unknown_run_adds_none(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let unknown = build::draft(&scene.campaign, 9);
    let batch =
        vec![build::contact(&scene.run, 2), build::contact(&unknown, 1), build::contact(&scene.run, 3)];
    let error = storage.ledger.add_contacts(batch, start()).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
    for id in [scene.contact_id(2), scene.contact_id(3), build::contact(&unknown, 1).id] {
        assert_eq!(storage.ledger.contact(id).await.unwrap(), None);
        assert_eq!(journal_of(storage, Aggregate::Contact(id)).await, []);
    }
    assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap().contacts(), 1);
    assert_whole(storage, scene.run.id).await;
}

/// A run that is over takes no contacts: nobody would settle them. A batch with one for it adds none.
pub async fn run_that_is_over_takes_no_contacts(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let other = scene.sibling(storage, 2, 0).await;
    for state in RunState::ALL {
        let set = |run: &Run, _: &RunFacts| {
            Ok(RunChange { run: Run { state, ..run.clone() }, events: vec![], at: start() })
        };
        storage.ledger.change_run(scene.run.id, &set).await.unwrap();
        let row = 2 + state as u64;
        let batch = vec![build::contact(&other.run, row), build::contact(&scene.run, row)];
        let added = storage.ledger.add_contacts(batch, start()).await;
        if state.is_final() {
            assert_eq!(added.unwrap_err().kind, StorageErrorKind::Refused, "a run that is {state}");
        } else {
            assert_eq!(added.unwrap(), 2, "a run that is {state}");
        }
        for id in [scene.contact_id(row), other.contact_id(row)] {
            assert_eq!(storage.ledger.contact(id).await.unwrap().is_some(), !state.is_final());
        }
    }
    assert_whole(storage, other.run.id).await;
}

/// One batch may add contacts to several runs, and an empty one adds none.
pub async fn batch_may_add_to_several_runs(storage: &Storage) {
    let one = Scene::active(storage, 1, 0).await;
    let other = Scene::active(storage, 2, 0).await;
    assert_eq!(storage.ledger.add_contacts(Vec::new(), start()).await.unwrap(), 0);
    let batch = vec![build::contact(&one.run, 1), build::contact(&other.run, 1), build::contact(&one.run, 2)];
    assert_eq!(storage.ledger.add_contacts(batch, start()).await.unwrap(), 3);
    assert_eq!(storage.ledger.tally(one.run.id).await.unwrap().waiting, 2);
    assert_eq!(storage.ledger.tally(other.run.id).await.unwrap().waiting, 1);
    assert_whole(storage, one.run.id).await;
    assert_whole(storage, other.run.id).await;
}

/// A batch of 2,000 contacts is added as one.
pub async fn large_batch_of_contacts_is_added(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let batch: Vec<_> = (1..=2_000).map(|row| build::rich_contact(&scene.run, row)).collect();
    assert_eq!(storage.ledger.add_contacts(batch.clone(), start()).await.unwrap(), 2_000);
    assert_eq!(storage.ledger.add_contacts(batch, start()).await.unwrap(), 0);
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!(tally, RunTally { waiting: 2_000, ..RunTally::default() });
    assert_whole(storage, scene.run.id).await;
}

/// Contacts of a run are found in the order of their ids, page by page, also by number.
pub async fn contacts_are_found_page_by_page(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    Scene::active(storage, 2, 3).await;
    let shared = build::number(42);
    let mut batch = build::contacts(&scene.run, 7);
    batch.reverse();
    for contact in &mut batch {
        if contact.row % 3 == 1 {
            contact.number = shared;
        }
    }
    scene.add(storage, batch).await;
    let all = || ContactQuery { run_id: scene.run.id, number: None, after: None, limit: 100 };
    let expect = async |query: ContactQuery, rows: &[u64]| {
        let found = storage.ledger.contacts(query.clone()).await.unwrap();
        assert_eq!(found.iter().map(|contact| contact.row).collect::<Vec<_>>(), rows, "{query:?}");
        assert!(found.iter().all(|contact| contact.run_id == query.run_id));
    };
    let after = |row| Some(scene.contact_id(row));
    expect(all(), &[1, 2, 3, 4, 5, 6, 7]).await;
    expect(ContactQuery { limit: 3, ..all() }, &[1, 2, 3]).await;
    expect(ContactQuery { limit: 3, after: after(3), ..all() }, &[4, 5, 6]).await;
    expect(ContactQuery { limit: 3, after: after(6), ..all() }, &[7]).await;
    expect(ContactQuery { limit: 3, after: after(7), ..all() }, &[]).await;
    expect(ContactQuery { number: Some(shared), ..all() }, &[1, 4, 7]).await;
    expect(ContactQuery { number: Some(shared), limit: 1, after: after(1), ..all() }, &[4]).await;
    expect(ContactQuery { number: Some(shared), limit: 1, after: after(7), ..all() }, &[]).await;
    expect(ContactQuery { number: Some(build::number(43)), ..all() }, &[]).await;
    expect(ContactQuery { run_id: build::run_id(9), ..all() }, &[]).await;
}

/// There is no tally of a run that does not exist.
pub async fn tally_of_an_unknown_run_is_not_found(storage: &Storage) {
    let error = storage.ledger.tally(build::run_id(1)).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
}

/// Waiting contacts of a run that is not completing are not settled: it may dial again.
pub async fn waiting_contacts_of_a_run_that_may_dial_are_not_settled(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    for state in RunState::ALL.into_iter().filter(|state| *state != RunState::Completing) {
        let set = |run: &Run, _: &RunFacts| {
            Ok(RunChange { run: Run { state, ..run.clone() }, events: vec![], at: start() })
        };
        storage.ledger.change_run(scene.run.id, &set).await.unwrap();
        let settled = storage.ledger.settle_waiting(settling(&scene, 100)).await.unwrap();
        assert_eq!(settled, 0, "a run that is {state}");
    }
    let unknown = SettleWaiting { run_id: build::run_id(9), ..settling(&scene, 100) };
    assert_eq!(storage.ledger.settle_waiting(unknown).await.unwrap(), 0, "a run nobody created");
    assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap().waiting, 2);
}

/// Waiting contacts of a run that ends are settled in batches, with one entry each; calls under way go on.
pub async fn waiting_contacts_of_a_run_that_ends_are_settled_in_batches(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let mut batch = build::contacts(&scene.run, 8);
    batch[0].priority = Priority::FIRST;
    batch[6].status = ContactStatus::new(second(1_000_000));
    batch[7].priority = Priority::LAST;
    scene.add(storage, batch).await;
    let begun = scene.begin(storage, BeginCalls { calls_max: 1, ..scene.request() }).await;
    assert_eq!(begun.calls[0].1.row, 1);
    scene.step(storage, RunInput::Cancel).await.unwrap();

    for expected in [3, 3, 1, 0] {
        assert_eq!(storage.ledger.settle_waiting(settling(&scene, 3)).await.unwrap(), expected);
        assert_whole(storage, scene.run.id).await;
    }
    let at = second(77) + TICK;
    for row in 2..=8 {
        let contact = scene.contact(storage, row).await;
        let settled = ContactState::Settled { outcome: Outcome::Cancelled, exclusion: None, at };
        assert_eq!((contact.status.state, contact.status.sequence), (settled, 2));
        let entry = journal_of(storage, Aggregate::Contact(contact.id)).await.pop().unwrap();
        let event = Event::ContactSettled {
            outcome: Outcome::Cancelled,
            exclusion: None,
            rule: "run_state".into(),
            reason: "the run was cancelled".into(),
        };
        assert_eq!((entry.sequence, entry.at, entry.event), (2, at, event));
    }
    assert!(matches!(scene.contact(storage, 1).await.status.state, ContactState::Calling { .. }));
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.waiting, tally.calling), (0, 1));
    assert_eq!(tally.outcomes, BTreeMap::from([(Outcome::Cancelled, 7)]));
}

fn settling(scene: &Scene, limit: usize) -> SettleWaiting {
    SettleWaiting {
        run_id: scene.run.id,
        outcome: Outcome::Cancelled,
        rule: "run_state",
        reason: "the run was cancelled",
        now: second(77) + TICK,
        limit,
    }
}
