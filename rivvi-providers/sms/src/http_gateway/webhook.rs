//! Webhooks of a gateway: who sent them, and what they tell.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::Hmac;
use http::HeaderName;
use rivvi_core::domain::{E164, Personal, ProviderName, Region, Secret, Sender};
use rivvi_core::provider::{InboundSms, SmsNews, WebhookError, WebhookRequest};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::config::{
    AuthConfig, ConfigError, DigestEncoding, InboundConfig, ReceiptConfig, WebhookConfig, WebhookFormat,
};
use super::field::Field;
use crate::digest::{hex, mac, same, unhex};
use crate::money::price;
use crate::params::Params;
use crate::receipt::Receipt;

/// The longest short code; whatever has more digits is a number.
const SHORT_CODE_DIGITS_MAX: usize = 6;

/// The webhooks of a gateway, checked.
pub(super) struct Webhooks {
    config: WebhookConfig,
    secret: Secret,
    region: Option<Region>,
}

impl Webhooks {
    pub(super) fn new(
        config: WebhookConfig,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Self, ConfigError> {
        let wrong = |key: &str, problem: &str| ConfigError::new(key, problem);
        let name = config.auth.secret();
        let secret = secrets.get(name).filter(|secret| !secret.expose().is_empty()).cloned();
        let secret = secret.ok_or_else(|| {
            ConfigError::new(
                "webhook.auth.secret",
                format!("expected the name of a secret that is given, not `{name}`"),
            )
        })?;
        if matches!(&config.auth, AuthConfig::Path { .. }) && secret.expose().contains('/') {
            return Err(wrong(
                "webhook.auth.secret",
                "expected a secret without slashes, to be a part of a path",
            ));
        }
        if let AuthConfig::Header { header, .. } | AuthConfig::Hmac { header, .. } = &config.auth {
            HeaderName::from_bytes(header.as_bytes())
                .map_err(|_| wrong("webhook.auth.header", "expected the name of a header"))?;
        }
        if matches!((&config.auth, config.format), (AuthConfig::Hmac { .. }, WebhookFormat::Query)) {
            return Err(wrong("webhook.auth.by", "expected `path` or `header`: a query has no body to sign"));
        }
        if !(200..300).contains(&config.answer_status) {
            return Err(wrong("webhook.answer_status", "expected a status from 200 to 299"));
        }
        if config.receipt.as_ref().is_some_and(|receipt| receipt.id.is_none() && receipt.reference.is_none())
        {
            return Err(wrong(
                "webhook.receipt",
                "expected `id`, `reference` or both, to tell which message it is",
            ));
        }
        let region = config.region.as_deref().map(Region::new).transpose();
        let region = region.map_err(|_| wrong("webhook.region", "expected a region such as \"IL\""))?;
        Ok(Self { config, secret, region })
    }

    pub(super) fn has_receipts(&self) -> bool {
        self.config.receipt.is_some()
    }

    pub(super) fn answer_status(&self) -> u16 {
        self.config.answer_status
    }

    /// What a webhook tells, once it has shown who sent it.
    pub(super) fn decode(
        &self,
        provider: &ProviderName,
        request: &WebhookRequest,
        now: DateTime<Utc>,
    ) -> Result<SmsNews, WebhookError> {
        self.is_authentic(request).filter(|authentic| *authentic).ok_or(WebhookError::Forged)?;
        let content = self.content(request)?;
        let mut news = SmsNews::default();
        if let Some(receipt) = &self.config.receipt
            && let Some(status) = receipt.status.of(&content)
        {
            news.updates = told(receipt, &content, status, now).updates(provider);
        } else if let Some(inbound) = &self.config.inbound
            && let Some(text) = inbound.text.any(&content)
        {
            news.inbound.push(self.inbound(inbound, &content, text, request, now)?);
        }
        Ok(news)
    }

    fn is_authentic(&self, request: &WebhookRequest) -> Option<bool> {
        let secret = self.secret.expose().as_bytes();
        Some(match &self.config.auth {
            AuthConfig::Header { header, .. } => same(only(request, header)?, secret),
            AuthConfig::Hmac { header, encoding, prefix, .. } => {
                let text = std::str::from_utf8(only(request, header)?).ok()?.strip_prefix(prefix)?;
                let digest = match encoding {
                    DigestEncoding::Hex => unhex(text)?,
                    DigestEncoding::Base64 => STANDARD.decode(text).ok()?,
                };
                same(&digest, &mac::<Hmac<Sha256>>(secret, request.body()))
            }
            // Every segment is compared, so that the time does not tell which.
            AuthConfig::Path { .. } => {
                let segments = request.uri().path().split('/');
                segments.fold(false, |found, segment| found | same(segment.as_bytes(), secret))
            }
        })
    }

    fn content(&self, request: &WebhookRequest) -> Result<Value, WebhookError> {
        let params = match self.config.format {
            WebhookFormat::Json => {
                return serde_json::from_slice(request.body()).map_err(|error| {
                    WebhookError::Malformed(format!("line {}, column {}", error.line(), error.column()))
                });
            }
            WebhookFormat::Form => Params::of_form(request.body()),
            WebhookFormat::Query => Params::of_form(request.uri().query().unwrap_or_default().as_bytes()),
        };
        let mut object = serde_json::Map::new();
        for (name, value) in params.iter() {
            object.entry(name).or_insert_with(|| Value::from(value));
        }
        Ok(Value::Object(object))
    }

    fn inbound(
        &self,
        config: &InboundConfig,
        content: &Value,
        text: String,
        request: &WebhookRequest,
        now: DateTime<Utc>,
    ) -> Result<InboundSms, WebhookError> {
        let expected =
            |key: &str| WebhookError::Malformed(format!("expected what webhook.inbound.{key} names"));
        let value = |field: &Field, key: &str| field.of(content).ok_or_else(|| expected(key));
        // A gateway that gives no ids tells messages apart by all it says of them.
        let id = match &config.id {
            Some(field) => value(field, "id")?,
            None => {
                let query = request.uri().query().unwrap_or_default();
                hex(&Sha256::new().chain_update(query).chain_update(request.body()).finalize())
            }
        };
        let is_opt_out = config.opt_out.as_ref().and_then(|by| Some((by, by.field.of(content)?)));
        Ok(InboundSms {
            id,
            from: self.number(&value(&config.from, "from")?),
            to: self.sender(&value(&config.to, "to")?).ok_or_else(|| expected("to"))?,
            text: Personal::new(text),
            at: now,
            is_opt_out: is_opt_out.is_some_and(|(by, word)| by.is.contains(&word)),
        })
    }

    /// A number as gateways write it: with a plus sign, without, or as it is dialled in its region.
    fn number(&self, text: &str) -> Option<E164> {
        let text = text.trim();
        match self.region {
            _ if text.starts_with('+') => E164::from_e164(text).ok(),
            Some(region) if text.starts_with('0') => E164::parse(text, region).ok(),
            _ => E164::from_e164(&format!("+{text}")).ok(),
        }
    }

    fn sender(&self, text: &str) -> Option<Sender> {
        let is_number = text.len() > SHORT_CODE_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { self.number(text).map(Sender::Number) } else { Sender::new(text) }
    }
}

/// The value of a header that stands there once.
fn only<'a>(request: &'a WebhookRequest, header: &str) -> Option<&'a [u8]> {
    let mut values = request.headers().get_all(header).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

fn told(config: &ReceiptConfig, content: &Value, status: String, now: DateTime<Utc>) -> Receipt {
    let field = |field: &Option<Field>| field.as_ref().and_then(|field| field.of(content));
    let word = config.states.get(&status).copied();
    // A code that is not of the table is the gateway's text, of which nobody knows what it says.
    let code = word.is_some().then_some(status);
    let cost = field(&config.price).zip(config.currency);
    Receipt {
        id: field(&config.id).and_then(|id| id.parse().ok()),
        reference: field(&config.reference),
        at: now,
        fate: word.or(config.otherwise).map(|word| word.fate(code)),
        cost: cost.and_then(|(text, currency)| price(&text, currency)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use rivvi_core::domain::{DeliveryFailure, DeliveryState};
    use rivvi_core::provider::{CallEvent, CallRef};
    use rivvi_core::testkit::build;

    use super::*;

    const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

    fn webhooks(toml: &str) -> Result<Webhooks, ConfigError> {
        let secrets = BTreeMap::from([
            ("hook".to_owned(), Secret::new("s3cr3t")),
            ("slash".to_owned(), Secret::new("a/b")),
        ]);
        Webhooks::new(toml::from_str(toml).unwrap(), &secrets)
    }

    fn request(uri: &str, headers: &[(&'static str, &str)], body: &str) -> WebhookRequest {
        let mut request = WebhookRequest::new(Bytes::copy_from_slice(body.as_bytes()));
        *request.uri_mut() = uri.parse().unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    fn decode(webhooks: &Webhooks, request: &WebhookRequest) -> Result<SmsNews, WebhookError> {
        webhooks.decode(&ProviderName::new("gateway"), request, build::start())
    }

    const FORM: &str = r#"
        format = "form"
        auth = { by = "path", secret = "hook" }
        region = "IL"
        [receipt]
        id = "external_id"
        reference = "shipment_id"
        status = "status"
        price = "price"
        currency = "ILS"
        otherwise = "undelivered"
        [receipt.states]
        "0" = "delivered"
        "15" = "no_sms"
        [inbound]
        id = "message_id"
        from = "phone"
        to = "dest"
        text = "message"
        opt_out = { field = "kind", is = ["stop"] }
    "#;

    #[test]
    fn receipts_are_read_by_the_table() {
        let webhooks = webhooks(FORM).unwrap();
        let told = |status: &str, id: &str| {
            let body = format!("external_id={id}&shipment_id=17&status={status}&price=0.05");
            decode(&webhooks, &request("/sms/s3cr3t", &[], &body)).unwrap().updates
        };
        let delivery = |status: &str| match told(status, ID)[1].event.clone() {
            CallEvent::Delivery { state, failure, code } => (state, failure, code),
            other => panic!("{other:?}"),
        };
        assert_eq!(delivery("0"), (DeliveryState::Delivered, None, None));
        let no_sms = (DeliveryState::Undelivered, Some(DeliveryFailure::NoSms), Some("15".into()));
        assert_eq!(delivery("15"), no_sms);
        assert_eq!(delivery("77"), (DeliveryState::Undelivered, Some(DeliveryFailure::Other), None));
        assert!(told("0", ID).iter().all(|update| update.call == CallRef::Id(ID.parse().unwrap())));
        let reference = CallRef::Provider { provider: ProviderName::new("gateway"), reference: "17".into() };
        assert!(told("0", "mine").iter().all(|update| update.call == reference));
        let CallEvent::Enriched { detail } = &told("0", ID)[2].event else { panic!("the price is told") };
        assert_eq!(detail.cost.unwrap().micros, 50_000);
    }

    #[test]
    fn messages_come_in_with_numbers_as_they_are_written_there() {
        let webhooks = webhooks(FORM).unwrap();
        let inbound = |from: &str, to: &str, more: &str| {
            let body = format!("message_id=m1&phone={from}&dest={to}&message=%D7%94%D7%A1%D7%A8{more}");
            let [inbound] =
                decode(&webhooks, &request("/sms/s3cr3t/", &[], &body)).unwrap().inbound.try_into().unwrap();
            inbound
        };
        for from in ["0542345678", "%2B972542345678", "972542345678"] {
            let inbound = inbound(from, "031234567", "");
            assert_eq!(inbound.from.map(E164::expose).as_deref(), Some("+972542345678"), "{from}");
            assert_eq!(inbound.to, Sender::new("+97231234567").unwrap());
            assert_eq!((inbound.id.as_str(), inbound.text.expose().as_str()), ("m1", "הסר"));
            assert!(!inbound.is_opt_out);
        }
        assert_eq!(inbound("Bank", "12345", "").from, None);
        assert_eq!(inbound("Bank", "12345", "").to, Sender::new("12345").unwrap());
        assert!(inbound("0542345678", "12345", "&kind=stop").is_opt_out);
        let body = "message=Dana&phone=0542345678";
        let error = decode(&webhooks, &request("/s3cr3t", &[], body)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the content could not be read: expected what webhook.inbound.id names"
        );
        assert_eq!(decode(&webhooks, &request("/s3cr3t", &[], "a=b")).unwrap(), SmsNews::default());
    }

    #[test]
    fn messages_without_an_id_are_told_apart_by_what_they_say() {
        let webhooks = webhooks(&FORM.replace("id = \"message_id\"", "")).unwrap();
        let id = |body: &str| {
            let news = decode(&webhooks, &request("/s3cr3t", &[], body)).unwrap();
            news.inbound[0].id.clone()
        };
        let body = "phone=0542345678&dest=12345&message=yes&date=1";
        assert_eq!(id(body), id(body));
        assert_ne!(id(body), id(&body.replace("date=1", "date=2")));
    }

    #[test]
    fn senders_show_who_they_are() {
        let json = |auth: &str| {
            let rest = "[receipt]\nid = '/id'\nstatus = '/status'\nstates = { ok = 'delivered' }";
            webhooks(&format!("format = 'json'\nauth = {{ {auth}, secret = 'hook' }}\n{rest}")).unwrap()
        };
        let body = format!(r#"{{"id":"{ID}","status":"ok"}}"#);
        let digest = mac::<Hmac<Sha256>>(b"s3cr3t", body.as_bytes());
        let (hexed, based) = (format!("sha256={}", hex(&digest)), STANDARD.encode(&digest));
        for (auth, name, value, wrong) in [
            ("by = 'header', header = 'X-Token'", "x-token", "s3cr3t", "s3cr3T"),
            ("by = 'hmac', header = 'x-sign', prefix = 'sha256='", "x-sign", hexed.as_str(), &hexed[7..]),
            ("by = 'hmac', header = 'x-sign', encoding = 'base64'", "x-sign", based.as_str(), "AAAA"),
        ] {
            let webhooks = json(auth);
            assert_eq!(decode(&webhooks, &request("/", &[(name, value)], &body)).unwrap().updates.len(), 2);
            for forged in [
                request("/", &[], &body),
                request("/", &[(name, wrong)], &body),
                request("/", &[(name, "")], &body),
                request("/", &[(name, value), (name, value)], &body),
            ] {
                assert!(matches!(decode(&webhooks, &forged), Err(WebhookError::Forged)), "{auth}");
            }
            if auth.contains("hmac") {
                let forged = request("/", &[(name, value)], &body.replace("ok", "no"));
                assert!(matches!(decode(&webhooks, &forged), Err(WebhookError::Forged)), "{auth}");
            }
        }
        let webhooks = json("by = 'path'");
        for path in ["/", "/s3cr3", "/s3cr3t0", "/x?s3cr3t"] {
            assert!(
                matches!(decode(&webhooks, &request(path, &[], &body)), Err(WebhookError::Forged)),
                "{path}"
            );
        }
        let error = decode(&webhooks, &request("/s3cr3t", &[], "Dana")).unwrap_err();
        assert!(matches!(error, WebhookError::Malformed(place) if place == "line 1, column 1"));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        for (from, to, key) in [
            ("secret = \"hook\"", "secret = \"nobody\"", "webhook.auth.secret"),
            ("secret = \"hook\"", "secret = \"slash\"", "webhook.auth.secret"),
            ("by = \"path\"", "by = \"header\", header = \"a b\"", "webhook.auth.header"),
            ("\"IL\"", "\"Israel\"", "webhook.region"),
            ("format = \"form\"", "format = \"form\"\nanswer_status = 500", "webhook.answer_status"),
        ] {
            assert_eq!(webhooks(&FORM.replace(from, to)).err().unwrap().key, key, "{to}");
        }
        let nameless = FORM.replace("id = \"external_id\"\n        reference = \"shipment_id\"", "");
        assert_eq!(webhooks(&nameless).err().unwrap().key, "webhook.receipt");
        let query =
            FORM.replace("\"form\"", "\"query\"").replace("by = \"path\"", "by = \"hmac\", header = \"x\"");
        assert_eq!(webhooks(&query).err().unwrap().key, "webhook.auth.by");
    }
}
