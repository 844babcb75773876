//! Organization and campaign, found by their names or made once, however many nodes begin at the same moment: their ids
//! follow from the names.

use rivvi::Rivvi;
use rivvi::domain::{
    CallerId, Campaign, CampaignDefinition, CampaignId, E164, OrgId, Organization, Region, SuppressionSource,
};
use rivvi::storage::StorageErrorKind;
use uuid::Uuid;

use crate::shared::job::{Job, JobOptions};
use crate::shared::outcome::Failure;

/// The id of the organization of this name.
pub(crate) fn organization_id(name: &str) -> OrgId {
    OrgId::from_uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("organization {name}").as_bytes()))
}

/// The organization of this name with the limits of the options, which hold for all nodes from now on, and the numbers
/// that it must not call.
pub(crate) async fn organization(
    rivvi: &Rivvi,
    name: &str,
    options: &JobOptions,
    job: &Job,
) -> Result<OrgId, Failure> {
    let id = organization_id(name);
    let known = rivvi.organizations().find(id).await?;
    let mut organization = match &known {
        Some(organization) => organization.clone(),
        None => new_organization(id, name, job.region)?,
    };
    options.limit(&mut organization.limits);
    organization.region = job.region;
    if known.as_ref() != Some(&organization) {
        rivvi.organizations().put(organization).await?;
    }
    let (list, source) = (rivvi.suppression_list(), SuppressionSource::Import);
    list.add(id, job.suppress.clone(), source, "suppression file", None).await?;
    Ok(id)
}

fn new_organization(id: OrgId, name: &str, region: Region) -> Result<Organization, Failure> {
    let caller_id = E164::from_e164("+97231234567").map_err(|error| Failure::Broken(error.to_string()))?;
    Ok(Organization::new(id, name, CallerId(caller_id), chrono_tz::Asia::Jerusalem, region))
}

/// The campaign of this name, in a version with this definition.
pub(crate) async fn campaign(
    rivvi: &Rivvi,
    org_id: OrgId,
    definition: CampaignDefinition,
) -> Result<CampaignId, Failure> {
    let id = CampaignId::from_uuid(Uuid::new_v5(&org_id.as_uuid(), definition.name.as_bytes()));
    loop {
        let latest = rivvi.campaigns().find(id).await?;
        let version = match latest {
            Some(latest) if latest.definition == definition => return Ok(id),
            Some(latest) => latest.version + 1,
            None => 1,
        };
        let campaign = Campaign { id, org_id, version, definition: definition.clone() };
        match rivvi.storage().catalog.add_campaign(campaign).await {
            Ok(()) => return Ok(id),
            // Another node added that version, with another definition, in this moment.
            Err(error) if error.kind == StorageErrorKind::Refused => {}
            Err(error) => return Err(error.into()),
        }
    }
}
