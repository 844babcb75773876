//! Audio over a WebSocket.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::Uri;
use tokio_tungstenite::tungstenite::Message;

use super::error::AriError;
use super::socket::{Stream, connect, request};

/// The audio that a channel of Asterisk's `chan_websocket` is given, as it comes.
pub(crate) struct MediaSocket(Stream);

impl MediaSocket {
    /// Connects with the channel that waits for this connection.
    pub(crate) async fn open(
        base: &Uri,
        connection: &str,
        tls: &Arc<rustls::ClientConfig>,
    ) -> Result<Self, AriError> {
        let prefix = base.path().strip_suffix("/ari").unwrap_or_default();
        let request = request(base, &format!("{prefix}/media/{connection}"), "media")?;
        connect(request, tls).await.map(Self)
    }

    /// What is heard next; `None` when the channel is gone. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.0.next().await? {
                Ok(Message::Binary(audio)) => return Some(audio),
                Ok(Message::Close(_)) | Err(_) => return None,
                // Notes about the stream.
                Ok(_) => {}
            }
        }
    }
}

impl fmt::Debug for MediaSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaSocket")
    }
}
