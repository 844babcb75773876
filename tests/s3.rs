//! Blobs on a real S3 endpoint.
//!
//! Needs `RIVVI_TEST_S3`, the URL of an endpoint that takes any credentials and on which buckets may be made, such as
//! one that `scripts/services` starts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock, VirtualClock};
use rivvi::domain::{CallerId, CampaignDefinition, E164, Region, RunState};
use rivvi::engine::NewOrganization;
use rivvi::import::Sheet;
use rivvi::providers::{Behaviour, SimulatedNetwork};
use rivvi::storage::object_store::aws::{AmazonS3, AmazonS3Builder};
use rivvi::storage::object_store::path::Path;
use rivvi::storage::object_store::{ClientOptions, ObjectStore, ObjectStoreExt, PutPayload};
use rivvi::storage::{ArchivedCall, Blobs, Storage};

fn endpoint() -> String {
    std::env::var("RIVVI_TEST_S3").unwrap_or_else(|_| {
        panic!(
            "RIVVI_TEST_S3 is not set: expected the URL of an S3 endpoint; start one with `scripts/services` and load \
             the variables it prints"
        )
    })
}

/// An empty bucket of its own.
async fn bucket() -> AmazonS3 {
    static BUCKETS: AtomicU32 = AtomicU32::new(0);
    let number = BUCKETS.fetch_add(1, Ordering::Relaxed);
    let now = SystemClock::new().now().timestamp_micros();
    let name = format!("rivvi-{now}-{}-{number}", std::process::id());
    let settings = AmazonS3Builder::new()
        .with_endpoint(endpoint())
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_client_options(ClientOptions::new().with_allow_http(true));
    // Seen from the root of the endpoint, putting an object is making a bucket. Its answer has no tag, which this
    // client takes for an error; whether the bucket is there shows in the next request.
    let root =
        settings.clone().with_bucket_name(&name).with_virtual_hosted_style_request(true).build().unwrap();
    let _ = root.put(&Path::from(name.as_str()), PutPayload::new()).await;
    let bucket = settings.with_bucket_name(name).build().unwrap();
    let listed = bucket.list_with_delimiter(None).await;
    assert!(listed.is_ok(), "no bucket could be made at {}: {listed:?}", endpoint());
    bucket
}

async fn fresh() -> Blobs {
    Blobs::new(bucket().await)
}

rivvi::blobs_conformance!(fresh);

/// A campaign on S3 from the sheet to the end, longer than one part of an upload.
#[tokio::test]
async fn a_campaign_leaves_its_files() {
    const ROWS: u64 = 30_000;
    let bucket: Arc<dyn ObjectStore> = Arc::new(bucket().await);
    let clock = Arc::new(VirtualClock::new("2027-06-01T07:00:00Z".parse().unwrap()));
    let network = SimulatedNetwork::new(clock.clone(), 1, Behaviour::default());
    let storage = Storage::in_memory().with_blobs(Blobs::shared(bucket.clone()));
    let rivvi =
        Rivvi::builder().storage(storage).voice(network.clone()).clock(clock.clone()).build().unwrap();
    let new = NewOrganization {
        name: "North Clinic".into(),
        caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
        time_zone: chrono_tz::Asia::Jerusalem,
        region: Region::new("IL").unwrap(),
    };
    let organization = rivvi.organizations().create(new).await.unwrap();
    let definition =
        CampaignDefinition::from_toml("name = 'A'\nchannel = 'voice'\nrun.end_after = '10m'").unwrap();
    let campaign = rivvi.campaigns().create(organization.id, definition).await.unwrap();
    let mut text = String::from("name,phone,note\n");
    for row in 0..ROWS {
        text.push_str(&format!("Person {row},052{:07},{}\n", 2_000_000 + row, "note ".repeat(40)));
    }
    let sheet = Sheet::from_bytes("people.csv", text).unwrap();
    let imported = rivvi.runs().import(campaign.id, sheet).await.unwrap();
    let data = Path::from(imported.run.processed_file.clone().unwrap());
    assert!(bucket.head(&data).await.unwrap().size > 8 * 1024 * 1024, "the file has several parts");
    let raw = Path::from(imported.run.raw_file.clone().unwrap());
    assert!(raw.as_ref().ends_with(".csv") && bucket.head(&raw).await.is_ok());

    rivvi.runs().start(imported.id).await.unwrap();
    while network.step(&rivvi, &clock).await.unwrap() {}
    let progress = rivvi.runs().progress(imported.id).await.unwrap();
    assert_eq!((progress.state, progress.tally.settled()), (RunState::Completed, ROWS));
    let calls = rivvi.storage().archive.archived_calls(imported.id, None, 100_000).await.unwrap();
    assert_eq!(calls.len(), network.legs());
    assert!(calls.len() > 50, "{}", calls.len());
    for call in &calls {
        let path = Path::from(call.call_log.clone().unwrap());
        let log = bucket.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(serde_json::from_slice::<ArchivedCall>(&log).unwrap(), *call);
    }
    let copies = rivvi.webhook_copies();
    assert_eq!((copies.waiting, copies.lost), (0, 0));
    assert!(copies.written >= calls.len() as u64, "{copies:?}");
}
