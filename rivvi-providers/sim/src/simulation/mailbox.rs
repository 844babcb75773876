//! A mailbox whose answers are lost now and then.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rivvi_core::clock::{Clock, VirtualClock};
use rivvi_core::domain::{CallId, ProviderName};
use rivvi_core::provider::{EmailProvider, ProviderError, ProviderErrorKind, SendEmail, SentEmail};

/// A letter, and when it was taken.
type Letter = (CallId, DateTime<Utc>);

#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    taken: Arc<Mutex<Vec<Letter>>>,
    clock: Arc<VirtualClock>,
    seed: u64,
}

impl Mailbox {
    pub(super) fn new(clock: Arc<VirtualClock>, seed: u64) -> Self {
        Self { taken: Arc::default(), clock, seed }
    }

    /// The letters it took, and when.
    pub(super) fn taken(&self) -> Vec<Letter> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl EmailProvider for Mailbox {
    fn name(&self) -> ProviderName {
        ProviderName::new("mailbox")
    }

    async fn send_email(&self, request: &SendEmail) -> Result<SentEmail, ProviderError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push((request.message_id, self.clock.now()));
        if (self.seed + taken.len() as u64).is_multiple_of(7) {
            return Err(ProviderError::unknown(&self.name(), "send_email", ProviderErrorKind::Timeout));
        }
        Ok(SentEmail { reference: None })
    }
}
