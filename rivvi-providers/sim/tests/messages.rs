//! Campaigns by text message, and messages that follow calls, over the whole engine in virtual time. The numbers are those
//! of the specification's properties.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Timelike, Utc};
use rivvi_core::clock::{Clock, VirtualClock};
use rivvi_core::domain::{
    CallerId, CallsPerSecond, CampaignDefinition, Contact, ContactState, DeliveryState, Disposition, E164,
    IdSource, Medium, NumberKind, Organization, Outcome, ProviderName, Region, RunId, RunState, Secret,
    Sender, SuppressionSource,
};
use rivvi_core::engine::{Builder, EngineConfig, HostAction, HostError, ImportedRun, NewOrganization, Rivvi};
use rivvi_core::import::Sheet;
use rivvi_core::message::ShortLinks;
use rivvi_core::provider::{ActionResult, EmailProvider, Lookup, ProviderError, SendEmail, SentEmail};
use rivvi_core::storage::{ContactQuery, OutboxItem, Storage};
use rivvi_provider_sim::{Behaviour, GatewayBehaviour, SimulatedGateway, SimulatedNetwork};

/// A mailbox that keeps what it is sent.
#[derive(Debug, Clone, Default)]
struct Mailbox(Arc<Mutex<Vec<SendEmail>>>);

#[async_trait]
impl EmailProvider for Mailbox {
    fn name(&self) -> ProviderName {
        ProviderName::new("mailbox")
    }

    async fn send_email(&self, request: &SendEmail) -> Result<SentEmail, ProviderError> {
        self.0.lock().unwrap().push(request.clone());
        Ok(SentEmail { reference: Some(request.message_id.to_string()) })
    }
}

/// An action that notes what it was asked for.
#[derive(Debug, Clone)]
struct Noted(&'static str, Arc<Mutex<Vec<OutboxItem>>>);

#[async_trait]
impl HostAction for Noted {
    fn name(&self) -> &str {
        self.0
    }

    async fn carry_out(&self, item: &OutboxItem) -> Result<ActionResult, HostError> {
        self.1.lock().unwrap().push(item.clone());
        Ok(ActionResult::done())
    }
}

struct World {
    rivvi: Rivvi,
    network: SimulatedNetwork,
    gateway: SimulatedGateway,
    mailbox: Mailbox,
    replies: Noted,
    clock: Arc<VirtualClock>,
    organization: Organization,
}

/// Monday, 2 March 2026, 08:30 in Jerusalem.
const MORNING: &str = "2026-03-02T06:30:00Z";

async fn world(seed: u64, phones: GatewayBehaviour) -> World {
    world_with(seed, Behaviour::default(), phones, |builder| builder).await
}

async fn world_with(
    seed: u64,
    callees: Behaviour,
    phones: GatewayBehaviour,
    with: impl FnOnce(Builder) -> Builder,
) -> World {
    let clock = Arc::new(VirtualClock::new(MORNING.parse().unwrap()));
    let network = SimulatedNetwork::new(clock.clone(), seed, callees);
    let gateway = SimulatedGateway::new(clock.clone(), seed, phones);
    let mailbox = Mailbox::default();
    let replies = Noted("inbox", Arc::default());
    let builder = Rivvi::builder()
        .storage(Storage::in_memory())
        .voice(network.clone())
        .sms(gateway.clone())
        .email(mailbox.clone())
        .action(replies.clone())
        .clock(clock.clone())
        .ids(IdSource::seeded(seed));
    let rivvi = with(builder).build().unwrap();
    let new = NewOrganization {
        name: "North Clinic".into(),
        caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
        time_zone: chrono_tz::Asia::Jerusalem,
        region: Region::new("IL").unwrap(),
    };
    let mut organization = rivvi.organizations().create(new).await.unwrap();
    organization.limits.active_runs = 5;
    organization.limits.concurrent_calls = 1_000;
    rivvi.organizations().put(organization.clone()).await.unwrap();
    World { rivvi, network, gateway, mailbox, replies, clock, organization }
}

fn phones(change: impl FnOnce(&mut GatewayBehaviour)) -> GatewayBehaviour {
    let mut behaviour = GatewayBehaviour::default();
    change(&mut behaviour);
    behaviour
}

/// Phones on which everything arrives and nobody answers.
fn quiet() -> GatewayBehaviour {
    phones(|phones| {
        (phones.unreachable, phones.no_sms, phones.unsubscribed, phones.replies) = (0.0, 0.0, 0.0, 0.0);
    })
}

/// Mobile numbers, with a name and an address.
fn people(rows: u64) -> String {
    let mut text = String::from("first name,phone,email\n");
    for row in 0..rows {
        text.push_str(&format!("Person {row},052{:07},p{row}@mail.example\n", 2_000_000 + row));
    }
    text
}

impl World {
    async fn import(&self, campaign: &str, sheet: &str) -> ImportedRun {
        let definition = CampaignDefinition::from_toml(campaign).unwrap();
        let campaign = self.rivvi.campaigns().create(self.organization.id, definition).await.unwrap();
        let sheet = Sheet::from_bytes("people.csv", sheet.to_owned()).unwrap();
        self.rivvi.runs().import(campaign.id, sheet).await.unwrap()
    }

    async fn start(&self, campaign: &str, sheet: &str) -> RunId {
        let run = self.import(campaign, sheet).await.id;
        self.rivvi.runs().start(run).await.unwrap();
        run
    }

    /// One step; `false` when nothing is left to happen.
    async fn step(&self) -> bool {
        self.network.deliver_due(&self.rivvi).await;
        self.gateway.deliver_due(&self.rivvi).await;
        let tick = self.rivvi.tick().await.unwrap();
        let events = [tick.next_at, self.network.next_event_at(), self.gateway.next_event_at()];
        let Some(next) = events.into_iter().flatten().min() else { return false };
        self.clock.advance_to(next.max(self.clock.now() + TimeDelta::milliseconds(1)));
        true
    }

    async fn settle(&self) {
        let mut steps = 0;
        while self.step().await {
            steps += 1;
            assert!(steps < 200_000, "the run does not end");
        }
    }

    async fn until(&self, at: DateTime<Utc>) {
        while self.clock.now() < at && self.step().await {}
    }

    async fn contacts(&self, run_id: RunId) -> Vec<Contact> {
        let query = ContactQuery { run_id, number: None, after: None, limit: usize::MAX };
        self.rivvi.storage().ledger.contacts(query).await.unwrap()
    }

    async fn outcomes(&self, run_id: RunId) -> BTreeMap<Outcome, u64> {
        let run = self.rivvi.runs().find(run_id).await.unwrap().unwrap();
        assert_eq!(run.state, RunState::Completed);
        self.rivvi.storage().ledger.tally(run_id).await.unwrap().outcomes
    }

    /// Each id was sent at most once.
    fn assert_once(&self) {
        let mut seen = BTreeSet::new();
        for message in self.gateway.sent() {
            assert!(seen.insert(message.id), "a message was sent twice");
        }
    }
}

const REMINDER: &str = r#"
    name = "Reminder"
    channel = "sms"
    message.text = "Dear {{ first_name }}, see you tomorrow at {{ row['first name'] }}'s."
    [[windows]]
    from = "09:00"
    to = "20:30"
    [retry]
    failed = { after = "2h", max = 2 }
"#;

/// Called by voice; who asks for information gets it by text message, or by voice where that cannot be.
const DONATION: &str = r#"
    name = "Donation"
    channel = "hybrid"
    links.give = "https://charity.example/give"
    [[follow_up]]
    name = "link"
    on = "action:request_information"
    sms = "Thank you {{ first_name }}: {{ links.give }}"
    [[follow_up]]
    name = "link_by_voice"
    on = "link.no_sms"
    after = "1m"
    speech = "Thank you {{ first_name }}. Give at charity dot example."
"#;

/// Everyone answers and asks for information.
fn givers() -> Behaviour {
    let mut callees = Behaviour::default();
    (callees.human, callees.action, callees.opt_out) = (100, 1.0, 0.0);
    (callees.voicemail, callees.busy, callees.no_answer, callees.rejected, callees.failed) = (0, 0, 0, 0, 0);
    callees
}

#[tokio::test]
async fn property_19_and_22_what_a_key_asks_for_is_sent_to_who_asked_with_everything_filled_in() {
    let world = world_with(19, givers(), quiet(), |builder| builder).await;
    let run = world.start(DONATION, &people(120)).await;
    world.settle().await;
    world.assert_once();
    let names: HashMap<E164, String> = world
        .contacts(run)
        .await
        .into_iter()
        .map(|contact| (contact.number, contact.person.first_name.unwrap().into_inner()))
        .collect();
    let sent = world.gateway.sent();
    assert_eq!(sent.len(), 120);
    for message in sent {
        let expected = format!("Thank you {}: https://charity.example/give", names[&message.to]);
        assert_eq!(message.text.expose(), &expected);
    }
    assert_eq!(world.outcomes(run).await, [(Outcome::Completed, 120)].into());
}

#[tokio::test]
async fn property_20_deliveries_are_recorded_with_their_time() {
    let world = world(20, phones(|phones| phones.late_webhooks = 0.3)).await;
    let run = world.start(REMINDER, &people(150)).await;
    world.settle().await;
    let mut checked = 0;
    for archived in world.rivvi.storage().archive.archived_calls(run, None, usize::MAX).await.unwrap() {
        let message = archived.call.detail.message.unwrap();
        let sent = world.gateway.sent().into_iter().find(|sent| sent.id == archived.call.id).unwrap();
        let delivery = message.delivery.unwrap();
        assert_eq!(delivery.state, sent.fate);
        let took = delivery.at - sent.at;
        assert!((TimeDelta::seconds(2)..=TimeDelta::seconds(22)).contains(&took), "{took}");
        assert!(archived.call.detail.cost.is_some() && archived.call.provider_ref.is_some());
        checked += 1;
    }
    assert!(checked >= 150, "{checked}");
}

#[tokio::test]
async fn property_21_and_30_where_no_message_arrives_the_text_is_said_and_the_outcome_tells() {
    let nobody = phones(|phones| phones.no_sms = 1.0);
    let mut callees = givers();
    (callees.human, callees.no_answer) = (80, 20);
    let world = world_with(21, callees, nobody, |builder| builder).await;
    let run = world.start(DONATION, &people(100)).await;
    world.settle().await;
    let outcomes = world.outcomes(run).await;
    let reached = world.gateway.sent().len() as u64;
    let delivered = outcomes[&Outcome::FallbackDelivered];
    assert_eq!(delivered + outcomes[&Outcome::FallbackFailed], reached, "{outcomes:?}");
    assert!(delivered > 50 && outcomes[&Outcome::FallbackFailed] > 5, "{outcomes:?}");
    // A leg for the call itself, and one for each text that is said.
    assert_eq!(world.network.legs() as u64, 100 + reached);
    let journal = world.rivvi.storage().ledger.journal_feed(None, usize::MAX).await.unwrap().entries;
    let planned = journal.iter().filter(|entry| entry.event.name() == "follow_up_planned").count() as u64;
    assert_eq!(planned, 2 * reached);
}

#[tokio::test]
async fn property_23_over_the_rate_messages_wait_and_none_is_lost_or_doubled() {
    let rate = 5.0;
    let world = world(
        23,
        phones(|phones| {
            phones.sender_messages_per_second = CallsPerSecond::new(rate);
            phones.refused = 0.2;
        }),
    )
    .await;
    let run = world.start(REMINDER, &people(200)).await;
    world.settle().await;
    world.assert_once();
    let sent = world.gateway.sent();
    let numbers: BTreeSet<E164> = sent.iter().map(|message| message.to).collect();
    assert_eq!(numbers.len(), 200, "everyone was written to");
    for window in sent.windows(rate as usize + 1) {
        let span = window[window.len() - 1].at - window[0].at;
        assert!(span >= TimeDelta::milliseconds(990), "more than {rate} in {span}");
    }
    assert_eq!(world.outcomes(run).await.values().sum::<u64>(), 200);
}

#[tokio::test]
async fn property_24_messages_are_sent_inside_the_windows_only() {
    let world = world(24, phones(|phones| phones.refused = 0.1)).await;
    world.start(REMINDER, &people(100)).await;
    world.settle().await;
    assert!(world.gateway.sent().len() >= 100);
    for message in world.gateway.sent() {
        let local = message.at.with_timezone(&chrono_tz::Asia::Jerusalem).time();
        let minute = local.hour() * 60 + local.minute();
        assert!((9 * 60..20 * 60 + 30).contains(&minute), "sent at {local}");
    }
}

#[tokio::test]
async fn property_25_deliveries_openings_and_clicks_are_counted() {
    let links = ShortLinks::new("https://go.example", Secret::new("a secret of the clinic")).unwrap();
    let world = world_with(25, Behaviour::default(), quiet(), |builder| builder.short_links(links)).await;
    let campaign = "name = 'x'\nchannel = 'sms'\nlinks.give = 'https://charity.example/give'\n\
                    message.text = 'Give: {{ links.give }}'\nrun.end_after = '2d'";
    let run = world.start(campaign, &people(120)).await;
    while world.gateway.sent().len() < 120 {
        world.step().await;
    }
    let token = |text: &str| text.strip_prefix("Give: https://go.example/").unwrap().to_owned();
    let tokens: Vec<String> = world.gateway.sent().iter().map(|sent| token(sent.text.expose())).collect();
    for token in tokens.iter().take(100).chain(tokens.iter().take(3)) {
        let target = world.rivvi.follow_link(token).await.unwrap();
        assert_eq!(target.as_deref(), Some("https://charity.example/give"));
    }
    assert_eq!(world.rivvi.follow_link("no-such-token").await.unwrap(), None);
    world.settle().await;
    let messages = world.rivvi.storage().ledger.tally(run).await.unwrap().messages;
    assert_eq!(
        (messages.delivered, messages.opened, messages.clicks),
        (120, 100, 100),
        "a minute's hits count once"
    );
}

#[tokio::test]
async fn property_26_answers_find_their_message_and_the_host() {
    let world = world(
        26,
        phones(|phones| {
            (phones.replies, phones.stops, phones.repeated_webhooks) = (0.5, 0.0, 0.5);
            (phones.unreachable, phones.no_sms, phones.unsubscribed) = (0.0, 0.0, 0.0);
        }),
    )
    .await;
    let campaign = "name = 'x'\nchannel = 'sms'\nmessage = { text = 'Hello', on_reply = 'inbox' }";
    let run = world.start(campaign, &people(300)).await;
    world.settle().await;
    let noted = world.replies.1.lock().unwrap().clone();
    let mut answered = 0;
    for archived in world.rivvi.storage().archive.archived_calls(run, None, usize::MAX).await.unwrap() {
        let message = archived.call.detail.message.unwrap();
        assert!(message.replies.len() <= 1, "told twice, kept once");
        for reply in &message.replies {
            assert_eq!(reply.text.expose(), "Thank you");
            answered += 1;
            let of_host = noted.iter().filter(|item| item.call_id == Some(archived.call.id)).count();
            assert!(of_host <= 1);
        }
    }
    assert!(answered > 100, "{answered}");
    let ids: BTreeSet<_> = noted.iter().map(|item| item.id).collect();
    assert_eq!(ids.len(), noted.len());
}

#[tokio::test]
async fn property_27_campaigns_of_both_kinds_run_side_by_side() {
    let world = world(27, GatewayBehaviour::default()).await;
    let voice = "name = 'Calls'\nchannel = 'voice'\nretry.busy = { after = '15m', max = 2 }";
    let calls = world.start(voice, &people(150)).await;
    let others: String = people(400)
        .lines()
        .enumerate()
        .filter(|(n, _)| *n == 0 || *n > 150)
        .map(|(_, l)| format!("{l}\n"))
        .collect();
    let messages = world.start(REMINDER, &others).await;
    world.settle().await;
    for (run, count) in [(calls, 150), (messages, 250)] {
        assert_eq!(world.outcomes(run).await.values().sum::<u64>(), count);
    }
    let voice_legs: BTreeSet<RunId> = world.network.history().iter().map(|(leg, _)| leg.run_id).collect();
    assert_eq!(voice_legs, [calls].into());
}

#[tokio::test]
async fn property_28_nobody_on_the_suppression_list_is_written_to_and_stop_is_heard() {
    let world = world(
        28,
        phones(|phones| {
            (phones.replies, phones.stops) = (0.6, 1.0);
            (phones.unreachable, phones.no_sms, phones.unsubscribed) = (0.0, 0.0, 0.0);
        }),
    )
    .await;
    let number = |row: u64| E164::from_digits(972_522_000_000 + row).unwrap();
    let blocked: Vec<E164> = (0..100).map(number).collect();
    let list = world.rivvi.suppression_list();
    list.add(world.organization.id, blocked.clone(), SuppressionSource::Admin, "", None).await.unwrap();
    let two = "name = 'Two'\nchannel = 'sms'\nmessage.text = 'Hello'\nrun.end_after = '3d'\n\
               [[follow_up]]\nname = 'again'\non = 'delivered'\nafter = '1d'\nsms = 'Again'";
    let run = world.start(two, &people(300)).await;
    world.settle().await;
    let sent = world.gateway.sent();
    assert!(sent.iter().all(|message| !blocked.contains(&message.to)));
    // Who answered STOP got one confirmation, and nothing after.
    let is_confirmation = |text: &str| text.starts_with("North Clinic: you will get no more");
    let confirmed: HashMap<E164, DateTime<Utc>> = sent
        .iter()
        .filter(|message| is_confirmation(message.text.expose()))
        .map(|message| (message.to, message.at))
        .collect();
    assert!(confirmed.len() > 60, "{}", confirmed.len());
    for (number, at) in &confirmed {
        let theirs: Vec<_> = sent.iter().filter(|message| message.to == *number).collect();
        assert_eq!(theirs.iter().filter(|message| is_confirmation(message.text.expose())).count(), 1);
        assert!(theirs.iter().all(|message| message.at <= *at), "written to after STOP was confirmed");
        let facts =
            world.rivvi.storage().ledger.number_facts(world.organization.id, *number, world.clock.now());
        assert!(facts.await.unwrap().suppression.is_some());
    }
    assert_eq!(world.outcomes(run).await.values().sum::<u64>(), 300);
}

#[tokio::test]
async fn property_31_landlines_are_marked_at_import_and_called_instead() {
    let world = world_with(31, givers(), quiet(), |builder| builder).await;
    let campaign = "name = 'x'\nchannel = 'sms'\nmessage.text = 'Hello {{ first_name }}'\n\
                    [[follow_up]]\nname = 'say'\non = 'no_sms'\nspeech = 'Hello {{ first_name }}'";
    let mut sheet = people(50);
    for row in 0..100 {
        sheet.push_str(&format!("Line {row},03{:07},\n", 6_000_000 + row));
    }
    let imported = world.import(campaign, &sheet).await;
    assert_eq!(imported.report.landlines, Some(100));
    assert!(
        imported.report.to_string().contains("100 imported numbers are landlines"),
        "{}",
        imported.report
    );
    world.rivvi.runs().start(imported.id).await.unwrap();
    world.settle().await;
    assert!(world.gateway.sent().iter().all(|message| message.to.kind() != NumberKind::FixedLine));
    let expected = [(Outcome::Completed, 50), (Outcome::FallbackDelivered, 100)];
    assert_eq!(world.outcomes(imported.id).await, expected.into());
}

#[tokio::test]
async fn exhausted_and_too_long_calls_are_followed_by_a_letter() {
    let mut callees = Behaviour::default();
    (callees.human, callees.no_answer) = (0, 100);
    (callees.voicemail, callees.busy, callees.rejected, callees.failed) = (0, 0, 0, 0);
    let world = world_with(1, callees, quiet(), |builder| builder).await;
    let campaign = "name = 'x'\nchannel = 'voice'\nretry.no_answer = { after = '1h', max = 5 }\ncaps.lifetime = 2\n\
                    [[follow_up]]\nname = 'letter'\non = ['exhausted', 'too_long']\n\
                    email = { subject = \"We called\\nyou\", text = 'Dear {{ first_name }}' }";
    let mut sheet = people(10);
    sheet.push_str("Nobody,0529876543,not an address\n");
    let run = world.start(campaign, &sheet).await;
    world.settle().await;
    let letters = world.mailbox.0.lock().unwrap().clone();
    assert_eq!(letters.len(), 10, "the cap on calls does not keep a letter back");
    assert!(letters.iter().all(|letter| letter.subject.expose() == "We called you"));
    assert_eq!(world.outcomes(run).await, [(Outcome::Completed, 10), (Outcome::Exhausted, 1)].into());
}

#[tokio::test]
async fn a_row_that_does_not_fill_the_text_is_refused_at_import() {
    let world = world(2, quiet()).await;
    let campaign = "name = 'x'\nchannel = 'sms'\nmessage.text = 'Hello {{ first_name }}, {{ slot }}'";
    let sheet = "first name,phone,slot\nDana,0522000001,noon\n,0522000002,noon\nAvi,0522000003,\n";
    let imported = world.import(campaign, sheet).await;
    assert_eq!((imported.report.imported, imported.report.invalid), (1, 2));
    let problems: Vec<String> = imported.report.problems.iter().map(ToString::to_string).collect();
    assert!(
        problems[0].contains("row 3") && problems[0].contains("{{ first_name }} of message.text"),
        "{problems:?}"
    );
    assert!(problems[1].contains("{{ slot }}"), "{problems:?}");
}

#[tokio::test]
async fn a_text_that_no_row_can_fill_is_an_error_of_the_sheet() {
    let world = world(2, quiet()).await;
    let campaign = "name = 'x'\nchannel = 'sms'\nmessage.text = 'Hello {{ first_name }} {{ nick_name }}'";
    let definition = CampaignDefinition::from_toml(campaign).unwrap();
    let campaign = world.rivvi.campaigns().create(world.organization.id, definition).await.unwrap();
    let sheet = Sheet::from_bytes("people.csv", people(3)).unwrap();
    let error = world.rivvi.runs().import(campaign.id, sheet).await.unwrap_err().to_string();
    assert!(error.contains("{{ nick_name }} of message.text: row 1 has no such column"), "{error}");
}

#[tokio::test]
async fn a_campaign_nobody_can_carry_is_not_started() {
    let clock = Arc::new(VirtualClock::new(MORNING.parse().unwrap()));
    let rivvi = Rivvi::builder().storage(Storage::in_memory()).clock(clock).build().unwrap();
    let new = NewOrganization {
        name: "Clinic".into(),
        caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
        time_zone: chrono_tz::Asia::Jerusalem,
        region: Region::new("IL").unwrap(),
    };
    let organization = rivvi.organizations().create(new).await.unwrap();
    let definition = CampaignDefinition::from_toml(REMINDER).unwrap();
    let campaign = rivvi.campaigns().create(organization.id, definition).await.unwrap();
    let sheet = Sheet::from_bytes("people.csv", people(2)).unwrap();
    let run = rivvi.runs().import(campaign.id, sheet).await.unwrap();
    let error = rivvi.runs().start(run.id).await.unwrap_err().to_string();
    assert!(error.contains("Builder::sms"), "{error}");
}

/// What webhooks tell and what lookups find comes to the same: P4.
#[tokio::test]
async fn without_any_webhook_messages_are_looked_up() {
    let mut ends = Vec::new();
    for lost in [0.0, 1.0] {
        let world = world(
            4,
            phones(|phones| {
                (phones.lost_webhooks, phones.replies, phones.lookup) = (lost, 0.0, Lookup::ByReference);
            }),
        )
        .await;
        let run = world.start(REMINDER, &people(200)).await;
        world.settle().await;
        let tally = world.rivvi.storage().ledger.tally(run).await.unwrap();
        ends.push((tally.outcomes, tally.messages));
    }
    assert_eq!(ends[0].0, ends[1].0);
}

/// The long campaign of the issue at the scale of a test; `RIVVI_MESSAGES` makes it longer.
#[tokio::test]
async fn cut_connections_and_repeated_receipts_send_nothing_twice_and_lose_nothing() {
    let rows = std::env::var("RIVVI_MESSAGES").ok().and_then(|text| text.parse().ok()).unwrap_or(5_000);
    let mut config = EngineConfig::default();
    config.unknown_deadline = Duration::from_secs(2 * 86_400);
    let behaviour = phones(|phones| {
        (phones.lost_answers, phones.repeated_webhooks, phones.late_webhooks) = (0.05, 0.3, 0.05);
        (phones.replies, phones.lookup) = (0.0, Lookup::ByReference);
    });
    let world = world_with(100, Behaviour::default(), behaviour, |builder| builder.config(config)).await;
    let campaign = "name = 'x'\nchannel = 'sms'\nmessage.text = 'Hello {{ first_name }}'";
    let run = world.start(campaign, &people(rows)).await;
    world.settle().await;
    world.assert_once();
    let sent = world.gateway.sent();
    assert_eq!(sent.len() as u64, rows, "everyone was written to once");
    let fates = |state| sent.iter().filter(|message| message.fate == state).count() as u64;
    let tally = world.rivvi.storage().ledger.tally(run).await.unwrap();
    assert_eq!(tally.dispositions, [(Disposition::Sent, rows)].into());
    assert_eq!(tally.messages.delivered, fates(DeliveryState::Delivered), "no receipt is lost");
    assert_eq!(tally.messages.undelivered, fates(DeliveryState::Undelivered));
    assert_eq!(tally.messages.failed, fates(DeliveryState::Failed));
    assert_eq!(tally.outcomes.values().sum::<u64>(), rows);
}

#[tokio::test]
async fn senders_of_campaigns_are_theirs() {
    let world = world(5, quiet()).await;
    let campaign = "name = 'x'\nchannel = 'sms'\nmessage = { text = 'Hello', sender = 'Clinic' }";
    let run = world.start(campaign, &people(3)).await;
    world.until(world.clock.now() + TimeDelta::minutes(1)).await;
    assert!(world.gateway.sent().iter().all(|message| message.from == Sender::new("Clinic").unwrap()));
    let states: Vec<_> = world.contacts(run).await.into_iter().map(|contact| contact.status.state).collect();
    assert!(states.iter().all(|state| matches!(state, ContactState::Settled { .. })), "{states:?}");
    assert_eq!(CampaignDefinition::from_toml(campaign).unwrap().channel.medium(), Medium::Sms);
}
