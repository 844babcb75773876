//! Calls as Retell writes them: the request for one, and the picture of one.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use rivvi_core::provider::PlaceCall;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::metadata::Metadata;
use crate::options::RetellOptions;
use crate::variables;

/// The body of `POST /v2/create-phone-call`.
///
/// Source: <https://docs.retellai.com/api-references/create-phone-call>; `idempotency_key` from retell-sdk 6.2.13.
#[derive(Serialize)]
pub(crate) struct CreatePhoneCall {
    from_number: String,
    to_number: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    override_agent_id: Option<String>,
    agent_override: AgentOverride,
    retell_llm_dynamic_variables: BTreeMap<String, String>,
    metadata: Metadata,
    /// The same key makes no second call within an hour.
    idempotency_key: String,
}

#[derive(Serialize)]
struct AgentOverride {
    agent: AgentTimes,
}

#[derive(Serialize)]
struct AgentTimes {
    /// 5 s to 5 min.
    ring_duration_ms: u64,
    /// 1 min to 2 h.
    max_call_duration_ms: u64,
}

impl CreatePhoneCall {
    /// The request for a call, made on `today`.
    pub(crate) fn new(request: &PlaceCall, options: &RetellOptions, today: NaiveDate) -> Self {
        let mut known = variables::of_person(&request.person, request.to, request.variables.expose(), today);
        if let Some(prompt) = &request.prompt {
            known.insert(options.prompt_variable.clone(), prompt.expose().clone());
        }
        let millis =
            |span: Duration, least, most| u64::try_from(span.as_millis()).unwrap_or(most).clamp(least, most);
        let agent = AgentTimes {
            ring_duration_ms: millis(request.ring_timeout, 5_000, 300_000),
            max_call_duration_ms: millis(request.max_duration, 60_000, 7_200_000),
        };
        Self {
            from_number: request.from.0.expose(),
            to_number: request.to.expose(),
            override_agent_id: request.agent_id.clone(),
            agent_override: AgentOverride { agent },
            retell_llm_dynamic_variables: known,
            metadata: Metadata::of_placed(request),
            idempotency_key: request.call_id.to_string(),
        }
    }
}

/// What Retell tells of a call, in webhooks and lookups. Whatever is missing, null, or of another type than we know is
/// `None`; whatever is new is passed over.
///
/// Source: <https://docs.retellai.com/api-references/get-call>
#[derive(Deserialize)]
pub(crate) struct Picture {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) call_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) call_status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) direction: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) from_number: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) to_number: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) metadata: Option<Value>,
    #[serde(default, deserialize_with = "lenient")]
    start_timestamp: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    end_timestamp: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) duration_ms: Option<u64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) disconnection_reason: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) recording_url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) scrubbed_recording_url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) transcript: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) collected_dynamic_variables: Option<BTreeMap<String, Value>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) call_analysis: Option<serde_json::Map<String, Value>>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) call_cost: Option<Cost>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) latency: Option<Latency>,
}

impl Picture {
    pub(crate) fn is_inbound(&self) -> bool {
        self.direction.as_deref() == Some("inbound")
    }

    /// When somebody or something answered.
    pub(crate) fn started_at(&self) -> Option<DateTime<Utc>> {
        self.start_timestamp.and_then(DateTime::from_timestamp_millis)
    }

    pub(crate) fn ended_at(&self) -> Option<DateTime<Utc>> {
        self.end_timestamp.and_then(DateTime::from_timestamp_millis)
    }
}

/// What a call cost.
#[derive(Deserialize)]
pub(crate) struct Cost {
    /// In US cents.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) combined_cost: Option<f64>,
}

/// How long parts of the agent took.
#[derive(Deserialize)]
pub(crate) struct Latency {
    /// From the end of the callee's words to the beginning of the agent's.
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) e2e: Option<Quantiles>,
}

/// In milliseconds.
#[derive(Deserialize)]
pub(crate) struct Quantiles {
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) p50: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) p90: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) p99: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) max: Option<f64>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) num: Option<f64>,
}

/// The value, or `None` if it is of another form than expected.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::{Personal, Secret};
    use rivvi_core::testkit::build;
    use serde_json::json;

    use super::*;

    #[test]
    fn request_is_what_the_vendor_expects() {
        let mut request = build::place_call(1);
        request.agent_id = Some("agent_7".into());
        request.prompt = Some(Personal::new("Be kind.".into()));
        request.max_duration = Duration::from_secs(30);
        let options = RetellOptions::new(Secret::new("key"));
        let today = "2030-01-07".parse().unwrap();
        let body = serde_json::to_value(CreatePhoneCall::new(&request, &options, today)).unwrap();
        let id = |id: &dyn std::fmt::Display| json!(id.to_string());
        assert_eq!(body["from_number"], request.from.0.expose());
        assert_eq!(body["to_number"], request.to.expose());
        assert_eq!(body["override_agent_id"], "agent_7");
        assert_eq!(body["idempotency_key"], id(&request.call_id));
        assert_eq!(
            body["metadata"],
            json!({
                "call_id": id(&request.call_id), "run_id": id(&request.run_id), "row_id": id(&request.contact_id),
                "org_id": id(&request.org_id), "campaign_id": id(&request.campaign_id),
            })
        );
        assert_eq!(
            body["agent_override"]["agent"],
            json!({ "ring_duration_ms": 30_000, "max_call_duration_ms": 60_000 }),
            "a minute is the least that Retell takes"
        );
        let known = body["retell_llm_dynamic_variables"].as_object().unwrap();
        assert!(known.values().all(Value::is_string), "all values are texts");
        assert_eq!((&known["dob"], &known["is_minor"]), (&json!("1944-02-29"), &json!("false")));
        assert_eq!((&known["prompt"], &known["first_name"]), (&json!("Be kind."), &json!(build::UNICODE)));
        assert_eq!(known["A.B[0]"], "2");
        assert!(!known.contains_key(""), "a variable without a name cannot be used");
    }

    #[test]
    fn whatever_is_null_missing_strange_or_new_is_passed_over() {
        let picture: Picture = serde_json::from_value(json!({
            "call_id": "c", "call_status": null, "start_timestamp": "yesterday", "duration_ms": -1, "metadata": null,
            "call_cost": { "combined_cost": "much", "new": [] }, "latency": 7, "shoe_size": { "left": 42 },
            "call_analysis": "fine", "collected_dynamic_variables": { "a": 1 },
        }))
        .unwrap();
        assert_eq!(picture.call_id.as_deref(), Some("c"));
        assert_eq!(
            (picture.call_status.as_deref(), picture.started_at(), picture.duration_ms),
            (None, None, None)
        );
        assert!(picture.call_cost.unwrap().combined_cost.is_none() && picture.latency.is_none());
        assert!(picture.call_analysis.is_none() && picture.metadata.is_none_or(|value| value.is_null()));
    }
}
