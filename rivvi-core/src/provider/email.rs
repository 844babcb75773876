//! The trait of providers of e-mail.

use std::fmt::Debug;

use async_trait::async_trait;

use super::error::ProviderError;
use crate::domain::{CallId, CallsPerSecond, EmailAddress, OrgId, Personal, ProviderName};

/// What sends e-mails.
///
/// Implementations are shared by every task of the engine. They never repeat [`send_email`](Self::send_email) by
/// themselves, and never put addresses, texts or credentials into errors, logs or `Debug`.
#[async_trait]
pub trait EmailProvider: Debug + Send + Sync + 'static {
    /// The name it is registered under; the same for as long as its messages are remembered.
    fn name(&self) -> ProviderName;

    /// How fast it may be fed; the engine stays below.
    fn emails_per_second(&self) -> Option<CallsPerSecond> {
        None
    }

    /// Hands an e-mail to the provider. `Ok` means the provider has it. The sender is the provider's to know.
    ///
    /// # Errors
    /// [`Delivery::NotSent`](super::Delivery::NotSent) only if it is certain that nothing is or will be sent; a refused
    /// address is [`InvalidNumber`](super::ProviderErrorKind::InvalidNumber).
    async fn send_email(&self, request: &SendEmail) -> Result<SentEmail, ProviderError>;
}

/// An e-mail to be sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SendEmail {
    /// Our id of the message; goes into its `Message-ID` where the provider lets us.
    pub message_id: CallId,
    /// Whose message.
    pub org_id: OrgId,
    /// The name of the organization, as the display name of the sender.
    pub org_name: String,
    /// Where it goes.
    pub to: EmailAddress,
    /// Its subject.
    pub subject: Personal<String>,
    /// What it says, as plain text.
    pub text: Personal<String>,
}

impl SendEmail {
    /// An e-mail outside any campaign, for trying out a provider and for tests.
    pub fn new(
        message_id: CallId,
        to: EmailAddress,
        subject: impl Into<String>,
        text: impl Into<String>,
    ) -> Self {
        Self {
            message_id,
            org_id: OrgId::from_uuid(uuid::Uuid::nil()),
            org_name: String::new(),
            to,
            subject: Personal::new(subject.into()),
            text: Personal::new(text.into()),
        }
    }

    /// The subject on one line, so that nothing in it can become another header: runs of spaces and control characters
    /// are one space.
    pub fn subject_line(&self) -> Personal<String> {
        Personal::new(one_line(self.subject.expose()))
    }

    /// The name of the organization on one line, cut after 64 characters; `None` if it has none.
    pub fn sender_name(&self) -> Option<String> {
        let name: String = one_line(&self.org_name).chars().take(SENDER_NAME_CHARS_MAX).collect();
        let name = name.trim_end();
        (!name.is_empty()).then(|| name.to_owned())
    }
}

const SENDER_NAME_CHARS_MAX: usize = 64;

fn one_line(text: &str) -> String {
    let gap = |sign: char| sign.is_whitespace() || sign.is_control();
    text.split(gap).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The provider's answer to an accepted e-mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentEmail {
    /// The provider's own id of the message, if it gave one.
    pub reference: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_ends_in_what_becomes_a_header() {
        let to = EmailAddress::new("dana@example.org").unwrap();
        let id = CallId::from_uuid(uuid::Uuid::nil());
        let subject = " a\r\nBcc: b@c.d\0\u{85}\u{2028}\u{2029}\tג ";
        let mut email = SendEmail::new(id, to, subject, "text");
        assert_eq!(email.subject_line().expose(), "a Bcc: b@c.d ג");
        assert_eq!(email.sender_name(), None);
        email.org_name = "מרפאה\r\n".repeat(40);
        let name = email.sender_name().unwrap();
        assert!(name.starts_with("מרפאה מרפאה ") && name.chars().count() <= 64, "{name:?}");
    }
}
