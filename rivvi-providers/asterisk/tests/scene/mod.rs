//! A real Asterisk that is its own telephone network (`scripts/services.d/asterisk`), and calls to its callees.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod proxy;
pub(crate) mod tones;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{CallId, Disposition, E164, IdSource};
use rivvi_core::flow::Flow;
use rivvi_core::provider::{
    Answerer, CallEvent, CallRef, CallUpdate, FindCall, PlaceCall, UpdateSink, VoiceProvider,
};
use rivvi_core::storage::{StorageError, StorageErrorKind};
use rivvi_core::testkit::build;
use rivvi_provider_asterisk::{Asterisk, AsteriskOptions, AsteriskServer};
use tokio::sync::watch;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// `http://USER:PASSWORD@HOST:PORT`.
pub(crate) fn url() -> String {
    let url = std::env::var("RIVVI_TEST_ASTERISK");
    url.expect("RIVVI_TEST_ASTERISK names no Asterisk; run: eval \"$(scripts/services env)\"")
}

/// The callees, by the two digits of their numbers that decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Callee(pub(crate) &'static str);

impl Callee {
    pub(crate) const HUMAN: Self = Self("00");
    pub(crate) const PRESSES_1: Self = Self("01");
    pub(crate) const PRESSES_9: Self = Self("09");
    pub(crate) const WRONG_KEY_FIRST: Self = Self("10");
    pub(crate) const KEYS_WITH_PAUSES: Self = Self("11");
    pub(crate) const SILENT: Self = Self("12");
    pub(crate) const PRESSES_AT_ONCE: Self = Self("13");
    pub(crate) const BUSY: Self = Self("20");
    pub(crate) const RINGS: Self = Self("21");
    pub(crate) const CONGESTED: Self = Self("22");
    pub(crate) const REJECTS: Self = Self("23");
    pub(crate) const UNALLOCATED: Self = Self("24");
    pub(crate) const CHANGED: Self = Self("25");
    pub(crate) const OUT_OF_ORDER: Self = Self("26");
    pub(crate) const ABSENT: Self = Self("27");
    pub(crate) const VOICEMAIL: Self = Self("30");
    pub(crate) const HANGS_UP: Self = Self("40");
    pub(crate) const MENU: Self = Self("41");
    pub(crate) const DROPPED: Self = Self("42");
    pub(crate) const SPEAKS: Self = Self("43");
    pub(crate) const TONES: Self = Self("44");

    /// A number of its own.
    pub(crate) fn number(self) -> E164 {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let start = u64::from(std::process::id()) * 37;
        let own = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        E164::from_e164(&format!("+972527{}{own:04}", self.0)).unwrap()
    }
}

/// What came of calls.
#[derive(Debug)]
pub(crate) struct Told {
    updates: Mutex<Vec<CallUpdate>>,
    count: watch::Sender<usize>,
    /// The store is away: nothing is taken.
    pub(crate) away: AtomicBool,
}

#[async_trait]
impl UpdateSink for Told {
    async fn deliver(&self, updates: Vec<CallUpdate>) -> Result<(), StorageError> {
        if self.away.load(Ordering::Relaxed) {
            return Err(StorageError::new(StorageErrorKind::Unavailable, "apply_calls", "away"));
        }
        let count = {
            let mut all = self.updates.lock().unwrap();
            all.extend(updates);
            all.len()
        };
        self.count.send_replace(count);
        Ok(())
    }
}

impl Told {
    pub(crate) fn new() -> Arc<Self> {
        let (count, away) = (watch::Sender::new(0), AtomicBool::new(false));
        Arc::new(Self { updates: Mutex::default(), count, away })
    }

    /// What was told about a call so far.
    pub(crate) fn of(&self, call: CallId) -> Vec<CallEvent> {
        let updates = self.updates.lock().unwrap();
        let own = updates.iter().filter(|update| update.call == CallRef::Id(call));
        own.map(|update| update.event.clone()).collect()
    }

    /// Waits until something is told about a call. Returns all that was told by then.
    pub(crate) async fn until(&self, call: CallId, what: impl Fn(&CallEvent) -> bool) -> Vec<CallEvent> {
        let mut count = self.count.subscribe();
        let told = async {
            loop {
                count.borrow_and_update();
                let told = self.of(call);
                if told.iter().any(&what) {
                    return told;
                }
                count.changed().await.unwrap();
            }
        };
        let told = tokio::time::timeout(PATIENCE, told).await;
        told.unwrap_or_else(|_| panic!("it was not told within {PATIENCE:?}; what was: {:?}", self.of(call)))
    }

    /// Waits until a call is over. Returns all that was told.
    pub(crate) async fn over(&self, call: CallId) -> Vec<CallEvent> {
        self.until(call, |event| matches!(event, CallEvent::Ended { .. })).await
    }

    pub(crate) async fn answered(&self, call: CallId) -> Vec<CallEvent> {
        self.until(call, |event| matches!(event, CallEvent::Answered { .. })).await
    }
}

/// A provider at the telephone network, and what it tells.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) asterisk: Asterisk,
    pub(crate) told: Arc<Told>,
    pub(crate) clock: Arc<SystemClock>,
    pub(crate) app: String,
}

impl Scene {
    pub(crate) async fn open() -> Self {
        Self::open_with(options()).await
    }

    pub(crate) async fn open_with(options: AsteriskOptions) -> Self {
        Self::open_at(&url(), options).await
    }

    pub(crate) async fn open_at(url: &str, options: AsteriskOptions) -> Self {
        let clock = Arc::new(SystemClock::new());
        let app = options.app.clone();
        let server = AsteriskServer::new("pbx1", url).unwrap();
        let asterisk = Asterisk::new(options, [server], clock.clone()).unwrap();
        let told = Told::new();
        asterisk.connect(told.clone()).await.unwrap();
        Self { asterisk, told, clock, app }
    }

    /// A request for a call that a flow leads.
    pub(crate) fn request(&self, callee: Callee, flow: &str) -> PlaceCall {
        let mut request = build::place_call(1);
        request.call_id = CallId::from_uuid(IdSource::random().next(self.clock.now()));
        request.to = callee.number();
        request.flow = Some(Arc::new(Flow::from_toml(flow).unwrap()));
        request.ring_timeout = Duration::from_secs(10);
        request.max_duration = Duration::from_secs(60);
        request
    }

    pub(crate) async fn place(&self, callee: Callee, flow: &str) -> CallId {
        let request = self.request(callee, flow);
        self.asterisk.place_call(&request).await.unwrap();
        request.call_id
    }

    /// Places a call and waits for its end.
    pub(crate) async fn talk(&self, callee: Callee, flow: &str) -> (CallId, Vec<CallEvent>) {
        let call = self.place(callee, flow).await;
        (call, self.told.over(call).await)
    }

    pub(crate) fn query(&self, request: &PlaceCall) -> FindCall {
        FindCall { call_id: request.call_id, reference: None, to: request.to, intended_at: self.clock.now() }
    }

    pub(crate) async fn pause(&self, span: Duration) {
        self.clock.sleep_until(self.clock.now() + span).await;
    }
}

/// Options for the test network, with an application of their own.
pub(crate) fn options() -> AsteriskOptions {
    let mut options = AsteriskOptions::default();
    options.app = format!("test-{}", IdSource::random().next(SystemClock::new().now()));
    options.endpoint = "PJSIP/{number}@network".into();
    options.agent_endpoint = "PJSIP/{to}@network".into();
    options.agents_context = Some("agents".into());
    options
}

/// A question that 1 answers, with sounds that Asterisk brings.
pub(crate) const ASK: &str = r#"
    start = "ask"
    [prompts]
    invalid = { audio = "sound:pbx-invalid" }
    timeout = { audio = "sound:vm-sorry" }
    opt_out = { audio = "sound:vm-goodbye" }
    [[nodes]]
    id = "ask"
    type = "menu"
    audio = "sound:vm-intro"
    timeout = "4s"
    on_timeout = { retries = 0, action = "nothing_heard", next = "bye" }
    keys = { 1 = { action = "trigger_donation", next = "bye" }, 2 = { action = { type = "request_callback", parameters = { after = "1d" } }, next = "bye" } }
    [[nodes]]
    id = "bye"
    type = "play_audio"
    audio = "sound:vm-goodbye"
    barge_in = false
"#;

/// How a call ended.
pub(crate) fn disposition(told: &[CallEvent]) -> Disposition {
    let mut ends = told.iter().filter_map(|event| match event {
        CallEvent::Ended { disposition, .. } => Some(*disposition),
        _ => None,
    });
    let end = ends.next().expect("it ended");
    assert_eq!(ends.next(), None, "it ended once");
    end
}

pub(crate) fn actions(told: &[CallEvent]) -> Vec<&str> {
    let actions = told.iter().filter_map(|event| match event {
        CallEvent::Action { name, .. } => Some(name.as_str()),
        _ => None,
    });
    actions.collect()
}

pub(crate) fn answered_by(told: &[CallEvent]) -> Vec<Answerer> {
    let by = told.iter().filter_map(|event| match event {
        CallEvent::Answered { by } => Some(*by),
        _ => None,
    });
    by.collect()
}

pub(crate) fn talk_time(told: &[CallEvent]) -> Option<Duration> {
    told.iter().find_map(|event| match event {
        CallEvent::Ended { talk_time, .. } => *talk_time,
        _ => None,
    })
}

/// Asterisk as an administrator sees it.
#[derive(Debug, Clone)]
pub(crate) struct Console {
    http: reqwest::Client,
    url: reqwest::Url,
}

impl Console {
    pub(crate) fn new() -> Self {
        Self::at(&url())
    }

    pub(crate) fn at(url: &str) -> Self {
        // Plain HTTP, but the client wants to know of TLS.
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(std::iter::empty());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).build().unwrap();
        Self { http, url: url.parse().unwrap() }
    }

    pub(crate) async fn get(&self, path: &str) -> serde_json::Value {
        let answer = self.http.get(self.url.join(&format!("/ari/{path}")).unwrap()).send().await.unwrap();
        answer.json().await.unwrap_or_default()
    }

    pub(crate) async fn delete(&self, path: &str) -> u16 {
        let answer = self.http.delete(self.url.join(&format!("/ari/{path}")).unwrap()).send().await.unwrap();
        answer.status().as_u16()
    }

    /// Removes a global variable.
    pub(crate) async fn forget(&self, name: &str) {
        let url = self.url.join(&format!("/ari/asterisk/variable?variable={name}&value=")).unwrap();
        self.http.post(url).send().await.unwrap();
    }

    /// The ids of the channels of a call: its own, and those named after it.
    pub(crate) async fn channels_of(&self, call: CallId) -> Vec<String> {
        let all = self.get("channels").await;
        let ids = all.as_array().unwrap().iter().map(|channel| channel["id"].as_str().unwrap().to_owned());
        ids.filter(|id| id.starts_with(&call.to_string())).collect()
    }

    /// The bridges of a call.
    pub(crate) async fn bridges_of(&self, call: CallId) -> Vec<serde_json::Value> {
        let all = self.get("bridges").await;
        let own = |bridge: &&serde_json::Value| bridge["id"].as_str().unwrap().starts_with(&call.to_string());
        all.as_array().unwrap().iter().filter(own).cloned().collect()
    }

    /// Waits until a bridge of a call holds so many channels; of a call without bridges that is none.
    pub(crate) async fn until_bridged(&self, clock: &SystemClock, call: CallId, channels: usize) {
        let by = clock.now() + PATIENCE;
        loop {
            let bridges = self.bridges_of(call).await;
            let there = bridges.first().map_or(0, |bridge| bridge["channels"].as_array().unwrap().len());
            if there == channels {
                return;
            }
            assert!(clock.now() < by, "{channels} channels were not bridged: {bridges:?}");
            clock.sleep_until(clock.now() + Duration::from_millis(50)).await;
        }
    }

    /// A stored recording, as WAV.
    pub(crate) async fn recording(&self, name: &str) -> Vec<u8> {
        let url = self.url.join(&format!("/ari/recordings/stored/{name}/file")).unwrap();
        let answer = self.http.get(url).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.bytes().await.unwrap().to_vec()
    }

    /// The value of a global variable.
    pub(crate) async fn global(&self, name: &str) -> String {
        let value = self.get(&format!("asterisk/variable?variable={name}")).await;
        value["value"].as_str().unwrap_or_default().to_owned()
    }

    /// The call detail records whose channel has this id: how each ended, in Asterisk's words.
    pub(crate) async fn records_of(&self, call: CallId) -> Vec<String> {
        let text = self.http.get(self.url.join("/static/cdr.csv").unwrap()).send().await.unwrap();
        let text = text.text().await.unwrap();
        let id = format!("\"{call}\"");
        let own = text.lines().filter(|line| line.contains(&id));
        let words = ["\"ANSWERED\"", "\"NO ANSWER\"", "\"BUSY\"", "\"FAILED\"", "\"CONGESTION\""];
        let word = |line: &str| {
            words.iter().find(|word| line.contains(**word)).unwrap_or(&"").trim_matches('"').to_owned()
        };
        own.map(word).collect()
    }
}
