//! Requests over HTTP.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use reqwest::Url;
use rivvi_core::domain::{Personal, Secret};
use rivvi_core::provider::ActionResult;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::AriError;
use super::event::{ACTION_RESULT, Bridge, Channel, KNOWN, UserEvent};

/// How long a connection may take to come about.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// How long a request may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// How long the whole of a recording may take.
const DOWNLOAD_MAX: Duration = Duration::from_secs(3600);
/// Asterisk closes connections after 15 s without a request; ours are given up before.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// The variable of a channel that names the application that leads it.
pub(crate) const APP: &str = "RIVVI_APP";

/// One server, over HTTP. It repeats no request by itself.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Ends in `/ari`.
    base: Url,
    user: String,
    password: Secret,
}

/// A call to be placed.
#[derive(Debug, Clone)]
pub(crate) struct Originate<'a> {
    pub(crate) channel: &'a str,
    pub(crate) endpoint: Personal<String>,
    pub(crate) app: &'a str,
    /// What [`What::StasisStart`](super::What::StasisStart) tells.
    pub(crate) args: &'a str,
    pub(crate) caller_id: Personal<String>,
    pub(crate) ring_timeout: Duration,
    pub(crate) variables: Vec<(String, String)>,
}

impl Client {
    pub(crate) fn new(http: reqwest::Client, base: Url, user: String, password: Secret) -> Self {
        Self { http, base, user, password }
    }

    /// How connections are made.
    ///
    /// # Errors
    /// If that cannot be set up.
    pub(crate) fn http(tls: &rustls::ClientConfig) -> Result<reqwest::Client, String> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .connect_timeout(CONNECT_MAX)
            .timeout(REQUEST_MAX)
            .pool_idle_timeout(IDLE_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy();
        client.build().map_err(|error| error.without_url().to_string())
    }

    /// Places a call. `false` if there is a channel of that id already.
    pub(crate) async fn originate(&self, call: &Originate<'_>) -> Result<bool, AriError> {
        // In whole seconds, and -1 would be for ever.
        let timeout = call.ring_timeout.as_millis().div_ceil(1000).max(1).to_string();
        let query = [
            ("endpoint", call.endpoint.expose().as_str()),
            ("app", call.app),
            ("appArgs", call.args),
            ("channelId", call.channel),
            ("callerId", call.caller_id.expose().as_str()),
            ("timeout", &timeout),
        ];
        let variables: serde_json::Map<String, Value> =
            call.variables.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let body = json!({ "variables": variables });
        match self.ask::<Channel>(Method::POST, "channels", &query, Some(body)).await {
            Ok(channel) if channel.id == call.channel => Ok(true),
            Ok(_) => Err(AriError::Garbled),
            Err(error) if error.status() == Some(StatusCode::CONFLICT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes a channel that gives the audio it is given to whoever connects. Returns the name of the connection.
    pub(crate) async fn media_channel(&self, id: &str, app: &str, format: &str) -> Result<String, AriError> {
        #[derive(Deserialize)]
        struct Media {
            channelvars: Variables,
        }
        #[derive(Deserialize)]
        struct Variables {
            #[serde(rename = "MEDIA_WEBSOCKET_CONNECTION_ID")]
            connection: String,
        }
        let query = [
            ("app", app),
            ("channelId", id),
            ("format", format),
            ("encapsulation", "none"),
            ("transport", "websocket"),
            ("connection_type", "server"),
            ("external_host", "INCOMING"),
        ];
        let media: Media = self.ask(Method::POST, "channels/externalMedia", &query, None).await?;
        Ok(media.channelvars.connection)
    }

    /// The channel, if there is one of that id.
    pub(crate) async fn channel(&self, id: &str) -> Result<Option<Channel>, AriError> {
        found(self.ask(Method::GET, &format!("channels/{id}"), &[], None).await)
    }

    /// All channels of the server.
    pub(crate) async fn channels(&self) -> Result<Vec<Channel>, AriError> {
        self.ask(Method::GET, "channels", &[], None).await
    }

    /// All bridges of the server.
    pub(crate) async fn bridges(&self) -> Result<Vec<Bridge>, AriError> {
        self.ask(Method::GET, "bridges", &[], None).await
    }

    /// Takes a bridge down. One that is gone is down.
    pub(crate) async fn end_bridge(&self, id: &str) -> Result<(), AriError> {
        found(self.tell(Method::DELETE, &format!("bridges/{id}"), &[], None).await).map(|_| ())
    }

    /// The ids of the channels that an application is told about.
    pub(crate) async fn channels_of(&self, app: &str) -> Result<Vec<String>, AriError> {
        #[derive(Deserialize)]
        struct Application {
            #[serde(default)]
            channel_ids: Vec<String>,
        }
        let application = found(self.ask(Method::GET, &format!("applications/{app}"), &[], None).await)?;
        Ok(application.map(|Application { channel_ids }| channel_ids).unwrap_or_default())
    }

    /// Has an application told of nothing but what we read.
    pub(crate) async fn filter_events(&self, app: &str) -> Result<(), AriError> {
        let allowed: Vec<Value> = KNOWN.iter().map(|kind| json!({ "type": kind })).collect();
        let body = Some(json!({ "allowed": allowed }));
        self.tell(Method::PUT, &format!("applications/{app}/eventFilter"), &[], body).await
    }

    /// When the server was started.
    pub(crate) async fn started_at(&self) -> Result<chrono::DateTime<chrono::Utc>, AriError> {
        #[derive(Deserialize)]
        struct Info {
            status: Status,
        }
        #[derive(Deserialize)]
        struct Status {
            startup_time: String,
        }
        let info: Info = self.ask(Method::GET, "asterisk/info", &[("only", "status")], None).await?;
        let at = chrono::DateTime::parse_from_str(&info.status.startup_time, "%Y-%m-%dT%H:%M:%S%.f%z");
        at.map(|at| at.to_utc()).map_err(|_| AriError::Garbled)
    }

    /// The value of a global variable; empty if there is none.
    pub(crate) async fn variable(&self, name: &str) -> Result<String, AriError> {
        let query = [("variable", name)];
        let known: Variable = self.ask(Method::GET, "asterisk/variable", &query, None).await?;
        Ok(known.value)
    }

    /// Removes a global variable.
    pub(crate) async fn forget_variable(&self, name: &str) -> Result<(), AriError> {
        self.tell(Method::POST, "asterisk/variable", &[("variable", name), ("value", "")], None).await
    }

    /// Which application leads a channel of ours, if there is a channel of that id.
    pub(crate) async fn app_of(&self, channel: &str) -> Result<Option<String>, AriError> {
        Ok(self.channel_variable(channel, APP).await?.filter(|app| !app.is_empty()))
    }

    /// The value of a variable of a channel, or of a function on it, if there is a channel of that id.
    pub(crate) async fn channel_variable(
        &self,
        channel: &str,
        name: &str,
    ) -> Result<Option<String>, AriError> {
        let (path, query) = (format!("channels/{channel}/variable"), [("variable", name)]);
        let known: Option<Variable> = found(self.ask(Method::GET, &path, &query, None).await)?;
        Ok(known.map(|Variable { value }| value))
    }

    /// Tells the application that leads a channel the result of an action. If either is gone, nobody waits for it.
    pub(crate) async fn tell_result(
        &self,
        app: &str,
        channel: &str,
        key: &str,
        result: &ActionResult,
    ) -> Result<(), AriError> {
        let query = [("application", app), ("source", &format!("channel:{channel}"))];
        let told = UserEvent { key: key.to_owned(), result: result.clone() };
        let body = Some(json!({ "variables": told }));
        let told = self.tell(Method::POST, &format!("events/user/{ACTION_RESULT}"), &query, body).await;
        let gone = [StatusCode::NOT_FOUND, StatusCode::UNPROCESSABLE_ENTITY].map(Some);
        told.or_else(|error| if gone.contains(&error.status()) { Ok(()) } else { Err(error) })
    }

    /// Ends a channel. One that is gone has ended.
    pub(crate) async fn hang_up(&self, channel: &str) -> Result<(), AriError> {
        let path = format!("channels/{channel}");
        found(self.tell(Method::DELETE, &path, &[("reason", "normal")], None).await).map(|_| ())
    }

    /// A stored recording, as WAV.
    pub(crate) async fn recording(&self, name: &str) -> Result<Download, AriError> {
        let request = self.request(Method::GET, &format!("recordings/stored/{name}/file"), &[], None);
        let answer = within(request.timeout(DOWNLOAD_MAX).send()).await?;
        refused(answer.status(), false, None)?;
        Ok(Download(answer))
    }

    /// Asks for something to be done, and does not care for the answer's content.
    pub(crate) async fn tell(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<(), AriError> {
        let answer = self.request(method, path, query, body).send().await.map_err(failed)?;
        read_refusal(answer).await.map(drop)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<T, AriError> {
        let answer = self.request(method, path, query, body).send().await.map_err(failed)?;
        let answer = read_refusal(answer).await?;
        let bytes = answer.bytes().await.map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|_| AriError::Garbled)
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> reqwest::RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path()));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(method, url).basic_auth(&self.user, Some(self.password.expose()));
        match body {
            Some(body) => request.json(&body),
            None => request,
        }
    }
}

/// Something large that comes in pieces.
#[derive(Debug)]
pub(crate) struct Download(reqwest::Response);

impl Download {
    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, AriError> {
        within(self.0.chunk()).await
    }
}

/// What is waited for no longer than for any request.
async fn within<T>(answer: impl Future<Output = reqwest::Result<T>>) -> Result<T, AriError> {
    match tokio::time::timeout(REQUEST_MAX, answer).await {
        Ok(answer) => answer.map_err(failed),
        Err(_) => Err(AriError::Timeout),
    }
}

#[derive(Deserialize)]
struct Variable {
    #[serde(default)]
    value: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

/// `None` if it is not there.
fn found<T>(answer: Result<T, AriError>) -> Result<Option<T>, AriError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What became of a request without an answer. The error itself holds the URL, and so the number.
fn failed(error: reqwest::Error) -> AriError {
    if error.is_connect() {
        AriError::Unreachable
    } else if error.is_timeout() {
        AriError::Timeout
    } else if error.is_decode() {
        AriError::Garbled
    } else {
        AriError::Lost
    }
}

async fn read_refusal(answer: reqwest::Response) -> Result<reqwest::Response, AriError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let wait = answer.headers().get(http::header::RETRY_AFTER).and_then(|wait| wait.to_str().ok());
    let wait = wait.and_then(|wait| wait.trim().parse().ok()).map(Duration::from_secs);
    let allocation = status == StatusCode::INTERNAL_SERVER_ERROR
        && answer
            .bytes()
            .await
            .is_ok_and(|body| body.as_ref().windows(17).any(|part| part == b"Allocation failed"));
    refused(status, allocation, wait)?;
    Err(AriError::Garbled)
}

fn refused(status: StatusCode, allocation: bool, retry_after: Option<Duration>) -> Result<(), AriError> {
    if status.is_success() { Ok(()) } else { Err(AriError::Refused { status, allocation, retry_after }) }
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::ProviderName;
    use rivvi_core::provider::{Delivery, ProviderErrorKind as Kind};

    use super::*;

    /// Answers of a real Asterisk 22.10, and what they mean for a call that was to be placed.
    #[tokio::test]
    async fn what_asterisk_answers_is_told_for_what_it_is() {
        use Delivery::{NotSent, Unknown};
        let message = |text: &str| json!({ "message": text });
        for (status, body, expected) in [
            (200, json!({ "id": "x" }), None),
            (204, Value::Null, None),
            (400, message("Endpoint must be specified"), Some((Kind::InvalidRequest, NotSent))),
            (
                400,
                message("Invalid reason for hangup reason provided"),
                Some((Kind::InvalidRequest, NotSent)),
            ),
            (401, message("Authentication required"), Some((Kind::Unauthorized, NotSent))),
            (403, message("Write access denied"), Some((Kind::Unauthorized, NotSent))),
            (404, message("Channel not found"), Some((Kind::InvalidRequest, NotSent))),
            (404, message("ARI URLs do not end with a slash."), Some((Kind::InvalidRequest, NotSent))),
            (
                409,
                message("Channel with given unique ID already exists"),
                Some((Kind::InvalidRequest, NotSent)),
            ),
            (409, message("Channel not in Stasis application"), Some((Kind::InvalidRequest, NotSent))),
            (500, json!({ "error": "Allocation failed" }), Some((Kind::Unavailable, NotSent))),
            (500, message("Internal Server Error"), Some((Kind::Unavailable, Unknown))),
            (503, Value::Null, Some((Kind::RateLimited, NotSent))),
        ] {
            let answer = http::Response::builder().status(status).body(body.to_string()).unwrap();
            let read = read_refusal(reqwest::Response::from(answer)).await.err();
            let told = read.map(|error| {
                let told = error.told_as(&ProviderName::new("asterisk"), "place_call");
                assert!(
                    !format!("{told:?} {told}").contains("message"),
                    "no text of the server is passed on"
                );
                (told.kind, told.delivery)
            });
            assert_eq!(told, expected, "{status} {body}");
        }
    }
}
