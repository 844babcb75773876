//! Tokens of short links.

use std::sync::OnceLock;

use rivvi_core::domain::{CallId, Secret};
use rivvi_core::message::{LinkToken, ShortLinks};

use super::any;

const BASE: &str = "https://go.example/";

#[allow(clippy::expect_used, reason = "base and secret are good")]
fn links() -> &'static ShortLinks {
    static LINKS: OnceLock<ShortLinks> = OnceLock::new();
    LINKS.get_or_init(|| ShortLinks::new(BASE, Secret::new("0123456789abcdef")).expect("links"))
}

/// Nobody makes up a token: what is read is what was made. What is made of the input is read back.
pub(super) fn token(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Some(token) = links().read(&text) {
        assert_eq!(links().link(token), format!("{BASE}{text}"));
    }
    let mut id = [0; 16];
    id.iter_mut().zip(input).for_each(|(byte, given)| *byte = *given);
    let link = input.last().copied().unwrap_or_default();
    let token = LinkToken { message: CallId::from_uuid(uuid::Uuid::from_bytes(id)), link };
    let url = links().link(token);
    assert_eq!(links().read(url.strip_prefix(BASE).unwrap_or_default()), Some(token));
    any(ShortLinks::new(text, Secret::new("0123456789abcdef")));
}
