//! A server between the store and DynamoDB that throttles some requests and loses some answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What share of requests fails how, from 0 to 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Faults {
    /// DynamoDB throttles; nothing takes effect.
    pub(crate) throttled: f64,
    /// DynamoDB fails inside; nothing takes effect.
    pub(crate) failed: f64,
    /// The request takes effect, and its answer is lost.
    pub(crate) answer_lost: f64,
}

/// A server in front of DynamoDB.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) url: String,
    counts: Arc<[AtomicU64; 3]>,
}

impl Proxy {
    /// Starts one that passes on to `upstream`, a URL, in the runtime of the caller.
    pub(crate) async fn start(upstream: &str, seed: u64, faults: Faults) -> Self {
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let counts: Arc<[AtomicU64; 3]> = Arc::default();
        let proxy = Self { url, counts: counts.clone() };
        let dice = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (upstream, counts, dice) = (upstream.clone(), counts.clone(), dice.clone());
                tokio::spawn(async move { serve(client, &upstream, faults, &dice, &counts).await });
            }
        });
        proxy
    }

    /// How many requests were throttled, failed, and executed without an answer.
    pub(crate) fn fired(&self) -> [u64; 3] {
        [0, 1, 2].map(|kind: usize| self.counts[kind].load(Ordering::Relaxed))
    }
}

/// Serves one request and closes the connection.
async fn serve(
    mut client: TcpStream,
    upstream: &str,
    faults: Faults,
    dice: &Mutex<StdRng>,
    counts: &[AtomicU64; 3],
) -> Option<()> {
    let request = read_request(&mut client).await?;
    // Tables are made and removed in peace.
    let manages = [&b"CreateTable"[..], b"DescribeTable", b"DeleteTable", b"TimeToLive"];
    let managing = manages.iter().any(|name| contains(&request, name));
    let roll: f64 = dice.lock().unwrap_or_else(PoisonError::into_inner).random();
    let fault = if managing { None } else { fault(roll, faults) };
    if let Some(kind) = fault {
        counts[kind].fetch_add(1, Ordering::Relaxed);
    }
    match fault {
        Some(0) => answer(&mut client, "400 Bad Request", "ThrottlingException").await,
        Some(1) => answer(&mut client, "500 Internal Server Error", "InternalServerError").await,
        lost => {
            let mut server = TcpStream::connect(upstream).await.ok()?;
            server.write_all(&request).await.ok()?;
            let mut response = Vec::new();
            server.read_to_end(&mut response).await.ok()?;
            if lost.is_none() {
                client.write_all(&response).await.ok()?;
            }
            client.shutdown().await.ok()
        }
    }
}

fn fault(roll: f64, faults: Faults) -> Option<usize> {
    let shares = [faults.throttled, faults.failed, faults.answer_lost];
    let mut sum = 0.0;
    shares.iter().position(|share| {
        sum += share;
        roll < sum
    })
}

/// Reads a request, and has its answer end with the connection.
async fn read_request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut request = Vec::new();
    let body = loop {
        if let Some(end) = find(&request, b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&request[..body]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    let length: usize = length.trim().parse().ok()?;
    while request.len() < body + length {
        if client.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
    request.splice(body - 2..body - 2, b"Connection: close\r\n".iter().copied());
    Some(request)
}

async fn answer(client: &mut TcpStream, status: &str, code: &str) -> Option<()> {
    let body =
        format!("{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{code}\",\"message\":\"by the test\"}}");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: test\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).await.ok()?;
    client.shutdown().await.ok()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    find(text, part).is_some()
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}
