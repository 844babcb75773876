//! Organizations and campaigns in memory.

use async_trait::async_trait;

use super::MemoryStorage;
use crate::domain::{Campaign, CampaignId, OrgId, Organization};
use crate::storage::{Catalog, StorageError, StorageErrorKind};

#[async_trait]
impl Catalog for MemoryStorage {
    async fn put_organization(&self, organization: Organization) -> Result<(), StorageError> {
        self.state().organizations.insert(organization.id, organization);
        Ok(())
    }

    async fn organization(&self, id: OrgId) -> Result<Option<Organization>, StorageError> {
        Ok(self.state().organizations.get(&id).cloned())
    }

    async fn organizations(
        &self,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StorageError> {
        let state = self.state();
        let later = state.organizations.values().filter(|org| after.is_none_or(|after| org.id > after));
        Ok(later.take(limit).cloned().collect())
    }

    async fn add_campaign(&self, campaign: Campaign) -> Result<(), StorageError> {
        let mut state = self.state();
        let refused =
            |context: &str| Err(StorageError::new(StorageErrorKind::Refused, "add_campaign", context));
        let versions = state.campaigns.entry(campaign.id).or_default();
        match versions.get(&campaign.version) {
            Some(known) if *known == campaign => Ok(()),
            Some(_) => refused("this version exists with another definition; add the next version"),
            None if campaign.version != versions.len() as u32 + 1 => {
                refused("expected the version after the latest")
            }
            None => {
                versions.insert(campaign.version, campaign);
                Ok(())
            }
        }
    }

    async fn campaign(&self, id: CampaignId, version: Option<u32>) -> Result<Option<Campaign>, StorageError> {
        let state = self.state();
        let versions = state.campaigns.get(&id);
        Ok(versions
            .and_then(|versions| match version {
                Some(version) => versions.get(&version),
                None => versions.values().next_back(),
            })
            .cloned())
    }

    async fn campaigns(
        &self,
        org_id: OrgId,
        after: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Campaign>, StorageError> {
        let state = self.state();
        let latest = state.campaigns.values().filter_map(|versions| versions.values().next_back());
        let matching = latest.filter(|c| c.org_id == org_id && after.is_none_or(|after| c.id > after));
        Ok(matching.take(limit).cloned().collect())
    }
}
