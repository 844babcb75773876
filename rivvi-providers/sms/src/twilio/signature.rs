//! Who sent a webhook.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use http::Uri;
use rivvi_core::domain::Secret;
use rivvi_core::provider::{WebhookError, WebhookRequest};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::options::TwilioOptions;
use crate::client::header;
use crate::digest::{mac, same, unhex};
use crate::params::Params;

const SIGNATURE: &str = "x-twilio-signature";
const SETTINGS: &str = "x-twilio-webhooks-signature-settings";

/// Verifies the signature over the public URL, with the query as it came, and the body: of a form its parameters, of anything
/// else its SHA-256, which stands in the query. HMAC-SHA1 under the token of the account, or HMAC-SHA256 under a shared key
/// that the request names. Signatures are compared in constant time. They say nothing of time.
///
/// # Errors
/// [`WebhookError::Forged`].
///
/// Source: <https://www.twilio.com/docs/usage/security#validating-requests>; `RequestValidator` of the vendor's SDK for Python
/// (9.13.0), after which the URL is taken with and without its port.
pub(super) fn verify(
    request: &WebhookRequest,
    public: &str,
    options: &TwilioOptions,
) -> Result<(), WebhookError> {
    is_signed(request, public, options).filter(|signed| *signed).map(drop).ok_or(WebhookError::Forged)
}

fn is_signed(request: &WebhookRequest, public: &str, options: &TwilioOptions) -> Option<bool> {
    let headers = request.headers();
    if headers.get_all(SIGNATURE).iter().count() != 1 || headers.get_all(SETTINGS).iter().count() > 1 {
        return None;
    }
    let signature = STANDARD.decode(header(headers, SIGNATURE)?).ok()?;
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let signed = body(request)?;
    let algorithm = algorithm(header(headers, SETTINGS), options)?;
    let is = |url: String| same(&signature, &algorithm.sign(&format!("{url}{query}{signed}")));
    let (with, without) = with_and_without_port(public)?;
    // Both, so that the time tells nothing.
    Some(is(with) | is(without))
}

/// The part of the signed text that stands for the body; `None` if the body is not the one whose digest was signed.
fn body(request: &WebhookRequest) -> Option<String> {
    let query = Params::of_form(request.uri().query().unwrap_or_default().as_bytes());
    if let Some(digest) = query.get("bodySHA256") {
        return same(&unhex(digest)?, &Sha256::digest(request.body())).then(String::new);
    }
    let params = Params::of_form(request.body());
    let mut params: Vec<(&str, &str)> = params.iter().collect();
    params.sort_unstable();
    params.dedup();
    Some(params.into_iter().flat_map(|(name, value)| [name, value]).collect())
}

enum Algorithm<'a> {
    HmacSha1(&'a Secret),
    HmacSha256(&'a Secret),
}

impl Algorithm<'_> {
    fn sign(&self, text: &str) -> Vec<u8> {
        match self {
            Self::HmacSha1(key) => mac::<Hmac<Sha1>>(key.expose().as_bytes(), text.as_bytes()),
            Self::HmacSha256(key) => mac::<Hmac<Sha256>>(key.expose().as_bytes(), text.as_bytes()),
        }
    }
}

/// What the settings name, such as `key=webhooks_sharedkey_1,algorithm=HMAC_SHA256`; `None` if we have no such key.
fn algorithm<'a>(settings: Option<&str>, options: &'a TwilioOptions) -> Option<Algorithm<'a>> {
    let setting = |name: &str| {
        let mut parts = settings.unwrap_or_default().split(',').filter_map(|part| part.split_once('='));
        parts
            .find_map(|(own, value)| (own.trim() == name).then(|| value.trim()))
            .filter(|value| !value.is_empty())
    };
    match setting("algorithm").map(str::to_ascii_uppercase).as_deref() {
        None | Some("HMAC_SHA1") => Some(Algorithm::HmacSha1(&options.auth_token)),
        Some("HMAC_SHA256") => Some(Algorithm::HmacSha256(options.shared_keys.get(setting("key")?)?)),
        Some(_) => None,
    }
}

/// The URL with its port, the scheme's own if it names none, and without.
fn with_and_without_port(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?);
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    // What follows the host as it was written: a URL without a path stays so.
    let rest = url.split_once("://")?.1.find('/').map_or("", |slash| &url[slash + scheme.len() + 3..]);
    Some((format!("{scheme}://{host}:{port}{rest}"), format!("{scheme}://{host}{rest}")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn options() -> TwilioOptions {
        let mut options = TwilioOptions::new("AC1", Secret::new("12345"));
        options.shared_keys.insert("webhooks_sharedkey_1".into(), Secret::new("12345"));
        options
    }

    /// The URL is split as a server gets it: what comes before the query is configured.
    fn request(url: &str, body: &str, signature: &str) -> (WebhookRequest, String) {
        let (public, query) =
            url.split_once('?').map_or((url, None), |(public, query)| (public, Some(query)));
        let mut request = WebhookRequest::new(Bytes::copy_from_slice(body.as_bytes()));
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        *request.uri_mut() = format!("/behind/a/proxy{query}").parse().unwrap();
        request.headers_mut().insert(SIGNATURE, signature.parse().unwrap());
        (request, public.to_owned())
    }

    fn is_taken(url: &str, body: &str, signature: &str) -> bool {
        let (request, public) = request(url, body, signature);
        verify(&request, &public, &options()).is_ok()
    }

    const STATUS: &str = "AccountSid=AC00000000000000000000000000000001&ApiVersion=2010-04-01&ErrorCode=30005&\
        From=%2B15017122661&MessageSid=SM00000000000000000000000000000001&MessageStatus=undelivered&\
        SmsSid=SM00000000000000000000000000000001&SmsStatus=undelivered&To=%2B972501234567";

    /// What the vendor's SDKs for Python and Node make of these; the first is of its documents.
    #[test]
    fn forms_signed_by_the_vendor_are_taken() {
        for (url, body, signature) in [
            (
                "https://mycompany.com/myapp.php?foo=1&bar=2",
                "CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212",
                "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
            ),
            ("https://hooks.example.com/twilio/sms-status", STATUS, "Gs9k0itJHRKtVmk7UYrfCzfYOLU="),
            (
                "https://hooks.example.com/twilio/sms-in",
                "From=%2B972501234567&To=%2B15017122661&NumMedia=0&Body=%D7%94%D7%A1%D7%A8+%26+%3D+%2B",
                "LtIvVZYegk2Vw0ZpCL53j7xucT4=",
            ),
            ("https://hooks.example.com/a", "Body=&From=%2B1", "spasFmczM1peAyviP6Au8Mu4GYU="),
            ("https://hooks.example.com/a", "A=2&A=1&A=2&B=x", "nLkwuhrMP9gqENpoOsKGNLeBOpw="),
        ] {
            assert!(is_taken(url, body, signature), "{url}");
            assert!(!is_taken(url, &format!("{body}&more=1"), signature));
            assert!(!is_taken(&url.replace("https", "http"), body, signature));
            assert!(!is_taken(&format!("{url}x"), body, signature));
            assert!(!is_taken(url, body, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        }
    }

    #[test]
    fn other_bodies_are_taken_by_their_digest() {
        let url = "https://hooks.example.com/json?bodySHA256=93a23971a914e5eacbf0a8d25154cda309c3c1c72fbb9914d47c60f3cb681588";
        let signature = "ymC/WbuoVBQ52dyS+Z3XlnjDioo=";
        assert!(is_taken(url, r#"{"hello":"world"}"#, signature));
        assert!(!is_taken(url, r#"{"hello":"World"}"#, signature));
        assert!(!is_taken(&url.replace("93a2", "93a3"), r#"{"hello":"world"}"#, signature));
    }

    #[test]
    fn shared_keys_sign_by_sha256() {
        let signature = "oU5161nY5P+z8FLraxOzGRcWtO4oP/AeddpF0pUsVMA=";
        let judge = |settings: &str| {
            let (mut request, public) = request("https://hooks.example.com/a", "Body=x", signature);
            request.headers_mut().insert(SETTINGS, settings.parse().unwrap());
            verify(&request, &public, &options()).is_ok()
        };
        assert!(judge("key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"));
        assert!(judge(" algorithm = hmac_sha256 , key = webhooks_sharedkey_1 "));
        for settings in [
            "",
            "key=webhooks_sharedkey_1",
            "key=other,algorithm=HMAC_SHA256",
            "algorithm=HMAC_SHA256",
            "key=webhooks_sharedkey_1,algorithm=NONE",
        ] {
            assert!(!judge(settings), "{settings}");
        }
    }

    #[test]
    fn the_port_may_be_signed_or_not() {
        let pair = |url| with_and_without_port(url).unwrap();
        let url = |url: &str| url.to_owned();
        assert_eq!(pair("https://a.example/x"), (url("https://a.example:443/x"), url("https://a.example/x")));
        assert_eq!(pair("http://a.example:8080"), (url("http://a.example:8080"), url("http://a.example")));
        assert_eq!(pair("http://a.example/"), (url("http://a.example:80/"), url("http://a.example/")));
        assert_eq!(with_and_without_port("a.example/x"), None);
    }

    #[test]
    fn a_webhook_has_one_signature() {
        let (mut request, public) =
            request("https://hooks.example.com/a", "Body=&From=%2B1", "spasFmczM1peAyviP6Au8Mu4GYU=");
        assert!(verify(&request, &public, &options()).is_ok());
        request.headers_mut().append(SIGNATURE, "spasFmczM1peAyviP6Au8Mu4GYU=".parse().unwrap());
        assert!(matches!(verify(&request, &public, &options()), Err(WebhookError::Forged)));
        request.headers_mut().remove(SIGNATURE);
        assert!(matches!(verify(&request, &public, &options()), Err(WebhookError::Forged)));
    }
}
