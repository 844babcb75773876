//! A simulated world and what happens in it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rivvi_core::clock::{Clock, VirtualClock};
use rivvi_core::domain::{
    CallId, CallerId, CampaignDefinition, E164, IdSource, JournalEntry, Organization, ProviderName, Region,
    RunId, RunState, SuppressionSource,
};
use rivvi_core::engine::{EngineConfig, NewOrganization, Rivvi};
use rivvi_core::import::Sheet;
use rivvi_core::policy::caps::Caps;
use rivvi_core::provider::{
    CallLookup, CallUpdate, Delivery, EmailProvider, FindCall, FindSms, Lookup, PlaceCall, PlacedCall,
    ProviderError, ProviderErrorKind, SendEmail, SendSms, SentEmail, SentSms, SmsCapabilities, SmsLookup,
    SmsNews, SmsProvider, VoiceCapabilities, VoiceProvider, WebhookError, WebhookRequest,
};
use rivvi_core::storage::object_store::memory::InMemory;
use rivvi_core::storage::{Blobs, Storage};
use rivvi_core::testkit::{BlobFaults, FaultyBlobs, FaultyLedger, LedgerFaults};
use rivvi_provider_sim::{Behaviour, GatewayBehaviour, SimulatedGateway, SimulatedNetwork};

/// What is wrong with the world, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Storm {
    pub(crate) faults: LedgerFaults,
    pub(crate) behaviour: Behaviour,
    pub(crate) crash: f64,
    pub(crate) nodes: usize,
    pub(crate) skew_seconds: i64,
    pub(crate) hours: i64,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) kind: Kind,
    pub(crate) phones: GatewayBehaviour,
    /// With a blob store that fails like this, from which the run is loaded in the midst of the storm.
    pub(crate) blobs: Option<BlobFaults>,
}

/// What the campaign of a storm does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Calls.
    Voice,
    /// Calls, followed by text messages, calls that say them, and letters.
    Hybrid,
    /// Text messages, followed by calls that say them.
    Sms,
}

impl Kind {
    fn campaign(self) -> &'static str {
        match self {
            Self::Voice => "channel = \"voice\"",
            Self::Hybrid => {
                r#"
                channel = "hybrid"
                [[follow_up]]
                name = "link"
                on = "action:request_information"
                sms = "Hello {{ name }}"
                retry.failed = { after = "1h", max = 1 }
                [[follow_up]]
                name = "say"
                on = ["link.no_sms", "link.no_receipt"]
                after = "1m"
                speech = "Hello {{ name }}"
                retry.no_answer = { after = "1h", max = 1 }
                [[follow_up]]
                name = "letter"
                on = ["exhausted", "say.exhausted"]
                email = { subject = "Hello", text = "Dear {{ name }}" }
                "#
            }
            Self::Sms => {
                r#"
                channel = "sms"
                message.text = "Hello {{ name }}"
                message.receipt_within = "1d"
                [[follow_up]]
                name = "say"
                on = "no_sms"
                speech = "Hello {{ name }}"
                [[follow_up]]
                name = "again"
                on = "delivered"
                after = "3h"
                sms = "Hello again {{ name }}"
                "#
            }
        }
    }
}

/// A defect put in on purpose, to see that the checker finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A lost answer is taken for a call that was not placed, so it is made again.
    RetryOnUnknown,
    /// The calling windows are not looked at.
    NoWindow,
    /// The caps are not looked at.
    NoCap,
    /// More calls at once than the limit.
    NoLimit,
    /// A suppression is acknowledged and forgotten.
    ForgottenSuppression,
    /// A lost answer of the gateway is taken for a message that was not sent, so it is sent again.
    ResendOnUnknown,
}

impl Sabotage {
    pub(crate) const ALL: [Self; 6] = [
        Self::RetryOnUnknown,
        Self::NoWindow,
        Self::NoCap,
        Self::NoLimit,
        Self::ForgottenSuppression,
        Self::ResendOnUnknown,
    ];
}

/// A network whose lost answers look like refusals.
#[derive(Debug)]
struct Forgetful(SimulatedNetwork);

#[async_trait]
impl VoiceProvider for Forgetful {
    fn name(&self) -> ProviderName {
        self.0.name()
    }

    fn capabilities(&self) -> VoiceCapabilities {
        self.0.capabilities()
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        let answer = self.0.place_call(request).await;
        answer.map_err(|error| ProviderError { delivery: Delivery::NotSent, ..error })
    }

    async fn find_call(&self, query: &FindCall) -> Result<CallLookup, ProviderError> {
        self.0.find_call(query).await
    }

    fn decode_webhook(
        &self,
        request: &WebhookRequest,
        now: DateTime<Utc>,
    ) -> Result<Vec<CallUpdate>, WebhookError> {
        self.0.decode_webhook(request, now)
    }
}

/// A gateway whose lost answers look like refusals.
#[derive(Debug)]
struct ForgetfulGateway(SimulatedGateway);

#[async_trait]
impl SmsProvider for ForgetfulGateway {
    fn name(&self) -> ProviderName {
        self.0.name()
    }

    fn capabilities(&self) -> SmsCapabilities {
        self.0.capabilities()
    }

    async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
        let answer = self.0.send_sms(request).await;
        answer.map_err(|error| ProviderError { delivery: Delivery::NotSent, ..error })
    }

    async fn find_sms(&self, query: &FindSms) -> Result<SmsLookup, ProviderError> {
        self.0.find_sms(query).await
    }

    fn decode_webhook(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Result<SmsNews, WebhookError> {
        self.0.decode_webhook(request, now)
    }
}

/// A mailbox, whose answers are lost now and then.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox {
    /// The ids of what it took, and when.
    pub(crate) taken: Arc<Mutex<Vec<CallId>>>,
    seed: u64,
}

#[async_trait]
impl EmailProvider for Mailbox {
    fn name(&self) -> ProviderName {
        ProviderName::new("mailbox")
    }

    async fn send_email(&self, request: &SendEmail) -> Result<SentEmail, ProviderError> {
        let mut taken = self.taken.lock().unwrap();
        taken.push(request.message_id);
        if (self.seed + taken.len() as u64).is_multiple_of(7) {
            return Err(ProviderError::unknown(&self.name(), "send_email", ProviderErrorKind::Timeout));
        }
        Ok(SentEmail { reference: None })
    }
}

impl Storm {
    /// One of several profiles, by seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut behaviour = Behaviour::default();
        let mut storm = Self {
            faults: LedgerFaults { busy: 0.02, unavailable: 0.01, answer_lost: 0.02 },
            behaviour: behaviour.clone(),
            crash: 0.02,
            nodes: 2,
            skew_seconds: 0,
            hours: 60,
            sabotage: None,
            kind: [Kind::Voice, Kind::Hybrid, Kind::Sms][(seed / 6 % 3) as usize],
            phones: GatewayBehaviour::default(),
            blobs: (seed % 4 == 3).then_some(BlobFaults { unavailable: 0.03, answer_lost: 0.03 }),
        };
        behaviour.lost_answers = 0.05;
        behaviour.lost_webhooks = 0.1;
        behaviour.repeated_webhooks = 0.2;
        behaviour.late_webhooks = 0.1;
        behaviour.refused = 0.05;
        match seed % 6 {
            0 => storm.nodes = 1,
            1 => storm.faults = LedgerFaults { busy: 0.1, unavailable: 0.05, answer_lost: 0.05 },
            2 => behaviour.lost_webhooks = 1.0,
            3 => storm.skew_seconds = 120,
            4 => behaviour.lost_answers = 0.4,
            _ => {
                storm.crash = 0.2;
                storm.nodes = 3;
            }
        }
        if storm.kind == Kind::Hybrid {
            behaviour.action = 0.7;
        }
        let phones = &mut storm.phones;
        (phones.no_sms, phones.unreachable, phones.replies) = (0.3, 0.1, 0.3);
        phones.lost_answers = behaviour.lost_answers;
        phones.lost_webhooks = behaviour.lost_webhooks;
        phones.repeated_webhooks = behaviour.repeated_webhooks;
        phones.late_webhooks = behaviour.late_webhooks;
        phones.refused = behaviour.refused;
        phones.lookup = if seed.is_multiple_of(2) { Lookup::ByCallId } else { Lookup::ByReference };
        storm.behaviour = behaviour;
        storm
    }
}

/// A clock that differs from another.
#[derive(Debug)]
struct SkewedClock {
    base: Arc<VirtualClock>,
    skew: TimeDelta,
}

#[async_trait]
impl Clock for SkewedClock {
    fn now(&self) -> DateTime<Utc> {
        self.base.now() + self.skew
    }

    fn monotonic(&self) -> Duration {
        self.base.monotonic()
    }

    async fn sleep_until(&self, at: DateTime<Utc>) {
        self.base.sleep_until(at - self.skew).await;
    }
}

struct Node {
    rivvi: Rivvi,
    ledger: FaultyLedger,
    born: u64,
    skew: TimeDelta,
}

pub(crate) struct World {
    pub(crate) storm: Storm,
    pub(crate) storage: Storage,
    pub(crate) network: SimulatedNetwork,
    pub(crate) gateway: SimulatedGateway,
    pub(crate) mailbox: Mailbox,
    pub(crate) organization: Organization,
    pub(crate) run_id: RunId,
    /// Numbers with the instant at which their suppression was acknowledged, and the calls named as live then.
    pub(crate) suppressed: Vec<(E164, DateTime<Utc>, Vec<CallId>)>,
    pub(crate) blobs: FaultyBlobs,
    clock: Arc<VirtualClock>,
    nodes: Vec<Node>,
    dice: StdRng,
    fired: BTreeMap<&'static str, u64>,
    seed: u64,
    births: u64,
}

pub(crate) const CONTACTS: u64 = 40;
pub(crate) const CONCURRENCY: u32 = 6;
/// The lifetime cap of the campaign below.
pub(crate) const CAP: usize = 4;
const CAMPAIGN: &str = r#"
    [[windows]]
    from = "09:00"
    to = "20:30"
    [retry]
    busy = { after = "15m", max = 2 }
    no_answer = { after = "2h", max = 2 }
    voicemail = { after = "1d", max = 1 }
    failed = { after = "5m", max = 1 }
    [caps]
    lifetime = 4
    per_day = 2
    [run]
    end_after = "9d"
"#;

impl World {
    /// A world from beginning to end.
    pub(crate) fn run(seed: u64, storm: Storm) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = Self::begin(seed, storm).await;
            world.live().await;
            world
        })
    }

    async fn begin(seed: u64, storm: Storm) -> Self {
        // Each seed begins elsewhere in the year: clock changes, the end of the year and leap days are met.
        let mut dice = StdRng::seed_from_u64(seed);
        let start: DateTime<Utc> = "2027-01-01T05:00:00Z".parse().unwrap();
        let start = start + TimeDelta::days(dice.random_range(0..800));
        let clock = Arc::new(VirtualClock::new(start));
        let network = SimulatedNetwork::new(clock.clone(), seed, storm.behaviour.clone());
        let gateway = SimulatedGateway::new(clock.clone(), seed, storm.phones.clone());
        let mailbox = Mailbox { taken: Arc::default(), seed };
        let blobs = FaultyBlobs::new(Arc::new(InMemory::new()), seed, BlobFaults::default());
        let mut storage = Storage::in_memory();
        storage.blobs = storm.blobs.map(|_| Blobs::new(blobs.clone()));
        let calm = Rivvi::builder().storage(storage.clone()).clock(clock.clone());
        let calm = calm.sms(gateway.clone()).email(mailbox.clone());
        let calm = calm.ids(IdSource::seeded(seed)).build().unwrap();
        let new = NewOrganization {
            name: "Storm".into(),
            caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
            time_zone: chrono_tz::Asia::Jerusalem,
            region: Region::new("IL").unwrap(),
        };
        let mut organization = calm.organizations().create(new).await.unwrap();
        let factor = if storm.sabotage == Some(Sabotage::NoLimit) { 4 } else { 1 };
        organization.limits.concurrent_calls = CONCURRENCY * factor;
        calm.organizations().put(organization.clone()).await.unwrap();
        let mut definition =
            CampaignDefinition::from_toml(&format!("name = 'Storm'\n{}\n{CAMPAIGN}", storm.kind.campaign()))
                .unwrap();
        match storm.sabotage {
            Some(Sabotage::NoWindow) => definition.windows.clear(),
            Some(Sabotage::NoCap) => definition.caps = Caps::default(),
            _ => {}
        }
        let campaign = calm.campaigns().create(organization.id, definition).await.unwrap();
        let sheet = Sheet::from_bytes("storm.csv", sheet(&mut dice)).unwrap();
        let run = calm.runs().import(campaign.id, sheet).await.unwrap();
        assert_eq!(run.report.imported, CONTACTS);
        match storm.blobs {
            None => calm.runs().start(run.id).await.unwrap(),
            Some(faults) => {
                blobs.set_faults(faults);
                calm.runs().schedule(run.id, start).await.unwrap()
            }
        };
        let mut world = Self {
            storm,
            storage,
            network,
            gateway,
            mailbox,
            organization,
            run_id: run.id,
            suppressed: Vec::new(),
            blobs,
            clock,
            nodes: Vec::new(),
            dice,
            fired: BTreeMap::new(),
            seed,
            births: 0,
        };
        for _ in 0..world.storm.nodes {
            let skew = world.storm.skew_seconds;
            let skew = TimeDelta::seconds(world.dice.random_range(-skew..=skew));
            let node = world.node(skew, world.storm.faults);
            world.nodes.push(node);
        }
        world
    }

    fn node(&mut self, skew: TimeDelta, faults: LedgerFaults) -> Node {
        self.births += 1;
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(self.births);
        let ledger = FaultyLedger::new(self.storage.ledger.clone(), seed, faults);
        let storage = Storage { ledger: Arc::new(ledger.clone()), ..self.storage.clone() };
        let clock = Arc::new(SkewedClock { base: self.clock.clone(), skew });
        let mut config = EngineConfig::default();
        config.unknown_deadline = Duration::from_secs(3_600);
        let rivvi = Rivvi::builder()
            .storage(storage)
            .clock(clock)
            .ids(IdSource::seeded(seed))
            .config(config)
            .shared_voice(match self.storm.sabotage {
                Some(Sabotage::RetryOnUnknown) => Arc::new(Forgetful(self.network.clone())),
                _ => Arc::new(self.network.clone()),
            })
            .shared_sms(match self.storm.sabotage {
                Some(Sabotage::ResendOnUnknown) => Arc::new(ForgetfulGateway(self.gateway.clone())),
                _ => Arc::new(self.gateway.clone()),
            })
            .email(self.mailbox.clone())
            .build()
            .unwrap();
        Node { rivvi, ledger, born: self.births, skew }
    }

    async fn live(&mut self) {
        let storm_ends = self.clock.now() + TimeDelta::hours(self.storm.hours);
        let mut stormy = true;
        for _ in 0..200_000 {
            let now = self.clock.now();
            if stormy && now >= storm_ends {
                stormy = false;
                self.heal().await;
            }
            let mut next = self.next_event_at();
            let first = self.dice.random_range(0..self.nodes.len());
            self.deliver(first).await;
            for turn in 0..self.nodes.len() {
                let at = self.turn((first + turn) % self.nodes.len(), stormy).await;
                next = [next, at].into_iter().flatten().min();
            }
            if stormy {
                self.meddle().await;
            }
            next = [next, self.next_event_at()].into_iter().flatten().min();
            match next {
                Some(next) => {
                    let next = next.max(now + TimeDelta::milliseconds(10));
                    self.clock.advance_to(if stormy { next.min(storm_ends.max(now)) } else { next });
                    if self.clock.now() == now {
                        self.clock.advance(Duration::from_millis(10));
                    }
                }
                None if stormy => self.clock.advance_to(storm_ends),
                None => return,
            }
        }
        panic!("seed {}: the world does not come to rest", self.seed);
    }

    async fn deliver(&mut self, node: usize) {
        let rivvi = self.nodes[node].rivvi.clone();
        self.network.deliver_due(&rivvi).await;
        self.gateway.deliver_due(&rivvi).await;
    }

    fn next_event_at(&self) -> Option<DateTime<Utc>> {
        [self.network.next_event_at(), self.gateway.next_event_at()].into_iter().flatten().min()
    }

    /// Lets a node do what is to be done, and perhaps crash at an await. Returns when it wants its next turn.
    async fn turn(&mut self, index: usize, stormy: bool) -> Option<DateTime<Utc>> {
        let crash = stormy && self.dice.random_bool(self.storm.crash);
        let node = &self.nodes[index];
        let (rivvi, skew) = (node.rivvi.clone(), node.skew);
        let again = Some(self.clock.now() + TimeDelta::seconds(self.dice.random_range(1..20)));
        if !crash {
            return match rivvi.tick().await {
                Ok(tick) => tick.next_at.map(|at| at - skew),
                Err(_) => again,
            };
        }
        self.count("crash");
        let polls = self.dice.random_range(1..60);
        let finished = {
            let mut tick = pin!(rivvi.tick());
            let mut context = Context::from_waker(Waker::noop());
            (0..polls).any(|_| matches!(tick.as_mut().poll(&mut context), Poll::Ready(_)))
        };
        let _ = finished;
        let faults = self.storm.faults;
        self.bury(index);
        self.nodes[index] = self.node(skew, faults);
        again
    }

    /// People act in the middle of it all.
    async fn meddle(&mut self) {
        let rivvi = self.nodes[0].rivvi.clone();
        if self.dice.random_bool(0.002) {
            let row = self.dice.random_range(0..CONTACTS);
            let number = number_of(row);
            if self.storm.sabotage == Some(Sabotage::ForgottenSuppression) {
                self.suppressed.push((number, self.clock.now(), Vec::new()));
                return;
            }
            let list = rivvi.suppression_list();
            let source = SuppressionSource::Admin;
            if let Ok(done) = list.add(self.organization.id, [number], source, "", None).await {
                self.suppressed.push((number, self.clock.now(), done.live_calls));
                self.count("suppression");
            }
        }
        if self.dice.random_bool(0.002) && rivvi.runs().pause(self.run_id, "a person").await.is_ok() {
            self.count("pause");
        }
        if self.dice.random_bool(0.02) {
            let _ = rivvi.runs().resume(self.run_id).await;
        }
    }

    async fn heal(&mut self) {
        let mut behaviour = Behaviour::default();
        behaviour.lost_webhooks = if self.storm.behaviour.lost_webhooks == 1.0 { 1.0 } else { 0.0 };
        self.network.set_behaviour(behaviour);
        let mut phones = GatewayBehaviour::default();
        phones.lost_webhooks = if self.storm.phones.lost_webhooks == 1.0 { 1.0 } else { 0.0 };
        phones.replies = 0.0;
        self.gateway.set_behaviour(phones);
        for node in &self.nodes {
            node.ledger.set_faults(LedgerFaults::default());
        }
        self.blobs.set_faults(BlobFaults::default());
        let rivvi = self.nodes[0].rivvi.clone();
        if let Ok(Some(run)) = rivvi.runs().find(self.run_id).await
            && run.state == RunState::Paused
        {
            rivvi.runs().resume(self.run_id).await.unwrap();
        }
    }

    fn bury(&mut self, index: usize) {
        for (fault, count) in self.nodes[index].ledger.fired() {
            *self.fired.entry(fault).or_default() += count;
        }
    }

    fn count(&mut self, fault: &'static str) {
        *self.fired.entry(fault).or_default() += 1;
    }

    pub(crate) fn fired(&self) -> BTreeMap<&'static str, u64> {
        let mut fired = self.fired.clone();
        fired.extend(self.blobs.fired());
        for (fault, count) in self.nodes.iter().flat_map(|node| node.ledger.fired()) {
            *fired.entry(fault).or_default() += count;
        }
        fired
    }

    pub(crate) fn journal(&self) -> Vec<JournalEntry> {
        futures::executor::block_on(async {
            self.storage.ledger.journal_feed(None, usize::MAX).await.unwrap().entries
        })
    }

    pub(crate) fn journal_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.journal()).unwrap()
    }

    pub(crate) fn timeline(&self) -> Vec<String> {
        let births = self.nodes.iter().map(|node| node.born).max().unwrap_or(0);
        let head = format!("seed {}: {} nodes lived", self.seed, births);
        let entries = self.journal().into_iter().map(|entry| {
            format!(
                "{} {} {}",
                entry.at,
                entry.aggregate.uuid(),
                serde_json::to_string(&entry.event).unwrap()
            )
        });
        let legs = self.network.history().into_iter();
        let legs = legs.map(|(leg, end)| format!("{} leg of call {} until {end}", leg.at, leg.call_id));
        let sent = self.gateway.sent().into_iter();
        let sent =
            sent.map(|message| format!("{} message {} sent, {}", message.at, message.id, message.fate));
        let mut lines: Vec<String> = entries.chain(legs).chain(sent).collect();
        lines.sort();
        lines.insert(0, head);
        lines
    }
}

pub(crate) fn number_of(row: u64) -> E164 {
    E164::from_digits(972_522_000_000 + row).unwrap()
}

/// The contacts of a storm, in a random order of priorities, in zones from −11 to +14.
fn sheet(dice: &mut StdRng) -> String {
    let zones =
        ["Asia/Jerusalem", "America/New_York", "Pacific/Pago_Pago", "Pacific/Kiritimati", "Europe/London"];
    let mut text = String::from("name,phone,priority,time zone\n");
    for row in 0..CONTACTS {
        let zone = zones[dice.random_range(0..zones.len())];
        text.push_str(&format!("P{row},+97252{},{},{zone}\n", 2_000_000 + row, dice.random_range(1..=5)));
    }
    text
}
