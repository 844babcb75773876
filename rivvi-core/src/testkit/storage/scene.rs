//! An organization with a campaign and a run, and the verbs of a store with sensible arguments.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::domain::{
    Call, CallId, Campaign, CampaignDefinition, Contact, ContactId, ItemId, Lease, Organization,
    ProviderName, Run, RunState,
};
use crate::machine::{self, CallFact, CallInput, Intent, RunInput, SettleTerms};
use crate::policy::{Decision, NumberFacts, Policy, Question, RunTerms};
use crate::provider::{CallEvent, Lookup, VoiceCapabilities};
use crate::storage::{Applied, ApplyCalls, BeginCalls, Begun, Change, Storage, StorageError};
use crate::testkit::build;

/// An organization with a campaign and a run of it, as they stand in a store.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The organization.
    pub organization: Organization,
    /// The campaign.
    pub campaign: Campaign,
    /// The run, as it was when the scene was built.
    pub run: Run,
}

/// The provider whose calls the scenes make.
pub const PROVIDER: &str = "testkit";

impl Scene {
    /// Organization, campaign and run `n`; the run is a draft.
    pub async fn draft(storage: &Storage, n: u64) -> Self {
        let organization = build::organization(n);
        let campaign = build::campaign(organization.id, n);
        storage.catalog.put_organization(organization.clone()).await.unwrap();
        storage.catalog.add_campaign(campaign.clone()).await.unwrap();
        let run = storage.ledger.create_run(build::draft(&campaign, n)).await.unwrap();
        Self { organization, campaign, run }
    }

    /// Organization, campaign and run `n`; the run is active and has contacts of the rows 1 to `contacts`, see
    /// [`build::contact`].
    pub async fn active(storage: &Storage, n: u64, contacts: u64) -> Self {
        let scene = Self::draft(storage, n).await.activated(storage).await;
        scene.add(storage, build::contacts(&scene.run, contacts)).await;
        scene
    }

    /// Like [`active`](Self::active), of the campaign that the text defines.
    pub async fn active_of(storage: &Storage, n: u64, contacts: u64, toml: &str) -> Self {
        let organization = build::organization(n);
        let definition = CampaignDefinition::from_toml(toml).unwrap();
        let campaign = Campaign { definition, ..build::campaign(organization.id, n) };
        storage.catalog.put_organization(organization.clone()).await.unwrap();
        storage.catalog.add_campaign(campaign.clone()).await.unwrap();
        let run = storage.ledger.create_run(build::draft(&campaign, n)).await.unwrap();
        let scene = Self { organization, campaign, run }.activated(storage).await;
        scene.add(storage, build::contacts(&scene.run, contacts)).await;
        scene
    }

    /// An active run `n` of a campaign of its own, of the same organization.
    pub async fn sibling(&self, storage: &Storage, n: u64, contacts: u64) -> Self {
        let campaign = build::campaign(self.organization.id, n);
        storage.catalog.add_campaign(campaign.clone()).await.unwrap();
        let run = storage.ledger.create_run(build::draft(&campaign, n)).await.unwrap();
        let scene = Self { organization: self.organization.clone(), campaign, run }.activated(storage).await;
        scene.add(storage, build::contacts(&scene.run, contacts)).await;
        scene
    }

    /// The same scene with its draft imported and started.
    pub async fn activated(self, storage: &Storage) -> Self {
        let mut scene = self;
        for input in [
            RunInput::BeginImport,
            RunInput::FinishImport(Arc::new(build::import_report())),
            RunInput::Start { active_runs_max: u32::MAX },
        ] {
            scene.run = scene.step(storage, input).await.unwrap();
        }
        assert_eq!(scene.run.state, RunState::Active);
        scene
    }

    /// Changes the run as [`machine::step_run`] says, at [`build::start`].
    pub async fn step(&self, storage: &Storage, input: RunInput) -> Result<Run, StorageError> {
        let change = |run: &Run, facts: &_| machine::step_run(run, facts, &input, build::start());
        storage.ledger.change_run(self.run.id, &change).await
    }

    /// Adds contacts, all of which must be new.
    pub async fn add(&self, storage: &Storage, contacts: Vec<Contact>) {
        let count = contacts.len() as u64;
        assert_eq!(storage.ledger.add_contacts(contacts, build::start()).await.unwrap(), count);
    }

    /// The id of the contact of a row.
    pub fn contact_id(&self, row: u64) -> ContactId {
        ContactId::of_row(self.run.id, row)
    }

    /// The contact of a row, as it stands in the store.
    pub async fn contact(&self, storage: &Storage, row: u64) -> Contact {
        storage.ledger.contact(self.contact_id(row)).await.unwrap().expect("the contact exists")
    }

    /// The terms of the run.
    pub fn terms(&self) -> RunTerms {
        RunTerms::new(Arc::new(self.run.clone()), Arc::new(self.organization.clone()))
    }

    /// A request to begin calls at [`build::start`] without any limit that could be reached.
    pub fn request(&self) -> BeginCalls {
        self.request_at(build::start())
    }

    /// A request to begin calls at an instant without any limit that could be reached.
    pub fn request_at(&self, now: DateTime<Utc>) -> BeginCalls {
        BeginCalls {
            run_id: self.run.id,
            org_id: self.run.org_id,
            now,
            calls_max: 1_000_000,
            contacts_max: 1_000_000,
            organization_limit: 1_000_000,
            run_limit: None,
        }
    }

    /// Begins calls to everyone whom the request lets through, whatever the facts are.
    pub async fn begin(&self, storage: &Storage, request: BeginCalls) -> Begun {
        let now = request.now;
        storage.ledger.begin_calls(request, &|contact, _| allow(contact, now)).await.unwrap()
    }

    /// Begins calls to whom the policy allows it.
    pub async fn begin_by_policy(&self, storage: &Storage, request: BeginCalls) -> Begun {
        let (terms, now) = (self.terms(), request.now);
        storage.ledger.begin_calls(request, &by_policy(&terms, now)).await.unwrap()
    }

    /// Begins a call to every contact that is due at [`build::start`]; at least one must be.
    pub async fn begin_all(&self, storage: &Storage) -> Vec<Call> {
        let begun = self.begin(storage, self.request()).await;
        assert!(!begun.calls.is_empty(), "no contact was due");
        begun.calls.into_iter().map(|(call, _)| call).collect()
    }

    /// Applies inputs as [`machine::settle`] says, at [`build::start`].
    pub async fn apply(&self, storage: &Storage, inputs: Vec<CallInput>) -> Vec<Applied> {
        self.apply_at(storage, inputs, build::start()).await
    }

    /// Applies inputs as [`machine::settle`] says.
    pub async fn apply_at(
        &self,
        storage: &Storage,
        inputs: Vec<CallInput>,
        now: DateTime<Utc>,
    ) -> Vec<Applied> {
        let terms = self.terms();
        let request = ApplyCalls { inputs, now, keep_unmatched_until: None };
        storage.ledger.apply_calls(request, &settling(&terms, now)).await.unwrap()
    }

    /// Applies inputs, all of which must change their call.
    pub async fn apply_all(&self, storage: &Storage, inputs: Vec<CallInput>) {
        for applied in self.apply(storage, inputs).await {
            assert!(matches!(applied, Applied::Changed { .. }), "an input changed nothing: {applied:?}");
        }
    }

    /// The call, as it stands in the store.
    pub async fn call(&self, storage: &Storage, id: CallId) -> Call {
        storage.ledger.call(id).await.unwrap().expect("the call exists")
    }
}

/// The change that begins a call to a contact, legal for an hour.
pub fn allow(contact: &Contact, now: DateTime<Utc>) -> Change {
    decided(contact, Decision::Allow { until: now + std::time::Duration::from_secs(3_600) }, now)
}

/// The change that puts a contact off.
pub fn defer(contact: &Contact, until: DateTime<Utc>, now: DateTime<Utc>) -> Change {
    decided(contact, Decision::Defer { until, rule: "testkit", reason: "put off".into() }, now)
}

/// The change that follows from a decision about a contact; a call gets the id of [`build::call_id`].
pub fn decided(contact: &Contact, decision: Decision, now: DateTime<Utc>) -> Change {
    machine::begin(contact, decision, now, || Intent {
        call_id: build::call_id(contact.id, contact.status.sequence),
        provider: ProviderName::new(PROVIDER),
        caller_id: build::organization(1).caller_id,
        lease: Lease { node: build::node_id(1), token: 1, until: now + std::time::Duration::from_secs(60) },
        message: None,
    })
}

/// Decides by Rivvi's own policy.
pub fn by_policy(
    terms: &RunTerms,
    now: DateTime<Utc>,
) -> impl Fn(&Contact, &NumberFacts) -> Change + Send + Sync + '_ {
    let policy = Policy::new();
    move |contact, number| {
        let question = Question { now, asked_at: now, terms, contact, number };
        decided(contact, policy.decide(&question), now)
    }
}

/// Settles by Rivvi's own machine. Items of the outbox get ids derived from call and key.
pub fn settling(
    terms: &RunTerms,
    now: DateTime<Utc>,
) -> impl Fn(&Contact, &Call, &CallInput) -> Option<Change> + Send + Sync + '_ {
    let policy = Policy::new();
    let capabilities = VoiceCapabilities { lookup: Lookup::ByReference, ..VoiceCapabilities::default() };
    move |contact, call, input| {
        let terms =
            SettleTerms { now, policy: &policy, run: terms, capabilities: &capabilities, receipts: true };
        machine::settle(contact, call, input, &terms, || item_id(call.id, input))
    }
}

/// The id that an action gets from [`settling`].
pub fn item_id(call: CallId, input: &CallInput) -> ItemId {
    let mut hash = Sha256::new();
    hash.update(call.as_uuid().as_bytes());
    match &input.fact {
        CallFact::Told { event: CallEvent::Action { key, .. }, .. } => hash.update(key),
        CallFact::Told { event: CallEvent::Replied { id, .. }, .. } => hash.update(id),
        _ => {}
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    ItemId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
