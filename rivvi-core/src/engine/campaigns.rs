//! Campaigns, through the front.

use super::Inner;
use crate::domain::{Campaign, CampaignDefinition, CampaignId, OrgId};
use crate::storage::{StorageError, StorageErrorKind};

/// Campaigns. Got from [`Rivvi::campaigns`](super::Rivvi::campaigns).
#[derive(Debug, Clone, Copy)]
pub struct Campaigns<'a> {
    pub(super) inner: &'a Inner,
}

impl Campaigns<'_> {
    /// Adds a campaign of an organization, at version 1.
    ///
    /// # Errors
    /// [`NotFound`](StorageErrorKind::NotFound) if there is no such organization,
    /// [`Refused`](StorageErrorKind::Refused) with every problem of the flow if it makes no sense together with the
    /// campaign and the actions registered with this engine.
    pub async fn create(
        &self,
        org_id: OrgId,
        definition: CampaignDefinition,
    ) -> Result<Campaign, StorageError> {
        self.check_flow("create_campaign", &definition)?;
        if self.inner.storage.catalog.organization(org_id).await?.is_none() {
            let context = format!("no organization {org_id}");
            return Err(StorageError::new(StorageErrorKind::NotFound, "create_campaign", context));
        }
        let id = CampaignId::from_uuid(self.inner.ids.next(self.inner.clock.now()));
        let campaign = Campaign { id, org_id, version: 1, definition };
        self.inner.storage.catalog.add_campaign(campaign.clone()).await?;
        Ok(campaign)
    }

    /// Adds the next version of a campaign, unless the latest has this definition already. Runs keep the version
    /// they were created with.
    ///
    /// # Errors
    /// [`NotFound`](StorageErrorKind::NotFound) if there is no such campaign, [`Refused`](StorageErrorKind::Refused) as
    /// for [`create`](Self::create).
    pub async fn revise(
        &self,
        id: CampaignId,
        definition: CampaignDefinition,
    ) -> Result<Campaign, StorageError> {
        self.check_flow("revise_campaign", &definition)?;
        let latest = self.find(id).await?.ok_or_else(|| {
            StorageError::new(StorageErrorKind::NotFound, "revise_campaign", format!("no campaign {id}"))
        })?;
        if latest.definition == definition {
            return Ok(latest);
        }
        let campaign = Campaign { version: latest.version + 1, definition, ..latest };
        self.inner.storage.catalog.add_campaign(campaign.clone()).await?;
        Ok(campaign)
    }

    fn check_flow(
        &self,
        operation: &'static str,
        definition: &CampaignDefinition,
    ) -> Result<(), StorageError> {
        let registered = self.inner.actions.keys().cloned().collect();
        definition.check_flow(Some(registered)).map_err(|error| {
            StorageError::new(StorageErrorKind::Refused, operation, format!("flow: {error}"))
        })
    }

    /// The latest version of a campaign, or `None`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find(&self, id: CampaignId) -> Result<Option<Campaign>, StorageError> {
        self.inner.storage.catalog.campaign(id, None).await
    }

    /// The latest version of each campaign of an organization, in the order of their ids, the first `limit` after
    /// `after`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(
        &self,
        org_id: OrgId,
        after: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Campaign>, StorageError> {
        self.inner.storage.catalog.campaigns(org_id, after, limit).await
    }
}
