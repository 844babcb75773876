//! An engine at a Retell that is not there, in virtual time.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::{Clock, VirtualClock};
use rivvi_core::domain::{CallerId, CampaignDefinition, E164, IdSource, Organization, Region};
use rivvi_core::engine::{ImportedRun, NewOrganization, Progress, Rivvi};
use rivvi_core::import::Sheet;
use rivvi_core::provider::WebhookRequest;
use rivvi_core::storage::Storage;
use serde_json::{Value, json};

use super::{FakeRetell, webhook};

/// What becomes of webhooks on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Each comes once, in order.
    Prompt,
    /// None comes.
    Never,
    /// Each comes twice, minutes later, the last first.
    TwiceAndBackwards,
}

/// A campaign with retries.
pub(crate) const CAMPAIGN: &str = r#"
    name = "Reminder"
    channel = "voice"
    agent_id = "agent_out"
    variables = { clinic = "North" }
    [prompt]
    base = "You call {{first_name}} from {{clinic}}."
    [inbound]
    agent_id = "agent_in"
    [retry]
    busy = { after = "15m", max = 1 }
    no_answer = { after = "2h", max = 1 }
    voicemail = { after = "1h", max = 1 }
"#;

pub(crate) struct World {
    pub(crate) fake: FakeRetell,
    pub(crate) rivvi: Rivvi,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) organization: Organization,
    pub(crate) delivery: Delivery,
    /// When Retell got each call.
    seen: BTreeMap<String, DateTime<Utc>>,
    /// Events that were told, or are about to be.
    told: HashSet<(String, &'static str)>,
    /// Webhooks on their way.
    waiting: BTreeMap<(DateTime<Utc>, u64), WebhookToCome>,
    sent: u64,
}

struct WebhookToCome {
    event: &'static str,
    call: Value,
}

impl World {
    pub(crate) async fn new(delivery: Delivery, storage: Storage) -> Self {
        let clock = Arc::new(VirtualClock::new("2026-03-02T06:30:00Z".parse().unwrap()));
        let fake = FakeRetell::start().await;
        let retell = fake.provider(clock.clone(), Duration::from_secs(5));
        let rivvi = Rivvi::builder()
            .storage(storage)
            .voice(retell)
            .clock(clock.clone())
            .ids(IdSource::seeded(7))
            .build()
            .unwrap();
        let new = NewOrganization {
            name: "North Clinic".into(),
            caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
            time_zone: chrono_tz::Asia::Jerusalem,
            region: Region::new("IL").unwrap(),
        };
        let organization = rivvi.organizations().create(new).await.unwrap();
        Self {
            fake,
            rivvi,
            clock,
            organization,
            delivery,
            seen: BTreeMap::new(),
            told: HashSet::new(),
            waiting: BTreeMap::new(),
            sent: 0,
        }
    }

    /// The number of row `n`, counted from 0.
    pub(crate) fn number(n: u64) -> E164 {
        E164::from_digits(972_522_000_000 + n).unwrap()
    }

    /// A run of a campaign over so many people, started.
    pub(crate) async fn start(&self, campaign: &str, rows: u64) -> ImportedRun {
        let definition = CampaignDefinition::from_toml(campaign).unwrap();
        let campaign = self.rivvi.campaigns().create(self.organization.id, definition).await.unwrap();
        let mut text = String::from("first name,phone,dob,slot\n");
        for row in 0..rows {
            text.push_str(&format!("Person{row},{},1990-04-03,noon\n", Self::number(row).expose()));
        }
        let sheet = Sheet::from_bytes("people.csv", text).unwrap();
        let run = self.rivvi.runs().import(campaign.id, sheet).await.unwrap();
        self.rivvi.runs().start(run.id).await.unwrap();
        run
    }

    /// Goes on until nothing is left to happen before `end`.
    pub(crate) async fn until(&mut self, end: DateTime<Utc>) {
        for _ in 0..10_000 {
            self.deliver().await;
            let tick = self.rivvi.tick().await.unwrap();
            self.happen();
            let next = [tick.next_at, self.next_at()].into_iter().flatten().min();
            match next.filter(|next| *next < end) {
                Some(next) => self.clock.advance_to(next.max(self.clock.now() + TimeDelta::milliseconds(1))),
                None => {
                    self.clock.advance_to(end.max(self.clock.now()));
                    self.rivvi.tick().await.unwrap();
                    return;
                }
            }
        }
        panic!("it does not come to rest");
    }

    pub(crate) async fn progress(&self, run: &ImportedRun) -> Progress {
        self.rivvi.runs().progress(run.id).await.unwrap()
    }

    /// Sends a webhook to the engine.
    pub(crate) async fn send(&self, request: &WebhookRequest) {
        self.rivvi.receive("retell", request).await.unwrap();
    }

    /// What comes to pass by now, with the webhooks that tell of it.
    pub(crate) fn happen(&mut self) {
        let now = self.clock.now();
        for call in self.fake.all() {
            let id = call["call_id"].as_str().unwrap().to_owned();
            if call["direction"] == "inbound" {
                continue;
            }
            let placed = *self.seen.entry(id.clone()).or_insert(now);
            let attempt = self.attempt_of(&call, &id);
            for (after, event, fields) in story(&call, placed, attempt) {
                if now >= placed + TimeDelta::seconds(after) && self.told.insert((id.clone(), event)) {
                    self.fake.change(&id, &fields);
                    let call =
                        self.fake.all().into_iter().find(|call| call["call_id"] == id.as_str()).unwrap();
                    self.post(event, &call);
                }
            }
        }
    }

    /// How many calls to this number came before.
    fn attempt_of(&self, call: &Value, id: &str) -> usize {
        let same = |other: &Value| {
            other["to_number"] == call["to_number"] && other["call_id"].as_str().unwrap() < id
        };
        self.fake.all().iter().filter(|other| same(other)).count()
    }

    fn post(&mut self, event: &'static str, call: &Value) {
        let now = self.clock.now();
        let mut send = |at| {
            self.sent += 1;
            self.waiting.insert((at, self.sent), WebhookToCome { event, call: call.clone() });
        };
        match self.delivery {
            Delivery::Never => {}
            Delivery::Prompt => send(now),
            Delivery::TwiceAndBackwards => {
                // The later it happened, the sooner it comes.
                let late = match event {
                    "call_started" => 300,
                    "call_ended" => 200,
                    _ => 1,
                };
                send(now + TimeDelta::seconds(late));
                send(now + TimeDelta::seconds(late + 400));
            }
        }
    }

    async fn deliver(&mut self) {
        let now = self.clock.now();
        let later = self.waiting.split_off(&(now + TimeDelta::microseconds(1), 0));
        for WebhookToCome { event, call } in std::mem::replace(&mut self.waiting, later).into_values() {
            self.send(&webhook(event, &call, now)).await;
        }
    }

    fn next_at(&self) -> Option<DateTime<Utc>> {
        let webhook = self.waiting.keys().next().map(|(at, _)| *at);
        let happening = self.fake.all().into_iter().filter_map(|call| {
            let id = call["call_id"].as_str()?.to_owned();
            let placed = *self.seen.get(&id)?;
            let story = story(&call, placed, self.attempt_of(&call, &id));
            let next = story.into_iter().find(|(_, event, _)| !self.told.contains(&(id.clone(), *event)))?;
            Some(placed + TimeDelta::seconds(next.0))
        });
        happening.chain(webhook).min()
    }
}

/// What becomes of a call, decided by the last digit of the number and by how often it was called: seconds after it was
/// placed, event, what Retell knows then.
fn story(call: &Value, placed: DateTime<Utc>, attempt: usize) -> Vec<(i64, &'static str, Value)> {
    let at = |seconds: i64| (placed + TimeDelta::seconds(seconds)).timestamp_millis();
    let number = call["to_number"].as_str().unwrap();
    let never = |reason: &str| {
        let fields = json!({ "call_status": "not_connected", "disconnection_reason": reason, "end_timestamp": at(30) });
        vec![(30, "call_ended", fields)]
    };
    let talk = |reason: &str, collected: Value| {
        let ended = json!({
            "call_status": "ended", "disconnection_reason": reason, "end_timestamp": at(60), "duration_ms": 50_000,
            "transcript": "Agent: hello", "collected_dynamic_variables": collected,
        });
        vec![
            (10, "call_started", json!({ "call_status": "ongoing", "start_timestamp": at(10) })),
            (60, "call_ended", ended),
            (
                75,
                "call_analyzed",
                json!({ "call_analysis": { "call_successful": true }, "call_cost": { "combined_cost": 3 } }),
            ),
        ]
    };
    match (number.as_bytes().last().unwrap() - b'0', attempt) {
        (0, _) => never("dial_no_answer"),
        (1, _) => never("dial_busy"),
        (2, _) => talk("voicemail_reached", json!({})),
        (3, _) => never("invalid_destination"),
        (4, _) => talk("user_requested_dnc", json!({})),
        (5, 0) => talk("user_requested_callback", json!({ "callback_at": "2026-03-02T14:00:00+02:00" })),
        (6, 0) => never("dial_busy"),
        _ => talk("agent_hangup", json!({})),
    }
}
