//! Everything that is told about calls, applied in batches.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::Inner;
use crate::domain::{Call, Contact, ItemId, Medium, RunId};
use crate::machine::{CallInput, SettleTerms, settle};
use crate::provider::{CallRef, CallUpdate, UpdateSink, VoiceCapabilities, WebhookError, WebhookRequest};
use crate::storage::{Applied, ApplyCalls, Change, StorageError, StorageErrorKind};

/// A queue in front of the ledger. Whoever comes while a batch is being written waits in the queue; the first of
/// them to get its turn writes for all. So a burst of webhooks costs few transactions, and no task is needed.
#[derive(Debug, Default)]
pub(super) struct Intake {
    queue: Mutex<Vec<Waiting>>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    inputs: Arc<[CallInput]>,
    done: oneshot::Sender<Result<Vec<Applied>, Arc<StorageError>>>,
}

/// How often inputs are queued again after their leader was cancelled.
const CANCELLED_MAX: usize = 10;

/// Inputs written in one transaction.
const BATCH_MAX: usize = 1_000;

impl Inner {
    /// Applies inputs; updates of unknown calls are kept in the inbox. Everything is stored when this returns `Ok`.
    pub(super) async fn submit(&self, inputs: Vec<CallInput>) -> Result<Vec<Applied>, StorageError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let inputs: Arc<[CallInput]> = inputs.into();
        // A leader may be cancelled, as web servers do with requests whose client went away. What it had taken is
        // queued again: applying inputs twice has the effect of once.
        for _ in 0..CANCELLED_MAX {
            let (done, mut result) = oneshot::channel();
            self.queue().push(Waiting { inputs: inputs.clone(), done });
            let _turn = self.intake.turn.lock().await;
            loop {
                match result.try_recv() {
                    Ok(applied) => return applied.map_err(shared),
                    Err(oneshot::error::TryRecvError::Closed) => break,
                    Err(oneshot::error::TryRecvError::Empty) => self.write_batch().await,
                }
            }
        }
        Err(given_up())
    }

    /// Stores a provider's answer, which nobody delivers again: tries until the store takes it, for as long as the
    /// lease of the call lasts.
    pub(super) async fn submit_patiently(&self, inputs: Vec<CallInput>) {
        let give_up = self.clock.now() + self.config.lease;
        let mut wait = Duration::from_millis(50);
        while let Err(error) = self.submit(inputs.clone()).await {
            tracing::warn!(%error, "a provider's answer could not be stored");
            if !error.is_temporary() || self.clock.now() >= give_up {
                // The call stays as it is; the reconciler finds out what became of it.
                return;
            }
            self.clock.sleep_until(self.clock.now() + wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.intake.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write_batch(&self) {
        let batch: Vec<Waiting> = {
            let mut queue = self.queue();
            let mut inputs = 0;
            let take = queue.iter().take_while(|waiting| {
                let first = inputs == 0;
                inputs += waiting.inputs.len();
                first || inputs <= BATCH_MAX
            });
            let take = take.count();
            queue.drain(..take).collect()
        };
        let applied = match &batch[..] {
            [alone] => self.apply(&alone.inputs, true).await,
            batch => {
                let inputs: Vec<CallInput> =
                    batch.iter().flat_map(|waiting| waiting.inputs.iter()).cloned().collect();
                self.apply(&inputs, true).await
            }
        };
        match applied {
            Ok(applied) => {
                let mut applied = applied.into_iter();
                for waiting in batch {
                    let own = applied.by_ref().take(waiting.inputs.len()).collect();
                    let _ = waiting.done.send(Ok(own));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for waiting in batch {
                    let _ = waiting.done.send(Err(error.clone()));
                }
            }
        }
    }

    /// Applies inputs in one transaction, and wakes who may have something to do now.
    pub(super) async fn apply(
        &self,
        inputs: &[CallInput],
        keep_unmatched: bool,
    ) -> Result<Vec<Applied>, StorageError> {
        let mut applied = self.apply_once(inputs, keep_unmatched).await?;
        // Runs whose terms were not at hand: read them, and apply their inputs again.
        while !applied.1.is_empty() {
            let mut found = false;
            for run_id in std::mem::take(&mut applied.1) {
                found |= self.fetch_terms(run_id).await?;
            }
            if !found {
                break;
            }
            applied = self.apply_once(inputs, keep_unmatched).await?;
        }
        self.wake();
        Ok(applied.0)
    }

    async fn apply_once(
        &self,
        inputs: &[CallInput],
        keep_unmatched: bool,
    ) -> Result<(Vec<Applied>, BTreeSet<RunId>), StorageError> {
        let now = self.clock.now();
        let missing = Mutex::new(BTreeSet::new());
        let request = ApplyCalls {
            inputs: inputs.to_vec(),
            now,
            keep_unmatched_until: keep_unmatched.then(|| now + self.config.unmatched_kept),
        };
        let unknown = VoiceCapabilities::default();
        let carriers = Medium::ALL.into_iter().flat_map(|medium| self.carriers_of(medium));
        let capabilities: Vec<_> = carriers
            .map(|carrier| (carrier.name.clone(), carrier.capabilities(), carrier.receipts()))
            .collect();
        let decide = |contact: &Contact, call: &Call, input: &CallInput| -> Option<Change> {
            let Some(run) = self.terms.at_hand(contact.run_id) else {
                missing.lock().unwrap_or_else(PoisonError::into_inner).insert(contact.run_id);
                return None;
            };
            let known = capabilities.iter().find(|(name, ..)| *name == call.provider);
            // What a provider that is not registered here tells is waited for.
            let (capabilities, receipts) =
                known.map_or((&unknown, true), |(_, known, receipts)| (known, *receipts));
            let terms = SettleTerms { now, policy: &self.policy, run: &run, capabilities, receipts };
            settle(contact, call, input, &terms, || ItemId::from_uuid(self.ids.next(now)))
        };
        let applied = self.storage.ledger.apply_calls(request, &decide).await?;
        Ok((applied, missing.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Verifies, reads and stores a webhook.
    pub(super) async fn receive(
        &self,
        provider: &str,
        request: &WebhookRequest,
    ) -> Result<http::Response<Bytes>, WebhookError> {
        if let Some(sms) = self.sms.iter().find(|known| known.name().as_str() == provider) {
            return self.receive_sms(sms.clone().as_ref(), request).await;
        }
        let provider = self.voice.iter().find(|known| known.name().as_str() == provider);
        let provider = provider.ok_or(WebhookError::UnknownProvider)?;
        let now = self.clock.now();
        let updates = provider.decode_webhook(request, now)?;
        if let Some(opt_out) = provider.inbound_opt_out(request, now) {
            self.opt_out_inbound(opt_out, now).await.map_err(WebhookError::NotStored)?;
        }
        let inputs: Vec<CallInput> = updates.into_iter().map(CallInput::from).collect();
        let calls: Option<Vec<CallRef>> =
            self.storage.blobs.as_ref().map(|_| inputs.iter().map(|input| input.call.clone()).collect());
        let applied = self.submit(inputs).await.map_err(WebhookError::NotStored)?;
        if let Some(calls) = calls {
            self.keep_webhook(provider.name(), request, &calls, &applied);
        }
        Ok(acknowledged())
    }
}

/// What is answered to a webhook that was taken.
fn acknowledged() -> http::Response<Bytes> {
    let mut response = http::Response::new(Bytes::new());
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    response
}

/// Where providers that push deliver to.
#[derive(Debug)]
pub(super) struct Sink(pub(super) Weak<Inner>);

#[async_trait]
impl UpdateSink for Sink {
    async fn deliver(&self, updates: Vec<CallUpdate>) -> Result<(), StorageError> {
        let inner = self.0.upgrade().ok_or_else(given_up)?;
        inner.submit(updates.into_iter().map(CallInput::from).collect()).await.map(drop)
    }
}

fn shared(error: Arc<StorageError>) -> StorageError {
    StorageError::new(error.kind, error.operation, error.context.clone()).with_source(error)
}

fn given_up() -> StorageError {
    StorageError::new(StorageErrorKind::Unavailable, "apply_calls", "the engine went away; deliver again")
}
