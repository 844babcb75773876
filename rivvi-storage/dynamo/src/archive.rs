//! People, finished calls and reports, in the table `records`.
//!
//! | partition (`pk`) | place (`sk`) | what |
//! |---|---|---|
//! | `people#ORG` | person | a person |
//! | `person#ORG#HASH` | `person` | the id of the person with a hash |
//! | `calls#RUN` | call | a finished call |
//! | `report#RUN` | `report` | a report |
//! | `contexts…` | | see [`context`](crate::context) |

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallId, E164, OrgId, Person, PersonId, RunId};
use rivvi_core::storage::{Archive, ArchivedCall, CampaignContext, Report, StorageError};

use crate::DynamoStorage;
use crate::catalog::record;
use crate::error::Failure;
use crate::gateway::Pause;
use crate::place::{Place, VERSION, When, Write};
use crate::transact::Transacted;
use crate::value::{Attributes, Item, document, number, text};
use crate::{call, context};

#[async_trait]
impl Archive for DynamoStorage {
    async fn add_people(&self, people: Vec<Person>) -> Result<Vec<PersonId>, StorageError> {
        let add = async {
            let mut ids = Vec::with_capacity(people.len());
            for chunk in people.chunks(PEOPLE_MAX) {
                ids.extend(add_people(self, chunk).await?);
            }
            Ok(ids)
        };
        add.await.map_err(self.error("add_people"))
    }

    async fn people(
        &self,
        org_id: OrgId,
        after: Option<PersonId>,
        limit: usize,
    ) -> Result<Vec<Person>, StorageError> {
        let after = after.map(|after| after.to_string());
        self.documents("person", people_of(org_id), after, limit).await.map_err(self.error("people"))
    }

    async fn add_calls(&self, calls: Vec<ArchivedCall>) -> Result<(), StorageError> {
        let add = async {
            // A batch may not write one place twice; the last counts.
            let mut writes: BTreeMap<Place, Write> = BTreeMap::new();
            for archived in calls {
                let place = record(calls_of(archived.call.run_id), archived.call.id);
                let call = call::fitting(&archived.call).into_owned();
                let archived = ArchivedCall { call, ..archived };
                writes.insert(place.clone(), Write::put(place, [("doc", document("call", &archived)?)]));
            }
            self.gateway().write_all(writes.into_values().collect()).await
        };
        add.await.map_err(self.error("add_calls"))
    }

    async fn archived_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<ArchivedCall>, StorageError> {
        let after = after.map(|after| after.to_string());
        self.documents("call", calls_of(run_id), after, limit).await.map_err(self.error("archived_calls"))
    }

    async fn put_report(&self, report: Report) -> Result<(), StorageError> {
        let put = async {
            let write = Write::put(report_of(report.run_id), [("doc", document("report", &report)?)]);
            self.gateway().write_all(vec![write]).await
        };
        put.await.map_err(self.error("put_report"))
    }

    async fn report(&self, run_id: RunId) -> Result<Option<Report>, StorageError> {
        self.document("report", &report_of(run_id)).await.map_err(self.error("report"))
    }

    async fn put_contexts(&self, contexts: Vec<CampaignContext>) -> Result<(), StorageError> {
        context::put(self, contexts).await.map_err(self.error("put_contexts"))
    }

    async fn contexts(
        &self,
        org_id: OrgId,
        number: E164,
        now: DateTime<Utc>,
    ) -> Result<Vec<CampaignContext>, StorageError> {
        context::of_number(self, org_id, number, now).await.map_err(self.error("contexts"))
    }

    async fn purge_contexts(&self, now: DateTime<Utc>, limit: usize) -> Result<u64, StorageError> {
        context::purge(self, now, limit).await.map_err(self.error("purge_contexts"))
    }
}

/// People that one transaction adds: each is a person and its hash.
const PEOPLE_MAX: usize = 50;

fn people_of(org_id: OrgId) -> String {
    format!("people#{org_id}")
}

fn hash_place(org_id: OrgId, hash: &str) -> Place {
    record(format!("person#{org_id}#{hash}"), "person")
}

fn calls_of(run_id: RunId) -> String {
    format!("calls#{run_id}")
}

fn report_of(run_id: RunId) -> Place {
    record(format!("report#{run_id}"), "report")
}

/// Adds people until nobody is in the way.
async fn add_people(store: &DynamoStorage, people: &[Person]) -> Result<Vec<PersonId>, Failure> {
    let mut pause = Pause::new(store.gateway());
    loop {
        let (ids, writes) = draft_people(store, people).await?;
        if store.gateway().transact(writes).await? == Transacted::Done {
            return Ok(ids);
        }
        pause.wait().await.map_err(|()| Failure::Contended)?;
    }
}

/// A person in work: what is known, and the version that was read.
struct Known {
    person: Person,
    version: Option<u64>,
}

async fn draft_people(
    store: &DynamoStorage,
    people: &[Person],
) -> Result<(Vec<PersonId>, Vec<Write>), Failure> {
    let hashes = people.iter().map(|person| hash_place(person.org_id, &person.hash));
    let hashes = store.gateway().get_all(hashes).await?;
    let mut places = BTreeMap::new();
    for person in people {
        let place = hash_place(person.org_id, &person.hash);
        if let Some(item) = hashes.get(&place) {
            places.insert(place, record(people_of(person.org_id), item.text("person_id")?));
        }
    }
    let stored = store.gateway().get_all(places.values().cloned()).await?;
    let mut known: BTreeMap<Place, Known> = BTreeMap::new();
    for (hash, place) in places {
        if let Some(item) = stored.get(&place) {
            let version = Some(item.integer(VERSION)?);
            known.insert(hash, Known { person: item.document("person", "doc")?, version });
        }
    }
    let mut ids = Vec::with_capacity(people.len());
    for person in people {
        let place = hash_place(person.org_id, &person.hash);
        let held = known.entry(place).or_insert_with(|| Known { person: person.clone(), version: None });
        held.person.number = person.number;
        held.person.fields = person.fields.or(&held.person.fields);
        ids.push(held.person.id);
    }
    let mut writes = Vec::with_capacity(2 * known.len());
    for (hash, Known { person, version }) in known {
        let place = record(people_of(person.org_id), person.id);
        let version_now = number(version.unwrap_or(0) + 1);
        let item = place.item([(VERSION, version_now), ("doc", document("person", &person)?)]);
        writes.push(Write::Put { place, item, when: When::as_read(version) });
        if version.is_none() {
            let item: Item = hash.item([("person_id", text(person.id.to_string()))]);
            writes.push(Write::Put { place: hash, item, when: When::Absent });
        }
    }
    Ok((ids, writes))
}
