//! Through whom messages are sent: options of the command line and of the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use rivvi::clock::Clock;
use rivvi::domain::Secret;
use rivvi::provider::SmsProvider;
use rivvi::providers::{
    HttpSms, HttpSmsConfig, TwilioOptions, TwilioSms, VonageApplication, VonageCredentials, VonageMessages,
    VonageMessagesOptions, VonageSignature, VonageSignatureMethod, VonageSms, VonageSmsOptions,
};

use crate::options::secret;
use crate::shared::outcome::Failure;

/// What comes before the name of a gateway's secret in the environment.
const SECRET_PREFIX: &str = "SMS_SECRET_";

#[derive(Debug, Args)]
pub(crate) struct Account {
    /// Who sends
    #[arg(long, value_name = "NAME", default_value = "sim")]
    pub(crate) provider: ProviderKind,
    /// Where the API is, if not where the vendor says
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The public address that leads to /webhook at --listen: where receipts are sent, and what Twilio signs
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// Vonage: the key of the account
    #[arg(long, value_name = "KEY", env = "VONAGE_API_KEY")]
    api_key: Option<String>,
    /// Vonage: the secret of the account
    #[arg(long, value_name = "TEXT", env = "VONAGE_API_SECRET", hide_env_values = true, value_parser = secret)]
    api_secret: Option<Secret>,
    /// Vonage: what signs webhooks; without it there are no receipts and no answers
    #[arg(long, value_name = "TEXT", env = "VONAGE_SIGNATURE_SECRET", hide_env_values = true, value_parser = secret)]
    signature_secret: Option<Secret>,
    /// Vonage's SMS API: how webhooks are signed, as the account's settings say
    #[arg(long, value_name = "METHOD", env = "VONAGE_SIGNATURE_METHOD", default_value = "sha256")]
    signature_method: SignatureMethod,
    /// Vonage's Messages API: the id of an application, in place of key and secret of the account
    #[arg(long, value_name = "ID", env = "VONAGE_APPLICATION_ID", requires = "private_key")]
    application: Option<String>,
    /// Vonage's Messages API: the private key of the application, in PEM
    #[arg(long, value_name = "FILE", env = "VONAGE_PRIVATE_KEY_PATH")]
    private_key: Option<PathBuf>,
    /// Twilio: the id of the account
    #[arg(long, value_name = "SID", env = "TWILIO_ACCOUNT_SID")]
    account_sid: Option<String>,
    /// Twilio: the token of the account
    #[arg(long, value_name = "TEXT", env = "TWILIO_AUTH_TOKEN", hide_env_values = true, value_parser = secret)]
    auth_token: Option<Secret>,
    /// Gateway by HTTP: how to talk to it, in TOML or JSON
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Gateway by HTTP: a secret that its configuration names; several times for several. In the environment: SMS_SECRET_NAME
    #[arg(long, value_name = "NAME=TEXT", value_parser = secret)]
    secret: Vec<Secret>,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderKind {
    /// A gateway that is not there, in simulated time
    Sim,
    /// Vonage's SMS API
    Vonage,
    /// Vonage's Messages API
    VonageMessages,
    /// Twilio Messaging
    Twilio,
    /// Any gateway that speaks HTTP, by --config
    Http,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SignatureMethod {
    Md5Hash,
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Account {
    /// The provider; `None` is the simulated one.
    pub(crate) fn provider(&self, clock: Arc<dyn Clock>) -> Result<Option<Arc<dyn SmsProvider>>, Failure> {
        self.check()?;
        let wrong = |error: rivvi::providers::SmsOptionsError| Failure::Input(error.to_string());
        Ok(Some(match self.provider {
            ProviderKind::Sim => return Ok(None),
            ProviderKind::Vonage => Arc::new(VonageSms::new(self.vonage()?, clock).map_err(wrong)?),
            ProviderKind::VonageMessages => {
                Arc::new(VonageMessages::new(self.vonage_messages()?, clock).map_err(wrong)?)
            }
            ProviderKind::Twilio => Arc::new(TwilioSms::new(self.twilio()?, clock).map_err(wrong)?),
            ProviderKind::Http => Arc::new(self.gateway(clock)?),
        }))
    }

    /// Options that would do nothing are mistakes.
    fn check(&self) -> Result<(), Failure> {
        let is_http = self.provider == ProviderKind::Http;
        if self.config.is_some() && !is_http {
            return Err(Failure::Input("--config: expected only with --provider http".into()));
        }
        if self.base_url.is_some() && is_http {
            let text =
                "--base-url: expected none with --provider http, whose address is `request.url` of --config";
            return Err(Failure::Input(text.into()));
        }
        if self.base_url.is_some() && self.provider == ProviderKind::Sim {
            return Err(Failure::Input("--base-url: expected a --provider to be found there".into()));
        }
        Ok(())
    }

    fn vonage(&self) -> Result<VonageSmsOptions, Failure> {
        let (api_key, api_secret) = self.vonage_account()?;
        let mut options = VonageSmsOptions::new(api_key, api_secret);
        let method = self.signature_method.into();
        options.signature = self.signature_secret.clone().map(|secret| VonageSignature { secret, method });
        options.webhook_url.clone_from(&self.webhook_url);
        options.base_url = self.base_url.clone().unwrap_or(options.base_url);
        Ok(options)
    }

    fn vonage_messages(&self) -> Result<VonageMessagesOptions, Failure> {
        let credentials = match self.application.clone().zip(self.private_key.as_ref()) {
            Some((id, file)) => {
                let private_key = Secret::new(read(file)?);
                VonageCredentials::Application(VonageApplication { id, private_key })
            }
            None => {
                let (api_key, api_secret) = self.vonage_account()?;
                VonageCredentials::Account { api_key, api_secret }
            }
        };
        let mut options = VonageMessagesOptions::new(credentials);
        options.signature_secret.clone_from(&self.signature_secret);
        options.webhook_url.clone_from(&self.webhook_url);
        options.base_url = self.base_url.clone().unwrap_or(options.base_url);
        Ok(options)
    }

    fn vonage_account(&self) -> Result<(String, Secret), Failure> {
        Ok((
            needed(&self.api_key, "--api-key", "VONAGE_API_KEY")?,
            needed(&self.api_secret, "--api-secret", "VONAGE_API_SECRET")?,
        ))
    }

    fn twilio(&self) -> Result<TwilioOptions, Failure> {
        let account_sid = needed(&self.account_sid, "--account-sid", "TWILIO_ACCOUNT_SID")?;
        let auth_token = needed(&self.auth_token, "--auth-token", "TWILIO_AUTH_TOKEN")?;
        let mut options = TwilioOptions::new(account_sid, auth_token);
        options.webhook_url.clone_from(&self.webhook_url);
        options.base_url = self.base_url.clone().unwrap_or(options.base_url);
        Ok(options)
    }

    fn gateway(&self, clock: Arc<dyn Clock>) -> Result<HttpSms, Failure> {
        let missing = || Failure::Input("--config: expected the configuration of the gateway".into());
        let path = self.config.as_ref().ok_or_else(missing)?;
        let text = read(path)?;
        let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let config = if json { HttpSmsConfig::from_json(&text) } else { HttpSmsConfig::from_toml(&text) };
        let secrets = self.secrets()?;
        let gateway = config.and_then(|config| HttpSms::new(config, secrets, clock));
        gateway.map_err(|error| Failure::Input(format!("{}: {error}", path.display())))
    }

    /// The secrets of a gateway: those of the environment, and over them those of the command line.
    fn secrets(&self) -> Result<BTreeMap<String, Secret>, Failure> {
        let environment = std::env::vars_os().filter_map(|(name, secret)| {
            let name = name.to_str()?.strip_prefix(SECRET_PREFIX)?.to_lowercase();
            Some((name, Secret::new(secret.to_str()?)))
        });
        let mut secrets: BTreeMap<String, Secret> = environment.collect();
        for given in &self.secret {
            let (name, secret) = given
                .expose()
                .split_once('=')
                .ok_or_else(|| Failure::Input("--secret: expected NAME=TEXT".into()))?;
            secrets.insert(name.to_owned(), Secret::new(secret));
        }
        Ok(secrets)
    }
}

impl From<SignatureMethod> for VonageSignatureMethod {
    fn from(method: SignatureMethod) -> Self {
        match method {
            SignatureMethod::Md5Hash => Self::Md5Hash,
            SignatureMethod::Md5 => Self::HmacMd5,
            SignatureMethod::Sha1 => Self::HmacSha1,
            SignatureMethod::Sha256 => Self::HmacSha256,
            SignatureMethod::Sha512 => Self::HmacSha512,
        }
    }
}

fn needed<T: Clone>(value: &Option<T>, option: &str, variable: &str) -> Result<T, Failure> {
    value.clone().ok_or_else(|| Failure::Input(format!("{option}: expected, here or as {variable}")))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::Input(format!("{}: {error}", path.display())))
}
