//! How SES sends.

use std::time::Duration;

use aws_sdk_sesv2::config::timeout::TimeoutConfig;
use rivvi_core::domain::{CallsPerSecond, EmailAddress};

/// How SES sends.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SesOptions {
    /// The sender: an address that is verified at SES, or one of a verified domain.
    pub from: EmailAddress,
    /// The name shown as that of the sender. Default that of the organization.
    pub from_name: Option<String>,
    /// Where answers go. Default to the sender.
    pub reply_to: Vec<EmailAddress>,
    /// The configuration set. Default that of the sender's identity.
    pub configuration_set: Option<String>,
    /// How many e-mails a second the account may send. Default 14, what accounts outside of the sandbox begin with
    /// (<https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas.html>).
    pub emails_per_second: Option<CallsPerSecond>,
    /// How long a connection may take. Default 2 s.
    pub connect_timeout: Duration,
    /// How long one request may take until its answer is there. Default 10 s.
    pub request_timeout: Duration,
}

impl SesOptions {
    /// The defaults, with this sender.
    pub fn new(from: EmailAddress) -> Self {
        Self {
            from,
            from_name: None,
            reply_to: Vec::new(),
            configuration_set: None,
            emails_per_second: CallsPerSecond::new(14.0),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .operation_attempt_timeout(self.request_timeout)
            .build()
    }
}
