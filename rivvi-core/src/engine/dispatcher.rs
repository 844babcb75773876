//! From due contacts to placed calls.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Inner;
use super::breaker::Allowance;
use crate::domain::{
    Call, CallId, Contact, ContactVariables, Lease, Personal, ProviderName, RunId, RunState,
};
use crate::limit::{Pace, PaceKey};
use crate::machine::{CallFact, CallInput, Intent, RunInput, begin};
use crate::policy::{NumberFacts, Question, RunTerms};
use crate::provider::{
    CallEvent, CallRef, Delivery, PlaceCall, ProviderError, ProviderErrorKind, VoiceProvider,
};
use crate::storage::{BeginCalls, Limited, RunQuery, StorageError};

/// A call whose lease this node holds and that is to be placed.
#[derive(Debug)]
pub(super) struct Placement {
    pub(super) call: Call,
    pub(super) contact: Contact,
    pub(super) terms: Arc<RunTerms>,
    pub(super) provider: Arc<dyn VoiceProvider>,
    /// After this reading of the monotonic clock the right to place it may have passed to another node.
    pub(super) valid_until: Duration,
}

/// What a round of dispatching did.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Calls to be placed.
    pub(super) placements: Vec<Placement>,
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
        while !runs.is_empty() && round.placements.is_empty() {
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

    /// Begins one batch of calls of a run. Returns whether the run may have more to begin now.
    async fn begin_batch(&self, terms: &Arc<RunTerms>, round: &mut Round) -> Result<bool, StorageError> {
        let (run, organization) = (&terms.run, &terms.organization);
        let now = self.clock.now();
        let (provider, calls_max) = match self.choose_provider(now).await {
            Ok(choice) => choice,
            Err(next_at) => {
                round.wake_at(next_at);
                return Ok(false);
            }
        };
        let paces = paces(terms, provider.as_ref());
        let want = calls_max.min(self.config.batch).min(organization.limits.concurrent_calls);
        if want == 0 {
            round.full.push(run.id);
            return Ok(false);
        }
        let grant = match self.storage.limiter.take(&paces, want, now).await {
            Ok(grant) => grant,
            Err(error) => {
                tracing::warn!(%error, "no call starts without pacing");
                round.wake_at(now + self.config.idle_max);
                return Ok(false);
            }
        };
        if grant.granted == 0 {
            round.wake_at(grant.next_at);
            return Ok(false);
        }
        let valid_until =
            self.clock.monotonic() + self.config.lease.saturating_sub(self.config.place_timeout);
        let lease = Lease { node: self.node, token: Lease::FIRST_TOKEN, until: now + self.config.lease };
        let decide = |contact: &Contact, number: &NumberFacts| {
            let decision = self.policy.decide(&Question { now, asked_at: now, terms, contact, number });
            begin(contact, decision, now, || Intent {
                call_id: CallId::from_uuid(self.ids.next(now)),
                provider: provider.name(),
                caller_id: organization.caller_id,
                lease,
            })
        };
        let request = BeginCalls {
            run_id: run.id,
            org_id: run.org_id,
            now,
            calls_max: grant.granted,
            contacts_max: self.config.batch,
            organization_limit: organization.limits.concurrent_calls,
            run_limit: run.definition.limits.concurrent_calls,
        };
        let begun = self.storage.ledger.begin_calls(request, &decide).await?;
        if calls_max == 1 && begun.calls.is_empty() {
            self.breakers().entry(provider.name()).and_modify(|breaker| breaker.give_back_trial(now));
        }
        let unused = grant.granted.saturating_sub(begun.calls.len() as u32);
        if unused > 0 {
            // What cannot be given back only slows down.
            let _ = self.storage.limiter.give_back(&paces, unused, now).await;
        }
        if begun.taken > 0 {
            round.taken += begun.taken;
            self.progress.send_modify(|changes| *changes += 1);
            // The last contact of the run may be settled now.
            self.upkeep_wake.notify_one();
        }
        round.placements.extend(begun.calls.into_iter().map(|(call, contact)| Placement {
            call,
            contact,
            terms: terms.clone(),
            provider: provider.clone(),
            valid_until,
        }));
        if begun.limited == Some(Limited::Concurrency) {
            round.full.push(run.id);
        }
        let more = matches!(begun.limited, None | Some(Limited::Request));
        Ok(more && begun.taken > 0 && calls_max > 1)
    }

    /// The first healthy provider and how many calls it may be asked for, or when one may be healthy again.
    async fn choose_provider(
        &self,
        now: DateTime<Utc>,
    ) -> Result<(Arc<dyn VoiceProvider>, u32), DateTime<Utc>> {
        let mut next_at = now + Duration::from_secs(60);
        for provider in &self.voice {
            let name = provider.name();
            let allowance = match self.breakers().get_mut(&name) {
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
            if self.is_connected(provider).await {
                return Ok((provider.clone(), calls_max));
            }
            next_at = next_at.min(now + self.config.idle_max);
        }
        Err(next_at)
    }

    /// Asks the provider to place the call, once, and tells what came of it.
    pub(super) async fn place(&self, placement: Placement) -> CallInput {
        let Placement { call, contact, terms, provider, valid_until } = placement;
        let (id, token) = (call.id, call.lease.token);
        let now = self.clock.now();
        let input = |fact| CallInput { call: CallRef::Id(id), fact };
        // The node may have been paused since it committed the intent, or the whole machine suspended, during which
        // the monotonic clock may have stood still.
        let held_until = call.lease.until - self.config.place_timeout;
        if self.clock.monotonic() >= valid_until || now >= held_until || now >= call.dial_before {
            // No fault of the contact, so it does not count against it.
            let kind = ProviderErrorKind::Unavailable;
            return input(CallFact::NotPlaced { token, kind, retry_after: Some(Duration::ZERO) });
        }
        let request = place_request(&call, &contact, &terms, now);
        let timeout = || ProviderError::unknown(&provider.name(), "place_call", ProviderErrorKind::Timeout);
        let answer = self.within(provider.place_call(&request)).await.unwrap_or_else(|| Err(timeout()));
        self.note_health(&provider.name(), answer.as_ref().err());
        let now = self.clock.now();
        match answer {
            Ok(placed) => {
                let event = CallEvent::Accepted { reference: placed.reference };
                input(CallFact::Told { event, at: now })
            }
            Err(error) => {
                tracing::warn!(call = %id, %error, "a call was not confirmed");
                if error.kind.needs_a_person() {
                    self.pause_for(call.run_id, &error).await;
                }
                let kind = error.kind;
                input(match error.delivery {
                    Delivery::NotSent => CallFact::NotPlaced { token, kind, retry_after: error.retry_after },
                    Delivery::Unknown => {
                        CallFact::NoAnswer { token, kind, check_at: now + self.config.lookup_after }
                    }
                })
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
    ) -> std::sync::MutexGuard<'_, std::collections::HashMap<ProviderName, super::breaker::Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that paces a call of this run at this provider.
pub(super) fn paces(terms: &RunTerms, provider: &dyn VoiceProvider) -> Vec<Pace> {
    let (run, organization) = (&terms.run, &terms.organization);
    let rates = [
        (PaceKey::Organization(run.org_id), organization.limits.calls_per_second),
        (PaceKey::Campaign(run.campaign_id), run.definition.limits.calls_per_second),
        (PaceKey::CallerId(organization.caller_id), organization.limits.caller_id_calls_per_second),
        (PaceKey::Provider(provider.name()), provider.capabilities().calls_per_second),
    ];
    rates.into_iter().filter_map(|(key, rate)| Some(Pace { key, rate: rate? })).collect()
}

fn place_request(call: &Call, contact: &Contact, terms: &RunTerms, now: DateTime<Utc>) -> PlaceCall {
    let definition = &terms.run.definition;
    let known = ContactVariables::new(
        &definition.variables,
        contact.variables.expose(),
        &contact.person,
        contact.number,
    );
    let prompt = definition.prompt_for(&known);
    // Ringing ends with the legal interval, so nobody connects after it.
    let left = (call.dial_before - now).max(TimeDelta::zero()).to_std().unwrap_or_default();
    PlaceCall {
        call_id: call.id,
        org_id: call.org_id,
        campaign_id: terms.run.campaign_id,
        run_id: call.run_id,
        contact_id: call.contact_id,
        to: call.number,
        from: call.caller_id,
        agent_id: definition.agent_id.clone(),
        flow: definition.flow.clone(),
        prompt,
        person: contact.person.clone(),
        variables: Personal::new(known.texts()),
        ring_timeout: definition.call.ring_timeout.duration().min(left),
        max_duration: definition.call.max_duration.duration(),
    }
}
