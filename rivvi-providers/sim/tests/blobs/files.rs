//! What lies where, in memory and in a folder.

use std::sync::Arc;

use chrono::TimeDelta;
use rivvi_core::clock::Clock;
use rivvi_core::domain::{Outcome, RunState};
use rivvi_core::storage::object_store::ObjectStore;
use rivvi_core::storage::object_store::memory::InMemory;
use rivvi_core::storage::{ArchivedCall, Blobs, StorageErrorKind};
use serde_json::Value;

use crate::life::{Life, sheet};

async fn a_life_leaves_its_files(store: Arc<dyn ObjectStore>) {
    let life = Life::on(store).await;
    let imported = life.imported(300).await;
    let (org, run, campaign) = (life.organization.id, imported.id, imported.run.campaign_id);

    let raw = life.objects("raw-uploads").await;
    let [(path, text)] = &raw.iter().collect::<Vec<_>>()[..] else { panic!("{:?}", raw.keys()) };
    assert_eq!(Some(path.as_str()), imported.run.raw_file.as_deref());
    assert_eq!(*path, &format!("raw-uploads/{org}/{campaign}/{run}/20270601T053000.000000Z.csv"));
    let copy = rivvi_core::import::Sheet::from_bytes("copy.csv", (*text).clone()).unwrap();
    assert_eq!(copy.digest(), sheet(300).digest(), "the upload is kept to the byte");

    let processed = life.objects("processed-data").await;
    let folder = format!("processed-data/{org}/{campaign}/{run}");
    let names: Vec<&str> = processed.keys().map(String::as_str).collect();
    assert_eq!(names, [format!("{folder}/data.json"), format!("{folder}/validation-results.json")]);
    assert_eq!(imported.run.processed_file.as_deref(), Some(names[0]));
    let data: Value = serde_json::from_str(&processed[names[0]]).unwrap();
    assert_eq!(data["contacts"].as_array().unwrap().len(), 300);
    assert_eq!(data["contacts"][0]["variables"]["name"], "Person 0");
    assert_eq!(processed[names[0]].lines().count(), 302, "one contact on each line");
    let report = serde_json::from_str::<rivvi_core::import::ImportReport>(&processed[names[1]]).unwrap();
    assert_eq!(report, *imported.report);

    assert_eq!(life.in_ledger(run).await, 0, "nothing is in the ledger before the start");
    life.rivvi.runs().start(run).await.unwrap();
    assert_eq!(life.in_ledger(run).await, 300);
    assert!(life.settle().await.is_empty());
    let tally = life.completed(run, 300).await;

    let logs = life.objects("call-logs").await;
    let archived = life.storage.archive.archived_calls(run, None, 10_000).await.unwrap();
    assert_eq!(archived.len(), life.network.legs());
    let mut webhooks = 0;
    for call in &archived {
        let id = call.call.id;
        let path = format!("call-logs/{org}/{run}/processed/{id}-formatted.json");
        assert_eq!(call.call_log.as_deref(), Some(path.as_str()));
        assert_eq!(serde_json::from_str::<ArchivedCall>(&logs[&path]).unwrap(), *call);
        let first: Value =
            serde_json::from_str(&logs[&format!("call-logs/{org}/{run}/raw/{id}-webhook.json")]).unwrap();
        assert_eq!(first["provider"], "sim");
        assert!(first["body"].is_object(), "{first}");
        webhooks += (2..)
            .take_while(|n| logs.contains_key(&format!("call-logs/{org}/{run}/raw/{id}-webhook-{n}.json")))
            .count()
            + 1;
    }
    assert_eq!(logs.len(), archived.len() + webhooks);
    let copies = life.rivvi.webhook_copies();
    assert_eq!((copies.waiting, copies.written, copies.lost), (0, webhooks as u64, 0));

    // Long after the end the contacts go; everything else stays.
    life.clock.advance(std::time::Duration::from_secs(8 * 86_400));
    life.rivvi.tick().await.unwrap();
    assert_eq!(life.objects("processed-data").await.into_keys().collect::<Vec<_>>(), [names[1]]);
    assert_eq!(life.run(run).await.processed_file, None);
    assert_eq!((life.objects("raw-uploads").await, life.objects("call-logs").await), (raw, logs));
    assert_eq!(life.rivvi.runs().progress(run).await.unwrap().tally, tally);
}

#[tokio::test]
async fn a_life_leaves_its_files_in_memory() {
    a_life_leaves_its_files(Arc::new(InMemory::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_leaves_its_files_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::in_folder(folder.path()).unwrap();
    a_life_leaves_its_files(blobs.store().clone()).await;
}

/// With and without blobs a campaign comes to the same end.
#[tokio::test]
async fn blobs_change_nothing_about_the_outcome() {
    let mut with = Life::begin().await;
    let mut without = Life::begin().await;
    without.storage.blobs = None;
    without.reborn();
    with.reborn();
    let mut ends = Vec::new();
    for life in [&with, &without] {
        let run = life.imported(200).await;
        assert_eq!(run.run.processed_file.is_some(), life.storage.blobs.is_some());
        life.rivvi.runs().start(run.id).await.unwrap();
        assert!(life.settle().await.is_empty());
        let tally = life.completed(run.id, 200).await;
        ends.push((tally, life.network.legs(), life.clock.now()));
    }
    assert_eq!(ends[0], ends[1]);
}

#[tokio::test]
async fn a_run_that_is_not_started_shows_its_contacts() {
    let life = Life::begin().await;
    let imported = life.imported(50).await;
    let progress = life.rivvi.runs().progress(imported.id).await.unwrap();
    assert_eq!(
        (progress.state, progress.tally.waiting, progress.tally.contacts()),
        (RunState::Ready, 50, 50)
    );

    let number = rivvi_core::domain::E164::from_e164("+972522000007").unwrap();
    let explained = life.rivvi.explain_number(imported.id, number).await.unwrap();
    let [explanation] = &explained[..] else { panic!("{explained:?}") };
    assert_eq!((explanation.contact.number, explanation.journal.len()), (number, 0));
    assert_eq!(explanation.contact.variables.expose()["name"], "Person 7");
    let text = explanation.to_string();
    assert!(text.contains("run_state") && text.contains("ready"), "{text}");
    let same = life.rivvi.explain(explanation.contact.id).await.unwrap();
    assert_eq!(same.contact, explanation.contact);

    life.rivvi.runs().start(imported.id).await.unwrap();
    let loaded = life.rivvi.explain(explanation.contact.id).await.unwrap();
    assert_eq!(loaded.journal.len(), 1);
    assert_eq!(loaded.contact.variables, explanation.contact.variables);
    assert_eq!(loaded.contact.zones, explanation.contact.zones);
    let stranger = rivvi_core::domain::ContactId::of_row(imported.id, 9_999);
    assert_eq!(life.rivvi.explain(stranger).await.unwrap_err().kind, StorageErrorKind::NotFound);
}

#[tokio::test]
async fn a_run_cancelled_before_its_start_settles_every_contact() {
    let life = Life::begin().await;
    let run = life.imported(50).await.id;
    life.rivvi.runs().cancel(run).await.unwrap();
    assert!(life.settle().await.is_empty());
    let report = life.rivvi.runs().report(run).await.unwrap().unwrap();
    assert_eq!((report.state, report.outcome(Outcome::Cancelled)), (RunState::Cancelled, 50));
    assert_eq!(life.network.legs(), 0);
    // The run is over: the next may start.
    let next = life.import(life.campaign().await.id, 20).await.unwrap().id;
    life.clock.advance_to(life.clock.now() + TimeDelta::hours(1));
    life.rivvi.runs().start(next).await.unwrap();
}

#[tokio::test]
async fn a_run_cancelled_without_its_file_ends_all_the_same() {
    let life = Life::begin().await;
    let imported = life.imported(50).await;
    life.replace(imported.run.processed_file.as_deref().unwrap(), "nonsense").await;
    life.rivvi.runs().cancel(imported.id).await.unwrap();
    assert!(life.settle().await.is_empty());
    assert_eq!(life.run(imported.id).await.state, RunState::Cancelled);
}
