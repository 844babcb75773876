//! Calls that come in: Retell's question and our answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::NaiveDate;
use rivvi_core::domain::E164;
use rivvi_core::provider::{InboundAnswer, InboundCall, WebhookError};
use serde::{Deserialize, Serialize};

use crate::metadata::Metadata;
use crate::options::RetellOptions;
use crate::variables;
use crate::webhook::malformed;

/// The body of the question.
///
/// Source: <https://docs.retellai.com/features/inbound-call-webhook>
#[derive(Deserialize)]
struct Question {
    event: String,
    #[serde(default)]
    call_inbound: Option<Asked>,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    from_number: Option<String>,
    to_number: String,
    #[serde(default)]
    call_id: Option<String>,
}

/// Reads the question, once its signature is verified.
pub(crate) fn read(body: &[u8]) -> Result<InboundCall, WebhookError> {
    let expected = |what: &str| WebhookError::Malformed(format!("expected {what}"));
    let question: Question = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
    if question.event != "call_inbound" {
        return Err(expected("the event `call_inbound`; send other events to the webhook for calls"));
    }
    let asked = question.call_inbound.ok_or_else(|| expected("the object `call_inbound`"))?;
    let to = E164::from_e164(&asked.to_number)
        .map_err(|_| expected("a number such as +12137771234 as `call_inbound.to_number`"))?;
    // A withheld number is a word such as `anonymous`.
    let from = asked.from_number.and_then(|from| E164::from_e164(&from).ok());
    let mut call = InboundCall::new(from, to);
    call.reference = asked.call_id;
    Ok(call)
}

#[derive(Serialize)]
struct Answer {
    call_inbound: Overrides,
}

#[derive(Serialize, Default)]
struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    override_agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dynamic_variables: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
}

/// Writes our answer, given on `today`. Whoever is not known gets the agent alone.
pub(crate) fn write(
    answer: &InboundAnswer,
    options: &RetellOptions,
    today: NaiveDate,
) -> http::Response<Bytes> {
    let known = answer.from.map(|from| {
        let mut known = variables::of_person(&answer.person, from, answer.variables.expose(), today);
        if let Some(prompt) = &answer.prompt {
            known.insert(options.prompt_variable.clone(), prompt.expose().clone());
        }
        known
    });
    let call_inbound = Overrides {
        override_agent_id: answer.agent_id.clone(),
        dynamic_variables: known,
        metadata: answer.call.as_ref().map(Metadata::of_answered),
    };
    let body = serde_json::to_vec(&Answer { call_inbound }).unwrap_or_default();
    let mut response = http::Response::new(Bytes::from(body));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::{Personal, Secret};
    use rivvi_core::provider::AnsweredCall;
    use rivvi_core::testkit::build;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn question_is_read_and_a_withheld_number_is_nobody() {
        let ask = |from: Value| {
            let inbound = json!({ "agent_id": "a", "agent_version": 1, "from_number": from, "to_number": "+12137771234" });
            read(
                &serde_json::to_vec(&json!({ "event": "call_inbound", "call_inbound": inbound, "new": 1 }))
                    .unwrap(),
            )
        };
        let call = ask(json!("+972541234567")).unwrap();
        assert_eq!(call.from, Some(E164::from_e164("+972541234567").unwrap()));
        assert_eq!(call.to, E164::from_e164("+12137771234").unwrap());
        for withheld in [json!("anonymous"), json!(""), Value::Null] {
            assert_eq!(ask(withheld).unwrap().from, None);
        }
        for body in [
            "",
            "{}",
            r#"{"event":"call_inbound"}"#,
            r#"{"event":"call_ended","call":{}}"#,
            r#"{"event":"call_inbound","call_inbound":{"to_number":"0541234567"}}"#,
        ] {
            let error = read(body.as_bytes()).unwrap_err();
            assert!(
                matches!(&error, WebhookError::Malformed(text) if !text.contains("0541234567")),
                "{body}"
            );
        }
    }

    #[test]
    fn answer_names_agent_variables_and_ids() {
        let options = RetellOptions::new(Secret::new("key"));
        let today = "2030-01-07".parse().unwrap();
        let body = |answer: &InboundAnswer| {
            serde_json::from_slice::<Value>(write(answer, &options, today).body()).unwrap()
        };
        assert_eq!(body(&InboundAnswer::default()), json!({ "call_inbound": {} }));

        let request = build::place_call(1);
        let mut answer = InboundAnswer::default();
        answer.agent_id = Some("agent_in".into());
        answer.from = Some(request.to);
        answer.person = request.person.clone();
        answer.prompt = Some(Personal::new("They call back.".into()));
        answer.call = Some(AnsweredCall {
            call_id: build::place_call(2).call_id,
            callback_for: request.call_id,
            org_id: request.org_id,
            campaign_id: request.campaign_id,
            run_id: request.run_id,
            contact_id: request.contact_id,
        });
        let body = body(&answer);
        let told = &body["call_inbound"];
        assert_eq!(told["override_agent_id"], "agent_in");
        assert_eq!(told["dynamic_variables"]["prompt"], "They call back.");
        assert_eq!(told["dynamic_variables"]["phone"], request.to.expose());
        assert_eq!(told["metadata"]["callback_for"], request.call_id.to_string());
    }
}
