//! What to do and how.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::ids::{CampaignId, OrgId};
use super::message::Medium;
use super::organization::CallsPerSecond;
use super::personal::Personal;
use super::phone::Region;
use super::prompt::{ContactVariables, Prompt};
use super::span::Span;
use crate::flow::{Flow, FlowError, FlowTerms};
use crate::import::{DateOrder, Dedupe, ImportRules, MessageRule, PromptRule};
use crate::policy::caps::Caps;
use crate::policy::follow_up::{self, FollowUp, SmsText};
use crate::policy::hours::{CallingHours, CallingWindow, DateRange};
use crate::policy::retry::RetryPlan;
use crate::policy::zone::ZonePolicy;

/// A campaign of an organization: a definition and its version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its id, the same for every version.
    pub id: CampaignId,
    /// Whose campaign.
    pub org_id: OrgId,
    /// Counted from 1; a changed definition is a new version. A run keeps the version it started with.
    pub version: u32,
    /// What to do and how.
    pub definition: CampaignDefinition,
}

/// What to do and how, as users write it in TOML or JSON.
///
/// ```
/// use rivvi_core::domain::{Channel, CampaignDefinition};
///
/// let campaign = CampaignDefinition::from_toml(r#"
///     name = "Appointment reminder"
///     channel = "voice"
///     agent_id = "agent_demo"
///
///     [[windows]]
///     days = ["mon", "tue", "wed", "thu"]
///     from = "09:00"
///     to = "20:30"
///
///     [retry]
///     busy = { after = "15m", max = 2 }
/// "#)?;
/// assert_eq!(campaign.channel, Channel::Voice);
///
/// let error = CampaignDefinition::from_toml("name = 'x'\nchannel = 'fax'").unwrap_err();
/// assert_eq!(error.key, "channel");
/// # Ok::<(), rivvi_core::domain::CampaignError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct CampaignDefinition {
    /// Its name, for people.
    pub name: String,
    /// How contacts are reached.
    pub channel: Channel,
    /// The provider's agent that talks.
    #[serde(default)]
    pub agent_id: Option<String>,
    /// What the agent is told to say and to do, beside what the provider knows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// The conversation, if a flow leads it instead of an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Arc<Flow>>,
    /// Fields and columns that a row must fill to be imported.
    #[serde(default)]
    pub required_fields: Vec<String>,
    /// The region whose local notation the sheet uses; the organization's if absent.
    #[serde(default)]
    pub region: Option<Region>,
    /// Variables given to the agent for every contact; a contact's own column of the same name wins.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// When calls may start, in the contact's own zone. Empty is always.
    #[serde(default)]
    pub windows: Vec<CallingWindow>,
    /// Calendar dates, in the contact's own zone, without any call.
    #[serde(default)]
    pub blackout_dates: Vec<DateRange>,
    /// What to do with contacts whose zone is unknown or ambiguous; the organization's policy if absent.
    #[serde(default)]
    pub zone_policy: Option<ZonePolicy>,
    /// The text message of campaigns by text message, and what becomes of answers to any of the campaign's messages.
    #[serde(default, skip_serializing_if = "MessageSettings::is_default")]
    pub message: MessageSettings,
    /// Links that messages may hold as `links.NAME`: their followers are counted if the engine has
    /// [`ShortLinks`](crate::message::ShortLinks).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, String>,
    /// Which dispositions are tried again, when and how often.
    #[serde(default)]
    pub retry: RetryPlan,
    /// What follows what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub follow_up: Vec<FollowUp>,
    /// How often a number may be attempted, over all runs of the organization.
    #[serde(default)]
    pub caps: Caps,
    /// Limits of the campaign beside those of its organization.
    #[serde(default)]
    pub limits: CampaignLimits,
    /// How a single call is made.
    #[serde(default)]
    pub call: CallSettings,
    /// What happens when contacts call back.
    #[serde(default, skip_serializing_if = "InboundSettings::is_default")]
    pub inbound: InboundSettings,
    /// How the sheet is read.
    #[serde(default)]
    pub import: ImportSettings,
    /// When its runs start and end.
    #[serde(default)]
    pub run: RunSettings,
}

impl CampaignDefinition {
    /// Reads the TOML form.
    ///
    /// # Errors
    /// Names the key that is wrong and what was expected.
    pub fn from_toml(text: &str) -> Result<Self, CampaignError> {
        let value = toml::Deserializer::parse(text).map_err(|error| CampaignError {
            key: line_of(text, error.span()),
            problem: error.message().trim().replace('\n', " "),
        })?;
        let definition: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            let inner = error.inner();
            let problem = inner.message().trim().replace('\n', " ");
            CampaignError { key: key_of(error.path(), || line_of(text, inner.span())), problem }
        })?;
        definition.validated()
    }

    /// Reads the JSON form, which has the same shape.
    ///
    /// # Errors
    /// Names the key that is wrong and what was expected.
    pub fn from_json(text: &str) -> Result<Self, CampaignError> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let definition: Self = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let inner = error.inner();
            CampaignError {
                key: key_of(error.path(), || format!("line {}", inner.line())),
                problem: inner.to_string().replace(['\n', '\r'], " "),
            }
        })?;
        reader.end().map_err(|error| CampaignError {
            key: format!("line {}", error.line()),
            problem: "expected nothing after the closing brace".into(),
        })?;
        definition.validated()
    }

    /// Checks what the types alone cannot say.
    ///
    /// # Errors
    /// The first key whose value makes no sense together with the others.
    pub fn validated(self) -> Result<Self, CampaignError> {
        let wrong =
            |key: &str, problem: &str| Err(CampaignError { key: key.into(), problem: problem.into() });
        if self.name.trim().is_empty() {
            return wrong("name", "expected a name that is not empty");
        }
        if self.run.end.is_some() && self.run.end_after.is_some() {
            return wrong("run.end_after", "expected either `end` or `end_after`, not both");
        }
        if let (Some(start), Some(end)) = (self.run.start, self.run.end)
            && end <= start
        {
            return wrong("run.end", "expected an end after `run.start`");
        }
        let lasting = Span::from_secs(1)..=Span::from_days(366);
        if self.run.end_after.is_some_and(|span| !lasting.contains(&span)) {
            return wrong("run.end_after", "expected \"1s\" to \"366d\"");
        }
        if !(Span::from_secs(5)..=Span::from_mins(10)).contains(&self.call.ring_timeout) {
            return wrong("call.ring_timeout", "expected \"5s\" to \"10m\"");
        }
        if !(self.call.ring_timeout..=Span::from_days(1)).contains(&self.call.max_duration) {
            return wrong("call.max_duration", "expected `call.ring_timeout` to \"1d\"");
        }
        if self.limits.concurrent_calls == Some(0) {
            return wrong("limits.concurrent_calls", "expected at least 1");
        }
        if self.flow.is_some() && self.agent_id.is_some() {
            return wrong("flow", "expected either `agent_id` or `flow`, not both");
        }
        if self.flow.is_some() && self.prompt.is_some() {
            return wrong("prompt", "expected either `prompt` or `flow`, not both");
        }
        if let Some((key, problem)) = self.prompt.as_ref().and_then(Prompt::problem) {
            return wrong(key, &problem);
        }
        if let Err(error) = self.check_flow(None) {
            return wrong("flow", &error.to_string());
        }
        if let Some((key, problem)) = self.messages_problem() {
            return wrong(&key, &problem);
        }
        Ok(self)
    }

    /// What is wrong with messages, links and follow-ups.
    fn messages_problem(&self) -> Option<(String, String)> {
        let problem = |key: &str, problem: &str| Some((key.to_owned(), problem.to_owned()));
        match (self.channel, &self.message.text) {
            (Channel::Sms, None) => return problem("message.text", "expected the text that is sent"),
            (Channel::Voice | Channel::Hybrid, Some(_)) => {
                return problem(
                    "message.text",
                    "expected only with `channel = \"sms\"`; see `follow_up` for others",
                );
            }
            _ => {}
        }
        let receipts = Span::from_mins(1)..=Span::from_days(7);
        if !receipts.contains(&self.message.receipt_within) {
            return problem("message.receipt_within", "expected \"1m\" to \"7d\"");
        }
        if self.links.len() > LINKS_MAX {
            return problem("links", "expected at most 32 links");
        }
        for (name, target) in &self.links {
            if !target.parse::<http::Uri>().is_ok_and(|url| url.host().is_some() && url.scheme().is_some()) {
                return problem(
                    &format!("links.{name}"),
                    "expected an address such as \"https://clinic.example/give\"",
                );
            }
        }
        let texts = self.follow_up.iter().filter(|step| step.medium() == Some(Medium::Sms));
        if let (Channel::Voice, Some(step)) = (self.channel, texts.into_iter().next()) {
            let problem = format!("\"{}\" sends a text message: expected `channel = \"hybrid\"`", step.name);
            return Some(("channel".into(), problem));
        }
        follow_up::problem_of(&self.follow_up, self.channel.medium())
    }

    /// Every medium that contacts may be reached by.
    pub fn media(&self) -> BTreeSet<Medium> {
        let follow_ups = self.follow_up.iter().filter_map(FollowUp::medium);
        std::iter::once(self.channel.medium()).chain(follow_ups).collect()
    }

    /// The text message of the campaign itself.
    pub fn main_message(&self) -> Option<SmsText> {
        let text = self.message.text.clone()?;
        Some(SmsText { text, sender: self.message.sender.clone() })
    }

    /// The same campaign, whose conversation a flow leads.
    #[must_use]
    pub fn with_flow(self, flow: impl Into<Arc<Flow>>) -> Self {
        Self { agent_id: None, flow: Some(flow.into()), ..self }
    }

    /// The prompt for a contact, if the campaign has one.
    pub fn prompt_for(&self, variables: &ContactVariables<'_>) -> Option<Personal<String>> {
        let prompt = self.prompt.as_ref()?;
        Some(Personal::new(prompt.render(|name| variables.value(name))))
    }

    /// Checks the flow, if there is one, against the rest of the campaign: it may name the campaign's variables, the
    /// fields and columns that every row must fill, and what is known of persons; its times must fit in a call. If
    /// `actions` are given, it may ask for no others.
    ///
    /// # Errors
    /// Everything that is wrong with the flow.
    pub fn check_flow(&self, actions: Option<BTreeSet<String>>) -> Result<(), FlowError> {
        let Some(flow) = &self.flow else { return Ok(()) };
        let columns = self.import.columns.keys();
        let variables = self.variables.keys().chain(&self.required_fields).chain(columns).cloned();
        let mut terms = FlowTerms::default()
            .with_variables(variables)
            .with_max_duration(self.call.max_duration.duration());
        terms.actions = actions;
        flow.validate(&terms)
    }

    /// When calls may start, in the contact's own zone.
    pub fn hours(&self) -> CallingHours {
        CallingHours::new(self.windows.clone(), self.blackout_dates.clone())
    }

    /// How its sheets are read, in an organization of `region`.
    pub fn import_rules(&self, region: Region) -> ImportRules {
        let mut rules = ImportRules::for_region(self.region.unwrap_or(region));
        rules.required_fields.clone_from(&self.required_fields);
        rules.columns.clone_from(&self.import.columns);
        rules.dedupe.clone_from(&self.import.dedupe);
        rules.worksheet.clone_from(&self.import.worksheet);
        rules.date_order = self.import.date_order;
        rules.prompt =
            self.prompt.clone().map(|prompt| PromptRule { prompt, variables: self.variables.clone() });
        rules.sends_sms = self.media().contains(&Medium::Sms);
        let texts: BTreeMap<_, _> =
            self.certain_texts().into_iter().map(|(key, text)| (key, text.clone())).collect();
        rules.messages = (!texts.is_empty()).then(|| MessageRule {
            texts,
            variables: self.variables.clone(),
            links: self.links.clone(),
        });
        rules
    }

    /// The texts whose variables are known at import: those of follow-ups that an action leads to may use what it was asked
    /// for with.
    fn certain_texts(&self) -> Vec<(String, &crate::message::MessageTemplate)> {
        let main = self.message.text.as_ref().map(|text| ("message.text".to_owned(), text));
        let certain = self.follow_up.iter().filter(|step| !self.is_from_action(step));
        main.into_iter().chain(certain.flat_map(FollowUp::named_templates)).collect()
    }

    /// Whether an action leads to a follow-up, over others or not.
    fn is_from_action(&self, step: &FollowUp) -> bool {
        // What leads to it, of which each is looked at once, in plans with circles as well.
        let mut leading = vec![step];
        let mut next = 0;
        while let Some(step) = leading.get(next) {
            if step.on.iter().any(|on| matches!(on.event, follow_up::PlanEvent::Action(_))) {
                return true;
            }
            let names = step.on.iter().filter_map(|on| on.step.as_ref());
            let before = names.filter_map(|name| self.follow_up.iter().find(|step| step.name == *name));
            let new: Vec<&FollowUp> =
                before.filter(|step| !leading.iter().any(|known| known.name == step.name)).collect();
            leading.extend(new);
            next += 1;
        }
        false
    }
}

fn key_of(path: &serde_path_to_error::Path, otherwise: impl FnOnce() -> String) -> String {
    let path = path.to_string().replace(['\n', '\r'], " ");
    if ["", ".", "?"].contains(&path.as_str()) { otherwise() } else { path }
}

fn line_of(text: &str, span: Option<std::ops::Range<usize>>) -> String {
    let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}", before.matches('\n').count() + 1)
}

/// How contacts are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Channel {
    /// By calls.
    Voice,
    /// By text messages.
    Sms,
    /// By calls and, as [follow-ups](FollowUp), text messages.
    Hybrid,
}

impl Channel {
    /// By what the campaign's own attempts are made.
    pub const fn medium(self) -> Medium {
        match self {
            Self::Voice | Self::Hybrid => Medium::Voice,
            Self::Sms => Medium::Sms,
        }
    }
}

/// The most links of a campaign.
const LINKS_MAX: usize = 32;

/// Text messages of a campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MessageSettings {
    /// What the campaign's own message says, if it sends text messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<crate::message::MessageTemplate>,
    /// Who it comes from; the organization's sender if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<super::message::Sender>,
    /// How long the network may try to deliver a message, and how long its receipt is waited for. Default 3 days.
    pub receipt_within: Span,
    /// The action of the host that gets every answer to a message, with `text`, `reply_id` and `message_id`; if absent,
    /// answers are kept with the message and told in the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_reply: Option<String>,
}

impl Default for MessageSettings {
    fn default() -> Self {
        Self { text: None, sender: None, receipt_within: Span::from_days(3), on_reply: None }
    }
}

impl MessageSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits of one campaign, beside those of its organization.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CampaignLimits {
    /// Calls of one run under way at once.
    pub concurrent_calls: Option<u32>,
    /// Calls of the campaign started per second.
    pub calls_per_second: Option<CallsPerSecond>,
    /// Messages of the campaign sent per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_second: Option<CallsPerSecond>,
}

/// How a single call is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallSettings {
    /// How long it rings before it counts as not answered. Default 30 s.
    pub ring_timeout: Span,
    /// The longest a call may last from its placement. Default 540 s.
    pub max_duration: Span,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self { ring_timeout: Span::from_secs(30), max_duration: Span::from_secs(540) }
    }
}

/// What happens when contacts call back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InboundSettings {
    /// The agent that answers; the campaign's `agent_id` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Whether a contact that waits for its next call is done when it called back and was talked to. Default true.
    pub settles: bool,
}

impl Default for InboundSettings {
    fn default() -> Self {
        Self { agent_id: None, settles: true }
    }
}

impl InboundSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How the sheet is read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImportSettings {
    /// Field → header of the sheet, for headers that the aliases do not know.
    pub columns: BTreeMap<String, String>,
    /// What to do with rows that share a number.
    pub dedupe: Dedupe,
    /// The worksheet of a workbook; the first with contacts if absent.
    pub worksheet: Option<String>,
    /// Whether day or month comes first in dates such as 03/04/1990.
    pub date_order: DateOrder,
}

/// When the runs of a campaign start and end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSettings {
    /// Not before this instant; at once if absent.
    #[serde(deserialize_with = "optional_instant")]
    pub start: Option<DateTime<Utc>>,
    /// The end of a run, counted from its start.
    pub end_after: Option<Span>,
    /// The end of a run as an instant.
    #[serde(deserialize_with = "optional_instant")]
    pub end: Option<DateTime<Utc>>,
    /// What happens at the end to calls under way.
    pub at_end: AtEnd,
}

impl RunSettings {
    /// When a run that starts at `start` ends.
    pub fn ends_at(&self, start: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = |span: Span| {
            let span = TimeDelta::from_std(span.duration()).ok()?;
            start.checked_add_signed(span)
        };
        self.end.or_else(|| self.end_after.map(|span| after(span).unwrap_or(DateTime::<Utc>::MAX_UTC)))
    }
}

/// An instant as text, or as the native date and time TOML has.
fn optional_instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    const EXPECTED: &str = "expected an instant with its offset such as \"2026-12-01T00:00:00Z\"";

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum InstantText {
        Text(String),
        Toml(toml::value::Datetime),
    }

    let text = match Option::<InstantText>::deserialize(deserializer) {
        Ok(None) => return Ok(None),
        Ok(Some(InstantText::Text(text))) => text,
        Ok(Some(InstantText::Toml(instant))) => instant.to_string(),
        Err(_) => return Err(D::Error::custom(EXPECTED)),
    };
    let instant = DateTime::parse_from_rfc3339(&text).map_err(|_| D::Error::custom(EXPECTED))?;
    Ok(Some(instant.to_utc()))
}

/// What happens to calls under way when their run ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtEnd {
    /// They are hung up.
    #[default]
    HangUp,
    /// They go on until they end by themselves.
    LetFinish,
}

/// What is wrong with a campaign definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct CampaignError {
    /// The key, as a path such as `retry.busy.after`, or the line where there is no key.
    pub key: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

#[cfg(test)]
mod tests;
