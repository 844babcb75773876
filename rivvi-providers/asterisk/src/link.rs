//! The events of one server: subscribed, read, handed to their calls, and made good when some were missed.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rivvi_core::domain::CallId;

use crate::actor::{self, Shared, Terms};
use crate::ari::{AriError, Channel, ChannelState, Event, Frame, Socket, What};
use crate::call::{CallMachine, Happening, Leg, Orphan};
use crate::check::check;
use crate::options::Orphans;
use crate::server::{Link, Server, TakenOn};

const AGAIN_MIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(10);
/// A socket that is silent for so long is asked for a sign of life, and given up after twice as long.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Letters of a call id.
const ID_LENGTH: usize = 36;

/// Keeps the link up for as long as the provider lives.
pub(crate) async fn keep(shared: Weak<Shared>, server: Arc<Server>) {
    let mut wait = AGAIN_MIN;
    loop {
        let Some(shared_now) = shared.upgrade() else { return };
        match open(&shared_now, &server).await {
            Ok(socket) => {
                wait = AGAIN_MIN;
                server.set_link(Link::Up);
                tracing::info!(server = server.name, "events arrive");
                let clock = shared_now.clock.clone();
                drop(shared_now);
                let replaced = read(&server, socket, clock.as_ref()).await;
                server.set_link(Link::Down(None));
                if replaced {
                    tracing::warn!(
                        server = server.name,
                        "another program took over our application; give each its own"
                    );
                    wait = AGAIN_MAX;
                } else {
                    tracing::warn!(
                        server = server.name,
                        "events do not arrive any more; calls are placed elsewhere"
                    );
                }
            }
            Err(error) => {
                if server.link().borrow().clone() != Link::Down(Some(error.clone())) {
                    tracing::warn!(server = server.name, %error, "the server cannot be used; trying again");
                }
                server.set_link(Link::Down(Some(error)));
            }
        }
        let Some(shared) = shared.upgrade() else { return };
        let (clock, at) = (shared.clock.clone(), shared.clock.now() + wait);
        drop(shared);
        clock.sleep_until(at).await;
        wait = (wait * 2).min(AGAIN_MAX);
    }
}

/// Subscribes, and finds out what happened before.
async fn open(shared: &Arc<Shared>, server: &Arc<Server>) -> Result<Socket, AriError> {
    let app = &shared.options.app;
    let socket = Socket::open(&server.base, app, &server.user, &server.password, &server.tls).await?;
    server.client.filter_events(app).await?;
    check(server, &shared.options).await;
    resynchronize(shared, server).await?;
    Ok(socket)
}

/// Reads until the socket is lost. Returns whether another program took it over.
async fn read(server: &Arc<Server>, mut socket: Socket, clock: &dyn rivvi_core::clock::Clock) -> bool {
    let mut asked = false;
    loop {
        let silent_at = clock.now() + SILENCE_MAX;
        let frame = tokio::select! {
            frame = socket.next() => frame,
            () = clock.sleep_until(silent_at) => {
                if std::mem::replace(&mut asked, true) || !socket.ping().await {
                    return false;
                }
                continue;
            }
        };
        asked = false;
        match frame {
            Some(Frame::Text(text)) => match Event::read(&text) {
                Ok(Event { what: What::Replaced, .. }) => return true,
                Ok(event) => hand(server, event),
                Err(error) => tracing::warn!(server = server.name, %error, "an event is passed over"),
            },
            Some(Frame::Alive) => {}
            None => return false,
        }
    }
}

/// Gives an event to its call. Channels beside the call's own are named after it.
fn hand(server: &Server, event: Event) {
    if let Some(call) = call_of(&event.channel) {
        server.hand(call, Happening::Event(event));
    }
}

fn call_of(channel: &str) -> Option<CallId> {
    let (id, rest) = channel.split_at_checked(ID_LENGTH)?;
    // `;2` is the far half of a Local channel.
    if rest.is_empty() || rest.starts_with('-') { id.parse().ok() } else { None }
}

/// Compares what the server has with what we know: calls that ended meanwhile are told as they ended, and channels that
/// a dead process left behind are dealt with.
async fn resynchronize(shared: &Arc<Shared>, server: &Arc<Server>) -> Result<(), AriError> {
    // In this order: a call that is placed in between is not taken for one that is gone, and neither is its bridge.
    let placed = server.placed();
    let bridges = server.client.bridges().await?;
    let ours = server.client.channels_of(&shared.options.app).await?;
    let channels = server.client.channels().await?;
    let there: HashMap<&str, &Channel> =
        channels.iter().map(|channel| (channel.id.as_str(), channel)).collect();
    let gone = |call: CallId| !there.contains_key(call.to_string().as_str()) && !server.has(call);
    for call in placed {
        match there.get(call.to_string().as_str()) {
            None => {
                let mark = server.mark(call).await?;
                server.hand(call, Happening::Gone(mark));
            }
            Some(channel) => catch_up(shared, server, call, channel, &channels),
        }
    }
    for channel in ours.iter().filter_map(|id| there.get(id.as_str())) {
        match call_of(&channel.id) {
            Some(call) if server.has(call) => {}
            Some(call) if channel.id.len() == ID_LENGTH => {
                let orphan = Orphan::of(&channel.id, ours.iter().map(String::as_str), &bridges);
                adopt(shared, server, call, channel.state(), orphan).await?;
            }
            // An agent or an ear of a call that is gone.
            Some(call) if gone(call) => server.client.hang_up(&channel.id).await?,
            _ => {}
        }
    }
    for bridge in bridges.iter().filter(|bridge| call_of(&bridge.id).is_some_and(gone)) {
        server.client.end_bridge(&bridge.id).await?;
    }
    Ok(())
}

/// What a call of ours may have missed.
fn catch_up(shared: &Shared, server: &Server, call: CallId, channel: &Channel, all: &[Channel]) {
    let state = channel.state();
    let event = Event { at: shared.clock.now(), channel: call.to_string(), what: What::State(state) };
    server.hand(call, Happening::Event(event));
    if let Some(args) = channel.entered(&shared.options.app) {
        server.hand(call, Happening::Here { args });
    }
    let beside = all.iter().filter(|other| other.id != channel.id && other.id.starts_with(&channel.id));
    let there = beside.map(|other| (other.id.clone(), other.entered(&shared.options.app))).collect();
    server.hand(call, Happening::Beside { there });
}

/// Takes on a call whose process is gone.
async fn adopt(
    shared: &Arc<Shared>,
    server: &Arc<Server>,
    call: CallId,
    state: ChannelState,
    orphan: Orphan,
) -> Result<(), AriError> {
    for channel in &orphan.idle {
        server.client.hang_up(channel).await?;
    }
    let now = shared.clock.now();
    let leg = Leg::found(state, now);
    for (at, event) in leg.told_so_far() {
        shared.teller.tell(server, call, event, at.unwrap_or(now));
    }
    let goes_on = shared.options.orphans == Orphans::LetTalk && leg.is_answered() && !orphan.is_left_alone();
    tracing::info!(call = %call, server = server.name, goes_on, "a call of a process that is gone was found");
    let machine = CallMachine::found(call.to_string(), leg, orphan);
    let events = actor::spawn(shared, server, call, machine, Terms::default());
    if server.take_on(call, events, true) == TakenOn::Now && !goes_on {
        server.hand(call, Happening::HangUp);
    }
    Ok(())
}
