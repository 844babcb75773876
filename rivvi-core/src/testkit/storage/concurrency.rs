//! What must hold when several engines use one store at once, and when a caller goes away in the middle of a verb.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use super::whole::assert_gapless;
use super::{Scene, allow, assert_whole, by_policy, journal_of, settling};
use crate::domain::{
    Aggregate, Call, CallId, Campaign, Contact, ContactId, Disposition, Event, JournalEntry, Outcome, Run,
    RunState,
};
use crate::machine::{CallInput, RunInput, step_run};
use crate::provider::{CallEvent, CallRef};
use crate::storage::{
    Applied, ApplyCalls, BeginCalls, Begun, Limited, SettleWaiting, Storage, StorageError, StorageErrorKind,
    TakeItems, TakeOverdue,
};
use crate::testkit::build::{self, second, start, told, told_of};
use crate::testkit::{at_once, patiently};

const TASKS: usize = 8;

fn ended(disposition: Disposition) -> CallEvent {
    CallEvent::Ended { disposition, reason: None, talk_time: None }
}

/// As [`Scene::begin_by_policy`], repeated while the store is busy.
async fn begin(storage: &Storage, scene: &Scene, request: BeginCalls) -> Begun {
    let (terms, now) = (scene.terms(), request.now);
    let decide = by_policy(&terms, now);
    patiently(|| storage.ledger.begin_calls(request.clone(), &decide)).await.unwrap()
}

/// As [`Scene::apply`], repeated while the store is busy.
async fn apply(storage: &Storage, scene: &Scene, inputs: Vec<CallInput>) -> Vec<Applied> {
    let terms = scene.terms();
    let settle = settling(&terms, start());
    let request = ApplyCalls { inputs, now: start(), keep_unmatched_until: Some(second(900)) };
    patiently(|| storage.ledger.apply_calls(request.clone(), &settle)).await.unwrap()
}

/// Polls the future at most `polls` times and drops it then; the result if it was ready by then.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        let Some(rest) = left.checked_sub(1) else {
            return Poll::Ready(None);
        };
        left = rest;
        let polled = future.as_mut().poll(context).map(Some);
        if polled.is_pending() && left == 0 { Poll::Ready(None) } else { polled }
    })
    .await
}

/// Eight callers at once never have more live calls than the organization may, and never take a contact twice.
pub async fn concurrent_callers_keep_the_limit_and_share_the_contacts(storage: &Storage) {
    let scene = Scene::active(storage, 1, 200).await;
    let other = scene.sibling(storage, 2, 200).await;
    let (limit, rounds) = (37, 12);
    let taken = at_once(TASKS, |task| {
        let (storage, scene) = (storage.clone(), if task % 2 == 0 { scene.clone() } else { other.clone() });
        async move {
            let mut taken: Vec<ContactId> = Vec::new();
            for _ in 0..rounds {
                let request = BeginCalls { calls_max: 3, organization_limit: limit, ..scene.request() };
                let begun = begin(&storage, &scene, request).await;
                assert_ne!(begun.limited, Some(Limited::NothingDue));
                taken.extend(begun.calls.iter().map(|(_, contact)| contact.id));
            }
            taken
        }
    })
    .await
    .concat();
    assert_eq!(taken.len(), limit as usize, "all places are used, and no more");
    assert_eq!(taken.iter().collect::<BTreeSet<_>>().len(), taken.len(), "no contact is taken twice");
    let live = [scene.run.id, other.run.id].map(|run| storage.ledger.live_calls(run, None, 1_000));
    let [one, two] = live;
    assert_eq!(one.await.unwrap().len() + two.await.unwrap().len(), limit as usize);
    assert_whole(storage, scene.run.id).await;
    assert_whole(storage, other.run.id).await;
}

/// Callers that begin and end calls at once keep the limits at every moment and get through all contacts.
pub async fn concurrent_traffic_keeps_the_limits_and_the_counts(storage: &Storage) {
    let scene = Scene::active(storage, 1, 120).await;
    let limit = 10;
    let begun = at_once(TASKS, |_| {
        let (storage, scene) = (storage.clone(), scene.clone());
        async move {
            let mut begun: Vec<CallId> = Vec::new();
            loop {
                let request = BeginCalls { calls_max: 4, run_limit: Some(limit), ..scene.request() };
                let batch = begin(&storage, &scene, request).await;
                if batch.calls.is_empty() && batch.limited == Some(Limited::NothingDue) {
                    return begun;
                }
                let live = patiently(|| storage.ledger.live_calls(scene.run.id, None, 1_000)).await.unwrap();
                assert!(live.len() <= limit as usize, "{} live calls of {limit}", live.len());
                for (call, _) in &batch.calls {
                    let over =
                        vec![told(call, CallEvent::Ringing), told(call, ended(Disposition::AnsweredHuman))];
                    apply(&storage, &scene, over).await;
                }
                begun.extend(batch.calls.iter().map(|(call, _)| call.id));
                tokio::task::yield_now().await;
            }
        }
    })
    .await
    .concat();
    assert_eq!(begun.iter().collect::<BTreeSet<_>>().len(), begun.len());
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((begun.len(), tally.settled(), tally.calling), (120, 120, 0));
    assert!(tally.live_calls_max <= u64::from(limit));
    assert_eq!(tally.dispositions.get(&Disposition::AnsweredHuman), Some(&120));
    assert_whole(storage, scene.run.id).await;
}

/// Of runs of one organization that start at once, as many succeed as it has places.
pub async fn concurrent_starts_keep_the_places_of_the_organization(storage: &Storage) {
    let scene = Scene::draft(storage, 1).await;
    let mut runs = vec![scene.clone()];
    for n in 2..=TASKS as u64 {
        let run = storage.ledger.create_run(build::draft(&scene.campaign, n)).await.unwrap();
        runs.push(Scene { run, ..scene.clone() });
    }
    for run in &runs {
        run.step(storage, RunInput::BeginImport).await.unwrap();
        run.step(storage, RunInput::FinishImport(Arc::new(build::import_report()))).await.unwrap();
    }
    let results = at_once(TASKS, |task| {
        let (storage, id) = (storage.clone(), runs[task].run.id);
        async move {
            let begin = RunInput::Start { active_runs_max: 1 };
            let change = |run: &Run, facts: &_| step_run(run, facts, &begin, start());
            patiently(|| storage.ledger.change_run(id, &change)).await.map(|run| run.state)
        }
    })
    .await;
    let started = results.iter().filter(|result| matches!(result, Ok(RunState::Active))).count();
    let refused = |error: &StorageError| error.kind == StorageErrorKind::Refused;
    let others = results.iter().filter(|result| result.as_ref().is_err_and(refused)).count();
    assert_eq!((started, others), (1, TASKS - 1));
    for run in &runs {
        assert_whole(storage, run.run.id).await;
    }
}

/// Of changes of one run that come at once, each sees the one before.
pub async fn concurrent_changes_of_a_run_come_one_after_the_other(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    at_once(TASKS, |_| {
        let (storage, id) = (storage.clone(), scene.run.id);
        async move {
            for _ in 0..5 {
                let toggle = |run: &Run, facts: &_| {
                    let pause = RunInput::Pause { reason: "turn".into() };
                    let input = if run.state == RunState::Active { pause } else { RunInput::Resume };
                    step_run(run, facts, &input, start())
                };
                patiently(|| storage.ledger.change_run(id, &toggle)).await.unwrap();
            }
        }
    })
    .await;
    let run = storage.ledger.run(scene.run.id).await.unwrap().unwrap();
    assert_eq!((run.state, run.sequence), (RunState::Active, scene.run.sequence + 5 * TASKS as u64));
    let entries = journal_of(storage, Aggregate::Run(run.id)).await;
    let turns: Vec<_> = entries[scene.run.sequence as usize..]
        .iter()
        .map(|entry| match entry.event {
            Event::RunChanged { from, to, .. } => (from, to),
            ref other => panic!("{}", other.name()),
        })
        .collect();
    for (index, turn) in turns.iter().enumerate() {
        let pause = (RunState::Active, RunState::Paused);
        assert_eq!(*turn, if index % 2 == 0 { pause } else { (pause.1, pause.0) });
    }
    assert_whole(storage, run.id).await;
}

/// Runs created at once with one key are one run.
pub async fn concurrent_creations_with_one_key_give_one_run(storage: &Storage) {
    let campaign = build::campaign(build::org_id(1), 1);
    let created = at_once(TASKS, |task| {
        let storage = storage.clone();
        let run = Run { key: "same".into(), ..build::draft(&campaign, task as u64) };
        async move { patiently(|| storage.ledger.create_run(run.clone())).await.unwrap() }
    })
    .await;
    assert!(created.iter().all(|run| *run == created[0]));
    assert_eq!(storage.ledger.runs(Default::default()).await.unwrap(), created[..1]);
    let feed = super::whole::whole_feed(storage).await;
    assert_eq!(feed.len(), 1, "one run has entries");
}

/// A version of a campaign that is added at once with different definitions gets one of them.
pub async fn concurrent_versions_of_a_campaign_are_one(storage: &Storage) {
    let first = build::campaign(build::org_id(1), 1);
    storage.catalog.add_campaign(first.clone()).await.unwrap();
    let results = at_once(TASKS, |task| {
        let storage = storage.clone();
        let definition = build::campaign(build::org_id(1), 100 + task as u64).definition;
        let next = Campaign { version: 2, definition, ..first.clone() };
        async move {
            let added = patiently(|| storage.catalog.add_campaign(next.clone())).await;
            (added.is_ok(), next)
        }
    })
    .await;
    let added: Vec<_> = results.into_iter().filter(|(added, _)| *added).map(|(_, next)| next).collect();
    assert_eq!(added.len(), 1);
    assert_eq!(storage.catalog.campaign(first.id, None).await.unwrap(), added.into_iter().next());
}

/// A sheet that is imported at once by several becomes each contact once.
pub async fn concurrent_imports_add_each_contact_once(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    let added = at_once(TASKS, |task| {
        let (storage, run) = (storage.clone(), scene.run.clone());
        async move {
            let mut contacts = build::contacts(&run, 100);
            if task % 2 == 1 {
                contacts.reverse();
            }
            let mut added = 0;
            for chunk in contacts.chunks(7) {
                added += patiently(|| storage.ledger.add_contacts(chunk.to_vec(), start())).await.unwrap();
            }
            added
        }
    })
    .await;
    assert_eq!(added.iter().sum::<u64>(), 100);
    assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap().waiting, 100);
    assert_whole(storage, scene.run.id).await;
}

/// After `suppress` has returned, no call to the number begins; those that began before are told.
pub async fn suppression_wins_against_concurrent_callers(storage: &Storage) {
    let scene = Scene::active(storage, 1, 300).await;
    let numbers: Vec<_> = build::contacts(&scene.run, 300).iter().map(|contact| contact.number).collect();
    let entries: Vec<_> =
        numbers.iter().map(|number| build::suppression(scene.organization.id, *number)).collect();
    let suppressed = Arc::new(AtomicBool::new(false));
    let callers = at_once(TASKS, |_| {
        let (storage, scene, suppressed) = (storage.clone(), scene.clone(), suppressed.clone());
        async move {
            let mut begun: Vec<CallId> = Vec::new();
            loop {
                let over = suppressed.load(Ordering::SeqCst);
                let batch = begin(&storage, &scene, BeginCalls { contacts_max: 2, ..scene.request() }).await;
                assert!(!over || batch.calls.is_empty(), "a call began after the number was suppressed");
                if batch.taken == 0 {
                    return begun;
                }
                begun.extend(batch.calls.iter().map(|(call, _)| call.id));
                tokio::task::yield_now().await;
            }
        }
    });
    let suppress = async {
        // Some calls first, so that there is something to tell.
        while storage.ledger.tally(scene.run.id).await.unwrap().calling == 0 {
            tokio::task::yield_now().await;
        }
        let live = patiently(|| storage.ledger.suppress(entries.clone())).await.unwrap();
        suppressed.store(true, Ordering::SeqCst);
        live
    };
    let (begun, live) = futures::future::join(callers, suppress).await;
    let begun: BTreeSet<CallId> = begun.concat().into_iter().collect();
    assert!(!begun.is_empty());
    assert_eq!(
        live.into_iter().collect::<BTreeSet<_>>(),
        begun,
        "every call that began is told, and no other"
    );
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.waiting, tally.calling), (0, begun.len() as u64));
    assert_whole(storage, scene.run.id).await;
}

/// Two runs with the same numbers, dialled at once: no number is attempted more often than its cap, nor has two live
/// calls.
pub async fn caps_hold_against_concurrent_callers_of_other_runs(storage: &Storage) {
    let mut one = Scene::active(storage, 1, 0).await;
    let mut definition = (*one.run.definition).clone();
    definition.caps.lifetime = NonZeroU32::new(2);
    one.run.definition = definition.into();
    let mut runs = vec![one.clone()];
    for n in 2..=4 {
        let mut run = one.sibling(storage, n, 0).await;
        run.run.definition = one.run.definition.clone();
        runs.push(run);
    }
    for run in &runs {
        let same = |contact: Contact| Contact { number: build::number(contact.row), ..contact };
        run.add(storage, build::contacts(&run.run, 40).into_iter().map(same).collect()).await;
    }
    at_once(TASKS, |task| {
        let (storage, scene) = (storage.clone(), runs[task % runs.len()].clone());
        async move {
            for round in 0..6 {
                let request = BeginCalls { contacts_max: 9, ..scene.request_at(second(round * 31)) };
                let batch = begin(&storage, &scene, request).await;
                let over =
                    batch.calls.iter().map(|(call, _)| told(call, ended(Disposition::NoAnswer))).collect();
                apply(&storage, &scene, over).await;
            }
        }
    })
    .await;
    let mut attempted = 0;
    for n in 1..=40 {
        let facts =
            storage.ledger.number_facts(one.organization.id, build::number(n), start()).await.unwrap();
        assert!(facts.attempts.len() <= 2, "number {n} was attempted {} times", facts.attempts.len());
        assert_eq!(facts.live_call, None);
        attempted += facts.attempts.len();
    }
    assert!(attempted > 40, "the runs met at the same numbers");
    for run in &runs {
        assert_whole(storage, run.run.id).await;
    }
}

/// The same webhook delivered to several nodes at once takes effect once.
pub async fn concurrent_repetitions_of_an_update_take_effect_once(storage: &Storage) {
    let scene = Scene::active(storage, 1, 10).await;
    let calls = scene.begin_all(storage).await;
    let action = CallEvent::Action { key: "k".into(), name: "sms".into(), parameters: Default::default() };
    let inputs: Vec<_> = calls
        .iter()
        .flat_map(|call| [told(call, action.clone()), told(call, ended(Disposition::AnsweredHuman))])
        .chain([told_of(CallRef::Id(build::unknown_call_id(1)), CallEvent::Ringing)])
        .collect();
    let changed = at_once(TASKS, |_| {
        let (storage, scene, inputs) = (storage.clone(), scene.clone(), inputs.clone());
        async move {
            let applied = apply(&storage, &scene, inputs).await;
            applied.iter().filter(|applied| matches!(applied, Applied::Changed { .. })).count()
        }
    })
    .await;
    assert_eq!(changed.iter().sum::<usize>(), 20, "each input changed its call once");
    let take = TakeItems { now: second(60), hold_until: second(90), limit: 100 };
    assert_eq!(storage.ledger.take_outbox(take.clone()).await.unwrap().len(), 10);
    assert_eq!(storage.ledger.take_inbox(take).await.unwrap().len(), 1);
    assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap().settled(), 10);
    assert_whole(storage, scene.run.id).await;
}

/// Overdue calls and items of inbox and outbox are each taken by one of those who ask at once.
pub async fn concurrent_takers_share_what_is_due(storage: &Storage) {
    let scene = Scene::active(storage, 1, 60).await;
    let calls = scene.begin_all(storage).await;
    let action = |call: &Call| {
        told(call, CallEvent::Action { key: "k".into(), name: "sms".into(), parameters: Default::default() })
    };
    scene.apply_all(storage, calls.iter().map(action).collect()).await;
    let unknown =
        (0..60).map(|n| told_of(CallRef::Id(build::unknown_call_id(n)), CallEvent::Ringing)).collect();
    apply(storage, &scene, unknown).await;
    let taken = at_once(TASKS, |task| {
        let storage = storage.clone();
        async move {
            let (now, hold_until, limit) = (second(60), second(90), 5);
            let overdue = TakeOverdue { now, hold_until, limit, node: build::node_id(task as u64) };
            let items = TakeItems { now, hold_until, limit };
            let (mut calls, mut inbox, mut outbox) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..14 {
                let taken = patiently(|| storage.ledger.take_overdue(overdue.clone())).await.unwrap();
                assert!(taken.iter().all(|call| call.lease.node == overdue.node && call.lease.token == 2));
                calls.extend(taken.iter().map(|call| call.id));
                let taken = patiently(|| storage.ledger.take_inbox(items.clone())).await.unwrap();
                inbox.extend(taken.iter().map(|item| item.id));
                let taken = patiently(|| storage.ledger.take_outbox(items.clone())).await.unwrap();
                outbox.extend(taken.iter().map(|item| item.id));
            }
            (calls, inbox, outbox)
        }
    })
    .await;
    let calls: Vec<_> = taken.iter().flat_map(|(calls, ..)| calls).collect();
    let inbox: Vec<_> = taken.iter().flat_map(|(_, inbox, _)| inbox).collect();
    let outbox: Vec<_> = taken.iter().flat_map(|(.., outbox)| outbox).collect();
    assert_eq!((calls.len(), inbox.len(), outbox.len()), (60, 60, 60), "everything is taken, nothing twice");
    assert_eq!(calls.into_iter().collect::<BTreeSet<_>>().len(), 60);
    assert_eq!(inbox.into_iter().collect::<BTreeSet<_>>().len(), 60);
    assert_eq!(outbox.into_iter().collect::<BTreeSet<_>>().len(), 60);
    assert_whole(storage, scene.run.id).await;
}

/// A run that ends while it is dialled: no contact is both called and settled, and every contact is one of both.
pub async fn ending_a_run_races_with_its_callers(storage: &Storage) {
    let scene = Scene::active(storage, 1, 100).await;
    let callers = at_once(4, |_| {
        let (storage, scene) = (storage.clone(), scene.clone());
        async move {
            let mut begun = 0;
            loop {
                let batch = begin(&storage, &scene, BeginCalls { calls_max: 1, ..scene.request() }).await;
                if batch.calls.is_empty() {
                    return begun;
                }
                begun += batch.calls.len();
                tokio::task::yield_now().await;
            }
        }
    });
    let end = async {
        while storage.ledger.tally(scene.run.id).await.unwrap().calling < 10 {
            tokio::task::yield_now().await;
        }
        let change = |run: &Run, facts: &_| step_run(run, facts, &RunInput::Cancel, start());
        patiently(|| storage.ledger.change_run(scene.run.id, &change)).await.unwrap();
        let settle = SettleWaiting {
            run_id: scene.run.id,
            outcome: Outcome::Cancelled,
            rule: "run_state",
            reason: "the run was cancelled",
            now: start(),
            limit: 7,
        };
        let mut settled = 0;
        loop {
            match patiently(|| storage.ledger.settle_waiting(settle.clone())).await.unwrap() {
                0 => return settled,
                count => settled += count,
            }
        }
    };
    let (begun, settled) = futures::future::join(callers, end).await;
    assert_eq!(begun.iter().sum::<usize>() as u64 + settled, 100);
    assert_whole(storage, scene.run.id).await;
}

/// A run that finishes while its sheet is still read: it is over with all its contacts settled, and takes no more.
pub async fn finishing_a_run_races_with_its_import(storage: &Storage) {
    let scene = Scene::active(storage, 1, 0).await;
    scene.step(storage, RunInput::Cancel).await.unwrap();
    let import = at_once(4, |task| {
        let (storage, run) = (storage.clone(), scene.run.clone());
        async move {
            let mut added = 0;
            for row in (task as u64 * 1_000..).take(500) {
                let contact = build::contact(&run, row);
                match patiently(|| storage.ledger.add_contacts(vec![contact.clone()], start())).await {
                    Ok(count) => added += count,
                    Err(error) => {
                        assert_eq!(error.kind, StorageErrorKind::Refused);
                        return added;
                    }
                }
                tokio::task::yield_now().await;
            }
            added
        }
    });
    let finish = async {
        let settle = SettleWaiting {
            run_id: scene.run.id,
            outcome: Outcome::Cancelled,
            rule: "run_state",
            reason: "the run was cancelled",
            now: start(),
            limit: 1_000,
        };
        let change = |run: &Run, facts: &_| step_run(run, facts, &RunInput::Finish, start());
        let mut settled = 0;
        loop {
            settled += patiently(|| storage.ledger.settle_waiting(settle.clone())).await.unwrap();
            if settled > 20 && patiently(|| storage.ledger.change_run(scene.run.id, &change)).await.is_ok() {
                return settled;
            }
            tokio::task::yield_now().await;
        }
    };
    let (added, settled) = futures::future::join(import, finish).await;
    assert_eq!(added.iter().sum::<u64>(), settled, "every contact that was added is settled");
    let run = storage.ledger.run(scene.run.id).await.unwrap().unwrap();
    assert_eq!(run.state, RunState::Cancelled);
    assert_whole(storage, run.id).await;
}

/// Entries of an organization that several write at once have no gaps.
pub async fn concurrent_suppressions_are_told_without_gaps(storage: &Storage) {
    let org_id = build::org_id(1);
    at_once(TASKS, |task| {
        let storage = storage.clone();
        async move {
            for n in 0..10 {
                let number = build::number(n * 2 + task as u64 % 2);
                let entry = build::suppression(org_id, number);
                patiently(|| storage.ledger.suppress(vec![entry.clone(), entry.clone()])).await.unwrap();
                patiently(|| storage.ledger.release(org_id, number, start())).await.unwrap();
            }
        }
    })
    .await;
    let entries = journal_of(storage, Aggregate::Organization(org_id)).await;
    let count = |name| entries.iter().filter(|entry| entry.event.name() == name).count();
    assert_eq!(count("number_suppressed"), TASKS * 10 * 2);
    assert!(count("number_released") >= 20, "each number was released at least once");
    assert_gapless(&entries, entries.len() as u64);
    assert_eq!(storage.ledger.suppressions(org_id, None, 100).await.unwrap(), []);
}

/// A reader that follows the feed while others write gets every entry once, those of one aggregate in order.
pub async fn feed_loses_nothing_while_others_write(storage: &Storage) {
    let scenes = Arc::new([Scene::active(storage, 1, 80).await, Scene::active(storage, 2, 80).await]);
    let writing = Arc::new(AtomicBool::new(true));
    let reader = tokio::spawn({
        let (storage, writing) = (storage.clone(), writing.clone());
        async move {
            let (mut read, mut after): (Vec<JournalEntry>, _) = (Vec::new(), None);
            loop {
                let last = !writing.load(Ordering::SeqCst);
                let page = patiently(|| storage.ledger.journal_feed(after.clone(), 3)).await.unwrap();
                if page.entries.is_empty() && last {
                    return read;
                }
                read.extend(page.entries);
                after = Some(page.next);
                tokio::task::yield_now().await;
            }
        }
    });
    at_once(TASKS, |task| {
        let (storage, scenes) = (storage.clone(), scenes.clone());
        async move {
            let scene = &scenes[task % 2];
            for n in 0..20 {
                let batch = begin(&storage, scene, BeginCalls { calls_max: 1, ..scene.request() }).await;
                let over: Vec<_> = batch
                    .calls
                    .iter()
                    .map(|(call, _)| told(call, ended(Disposition::AnsweredHuman)))
                    .collect();
                apply(&storage, scene, over).await;
                let number = build::number(task as u64 * 100 + n);
                let entry = build::suppression(scene.organization.id, number);
                patiently(|| storage.ledger.suppress(vec![entry.clone()])).await.unwrap();
            }
        }
    })
    .await;
    writing.store(false, Ordering::SeqCst);
    let mut read: std::collections::BTreeMap<Aggregate, Vec<JournalEntry>> = Default::default();
    for entry in reader.await.unwrap() {
        read.entry(entry.aggregate).or_default().push(entry);
    }
    for (aggregate, entries) in &read {
        assert_gapless(entries, entries.len() as u64);
        assert_eq!(
            journal_of(storage, *aggregate).await,
            *entries,
            "the feed has all of {}",
            aggregate.kind()
        );
    }
    assert_eq!(read, super::whole::whole_feed(storage).await);
    assert_eq!(read.len(), 2 + 2 + 160);
    for scene in scenes.iter() {
        assert_whole(storage, scene.run.id).await;
    }
}

/// A caller that goes away in the middle of a verb leaves the store whole: all of the verb or nothing of it.
pub async fn dropped_verbs_leave_the_store_whole(storage: &Storage) {
    let scene = Scene::active(storage, 1, 150).await;
    let terms = scene.terms();
    let settle = settling(&terms, start());
    for polls in 0..40 {
        let request = BeginCalls { calls_max: 3, ..scene.request() };
        let decide = |contact: &Contact, _: &_| allow(contact, start());
        dropped_after(polls % 9, storage.ledger.begin_calls(request, &decide)).await;
        let live = patiently(|| storage.ledger.live_calls(scene.run.id, None, 2)).await.unwrap();
        let inputs = live.iter().map(|call| told(call, ended(Disposition::AnsweredHuman))).collect();
        let request = ApplyCalls { inputs, now: start(), keep_unmatched_until: None };
        dropped_after(polls % 7, storage.ledger.apply_calls(request, &settle)).await;
        let more = (1_000 + polls as u64 * 2..).take(2).map(|row| build::contact(&scene.run, row)).collect();
        dropped_after(polls % 5, storage.ledger.add_contacts(more, start())).await;
        let entry = build::suppression(scene.organization.id, build::number(polls as u64));
        dropped_after(polls % 3, storage.ledger.suppress(vec![entry])).await;
    }
    // Whatever was still under way when its caller left is over once the same run can be changed and read again.
    let look = |run: &Run, _: &_| {
        Ok(crate::storage::RunChange { run: run.clone(), events: Vec::new(), at: start() })
    };
    patiently(|| storage.ledger.change_run(scene.run.id, &look)).await.unwrap();
    let begun = begin(storage, &scene, scene.request()).await;
    assert_eq!(begun.limited, Some(Limited::NothingDue), "the store still works");
    let live = storage.ledger.live_calls(scene.run.id, None, 1_000).await.unwrap();
    let over = live.iter().map(|call| told(call, ended(Disposition::AnsweredHuman))).collect();
    apply(storage, &scene, over).await;
    let tally = storage.ledger.tally(scene.run.id).await.unwrap();
    assert_eq!((tally.waiting, tally.calling, tally.settled()), (0, 0, tally.contacts()));
    assert!(tally.contacts() >= 150);
    assert_whole(storage, scene.run.id).await;
    let entries = journal_of(storage, Aggregate::Organization(scene.organization.id)).await;
    let listed = storage.ledger.suppressions(scene.organization.id, None, 1_000).await.unwrap();
    assert_gapless(&entries, listed.len() as u64);
}
