//! HTTP: each request once, without redirects.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use reqwest::{Method, RequestBuilder, Url};
use rivvi_core::clock::Clock;
use serde::de::DeserializeOwned;

use crate::failure::{Failure, Refusal, retry_after};
use crate::options::OptionsError;

/// The longest answer that is read.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Sends requests.
pub(crate) struct Client {
    http: reqwest::Client,
    clock: Arc<dyn Clock>,
}

/// What came back, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) retry_after: Option<Duration>,
}

impl Client {
    pub(crate) fn new(timeout: Duration, clock: Arc<dyn Clock>) -> Result<Self, OptionsError> {
        const EXPECTED: &str = "the certificates of the system (SSL_CERT_FILE names others)";
        let failed = || OptionsError { key: "TLS", expected: EXPECTED };
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls().ok_or_else(failed)?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(timeout)
            .user_agent(concat!("rivvi/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| failed())?;
        Ok(Self { http, clock })
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// The answer to a request, sent once.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, Failure> {
        let mut answer = request.send().await.map_err(|error| Failure::of_client(&error))?;
        let status = answer.status();
        let retry_after = retry_after(answer.headers(), self.clock.now());
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_BYTES_MAX => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(_)) => return Err(Failure::Unreadable),
                Ok(None) => break,
                // The status says enough of a refusal.
                Err(_) if !status.is_success() => break,
                Err(error) if error.is_timeout() => return Err(Failure::TimedOut),
                Err(_) => return Err(Failure::Cut),
            }
        }
        Ok(Answer { status: status.as_u16(), body, retry_after })
    }
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| Failure::Unreadable)
    }

    /// The refusal that the status tells.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal::of_status(self.status, self.retry_after)
    }
}

/// Fields as the body of a form.
pub(crate) fn form<'a>(
    request: RequestBuilder,
    fields: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> RequestBuilder {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    request.header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(form.finish())
}

/// A base URL that paths can be joined to.
pub(crate) fn base_url(text: &str) -> Result<Url, OptionsError> {
    let wrong = OptionsError { key: "base_url", expected: "http:// or https:// and a host, without a query" };
    let mut base = Url::parse(text).map_err(|_| wrong)?;
    let plain = base.username().is_empty() && base.password().is_none() && base.query().is_none();
    if !matches!(base.scheme(), "http" | "https") || !base.has_host() || !plain {
        return Err(wrong);
    }
    if !base.path().ends_with('/') {
        let path = format!("{}/", base.path());
        base.set_path(&path);
    }
    Ok(base)
}

/// TLS with the certificates of the system.
///
/// The cryptography is named, because a host may carry a second one, and rustls refuses to choose.
fn tls() -> Option<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    Some(config.with_root_certificates(roots).with_no_client_auth())
}

/// The first value of a header, as text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_url_is_checked_and_may_have_a_path() {
        for text in
            ["https://rest.nexmo.com", "http://127.0.0.1:4010/", "http://proxy/sms", "http://proxy/sms/"]
        {
            let base = base_url(text).unwrap();
            let url = base.join("sms/json").unwrap();
            assert!(url.as_str().ends_with("/sms/json"), "{url}");
            assert_eq!(url.path().starts_with("/sms/sms/"), base.host_str() == Some("proxy"));
        }
        for text in [
            "",
            "rest.nexmo.com",
            "ftp://rest.nexmo.com",
            "https://",
            "http://user:pw@host",
            "http://host/?a=b",
        ] {
            assert_eq!(base_url(text).unwrap_err().key, "base_url", "{text}");
        }
    }
}
