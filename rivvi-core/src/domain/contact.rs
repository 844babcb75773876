//! One row of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::disposition::{Disposition, Outcome};
use super::ids::{CallId, ContactId, OrgId, RunId};
use super::person::PersonFields;
use super::personal::Personal;
use super::phone::E164;
use crate::policy::follow_up::PlanProgress;
use crate::policy::zone::ResolvedZones;

/// One row of a run: whom to reach and where that stands.
///
/// Everything but [`status`](Self::status) is fixed at import.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Contact {
    /// Its id.
    pub id: ContactId,
    /// The run it belongs to.
    pub run_id: RunId,
    /// The organization of the run.
    pub org_id: OrgId,
    /// The row of the sheet, counted from 1 as a spreadsheet shows it.
    pub row: u64,
    /// The number to contact.
    pub number: E164,
    /// What is known of the person.
    pub person: PersonFields,
    /// Every zone the callee may be in.
    pub zones: ResolvedZones,
    /// Who goes first.
    pub priority: Priority,
    /// The host's own key of the row, if the sheet has one.
    pub external_id: Option<Personal<String>>,
    /// Every column of the sheet, in its exact text.
    pub variables: Personal<Arc<BTreeMap<String, String>>>,
    /// Where it stands.
    pub status: ContactStatus,
}

impl Contact {
    /// A new contact of `run_id`, waiting since `due_at`.
    pub fn new(
        run_id: RunId,
        org_id: OrgId,
        row: u64,
        number: E164,
        zones: ResolvedZones,
        due_at: DateTime<Utc>,
    ) -> Self {
        Self {
            id: ContactId::of_row(run_id, row),
            run_id,
            org_id,
            row,
            number,
            person: PersonFields::default(),
            zones,
            priority: Priority::default(),
            external_id: None,
            variables: Personal::default(),
            status: ContactStatus::new(due_at),
        }
    }
}

/// The part of a contact that changes: small, so that a store rewrites little.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContactStatus {
    /// The state.
    pub state: ContactState,
    /// Calls and text messages of this run that may have reached the phone.
    pub attempts: u32,
    /// How far it has come in the plan of its campaign.
    #[serde(default)]
    pub plan: PlanProgress,
    /// Calls in a row that nobody could have answered: proved not to have been placed, or ended by us before.
    pub not_placed: u32,
    /// How the last call ended.
    pub last_disposition: Option<Disposition>,
    /// Journal entries written for this contact; the next entry gets this number plus one.
    pub sequence: u64,
}

impl ContactStatus {
    /// The status of a contact that waits since `due_at` and was never called.
    pub fn new(due_at: DateTime<Utc>) -> Self {
        Self {
            state: ContactState::Waiting { due_at },
            attempts: 0,
            plan: PlanProgress::default(),
            not_placed: 0,
            last_disposition: None,
            sequence: 0,
        }
    }
}

/// The states of a contact: waiting and calling alternate until it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum ContactState {
    /// Nothing happens before `due_at`.
    Waiting {
        /// The next instant at which contacting may be legal.
        due_at: DateTime<Utc>,
    },
    /// A call is intended or under way.
    Calling {
        /// The live call.
        call_id: CallId,
    },
    /// Ended for good.
    Settled {
        /// How.
        outcome: Outcome,
        /// The reason, when the outcome is [`Outcome::Excluded`].
        exclusion: Option<Exclusion>,
        /// When.
        at: DateTime<Utc>,
    },
}

impl ContactState {
    /// The instant it waits for, if it waits.
    pub const fn due_at(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Waiting { due_at } => Some(*due_at),
            _ => None,
        }
    }
}

/// Why a contact is never to be contacted in its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Exclusion {
    /// The number is on the suppression list for good.
    Suppressed,
    /// No zone is known, and the policy fails closed.
    UnknownZone,
    /// No instant is legal in all the zones the callee may be in.
    NoLegalInstant,
    /// The cap on attempts was used up before this run.
    Cap,
    /// The provider says that the number does not exist or cannot be called.
    InvalidNumber,
    /// A rule of the host refused.
    HostRule,
    /// The number cannot receive text messages, and nothing else is planned.
    NoSms,
}

impl Exclusion {
    /// Every exclusion, in the order of declaration.
    pub const ALL: [Self; 7] = [
        Self::Suppressed,
        Self::UnknownZone,
        Self::NoLegalInstant,
        Self::Cap,
        Self::InvalidNumber,
        Self::HostRule,
        Self::NoSms,
    ];

    /// The name used in reports and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suppressed => "suppressed",
            Self::UnknownZone => "unknown_zone",
            Self::NoLegalInstant => "no_legal_instant",
            Self::Cap => "cap",
            Self::InvalidNumber => "invalid_number",
            Self::HostRule => "host_rule",
            Self::NoSms => "no_sms",
        }
    }
}

/// Who goes first among contacts that are due: 1 (first) to 5 (last), 3 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// First of all.
    pub const FIRST: Self = Self(1);
    /// Last of all.
    pub const LAST: Self = Self(5);
    /// Every priority, first to last.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// The priority, if it is 1 to 5.
    pub const fn new(level: u8) -> Option<Self> {
        if level >= 1 && level <= 5 { Some(Self(level)) } else { None }
    }

    /// 1 to 5.
    pub const fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(3)
    }
}

impl TryFrom<u8> for Priority {
    type Error = &'static str;

    fn try_from(level: u8) -> Result<Self, Self::Error> {
        Self::new(level).ok_or("expected a priority from 1 (first) to 5 (last)")
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}
