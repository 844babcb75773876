//! The signature of the SMS API, over the parameters of a request or a webhook.

use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::Hmac;
use md5::{Digest, Md5};
use rivvi_core::domain::Secret;
use rivvi_core::provider::WebhookError;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::digest::{hex, mac, same};
use crate::params::Params;

/// How parameters are signed. `Debug` shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VonageSignature {
    /// The signature secret of the account.
    pub secret: Secret,
    /// The signature method of the account.
    pub method: VonageSignatureMethod,
}

/// What is made of the parameters and the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VonageSignatureMethod {
    /// MD5 of both, one behind the other. What an account has by default; take another.
    Md5Hash,
    /// HMAC with MD5.
    HmacMd5,
    /// HMAC with SHA-1.
    HmacSha1,
    /// HMAC with SHA-256.
    HmacSha256,
    /// HMAC with SHA-512.
    HmacSha512,
}

impl VonageSignature {
    /// The signature of parameters, in lower case: `&name=value` of each in the order of their names, `&` and `=` in values
    /// replaced by `_`.
    ///
    /// Source: <https://developer.vonage.com/en/getting-started/concepts/signing-messages>; `Auth.sign_params` of the
    /// vendor's SDK for Python (vonage-http-client 1.5.2), whose `md5` is the HMAC.
    pub(super) fn of<'a>(&self, params: impl Iterator<Item = (&'a str, &'a str)>) -> String {
        let mut sorted: Vec<_> = params.filter(|(name, _)| *name != "sig").collect();
        sorted.sort_unstable();
        let text: String = sorted
            .iter()
            .map(|(name, value)| format!("&{name}={}", value.replace(['&', '='], "_")))
            .collect();
        let (key, text) = (self.secret.expose().as_bytes(), text.as_bytes());
        hex(&match self.method {
            VonageSignatureMethod::Md5Hash => {
                Md5::new().chain_update(text).chain_update(key).finalize().to_vec()
            }
            VonageSignatureMethod::HmacMd5 => mac::<Hmac<Md5>>(key, text),
            VonageSignatureMethod::HmacSha1 => mac::<Hmac<Sha1>>(key, text),
            VonageSignatureMethod::HmacSha256 => mac::<Hmac<Sha256>>(key, text),
            VonageSignatureMethod::HmacSha512 => mac::<Hmac<Sha512>>(key, text),
        })
    }

    /// Verifies the parameters of a webhook, and returns when they were signed. Signatures are compared in constant time,
    /// their letters in either case.
    ///
    /// # Errors
    /// [`WebhookError::Forged`], or [`WebhookError::Stale`] if they were signed more than `age_max` before or after `now`.
    pub(super) fn verify(
        &self,
        params: &Params,
        now: DateTime<Utc>,
        age_max: Duration,
    ) -> Result<DateTime<Utc>, WebhookError> {
        let mut names: Vec<&str> = params.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let is_doubled = names.windows(2).any(|pair| pair[0] == pair[1]);
        let signature = params.get("sig").ok_or(WebhookError::Forged)?.to_ascii_lowercase();
        if is_doubled || !same(signature.as_bytes(), self.of(params.iter()).as_bytes()) {
            return Err(WebhookError::Forged);
        }
        let seconds = params.get("timestamp").ok_or(WebhookError::Forged)?;
        let signed_at = seconds.parse().ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        let signed_at = signed_at.ok_or(WebhookError::Stale)?;
        match (now - signed_at).abs().to_std() {
            Ok(age) if age <= age_max => Ok(signed_at),
            _ => Err(WebhookError::Stale),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    const METHODS: [VonageSignatureMethod; 5] = [
        VonageSignatureMethod::Md5Hash,
        VonageSignatureMethod::HmacMd5,
        VonageSignatureMethod::HmacSha1,
        VonageSignatureMethod::HmacSha256,
        VonageSignatureMethod::HmacSha512,
    ];

    fn signature(secret: &str, method: VonageSignatureMethod) -> VonageSignature {
        VonageSignature { secret: Secret::new(secret), method }
    }

    /// The HMACs are what the vendor's SDK for Python makes; the hash is what the documents say.
    #[test]
    fn parameters_are_signed_as_documented() {
        let params = [
            ("api_key", "abcd1234"),
            ("from", "AcmeInc"),
            ("to", "447700900000"),
            ("text", "Tom & Jerry = fun שלום"),
            ("type", "unicode"),
            ("timestamp", "1790000000"),
        ];
        let expected = [
            "4ff0997ff61dbf119135332808d24579",
            "5d077e6d6d4439d91b75fe051da3ccd1",
            "a3e0e9529ee2bee41cf01a48b37d67f8469dca62",
            "f365951f911937dde45148a22e9dd9681082df6b5a8a55008304f174f499a4e5",
            "8f6d69e90378ecc58004ae9f50b9d884828020227ad4a78d2638c66f7dc7c91db103a035277ff9af4a576b317fcac3131fbcaa15abbafb73aa2f4e702e98baf9",
        ];
        for (method, expected) in METHODS.into_iter().zip(expected) {
            assert_eq!(signature("my_signature_secret_123", method).of(params.into_iter()), expected);
        }
        let short = [
            ("api_key", "abcd1234"),
            ("from", "AcmeInc"),
            ("text", "hello"),
            ("timestamp", "1790000000"),
            ("to", "447700900000"),
        ];
        assert_eq!(
            signature("s3cr3t", VonageSignatureMethod::HmacSha256).of(short.into_iter()),
            "dbe8454913ca94354c7f888e1f6f486310da3fa2b6615326286a259ed53b4399"
        );
    }

    /// A receipt that the vendor's SDK accepts.
    const RECEIPT: &str = "msisdn=447700900000&to=AcmeInc&network-code=12345&messageId=0A0000001234567B&\
        price=0.03330000&status=delivered&scts=2001011400&err-code=0&api-key=abcd1234&\
        message-timestamp=2026-09-21+14%3A13%3A20&timestamp=1790000000&nonce=ec11dd3e-1e7f-4db5-9467-82b02cd223b9&\
        sig=354AA5B2913F6A76BA0F325864F2E24250A9247E63899CD7FCE9EE6A94F929D0";

    fn judge(form: &str, secret: &str, after_s: i64) -> Result<DateTime<Utc>, WebhookError> {
        let signature = signature(secret, VonageSignatureMethod::HmacSha256);
        let now = DateTime::from_timestamp(1_790_000_000 + after_s, 0).unwrap();
        signature.verify(&Params::of_form(form.as_bytes()), now, Duration::from_secs(300))
    }

    #[test]
    fn the_vendors_receipt_is_taken_for_as_long_as_is_allowed() {
        let secret = "my_signature_secret_123";
        for after_s in [0, 300, -300] {
            assert_eq!(judge(RECEIPT, secret, after_s).unwrap().timestamp(), 1_790_000_000);
        }
        for after_s in [301, -301] {
            assert!(matches!(judge(RECEIPT, secret, after_s), Err(WebhookError::Stale)));
        }
        let lower = RECEIPT.replace(
            "354AA5B2913F6A76BA0F325864F2E24250A9247E63899CD7FCE9EE6A94F929D0",
            "354aa5b2913f6a76ba0f325864f2e24250a9247e63899cd7fce9ee6a94f929d0",
        );
        assert!(judge(&lower, secret, 0).is_ok());
    }

    #[test]
    fn forgeries_are_refused() {
        let secret = "my_signature_secret_123";
        let unsigned = RECEIPT.split("&sig=").next().unwrap();
        for forged in [
            RECEIPT.replace("delivered", "failed"),
            RECEIPT.replace("&err-code=0", ""),
            format!("{RECEIPT}&more=1"),
            format!("{RECEIPT}&status=delivered"),
            format!("{RECEIPT}0"),
            unsigned.to_owned(),
            format!("{unsigned}&sig="),
            format!("{unsigned}&sig=354AA5B2"),
            String::new(),
        ] {
            assert!(matches!(judge(&forged, secret, 0), Err(WebhookError::Forged)), "{forged}");
        }
        assert!(matches!(judge(RECEIPT, "another secret", 0), Err(WebhookError::Forged)));
    }

    #[test]
    fn what_is_signed_is_verified_by_every_method() {
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        for method in METHODS {
            let signature = signature("secret", method);
            let params = [("timestamp", "1790000000"), ("text", "a=b&c"), ("שם", "דנה")];
            let sig = signature.of(params.into_iter());
            let form = form_urlencoded::Serializer::new(String::new())
                .extend_pairs(params)
                .append_pair("sig", &sig.to_uppercase())
                .finish();
            let params = Params::of_form(form.as_bytes());
            let at = now + TimeDelta::seconds(1);
            assert!(signature.verify(&params, at, Duration::from_secs(300)).is_ok(), "{method:?}");
        }
    }
}
