//! The simulated network keeps the promises of voice providers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::VirtualClock;
use rivvi_core::domain::CallId;
use rivvi_core::provider::{CallRef, VoiceProvider, WebhookRequest};
use rivvi_core::testkit::build;
use rivvi_core::testkit::voice::{Fault, VoiceHarness};
use rivvi_provider_sim::{Behaviour, SimulatedNetwork};

struct Harness(SimulatedNetwork);

#[async_trait]
impl VoiceHarness for Harness {
    fn provider(&self) -> Arc<dyn VoiceProvider> {
        Arc::new(self.0.clone())
    }

    async fn rings(&self, call_id: CallId) -> usize {
        self.0.history().iter().filter(|(leg, _)| leg.call_id == call_id).count()
    }

    async fn requests(&self, call_id: CallId) -> usize {
        self.0.requests_of(call_id)
    }

    fn faults(&self) -> Vec<Fault> {
        vec![Fault::CutAfterRequest]
    }

    async fn fail_next(&self, fault: Fault) {
        assert_eq!(fault, Fault::CutAfterRequest);
        self.0.lose_next_answer();
    }

    fn secrets(&self) -> Vec<String> {
        vec!["simulated-network-7".into()]
    }

    fn webhook(&self, call_id: CallId) -> Option<WebhookRequest> {
        let at = self.arrives_at();
        self.0.take_webhooks(at).into_iter().find(|request| {
            let updates = self.0.decode_webhook(request, at).unwrap_or_default();
            updates.iter().any(|update| update.call == CallRef::Id(call_id))
        })
    }

    fn stale_after(&self) -> Option<Duration> {
        Some(Behaviour::default().webhook_age_max)
    }

    fn arrives_at(&self) -> DateTime<Utc> {
        build::start() + TimeDelta::hours(1)
    }
}

async fn harness() -> Harness {
    Harness(SimulatedNetwork::new(Arc::new(VirtualClock::new(build::start())), 7, Behaviour::default()))
}

rivvi_core::voice_conformance!(harness);
