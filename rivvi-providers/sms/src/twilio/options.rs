//! What a host tells about its Twilio account.

use std::collections::BTreeMap;

use reqwest::Url;
use rivvi_core::domain::{CallsPerSecond, Secret};

use crate::options::{OptionsError, SmsTerms, is_token};

/// What a host tells about its Twilio account. `Debug` shows no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TwilioOptions {
    /// The id of the account, `AC` and 32 digits.
    pub account_sid: String,
    /// The token of the account, which signs webhooks, and requests unless there is an [`api_key`](Self::api_key).
    pub auth_token: Secret,
    /// The key for requests, in place of the token.
    pub api_key: Option<TwilioApiKey>,
    /// The keys that sign webhooks by HMAC-SHA256, by their ids; for accounts that have such keys.
    pub shared_keys: BTreeMap<String, Secret>,
    /// The public address of the server that hands webhooks to [`decode_webhook`], as Twilio is told it: scheme, host and
    /// path. It is what Twilio signs, and receipts are sent there. Without it there are no webhooks; messages are looked up.
    ///
    /// [`decode_webhook`]: rivvi_core::provider::SmsProvider::decode_webhook
    pub webhook_url: Option<String>,
    /// A messaging service, `MG` and 32 digits, which chooses the sender in place of the campaign's.
    pub messaging_service_sid: Option<String>,
    /// Where the API is. Default `https://api.twilio.com`.
    pub base_url: String,
    /// Name, timeout, rates and prices. Default name `twilio`, one message a second for each sender: Twilio keeps more than
    /// that in a queue, which a calling window does not stop.
    pub terms: SmsTerms,
}

/// A key of Twilio's API. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct TwilioApiKey {
    /// Its id, `SK` and 32 digits.
    pub sid: String,
    /// Its secret.
    pub secret: Secret,
}

impl TwilioOptions {
    /// The options of this account, and otherwise the defaults.
    pub fn new(account_sid: impl Into<String>, auth_token: Secret) -> Self {
        let mut terms = SmsTerms::new("twilio");
        terms.sender_messages_per_second = CallsPerSecond::new(1.0);
        Self {
            account_sid: account_sid.into(),
            auth_token,
            api_key: None,
            shared_keys: BTreeMap::new(),
            webhook_url: None,
            messaging_service_sid: None,
            base_url: "https://api.twilio.com".into(),
            terms,
        }
    }

    /// Name and secret by which requests are authorized.
    pub(super) fn credentials(&self) -> (&str, &str) {
        match &self.api_key {
            Some(key) => (&key.sid, key.secret.expose()),
            None => (&self.account_sid, self.auth_token.expose()),
        }
    }

    pub(super) fn check(&self) -> Result<(), OptionsError> {
        self.terms.check()?;
        let is_sid = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_sid(&self.account_sid) {
            return Err(OptionsError { key: "account_sid", expected: "AC and 32 digits" });
        }
        if !is_token(self.auth_token.expose()) {
            return Err(OptionsError {
                key: "auth_token",
                expected: "the token of the account, without blanks",
            });
        }
        if self.api_key.as_ref().is_some_and(|key| !is_sid(&key.sid) || !is_token(key.secret.expose())) {
            return Err(OptionsError { key: "api_key", expected: "SK and 32 digits, and the key's secret" });
        }
        if self.shared_keys.values().any(|key| key.expose().is_empty()) {
            return Err(OptionsError { key: "shared_keys", expected: "the secret of each key" });
        }
        if self.messaging_service_sid.as_ref().is_some_and(|sid| !is_sid(sid)) {
            return Err(OptionsError { key: "messaging_service_sid", expected: "MG and 32 digits" });
        }
        let is_public = |url: &String| {
            let url = Url::parse(url).ok().filter(|url| url.query().is_none() && url.fragment().is_none());
            url.is_some_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        if self.webhook_url.as_ref().is_some_and(|url| !is_public(url)) {
            let expected = "http:// or https://, a host and a path, without a query";
            return Err(OptionsError { key: "webhook_url", expected });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_and_no_secret_is_shown() {
        let good = || TwilioOptions::new("AC00000000000000000000000000000001", Secret::new("t0ken"));
        assert_eq!(good().check(), Ok(()));
        type Spoil = fn(&mut TwilioOptions);
        let cases: [(Spoil, &str); 8] = [
            (|options| options.account_sid = "AC/../".into(), "account_sid"),
            (|options| options.auth_token = Secret::new(""), "auth_token"),
            (
                |options| options.api_key = Some(TwilioApiKey { sid: "SK1".into(), secret: Secret::new("") }),
                "api_key",
            ),
            (|options| drop(options.shared_keys.insert("a".into(), Secret::new(""))), "shared_keys"),
            (|options| options.messaging_service_sid = Some(" ".into()), "messaging_service_sid"),
            (|options| options.webhook_url = Some("/sms".into()), "webhook_url"),
            (|options| options.webhook_url = Some("https://a.example/sms?x=1".into()), "webhook_url"),
            (|options| options.terms.timeout = std::time::Duration::ZERO, "terms.timeout"),
        ];
        for (spoil, key) in cases {
            let mut options = good();
            spoil(&mut options);
            assert_eq!(options.check().unwrap_err().key, key);
        }
        assert!(!format!("{:?}", good()).contains("t0ken"));
    }
}
