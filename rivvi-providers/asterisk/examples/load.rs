//! How many calls at once an Asterisk on this machine carries for us, with media both ways, and how fast we react.
//!
//! ```text
//! eval "$(scripts/services env asterisk)"
//! cargo run --release -p rivvi-provider-asterisk --example load -- --calls 300 --cps 40
//! ```
//!
//! Every callee of the test network presses a key into a prompt; the flow then plays the next. From key to prompt is
//! measured by Asterisk's own clock, from its event of the key to its event of the playback, so it holds everything: the
//! event's way to us, the flow, our requests to stop and to play, and the beginning of the playback. Callees and callers
//! are on one machine, which so carries each call twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a measurement stops at the first error")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clap::Parser;
use futures::{SinkExt, StreamExt};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{CallId, Disposition, E164, IdSource};
use rivvi_core::flow::Flow;
use rivvi_core::provider::{CallEvent, CallRef, CallUpdate, UpdateSink, VoiceProvider};
use rivvi_core::storage::StorageError;
use rivvi_core::testkit::build;
use rivvi_provider_asterisk::{Asterisk, AsteriskOptions, AsteriskServer};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

#[derive(Debug, Parser)]
struct Options {
    /// The test network's Asterisk: http://USER:PASSWORD@HOST:PORT
    #[arg(long, env = "RIVVI_TEST_ASTERISK", hide_env_values = true)]
    asterisk: String,
    /// Calls under way at once
    #[arg(long, default_value_t = 300)]
    calls: u64,
    /// Calls started per second
    #[arg(long, default_value_t = 40)]
    cps: u32,
    /// For how many seconds each call talks
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

/// What came of the calls.
#[derive(Debug, Default)]
struct Told {
    answered: Mutex<usize>,
    acted: Mutex<usize>,
    ended: Mutex<HashMap<CallId, Disposition>>,
}

#[async_trait]
impl UpdateSink for Told {
    async fn deliver(&self, updates: Vec<CallUpdate>) -> Result<(), StorageError> {
        for update in updates {
            let CallRef::Id(call) = update.call else { continue };
            match update.event {
                CallEvent::Answered { .. } => *self.answered.lock().unwrap() += 1,
                CallEvent::Action { .. } => *self.acted.lock().unwrap() += 1,
                CallEvent::Ended { disposition, .. } => {
                    self.ended.lock().unwrap().insert(call, disposition);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let clock = Arc::new(SystemClock::new());
    let ids = IdSource::random();
    let mut asterisk = AsteriskOptions::default();
    asterisk.app = format!("load-{}", std::process::id());
    asterisk.endpoint = "PJSIP/{number}@network".into();
    let server = AsteriskServer::new("pbx1", &options.asterisk).unwrap();
    let provider = Asterisk::new(asterisk, [server], clock.clone()).unwrap();
    let told = Arc::new(Told::default());
    provider.connect(told.clone()).await.unwrap();
    let reactions = watch(&options.asterisk).await;
    let flow = Arc::new(flow(options.seconds));

    let begun = clock.monotonic();
    for n in 0..options.calls {
        let mut request = build::place_call(1);
        request.call_id = CallId::from_uuid(ids.next(clock.now()));
        request.to = E164::from_e164(&format!("+97252701{:04}", n % 10_000)).unwrap();
        request.flow = Some(flow.clone());
        request.max_duration = Duration::from_secs(300);
        if let Err(error) = provider.place_call(&request).await {
            println!("call {n}: {error}");
        }
        let due = begun + Duration::from_secs(n + 1) / options.cps;
        let wait = due.saturating_sub(clock.monotonic());
        clock.sleep_until(clock.now() + wait).await;
    }
    let placed_in = clock.monotonic() - begun;
    let mut most = 0;
    let give_up = clock.monotonic() + Duration::from_secs(options.seconds + 60);
    loop {
        most = most.max(provider.servers()[0].calls);
        let ended = told.ended.lock().unwrap().len() as u64;
        if ended >= options.calls || clock.monotonic() > give_up {
            break;
        }
        clock.sleep_until(clock.now() + Duration::from_millis(200)).await;
    }
    let ended = told.ended.lock().unwrap().clone();
    let human = ended.values().filter(|disposition| **disposition == Disposition::AnsweredHuman).count();
    println!(
        "calls              {}, placed in {:.1} s, at most {most} at once",
        options.calls,
        placed_in.as_secs_f64()
    );
    println!("answered           {}, conversations to their end {human}", told.answered.lock().unwrap());
    println!("keys understood    {}", told.acted.lock().unwrap());
    let mut reactions = reactions.lock().unwrap().done.clone();
    reactions.sort_unstable();
    let at =
        |share: usize| reactions.get(reactions.len().saturating_sub(1) * share / 100).copied().unwrap_or(-1);
    let measured = reactions.len();
    println!(
        "key to next prompt {measured} measured: p50 {} ms, p95 {} ms, p99 {} ms",
        at(50),
        at(95),
        at(99)
    );
}

/// Asks; a key leads on, to a long prompt.
fn flow(seconds: u64) -> Flow {
    let text = format!(
        r#"
        start = "ask"
        [[nodes]]
        id = "ask"
        type = "menu"
        audio = "sound:demo-congrats"
        keys = {{ 1 = {{ action = "trigger_donation", next = "long" }} }}
        on_timeout = "end"
        [[nodes]]
        id = "long"
        type = "play_audio"
        audio = "sound:demo-congrats"
        next = "rest"
        [[nodes]]
        id = "rest"
        type = "wait"
        duration = "{seconds}s"
        [[nodes]]
        id = "end"
        type = "hang_up"
        "#
    );
    Flow::from_toml(&text).unwrap()
}

/// Milliseconds from each key to the playback that follows, by Asterisk's clock.
#[derive(Debug, Default)]
struct Reactions {
    pressed: HashMap<String, DateTime<Utc>>,
    done: Vec<i64>,
}

/// Listens to the events of the application's channels beside the provider, as another application.
async fn watch(url: &str) -> Arc<Mutex<Reactions>> {
    let reactions: Arc<Mutex<Reactions>> = Arc::default();
    let (credentials, address) = url.trim_start_matches("http://").split_once('@').unwrap();
    let address = address.trim_end_matches('/');
    let app = format!("watch-{}", std::process::id());
    let request = format!("ws://{address}/ari/events?app={app}&subscribeAll=true&api_key={credentials}");
    let (mut socket, _) =
        tokio_tungstenite::connect_async(request.into_client_request().unwrap()).await.unwrap();
    // Nothing but what is measured, so that measuring costs little.
    let filter = json!({ "allowed": [{ "type": "ChannelDtmfReceived" }, { "type": "PlaybackStarted" }] });
    let order = json!({
        "type": "RESTRequest", "transaction_id": "1", "request_id": "1", "method": "PUT",
        "uri": format!("applications/{app}/eventFilter"), "content_type": "application/json",
        "message_body": filter.to_string(),
    });
    socket.send(Message::Text(order.to_string().into())).await.unwrap();
    let kept = reactions.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let event: serde_json::Value = serde_json::from_str(&text).unwrap();
            let at = event["timestamp"].as_str().unwrap_or_default();
            let Ok(at) = DateTime::parse_from_str(at, "%Y-%m-%dT%H:%M:%S%.f%z") else { continue };
            let mut reactions = kept.lock().unwrap();
            match event["type"].as_str() {
                Some("ChannelDtmfReceived") => {
                    let channel = event["channel"]["id"].as_str().unwrap().to_owned();
                    reactions.pressed.insert(channel, at.to_utc());
                }
                Some("PlaybackStarted") => {
                    let channel =
                        event["playback"]["target_uri"].as_str().unwrap().trim_start_matches("channel:");
                    if let Some(pressed) = reactions.pressed.remove(channel) {
                        reactions.done.push((at.to_utc() - pressed).num_milliseconds());
                    }
                }
                _ => {}
            }
        }
    });
    reactions
}
