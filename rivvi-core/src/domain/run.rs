//! One execution of a campaign.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::campaign::CampaignDefinition;
use super::contact::{ContactState, Exclusion};
use super::disposition::{Disposition, Outcome};
use super::ids::{CampaignId, OrgId, RunId};
use super::message::{DeliveryState, Medium, Message};
use crate::import::ImportReport;

/// One execution of a campaign over an imported sheet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Whose run.
    pub org_id: OrgId,
    /// The campaign it executes.
    pub campaign_id: CampaignId,
    /// The version of the campaign it was created with, and keeps.
    pub campaign_version: u32,
    /// The definition of that version.
    pub definition: Arc<CampaignDefinition>,
    /// Tells runs of one campaign apart: creating a run with a key that exists gives the existing run. By default
    /// the SHA-256 of the sheet.
    pub key: String,
    /// The name of the sheet.
    pub sheet: String,
    /// Where it stands.
    pub state: RunState,
    /// Why it is completing; decides between [`RunState::Completed`] and [`RunState::Cancelled`].
    pub ending: Option<Ending>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it is to start, if scheduled.
    pub start_at: Option<DateTime<Utc>>,
    /// When it started first.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ends at the latest; no call starts at or after this instant.
    pub ends_at: Option<DateTime<Utc>>,
    /// When it stopped dialling for good.
    pub completing_since: Option<DateTime<Utc>>,
    /// When it reached its last state.
    pub finished_at: Option<DateTime<Utc>>,
    /// What the import found.
    pub report: Option<Arc<ImportReport>>,
    /// Where the sheet lies in the blob store, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_file: Option<String>,
    /// Where the contacts lie in the blob store, from which the start takes them into the ledger. `None` if the import
    /// put them into the ledger, and once the file was removed after the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processed_file: Option<String>,
    /// Journal entries written for the run; the next entry gets this number plus one.
    pub sequence: u64,
}

impl Run {
    /// A draft of a run of a campaign's version.
    pub fn draft(
        id: RunId,
        campaign: &super::Campaign,
        key: impl Into<String>,
        sheet: impl Into<String>,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id,
            org_id: campaign.org_id,
            campaign_id: campaign.id,
            campaign_version: campaign.version,
            definition: Arc::new(campaign.definition.clone()),
            key: key.into(),
            sheet: sheet.into(),
            state: RunState::Draft,
            ending: None,
            created_at: now,
            start_at: None,
            started_at: None,
            ends_at: None,
            completing_since: None,
            finished_at: None,
            report: None,
            raw_file: None,
            processed_file: None,
            sequence: 0,
        }
    }

    /// The report of the import, if the contacts it counted wait in the blob store: the run was never started, and is
    /// not over.
    pub fn waits_in_blobs(&self) -> Option<&ImportReport> {
        let waits = self.processed_file.is_some() && self.started_at.is_none() && !self.state.is_final();
        self.report.as_deref().filter(|_| waits)
    }
}

/// The states of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunState {
    /// Created, nothing imported.
    Draft,
    /// The sheet is being read.
    Processing,
    /// Imported and checked; waits for its start.
    Ready,
    /// Starts by itself at its start time.
    Scheduled,
    /// Calls are made.
    Active,
    /// No call starts; calls under way go on.
    Paused,
    /// No call starts; what is left is being settled and archived.
    Completing,
    /// Over: every contact has its outcome.
    Completed,
    /// Over before its time: every contact has its outcome.
    Cancelled,
    /// The sheet could not be read.
    Failed,
}

impl RunState {
    /// Every state, in the order of declaration.
    pub const ALL: [Self; 10] = [
        Self::Draft,
        Self::Processing,
        Self::Ready,
        Self::Scheduled,
        Self::Active,
        Self::Paused,
        Self::Completing,
        Self::Completed,
        Self::Cancelled,
        Self::Failed,
    ];

    /// The name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Processing => "processing",
            Self::Ready => "ready",
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Completing => "completing",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing happens any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }

    /// Whether it was executed and is over. A run that [failed](Self::Failed) was not: its import can be taken up again.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }

    /// Whether it takes one of its organization's places for active runs.
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Active | Self::Paused | Self::Completing)
    }
}

impl std::fmt::Display for RunState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a run is completing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every contact is settled.
    Settled,
    /// Its end time was reached.
    EndTime,
    /// Somebody cancelled it.
    Cancelled,
}

impl Ending {
    /// The outcome of contacts that still wait.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Settled | Self::EndTime => Outcome::Expired,
            Self::Cancelled => Outcome::Cancelled,
        }
    }
}

/// Counts of a run, kept in the same transactions as what they count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunTally {
    /// Contacts waiting.
    pub waiting: u64,
    /// Contacts with a live call.
    pub calling: u64,
    /// Contacts settled, per outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Contacts excluded, per reason.
    pub exclusions: BTreeMap<Exclusion, u64>,
    /// Calls ended, per disposition.
    pub dispositions: BTreeMap<Disposition, u64>,
    /// The most calls that were live at once.
    pub live_calls_max: u64,
    /// What became of messages.
    pub messages: MessageTally,
}

/// Counts of the messages of a run. Messages handed to a provider are counted by [`Disposition::Sent`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MessageTally {
    /// [Parts](super::MessageSize::parts) of text messages handed to a provider.
    pub parts: u64,
    /// Messages that were delivered, as their providers tell.
    pub delivered: u64,
    /// Messages that the network could not deliver.
    pub undelivered: u64,
    /// Messages that the provider could not send.
    pub failed: u64,
    /// Answers that came in.
    pub replies: u64,
    /// Messages that were opened, as far as can be told; whose links were followed count.
    pub opened: u64,
    /// Times that links were followed.
    pub clicks: u64,
}

impl MessageTally {
    /// Names and counts, in the order of declaration.
    pub fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("parts", self.parts),
            ("delivered", self.delivered),
            ("undelivered", self.undelivered),
            ("failed", self.failed),
            ("replies", self.replies),
            ("opened", self.opened),
            ("clicks", self.clicks),
        ]
    }

    /// The counts in the order of [`named`](Self::named).
    pub const fn from_counts(
        [parts, delivered, undelivered, failed, replies, opened, clicks]: [u64; 7],
    ) -> Self {
        Self { parts, delivered, undelivered, failed, replies, opened, clicks }
    }

    /// Adds the counts of another tally.
    pub fn add(&mut self, other: &Self) {
        let sums = self.named().into_iter().zip(other.named()).map(|((_, count), (_, more))| count + more);
        let mut counts = [0; 7];
        counts.iter_mut().zip(sums).for_each(|(count, sum)| *count = sum);
        *self = Self::from_counts(counts);
    }

    /// Notes how a message changed.
    pub(crate) fn change(&mut self, before: Option<&Call>, now: &Call) {
        let Some(message) = &now.detail.message else { return };
        let known = before.and_then(|call| call.detail.message.as_deref());
        let is_sent = |call: &Call| call.disposition() == Some(Disposition::Sent);
        if message.medium == Medium::Sms && is_sent(now) && !before.is_some_and(is_sent) {
            self.parts += u64::from(message.size().parts);
        }
        let state = |message: &Message| message.delivery.as_ref().map(|delivery| delivery.state);
        let before_state = known.and_then(state);
        match state(message).filter(|state| Some(*state) != before_state) {
            Some(DeliveryState::Delivered) => self.delivered += 1,
            Some(DeliveryState::Undelivered) => self.undelivered += 1,
            Some(DeliveryState::Failed) => self.failed += 1,
            _ => {}
        }
        self.replies += (message.replies.len() - known.map_or(0, |known| known.replies.len())) as u64;
        self.opened +=
            u64::from(message.opened_at.is_some() && known.is_none_or(|known| known.opened_at.is_none()));
        self.clicks += u64::from(message.clicks - known.map_or(0, |known| known.clicks));
    }
}

impl RunTally {
    /// Contacts that have their outcome.
    pub fn settled(&self) -> u64 {
        self.outcomes.values().sum()
    }

    /// All contacts.
    pub fn contacts(&self) -> u64 {
        self.waiting + self.calling + self.settled()
    }

    /// Calls that ended and may have rung: every disposition but [`Disposition::NotPlaced`].
    pub fn attempts_ended(&self) -> u64 {
        self.dispositions.iter().filter(|(d, _)| d.is_attempt()).map(|(_, n)| n).sum()
    }

    /// Notes that a contact entered `state`.
    pub fn enter(&mut self, state: &ContactState) {
        self.shift(state, 1);
    }

    /// Notes that a contact left `state`.
    pub fn leave(&mut self, state: &ContactState) {
        self.shift(state, -1);
    }

    /// Notes that a call ended.
    pub fn end_call(&mut self, disposition: Disposition) {
        *self.dispositions.entry(disposition).or_default() += 1;
    }

    /// Notes how many calls are live now.
    pub fn observe_live(&mut self) {
        self.live_calls_max = self.live_calls_max.max(self.calling);
    }

    fn shift(&mut self, state: &ContactState, by: i64) {
        let counters: [Option<&mut u64>; 2] = match state {
            ContactState::Waiting { .. } => [Some(&mut self.waiting), None],
            ContactState::Calling { .. } => [Some(&mut self.calling), None],
            ContactState::Settled { outcome, exclusion, .. } => [
                Some(self.outcomes.entry(*outcome).or_default()),
                exclusion.map(|reason| self.exclusions.entry(reason).or_default()),
            ],
        };
        for counter in counters.into_iter().flatten() {
            *counter = counter.saturating_add_signed(by);
        }
    }
}
