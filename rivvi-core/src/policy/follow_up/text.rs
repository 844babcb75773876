//! A follow-up as users write it.

use serde::{Deserialize, Serialize};

use super::{CallAgain, EmailText, FollowUp, FollowUpAction, SmsText, SpeechText, Trigger};
use crate::domain::Span;
use crate::message::MessageTemplate;
use crate::policy::retry::RetryPlan;

#[derive(Serialize, Deserialize)]
#[serde(rename = "FollowUp", deny_unknown_fields)]
pub(super) struct FollowUpText {
    name: String,
    on: OneOrMore,
    #[serde(default, skip_serializing_if = "is_at_once")]
    after: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sms: Option<Short<SmsText>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speech: Option<Short<SpeechText>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    call: Option<CallAgain>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<EmailText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    action: Option<String>,
    #[serde(default, skip_serializing_if = "is_none")]
    retry: RetryPlan,
}

fn is_at_once(after: &Option<Span>) -> bool {
    after.is_none_or(|after| after.duration().is_zero())
}

fn is_none(plan: &RetryPlan) -> bool {
    *plan == RetryPlan::default()
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A text alone, or with what belongs to it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Short<T> {
    Text(MessageTemplateText),
    Full(T),
}

/// Read as plain text first, so that what is wrong with a template is told as such.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct MessageTemplateText(String);

impl TryFrom<FollowUpText> for FollowUp {
    type Error = String;

    fn try_from(text: FollowUpText) -> Result<Self, String> {
        let FollowUpText { name, on, after, sms, speech, call, email, action, retry } = text;
        let on = match on {
            OneOrMore::One(trigger) => vec![trigger],
            OneOrMore::More(triggers) => triggers,
        };
        let on = on.into_iter().map(Trigger::try_from).collect::<Result<_, _>>()?;
        let template =
            |text: MessageTemplateText| MessageTemplate::try_from(text.0).map_err(|error| error.to_string());
        let sms = match sms {
            Some(Short::Text(text)) => Some(SmsText { text: template(text)?, sender: None }),
            Some(Short::Full(sms)) => Some(sms),
            None => None,
        };
        let speech = match speech {
            Some(Short::Text(text)) => Some(SpeechText { text: template(text)?, language: None }),
            Some(Short::Full(speech)) => Some(speech),
            None => None,
        };
        let actions: Vec<FollowUpAction> = [
            sms.map(FollowUpAction::Sms),
            speech.map(FollowUpAction::Speech),
            call.map(FollowUpAction::Call),
            email.map(FollowUpAction::Email),
            action.map(|action| FollowUpAction::Host { action }),
        ]
        .into_iter()
        .flatten()
        .collect();
        let [action] = <[_; 1]>::try_from(actions).map_err(|_| {
            format!("{name}: expected exactly one of `sms`, `speech`, `call`, `email` and `action`")
        })?;
        let after = after.unwrap_or(Span::from_secs(0));
        Ok(Self { name, on, after, action, retry })
    }
}

impl From<FollowUp> for FollowUpText {
    fn from(step: FollowUp) -> Self {
        let FollowUp { name, on, after, action, retry } = step;
        let mut on: Vec<String> = on.into_iter().map(String::from).collect();
        let on = if on.len() == 1 { OneOrMore::One(on.remove(0)) } else { OneOrMore::More(on) };
        let (mut sms, mut speech, mut call, mut email, mut host) = (None, None, None, None, None);
        match action {
            FollowUpAction::Sms(text) => sms = Some(Short::Full(text)),
            FollowUpAction::Speech(text) => speech = Some(Short::Full(text)),
            FollowUpAction::Call(again) => call = Some(again),
            FollowUpAction::Email(text) => email = Some(text),
            FollowUpAction::Host { action } => host = Some(action),
        }
        let after = Some(after).filter(|after| !after.duration().is_zero());
        Self { name, on, after, sms, speech, call, email, action: host, retry }
    }
}
