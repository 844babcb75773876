//! What comes back from text messages: receipts, answers, wishes for no more, and hits on links.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::Inner;
use super::carrier::Carrier;
use crate::domain::{
    Call, CallId, CampaignDefinition, ContactId, E164, Medium, Message, OrgId, Organization, Personal, Reply,
    RunState, Sender, Suppression,
};
use crate::machine::CallInput;
use crate::policy::follow_up::FollowUpAction;
use crate::provider::{
    CallEvent, CallRef, CallUpdate, InboundSms, SendSms, SmsProvider, WebhookError, WebhookRequest,
};
use crate::storage::{ArchivedCall, ContactQuery, OutboxItem, RunQuery, StorageError};

/// The action that confirms a wish for no more messages. Ours, not the host's.
pub(super) const CONFIRM_OPT_OUT: &str = "rivvi:confirm_opt_out";
/// How long the network may try to deliver the confirmation.
const CONFIRMATION_VALID: Duration = Duration::from_secs(60 * 60);
/// Contacts with one number looked at in one run.
const CONTACTS_MAX: usize = 50;
/// Organizations read at once.
const PAGE: usize = 500;

/// The message that somebody answered.
enum Answered {
    Live(Call),
    Archived(Box<ArchivedCall>),
}

impl Inner {
    /// Verifies, reads and stores a webhook of a provider of text messages.
    pub(super) async fn receive_sms(
        &self,
        provider: &dyn SmsProvider,
        request: &WebhookRequest,
    ) -> Result<http::Response<Bytes>, WebhookError> {
        let now = self.clock.now();
        let news = provider.decode_webhook(request, now)?;
        let inputs: Vec<CallInput> = news.updates.into_iter().map(CallInput::from).collect();
        let calls: Vec<CallRef> = inputs.iter().map(|input| input.call.clone()).collect();
        let applied = self.submit(inputs).await.map_err(WebhookError::NotStored)?;
        for inbound in &news.inbound {
            self.take_inbound_sms(inbound, now).await.map_err(WebhookError::NotStored)?;
        }
        if self.storage.blobs.is_some() {
            self.keep_webhook(provider.name(), request, &calls, &applied);
        }
        Ok(provider.acknowledge())
    }

    async fn take_inbound_sms(&self, inbound: &InboundSms, now: DateTime<Utc>) -> Result<(), StorageError> {
        let Some(from) = inbound.from else { return Ok(()) };
        let Some(organization) = self.written_to(&inbound.to).await? else {
            tracing::warn!("a text message came in to a sender of no organization");
            return Ok(());
        };
        let is_opt_out = inbound.is_opt_out || organization.opt_out.is_opt_out(inbound.text.expose());
        if is_opt_out {
            // First, so that nothing that fails later keeps it from taking effect.
            self.suppress_caller(Suppression::opt_out(organization.id, from, now), now).await?;
        }
        let reply = CallEvent::Replied { id: inbound.id.clone(), text: inbound.text.clone() };
        match self.last_message(organization.id, from, now).await? {
            Some(Answered::Live(message)) => {
                let mut events = vec![reply];
                if is_opt_out {
                    events.push(CallEvent::OptOut);
                    events.extend(confirmation(&organization, inbound));
                }
                let update = |event| CallUpdate { call: CallRef::Id(message.id), at: inbound.at, event };
                let inputs = events.into_iter().map(update).map(CallInput::from).collect();
                self.submit(inputs).await?;
            }
            Some(Answered::Archived(mut archived)) => {
                let replies = archived.call.detail.message.as_mut().map(|message| &mut message.replies);
                if let Some(replies) = replies
                    && replies.len() < Message::REPLIES_MAX
                    && replies.iter().all(|known| known.id != inbound.id)
                {
                    let (id, text) = (inbound.id.clone(), inbound.text.clone());
                    replies.push(Reply { id, text, at: inbound.at });
                    self.storage.archive.add_calls(vec![*archived]).await?;
                }
            }
            None => tracing::warn!("a text message came in from a number that was sent none"),
        }
        Ok(())
    }

    /// The organization whose sender this is; `None` also if it is that of several, for nobody can tell who is meant.
    async fn written_to(&self, to: &Sender) -> Result<Option<Organization>, StorageError> {
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = self.storage.catalog.organizations(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let is_own = |organization: &Organization| {
                organization.sender() == *to || Sender::Number(organization.caller_id.0) == *to
            };
            found.extend(page.into_iter().filter(is_own));
        }
        if found.is_empty() {
            let query = RunQuery { states: RUNNING.to_vec(), ..RunQuery::default() };
            let mut of_campaigns: Vec<OrgId> = Vec::new();
            for run in self.storage.ledger.runs(query).await? {
                if sends_as(&run.definition, to) && !of_campaigns.contains(&run.org_id) {
                    of_campaigns.push(run.org_id);
                }
            }
            for id in of_campaigns {
                found.extend(self.storage.catalog.organization(id).await?);
            }
        }
        if found.len() > 1 {
            tracing::warn!(
                "a sender of text messages belongs to several organizations; nobody gets its answers"
            );
        }
        let only = found.len() == 1;
        Ok(found.pop().filter(|_| only))
    }

    /// The latest text message of an organization to a number.
    async fn last_message(
        &self,
        org_id: OrgId,
        number: E164,
        now: DateTime<Utc>,
    ) -> Result<Option<Answered>, StorageError> {
        let query = RunQuery { org_id: Some(org_id), states: RUNNING.to_vec(), ..RunQuery::default() };
        let mut latest: Option<Call> = None;
        for run in self.storage.ledger.runs(query).await? {
            let query =
                ContactQuery { run_id: run.id, number: Some(number), after: None, limit: CONTACTS_MAX };
            let contacts = self.storage.ledger.contacts(query).await?;
            let ids: Vec<ContactId> = contacts.iter().map(|contact| contact.id).collect();
            let messages = self.storage.ledger.calls_of(&ids).await?.into_iter().filter(|call| {
                call.medium() == Medium::Sms && call.disposition().is_none_or(|end| end.is_attempt())
            });
            latest = latest.into_iter().chain(messages).max_by_key(|call| (call.intended_at, call.id));
        }
        if let Some(latest) = latest {
            return Ok(Some(Answered::Live(latest)));
        }
        for context in self.storage.archive.contexts(org_id, number, now).await? {
            let Some(id) = context.last_call_id else { continue };
            let archived = self.archived_call(context.run_id, id).await?;
            if let Some(archived) = archived.filter(|archived| archived.call.medium() == Medium::Sms) {
                return Ok(Some(Answered::Archived(Box::new(archived))));
            }
        }
        Ok(None)
    }

    /// Confirms a wish for no more messages: at most once, so the item is gone before anything is sent.
    pub(super) async fn confirm_opt_out(&self, item: &OutboxItem) -> Result<(), StorageError> {
        self.storage.ledger.finish_outbox(vec![item.id]).await?;
        let Some(id) = item.call_id else { return Ok(()) };
        let Some(call) = self.storage.ledger.call(id).await? else { return Ok(()) };
        let (Some(Carrier::Sms(provider)), Some(sender), Some(text)) = (
            self.carrier(&call.provider),
            call.detail.message.as_ref().and_then(|message| message.sender.clone()),
            item.parameters.expose().get("text"),
        ) else {
            return Ok(());
        };
        let mut request = SendSms::new(CallId::from_uuid(item.id.as_uuid()), call.number, sender, text);
        (request.org_id, request.run_id, request.contact_id) = (call.org_id, call.run_id, call.contact_id);
        request.valid_for = CONFIRMATION_VALID;
        if let Some(Err(error)) = self.within(provider.send_sms(&request)).await {
            tracing::warn!(message = %id, %error, "an opt-out was not confirmed");
        }
        Ok(())
    }

    /// Counts a hit on a short link. Returns where it leads.
    pub(super) async fn follow_link(&self, token: &str) -> Result<Option<String>, StorageError> {
        let Some(link) = self.short_links.as_ref().and_then(|links| links.read(token)) else {
            return Ok(None);
        };
        let Some(message) = self.storage.ledger.call(link.message).await? else { return Ok(None) };
        let Some(run) = self.storage.ledger.run(message.run_id).await? else { return Ok(None) };
        let Some(target) = run.definition.links.values().nth(usize::from(link.link)).cloned() else {
            return Ok(None);
        };
        let now = self.clock.now();
        let key = format!("{}:{}", link.link, now.timestamp().div_euclid(60));
        let event = CallEvent::Clicked { key };
        let update = CallUpdate { call: CallRef::Id(message.id), at: now, event };
        self.submit(vec![update.into()]).await?;
        Ok(Some(target))
    }
}

const RUNNING: [RunState; 3] = [RunState::Active, RunState::Paused, RunState::Completing];

/// What confirms the wish, unless the vendor did it itself.
fn confirmation(organization: &Organization, inbound: &InboundSms) -> Option<CallEvent> {
    if inbound.is_opt_out {
        return None;
    }
    let text = organization.opt_out.confirmation(&organization.name)?;
    Some(CallEvent::Action {
        key: "opt_out_confirmation".into(),
        name: CONFIRM_OPT_OUT.into(),
        parameters: Personal::new(BTreeMap::from([("text".to_owned(), text)])),
    })
}

/// Whether messages of a campaign come from this sender of its own.
fn sends_as(definition: &CampaignDefinition, sender: &Sender) -> bool {
    let steps = definition.follow_up.iter().filter_map(|step| match &step.action {
        FollowUpAction::Sms(sms) => sms.sender.as_ref(),
        _ => None,
    });
    definition.message.sender.as_ref().into_iter().chain(steps).any(|own| own == sender)
}
