//! Copies of webhooks as they came, kept in the blob store.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt};
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Inner;
use crate::domain::{CallId, OrgId, Personal, ProviderName, RunId};
use crate::provider::{CallRef, WebhookRequest};
use crate::storage::{Applied, Blobs, StorageError, blobs};

/// What became of the copies of webhooks that an engine keeps in the blob store.
///
/// The copies are for people who want to see what a provider really sent; the ledger does not need them. A webhook is
/// acknowledged as soon as the ledger has it, and its copy is written a moment later. So a copy is lost if the process
/// is killed in between, if its call is not known yet when it comes, or if the blob store is away for so long that the
/// queue is full (10,000 webhooks or 64 MiB).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookCopies {
    /// Copies that are still to be written.
    pub waiting: usize,
    /// Copies written since the engine was built.
    pub written: u64,
    /// Webhooks of which no copy was kept since the engine was built.
    pub lost: u64,
}

/// Copies that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Held by who writes; nobody else takes from the front.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<WebhookCopy>,
    waiting_bytes: usize,
    written: u64,
    lost: u64,
    /// Whether the last copy could not be written.
    failing: bool,
    /// How many copies a call has already, as far as this node knows.
    numbers: HashMap<CallId, u32>,
}

#[derive(Debug, Clone)]
struct WebhookCopy {
    call_id: CallId,
    /// Whose call, and of which run, if that was told when the webhook was applied.
    of: Option<(OrgId, RunId)>,
    webhook: Arc<Webhook>,
}

#[derive(Debug)]
struct Webhook {
    provider: ProviderName,
    received_at: DateTime<Utc>,
    content_type: Option<String>,
    body: Personal<Bytes>,
}

/// What a copy looks like.
#[derive(Serialize)]
struct Document<'a> {
    provider: &'a ProviderName,
    received_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    /// The body as it came, to the byte, if it is JSON; else its text.
    body: Body<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Json(&'a RawValue),
    Text(Cow<'a, str>),
}

const WAITING_MAX: usize = 10_000;
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Copies written in one step.
const BATCH: usize = 64;
/// Calls whose copies are written at once.
const PUTS_AT_ONCE: usize = 16;
/// Calls whose number of copies is remembered. One that is forgotten costs a few requests more.
const NUMBERS_MAX: usize = 50_000;
/// More copies than any call has.
const NUMBER_MAX: u32 = 10_000;

/// What became of an attempt to write a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Written,
    Lost,
    Failed,
}

impl Queue {
    pub(super) fn counts(&self) -> WebhookCopies {
        let state = self.state();
        WebhookCopies { waiting: state.waiting.len(), written: state.written, lost: state.lost }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, copies: Vec<WebhookCopy>) {
        let mut state = self.state();
        if copies.is_empty() {
            state.lost += 1;
        }
        for copy in copies {
            let bytes = copy.webhook.body.expose().len();
            if state.waiting.len() >= WAITING_MAX || state.waiting_bytes + bytes > WAITING_BYTES_MAX {
                state.lost += 1;
                if state.lost.is_power_of_two() {
                    tracing::warn!(
                        lost = state.lost,
                        "the blob store is too slow: copies of webhooks are lost"
                    );
                }
            } else {
                state.waiting_bytes += bytes;
                state.waiting.push_back(copy);
            }
        }
    }

    /// The first copies, grouped by call, with their places in the queue. They stay there until they are settled.
    fn first(&self) -> Vec<Vec<(usize, WebhookCopy)>> {
        let state = self.state();
        let mut calls: Vec<Vec<(usize, WebhookCopy)>> = Vec::new();
        let mut places: HashMap<CallId, usize> = HashMap::new();
        for (index, copy) in state.waiting.iter().take(BATCH).enumerate() {
            let place = *places.entry(copy.call_id).or_insert(calls.len());
            if place == calls.len() {
                calls.push(Vec::new());
            }
            calls[place].push((index, copy.clone()));
        }
        calls
    }

    /// Takes the copies that are done out of the queue. Returns whether none failed.
    fn settle(&self, attempts: &HashMap<usize, Attempt>) -> bool {
        let mut state = self.state();
        let first: Vec<WebhookCopy> = {
            let count = attempts.len().min(state.waiting.len());
            state.waiting.drain(..count).collect()
        };
        let mut kept = Vec::new();
        for (index, copy) in first.into_iter().enumerate() {
            let bytes = copy.webhook.body.expose().len();
            match attempts.get(&index) {
                Some(Attempt::Written) => state.written += 1,
                Some(Attempt::Lost) => state.lost += 1,
                Some(Attempt::Failed) | None => {
                    kept.push(copy);
                    continue;
                }
            }
            state.waiting_bytes -= bytes;
        }
        let failed = !kept.is_empty();
        kept.into_iter().rev().for_each(|copy| state.waiting.push_front(copy));
        state.failing = failed;
        !failed
    }
}

impl Inner {
    /// Has copies of an applied webhook written, one for each call it tells about. Never waits.
    pub(super) fn keep_webhook(
        &self,
        provider: ProviderName,
        request: &WebhookRequest,
        calls: &[CallRef],
        applied: &[Applied],
    ) {
        if applied.is_empty() {
            return;
        }
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let webhook = Arc::new(Webhook {
            provider,
            received_at: self.clock.now(),
            content_type: content_type.map(str::to_owned),
            body: Personal::new(request.body().clone()),
        });
        let mut copies: Vec<WebhookCopy> = Vec::new();
        for (call, applied) in calls.iter().zip(applied) {
            let (call_id, of) = match (applied, call) {
                (Applied::Changed { call, .. }, _) => (call.id, Some((call.org_id, call.run_id))),
                (_, CallRef::Id(id)) => (*id, None),
                (_, CallRef::Provider { .. }) => continue,
            };
            if copies.iter().all(|copy| copy.call_id != call_id) {
                copies.push(WebhookCopy { call_id, of, webhook: webhook.clone() });
            }
        }
        self.webhook_copies.push(copies);
        self.write_copies_soon();
    }

    /// Has waiting copies written in the background, if there are any and nobody is at it.
    pub(super) fn write_copies_soon(&self) {
        let queue = &self.webhook_copies;
        let idle = !queue.state().waiting.is_empty() && queue.turn.try_lock().is_ok();
        if let (true, Ok(runtime), Some(inner)) =
            (idle, tokio::runtime::Handle::try_current(), self.this.upgrade())
        {
            runtime.spawn(async move { inner.write_copies().await });
        }
    }

    /// Writes waiting copies until none is left or the blob store fails. What could not be written waits for the next
    /// time; so does what was being written when the future is dropped.
    pub(super) async fn write_copies(&self) {
        let Some(blobs) = &self.storage.blobs else { return };
        let queue = &self.webhook_copies;
        let _turn = queue.turn.lock().await;
        loop {
            let calls = queue.first();
            if calls.is_empty() {
                return;
            }
            let writing: Vec<_> =
                calls.into_iter().map(|copies| self.write_copies_of_call(blobs, copies).boxed()).collect();
            let attempts: Vec<Vec<(usize, Attempt)>> =
                stream::iter(writing).buffer_unordered(PUTS_AT_ONCE).collect().await;
            if !queue.settle(&attempts.into_iter().flatten().collect()) {
                return;
            }
        }
    }

    /// Writes copies of one call in their order, until one fails.
    async fn write_copies_of_call(
        &self,
        blobs: &Blobs,
        copies: Vec<(usize, WebhookCopy)>,
    ) -> Vec<(usize, Attempt)> {
        let mut attempts = Vec::with_capacity(copies.len());
        let mut failed = false;
        for (index, copy) in copies {
            let attempt = if failed { Ok(Attempt::Failed) } else { self.write_copy(blobs, &copy).await };
            let attempt = attempt.unwrap_or_else(|error| {
                if !self.webhook_copies.state().failing {
                    tracing::warn!(call = %copy.call_id, %error, "a copy of a webhook could not be written");
                }
                if error.is_temporary() { Attempt::Failed } else { Attempt::Lost }
            });
            failed |= attempt == Attempt::Failed;
            attempts.push((index, attempt));
        }
        attempts
    }

    async fn write_copy(&self, blobs: &Blobs, copy: &WebhookCopy) -> Result<Attempt, StorageError> {
        let (org_id, run_id) = match copy.of {
            Some(of) => of,
            None => match self.storage.ledger.call(copy.call_id).await? {
                Some(call) => (call.org_id, call.run_id),
                None => return Ok(Attempt::Lost),
            },
        };
        let text = Bytes::from(document(&copy.webhook));
        let known = self.webhook_copies.state().numbers.get(&copy.call_id).copied().unwrap_or(0);
        for number in known + 1..NUMBER_MAX {
            let path = blobs::raw_webhook(org_id, run_id, copy.call_id, number);
            if blobs.create("receive", &path, text.clone()).await? {
                let numbers = &mut self.webhook_copies.state().numbers;
                if numbers.len() >= NUMBERS_MAX {
                    numbers.clear();
                }
                numbers.insert(copy.call_id, number);
                return Ok(Attempt::Written);
            }
        }
        Ok(Attempt::Lost)
    }
}

fn document(webhook: &Webhook) -> Vec<u8> {
    let body = webhook.body.expose();
    let body = match serde_json::from_slice::<&RawValue>(body) {
        Ok(json) => Body::Json(json),
        Err(_) => Body::Text(String::from_utf8_lossy(body)),
    };
    let document = Document {
        provider: &webhook.provider,
        received_at: webhook.received_at,
        content_type: webhook.content_type.as_deref(),
        body,
    };
    // Strings and JSON that was read always become JSON.
    serde_json::to_vec(&document).unwrap_or_default()
}
