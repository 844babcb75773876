//! E-mail for Rivvi by [Amazon SES](https://docs.aws.amazon.com/ses/latest/dg/Welcome.html).
//!
//! ```no_run
//! use rivvi_core::domain::EmailAddress;
//! use rivvi_core::provider::{EmailProvider, SendEmail};
//! use rivvi_provider_ses::{Ses, SesOptions};
//!
//! # async fn send(email: SendEmail) -> Result<(), rivvi_core::provider::ProviderError> {
//! let from = EmailAddress::new("office@clinic.example").expect("an address");
//! let ses = Ses::connect(SesOptions::new(from)).await;
//! ses.send_email(&email).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **Each e-mail is handed over once.** The client repeats nothing. What SES refuses is not sent; what breaks after the
//!   request was written, and what SES answers with a status from 500, may have been.
//! - **Our id goes with it** as the tag [`MESSAGE_ID_TAG`], which SES tells in its events. SES makes the `Message-ID` itself;
//!   its own id is the [reference](rivvi_core::provider::SentEmail::reference).
//! - **Any script** in subject, text and name of the sender. Addresses are in ASCII: others are refused here, because SES
//!   takes none (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html>).

mod failure;
mod options;
mod sender;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::BuildError;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageTag};
use rivvi_core::domain::{CallsPerSecond, ProviderName};
use rivvi_core::provider::{EmailProvider, ProviderError, SendEmail, SentEmail};

pub use options::SesOptions;

use failure::Failure;

/// The tag that carries our id of a message.
pub const MESSAGE_ID_TAG: &str = "rivvi-message-id";

/// E-mail by Amazon SES. Clones share connections.
#[derive(Clone)]
pub struct Ses {
    client: Client,
    options: Arc<SesOptions>,
}

impl Ses {
    /// Finds region, credentials and endpoint as AWS programs do: environment, profile, container, instance. Sends
    /// nothing yet.
    pub async fn connect(options: SesOptions) -> Self {
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await;
        Self::new(&config, options)
    }

    /// With this configuration, whose retries and timeouts are replaced by those of `options`.
    pub fn new(config: &aws_config::SdkConfig, options: SesOptions) -> Self {
        Self::from_client_config(aws_sdk_sesv2::config::Builder::from(config), options)
    }

    /// With this configuration of its client, whose retries and timeouts are replaced by those of `options`.
    pub fn from_client_config(config: aws_sdk_sesv2::config::Builder, options: SesOptions) -> Self {
        let config = config
            .retry_config(aws_sdk_sesv2::config::retry::RetryConfig::disabled())
            .timeout_config(options.timeouts());
        Self { client: Client::from_conf(config.build()), options: Arc::new(options) }
    }

    /// At a server that plays SES and checks no credentials, at a URL such as `http://127.0.0.1:5000`.
    pub fn local(url: &str, options: SesOptions) -> Self {
        use aws_sdk_sesv2::config::{BehaviorVersion, Builder, Credentials, Region};
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("rivvi", "local", None, None, "local"));
        Self::from_client_config(config, options)
    }

    async fn send(&self, email: &SendEmail) -> Result<SentEmail, Failure> {
        let options = &*self.options;
        if !email.to.expose().is_ascii() {
            return Err(Failure::Address);
        }
        let name = options.from_name.clone().or_else(|| email.sender_name());
        let from = sender::mailbox(name.as_deref(), options.from.expose());
        let reply_to: Vec<String> =
            options.reply_to.iter().map(|address| address.expose().to_owned()).collect();
        let request = self
            .client
            .send_email()
            .from_email_address(from)
            .destination(Destination::builder().to_addresses(email.to.expose()).build())
            .set_reply_to_addresses((!reply_to.is_empty()).then_some(reply_to))
            .set_configuration_set_name(options.configuration_set.clone())
            .content(content(email).map_err(|_| Failure::NotBuilt)?)
            .email_tags(tag(email).map_err(|_| Failure::NotBuilt)?);
        let answer = request.send().await.map_err(|error| Failure::of(&error))?;
        // SES gives every e-mail that it takes an id; without one it was somebody else who answered.
        let id = answer.message_id.filter(|id| !id.is_empty()).ok_or(Failure::Unreadable)?;
        Ok(SentEmail { reference: Some(id) })
    }
}

fn content(email: &SendEmail) -> Result<EmailContent, BuildError> {
    let utf8 = |text: &str| Content::builder().data(text).charset("UTF-8").build();
    let text = Body::builder().text(utf8(email.text.expose())?).build();
    let message = Message::builder().subject(utf8(email.subject_line().expose())?).body(text).build();
    Ok(EmailContent::builder().simple(message).build())
}

fn tag(email: &SendEmail) -> Result<MessageTag, BuildError> {
    MessageTag::builder().name(MESSAGE_ID_TAG).value(email.message_id.to_string()).build()
}

#[async_trait]
impl EmailProvider for Ses {
    fn name(&self) -> ProviderName {
        ProviderName::new("ses")
    }

    fn emails_per_second(&self) -> Option<CallsPerSecond> {
        self.options.emails_per_second
    }

    async fn send_email(&self, request: &SendEmail) -> Result<SentEmail, ProviderError> {
        self.send(request).await.map_err(|failure| failure.named(&self.name()))
    }
}

impl fmt::Debug for Ses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ses").field("options", &self.options).finish_non_exhaustive()
    }
}
