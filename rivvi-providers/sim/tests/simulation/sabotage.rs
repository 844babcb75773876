//! The checker must bite: defects put in on purpose, each of which is found within a stated number of seeds.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use futures::FutureExt as _;
use rivvi_core::domain::{
    Aggregate, Call, CallId, CampaignDefinition, Contact, ContactId, ContactState, E164, Event, ItemId,
    JournalEntry, OrgId, ProviderName, Run, RunId, RunTally, Suppression, SuppressionSource,
};
use rivvi_core::machine::{CallFact, CallInput};
use rivvi_core::policy::NumberFacts;
use rivvi_core::policy::caps::Caps;
use rivvi_core::policy::zone::{ZonePolicy, resolve};
use rivvi_core::provider::{
    CallEvent, CallLookup, CallUpdate, Delivery, FindCall, FindSms, PlaceCall, PlacedCall, ProviderError,
    SendSms, SentSms, SmsCapabilities, SmsLookup, SmsNews, SmsProvider, VoiceCapabilities, VoiceProvider,
    WebhookError, WebhookRequest,
};
use rivvi_core::storage::{
    Applied, ApplyCalls, BeginCalls, Begun, Change, ChangeRun, ContactQuery, DeadLetter, Decide, InboxItem,
    JournalCursor, JournalPage, Ledger, OutboxItem, RunQuery, Settle, SettleWaiting, StorageError, TakeItems,
    TakeOverdue,
};
use rivvi_provider_sim::simulation::{Parts, Sound, Storm, World};
use rivvi_provider_sim::{SimulatedGateway, SimulatedNetwork};

/// A defect put in on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defect {
    /// A lost answer of the network is taken for a refusal, so the call is made again.
    RetryOnUnknown,
    /// A lost answer of the gateway is taken for a refusal, so the message is sent again.
    ResendOnUnknown,
    /// The network is asked first, and the intent is lost now and then before it is committed.
    IntentAfterDial,
    /// The calling windows are not looked at.
    NoWindow,
    /// The windows are held against one zone for all.
    WindowInServerTime,
    /// The caps are not looked at.
    NoCap,
    /// The limit of calls at once is not looked at.
    NoLimit,
    /// Every end of a call gives a place back, also when it is told again.
    SlotReleasedTwice,
    /// A suppression is acknowledged and forgotten.
    ForgottenSuppression,
    /// The suppression list is looked at as it was six hours ago.
    SuppressionSeenLate,
    /// A webhook is acknowledged before it is stored, which then fails now and then.
    AcknowledgedFirst,
    /// What a holder says whose lease has passed to another is believed.
    NoFence,
    /// The end of a call is not written to the journal now and then.
    JournalWithHoles,
    /// A contact that has its outcome is called again.
    EndWithoutEnd,
}

impl Defect {
    const ALL: [Self; 14] = [
        Self::RetryOnUnknown,
        Self::ResendOnUnknown,
        Self::IntentAfterDial,
        Self::NoWindow,
        Self::WindowInServerTime,
        Self::NoCap,
        Self::NoLimit,
        Self::SlotReleasedTwice,
        Self::ForgottenSuppression,
        Self::SuppressionSeenLate,
        Self::AcknowledgedFirst,
        Self::NoFence,
        Self::JournalWithHoles,
        Self::EndWithoutEnd,
    ];

    /// A storm in which it does harm.
    fn storm(self, seed: u64) -> Storm {
        let mut storm = Storm::of(seed);
        if self == Self::NoFence {
            // Several things hide it: who was stopped asks nobody, and the network knows a repetition. It takes holders that
            // stand still between an answer and its report, and others whose answers are under way then.
            (storm.nodes, storm.crash, storm.pause, storm.slow_lines) = (3, 0.0, 0.02, 0.6);
            (storm.network.refused, storm.network.lost_answers) = (0.3, 0.3);
        }
        storm
    }
}

/// Every defect is found within so many seeds.
const FOUND_WITHIN: u64 = 48;

#[test]
fn the_checker_finds_every_defect() {
    for defect in Defect::ALL {
        let found = (0..FOUND_WITHIN).find_map(|seed| {
            let broken = World::run(defect.storm(seed), &Sabotage::new(defect)).verdict().err()?;
            Some((seed, broken.to_string()))
        });
        let Some((seed, broken)) = found else {
            panic!("{defect:?} was not found in {FOUND_WITHIN} seeds");
        };
        println!("{defect:?} is found with seed {seed}: {broken:.90}");
        let sound = World::run(defect.storm(seed), &Sound).verdict();
        sound.unwrap_or_else(|broken| panic!("{defect:?}: seed {seed} breaks a promise by itself: {broken}"));
    }
}

/// A world with a defect.
#[derive(Debug, Clone)]
struct Sabotage {
    defect: Defect,
    network: Arc<OnceLock<SimulatedNetwork>>,
    asked: Arc<AtomicU64>,
    /// Ends of calls that were told again.
    repeated_ends: Arc<AtomicU32>,
}

impl Sabotage {
    fn new(defect: Defect) -> Self {
        Self { defect, network: Arc::default(), asked: Arc::default(), repeated_ends: Arc::default() }
    }

    /// Every so many times.
    fn now_and_then(&self, every: u64) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) % every == every - 1
    }
}

impl Parts for Sabotage {
    fn ledger(&self, shared: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        Arc::new(BrokenLedger { inner: shared, sabotage: self.clone() })
    }

    fn voice(&self, network: SimulatedNetwork) -> Arc<dyn VoiceProvider> {
        let network = self.network.get_or_init(|| network).clone();
        match self.defect {
            Defect::RetryOnUnknown => Arc::new(Forgetful(network)),
            _ => Arc::new(network),
        }
    }

    fn sms(&self, gateway: SimulatedGateway) -> Arc<dyn SmsProvider> {
        match self.defect {
            Defect::ResendOnUnknown => Arc::new(Forgetful(gateway)),
            _ => Arc::new(gateway),
        }
    }

    fn definition(&self, mut definition: CampaignDefinition) -> CampaignDefinition {
        match self.defect {
            Defect::NoWindow => definition.windows.clear(),
            Defect::NoCap => definition.caps = Caps::default(),
            _ => {}
        }
        definition
    }
}

/// A provider whose lost answers look like refusals.
#[derive(Debug)]
struct Forgetful<P>(P);

fn forget(error: ProviderError) -> ProviderError {
    ProviderError { delivery: Delivery::NotSent, ..error }
}

#[async_trait]
impl VoiceProvider for Forgetful<SimulatedNetwork> {
    fn name(&self) -> ProviderName {
        self.0.name()
    }

    fn capabilities(&self) -> VoiceCapabilities {
        self.0.capabilities()
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        self.0.place_call(request).await.map_err(forget)
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

#[async_trait]
impl SmsProvider for Forgetful<SimulatedGateway> {
    fn name(&self) -> ProviderName {
        self.0.name()
    }

    fn capabilities(&self) -> SmsCapabilities {
        self.0.capabilities()
    }

    async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
        self.0.send_sms(request).await.map_err(forget)
    }

    async fn find_sms(&self, query: &FindSms) -> Result<SmsLookup, ProviderError> {
        self.0.find_sms(query).await
    }

    fn decode_webhook(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Result<SmsNews, WebhookError> {
        self.0.decode_webhook(request, now)
    }
}

/// A ledger with a defect.
#[derive(Debug)]
struct BrokenLedger {
    inner: Arc<dyn Ledger>,
    sabotage: Sabotage,
}

impl BrokenLedger {
    /// What is decided about a contact that is due.
    fn decide(
        &self,
        contact: &Contact,
        number: &NumberFacts,
        now: DateTime<Utc>,
        decide: &Decide<'_>,
    ) -> Change {
        match self.sabotage.defect {
            Defect::SuppressionSeenLate => {
                let mut old = number.clone();
                let known = |entry: &Suppression| entry.added_at < now - TimeDelta::hours(6);
                old.suppression = old.suppression.filter(known);
                decide(contact, &old)
            }
            Defect::IntentAfterDial => {
                let change = decide(contact, number);
                match &change.call {
                    Some(call) if self.sabotage.now_and_then(8) => {
                        self.dial(call);
                        self.forget(contact, change.clone(), now)
                    }
                    _ => change,
                }
            }
            Defect::WindowInServerTime => {
                let mut here = contact.clone();
                here.zones = resolve(Some(Tz::UTC), contact.number, ZonePolicy::default(), Tz::UTC);
                decide(&here, number)
            }
            _ => decide(contact, number),
        }
    }

    /// Has the network call before anything is committed.
    fn dial(&self, call: &Call) {
        let Some(network) = self.sabotage.network.get() else { return };
        let mut request = rivvi_core::testkit::build::place_call(1);
        (request.call_id, request.to, request.contact_id) = (call.id, call.number, call.contact_id);
        let _ = network.place_call(&request).now_or_never();
    }

    /// As if the transaction had been rolled back: the contact is due again a little later.
    fn forget(&self, contact: &Contact, change: Change, now: DateTime<Utc>) -> Change {
        let mut status = contact.status.clone();
        status.state = ContactState::Waiting { due_at: now + TimeDelta::seconds(1) };
        Change {
            status,
            call: None,
            attempt: None,
            suppress: None,
            outbox: Vec::new(),
            events: Vec::new(),
            ..change
        }
    }

    /// What is decided about something that was told.
    fn settle(
        &self,
        contact: &Contact,
        call: &Call,
        input: &CallInput,
        settle: &Settle<'_>,
    ) -> Option<Change> {
        let told_end = matches!(&input.fact, CallFact::Told { event: CallEvent::Ended { .. }, .. });
        match self.sabotage.defect {
            Defect::SlotReleasedTwice if told_end && !call.is_live() => {
                self.sabotage.repeated_ends.fetch_add(1, Ordering::Relaxed);
                settle(contact, call, input)
            }
            Defect::NoFence => {
                let mut believed = input.clone();
                match &mut believed.fact {
                    CallFact::NotPlaced { token, .. }
                    | CallFact::NoAnswer { token, .. }
                    | CallFact::AskAgain { token }
                    | CallFact::NotFound { token }
                    | CallFact::GivenUp { token } => *token = call.lease.token,
                    CallFact::Told { .. } => {}
                }
                settle(contact, call, &believed)
            }
            Defect::JournalWithHoles => {
                let mut change = settle(contact, call, input)?;
                let ends = |event: &Event| matches!(event, Event::CallEnded { .. });
                if change.events.iter().any(ends) && self.sabotage.now_and_then(20) {
                    change.events.retain(|event| !ends(event));
                    change.status.sequence -= 1;
                }
                Some(change)
            }
            Defect::EndWithoutEnd => {
                let mut change = settle(contact, call, input)?;
                if change.status.state.due_at().is_none() && self.sabotage.now_and_then(10) {
                    let due_at = change.at + TimeDelta::hours(1);
                    change.status.state = ContactState::Waiting { due_at };
                }
                Some(change)
            }
            _ => settle(contact, call, input),
        }
    }
}

/// Passes verbs on as they are.
macro_rules! pass_on {
    ($($verb:ident($($name:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Ledger for BrokenLedger {
            $(async fn $verb(&self, $($name: $type),*) -> Result<$answer, StorageError> {
                self.inner.$verb($($name),*).await
            })*

            async fn begin_calls(
                &self,
                mut request: BeginCalls,
                decide: &Decide<'_>,
            ) -> Result<Begun, StorageError> {
                match self.sabotage.defect {
                    Defect::NoLimit => request.organization_limit *= 4,
                    Defect::SlotReleasedTwice => {
                        request.organization_limit += self.sabotage.repeated_ends.load(Ordering::Relaxed);
                    }
                    _ => {}
                }
                let now = request.now;
                let broken =
                    |contact: &Contact, number: &NumberFacts| self.decide(contact, number, now, decide);
                self.inner.begin_calls(request, &broken).await
            }

            async fn apply_calls(
                &self,
                request: ApplyCalls,
                settle: &Settle<'_>,
            ) -> Result<Vec<Applied>, StorageError> {
                let is_told = |input: &CallInput| matches!(input.fact, CallFact::Told { .. });
                if self.sabotage.defect == Defect::AcknowledgedFirst
                    && request.inputs.iter().all(is_told)
                    && self.sabotage.now_and_then(4)
                {
                    return Ok(vec![Applied::Unchanged; request.inputs.len()]);
                }
                let broken = |contact: &Contact, call: &Call, input: &CallInput| {
                    self.settle(contact, call, input, settle)
                };
                self.inner.apply_calls(request, &broken).await
            }

            async fn suppress(&self, entries: Vec<Suppression>) -> Result<Vec<CallId>, StorageError> {
                let by_webhook = entries.iter().any(|entry| entry.source == SuppressionSource::OptOut);
                match self.sabotage.defect {
                    Defect::ForgottenSuppression => Ok(Vec::new()),
                    Defect::AcknowledgedFirst if by_webhook && self.sabotage.now_and_then(2) => Ok(Vec::new()),
                    _ => self.inner.suppress(entries).await,
                }
            }
        }
    };
}

pass_on! {
    create_run(run: Run) -> Run;
    run(id: RunId) -> Option<Run>;
    runs(query: RunQuery) -> Vec<Run>;
    change_run(id: RunId, change: &ChangeRun<'_>) -> Run;
    purge_run(id: RunId, limit: usize) -> u64;
    add_contacts(contacts: Vec<Contact>, now: DateTime<Utc>) -> u64;
    contact(id: ContactId) -> Option<Contact>;
    contacts(query: ContactQuery) -> Vec<Contact>;
    tally(run_id: RunId) -> RunTally;
    settle_waiting(request: SettleWaiting) -> u64;
    take_overdue(request: TakeOverdue) -> Vec<Call>;
    call(id: CallId) -> Option<Call>;
    calls_of(contacts: &[ContactId]) -> Vec<Call>;
    live_calls(run_id: RunId, after: Option<CallId>, limit: usize) -> Vec<Call>;
    number_facts(org_id: OrgId, number: E164, now: DateTime<Utc>) -> NumberFacts;
    next_due(runs: &[RunId]) -> Option<DateTime<Utc>>;
    release(org_id: OrgId, number: E164, now: DateTime<Utc>) -> bool;
    suppressions(org_id: OrgId, after: Option<E164>, limit: usize) -> Vec<Suppression>;
    take_inbox(request: TakeItems) -> Vec<InboxItem>;
    finish_inbox(ids: Vec<ItemId>) -> ();
    take_outbox(request: TakeItems) -> Vec<OutboxItem>;
    finish_outbox(ids: Vec<ItemId>) -> ();
    retry_item(id: ItemId, at: Option<DateTime<Utc>>, problem: String) -> ();
    dead_letters(after: Option<ItemId>, limit: usize) -> Vec<DeadLetter>;
    revive(ids: Vec<ItemId>, now: DateTime<Utc>) -> u64;
    journal(aggregate: Aggregate, after: u64, limit: usize) -> Vec<JournalEntry>;
    add_entries(entries: Vec<JournalEntry>) -> ();
    journal_feed(after: Option<JournalCursor>, limit: usize) -> JournalPage;
    last_entry_at() -> Option<DateTime<Utc>>;
    cursor(reader: &str) -> Option<JournalCursor>;
    save_cursor(reader: &str, cursor: JournalCursor) -> ();
}
