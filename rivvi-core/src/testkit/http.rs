//! A far side that speaks HTTP, and goes wrong when it is told to.
//!
//! [`FarSide`] is a server on this machine for providers that speak HTTP to their vendor. A test says what it answers,
//! and has requests [go wrong](HttpFault) on their way there, there, or on their way back.
//!
//! ```
//! use bytes::Bytes;
//! use http::Response;
//! use rivvi_core::testkit::http::{FarSide, HttpFault};
//!
//! # rivvi_core::testkit::run_case(async {
//! let far = FarSide::start(|request| {
//!     assert_eq!(request.uri().path(), "/calls");
//!     Response::new(Bytes::from_static(b"{\"id\":\"7\"}"))
//! })
//! .await;
//! far.fail_next("/calls", HttpFault::CutAfterRequest);
//! // here: the provider is given `far.url()` and asked to place a call
//! # });
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::{Clock, SystemClock};

/// How a request goes wrong.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HttpFault {
    /// The connection is closed before the request is read; what it asks for is not done.
    CutBeforeRequest,
    /// The request is read and done, and the connection closed without an answer.
    CutAfterRequest,
    /// The request is read and done, and the connection closed in the middle of the answer.
    CutWithinAnswer,
    /// The request is read and done, and never answered; the connection stays open.
    Silence,
    /// The request is read and answered with this; what it asks for is not done.
    Refuse(Response<Bytes>),
    /// The request is read and done, and answered with this instead.
    Garble(Response<Bytes>),
}

impl HttpFault {
    /// A refusal with this status and body.
    pub fn refuse(status: u16, body: &str) -> Self {
        Self::Refuse(response(status, &[], body))
    }

    /// A refusal that asks to wait.
    pub fn refuse_until(status: u16, wait: Duration, body: &str) -> Self {
        Self::Refuse(response(status, &[("retry-after", &wait.as_secs().to_string())], body))
    }

    /// A page in HTML, as proxies answer.
    pub fn error_page(status: u16) -> Self {
        let page = "<!DOCTYPE html><html><body><h1>Something is wrong</h1></body></html>";
        Self::Refuse(response(status, &[("content-type", "text/html")], page))
    }

    /// A redirection to another path of the same server.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::Refuse(response(status, &[("location", to)], ""))
    }
}

/// An answer with these headers.
///
/// # Panics
/// If status or headers cannot be written.
pub fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        response.headers_mut().insert(name, HeaderValue::from_str(value).unwrap());
    }
    response
}

/// What the far side does and answers when nothing goes wrong.
type Handler = dyn Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync;

/// A server on this machine. It ends when it is dropped.
pub struct FarSide {
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    handler: Box<Handler>,
    state: Mutex<State>,
    /// Whether connections are to be closed once they are at rest.
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Faults by the beginning of a path.
    faults: VecDeque<(String, HttpFault)>,
    requests: Vec<Request<Bytes>>,
    listening: Option<JoinHandle<()>>,
    connections: Vec<JoinHandle<()>>,
}

impl FarSide {
    /// A server on a free port that does and answers what `handler` says.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn start(handler: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let closing = watch::channel(false).0;
        let shared = Arc::new(Shared { handler: Box::new(handler), state: Mutex::default(), closing });
        let far = Self { shared, address };
        far.listen(listener);
        far
    }

    /// Where it listens, such as `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Has the next request whose path begins with `path` and for which nothing else is to go wrong go wrong.
    pub fn fail_next(&self, path: &str, fault: HttpFault) {
        self.shared.state().faults.push_back((path.to_owned(), fault));
    }

    /// Goes away, until [`mend`](Self::mend): connections are closed, and new ones refused, so that nothing is written.
    /// When this returns, clients have noticed that their connections are closed.
    pub async fn vanish(&self) {
        let (listening, connections) = {
            let mut state = self.shared.state();
            (state.listening.take(), std::mem::take(&mut state.connections))
        };
        if let Some(listening) = listening {
            listening.abort();
            let _ = listening.await;
        }
        self.shared.closing.send_replace(true);
        for connection in connections {
            let abort = connection.abort_handle();
            if tokio::time::timeout(Duration::from_secs(1), connection).await.is_err() {
                abort.abort();
            }
        }
    }

    /// Listens again after it went away.
    ///
    /// # Panics
    /// If another program has taken the port meanwhile.
    pub async fn mend(&self) {
        if self.shared.state().listening.is_some() {
            return;
        }
        self.shared.closing.send_replace(false);
        let clock = SystemClock::new();
        for _ in 0..100 {
            // What was connected before may hold the port for a moment.
            if let Ok(listener) = TcpListener::bind(self.address).await {
                return self.listen(listener);
            }
            clock.sleep_until(clock.now() + Duration::from_millis(20)).await;
        }
        panic!("port {} is taken by another program", self.address.port());
    }

    /// Every request that was read, in the order they came, also those that went wrong later.
    pub fn requests(&self) -> Vec<Request<Bytes>> {
        self.shared.state().requests.clone()
    }

    fn listen(&self, listener: TcpListener) {
        let shared = self.shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = tokio::spawn(serve(shared.clone(), stream));
                shared.state().connections.push(serving);
            }
        });
        self.shared.state().listening = Some(task);
    }
}

impl Drop for FarSide {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let listening = state.listening.take();
        for task in state.connections.drain(..).chain(listening) {
            task.abort();
        }
    }
}

impl fmt::Debug for FarSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarSide").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn fault_of(&mut self, path: &str) -> Option<HttpFault> {
        let place = self.faults.iter().position(|(prefix, _)| path.starts_with(prefix.as_str()))?;
        self.faults.remove(place).map(|(_, fault)| fault)
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream) {
    // A client that goes away ends the conversation.
    let _ = converse(&shared, stream).await;
}

async fn converse(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    let mut connection = Connection { stream, read: Vec::new() };
    let mut closing = shared.closing.subscribe();
    loop {
        let head = tokio::select! {
            head = connection.head() => head?,
            () = async { drop(closing.wait_for(|closing| *closing).await) } => {
                return connection.close().await;
            }
        };
        let Some(head) = head else { return Ok(()) };
        let fault = shared.state().fault_of(head.uri().path());
        if matches!(fault, Some(HttpFault::CutBeforeRequest)) {
            return Ok(());
        }
        let request = connection.body(head).await?;
        shared.state().requests.push(request.clone());
        if let Some(HttpFault::Refuse(refusal)) = fault {
            connection.write(&refusal, None).await?;
            continue;
        }
        let answer = (shared.handler)(&request);
        match fault {
            Some(HttpFault::CutAfterRequest) => return Ok(()),
            Some(HttpFault::CutWithinAnswer) => {
                return connection.write(&answer, Some(answer.body().len() / 2)).await;
            }
            Some(HttpFault::Silence) => std::future::pending().await,
            Some(HttpFault::Garble(garbled)) => connection.write(&garbled, None).await?,
            _ => connection.write(&answer, None).await?,
        }
    }
}

/// The little of HTTP/1.1 that clients of vendors speak: a head, a body of a known length, again.
struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    /// The head of the next request; `None` if the client has no more.
    async fn head(&mut self) -> io::Result<Option<Request<()>>> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !self.more().await? {
                return Ok(None);
            }
        };
        let head: Vec<u8> = self.read.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&head);
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(io::Error::other)?;
        *request.uri_mut() = target.parse().map_err(io::Error::other)?;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(io::Error::other)?;
            let value = HeaderValue::from_str(value.trim()).map_err(io::Error::other)?;
            request.headers_mut().append(name, value);
        }
        Ok(Some(request))
    }

    async fn body(&mut self, head: Request<()>) -> io::Result<Request<Bytes>> {
        let length = head.headers().get(http::header::CONTENT_LENGTH);
        let length: usize = length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0);
        while self.read.len() < length {
            if !self.more().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let body = Bytes::from(self.read.drain(..length).collect::<Vec<u8>>());
        Ok(head.map(|()| body))
    }

    async fn more(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let read = self.stream.read(&mut chunk).await?;
        self.read.extend_from_slice(&chunk[..read]);
        Ok(read > 0)
    }

    /// Closes, and waits until the client has.
    async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        while self.more().await? {}
        Ok(())
    }

    /// Writes an answer, or so many bytes of its body.
    async fn write(&mut self, answer: &Response<Bytes>, only: Option<usize>) -> io::Result<()> {
        let status = answer.status();
        let mut head =
            format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("-"));
        for (name, value) in answer.headers() {
            head.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", answer.body().len()));
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(&answer.body()[..only.unwrap_or(answer.body().len())]).await?;
        self.stream.flush().await
    }
}
