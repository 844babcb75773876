//! Events over a WebSocket.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use futures::{SinkExt, StreamExt};
use http::Uri;
use rivvi_core::domain::Secret;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::error::AriError;

/// How long it may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(5);

pub(super) type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Request = http::Request<()>;

/// An open socket.
pub(crate) struct Socket(Stream);

/// What came.
#[derive(Debug)]
pub(crate) enum Frame {
    /// An event, or what should be one.
    Text(String),
    /// A sign of life.
    Alive,
}

impl Socket {
    /// Subscribes an application to its events. From then on they are kept for us.
    pub(crate) async fn open(
        base: &Uri,
        app: &str,
        user: &str,
        password: &Secret,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Self, AriError> {
        let path = format!("{}/events?app={app}&subscribeAll=false", base.path());
        let mut request = request(base, &path, "ari")?;
        let headers = request.headers_mut();
        let credentials = BASE64.encode(format!("{user}:{}", password.expose()));
        let mut authorization =
            http::HeaderValue::try_from(format!("Basic {credentials}")).map_err(|_| AriError::Unreachable)?;
        authorization.set_sensitive(true);
        headers.insert(http::header::AUTHORIZATION, authorization);
        connect(request, tls).await.map(Self)
    }

    /// What comes next; `None` when the socket is lost. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        match self.0.next().await? {
            Ok(Message::Text(text)) => Some(Frame::Text(text.to_string())),
            Ok(Message::Close(_)) | Err(_) => None,
            Ok(_) => Some(Frame::Alive),
        }
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&mut self) -> bool {
        self.0.send(Message::Ping(Vec::new().into())).await.is_ok()
    }
}

/// A request for a socket on a server.
pub(super) fn request(base: &Uri, path: &str, protocol: &'static str) -> Result<Request, AriError> {
    let secure = base.scheme_str() == Some("https");
    let scheme = if secure { "wss" } else { "ws" };
    let authority = base.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let request = format!("{scheme}://{authority}{path}").into_client_request();
    let mut request = request.map_err(|_| AriError::Unreachable)?;
    let protocol = http::HeaderValue::from_static(protocol);
    request.headers_mut().insert(http::header::SEC_WEBSOCKET_PROTOCOL, protocol);
    Ok(request)
}

pub(super) async fn connect(request: Request, tls: &Arc<rustls::ClientConfig>) -> Result<Stream, AriError> {
    let tls = Connector::Rustls(tls.clone());
    let opening = tokio_tungstenite::connect_async_tls_with_config(request, None, true, Some(tls));
    match tokio::time::timeout(CONNECT_MAX, opening).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(answer))) => {
            Err(AriError::Refused { status: answer.status(), allocation: false, retry_after: None })
        }
        Ok(Err(_)) => Err(AriError::Unreachable),
        Err(_) => Err(AriError::Timeout),
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}
