//! The network between the program and Asterisk, which can be cut, swallow everything, or keep one request for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rivvi::clock::{Clock, SystemClock};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A way to Asterisk on a port of its own.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) port: u16,
    state: watch::Sender<State>,
    /// So many requests to place a call are yet to be kept, and for how long.
    keep: Arc<watch::Sender<Option<Duration>>>,
    kept: Arc<AtomicU32>,
    runtime: tokio::runtime::Runtime,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Open,
    /// Connections end, and new ones end at once.
    Cut,
    /// Nothing passes, and nobody is told; what was sent meanwhile arrives afterwards.
    Silent,
}

impl Wire {
    pub(crate) fn to(address: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = watch::Sender::new(State::Open);
        let (keep, kept) = (Arc::new(watch::Sender::new(None)), Arc::new(AtomicU32::new(0)));
        let (address, states, keeps, count) =
            (address.to_owned(), state.subscribe(), keep.clone(), kept.clone());
        runtime.spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let (address, mut states, keeps, count) =
                    (address.clone(), states.clone(), keeps.clone(), count.clone());
                if *states.borrow_and_update() != State::Cut {
                    tokio::spawn(async move {
                        let Ok(far) = TcpStream::connect(&address).await else { return };
                        let mut cut = states.clone();
                        tokio::select! {
                            () = carry(near, far, states, &keeps, &count) => {}
                            _ = cut.wait_for(|state| *state == State::Cut) => {}
                        }
                    });
                }
            }
        });
        Self { port, state, keep, kept, runtime }
    }

    pub(crate) fn cut_for(&self, span: Duration) {
        self.be(State::Cut, span);
    }

    pub(crate) fn be_silent_for(&self, span: Duration) {
        self.be(State::Silent, span);
    }

    /// The next request to place a call arrives that much later, whether or not somebody still waits for the answer;
    /// what is sent on other connections overtakes it. So it goes when a packet is lost and sent again.
    pub(crate) fn keep_next_request_for(&self, span: Duration) {
        self.keep.send_replace(Some(span));
    }

    /// How many requests were kept.
    pub(crate) fn kept(&self) -> u32 {
        self.kept.load(Ordering::Relaxed)
    }

    fn be(&self, state: State, span: Duration) {
        self.state.send_replace(state);
        let (clock, sender) = (SystemClock::new(), self.state.clone());
        self.runtime.spawn(async move {
            clock.sleep_until(clock.now() + span).await;
            sender.send_replace(State::Open);
        });
    }
}

async fn carry(
    near: TcpStream,
    far: TcpStream,
    state: watch::Receiver<State>,
    keep: &watch::Sender<Option<Duration>>,
    kept: &AtomicU32,
) {
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let keep_it = |bytes: &[u8]| {
        let places = bytes.starts_with(b"POST /ari/channels?");
        let mut span = None;
        keep.send_if_modified(|keep| {
            span = if places { keep.take() } else { None };
            span.is_some()
        });
        kept.fetch_add(u32::from(span.is_some()), Ordering::Relaxed);
        span
    };
    tokio::join!(
        pass(near_read, far_write, state.clone(), keep_it),
        pass(far_read, near_write, state, |_| None),
    );
}

/// Carries bytes until their end, which it passes on: who asked may be gone while the request is still under way.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    delay: impl Fn(&[u8]) -> Option<Duration>,
) {
    let clock = SystemClock::new();
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        if let Some(span) = delay(&bytes[..length]) {
            clock.sleep_until(clock.now() + span).await;
        }
        let _ = state.wait_for(|state| *state == State::Open).await;
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
