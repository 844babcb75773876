//! What the verbs of the ledger are asked, and what they answer.

use chrono::{DateTime, Utc};

use crate::domain::{
    Call, CampaignId, Contact, ContactId, ContactStatus, E164, NodeId, OrgId, Outcome, RunId, RunState,
};
use crate::machine::CallInput;

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RunQuery {
    /// Of this organization.
    pub org_id: Option<OrgId>,
    /// Of this campaign.
    pub campaign_id: Option<CampaignId>,
    /// In one of these states; empty is any.
    pub states: Vec<RunState>,
    /// After this id.
    pub after: Option<RunId>,
    /// At most this many; 0 is no limit.
    pub limit: usize,
}

/// Which contacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactQuery {
    /// Of this run.
    pub run_id: RunId,
    /// With this number.
    pub number: Option<E164>,
    /// After this id.
    pub after: Option<ContactId>,
    /// At most this many.
    pub limit: usize,
}

/// What [`Ledger::settle_waiting`](super::Ledger::settle_waiting) is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettleWaiting {
    /// The run.
    pub run_id: RunId,
    /// The outcome they get.
    pub outcome: Outcome,
    /// The rule that decided, for the journal.
    pub rule: &'static str,
    /// Its finding, for the journal.
    pub reason: &'static str,
    /// When.
    pub now: DateTime<Utc>,
    /// At most this many contacts.
    pub limit: usize,
}

/// What [`Ledger::begin_calls`](super::Ledger::begin_calls) is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginCalls {
    /// The run.
    pub run_id: RunId,
    /// The organization of the run.
    pub org_id: OrgId,
    /// When.
    pub now: DateTime<Utc>,
    /// At most this many calls.
    pub calls_max: u32,
    /// At most this many contacts are looked at.
    pub contacts_max: u32,
    /// Live calls of the organization at once.
    pub organization_limit: u32,
    /// Live calls of the run at once.
    pub run_limit: Option<u32>,
}

/// What [`Ledger::begin_calls`](super::Ledger::begin_calls) did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Begun {
    /// Calls that may now be placed, with their contacts.
    pub calls: Vec<(Call, Contact)>,
    /// Contacts looked at.
    pub taken: u32,
    /// What kept it from looking at more; `None` if it may be asked again at once.
    pub limited: Option<Limited>,
}

/// What kept [`Ledger::begin_calls`](super::Ledger::begin_calls) from taking more contacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// No further contact is due.
    NothingDue,
    /// The run is not active.
    NotActive,
    /// `calls_max` or `contacts_max` is used up.
    Request,
    /// The organization or the run has as many live calls as it may.
    Concurrency,
}

/// What [`Ledger::apply_calls`](super::Ledger::apply_calls) is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplyCalls {
    /// The inputs, in the order in which they take effect.
    pub inputs: Vec<CallInput>,
    /// When.
    pub now: DateTime<Utc>,
    /// Keep updates of unknown calls in the inbox until this instant.
    pub keep_unmatched_until: Option<DateTime<Utc>>,
}

/// What became of an input.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied {
    /// It changed the call or its contact.
    Changed {
        /// The call as it is now.
        call: Box<Call>,
        /// The contact's status as it is now.
        status: ContactStatus,
    },
    /// It told nothing new.
    Unchanged,
    /// Its call is not known; kept in the inbox if asked for.
    Unmatched,
}

/// What [`Ledger::take_overdue`](super::Ledger::take_overdue) is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeOverdue {
    /// When.
    pub now: DateTime<Utc>,
    /// Who takes them.
    pub node: NodeId,
    /// Until when they are held.
    pub hold_until: DateTime<Utc>,
    /// At most this many.
    pub limit: usize,
}

/// What [`Ledger::take_inbox`](super::Ledger::take_inbox) and [`Ledger::take_outbox`](super::Ledger::take_outbox) are to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeItems {
    /// When.
    pub now: DateTime<Utc>,
    /// Until when they are held.
    pub hold_until: DateTime<Utc>,
    /// At most this many.
    pub limit: usize,
}
