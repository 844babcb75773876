//! Everything a host can add without touching Rivvi: a voice provider, a policy rule, a contact transformer, an event
//! sink and an action that conversations ask for.
//!
//! `cargo run --example custom_provider` runs a small campaign with them;
//! `cargo test --example custom_provider --all-features` checks the provider with the conformance suite.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Datelike;
use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock};
use rivvi::domain::{
    CallId, CallerId, CampaignDefinition, Disposition, E164, JournalEntry, Personal, ProviderName, Region,
};
use rivvi::engine::{EventSink, HostAction, HostError, NewOrganization};
use rivvi::import::{ContactTransformer, ImportedContact, Sheet};
use rivvi::policy::{Finding, Question, Rule};
use rivvi::provider::{
    ActionResult, Answerer, CallEvent, CallLookup, CallRef, CallUpdate, FindCall, Lookup, PlaceCall,
    PlacedCall, ProviderError, ProviderErrorKind, UpdateSink, VoiceCapabilities, VoiceProvider,
};
use rivvi::storage::{OutboxItem, Storage};

/// A telegraph office: everyone answers, says yes, and hangs up. It pushes its news over a connection.
#[derive(Debug, Clone)]
struct Telegraph {
    office: Arc<Office>,
}

#[derive(Debug)]
struct Office {
    clock: Arc<dyn Clock>,
    sink: OnceLock<Arc<dyn UpdateSink>>,
    calls: Mutex<HashMap<CallId, Vec<CallUpdate>>>,
    /// The wire to the office is cut for one request.
    cut: AtomicBool,
}

impl Telegraph {
    fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            office: Arc::new(Office {
                clock,
                sink: OnceLock::new(),
                calls: Mutex::default(),
                cut: AtomicBool::new(false),
            }),
        }
    }
}

impl Office {
    /// Writes down what happened, and tells it.
    async fn tell(&self, call_id: CallId, event: CallEvent) {
        let update = CallUpdate { call: CallRef::Id(call_id), at: self.clock.now(), event };
        if let Some(updates) = self.calls.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&call_id) {
            updates.push(update.clone());
        }
        // News that cannot be delivered is not lost: the engine looks the call up.
        if let Some(sink) = self.sink.get() {
            let _ = sink.deliver(vec![update]).await;
        }
    }

    async fn converse(&self, call_id: CallId) {
        self.tell(call_id, CallEvent::Answered { by: Answerer::Human }).await;
        let (key, name) = ("yes".to_owned(), "send_brochure".to_owned());
        self.tell(call_id, CallEvent::Action { key, name, parameters: Personal::default() }).await;
        self.clock.sleep_until(self.clock.now() + Duration::from_millis(20)).await;
        let (disposition, reason, talk_time) = (Disposition::AnsweredHuman, None, None);
        self.tell(call_id, CallEvent::Ended { disposition, reason, talk_time }).await;
    }
}

#[async_trait]
impl VoiceProvider for Telegraph {
    fn name(&self) -> ProviderName {
        ProviderName::new("telegraph")
    }

    fn capabilities(&self) -> VoiceCapabilities {
        let mut capabilities = VoiceCapabilities::default();
        capabilities.idempotent_placement = Some(Duration::from_secs(86_400));
        capabilities.lookup = Lookup::ByCallId;
        capabilities
    }

    async fn connect(&self, sink: Arc<dyn UpdateSink>) -> Result<(), ProviderError> {
        let _ = self.office.sink.set(sink);
        Ok(())
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        let call_id = request.call_id;
        if self.office.cut.swap(false, Ordering::Relaxed) {
            // Nothing was sent, so another provider, or a later try, may call.
            return Err(ProviderError::not_sent(&self.name(), "place_call", ProviderErrorKind::Unavailable));
        }
        let first = {
            let mut calls = self.office.calls.lock().unwrap_or_else(PoisonError::into_inner);
            let known = calls.contains_key(&call_id);
            calls.entry(call_id).or_default();
            !known
        };
        if first {
            let office = self.office.clone();
            tokio::spawn(async move { office.converse(call_id).await });
        }
        Ok(PlacedCall::default())
    }

    async fn find_call(&self, query: &FindCall) -> Result<CallLookup, ProviderError> {
        let calls = self.office.calls.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(calls.get(&query.call_id).cloned().map_or(CallLookup::NotFound, CallLookup::Found))
    }
}

/// Nobody is called on the first of a month.
#[derive(Debug)]
struct NotOnTheFirst;

impl Rule for NotOnTheFirst {
    fn name(&self) -> &'static str {
        "not_on_the_first"
    }

    fn judge(&self, question: &Question<'_>) -> Finding {
        if question.now.day() != 1 {
            return Finding::Pass;
        }
        Finding::wait(question.now + Duration::from_secs(3_600), "it is the first of the month")
    }
}

/// People whose row says "vip" go first.
#[derive(Debug)]
struct VipFirst;

impl ContactTransformer for VipFirst {
    fn transform(&self, contact: &mut ImportedContact) -> Result<(), String> {
        if contact.variables.get("note").is_some_and(|note| note == "vip") {
            contact.priority = Some(1);
        }
        Ok(())
    }
}

/// Counts what happens.
#[derive(Debug, Clone, Default)]
struct Counter(Arc<AtomicUsize>);

#[async_trait]
impl EventSink for Counter {
    fn name(&self) -> &str {
        "counter"
    }

    async fn publish(&self, entries: &[JournalEntry]) -> Result<(), HostError> {
        self.0.fetch_add(entries.len(), Ordering::Relaxed);
        Ok(())
    }
}

/// Sends a brochure to whoever said yes.
#[derive(Debug, Clone, Default)]
struct SendBrochure(Arc<AtomicUsize>);

#[async_trait]
impl HostAction for SendBrochure {
    fn name(&self) -> &str {
        "send_brochure"
    }

    async fn carry_out(&self, item: &OutboxItem) -> Result<ActionResult, HostError> {
        println!("a brochure for contact {}", item.contact_id);
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(ActionResult::done())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (events, brochures) = (Counter::default(), SendBrochure::default());
    let rivvi = Rivvi::builder()
        .storage(Storage::in_memory())
        .voice(Telegraph::new(Arc::new(SystemClock::new())))
        .rule(NotOnTheFirst)
        .contact_transformer(VipFirst)
        .event_sink(events.clone())
        .action(brochures.clone())
        .build()?;

    let organization = rivvi
        .organizations()
        .create(NewOrganization {
            name: "Old Post Office".into(),
            caller_id: CallerId(E164::from_e164("+97231234567")?),
            time_zone: chrono_tz::Asia::Jerusalem,
            region: Region::new("IL")?,
        })
        .await?;
    let definition = CampaignDefinition::from_toml("name = 'Brochure'\nchannel = 'voice'")?;
    let campaign = rivvi.campaigns().create(organization.id, definition).await?;
    let sheet = Sheet::from_bytes("people.csv", "name,phone,note\nDana,052-2000001,\nNoa,052-2000002,vip\n")?;
    let run = rivvi.runs().import(campaign.id, sheet).await?;
    rivvi.runs().start(run.id).await?;

    let engine = rivvi.spawn();
    let mut watch = rivvi.runs().watch(run.id);
    while let Some(progress) = watch.next().await? {
        println!("{progress}");
        if progress.tally.settled() == 2 && brochures.0.load(Ordering::Relaxed) == 2 {
            break;
        }
    }
    engine.shutdown().await;
    println!(
        "{} events, {} brochures",
        events.0.load(Ordering::Relaxed),
        brochures.0.load(Ordering::Relaxed)
    );
    Ok(())
}

#[cfg(all(test, feature = "testkit"))]
mod conformance {
    use rivvi::provider::WebhookRequest;
    use rivvi::testkit::voice::{Fault, VoiceHarness};

    use super::*;

    struct Harness(Telegraph);

    #[async_trait]
    impl VoiceHarness for Harness {
        fn provider(&self) -> Arc<dyn VoiceProvider> {
            Arc::new(self.0.clone())
        }

        async fn rings(&self, call_id: CallId) -> usize {
            usize::from(self.0.office.calls.lock().expect("no panic").contains_key(&call_id))
        }

        async fn requests(&self, call_id: CallId) -> usize {
            // The office keeps no count of repeated requests: it knows each call once.
            self.rings(call_id).await
        }

        fn faults(&self) -> Vec<Fault> {
            vec![Fault::Unreachable]
        }

        async fn fail_next(&self, fault: Fault) {
            assert_eq!(fault, Fault::Unreachable);
            self.0.office.cut.store(true, Ordering::Relaxed);
        }

        fn secrets(&self) -> Vec<String> {
            Vec::new()
        }

        fn webhook(&self, _call_id: CallId) -> Option<WebhookRequest> {
            None
        }
    }

    async fn harness() -> Harness {
        Harness(Telegraph::new(Arc::new(SystemClock::new())))
    }

    rivvi::voice_conformance!(harness);
}
