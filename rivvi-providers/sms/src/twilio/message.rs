//! Messages as Twilio has them: what is asked for, and what is answered.

use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallId, Currency};
use rivvi_core::provider::SendSms;
use serde::Deserialize;
use serde_json::Value;

use super::code::fate;
use super::options::TwilioOptions;
use crate::client::Answer;
use crate::failure::Failure;
use crate::money::price;
use crate::receipt::Receipt;

/// The parameter in the query of the status callback that has our id, which Twilio's messages themselves cannot carry.
pub(super) const OUR_ID: &str = "message_id";

/// The longest that Twilio may try, in seconds.
const VALIDITY_S_MAX: u64 = 36_000;

/// The parameters of a request.
///
/// Source: <https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource>
pub(super) fn fields(request: &SendSms, options: &TwilioOptions) -> Vec<(&'static str, String)> {
    let sender = match &options.messaging_service_sid {
        Some(service) => ("MessagingServiceSid", service.clone()),
        None => ("From", request.from.expose()),
    };
    let valid_for = request.valid_for.as_secs().clamp(1, VALIDITY_S_MAX);
    let mut fields = vec![
        ("To", request.to.expose()),
        sender,
        ("Body", request.text.expose().clone()),
        ("ValidityPeriod", valid_for.to_string()),
    ];
    let callback = options.webhook_url.as_ref().map(|url| format!("{url}?{OUR_ID}={}", request.message_id));
    fields.extend(callback.map(|url| ("StatusCallback", url)));
    fields
}

/// A message, as far as it is used.
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) sid: String,
    #[serde(default)]
    status: Value,
    #[serde(default)]
    error_code: Value,
    #[serde(default)]
    price: Value,
    #[serde(default)]
    price_unit: Value,
    #[serde(default)]
    date_updated: Value,
}

impl Message {
    /// The message in an answer.
    pub(super) fn of(answer: &Answer) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Problem {
            code: Option<u32>,
        }
        if !answer.is_success() {
            let problem: Option<Problem> = serde_json::from_slice(&answer.body).ok();
            let code = problem.and_then(|problem| problem.code);
            return Err(super::code::refusal(answer.refusal(), code).into());
        }
        let message: Self = answer.json()?;
        if message.sid.is_empty() { Err(Failure::Unreadable) } else { Ok(message) }
    }

    /// What it tells of our message.
    pub(super) fn receipt(self, id: CallId, now: DateTime<Utc>) -> Receipt {
        let at = self.date_updated.as_str().and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        let error_code = self.error_code.as_u64().and_then(|code| u32::try_from(code).ok());
        let currency = self.price_unit.as_str().and_then(|unit| Currency::new(&unit.to_ascii_uppercase()));
        Receipt {
            id: Some(id),
            at: at.map_or(now, |at| at.to_utc()),
            fate: self.status.as_str().and_then(|status| fate(status, error_code)),
            cost: self.price.as_str().zip(currency).and_then(|(text, currency)| price(text, currency)),
            reference: Some(self.sid),
        }
    }
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::{E164, ProviderName, Secret, Sender};
    use rivvi_core::provider::CallEvent;
    use rivvi_core::testkit::build;
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_say_what_is_to_be_sent() {
        let id = build::unknown_call_id(1);
        let to = E164::from_e164("+972541234567").unwrap();
        let request = SendSms::new(id, to, Sender::new("+97231234567").unwrap(), "שלום");
        let mut options = TwilioOptions::new("AC1", Secret::new("token"));
        options.webhook_url = Some("https://hooks.example.com/twilio".into());
        let expected = |sender: (&'static str, &str)| {
            vec![
                ("To", "+972541234567".to_owned()),
                (sender.0, sender.1.to_owned()),
                ("Body", "שלום".to_owned()),
                ("ValidityPeriod", "36000".to_owned()),
                ("StatusCallback", format!("https://hooks.example.com/twilio?message_id={id}")),
            ]
        };
        assert_eq!(fields(&request, &options), expected(("From", "+97231234567")));
        options.messaging_service_sid = Some("MG1".into());
        assert_eq!(fields(&request, &options), expected(("MessagingServiceSid", "MG1")));
    }

    #[test]
    fn messages_tell_state_and_price() {
        let told = |message: Value| {
            let message: Message = serde_json::from_value(message).unwrap();
            message.receipt(build::unknown_call_id(1), build::start()).updates(&ProviderName::new("twilio"))
        };
        let updates = told(json!({
            "sid": "SM1", "status": "delivered", "price": "-0.01500", "price_unit": "USD", "error_code": null,
            "date_updated": "Sat, 21 Nov 2026 10:00:30 +0000", "num_segments": "2", "body": "hello",
        }));
        assert_eq!(updates[0].at.to_rfc3339(), "2026-11-21T10:00:30+00:00");
        let CallEvent::Enriched { detail } = &updates[2].event else { panic!("the price is told") };
        assert_eq!(detail.cost.unwrap().micros, 15_000);
        let strange =
            told(json!({ "sid": "SM1", "status": "levitating", "price": null, "price_unit": "USD" }));
        assert_eq!(strange.len(), 1, "it is there, and nothing else is known");
        assert_eq!(strange[0].at, build::start());
    }

    #[test]
    fn answers_without_an_id_are_not_understood() {
        let told = |status, body: &str| {
            Message::of(&Answer { status, body: body.into(), retry_after: None }).map(|message| message.sid)
        };
        assert_eq!(told(201, r#"{"sid":"SM1"}"#), Ok("SM1".into()));
        for body in ["", "{}", r#"{"sid":""}"#, r#"{"sid":null}"#] {
            assert_eq!(told(201, body), Err(Failure::Unreadable), "{body}");
        }
        assert!(matches!(told(400, "<html>"), Err(Failure::Refused(refusal)) if refusal.code.is_none()));
    }
}
