//! What stays when a run is over.

use std::fmt::Debug;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::StorageError;
use crate::domain::{Call, CallId, OrgId, Outcome, Person, PersonId, RunId, RunState, RunTally};
use crate::import::ImportReport;

/// Keeps people, finished calls and reports.
#[async_trait]
pub trait Archive: Debug + Send + Sync + 'static {
    /// Adds people. One with the hash of a person already known keeps that person's id; number and fields that are
    /// set replace the known ones. Returns the id each of them has.
    async fn add_people(&self, people: Vec<Person>) -> Result<Vec<PersonId>, StorageError>;

    /// People of an organization in the order of their ids, the first `limit` after `after`.
    async fn people(
        &self,
        org_id: OrgId,
        after: Option<PersonId>,
        limit: usize,
    ) -> Result<Vec<Person>, StorageError>;

    /// Adds finished calls, or replaces those with the same id.
    async fn add_calls(&self, calls: Vec<ArchivedCall>) -> Result<(), StorageError>;

    /// Finished calls of a run in the order of their ids, the first `limit` after `after`.
    async fn archived_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<ArchivedCall>, StorageError>;

    /// Adds the report of a run, or replaces it.
    async fn put_report(&self, report: Report) -> Result<(), StorageError>;

    /// The report of a run, or `None`.
    async fn report(&self, run_id: RunId) -> Result<Option<Report>, StorageError>;
}

/// A finished call with the person it reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArchivedCall {
    /// The call.
    pub call: Call,
    /// Whom it was for.
    pub person_id: PersonId,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which run.
    pub run_id: RunId,
    /// Whose run.
    pub org_id: OrgId,
    /// The name of its campaign.
    pub campaign: String,
    /// How it ended.
    pub state: RunState,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
    /// When everything was settled.
    pub finished_at: DateTime<Utc>,
    /// What the import found.
    pub import: Option<ImportReport>,
    /// The counts.
    pub tally: RunTally,
}

impl Report {
    /// Contacts that ended with `outcome`.
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.tally.outcomes.get(&outcome).copied().unwrap_or(0)
    }
}
