//! A world for tests of whole campaigns.

#![allow(dead_code, reason = "each test uses its part")]

use std::sync::Arc;

use rivvi_core::clock::VirtualClock;
use rivvi_core::domain::{CallerId, CampaignDefinition, E164, IdSource, Organization, Region};
use rivvi_core::engine::{ImportedRun, NewOrganization, Rivvi};
use rivvi_core::import::Sheet;
use rivvi_core::storage::Storage;
use rivvi_provider_sim::{Behaviour, Leg, SimulatedNetwork};

/// An engine at a simulated network, in virtual time.
pub(crate) struct World {
    pub(crate) rivvi: Rivvi,
    pub(crate) network: SimulatedNetwork,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) organization: Organization,
    pub(crate) folder: tempfile::TempDir,
}

/// A world whose callees are decided by `seed`.
pub(crate) async fn world(seed: u64, behaviour: Behaviour) -> World {
    let clock = Arc::new(VirtualClock::new("2026-03-02T06:30:00Z".parse().unwrap()));
    let network = SimulatedNetwork::new(clock.clone(), seed, behaviour);
    let folder = tempfile::tempdir().unwrap();
    network.attach_log(folder.path().join("legs.jsonl")).unwrap();
    let rivvi = Rivvi::builder()
        .storage(Storage::in_memory())
        .voice(network.clone())
        .clock(clock.clone())
        .ids(IdSource::seeded(seed))
        .build()
        .unwrap();
    let new = NewOrganization {
        name: "North Clinic".into(),
        caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
        time_zone: chrono_tz::Asia::Jerusalem,
        region: Region::new("IL").unwrap(),
    };
    let organization = rivvi.organizations().create(new).await.unwrap();
    World { rivvi, network, clock, organization, folder }
}

impl World {
    pub(crate) async fn import(&self, campaign: &str, rows: u64) -> ImportedRun {
        let definition = CampaignDefinition::from_toml(campaign).unwrap();
        let campaign = self.rivvi.campaigns().create(self.organization.id, definition).await.unwrap();
        let mut text = String::from("name,phone\n");
        for row in 0..rows {
            text.push_str(&format!("Person {row},052{:07}\n", 2_000_000 + row));
        }
        let sheet = Sheet::from_bytes("people.csv", text).unwrap();
        self.rivvi.runs().import(campaign.id, sheet).await.unwrap()
    }

    pub(crate) async fn settle(&self) {
        let mut steps = 0;
        while self.network.step(&self.rivvi, &self.clock).await.unwrap() {
            steps += 1;
            assert!(steps < 100_000, "the run does not end");
        }
    }

    pub(crate) fn legs(&self) -> Vec<Leg> {
        Leg::read_all(self.folder.path().join("legs.jsonl")).unwrap()
    }
}

/// A campaign with a daily window, retries and caps.
pub(crate) const CAMPAIGN: &str = r#"
    name = "Reminder"
    channel = "voice"
    [[windows]]
    from = "09:00"
    to = "20:30"
    [retry]
    busy = { after = "15m", max = 2 }
    no_answer = { after = "2h", max = 2 }
    voicemail = { after = "1d", max = 1 }
    failed = { after = "5m", max = 1 }
    [caps]
    lifetime = 3
    per_day = 2
"#;
