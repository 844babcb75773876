//! One call at work: asks its machine, and does what it orders.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Method, StatusCode};
use rivvi_core::clock::Clock;
use rivvi_core::domain::{CallId, Personal};
use rivvi_core::flow::{RecordingRules, Token};
use rivvi_core::provider::RecognitionRequest;
use tokio::sync::{mpsc, oneshot};

use crate::ari::{AriError, Originate};
use crate::call::{CallMachine, Happening, Order, Presses};
use crate::hearing::Ear;
use crate::keep::keep;
use crate::media::{Speaker, media_uri};
use crate::options::AsteriskOptions;
use crate::server::Server;
use crate::tell::Teller;

/// What all calls share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: AsteriskOptions,
    pub(crate) servers: Vec<Arc<Server>>,
    pub(crate) teller: Teller,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) speaker: Option<Speaker>,
}

/// What is particular to a call beside its machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    /// Where in the store for recordings its own are kept.
    pub(crate) folder: String,
    /// The number shown to agents.
    pub(crate) caller_id: Personal<String>,
    /// How long Asterisk lets the channel of an agent live from the answer on; zero for any time.
    pub(crate) agent_max: std::time::Duration,
}

/// Has a call followed to its end.
pub(crate) fn spawn(
    shared: &Arc<Shared>,
    server: &Arc<Server>,
    call: CallId,
    machine: CallMachine,
    terms: Terms,
) -> mpsc::UnboundedSender<Happening> {
    let (events, inbox) = mpsc::unbounded_channel();
    let (shared, server, back) = (shared.clone(), server.clone(), events.downgrade());
    let actor =
        Actor { shared, server, call, channel: call.to_string(), terms, back, listening: Arc::default() };
    tokio::spawn(actor.run(machine, inbox));
    events
}

#[derive(Debug, Clone)]
struct Actor {
    shared: Arc<Shared>,
    server: Arc<Server>,
    call: CallId,
    channel: String,
    terms: Terms,
    /// For what takes longer and is told later.
    back: mpsc::WeakUnboundedSender<Happening>,
    /// Speech is recognized until this is dropped.
    listening: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl Actor {
    async fn run(self, mut machine: CallMachine, mut inbox: mpsc::UnboundedReceiver<Happening>) {
        let clock = self.shared.clock.clone();
        loop {
            let wake_at = machine.wake_at();
            let happening = tokio::select! {
                biased;
                happening = inbox.recv() => match happening {
                    Some(happening) => happening,
                    None => return,
                },
                () = clock.sleep_until(wake_at.unwrap_or_default()), if wake_at.is_some() => Happening::Wake,
            };
            let mut orders = machine.take(happening, clock.now());
            // What could not be done leads to other orders, at once.
            while !orders.is_empty() {
                let mut failed = Vec::new();
                for order in orders {
                    if order == Order::Done {
                        self.server.let_go(self.call);
                        return;
                    }
                    failed.extend(self.carry_out(order).await);
                }
                orders = failed.into_iter().flat_map(|failed| machine.take(failed, clock.now())).collect();
            }
        }
    }

    /// Does what is ordered. Returns what the call has to know of how that went.
    async fn carry_out(&self, order: Order) -> Option<Happening> {
        let client = &self.server.client;
        let own = |what: &str| format!("channels/{}/{what}", self.channel);
        let (done, instead) = match order {
            Order::Tell { event, at } => {
                self.shared.teller.tell(&self.server, self.call, event, at);
                return None;
            }
            Order::Play { token, playback, audio } => {
                let media = media_uri(audio.expose());
                let query = [("media", media.as_str())];
                let done = client.tell(Method::POST, &own(&format!("play/{playback}")), &query, None).await;
                (done, Some(Happening::NotPlayed { token }))
            }
            Order::Speak { token, text, language, voice } => {
                let this = self.clone();
                tokio::spawn(async move {
                    let language = language.map(Personal::into_inner);
                    let audio = match &this.shared.speaker {
                        Some(speaker) => speaker.speak(text, language, voice).await,
                        None => {
                            tracing::warn!(call = %this.call, "a text is passed over: no speech is configured");
                            None
                        }
                    };
                    this.send(Happening::Spoken { token, audio });
                });
                return None;
            }
            Order::Listen { token, language, hints } => {
                self.listen(token, language, hints);
                return None;
            }
            Order::StopListening => {
                self.listening().take();
                return None;
            }
            Order::StopPlayback { playback } => {
                (client.tell(Method::DELETE, &format!("playbacks/{playback}"), &[], None).await, None)
            }
            Order::Record { token, name, rules } => {
                (self.record(&name, rules).await, Some(Happening::NotRecorded { token: Some(token) }))
            }
            Order::StopRecording { name } => {
                (client.tell(Method::POST, &format!("recordings/live/{name}/stop"), &[], None).await, None)
            }
            Order::Keep { token, name } => {
                let this = self.clone();
                tokio::spawn(async move { this.keep(token, name).await });
                return None;
            }
            Order::Press { groups } => (self.press(&groups).await, None),
            Order::Detect => {
                let query = [
                    ("context", self.shared.options.context.as_str()),
                    ("extension", "detect"),
                    ("priority", "1"),
                ];
                (
                    client.tell(Method::POST, &own("continue"), &query, None).await,
                    Some(Happening::NotDetected),
                )
            }
            Order::Hand { agent } => {
                let context = self.shared.options.agents_context.as_deref().unwrap_or_default();
                let query = [("context", context), ("extension", agent.as_str()), ("priority", "1")];
                let done = client.tell(Method::POST, &own("continue"), &query, None).await;
                // In the dialplan already.
                let there = done.as_ref().is_err_and(|error| error.status() == Some(StatusCode::CONFLICT));
                (done, (!there).then_some(Happening::NotHanded))
            }
            Order::WatchTalking => {
                // A beep that follows a greeting within this silence is part of it.
                let query = [("variable", "TALK_DETECT(set)"), ("value", "1200,256")];
                (client.tell(Method::POST, &own("variable"), &query, None).await, None)
            }
            Order::Ring(ring) => {
                let method = if ring { Method::POST } else { Method::DELETE };
                (client.tell(method, &own("ring"), &[], None).await, None)
            }
            Order::CallAgent { channel, to, ring_timeout, .. } => {
                let to = to.or_else(|| self.shared.options.agent.clone()).map(Personal::into_inner);
                let done = self.call_agent(&channel, to, ring_timeout).await;
                (done, Some(Happening::AgentNotCalled { channel }))
            }
            Order::Bridge { bridge, channel } => match self.bridge(&bridge, &channel).await {
                Ok(()) => return Some(Happening::Bridged { channel, done: true }),
                failed => (failed, Some(Happening::Bridged { channel, done: false })),
            },
            Order::EndBridge { bridge } => {
                (client.tell(Method::DELETE, &format!("bridges/{bridge}"), &[], None).await, None)
            }
            Order::Overhear { channel } => {
                let app = self.shared.options.app.as_str();
                let query =
                    [("spy", "both"), ("app", app), ("appArgs", "ear"), ("snoopId", channel.as_str())];
                let done = client.tell(Method::POST, &own("snoop"), &query, None).await;
                (done, Some(Happening::NotRecorded { token: None }))
            }
            Order::RecordAll { channel, name } => {
                let query = [("name", name.as_str()), ("format", "wav"), ("ifExists", "overwrite")];
                let path = format!("channels/{channel}/record");
                let done = client.tell(Method::POST, &path, &query, None).await;
                (done, Some(Happening::NotRecorded { token: None }))
            }
            Order::HangUp { channel } => (client.hang_up(&channel).await, None),
            Order::Done => return None,
        };
        let error = done.err()?;
        // Calls end at any time, and what was to be done for them then is not there any more.
        let gone = matches!(error.status().map(|status| status.as_u16()), Some(404 | 409 | 412));
        if gone {
            tracing::debug!(call = %self.call, %error, "something is not there any more");
        } else {
            tracing::warn!(call = %self.call, server = self.server.name, %error, "a request for a call failed");
        }
        instead
    }

    /// Has what the callee says recognized, until that is stopped or the call is over.
    fn listen(&self, token: Token, language: Option<Personal<String>>, hints: Vec<String>) {
        let Some(hearing) = self.shared.options.hearing.clone() else { return };
        let mut request = RecognitionRequest::new(hearing.format);
        (request.language, request.hints) = (language.map(Personal::into_inner), hints);
        let ear =
            Ear::new(&self.server, self.call, token, &self.shared.options.app, self.shared.clock.clone());
        let (stop, stopped) = oneshot::channel();
        *self.listening() = Some(stop);
        tokio::spawn(ear.listen(hearing.recognizer, request, self.back.clone(), stopped));
    }

    fn listening(&self) -> MutexGuard<'_, Option<oneshot::Sender<()>>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn record(&self, name: &str, rules: RecordingRules) -> Result<(), AriError> {
        let seconds = |span: std::time::Duration| span.as_millis().div_ceil(1000).max(1).to_string();
        let (max, silence) = (seconds(rules.max_duration.duration()), seconds(rules.silence.duration()));
        let terminator = rules.terminator.map(|key| key.to_string()).filter(|key| key == "#" || key == "*");
        let query = [
            ("name", name),
            ("format", "wav"),
            ("ifExists", "overwrite"),
            ("maxDurationSeconds", &max),
            ("maxSilenceSeconds", &silence),
            ("beep", if rules.beep { "true" } else { "false" }),
            ("terminateOn", terminator.as_deref().unwrap_or("none")),
        ];
        let path = format!("channels/{}/record", self.channel);
        self.server.client.tell(Method::POST, &path, &query, None).await
    }

    /// Takes a recording from the server to where recordings are kept.
    async fn keep(self, token: Option<Token>, name: String) {
        let reference = match &self.shared.options.recordings {
            None => Some(format!("recording:{name}")),
            Some(store) => {
                let place = format!("{}/{name}.wav", self.terms.folder);
                match keep(&self.server.client, &name, store, &place).await {
                    Ok(()) => {
                        let path = format!("recordings/stored/{name}");
                        // What cannot be removed stays on the server, and does no harm there.
                        drop(self.server.client.tell(Method::DELETE, &path, &[], None).await);
                        Some(place)
                    }
                    Err(error) => {
                        tracing::warn!(call = %self.call, %error, "a recording could not be kept; it stays on the server");
                        None
                    }
                }
            }
        };
        self.send(Happening::Kept { token, reference });
    }

    async fn press(&self, groups: &[Presses]) -> Result<(), AriError> {
        let path = format!("channels/{}/dtmf", self.channel);
        for Presses { pause, keys } in groups {
            let pause = pause.to_string();
            let query = [
                ("dtmf", keys.expose().as_str()),
                ("before", &pause),
                ("between", "100"),
                ("duration", "120"),
            ];
            self.server.client.tell(Method::POST, &path, &query, None).await?;
        }
        Ok(())
    }

    async fn call_agent(
        &self,
        channel: &str,
        to: Option<String>,
        ring_timeout: std::time::Duration,
    ) -> Result<(), AriError> {
        let Some(to) = to.filter(|to| is_address(to)) else {
            tracing::warn!(call = %self.call, "a transfer names nobody who can be called, and there is no default");
            return Err(AriError::Unreachable);
        };
        let options = &self.shared.options;
        let longest = match self.terms.agent_max {
            std::time::Duration::ZERO => std::time::Duration::ZERO,
            max => max.saturating_add(ring_timeout),
        };
        let originate = Originate {
            channel,
            endpoint: options.agent_endpoint.replace("{to}", &to).into(),
            app: &options.app,
            args: "agent",
            caller_id: self.terms.caller_id.clone(),
            ring_timeout,
            variables: vec![("TIMEOUT(absolute)".into(), longest.as_secs().to_string())],
        };
        self.server.client.originate(&originate).await.map(drop)
    }

    async fn bridge(&self, bridge: &str, channel: &str) -> Result<(), AriError> {
        let client = &self.server.client;
        client.tell(Method::POST, &format!("bridges/{bridge}"), &[("type", "mixing")], None).await?;
        let both = format!("{},{channel}", self.channel);
        client.tell(Method::POST, &format!("bridges/{bridge}/addChannel"), &[("channel", &both)], None).await
    }

    fn send(&self, happening: Happening) {
        if let Some(back) = self.back.upgrade() {
            let _ = back.send(happening);
        }
    }
}

/// Whether a text can be part of an endpoint without becoming another: a variable of a contact may be in it.
fn is_address(text: &str) -> bool {
    let part = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '+' | '-' | '_' | '.' | '*' | '#');
    !text.is_empty() && text.chars().all(part)
}
