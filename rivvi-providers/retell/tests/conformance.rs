//! Retell keeps the promises of voice providers, against a far side that does what the API reference says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rivvi_core::clock::SystemClock;
use rivvi_core::domain::CallId;
use rivvi_core::provider::{VoiceProvider, WebhookRequest};
use rivvi_core::testkit::build;
use rivvi_core::testkit::http::{HttpFault, response};
use rivvi_core::testkit::voice::{Fault, VoiceHarness};
use rivvi_provider_retell::Retell;
use serde_json::{Value, json};
use support::{FakeRetell, KEY, webhook};

const CREATE: &str = "/v2/create-phone-call";

struct Harness {
    fake: FakeRetell,
    retell: Arc<Retell>,
}

async fn harness() -> Harness {
    let fake = FakeRetell::start().await;
    let retell = Arc::new(fake.provider(Arc::new(SystemClock::new()), Duration::from_secs(2)));
    Harness { fake, retell }
}

impl Harness {
    /// The webhooks of a conversation.
    fn conversation(&self, call_id: CallId) -> [(&'static str, Value); 3] {
        let mut call = self.fake.call(call_id).unwrap();
        call["call_status"] = json!("ongoing");
        call["start_timestamp"] = json!(build::second(12).timestamp_millis());
        let started = call.clone();
        for (name, value) in [
            ("call_status", json!("ended")),
            ("disconnection_reason", json!("agent_hangup")),
            ("end_timestamp", json!(build::second(72).timestamp_millis())),
            ("duration_ms", json!(60_000)),
            ("transcript", json!("Agent: hello\nUser: call me tomorrow\n")),
            ("recording_url", json!("https://example.com/1.wav")),
            ("collected_dynamic_variables", json!({ "callback_at": build::second(86_400).to_rfc3339() })),
            ("call_cost", json!({ "combined_cost": 12.5 })),
        ] {
            call[name] = value;
        }
        let ended = call.clone();
        call["call_analysis"] = json!({ "call_summary": "wants to be called again", "in_voicemail": false });
        [("call_started", started), ("call_ended", ended), ("call_analyzed", call)]
    }
}

#[async_trait]
impl VoiceHarness for Harness {
    fn provider(&self) -> Arc<dyn VoiceProvider> {
        self.retell.clone()
    }

    async fn rings(&self, call_id: CallId) -> usize {
        self.fake.rings(call_id)
    }

    async fn requests(&self, call_id: CallId) -> usize {
        let own = |body: &[u8]| {
            let body: Value = serde_json::from_slice(body).unwrap();
            body["idempotency_key"] == call_id.to_string()
        };
        self.fake.requests(CREATE).iter().filter(|request| own(request.body())).count()
    }

    fn faults(&self) -> Vec<Fault> {
        vec![
            Fault::Unauthorized,
            Fault::AccountBlocked,
            Fault::InvalidRequest,
            Fault::InvalidNumber,
            Fault::RateLimited,
            Fault::Unreachable,
            Fault::ServerError,
            Fault::CutAfterRequest,
            Fault::GarbledAnswer,
            Fault::CutBeforeRequest,
            Fault::CutWithinAnswer,
            Fault::Silence,
            Fault::ErrorPage,
            Fault::Redirected,
        ]
    }

    async fn fail_next(&self, fault: Fault) {
        let error = |status, message: &str| {
            let body = json!({ "status": "error", "message": message });
            HttpFault::refuse(status, &body.to_string())
        };
        let fault = match fault {
            Fault::Unauthorized => error(401, "API key is missing or invalid."),
            Fault::AccountBlocked => error(402, "Trial has ended, please add payment method."),
            Fault::InvalidRequest => error(422, "Cannot find requested asset under given api key."),
            Fault::InvalidNumber => error(400, "to_number +972541234567 is not a valid number"),
            Fault::RateLimited => HttpFault::refuse_until(
                429,
                Duration::from_secs(7),
                r#"{"status":"error","message":"Account rate limited, please throttle your requests."}"#,
            ),
            Fault::Unreachable => return self.fake.far.vanish().await,
            Fault::ServerError => error(500, "An unexpected server error occurred."),
            Fault::CutAfterRequest => HttpFault::CutAfterRequest,
            Fault::GarbledAnswer => HttpFault::Garble(response(201, &[], r#"{"call_id":"#)),
            Fault::CutBeforeRequest => HttpFault::CutBeforeRequest,
            Fault::CutWithinAnswer => HttpFault::CutWithinAnswer,
            Fault::Silence => HttpFault::Silence,
            Fault::ErrorPage => HttpFault::error_page(502),
            Fault::Redirected => HttpFault::redirect(307, CREATE),
            other => panic!("a fault that cannot be scripted: {other:?}"),
        };
        self.fake.far.fail_next(CREATE, fault);
    }

    async fn mend(&self) {
        self.fake.far.mend().await;
    }

    fn secrets(&self) -> Vec<String> {
        vec![KEY.into()]
    }

    fn webhook(&self, call_id: CallId) -> Option<WebhookRequest> {
        let [_, (event, call), _] = self.conversation(call_id);
        Some(webhook(event, &call, self.arrives_at()))
    }

    fn stale_after(&self) -> Option<Duration> {
        Some(Duration::from_secs(300))
    }

    fn strange_webhooks(&self, call_id: CallId) -> Vec<WebhookRequest> {
        let at = self.arrives_at();
        let mut call = self.fake.call(call_id).unwrap();
        call["hologram_url"] = json!({ "left": [1, 2], "right": null });
        let mut strange = vec![
            webhook("call_dreamt", &call, at),
            webhook("chat_analyzed", &Value::Null, at),
            webhook("transcript_updated", &call, at),
        ];
        for (field, value) in [
            ("disconnection_reason", json!("abducted_by_aliens")),
            ("call_status", json!("levitating")),
            ("duration_ms", json!("long")),
            ("call_cost", json!([])),
            ("call_analysis", json!(null)),
            ("transcript", json!({ "text": "" })),
        ] {
            call[field] = value;
            strange.push(webhook("call_ended", &call, at));
        }
        strange
    }

    fn story(&self, call_id: CallId) -> Vec<WebhookRequest> {
        let told = self.conversation(call_id);
        told.iter().map(|(event, call)| webhook(event, call, self.arrives_at())).collect()
    }

    fn arrives_at(&self) -> DateTime<Utc> {
        // To the millisecond, as signatures are.
        DateTime::from_timestamp_millis(build::second(100).timestamp_millis()).unwrap()
    }
}

rivvi_core::voice_conformance!(harness);
