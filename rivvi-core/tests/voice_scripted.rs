//! The scripted double keeps the promises of a voice provider, with all capabilities and with none.

#![allow(clippy::panic, reason = "a fault that cannot be scripted is a defect of this test")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallId, ProviderName};
use rivvi_core::provider::{
    CallEvent, CallUpdate, PlaceCall, PlacedCall, ProviderError, ProviderErrorKind, VoiceCapabilities,
    VoiceProvider, WebhookError, WebhookRequest,
};
use rivvi_core::testkit::build;
use rivvi_core::testkit::scripted::{Answer, ScriptedVoice};
use rivvi_core::testkit::voice::{self, Fault, VoiceHarness};

struct Harness(Arc<ScriptedVoice>);

#[async_trait]
impl VoiceHarness for Harness {
    fn provider(&self) -> Arc<dyn VoiceProvider> {
        self.0.clone()
    }

    async fn rings(&self, call_id: CallId) -> usize {
        self.0.rings(call_id)
    }

    async fn requests(&self, call_id: CallId) -> usize {
        self.0.placements().iter().filter(|request| request.call_id == call_id).count()
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
        ]
    }

    async fn fail_next(&self, fault: Fault) {
        use ProviderErrorKind as Kind;
        self.0.next(match fault {
            Fault::Unauthorized => Answer::refuse(Kind::Unauthorized),
            Fault::AccountBlocked => Answer::refuse(Kind::AccountBlocked),
            Fault::InvalidRequest => Answer::refuse(Kind::InvalidRequest),
            Fault::InvalidNumber => Answer::refuse(Kind::InvalidNumber),
            Fault::RateLimited => {
                Answer::Refuse { kind: Kind::RateLimited, retry_after: Some(Duration::from_secs(7)) }
            }
            Fault::Unreachable => Answer::refuse(Kind::Unavailable),
            Fault::ServerError => Answer::Lost { kind: Kind::Unavailable, rings: false },
            Fault::CutAfterRequest => Answer::Lost { kind: Kind::Timeout, rings: true },
            Fault::GarbledAnswer => Answer::Lost { kind: Kind::Protocol, rings: true },
            other => panic!("a fault that cannot be scripted: {other:?}"),
        });
    }

    fn secrets(&self) -> Vec<String> {
        vec![self.0.signing_key().into()]
    }

    fn webhook(&self, call_id: CallId) -> Option<WebhookRequest> {
        let update = self.0.happen(call_id, CallEvent::Ringing, build::start());
        Some(self.0.webhook(&[update]))
    }
}

mod with_all_capabilities {
    use super::*;

    rivvi_core::voice_conformance!(|| async { Harness(Arc::new(ScriptedVoice::new("scripted"))) });
}

mod with_no_capabilities {
    use super::*;

    async fn harness() -> Harness {
        Harness(Arc::new(ScriptedVoice::with_capabilities("plain", VoiceCapabilities::default())))
    }

    rivvi_core::voice_conformance!(harness);
}

/// A provider that promises everything, does nothing of it, and does not look at signatures.
struct Liar(Arc<ScriptedVoice>);

impl std::fmt::Debug for Liar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let dialled = self.0.placements().iter().map(|request| request.to.expose()).collect::<Vec<_>>();
        write!(f, "Liar {dialled:?}")
    }
}

#[async_trait]
impl VoiceProvider for Liar {
    fn name(&self) -> ProviderName {
        self.0.name()
    }

    fn capabilities(&self) -> VoiceCapabilities {
        ScriptedVoice::new("honest").capabilities()
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        self.0.place_call(request).await.map_err(|error| {
            ProviderError::not_sent(&error.provider, "place_call", error.kind)
                .with_retry_after(error.retry_after)
        })
    }

    fn decode_webhook(
        &self,
        request: &WebhookRequest,
        _: DateTime<Utc>,
    ) -> Result<Vec<CallUpdate>, WebhookError> {
        serde_json::from_slice(request.body()).map_err(|_| WebhookError::Malformed("no updates".into()))
    }
}

/// The liar with an honest far side.
struct LiarHarness(Harness);

#[async_trait]
impl VoiceHarness for LiarHarness {
    fn provider(&self) -> Arc<dyn VoiceProvider> {
        Arc::new(Liar(self.0.0.clone()))
    }

    async fn rings(&self, call_id: CallId) -> usize {
        self.0.rings(call_id).await
    }

    async fn requests(&self, call_id: CallId) -> usize {
        self.0.requests(call_id).await
    }

    fn faults(&self) -> Vec<Fault> {
        self.0.faults()
    }

    async fn fail_next(&self, fault: Fault) {
        self.0.fail_next(fault).await;
    }

    fn secrets(&self) -> Vec<String> {
        self.0.secrets()
    }

    fn webhook(&self, call_id: CallId) -> Option<WebhookRequest> {
        self.0.webhook(call_id)
    }
}

#[test]
fn liar_is_found_out() {
    fn fails(case: impl AsyncFn(&LiarHarness) + std::panic::RefUnwindSafe) -> bool {
        let caught = std::panic::catch_unwind(|| {
            rivvi_core::testkit::run_case(async {
                let plain = ScriptedVoice::with_capabilities("liar", VoiceCapabilities::default());
                case(&LiarHarness(Harness(Arc::new(plain)))).await;
            });
        });
        caught.is_err()
    }
    assert!(fails(voice::repeated_placement_rings_once_if_declared::<LiarHarness>), "it rings again");
    assert!(fails(voice::dropped_placement_rings_at_most_once::<LiarHarness>), "it rings again");
    assert!(fails(voice::lookup_does_what_is_declared::<LiarHarness>), "it has no lookup");
    assert!(fails(voice::hang_up_does_what_is_declared::<LiarHarness>), "it cannot end calls");
    assert!(fails(voice::faults_are_told_for_what_they_are::<LiarHarness>), "it says that nothing was sent");
    assert!(fails(voice::forged_webhook_is_refused::<LiarHarness>), "it reads what is not signed");
    assert!(fails(voice::texts_show_no_personal_data_and_no_secrets::<LiarHarness>), "it shows numbers");
    assert!(!fails(voice::placed_call_rings_once::<LiarHarness>), "that much it does");
}
