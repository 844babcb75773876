//! Organizations and campaigns, in the table `records`.

use async_trait::async_trait;
use rivvi_core::domain::{Campaign, CampaignId, OrgId, Organization};
use rivvi_core::storage::{Catalog, StorageError, StorageErrorKind};

use crate::DynamoStorage;
use crate::error::Failure;
use crate::gateway::{Pause, Range};
use crate::place::{Place, Table, When, Write};
use crate::transact::Transacted;
use crate::value::{Attributes, document};

/// The partition of all organizations, each at its id.
const ORGANIZATIONS: &str = "organizations";

#[async_trait]
impl Catalog for DynamoStorage {
    async fn put_organization(&self, organization: Organization) -> Result<(), StorageError> {
        let put = async {
            let place = record(ORGANIZATIONS, organization.id);
            let write = Write::put(place, [("doc", document("organization", &organization)?)]);
            self.gateway().write_all(vec![write]).await
        };
        put.await.map_err(self.error("put_organization"))
    }

    async fn organization(&self, id: OrgId) -> Result<Option<Organization>, StorageError> {
        self.document("organization", &record(ORGANIZATIONS, id)).await.map_err(self.error("organization"))
    }

    async fn organizations(
        &self,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StorageError> {
        let after = after.map(|after| after.to_string());
        let found = self.documents("organization", ORGANIZATIONS.to_owned(), after, limit);
        found.await.map_err(self.error("organizations"))
    }

    async fn add_campaign(&self, campaign: Campaign) -> Result<(), StorageError> {
        add_campaign(self, &campaign).await.map_err(self.error("add_campaign"))
    }

    async fn campaign(&self, id: CampaignId, version: Option<u32>) -> Result<Option<Campaign>, StorageError> {
        let found = async {
            if let Some(version) = version {
                return self.document("campaign", &campaign_version(id, version)).await;
            }
            let range = Range { backward: true, limit: 1, ..Range::all(Table::Records, versions(id)) };
            let latest = self.gateway().query(range).await?;
            latest.first().map(|item| Ok(item.document("campaign", "doc")?)).transpose()
        };
        found.await.map_err(self.error("campaign"))
    }

    async fn campaigns(
        &self,
        org_id: OrgId,
        after: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Campaign>, StorageError> {
        let after = after.map(|after| after.to_string());
        let found = self.documents("campaign", campaigns_of(org_id), after, limit);
        found.await.map_err(self.error("campaigns"))
    }
}

/// A place in the table `records`.
pub(crate) fn record(pk: impl Into<String>, sk: impl ToString) -> Place {
    Place { table: Table::Records, pk: pk.into(), sk: sk.to_string() }
}

/// The partition of the versions of a campaign.
fn versions(id: CampaignId) -> String {
    format!("campaign#{id}")
}

fn campaign_version(id: CampaignId, version: u32) -> Place {
    record(versions(id), format!("{version:010}"))
}

/// The partition of the latest versions of an organization's campaigns.
fn campaigns_of(org_id: OrgId) -> String {
    format!("campaigns#{org_id}")
}

async fn add_campaign(store: &DynamoStorage, campaign: &Campaign) -> Result<(), Failure> {
    let refused =
        |context: &str| Err(StorageError::new(StorageErrorKind::Refused, "add_campaign", context).into());
    let place = campaign_version(campaign.id, campaign.version);
    let doc = document("campaign", campaign)?;
    let mut pause = Pause::new(store.gateway());
    loop {
        match store.document::<Campaign>("campaign", &place).await? {
            Some(known) if known == *campaign => return Ok(()),
            Some(_) => return refused("this version exists with another definition; add the next version"),
            None => {}
        }
        let before = campaign.version.checked_sub(1).map(|before| campaign_version(campaign.id, before));
        match before {
            None => return refused("versions begin with 1"),
            Some(before) if campaign.version > 1 && store.gateway().get(&before).await?.is_none() => {
                return refused("expected the version after the latest");
            }
            Some(_) => {}
        }
        // Versions are never removed, so the one before is still there, and this is the latest.
        let item = place.item([("doc", doc.clone())]);
        let latest = record(campaigns_of(campaign.org_id), campaign.id);
        let writes = vec![
            Write::Put { place: place.clone(), item, when: When::Absent },
            Write::put(latest, [("doc", doc.clone())]),
        ];
        if store.gateway().transact(writes).await? == Transacted::Done {
            return Ok(());
        }
        pause.wait().await.map_err(|()| Failure::Contended)?;
    }
}

impl DynamoStorage {
    /// The document at a place.
    pub(crate) async fn document<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        place: &Place,
    ) -> Result<Option<T>, Failure> {
        let item = self.gateway().get(place).await?;
        item.map(|item| Ok(item.document(what, "doc")?)).transpose()
    }

    /// The documents of a partition of the table `records`, the first `limit` after a sort key.
    pub(crate) async fn documents<T: serde::de::DeserializeOwned>(
        &self,
        what: &'static str,
        pk: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<T>, Failure> {
        let range = Range { after, limit, ..Range::all(Table::Records, pk) };
        let items = self.gateway().query(range).await?;
        items.iter().map(|item| Ok(item.document(what, "doc")?)).collect()
    }
}
