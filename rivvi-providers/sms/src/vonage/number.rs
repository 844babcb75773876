//! Numbers as Vonage writes them: without a plus sign.

use rivvi_core::domain::{E164, Sender};

/// The longest short code; whatever has more digits is a number.
const SHORT_CODE_DIGITS_MAX: usize = 6;

pub(super) fn written(number: E164) -> String {
    number.digits().to_string()
}

pub(super) fn written_sender(sender: &Sender) -> String {
    let text = sender.expose();
    text.strip_prefix('+').map_or_else(|| text.clone(), str::to_owned)
}

/// `None` if it is a name or a short code.
pub(super) fn read(text: &str) -> Option<E164> {
    E164::from_e164(&format!("+{}", text.trim_start_matches('+'))).ok()
}

pub(super) fn read_sender(text: &str) -> Option<Sender> {
    let is_number = text.len() > SHORT_CODE_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    Sender::new(&if is_number { format!("+{text}") } else { text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_plus_sign() {
        assert_eq!(read("972541234567").map(written).as_deref(), Some("972541234567"));
        assert_eq!(read("+972541234567").map(written).as_deref(), Some("972541234567"));
        assert_eq!(read("Clinic"), None);
        for (sender, text) in
            [("+97231234567", "97231234567"), ("12345", "12345"), ("North Clin", "North Clin")]
        {
            let sender = Sender::new(sender).unwrap();
            assert_eq!(written_sender(&sender), text);
            assert_eq!(read_sender(text), Some(sender));
        }
        assert_eq!(read_sender(""), None);
    }
}
