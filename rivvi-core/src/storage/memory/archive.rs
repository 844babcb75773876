//! People, finished calls and reports in memory.

use async_trait::async_trait;

use super::MemoryStorage;
use crate::domain::{CallId, OrgId, Person, PersonId, RunId};
use crate::storage::{Archive, ArchivedCall, Report, StorageError};

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
}
