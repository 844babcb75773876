//! Live counters count each journal entry once, in whatever way entries come.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod servers;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    Aggregate, CallId, ContactId, Disposition, Event, JournalEntry, Medium, OrgId, Outcome, RunId,
};
use rivvi_core::engine::EventSink;
use rivvi_core::testkit::build;
use rivvi_storage_redis::{LiveCounters, Redis};

const CONTACTS: u64 = 1_050;

fn run_id(n: u64) -> RunId {
    let ids = rivvi_core::domain::IdSource::seeded(n);
    RunId::from_uuid(ids.next(build::start()))
}

/// The journal of a run: every contact imported and called, two thirds answered and settled.
fn journal(org_id: OrgId, run: RunId) -> Vec<JournalEntry> {
    let call_id = CallId::from_uuid(run.as_uuid());
    let mut entries = Vec::new();
    for row in 2..CONTACTS + 2 {
        let mut events = vec![
            Event::ContactImported { row },
            Event::CallIntended { call_id, attempt: 1, legal_until: build::start(), medium: Medium::Voice },
        ];
        if row % 3 > 0 {
            events.push(Event::CallAnswered { call_id, by: rivvi_core::provider::Answerer::Human });
            events.push(Event::CallEnded {
                call_id,
                disposition: Disposition::AnsweredHuman,
                provider_reason: None,
            });
            events.push(Event::ContactSettled {
                outcome: Outcome::Completed,
                exclusion: None,
                rule: "".into(),
                reason: "".into(),
            });
        }
        let aggregate = Aggregate::Contact(ContactId::of_row(run, row));
        let at: DateTime<Utc> = build::start();
        for (sequence, event) in (1..).zip(events) {
            entries.push(JournalEntry { org_id, aggregate, sequence, at, event });
        }
    }
    entries
}

async fn assert_counted(counters: &LiveCounters, org_id: OrgId, runs: &[RunId]) {
    let answered = (2..CONTACTS + 2).filter(|row| row % 3 > 0).count() as u64;
    for run in runs {
        let counts = counters.of_run(org_id, *run).await.unwrap();
        assert_eq!((counts.imported, counts.begun, counts.answered), (CONTACTS, CONTACTS, answered));
        assert_eq!(counts.ended.get(&Disposition::AnsweredHuman), Some(&answered));
        assert_eq!(counts.settled.get(&Outcome::Completed), Some(&answered));
        assert_eq!((counts.live(), counts.open()), (CONTACTS - answered, CONTACTS - answered));
    }
    let counts = counters.of_organization(org_id).await.unwrap();
    assert_eq!(counts.imported, CONTACTS * runs.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_entry_counts_once_however_often_and_from_wherever_it_comes() {
    for variable in ["RIVVI_TEST_REDIS", "RIVVI_TEST_REDIS_CLUSTER"] {
        let options = servers::fresh_options();
        let (org_id, runs) = (build::org_id(1), [run_id(1), run_id(2)]);
        let entries: Arc<Vec<JournalEntry>> =
            Arc::new(runs.iter().flat_map(|run| journal(org_id, *run)).collect());
        let mut nodes = Vec::new();
        for node in 0..3_usize {
            let redis = Redis::open_with(&servers::url(variable), options.clone()).await.unwrap();
            let entries = entries.clone();
            nodes.push(tokio::spawn(async move {
                let counters = LiveCounters::new(&redis);
                // Pages of different sizes, each twice, and all of it again at the end.
                for page in entries.chunks(97 + node * 150) {
                    counters.publish(page).await.unwrap();
                    counters.publish(page).await.unwrap();
                }
                counters.publish(&entries).await.unwrap();
            }));
        }
        for node in nodes {
            node.await.unwrap();
        }
        let redis = Redis::open_with(&servers::url(variable), options).await.unwrap();
        assert_counted(&LiveCounters::new(&redis), org_id, &runs).await;
        let other = LiveCounters::new(&redis).named("other}{name");
        assert_eq!(other.of_run(org_id, runs[0]).await.unwrap(), Default::default());
        other.publish(&entries).await.unwrap();
        assert_counted(&other, org_id, &runs).await;
        assert_eq!(other.of_organization(build::org_id(2)).await.unwrap(), Default::default());
    }
}

#[tokio::test]
async fn entries_come_again_after_an_outage() {
    let mut server = servers::OwnServer::start(&[]).await;
    let redis = Redis::open(&server.url()).await.unwrap();
    let (counters, run) = (LiveCounters::new(&redis), run_id(1));
    let entries = journal(build::org_id(1), run);
    counters.publish(&entries[..1_000]).await.unwrap();
    server.save().await;
    server.kill().await;
    assert!(counters.publish(&entries).await.is_err(), "the engine brings them again");
    server.start_again().await;
    for _ in 0..500 {
        if counters.publish(&entries).await.is_ok() {
            return assert_counted(&counters, build::org_id(1), &[run]).await;
        }
        servers::pause(std::time::Duration::from_millis(20)).await;
    }
    panic!("it did not recover");
}
