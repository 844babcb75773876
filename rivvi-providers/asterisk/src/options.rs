//! How Asterisk is to be used.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use rivvi_core::domain::{CallsPerSecond, Personal, ProviderName, Secret};
use rivvi_core::provider::{AudioFormat, SpeechRecognizer, SpeechSynthesizer};
use rivvi_core::storage::Blobs;

/// How calls are placed and led. The defaults fit an Asterisk with one trunk called `trunk`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AsteriskOptions {
    /// The name the provider is registered under. Default `asterisk`.
    pub name: ProviderName,
    /// The ARI application. Every process that places calls on a server needs one of its own there, the same after each
    /// restart: letters, digits, `-` and `_`. Default `rivvi`.
    pub app: String,
    /// Whom to dial: `{number}` stands for the number with its plus sign, `{digits}` for the number without. Default
    /// `PJSIP/{number}@trunk`.
    pub endpoint: String,
    /// Whom to dial for a transfer, where `{to}` stands for what the flow names. Default `PJSIP/{to}@trunk`.
    pub agent_endpoint: String,
    /// Whom to dial for a transfer that names nobody. Default nobody: such a transfer fails.
    pub agent: Option<Personal<String>>,
    /// The context of the dialplan with the extensions `detect` and `ended`; see docs/asterisk.md. Default `rivvi`.
    pub context: String,
    /// The context of the dialplan whose extensions are the agents that campaigns without a flow name as `agent_id`.
    /// Default none: every campaign needs a flow.
    pub agents_context: Option<String>,
    /// What becomes of calls whose process is gone. Default [`Orphans::HangUp`].
    pub orphans: Orphans,
    /// How texts are spoken. Default not at all: a flow's texts are passed over, with a warning.
    pub speech: Option<Speech>,
    /// How what callees say is understood. Default not at all: a flow's `listen` hears keys only, with a warning.
    pub hearing: Option<Hearing>,
    /// Where recordings are kept. Default on the Asterisk server, from where nobody removes them.
    pub recordings: Option<Blobs>,
    /// Whether calls are recorded from answer to end, both sides in one file. Default no.
    pub record_calls: bool,
    /// How fast the servers may be fed together. Default no limit.
    pub calls_per_second: Option<CallsPerSecond>,
    /// How long a call may stay without news before it is looked up, beyond its longest duration. Default 1 minute.
    pub silence_max: Duration,
}

impl Default for AsteriskOptions {
    fn default() -> Self {
        Self {
            name: ProviderName::new("asterisk"),
            app: "rivvi".into(),
            endpoint: "PJSIP/{number}@trunk".into(),
            agent_endpoint: "PJSIP/{to}@trunk".into(),
            agent: None,
            context: "rivvi".into(),
            agents_context: None,
            orphans: Orphans::default(),
            speech: None,
            hearing: None,
            recordings: None,
            record_calls: false,
            calls_per_second: None,
            silence_max: Duration::from_secs(60),
        }
    }
}

/// What becomes of calls that a process left behind: it died, and this one has its application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Orphans {
    /// They are hung up. Nobody leads them any more, so the callee would hear silence.
    #[default]
    HangUp,
    /// Those that are answered go on until the callee or an agent hangs up or their longest duration is over; the others
    /// are hung up. For flows that mostly connect callees with agents: when one side of a transfer hangs up, the other is
    /// hung up, too.
    LetTalk,
}

/// How texts are spoken.
#[derive(Debug, Clone)]
pub struct Speech {
    /// What makes speech of text.
    pub synthesizer: Arc<dyn SpeechSynthesizer>,
    /// What it is asked for, [`AudioFormat::Linear8k`] for telephone quality.
    pub format: AudioFormat,
    /// How Asterisk gets at the speech.
    pub media: SpeechMedia,
}

/// How what callees say is understood.
#[derive(Debug, Clone)]
pub struct Hearing {
    /// What understands speech.
    pub recognizer: Arc<dyn SpeechRecognizer>,
    /// What it is given, [`AudioFormat::Linear8k`] for all that telephones carry.
    pub format: AudioFormat,
}

/// How Asterisk gets at audio that is made here.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SpeechMedia {
    /// Through a folder that both see: the same machine, or a shared file system.
    Folder {
        /// The folder as this process sees it.
        here: PathBuf,
        /// The folder as Asterisk sees it, absolute.
        there: String,
    },
    /// Over HTTP: files are put into a store from which a web server gives them out, and Asterisk (with its module
    /// `res_http_media_cache`) fetches them.
    Web {
        /// Where to put the files.
        store: Blobs,
        /// The URL of the store's top, without a slash at its end.
        base_url: String,
    },
}

/// One Asterisk.
#[derive(Clone)]
#[non_exhaustive]
pub struct AsteriskServer {
    /// What it is called in references of calls, for as long as those are remembered: letters, digits, `-` and `_`.
    pub name: String,
    /// Its share of calls, relative to the sum of all servers' weights. Default 1; 0 for none.
    pub weight: u32,
    /// How many calls it may carry. Default any number.
    pub calls_max: Option<u32>,
    pub(crate) base: Url,
    pub(crate) user: String,
    pub(crate) password: Secret,
}

impl AsteriskServer {
    /// The server at `http://USER:PASSWORD@HOST:PORT[/PREFIX]` (or `https`), whose `ari.conf` has that user.
    ///
    /// # Errors
    /// If `url` is something else.
    pub fn new(name: &str, url: &str) -> Result<Self, AsteriskOptionsError> {
        let wrong = || AsteriskOptionsError::Url { server: name.to_owned() };
        let mut base = Url::parse(url).map_err(|_| wrong())?;
        let (user, password) = (base.username().to_owned(), base.password().unwrap_or_default().to_owned());
        let usable = matches!(base.scheme(), "http" | "https") && base.host().is_some() && !user.is_empty();
        base.set_username("").map_err(|()| wrong())?;
        base.set_password(None).map_err(|()| wrong())?;
        let path = format!("{}/ari", base.path().trim_end_matches('/'));
        base.set_path(&path);
        base.set_query(None);
        if !usable {
            return Err(wrong());
        }
        Self {
            name: name.to_owned(),
            weight: 1,
            calls_max: None,
            base,
            user,
            password: Secret::new(password),
        }
        .with_credentials_decoded()
        .ok_or_else(wrong)
    }

    /// The server at `http://HOST:PORT[/PREFIX]` with the credentials of a user of its `ari.conf`.
    ///
    /// # Errors
    /// If `url` is something else.
    pub fn with_user(
        name: &str,
        url: &str,
        user: &str,
        password: Secret,
    ) -> Result<Self, AsteriskOptionsError> {
        let wrong = || AsteriskOptionsError::Url { server: name.to_owned() };
        let mut base = Url::parse(url).map_err(|_| wrong())?;
        base.set_username("x").map_err(|()| wrong())?;
        let server = Self::new(name, base.as_str())?;
        Ok(Self { user: user.to_owned(), password, ..server })
    }

    /// Signs written as `%XX` in the URL.
    fn with_credentials_decoded(self) -> Option<Self> {
        let decode = |text: &str| -> Option<String> {
            let mut bytes = Vec::new();
            let mut rest = text.bytes();
            while let Some(byte) = rest.next() {
                bytes.push(match byte {
                    b'%' => {
                        let pair = [rest.next()?, rest.next()?];
                        u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
                    }
                    byte => byte,
                });
            }
            String::from_utf8(bytes).ok()
        };
        let (user, password) = (decode(&self.user)?, decode(self.password.expose())?);
        Some(Self { user, password: Secret::new(password), ..self })
    }
}

impl fmt::Debug for AsteriskServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, weight, calls_max, .. } = self;
        let mut debug = f.debug_struct("AsteriskServer");
        debug.field("name", name).field("weight", weight).field("calls_max", calls_max);
        debug.field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

/// Options that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AsteriskOptionsError {
    /// The URL of a server is no URL of an Asterisk.
    #[error("server {server}: expected a URL such as http://USER:PASSWORD@127.0.0.1:8088")]
    Url {
        /// Which server.
        server: String,
    },
    /// There is no server, or none that may be used.
    #[error("expected at least one server with a weight above 0")]
    NoServer,
    /// A name holds signs that cannot be used.
    #[error("{field}: expected letters, digits, `-` and `_`, not `{name}`")]
    Name {
        /// Of which option.
        field: &'static str,
        /// The name.
        name: String,
    },
    /// Two servers have one name.
    #[error("two servers are called `{0}`; references of calls need to tell them apart")]
    NameTwice(String),
    /// The endpoint names nobody.
    #[error("{field}: expected an endpoint with `{placeholder}` in it, such as PJSIP/{placeholder}@trunk")]
    Endpoint {
        /// Of which option.
        field: &'static str,
        /// What is missing in it.
        placeholder: &'static str,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl AsteriskOptions {
    /// Checks what can be checked without a server.
    pub(crate) fn check(&self, servers: &[AsteriskServer]) -> Result<(), AsteriskOptionsError> {
        let plain = |field: &'static str, name: &str| {
            let usable = !name.is_empty()
                && name.chars().all(|sign| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '_'));
            let error = || AsteriskOptionsError::Name { field, name: name.to_owned() };
            if usable { Ok(()) } else { Err(error()) }
        };
        plain("app", &self.app)?;
        plain("context", &self.context)?;
        if let Some(context) = &self.agents_context {
            plain("agents_context", context)?;
        }
        if !["{number}", "{digits}"].iter().any(|placeholder| self.endpoint.contains(placeholder)) {
            return Err(AsteriskOptionsError::Endpoint { field: "endpoint", placeholder: "{number}" });
        }
        if !self.agent_endpoint.contains("{to}") {
            return Err(AsteriskOptionsError::Endpoint { field: "agent_endpoint", placeholder: "{to}" });
        }
        for (place, server) in servers.iter().enumerate() {
            plain("server", &server.name)?;
            if servers[..place].iter().any(|other| other.name == server.name) {
                return Err(AsteriskOptionsError::NameTwice(server.name.clone()));
            }
        }
        if servers.iter().all(|server| server.weight == 0) {
            return Err(AsteriskOptionsError::NoServer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_agent_is_in_no_debug_output() {
        let options =
            AsteriskOptions { agent: Some("+15550100".to_owned().into()), ..AsteriskOptions::default() };
        assert!(!format!("{options:?}").contains("5550100"));
    }
}
