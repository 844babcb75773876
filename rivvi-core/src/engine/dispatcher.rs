//! From due contacts to placed calls.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use foldhash::HashMap;
use futures::future::join_all;

use super::Inner;
use super::attempt::{send_email, send_sms};
use super::breaker::Allowance;
use super::carrier::{AnyProvider, Carrier};
use crate::domain::{
    Call, CallDetail, CallId, Contact, Lease, Medium, Money, NumberKind, ProviderName, RunId, RunState,
};
use crate::limit::Pace;
use crate::machine::{CallFact, CallInput, Hindrance, Intent, RunInput, begin, hinder, look_again, refuse};
use crate::policy::follow_up::Upcoming;
use crate::policy::{Decision, NumberFacts, Question, RunTerms};
use crate::provider::{
    CallEvent, CallLookup, CallRef, CallUpdate, Delivery, Lookup, ProviderError, ProviderErrorKind,
};
use crate::storage::{BeginCalls, Change, Limited, RunQuery, StorageError};

/// A call whose lease this node holds and that is to be placed.
#[derive(Debug)]
pub(super) struct Placement {
    /// Boxed, for a placement is moved often before it is placed.
    pub(super) begun: Box<(Call, Contact)>,
    pub(super) terms: Arc<RunTerms>,
    pub(super) carrier: Carrier,
    /// After this reading of the monotonic clock the right to place it may have passed to another node.
    pub(super) valid_until: Duration,
}

/// What a round of dispatching did.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Calls to be placed.
    pub(super) placements: Vec<Placement>,
    /// Messages of which nobody told yet what became of them, to be looked up.
    pub(super) receipts: Vec<CallId>,
    /// Contacts looked at.
    pub(super) taken: u32,
    /// Runs whose next contacts wait for a live call to end, not for a time.
    pub(super) full: Vec<RunId>,
    /// Active runs.
    pub(super) active: Vec<RunId>,
    /// When pacing or a broken provider lets the next call start.
    pub(super) next_at: Option<DateTime<Utc>>,
}

impl Round {
    fn wake_at(&mut self, at: DateTime<Utc>) {
        self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
    }
}

impl Inner {
    /// Begins as many calls as limits, pace and due contacts allow, taking turns between runs.
    pub(super) async fn dispatch(&self) -> Result<Round, StorageError> {
        let mut round = Round::default();
        let query = RunQuery { states: vec![RunState::Active], ..RunQuery::default() };
        let mut runs = Vec::new();
        for run in self.storage.ledger.runs(query).await? {
            round.active.push(run.id);
            runs.extend(self.terms_of(run).await?);
        }
        // Whoever was first last time is last this time, so a limit shared by all starves nobody.
        if !runs.is_empty() {
            let turn = self.dispatch_turn.load(Ordering::Relaxed);
            let first = usize::try_from(turn).unwrap_or(0) % runs.len();
            runs.rotate_left(first);
        }
        // What is to be placed is placed before more contacts are looked at, so that no call waits for the contacts
        // of others.
        while !runs.is_empty() && round.placements.is_empty() && round.receipts.is_empty() {
            let mut unfinished = Vec::new();
            for terms in runs {
                match self.begin_batch(&terms, &mut round).await {
                    Ok(true) => unfinished.push(terms),
                    Ok(false) => {}
                    // Calls that were intended before the store failed are placed all the same.
                    Err(error) if round.placements.is_empty() => return Err(error),
                    Err(error) => {
                        tracing::error!(%error, "the store failed while calls were begun");
                        return Ok(round);
                    }
                }
            }
            runs = unfinished;
        }
        if round.taken > 0 {
            self.dispatch_turn.fetch_add(1, Ordering::Relaxed);
        }
        Ok(round)
    }

    /// Begins one batch of attempts of a run. Returns whether the run may have more to begin now.
    async fn begin_batch(&self, terms: &Arc<RunTerms>, round: &mut Round) -> Result<bool, StorageError> {
        let (run, organization) = (&terms.run, &terms.organization);
        let now = self.clock.now();
        let want = self.config.batch.min(organization.limits.concurrent_calls);
        if want == 0 {
            round.full.push(run.id);
            return Ok(false);
        }
        let mut lanes = Vec::new();
        for medium in run.definition.media() {
            lanes.push(self.open_lane(terms, medium, want, now).await);
        }
        let granted = lanes.iter().map(|lane| lane.granted).sum::<u32>().min(want);
        if granted == 0 {
            lanes.iter().for_each(|lane| round.wake_at(lane.next_at));
            self.close_lanes(run.id, &lanes, &[], now).await;
            return Ok(false);
        }
        let valid_until =
            self.clock.monotonic() + self.config.lease.saturating_sub(self.config.place_timeout);
        let receipts = Mutex::new(Vec::new());
        let due = Due { inner: self, terms, lanes: &lanes, receipts: &receipts, now };
        let request = BeginCalls {
            run_id: run.id,
            org_id: run.org_id,
            now,
            calls_max: granted,
            contacts_max: self.config.batch,
            organization_limit: organization.limits.concurrent_calls,
            run_limit: run.definition.limits.concurrent_calls,
        };
        let decide = |contact: &Contact, number: &NumberFacts| due.decide(contact, number);
        let begun = self.storage.ledger.begin_calls(request, &decide).await;
        let calls = begun.as_ref().map_or(&[][..], |begun| &begun.calls);
        self.close_lanes(run.id, &lanes, calls, now).await;
        let begun = begun?;
        round.receipts.extend(receipts.into_inner().unwrap_or_else(PoisonError::into_inner));
        if begun.taken > 0 {
            round.taken += begun.taken;
            self.progress.send_modify(|changes| *changes += 1);
            // The last contact of the run may be settled now.
            self.upkeep_wake.notify_one();
        }
        for begun in begun.calls {
            let lane = lanes.iter().find(|lane| lane.medium == begun.0.medium());
            let Some(carrier) = lane.and_then(|lane| lane.carrier.clone()) else { continue };
            let (begun, terms) = (Box::new(begun), terms.clone());
            round.placements.push(Placement { begun, terms, carrier, valid_until });
        }
        if begun.limited == Some(Limited::Concurrency) {
            round.full.push(run.id);
        }
        let more = matches!(begun.limited, None | Some(Limited::Request));
        Ok(more && begun.taken > 0 && lanes.iter().all(|lane| !lane.is_trial))
    }

    /// Finds who carries attempts by a medium now, and how many pace allows.
    async fn open_lane(&self, terms: &RunTerms, medium: Medium, want: u32, now: DateTime<Utc>) -> Lane {
        let place = self.next_place(terms.run.id, medium, now);
        let closed = |next_at: DateTime<Utc>| Lane {
            medium,
            carrier: None,
            paces: Vec::new(),
            granted: 0,
            is_trial: false,
            next_at,
            used: AtomicU32::new(0),
            next_place: Mutex::new(place.unwrap_or(next_at).max(next_at)),
        };
        let (carrier, calls_max) = match self.choose_carrier(medium, now).await {
            Ok(choice) => choice,
            Err(next_at) => return closed(next_at),
        };
        let paces = carrier.paces(terms);
        match self.storage.limiter.take(&paces, want.min(calls_max), now).await {
            Ok(grant) => Lane {
                carrier: Some(carrier),
                paces,
                granted: grant.granted,
                is_trial: calls_max == 1,
                ..closed(grant.next_at)
            },
            Err(error) => {
                tracing::warn!(%error, "nothing starts without pacing");
                closed(now + self.config.idle_max)
            }
        }
    }

    async fn close_lanes(
        &self,
        run_id: RunId,
        lanes: &[Lane],
        begun: &[(Call, Contact)],
        now: DateTime<Utc>,
    ) {
        for lane in lanes {
            self.close_lane(lane, begun, now).await;
            if lane.used.load(Ordering::Relaxed) > lane.granted {
                let place = *lane.next_place.lock().unwrap_or_else(PoisonError::into_inner);
                self.places().insert((run_id, lane.medium), place);
            }
        }
    }

    /// The first place behind those who were put off by pace in earlier rounds of this node.
    fn next_place(&self, run_id: RunId, medium: Medium, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut places = self.places();
        places.retain(|_, place| *place > now);
        places.get(&(run_id, medium)).copied()
    }

    fn places(&self) -> std::sync::MutexGuard<'_, HashMap<(RunId, Medium), DateTime<Utc>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back what was granted and not used.
    async fn close_lane(&self, lane: &Lane, begun: &[(Call, Contact)], now: DateTime<Utc>) {
        let used = begun.iter().filter(|(call, _)| call.medium() == lane.medium).count() as u32;
        if let (Some(carrier), true, 0) = (&lane.carrier, lane.is_trial, used) {
            self.breakers().entry(carrier.name.clone()).and_modify(|breaker| breaker.give_back_trial(now));
        }
        let unused = lane.granted.saturating_sub(used);
        if unused > 0 {
            // What cannot be given back only slows down.
            let _ = self.storage.limiter.give_back(&lane.paces, unused, now).await;
        }
    }

    /// The first healthy provider of a medium and how much it may be asked for, or when one may be healthy again.
    async fn choose_carrier(
        &self,
        medium: Medium,
        now: DateTime<Utc>,
    ) -> Result<(Carrier, u32), DateTime<Utc>> {
        let mut next_at = now + Duration::from_secs(60);
        for carrier in self.carriers_of(medium) {
            let allowance = match self.breakers().get_mut(&carrier.name) {
                Some(breaker) => breaker.allowance(now),
                None => Allowance::Free,
            };
            let calls_max = match allowance {
                Allowance::NoneBefore(until) => {
                    next_at = next_at.min(until);
                    continue;
                }
                Allowance::Trial => 1,
                Allowance::Free => u32::MAX,
            };
            let is_connected = match &carrier.provider {
                AnyProvider::Voice(provider) => self.is_connected(provider).await,
                AnyProvider::Sms(_) | AnyProvider::Email(_) => true,
            };
            if is_connected {
                return Ok((carrier, calls_max));
            }
            next_at = next_at.min(now + self.config.idle_max);
        }
        Err(next_at)
    }

    /// Asks what became of messages that nobody told of, some at once.
    pub(super) async fn look_up_receipts(&self, messages: Vec<CallId>) -> Result<(), StorageError> {
        for some in messages.chunks(LOOKS_AT_ONCE) {
            let found = join_all(some.iter().map(|id| self.look_up_receipt(*id))).await;
            let mut failed = None;
            let mut inputs = Vec::new();
            for found in found {
                match found {
                    Ok(updates) => inputs.extend(updates.into_iter().map(CallInput::from)),
                    Err(error) => failed = Some(error),
                }
            }
            // What was found is stored even if the store failed over another message.
            self.submit(inputs).await?;
            failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    async fn look_up_receipt(&self, id: CallId) -> Result<Vec<CallUpdate>, StorageError> {
        let Some(call) = self.storage.ledger.call(id).await? else { return Ok(Vec::new()) };
        let Some(carrier) = self.carrier(&call.provider) else { return Ok(Vec::new()) };
        match self.within(carrier.find(&call)).await {
            Some(Ok(CallLookup::Found(updates))) => return Ok(updates),
            Some(Err(error)) => tracing::warn!(message = %id, %error, "a message could not be looked up"),
            _ => {}
        }
        Ok(Vec::new())
    }

    /// Asks the provider for an attempt, once, and tells what came of it.
    pub(super) async fn place(&self, placement: Placement) -> Vec<CallInput> {
        let Placement { begun, terms, carrier, valid_until } = &placement;
        let (call, contact) = &**begun;
        let (id, token) = (call.id, call.lease.token);
        let now = self.clock.now();
        let input = |fact| CallInput { call: CallRef::Id(id), fact };
        // The node may have been paused since it committed the intent, or the whole machine suspended, during which
        // the monotonic clock may have stood still.
        let held_until = call.lease.until - self.config.place_timeout;
        if self.clock.monotonic() >= *valid_until || now >= held_until || now >= call.dial_before {
            // No fault of the contact, so it does not count against it.
            let kind = ProviderErrorKind::Unavailable;
            return vec![input(CallFact::NotPlaced { token, kind, retry_after: Some(Duration::ZERO) })];
        }
        let answer = self.ask(carrier, call, contact, terms, now).await;
        self.note_health(&carrier.name, answer.as_ref().err());
        let now = self.clock.now();
        match answer {
            Ok((reference, cost)) => {
                let accepted = CallFact::Told { event: CallEvent::Accepted { reference }, at: now };
                let cost = cost.map(|cost| {
                    let detail = Box::new(CallDetail { cost: Some(cost), ..CallDetail::default() });
                    CallFact::Told { event: CallEvent::Enriched { detail }, at: now }
                });
                std::iter::once(accepted).chain(cost).map(input).collect()
            }
            Err(error) => {
                tracing::warn!(call = %id, %error, "an attempt was not confirmed");
                if error.kind.needs_a_person() {
                    // Boxed, for it is large and rare, and there are as many futures of this kind as calls.
                    Box::pin(self.pause_for(call.run_id, &error)).await;
                }
                let kind = error.kind;
                vec![input(match error.delivery {
                    Delivery::NotSent => CallFact::NotPlaced { token, kind, retry_after: error.retry_after },
                    Delivery::Unknown => {
                        CallFact::NoAnswer { token, kind, check_at: now + self.config.lookup_after }
                    }
                })]
            }
        }
    }

    /// Asks the provider. Answers with its reference and the cost, as far as it tells.
    async fn ask(
        &self,
        carrier: &Carrier,
        call: &Call,
        contact: &Contact,
        terms: &RunTerms,
        now: DateTime<Utc>,
    ) -> Result<(Option<String>, Option<Money>), ProviderError> {
        let name = &carrier.name;
        let late = |operation| ProviderError::unknown(name, operation, ProviderErrorKind::Timeout);
        let no_message = || ProviderError::not_sent(name, "send", ProviderErrorKind::InvalidNumber);
        let message = call.detail.message.as_deref();
        match &carrier.provider {
            AnyProvider::Voice(provider) => {
                let request = self.place_call(call, contact, terms, now);
                let placed = self.within(provider.place_call(&request)).await;
                placed.unwrap_or_else(|| Err(late("place_call"))).map(|placed| (placed.reference, None))
            }
            AnyProvider::Sms(provider) => {
                let request = send_sms(call, message.ok_or_else(no_message)?, terms);
                let sent = self.within(provider.send_sms(&request)).await;
                sent.unwrap_or_else(|| Err(late("send_sms"))).map(|sent| (sent.reference, sent.cost))
            }
            AnyProvider::Email(provider) => {
                let request = message.and_then(|message| send_email(call, message, terms));
                let request = request.ok_or_else(no_message)?;
                let sent = self.within(provider.send_email(&request)).await;
                sent.unwrap_or_else(|| Err(late("send_email"))).map(|sent| (sent.reference, None))
            }
        }
    }

    pub(super) fn note_health(&self, provider: &ProviderName, error: Option<&ProviderError>) {
        let now = self.clock.now();
        if let Some(breaker) = self.breakers().get_mut(provider) {
            match error {
                None => breaker.succeeded(now),
                Some(error) => breaker.failed(error, now),
            }
        }
    }

    async fn pause_for(&self, run_id: RunId, error: &ProviderError) {
        let reason = format!("{}: {}", error.provider, error.kind);
        if let Err(error) = self.change_run(run_id, RunInput::Pause { reason }).await {
            tracing::warn!(run = %run_id, %error, "the run could not be paused");
        }
    }

    pub(super) fn breakers(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<ProviderName, super::breaker::Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Messages looked up at once.
const LOOKS_AT_ONCE: usize = 32;

/// Who carries the attempts of a batch by one medium, and how many.
struct Lane {
    medium: Medium,
    /// `None` while nobody can.
    carrier: Option<Carrier>,
    paces: Vec<Pace>,
    granted: u32,
    is_trial: bool,
    /// When asking for more makes sense.
    next_at: DateTime<Utc>,
    /// Attempts that were allowed.
    used: AtomicU32,
    /// When the next of those may start that are more than was granted.
    next_place: Mutex<DateTime<Utc>>,
}

impl Lane {
    /// Takes one of the attempts granted, or tells when the contact's turn comes, behind those who were put off before.
    fn take(&self) -> Result<(), DateTime<Utc>> {
        if self.used.fetch_add(1, Ordering::Relaxed) < self.granted {
            return Ok(());
        }
        let slowest = self.paces.iter().map(|pace| pace.rate.as_f64()).fold(f64::INFINITY, f64::min);
        let mut next = self.next_place.lock().unwrap_or_else(PoisonError::into_inner);
        let place = *next;
        *next += Duration::try_from_secs_f64(1.0 / slowest).unwrap_or_default();
        Err(place)
    }
}

/// Decides about contacts that are due.
struct Due<'a> {
    inner: &'a Inner,
    terms: &'a RunTerms,
    lanes: &'a [Lane],
    /// Messages to be looked up.
    receipts: &'a Mutex<Vec<CallId>>,
    now: DateTime<Utc>,
}

impl Due<'_> {
    fn decide(&self, contact: &Contact, number: &NumberFacts) -> Change {
        let Self { inner, terms, now, .. } = *self;
        let definition = &terms.run.definition;
        let (medium, step) = match contact.status.plan.upcoming(definition) {
            Upcoming::Attempt { medium, step } => (medium, step),
            Upcoming::Receipt(awaits) => return self.look_again(contact, awaits.message),
        };
        let question = Question { now, asked_at: now, terms, contact, number };
        let decision = inner.policy.decide(&question);
        match &decision {
            Decision::Never { outcome, exclusion, rule, reason } if !definition.follow_up.is_empty() => {
                let (outcome, exclusion) = (*outcome, *exclusion);
                let refused = Hindrance::Refused { outcome, exclusion, rule, reason: reason.clone() };
                return hinder(contact, definition, &refused, now);
            }
            // Of those who may be contacted.
            _ if medium == Medium::Sms && contact.number.kind() == NumberKind::FixedLine => {
                return hinder(contact, definition, &Hindrance::NoSms, now);
            }
            Decision::Allow { .. } => {}
            _ => return refuse(contact, decision, now),
        }
        let lane = self.lanes.iter().find(|lane| lane.medium == medium);
        let Some((lane, carrier)) = lane.and_then(|lane| Some((lane, lane.carrier.as_ref()?))) else {
            return self.put_off(contact, lane.map_or(now, |lane| lane.next_at), "no provider is available");
        };
        // Of a run with one medium no more contacts are looked at than were granted.
        if self.lanes.len() > 1
            && let Err(until) = lane.take()
        {
            return self.put_off(contact, until, "as many attempts were started as the pace allows");
        }
        let call_id = CallId::from_uuid(inner.ids.next(now));
        let message = match inner.message_of(terms, contact, (medium, step), call_id) {
            Ok(message) => message,
            Err(reason) => return hinder(contact, definition, &Hindrance::NoText { reason }, now),
        };
        let lease = Lease { node: inner.node, token: Lease::FIRST_TOKEN, until: now + inner.config.lease };
        let (provider, caller_id) = (carrier.name.clone(), terms.organization.caller_id);
        begin(contact, decision, now, || Intent { call_id, provider, caller_id, lease, message })
    }

    fn put_off(&self, contact: &Contact, until: DateTime<Utc>, reason: &'static str) -> Change {
        let until = until.max(self.now + Duration::from_millis(1));
        let decision = Decision::Defer { until, rule: "pace", reason: reason.into() };
        refuse(contact, decision, self.now)
    }

    fn look_again(&self, contact: &Contact, message: CallId) -> Change {
        let provider = self.inner.sms.iter().any(|sms| sms.capabilities().lookup != Lookup::None);
        if provider {
            self.receipts.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        }
        look_again(contact, &self.terms.run.definition, provider, self.now)
    }
}
