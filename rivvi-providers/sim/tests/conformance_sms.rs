//! The simulated gateway keeps the promises of providers of text messages.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::VirtualClock;
use rivvi_core::domain::{CallId, DeliveryState};
use rivvi_core::provider::{CallEvent, CallRef, SmsProvider, WebhookRequest};
use rivvi_core::testkit::build;
use rivvi_core::testkit::sms::{Fault, SmsHarness};
use rivvi_provider_sim::{GatewayBehaviour, SimulatedGateway};

struct Harness(SimulatedGateway);

#[async_trait]
impl SmsHarness for Harness {
    fn provider(&self) -> Arc<dyn SmsProvider> {
        Arc::new(self.0.clone())
    }

    async fn sent(&self, message_id: CallId) -> Vec<String> {
        let sent = self.0.sent().into_iter().filter(|sent| sent.id == message_id);
        sent.map(|sent| sent.text.expose().clone()).collect()
    }

    async fn requests(&self, message_id: CallId) -> usize {
        self.0.sent().iter().filter(|sent| sent.id == message_id).count()
    }

    fn faults(&self) -> Vec<Fault> {
        vec![Fault::CutAfterRequest]
    }

    async fn fail_next(&self, fault: Fault) {
        assert_eq!(fault, Fault::CutAfterRequest);
        self.0.lose_next_answer();
    }

    fn secrets(&self) -> Vec<String> {
        vec!["simulated-gateway-7".into()]
    }

    fn receipt(&self, message_id: CallId) -> Option<WebhookRequest> {
        let at = self.arrives_at();
        self.0.take_webhooks(at).into_iter().find(|request| {
            let news = self.0.decode_webhook(request, at).unwrap_or_default();
            news.updates.iter().any(|update| {
                let delivered =
                    matches!(update.event, CallEvent::Delivery { state: DeliveryState::Delivered, .. });
                delivered && update.call == CallRef::Id(message_id)
            })
        })
    }

    fn inbound(&self, text: &str) -> Option<WebhookRequest> {
        let request = build::send_sms(1);
        self.0.write(request.to, request.from, text);
        let at = self.arrives_at();
        self.0
            .take_webhooks(at)
            .into_iter()
            .find(|request| !self.0.decode_webhook(request, at).unwrap_or_default().inbound.is_empty())
    }

    fn stale_after(&self) -> Option<Duration> {
        Some(Duration::from_secs(300))
    }

    fn arrives_at(&self) -> DateTime<Utc> {
        build::start() + TimeDelta::hours(2)
    }
}

async fn harness() -> Harness {
    let mut behaviour = GatewayBehaviour::default();
    (behaviour.unreachable, behaviour.no_sms, behaviour.unsubscribed, behaviour.replies) =
        (0.0, 0.0, 0.0, 0.0);
    Harness(SimulatedGateway::new(Arc::new(VirtualClock::new(build::start())), 7, behaviour))
}

rivvi_core::sms_conformance!(harness);
