//! Calls without news: looked up, placed again where that is safe, ended, or given up.

use chrono::{DateTime, Utc};
use futures::future::join_all;

use super::Inner;
use std::sync::Arc;

use super::carrier::Carrier;
use super::dispatcher::Placement;
use crate::domain::{Call, CallState};
use crate::machine::{CallFact, CallInput};
use crate::policy::{Decision, Question, RunTerms};
use crate::provider::{CallLookup, CallRef, Lookup, ProviderError, ProviderErrorKind, VoiceCapabilities};
use crate::storage::{Applied, StorageError, TakeOverdue};

/// Calls looked after in one round.
const BATCH: usize = 200;

impl Inner {
    /// Looks after calls that are overdue.
    pub(super) async fn reconcile(&self) -> Result<(), StorageError> {
        let now = self.clock.now();
        let valid_until = self.clock.monotonic() + self.config.lookup_interval / 2;
        let request =
            TakeOverdue { now, node: self.node, hold_until: now + self.config.lookup_interval, limit: BATCH };
        let calls = self.storage.ledger.take_overdue(request).await?;
        let looked = calls.into_iter().map(|call| self.look_after(call, valid_until));
        let (mut inputs, mut failed) = (Vec::new(), None);
        for found in join_all(looked).await {
            match found {
                Ok(found) => inputs.extend(found),
                Err(error) => failed = Some(error),
            }
        }
        // What was found is stored even if the store failed over another call.
        self.submit(inputs).await?;
        failed.map_or(Ok(()), Err)
    }

    async fn look_after(
        &self,
        call: Call,
        valid_until: std::time::Duration,
    ) -> Result<Vec<CallInput>, StorageError> {
        let Some(terms) = self.terms_for(&call).await? else { return Ok(Vec::new()) };
        let Some(provider) = self.carrier(&call.provider) else {
            tracing::warn!(call = %call.id, provider = %call.provider, "no such provider is registered");
            return Ok(self.give_up_if_late(&call, &terms, &VoiceCapabilities::default()));
        };
        let capabilities = provider.capabilities();
        let can_look = match capabilities.lookup {
            Lookup::None => false,
            Lookup::ByReference => call.provider_ref.is_some(),
            Lookup::ByCallId => true,
        };
        if can_look {
            let late = || ProviderError::not_sent(&provider.name, "find_call", ProviderErrorKind::Timeout);
            match self.within(provider.find(&call)).await.unwrap_or_else(|| Err(late())) {
                Ok(CallLookup::Found(updates)) => {
                    self.end_if_due(&call, &terms, &provider, &capabilities).await;
                    let mut inputs: Vec<CallInput> = updates.into_iter().map(CallInput::from).collect();
                    inputs.extend(self.give_up_if_late(&call, &terms, &capabilities));
                    return Ok(inputs);
                }
                Ok(CallLookup::NotFound) => {
                    return self.not_found(call, terms, provider, &capabilities, valid_until).await;
                }
                Err(error) => tracing::warn!(call = %call.id, %error, "a call could not be looked up"),
            }
        } else if let Some(inputs) = self.repeat(&call, &terms, &provider, &capabilities, valid_until).await?
        {
            return Ok(inputs);
        }
        self.end_if_due(&call, &terms, &provider, &capabilities).await;
        Ok(self.give_up_if_late(&call, &terms, &capabilities))
    }

    /// The provider does not know the call: place it again if the repetition is safe and still allowed, else
    /// believe it once the call can no longer come into being.
    async fn not_found(
        &self,
        call: Call,
        terms: Arc<RunTerms>,
        provider: Carrier,
        capabilities: &VoiceCapabilities,
        valid_until: std::time::Duration,
    ) -> Result<Vec<CallInput>, StorageError> {
        if let Some(inputs) = self.repeat(&call, &terms, &provider, capabilities, valid_until).await? {
            return Ok(inputs);
        }
        if self.clock.now() < call.asked_at + self.config.lease + capabilities.settles_after {
            return Ok(Vec::new());
        }
        Ok(vec![told(&call, CallFact::NotFound { token: call.lease.token })])
    }

    /// Places the same call again, if the provider recognizes the repetition and every rule still allows it.
    async fn repeat(
        &self,
        call: &Call,
        terms: &Arc<RunTerms>,
        provider: &Carrier,
        capabilities: &VoiceCapabilities,
        valid_until: std::time::Duration,
    ) -> Result<Option<Vec<CallInput>>, StorageError> {
        let now = self.clock.now();
        let Some(recognized) = capabilities.idempotent_placement else { return Ok(None) };
        let unanswered = matches!(call.state, CallState::Intended | CallState::Unknown);
        if !unanswered || now + self.config.lease >= call.intended_at + recognized || now >= call.dial_before
        {
            return Ok(None);
        }
        let Some(contact) = self.storage.ledger.contact(call.contact_id).await? else { return Ok(None) };
        // The facts without the call itself, which counts as an attempt and as live already.
        let mut number = self.storage.ledger.number_facts(call.org_id, call.number, now).await?;
        number.live_call = number.live_call.filter(|live| *live != call.id);
        if let Some(place) = number.attempts.iter().position(|at| *at == call.intended_at) {
            number.attempts.remove(place);
        }
        let question = Question { now, asked_at: now, terms, contact: &contact, number: &number };
        if !matches!(self.policy.decide(&question), Decision::Allow { .. }) {
            return Ok(None);
        }
        match self.storage.limiter.take(&provider.paces(terms), 1, now).await {
            Ok(grant) if grant.granted == 1 => {}
            _ => return Ok(None),
        }
        // Noted first, so that a lookup that finds nothing is believed only long enough after this request, and so
        // that a node whose lease has passed on does not ask.
        let noted = self.submit(vec![told(call, CallFact::AskAgain { token: call.lease.token })]).await?;
        if !matches!(noted.first(), Some(Applied::Changed { .. })) {
            return Ok(None);
        }
        let again = Placement {
            begun: Box::new((call.clone(), contact)),
            terms: terms.clone(),
            carrier: provider.clone(),
            valid_until,
        };
        Ok(Some(self.place(again).await))
    }

    /// Ends a call that still waits at the provider when its legal interval is over, or lasts longer than it may.
    async fn end_if_due(
        &self,
        call: &Call,
        terms: &RunTerms,
        provider: &Carrier,
        capabilities: &VoiceCapabilities,
    ) {
        let now = self.clock.now();
        let waits = matches!(call.state, CallState::Placed | CallState::Unknown | CallState::Intended);
        if capabilities.hang_up
            && ((waits && now >= call.dial_before) || now >= longest(call, terms, capabilities))
            && let Some(Err(error)) = self.within(provider.hang_up(call)).await
        {
            tracing::warn!(call = %call.id, %error, "a call could not be ended");
        }
    }

    fn give_up_if_late(
        &self,
        call: &Call,
        terms: &RunTerms,
        capabilities: &VoiceCapabilities,
    ) -> Vec<CallInput> {
        let deadline = longest(call, terms, capabilities) + self.config.unknown_deadline;
        if self.clock.now() < deadline {
            return Vec::new();
        }
        vec![told(call, CallFact::GivenUp { token: call.lease.token })]
    }

    /// Ends a call from outside, at most once in a while, and leaves the telling to the provider.
    pub(super) async fn hang_up(&self, call: &Call) {
        let now = self.clock.now();
        {
            let mut hung_up = self.hung_up.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            hung_up.retain(|_, at| now < *at + self.config.lookup_interval);
            if hung_up.insert(call.id, now).is_some() {
                return;
            }
        }
        if let Some(provider) = self.carrier(&call.provider)
            && let Some(Err(error)) = self.within(provider.hang_up(call)).await
            && error.kind != ProviderErrorKind::Unsupported
        {
            tracing::warn!(call = %call.id, %error, "a call could not be ended");
        }
    }

    async fn terms_for(&self, call: &Call) -> Result<Option<Arc<RunTerms>>, StorageError> {
        if self.terms.at_hand(call.run_id).is_none() {
            self.fetch_terms(call.run_id).await?;
        }
        Ok(self.terms.at_hand(call.run_id))
    }
}

/// When a call is over at the latest, if the provider keeps its word.
fn longest(call: &Call, terms: &RunTerms, capabilities: &VoiceCapabilities) -> DateTime<Utc> {
    let settings = &terms.run.definition.call;
    let ring = settings.ring_timeout.duration();
    call.intended_at + ring + settings.max_duration.duration() + capabilities.silence_max
}

fn told(call: &Call, fact: CallFact) -> CallInput {
    CallInput { call: CallRef::Id(call.id), fact }
}
