//! Organizations and campaigns.

use std::fmt::Debug;

use async_trait::async_trait;

use super::StorageError;
use crate::domain::{Campaign, CampaignId, OrgId, Organization};

/// Keeps organizations and campaigns.
#[async_trait]
pub trait Catalog: Debug + Send + Sync + 'static {
    /// Adds the organization, or replaces the one with its id.
    async fn put_organization(&self, organization: Organization) -> Result<(), StorageError>;

    /// The organization, or `None`.
    async fn organization(&self, id: OrgId) -> Result<Option<Organization>, StorageError>;

    /// Organizations in the order of their ids, the first `limit` after `after`.
    async fn organizations(
        &self,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StorageError>;

    /// Adds a version of a campaign. Adding the same version with the same definition again changes nothing.
    ///
    /// # Errors
    /// [`Refused`](super::StorageErrorKind::Refused) if that version exists with another definition, or if its
    /// predecessor does not exist.
    async fn add_campaign(&self, campaign: Campaign) -> Result<(), StorageError>;

    /// A version of the campaign, the latest for `None`.
    async fn campaign(&self, id: CampaignId, version: Option<u32>) -> Result<Option<Campaign>, StorageError>;

    /// The latest version of each campaign of an organization, in the order of their ids, the first `limit` after
    /// `after`.
    async fn campaigns(
        &self,
        org_id: OrgId,
        after: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Campaign>, StorageError>;
}
