//! The journal: `journal`, `journal_feed`, `cursor`, `save_cursor`.

use super::whole::whole_feed;
use super::{Scene, assert_whole, defer, journal_of};
use crate::domain::{Aggregate, Contact, Event, JournalEntry};
use crate::policy::NumberFacts;
use crate::storage::{JournalCursor, Storage, StorageErrorKind};
use crate::testkit::build::{self, TICK, second, start};

/// Entries of an aggregate come in order, page by page.
pub async fn journal_of_an_aggregate_comes_page_by_page(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    for round in 0..6 {
        let put_off =
            |contact: &Contact, _: &NumberFacts| defer(contact, second(round + 1), second(round) + TICK);
        storage.ledger.begin_calls(scene.request_at(second(round)), &put_off).await.unwrap();
    }
    let aggregate = Aggregate::Contact(scene.contact_id(1));
    let pages =
        [(0, 3, vec![1, 2, 3]), (3, 3, vec![4, 5, 6]), (6, 3, vec![7]), (7, 3, vec![]), (99, 3, vec![])];
    for (after, limit, expected) in pages {
        let page = storage.ledger.journal(aggregate, after, limit).await.unwrap();
        assert_eq!(page.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), expected);
        assert!(page.iter().all(|entry| entry.aggregate == aggregate));
    }
    let entry = storage.ledger.journal(aggregate, 1, 1).await.unwrap().remove(0);
    assert_eq!(entry.at, start() + TICK);
    assert_eq!(journal_of(storage, Aggregate::Contact(scene.contact_id(9))).await, []);
    assert_whole(storage, scene.run.id).await;
}

/// The instant of the latest entry is told; an empty journal has none.
pub async fn the_latest_entry_tells_its_instant(storage: &Storage) {
    assert_eq!(storage.ledger.last_entry_at().await.unwrap(), None);
    let scene = Scene::active(storage, 1, 1).await;
    let put_off = |contact: &Contact, _: &NumberFacts| defer(contact, second(9), second(5) + TICK);
    storage.ledger.begin_calls(scene.request_at(second(5)), &put_off).await.unwrap();
    assert_eq!(storage.ledger.last_entry_at().await.unwrap(), Some(second(5) + TICK));
}

/// Aggregates of different kinds are told apart even if their ids are equal.
pub async fn kinds_of_aggregates_are_told_apart(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let id = scene.run.id.as_uuid();
    for aggregate in [
        Aggregate::Organization(crate::domain::OrgId::from_uuid(id)),
        Aggregate::Campaign(crate::domain::CampaignId::from_uuid(id)),
        Aggregate::Contact(crate::domain::ContactId::from_uuid(id)),
    ] {
        assert_eq!(journal_of(storage, aggregate).await, [], "{}", aggregate.kind());
    }
    assert!(!journal_of(storage, Aggregate::Run(scene.run.id)).await.is_empty());
}

/// Entries of a campaign are added once, however often they are told, and stand in its journal and in the feed.
pub async fn entries_of_campaigns_are_added_once(storage: &Storage) {
    let campaign = build::campaign(build::org_id(1), 1);
    let aggregate = Aggregate::Campaign(campaign.id);
    let entry = |sequence: u64, by: &str| JournalEntry {
        org_id: campaign.org_id,
        aggregate,
        sequence,
        at: second(1) + TICK,
        event: Event::CampaignRevised {
            version: u32::try_from(sequence).unwrap(),
            by: Some(by.to_owned()),
            prompt: Some(build::UNICODE.into()),
            prompt_changed: true,
        },
    };
    let add = async |entries| storage.ledger.add_entries(entries).await.unwrap();
    add(Vec::new()).await;
    add(vec![entry(1, "a")]).await;
    add(vec![entry(1, "b"), entry(2, "b"), entry(3, "b")]).await;
    add(vec![entry(3, "c")]).await;
    let told = [entry(1, "a"), entry(2, "b"), entry(3, "b")];
    assert_eq!(journal_of(storage, aggregate).await, told);
    assert_eq!(storage.ledger.journal(aggregate, 1, 1).await.unwrap(), told[1..2]);
    assert_eq!(feed(storage, None, 10).await, told);
}

/// Several who tell the same at once tell it once.
pub async fn entries_of_campaigns_told_at_once_are_added_once(storage: &Storage) {
    let campaign = build::campaign(build::org_id(1), 1);
    let aggregate = Aggregate::Campaign(campaign.id);
    let entry = JournalEntry {
        org_id: campaign.org_id,
        aggregate,
        sequence: 1,
        at: start(),
        event: Event::CampaignRevised { version: 1, by: None, prompt: None, prompt_changed: false },
    };
    crate::testkit::at_once(8, |_| {
        let (storage, entry) = (storage.clone(), entry.clone());
        async move { crate::testkit::patiently(|| storage.ledger.add_entries(vec![entry.clone()])).await.unwrap() }
    })
    .await;
    assert_eq!(journal_of(storage, aggregate).await, std::slice::from_ref(&entry));
    assert_eq!(feed(storage, None, 10).await, [entry]);
}

/// Entries of aggregates whose state the ledger keeps come with that state, and not by themselves.
pub async fn entries_of_other_aggregates_are_refused(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let campaign = Aggregate::Campaign(scene.run.campaign_id);
    for aggregate in [
        Aggregate::Organization(scene.run.org_id),
        Aggregate::Run(scene.run.id),
        Aggregate::Contact(scene.contact_id(1)),
    ] {
        let entry = |aggregate| JournalEntry {
            org_id: scene.run.org_id,
            aggregate,
            sequence: 9,
            at: start(),
            event: Event::CampaignRevised { version: 9, by: None, prompt: None, prompt_changed: false },
        };
        let before = journal_of(storage, aggregate).await;
        let told = storage.ledger.add_entries(vec![entry(campaign), entry(aggregate)]).await;
        assert_eq!(told.unwrap_err().kind, StorageErrorKind::Refused);
        assert_eq!(journal_of(storage, aggregate).await, before);
        assert_eq!(journal_of(storage, campaign).await, []);
    }
}

/// Following the cursors gives every entry once, those of one aggregate in order, whatever the size of the pages.
pub async fn feed_gives_every_entry_once(storage: &Storage) {
    let scene = Scene::active(storage, 1, 5).await;
    let call = scene.begin_all(storage).await.remove(0);
    storage.ledger.suppress(vec![build::suppression(call.org_id, call.number)]).await.unwrap();
    let all = feed(storage, None, 1_000).await;
    assert_eq!(all.len(), 1 + 3 + 5 + 5 + 1, "run, contacts, intents, suppression");
    for limit in [1, 2, 7, 15] {
        assert_eq!(feed(storage, None, limit).await, all, "in pages of {limit}");
    }
    let by_aggregate = whole_feed(storage).await;
    for (aggregate, entries) in &by_aggregate {
        super::whole::assert_gapless(entries, entries.len() as u64);
        assert_eq!(journal_of(storage, *aggregate).await, *entries);
    }
    assert_eq!(by_aggregate.len(), 1 + 5 + 1);
    assert_eq!(all[0].event, Event::RunCreated);
}

/// The end of the feed is a place too: what is written later comes after it, and a place can be read again.
pub async fn feed_goes_on_where_it_ended(storage: &Storage) {
    let empty = storage.ledger.journal_feed(None, 10).await.unwrap();
    assert_eq!(empty.entries, []);
    let scene = Scene::active(storage, 1, 1).await;
    let first = storage.ledger.journal_feed(Some(empty.next), 10).await.unwrap();
    assert_eq!(first.entries.len(), 5);
    let end = storage.ledger.journal_feed(Some(first.next.clone()), 10).await.unwrap();
    assert_eq!(end.entries, []);
    scene.begin_all(storage).await;
    for place in [first.next, end.next] {
        for _ in 0..2 {
            let page = storage.ledger.journal_feed(Some(place.clone()), 10).await.unwrap();
            assert_eq!(
                page.entries.iter().map(|entry| entry.event.name()).collect::<Vec<_>>(),
                ["call_intended"]
            );
        }
    }
}

/// A reader's place is kept under its name.
pub async fn cursors_are_kept_by_reader(storage: &Storage) {
    Scene::active(storage, 1, 3).await;
    let first = storage.ledger.journal_feed(None, 2).await.unwrap().next;
    let later = storage.ledger.journal_feed(Some(first.clone()), 2).await.unwrap().next;
    assert_ne!(first, later);
    let readers = ["publisher", "Publisher", "", build::UNICODE];
    for reader in readers {
        assert_eq!(storage.ledger.cursor(reader).await.unwrap(), None);
        storage.ledger.save_cursor(reader, first.clone()).await.unwrap();
        assert_eq!(storage.ledger.cursor(reader).await.unwrap(), Some(first.clone()));
    }
    storage.ledger.save_cursor("publisher", later.clone()).await.unwrap();
    assert_eq!(storage.ledger.cursor("publisher").await.unwrap(), Some(later.clone()));
    assert_eq!(storage.ledger.cursor("Publisher").await.unwrap(), Some(first.clone()));
    storage.ledger.save_cursor("publisher", first.clone()).await.unwrap();
    assert_eq!(storage.ledger.cursor("publisher").await.unwrap(), Some(first), "a reader may go back");
    let page = storage.ledger.journal_feed(Some(later), 100).await.unwrap();
    assert_eq!(page.entries.len(), 7 - 4);
}

async fn feed(storage: &Storage, from: Option<JournalCursor>, limit: usize) -> Vec<JournalEntry> {
    let (mut entries, mut after) = (Vec::new(), from);
    loop {
        let page = storage.ledger.journal_feed(after, limit).await.unwrap();
        assert!(page.entries.len() <= limit);
        if page.entries.is_empty() {
            return entries;
        }
        entries.extend(page.entries);
        after = Some(page.next);
    }
}
