//! Follow-up plan: what follows what, as data.
//!
//! The attempts of a campaign's own channel come first. When they are over for a contact, or when something is asked for
//! in one of them, the follow-ups that wait for that begin, one after the other; each has attempts of its own, which may
//! start others. A follow-up takes place at most once for a contact, and none can start itself, so every plan ends.

mod progress;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::progress::{AwaitedReceipt, FollowUpProgress, PlanProgress, Upcoming};
use super::retry::RetryPlan;
use crate::domain::{Medium, Sender, Span};
use crate::flow::Flow;
use crate::message::MessageTemplate;

/// One step of the plan of a campaign.
///
/// ```toml
/// [[follow_up]]
/// name = "link"
/// on = "action:trigger_donation"
/// sms = "Thank you, {{ first_name }}. Your link: {{ links.donate }}"
///
/// [[follow_up]]
/// name = "link_by_voice"
/// on = "link.no_sms"
/// after = "1m"
/// speech = "Thank you. You can give at donate dot example."
///
/// [[follow_up]]
/// name = "letter"
/// on = ["exhausted", "too_long"]
/// email = { subject = "We tried to call you", text = "Dear {{ first_name }}, …" }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "text::FollowUpText", into = "text::FollowUpText")]
#[non_exhaustive]
pub struct FollowUp {
    /// Its name, by which others refer to it: letters, digits and `_`.
    pub name: String,
    /// What starts it: one of these.
    pub on: Vec<Trigger>,
    /// How much later it begins at the earliest. Calling windows and caps may put it off further.
    pub after: Span,
    /// What is done.
    pub action: FollowUpAction,
    /// Which of its own attempts are made again. None by default.
    pub retry: RetryPlan,
}

impl FollowUp {
    /// The most follow-ups a campaign may have.
    pub const MAX: usize = 16;

    /// By what it tries to reach the contact; `None` if the host does it.
    pub fn medium(&self) -> Option<Medium> {
        match self.action {
            FollowUpAction::Sms(_) => Some(Medium::Sms),
            FollowUpAction::Email(_) => Some(Medium::Email),
            FollowUpAction::Speech(_) | FollowUpAction::Call(_) => Some(Medium::Voice),
            FollowUpAction::Host { .. } => None,
        }
    }

    /// The texts that are filled in for each contact, by their keys in the campaign.
    pub(crate) fn named_templates(&self) -> Vec<(String, &MessageTemplate)> {
        let named = |(key, text)| (format!("follow_up \"{}\": {key}", self.name), text);
        self.templates().into_iter().map(named).collect()
    }

    /// The texts that are filled in for each contact, by their keys.
    pub fn templates(&self) -> Vec<(&'static str, &MessageTemplate)> {
        match &self.action {
            FollowUpAction::Sms(sms) => vec![("sms", &sms.text)],
            FollowUpAction::Speech(speech) => vec![("speech", &speech.text)],
            FollowUpAction::Email(email) => {
                let to = email.to.as_ref().map(|to| ("email.to", to));
                to.into_iter()
                    .chain([("email.subject", &email.subject), ("email.text", &email.text)])
                    .collect()
            }
            FollowUpAction::Call(_) | FollowUpAction::Host { .. } => Vec::new(),
        }
    }
}

/// What a follow-up does.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FollowUpAction {
    /// Sends a text message.
    Sms(SmsText),
    /// Calls and says a text, by speech synthesis. The outcome of the contact tells whether someone heard it.
    Speech(SpeechText),
    /// Calls again, with a conversation of its own.
    Call(CallAgain),
    /// Writes an e-mail.
    Email(EmailText),
    /// Has the host carry out an action it registered, with the parameters it was asked for with, if any.
    Host {
        /// The name of the action.
        action: String,
    },
}

/// A text message to a contact: `sms = "…"`, or `sms = { text = "…", sender = "Clinic" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SmsText {
    /// What it says.
    pub text: MessageTemplate,
    /// Who it comes from; the organization's sender if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<Sender>,
}

/// A text said in a call: `speech = "…"`, or `speech = { text = "…", language = "en" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpeechText {
    /// What is said.
    pub text: MessageTemplate,
    /// In which language, for instance `en-GB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// A call with a conversation of its own: `call = { agent_id = "…" }` or `call = { flow = … }`; that of the campaign if it
/// names neither.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallAgain {
    /// The provider's agent that talks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The flow that leads the conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Arc<Flow>>,
}

/// An e-mail: `email = { to = "…", subject = "…", text = "…" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailText {
    /// Where it goes; the contact's own address if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<MessageTemplate>,
    /// Its subject.
    pub subject: MessageTemplate,
    /// What it says, as plain text.
    pub text: MessageTemplate,
}

/// What starts a follow-up: an event of the campaign's own attempts, `no_answer`, or of another follow-up, `link.no_sms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Trigger {
    /// The follow-up whose event it is; the campaign's own attempts if `None`.
    pub step: Option<String>,
    /// What happens.
    pub event: PlanEvent,
}

/// What can happen in the attempts of a campaign or a follow-up, as a plan sees it.
///
/// All but [`Action`](Self::Action) are told when the attempts are over: no retry is left, or none is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum PlanEvent {
    /// A human answered.
    AnsweredHuman,
    /// A voicemail or another machine answered the last call.
    Voicemail,
    /// The last call found the line busy.
    Busy,
    /// Nobody answered the last call.
    NoAnswer,
    /// The callee declined the last call.
    Rejected,
    /// The last call could not be completed.
    Failed,
    /// No human was reached, and no retry is left: each of the five before, and attempts that could not be made.
    Exhausted,
    /// A human answered, and the call lasted as long as it may.
    TooLong,
    /// The message was delivered; without receipts, accepted.
    Delivered,
    /// The message was not delivered, for whatever reason.
    Undelivered,
    /// The number cannot receive text messages.
    NoSms,
    /// Nobody told what became of the message in time.
    NoReceipt,
    /// The conversation asked for the action of this name, by a key or by the agent.
    Action(String),
}

impl PlanEvent {
    const NAMES: [(&'static str, Self); 12] = [
        ("answered_human", Self::AnsweredHuman),
        ("voicemail", Self::Voicemail),
        ("busy", Self::Busy),
        ("no_answer", Self::NoAnswer),
        ("rejected", Self::Rejected),
        ("failed", Self::Failed),
        ("exhausted", Self::Exhausted),
        ("too_long", Self::TooLong),
        ("delivered", Self::Delivered),
        ("undelivered", Self::Undelivered),
        ("no_sms", Self::NoSms),
        ("no_receipt", Self::NoReceipt),
    ];

    /// What a plan is told of calls that ended with this cause.
    pub(crate) const fn of(cause: super::retry::RetryCause) -> Self {
        use super::retry::RetryCause;
        match cause {
            RetryCause::Voicemail => Self::Voicemail,
            RetryCause::Busy => Self::Busy,
            RetryCause::NoAnswer => Self::NoAnswer,
            RetryCause::Rejected => Self::Rejected,
            RetryCause::Failed => Self::Failed,
        }
    }

    /// Whether attempts of this kind can end so.
    const fn fits(&self, medium: Medium) -> bool {
        match self {
            Self::Delivered | Self::Undelivered => !matches!(medium, Medium::Voice),
            Self::NoSms | Self::NoReceipt => matches!(medium, Medium::Sms),
            Self::Exhausted => true,
            _ => matches!(medium, Medium::Voice),
        }
    }
}

impl fmt::Display for PlanEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Action(name) => write!(f, "action:{name}"),
            other => {
                let name = Self::NAMES.iter().find(|(_, event)| event == other).map(|(name, _)| *name);
                f.write_str(name.unwrap_or_default())
            }
        }
    }
}

impl TryFrom<String> for Trigger {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // The name of an action may hold dots.
        let (head, action) = match text.split_once("action:") {
            Some((head, action)) => (head, Some(action)),
            None => (text.as_str(), None),
        };
        let (step, event) = match head.rsplit_once('.') {
            Some((step, event)) => (Some(step), event),
            None => (None, head),
        };
        let event = match action {
            Some(name) if event.is_empty() && !name.is_empty() => Some(PlanEvent::Action(name.to_owned())),
            Some(_) => None,
            None => PlanEvent::NAMES.into_iter().find(|(name, _)| *name == event).map(|(_, event)| event),
        };
        let known = || PlanEvent::NAMES.map(|(name, _)| name).join(", ");
        match event {
            Some(event) if step.is_none_or(is_name) => Ok(Self { step: step.map(str::to_owned), event }),
            _ => Err(format!(
                "\"{text}\" is no event: expected \"action:NAME\" or one of {}, after the name of a follow-up and a dot if \
                 it is an event of that",
                known()
            )),
        }
    }
}

impl From<Trigger> for String {
    fn from(trigger: Trigger) -> Self {
        match trigger.step {
            Some(step) => format!("{step}.{}", trigger.event),
            None => trigger.event.to_string(),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 40
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Finds what is wrong with a plan: the key, and what was expected.
pub(crate) fn problem_of(plan: &[FollowUp], main: Medium) -> Option<(String, String)> {
    let at = |place: usize, key: &str| format!("follow_up[{place}].{key}");
    if plan.len() > FollowUp::MAX {
        return Some(("follow_up".into(), format!("expected at most {} follow-ups", FollowUp::MAX)));
    }
    let places: BTreeMap<&str, usize> =
        plan.iter().enumerate().map(|(place, step)| (&*step.name, place)).collect();
    for (place, step) in plan.iter().enumerate() {
        if !is_name(&step.name) {
            let problem = "expected a name of up to 40 letters, digits and \"_\"";
            return Some((at(place, "name"), problem.into()));
        }
        if places.get(&*step.name) != Some(&place) {
            let problem = format!("another follow-up is called \"{}\" too", step.name);
            return Some((at(places[&*step.name], "name"), problem));
        }
        if step.on.is_empty() {
            return Some((at(place, "on"), "expected at least one event".into()));
        }
        if step.after > Span::from_days(366) {
            return Some((at(place, "after"), "expected at most \"366d\"".into()));
        }
        for trigger in &step.on {
            let medium = match trigger.step.as_deref() {
                None => main,
                Some(name) => {
                    let Some(of) = places.get(name) else {
                        let problem = format!("there is no follow-up called \"{name}\"");
                        return Some((at(place, "on"), problem));
                    };
                    let Some(medium) = plan[*of].medium() else {
                        let problem = format!("\"{name}\" is an action of the host, which has no events");
                        return Some((at(place, "on"), problem));
                    };
                    medium
                }
            };
            if !trigger.event.fits(medium) {
                let problem = format!("\"{}\" does not happen to {}", trigger.event, described(medium));
                return Some((at(place, "on"), problem));
            }
        }
    }
    circle(plan, &places).map(|(place, names)| (at(place, "on"), format!("starts itself: {names}")))
}

const fn described(medium: Medium) -> &'static str {
    match medium {
        Medium::Voice => "calls",
        Medium::Sms => "text messages",
        Medium::Email => "e-mails",
    }
}

/// A follow-up that is started, over others or not, by itself.
fn circle(plan: &[FollowUp], places: &BTreeMap<&str, usize>) -> Option<(usize, String)> {
    let starters = |place: usize| plan[place].on.iter().filter_map(|trigger| trigger.step.as_deref());
    for start in 0..plan.len() {
        let mut paths = vec![vec![start]];
        let mut seen = [false; FollowUp::MAX];
        while let Some(path) = paths.pop() {
            for before in starters(path[path.len() - 1]).filter_map(|name| places.get(name).copied()) {
                if before == start {
                    let names = path.iter().rev().map(|place| plan[*place].name.as_str());
                    let names: Vec<&str> = std::iter::once(plan[start].name.as_str()).chain(names).collect();
                    return Some((start, names.join(" → ")));
                }
                if !std::mem::replace(&mut seen[before], true) {
                    paths.push([path.as_slice(), &[before]].concat());
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
