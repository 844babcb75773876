//! What the answers of a gateway mean.

use rivvi_core::domain::Money;
use rivvi_core::provider::SentSms;
use serde_json::Value;

use super::config::{AnswerConfig, Meaning};
use crate::client::Answer;
use crate::failure::{Failure, Refusal};
use crate::money::price;

/// What an answer means. What the configuration calls accepted is; else a code or text of its tables counts, else the status
/// of HTTP. An answer with the status of an accepted one of which nothing is known may mean anything.
pub(super) fn judge(
    config: &AnswerConfig,
    answer: &Answer,
    price_otherwise: Option<Money>,
) -> Result<SentSms, Failure> {
    let body = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let text = String::from_utf8_lossy(&answer.body);
    if is_accepted(config, answer.status, &body, &text) {
        let told = config.price.as_ref().and_then(|field| field.of(&body)).zip(config.currency);
        let told = told.and_then(|(text, currency)| price(&text, currency));
        let reference = config.reference.as_ref().and_then(|field| field.of(&body));
        return Ok(SentSms { reference, cost: told.or(price_otherwise) });
    }
    let refusal = answer.refusal();
    Err(match meaning(config, &body, &text) {
        Some((code, meaning)) => {
            let (kind, delivery) = meaning.judge();
            Refusal { delivery, ..refusal.with_code(code, kind) }.into()
        }
        None if config.accepted.takes(answer.status) => Failure::Unreadable,
        None => refusal.into(),
    })
}

fn is_accepted(config: &AnswerConfig, status: u16, body: &Value, text: &str) -> bool {
    let accepted = &config.accepted;
    let field = accepted.field.as_ref().is_none_or(|field| {
        field.of(body).is_some_and(|value| accepted.is.is_empty() || accepted.is.contains(&value))
    });
    let contains = accepted.contains.as_ref().is_none_or(|words| text.contains(words));
    // An answer that has a code of the tables is a refusal, where nothing tells acceptance but the status.
    let is_told = accepted.field.is_some() || accepted.contains.is_some();
    accepted.takes(status) && field && contains && (is_told || meaning(config, body, text).is_none())
}

/// The code or the text of the tables that an answer has. It is of the configuration, not of the answer.
fn meaning<'a>(config: &'a AnswerConfig, body: &Value, text: &str) -> Option<(&'a str, Meaning)> {
    let code = config.code.as_ref().and_then(|field| field.of(body));
    let code = code.and_then(|code| config.codes.get_key_value(&code));
    let found = code.or_else(|| config.texts.iter().find(|(words, _)| text.contains(words.as_str())));
    found.map(|(code, meaning)| (code.as_str(), *meaning))
}

#[cfg(test)]
mod tests {
    use rivvi_core::provider::{Delivery, ProviderErrorKind};

    use super::*;

    fn told(toml: &str, status: u16, body: &str) -> Result<SentSms, Failure> {
        let answer = Answer { status, body: body.into(), retry_after: None };
        judge(&toml::from_str(toml).unwrap(), &answer, None)
    }

    fn refused(toml: &str, status: u16, body: &str) -> (ProviderErrorKind, Delivery) {
        let error = told(toml, status, body).unwrap_err();
        let error = error.of_effect(&"gateway".into(), "send_sms");
        (error.kind, error.delivery)
    }

    const JSON: &str = r#"
        accepted = { field = "/status", is = ["0", "ok"] }
        reference = "/id"
        price = "price"
        currency = "ILS"
        code = "/status"
        codes = { "3" = "unauthorized", "4" = "account_blocked", "9" = "unknown", "12" = "no_sms" }
        texts = { "Slow down" = "rate_limited" }
    "#;

    #[test]
    fn answers_are_accepted_by_a_field() {
        for body in [r#"{"status":0,"id":17,"price":"0.05"}"#, r#"{"status":"ok","id":"17","price":0.05}"#] {
            let sent = told(JSON, 200, body).unwrap();
            assert_eq!(sent.reference.as_deref(), Some("17"));
            assert_eq!(sent.cost.unwrap().micros, 50_000);
        }
        let bare = told(JSON, 204, r#"{"status":0}"#).unwrap();
        assert_eq!((bare.reference, bare.cost), (None, None));
    }

    #[test]
    fn everything_else_is_refused_as_the_tables_and_the_status_say() {
        use Delivery::{NotSent, Unknown};
        use ProviderErrorKind as Kind;
        for (status, body, kind, delivery) in [
            (200, r#"{"status":3}"#, Kind::Unauthorized, NotSent),
            (200, r#"{"status":"4"}"#, Kind::AccountBlocked, NotSent),
            (500, r#"{"status":12}"#, Kind::NoSms, NotSent),
            (200, r#"{"status":9}"#, Kind::Unavailable, Unknown),
            (200, r#"{"status":77}"#, Kind::Protocol, Unknown),
            (200, "", Kind::Protocol, Unknown),
            (200, "<html>", Kind::Protocol, Unknown),
            (200, "Slow down!", Kind::RateLimited, NotSent),
            (401, "", Kind::Unauthorized, NotSent),
            (404, "", Kind::InvalidRequest, NotSent),
            (500, r#"{"status":0}"#, Kind::Unavailable, Unknown),
            (307, "", Kind::Protocol, Unknown),
        ] {
            assert_eq!(refused(JSON, status, body), (kind, delivery), "{status}: {body}");
        }
    }

    #[test]
    fn answers_are_accepted_by_a_status_or_a_text() {
        let text = r#"accepted = { status = [200], contains = "OK" }"#;
        assert!(told(text, 200, "OK: 17").is_ok());
        assert_eq!(told(text, 200, "ERR"), Err(Failure::Unreadable));
        assert!(told(text, 201, "OK").is_err());
        let status = r#"
            accepted = { status = [202] }
            code = "error"
            codes = { "5" = "invalid_number" }
        "#;
        assert!(told(status, 202, "").is_ok());
        assert_eq!(refused(status, 202, r#"{"error":5}"#).0, ProviderErrorKind::InvalidNumber);
        assert!(told("", 200, "whatever").is_ok());
    }

    #[test]
    fn errors_show_the_tables_and_not_the_answer() {
        let error = told(JSON, 200, r#"{"status":77,"message":"+972541234567 is not valid"}"#).unwrap_err();
        let error = error.of_effect(&"gateway".into(), "send_sms");
        assert!(!format!("{error:?} {:?}", error.source).contains("972541234567"));
    }
}
