//! A ledger that fails: for simulations.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clock::Clock;
use crate::domain::{
    Aggregate, Call, CallId, Contact, ContactId, E164, ItemId, JournalEntry, OrgId, Run, RunId, RunTally,
    Suppression,
};
use crate::policy::NumberFacts;
use crate::storage::{
    Applied, ApplyCalls, BeginCalls, Begun, ChangeRun, ContactQuery, DeadLetter, Decide, InboxItem,
    JournalCursor, JournalPage, Ledger, OutboxItem, RunQuery, Settle, SettleWaiting, StorageError,
    StorageErrorKind, TakeItems, TakeOverdue,
};

/// How often a verb fails, as shares from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LedgerFaults {
    /// The store was busy; nothing took effect.
    pub busy: f64,
    /// The store could not be reached; nothing took effect.
    pub unavailable: f64,
    /// The verb took effect, and its answer was lost.
    pub answer_lost: f64,
    /// The verb took up to two minutes, by [the clock](FaultyLedger::with_clock).
    pub slow: f64,
    /// What was told of runs is what was true when they were last asked for, as by an index that lags behind.
    pub stale: f64,
}

/// A ledger in front of another that fails as often as it is told to, decided by a seed. Every verb yields before and
/// after its effect, so that a future dropped at any poll is a crash at that place.
#[derive(Debug, Clone)]
pub struct FaultyLedger {
    inner: Arc<dyn Ledger>,
    dice: Arc<Mutex<Dice>>,
    clock: Option<Arc<dyn Clock>>,
}

#[derive(Debug)]
struct Dice {
    random: StdRng,
    faults: LedgerFaults,
    fired: BTreeMap<&'static str, u64>,
    /// What was told of runs lately.
    runs: HashMap<RunQuery, Vec<Run>>,
}

impl FaultyLedger {
    /// A ledger that passes everything on to `inner`, and fails as `faults` say.
    pub fn new(inner: Arc<dyn Ledger>, seed: u64, faults: LedgerFaults) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let dice = Dice { random, faults, fired: BTreeMap::new(), runs: HashMap::new() };
        Self { inner, dice: Arc::new(Mutex::new(dice)), clock: None }
    }

    /// The same, with the clock by which verbs are slow. Without one they never are.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Fails as these say from now on.
    pub fn set_faults(&self, faults: LedgerFaults) {
        self.dice().faults = faults;
    }

    /// How often each kind of fault was seen to fire.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        self.dice().fired.clone()
    }

    fn dice(&self) -> MutexGuard<'_, Dice> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn before(&self, verb: &'static str) -> Result<(), StorageError> {
        Yield::default().await;
        let faults = self.dice().faults;
        self.dawdle(faults.slow).await;
        self.fail(faults.busy, "store busy", StorageErrorKind::Busy, verb)?;
        self.fail(faults.unavailable, "store unavailable", StorageErrorKind::Unavailable, verb)
    }

    async fn after(&self, verb: &'static str) -> Result<(), StorageError> {
        Yield::default().await;
        let faults = self.dice().faults;
        self.fail(faults.answer_lost, "store answer lost", StorageErrorKind::Unavailable, verb)
    }

    /// Takes its time.
    async fn dawdle(&self, share: f64) {
        let Some(clock) = self.clock.as_ref().filter(|_| self.happens(share, "store slow")) else { return };
        let takes = TimeDelta::milliseconds(self.dice().random.random_range(10..120_000));
        clock.sleep_until(clock.now() + takes).await;
    }

    /// Whether a fault fires.
    fn happens(&self, share: f64, fault: &'static str) -> bool {
        let mut dice = self.dice();
        let happens = share > 0.0 && dice.random.random_bool(share);
        if happens {
            *dice.fired.entry(fault).or_default() += 1;
        }
        happens
    }

    async fn runs_perhaps_stale(&self, query: RunQuery) -> Result<Vec<Run>, StorageError> {
        let before = self.dice().runs.get(&query).cloned();
        let stale = self.dice().faults.stale;
        if let Some(before) = before
            && self.happens(stale, "store stale")
        {
            return Ok(before);
        }
        let runs = self.inner.runs(query.clone()).await?;
        self.dice().runs.insert(query, runs.clone());
        Ok(runs)
    }

    fn fail(
        &self,
        share: f64,
        fault: &'static str,
        kind: StorageErrorKind,
        verb: &'static str,
    ) -> Result<(), StorageError> {
        match self.happens(share, fault) {
            true => Err(StorageError::new(kind, verb, "a fault of the simulation")),
            false => Ok(()),
        }
    }
}

/// Gives way once.
#[derive(Debug, Default)]
pub(super) struct Yield {
    gave_way: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.gave_way {
            return Poll::Ready(());
        }
        self.gave_way = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Passes verbs on, with a chance of failing before and after.
macro_rules! pass_on {
    ($($verb:ident($($name:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Ledger for FaultyLedger {
            $(async fn $verb(&self, $($name: $type),*) -> Result<$answer, StorageError> {
                self.before(stringify!($verb)).await?;
                let answer = self.inner.$verb($($name),*).await?;
                self.after(stringify!($verb)).await?;
                Ok(answer)
            })*

            async fn runs(&self, query: RunQuery) -> Result<Vec<Run>, StorageError> {
                self.before("runs").await?;
                let runs = self.runs_perhaps_stale(query).await?;
                self.after("runs").await?;
                Ok(runs)
            }
        }
    };
}

pass_on! {
    create_run(run: Run) -> Run;
    run(id: RunId) -> Option<Run>;
    change_run(id: RunId, change: &ChangeRun<'_>) -> Run;
    purge_run(id: RunId, limit: usize) -> u64;
    add_contacts(contacts: Vec<Contact>, now: DateTime<Utc>) -> u64;
    contact(id: ContactId) -> Option<Contact>;
    contacts(query: ContactQuery) -> Vec<Contact>;
    tally(run_id: RunId) -> RunTally;
    settle_waiting(request: SettleWaiting) -> u64;
    begin_calls(request: BeginCalls, decide: &Decide<'_>) -> Begun;
    apply_calls(request: ApplyCalls, settle: &Settle<'_>) -> Vec<Applied>;
    take_overdue(request: TakeOverdue) -> Vec<Call>;
    call(id: CallId) -> Option<Call>;
    calls_of(contacts: &[ContactId]) -> Vec<Call>;
    live_calls(run_id: RunId, after: Option<CallId>, limit: usize) -> Vec<Call>;
    number_facts(org_id: OrgId, number: E164, now: DateTime<Utc>) -> NumberFacts;
    next_due(runs: &[RunId]) -> Option<DateTime<Utc>>;
    suppress(entries: Vec<Suppression>) -> Vec<CallId>;
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
