//! The wire between provider and Asterisk, to be cut, held, or answered in its place.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::testkit::voice::Fault;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A wire to the Asterisk of the tests.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Connections with an older number are cut.
    cut: watch::Sender<u64>,
    /// New connections are refused.
    away: Mutex<bool>,
    /// Nothing passes, and nobody is told.
    held: watch::Sender<bool>,
    fault: Mutex<Option<Fault>>,
    /// Requests to place a call, by the id of its channel: how many came, and how many Asterisk took.
    placements: Mutex<HashMap<String, (usize, usize)>>,
}

impl Proxy {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            cut: watch::Sender::new(0),
            away: Mutex::new(false),
            held: watch::Sender::new(false),
            fault: Mutex::new(None),
            placements: Mutex::default(),
        });
        let proxy = Self { port, shared };
        tokio::spawn({
            let proxy = proxy.clone();
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    if !*proxy.shared.away.lock().unwrap() {
                        let proxy = proxy.clone();
                        tokio::spawn(async move { proxy.carry(stream).await });
                    }
                }
            }
        });
        proxy
    }

    /// The URL of Asterisk through the wire.
    pub(crate) fn url(&self) -> String {
        let mut url: reqwest::Url = super::url().parse().unwrap();
        url.set_port(Some(self.port)).unwrap();
        url.to_string()
    }

    /// Cuts everything, and lets nothing through for a while.
    pub(crate) async fn cut_for(&self, span: Duration) {
        let clock = SystemClock::new();
        *self.shared.away.lock().unwrap() = true;
        self.shared.cut.send_modify(|cut| *cut += 1);
        // The link notices at once.
        clock.sleep_until(clock.now() + Duration::from_millis(100)).await;
        let shared = self.shared.clone();
        tokio::spawn(async move {
            clock.sleep_until(clock.now() + span).await;
            *shared.away.lock().unwrap() = false;
        });
    }

    /// Lets nothing through without cutting anything.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// Has the next request to place a call go wrong.
    pub(crate) fn fail_next(&self, fault: Fault) {
        *self.shared.fault.lock().unwrap() = Some(fault);
    }

    /// How many requests to place this call came, and how many Asterisk took.
    pub(crate) fn placements(&self, channel: &str) -> (usize, usize) {
        self.shared.placements.lock().unwrap().get(channel).copied().unwrap_or_default()
    }

    async fn carry(&self, near: TcpStream) {
        let target: reqwest::Url = super::url().parse().unwrap();
        let far = TcpStream::connect(("127.0.0.1", target.port().unwrap())).await.unwrap();
        let mut cut = self.shared.cut.subscribe();
        tokio::select! {
            () = self.both_ways(near, far) => {}
            _ = cut.changed() => {}
        }
    }

    async fn both_ways(&self, near: TcpStream, far: TcpStream) {
        let (mut near_read, mut near_write) = near.into_split();
        let (mut far_read, mut far_write) = far.into_split();
        let placing: Mutex<Option<Placing>> = Mutex::default();
        let up = async {
            let mut bytes = vec![0; 65_536];
            while let Ok(length @ 1..) = near_read.read(&mut bytes).await {
                self.pass().await;
                let request = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if request.starts_with("POST /ari/channels?") {
                    let channel = request
                        .split("channelId=")
                        .nth(1)
                        .unwrap()
                        .split(['&', ' '])
                        .next()
                        .unwrap()
                        .to_owned();
                    self.shared.placements.lock().unwrap().entry(channel.clone()).or_default().0 += 1;
                    let fault = self.shared.fault.lock().unwrap().take();
                    if let Some(answer) = fault.and_then(instead) {
                        return (near_read, Some(answer));
                    }
                    *placing.lock().unwrap() = Some(Placing { channel, fault });
                }
                if far_write.write_all(&bytes[..length]).await.is_err() {
                    break;
                }
            }
            (near_read, None)
        };
        let down = async {
            let mut bytes = vec![0; 65_536];
            while let Ok(length @ 1..) = far_read.read(&mut bytes).await {
                self.pass().await;
                let placed = placing.lock().unwrap().take();
                if let Some(Placing { channel, fault }) = placed {
                    if bytes.starts_with(b"HTTP/1.1 200") {
                        self.shared.placements.lock().unwrap().entry(channel).or_default().1 += 1;
                    }
                    match fault {
                        Some(Fault::CutAfterRequest) => return,
                        Some(Fault::GarbledAnswer) => {
                            let garbled = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"id\": 12";
                            let _ = near_write.write_all(garbled).await;
                            return;
                        }
                        _ => {}
                    }
                }
                if near_write.write_all(&bytes[..length]).await.is_err() {
                    return;
                }
            }
        };
        let mut down = Box::pin(down);
        let answer = tokio::select! {
            (_, answer) = up => answer,
            () = &mut down => return,
        };
        if let Some(answer) = answer {
            drop(down);
            let _ = near_write.write_all(answer.as_bytes()).await;
            let _ = near_write.shutdown().await;
            return;
        }
        // Who asked has gone away; what Asterisk does about it is counted all the same.
        let _ = far_write.shutdown().await;
        down.await;
    }

    /// Waits while the wire is held.
    async fn pass(&self) {
        let _ = self.shared.held.subscribe().wait_for(|held| !held).await;
    }
}

/// A request to place a call that is under way.
#[derive(Debug)]
struct Placing {
    channel: String,
    fault: Option<Fault>,
}

/// What is answered in Asterisk's place.
fn instead(fault: Fault) -> Option<String> {
    let (head, body) = match fault {
        Fault::Unauthorized => ("401 Unauthorized", r#"{"message": "Authentication required"}"#),
        Fault::InvalidRequest => ("400 Bad Request", r#"{"message": "Endpoint must be specified"}"#),
        Fault::RateLimited => {
            ("503 Service Unavailable\r\nRetry-After: 7", r#"{"message": "Asterisk not booted"}"#)
        }
        Fault::ServerError => ("500 Internal Server Error", r#"{"message": "Internal Server Error"}"#),
        _ => return None,
    };
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {head}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}
