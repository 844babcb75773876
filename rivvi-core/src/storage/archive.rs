//! What stays when a run is over.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::StorageError;
use crate::domain::{
    Call, CallId, CampaignId, E164, OrgId, Outcome, Person, PersonId, Personal, RunId, RunState, RunTally,
};
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

    /// Adds contexts, or replaces those of the same campaign and person.
    async fn put_contexts(&self, contexts: Vec<CampaignContext>) -> Result<(), StorageError>;

    /// What is known of a number of an organization at `now`, the latest first, those of one instant in the order of
    /// campaign and person; lapsed contexts are left out.
    async fn contexts(
        &self,
        org_id: OrgId,
        number: E164,
        now: DateTime<Utc>,
    ) -> Result<Vec<CampaignContext>, StorageError>;

    /// Removes contexts that have lapsed at `now`, at most `limit`. Returns how many.
    async fn purge_contexts(&self, now: DateTime<Utc>, limit: usize) -> Result<u64, StorageError>;
}

/// A finished call with the person it reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArchivedCall {
    /// The call.
    pub call: Call,
    /// Whom it was for.
    pub person_id: PersonId,
    /// Where it lies in the blob store, if there is one, see [`blobs::formatted_call`](super::blobs::formatted_call).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_log: Option<String>,
}

/// What a campaign knows of a person it tried to reach, for the day that person calls back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignContext {
    /// Whose campaign.
    pub org_id: OrgId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// The person.
    pub person_id: PersonId,
    /// The run that told it last.
    pub run_id: RunId,
    /// The number tried.
    pub number: E164,
    /// The columns of the sheet, by name.
    pub data: Personal<Arc<BTreeMap<String, String>>>,
    /// How the contact ended.
    pub outcome: Option<Outcome>,
    /// The last call of the run that may have rung.
    #[serde(default)]
    pub last_call_id: Option<CallId>,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// When it lapses (exclusive); `None` is never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl CampaignContext {
    /// Whether it still counts at `now`.
    pub fn is_valid(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    /// For authors of stores: those of `contexts` that count at `now`, in the order of [`Archive::contexts`].
    pub fn valid_latest_first(contexts: Vec<Self>, now: DateTime<Utc>) -> Vec<Self> {
        let mut valid = contexts;
        valid.retain(|context| context.is_valid(now));
        valid.sort_by_key(|context| (Reverse(context.created_at), context.campaign_id, context.person_id));
        valid
    }
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
