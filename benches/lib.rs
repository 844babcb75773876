//! Shared scenarios of the benches: a run of people in Israel, and a provider that completes every call at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use rivvi_core::clock::{Clock, VirtualClock};
use rivvi_core::domain::{
    CallId, CallerId, Campaign, CampaignDefinition, Contact, Disposition, E164, IdSource, Organization,
    Personal, ProviderName, Region, RunId,
};
use rivvi_core::engine::{EngineConfig, NewOrganization, Rivvi};
use rivvi_core::import::Sheet;
use rivvi_core::policy::zone::{ZonePolicy, resolve};
use rivvi_core::provider::{
    CallEvent, CallRef, CallUpdate, PlaceCall, PlacedCall, ProviderError, UpdateSink, VoiceProvider,
};
use rivvi_core::storage::Storage;

/// The campaign of the benches: a daily window, retries, caps.
pub const CAMPAIGN: &str = r#"
    name = "Bench"
    channel = "voice"
    [[windows]]
    days = ["sun", "mon", "tue", "wed", "thu"]
    from = "09:00"
    to = "20:30"
    [retry]
    busy = { after = "15m", max = 2 }
    no_answer = { after = "2h", max = 2 }
    [caps]
    lifetime = 5
    per_day = 2
"#;

/// A campaign that may call at any hour.
const ALWAYS: &str = r#"
    name = "Always"
    channel = "voice"
    [[windows]]
    days = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
    from = "00:00"
    to = "24:00"
"#;

/// A number of its own for each `index` below ten million.
pub fn number(index: u64) -> E164 {
    E164::from_digits(972_520_000_000 + index % 10_000_000).unwrap()
}

/// A provider that accepts every call and tells, when asked to, that a human answered.
#[derive(Debug, Default)]
pub struct Instant {
    placed: Mutex<Vec<CallId>>,
    sink: OnceLock<Arc<dyn UpdateSink>>,
}

impl Instant {
    /// Tells the end of all calls placed since it was asked last. Returns how many.
    pub async fn finish(&self, clock: &dyn Clock) -> usize {
        let placed = std::mem::take(&mut *self.placed.lock().unwrap_or_else(PoisonError::into_inner));
        let count = placed.len();
        let at = clock.now();
        let updates = placed.into_iter().map(|id| CallUpdate {
            call: CallRef::Id(id),
            at,
            event: CallEvent::Ended {
                disposition: Disposition::AnsweredHuman,
                reason: None,
                talk_time: None,
            },
        });
        if let (Some(sink), true) = (self.sink.get(), count > 0) {
            sink.deliver(updates.collect()).await.unwrap();
        }
        count
    }
}

#[async_trait]
impl VoiceProvider for Instant {
    fn name(&self) -> ProviderName {
        ProviderName::new("instant")
    }

    async fn connect(&self, sink: Arc<dyn UpdateSink>) -> Result<(), ProviderError> {
        let _ = self.sink.set(sink);
        Ok(())
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).push(request.call_id);
        Ok(PlacedCall::default())
    }
}

/// An engine over a store, with an organization, a campaign and a run that is active.
#[derive(Debug)]
pub struct Scene {
    /// The engine.
    pub rivvi: Rivvi,
    /// Its provider.
    pub provider: Arc<Instant>,
    /// Its clock: a Monday morning that stands still, unless it is in real time.
    pub clock: Arc<dyn Clock>,
    /// The organization, with 500 concurrent calls.
    pub organization: Organization,
    /// The campaign.
    pub campaign: Campaign,
    /// The run.
    pub run_id: RunId,
}

impl Scene {
    /// A scene with `contacts` contacts, written to the ledger directly, on `storage`.
    pub async fn open(storage: Storage, contacts: u64) -> Self {
        Self::open_node(storage, 1, contacts, 500).await
    }

    /// Like [`open`](Self::open), one of several on the same store, with so many calls at once.
    pub async fn open_node(storage: Storage, node: u64, contacts: u64, batch: u32) -> Self {
        let clock = Arc::new(VirtualClock::new("2026-03-02T08:00:00Z".parse().unwrap_or_default()));
        let provider = Arc::new(Instant::default());
        let builder = Rivvi::builder().storage(storage).clock(clock).ids(IdSource::seeded(node));
        let mut config = EngineConfig::default();
        config.batch = batch;
        let rivvi = builder.config(config).shared_voice(provider.clone()).build().unwrap();
        Self::set(rivvi, provider, CAMPAIGN, contacts, batch).await
    }

    /// A scene in real time whose calls `provider` places, at any hour. It has one contact, who is due.
    pub async fn in_real_time(storage: Storage, provider: Arc<dyn VoiceProvider>, limit: u32) -> Self {
        let rivvi = Rivvi::builder().storage(storage).shared_voice(provider).build().unwrap();
        Self::set(rivvi, Arc::new(Instant::default()), ALWAYS, 0, limit).await
    }

    async fn set(
        rivvi: Rivvi,
        provider: Arc<Instant>,
        campaign: &str,
        contacts: u64,
        concurrent_calls: u32,
    ) -> Self {
        let clock = rivvi.clock().clone();
        let mut organization = rivvi.organizations().create(new_organization()).await.unwrap();
        organization.limits.concurrent_calls = concurrent_calls;
        rivvi.organizations().put(organization.clone()).await.unwrap();
        let definition = CampaignDefinition::from_toml(campaign).unwrap();
        let campaign = rivvi.campaigns().create(organization.id, definition).await.unwrap();
        let sheet = Sheet::from_bytes("one.csv", "name,phone\nDana,+972520000000\n");
        let sheet = sheet.unwrap();
        let run = rivvi.runs().import(campaign.id, sheet).await.unwrap();
        let scene = Self { rivvi, provider, clock, organization, campaign, run_id: run.id };
        scene.add_contacts(contacts).await;
        scene.rivvi.runs().start(run.id).await.unwrap();
        scene
    }

    async fn add_contacts(&self, contacts: u64) {
        let now = self.clock.now();
        let rows: Vec<u64> = (3..contacts + 2).collect();
        for rows in rows.chunks(1_000) {
            let batch = rows.iter().map(|row| self.contact(*row)).collect();
            let added = self.rivvi.storage().ledger.add_contacts(batch, now).await;
            added.unwrap();
        }
    }

    /// A contact as an import makes it.
    pub fn contact(&self, row: u64) -> Contact {
        let number = number(row);
        let zones = resolve(None, number, ZonePolicy::AllCandidates, self.organization.time_zone);
        let now = self.clock.now();
        let mut contact = Contact::new(self.run_id, self.organization.id, row, number, zones, now);
        contact.person.first_name = Some(Personal::new(format!("Person {row}")));
        let variables =
            [("name", format!("Person {row}")), ("phone", number.expose()), ("note", "call".into())];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        contact.variables = Personal::new(Arc::new(variables));
        contact
    }

    /// Claims, decides, intends, places and settles up to 500 contacts. Returns how many.
    pub async fn cycle(&self) -> usize {
        self.rivvi.tick().await.unwrap();
        self.provider.finish(self.clock.as_ref()).await
    }
}

fn new_organization() -> NewOrganization {
    NewOrganization {
        name: "Bench".into(),
        caller_id: CallerId(number(1)),
        time_zone: chrono_tz::Asia::Jerusalem,
        region: Region::new("IL").unwrap(),
    }
}
