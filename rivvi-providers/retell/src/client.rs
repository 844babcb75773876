//! HTTP to Retell: each request once, without redirects.

use std::sync::Arc;

use reqwest::{Method, Url};
use rivvi_core::clock::Clock;
use rivvi_core::domain::Secret;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::options::{OptionsError, RetellOptions};

/// The longest answer that is read.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Sends requests to one account.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Secret,
    clock: Arc<dyn Clock>,
}

impl Client {
    pub(crate) fn new(options: &RetellOptions, clock: Arc<dyn Clock>) -> Result<Self, OptionsError> {
        let mut base = Url::parse(&options.base_url).map_err(|_| OptionsError::BaseUrl)?;
        let plain = base.username().is_empty() && base.password().is_none() && base.query().is_none();
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() || !plain {
            return Err(OptionsError::BaseUrl);
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls().ok_or(OptionsError::Tls)?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(options.timeout)
            .user_agent(concat!("rivvi/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| OptionsError::Tls)?;
        Ok(Self { http, base, key: options.api_key.clone(), clock })
    }

    /// The answer to a request without a body.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        read(&self.send(Method::GET, path, None::<&()>).await?)
    }

    /// The answer to a request with a body.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        read(&self.send(Method::POST, path, Some(body)).await?)
    }

    /// Sends a request whose answer says nothing.
    pub(crate) async fn tell(&self, path: &str) -> Result<(), Failure> {
        self.send(Method::POST, path, None::<&()>).await.map(drop)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Vec<u8>, Failure> {
        let url = self.base.join(path).map_err(|_| Failure::NoRequest)?;
        let mut request = self.http.request(method, url).bearer_auth(self.key.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut answer = request.send().await.map_err(|error| Failure::of_client(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_BYTES_MAX => {
                    body.extend_from_slice(&chunk)
                }
                Ok(Some(_)) => return Err(Failure::Unreadable),
                Ok(None) => break,
                // The status says enough of a refusal.
                Err(_) if !status.is_success() => break,
                Err(error) if error.is_timeout() => return Err(Failure::TimedOut),
                Err(_) => return Err(Failure::Cut),
            }
        }
        if status.is_success() {
            return Ok(body);
        }
        Err(Failure::of_answer(status.as_u16(), &headers, &body, self.clock.now()))
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|_| Failure::Unreadable)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rivvi_core::clock::SystemClock;
    use rivvi_core::domain::Secret;

    use super::*;

    #[test]
    fn base_url_is_checked_and_may_have_a_path() {
        let client = |base: &str| {
            let mut options = RetellOptions::new(Secret::new("key"));
            options.base_url = base.into();
            Client::new(&options, Arc::new(SystemClock::new()))
        };
        for base in [
            "https://api.retellai.com",
            "http://127.0.0.1:4010/",
            "http://proxy/retell",
            "http://proxy/retell/",
        ] {
            let base = client(base).ok().unwrap().base;
            let url = base.join("v2/create-phone-call").unwrap();
            assert!(url.as_str().ends_with("/v2/create-phone-call"), "{url}");
            assert_eq!(url.path().starts_with("/retell/"), base.host_str() == Some("proxy"));
        }
        for base in [
            "",
            "api.retellai.com",
            "ftp://api.retellai.com",
            "https://",
            "http://user:pw@host",
            "http://host/?a=b",
        ] {
            assert_eq!(client(base).err(), Some(OptionsError::BaseUrl), "{base}");
        }
    }
}
