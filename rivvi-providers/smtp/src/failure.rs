//! What went wrong at an SMTP server, and whether an e-mail can have been sent: pure.

use std::error::Error as _;
use std::fmt;

use lettre::transport::smtp::Error;
use rivvi_core::domain::ProviderName;
use rivvi_core::provider::{Delivery, ProviderError, ProviderErrorKind};

/// How far an e-mail has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has not left: its address or its text cannot be written.
    Compose,
    Connect,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// The server has said that it waits for the message: from here on it may have it.
    Message,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The server said no, with a code of three digits and perhaps an enhanced one (RFC 3463).
    Refused { code: u16, enhanced: Option<(u16, u16)> },
    /// The connection broke, or did not come about.
    Cut,
    /// There was no answer in time.
    Late,
    /// The answer cannot be understood.
    Garbled,
    /// The connection could not be secured.
    Tls,
    /// The server lacks what is needed.
    Lacking,
    /// The address of the recipient is none for this server.
    Address,
}

/// How sending failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) stage: Stage,
    pub(crate) wrong: Wrong,
}

impl Failure {
    pub(crate) const fn new(stage: Stage, wrong: Wrong) -> Self {
        Self { stage, wrong }
    }

    pub(crate) fn of(stage: Stage, error: &Error) -> Self {
        Self::new(stage, wrong(error))
    }

    /// What it means for the e-mail.
    ///
    /// Until the server asks for the message, nothing can be sent. When it refuses the message after its end, it is not
    /// responsible for it (RFC 5321, section 4.2.5). Whatever else happens after the message began may have come after its
    /// end (section 4.5.3.2.6).
    pub(crate) fn judge(self) -> (ProviderErrorKind, Delivery) {
        use ProviderErrorKind as Kind;
        let kind = match self.wrong {
            Wrong::Refused { code, enhanced } => {
                return (refusal(self.stage, code, enhanced), Delivery::NotSent);
            }
            Wrong::Tls => Kind::Unavailable,
            Wrong::Lacking if self.stage == Stage::Auth => Kind::Unauthorized,
            Wrong::Lacking => Kind::InvalidRequest,
            Wrong::Address => return (Kind::InvalidNumber, Delivery::NotSent),
            Wrong::Cut => Kind::Unavailable,
            Wrong::Late => Kind::Timeout,
            Wrong::Garbled => Kind::Protocol,
        };
        let delivery = if self.stage == Stage::Message { Delivery::Unknown } else { Delivery::NotSent };
        (kind, delivery)
    }

    pub(crate) fn named(self, provider: &ProviderName) -> ProviderError {
        let (kind, delivery) = self.judge();
        let error = match delivery {
            Delivery::NotSent => ProviderError::not_sent(provider, "send_email", kind),
            Delivery::Unknown => ProviderError::unknown(provider, "send_email", kind),
        };
        error.with_source(self)
    }
}

/// What a refusal is about: codes of RFC 5321, section 4.2.3, and RFC 4954, section 6; enhanced ones of RFC 3463.
fn refusal(stage: Stage, code: u16, enhanced: Option<(u16, u16)>) -> ProviderErrorKind {
    use ProviderErrorKind as Kind;
    let (subject, detail) = enhanced.unwrap_or((0, 0));
    match (stage, code) {
        (_, 530 | 534 | 535 | 538) => Kind::Unauthorized,
        // Policy for now, or too many recipients.
        (_, 400..=499) if subject == 7 || (subject, detail) == (5, 3) => Kind::RateLimited,
        (_, 400..=499) => Kind::Unavailable,
        (Stage::Connect | Stage::StartTls, _) => Kind::Unavailable,
        (Stage::Auth, _) => Kind::Unauthorized,
        (_, 500 | 502..=504) => Kind::Protocol,
        (Stage::Rcpt, _) => Kind::InvalidNumber,
        // Some servers look at the recipient when the message is there.
        (Stage::Data | Stage::Message, _) if subject == 1 && matches!(detail, 1..=3 | 6 | 10) => {
            Kind::InvalidNumber
        }
        _ => Kind::InvalidRequest,
    }
}

fn wrong(error: &Error) -> Wrong {
    if let Some(code) = error.status() {
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        return Wrong::Refused { code: code.into(), enhanced: enhanced(&text) };
    }
    if error.is_timeout() {
        Wrong::Late
    } else if error.is_tls() {
        Wrong::Tls
    } else if error.is_client() {
        Wrong::Lacking
    } else if error.is_response() && !error.to_string().contains("incomplete response") {
        Wrong::Garbled
    } else {
        Wrong::Cut
    }
}

/// The second and third number of an enhanced code, with which a text may begin.
fn enhanced(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().next()?.split('.').map(|number| number.parse::<u16>().ok());
    let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && matches!(class, 2 | 4 | 5)).then_some((subject, detail))
}

impl fmt::Display for Failure {
    /// Without what the server said, which may repeat addresses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.stage {
            Stage::Compose => "before sending",
            Stage::Connect => "connecting",
            Stage::StartTls => "STARTTLS",
            Stage::Auth => "AUTH",
            Stage::Mail => "MAIL FROM",
            Stage::Rcpt => "RCPT TO",
            Stage::Data => "DATA",
            Stage::Message => "the message",
        })?;
        match self.wrong {
            Wrong::Refused { code, enhanced: None } => write!(f, ": refused with {code}"),
            Wrong::Refused { code, enhanced: Some((subject, detail)) } => {
                write!(f, ": refused with {code} {}.{subject}.{detail}", code / 100)
            }
            Wrong::Cut => f.write_str(": the connection broke, or did not come about"),
            Wrong::Late => f.write_str(": no answer in time"),
            Wrong::Garbled => f.write_str(": the answer is none of SMTP"),
            Wrong::Tls => f.write_str(": the connection could not be secured; check host and certificates"),
            Wrong::Lacking => {
                f.write_str(": the server has not what is needed, such as STARTTLS or a way to log in")
            }
            Wrong::Address => f.write_str(": the recipient's address is none that this server takes"),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_codes_are_read_where_they_stand() {
        for (text, expected) in [
            ("5.1.1 No such user", Some((1, 1))),
            ("4.7.0", Some((7, 0))),
            ("No 5.1.1 such user", None),
            ("3.1.1 x", None),
            ("5.1 x", None),
            ("5.1.1.1 x", None),
            ("5.x.1", None),
            ("", None),
        ] {
            assert_eq!(enhanced(text), expected, "{text:?}");
        }
    }

    #[test]
    fn every_failure_is_told_for_what_it_is() {
        use Delivery::{NotSent, Unknown};
        use ProviderErrorKind as Kind;
        let refused =
            |stage, code, text: &str| Failure::new(stage, Wrong::Refused { code, enhanced: enhanced(text) });
        for (failure, kind, delivery) in [
            (refused(Stage::Connect, 554, "no service here"), Kind::Unavailable, NotSent),
            (refused(Stage::Connect, 421, "4.7.0 too many connections"), Kind::RateLimited, NotSent),
            (refused(Stage::StartTls, 454, "TLS not available"), Kind::Unavailable, NotSent),
            (refused(Stage::Auth, 535, "5.7.8 bad password"), Kind::Unauthorized, NotSent),
            (refused(Stage::Auth, 504, "unknown mechanism"), Kind::Unauthorized, NotSent),
            (refused(Stage::Auth, 454, "4.7.0 temporary"), Kind::RateLimited, NotSent),
            (refused(Stage::Auth, 454, "temporary"), Kind::Unavailable, NotSent),
            (refused(Stage::Mail, 530, "5.7.0 log in first"), Kind::Unauthorized, NotSent),
            (refused(Stage::Mail, 553, "5.1.8 not your address"), Kind::InvalidRequest, NotSent),
            (refused(Stage::Mail, 421, "closing"), Kind::Unavailable, NotSent),
            (refused(Stage::Mail, 451, "4.3.0 local error"), Kind::Unavailable, NotSent),
            (refused(Stage::Rcpt, 550, "5.1.1 no such user"), Kind::InvalidNumber, NotSent),
            (refused(Stage::Rcpt, 550, ""), Kind::InvalidNumber, NotSent),
            (refused(Stage::Rcpt, 501, "5.1.3 bad syntax"), Kind::InvalidNumber, NotSent),
            (refused(Stage::Rcpt, 552, "5.2.2 mailbox full"), Kind::InvalidNumber, NotSent),
            (refused(Stage::Rcpt, 503, "5.5.1 MAIL first"), Kind::Protocol, NotSent),
            (refused(Stage::Rcpt, 450, "4.2.0 greylisted"), Kind::Unavailable, NotSent),
            (refused(Stage::Rcpt, 450, "4.7.1 greylisted"), Kind::RateLimited, NotSent),
            (refused(Stage::Rcpt, 452, "4.5.3 too many recipients"), Kind::RateLimited, NotSent),
            (refused(Stage::Data, 451, ""), Kind::Unavailable, NotSent),
            (refused(Stage::Data, 554, "no valid recipients"), Kind::InvalidRequest, NotSent),
            (refused(Stage::Message, 451, "4.3.0"), Kind::Unavailable, NotSent),
            (refused(Stage::Message, 554, "5.7.1 spam"), Kind::InvalidRequest, NotSent),
            (refused(Stage::Message, 552, "5.3.4 too big"), Kind::InvalidRequest, NotSent),
            (refused(Stage::Message, 550, "5.1.10 recipient not found"), Kind::InvalidNumber, NotSent),
            (Failure::new(Stage::Compose, Wrong::Address), Kind::InvalidNumber, NotSent),
            (Failure::new(Stage::Connect, Wrong::Cut), Kind::Unavailable, NotSent),
            (Failure::new(Stage::Connect, Wrong::Tls), Kind::Unavailable, NotSent),
            (Failure::new(Stage::StartTls, Wrong::Lacking), Kind::InvalidRequest, NotSent),
            (Failure::new(Stage::Auth, Wrong::Lacking), Kind::Unauthorized, NotSent),
            (Failure::new(Stage::Mail, Wrong::Late), Kind::Timeout, NotSent),
            (Failure::new(Stage::Rcpt, Wrong::Garbled), Kind::Protocol, NotSent),
            (Failure::new(Stage::Data, Wrong::Cut), Kind::Unavailable, NotSent),
            (Failure::new(Stage::Message, Wrong::Cut), Kind::Unavailable, Unknown),
            (Failure::new(Stage::Message, Wrong::Late), Kind::Timeout, Unknown),
            (Failure::new(Stage::Message, Wrong::Garbled), Kind::Protocol, Unknown),
        ] {
            assert_eq!(failure.judge(), (kind, delivery), "{failure}");
        }
    }
}
