//! Calls that come in: who calls, why, and who answers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::Inner;
use crate::domain::{
    Call, CallId, CallState, CampaignDefinition, Contact, ContactId, ContactVariables, E164, OrgId,
    Organization, Person, PersonFields, PersonId, Personal, ProviderName, Run, RunId, RunState, Suppression,
};
use crate::machine::{give_up_inbound, inbound_call, step_inbound};
use crate::provider::{
    AnsweredCall, CallEvent, CallRef, CallUpdate, InboundAnswer, InboundCall, InboundOptOut, InboundRef,
    WebhookError, WebhookRequest,
};
use crate::storage::{ArchivedCall, CampaignContext, ContactQuery, RunQuery, StorageError};

/// Contacts with one number looked at in one run.
const CONTACTS_MAX: usize = 50;
/// Organizations read at once to find the one that is called.
const PAGE: usize = 500;
/// For how long a call that comes in from the same number to the same organization counts as the one before, if nothing was
/// told of that: vendors repeat their question while it rings. Retell does so three times, 10 s apart.
const RINGING_MAX: TimeDelta = TimeDelta::seconds(45);

/// Why a person calls, as far as is known.
struct Occasion {
    definition: CampaignDefinition,
    person: PersonFields,
    columns: BTreeMap<String, String>,
    answers: Option<Answers>,
}

/// The outbound call that an inbound one answers.
struct Answers {
    outbound: Call,
    campaign_id: crate::domain::CampaignId,
    /// Whom it was for, if the ledger does not have the call any more.
    archived_for: Option<PersonId>,
}

impl Inner {
    /// Verifies and reads the question of a vendor, finds out who calls and why, notes the call, and answers.
    pub(super) async fn receive_inbound(
        &self,
        provider: &str,
        request: &WebhookRequest,
    ) -> Result<http::Response<Bytes>, WebhookError> {
        let provider = self.voice.iter().find(|known| known.name().as_str() == provider);
        let provider = provider.ok_or(WebhookError::UnknownProvider)?;
        let now = self.clock.now();
        let asked = provider.decode_inbound(request, now)?;
        let answer = self.answer(&provider.name(), &asked, now).await.map_err(WebhookError::NotStored)?;
        Ok(provider.encode_inbound(&answer))
    }

    async fn answer(
        &self,
        provider: &ProviderName,
        asked: &InboundCall,
        now: DateTime<Utc>,
    ) -> Result<InboundAnswer, StorageError> {
        let Some(organization) = self.called(asked.to).await? else {
            tracing::warn!("a call came in to a number of no organization");
            return Ok(InboundAnswer::default());
        };
        let mut answer = InboundAnswer {
            agent_id: organization.inbound_agent_id.clone(),
            from: asked.from,
            ..InboundAnswer::default()
        };
        let Some(from) = asked.from else { return Ok(answer) };
        let Some(occasion) = self.occasion(organization.id, from, now).await? else { return Ok(answer) };
        let definition = &occasion.definition;
        let agent_id = definition.inbound.agent_id.clone().or_else(|| definition.agent_id.clone());
        answer.agent_id = agent_id.or(answer.agent_id);
        let known = ContactVariables::new(&definition.variables, &occasion.columns, &occasion.person, from)
            .on(now.date_naive());
        answer.prompt = definition.prompt_for(&known);
        answer.variables = Personal::new(known.texts());
        answer.person = occasion.person.clone();
        if let Some(answers) = occasion.answers {
            answer.call = Some(self.note_inbound(provider, asked, &answers, now).await?);
        }
        Ok(answer)
    }

    /// The organization with this number; `None` also if several have it, for nobody can tell whom the person calls.
    pub(super) async fn called(&self, number: E164) -> Result<Option<Organization>, StorageError> {
        let (mut after, mut found) = (None, None);
        loop {
            let page = self.storage.catalog.organizations(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.id);
            for organization in page.into_iter().filter(|organization| organization.caller_id.0 == number) {
                if found.replace(organization).is_some() {
                    tracing::warn!(
                        "a number that is called belongs to several organizations; nobody answers for it"
                    );
                    return Ok(None);
                }
            }
        }
    }

    /// Why the person calls: the latest call of a run under way, else what a campaign that is over knows of them, else a
    /// contact that is yet to be called.
    async fn occasion(
        &self,
        org_id: OrgId,
        from: E164,
        now: DateTime<Utc>,
    ) -> Result<Option<Occasion>, StorageError> {
        let states = vec![RunState::Active, RunState::Paused, RunState::Completing];
        let query = RunQuery { org_id: Some(org_id), states, ..RunQuery::default() };
        let mut live = Vec::new();
        for run in self.storage.ledger.runs(query).await? {
            live.extend(self.contact_with(run, from).await?);
        }
        live.sort_by_key(|(_, contact, call)| {
            (Reverse(call.as_ref().map(|call| call.intended_at)), contact.id)
        });
        let called = live.iter().position(|(_, _, call)| call.is_some());
        if let Some(place) = called {
            let (run, contact, call) = live.swap_remove(place);
            return Ok(Some(occasion_of(&run, contact, call)));
        }
        if let Some(context) = self.storage.archive.contexts(org_id, from, now).await?.into_iter().next()
            && let Some(occasion) = self.occasion_of_context(context).await?
        {
            return Ok(Some(occasion));
        }
        Ok(live.into_iter().next().map(|(run, contact, call)| occasion_of(&run, contact, call)))
    }

    /// The contact of a run with this number, and the latest call to it that may have rung.
    async fn contact_with(
        &self,
        run: Run,
        number: E164,
    ) -> Result<Option<(Run, Contact, Option<Call>)>, StorageError> {
        let query = ContactQuery { run_id: run.id, number: Some(number), after: None, limit: CONTACTS_MAX };
        let contacts = self.storage.ledger.contacts(query).await?;
        let ids: Vec<ContactId> = contacts.iter().map(|contact| contact.id).collect();
        let calls = self.storage.ledger.calls_of(&ids).await?;
        let rang = |call: &Call| match call.state {
            CallState::Intended => false,
            CallState::Ended { disposition } => disposition.is_attempt(),
            _ => true,
        };
        let latest = calls.into_iter().filter(rang).max_by_key(|call| (call.intended_at, call.id));
        let whose = latest.as_ref().map(|call| call.contact_id);
        let contact = contacts.into_iter().find(|contact| whose.is_none_or(|id| id == contact.id));
        Ok(contact.map(|contact| (run, contact, latest)))
    }

    /// What a campaign that is over knows, with the call that the ledger or the archive still has.
    async fn occasion_of_context(&self, context: CampaignContext) -> Result<Option<Occasion>, StorageError> {
        if let Some(run) = self.storage.ledger.run(context.run_id).await?
            && let Some((run, contact, call)) = self.contact_with(run, context.number).await?
        {
            return Ok(Some(occasion_of(&run, contact, call)));
        }
        let Some(campaign) = self.storage.catalog.campaign(context.campaign_id, None).await? else {
            return Ok(None);
        };
        let outbound = match context.last_call_id {
            Some(id) => self.archived_call(context.run_id, id).await?,
            None => None,
        };
        let answers = outbound.map(|archived| Answers {
            outbound: archived.call,
            campaign_id: context.campaign_id,
            archived_for: Some(archived.person_id),
        });
        let person = self.person(context.org_id, context.person_id).await?;
        Ok(Some(Occasion {
            definition: campaign.definition,
            person: person.map(|person| person.fields).unwrap_or_default(),
            columns: context.data.expose().as_ref().clone(),
            answers,
        }))
    }

    /// Notes the inbound call where the outbound one is kept.
    async fn note_inbound(
        &self,
        provider: &ProviderName,
        asked: &InboundCall,
        answers: &Answers,
        now: DateTime<Utc>,
    ) -> Result<AnsweredCall, StorageError> {
        let Answers { outbound, campaign_id, archived_for } = answers;
        let rings = |call: &&Call| {
            call.provider == *provider
                && call.state == CallState::Placed
                && now < call.intended_at + RINGING_MAX
        };
        let call_id = match outbound.detail.called_back.iter().rev().find(rings) {
            Some(call) => call.id,
            None => CallId::from_uuid(self.ids.next(now)),
        };
        let inbound = InboundRef { call_id, run_id: outbound.run_id, provider: provider.clone() };
        match archived_for {
            None => {
                let accepted = CallEvent::Accepted { reference: asked.reference.clone() };
                let event = CallEvent::CalledBack { inbound, event: Box::new(accepted) };
                let update = CallUpdate { call: CallRef::Id(outbound.id), at: now, event };
                self.submit(vec![update.into()]).await?;
            }
            Some(person_id) => {
                let mut call = inbound_call(outbound, &inbound, now);
                // Nobody looks after it there.
                give_up_inbound(&mut call, now);
                let archived = ArchivedCall { call, person_id: *person_id, call_log: None };
                self.storage.archive.add_calls(vec![archived]).await?;
            }
        }
        Ok(AnsweredCall {
            call_id,
            callback_for: outbound.id,
            org_id: outbound.org_id,
            campaign_id: *campaign_id,
            run_id: outbound.run_id,
            contact_id: outbound.contact_id,
        })
    }

    /// Takes an update of an inbound call whose outbound call the ledger does not have any more. Returns whether the
    /// archive has it.
    pub(super) async fn archive_inbound(&self, update: &CallUpdate) -> Result<bool, StorageError> {
        let CallEvent::CalledBack { inbound, event } = &update.event else { return Ok(false) };
        let now = self.clock.now();
        let known = self.archived_call(inbound.run_id, inbound.call_id).await?;
        let is_new = known.is_none();
        let mut archived = match known {
            Some(archived) => archived,
            // It was told while its run went to the archive.
            None => {
                let CallRef::Id(outbound) = update.call else { return Ok(false) };
                let Some(outbound) = self.archived_call(inbound.run_id, outbound).await? else {
                    return Ok(false);
                };
                let call = inbound_call(&outbound.call, inbound, now);
                ArchivedCall { call, person_id: outbound.person_id, call_log: None }
            }
        };
        if matches!(**event, CallEvent::OptOut) {
            let entry = Suppression::opt_out(archived.call.org_id, archived.call.number, now);
            self.suppress_caller(entry, now).await?;
        }
        let before = archived.call.clone();
        step_inbound(&mut archived.call, event, update.at, now);
        give_up_inbound(&mut archived.call, now);
        if is_new || archived.call != before {
            self.storage.archive.add_calls(vec![archived]).await?;
        }
        Ok(true)
    }

    /// Suppresses the number of somebody who called in and is no contact that was called.
    pub(super) async fn opt_out_inbound(
        &self,
        opt_out: InboundOptOut,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let Some(organization) = self.called(opt_out.to).await? else { return Ok(()) };
        self.suppress_caller(Suppression::opt_out(organization.id, opt_out.from, opt_out.at), now).await
    }

    /// Adds an entry to the suppression list, unless it is known: webhooks come twice.
    pub(super) async fn suppress_caller(
        &self,
        entry: Suppression,
        now: DateTime<Utc>,
    ) -> Result<(), StorageError> {
        let known = self.storage.ledger.number_facts(entry.org_id, entry.number, now).await?.suppression;
        if known.is_none_or(|known| known.merged_with(&entry) != known) {
            self.storage.ledger.suppress(vec![entry]).await?;
        }
        Ok(())
    }

    /// The finished call of a run.
    pub(super) async fn archived_call(
        &self,
        run_id: RunId,
        id: CallId,
    ) -> Result<Option<ArchivedCall>, StorageError> {
        let before = id.as_uuid().as_u128().checked_sub(1).map(|id| CallId::from_uuid(Uuid::from_u128(id)));
        let found = self.storage.archive.archived_calls(run_id, before, 1).await?;
        Ok(found.into_iter().find(|archived| archived.call.id == id))
    }

    async fn person(&self, org_id: OrgId, id: PersonId) -> Result<Option<Person>, StorageError> {
        let before = id.as_uuid().as_u128().checked_sub(1).map(|id| PersonId::from_uuid(Uuid::from_u128(id)));
        let found = self.storage.archive.people(org_id, before, 1).await?;
        Ok(found.into_iter().find(|person| person.id == id))
    }
}

fn occasion_of(run: &Run, contact: Contact, call: Option<Call>) -> Occasion {
    Occasion {
        definition: run.definition.as_ref().clone(),
        person: contact.person,
        columns: contact.variables.expose().as_ref().clone(),
        answers: call.map(|outbound| Answers { outbound, campaign_id: run.campaign_id, archived_for: None }),
    }
}
