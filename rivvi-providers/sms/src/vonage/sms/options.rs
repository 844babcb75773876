//! What a host tells about its account at the SMS API.

use std::time::Duration;

use rivvi_core::domain::{CallsPerSecond, Secret};

use super::signature::VonageSignature;
use crate::options::{OptionsError, SmsTerms, is_token};

/// What a host tells about its account at Vonage's SMS API. `Debug` shows no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VonageSmsOptions {
    /// The key of the account, of 8 characters.
    pub api_key: String,
    /// The secret of the account.
    pub api_secret: Secret,
    /// How webhooks are signed, as the account's settings say. Without it there are no webhooks, and so no receipts.
    pub signature: Option<VonageSignature>,
    /// Whether requests are signed as well, in place of the secret. Needs [`signature`](Self::signature). Default no.
    pub sign_requests: bool,
    /// Where receipts are sent, at most 100 characters; as the account's settings say if absent.
    pub webhook_url: Option<String>,
    /// How old a webhook may be, by its signature. Default 25 hours: Vonage delivers again for a day, and a webhook that
    /// comes twice has no second effect.
    pub webhook_age_max: Duration,
    /// Where the API is. Default `https://rest.nexmo.com`.
    pub base_url: String,
    /// Name, timeout, rates and prices. Default name `vonage`, 30 messages a second, which is what an account may send by
    /// default.
    pub terms: SmsTerms,
}

impl VonageSmsOptions {
    /// The options of this account, and otherwise the defaults.
    pub fn new(api_key: impl Into<String>, api_secret: Secret) -> Self {
        let mut terms = SmsTerms::new("vonage");
        terms.messages_per_second = CallsPerSecond::new(30.0);
        Self {
            api_key: api_key.into(),
            api_secret,
            signature: None,
            sign_requests: false,
            webhook_url: None,
            webhook_age_max: super::super::WEBHOOK_AGE_MAX,
            base_url: "https://rest.nexmo.com".into(),
            terms,
        }
    }

    pub(super) fn check(&self) -> Result<(), OptionsError> {
        self.terms.check()?;
        if !is_token(&self.api_key) {
            return Err(OptionsError { key: "api_key", expected: "the key of the account, without blanks" });
        }
        if !is_token(self.api_secret.expose()) {
            let expected = "the secret of the account, without blanks";
            return Err(OptionsError { key: "api_secret", expected });
        }
        if self.signature.as_ref().is_some_and(|signature| signature.secret.expose().is_empty()) {
            let expected = "the signature secret of the account, or no signature at all";
            return Err(OptionsError { key: "signature.secret", expected });
        }
        if self.sign_requests && self.signature.is_none() {
            return Err(OptionsError { key: "sign_requests", expected: "a signature to sign with" });
        }
        if self.webhook_url.as_ref().is_some_and(|url| url.len() > 100 || !url.starts_with("http")) {
            let expected = "http:// or https:// and at most 100 characters";
            return Err(OptionsError { key: "webhook_url", expected });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::signature::VonageSignatureMethod;
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_and_no_secret_is_shown() {
        let good = || VonageSmsOptions::new("abcd1234", Secret::new("s3cr3t"));
        assert_eq!(good().check(), Ok(()));
        type Spoil = fn(&mut VonageSmsOptions);
        let cases: [(Spoil, &str); 7] = [
            (|options| options.api_key = "a b".into(), "api_key"),
            (|options| options.api_secret = Secret::new(""), "api_secret"),
            (|options| options.sign_requests = true, "sign_requests"),
            (|options| options.webhook_url = Some("/receipts".into()), "webhook_url"),
            (|options| options.webhook_url = Some(format!("https://{}", "a".repeat(100))), "webhook_url"),
            (|options| options.terms.timeout = Duration::ZERO, "terms.timeout"),
            (
                |options| {
                    let method = VonageSignatureMethod::HmacSha256;
                    options.signature = Some(VonageSignature { secret: Secret::new(""), method });
                },
                "signature.secret",
            ),
        ];
        for (spoil, key) in cases {
            let mut options = good();
            spoil(&mut options);
            assert_eq!(options.check().unwrap_err().key, key);
        }
        assert!(!format!("{:?}", good()).contains("s3cr3t"));
    }
}
