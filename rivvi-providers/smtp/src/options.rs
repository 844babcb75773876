//! How e-mails are handed to an SMTP server.

use std::net::IpAddr;
use std::time::Duration;

use rivvi_core::domain::{CallsPerSecond, EmailAddress, Secret};

/// How e-mails are handed to an SMTP server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SmtpOptions {
    /// The name or address of the server, which its certificate must name.
    pub host: String,
    /// Its port. Default that of [`security`](Self::security): 587, 465 or 25.
    pub port: Option<u16>,
    /// How the connection is secured. Default [`SmtpSecurity::StartTls`].
    pub security: SmtpSecurity,
    /// User and password. Default none.
    pub credentials: Option<(String, Secret)>,
    /// The sender.
    pub from: EmailAddress,
    /// The name shown as that of the sender. Default that of the organization.
    pub from_name: Option<String>,
    /// Where answers go. Default to the sender.
    pub reply_to: Option<EmailAddress>,
    /// By what name this machine greets the server. Default the domain of the sender.
    pub hello_name: Option<String>,
    /// Certificates in PEM that are trusted beside those of the system. Default none.
    pub root_certificates: Vec<u8>,
    /// How many e-mails a second the server takes, if that is known. Default not.
    pub emails_per_second: Option<CallsPerSecond>,
    /// Connections at once. Default 4.
    pub connections_max: usize,
    /// How long a connection may rest before it is given up. Default 30 s.
    pub idle_max: Duration,
    /// How long connecting, greeting and securing may take. Default 10 s.
    pub connect_timeout: Duration,
    /// How long the server may take to answer a command. Default 30 s.
    pub command_timeout: Duration,
    /// How long it may take to take the message. Default 2 minutes.
    pub message_timeout: Duration,
}

impl SmtpOptions {
    /// The defaults, with this server and sender.
    pub fn new(host: impl Into<String>, from: EmailAddress) -> Self {
        Self {
            host: host.into(),
            port: None,
            security: SmtpSecurity::StartTls,
            credentials: None,
            from,
            from_name: None,
            reply_to: None,
            hello_name: None,
            root_certificates: Vec::new(),
            emails_per_second: None,
            connections_max: 4,
            idle_max: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(30),
            message_timeout: Duration::from_secs(120),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.unwrap_or(match self.security {
            SmtpSecurity::StartTls => 587,
            SmtpSecurity::Tls => 465,
            SmtpSecurity::Plain => 25,
        })
    }

    /// Whether everything can be as it says.
    pub(crate) fn check(&self) -> Result<(), SmtpOptionsError> {
        let address = self.host.parse::<IpAddr>();
        let on_this_machine = address.map_or(self.host == "localhost", |address| address.is_loopback());
        match self.security {
            _ if self.host.is_empty() => Err(SmtpOptionsError::Host),
            SmtpSecurity::Plain if !on_this_machine => Err(SmtpOptionsError::Plain),
            _ if self.connections_max == 0 => Err(SmtpOptionsError::Connections),
            _ if !self.hello_name().bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(SmtpOptionsError::Hello)
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn hello_name(&self) -> &str {
        let domain = self.from.expose().rsplit_once('@').map_or("localhost", |(_, domain)| domain);
        self.hello_name.as_deref().unwrap_or(domain)
    }
}

/// How a connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SmtpSecurity {
    /// It begins in the open, and is secured before anything is told. A server that cannot is not used.
    StartTls,
    /// It is secured from its beginning.
    Tls,
    /// It is not. For a server on this machine only.
    Plain,
}

/// Options that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SmtpOptionsError {
    /// There is no host.
    #[error("expected the name of an SMTP server, such as `smtp.clinic.example`")]
    Host,
    /// A connection to another machine must be secured.
    #[error("expected STARTTLS or TLS: only a server on this machine may be asked in the open")]
    Plain,
    /// There must be a connection.
    #[error("expected at least one connection")]
    Connections,
    /// A name in a greeting is in ASCII.
    #[error("expected a name of this machine in ASCII, such as `calls.clinic.example`")]
    Hello,
    /// The certificates cannot be read.
    #[error("expected root certificates in PEM")]
    Certificates,
    /// The sender is none for SMTP.
    #[error("expected a sender such as `office@clinic.example`")]
    Sender,
}
