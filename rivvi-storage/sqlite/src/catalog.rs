//! Organizations and campaigns.

use async_trait::async_trait;
use rivvi_core::domain::{Campaign, CampaignId, OrgId, Organization};
use rivvi_core::storage::{Catalog, StorageError, StorageErrorKind};

use crate::SqliteStorage;
use crate::error::Failure;
use crate::value::{Columns, Id, document, limit};

#[async_trait]
impl Catalog for SqliteStorage {
    async fn put_organization(&self, organization: Organization) -> Result<(), StorageError> {
        put_organization(self, &organization).await.map_err(self.error("put_organization"))
    }

    async fn organization(&self, id: OrgId) -> Result<Option<Organization>, StorageError> {
        organization(self, id).await.map_err(self.error("organization"))
    }

    async fn organizations(
        &self,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StorageError> {
        organizations(self, after, limit).await.map_err(self.error("organizations"))
    }

    async fn add_campaign(&self, campaign: Campaign) -> Result<(), StorageError> {
        add_campaign(self, &campaign).await.map_err(self.error("add_campaign"))
    }

    async fn campaign(&self, id: CampaignId, version: Option<u32>) -> Result<Option<Campaign>, StorageError> {
        campaign(self, id, version).await.map_err(self.error("campaign"))
    }

    async fn campaigns(
        &self,
        org_id: OrgId,
        after: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Campaign>, StorageError> {
        campaigns(self, org_id, after, limit).await.map_err(self.error("campaigns"))
    }
}

async fn put_organization(store: &SqliteStorage, organization: &Organization) -> Result<(), Failure> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "INSERT INTO organizations (id, document) VALUES (?, ?) \
         ON CONFLICT (id) DO UPDATE SET document = excluded.document",
    )
    .bind(organization.id.blob())
    .bind(document("organization", organization)?)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

async fn organization(store: &SqliteStorage, id: OrgId) -> Result<Option<Organization>, Failure> {
    let query = sqlx::query("SELECT document FROM organizations WHERE id = ?").bind(id.blob());
    let row = query.fetch_optional(&mut *store.reader().await?).await?;
    row.map(|row| row.thing("organization", 0)).transpose()
}

async fn organizations(
    store: &SqliteStorage,
    after: Option<OrgId>,
    count: usize,
) -> Result<Vec<Organization>, Failure> {
    let query = sqlx::query("SELECT document FROM organizations WHERE id > ? ORDER BY id LIMIT ?")
        .bind(after.map_or_else(Vec::new, Id::blob))
        .bind(limit(count));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(|row| row.thing("organization", 0)).collect()
}

async fn add_campaign(store: &SqliteStorage, campaign: &Campaign) -> Result<(), Failure> {
    let refused = |context: &str| {
        Err(Failure::from(StorageError::new(StorageErrorKind::Refused, "add_campaign", context)))
    };
    let mut tx = store.begin().await?;
    let known = sqlx::query(
        "SELECT (SELECT max(version) FROM campaigns WHERE id = ?1), \
                (SELECT document FROM campaigns WHERE id = ?1 AND version = ?2)",
    )
    .bind(campaign.id.blob())
    .bind(i64::from(campaign.version))
    .fetch_one(&mut *tx)
    .await?;
    if let Some(known) = known.optional_text(1)? {
        let known: Campaign = crate::value::thing("campaign", known)?;
        if known == *campaign {
            return Ok(());
        }
        return refused("this version exists with another definition; add the next version");
    }
    let latest = known.optional_int(0)?.unwrap_or(0);
    if i64::from(campaign.version) != latest + 1 {
        return refused("expected the version after the latest");
    }
    sqlx::query("INSERT INTO campaigns (id, version, org_id, document) VALUES (?, ?, ?, ?)")
        .bind(campaign.id.blob())
        .bind(i64::from(campaign.version))
        .bind(campaign.org_id.blob())
        .bind(document("campaign", campaign)?)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

async fn campaign(
    store: &SqliteStorage,
    id: CampaignId,
    version: Option<u32>,
) -> Result<Option<Campaign>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM campaigns WHERE id = ?1 AND version BETWEEN ?2 AND ?3 ORDER BY version DESC LIMIT 1",
    )
    .bind(id.blob())
    .bind(version.map_or(0, i64::from))
    .bind(version.map_or(i64::MAX, i64::from));
    let row = query.fetch_optional(&mut *store.reader().await?).await?;
    row.map(|row| row.thing("campaign", 0)).transpose()
}

async fn campaigns(
    store: &SqliteStorage,
    org_id: OrgId,
    after: Option<CampaignId>,
    count: usize,
) -> Result<Vec<Campaign>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM campaigns c WHERE org_id = ?1 AND id > ?2 \
         AND version = (SELECT max(version) FROM campaigns latest WHERE latest.id = c.id) \
         ORDER BY id LIMIT ?3",
    )
    .bind(org_id.blob())
    .bind(after.map_or_else(Vec::new, Id::blob))
    .bind(limit(count));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(|row| row.thing("campaign", 0)).collect()
}
