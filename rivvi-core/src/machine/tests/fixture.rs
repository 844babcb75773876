//! A contact, its call and everything a ledger would keep about them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::domain::{
    Call, CallId, CallState, CallerId, Campaign, CampaignDefinition, CampaignId, Channel, Contact,
    ContactState, Disposition, E164, Event, ItemId, Lease, Message, NodeId, OrgId, Organization,
    ProviderName, Region, Run, RunId, RunState, RunTally, Suppression,
};
use crate::import::{ImportReport, SheetFormat};
use crate::machine::{CallFact, CallInput, Intent, SettleTerms, begin, settle};
use crate::policy::zone::{CandidateZones, ResolvedZones, ZoneEvidence};
use crate::policy::{Decision, Policy, RunTerms};
use crate::provider::{Answerer, CallEvent, CallRef, Lookup, ProviderErrorKind, VoiceCapabilities};
use crate::storage::{AttemptChange, Change, OutboxItem};

/// The instant so many seconds after noon of Monday 4 May 2026, UTC.
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_777_896_000 + seconds, 0).unwrap()
}

/// How long a call may be placed in these tests: until an hour after noon.
pub(super) const LEGAL: i64 = 3_600;

/// Every cause is tried again twice, after an hour.
pub(super) const RETRIES: &str = r#"
[retry]
busy      = { after = "1h", max = 2 }
no_answer = { after = "1h", max = 2 }
voicemail = { after = "1h", max = 2 }
rejected  = { after = "1h", max = 2 }
failed    = { after = "1h", max = 2 }
"#;

pub(super) fn definition(toml: &str) -> CampaignDefinition {
    let channel = if toml.contains("channel =") { "" } else { "channel = 'voice'\n" };
    CampaignDefinition::from_toml(&format!("name = 'test'\n{channel}{toml}")).unwrap()
}

pub(super) fn draft(toml: &str) -> Run {
    let campaign = Campaign {
        id: CampaignId::from_uuid(Uuid::from_u128(2)),
        org_id: OrgId::from_uuid(Uuid::from_u128(1)),
        version: 1,
        definition: definition(toml),
    };
    Run::draft(RunId::from_uuid(Uuid::from_u128(3)), &campaign, "key", "sheet.csv", at(-600))
}

/// The terms of an active run of a campaign in an organization without limits.
pub(super) fn terms(toml: &str) -> RunTerms {
    let mut run = draft(toml);
    run.state = RunState::Active;
    run.started_at = Some(at(-60));
    run.ends_at = run.definition.run.ends_at(at(-60));
    let caller_id = CallerId(E164::from_digits(97_231_234_567).unwrap());
    let region = Region::new("IL").unwrap();
    let organization = Organization::new(run.org_id, "Clinic", caller_id, Tz::UTC, region);
    RunTerms::new(Arc::new(run), Arc::new(organization))
}

pub(super) fn contact(run: &Run) -> Contact {
    let zones = ResolvedZones { zones: CandidateZones::single(Tz::UTC), evidence: ZoneEvidence::Column };
    let number = E164::from_digits(972_541_234_567).unwrap();
    Contact::new(run.id, run.org_id, 1, number, zones, at(0))
}

pub(super) fn intent(call: u128) -> Intent {
    Intent {
        call_id: CallId::from_uuid(Uuid::from_u128(call)),
        provider: ProviderName::new("test"),
        caller_id: CallerId(E164::from_digits(97_231_234_567).unwrap()),
        lease: Lease {
            node: NodeId::from_uuid(Uuid::from_u128(9)),
            token: Lease::FIRST_TOKEN,
            until: at(90),
        },
        message: None,
    }
}

pub(super) fn report() -> Arc<ImportReport> {
    Arc::new(ImportReport {
        sheet: "sheet.csv".into(),
        digest: "00".into(),
        format: SheetFormat::Csv,
        worksheet: None,
        encoding: None,
        delimiter: None,
        header_row: 1,
        date_order: None,
        columns: Vec::new(),
        rows: 1,
        imported: 1,
        duplicates: 0,
        invalid: 0,
        blank_rows: 0,
        landlines: None,
        problems: Vec::new(),
        problems_total: 0,
        complete: true,
    })
}

/// The provider tells something, `seconds` after noon.
pub(super) fn told(event: CallEvent, seconds: i64) -> CallFact {
    CallFact::Told { event, at: at(seconds) }
}

pub(super) fn ended(disposition: Disposition) -> CallEvent {
    CallEvent::Ended { disposition, reason: None, talk_time: None }
}

pub(super) fn answered(by: Answerer) -> CallEvent {
    CallEvent::Answered { by }
}

pub(super) fn action(key: &str) -> CallEvent {
    CallEvent::Action { key: key.into(), name: "send_link".into(), parameters: Default::default() }
}

pub(super) fn not_placed(token: u64) -> CallFact {
    CallFact::NotPlaced { token, kind: ProviderErrorKind::Timeout, retry_after: None }
}

pub(super) fn no_answer(token: u64) -> CallFact {
    CallFact::NoAnswer { token, kind: ProviderErrorKind::Timeout, check_at: at(120) }
}

/// A ledger of one contact. Every change committed to it is checked against what all changes promise.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub(super) terms: Arc<RunTerms>,
    pub(super) policy: Policy,
    pub(super) now: DateTime<Utc>,
    pub(super) contact: Contact,
    pub(super) call: Call,
    /// The calls before that one.
    pub(super) past: Vec<Call>,
    pub(super) journal: Vec<Event>,
    pub(super) outbox: Vec<OutboxItem>,
    pub(super) suppressed: Vec<Suppression>,
    /// The calls that count as attempts.
    pub(super) attempts: Vec<CallId>,
    pub(super) tally: RunTally,
}

impl Scene {
    /// At noon a call to the contact is intended.
    pub(super) fn new(toml: &str) -> Self {
        Self::of(terms(toml))
    }

    pub(super) fn of(terms: RunTerms) -> Self {
        let contact = contact(&terms.run);
        let message = (terms.run.definition.channel == Channel::Sms).then(|| Message::sms("Hello"));
        let intent = || Intent { message, ..intent(4) };
        let change = begin(&contact, Decision::Allow { until: at(LEGAL) }, at(0), intent);
        let mut tally = RunTally::default();
        tally.enter(&contact.status.state);
        let mut scene = Self {
            terms: Arc::new(terms),
            policy: Policy::new(),
            now: at(0),
            contact,
            call: *change.call.clone().unwrap(),
            past: Vec::new(),
            journal: Vec::new(),
            outbox: Vec::new(),
            suppressed: Vec::new(),
            attempts: Vec::new(),
            tally,
        };
        scene.commit(None, change);
        scene
    }

    /// The same scene with its call in another state, as if the journal had told so.
    pub(super) fn in_state(mut self, state: CallState) -> Self {
        self.call.state = state;
        self
    }

    /// The call is taken over by another holder.
    pub(super) fn taken_over(mut self) -> Self {
        self.call.lease.token += 1;
        self
    }

    pub(super) fn at(mut self, seconds: i64) -> Self {
        self.now = at(seconds);
        self
    }

    pub(super) fn state(&self) -> ContactState {
        self.contact.status.state
    }

    /// What the machine makes of a fact, without committing it.
    pub(super) fn ask(&self, fact: CallFact) -> Option<Change> {
        let capabilities = VoiceCapabilities { lookup: Lookup::ByReference, ..VoiceCapabilities::default() };
        let terms = SettleTerms {
            now: self.now,
            policy: &self.policy,
            run: &self.terms,
            capabilities: &capabilities,
            receipts: true,
        };
        let input = CallInput { call: CallRef::Id(self.call.id), fact };
        let item = ItemId::from_uuid(Uuid::from_u128(100 + self.outbox.len() as u128));
        settle(&self.contact, &self.call, &input, &terms, || item)
    }

    /// Commits what the machine makes of a fact. Returns whether anything changed.
    pub(super) fn tell(&mut self, fact: CallFact) -> bool {
        let Some(change) = self.ask(fact) else { return false };
        assert_ne!(change.call.as_deref(), Some(&self.call), "a change changes the call");
        let before = self.call.clone();
        self.commit(Some(&before), change);
        true
    }

    /// Like [`tell`](Self::tell), about the call before, if there was one.
    pub(super) fn tell_of_past(&mut self, fact: CallFact) -> bool {
        let Some(past) = self.past.pop() else { return false };
        let current = std::mem::replace(&mut self.call, past);
        let changed = self.tell(fact);
        self.past.push(std::mem::replace(&mut self.call, current));
        changed
    }

    /// The contact is called again: its next call is intended.
    pub(super) fn call_again(&mut self, call: u128) {
        self.past.push(self.call.clone());
        self.begin(Intent { message: None, ..intent(call) });
    }

    /// The contact is written to: its next message is intended.
    pub(super) fn write(&mut self, call: u128, message: Message) {
        self.past.push(self.call.clone());
        self.begin(Intent { message: Some(message), ..intent(call) });
    }

    fn begin(&mut self, intent: Intent) {
        let change = begin(&self.contact, Decision::Allow { until: at(LEGAL) }, self.now, || intent);
        self.commit(None, change);
    }

    /// Commits a change of the contact alone.
    pub(super) fn commit_contact(&mut self, change: Change) {
        assert!(!change.events.is_empty() && change.call.is_none());
        let call = Some(Box::new(self.call.clone()));
        let before = self.call.clone();
        self.commit(Some(&before), Change { call, ..change });
    }

    fn commit(&mut self, before: Option<&Call>, change: Change) {
        assert!(!change.events.is_empty(), "every change is journaled");
        let written = self.contact.status.sequence + change.events.len() as u64;
        assert_eq!(change.status.sequence, written, "the sequence counts the events");
        assert_eq!(change.at, self.now);
        self.assert_in_step(&change);
        if let Some(before) = before {
            let after = change.call.as_ref().map(|call| call.state);
            assert!(before.is_live() || after == Some(before.state), "a disposition is kept");
        }
        if let (ContactState::Settled { .. }, after) = (self.contact.status.state, change.status.state) {
            assert_eq!(self.contact.status.state, after, "an outcome is kept");
        }
        change.count(&self.contact, before, &mut self.tally);
        let call = *change.call.unwrap();
        match change.attempt {
            Some(AttemptChange::Add(_)) => self.attempts.push(call.id),
            Some(AttemptChange::Remove) => self.attempts.retain(|id| *id != call.id),
            None => {}
        }
        assert_eq!(call.is_live(), call.check_at.is_some(), "only a live call is looked after");
        assert_eq!(change.status.attempts as usize, self.attempts.len(), "attempts are consistent");
        self.contact.status = change.status;
        self.call = call;
        self.journal.extend(change.events);
        self.outbox.extend(change.outbox);
        self.suppressed.extend(change.suppress);
        assert_eq!(self.tally.contacts(), 1, "the counts add up");
    }

    /// Events tell of the state they are committed with, and of no other.
    fn assert_in_step(&self, change: &Change) {
        let (before, after) = (self.contact.status.state, change.status.state);
        let planned = change.events.iter().filter_map(|event| match event {
            Event::RetryPlanned { at, .. } => Some(ContactState::Waiting { due_at: *at }),
            Event::FollowUpPlanned { at, step } if !is_host(&self.terms, step) => {
                Some(ContactState::Waiting { due_at: *at })
            }
            Event::ContactDeferred { until, .. } => Some(ContactState::Waiting { due_at: *until }),
            Event::CallIntended { call_id, .. } => Some(ContactState::Calling { call_id: *call_id }),
            Event::ContactSettled { outcome, exclusion, .. } => {
                Some(ContactState::Settled { outcome: *outcome, exclusion: *exclusion, at: change.at })
            }
            _ => None,
        });
        let planned: Vec<ContactState> = planned.collect();
        let expected = if before == after { Vec::new() } else { vec![after] };
        assert_eq!(planned, expected, "events are in step with the contact");
        let dispositions: Vec<Disposition> = change
            .events
            .iter()
            .filter_map(|event| match event {
                Event::CallEnded { disposition, .. } => Some(*disposition),
                _ => None,
            })
            .collect();
        let ended = self.call.is_live().then(|| change.call.as_ref()?.disposition()).flatten();
        assert_eq!(dispositions, Vec::from_iter(ended), "events are in step with the call");
    }

    /// Names of the events since the call was intended.
    pub(super) fn events(&self) -> Vec<&'static str> {
        self.journal.iter().skip(1).map(Event::name).collect()
    }
}

/// Whether a follow-up is the host's to carry out.
fn is_host(terms: &RunTerms, name: &str) -> bool {
    let steps = &terms.run.definition.follow_up;
    steps.iter().any(|step| step.name == name && step.medium().is_none())
}

/// The instant a duration after noon.
pub(super) fn after(span: Duration) -> DateTime<Utc> {
    at(0) + TimeDelta::from_std(span).unwrap()
}
