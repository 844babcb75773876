//! The sender as it stands in a header: pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes in one encoded word, which has at most 75 characters (RFC 2047, section 2).
const WORD_BYTES_MAX: usize = 45;

/// A name and an address as one mailbox in ASCII (RFC 5322, section 3.4; RFC 2047). SES takes them so.
pub(crate) fn mailbox(name: Option<&str>, address: &str) -> String {
    match name {
        None => address.to_owned(),
        Some(name) if is_plain(name) => format!("{} <{address}>", quoted(name)),
        Some(name) => format!("{} <{address}>", encoded_words(name)),
    }
}

/// Printable ASCII, and nothing that reads like an encoded word.
fn is_plain(name: &str) -> bool {
    name.chars().all(|sign| sign == ' ' || sign.is_ascii_graphic()) && !name.contains("=?")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

fn encoded_words(name: &str) -> String {
    let mut words = vec![String::new()];
    for sign in name.chars() {
        if words.last().is_some_and(|word| word.len() + sign.len_utf8() > WORD_BYTES_MAX) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(sign);
        }
    }
    let words: Vec<String> =
        words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_as_headers_want_them() {
        for (name, expected) in [
            (None, "a@b.example"),
            (Some("North Clinic"), "\"North Clinic\" <a@b.example>"),
            (Some("A \"B\" \\, C"), "\"A \\\"B\\\" \\\\, C\" <a@b.example>"),
            (Some("שלום"), "=?UTF-8?B?16nXnNeV150=?= <a@b.example>"),
            (Some("=?x"), "=?UTF-8?B?PT94?= <a@b.example>"),
            (Some("a\r\nb"), "=?UTF-8?B?YQ0KYg==?= <a@b.example>"),
        ] {
            assert_eq!(mailbox(name, "a@b.example"), expected);
        }
        let long = mailbox(Some(&"מרפאת הצפון ".repeat(10)), "a@b.example");
        assert!(long.is_ascii() && long.split(' ').all(|word| word.len() <= 75), "{long}");
    }
}
