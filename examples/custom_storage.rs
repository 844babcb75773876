//! A store of one's own: organizations, campaigns, people, calls and reports as files in a folder, mixed with a ledger
//! from elsewhere.
//!
//! `cargo run --example custom_storage` uses it;
//! `cargo test --example custom_storage --all-features` checks it with the conformance suite.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rivvi::Rivvi;
use rivvi::domain::{
    CallId, CallerId, Campaign, CampaignId, E164, OrgId, Organization, Person, PersonId, Region, RunId,
};
use rivvi::engine::NewOrganization;
use rivvi::storage::{
    Archive, ArchivedCall, CampaignContext, Catalog, Report, Storage, StorageError, StorageErrorKind,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A folder with one JSON file for each kind of thing. A file is replaced as a whole, so it is never half written.
#[derive(Debug)]
struct FolderStorage {
    folder: PathBuf,
    /// One writer at a time.
    turn: Mutex<()>,
}

type Table<T> = BTreeMap<String, T>;

impl FolderStorage {
    fn open(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), turn: Mutex::default() }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T: DeserializeOwned>(&self, table: &'static str) -> Result<Table<T>, StorageError> {
        match std::fs::read(self.path(table)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                StorageError::new(StorageErrorKind::Corrupt, table, "not JSON").with_source(error)
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Table::new()),
            Err(error) => Err(unavailable(table, error)),
        }
    }

    fn write<T: Serialize>(&self, table: &'static str, rows: &Table<T>) -> Result<(), StorageError> {
        let bytes = serde_json::to_vec(rows).map_err(|error| {
            StorageError::new(StorageErrorKind::Corrupt, table, "cannot be written as JSON")
                .with_source(error)
        })?;
        let new = self.folder.join(format!("{table}.new"));
        std::fs::write(&new, bytes).map_err(|error| unavailable(table, error))?;
        std::fs::rename(new, self.path(table)).map_err(|error| unavailable(table, error))
    }

    fn path(&self, table: &str) -> PathBuf {
        Path::new(&self.folder).join(format!("{table}.json"))
    }
}

fn unavailable(table: &'static str, error: std::io::Error) -> StorageError {
    StorageError::new(StorageErrorKind::Unavailable, table, "the folder cannot be used").with_source(error)
}

#[async_trait]
impl Catalog for FolderStorage {
    async fn put_organization(&self, organization: Organization) -> Result<(), StorageError> {
        let _turn = self.turn();
        let mut rows = self.read("organizations")?;
        rows.insert(organization.id.to_string(), organization);
        self.write("organizations", &rows)
    }

    async fn organization(&self, id: OrgId) -> Result<Option<Organization>, StorageError> {
        Ok(self.read("organizations")?.remove(&id.to_string()))
    }

    async fn organizations(
        &self,
        after: Option<OrgId>,
        limit: usize,
    ) -> Result<Vec<Organization>, StorageError> {
        let rows: Table<Organization> = self.read("organizations")?;
        let later = rows.into_values().filter(|row| after.is_none_or(|after| row.id > after));
        Ok(later.take(limit).collect())
    }

    async fn add_campaign(&self, campaign: Campaign) -> Result<(), StorageError> {
        let _turn = self.turn();
        let mut rows: Table<Vec<Campaign>> = self.read("campaigns")?;
        let versions = rows.entry(campaign.id.to_string()).or_default();
        let place = campaign.version as usize;
        match versions.get(place.wrapping_sub(1)) {
            Some(known) if *known == campaign => return Ok(()),
            None if place == versions.len() + 1 => versions.push(campaign),
            _ => {
                let context = "the version exists with another definition, or its predecessor does not exist";
                return Err(StorageError::new(StorageErrorKind::Refused, "add_campaign", context));
            }
        }
        self.write("campaigns", &rows)
    }

    async fn campaign(&self, id: CampaignId, version: Option<u32>) -> Result<Option<Campaign>, StorageError> {
        let versions: Vec<Campaign> = self.read("campaigns")?.remove(&id.to_string()).unwrap_or_default();
        Ok(match version {
            Some(version) => versions.into_iter().find(|campaign| campaign.version == version),
            None => versions.into_iter().next_back(),
        })
    }

    async fn campaigns(
        &self,
        org_id: OrgId,
        after: Option<CampaignId>,
        limit: usize,
    ) -> Result<Vec<Campaign>, StorageError> {
        let rows: Table<Vec<Campaign>> = self.read("campaigns")?;
        let latest = rows.into_values().filter_map(|versions| versions.into_iter().next_back());
        let matching = latest.filter(|c| c.org_id == org_id && after.is_none_or(|after| c.id > after));
        Ok(matching.take(limit).collect())
    }
}

#[async_trait]
impl Archive for FolderStorage {
    async fn add_people(&self, people: Vec<Person>) -> Result<Vec<PersonId>, StorageError> {
        let _turn = self.turn();
        let mut rows: Table<Person> = self.read("people")?;
        let ids = people.into_iter().map(|person| {
            let known =
                rows.entry(format!("{}/{}", person.org_id, person.hash)).or_insert_with(|| person.clone());
            known.number = person.number;
            known.fields = person.fields.or(&known.fields);
            known.id
        });
        let ids = ids.collect();
        self.write("people", &rows)?;
        Ok(ids)
    }

    async fn people(
        &self,
        org_id: OrgId,
        after: Option<PersonId>,
        limit: usize,
    ) -> Result<Vec<Person>, StorageError> {
        let rows: Table<Person> = self.read("people")?;
        let of_org = rows.into_values().filter(|person| person.org_id == org_id);
        let mut people: Vec<Person> =
            of_org.filter(|person| after.is_none_or(|after| person.id > after)).collect();
        people.sort_by_key(|person| person.id);
        people.truncate(limit);
        Ok(people)
    }

    async fn add_calls(&self, calls: Vec<ArchivedCall>) -> Result<(), StorageError> {
        let _turn = self.turn();
        let mut rows: Table<ArchivedCall> = self.read("calls")?;
        rows.extend(calls.into_iter().map(|call| (call.call.id.to_string(), call)));
        self.write("calls", &rows)
    }

    async fn archived_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<ArchivedCall>, StorageError> {
        let rows: Table<ArchivedCall> = self.read("calls")?;
        let of_run = rows.into_values().filter(|row| row.call.run_id == run_id);
        let later = of_run.filter(|row| after.is_none_or(|after| row.call.id > after));
        Ok(later.take(limit).collect())
    }

    async fn put_report(&self, report: Report) -> Result<(), StorageError> {
        let _turn = self.turn();
        let mut rows = self.read("reports")?;
        rows.insert(report.run_id.to_string(), report);
        self.write("reports", &rows)
    }

    async fn report(&self, run_id: RunId) -> Result<Option<Report>, StorageError> {
        Ok(self.read("reports")?.remove(&run_id.to_string()))
    }

    async fn put_contexts(&self, contexts: Vec<CampaignContext>) -> Result<(), StorageError> {
        let _turn = self.turn();
        let mut rows: Table<CampaignContext> = self.read("contexts")?;
        rows.extend(contexts.into_iter().map(|row| (format!("{}/{}", row.campaign_id, row.person_id), row)));
        self.write("contexts", &rows)
    }

    async fn contexts(
        &self,
        org_id: OrgId,
        number: E164,
        now: DateTime<Utc>,
    ) -> Result<Vec<CampaignContext>, StorageError> {
        let rows: Table<CampaignContext> = self.read("contexts")?;
        let of_number = rows.into_values().filter(|row| row.org_id == org_id && row.number == number);
        Ok(CampaignContext::valid_latest_first(of_number.collect(), now))
    }

    async fn purge_contexts(&self, now: DateTime<Utc>, limit: usize) -> Result<u64, StorageError> {
        let _turn = self.turn();
        let mut rows: Table<CampaignContext> = self.read("contexts")?;
        let before = rows.len();
        let mut left = limit;
        rows.retain(|_, row| {
            let lapsed = left > 0 && !row.is_valid(now);
            left -= usize::from(lapsed);
            !lapsed
        });
        self.write("contexts", &rows)?;
        Ok((before - rows.len()) as u64)
    }
}

/// The folder for what stays, memory for what is under way.
fn storage(folder: &Path) -> Storage {
    let folder = Arc::new(FolderStorage::open(folder));
    Storage { catalog: folder.clone(), archive: folder, ..Storage::in_memory() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let rivvi = Rivvi::builder().storage(storage(folder.path())).build()?;
    let new = NewOrganization {
        name: "Paper Archive".into(),
        caller_id: CallerId(E164::from_e164("+97231234567")?),
        time_zone: chrono_tz::Asia::Jerusalem,
        region: Region::new("IL")?,
    };
    let organization = rivvi.organizations().create(new).await?;
    println!("{} is kept in {}", organization.name, folder.path().join("organizations.json").display());
    Ok(())
}

#[cfg(all(test, feature = "testkit"))]
mod conformance {
    use super::*;

    async fn fresh() -> (Storage, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        (storage(folder.path()), folder)
    }

    rivvi::storage_conformance!(fresh);
}
