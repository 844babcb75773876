//! What a host tells about its account at the Messages API.

use std::time::Duration;

use rivvi_core::domain::{CallsPerSecond, Secret};

use crate::options::{OptionsError, SmsTerms, is_token};

/// What a host tells about its account at Vonage's Messages API. `Debug` shows no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VonageMessagesOptions {
    /// Who asks.
    pub credentials: VonageCredentials,
    /// The signature secret of the account, which signs webhooks. Without it there are no webhooks, and so no receipts.
    pub signature_secret: Option<Secret>,
    /// Where receipts are sent; as the application says if absent.
    pub webhook_url: Option<String>,
    /// How old a webhook may be, by its token. Default 25 hours: Vonage delivers again for a day, and a webhook that comes
    /// twice has no second effect.
    pub webhook_age_max: Duration,
    /// Where the API is. Default `https://api.nexmo.com`.
    pub base_url: String,
    /// Name, timeout, rates and prices. Default name `vonage-messages`, 30 messages a second.
    pub terms: SmsTerms,
}

/// Who asks the Messages API. `Debug` shows no secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum VonageCredentials {
    /// An application, by tokens that are made for each request.
    Application(VonageApplication),
    /// The account, by its key and secret.
    Account {
        /// The key, of 8 characters.
        api_key: String,
        /// The secret.
        api_secret: Secret,
    },
}

/// An application of Vonage. `Debug` shows no key.
#[derive(Debug, Clone)]
pub struct VonageApplication {
    /// Its id.
    pub id: String,
    /// Its private key, as the PEM file that the dashboard gives (RSA).
    pub private_key: Secret,
}

impl VonageMessagesOptions {
    /// The options with these credentials, and otherwise the defaults.
    pub fn new(credentials: VonageCredentials) -> Self {
        let mut terms = SmsTerms::new("vonage-messages");
        terms.messages_per_second = CallsPerSecond::new(30.0);
        Self {
            credentials,
            signature_secret: None,
            webhook_url: None,
            webhook_age_max: crate::vonage::WEBHOOK_AGE_MAX,
            base_url: "https://api.nexmo.com".into(),
            terms,
        }
    }

    pub(super) fn check(&self) -> Result<(), OptionsError> {
        self.terms.check()?;
        match &self.credentials {
            VonageCredentials::Application(VonageApplication { id, .. }) if !is_token(id) => {
                return Err(OptionsError { key: "credentials.id", expected: "the id of the application" });
            }
            VonageCredentials::Account { api_key, .. } if !is_token(api_key) => {
                let expected = "the key of the account, without blanks";
                return Err(OptionsError { key: "credentials.api_key", expected });
            }
            VonageCredentials::Account { api_secret, .. } if !is_token(api_secret.expose()) => {
                let expected = "the secret of the account, without blanks";
                return Err(OptionsError { key: "credentials.api_secret", expected });
            }
            _ => {}
        }
        if self.signature_secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
            let expected = "the signature secret of the account, or none at all";
            return Err(OptionsError { key: "signature_secret", expected });
        }
        if self.webhook_url.as_ref().is_some_and(|url| !url.starts_with("http")) {
            return Err(OptionsError { key: "webhook_url", expected: "http:// or https://" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_and_no_secret_is_shown() {
        let account = |api_key: &str, api_secret: &str| VonageCredentials::Account {
            api_key: api_key.into(),
            api_secret: Secret::new(api_secret),
        };
        let application = |id: &str| {
            let private_key = Secret::new("-----BEGIN");
            VonageCredentials::Application(VonageApplication { id: id.into(), private_key })
        };
        let check = |credentials| VonageMessagesOptions::new(credentials).check().map_err(|error| error.key);
        assert_eq!(check(account("abcd1234", "s3cr3t")), Ok(()));
        assert_eq!(check(application("a-b")), Ok(()));
        assert_eq!(check(account("", "s3cr3t")), Err("credentials.api_key"));
        assert_eq!(check(account("abcd1234", "")), Err("credentials.api_secret"));
        assert_eq!(check(application("")), Err("credentials.id"));
        let mut options = VonageMessagesOptions::new(account("abcd1234", "s3cr3t"));
        assert!(!format!("{options:?}").contains("s3cr3t"));
        options.webhook_url = Some("/receipts".into());
        assert_eq!(options.check().unwrap_err().key, "webhook_url");
        options.signature_secret = Some(Secret::new(""));
        assert_eq!(options.check().unwrap_err().key, "signature_secret");
    }
}
