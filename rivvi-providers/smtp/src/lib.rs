//! E-mail for Rivvi by SMTP.
//!
//! ```no_run
//! use rivvi_core::domain::{EmailAddress, Secret};
//! use rivvi_core::provider::{EmailProvider, SendEmail};
//! use rivvi_provider_smtp::{Smtp, SmtpOptions};
//!
//! # async fn send(email: SendEmail) -> Result<(), Box<dyn std::error::Error>> {
//! let from = EmailAddress::new("office@clinic.example").expect("an address");
//! let mut options = SmtpOptions::new("smtp.clinic.example", from);
//! options.credentials = Some(("office".into(), Secret::new("password")));
//! Smtp::new(options)?.send_email(&email).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **Each e-mail is handed over once.** Until the server asks for the message, nothing can be sent, and what goes wrong
//!   is told so. When the connection breaks or the server falls silent after that, the e-mail may have been sent.
//! - **A refused address** ([`InvalidNumber`](rivvi_core::provider::ProviderErrorKind::InvalidNumber)) is told apart from a
//!   refused sender, a refused text, and a server that has no time.
//! - **Connections are secured** by TLS, except to this machine, and used again. One that was closed while it rested is
//!   opened anew.
//! - **Our id goes with it** as its `Message-ID`. Any script in subject, text and name of the sender; addresses beyond ASCII
//!   where the server takes them (SMTPUTF8).

mod connection;
mod failure;
mod letter;
mod options;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lettre::transport::smtp::client::{Certificate, TlsParameters};
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::domain::{CallsPerSecond, ProviderName};
use rivvi_core::provider::{EmailProvider, ProviderError, SendEmail, SentEmail};
use tokio::sync::Semaphore;

pub use options::{SmtpOptions, SmtpOptionsError, SmtpSecurity};

use connection::Connection;
use failure::{Failure, Stage, Wrong};
use letter::Letter;

/// E-mail by an SMTP server. Clones share connections.
#[derive(Clone)]
pub struct Smtp {
    shared: Arc<Shared>,
}

struct Shared {
    options: SmtpOptions,
    tls: Option<TlsParameters>,
    clock: SystemClock,
    turns: Semaphore,
    /// Connections at rest, and since when; the latest last.
    resting: Mutex<Vec<(Connection, Duration)>>,
}

impl Smtp {
    /// Connects when there is something to send.
    ///
    /// # Errors
    /// If the options contradict each other.
    pub fn new(options: SmtpOptions) -> Result<Self, SmtpOptionsError> {
        options.check()?;
        options.from.expose().parse::<lettre::Address>().map_err(|_| SmtpOptionsError::Sender)?;
        let tls = match options.security {
            SmtpSecurity::Plain => None,
            SmtpSecurity::StartTls | SmtpSecurity::Tls => Some(tls(&options)?),
        };
        let turns = Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS));
        let shared = Shared { options, tls, clock: SystemClock::new(), turns, resting: Mutex::default() };
        Ok(Self { shared: Arc::new(shared) })
    }
}

fn tls(options: &SmtpOptions) -> Result<TlsParameters, SmtpOptionsError> {
    let mut tls = TlsParameters::builder(options.host.clone());
    if !options.root_certificates.is_empty() {
        let roots = Certificate::from_pem(&options.root_certificates);
        tls = tls.add_root_certificate(roots.map_err(|_| SmtpOptionsError::Certificates)?);
    }
    tls.build_rustls().map_err(|_| SmtpOptionsError::Certificates)
}

impl Shared {
    async fn send(&self, email: &SendEmail) -> Result<SentEmail, Failure> {
        let letter = letter::write(email, &self.options)?;
        // Never closed, so there is always a turn.
        let _turn = self.turns.acquire().await;
        let timeout = self.options.command_timeout;
        let mut connection = self.begin(&letter).await?;
        connection.announce(&letter.to, timeout).await?;
        let reference = connection.deliver(&letter.bytes, self.options.message_timeout).await?;
        self.rest(connection);
        Ok(SentEmail { reference })
    }

    /// A connection on which the e-mail is begun: one at rest, or a new one where that was closed meanwhile. Those on which
    /// something went wrong do not come back.
    async fn begin(&self, letter: &Letter) -> Result<Connection, Failure> {
        let timeout = self.options.command_timeout;
        if let Some(mut connection) = self.rested() {
            match connection.begin(&letter.from, &letter.to, timeout).await {
                Ok(()) => return Ok(connection),
                Err(failure) if !was_closed(failure) => return Err(failure),
                Err(_) => {}
            }
        }
        let mut connection = Connection::open(&self.options, self.tls.as_ref()).await?;
        connection.begin(&letter.from, &letter.to, timeout).await?;
        Ok(connection)
    }

    fn rested(&self) -> Option<Connection> {
        let now = self.clock.monotonic();
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.retain(|(_, since)| now.saturating_sub(*since) < self.options.idle_max);
        resting.pop().map(|(connection, _)| connection)
    }

    fn rest(&self, connection: Connection) {
        let now = self.clock.monotonic();
        self.resting.lock().unwrap_or_else(PoisonError::into_inner).push((connection, now));
    }
}

/// Whether a connection at rest turned out to be none any more. Nothing of an e-mail had been told then.
fn was_closed(failure: Failure) -> bool {
    failure.stage == Stage::Mail
        && matches!(
            failure.wrong,
            Wrong::Cut | Wrong::Late | Wrong::Garbled | Wrong::Refused { code: 421, .. }
        )
}

#[async_trait]
impl EmailProvider for Smtp {
    fn name(&self) -> ProviderName {
        ProviderName::new("smtp")
    }

    fn emails_per_second(&self) -> Option<CallsPerSecond> {
        self.shared.options.emails_per_second
    }

    async fn send_email(&self, request: &SendEmail) -> Result<SentEmail, ProviderError> {
        self.shared.send(request).await.map_err(|failure| failure.named(&self.name()))
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("options", &self.shared.options).finish_non_exhaustive()
    }
}
