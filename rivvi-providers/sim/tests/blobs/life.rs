//! A campaign with a blob store from the sheet to the end.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::TryStreamExt;
use rivvi_core::clock::VirtualClock;
use rivvi_core::domain::{
    CallerId, Campaign, CampaignDefinition, CampaignId, E164, IdSource, Organization, Region, Run, RunId,
    RunState, RunTally,
};
use rivvi_core::engine::{ImportedRun, NewOrganization, Rivvi, RunImportError};
use rivvi_core::import::Sheet;
use rivvi_core::storage::object_store::memory::InMemory;
use rivvi_core::storage::object_store::path::Path;
use rivvi_core::storage::object_store::{ObjectStore, ObjectStoreExt};
use rivvi_core::storage::{Blobs, Storage, StorageError};
use rivvi_core::testkit::{BlobFaults, FaultyBlobs};
use rivvi_provider_sim::{Behaviour, SimulatedNetwork};

/// An engine at a simulated network in virtual time, with a blob store.
pub(crate) struct Life {
    pub(crate) storage: Storage,
    pub(crate) faulty: FaultyBlobs,
    /// What the faulty store passes on to.
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) network: SimulatedNetwork,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) organization: Organization,
    pub(crate) rivvi: Rivvi,
    births: u64,
}

pub(crate) const CAMPAIGN: &str = r#"
    name = "Reminder"
    channel = "voice"
    [[windows]]
    from = "09:00"
    to = "20:30"
    [retry]
    busy = { after = "15m", max = 1 }
    [caps]
    lifetime = 3
"#;

impl Life {
    pub(crate) async fn begin() -> Self {
        Self::on(Arc::new(InMemory::new())).await
    }

    pub(crate) async fn on(store: Arc<dyn ObjectStore>) -> Self {
        let clock = Arc::new(VirtualClock::new("2027-06-01T05:30:00Z".parse().unwrap()));
        let network = SimulatedNetwork::new(clock.clone(), 7, Behaviour::default());
        let faulty = FaultyBlobs::new(store.clone(), 1, BlobFaults::default());
        let storage = Storage::in_memory().with_blobs(Blobs::new(faulty.clone()));
        let rivvi = engine(&storage, &clock, &network, 1);
        let new = NewOrganization {
            name: "North Clinic".into(),
            caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
            time_zone: chrono_tz::Asia::Jerusalem,
            region: Region::new("IL").unwrap(),
        };
        let organization = rivvi.organizations().create(new).await.unwrap();
        Self { storage, faulty, store, network, clock, organization, rivvi, births: 1 }
    }

    /// The engine dies, and another one on the same stores takes its place.
    pub(crate) fn reborn(&mut self) {
        self.births += 1;
        self.rivvi = engine(&self.storage, &self.clock, &self.network, self.births);
    }

    pub(crate) async fn campaign(&self) -> Campaign {
        let definition = CampaignDefinition::from_toml(CAMPAIGN).unwrap();
        self.rivvi.campaigns().create(self.organization.id, definition).await.unwrap()
    }

    pub(crate) async fn import(
        &self,
        campaign: CampaignId,
        rows: u64,
    ) -> Result<ImportedRun, RunImportError> {
        self.rivvi.runs().import(campaign, sheet(rows)).await
    }

    pub(crate) async fn imported(&self, rows: u64) -> ImportedRun {
        let campaign = self.campaign().await;
        self.import(campaign.id, rows).await.unwrap()
    }

    pub(crate) async fn run(&self, id: RunId) -> Run {
        self.rivvi.runs().find(id).await.unwrap().unwrap()
    }

    /// Contacts of a run in the ledger.
    pub(crate) async fn in_ledger(&self, id: RunId) -> u64 {
        self.storage.ledger.tally(id).await.unwrap().contacts()
    }

    /// Goes on until nothing is left to happen. Errors of the stores are met with another try.
    pub(crate) async fn settle(&self) -> Vec<StorageError> {
        let mut errors = Vec::new();
        for _ in 0..100_000 {
            match self.network.step(&self.rivvi, &self.clock).await {
                Ok(true) => {}
                Ok(false) => return errors,
                Err(error) => errors.push(error),
            }
        }
        panic!("the run does not end: {errors:?}");
    }

    /// The counts of a run that is over, after checking that every contact has its outcome.
    pub(crate) async fn completed(&self, id: RunId, rows: u64) -> RunTally {
        let progress = self.rivvi.runs().progress(id).await.unwrap();
        assert_eq!(progress.state, RunState::Completed);
        assert_eq!(progress.tally.settled(), rows);
        let calls: HashMap<_, _> =
            self.network.history().into_iter().map(|(leg, _)| (leg.call_id, leg.to)).collect();
        assert_eq!(calls.len(), self.network.legs(), "no call was made twice");
        progress.tally
    }

    /// The names of all objects that begin so, with their contents.
    pub(crate) async fn objects(&self, prefix: &str) -> BTreeMap<String, String> {
        let found: Vec<_> = self.store.list(Some(&Path::from(prefix))).try_collect().await.unwrap();
        let mut objects = BTreeMap::new();
        for meta in found {
            let bytes = self.store.get(&meta.location).await.unwrap().bytes().await.unwrap();
            objects.insert(meta.location.to_string(), String::from_utf8(bytes.to_vec()).unwrap());
        }
        objects
    }

    pub(crate) async fn replace(&self, path: &str, text: impl Into<String>) {
        self.store.put(&Path::from(path), text.into().into_bytes().into()).await.unwrap();
    }
}

fn engine(storage: &Storage, clock: &Arc<VirtualClock>, network: &SimulatedNetwork, seed: u64) -> Rivvi {
    Rivvi::builder()
        .storage(storage.clone())
        .voice(network.clone())
        .clock(clock.clone())
        .ids(IdSource::seeded(seed))
        .build()
        .unwrap()
}

pub(crate) fn sheet(rows: u64) -> Sheet {
    let mut text = String::from("name,phone,note\n");
    for row in 0..rows {
        text.push_str(&format!("Person {row},052{:07},\"line one\nשָׁלוֹם \"\"{row}\"\"\"\n", 2_000_000 + row));
    }
    Sheet::from_bytes("people.csv", text).unwrap()
}
