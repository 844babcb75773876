//! What stays when a run is over: the verbs of [`Archive`](crate::storage::Archive).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Scene;
use crate::domain::{
    CallDetail, CallId, Disposition, Exclusion, MessageTally, Outcome, Person, PersonFields, PersonId,
    Personal, RunState, RunTally,
};
use crate::storage::{ArchivedCall, CampaignContext, Report, Storage};
use crate::testkit::build::{self, TICK, second};

fn person(org: u64, n: u64) -> Person {
    let (org_id, number, fields) = (build::org_id(org), build::number(n), build::person_fields());
    let id = PersonId::from_uuid(build::run_id(org * 1_000 + n).as_uuid());
    Person { id, org_id, hash: Person::hash_of(org_id, number, &fields), number, fields }
}

/// A person is kept as it was given.
pub async fn person_is_kept(storage: &Storage) {
    let known = person(1, 1);
    assert_eq!(storage.archive.people(known.org_id, None, 10).await.unwrap(), []);
    assert_eq!(storage.archive.add_people(vec![known.clone()]).await.unwrap(), [known.id]);
    let found = storage.archive.people(known.org_id, None, 10).await.unwrap().remove(0);
    assert_eq!(found.fields.first_name.as_ref().map(Personal::expose), Some(&build::UNICODE.to_owned()));
    assert_eq!(found, known);
    assert_eq!(storage.archive.add_people(Vec::new()).await.unwrap(), []);
}

/// A person with a known hash keeps the known id; number and fields that are set replace the known ones.
pub async fn person_with_a_known_hash_keeps_its_id(storage: &Storage) {
    let known = person(1, 1);
    storage.archive.add_people(vec![known.clone()]).await.unwrap();
    let email = Some(Personal::new("new@example.com".into()));
    let fields = PersonFields { email, ..PersonFields::default() };
    let newer =
        Person { id: person(1, 2).id, number: build::number(77), fields: fields.clone(), ..known.clone() };
    let other = person(1, 3);
    let ids = storage.archive.add_people(vec![other.clone(), newer]).await.unwrap();
    assert_eq!(ids, [other.id, known.id]);
    let expected = Person { number: build::number(77), fields: fields.or(&known.fields), ..known.clone() };
    assert_eq!(storage.archive.people(known.org_id, None, 10).await.unwrap(), [expected, other]);
}

/// Two people with one hash in one batch are one person.
pub async fn people_with_one_hash_in_one_batch_are_one(storage: &Storage) {
    let first = person(1, 1);
    let again = Person { id: person(1, 2).id, number: build::number(9), ..first.clone() };
    let ids = storage.archive.add_people(vec![first.clone(), again]).await.unwrap();
    assert_eq!(ids, [first.id, first.id]);
    let expected = Person { number: build::number(9), ..first.clone() };
    assert_eq!(storage.archive.people(first.org_id, None, 10).await.unwrap(), [expected]);
}

/// People of one organization are nothing to another, even with the same hash; they come page by page.
pub async fn people_come_page_by_page_and_by_organization(storage: &Storage) {
    let hash = "same".to_owned();
    let stranger = Person { hash: hash.clone(), ..person(2, 1) };
    assert_eq!(storage.archive.add_people(vec![stranger.clone()]).await.unwrap(), [stranger.id]);
    let mut people: Vec<_> = [4, 2, 5, 1, 3].map(|n| person(1, n)).into();
    people[0].hash = hash;
    storage.archive.add_people(people.clone()).await.unwrap();
    people.sort_by_key(|person| person.id);
    let mut after = None;
    for page in [&people[..2], &people[2..4], &people[4..], &[]] {
        let found = storage.archive.people(build::org_id(1), after, 2).await.unwrap();
        assert_eq!(found, page);
        after = found.last().map(|person| person.id).or(after);
    }
    assert_eq!(storage.archive.people(build::org_id(2), None, 10).await.unwrap(), [stranger]);
}

/// Finished calls are kept as they were given, replaced by id, and come page by page.
pub async fn archived_calls_are_kept_and_replaced(storage: &Storage) {
    let scene = Scene::active(storage, 1, 5).await;
    let other = scene.sibling(storage, 2, 1).await;
    let archived =
        |call: crate::domain::Call| ArchivedCall { person_id: person(1, 1).id, call, call_log: None };
    let mut calls: Vec<_> = scene.begin_all(storage).await.into_iter().map(archived).collect();
    let of_other: Vec<_> = other.begin_all(storage).await.into_iter().map(archived).collect();
    storage.archive.add_calls(calls.iter().rev().chain(&of_other).cloned().collect()).await.unwrap();
    storage.archive.add_calls(Vec::new()).await.unwrap();

    calls[2].person_id = person(1, 2).id;
    calls[2].call.ended_at = Some(second(9) + TICK);
    calls[2].call.state = crate::domain::CallState::Ended { disposition: Disposition::Rejected };
    calls[2].call.detail =
        CallDetail { transcript: Some(Personal::new(build::UNICODE.into())), ..CallDetail::default() };
    storage.archive.add_calls(vec![calls[2].clone()]).await.unwrap();

    calls.sort_by_key(|archived| archived.call.id);
    let mut after = None;
    for page in [&calls[..2], &calls[2..4], &calls[4..], &[]] {
        let found = storage.archive.archived_calls(scene.run.id, after, 2).await.unwrap();
        assert_eq!(found, page);
        after = found.last().map(|archived| archived.call.id).or(after);
    }
    assert_eq!(storage.archive.archived_calls(other.run.id, None, 10).await.unwrap(), of_other);
    assert_eq!(storage.archive.archived_calls(build::run_id(9), None, 10).await.unwrap(), []);
}

/// What was archived stays when the run is purged.
pub async fn archived_calls_outlive_their_run(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let call = scene.begin_all(storage).await.remove(0);
    let ended = crate::provider::CallEvent::Ended {
        disposition: Disposition::AnsweredHuman,
        reason: None,
        talk_time: None,
    };
    scene.apply_all(storage, vec![build::told(&call, ended)]).await;
    let call = scene.call(storage, call.id).await;
    let archived = ArchivedCall {
        call,
        person_id: person(1, 1).id,
        call_log: Some("call-logs/1/2/processed/3-formatted.json".into()),
    };
    storage.archive.add_calls(vec![archived.clone()]).await.unwrap();
    scene.step(storage, crate::machine::RunInput::CheckSettled).await.unwrap();
    scene.step(storage, crate::machine::RunInput::Finish).await.unwrap();
    assert_eq!(storage.ledger.purge_run(scene.run.id, 10).await.unwrap(), 1);
    assert_eq!(storage.archive.archived_calls(scene.run.id, None, 10).await.unwrap(), [archived]);
}

/// A call in which a person called back is kept as it was given, beside the one it answers, and is found by itself.
pub async fn inbound_call_is_kept_with_what_it_answers(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let outbound = scene.begin_all(storage).await.remove(0);
    let reference = crate::provider::InboundRef {
        call_id: build::call_id(outbound.contact_id, 77),
        run_id: outbound.run_id,
        provider: crate::domain::ProviderName::new("elsewhere"),
    };
    let inbound = crate::machine::inbound_call(&outbound, &reference, second(3) + TICK);
    let person_id = person(1, 1).id;
    let archived = |call| ArchivedCall { call, person_id, call_log: None };
    let both = vec![archived(outbound.clone()), archived(inbound.clone())];
    storage.archive.add_calls(both).await.unwrap();
    let found = storage.archive.archived_calls(scene.run.id, None, 10).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.contains(&archived(inbound.clone())) && found.contains(&archived(outbound.clone())));
    assert_eq!(inbound.callback_for, Some(outbound.id));
    let before = CallId::from_uuid(uuid::Uuid::from_u128(inbound.id.as_uuid().as_u128() - 1));
    let alone = storage.archive.archived_calls(scene.run.id, Some(before), 1).await.unwrap();
    assert_eq!(alone, [archived(inbound)]);
}

/// A report is kept as it was given; putting it again replaces it.
pub async fn report_is_kept_and_replaced(storage: &Storage) {
    let report = Report {
        run_id: build::run_id(1),
        org_id: build::org_id(1),
        campaign: build::UNICODE.into(),
        state: RunState::Cancelled,
        started_at: Some(second(1) + TICK),
        finished_at: second(2) + TICK,
        import: Some(build::import_report()),
        tally: RunTally {
            waiting: 1,
            calling: 2,
            outcomes: Outcome::ALL.into_iter().zip(3..).collect(),
            exclusions: Exclusion::ALL.into_iter().zip(30..).collect(),
            dispositions: Disposition::ALL.into_iter().zip(300..).collect(),
            messages: MessageTally::from_counts([7, 6, 5, 4, 3, 2, 1]),
            live_calls_max: 9_007_199_254_740_993,
        },
    };
    assert_eq!(storage.archive.report(report.run_id).await.unwrap(), None);
    storage.archive.put_report(report.clone()).await.unwrap();
    assert_eq!(storage.archive.report(report.run_id).await.unwrap(), Some(report.clone()));
    let tally = RunTally { outcomes: BTreeMap::new(), ..RunTally::default() };
    let newer = Report { state: RunState::Completed, started_at: None, import: None, tally, ..report };
    storage.archive.put_report(newer.clone()).await.unwrap();
    assert_eq!(storage.archive.report(newer.run_id).await.unwrap(), Some(newer));
    assert_eq!(storage.archive.report(build::run_id(2)).await.unwrap(), None);
}

fn context(n: u64, created: i64) -> CampaignContext {
    let (run, known) = (build::run_id(n), person(1, n));
    let column = (build::UNICODE.to_owned(), build::UNICODE.to_owned());
    CampaignContext {
        org_id: build::org_id(1),
        campaign_id: build::campaign(build::org_id(1), n).id,
        person_id: known.id,
        run_id: run,
        number: build::number(1),
        data: Personal::new(Arc::new(BTreeMap::from([column]))),
        outcome: Some(Outcome::ALL[0]),
        last_call_id: Some(build::call_id(
            build::contact(&build::draft(&build::campaign(build::org_id(1), 1), n), 1).id,
            n,
        )),
        created_at: second(created) + TICK,
        expires_at: None,
    }
}

/// Contexts are kept as they were given, replaced by campaign and person, and found by number, the latest first.
pub async fn contexts_are_kept_replaced_and_found_by_number(storage: &Storage) {
    let (older, newer) = (context(1, 1), context(2, 2));
    let elsewhere = CampaignContext { number: build::number(2), ..context(3, 3) };
    let stranger = CampaignContext { org_id: build::org_id(2), ..context(4, 4) };
    let all = vec![older.clone(), newer.clone(), elsewhere.clone(), stranger.clone()];
    storage.archive.put_contexts(all).await.unwrap();
    storage.archive.put_contexts(Vec::new()).await.unwrap();
    let found = async |org, number| {
        storage.archive.contexts(build::org_id(org), build::number(number), second(9)).await.unwrap()
    };
    assert_eq!(found(1, 1).await, [newer.clone(), older.clone()]);
    assert_eq!(found(1, 2).await, [elsewhere]);
    assert_eq!(found(2, 1).await, [stranger]);
    assert_eq!(found(2, 2).await, []);

    let again = CampaignContext {
        outcome: None,
        last_call_id: None,
        number: build::number(5),
        created_at: second(8),
        expires_at: Some(second(10)),
        ..older
    };
    storage.archive.put_contexts(vec![again.clone()]).await.unwrap();
    assert_eq!(found(1, 1).await, [newer]);
    assert_eq!(found(1, 5).await, [again]);
}

/// A context that has lapsed is not told any more, and is removed when asked for.
pub async fn lapsed_contexts_are_left_out_and_purged(storage: &Storage) {
    let lapses = |n| CampaignContext { expires_at: Some(second(5)), ..context(n, 1) };
    let forever = context(9, 1);
    let contexts = [1, 2, 3].map(lapses).into_iter().chain([forever.clone()]).collect();
    storage.archive.put_contexts(contexts).await.unwrap();
    let count =
        async |at| storage.archive.contexts(build::org_id(1), build::number(1), at).await.unwrap().len();
    assert_eq!(count(second(5) - TICK).await, 4);
    assert_eq!(count(second(5)).await, 1);
    assert_eq!(storage.archive.purge_contexts(second(5) - TICK, 10).await.unwrap(), 0);
    assert_eq!(storage.archive.purge_contexts(second(5), 2).await.unwrap(), 2);
    assert_eq!(storage.archive.purge_contexts(second(5), 2).await.unwrap(), 1);
    assert_eq!(storage.archive.purge_contexts(second(1_000_000_000), 2).await.unwrap(), 0);
    assert_eq!(count(second(1)).await, 1);
}
