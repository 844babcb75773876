//! The suite for voice providers against a real Asterisk, with faults on the wire to it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod scene;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::CallId;
use rivvi_core::provider::{VoiceProvider, WebhookRequest};
use rivvi_core::testkit::build;
use rivvi_core::testkit::voice::{Fault, VoiceHarness};
use rivvi_provider_asterisk::{Asterisk, AsteriskServer};
use scene::proxy::Proxy;
use scene::{Console, url};
use tokio::sync::{Mutex, MutexGuard};

/// The suite gives its calls the same ids in every case, and Asterisk remembers ids: one case at a time.
static TURN: LazyLock<Mutex<()>> = LazyLock::new(Mutex::default);

/// How many calls a case places at most.
const CALLS_MAX: u64 = 40;

/// How long Asterisk takes to answer at most.
const ANSWER_MAX: Duration = Duration::from_millis(300);

struct Harness {
    asterisk: Asterisk,
    proxy: Proxy,
    _turn: MutexGuard<'static, ()>,
}

async fn harness() -> Harness {
    let turn = TURN.lock().await;
    forget_calls().await;
    let proxy = Proxy::open().await;
    let server = AsteriskServer::new("pbx1", &proxy.url()).unwrap();
    let asterisk = Asterisk::new(scene::options(), [server], Arc::new(SystemClock::new())).unwrap();
    Harness { asterisk, proxy, _turn: turn }
}

/// Ends the calls of the case before, and has Asterisk forget them.
async fn forget_calls() {
    let console = Console::new();
    for n in 1..=CALLS_MAX {
        let call = build::place_call(n).call_id;
        while console.delete(&format!("channels/{call}")).await != 404 {
            tokio::task::yield_now().await;
        }
        console.forget(&format!("RIVVI_CALL_{call}")).await;
    }
}

#[async_trait]
impl VoiceHarness for Harness {
    fn provider(&self) -> Arc<dyn VoiceProvider> {
        Arc::new(self.asterisk.clone())
    }

    async fn rings(&self, call_id: CallId) -> usize {
        let clock = SystemClock::new();
        let give_up = clock.monotonic() + ANSWER_MAX;
        loop {
            match self.proxy.placements(&call_id.to_string()) {
                // Whoever asked may have gone away before the answer.
                (asked, 0) if asked > 0 && clock.monotonic() < give_up => {
                    clock.sleep_until(clock.now() + Duration::from_millis(5)).await;
                }
                (_, rings) => return rings,
            }
        }
    }

    async fn requests(&self, call_id: CallId) -> usize {
        self.proxy.placements(&call_id.to_string()).0
    }

    fn faults(&self) -> Vec<Fault> {
        vec![
            Fault::Unauthorized,
            Fault::InvalidRequest,
            Fault::RateLimited,
            Fault::ServerError,
            Fault::CutAfterRequest,
            Fault::GarbledAnswer,
        ]
    }

    async fn fail_next(&self, fault: Fault) {
        self.proxy.fail_next(fault);
    }

    fn secrets(&self) -> Vec<String> {
        let url: reqwest::Url = url().parse().unwrap();
        vec![url.password().unwrap().to_owned()]
    }

    fn webhook(&self, _call_id: CallId) -> Option<WebhookRequest> {
        None
    }
}

rivvi_core::voice_conformance!(harness);
