//! Flows in campaigns, and on their way to a provider and back.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;

use super::line::{Line, noon};
use super::samples::DONATION;
use crate::clock::VirtualClock;
use crate::domain::{CallId, CallerId, CampaignDefinition, Disposition, E164, ProviderName, Region};
use crate::engine::{HostAction, HostError, NewOrganization, Rivvi};
use crate::flow::{Effect, Flow, Input, Session};
use crate::import::Sheet;
use crate::provider::{
    ActionResult, CallEvent, CallRef, CallUpdate, FindCall, PlaceCall, PlacedCall, ProviderError, UpdateSink,
    VoiceProvider,
};
use crate::storage::{OutboxItem, Storage, StorageErrorKind};

const CAMPAIGN: &str = r#"
name = "Donation"
channel = "voice"
required_fields = ["first_name", "city"]
variables = { charity = "the library" }

[flow]
start = "ask"

[[flow.nodes]]
id = "ask"
type = "menu"
text = "{{first_name}} of {{city}}, press 1 to give to {{charity}}."
keys = { 1 = { action = "trigger_donation" } }
"#;

#[test]
fn a_campaign_has_its_flow_in_it() {
    let campaign = CampaignDefinition::from_toml(CAMPAIGN).unwrap();
    let flow = campaign.flow.clone().unwrap();
    assert_eq!(flow.start().to_string(), "ask");
    let json = serde_json::to_string(&campaign).unwrap();
    assert_eq!(CampaignDefinition::from_json(&json).unwrap(), campaign);
    let toml = toml::to_string(&campaign).unwrap();
    assert_eq!(CampaignDefinition::from_toml(&toml).unwrap(), campaign, "{toml}");
    let without = CampaignDefinition::from_toml("name = 'x'\nchannel = 'voice'\nagent_id = 'a'").unwrap();
    assert!(!serde_json::to_string(&without).unwrap().contains("flow"), "older campaigns look as before");
    let with = without.with_flow(flow);
    assert_eq!((with.agent_id.as_deref(), with.flow.is_some()), (None, true));
}

#[test]
fn mistakes_in_the_flow_of_a_campaign_are_named() {
    let with = |part: &str, instead: &str| CAMPAIGN.replace(part, instead);
    for (text, key, problem) in [
        (with("text =", "txt ="), "flow.nodes[0].txt", "unknown field `txt`"),
        (with("text = ", "beep = true\ntext = "), "flow", "node `ask`, beep: a `menu` has no such field"),
        (with("{{charity}}", "{{charities}}"), "flow", "node `ask`, text: unknown variable `charities`"),
        (with("\"ask\"\n\n", "\"ask_\"\n\n"), "flow", "start: there is no node `ask_`"),
        (with("keys =", "timeout = '20m'\nkeys ="), "flow", "does not fit in a call of at most 9m"),
        (with("variables =", "agent_id = 'a'\nvariables ="), "flow", "either `agent_id` or `flow`"),
    ] {
        let error = CampaignDefinition::from_toml(&text).unwrap_err();
        assert_eq!(error.key, key, "{error}");
        assert!(error.problem.contains(problem), "{error}\nshould say {problem}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    let campaign = CampaignDefinition::from_toml(CAMPAIGN).unwrap();
    assert!(campaign.check_flow(Some(BTreeSet::new())).is_err());
    assert_eq!(campaign.check_flow(Some(["trigger_donation".to_owned()].into())), Ok(()));
}

/// A provider that keeps what it is asked for; the test talks for it.
#[derive(Debug, Default)]
struct Desk {
    sink: OnceLock<Arc<dyn UpdateSink>>,
    requests: Mutex<Vec<PlaceCall>>,
    /// Results of actions, with the call and the key.
    results: Mutex<Vec<(CallId, String, ActionResult)>>,
}

#[async_trait]
impl VoiceProvider for Desk {
    fn name(&self) -> ProviderName {
        ProviderName::new("desk")
    }

    async fn connect(&self, sink: Arc<dyn UpdateSink>) -> Result<(), ProviderError> {
        let _ = self.sink.set(sink);
        Ok(())
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        self.requests.lock().unwrap().push(request.clone());
        Ok(PlacedCall::default())
    }

    async fn action_result(
        &self,
        call: &FindCall,
        key: &str,
        result: &ActionResult,
    ) -> Result<(), ProviderError> {
        self.results.lock().unwrap().push((call.call_id, key.to_owned(), result.clone()));
        Ok(())
    }
}

/// An action of the host that notes what it gets.
#[derive(Debug)]
struct Notes(&'static str, Arc<Mutex<Vec<String>>>);

#[async_trait]
impl HostAction for Notes {
    fn name(&self) -> &str {
        self.0
    }

    async fn carry_out(&self, item: &OutboxItem) -> Result<ActionResult, HostError> {
        self.1.lock().unwrap().push(item.action.clone());
        Ok(ActionResult::done())
    }
}

/// An action that works from the second attempt on, or never.
#[derive(Debug)]
struct Booking {
    attempts: Mutex<u32>,
    works: bool,
}

#[async_trait]
impl HostAction for Booking {
    fn name(&self) -> &str {
        "book"
    }

    async fn carry_out(&self, _: &OutboxItem) -> Result<ActionResult, HostError> {
        let mut attempts = self.attempts.lock().unwrap();
        *attempts += 1;
        if *attempts > 1 && self.works {
            Ok(ActionResult::done().with("day", "Tuesday"))
        } else {
            Err("the calendar is away".into())
        }
    }
}

const BOOK: &str = r#"
start = "book"
[[nodes]]
id = "book"
type = "action"
action = "book"
wait_for_result = "8m"
next = "told"
on_failed = { text = "Please call us." }
[[nodes]]
id = "told"
type = "say"
text = "Until {{book.day}}."
"#;

struct Scene {
    rivvi: Rivvi,
    clock: Arc<VirtualClock>,
    desk: Arc<Desk>,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn new(actions: &[&'static str]) -> Self {
        let clock = Arc::new(VirtualClock::new(noon()));
        let (desk, notes) = (Arc::new(Desk::default()), Arc::new(Mutex::default()));
        let mut builder =
            Rivvi::builder().storage(Storage::in_memory()).shared_voice(desk.clone()).clock(clock.clone());
        for name in actions {
            builder = match *name {
                "book" | "book in vain" => {
                    builder.action(Booking { attempts: Mutex::default(), works: *name == "book" })
                }
                name => builder.action(Notes(name, Arc::clone(&notes))),
            };
        }
        Self { rivvi: builder.build().unwrap(), clock, desk, notes }
    }

    async fn organization(&self) -> crate::domain::Organization {
        let organization = NewOrganization {
            name: "Library".into(),
            caller_id: CallerId(E164::from_e164("+97231234567").unwrap()),
            time_zone: chrono_tz::Asia::Jerusalem,
            region: Region::new("IL").unwrap(),
        };
        self.rivvi.organizations().create(organization).await.unwrap()
    }

    /// Starts a run of one contact and returns the request for its call.
    async fn called(&self) -> PlaceCall {
        self.called_with(DONATION).await
    }

    async fn called_with(&self, flow: &str) -> PlaceCall {
        let organization = self.organization().await;
        let definition = CampaignDefinition::from_toml("name = 'Donation'\nchannel = 'voice'").unwrap();
        let definition = definition.with_flow(Flow::from_toml(flow).unwrap());
        let campaign = self.rivvi.campaigns().create(organization.id, definition).await;
        let campaign = campaign.unwrap_or_else(|error| panic!("{error}"));
        let sheet = Sheet::from_bytes("people.csv", "first name,phone\nDana,052-2000001\n").unwrap();
        let run = self.rivvi.runs().import(campaign.id, sheet).await.unwrap();
        self.rivvi.runs().start(run.id).await.unwrap();
        self.rivvi.tick().await.unwrap();
        self.desk.requests.lock().unwrap().pop().expect("a call was asked for")
    }

    /// Tells the engine what a conversation led to, twice, and that the call is over.
    async fn tell(&self, request: &PlaceCall, line: &Line<'_>) {
        let events = line.all.iter().filter_map(|effect| effect.call_event());
        let over =
            CallEvent::Ended { disposition: Disposition::AnsweredHuman, reason: None, talk_time: None };
        let update = |event| CallUpdate { call: CallRef::Id(request.call_id), at: noon(), event };
        let updates: Vec<CallUpdate> = events.chain([over]).map(update).collect();
        let sink = self.desk.sink.get().expect("the desk is connected");
        for _ in 0..2 {
            sink.deliver(updates.clone()).await.unwrap();
        }
        self.clock.advance(std::time::Duration::from_secs(1));
        self.rivvi.tick().await.unwrap();
    }
}

#[tokio::test]
async fn a_campaign_whose_flow_needs_what_the_host_lacks_is_refused() {
    let scene = Scene::new(&["trigger_donation"]);
    let organization = scene.organization().await;
    let definition = CampaignDefinition::from_toml("name = 'Donation'\nchannel = 'voice'").unwrap();
    let definition = definition.with_flow(Flow::from_toml(DONATION).unwrap());
    let error = scene.rivvi.campaigns().create(organization.id, definition).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused);
    assert_eq!(
        error.to_string(),
        "storage: create_campaign: refused: flow: node `ask`, keys.1.actions[1].type: no action `send_sms` is \
         registered: expected one of the registered `trigger_donation`"
    );
}

#[tokio::test]
async fn actions_of_a_conversation_are_carried_out_once() {
    let scene = Scene::new(&["trigger_donation", "send_sms"]);
    let request = scene.called().await;
    let flow = request.flow.clone().expect("the flow comes with the request");
    let mut line = Line::answered(&flow, &[]);
    line.session = Session::for_call(&request);
    line.all.clear();
    let welcome = line.tell(&Input::Start);
    assert_eq!(super::line::said(&welcome), ["Hello Dana. This is the Children's Hospital."]);
    line.listens();
    line.press('1');
    line.listens();
    scene.tell(&request, &line).await;
    assert_eq!(*scene.notes.lock().unwrap(), ["trigger_donation", "send_sms"]);
}

#[tokio::test]
async fn who_opts_out_is_on_the_list_at_once() {
    let scene = Scene::new(&["trigger_donation", "send_sms"]);
    let request = scene.called().await;
    let flow = request.flow.clone().unwrap();
    let mut line = Line::answered(&flow, &[]);
    line.press('9');
    assert!(line.ending().is_none(), "the last prompt is still under way");
    scene.tell(&request, &line).await;
    let entries = scene.rivvi.suppression_list().list(request.org_id, None, 10).await.unwrap();
    let entries: Vec<_> = entries.iter().map(|entry| (entry.number, entry.added_at)).collect();
    assert_eq!(entries, [(request.to, noon())], "once, at the instant it was told");
    assert!(scene.notes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_an_action_gives_back_reaches_the_conversation_that_waits_for_it() {
    for (action, said) in [("book", "Until Tuesday."), ("book in vain", "Please call us.")] {
        let scene = Scene::new(&[action]);
        let request = scene.called_with(BOOK).await;
        let flow = request.flow.clone().unwrap();
        let mut line = Line::answered(&flow, &[]);
        let asks = line.all.iter().find_map(Effect::call_event).unwrap();
        let update = CallUpdate { call: CallRef::Id(request.call_id), at: noon(), event: asks };
        let sink = scene.desk.sink.get().unwrap();
        for _ in 0..2 {
            sink.deliver(vec![update.clone()]).await.unwrap();
        }
        scene.rivvi.tick().await.unwrap();
        assert!(scene.desk.results.lock().unwrap().is_empty(), "it is tried again");
        for wait in [5, 10, 20, 40, 80, 160, 320] {
            scene.clock.advance(std::time::Duration::from_secs(wait));
            scene.rivvi.tick().await.unwrap();
        }
        let results = std::mem::take(&mut *scene.desk.results.lock().unwrap());
        let [(call, key, ActionResult { done, values })] = &results[..] else {
            panic!("{action}: {results:?}")
        };
        assert_eq!(*call, request.call_id);
        let input = Input::ActionResult { key: key.clone(), done: *done, values: values.clone() };
        let effects = line.tell(&input);
        assert_eq!(super::line::said(&effects), [said]);
        assert!(super::line::said(&line.tell(&input)).is_empty(), "told twice");
    }
}

#[tokio::test]
async fn the_result_of_an_action_is_not_told_to_a_call_that_is_over() {
    let scene = Scene::new(&["trigger_donation", "send_sms"]);
    let request = scene.called().await;
    let flow = request.flow.clone().unwrap();
    let mut line = Line::answered(&flow, &[]);
    line.listens();
    line.press('1');
    scene.tell(&request, &line).await;
    assert!(!scene.notes.lock().unwrap().is_empty());
    assert!(scene.desk.results.lock().unwrap().is_empty());
}
