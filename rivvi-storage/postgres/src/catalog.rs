//! Organizations and campaigns.

use async_trait::async_trait;
use rivvi_core::domain::{Campaign, CampaignId, OrgId, Organization};
use rivvi_core::storage::{Catalog, StorageError, StorageErrorKind};

use crate::PostgresStorage;
use crate::error::Failure;
use crate::value::{Columns, after, count, document, legible, limit, queryable};

#[async_trait]
impl Catalog for PostgresStorage {
    async fn put_organization(&self, organization: Organization) -> Result<(), StorageError> {
        self.retried("put_organization", || put_organization(self, &organization)).await
    }

    async fn organization(&self, id: OrgId) -> Result<Option<Organization>, StorageError> {
        self.verb("organization", organization(self, id)).await
    }

    async fn organizations(
        &self,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StorageError> {
        self.verb("organizations", organizations(self, after, limit)).await
    }

    async fn add_campaign(&self, campaign: Campaign) -> Result<(), StorageError> {
        self.retried("add_campaign", || add_campaign(self, &campaign)).await
    }

    async fn campaign(&self, id: CampaignId, version: Option<u32>) -> Result<Option<Campaign>, StorageError> {
        self.verb("campaign", campaign(self, id, version)).await
    }

    async fn campaigns(
        &self,
        org_id: OrgId,
        after: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Campaign>, StorageError> {
        self.verb("campaigns", campaigns(self, org_id, after, limit)).await
    }
}

async fn put_organization(store: &PostgresStorage, organization: &Organization) -> Result<(), Failure> {
    let put = sqlx::query(
        "INSERT INTO organizations \
           (id, name, outbound_phone, timezone, office_hours, concurrent_call_limit, document) \
         VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7) ON CONFLICT (id) DO UPDATE SET \
           name = excluded.name, outbound_phone = excluded.outbound_phone, timezone = excluded.timezone, \
           office_hours = excluded.office_hours, concurrent_call_limit = excluded.concurrent_call_limit, \
           document = excluded.document",
    )
    .bind(organization.id.as_uuid())
    .bind(legible(&organization.name))
    .bind(organization.caller_id.0.expose())
    .bind(organization.time_zone.name())
    .bind(organization.office_hours.as_ref().map(|hours| queryable("office hours", hours)).transpose()?)
    .bind(count(organization.limits.concurrent_calls))
    .bind(document("organization", organization)?);
    store.reader().await?.run(put).await.map(drop)
}

async fn organization(store: &PostgresStorage, id: OrgId) -> Result<Option<Organization>, Failure> {
    let query = sqlx::query("SELECT document FROM organizations WHERE id = $1").bind(id.as_uuid());
    let row = store.reader().await?.row(query).await?;
    row.map(|row| row.thing("organization", 0)).transpose()
}

async fn organizations(
    store: &PostgresStorage,
    after_id: Option<OrgId>,
    count: usize,
) -> Result<Vec<Organization>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM organizations WHERE ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT $2",
    )
    .bind(after(after_id))
    .bind(limit(count));
    let rows = store.reader().await?.rows(query).await?;
    rows.iter().map(|row| row.thing("organization", 0)).collect()
}

async fn add_campaign(store: &PostgresStorage, campaign: &Campaign) -> Result<(), Failure> {
    let refused = |context: &str| {
        Err(Failure::from(StorageError::new(StorageErrorKind::Refused, "add_campaign", context)))
    };
    let definition = &campaign.definition;
    // Of several who add one version, the key lets one through, and the others find it.
    let mut tx = store.begin().await?;
    let known = sqlx::query(
        "SELECT (SELECT max(version) FROM campaigns WHERE id = $1), \
                (SELECT document FROM campaigns WHERE id = $1 AND version = $2)",
    )
    .bind(campaign.id.as_uuid())
    .bind(count(campaign.version));
    let known = tx.row(known).await?.ok_or(Failure::Overtaken)?;
    if let Some(known) = known.optional_text(1)? {
        let known: Campaign = crate::value::thing("campaign", known)?;
        if known == *campaign {
            return Ok(());
        }
        return refused("this version exists with another definition; add the next version");
    }
    let latest = known.value::<Option<i64>>(0)?.unwrap_or(0);
    if count(campaign.version) != latest + 1 {
        return refused("expected the version after the latest");
    }
    let insert = sqlx::query(
        "INSERT INTO campaigns (id, version, org_id, name, agent_id, required_fields, campaign_variables, \
           validation_rules, document) \
         VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8::jsonb, $9)",
    )
    .bind(campaign.id.as_uuid())
    .bind(count(campaign.version))
    .bind(campaign.org_id.as_uuid())
    .bind(legible(&definition.name))
    .bind(definition.agent_id.as_deref().map(legible))
    .bind(queryable("required fields", &definition.required_fields)?)
    .bind(queryable("campaign variables", &definition.variables)?)
    .bind(queryable("validation rules", &definition.import)?)
    .bind(document("campaign", campaign)?);
    tx.run(insert).await?;
    tx.commit().await
}

async fn campaign(
    store: &PostgresStorage,
    id: CampaignId,
    version: Option<u32>,
) -> Result<Option<Campaign>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM campaigns WHERE id = $1 AND version BETWEEN $2 AND $3 \
         ORDER BY version DESC LIMIT 1",
    )
    .bind(id.as_uuid())
    .bind(version.map_or(0, count))
    .bind(version.map_or(i64::MAX, count));
    let row = store.reader().await?.row(query).await?;
    row.map(|row| row.thing("campaign", 0)).transpose()
}

async fn campaigns(
    store: &PostgresStorage,
    org_id: OrgId,
    after_id: Option<CampaignId>,
    count: usize,
) -> Result<Vec<Campaign>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM campaigns c WHERE org_id = $1 AND ($2::uuid IS NULL OR id > $2) \
         AND version = (SELECT max(version) FROM campaigns latest WHERE latest.id = c.id) ORDER BY id LIMIT $3",
    )
    .bind(org_id.as_uuid())
    .bind(after(after_id))
    .bind(limit(count));
    let rows = store.reader().await?.rows(query).await?;
    rows.iter().map(|row| row.thing("campaign", 0)).collect()
}
