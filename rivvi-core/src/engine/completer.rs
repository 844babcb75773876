//! A finished run goes to the archive.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};

use super::Inner;
use crate::domain::{
    Call, Contact, ContactId, ContactState, Disposition, Ending, Person, PersonId, Run, RunState,
};
use crate::machine::give_up_inbound;
use crate::storage::{
    ArchivedCall, Blobs, CampaignContext, ContactQuery, Report, StorageError, StorageErrorKind, blobs,
};

/// Contacts archived in one step.
const BATCH: usize = 1_000;
/// Call logs written at once.
const PUTS_AT_ONCE: usize = 16;

impl Inner {
    /// Copies people, calls and the report of a run to the archive. May be repeated.
    pub(super) async fn archive_run(&self, run: &Run, now: DateTime<Utc>) -> Result<(), StorageError> {
        self.archive_contacts(run, now).await?;
        self.archive_report(run, now).await
    }

    /// Copies people and calls of a run to the archive. May be repeated.
    pub(super) async fn archive_contacts(&self, run: &Run, now: DateTime<Utc>) -> Result<(), StorageError> {
        let mut after = None;
        loop {
            let query = ContactQuery { run_id: run.id, number: None, after, limit: BATCH };
            let contacts = self.storage.ledger.contacts(query).await?;
            let Some(last) = contacts.last() else { return Ok(()) };
            after = Some(last.id);
            let ids: Vec<ContactId> = contacts.iter().map(|contact| contact.id).collect();
            let people = contacts
                .iter()
                .map(|contact| Person {
                    id: PersonId::from_uuid(self.ids.next(now)),
                    org_id: run.org_id,
                    hash: Person::hash_of(run.org_id, contact.number, &contact.person),
                    number: contact.number,
                    fields: contact.person.clone(),
                })
                .collect();
            let people = self.storage.archive.add_people(people).await?;
            let person_of: HashMap<ContactId, PersonId> = ids.iter().copied().zip(people).collect();
            let calls = self.storage.ledger.calls_of(&ids).await?;
            let mut last_calls = HashMap::new();
            for call in calls.iter().filter(|call| call.disposition().is_none_or(Disposition::is_attempt)) {
                last_calls.insert(call.contact_id, call.id);
            }
            let contexts = contacts.iter().filter_map(|contact| {
                let person_id = *person_of.get(&contact.id)?;
                let last_call_id = last_calls.get(&contact.id).copied();
                Some(CampaignContext { last_call_id, ..self.context_of(run, contact, person_id, now) })
            });
            self.storage.archive.put_contexts(contexts.collect()).await?;
            let archived = calls.into_iter().flat_map(|call| with_inbound(call, now)).filter_map(|call| {
                let person_id = *person_of.get(&call.contact_id)?;
                let call_log = self.storage.blobs.is_some();
                let call_log = call_log.then(|| blobs::formatted_call(call.org_id, call.run_id, call.id));
                Some(ArchivedCall { call, person_id, call_log })
            });
            let archived: Vec<ArchivedCall> = archived.collect();
            self.put_call_logs(&archived).await?;
            self.storage.archive.add_calls(archived).await?;
        }
    }

    /// Writes calls to the blob store, if there is one.
    async fn put_call_logs(&self, calls: &[ArchivedCall]) -> Result<(), StorageError> {
        let Some(blobs) = &self.storage.blobs else { return Ok(()) };
        let puts: Vec<_> = calls.iter().map(|call| put_call_log(blobs, call).boxed()).collect();
        stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).try_collect().await
    }

    /// What the run leaves for the day that the person calls back.
    fn context_of(
        &self,
        run: &Run,
        contact: &Contact,
        person_id: PersonId,
        now: DateTime<Utc>,
    ) -> CampaignContext {
        // Archiving again, long after the end, must not make it last longer.
        let ended = run.finished_at.unwrap_or(now);
        CampaignContext {
            org_id: run.org_id,
            campaign_id: run.campaign_id,
            person_id,
            run_id: run.id,
            number: contact.number,
            data: contact.variables.clone(),
            outcome: match contact.status.state {
                ContactState::Settled { outcome, .. } => Some(outcome),
                _ => None,
            },
            last_call_id: None,
            created_at: ended,
            expires_at: Some(ended + self.config.contexts_kept),
        }
    }

    async fn archive_report(&self, run: &Run, now: DateTime<Utc>) -> Result<(), StorageError> {
        let report = Report {
            run_id: run.id,
            org_id: run.org_id,
            campaign: run.definition.name.clone(),
            state: match run.ending {
                Some(Ending::Cancelled) => RunState::Cancelled,
                _ => RunState::Completed,
            },
            started_at: run.started_at,
            finished_at: now,
            import: run.report.as_deref().cloned(),
            tally: self.storage.ledger.tally(run.id).await?,
        };
        self.storage.archive.put_report(report).await
    }
}

/// The call, and those in which the contact called back because of it, each by itself. Those whose end was not told in time
/// are given up.
fn with_inbound(call: Call, now: DateTime<Utc>) -> impl Iterator<Item = Call> {
    let mut outbound = call;
    let mut inbound = std::mem::take(&mut outbound.detail.called_back);
    inbound.iter_mut().for_each(|call| give_up_inbound(call, now));
    std::iter::once(outbound).chain(inbound)
}

pub(super) async fn put_call_log(blobs: &Blobs, call: &ArchivedCall) -> Result<(), StorageError> {
    let Some(path) = call.call_log.as_deref() else { return Ok(()) };
    let text = serde_json::to_vec(call).map_err(|error| {
        let context = format!("{path} cannot be written as JSON");
        StorageError::new(StorageErrorKind::Corrupt, "archive", context).with_source(error)
    })?;
    blobs.put("archive", path, text).await
}
