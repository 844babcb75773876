//! What comes back from text messages: receipts, answers, wishes for no more, and hits on links.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::Inner;
use super::completer::put_call_log;
use crate::domain::{
    Call, CallId, CampaignDefinition, ContactId, E164, Medium, Message, OrgId, Organization, PersonId,
    Personal, Reply, RunId, RunState, Sender, Suppression,
};
use crate::machine::CallInput;
use crate::policy::follow_up::FollowUpAction;
use crate::provider::{
    CallEvent, CallRef, CallUpdate, InboundSms, SendSms, SmsProvider, WebhookError, WebhookRequest,
};
use crate::storage::{ArchivedCall, ContactQuery, OutboxItem, RunQuery, StorageError, blobs};

/// The action that confirms a wish for no more messages. Ours, not the host's.
pub(super) const CONFIRM_OPT_OUT: &str = "rivvi:confirm_opt_out";
/// How long the network may try to deliver the confirmation.
const CONFIRMATION_VALID: Duration = Duration::from_secs(60 * 60);
/// How long after it was taken the item of a confirmation is surely this node's.
const CONFIRM_WITHIN: Duration = Duration::from_secs(60);
/// Contacts with one number looked at in one run.
const CONTACTS_MAX: usize = 50;
/// Organizations read at once.
const PAGE: usize = 500;

/// The message that somebody answered.
enum Answered {
    /// The ledger has it; the archive too, for this person, if its run is over.
    Live {
        message: Box<Call>,
        archived_for: Option<PersonId>,
    },
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
        let organizations = self.written_to(&inbound.to).await?;
        let is_opt_out = |organization: &Organization| {
            inbound.is_opt_out || organization.opt_out.is_opt_out(inbound.text.expose())
        };
        // First, so that nothing that fails later keeps it from taking effect; and for everyone who may be meant.
        for organization in organizations.iter().filter(|organization| is_opt_out(organization)) {
            self.suppress_caller(Suppression::opt_out(organization.id, from, now), now).await?;
        }
        let [organization] = organizations.as_slice() else {
            let count = organizations.len();
            tracing::warn!(count, "a text message came in to a sender of no organization, or of several");
            return Ok(());
        };
        let is_opt_out = is_opt_out(organization);
        let reply = CallEvent::Replied { id: inbound.id.clone(), text: inbound.text.clone() };
        match self.last_message(organization.id, from, now).await? {
            Some(Answered::Live { message, archived_for }) => {
                let mut events = vec![reply];
                if is_opt_out {
                    events.push(CallEvent::OptOut);
                    events.extend(confirmation(organization, inbound));
                }
                let update = |event| CallUpdate { call: CallRef::Id(message.id), at: inbound.at, event };
                let inputs = events.into_iter().map(update).map(CallInput::from).collect();
                self.submit(inputs).await?;
                if let Some(person_id) = archived_for
                    && let Some(call) = self.storage.ledger.call(message.id).await?
                {
                    self.archive_again(call, person_id).await?;
                }
            }
            Some(Answered::Archived(mut archived)) => {
                let replies = archived.call.detail.message.as_mut().map(|message| &mut message.replies);
                if let Some(replies) = replies
                    && replies.len() < Message::REPLIES_MAX
                    && replies.iter().all(|known| known.id != inbound.id)
                {
                    let (id, text) = (inbound.id.clone(), inbound.text.clone());
                    replies.push(Reply { id, text, at: inbound.at });
                    let ArchivedCall { call, person_id, .. } = *archived;
                    self.archive_again(call, person_id).await?;
                }
            }
            None => tracing::warn!("a text message came in from a number that was sent none"),
        }
        Ok(())
    }

    /// Puts a call into the archive once more, with its log.
    async fn archive_again(&self, call: Call, person_id: PersonId) -> Result<(), StorageError> {
        let call_log = self.storage.blobs.is_some();
        let call_log = call_log.then(|| blobs::formatted_call(call.org_id, call.run_id, call.id));
        let archived = ArchivedCall { call, person_id, call_log };
        if let Some(blobs) = &self.storage.blobs {
            put_call_log(blobs, &archived).await?;
        }
        self.storage.archive.add_calls(vec![archived]).await
    }

    /// The organizations whose sender this is, or that of one of their campaigns.
    async fn written_to(&self, to: &Sender) -> Result<Vec<Organization>, StorageError> {
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
        if !found.is_empty() {
            return Ok(found);
        }
        // Runs that are over count as well: people answer when they like.
        let mut of_campaigns: Vec<OrgId> = Vec::new();
        for run in self.storage.ledger.runs(RunQuery::default()).await? {
            if sends_as(&run.definition, to) && !of_campaigns.contains(&run.org_id) {
                of_campaigns.push(run.org_id);
            }
        }
        for id in of_campaigns {
            found.extend(self.storage.catalog.organization(id).await?);
        }
        Ok(found)
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
            latest = latest.into_iter().chain(self.message_in(run.id, number).await?).max_by_key(sent_at);
        }
        if let Some(message) = latest {
            return Ok(Some(Answered::Live { message: Box::new(message), archived_for: None }));
        }
        for context in self.storage.archive.contexts(org_id, number, now).await? {
            // The ledger has it for a while after its run is over.
            if let Some(message) = self.message_in(context.run_id, number).await? {
                let (message, archived_for) = (Box::new(message), Some(context.person_id));
                return Ok(Some(Answered::Live { message, archived_for }));
            }
            let Some(id) = context.last_call_id else { continue };
            let archived = self.archived_call(context.run_id, id).await?;
            if let Some(archived) = archived.filter(|archived| archived.call.medium() == Medium::Sms) {
                return Ok(Some(Answered::Archived(Box::new(archived))));
            }
        }
        Ok(None)
    }

    /// The latest text message of a run to a number, as far as the ledger has it.
    async fn message_in(&self, run_id: RunId, number: E164) -> Result<Option<Call>, StorageError> {
        let query = ContactQuery { run_id, number: Some(number), after: None, limit: CONTACTS_MAX };
        let contacts = self.storage.ledger.contacts(query).await?;
        let ids: Vec<ContactId> = contacts.iter().map(|contact| contact.id).collect();
        let messages = self.storage.ledger.calls_of(&ids).await?.into_iter().filter(|call| {
            call.medium() == Medium::Sms && call.disposition().is_none_or(|end| end.is_attempt())
        });
        Ok(messages.max_by_key(sent_at))
    }

    /// Confirms a wish for no more messages: at most once, so the item is gone before anything is sent.
    ///
    /// `taken_at` is when the item was taken: long after, another node may have it, so it is left to come again.
    pub(super) async fn confirm_opt_out(
        &self,
        item: &OutboxItem,
        taken_at: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        if self.clock.now() >= taken_at + CONFIRM_WITHIN {
            return Ok(());
        }
        self.storage.ledger.finish_outbox(vec![item.id]).await?;
        let Some(id) = item.call_id else { return Ok(()) };
        let Some(call) = self.storage.ledger.call(id).await? else { return Ok(()) };
        let (Some(provider), Some(sender), Some(text)) = (
            self.sms.iter().find(|provider| provider.name() == call.provider),
            call.detail.message.as_ref().and_then(|message| message.sender.clone()),
            item.parameters.expose().get("text"),
        ) else {
            return Ok(());
        };
        let mut request = SendSms::new(CallId::from_uuid(item.id.as_uuid()), call.number, sender, text);
        (request.org_id, request.run_id, request.contact_id) = (call.org_id, call.run_id, call.contact_id);
        request.valid_for = CONFIRMATION_VALID;
        // Who was stopped meanwhile may have been overtaken by another node: rather none than two.
        if self.clock.now() >= taken_at + CONFIRM_WITHIN {
            return Ok(());
        }
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

fn sent_at(message: &Call) -> (DateTime<Utc>, CallId) {
    (message.intended_at, message.id)
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
