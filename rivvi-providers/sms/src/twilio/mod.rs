//! Twilio Messaging.

mod code;
mod message;
mod options;
mod signature;
mod webhook;

pub use options::{TwilioApiKey, TwilioOptions};

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reqwest::{Method, Url};
use rivvi_core::clock::Clock;
use rivvi_core::domain::{MessageSize, ProviderName};
use rivvi_core::provider::{
    FindSms, Lookup, ProviderError, ProviderErrorKind, SendSms, SentSms, SmsCapabilities, SmsLookup, SmsNews,
    SmsProvider, WebhookError, WebhookRequest,
};

use self::message::Message;
use crate::client::{Client, base_url, form};
use crate::failure::Failure;
use crate::money::times;
use crate::options::OptionsError;

/// Twilio Messaging as a provider of text messages.
///
/// | | |
/// |---|---|
/// | sent again safely | no |
/// | found by | Twilio's id, once known, with price |
/// | receipts | one for each change, signed; our id is in the address they are sent to |
/// | messages that come in | signed; long ones put together by Twilio |
/// | name | `twilio` |
pub struct TwilioSms {
    client: Client,
    messages: Url,
    options: TwilioOptions,
}

impl TwilioSms {
    /// The provider for one account. Asks nothing yet.
    ///
    /// # Errors
    /// If an option makes no sense.
    pub fn new(options: TwilioOptions, clock: Arc<dyn Clock>) -> Result<Self, OptionsError> {
        options.check()?;
        let wrong = OptionsError { key: "base_url", expected: "a base URL such as https://api.twilio.com" };
        let path = format!("2010-04-01/Accounts/{}/Messages", options.account_sid);
        let messages = base_url(&options.base_url)?.join(&path).map_err(|_| wrong)?;
        Ok(Self { client: Client::new(options.terms.timeout, clock)?, messages, options })
    }

    async fn send(&self, request: &SendSms) -> Result<SentSms, Failure> {
        let mut url = self.messages.clone();
        url.set_path(&format!("{}.json", self.messages.path()));
        let fields = message::fields(request, &self.options);
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let (name, secret) = self.options.credentials();
        let post = form(self.client.request(Method::POST, url).basic_auth(name, Some(secret)), fields);
        let message = Message::of(&self.client.send(post).await?)?;
        let parts = MessageSize::of(request.text.expose()).parts;
        let cost = self.options.terms.price_per_part.and_then(|price| times(price, parts));
        Ok(SentSms { reference: Some(message.sid), cost })
    }

    async fn find(&self, query: &FindSms, reference: &str) -> Result<SmsLookup, Failure> {
        // Twilio's ids are letters and digits; nothing else has a place in the path.
        if reference.is_empty() || !reference.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(SmsLookup::NotFound);
        }
        let mut url = self.messages.clone();
        url.set_path(&format!("{}/{reference}.json", self.messages.path()));
        let (name, secret) = self.options.credentials();
        let get = self.client.request(Method::GET, url).basic_auth(name, Some(secret));
        let answer = self.client.send(get).await?;
        match Message::of(&answer) {
            Ok(message) => {
                let receipt = message.receipt(query.message_id, self.client.clock().now());
                Ok(SmsLookup::Found(receipt.updates(&self.name())))
            }
            // Without the code it may be the page of a proxy.
            Err(Failure::Refused(refusal)) if code::is_not_found(&refusal) => Ok(SmsLookup::NotFound),
            Err(failure) => Err(failure),
        }
    }
}

#[async_trait]
impl SmsProvider for TwilioSms {
    fn name(&self) -> ProviderName {
        self.options.terms.name.clone()
    }

    fn capabilities(&self) -> SmsCapabilities {
        let mut can = self.options.terms.capabilities();
        can.lookup = Lookup::ByReference;
        can.receipts = true;
        can
    }

    async fn send_sms(&self, request: &SendSms) -> Result<SentSms, ProviderError> {
        self.send(request).await.map_err(|failure| failure.of_effect(&self.name(), "send_sms"))
    }

    async fn find_sms(&self, query: &FindSms) -> Result<SmsLookup, ProviderError> {
        let unsupported = ProviderError::not_sent(&self.name(), "find_sms", ProviderErrorKind::Unsupported);
        let reference = query.reference.as_ref().ok_or(unsupported)?;
        let found = self.find(query, reference).await;
        found.map_err(|failure| failure.of_question(&self.name(), "find_sms"))
    }

    fn decode_webhook(&self, request: &WebhookRequest, now: DateTime<Utc>) -> Result<SmsNews, WebhookError> {
        let public = self.options.webhook_url.as_ref().ok_or(WebhookError::Unsupported)?;
        signature::verify(request, public, &self.options)?;
        webhook::read(&self.name(), request, now)
    }
}

impl fmt::Debug for TwilioSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioSms").field("options", &self.options).finish_non_exhaustive()
    }
}
