//! Tenants, through the front.

use chrono_tz::Tz;

use super::Inner;
use crate::domain::{CallerId, OrgId, Organization, Region};
use crate::storage::StorageError;

/// Tenants. Got from [`Rivvi::organizations`](super::Rivvi::organizations).
#[derive(Debug, Clone, Copy)]
pub struct Organizations<'a> {
    pub(super) inner: &'a Inner,
}

/// What a new organization needs at least.
#[derive(Debug, Clone)]
pub struct NewOrganization {
    /// Its name, for people.
    pub name: String,
    /// The number callees see.
    pub caller_id: CallerId,
    /// The zone of its office.
    pub time_zone: Tz,
    /// The region whose local notation its sheets use.
    pub region: Region,
}

impl Organizations<'_> {
    /// Adds an organization with the defaults of [`Organization::new`].
    ///
    /// # Errors
    /// If the store fails.
    pub async fn create(&self, new: NewOrganization) -> Result<Organization, StorageError> {
        let id = OrgId::from_uuid(self.inner.ids.next(self.inner.clock.now()));
        let organization = Organization::new(id, new.name, new.caller_id, new.time_zone, new.region);
        self.put(organization.clone()).await?;
        Ok(organization)
    }

    /// Adds an organization, or replaces the one with its id. New limits and hours hold from the next call on.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn put(&self, organization: Organization) -> Result<(), StorageError> {
        self.inner.storage.catalog.put_organization(organization).await?;
        self.inner.wake_everywhere();
        Ok(())
    }

    /// The organization, or `None`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn find(&self, id: OrgId) -> Result<Option<Organization>, StorageError> {
        self.inner.storage.catalog.organization(id).await
    }

    /// Organizations in the order of their ids, the first `limit` after `after`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn list(&self, after: Option<OrgId>, limit: usize) -> Result<Vec<Organization>, StorageError> {
        self.inner.storage.catalog.organizations(after, limit).await
    }
}
