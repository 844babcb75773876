//! One server: what is known of it, and the calls it carries for us.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Uri;
use rivvi_core::domain::{CallId, Secret};
use tokio::sync::{mpsc, watch};

use crate::ari::{AriError, Client};
use crate::call::{Happening, Mark};
use crate::options::AsteriskServer;

/// Calls that are remembered after their end.
const REMEMBERED_MAX: usize = 20_000;

/// One Asterisk.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) weight: u32,
    calls_max: Option<u32>,
    pub(crate) client: Client,
    /// For the socket.
    pub(crate) base: Uri,
    pub(crate) user: String,
    pub(crate) password: Secret,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    draining: AtomicBool,
    link: watch::Sender<Link>,
    calls: Mutex<Calls>,
    /// What it lacks.
    missing: Mutex<Vec<String>>,
}

/// Whether events arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not yet, or no more; why, if that is known.
    Down(Option<AriError>),
    /// They do, and what happened before is known.
    Up,
}

#[derive(Debug, Default)]
struct Calls {
    live: HashMap<CallId, Live>,
    /// The latest that ended, oldest first.
    ended: VecDeque<CallId>,
}

#[derive(Debug)]
struct Live {
    events: mpsc::UnboundedSender<Happening>,
    /// The server has confirmed it.
    placed: bool,
}

/// Whether a server took a call on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenOn {
    /// Now.
    Now,
    /// It has the call already.
    Before,
    /// Not: it carries as many as it may.
    Full,
}

impl Server {
    pub(crate) fn new(
        server: AsteriskServer,
        http: &reqwest::Client,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Self {
        let AsteriskServer { name, weight, calls_max, base, user, password } = server;
        // What is a URL for one is a URI for the other.
        let uri = base.as_str().parse().unwrap_or_default();
        let client = Client::new(http.clone(), base, user.clone(), password.clone());
        let (draining, link) = (AtomicBool::new(false), watch::Sender::new(Link::Down(None)));
        let tls = tls.clone();
        let (calls, missing) = (Mutex::default(), Mutex::default());
        Self {
            name,
            weight,
            calls_max,
            client,
            base: uri,
            user,
            password,
            tls,
            draining,
            link,
            calls,
            missing,
        }
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(crate) fn set_link(&self, link: Link) {
        self.link.send_replace(link);
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.link.borrow() == Link::Up
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn drain(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_full_with(self.live_calls())
    }

    fn is_full_with(&self, calls: usize) -> bool {
        self.calls_max.is_some_and(|max| calls >= usize::try_from(max).unwrap_or(usize::MAX))
    }

    pub(crate) fn live_calls(&self) -> usize {
        self.calls().live.len()
    }

    pub(crate) fn note_missing(&self, missing: Vec<String>) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing;
    }

    pub(crate) fn missing(&self) -> Vec<String> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a call on, unless it is known already, or is yet to be placed and the server is full: then `events` is
    /// dropped.
    pub(crate) fn take_on(
        &self,
        call: CallId,
        events: mpsc::UnboundedSender<Happening>,
        placed: bool,
    ) -> TakenOn {
        let mut calls = self.calls();
        if calls.live.contains_key(&call) {
            return TakenOn::Before;
        }
        if !placed && self.is_full_with(calls.live.len()) {
            return TakenOn::Full;
        }
        calls.live.insert(call, Live { events, placed });
        TakenOn::Now
    }

    /// The server has confirmed the call.
    pub(crate) fn confirmed(&self, call: CallId) {
        if let Some(live) = self.calls().live.get_mut(&call) {
            live.placed = true;
        }
    }

    /// Whether the call is, or lately was, placed here.
    pub(crate) fn knows(&self, call: CallId) -> bool {
        let calls = self.calls();
        calls.live.get(&call).is_some_and(|live| live.placed) || calls.ended.contains(&call)
    }

    /// Hands something to a call, if there is such a call.
    pub(crate) fn hand(&self, call: CallId, happening: Happening) {
        if let Some(live) = self.calls().live.get_mut(&call) {
            // An event confirms a call whose placing was not answered.
            live.placed |= matches!(happening, Happening::Event(_));
            // Whoever follows the call may have ended in this moment.
            let _ = live.events.send(happening);
        }
    }

    pub(crate) fn has(&self, call: CallId) -> bool {
        self.calls().live.contains_key(&call)
    }

    /// The calls that the server has confirmed.
    pub(crate) fn placed(&self) -> Vec<CallId> {
        self.calls().live.iter().filter(|(_, live)| live.placed).map(|(call, _)| *call).collect()
    }

    /// The call is over.
    pub(crate) fn let_go(&self, call: CallId) {
        let mut calls = self.calls();
        if calls.live.remove(&call).is_some_and(|live| live.placed) {
            calls.ended.push_back(call);
            if calls.ended.len() > REMEMBERED_MAX {
                calls.ended.pop_front();
            }
        }
    }

    /// The call never came about.
    pub(crate) fn forget_unplaced(&self, call: CallId) {
        let mut calls = self.calls();
        if calls.live.get(&call).is_some_and(|live| !live.placed) {
            calls.live.remove(&call);
        }
    }

    /// Ends what follows the calls, and nothing else: for when the provider is dropped.
    pub(crate) fn abandon(&self) {
        self.calls().live.clear();
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the server remembers of a call.
    pub(crate) async fn mark(&self, call: CallId) -> Result<Mark, AriError> {
        self.client.variable(&mark_of(call)).await.map(|value| Mark::read(&value))
    }

    /// Has the server forget the call, which is over and stored. If that fails, a note of some bytes stays.
    pub(crate) async fn forget(&self, call: CallId) {
        if let Err(error) = self.client.forget_variable(&mark_of(call)).await {
            tracing::debug!(server = self.name, %error, "the note about an ended call stays on the server");
        }
    }
}

/// The global variable in which a server remembers a call.
pub(crate) fn mark_of(call: CallId) -> String {
    format!("RIVVI_CALL_{call}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ari::tls;

    #[test]
    fn calls_placed_at_once_are_not_more_than_the_server_may_carry() {
        let mut options = AsteriskServer::new("a", "http://user:password@127.0.0.1:1").unwrap();
        options.calls_max = Some(1);
        let tls = tls().unwrap();
        let server = Server::new(options, &Client::http(&tls).unwrap(), &tls);
        let take_on = |n: usize, placed| {
            let call = format!("00000000-0000-7000-8000-{n:012}").parse().unwrap();
            server.take_on(call, mpsc::unbounded_channel().0, placed)
        };
        let taken: Vec<TakenOn> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..10)
                .map(|n| {
                    let take_on = &take_on;
                    scope.spawn(move || take_on(n, false))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.iter().filter(|taken| **taken == TakenOn::Now).count(), 1, "{taken:?}");
        assert_eq!(taken.iter().filter(|taken| **taken == TakenOn::Full).count(), 9, "{taken:?}");
        let first = taken.iter().position(|taken| *taken == TakenOn::Now).unwrap();
        assert_eq!(take_on(first, false), TakenOn::Before, "a repetition is not refused");
        assert_eq!(take_on(10, true), TakenOn::Now, "a call that is found there is there");
        assert_eq!(server.live_calls(), 2);
    }
}
