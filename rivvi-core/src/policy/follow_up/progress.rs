//! How far a contact has come in the plan of its campaign.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{FollowUp, FollowUpAction};
use crate::domain::{CallId, CampaignDefinition, Exclusion, Medium, Outcome, Personal};
use crate::policy::retry::{RetriesUsed, RetryPlan};

/// How far a contact has come in the plan of its campaign.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanProgress {
    /// Retries made so far, per cause, of the attempts under way.
    #[serde(flatten)]
    pub retries: RetriesUsed,
    /// What goes beyond the campaign's own attempts, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow_up: Option<Box<FollowUpProgress>>,
}

/// How far a contact has come beyond its campaign's own attempts. Follow-ups are meant by their places in the campaign.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FollowUpProgress {
    /// The follow-up under way; the campaign's own attempts if `None`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u8>,
    /// Follow-ups that are to begin, a bit each.
    pub pending: u16,
    /// Follow-ups that were begun or passed over, a bit each.
    pub begun: u16,
    /// The message whose fate decides what comes next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaits: Option<AwaitedReceipt>,
    /// What the contact's outcome is when nothing further comes of the follow-ups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<Outcome>,
    /// The reason, if that is [`Outcome::Excluded`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclusion: Option<Exclusion>,
    /// What actions were asked for with: variables of the texts that follow.
    #[serde(skip_serializing_if = "is_empty")]
    pub given: Personal<BTreeMap<String, String>>,
}

fn is_empty(given: &Personal<BTreeMap<String, String>>) -> bool {
    given.expose().is_empty()
}

/// A message of which nobody told yet what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwaitedReceipt {
    /// The message.
    pub message: CallId,
    /// When it was sent.
    pub since: DateTime<Utc>,
    /// Whether it was looked up at the deadline, for the last time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_last: bool,
}

impl FollowUpProgress {
    /// Has a follow-up begin when its turn comes, unless it has already.
    pub(crate) fn start(&mut self, place: usize) {
        let bit = bit(place);
        if self.begun & bit == 0 {
            self.pending |= bit;
        }
    }

    /// Takes the first follow-up that is to begin.
    pub(crate) fn take_next(&mut self) -> Option<usize> {
        let place = (self.pending != 0).then(|| self.pending.trailing_zeros())?;
        self.mark_begun(place as usize);
        Some(place as usize)
    }

    /// Notes that a follow-up has begun.
    pub(crate) fn mark_begun(&mut self, place: usize) {
        self.pending &= !bit(place);
        self.begun |= bit(place);
    }

    pub(crate) fn is_pending(&self, place: usize) -> bool {
        self.pending & bit(place) != 0
    }
}

/// The bit of a follow-up; none beyond those that a campaign may have.
fn bit(place: usize) -> u16 {
    u32::try_from(place).ok().and_then(|place| 1_u16.checked_shl(place)).unwrap_or(0)
}

/// What is to be done about a contact that is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Upcoming<'a> {
    /// An attempt.
    Attempt {
        /// By what.
        medium: Medium,
        /// The follow-up it belongs to; the campaign's own attempts if `None`.
        step: Option<&'a FollowUp>,
    },
    /// Looking up what became of a message.
    Receipt(AwaitedReceipt),
}

impl PlanProgress {
    /// The follow-up under way.
    pub fn step<'a>(&self, definition: &'a CampaignDefinition) -> Option<&'a FollowUp> {
        let place = self.follow_up.as_ref()?.step?;
        definition.follow_up.get(usize::from(place))
    }

    /// What is to be done when the contact is due.
    pub fn upcoming<'a>(&self, definition: &'a CampaignDefinition) -> Upcoming<'a> {
        if let Some(awaits) = self.awaits() {
            return Upcoming::Receipt(awaits);
        }
        let step = self.step(definition);
        let medium = step.and_then(FollowUp::medium).unwrap_or(definition.channel.medium());
        Upcoming::Attempt { medium, step }
    }

    /// The message whose fate decides what comes next.
    pub fn awaits(&self) -> Option<AwaitedReceipt> {
        self.follow_up.as_ref()?.awaits
    }

    /// Whether the campaign's own attempts are over for the contact.
    pub fn is_in_follow_up(&self) -> bool {
        self.follow_up.as_ref().is_some_and(|progress| progress.step.is_some())
    }

    /// Why the contact is excluded when nothing further comes of the follow-ups, if it is.
    pub(crate) fn exclusion(&self) -> Option<Exclusion> {
        self.follow_up.as_ref()?.exclusion
    }

    /// Whether something follows, or is waited for, beyond the attempts under way.
    pub(crate) fn has_more(&self) -> bool {
        self.follow_up.as_ref().is_some_and(|progress| progress.pending != 0 || progress.awaits.is_some())
    }

    /// Which attempts of the step under way are made again.
    pub fn retry_plan<'a>(&self, definition: &'a CampaignDefinition) -> &'a RetryPlan {
        self.step(definition).map_or(&definition.retry, |step| &step.retry)
    }

    /// The outcome of a contact that can go no further, where the step under way would have led to `outcome`.
    pub fn outcome(&self, definition: &CampaignDefinition, outcome: Outcome) -> Outcome {
        let reached = self.follow_up.as_ref().and_then(|progress| progress.reached);
        let success = outcome == Outcome::Completed;
        match (self.step(definition).map(|step| &step.action), reached) {
            (Some(FollowUpAction::Speech(_)), _) if success => Outcome::FallbackDelivered,
            (Some(FollowUpAction::Speech(_)), _) => Outcome::FallbackFailed,
            // A voice that reached nobody is made good by a message that arrives.
            (Some(_), Some(Outcome::Exhausted)) if success => Outcome::Completed,
            (Some(_), Some(reached)) => reached,
            _ => outcome,
        }
    }

    pub(crate) fn follow_up_mut(&mut self) -> &mut FollowUpProgress {
        self.follow_up.get_or_insert_default()
    }
}
