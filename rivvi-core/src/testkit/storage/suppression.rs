//! The suppression list: `suppress`, `release`, `suppressions`.

use super::{Scene, assert_whole, journal_of};
use crate::domain::{
    Aggregate, ContactState, Disposition, E164, Event, Exclusion, OrgId, Outcome, Suppression,
    SuppressionSource,
};
use crate::provider::CallEvent;
use crate::storage::{BeginCalls, Storage};
use crate::testkit::build::{self, TICK, second, start, told};

async fn entry_of(storage: &Storage, org_id: OrgId, number: E164) -> Option<Suppression> {
    storage.ledger.number_facts(org_id, number, start()).await.unwrap().suppression
}

/// An entry is kept as it was given, with an entry in the organization's journal.
pub async fn suppressed_number_is_on_the_list(storage: &Storage) {
    let org_id = build::org_id(1);
    let entries: Vec<_> = [
        (SuppressionSource::OptOut, None),
        (SuppressionSource::Admin, Some(second(60) + TICK)),
        (SuppressionSource::Import, Some(second(-60))),
        (SuppressionSource::Compliance, None),
    ]
    .into_iter()
    .zip(1..)
    .map(|((source, expires_at), n)| Suppression {
        source,
        expires_at,
        reason: build::UNICODE.into(),
        added_at: second(-90) + TICK,
        ..build::suppression(org_id, build::number(n))
    })
    .collect();
    assert_eq!(storage.ledger.suppress(Vec::new()).await.unwrap(), []);
    assert_eq!(storage.ledger.suppress(entries.clone()).await.unwrap(), []);
    assert_eq!(storage.ledger.suppressions(org_id, None, 100).await.unwrap(), entries);
    for entry in &entries {
        assert_eq!(entry_of(storage, org_id, entry.number).await.as_ref(), Some(entry));
    }
    let journal = journal_of(storage, Aggregate::Organization(org_id)).await;
    assert_eq!(journal.len(), entries.len());
    for ((entry, written), sequence) in entries.into_iter().zip(journal).zip(1..) {
        assert_eq!((written.sequence, written.org_id), (sequence, org_id));
        assert_eq!(written.event, Event::NumberSuppressed { suppression: entry });
    }
}

/// A number that is on the list already keeps the earlier start and the later end, and gets the newer reason.
pub async fn suppressing_again_keeps_the_earlier_start_and_the_later_end(storage: &Storage) {
    let org_id = build::org_id(1);
    let entry = |number, added_at, expires_at: Option<i64>, reason: &str| Suppression {
        added_at: second(added_at),
        expires_at: expires_at.map(second),
        reason: reason.into(),
        ..build::suppression(org_id, build::number(number))
    };
    let cases = [
        (entry(1, 10, Some(60), "a"), entry(1, 20, Some(90), "b")),
        (entry(2, 20, Some(90), "a"), entry(2, 10, Some(60), "b")),
        (entry(3, 10, None, "a"), entry(3, 20, Some(90), "b")),
        (entry(4, 10, Some(60), "a"), entry(4, 20, None, "b")),
        (entry(5, 10, Some(60), "a"), entry(5, 10, Some(60), "a")),
    ];
    for (known, newer) in &cases {
        storage.ledger.suppress(vec![known.clone()]).await.unwrap();
        storage.ledger.suppress(vec![newer.clone()]).await.unwrap();
        let merged = entry_of(storage, org_id, known.number).await.expect("it is on the list");
        assert_eq!(merged, known.merged_with(newer));
        assert_eq!((merged.added_at, merged.reason.as_str()), (second(10), newer.reason.as_str()));
    }
    let both = vec![entry(6, 20, Some(60), "a"), entry(6, 10, Some(90), "b")];
    storage.ledger.suppress(both).await.unwrap();
    assert_eq!(entry_of(storage, org_id, build::number(6)).await, Some(entry(6, 10, Some(90), "b")));
    assert_eq!(storage.ledger.suppressions(org_id, None, 100).await.unwrap().len(), 6);
    assert_eq!(journal_of(storage, Aggregate::Organization(org_id)).await.len(), 12, "one entry each");
}

/// Suppressing tells which calls to the numbers are live already, of the organization and in whatever run.
pub async fn suppressing_tells_which_calls_are_live(storage: &Storage) {
    let one = Scene::active(storage, 1, 3).await;
    let other = one.sibling(storage, 2, 1).await;
    let stranger = Scene::active(storage, 3, 1).await;
    let mut calls = one.begin_all(storage).await;
    calls.extend(other.begin_all(storage).await);
    let foreign = stranger.begin_all(storage).await.remove(0);
    let ended = CallEvent::Ended { disposition: Disposition::NoAnswer, reason: None, talk_time: None };
    one.apply_all(storage, vec![told(&calls[0], ended)]).await;

    let org_id = one.organization.id;
    let mut entries: Vec<_> = calls.iter().map(|call| build::suppression(org_id, call.number)).collect();
    entries.push(build::suppression(org_id, build::number(1)));
    entries.push(build::suppression(org_id, foreign.number));
    let mut live = storage.ledger.suppress(entries).await.unwrap();
    live.sort();
    let mut expected: Vec<_> = calls[1..].iter().map(|call| call.id).collect();
    expected.sort();
    assert_eq!(live, expected);
    for scene in [&one, &other, &stranger] {
        assert_whole(storage, scene.run.id).await;
    }
}

/// A number suppressed between the calls of a run is not called, though its contact was due all the time.
pub async fn number_suppressed_between_calls_is_not_called(storage: &Storage) {
    let scene = Scene::active(storage, 1, 3).await;
    let first = scene.begin_by_policy(storage, BeginCalls { calls_max: 1, ..scene.request() }).await;
    assert_eq!(first.calls[0].1.row, 1);
    let numbers = [1, 2].map(|row| build::contact(&scene.run, row).number);
    let entries = numbers.map(|number| build::suppression(scene.organization.id, number));
    let live = storage.ledger.suppress(entries.into()).await.unwrap();
    assert_eq!(live, [first.calls[0].0.id]);
    let rest = scene.begin_by_policy(storage, scene.request()).await;
    assert_eq!(rest.calls.iter().map(|(_, contact)| contact.row).collect::<Vec<_>>(), [3]);
    let (outcome, exclusion) = (Outcome::Excluded, Some(Exclusion::Suppressed));
    let settled = ContactState::Settled { outcome, exclusion, at: start() };
    assert_eq!(scene.contact(storage, 2).await.status.state, settled);
    assert_whole(storage, scene.run.id).await;
}

/// A released number is off the list, with an entry in the journal; releasing what is not on it tells so.
pub async fn released_number_may_be_called(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let (org_id, number) = (scene.organization.id, build::contact(&scene.run, 1).number);
    let at = second(7) + TICK;
    assert!(!storage.ledger.release(org_id, number, at).await.unwrap());
    storage.ledger.suppress(vec![build::suppression(org_id, number)]).await.unwrap();
    assert!(
        !storage.ledger.release(build::org_id(2), number, at).await.unwrap(),
        "the list of another organization"
    );
    assert!(storage.ledger.release(org_id, number, at).await.unwrap());
    assert!(!storage.ledger.release(org_id, number, at).await.unwrap());
    assert_eq!(entry_of(storage, org_id, number).await, None);
    assert_eq!(storage.ledger.suppressions(org_id, None, 100).await.unwrap(), []);
    let journal = journal_of(storage, Aggregate::Organization(org_id)).await;
    assert_eq!(journal.len(), 2, "only what happened is told");
    let last = &journal[1];
    assert_eq!((last.sequence, last.at, &last.event), (2, at, &Event::NumberReleased { number }));
    assert_eq!(journal_of(storage, Aggregate::Organization(build::org_id(2))).await, []);
    assert_eq!(scene.begin_by_policy(storage, scene.request()).await.calls.len(), 1);
    assert_whole(storage, scene.run.id).await;
}

/// A number suppressed again after its release starts anew.
pub async fn number_suppressed_after_its_release_starts_anew(storage: &Storage) {
    let (org_id, number) = (build::org_id(1), build::number(1));
    storage.ledger.suppress(vec![build::suppression(org_id, number)]).await.unwrap();
    storage.ledger.release(org_id, number, second(5)).await.unwrap();
    let entry = Suppression {
        added_at: second(9),
        expires_at: Some(second(60)),
        ..build::suppression(org_id, number)
    };
    storage.ledger.suppress(vec![entry.clone()]).await.unwrap();
    assert_eq!(entry_of(storage, org_id, number).await, Some(entry));
}

/// The list comes in the order of the numbers as numbers, page by page, lapsed entries included.
pub async fn suppression_list_comes_page_by_page(storage: &Storage) {
    let org_id = build::org_id(1);
    // In the order of the texts, +9725… would come after +1555… and +442….
    let digits =
        [9_725_012_345, 15_551_234_567, 442_071_234_567, 9_725_012_346, 999_999_999_999_999, 1_234_567];
    let entries: Vec<_> = digits
        .iter()
        .map(|digits| Suppression {
            expires_at: (digits % 2 == 0).then(|| second(-1)),
            ..build::suppression(org_id, E164::from_digits(*digits).unwrap())
        })
        .collect();
    storage.ledger.suppress(entries.clone()).await.unwrap();
    storage.ledger.suppress(vec![build::suppression(build::org_id(2), build::number(1))]).await.unwrap();
    let mut sorted = entries;
    sorted.sort_by_key(|entry| entry.number);
    let mut after = None;
    for page in [&sorted[..2], &sorted[2..4], &sorted[4..], &[]] {
        let found = storage.ledger.suppressions(org_id, after, 2).await.unwrap();
        assert_eq!(found, page);
        after = found.last().map(|entry| entry.number).or(after);
    }
    assert_eq!(
        storage.ledger.suppressions(org_id, E164::from_digits(15_551_234_568), 1).await.unwrap(),
        sorted[4..5]
    );
}

/// A batch of 2,000 entries is written as one.
pub async fn large_batch_of_suppressions_is_written(storage: &Storage) {
    let org_id = build::org_id(1);
    let entries: Vec<_> = (0..2_000).map(|n| build::suppression(org_id, build::number(n))).collect();
    storage.ledger.suppress(entries.clone()).await.unwrap();
    assert_eq!(storage.ledger.suppressions(org_id, None, 3_000).await.unwrap(), entries);
    let journal = journal_of(storage, Aggregate::Organization(org_id)).await;
    super::whole::assert_gapless(&journal, 2_000);
}
