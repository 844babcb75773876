//! People, finished calls and reports in memory.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::MemoryStorage;
use crate::domain::{CallId, E164, OrgId, Person, PersonId, RunId};
use crate::storage::{Archive, ArchivedCall, CampaignContext, Report, StorageError};

#[async_trait]
impl Archive for MemoryStorage {
    async fn add_people(&self, people: Vec<Person>) -> Result<Vec<PersonId>, StorageError> {
        let mut state = self.state();
        Ok(people
            .into_iter()
            .map(|person| {
                let key = (person.org_id, person.hash.clone());
                let known = state.people.entry(key).or_insert_with(|| person.clone());
                known.number = person.number;
                known.fields = person.fields.or(&known.fields);
                known.id
            })
            .collect())
    }

    async fn people(
        &self,
        org_id: OrgId,
        after: Option<PersonId>,
        limit: usize,
    ) -> Result<Vec<Person>, StorageError> {
        let state = self.state();
        let of_org = state.people.values().filter(|person| person.org_id == org_id);
        let mut people: Vec<_> =
            of_org.filter(|person| after.is_none_or(|after| person.id > after)).cloned().collect();
        people.sort_by_key(|person| person.id);
        people.truncate(limit);
        Ok(people)
    }

    async fn add_calls(&self, calls: Vec<ArchivedCall>) -> Result<(), StorageError> {
        let mut state = self.state();
        for archived in calls {
            state.archived_calls.insert((archived.call.run_id, archived.call.id), archived);
        }
        Ok(())
    }

    async fn archived_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<ArchivedCall>, StorageError> {
        let state = self.state();
        let of_run = state.archived_calls.iter().filter(|((run, _), _)| *run == run_id);
        let later = of_run.filter(|((_, call), _)| after.is_none_or(|after| *call > after));
        Ok(later.take(limit).map(|(_, call)| call.clone()).collect())
    }

    async fn put_report(&self, report: Report) -> Result<(), StorageError> {
        self.state().reports.insert(report.run_id, report);
        Ok(())
    }

    async fn report(&self, run_id: RunId) -> Result<Option<Report>, StorageError> {
        Ok(self.state().reports.get(&run_id).cloned())
    }

    async fn put_contexts(&self, contexts: Vec<CampaignContext>) -> Result<(), StorageError> {
        let mut state = self.state();
        for context in contexts {
            state.contexts.insert((context.campaign_id, context.person_id), context);
        }
        Ok(())
    }

    async fn contexts(
        &self,
        org_id: OrgId,
        number: E164,
        now: DateTime<Utc>,
    ) -> Result<Vec<CampaignContext>, StorageError> {
        let state = self.state();
        let of_number =
            state.contexts.values().filter(|context| context.org_id == org_id && context.number == number);
        Ok(CampaignContext::valid_latest_first(of_number.cloned().collect(), now))
    }

    async fn purge_contexts(&self, now: DateTime<Utc>, limit: usize) -> Result<u64, StorageError> {
        let mut state = self.state();
        let lapsed = state.contexts.iter().filter(|(_, context)| !context.is_valid(now));
        let lapsed: Vec<_> = lapsed.map(|(key, _)| *key).take(limit).collect();
        for key in &lapsed {
            state.contexts.remove(key);
        }
        Ok(lapsed.len() as u64)
    }
}
