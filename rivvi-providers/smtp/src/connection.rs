//! A conversation with an SMTP server, step by step, so that each failure tells how far it came.

use std::future::Future;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use lettre::transport::smtp::response::{Response, Severity};

use crate::failure::{Failure, Stage, Wrong};
use crate::options::{SmtpOptions, SmtpSecurity};

/// A connection that is greeted, secured and logged in.
pub(crate) struct Connection(AsyncSmtpConnection);

impl Connection {
    pub(crate) async fn open(options: &SmtpOptions, tls: Option<&TlsParameters>) -> Result<Self, Failure> {
        let hello = ClientId::Domain(options.hello_name().to_owned());
        let implicit = tls.filter(|_| options.security == SmtpSecurity::Tls).cloned();
        let server = (options.host.as_str(), options.port());
        let timeout = options.connect_timeout;
        let connect = AsyncSmtpConnection::connect_tokio1(server, Some(timeout), &hello, implicit, None);
        let mut connection = step(Stage::Connect, timeout, connect).await?;
        if let Some(tls) = tls.filter(|_| options.security == SmtpSecurity::StartTls) {
            step(Stage::StartTls, timeout, connection.starttls(tls.clone(), &hello)).await?;
        }
        if let Some((user, password)) = &options.credentials {
            let credentials = Credentials::new(user.clone(), password.expose().to_owned());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            step(Stage::Auth, options.command_timeout, connection.auth(&mechanisms, &credentials)).await?;
        }
        Ok(Self(connection))
    }

    /// Says who sends: the first thing said of an e-mail.
    pub(crate) async fn begin(
        &mut self,
        from: &Address,
        to: &Address,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let mut parameters = Vec::new();
        if ![from, to].iter().all(|address| AsRef::<str>::as_ref(address).is_ascii()) {
            if !self.0.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Err(Failure::new(Stage::Mail, Wrong::Address));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        step(Stage::Mail, timeout, self.0.command(Mail::new(Some(from.clone()), parameters))).await.map(drop)
    }

    /// Says to whom, and that the message comes.
    pub(crate) async fn announce(&mut self, to: &Address, timeout: Duration) -> Result<(), Failure> {
        step(Stage::Rcpt, timeout, self.0.command(Rcpt::new(to.clone(), Vec::new()))).await?;
        let answer = step(Stage::Data, timeout, self.0.command(Data)).await?;
        // Anything else, and the message would be taken for commands.
        expect(Stage::Data, &answer, Severity::PositiveIntermediate)
    }

    /// Hands the message over. Returns what the server calls it, if it says so.
    pub(crate) async fn deliver(
        &mut self,
        message: &[u8],
        timeout: Duration,
    ) -> Result<Option<String>, Failure> {
        let answer = step(Stage::Message, timeout, self.0.message(message)).await?;
        expect(Stage::Message, &answer, Severity::PositiveCompletion)?;
        Ok(answer.first_line().and_then(reference))
    }
}

async fn step<T>(
    stage: Stage,
    timeout: Duration,
    asked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, asked).await {
        Ok(answer) => answer.map_err(|error| Failure::of(stage, &error)),
        Err(_) => Err(Failure::new(stage, Wrong::Late)),
    }
}

fn expect(stage: Stage, answer: &Response, severity: Severity) -> Result<(), Failure> {
    if answer.code().severity == severity { Ok(()) } else { Err(Failure::new(stage, Wrong::Garbled)) }
}

/// What stands behind `queued as`, as most servers write it.
fn reference(answer: &str) -> Option<String> {
    let (_, name) = answer.split_once("queued as ")?;
    let name: String = name.chars().take_while(char::is_ascii_graphic).take(100).collect();
    (!name.is_empty()).then_some(name)
}
