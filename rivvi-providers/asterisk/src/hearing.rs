//! Understanding what a callee says.
//!
//! ```text
//!   the call's channel ··snoop··▶ channel `-hs` ─ bridge `-hb` ─▶ channel `-hm` ──WebSocket──▶ recognizer
//! ```

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use rivvi_core::clock::Clock;
use rivvi_core::domain::CallId;
use rivvi_core::flow::Token;
use rivvi_core::provider::{AudioFormat, ProviderError, RecognitionRequest, SpeechRecognizer};
use tokio::sync::{mpsc, oneshot};

use crate::ari::{AriError, MediaSocket};
use crate::call::{HEARS, Happening};
use crate::server::Server;

/// A channel that was just made may take so long to be ours to command.
const READY_MAX: Duration = Duration::from_secs(2);
const READY_AGAIN: Duration = Duration::from_millis(10);

/// What hears the callee of one call, for one listening.
#[derive(Debug)]
pub(crate) struct Ear {
    server: Arc<Server>,
    call: CallId,
    app: String,
    token: Token,
    clock: Arc<dyn Clock>,
    /// Hears the callee.
    snoop: String,
    /// Gives on what it is given.
    media: String,
    bridge: String,
}

/// Why nothing is understood any more.
#[derive(Debug, thiserror::Error)]
enum Deaf {
    #[error("{0}")]
    Line(#[from] AriError),
    #[error("the audio ended")]
    Silent,
    #[error("{0}")]
    Recognizer(#[from] ProviderError),
}

impl Ear {
    pub(crate) fn new(
        server: &Arc<Server>,
        call: CallId,
        token: Token,
        app: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let name = |what: char| format!("{call}{HEARS}{what}{token}");
        let (snoop, media, bridge) = (name('s'), name('m'), name('b'));
        Self { server: server.clone(), call, app: app.to_owned(), token, clock, snoop, media, bridge }
    }

    /// Tells what is understood, until nothing follows or it is stopped. What fails is as if nothing were said.
    pub(crate) async fn listen(
        self,
        recognizer: Arc<dyn SpeechRecognizer>,
        request: RecognitionRequest,
        told: mpsc::WeakUnboundedSender<Happening>,
        stopped: oneshot::Receiver<()>,
    ) {
        let listened = self.recognize(recognizer.as_ref(), &request, &told, stopped).await;
        self.take_down().await;
        if let Err(problem) = listened {
            tracing::warn!(call = %self.call, recognizer = %recognizer.name(), %problem, "what a callee says is not heard");
        }
    }

    async fn recognize(
        &self,
        recognizer: &dyn SpeechRecognizer,
        request: &RecognitionRequest,
        told: &mpsc::WeakUnboundedSender<Happening>,
        mut stopped: oneshot::Receiver<()>,
    ) -> Result<(), Deaf> {
        let started = async {
            tokio::select! {
                biased;
                _ = &mut stopped => Ok(None),
                started = recognizer.start(request) => started.map(Some),
            }
        };
        // The audio is not given up half-way: what was asked for is taken down once it is there.
        let (started, opened) = tokio::join!(started, self.open(request.format));
        let (started, mut audio) = (started?, opened?);
        let Some(mut recognition) = started else { return Ok(()) };
        loop {
            let piece = tokio::select! {
                biased;
                _ = &mut stopped => return Ok(()),
                piece = audio.next() => piece.ok_or(Deaf::Silent)?,
            };
            for heard in recognition.hear(piece).await? {
                let last = heard.last;
                let Some(told) = told.upgrade() else { return Ok(()) };
                let _ = told.send(Happening::Heard { token: self.token, heard });
                if last {
                    return Ok(());
                }
            }
        }
    }

    /// Has Asterisk send what the callee says.
    async fn open(&self, format: AudioFormat) -> Result<MediaSocket, AriError> {
        let (client, server) = (&self.server.client, &self.server);
        let snoop = [("spy", "in"), ("app", self.app.as_str()), ("snoopId", self.snoop.as_str())];
        let path = format!("channels/{}/snoop", self.call);
        let bridge = format!("bridges/{}", self.bridge);
        let (connection, (), ()) = tokio::try_join!(
            client.media_channel(&self.media, &self.app, name_of(format)),
            client.tell(Method::POST, &path, &snoop, None),
            client.tell(Method::POST, &bridge, &[("type", "mixing")], None),
        )?;
        let audio = MediaSocket::open(&server.base, &connection, &server.tls).await?;
        tokio::try_join!(self.join(&self.media), self.join(&self.snoop))?;
        Ok(audio)
    }

    /// Puts a channel into the bridge, as soon as it can be.
    async fn join(&self, channel: &str) -> Result<(), AriError> {
        let path = format!("bridges/{}/addChannel", self.bridge);
        let mut waited = Duration::ZERO;
        loop {
            let joined = self.server.client.tell(Method::POST, &path, &[("channel", channel)], None).await;
            let early = matches!(
                joined.as_ref().map_err(AriError::status),
                Err(Some(StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::BAD_REQUEST))
            );
            if !early || waited >= READY_MAX {
                return joined;
            }
            self.clock.sleep_until(self.clock.now() + READY_AGAIN).await;
            waited += READY_AGAIN;
        }
    }

    async fn take_down(&self) {
        let client = &self.server.client;
        let bridge = format!("bridges/{}", self.bridge);
        // What is gone already is fine, and what stays is removed when the call ends or the link is made anew.
        let _ = tokio::join!(
            client.hang_up(&self.media),
            client.hang_up(&self.snoop),
            client.tell(Method::DELETE, &bridge, &[], None),
        );
    }
}

/// How Asterisk calls the format.
fn name_of(format: AudioFormat) -> &'static str {
    match format {
        AudioFormat::Linear16k => "slin16",
        AudioFormat::Mulaw8k => "ulaw",
        _ => "slin",
    }
}
