//! What an attempt by text message or e-mail carries, and what became of it.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::personal::Personal;
use super::phone::E164;

/// By what an attempt tries to reach a contact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Medium {
    /// A telephone call.
    #[default]
    Voice,
    /// A text message.
    Sms,
    /// An e-mail.
    Email,
}

impl Medium {
    /// Every medium.
    pub const ALL: [Self; 3] = [Self::Voice, Self::Sms, Self::Email];

    /// The name used in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Voice => "voice",
            Self::Sms => "sms",
            Self::Email => "email",
        }
    }
}

/// The message of an attempt by text message or e-mail: what was written, as it went out, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Message {
    /// Text message or e-mail.
    pub medium: Medium,
    /// The address of an e-mail. A text message goes to the number of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<EmailAddress>,
    /// Who it comes from, if not the organization's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
    /// The subject of an e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Personal<String>>,
    /// The text, with everything filled in.
    pub text: Personal<String>,
    /// What became of it, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<MessageDelivery>,
    /// What the contact answered, in the order in which it was heard of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replies: Vec<Reply>,
    /// When the message was first seen to be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<DateTime<Utc>>,
    /// How often its links were followed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub clicks: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Message {
    /// The most replies that are kept with a message.
    pub const REPLIES_MAX: usize = 32;

    /// A text message.
    pub fn sms(text: impl Into<String>) -> Self {
        Self {
            medium: Medium::Sms,
            to: None,
            sender: None,
            subject: None,
            text: Personal::new(text.into()),
            delivery: None,
            replies: Vec::new(),
            opened_at: None,
            clicks: 0,
        }
    }

    /// An e-mail.
    pub fn email(to: EmailAddress, subject: impl Into<String>, text: impl Into<String>) -> Self {
        let subject = Some(Personal::new(subject.into()));
        Self { medium: Medium::Email, to: Some(to), subject, ..Self::sms(text) }
    }

    /// In how many parts it is sent, and how they are encoded.
    pub fn size(&self) -> MessageSize {
        MessageSize::of(self.text.expose())
    }
}

/// What a provider says became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageDelivery {
    /// Where it is.
    pub state: DeliveryState,
    /// Why it did not arrive, if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<DeliveryFailure>,
    /// The provider's own code for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When, by the provider's clock.
    pub at: DateTime<Utc>,
}

/// Where a message is, in the order of the states: a later one is not left for an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryState {
    /// The provider has it.
    Queued,
    /// The network has it.
    Sent,
    /// It is on the phone, or in the mailbox.
    Delivered,
    /// The network could not deliver it.
    Undelivered,
    /// The provider could not send it.
    Failed,
}

impl DeliveryState {
    /// Every state, in their order.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Sent, Self::Delivered, Self::Undelivered, Self::Failed];

    /// Whether nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Undelivered | Self::Failed)
    }

    /// The name used in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a message did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeliveryFailure {
    /// The number cannot receive text messages: a landline, or a phone without them.
    NoSms,
    /// The recipient wants no messages of this sender. The number is suppressed.
    Unsubscribed,
    /// The number does not exist.
    InvalidNumber,
    /// Too many messages at once. Worth another try.
    Throttled,
    /// The phone is off or out of reach, or the network is disturbed. Worth another try.
    Unreachable,
    /// A carrier or a law forbids the message: content, sender, hour, or age.
    Blocked,
    /// It waited too long.
    Expired,
    /// The account may not send it: credit, registration, permission.
    Account,
    /// Anything else.
    Other,
}

impl DeliveryFailure {
    /// Whether the same message may arrive later.
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable | Self::Expired)
    }

    /// The name used in the journal and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoSms => "no_sms",
            Self::Unsubscribed => "unsubscribed",
            Self::InvalidNumber => "invalid_number",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
            Self::Blocked => "blocked",
            Self::Expired => "expired",
            Self::Account => "account",
            Self::Other => "other",
        }
    }
}

/// What a contact answered to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The provider's id of the answer: the same answer is kept once.
    pub id: String,
    /// What it says.
    pub text: Personal<String>,
    /// When it came, by the provider's clock.
    pub at: DateTime<Utc>,
}

/// Who a text message comes from: a number, which can be answered, or a name, which cannot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Sender {
    /// A number.
    Number(E164),
    /// 1 to 11 letters, digits and spaces of ASCII with at least one letter (3GPP TS 23.040, alphanumeric address).
    Name(String),
    /// A short code: 3 to 8 digits.
    ShortCode(String),
}

impl Sender {
    /// Reads a number in E.164 with its `+`, a short code, or a name.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with('+') {
            return E164::from_e164(text).ok().map(Self::Number);
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return (3..=8).contains(&text.len()).then(|| Self::ShortCode(text.to_owned()));
        }
        let allowed =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-' | b'_' | b'.' | b'&');
        let valid =
            text.len() <= 11 && text.bytes().all(allowed) && text.bytes().any(|b| b.is_ascii_alphabetic());
        valid.then(|| Self::Name(text.to_owned()))
    }

    /// As it is written to a provider: a number with its `+`.
    pub fn expose(&self) -> String {
        match self {
            Self::Number(number) => number.expose(),
            Self::Name(text) | Self::ShortCode(text) => text.clone(),
        }
    }
}

impl TryFrom<String> for Sender {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or(
            "expected a number such as \"+972541234567\", a short code of 3 to 8 digits, or a name of up to 11 letters",
        )
    }
}

impl From<Sender> for String {
    fn from(sender: Sender) -> Self {
        sender.expose()
    }
}

/// An e-mail address: something on both sides of one `@`, a dot in the domain, no spaces or control characters. `Debug`
/// prints `***`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Reads an address.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let plain = |part: &str| {
            let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !"@<>(),;:\\\"[]".contains(c);
            !part.is_empty() && part.chars().all(allowed) && !part.starts_with('.') && !part.ends_with('.')
        };
        // The lengths of RFC 5321, section 4.5.3.1.
        let valid = plain(local) && plain(domain) && local.len() <= 64 && text.len() <= 254;
        (valid && domain.contains('.') && !text.contains("..")).then(|| Self(text.to_owned()))
    }

    /// The address itself. Never hand it to a log, an error or a metric.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("expected an e-mail address such as \"office@clinic.example\"")
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

/// How a text is encoded in text messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageEncoding {
    /// The default alphabet of GSM and its extension, 7 bits a character (3GPP TS 23.038).
    Gsm7,
    /// Anything else: 16 bits a unit of UTF-16.
    Ucs2,
}

/// How much a text message takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSize {
    /// How it is encoded: by the first character that is not of GSM, the whole text is UCS-2.
    pub encoding: MessageEncoding,
    /// Septets of GSM-7, in which characters of the extension count twice, or units of UTF-16.
    pub units: u32,
    /// Messages it is sent in, which are billed singly. 1 for the empty text.
    pub parts: u32,
}

impl MessageSize {
    /// Counts a text: 160 septets or 70 units fit in a single message, 153 or 67 in each of several, which carry a header
    /// (3GPP TS 23.040, 9.2.3.24.1). A character is never split between two parts.
    pub fn of(text: &str) -> Self {
        let mut septets = 0;
        if text.chars().all(|c| gsm7_septets(c).inspect(|n| septets += n).is_some()) {
            let parts = parts(septets, 160, 153, || text.chars().filter_map(gsm7_septets));
            return Self { encoding: MessageEncoding::Gsm7, units: septets, parts };
        }
        let width = |c: char| if c.len_utf16() == 2 { 2 } else { 1 };
        let units = text.chars().map(width).sum();
        let parts = parts(units, 70, 67, || text.chars().map(width));
        Self { encoding: MessageEncoding::Ucs2, units, parts }
    }
}

fn parts<I: Iterator<Item = u32>>(units: u32, single: u32, several: u32, widths: impl Fn() -> I) -> u32 {
    if units <= single {
        return 1;
    }
    let (mut parts, mut used) = (1, 0);
    for width in widths() {
        if used + width > several {
            (parts, used) = (parts + 1, 0);
        }
        used += width;
    }
    parts
}

/// The septets of a character of the GSM alphabet: 1, or 2 of the extension table.
fn gsm7_septets(c: char) -> Option<u32> {
    match c {
        '\n' | '\r' | ' '..='#' | '%'..='?' | 'A'..='Z' | 'a'..='z' => Some(1),
        '@' | '£' | '$' | '¥' | 'è' | 'é' | 'ù' | 'ì' | 'ò' | 'Ç' | 'Ø' | 'ø' | 'Å' | 'å' | 'Δ' | '_'
        | 'Φ' | 'Γ' | 'Λ' | 'Ω' | 'Π' | 'Ψ' | 'Σ' | 'Θ' | 'Ξ' | 'Æ' | 'æ' | 'ß' | 'É' | '¤' | '¡' | 'Ä'
        | 'Ö' | 'Ñ' | 'Ü' | '§' | '¿' | 'ä' | 'ö' | 'ñ' | 'ü' | 'à' => Some(1),
        '\u{c}' | '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(text: &str) -> (MessageEncoding, u32, u32) {
        let MessageSize { encoding, units, parts } = MessageSize::of(text);
        (encoding, units, parts)
    }

    #[test]
    fn parts_are_counted_as_networks_bill_them() {
        use MessageEncoding::{Gsm7, Ucs2};
        assert_eq!(size(""), (Gsm7, 0, 1));
        assert_eq!(size(&"a".repeat(160)), (Gsm7, 160, 1));
        assert_eq!(size(&"a".repeat(161)), (Gsm7, 161, 2));
        assert_eq!(size(&"a".repeat(306)), (Gsm7, 306, 2));
        assert_eq!(size(&"a".repeat(307)), (Gsm7, 307, 3));
        assert_eq!(size(&"€".repeat(80)), (Gsm7, 160, 1));
        // 153 septets leave one unused, for the escape and its character stay together.
        assert_eq!(size(&"€".repeat(153)), (Gsm7, 306, 3));
        assert_eq!(size(&"ש".repeat(70)), (Ucs2, 70, 1));
        assert_eq!(size(&"ש".repeat(71)), (Ucs2, 71, 2));
        assert_eq!(size(&"ש".repeat(134)), (Ucs2, 134, 2));
        assert_eq!(size(&"ש".repeat(135)), (Ucs2, 135, 3));
        assert_eq!(size(&"🙂".repeat(35)), (Ucs2, 70, 1));
        // 67 units leave one unused, for a surrogate pair stays together.
        assert_eq!(size(&"🙂".repeat(67)), (Ucs2, 134, 3));
        assert_eq!(size("a`"), (Ucs2, 2, 1));
    }

    #[test]
    fn the_gsm_alphabet_has_127_characters_and_ten_more() {
        let of = |septets: u32| {
            (0..=0xffff).filter_map(char::from_u32).filter(move |c| gsm7_septets(*c) == Some(septets))
        };
        assert_eq!(of(1).count(), 127, "128 places of which one is the escape");
        assert_eq!(of(2).count(), 10);
    }

    #[test]
    fn senders_are_numbers_short_codes_or_names() {
        let read = |text: &str| Sender::new(text).map(|sender| sender.expose());
        for valid in ["+972541234567", "12345", "North Clin", "A1"] {
            assert_eq!(read(valid).as_deref(), Some(valid));
        }
        for wrong in ["", "12", "123456789", "Twelve chars", "שלום", "+1", "a\nb"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_that_cannot_be_one_are_refused() {
        for valid in ["a@b.example", " dana.cohen+x@mail.clinic.example "] {
            assert_eq!(EmailAddress::new(valid).unwrap().expose(), valid.trim());
        }
        for wrong in
            ["", "a", "a@b", "@b.example", "a@", "a b@c.example", "a@b@c.example", "a@b..example", "x\n@a.b"]
        {
            assert!(EmailAddress::new(wrong).is_none(), "{wrong:?}");
        }
        assert_eq!(format!("{:?}", EmailAddress::new("a@b.example")), "Some(***)");
    }
}
