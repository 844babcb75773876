//! Gateways that are configured: their configuration, and webhooks as it maps them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rivvi_core::clock::VirtualClock;
use rivvi_core::domain::Secret;
use rivvi_core::provider::SmsProvider;
use rivvi_provider_sms::{HttpSms, HttpSmsConfig};

use super::any;
use super::request::{self, arrives_at};

pub(super) const WORDS: &[&str] = &[
    "[webhook]",
    "[webhook.receipt]",
    "[webhook.inbound]",
    "[answer]",
    "[answer.codes]",
    "[limits]",
    "[request]",
    "format = \"json\"",
    "format = \"query\"",
    "by = \"hmac\"",
    "by = \"path\"",
    "by = \"header\"",
    "{{ to }}",
    "{{ text }}",
    "{{ secret.token }}",
    "{% if unicode %}",
    "{% for i in range(9999) %}",
    "{% endfor %}",
    "{% endif %}",
    "delivered",
    "no_sms",
    "price",
    "currency = \"ILS\"",
    "\"/a/0/b\"",
    "/hook/",
    "id=",
    "status=",
    "text=",
    "&",
    "=",
    "~",
    " * ",
    "|",
];

fn secrets() -> BTreeMap<String, Secret> {
    ["token", "user", "password", "hook"].map(|name| (name.to_owned(), Secret::new("s3cr3t"))).into()
}

fn gateway(text: &str) -> Option<HttpSms> {
    let config = HttpSmsConfig::from_toml(text).or_else(|_| HttpSmsConfig::from_json(text)).ok()?;
    HttpSms::new(config, secrets(), Arc::new(VirtualClock::new(arrives_at()))).ok()
}

/// A configuration, whose errors are one line; where it is good, webhooks are read by it.
pub(super) fn configuration(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    for read in [HttpSmsConfig::from_toml, HttpSmsConfig::from_json] {
        if let Err(error) = read(&text) {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }
    let Some(gateway) = gateway(&text) else { return };
    for webhook in
        ["POST /hook/s3cr3t?id=1&status=0\n\n{\"id\":\"1\"}", "POST /\nX: s3cr3t\n\nid=1&status=0&text=a"]
    {
        any(gateway.decode_webhook(&request::read(webhook.as_bytes()), arrives_at()));
    }
}

const FORM: &str = r#"
name = "form"
request = { url = "https://gateway.example/send" }
answer = {}
[webhook]
format = "form"
region = "IL"
auth = { by = "path", secret = "hook" }
receipt = { id = "id", reference = "ref", status = "status", price = "price", currency = "ILS", otherwise = "undelivered", states = { "0" = "delivered", "7" = "no_sms" } }
inbound = { from = "from", to = "to", text = "text", opt_out = { field = "kind", is = ["stop"] } }
"#;

fn gateways() -> &'static [HttpSms] {
    static GATEWAYS: OnceLock<Vec<HttpSms>> = OnceLock::new();
    GATEWAYS.get_or_init(|| {
        let json = FORM.replace("\"form\"", "\"json\"").replace("= \"id\"", "= \"/a/id\"");
        let query = FORM.replace("\"form\"", "\"query\"");
        let gateways: Vec<_> = [FORM, &json, &query].into_iter().filter_map(gateway).collect();
        assert_eq!(gateways.len(), 3, "the configurations are good");
        gateways
    })
}

/// A webhook in each format, the secret path before its own.
pub(super) fn webhook(input: &[u8]) {
    let mut webhook = request::read(input);
    let path = webhook.uri().path_and_query().map_or("/", |rest| rest.as_str());
    let Ok(uri) = format!("/s3cr3t/x{path}").parse() else { return };
    *webhook.uri_mut() = uri;
    for gateway in gateways() {
        let told = gateway.decode_webhook(&webhook, arrives_at());
        assert!(!matches!(told, Err(rivvi_core::provider::WebhookError::Forged)), "the secret is there");
        assert_eq!(told.ok(), gateway.decode_webhook(&webhook, arrives_at()).ok());
    }
}
