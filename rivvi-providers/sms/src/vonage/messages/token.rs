//! Tokens (JWT, RFC 7519): those we make for requests, and those that sign webhooks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::Hmac;
use rivvi_core::domain::Secret;
use rivvi_core::provider::{WebhookError, WebhookRequest};
use rustls::SignatureScheme;
use rustls::crypto::SecureRandom;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::options::VonageApplication;
use crate::client::header;
use crate::digest::{mac, same, unhex};
use crate::options::OptionsError;

/// For how long a token of ours is good, in seconds; as the vendor's SDKs have it.
const LIFE_S: i64 = 900;

/// Makes the tokens of an application.
pub(super) struct Issuer {
    application_id: String,
    key: Arc<dyn SigningKey>,
    random: &'static dyn SecureRandom,
}

impl Issuer {
    pub(super) fn new(application: &VonageApplication) -> Result<Self, OptionsError> {
        let expected = "the private key of the application: PEM, RSA";
        let wrong = OptionsError { key: "credentials.private_key", expected };
        let pem = application.private_key.expose().as_bytes();
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| wrong)?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| wrong)?;
        key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or(wrong)?;
        let random = rustls::crypto::ring::default_provider().secure_random;
        Ok(Self { application_id: application.id.clone(), key, random })
    }

    /// A token for a request that is made now: RS256, with an id of its own. `None` if the machine has no randomness.
    pub(super) fn issue(&self, now: DateTime<Utc>) -> Option<String> {
        let mut random = [0; 16];
        self.random.fill(&mut random).ok()?;
        let iat = now.timestamp();
        let claims = json!({
            "application_id": self.application_id, "iat": iat, "exp": iat + LIFE_S,
            "jti": uuid::Builder::from_random_bytes(random).into_uuid(),
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "RS256", "typ": "JWT" })), part(&claims));
        let signer = self.key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])?;
        let signature = signer.sign(signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").finish_non_exhaustive()
    }
}

/// Verifies a webhook: a token signed by HS256 under the account's signature secret, which has the SHA-256 of the raw body.
/// Returns when it was signed.
///
/// # Errors
/// [`WebhookError::Forged`], or [`WebhookError::Stale`] if it was signed more than `age_max` before or after `now`.
///
/// Source: <https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks>. The vendor's SDK for
/// Python (vonage-jwt 1.1.5) verifies the token and leaves the comparison of the body to its user.
pub(super) fn verify(
    request: &WebhookRequest,
    secret: &Secret,
    now: DateTime<Utc>,
    age_max: Duration,
) -> Result<DateTime<Utc>, WebhookError> {
    let claims = claims(request, secret).ok_or(WebhookError::Forged)?;
    let hash = unhex(&claims.payload_hash).ok_or(WebhookError::Forged)?;
    if !same(&hash, &Sha256::digest(request.body())) {
        return Err(WebhookError::Forged);
    }
    let signed_at = DateTime::from_timestamp(claims.iat, 0).ok_or(WebhookError::Stale)?;
    match (now - signed_at).abs().to_std() {
        Ok(age) if age <= age_max => Ok(signed_at),
        _ => Err(WebhookError::Stale),
    }
}

#[derive(Deserialize)]
struct Claims {
    iat: i64,
    payload_hash: String,
}

/// The claims of the token, if it is signed as it must be.
fn claims(request: &WebhookRequest, secret: &Secret) -> Option<Claims> {
    #[derive(Deserialize)]
    struct Head {
        alg: String,
    }
    if request.headers().get_all(http::header::AUTHORIZATION).iter().count() != 1 {
        return None;
    }
    let token = header(request.headers(), "authorization")?;
    let (scheme, token) = token.split_once(' ')?;
    let (signed, signature) = token.trim().rsplit_once('.')?;
    let (head, claims) = signed.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let expected = mac::<Hmac<Sha256>>(secret.expose().as_bytes(), signed.as_bytes());
    let is_signed = same(&signature, &expected) && scheme.eq_ignore_ascii_case("bearer");
    (is_signed && read::<Head>(head)?.alg == "HS256").then(|| read(claims))?
}

fn read<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// A token that the vendor's SDK verifies, and its body.
    const BODY: &str = r#"{"message_uuid":"aaaaaaaa-bbbb-cccc-dddd-0123456789ab","to":"447700900000","from":"AcmeInc","timestamp":"2026-09-21T14:13:20Z","status":"delivered"}"#;
    const TOKEN: &str = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpYXQiOjE3OTAwMDAwMDAsImp0aSI6ImM1YmE4ZjI0LTFhMTQtNGMxMC1iZmRmLTNmYmU4Y2U1MTFiNSIsImlzcyI6IlZvbmFnZSIsInBheWxvYWRfaGFzaCI6ImYxYWEwOTMzOWMzNjM1ZTM5ODMzODlhMGNiNDJjNDY2MDBiZGI1MzAzOTUyZDIwYzBjZWJmOGMwMjkyMzM5ODAiLCJhcGlfa2V5IjoiYWJjZDEyMzQiLCJhcHBsaWNhdGlvbl9pZCI6ImFhYWFhYWFhLWJiYmItY2NjYy1kZGRkLTAxMjM0NTY3ODlhYiJ9.gQcdNRWJPGJpeaPsxklLsmnHxgW-4lm62PeE7JAJBcM";
    const SECRET: &str = "a_32_byte_or_longer_signature_secret!!";

    fn judge(body: &str, token: &str, secret: &str, after_s: i64) -> Result<DateTime<Utc>, WebhookError> {
        let mut request = WebhookRequest::new(Bytes::copy_from_slice(body.as_bytes()));
        request.headers_mut().insert("authorization", token.parse().unwrap());
        let now = DateTime::from_timestamp(1_790_000_000 + after_s, 0).unwrap();
        verify(&request, &Secret::new(secret), now, Duration::from_secs(300))
    }

    #[test]
    fn the_vendors_token_is_taken_for_as_long_as_is_allowed() {
        for after_s in [0, 300, -300] {
            assert_eq!(judge(BODY, TOKEN, SECRET, after_s).unwrap().timestamp(), 1_790_000_000);
        }
        for after_s in [301, -301] {
            assert!(matches!(judge(BODY, TOKEN, SECRET, after_s), Err(WebhookError::Stale)));
        }
    }

    fn token(head: &Value, claims: &Value, secret: &str) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(head), part(claims));
        let signature = mac::<Hmac<Sha256>>(secret.as_bytes(), signed.as_bytes());
        format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    #[test]
    fn forgeries_are_refused() {
        let hash = crate::digest::hex(&Sha256::digest(BODY));
        let head = json!({ "alg": "HS256", "typ": "JWT" });
        let good = json!({ "iat": 1_790_000_000, "payload_hash": hash });
        assert!(judge(BODY, &token(&head, &good, SECRET), SECRET, 0).is_ok());
        let unsigned = TOKEN.rsplit_once('.').unwrap().0;
        for (token, body) in [
            (TOKEN.to_owned(), BODY.replace("delivered", "rejected")),
            (TOKEN.to_owned(), format!("{BODY} ")),
            (TOKEN.to_owned(), String::new()),
            (TOKEN.replace("gQcd", "gQce"), BODY.to_owned()),
            (TOKEN.replace("Bearer", "Basic"), BODY.to_owned()),
            (format!("{unsigned}."), BODY.to_owned()),
            (unsigned.to_owned(), BODY.to_owned()),
            ("Bearer".into(), BODY.to_owned()),
            (String::new(), BODY.to_owned()),
            (token(&json!({ "alg": "none" }), &good, SECRET), BODY.to_owned()),
            (token(&head, &json!({ "iat": 1_790_000_000 }), SECRET), BODY.to_owned()),
            (token(&head, &json!({ "payload_hash": hash }), SECRET), BODY.to_owned()),
            (token(&head, &good, "another secret"), BODY.to_owned()),
        ] {
            assert!(matches!(judge(&body, &token, SECRET, 0), Err(WebhookError::Forged)), "{token}");
        }
        assert!(matches!(judge(BODY, TOKEN, "another secret", 0), Err(WebhookError::Forged)));
    }

    #[test]
    fn two_tokens_are_none() {
        let mut request = WebhookRequest::new(Bytes::from_static(BODY.as_bytes()));
        for _ in 0..2 {
            request.headers_mut().append("authorization", TOKEN.parse().unwrap());
        }
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let judged = verify(&request, &Secret::new(SECRET), now, Duration::from_secs(300));
        assert!(matches!(judged, Err(WebhookError::Forged)));
    }

    #[test]
    fn what_is_no_rsa_key_is_refused() {
        for pem in ["", "key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let application = VonageApplication { id: "a".into(), private_key: Secret::new(pem) };
            assert_eq!(Issuer::new(&application).unwrap_err().key, "credentials.private_key");
        }
    }
}
