//! The provider.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use rivvi_core::clock::Clock;
use rivvi_core::domain::{CallId, ProviderName, RunId};
use rivvi_core::flow::{Flow, Session};
use rivvi_core::provider::{
    ActionResult, CallLookup, FindCall, Lookup, PlaceCall, PlacedCall, ProviderError, ProviderErrorKind,
    UpdateSink, VoiceCapabilities, VoiceProvider,
};
use tokio::task::JoinHandle;

use crate::actor::{self, Shared, Terms};
use crate::ari::{APP, AriError, Client, Originate, tls};
use crate::call::{CallMachine, Happening, Lead, Mark, Talk};
use crate::choose::{Candidate, NoServer, choose};
use crate::link;
use crate::lookup::{SETTLES_AFTER, lookup, together};
use crate::media::Speaker;
use crate::options::{AsteriskOptions, AsteriskOptionsError, AsteriskServer};
use crate::server::{Link, Server, TakenOn, mark_of};
use crate::tell::Teller;

/// How long `connect` waits for the first server.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// When to ask again if all servers are full.
const FULL_WAIT: Duration = Duration::from_secs(1);
/// How much longer than it may a call lasts if nobody ends it: then Asterisk does.
const ASTERISK_ENDS_AFTER: Duration = Duration::from_secs(30);

/// Asterisk servers that place calls. Clones are the same provider.
///
/// The link to the servers is kept up from [`connect`](VoiceProvider::connect) until the last clone is dropped; calls
/// that are under way then stay on the servers, and whoever connects next with the same application finds them.
#[derive(Clone)]
pub struct Asterisk(Arc<Owner>);

struct Owner {
    shared: Arc<Shared>,
    tasks: tokio::sync::Mutex<Tasks>,
    /// Runs whose flows listen in vain, of which a warning was given.
    deaf_to: Mutex<HashSet<RunId>>,
}

enum Tasks {
    /// To be started by the first `connect`.
    Waiting(futures::future::BoxFuture<'static, ()>),
    Running(Vec<JoinHandle<()>>),
    None,
}

/// How a server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Whether events arrive from it, so that calls may be placed there.
    pub connected: bool,
    /// Whether it gets no new calls.
    pub draining: bool,
    /// Calls that are under way there.
    pub calls: usize,
    /// What it lacked when it was last connected to: extensions and contexts of the dialplan, modules. A warning tells
    /// what comes of that.
    pub missing: Vec<String>,
}

impl Asterisk {
    /// These servers, used as told. Nothing is connected yet.
    ///
    /// # Errors
    /// [`AsteriskOptionsError`] if the options cannot be used.
    pub fn new(
        options: AsteriskOptions,
        servers: impl IntoIterator<Item = AsteriskServer>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AsteriskOptionsError> {
        let servers: Vec<AsteriskServer> = servers.into_iter().collect();
        options.check(&servers)?;
        let tls = tls().map_err(AsteriskOptionsError::Tls)?;
        let http = Client::http(&tls).map_err(AsteriskOptionsError::Tls)?;
        let servers = servers.into_iter().map(|server| Arc::new(Server::new(server, &http, &tls))).collect();
        let (teller, delivering) = Teller::new(clock.clone());
        let speaker = options.speech.clone().map(Speaker::new);
        let shared = Arc::new(Shared { options, servers, teller, clock, speaker });
        let tasks = tokio::sync::Mutex::new(Tasks::Waiting(Box::pin(delivering)));
        Ok(Self(Arc::new(Owner { shared, tasks, deaf_to: Mutex::default() })))
    }

    /// Gives a server no new calls, or gives it calls again. Returns whether there is a server of that name.
    pub fn drain(&self, server: &str, draining: bool) -> bool {
        let found = self.shared().servers.iter().find(|known| known.name == server);
        found.map(|server| server.drain(draining)).is_some()
    }

    /// How the servers are doing.
    pub fn servers(&self) -> Vec<ServerStatus> {
        let status = |server: &Arc<Server>| ServerStatus {
            name: server.name.clone(),
            connected: server.is_up(),
            draining: server.is_draining(),
            calls: server.live_calls(),
            missing: server.missing(),
        };
        self.shared().servers.iter().map(status).collect()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    fn error(&self, operation: &'static str, kind: ProviderErrorKind) -> ProviderError {
        ProviderError::not_sent(&self.name(), operation, kind)
    }

    fn full(&self) -> ProviderError {
        self.error("place_call", ProviderErrorKind::RateLimited).with_retry_after(Some(FULL_WAIT))
    }

    /// Starts what keeps the links up, once.
    async fn start(&self) {
        let mut tasks = self.0.tasks.lock().await;
        match std::mem::replace(&mut *tasks, Tasks::None) {
            Tasks::Waiting(delivering) => {
                let links = self.shared().servers.iter();
                let links = links
                    .map(|server| tokio::spawn(link::keep(Arc::downgrade(self.shared()), server.clone())));
                *tasks = Tasks::Running(std::iter::once(tokio::spawn(delivering)).chain(links).collect());
            }
            running => *tasks = running,
        }
    }

    /// Waits until a server can be used, or all said why they cannot.
    async fn any_server(&self) -> Result<(), Option<AriError>> {
        let mut links: Vec<_> = self.shared().servers.iter().map(|server| server.link()).collect();
        loop {
            let known: Vec<Link> = links.iter_mut().map(|link| link.borrow_and_update().clone()).collect();
            if known.contains(&Link::Up) {
                return Ok(());
            }
            let failed = |link: &Link| matches!(link, Link::Down(Some(_)));
            if known.iter().all(failed) {
                let first = known.into_iter().find_map(|link| match link {
                    Link::Down(error) => error,
                    Link::Up => None,
                });
                return Err(first);
            }
            let changes = links.iter_mut().map(|link| Box::pin(link.changed()));
            drop(futures::future::select_all(changes).await);
        }
    }

    fn choose(&self, call: CallId) -> Result<&Arc<Server>, ProviderError> {
        let servers = &self.shared().servers;
        let candidate = |server: &'_ Arc<Server>| (server.is_up() && !server.is_draining(), server.is_full());
        let states: Vec<(bool, bool)> = servers.iter().map(candidate).collect();
        let candidates = servers.iter().zip(states).map(|(server, (usable, full))| Candidate {
            name: &server.name,
            weight: server.weight,
            usable,
            full,
        });
        match choose(call, &candidates.collect::<Vec<_>>()) {
            Ok(place) => Ok(&servers[place]),
            Err(NoServer::Full) => Err(self.full()),
            Err(NoServer::Unavailable) => {
                let down = servers.iter().find_map(|server| match server.link().borrow().clone() {
                    Link::Down(error) => error,
                    Link::Up => None,
                });
                // Nothing was sent, whatever went wrong before.
                let kind = match down.map(|error| error.told_as(&self.name(), "place_call").kind) {
                    Some(kind) if kind.needs_a_person() => kind,
                    _ => ProviderErrorKind::Unavailable,
                };
                Err(self.error("place_call", kind))
            }
        }
    }

    /// Who leads the conversation of a call.
    fn lead(&self, request: &PlaceCall) -> Result<Lead, ProviderError> {
        let channel = request.call_id.to_string();
        match (&request.flow, &request.agent_id, &self.shared().options.agents_context) {
            (Some(flow), ..) => {
                self.warn_if_deaf(request.run_id, flow);
                Ok(Lead::Flow(Box::new(Talk::new(channel, flow.clone(), Session::for_call(request)))))
            }
            (None, Some(agent), Some(_)) => Ok(Lead::Agent(agent.clone())),
            _ => {
                let error = self.error("place_call", ProviderErrorKind::InvalidRequest);
                Err(error.with_source(
                    "the campaign has no flow, and there is no context of the dialplan for its agent; give it a \
                     flow, or set AsteriskOptions::agents_context",
                ))
            }
        }
    }

    /// Tells once for each run that what callees say is not heard, if its flow waits for that.
    fn warn_if_deaf(&self, run: RunId, flow: &Flow) {
        if self.shared().options.hearing.is_some() || !flow.listens() {
            return;
        }
        if self.0.deaf_to.lock().unwrap_or_else(PoisonError::into_inner).insert(run) {
            tracing::warn!(
                run = %run,
                flow = flow.name(),
                "the flow listens, but without AsteriskOptions::hearing no words are heard: it gets keys, else its timeouts"
            );
        }
    }

    async fn originate(&self, server: &Server, request: &PlaceCall) -> Result<bool, ProviderError> {
        let options = &self.shared().options;
        let number = request.to.expose();
        let digits = number.trim_start_matches('+');
        let endpoint = options.endpoint.replace("{number}", &number).replace("{digits}", digits);
        let longest =
            request.ring_timeout.saturating_add(request.max_duration).saturating_add(ASTERISK_ENDS_AFTER);
        let channel = request.call_id.to_string();
        let originate = Originate {
            channel: &channel,
            endpoint: endpoint.into(),
            app: &options.app,
            args: "call",
            caller_id: request.from.0.expose().into(),
            ring_timeout: request.ring_timeout,
            variables: vec![
                // Made with the channel: the server remembers the call exactly if it made a channel for it.
                (format!("GLOBAL({})", mark_of(request.call_id)), "asked".into()),
                ("CHANNEL(hangup_handler_push)".into(), format!("{},ended,1", options.context)),
                ("TIMEOUT(absolute)".into(), longest.as_secs().to_string()),
                (APP.into(), options.app.clone()),
            ],
        };
        let error = match server.client.originate(&originate).await {
            Ok(new) => return Ok(new),
            Err(error) => error,
        };
        let unknown_endpoint = matches!(error, AriError::Refused { allocation: true, .. })
            && self.endpoint_is_unknown(server).await;
        let mut told = error.told_as(&self.name(), "place_call");
        if unknown_endpoint {
            told.kind = ProviderErrorKind::InvalidRequest;
        }
        Err(told)
    }

    /// Whether a channel could not be made because nobody has configured the endpoint.
    async fn endpoint_is_unknown(&self, server: &Server) -> bool {
        let endpoint = &self.shared().options.endpoint;
        let Some((technology, resource)) = endpoint.split_once('/') else { return true };
        let name = resource.rsplit('@').next().unwrap_or(resource);
        if name.contains('{') {
            return false;
        }
        let known =
            server.client.tell(http::Method::GET, &format!("endpoints/{technology}/{name}"), &[], None).await;
        known.is_err_and(|error| error.status().is_some_and(|status| status == http::StatusCode::NOT_FOUND))
    }

    /// The servers that may have a call: the one in its reference, else all.
    fn may_have(&self, query: &FindCall) -> Vec<Arc<Server>> {
        let named = query.reference.as_deref().and_then(|reference| reference.split_once('/'));
        let named = named.filter(|(_, call)| *call == query.call_id.to_string());
        let servers = &self.shared().servers;
        let one = named.and_then(|(name, _)| servers.iter().find(|server| server.name == name));
        one.map_or_else(|| servers.clone(), |server| vec![server.clone()])
    }
}

#[async_trait]
impl VoiceProvider for Asterisk {
    fn name(&self) -> ProviderName {
        self.shared().options.name.clone()
    }

    fn capabilities(&self) -> VoiceCapabilities {
        let mut capabilities = VoiceCapabilities::default();
        // What a server remembers keeps us from asking twice. It does not keep a request that was under way for long from
        // being carried out behind its repetition, once the call that came of that is over.
        capabilities.idempotent_placement = None;
        capabilities.lookup = Lookup::ByCallId;
        capabilities.hang_up = true;
        capabilities.calls_per_second = self.shared().options.calls_per_second;
        capabilities.settles_after = SETTLES_AFTER;
        capabilities.silence_max = self.shared().options.silence_max;
        capabilities
    }

    async fn connect(&self, sink: Arc<dyn UpdateSink>) -> Result<(), ProviderError> {
        self.shared().teller.deliver_to(sink);
        self.start().await;
        let clock = &self.shared().clock;
        let failed = tokio::select! {
            found = self.any_server() => match found {
                Ok(()) => return Ok(()),
                Err(failed) => failed,
            },
            () = clock.sleep_until(clock.now() + CONNECT_MAX) => Some(AriError::Timeout),
        };
        let error = failed.unwrap_or(AriError::Unreachable).told_as(&self.name(), "connect");
        Err(ProviderError { delivery: rivvi_core::provider::Delivery::NotSent, ..error })
    }

    async fn place_call(&self, request: &PlaceCall) -> Result<PlacedCall, ProviderError> {
        let server = self.choose(request.call_id)?;
        let call = request.call_id;
        let placed = || PlacedCall { reference: Some(format!("{}/{call}", server.name)) };
        if server.knows(call) {
            return Ok(placed());
        }
        let lead = self.lead(request)?;
        // A repetition of a call that is over already would not be recognized by its channel.
        let known = server.mark(call).await.map_err(|error| {
            let error = error.told_as(&self.name(), "place_call");
            ProviderError { delivery: rivvi_core::provider::Delivery::NotSent, ..error }
        })?;
        if known != Mark::None {
            return Ok(placed());
        }
        let machine = CallMachine::new(
            call.to_string(),
            lead,
            request.max_duration,
            self.shared().options.record_calls,
        );
        let terms = Terms {
            folder: format!("call-recordings/{}/{}", request.org_id, request.run_id),
            caller_id: request.from.0.expose().into(),
            agent_max: request.max_duration.saturating_add(ASTERISK_ENDS_AFTER),
        };
        let events = actor::spawn(self.shared(), server, call, machine, terms);
        let taken = server.take_on(call, events, false);
        if taken == TakenOn::Full {
            return Err(self.full());
        }
        match self.originate(server, request).await {
            Ok(_) => {
                server.confirmed(call);
                Ok(placed())
            }
            Err(error) => {
                if taken == TakenOn::Now && error.may_repeat() {
                    server.forget_unplaced(call);
                }
                Err(error)
            }
        }
    }

    async fn find_call(&self, query: &FindCall) -> Result<CallLookup, ProviderError> {
        let (servers, now) = (self.may_have(query), self.shared().clock.now());
        let answers = join_all(servers.iter().map(|server| lookup(server, query, now))).await;
        match together(answers) {
            Ok(found) => Ok(found.map_or(CallLookup::NotFound, CallLookup::Found)),
            Err(error) => Err(error.told_as(&self.name(), "find_call")),
        }
    }

    async fn action_result(
        &self,
        query: &FindCall,
        key: &str,
        result: &ActionResult,
    ) -> Result<(), ProviderError> {
        let call = query.call_id;
        for server in self.may_have(query) {
            if server.has(call) {
                let (key, result) = (key.to_owned(), result.clone());
                server.hand(call, Happening::ActionResult { key, result });
                return Ok(());
            }
            // Another process may lead the call.
            let (client, channel) = (&server.client, call.to_string());
            let told = async {
                match client.app_of(&channel).await? {
                    Some(app) => client.tell_result(&app, &channel, key, result).await,
                    None => Ok(()),
                }
            };
            told.await.map_err(|error| error.told_as(&self.name(), "action_result"))?;
        }
        Ok(())
    }

    async fn hang_up(&self, query: &FindCall) -> Result<(), ProviderError> {
        let channel = query.call_id.to_string();
        let servers = self.may_have(query);
        let ended = join_all(servers.iter().map(|server| async {
            server.hand(query.call_id, Happening::HangUp);
            server.client.hang_up(&channel).await
        }));
        let failed = ended.await.into_iter().find_map(Result::err);
        failed.map_or(Ok(()), |error| Err(error.told_as(&self.name(), "hang_up")))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Tasks::Running(tasks) = self.tasks.get_mut() {
            tasks.iter().for_each(JoinHandle::abort);
        }
        self.shared.servers.iter().for_each(|server| server.abandon());
    }
}

impl fmt::Debug for Asterisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asterisk").field("name", &self.name()).field("servers", &self.servers()).finish()
    }
}
