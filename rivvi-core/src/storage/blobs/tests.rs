use chrono::TimeDelta;
use object_store::memory::InMemory;

use super::*;
use crate::domain::{Campaign, CampaignDefinition, CampaignId};

fn id(n: u128) -> uuid::Uuid {
    uuid::Uuid::from_u128(n)
}

fn run() -> Run {
    let definition = CampaignDefinition::from_toml("name = 'A'\nchannel = 'voice'").unwrap();
    let campaign = Campaign {
        id: CampaignId::from_uuid(id(2)),
        org_id: OrgId::from_uuid(id(1)),
        version: 1,
        definition,
    };
    Run::draft(RunId::from_uuid(id(3)), &campaign, "key", "Dana's list.xlsx", DateTime::UNIX_EPOCH)
}

const ORG: &str = "00000000-0000-0000-0000-000000000001";
const CAMPAIGN: &str = "00000000-0000-0000-0000-000000000002";
const RUN: &str = "00000000-0000-0000-0000-000000000003";
const CALL: &str = "00000000-0000-0000-0000-000000000004";

#[test]
fn everything_has_its_place() {
    let run = run();
    let at = DateTime::UNIX_EPOCH + TimeDelta::milliseconds(1_234);
    let (org_id, run_id, call_id) = (run.org_id, run.id, CallId::from_uuid(id(4)));
    for (place, expected) in [
        (
            raw_upload(&run, at, SheetFormat::Xlsx),
            format!("raw-uploads/{ORG}/{CAMPAIGN}/{RUN}/19700101T000001.234000Z.xlsx"),
        ),
        (processed_data(&run), format!("processed-data/{ORG}/{CAMPAIGN}/{RUN}/data.json")),
        (validation_results(&run), format!("processed-data/{ORG}/{CAMPAIGN}/{RUN}/validation-results.json")),
        (raw_webhook(org_id, run_id, call_id, 1), format!("call-logs/{ORG}/{RUN}/raw/{CALL}-webhook.json")),
        (raw_webhook(org_id, run_id, call_id, 2), format!("call-logs/{ORG}/{RUN}/raw/{CALL}-webhook-2.json")),
        (
            formatted_call(org_id, run_id, call_id),
            format!("call-logs/{ORG}/{RUN}/processed/{CALL}-formatted.json"),
        ),
    ] {
        assert_eq!(place, expected);
        assert_eq!(Path::from(place.as_str()).as_ref(), expected, "nothing needs escaping");
    }
}

#[test]
fn uploads_of_one_run_lie_side_by_side() {
    let run = run();
    let at = DateTime::UNIX_EPOCH;
    let later = at + TimeDelta::microseconds(1);
    assert!(raw_upload(&run, at, SheetFormat::Csv) < raw_upload(&run, later, SheetFormat::Csv));
    assert!(!raw_upload(&run, at, SheetFormat::Csv).contains("Dana"), "the name of the sheet is not in it");
}

#[tokio::test]
async fn errors_name_the_object_and_what_to_do() {
    let blobs = Blobs::new(InMemory::new());
    let error = blobs.head("start", "processed-data/x/data.json").await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
    assert_eq!(error.to_string(), "storage: start: not found: processed-data/x/data.json is missing");
    assert!(std::error::Error::source(&error).is_some());

    let source = || "boom".into();
    for (error, kind, says) in [
        (Error::Generic { store: "S3", source: source() }, StorageErrorKind::Unavailable, "try again"),
        (
            Error::PermissionDenied { path: "a".into(), source: source() },
            StorageErrorKind::Unavailable,
            "check the rights",
        ),
        (Error::NotSupported { source: source() }, StorageErrorKind::Incompatible, "cannot do"),
    ] {
        let error = failed("import", "a/b", error);
        assert_eq!(error.kind, kind);
        assert!(error.to_string().contains("a/b") && error.to_string().contains(says), "{error}");
    }
}

#[test]
fn debug_shows_no_settings() {
    assert_eq!(format!("{:?}", Blobs::new(InMemory::new())), "Blobs(InMemory)");
}
