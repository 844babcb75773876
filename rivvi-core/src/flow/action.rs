//! What a flow has done.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::template::Template;

/// Something to be done: `{ type = "send_sms", parameters = { text = "…" } }`, or its type alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Action {
    /// What kind.
    #[serde(rename = "type")]
    pub(super) kind: ActionKind,
    /// What it gets. Numbers and truth values are read as their texts, lists and tables as their JSON.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) parameters: BTreeMap<String, Template>,
}

impl Action {
    /// Whether nothing can follow it: the call ends or goes to an agent.
    pub(super) fn is_last(&self) -> bool {
        matches!(self.kind, ActionKind::EndCall | ActionKind::TransferAgent)
    }
}

/// The kinds of actions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub(super) enum ActionKind {
    /// `send_sms`: a text message to the callee; `text` or `template`. Carried out by the host.
    SendSms,
    /// `trigger_donation`: a way to donate for the callee. Carried out by the host.
    TriggerDonation,
    /// `transfer_agent`: connects the callee with a human; `to`, else whom the provider has for that.
    TransferAgent,
    /// `add_to_blacklist`: puts the callee's number on the suppression list at once, for good.
    AddToBlacklist,
    /// `request_callback`: the callee is called again; `after` (a span) or `at` (an instant).
    RequestCallback,
    /// `end_call`: hangs up.
    EndCall,
    /// Any other name: an action that the host registered.
    Custom(String),
}

impl ActionKind {
    /// The name in a flow, and the name under which the host registers the action if it is the host's to carry out.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::SendSms => "send_sms",
            Self::TriggerDonation => "trigger_donation",
            Self::TransferAgent => "transfer_agent",
            Self::AddToBlacklist => "add_to_blacklist",
            Self::RequestCallback => "request_callback",
            Self::EndCall => "end_call",
            Self::Custom(name) => name,
        }
    }

    /// Whether the host carries it out.
    pub(super) fn is_the_hosts(&self) -> bool {
        matches!(self, Self::SendSms | Self::TriggerDonation | Self::Custom(_))
    }
}

impl From<String> for ActionKind {
    fn from(name: String) -> Self {
        [
            Self::SendSms,
            Self::TriggerDonation,
            Self::TransferAgent,
            Self::AddToBlacklist,
            Self::RequestCallback,
            Self::EndCall,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
        .unwrap_or(Self::Custom(name))
    }
}

impl From<ActionKind> for String {
    fn from(kind: ActionKind) -> Self {
        kind.name().to_owned()
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ActionVisitor)
    }
}

struct ActionVisitor;

impl<'de> Visitor<'de> for ActionVisitor {
    type Value = Action;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an action such as { type = \"send_sms\", parameters = { text = \"…\" } }, or its type alone",
        )
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Action, E> {
        Ok(Action { kind: name.to_owned().into(), parameters: BTreeMap::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Action, A::Error> {
        let WrittenAction { kind, parameters } = WrittenAction::deserialize(MapAccessDeserializer::new(map))?;
        let parameters = parameters.into_iter().map(|(name, Parameter(text))| (name, text)).collect();
        Ok(Action { kind, parameters })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAction {
    #[serde(rename = "type")]
    kind: ActionKind,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Deserialize)]
#[serde(try_from = "serde_json::Value")]
struct Parameter(Template);

impl TryFrom<serde_json::Value> for Parameter {
    type Error = super::template::TemplateError;

    fn try_from(value: serde_json::Value) -> Result<Self, Self::Error> {
        let text = match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        text.try_into().map(Self)
    }
}
