//! Random sequences of verbs, compared with the in-memory store.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::whole::whole_feed;
use super::{Scene, assert_whole, by_policy, settling};
use crate::domain::{
    CallId, Contact, ContactStatus, Disposition, E164, ItemId, OrgId, Outcome, Priority, RunId, Suppression,
};
use crate::machine::{CallFact, CallInput, RunInput, step_run};
use crate::policy::RunTerms;
use crate::provider::{Answerer, CallEvent, CallRef, ProviderErrorKind};
use crate::storage::{
    ApplyCalls, BeginCalls, ContactQuery, SettleWaiting, Storage, StorageError, StorageErrorKind, TakeItems,
    TakeOverdue,
};
use crate::testkit::{Fixture, build, patiently};

/// Runs random sequences of verbs on stores from the factory and on the in-memory store, and asserts that both answer
/// alike and hold the same afterwards, and that they are [whole](assert_whole). A failing sequence is shrunk to a short
/// one and printed.
///
/// Where the traits leave the order or the number open, the sequences do not ask for it.
///
/// # Panics
/// If the stores differ.
pub fn assert_random_sequences_agree<F, X>(sequences: u32, factory: impl Fn() -> F)
where
    F: Future<Output = X>,
    X: Fixture<Storage>,
{
    let config = Config { cases: sequences, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(&vec(step(), 1..40), |steps| {
        crate::testkit::run_case(async {
            let fixture = factory().await;
            play(fixture.subject(), &Storage::in_memory(), &steps).await;
        });
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Organizations 1 and 2 have the runs 1, 2 and 3; each has the same few numbers, so that runs meet.
const RUNS: [(u64, u64); 3] = [(1, 1), (1, 2), (2, 3)];
const NUMBERS: u64 = 5;

/// One verb, or a passage of time.
#[derive(Debug, Clone)]
enum Step {
    Pass { seconds: i64 },
    Add { run: usize, rows: Vec<(u64, u64, u8, i64)> },
    Change { run: usize, input: RunInput },
    Begin { run: usize, calls_max: u32, contacts_max: u32, organization_limit: u32, run_limit: Option<u32> },
    Apply { inputs: Vec<(usize, Told)>, keep: bool },
    TakeOverdue,
    Suppress { org: u64, numbers: Vec<u64>, lasts: Option<i64> },
    Release { org: u64, number: u64 },
    SettleWaiting { run: usize },
    Purge { run: usize },
    TakeItems { hold: i64 },
    FinishItems { every: usize },
    RetryItems { every: usize, after: Option<i64> },
    Revive,
}

/// What an input tells, before it is known about which call.
#[derive(Debug, Clone, Copy)]
enum Told {
    Accepted,
    Ringing,
    Answered(Answerer),
    Ended(Disposition),
    Action(u8),
    OptOut,
    Callback { seconds: i64 },
    NotPlaced { token: u64, kind: ProviderErrorKind },
    NoAnswer { token: u64 },
    NotFound { token: u64 },
    GivenUp { token: u64 },
    OfUnknownCall,
    ByReference(Disposition),
}

fn step() -> impl Strategy<Value = Step> {
    let run = 0..RUNS.len();
    let row = (1..9_u64, 0..NUMBERS, 1..=5_u8, -60..60_i64);
    let input = prop_oneof![
        3 => Just(RunInput::Start { active_runs_max: 2 }),
        2 => Just(RunInput::Pause { reason: "random".into() }),
        3 => Just(RunInput::Resume),
        1 => Just(RunInput::Cancel),
        2 => Just(RunInput::CheckSettled),
        2 => Just(RunInput::Finish),
    ];
    prop_oneof![
        3 => (0..90_i64).prop_map(|seconds| Step::Pass { seconds }),
        4 => (run.clone(), vec(row, 1..6)).prop_map(|(run, rows)| Step::Add { run, rows }),
        4 => (run.clone(), input).prop_map(|(run, input)| Step::Change { run, input }),
        8 => (run.clone(), 0..5_u32, 0..7_u32, 0..6_u32, prop::option::of(0..4_u32)).prop_map(
            |(run, calls_max, contacts_max, organization_limit, run_limit)| Step::Begin {
                run,
                calls_max,
                contacts_max,
                organization_limit,
                run_limit,
            }
        ),
        8 => (vec((0..12_usize, told()), 0..8), any::<bool>())
            .prop_map(|(inputs, keep)| Step::Apply { inputs, keep }),
        2 => Just(Step::TakeOverdue),
        2 => (1..=2_u64, vec(0..NUMBERS, 1..4), prop::option::of(0..90_i64))
            .prop_map(|(org, numbers, lasts)| Step::Suppress { org, numbers, lasts }),
        2 => (1..=2_u64, 0..NUMBERS).prop_map(|(org, number)| Step::Release { org, number }),
        1 => run.clone().prop_map(|run| Step::SettleWaiting { run }),
        1 => run.prop_map(|run| Step::Purge { run }),
        2 => (0..60_i64).prop_map(|hold| Step::TakeItems { hold }),
        1 => (1..4_usize).prop_map(|every| Step::FinishItems { every }),
        2 => (1..4_usize, prop::option::of(0..60_i64))
            .prop_map(|(every, after)| Step::RetryItems { every, after }),
        1 => Just(Step::Revive),
    ]
}

fn told() -> impl Strategy<Value = Told> {
    let disposition = || prop::sample::select(&Disposition::ALL[..8]);
    let kind = prop::sample::select(
        &[ProviderErrorKind::Timeout, ProviderErrorKind::Unavailable, ProviderErrorKind::InvalidNumber][..],
    );
    let answerer = prop::sample::select(&[Answerer::Human, Answerer::Machine, Answerer::Unknown][..]);
    prop_oneof![
        2 => Just(Told::Accepted),
        2 => Just(Told::Ringing),
        2 => answerer.prop_map(Told::Answered),
        4 => disposition().prop_map(Told::Ended),
        1 => (0..3_u8).prop_map(Told::Action),
        1 => Just(Told::OptOut),
        1 => (0..90_i64).prop_map(|seconds| Told::Callback { seconds }),
        2 => (1..3_u64, kind).prop_map(|(token, kind)| Told::NotPlaced { token, kind }),
        1 => (1..3_u64).prop_map(|token| Told::NoAnswer { token }),
        1 => (1..3_u64).prop_map(|token| Told::NotFound { token }),
        1 => (1..3_u64).prop_map(|token| Told::GivenUp { token }),
        1 => Just(Told::OfUnknownCall),
        2 => disposition().prop_map(Told::ByReference),
    ]
}

async fn play(storage: &Storage, reference: &Storage, steps: &[Step]) {
    let mut theirs = Player::new(storage).await;
    let mut ours = Player::new(reference).await;
    for (index, step) in steps.iter().enumerate() {
        let (told, expected) = (theirs.play(index, step).await, ours.play(index, step).await);
        assert_eq!(told, expected, "step {index} is answered differently: {step:?}");
    }
    theirs.assert_holds_the_same(&ours).await;
    for player in [&theirs, &ours] {
        for (run, purged) in player.runs.iter().zip(&player.purged) {
            if !purged {
                assert_whole(player.storage, run.run.id).await;
            }
        }
    }
}

/// A store that is played, and what is known of it.
struct Player<'a> {
    storage: &'a Storage,
    runs: Vec<Scene>,
    purged: Vec<bool>,
    now: DateTime<Utc>,
    calls: Vec<CallId>,
    inbox: Vec<ItemId>,
    outbox: Vec<ItemId>,
}

impl<'a> Player<'a> {
    async fn new(storage: &'a Storage) -> Self {
        let mut runs: Vec<Scene> = Vec::new();
        for (org, n) in RUNS {
            let organization = build::organization(org);
            let mut campaign = build::campaign(organization.id, n);
            campaign.definition.caps.lifetime = std::num::NonZeroU32::new(4);
            storage.catalog.put_organization(organization.clone()).await.unwrap();
            storage.catalog.add_campaign(campaign.clone()).await.unwrap();
            let run = storage.ledger.create_run(build::draft(&campaign, n)).await.unwrap();
            let scene = Scene { organization, campaign, run };
            runs.push(if n == 2 { scene } else { scene.activated(storage).await });
        }
        for input in [RunInput::BeginImport, RunInput::FinishImport(Arc::new(build::import_report()))] {
            runs[1].run = runs[1].step(storage, input).await.unwrap();
        }
        let (calls, inbox, outbox) = (Vec::new(), Vec::new(), Vec::new());
        Self { storage, runs, purged: vec![false; RUNS.len()], now: build::start(), calls, inbox, outbox }
    }

    /// Plays a step and tells what the store answered, as far as the traits say what it must.
    async fn play(&mut self, index: usize, step: &Step) -> String {
        let ledger = self.storage.ledger.clone();
        let now = self.now;
        match step {
            Step::Pass { seconds } => {
                self.now += TimeDelta::seconds(*seconds) + build::TICK;
                String::new()
            }
            Step::Add { run, rows } => {
                // A run that is purged takes no contacts any more.
                if self.purged[*run] {
                    return String::new();
                }
                let contacts: Vec<Contact> = rows.iter().map(|row| self.contact(*run, *row)).collect();
                answered(patiently(|| ledger.add_contacts(contacts.clone(), now)).await)
            }
            Step::Change { run, input } => {
                let change = |run: &_, facts: &_| step_run(run, facts, input, now);
                answered(patiently(|| ledger.change_run(self.runs[*run].run.id, &change)).await)
            }
            Step::Begin { run, calls_max, contacts_max, organization_limit, run_limit } => {
                let scene = self.runs[*run].clone();
                let request = BeginCalls {
                    calls_max: *calls_max,
                    contacts_max: *contacts_max,
                    organization_limit: *organization_limit,
                    run_limit: *run_limit,
                    ..scene.request_at(now)
                };
                let terms = self.terms(*run).await;
                let decide = by_policy(&terms, now);
                let begun = patiently(|| ledger.begin_calls(request.clone(), &decide)).await.unwrap();
                self.calls.extend(begun.calls.iter().map(|(call, _)| call.id));
                // Which limit is named when several are met at once is left open.
                format!("{} {:?}", begun.taken, begun.calls)
            }
            Step::Apply { inputs, keep } => {
                let inputs = inputs.iter().enumerate();
                let inputs =
                    inputs.map(|(n, (pick, told))| self.input(index * 100 + n, *pick, *told)).collect();
                let keep_unmatched_until = keep.then(|| now + TimeDelta::hours(1));
                let request = ApplyCalls { inputs, now, keep_unmatched_until };
                let terms = self.terms(0).await;
                let settle = settling(&terms, now);
                answered(patiently(|| ledger.apply_calls(request.clone(), &settle)).await)
            }
            Step::TakeOverdue => {
                let hold_until = now + TimeDelta::seconds(45);
                let request =
                    TakeOverdue { now, node: build::node_id(index as u64), hold_until, limit: 1_000 };
                let mut taken = patiently(|| ledger.take_overdue(request.clone())).await.unwrap();
                assert!(taken.is_sorted_by_key(|call| call.lease.until));
                taken.sort_by_key(|call| call.id);
                format!("{taken:?}")
            }
            Step::Suppress { org, numbers, lasts } => {
                let expires_at = lasts.map(|seconds| now + TimeDelta::seconds(seconds));
                let entry = |n: &u64| Suppression {
                    added_at: now,
                    expires_at,
                    ..build::suppression(build::org_id(*org), number(*n))
                };
                let entries: Vec<_> = numbers.iter().map(entry).collect();
                let mut live = patiently(|| ledger.suppress(entries.clone())).await.unwrap();
                live.sort();
                live.dedup();
                format!("{live:?}")
            }
            Step::Release { org, number: n } => {
                answered(patiently(|| ledger.release(build::org_id(*org), number(*n), now)).await)
            }
            Step::SettleWaiting { run } => {
                let request = SettleWaiting {
                    run_id: self.runs[*run].run.id,
                    outcome: Outcome::Cancelled,
                    rule: "run_state",
                    reason: "the run was cancelled",
                    now,
                    limit: 1_000,
                };
                answered(patiently(|| ledger.settle_waiting(request.clone())).await)
            }
            Step::Purge { run } => {
                let id = self.runs[*run].run.id;
                let purged = patiently(|| ledger.purge_run(id, 1_000)).await.unwrap();
                self.purged[*run] |= ledger.run(id).await.unwrap().unwrap().state.is_done();
                format!("{purged}")
            }
            Step::TakeItems { hold } => {
                let request = TakeItems { now, hold_until: now + TimeDelta::seconds(*hold), limit: 1_000 };
                let mut inbox = patiently(|| ledger.take_inbox(request.clone())).await.unwrap();
                let mut outbox = patiently(|| ledger.take_outbox(request.clone())).await.unwrap();
                inbox.sort_by_key(|item| item.id);
                outbox.sort_by_key(|item| item.id);
                self.inbox = inbox.iter().map(|item| item.id).collect();
                self.outbox = outbox.iter().map(|item| item.id).collect();
                format!("{inbox:?} {outbox:?}")
            }
            Step::FinishItems { every } => {
                let (inbox, outbox) = (each(&self.inbox, *every), each(&self.outbox, *every));
                patiently(|| ledger.finish_inbox(inbox.clone())).await.unwrap();
                patiently(|| ledger.finish_outbox(outbox.clone())).await.unwrap();
                String::new()
            }
            Step::RetryItems { every, after } => {
                let at = after.map(|seconds| now + TimeDelta::seconds(seconds));
                for id in each(&self.inbox, *every).into_iter().chain(each(&self.outbox, *every)) {
                    patiently(|| ledger.retry_item(id, at, format!("step {index}"))).await.unwrap();
                }
                String::new()
            }
            Step::Revive => {
                let dead = ledger.dead_letters(None, 1_000).await.unwrap();
                let ids: Vec<ItemId> = dead.iter().map(|letter| letter.id()).collect();
                answered(patiently(|| ledger.revive(ids.clone(), now)).await)
            }
        }
    }

    async fn assert_holds_the_same(&self, other: &Self) {
        let (theirs, ours) = (self.storage, other.storage);
        for scene in &self.runs {
            let id = scene.run.id;
            assert_eq!(run_of(theirs, id).await, run_of(ours, id).await);
        }
        for org_id in [1, 2].map(build::org_id) {
            assert_eq!(organization_of(theirs, org_id).await, organization_of(ours, org_id).await);
            for n in 0..NUMBERS {
                let told = theirs.ledger.number_facts(org_id, number(n), self.now).await.unwrap();
                let expected = ours.ledger.number_facts(org_id, number(n), self.now).await.unwrap();
                assert_eq!(told, expected, "facts of number {n}");
            }
        }
        for call in &self.calls {
            assert_eq!(theirs.ledger.call(*call).await.unwrap(), ours.ledger.call(*call).await.unwrap());
        }
        let runs: Vec<RunId> = self.runs.iter().map(|scene| scene.run.id).collect();
        assert_eq!(theirs.ledger.next_due(&runs).await.unwrap(), ours.ledger.next_due(&runs).await.unwrap());
        assert_eq!(
            theirs.ledger.dead_letters(None, 1_000).await.unwrap(),
            ours.ledger.dead_letters(None, 1_000).await.unwrap()
        );
        assert_eq!(whole_feed(theirs).await, whole_feed(ours).await);
    }

    fn contact(&self, run: usize, (row, n, priority, due_in): (u64, u64, u8, i64)) -> Contact {
        let status = ContactStatus::new(self.now + TimeDelta::seconds(due_in));
        let priority = Priority::new(priority).unwrap();
        Contact { number: number(n), priority, status, ..build::rich_contact(&self.runs[run].run, row) }
    }

    /// The terms of a run as it is now.
    async fn terms(&self, run: usize) -> RunTerms {
        let scene = &self.runs[run];
        let run = self.storage.ledger.run(scene.run.id).await.unwrap().unwrap();
        RunTerms::new(Arc::new(run), Arc::new(scene.organization.clone()))
    }

    fn input(&self, unique: usize, pick: usize, told: Told) -> CallInput {
        let unknown = CallRef::Id(build::unknown_call_id(unique as u64));
        let Some(id) = self.calls.len().checked_sub(1).map(|last| self.calls[last.saturating_sub(pick)])
        else {
            return build::told_of(unknown, CallEvent::Ringing);
        };
        let reference = format!("ref-{id}");
        let call = match told {
            Told::OfUnknownCall => unknown,
            Told::ByReference(_) => {
                CallRef::Provider { provider: super::PROVIDER.into(), reference: reference.clone() }
            }
            _ => CallRef::Id(id),
        };
        // No update is like another: what becomes of one that comes again after it was given up is left open.
        let at = self.now + build::TICK * i32::try_from(unique).unwrap();
        CallInput { call, fact: told.fact(&reference, at) }
    }
}

impl Told {
    fn fact(self, reference: &str, at: DateTime<Utc>) -> CallFact {
        let event = match self {
            Self::Accepted => CallEvent::Accepted { reference: Some(reference.to_owned()) },
            Self::Ringing | Self::OfUnknownCall => CallEvent::Ringing,
            Self::Answered(by) => CallEvent::Answered { by },
            Self::Ended(disposition) | Self::ByReference(disposition) => {
                CallEvent::Ended { disposition, reason: None, talk_time: None }
            }
            Self::Action(key) => {
                let parameters = build::variables().into();
                CallEvent::Action { key: key.to_string(), name: "sms".into(), parameters }
            }
            Self::OptOut => CallEvent::OptOut,
            Self::Callback { seconds } => CallEvent::Callback { at: at + TimeDelta::seconds(seconds) },
            Self::NotPlaced { token, kind } => {
                return CallFact::NotPlaced { token, kind, retry_after: None };
            }
            Self::NoAnswer { token } => {
                let check_at = at + TimeDelta::seconds(20);
                return CallFact::NoAnswer { token, kind: ProviderErrorKind::Timeout, check_at };
            }
            Self::NotFound { token } => return CallFact::NotFound { token },
            Self::GivenUp { token } => return CallFact::GivenUp { token },
        };
        CallFact::Told { event, at }
    }
}

/// What a verb answered, in a form that can be compared. Of an error only its kind counts.
fn answered<T: Debug>(result: Result<T, StorageError>) -> String {
    let answer: Result<T, StorageErrorKind> = result.map_err(|error| error.kind);
    format!("{answer:?}")
}

fn number(n: u64) -> E164 {
    build::number(n + 1)
}

/// Every `every`th of the items.
fn each(items: &[ItemId], every: usize) -> Vec<ItemId> {
    items.iter().copied().step_by(every).collect()
}

/// Everything that the store holds of a run.
async fn run_of(storage: &Storage, id: RunId) -> impl Debug + PartialEq {
    let run = storage.ledger.run(id).await.unwrap();
    let query = ContactQuery { run_id: id, number: None, after: None, limit: 1_000 };
    let contacts = storage.ledger.contacts(query).await.unwrap();
    let ids: Vec<_> = contacts.iter().map(|contact| contact.id).collect();
    let calls = storage.ledger.calls_of(&ids).await.unwrap();
    let live = storage.ledger.live_calls(id, None, 1_000).await.unwrap();
    (run, contacts, calls, live, storage.ledger.tally(id).await.unwrap())
}

/// Everything that the store holds of an organization beside its runs.
async fn organization_of(storage: &Storage, id: OrgId) -> impl Debug + PartialEq {
    let suppressions = storage.ledger.suppressions(id, None, 1_000).await.unwrap();
    let runs = crate::storage::RunQuery { org_id: Some(id), ..Default::default() };
    (suppressions, storage.ledger.runs(runs).await.unwrap())
}
