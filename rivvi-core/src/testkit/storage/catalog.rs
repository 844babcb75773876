//! Organizations and campaigns: the verbs of [`Catalog`](crate::storage::Catalog).

use chrono_tz::Tz;

use crate::domain::{CallsPerSecond, Campaign, CampaignDefinition, Organization, Region};
use crate::policy::hours::CallingHours;
use crate::policy::zone::ZonePolicy;
use crate::storage::{Storage, StorageErrorKind};
use crate::testkit::build;

/// An organization is kept as it was given; putting it again replaces it.
pub async fn organization_is_kept_and_replaced(storage: &Storage) {
    let organization = build::organization(1);
    assert_eq!(storage.catalog.organization(organization.id).await.unwrap(), None);
    storage.catalog.put_organization(organization.clone()).await.unwrap();
    assert_eq!(storage.catalog.organization(organization.id).await.unwrap(), Some(organization.clone()));

    let mut changed = Organization {
        name: build::UNICODE.into(),
        time_zone: Tz::Asia__Jerusalem,
        region: Region::new("GB").unwrap(),
        office_hours: Some(CallingHours::new(Vec::new(), Vec::new())),
        zone_policy: ZonePolicy::OrganizationFallback,
        ..organization
    };
    changed.limits.concurrent_calls = u32::MAX;
    changed.limits.active_runs = 0;
    changed.limits.calls_per_second = CallsPerSecond::new(0.1);
    storage.catalog.put_organization(changed.clone()).await.unwrap();
    assert_eq!(storage.catalog.organization(changed.id).await.unwrap(), Some(changed.clone()));
    assert_eq!(storage.catalog.organizations(None, 10).await.unwrap(), [changed]);
}

/// Organizations come in the order of their ids, page by page.
pub async fn organizations_come_page_by_page(storage: &Storage) {
    let mut organizations: Vec<_> = (1..=5).map(build::organization).collect();
    for organization in organizations.iter().rev() {
        storage.catalog.put_organization(organization.clone()).await.unwrap();
    }
    organizations.sort_by_key(|organization| organization.id);
    let mut after = None;
    for page in [&organizations[..2], &organizations[2..4], &organizations[4..], &[]] {
        let found = storage.catalog.organizations(after, 2).await.unwrap();
        assert_eq!(found, page);
        after = found.last().map(|organization| organization.id).or(after);
    }
}

/// Versions of a campaign are kept side by side; the latest is the one asked for without a number.
pub async fn versions_of_a_campaign_are_kept(storage: &Storage) {
    let first = build::campaign(build::org_id(1), 1);
    let second = Campaign { version: 2, definition: rich_definition(), ..first.clone() };
    assert_eq!(storage.catalog.campaign(first.id, None).await.unwrap(), None);
    for campaign in [&first, &second] {
        storage.catalog.add_campaign(campaign.clone()).await.unwrap();
        assert_eq!(storage.catalog.campaign(first.id, None).await.unwrap().as_ref(), Some(campaign));
    }
    let version = async |version| storage.catalog.campaign(first.id, Some(version)).await.unwrap();
    assert_eq!(version(1).await.as_ref(), Some(&first));
    assert_eq!(version(2).await.as_ref(), Some(&second));
    assert_eq!((version(0).await, version(3).await), (None, None));
    assert_eq!(storage.catalog.campaign(build::campaign_id(2), None).await.unwrap(), None);
}

/// Adding a version that exists changes nothing if it is the same, and is refused if it is not.
pub async fn version_of_a_campaign_is_never_changed(storage: &Storage) {
    let first = build::campaign(build::org_id(1), 1);
    let second = Campaign { version: 2, definition: rich_definition(), ..first.clone() };
    for campaign in [&first, &second, &second, &first] {
        storage.catalog.add_campaign(campaign.clone()).await.unwrap();
    }
    let other = Campaign { definition: rich_definition(), ..first.clone() };
    let error = storage.catalog.add_campaign(other).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused);
    assert!(!error.is_temporary());
    assert_eq!(storage.catalog.campaign(first.id, Some(1)).await.unwrap(), Some(first.clone()));
    assert_eq!(storage.catalog.campaign(first.id, None).await.unwrap(), Some(second));
}

/// A version whose predecessor does not exist is refused.
pub async fn version_without_its_predecessor_is_refused(storage: &Storage) {
    let first = build::campaign(build::org_id(1), 1);
    for (known, version) in [(false, 2), (true, 3)] {
        if known {
            storage.catalog.add_campaign(first.clone()).await.unwrap();
        }
        let later = Campaign { version, ..first.clone() };
        let error = storage.catalog.add_campaign(later).await.unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Refused);
        let latest = storage.catalog.campaign(first.id, None).await.unwrap();
        assert_eq!(latest, known.then(|| first.clone()));
        assert_eq!(storage.catalog.campaign(first.id, Some(version)).await.unwrap(), None);
    }
}

/// The latest versions of an organization's campaigns come in the order of their ids, page by page.
pub async fn campaigns_come_page_by_page(storage: &Storage) {
    let org_id = build::org_id(1);
    storage.catalog.add_campaign(build::campaign(build::org_id(2), 9)).await.unwrap();
    let mut latest = Vec::new();
    for n in [3, 1, 5, 2, 4] {
        let first = build::campaign(org_id, n);
        storage.catalog.add_campaign(first.clone()).await.unwrap();
        let second = Campaign { version: 2, definition: rich_definition(), ..first.clone() };
        if n % 2 == 0 {
            storage.catalog.add_campaign(second.clone()).await.unwrap();
        }
        latest.push(if n % 2 == 0 { second } else { first });
    }
    latest.sort_by_key(|campaign| campaign.id);
    let mut after = None;
    for page in [&latest[..2], &latest[2..4], &latest[4..], &[]] {
        let found = storage.catalog.campaigns(org_id, after, 2).await.unwrap();
        assert_eq!(found, page);
        after = found.last().map(|campaign| campaign.id).or(after);
    }
}

/// Messages, links and follow-ups of every kind.
const RICH: &str = r#"
name = "x"
channel = "sms"
message = { text = "{{ first_name }}: {{ links.give }}", sender = "Clinic", receipt_within = "1h", on_reply = "inbox" }
links = { give = "https://clinic.example/give" }
limits = { messages_per_second = 0.3 }

[[follow_up]]
name = "say"
on = ["no_sms", "undelivered"]
after = "90s"
speech = { text = "Hello", language = "he" }
retry.busy = { after = "1h", max = 2 }

[[follow_up]]
name = "letter"
on = "say.exhausted"
email = { to = "{{ email }}", subject = "a", text = "b" }

[[follow_up]]
name = "again"
on = "letter.undelivered"
call = { agent_id = "agent" }

[[follow_up]]
name = "ticket"
on = "again.action:crm"
action = "crm"
"#;

fn rich_definition() -> CampaignDefinition {
    let mut definition = CampaignDefinition::from_toml(RICH).unwrap();
    definition.name = build::UNICODE.into();
    definition.variables = build::variables();
    definition.region = Some(Region::new("IL").unwrap());
    definition.import.columns = build::variables();
    definition.limits.calls_per_second = CallsPerSecond::new(1.0 / 3.0);
    definition
}
