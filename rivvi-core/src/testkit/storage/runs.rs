//! Runs: `create_run`, `run`, `runs`, `change_run`, `purge_run`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Scene, assert_whole, journal_of};
use crate::domain::{
    Aggregate, CampaignDefinition, Disposition, Ending, Event, Outcome, Run, RunState, RunTally,
};
use crate::machine::{RunInput, step_run};
use crate::provider::{CallEvent, CallRef};
use crate::storage::{
    Applied, ContactQuery, RunChange, RunFacts, RunQuery, SettleWaiting, Storage, StorageError,
    StorageErrorKind,
};
use crate::testkit::build::{self, second, start};

/// A created run is kept as it was given, with its first entry and an empty tally.
pub async fn created_run_is_kept_with_its_first_entry(storage: &Storage) {
    let campaign = build::campaign(build::org_id(1), 1);
    let draft = Run { created_at: second(7) + build::TICK, ..build::draft(&campaign, 1) };
    let created = storage.ledger.create_run(draft.clone()).await.unwrap();
    assert_eq!(created, Run { sequence: 1, ..draft });
    assert_eq!(storage.ledger.run(created.id).await.unwrap(), Some(created.clone()));

    let entries = journal_of(storage, Aggregate::Run(created.id)).await;
    let told: Vec<_> = entries.iter().map(|e| (e.org_id, e.sequence, e.at, e.event.clone())).collect();
    assert_eq!(told, [(created.org_id, 1, created.created_at, Event::RunCreated)]);
    assert_eq!(storage.ledger.tally(created.id).await.unwrap(), RunTally::default());
    assert_eq!(storage.ledger.run(build::run_id(2)).await.unwrap(), None, "a run nobody created");
    assert_whole(storage, created.id).await;
}

/// Creating a run with a key that its campaign has gives the run that has it, as it stands, and changes nothing.
pub async fn creating_a_run_twice_gives_the_first(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    let again = Run { key: scene.run.key.clone(), ..build::draft(&scene.campaign, 2) };
    assert_eq!(storage.ledger.create_run(again.clone()).await.unwrap(), scene.run);
    assert_eq!(storage.ledger.run(again.id).await.unwrap(), None);
    assert_eq!(journal_of(storage, Aggregate::Run(again.id)).await, []);
    assert_eq!(storage.ledger.run(scene.run.id).await.unwrap(), Some(scene.run.clone()));
    assert_whole(storage, scene.run.id).await;
}

/// A key tells runs of one campaign apart; another campaign may have a run of the same key.
pub async fn run_keys_are_of_their_campaign(storage: &Storage) {
    let (one, other) = (build::campaign(build::org_id(1), 1), build::campaign(build::org_id(1), 2));
    let key = build::UNICODE.to_owned();
    let first = Run { key: key.clone(), ..build::draft(&one, 1) };
    let of_other = Run { key: key.clone(), ..build::draft(&other, 2) };
    let longer = Run { key: format!("{key} "), ..build::draft(&one, 3) };
    for run in [first, of_other, longer] {
        assert_eq!(storage.ledger.create_run(run.clone()).await.unwrap(), Run { sequence: 1, ..run });
    }
}

/// Everything a run can hold comes back as it was given.
pub async fn every_field_of_a_run_is_kept(storage: &Storage) {
    let definition = CampaignDefinition::from_toml(&format!(
        r#"
        name = '''{name}'''
        channel = "hybrid"
        required_fields = ["email", "שם"]
        variables = {{ "a.b" = "ü", "" = "" }}
        zone_policy = "organization_fallback"
        windows = [{{ days = ["mon", "sun"], from = "09:00", to = "20:30" }}]
        caps = {{ lifetime = 9, per_day = 2, rolling = {{ attempts = 3, hours = 24 }} }}
        limits = {{ concurrent_calls = 7, calls_per_second = 0.25 }}
        call = {{ ring_timeout = "25s", max_duration = "9m 1ms" }}
        run = {{ start = "2030-01-07T09:00:00.000001Z", end_after = "1d", at_end = "let_finish" }}
        "#,
        name = build::UNICODE.replace(['\n', '\t'], " "),
    ))
    .unwrap();
    let mut campaign = build::campaign(build::org_id(1), 1);
    campaign.definition = definition;
    campaign.version = 41;
    let run = storage.ledger.create_run(build::draft(&campaign, 1)).await.unwrap();

    let full = Run {
        sheet: build::UNICODE.into(),
        state: RunState::Completing,
        ending: Some(Ending::EndTime),
        start_at: Some(second(-1) + build::TICK),
        started_at: Some(second(1) + build::TICK),
        ends_at: Some(second(2) + build::TICK),
        completing_since: Some(second(3) + build::TICK),
        finished_at: Some(second(4) + build::TICK),
        report: Some(Arc::new(build::import_report())),
        raw_file: Some("raw-uploads/1/2/3/20300107T090000Z.xlsx".into()),
        processed_file: Some("processed-data/1/2/3/data.json".into()),
        ..run
    };
    let change = |_: &Run, _: &RunFacts| Ok(RunChange { run: full.clone(), events: Vec::new(), at: start() });
    assert_eq!(storage.ledger.change_run(full.id, &change).await.unwrap(), full);
    assert_eq!(storage.ledger.run(full.id).await.unwrap(), Some(full.clone()));
    let found = storage.ledger.runs(RunQuery::default()).await.unwrap();
    assert_eq!(found, [full]);
}

/// Runs are found by organization, campaign and state, in the order of their ids, page by page.
pub async fn runs_are_found_page_by_page(storage: &Storage) {
    let campaigns = [(1, 1), (1, 2), (2, 3)].map(|(org, n)| build::campaign(build::org_id(org), n));
    for n in (1..=12).rev() {
        let run = build::draft(&campaigns[n as usize % 3], n);
        storage.ledger.create_run(run).await.unwrap();
    }
    let paused = |run: &Run, _: &RunFacts| {
        Ok(RunChange { run: Run { state: RunState::Paused, ..run.clone() }, events: vec![], at: start() })
    };
    for n in [2, 4, 8] {
        storage.ledger.change_run(build::run_id(n), &paused).await.unwrap();
    }
    let expect = async |query: RunQuery, numbers: &[u64]| {
        let found = storage.ledger.runs(query.clone()).await.unwrap();
        let ids: Vec<_> = found.iter().map(|run| run.id).collect();
        let expected: Vec<_> = numbers.iter().map(|n| build::run_id(*n)).collect();
        assert_eq!(ids, expected, "{query:?}");
    };
    let all = RunQuery::default;
    let org_1 = || RunQuery { org_id: Some(build::org_id(1)), ..all() };
    expect(all(), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).await;
    expect(RunQuery { limit: 5, ..all() }, &[1, 2, 3, 4, 5]).await;
    expect(RunQuery { limit: 5, after: Some(build::run_id(5)), ..all() }, &[6, 7, 8, 9, 10]).await;
    expect(RunQuery { limit: 5, after: Some(build::run_id(10)), ..all() }, &[11, 12]).await;
    expect(RunQuery { limit: 5, after: Some(build::run_id(12)), ..all() }, &[]).await;
    expect(org_1(), &[1, 3, 4, 6, 7, 9, 10, 12]).await;
    expect(RunQuery { campaign_id: Some(build::campaign_id(1)), ..all() }, &[3, 6, 9, 12]).await;
    expect(RunQuery { campaign_id: Some(build::campaign_id(3)), ..org_1() }, &[]).await;
    expect(RunQuery { states: vec![RunState::Paused], ..all() }, &[2, 4, 8]).await;
    expect(
        RunQuery { states: vec![RunState::Paused], limit: 1, after: Some(build::run_id(2)), ..all() },
        &[4],
    )
    .await;
    expect(RunQuery { states: vec![RunState::Paused, RunState::Active], ..org_1() }, &[4]).await;
    expect(
        RunQuery { states: vec![RunState::Paused, RunState::Draft], ..org_1() },
        &[1, 3, 4, 6, 7, 9, 10, 12],
    )
    .await;
}

/// A change of a run is committed with its entries.
pub async fn changed_run_is_committed_with_its_entries(storage: &Storage) {
    let scene = Scene::draft(storage, 1).await;
    let at = second(3) + build::TICK;
    let change = |run: &Run, _: &RunFacts| {
        let events = vec![
            Event::RunChanged {
                from: run.state,
                to: RunState::Failed,
                ending: None,
                reason: Some(build::UNICODE.into()),
            },
            Event::RunChanged {
                from: RunState::Failed,
                to: RunState::Processing,
                ending: None,
                reason: None,
            },
        ];
        let run = Run { state: RunState::Processing, sequence: run.sequence + 2, ..run.clone() };
        Ok(RunChange { run, events, at })
    };
    let changed = storage.ledger.change_run(scene.run.id, &change).await.unwrap();
    assert_eq!((changed.state, changed.sequence), (RunState::Processing, 3));
    assert_eq!(storage.ledger.run(changed.id).await.unwrap(), Some(changed.clone()));
    let entries = journal_of(storage, Aggregate::Run(changed.id)).await;
    let told: Vec<_> = entries.into_iter().skip(1).map(|e| (e.sequence, e.at, e.event)).collect();
    let expected = change(&scene.run, &RunFacts::default()).unwrap().events;
    assert_eq!(told, [(2, at, expected[0].clone()), (3, at, expected[1].clone())]);
    assert_whole(storage, changed.id).await;
}

/// An error of the change is returned as it is, and nothing changes.
pub async fn refused_change_of_a_run_changes_nothing(storage: &Storage) {
    let scene = Scene::active(storage, 1, 1).await;
    let before = journal_of(storage, Aggregate::Run(scene.run.id)).await;
    for kind in [StorageErrorKind::Refused, StorageErrorKind::NotFound, StorageErrorKind::Corrupt] {
        let refuse = |_: &Run, _: &RunFacts| {
            Err(StorageError::new(kind, "testkit", format!("no: {}", build::UNICODE)))
        };
        let error = storage.ledger.change_run(scene.run.id, &refuse).await.unwrap_err();
        assert_eq!((error.kind, error.operation), (kind, "testkit"));
        assert_eq!(error.context, format!("no: {}", build::UNICODE));
    }
    assert_eq!(storage.ledger.run(scene.run.id).await.unwrap(), Some(scene.run.clone()));
    assert_eq!(journal_of(storage, Aggregate::Run(scene.run.id)).await, before);
    assert_whole(storage, scene.run.id).await;
}

/// A run that does not exist cannot be changed, and is not asked about.
pub async fn change_of_an_unknown_run_is_not_found(storage: &Storage) {
    let asked = AtomicU32::new(0);
    let change = |run: &Run, _: &RunFacts| {
        asked.fetch_add(1, Ordering::Relaxed);
        Ok(RunChange { run: run.clone(), events: Vec::new(), at: start() })
    };
    let error = storage.ledger.change_run(build::run_id(1), &change).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
    assert!(!error.is_temporary());
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    assert_eq!(storage.ledger.run(build::run_id(1)).await.unwrap(), None);
}

/// The facts of a change count the other runs of the organization that are running, whatever their campaign.
pub async fn change_of_a_run_counts_the_others_that_are_running(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let count = async || {
        let seen = AtomicU32::new(u32::MAX);
        let look = |run: &Run, facts: &RunFacts| {
            seen.store(facts.others_running, Ordering::Relaxed);
            Ok(RunChange { run: run.clone(), events: Vec::new(), at: start() })
        };
        storage.ledger.change_run(scene.run.id, &look).await.unwrap();
        seen.into_inner()
    };
    assert_eq!(count().await, 0, "the run itself does not count");
    Scene::active(storage, 2, 0).await;
    assert_eq!(count().await, 0, "runs of other organizations do not count");
    let sibling = scene.sibling(storage, 3, 0).await;
    assert_eq!(count().await, 1);
    for (state, expected) in [
        (RunState::Draft, 0),
        (RunState::Processing, 0),
        (RunState::Ready, 0),
        (RunState::Scheduled, 0),
        (RunState::Active, 1),
        (RunState::Paused, 1),
        (RunState::Completing, 1),
        (RunState::Completed, 0),
        (RunState::Cancelled, 0),
        (RunState::Failed, 0),
    ] {
        let set = |run: &Run, _: &RunFacts| {
            Ok(RunChange { run: Run { state, ..run.clone() }, events: vec![], at: start() })
        };
        storage.ledger.change_run(sibling.run.id, &set).await.unwrap();
        assert_eq!(count().await, expected, "a run that is {state}");
    }
}

/// The facts of a change hold the counts of the run.
pub async fn change_of_a_run_sees_its_tally(storage: &Storage) {
    let scene = Scene::active(storage, 1, 3).await;
    let begun = scene.begin(storage, crate::storage::BeginCalls { calls_max: 2, ..scene.request() }).await;
    let ended = CallEvent::Ended { disposition: Disposition::AnsweredHuman, reason: None, talk_time: None };
    scene.apply_all(storage, vec![build::told(&begun.calls[0].0, ended)]).await;
    let expected = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((expected.waiting, expected.calling, expected.settled()), (1, 1, 1));
    let look = |run: &Run, facts: &RunFacts| {
        assert_eq!(facts.tally, expected);
        Ok(RunChange { run: run.clone(), events: Vec::new(), at: start() })
    };
    storage.ledger.change_run(scene.run.id, &look).await.unwrap();
    let refused = scene.step(storage, RunInput::Finish).await.unwrap_err();
    assert_eq!(refused.kind, StorageErrorKind::Refused);
    assert_whole(storage, scene.run.id).await;
}

/// The organization's places for active runs are not exceeded, and a place is free again when a run is over.
pub async fn runs_start_within_the_places_of_their_organization(storage: &Storage) {
    let scene = Scene::draft(storage, 1).await;
    let second_run = storage.ledger.create_run(build::draft(&scene.campaign, 2)).await.unwrap();
    let other = Scene { run: second_run, ..scene.clone() };
    let begin_import = [RunInput::BeginImport, RunInput::FinishImport(Arc::new(build::import_report()))];
    for input in &begin_import {
        scene.step(storage, input.clone()).await.unwrap();
        other.step(storage, input.clone()).await.unwrap();
    }
    let begin = RunInput::Start { active_runs_max: 1 };
    scene.step(storage, begin.clone()).await.unwrap();
    let error = other.step(storage, begin.clone()).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused);
    scene.step(storage, RunInput::Cancel).await.unwrap();
    assert!(
        other.step(storage, begin.clone()).await.is_err(),
        "a run that is completing still has its place"
    );
    scene.step(storage, RunInput::Finish).await.unwrap();
    assert_eq!(other.step(storage, begin).await.unwrap().state, RunState::Active);
    assert_whole(storage, scene.run.id).await;
    assert_whole(storage, other.run.id).await;
}

/// A run whose state is not final is not purged.
pub async fn only_a_run_that_is_over_is_purged(storage: &Storage) {
    let scene = Scene::active(storage, 1, 2).await;
    for state in RunState::ALL.into_iter().filter(|state| !state.is_done()) {
        let set = |run: &Run, _: &RunFacts| {
            Ok(RunChange { run: Run { state, ..run.clone() }, events: vec![], at: start() })
        };
        storage.ledger.change_run(scene.run.id, &set).await.unwrap();
        assert_eq!(storage.ledger.purge_run(scene.run.id, 100).await.unwrap(), 0, "a run that is {state}");
        assert_whole(storage, scene.run.id).await;
    }
    assert_eq!(storage.ledger.purge_run(build::run_id(9), 100).await.unwrap(), 0, "a run nobody created");
}

/// Purging removes contacts and calls in batches; run, tally, journal, attempts and suppression list stay.
pub async fn purging_removes_what_is_live_and_keeps_what_is_told(storage: &Storage) {
    let scene = Scene::active(storage, 1, 5).await;
    let bystander = scene.sibling(storage, 2, 2).await;
    let calls = scene.begin_all(storage).await;
    bystander.begin_all(storage).await;
    let accepted = CallEvent::Accepted { reference: Some("ref-1".into()) };
    scene.apply_all(storage, vec![build::told(&calls[0], accepted)]).await;
    let ended = CallEvent::Ended { disposition: Disposition::AnsweredHuman, reason: None, talk_time: None };
    scene.apply_all(storage, vec![build::told(&calls[0], CallEvent::OptOut)]).await;
    let inputs = calls.iter().map(|call| build::told(call, ended.clone())).collect();
    scene.apply_all(storage, inputs).await;
    scene.step(storage, RunInput::CheckSettled).await.unwrap();
    let run = scene.step(storage, RunInput::Finish).await.unwrap();
    assert_eq!(run.state, RunState::Completed);
    assert_whole(storage, run.id).await;

    let tally = storage.ledger.tally(run.id).await.unwrap();
    let contact_journal = journal_of(storage, Aggregate::Contact(scene.contact_id(1))).await;
    let run_journal = journal_of(storage, Aggregate::Run(run.id)).await;
    for expected in [2, 2, 1, 0] {
        assert_eq!(storage.ledger.purge_run(run.id, 2).await.unwrap(), expected);
    }
    let query = ContactQuery { run_id: run.id, number: None, after: None, limit: 100 };
    assert_eq!(storage.ledger.contacts(query).await.unwrap(), []);
    assert_eq!(storage.ledger.contact(scene.contact_id(1)).await.unwrap(), None);
    assert_eq!(storage.ledger.call(calls[0].id).await.unwrap(), None);
    assert_eq!(storage.ledger.calls_of(&[scene.contact_id(1)]).await.unwrap(), []);
    let by_reference = CallRef::Provider { provider: super::PROVIDER.into(), reference: "ref-1".into() };
    let late = build::told_of(by_reference, CallEvent::Ringing);
    assert_eq!(scene.apply(storage, vec![late]).await, [Applied::Unmatched]);

    assert_eq!(storage.ledger.run(run.id).await.unwrap(), Some(run.clone()));
    assert_eq!(storage.ledger.tally(run.id).await.unwrap(), tally);
    assert_eq!(journal_of(storage, Aggregate::Contact(scene.contact_id(1))).await, contact_journal);
    assert_eq!(journal_of(storage, Aggregate::Run(run.id)).await, run_journal);
    let facts = storage.ledger.number_facts(run.org_id, calls[0].number, start()).await.unwrap();
    assert_eq!((facts.attempts, facts.live_call), (vec![start()], None));
    assert!(facts.suppression.is_some());
    let again = Run { key: run.key.clone(), ..build::draft(&scene.campaign, 3) };
    assert_eq!(storage.ledger.create_run(again).await.unwrap(), run, "its key stays taken");
    assert_whole(storage, bystander.run.id).await;
}

/// A run that is over with contacts which never got a call is purged too.
pub async fn purging_removes_contacts_that_were_never_called(storage: &Storage) {
    let scene = Scene::active(storage, 1, 3).await;
    scene.step(storage, RunInput::Cancel).await.unwrap();
    let settle = SettleWaiting {
        run_id: scene.run.id,
        outcome: Outcome::Cancelled,
        rule: "run_state",
        reason: "the run was cancelled",
        now: start(),
        limit: 100,
    };
    assert_eq!(storage.ledger.settle_waiting(settle).await.unwrap(), 3);
    let run = scene.step(storage, RunInput::Finish).await.unwrap();
    assert_eq!(run.state, RunState::Cancelled);
    assert_eq!(storage.ledger.purge_run(run.id, 100).await.unwrap(), 3);
    assert_eq!(storage.ledger.next_due(&[run.id]).await.unwrap(), None);
    let change = |run: &Run, facts: &RunFacts| step_run(run, facts, &RunInput::Finish, second(1));
    assert_eq!(storage.ledger.change_run(run.id, &change).await.unwrap(), run, "it can still be asked about");
}
