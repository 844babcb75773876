//! What is special about DynamoDB: tables, limits of items, indexes, several nodes, and what all of it costs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test fails by panicking")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_dynamodb::types::AttributeValue;
use rivvi_core::domain::{
    Aggregate, CallDetail, CallId, Contact, ContactId, Disposition, E164, Event, Personal, Run, RunState,
};
use rivvi_core::machine::CallInput;
use rivvi_core::provider::{Answerer, CallEvent};
use rivvi_core::storage::{
    Applied, ApplyCalls, BeginCalls, Catalog, Ledger, Limited, RunChange, RunFacts, Storage, StorageErrorKind,
};
use rivvi_core::testkit::build::{self, start, told};
use rivvi_core::testkit::run_case;
use rivvi_core::testkit::storage::{Scene, allow, assert_whole, journal_of, settling};
use rivvi_storage_dynamo::{DynamoStorage, TableOptions, cloud_formation};

fn ended(disposition: Disposition) -> CallEvent {
    CallEvent::Ended { disposition, reason: None, talk_time: None }
}

#[test]
fn tables_are_made_once_however_often_and_by_however_many() {
    run_case(async {
        let options = support::options();
        let (storage, _tables) = support::fresh_dynamo(options.clone()).await;
        storage.put_organization(build::organization(1)).await.unwrap();
        let again = (0..4).map(|_| {
            let storage = DynamoStorage::local(&support::endpoint(), options.clone());
            tokio::spawn(async move { storage.create_tables(TableOptions::default()).await })
        });
        for made in again.collect::<Vec<_>>() {
            made.await.unwrap().unwrap();
        }
        assert!(storage.organization(build::org_id(1)).await.unwrap().is_some(), "nothing is lost");
    });
}

#[test]
fn store_without_tables_says_what_to_do() {
    run_case(async {
        let storage = DynamoStorage::local(&support::endpoint(), support::options());
        let error = storage.organization(build::org_id(1)).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Incompatible);
        assert!(error.to_string().contains("create_tables"), "{error}");
    });
}

#[test]
fn documented_template_is_that_of_the_code() {
    let page = include_str!("../../../docs/dynamodb.md");
    let text = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
    let documented: serde_json::Value = serde_json::from_str(text.unwrap()).unwrap();
    assert_eq!(
        documented,
        cloud_formation(),
        "docs/dynamodb.md: replace the template by\n{:#}",
        cloud_formation()
    );
}

#[test]
fn contact_that_is_too_large_is_refused_by_name_and_none_of_its_batch_is_added() {
    run_case(async {
        let (storage, _tables) = support::fresh().await;
        let scene = Scene::active(&storage, 1, 0).await;
        let mut large = build::contact(&scene.run, 2);
        let column = ("notes".to_owned(), "Dana ".repeat(80_000));
        large.variables = Personal::new(Arc::new(BTreeMap::from([column])));
        let batch = vec![build::contact(&scene.run, 1), large.clone()];
        let error = storage.ledger.add_contacts(batch, start()).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Refused);
        let problem = error.to_string();
        assert!(problem.contains(&large.id.to_string()) && problem.contains("row 2"), "{problem}");
        assert!(problem.contains("368640"), "the limit is named: {problem}");
        assert!(!problem.contains("Dana"), "{problem}");
        assert_eq!(storage.ledger.tally(scene.run.id).await.unwrap().contacts(), 0);
        // What just fits goes through its whole life.
        let column = ("notes".to_owned(), "x".repeat(350 * 1024));
        let mut fits = large;
        fits.variables = Personal::new(Arc::new(BTreeMap::from([column])));
        scene.add(&storage, vec![fits.clone()]).await;
        let call = scene.begin_all(&storage).await.remove(0);
        scene.apply_all(&storage, vec![told(&call, ended(Disposition::AnsweredHuman))]).await;
        assert_eq!(scene.contact(&storage, 2).await.variables, fits.variables);
        assert_whole(&storage, scene.run.id).await;
    });
}

#[test]
fn details_that_do_not_fit_are_cut_and_the_call_still_ends() {
    run_case(async {
        let (storage, _tables) = support::fresh().await;
        let scene = Scene::active(&storage, 1, 2).await;
        let calls = scene.begin_all(&storage).await;
        let mut detail = CallDetail::default();
        let transcript = "שלום \" ".repeat(60_000);
        detail.transcript = Some(Personal::new(transcript.clone()));
        detail.analysis = Some(Personal::new(serde_json::json!({ "summary": "short" })));
        scene
            .apply_all(
                &storage,
                vec![told(&calls[0], CallEvent::Enriched { detail: Box::new(detail.clone()) })],
            )
            .await;
        scene.apply_all(&storage, vec![told(&calls[0], ended(Disposition::AnsweredHuman))]).await;
        let kept = scene.call(&storage, calls[0].id).await.detail;
        let text = kept.transcript.unwrap().into_inner();
        let (start_of_it, note) = text.split_once(" [cut: ").unwrap();
        assert!(transcript.starts_with(start_of_it) && start_of_it.len() > 250_000, "{}", start_of_it.len());
        assert!(note.contains("DynamoDB"));
        assert_eq!(kept.analysis, detail.analysis);

        detail.transcript = None;
        detail.analysis = Some(Personal::new(serde_json::json!({ "all": "x".repeat(500_000) })));
        scene
            .apply_all(&storage, vec![told(&calls[1], CallEvent::Enriched { detail: Box::new(detail) })])
            .await;
        scene.apply_all(&storage, vec![told(&calls[1], ended(Disposition::AnsweredHuman))]).await;
        let kept = scene.call(&storage, calls[1].id).await.detail.analysis.unwrap().into_inner();
        assert!(kept["rivvi"].as_str().unwrap().contains("500"), "{kept}");
        assert_whole(&storage, scene.run.id).await;
    });
}

#[test]
fn more_inputs_of_a_contact_than_a_transaction_holds_are_applied_in_order() {
    run_case(async {
        let (storage, _tables) = support::fresh().await;
        let scene = Scene::active(&storage, 1, 1).await;
        let call = scene.begin_all(&storage).await.remove(0);
        let action = |n: u32| {
            let parameters = Default::default();
            told(&call, CallEvent::Action { key: format!("{n:04}"), name: "sms".into(), parameters })
        };
        let inputs: Vec<_> = (0..100).map(action).collect();
        scene.apply_all(&storage, inputs.clone()).await;
        let applied = scene.apply(&storage, inputs).await;
        assert!(applied.iter().all(|applied| *applied == Applied::Unchanged));
        assert_eq!(journal_of(&storage, Aggregate::Contact(call.contact_id)).await.len(), 102);
        assert_whole(&storage, scene.run.id).await;
    });
}

#[test]
fn journal_is_found_by_event_type_and_by_call() {
    run_case(async {
        let (dynamo, _tables) = support::fresh_dynamo(support::options()).await;
        let storage = Storage::from(dynamo.clone());
        let scene = Scene::active(&storage, 1, 3).await;
        Scene::active(&storage, 2, 2).await;
        let calls = scene.begin_all(&storage).await;
        scene.apply_all(&storage, vec![told(&calls[1], ended(Disposition::Busy))]).await;
        let org_id = scene.organization.id;
        let found = dynamo.entries_of_type(org_id, "contact_imported", start(), 10).await.unwrap();
        let rows: BTreeSet<u64> = found
            .iter()
            .filter_map(|entry| match entry.event {
                Event::ContactImported { row } => Some(row),
                _ => None,
            })
            .collect();
        assert_eq!((found.len(), rows), (3, BTreeSet::from([1, 2, 3])));
        assert_eq!(
            dynamo.entries_of_type(org_id, "contact_imported", start() + build::TICK, 10).await.unwrap(),
            []
        );
        assert_eq!(dynamo.entries_of_type(org_id, "call_intended", start(), 2).await.unwrap().len(), 2);
        let of_call = dynamo.entries_of_call(calls[1].id).await.unwrap();
        let names: Vec<&str> = of_call.iter().map(|entry| entry.event.name()).collect();
        assert_eq!(names, ["call_intended", "call_ended"]);
    });
}

/// Several handles, as of several nodes, take the same contacts, dial the same numbers and write the same counts.
#[test]
fn several_nodes_share_a_run_and_keep_its_limits() {
    const NODES: usize = 3;
    const CONTACTS: u64 = 90;
    run_case(async {
        let options = support::options();
        let (first, _tables) = support::fresh_dynamo(options.clone()).await;
        let first = Storage::from(first);
        let scene = Scene::active(&first, 1, 0).await;
        // Two contacts per number, so that the nodes meet at the numbers too.
        let same = |mut contact: Contact| {
            contact.number = build::number(contact.row / 2);
            contact
        };
        scene.add(&first, build::contacts(&scene.run, CONTACTS).into_iter().map(same).collect()).await;
        let nodes: Vec<_> = (0..NODES)
            .map(|_| {
                let storage = Storage::from(DynamoStorage::local(&support::endpoint(), options.clone()));
                tokio::spawn(work(storage, scene.clone()))
            })
            .collect();
        let mut begun: Vec<CallId> = Vec::new();
        for node in nodes {
            begun.extend(node.await.unwrap());
        }
        assert_eq!(begun.iter().collect::<BTreeSet<_>>().len(), begun.len(), "no call is given to two nodes");
        let tally = first.ledger.tally(scene.run.id).await.unwrap();
        assert_eq!((begun.len() as u64, tally.settled()), (CONTACTS, CONTACTS));
        assert!(tally.live_calls_max <= 7, "{} live calls", tally.live_calls_max);
        assert_whole(&first, scene.run.id).await;
    });
}

/// Begins and ends calls until none is due.
async fn work(storage: Storage, scene: Scene) -> Vec<CallId> {
    let mut begun = Vec::new();
    let terms = scene.terms();
    let mut now = start();
    loop {
        let request = BeginCalls { calls_max: 3, run_limit: Some(7), ..scene.request_at(now) };
        let decide = rivvi_core::testkit::storage::by_policy(&terms, now);
        let batch = match storage.ledger.begin_calls(request, &decide).await {
            Err(error) if error.kind == StorageErrorKind::Busy => continue,
            begun => begun.unwrap(),
        };
        let over: Vec<_> =
            batch.calls.iter().map(|(call, _)| told(call, ended(Disposition::AnsweredHuman))).collect();
        begun.extend(batch.calls.iter().map(|(call, _)| call.id));
        let settle = settling(&terms, now);
        let request = ApplyCalls { inputs: over, now, keep_unmatched_until: None };
        while let Err(error) = storage.ledger.apply_calls(request.clone(), &settle).await {
            assert_eq!(error.kind, StorageErrorKind::Busy, "{error}");
        }
        if batch.limited == Some(Limited::NothingDue) {
            let tally = storage.ledger.tally(scene.run.id).await.unwrap();
            if tally.waiting + tally.calling == 0 {
                return begun;
            }
            // Numbers that were busy with another contact come again a little later.
            now += chrono::TimeDelta::seconds(60);
        }
    }
}

#[test]
fn number_that_is_suppressed_by_another_node_is_not_called() {
    run_case(async {
        let options = support::options();
        let (one, _tables) = support::fresh_dynamo(options.clone()).await;
        let other = DynamoStorage::local(&support::endpoint(), options);
        let storage = Storage::from(one);
        let scene = Scene::active(&storage, 1, 1).await;
        let contact = scene.contact(&storage, 1).await;
        let entry = build::suppression(scene.organization.id, contact.number);
        let (terms, asked) = (scene.terms(), std::sync::atomic::AtomicU32::new(0));
        let policy = rivvi_core::testkit::storage::by_policy(&terms, start());
        // While the decision is made on what was read, the other node suppresses the number.
        let decide = |contact: &Contact, facts: &rivvi_core::policy::NumberFacts| {
            if asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                let (other, entry) = (other.clone(), entry.clone());
                let suppressed = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(other.suppress(vec![entry])).unwrap()
                });
                assert_eq!(suppressed.join().unwrap(), Vec::<CallId>::new());
            }
            policy(contact, facts)
        };
        let begun = storage.ledger.begin_calls(scene.request(), &decide).await.unwrap();
        assert_eq!((begun.calls.len(), begun.taken), (0, 1));
        assert!(asked.into_inner() > 1, "it was asked again");
        assert_whole(&storage, scene.run.id).await;
    });
}

#[test]
fn debug_output_shows_the_prefix_and_no_content() {
    let storage =
        DynamoStorage::local("http://127.0.0.1:1", rivvi_storage_dynamo::Options::with_prefix("x_"));
    assert_eq!(format!("{storage:?}"), "DynamoStorage(\"x_\")");
}

/// The item of a run in `active_runs`, as a host's own tools see it.
async fn active_run(prefix: &str, run: &Run) -> std::collections::HashMap<String, AttributeValue> {
    use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(support::endpoint())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("rivvi", "local", None, None, "local"));
    let client = aws_sdk_dynamodb::Client::from_conf(config.build());
    let found = client
        .query()
        .table_name(format!("{prefix}active_runs"))
        .index_name("by_org_and_status")
        .key_condition_expression("org_id = :org_id AND #status = :status")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":org_id", AttributeValue::S(run.org_id.to_string()))
        .expression_attribute_values(":status", AttributeValue::S(run.state.name().to_owned()))
        .send();
    let key = found.await.unwrap().items.unwrap().remove(0);
    assert_eq!(key["run_id"], AttributeValue::S(run.id.to_string()));
    let get = client.get_item().table_name(format!("{prefix}active_runs"));
    let get = get.key("run_id", key["run_id"].clone()).key("org_id", key["org_id"].clone());
    get.send().await.unwrap().item.unwrap()
}

#[test]
fn live_counts_expire_seven_days_after_the_end_and_not_while_a_run_can_go_on() {
    run_case(async {
        let options = support::options();
        let (dynamo, _tables) = support::fresh_dynamo(options.clone()).await;
        let storage = Storage::from(dynamo);
        let scene = Scene::active(&storage, 1, 2).await;
        scene.begin(&storage, BeginCalls { calls_max: 1, ..scene.request() }).await;
        let prefix = options.table_prefix.as_str();
        let live = active_run(prefix, &scene.run).await;
        assert_eq!(live["active_calls"], AttributeValue::N("1".into()));
        assert_eq!(live["campaign_id"], AttributeValue::S(scene.campaign.id.to_string()));

        let set = async |state| {
            let change = |run: &Run, _: &RunFacts| {
                let mut run = run.clone();
                run.state = state;
                Ok(RunChange { run, events: vec![], at: start() })
            };
            let run = storage.ledger.change_run(scene.run.id, &change).await.unwrap();
            active_run(prefix, &run).await["ttl"].clone()
        };
        let week_later = (start().timestamp() + 7 * 86_400).to_string();
        assert_eq!(
            set(RunState::Failed).await,
            AttributeValue::Null(true),
            "its import can be taken up again"
        );
        assert_eq!(set(RunState::Completed).await, AttributeValue::N(week_later));
        assert_eq!(set(RunState::Active).await, AttributeValue::Null(true));
    });
}

/// How many journal entries there are.
async fn entries(storage: &Storage) -> u64 {
    let mut count = 0;
    let mut after = None;
    loop {
        let page = storage.ledger.journal_feed(after, 1_000).await.unwrap();
        if page.entries.is_empty() {
            return count;
        }
        count += page.entries.len() as u64;
        after = Some(page.next);
    }
}

/// The units of a contact's life: imported, called once, with four updates, ended, analysed, archived and purged. The
/// figures of docs/dynamodb.md are those that this prints.
#[test]
fn life_of_a_contact_costs_what_the_page_says() {
    const CONTACTS: u64 = 200;
    const BATCH: u32 = 20;
    run_case(async {
        let mut options = support::options();
        options.measure_capacity = true;
        let (dynamo, _tables) = support::fresh_dynamo(options).await;
        let storage = Storage::from(dynamo.clone());
        let scene = Scene::active(&storage, 1, 0).await;
        let mut last = (dynamo.capacity_used().unwrap(), entries(&storage).await);
        let mut step = async |name: &str| {
            let now = (dynamo.capacity_used().unwrap(), entries(&storage).await);
            let per_contact = |count: f64| count / CONTACTS as f64;
            let read = per_contact(now.0.read_units - last.0.read_units);
            // DynamoDB Local rounds transactions as a whole, AWS each item: two units for each kilobyte of it,
            // and one for each of the two indexes of a journal entry.
            let kilobytes = now.0.transacted_kilobytes - last.0.transacted_kilobytes;
            let written = per_contact((2 * kilobytes + 2 * (now.1 - last.1)) as f64);
            eprintln!("{name:<10} {read:6.1} read units, {written:6.1} write units per contact");
            last = (dynamo.capacity_used().unwrap(), now.1);
            (read, written)
        };
        scene.add(&storage, build::contacts(&scene.run, CONTACTS)).await;
        let mut total = vec![step("import").await];
        let mut calls = Vec::new();
        for _ in 0..CONTACTS / u64::from(BATCH) {
            let begun = scene.begin(&storage, BeginCalls { calls_max: BATCH, ..scene.request() }).await;
            calls.extend(begun.calls.into_iter().map(|(call, _)| call));
        }
        total.push(step("begin").await);
        let accepted = |call: &rivvi_core::domain::Call| {
            told(call, CallEvent::Accepted { reference: Some(call.id.to_string()) })
        };
        let mut now = start();
        let mut apply = async |name: &str, event: &dyn Fn(&rivvi_core::domain::Call) -> CallInput| {
            now += chrono::TimeDelta::seconds(5);
            for calls in calls.chunks(BATCH as usize) {
                let applied = scene.apply_at(&storage, calls.iter().map(event).collect(), now).await;
                assert!(applied.iter().all(|applied| matches!(applied, Applied::Changed { .. })));
            }
            step(name).await
        };
        total.push(apply("accepted", &accepted).await);
        total.push(apply("ringing", &|call| told(call, CallEvent::Ringing)).await);
        total.push(apply("answered", &|call| told(call, CallEvent::Answered { by: Answerer::Human })).await);
        total.push(apply("ended", &|call| told(call, ended(Disposition::AnsweredHuman))).await);
        let mut detail = CallDetail::default();
        detail.transcript = Some(Personal::new("word ".repeat(300)));
        let detail = Box::new(detail);
        total.push(
            apply("analysed", &|call| told(call, CallEvent::Enriched { detail: detail.clone() })).await,
        );
        let read: f64 = total.iter().map(|(read, _)| read).sum();
        let written: f64 = total.iter().map(|(_, written)| written).sum();
        eprintln!("sum        {read:6.1} read units, {written:6.1} write units per contact");
        assert!(written < 130.0 && read < 60.0, "{read} read and {written} write units per contact");
        assert_whole(&storage, scene.run.id).await;
    });
}

#[test]
fn contacts_with_numbers_of_all_lengths_are_found_again() {
    run_case(async {
        let (storage, _tables) = support::fresh().await;
        let scene = Scene::active(&storage, 1, 0).await;
        let digits = [1_234_567, 999_999_999_999_999, 15_551_234_567];
        let contact = |(row, digits): (u64, &u64)| {
            let mut contact = build::contact(&scene.run, row);
            contact.number = E164::from_digits(*digits).unwrap();
            contact
        };
        let contacts: Vec<Contact> = (1..).zip(&digits).map(contact).collect();
        scene.add(&storage, contacts.clone()).await;
        let decide = |contact: &Contact, _: &rivvi_core::policy::NumberFacts| allow(contact, start());
        storage.ledger.begin_calls(scene.request(), &decide).await.unwrap();
        for contact in contacts {
            let query = rivvi_core::storage::ContactQuery {
                run_id: scene.run.id,
                number: Some(contact.number),
                after: None::<ContactId>,
                limit: 1,
            };
            assert_eq!(storage.ledger.contacts(query).await.unwrap()[0].id, contact.id);
            let facts = storage.ledger.number_facts(contact.org_id, contact.number, start()).await.unwrap();
            assert_eq!(facts.attempts, [start()]);
        }
    });
}
