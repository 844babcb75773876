//! The configuration of a gateway, as data.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rivvi_core::domain::{CallsPerSecond, Currency, DeliveryFailure, DeliveryState, Money};
use rivvi_core::provider::{Delivery, ProviderErrorKind};
use serde::Deserialize;

use super::field::Field;
use crate::options::SmsTerms;
use crate::receipt::Fate;

/// How to talk to a gateway: what is asked, what its answers mean, and what it tells by webhook. Secrets are not in it; it
/// names them.
///
/// The keys are in the guide, `docs/sms-provider.md`; whole files in `samples/` of this crate. `Debug` shows the name alone.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSmsConfig {
    pub(super) name: String,
    pub(super) request: RequestConfig,
    pub(super) answer: AnswerConfig,
    #[serde(default)]
    pub(super) limits: LimitsConfig,
    pub(super) webhook: Option<WebhookConfig>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestConfig {
    pub(super) url: String,
    #[serde(default)]
    pub(super) method: Method,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) body: BodyKind,
    /// The template of the body; without it there is none.
    pub(super) template: Option<String>,
    #[serde(default = "timeout_s")]
    pub(super) timeout_s: u32,
}

fn timeout_s() -> u32 {
    25
}

#[derive(Clone, Copy, Default, Deserialize)]
pub(super) enum Method {
    #[serde(rename = "GET")]
    Get,
    #[default]
    #[serde(rename = "POST")]
    Post,
    #[serde(rename = "PUT")]
    Put,
}

/// What the body is, which says how values are written into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum BodyKind {
    #[default]
    Json,
    Form,
    Xml,
    Plain,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerConfig {
    #[serde(default)]
    pub(super) accepted: AcceptedConfig,
    pub(super) reference: Option<Field>,
    pub(super) price: Option<Field>,
    pub(super) currency: Option<Currency>,
    pub(super) code: Option<Field>,
    #[serde(default)]
    pub(super) codes: BTreeMap<String, Meaning>,
    #[serde(default)]
    pub(super) texts: BTreeMap<String, Meaning>,
}

/// When a message was accepted: everything that is given must hold.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptedConfig {
    /// The statuses of HTTP; every one from 200 to 299 if absent.
    status: Option<Vec<u16>>,
    pub(super) field: Option<Field>,
    #[serde(default)]
    pub(super) is: Vec<String>,
    pub(super) contains: Option<String>,
}

impl AcceptedConfig {
    pub(super) fn takes(&self, status: u16) -> bool {
        match &self.status {
            Some(taken) => taken.contains(&status),
            None => (200..300).contains(&status),
        }
    }
}

/// What a code or a text of a refusal means. All but `unknown` promise that nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Meaning {
    Unauthorized,
    AccountBlocked,
    InvalidRequest,
    InvalidNumber,
    NoSms,
    Unsubscribed,
    RateLimited,
    Unavailable,
    Unknown,
}

impl Meaning {
    pub(super) fn judge(self) -> (ProviderErrorKind, Delivery) {
        use ProviderErrorKind as Kind;
        let kind = match self {
            Self::Unauthorized => Kind::Unauthorized,
            Self::AccountBlocked => Kind::AccountBlocked,
            Self::InvalidRequest => Kind::InvalidRequest,
            Self::InvalidNumber => Kind::InvalidNumber,
            Self::NoSms => Kind::NoSms,
            Self::Unsubscribed => Kind::Unsubscribed,
            Self::RateLimited => Kind::RateLimited,
            Self::Unavailable => Kind::Unavailable,
            Self::Unknown => return (Kind::Unavailable, Delivery::Unknown),
        };
        (kind, Delivery::NotSent)
    }
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsConfig {
    messages_per_second: Option<CallsPerSecond>,
    sender_messages_per_second: Option<CallsPerSecond>,
    settles_after_s: Option<u32>,
    pub(super) idempotent_for_s: Option<u32>,
    price_per_part: Option<String>,
    currency: Option<Currency>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookConfig {
    pub(super) format: WebhookFormat,
    pub(super) auth: AuthConfig,
    /// The region of numbers without a country code, such as `IL`.
    pub(super) region: Option<String>,
    #[serde(default = "no_content")]
    pub(super) answer_status: u16,
    pub(super) receipt: Option<ReceiptConfig>,
    pub(super) inbound: Option<InboundConfig>,
}

fn no_content() -> u16 {
    204
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WebhookFormat {
    Json,
    Form,
    Query,
}

/// How a webhook shows who sent it. `secret` is a name.
#[derive(Clone, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum AuthConfig {
    /// A header has the secret.
    Header { header: String, secret: String },
    /// A header has HMAC-SHA256 of the raw body under the secret.
    Hmac {
        header: String,
        secret: String,
        #[serde(default)]
        encoding: DigestEncoding,
        #[serde(default)]
        prefix: String,
    },
    /// A segment of the path is the secret.
    Path { secret: String },
}

impl AuthConfig {
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::Header { secret, .. } | Self::Hmac { secret, .. } | Self::Path { secret } => secret,
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DigestEncoding {
    #[default]
    Hex,
    Base64,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptConfig {
    pub(super) id: Option<Field>,
    pub(super) reference: Option<Field>,
    pub(super) status: Field,
    pub(super) states: BTreeMap<String, Word>,
    /// What a status means that is not among the states; nothing if absent.
    pub(super) otherwise: Option<Word>,
    pub(super) price: Option<Field>,
    pub(super) currency: Option<Currency>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InboundConfig {
    pub(super) id: Option<Field>,
    pub(super) from: Field,
    pub(super) to: Field,
    pub(super) text: Field,
    pub(super) opt_out: Option<OptOutConfig>,
}

/// By what the gateway says that it recognized an opt-out.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OptOutConfig {
    pub(super) field: Field,
    pub(super) is: Vec<String>,
}

/// What became of a message, in one word: a state, or why it was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Word {
    state: DeliveryState,
    failure: Option<DeliveryFailure>,
}

impl Word {
    const FAILURES: [DeliveryFailure; 9] = [
        DeliveryFailure::NoSms,
        DeliveryFailure::Unsubscribed,
        DeliveryFailure::InvalidNumber,
        DeliveryFailure::Throttled,
        DeliveryFailure::Unreachable,
        DeliveryFailure::Blocked,
        DeliveryFailure::Expired,
        DeliveryFailure::Account,
        DeliveryFailure::Other,
    ];

    pub(super) fn fate(self, code: Option<String>) -> Fate {
        let code = code.filter(|_| self.failure.is_some());
        Fate { state: self.state, failure: self.failure, code }
    }
}

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if let Some(state) = DeliveryState::ALL.into_iter().find(|state| state.name() == text) {
            let is_failure = matches!(state, DeliveryState::Undelivered | DeliveryState::Failed);
            return Ok(Self { state, failure: is_failure.then_some(DeliveryFailure::Other) });
        }
        if let Some(failure) = Self::FAILURES.into_iter().find(|failure| failure.name() == text) {
            return Ok(Self { state: DeliveryState::Undelivered, failure: Some(failure) });
        }
        let states = DeliveryState::ALL.map(DeliveryState::name).join(", ");
        Err(format!("expected one of {states}, {}", Self::FAILURES.map(DeliveryFailure::name).join(", ")))
    }
}

impl HttpSmsConfig {
    /// Reads the TOML form.
    ///
    /// # Errors
    /// Names the key that is wrong and what was expected.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let line = |span: Option<std::ops::Range<usize>>| {
            let end = span.map_or(0, |span| span.start.min(text.len()));
            format!("line {}", text.as_bytes()[..end].iter().filter(|byte| **byte == b'\n').count() + 1)
        };
        let reader = toml::Deserializer::parse(text)
            .map_err(|error| ConfigError::new(line(error.span()), error.message()))?;
        serde_path_to_error::deserialize(reader).map_err(|error| {
            let inner = error.inner();
            ConfigError::new(key(error.path(), || line(inner.span())), inner.message())
        })
    }

    /// Reads the JSON form, which has the same shape.
    ///
    /// # Errors
    /// Names the key that is wrong and what was expected.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let config = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let inner = error.inner();
            ConfigError::new(key(error.path(), || format!("line {}", inner.line())), inner)
        })?;
        let rest = |error: serde_json::Error| {
            ConfigError::new(format!("line {}", error.line()), "expected nothing after the closing brace")
        };
        reader.end().map_err(rest)?;
        Ok(config)
    }

    /// What every provider of text messages has.
    pub(super) fn terms(&self) -> Result<SmsTerms, ConfigError> {
        let Self { name, request, limits, .. } = self;
        let mut terms = SmsTerms::new(name);
        terms.timeout = Duration::from_secs(request.timeout_s.into());
        terms.messages_per_second = limits.messages_per_second;
        terms.sender_messages_per_second = limits.sender_messages_per_second;
        if let Some(seconds) = limits.settles_after_s {
            terms.settles_after = Duration::from_secs(seconds.into());
        }
        terms.price_per_part = limits.price_per_part()?;
        terms.check().map_err(|error| {
            let key = if error.key == "terms.timeout" { "request.timeout_s" } else { "name" };
            ConfigError::new(key, format!("expected {}", error.expected))
        })?;
        Ok(terms)
    }
}

impl LimitsConfig {
    fn price_per_part(&self) -> Result<Option<Money>, ConfigError> {
        let Some(text) = &self.price_per_part else { return Ok(None) };
        let expected = "expected a text such as \"0.05\", and `limits.currency` such as \"ILS\"";
        let price = self.currency.and_then(|currency| crate::money::price(text, currency));
        price.map(Some).ok_or_else(|| ConfigError::new("limits.price_per_part", expected))
    }
}

impl fmt::Debug for HttpSmsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSmsConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

fn key(path: &serde_path_to_error::Path, line: impl Fn() -> String) -> String {
    let path = path.to_string();
    if path == "." { line() } else { path }
}

/// What is wrong with the configuration of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct ConfigError {
    /// The key, such as `answer.codes.7`, or the line if there is none.
    pub key: String,
    /// What was expected.
    pub problem: String,
}

impl ConfigError {
    pub(super) fn new(key: impl Into<String>, problem: impl fmt::Display) -> Self {
        let one_line = |text: String| text.trim().replace(['\n', '\r'], " ");
        Self { key: one_line(key.into()), problem: one_line(problem.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "gateway"
        [request]
        url = "https://gateway.example/send"
        template = '{"to": "{{ to }}"}'
        [answer]
        code = "/code"
        [answer.codes]
        "7" = "no_sms"
        [webhook]
        format = "form"
        auth = { by = "path", secret = "hook" }
        [webhook.receipt]
        status = "status"
        [webhook.receipt.states]
        "1" = "delivered"
    "#;

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        assert!(HttpSmsConfig::from_toml(GOOD).is_ok());
        for (from, to, key) in [
            ("no_sms", "no_such_thing", "answer.codes.7"),
            ("delivered", "arrived", "webhook.receipt.states.1"),
            ("by = \"path\"", "by = \"magic\"", "webhook.auth.by"),
            ("secret = \"hook\"", "", "webhook.auth"),
            ("secret = \"hook\"", "secret = \"hook\", more = 1", "webhook.auth"),
            ("format = \"form\"", "format = \"xml\"", "webhook.format"),
            ("url =", "uri =", "request.uri"),
            ("\"/code\"", "\"/co~de\"", "answer.code"),
            ("\"/code\"", "7", "answer.code"),
            ("[answer]", "[answer]\naccepted = { status = \"200\" }", "answer.accepted.status"),
            ("[answer]", "[limits]\nmessages_per_second = 0\n[answer]", "limits.messages_per_second"),
            ("name = \"gateway\"", "name = \"gateway\"\nmethod = 1", "method"),
            ("[request]", "[request", "line 3"),
        ] {
            let error = HttpSmsConfig::from_toml(&GOOD.replace(from, to)).unwrap_err();
            assert_eq!(error.key, key, "{error}");
        }
        let error = HttpSmsConfig::from_toml("name = \"gateway\"").unwrap_err();
        assert!(error.problem.contains("request"), "{error}");
        let error = HttpSmsConfig::from_toml(&GOOD.replace("delivered", "arrived")).unwrap_err();
        assert!(error.problem.contains("expected one of queued, sent, delivered"), "{error}");
    }

    #[test]
    fn both_forms_have_the_same_shape() {
        let json = r#"{"name": "gateway", "request": {"url": "https://gateway.example"}, "answer": {}}"#;
        assert!(HttpSmsConfig::from_json(json).is_ok());
        assert_eq!(HttpSmsConfig::from_json(&format!("{json}7")).unwrap_err().key, "line 1");
        let wrong = json.replace(r#""answer": {}"#, r#""answer": {"codes": {"7": true}}"#);
        assert_eq!(HttpSmsConfig::from_json(&wrong).unwrap_err().key, "answer.codes.7");
    }

    #[test]
    fn prices_need_a_currency() {
        let with = |limits: &str| {
            let config = HttpSmsConfig::from_toml(&format!("{GOOD}\n[limits]\n{limits}")).unwrap();
            config
                .terms()
                .map(|terms| terms.price_per_part.map(|price| price.micros))
                .map_err(|error| error.key)
        };
        assert_eq!(with(""), Ok(None));
        assert_eq!(with("price_per_part = '0.05'\ncurrency = 'ILS'"), Ok(Some(50_000)));
        assert_eq!(with("price_per_part = '0.05'"), Err("limits.price_per_part".into()));
        assert_eq!(with("price_per_part = 'free'\ncurrency = 'ILS'"), Err("limits.price_per_part".into()));
        let slow = GOOD.replace("[answer]", "timeout_s = 301\n[answer]");
        assert_eq!(HttpSmsConfig::from_toml(&slow).unwrap().terms().unwrap_err().key, "request.timeout_s");
    }

    #[test]
    fn words_are_states_or_failures() {
        let word = |text: &str| Word::try_from(text.to_owned());
        assert_eq!(word("sent").unwrap().fate(Some("1".into())), Fate::of(DeliveryState::Sent));
        let fate = word("unsubscribed").unwrap().fate(Some("201".into()));
        assert_eq!(
            (fate.state, fate.failure),
            (DeliveryState::Undelivered, Some(DeliveryFailure::Unsubscribed))
        );
        assert_eq!(fate.code.as_deref(), Some("201"));
        let fate = word("failed").unwrap().fate(None);
        assert_eq!((fate.state, fate.failure), (DeliveryState::Failed, Some(DeliveryFailure::Other)));
        for failure in Word::FAILURES {
            assert!(word(failure.name()).is_ok());
        }
    }
}
