//! What a host tells about its Retell account.

use std::time::Duration;

use rivvi_core::domain::{CallsPerSecond, Secret};

/// What a host tells about its Retell account. `Debug` shows no key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetellOptions {
    /// The API key.
    pub api_key: Secret,
    /// The API key with the "webhook" badge in Retell's dashboard, which signs webhooks. The `api_key` if absent.
    pub webhook_key: Option<Secret>,
    /// Where the API is. Default `https://api.retellai.com`.
    pub base_url: String,
    /// The longest a request may take; after that its answer counts as lost. More than 0 and at most 5 minutes. Default
    /// 25 s, below the engine's `place_timeout`.
    pub timeout: Duration,
    /// How fast Retell may be fed. Its default is one call a second for each number
    /// (<https://docs.retellai.com/deploy/concurrency>), which is the default here; beyond it calls fail.
    pub calls_per_second: Option<CallsPerSecond>,
    /// How old a webhook may be, by its signature. Default 5 minutes, as in Retell's SDKs.
    pub webhook_age_max: Duration,
    /// The dynamic variable that carries the campaign's prompt; write `{{prompt}}` into the agent's prompt. Default
    /// `prompt`.
    pub prompt_variable: String,
    /// The dynamic variable in which agents leave the instant at which somebody wants to be called again, as RFC 3339 text
    /// with an offset. Default `callback_at`.
    pub callback_variable: String,
    /// How long a call may stay without news before it is looked up, beyond its longest duration. Default 5 minutes.
    pub silence_max: Duration,
    /// How long after a request a call may still come into being. Default 2 minutes.
    pub settles_after: Duration,
}

impl RetellOptions {
    /// The options with this API key and otherwise the defaults.
    pub fn new(api_key: Secret) -> Self {
        Self {
            api_key,
            webhook_key: None,
            base_url: "https://api.retellai.com".into(),
            timeout: Duration::from_secs(25),
            calls_per_second: CallsPerSecond::new(1.0),
            webhook_age_max: Duration::from_secs(300),
            prompt_variable: "prompt".into(),
            callback_variable: "callback_at".into(),
            silence_max: Duration::from_secs(300),
            settles_after: Duration::from_secs(120),
        }
    }

    /// The key that signs webhooks.
    pub(crate) fn signing_key(&self) -> &Secret {
        self.webhook_key.as_ref().unwrap_or(&self.api_key)
    }

    pub(crate) fn check(&self) -> Result<(), OptionsError> {
        let key = self.api_key.expose();
        if key.is_empty() || key.chars().any(|c| c.is_whitespace() || !c.is_ascii_graphic()) {
            return Err(OptionsError::ApiKey);
        }
        if self.webhook_key.as_ref().is_some_and(|key| key.expose().is_empty()) {
            return Err(OptionsError::WebhookKey);
        }
        if self.timeout.is_zero() || self.timeout > Duration::from_secs(300) {
            return Err(OptionsError::Timeout);
        }
        let names = [&self.prompt_variable, &self.callback_variable];
        if names.iter().any(|name| name.is_empty() || name.contains(['{', '}'])) {
            return Err(OptionsError::Variable);
        }
        Ok(())
    }
}

/// What is wrong with [`RetellOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The API key cannot be one.
    #[error("api_key: expected the key as Retell's dashboard shows it, without blanks")]
    ApiKey,
    /// The key of webhooks is empty.
    #[error("webhook_key: expected the key with the \"webhook\" badge, or none for the API key")]
    WebhookKey,
    /// The base URL cannot be used.
    #[error("base_url: expected http:// or https:// and a host, such as https://api.retellai.com")]
    BaseUrl,
    /// The timeout is out of range.
    #[error("timeout: expected more than 0 and at most 5 minutes")]
    Timeout,
    /// A name of a variable is none.
    #[error("prompt_variable, callback_variable: expected names without braces")]
    Variable,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: expected the certificates of the system (SSL_CERT_FILE names others)")]
    Tls,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_and_no_key_is_shown() {
        let good = || RetellOptions::new(Secret::new("key_123"));
        assert_eq!(good().check(), Ok(()));
        type Spoil = fn(&mut RetellOptions);
        let cases: [(Spoil, OptionsError); 6] = [
            (|options| options.api_key = Secret::new(""), OptionsError::ApiKey),
            (|options| options.api_key = Secret::new("key\n"), OptionsError::ApiKey),
            (|options| options.webhook_key = Some(Secret::new("")), OptionsError::WebhookKey),
            (|options| options.timeout = Duration::ZERO, OptionsError::Timeout),
            (|options| options.timeout = Duration::from_secs(301), OptionsError::Timeout),
            (|options| options.prompt_variable = "{{prompt}}".into(), OptionsError::Variable),
        ];
        for (spoil, error) in cases {
            let mut options = good();
            spoil(&mut options);
            assert_eq!(options.check(), Err(error));
        }
        assert!(!format!("{:?}", good()).contains("key_123"));
    }
}
