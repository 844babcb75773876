//! An e-mail as it is written: pure.

use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use rivvi_core::provider::SendEmail;

use crate::failure::{Failure, Stage, Wrong};
use crate::options::SmtpOptions;

/// An e-mail, ready to be handed over.
pub(crate) struct Letter {
    pub(crate) from: Address,
    pub(crate) to: Address,
    /// In ASCII, with lines of at most 998 characters.
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn write(email: &SendEmail, options: &SmtpOptions) -> Result<Letter, Failure> {
    let bad_address = Failure::new(Stage::Compose, Wrong::Address);
    let not_written = Failure::new(Stage::Compose, Wrong::Lacking);
    let from: Address = options.from.expose().parse().map_err(|_| not_written)?;
    let to: Address = email.to.expose().parse().map_err(|_| bad_address)?;
    let name = options.from_name.clone().or_else(|| email.sender_name());
    let auto = HeaderName::new_from_ascii_str("Auto-Submitted");
    let mut message = Message::builder()
        .from(Mailbox::new(name, from.clone()))
        .to(Mailbox::new(None, to.clone()))
        .subject(email.subject_line().into_inner())
        .message_id(Some(format!("<{}@{}>", email.message_id, from.domain())))
        .date_now()
        .header(ContentType::TEXT_PLAIN)
        // So that nobody's answering machine answers (RFC 3834).
        .raw_header(HeaderValue::new(auto, "auto-generated".into()));
    if let Some(reply_to) = &options.reply_to {
        message = message.reply_to(reply_to.expose().parse().map_err(|_| not_written)?);
    }
    let message = message.body(with_line_ends(email.text.expose())).map_err(|_| not_written)?;
    Ok(Letter { from, to, bytes: message.formatted() })
}

/// The text with one kind of line ends, and without what no text has.
fn with_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "").replace('\n', "\r\n")
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::{CallId, EmailAddress};

    use super::*;

    #[test]
    fn letters_are_ascii_and_carry_our_id() {
        let to = EmailAddress::new("dana@example.org").unwrap();
        let id: CallId = serde_json::from_str("\"0190a1b2-0000-7000-8000-000000000001\"").unwrap();
        let mut email = SendEmail::new(id, to, "תזכורת\r\nBcc: x@example.org", "שלום\rדנה\n.\n");
        email.org_name = "צפון\r\nX-A: b".into();
        let options = SmtpOptions::new("localhost", EmailAddress::new("office@clinic.example").unwrap());
        let letter = write(&email, &options).ok().unwrap();
        let text = String::from_utf8(letter.bytes).unwrap();
        assert!(text.is_ascii() && text.split("\r\n").all(|line| line.len() <= 998), "{text}");
        assert!(
            text.contains("Message-ID: <0190a1b2-0000-7000-8000-000000000001@clinic.example>\r\n"),
            "{text}"
        );
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> =
            head.split("\r\n").filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
        assert!(
            names.contains(&"Auto-Submitted") && !names.contains(&"Bcc") && !names.contains(&"X-A"),
            "{head}"
        );
    }
}
