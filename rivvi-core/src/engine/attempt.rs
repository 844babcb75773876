//! What an attempt carries: the message that is filled in for its contact, or the conversation of its call.

use std::sync::{Arc, LazyLock};

use chrono::{DateTime, TimeDelta, Utc};

use super::Inner;
use crate::domain::{Call, CallId, Contact, ContactVariables, EmailAddress, Medium, Message, Personal};
use crate::flow::Flow;
use crate::message::{LinkToken, MessageTemplate, MessageVariables};
use crate::policy::RunTerms;
use crate::policy::follow_up::{EmailText, FollowUp, FollowUpAction, SmsText};
use crate::provider::{PlaceCall, SendEmail, SendSms};

/// The variables of a speech flow.
const SPEECH_TEXT: &str = "speech_text";
const SPEECH_LANGUAGE: &str = "speech_language";

/// The conversation of a call that says a text.
static SPEECH: LazyLock<Option<Arc<Flow>>> = LazyLock::new(|| speech_flow(""));
static SPEECH_IN_LANGUAGE: LazyLock<Option<Arc<Flow>>> =
    LazyLock::new(|| speech_flow("language = \"{{speech_language}}\"\n"));

fn speech_flow(language: &str) -> Option<Arc<Flow>> {
    let node = "[[nodes]]\nid = \"say\"\ntype = \"say\"\ntext = \"{{speech_text}}\"\nbarge_in = false\n";
    let flow = format!("name = \"Speech\"\nstart = \"say\"\n{language}{node}");
    Flow::from_toml(&flow).ok().map(Arc::new)
}

impl Inner {
    /// The message of an attempt by `medium`, filled in; `None` if the attempt is a call.
    ///
    /// The error tells what is missing, without personal data.
    pub(super) fn message_of(
        &self,
        terms: &RunTerms,
        contact: &Contact,
        (medium, step): (Medium, Option<&FollowUp>),
        id: CallId,
    ) -> Result<Option<Message>, String> {
        match (medium, step.map(|step| &step.action)) {
            (Medium::Sms, Some(FollowUpAction::Sms(sms))) => self.sms(terms, contact, sms, id).map(Some),
            (Medium::Sms, _) => {
                let sms = terms.run.definition.main_message().ok_or("the campaign has no text to send")?;
                self.sms(terms, contact, &sms, id).map(Some)
            }
            (Medium::Email, Some(FollowUpAction::Email(email))) => {
                self.email_to(terms, contact, email, id).map(Some)
            }
            (Medium::Voice, Some(FollowUpAction::Speech(speech))) => {
                // Nothing is dialled for a text that cannot be said.
                self.fill(terms, contact, &speech.text, None).map(|_| None)
            }
            _ => Ok(None),
        }
    }

    fn sms(&self, terms: &RunTerms, contact: &Contact, sms: &SmsText, id: CallId) -> Result<Message, String> {
        let text = self.fill(terms, contact, &sms.text, Some(id))?;
        if text.trim().is_empty() {
            return Err("the text is empty".into());
        }
        let sender = Some(sms.sender.clone().unwrap_or_else(|| terms.organization.sender()));
        Ok(Message { sender, ..Message::sms(text) })
    }

    fn email_to(
        &self,
        terms: &RunTerms,
        contact: &Contact,
        email: &EmailText,
        id: CallId,
    ) -> Result<Message, String> {
        let own = || contact.person.email.as_ref().map(|email| email.expose().clone());
        let to = match &email.to {
            Some(to) => Some(self.fill(terms, contact, to, None)?),
            None => own(),
        };
        let to = to.as_deref().and_then(EmailAddress::new).ok_or("the contact has no e-mail address")?;
        let subject = self.fill(terms, contact, &email.subject, None)?;
        // A subject is one line (RFC 5322, section 2.2).
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Message::email(to, subject, self.fill(terms, contact, &email.text, Some(id))?))
    }

    /// Fills a text in; links are counted if it is known in which message they stand.
    fn fill(
        &self,
        terms: &RunTerms,
        contact: &Contact,
        text: &MessageTemplate,
        id: Option<CallId>,
    ) -> Result<String, String> {
        let definition = &terms.run.definition;
        let link = |(place, (name, target)): (usize, (&String, &String))| {
            let short = self.short_links.as_ref().zip(id).zip(u8::try_from(place).ok());
            let url = short.map(|((links, message), link)| links.link(LinkToken { message, link }));
            (name.clone(), url.unwrap_or_else(|| target.clone()))
        };
        let links = definition.links.iter().enumerate().map(link).collect();
        let variables = variables_of(terms, contact).with_links(links);
        text.render(variables).map_err(|error| error.to_string())
    }

    /// The request for a call.
    pub(super) fn place_call(
        &self,
        call: &Call,
        contact: &Contact,
        terms: &RunTerms,
        now: DateTime<Utc>,
    ) -> PlaceCall {
        let definition = &terms.run.definition;
        let known = known_of(terms, contact).on(now.date_naive());
        let columns = contact.variables.expose();
        let mut variables =
            if definition.variables.is_empty() { columns.clone() } else { Arc::new(known.texts()) };
        let (mut agent_id, mut flow) = (definition.agent_id.clone(), definition.flow.clone());
        let mut prompt = definition.prompt_for(&known);
        match contact.status.plan.step(definition).map(|step| &step.action) {
            Some(FollowUpAction::Speech(speech)) => {
                // It was filled in without an error when the call was intended.
                let text = self.fill(terms, contact, &speech.text, None).unwrap_or_default();
                let variables = Arc::make_mut(&mut variables);
                variables.insert(SPEECH_TEXT.to_owned(), text);
                variables
                    .extend(speech.language.clone().map(|language| (SPEECH_LANGUAGE.to_owned(), language)));
                let says = if speech.language.is_some() { &SPEECH_IN_LANGUAGE } else { &SPEECH };
                (agent_id, flow, prompt) = (None, (*says).clone(), None);
            }
            Some(FollowUpAction::Call(again)) if again.agent_id.is_some() || again.flow.is_some() => {
                (agent_id, flow) = (again.agent_id.clone(), again.flow.clone());
            }
            _ => {}
        }
        // Ringing ends with the legal interval, so nobody connects after it.
        let left = (call.dial_before - now).max(TimeDelta::zero()).to_std().unwrap_or_default();
        PlaceCall {
            call_id: call.id,
            org_id: call.org_id,
            campaign_id: terms.run.campaign_id,
            run_id: call.run_id,
            contact_id: call.contact_id,
            to: call.number,
            from: call.caller_id,
            agent_id,
            flow,
            prompt,
            person: contact.person.clone(),
            variables: Personal::new(variables),
            ring_timeout: definition.call.ring_timeout.duration().min(left),
            max_duration: definition.call.max_duration.duration(),
        }
    }
}

/// The request for a text message.
pub(super) fn send_sms(call: &Call, message: &Message, terms: &RunTerms) -> SendSms {
    SendSms {
        message_id: call.id,
        org_id: call.org_id,
        campaign_id: terms.run.campaign_id,
        run_id: call.run_id,
        contact_id: call.contact_id,
        to: call.number,
        from: message.sender.clone().unwrap_or_else(|| terms.organization.sender()),
        text: message.text.clone(),
        valid_for: terms.run.definition.message.receipt_within.duration(),
    }
}

/// The request for an e-mail; `None` if the message has no address.
pub(super) fn send_email(call: &Call, message: &Message, terms: &RunTerms) -> Option<SendEmail> {
    Some(SendEmail {
        message_id: call.id,
        org_id: call.org_id,
        org_name: terms.organization.name.clone(),
        to: message.to.clone()?,
        subject: message.subject.clone().unwrap_or_default(),
        text: message.text.clone(),
    })
}

fn known_of<'a>(terms: &'a RunTerms, contact: &'a Contact) -> ContactVariables<'a> {
    let columns = contact.variables.expose();
    ContactVariables::new(&terms.run.definition.variables, columns, &contact.person, contact.number)
}

/// Everything that texts for a contact may use, but links.
fn variables_of(terms: &RunTerms, contact: &Contact) -> MessageVariables {
    let person = contact.person.variables(contact.number);
    let person = person.into_iter().filter(|(_, value)| !value.trim().is_empty());
    let person = person.map(|(name, value)| (name.to_owned(), value));
    let given = contact.status.plan.follow_up.as_ref().map(|progress| progress.given.expose().clone());
    MessageVariables::new(known_of(terms, contact).texts()).with(person).with(given.unwrap_or_default())
}
