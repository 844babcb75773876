//! Short links whose followers are counted.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::domain::{CallId, Secret};

/// Makes links that tell which message they stood in, signed so that nobody can make one up.
///
/// A link is the base URL with a token of [`ShortLinks::TOKEN_LEN`] letters. The host serves the base URL and hands the
/// token to [`Rivvi::follow_link`](crate::engine::Rivvi::follow_link), which counts and tells where to redirect to.
#[derive(Clone)]
pub struct ShortLinks {
    base: String,
    key: Secret,
}

/// What a short link stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkToken {
    /// The message it stood in.
    pub message: CallId,
    /// Which link of the campaign, in the order of their names.
    pub link: u8,
}

/// Why short links cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShortLinksError {
    /// The base is no URL of the web.
    #[error("expected a base such as \"https://go.clinic.example/\"")]
    Base,
    /// The secret is too short.
    #[error("expected a secret of at least 16 bytes")]
    Secret,
}

const SIGNATURE: usize = 7;

impl ShortLinks {
    /// Letters of a token.
    pub const TOKEN_LEN: usize = 32;

    /// Links that begin with `base`, signed with `secret`. All engines on a store need the same secret; with another one,
    /// links sent before are not known any more.
    ///
    /// # Errors
    /// [`ShortLinksError`].
    pub fn new(base: impl Into<String>, secret: Secret) -> Result<Self, ShortLinksError> {
        let mut base = base.into();
        let host = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(char::is_whitespace)) {
            return Err(ShortLinksError::Base);
        }
        if secret.expose().len() < 16 {
            return Err(ShortLinksError::Secret);
        }
        if !base.ends_with(['/', '=']) {
            base.push('/');
        }
        Ok(Self { base, key: secret })
    }

    /// The link for the `link`-th link of a campaign in a message.
    pub fn link(&self, token: LinkToken) -> String {
        let mut bytes = [0; 17 + SIGNATURE];
        bytes[..16].copy_from_slice(token.message.as_uuid().as_bytes());
        bytes[16] = token.link;
        let signature = self.sign(&bytes[..17]);
        bytes[17..].copy_from_slice(&signature);
        format!("{}{}", self.base, URL_SAFE_NO_PAD.encode(bytes))
    }

    /// What a token stands for; `None` if it is not one of ours.
    pub fn read(&self, token: &str) -> Option<LinkToken> {
        let bytes: [u8; 17 + SIGNATURE] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let (signed, signature) = bytes.split_at(17);
        self.mac(signed).verify_truncated_left(signature).ok()?;
        let message = CallId::from_uuid(uuid::Uuid::from_slice(&signed[..16]).ok()?);
        Some(LinkToken { message, link: signed[16] })
    }

    fn sign(&self, bytes: &[u8]) -> [u8; SIGNATURE] {
        let full = self.mac(bytes).finalize().into_bytes();
        std::array::from_fn(|place| full[place])
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        #[allow(clippy::expect_used, reason = "HMAC takes keys of every length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()).expect("a key");
        mac.update(bytes);
        mac
    }
}

impl fmt::Debug for ShortLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShortLinks").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn links() -> ShortLinks {
        ShortLinks::new("https://go.example", Secret::new("0123456789abcdef")).unwrap()
    }

    proptest! {
        #[test]
        fn a_link_is_read_back_and_no_other_is(message: u128, link: u8, place in 0..ShortLinks::TOKEN_LEN, to in "[A-Za-z0-9_-]") {
            let token = LinkToken { message: CallId::from_uuid(uuid::Uuid::from_u128(message)), link };
            let url = links().link(token);
            let text = url.strip_prefix("https://go.example/").unwrap();
            prop_assert_eq!(text.len(), ShortLinks::TOKEN_LEN);
            prop_assert_eq!(links().read(text), Some(token));
            let mut forged = text.to_owned();
            forged.replace_range(place..=place, &to);
            if forged != text {
                prop_assert_eq!(links().read(&forged), None);
            }
        }

        #[test]
        fn any_text_is_read_without_harm(text: String) {
            prop_assert_eq!(links().read(&text), None);
        }
    }

    #[test]
    fn weak_secrets_and_bases_that_are_no_urls_are_refused() {
        assert_eq!(
            ShortLinks::new("go.example", Secret::new("0123456789abcdef")).unwrap_err(),
            ShortLinksError::Base
        );
        assert_eq!(
            ShortLinks::new("https://go.example", Secret::new("short")).unwrap_err(),
            ShortLinksError::Secret
        );
        assert!(!format!("{:?}", links()).contains("0123"));
    }
}
