//! What the store holds, and how a change is committed to it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use foldhash::HashMap;

use super::journal::Journal;
use crate::domain::{
    Aggregate, Call, CallId, Campaign, CampaignId, Contact, ContactId, E164, Event, ItemId, JournalEntry,
    OrgId, Organization, Person, PersonId, Priority, ProviderName, Run, RunId, RunTally, Suppression,
};
use crate::policy::NumberFacts;
use crate::provider::CallRef;
use crate::storage::{
    ArchivedCall, AttemptChange, CampaignContext, Change, DeadLetter, InboxItem, JournalCursor, OutboxItem,
    Report,
};

/// Waiting contacts of one priority, by due time.
type Level = BTreeSet<(DateTime<Utc>, ContactId)>;

/// Attempts at a number, oldest first.
type Attempts = Vec<(DateTime<Utc>, CallId)>;

/// Everything the store holds. Indexes are derived from the calls and contacts and kept by [`State::commit`].
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) organizations: BTreeMap<OrgId, Organization>,
    pub(super) campaigns: BTreeMap<CampaignId, BTreeMap<u32, Campaign>>,

    pub(super) runs: BTreeMap<RunId, Run>,
    pub(super) run_keys: HashMap<(CampaignId, String), RunId>,
    pub(super) tallies: HashMap<RunId, RunTally>,

    pub(super) contacts: HashMap<ContactId, Contact>,
    /// Those of a run in the order of their rows.
    pub(super) contact_ids: BTreeSet<ContactId>,
    /// Waiting contacts, narrow: by run and priority, then by due time.
    pub(super) due: HashMap<RunId, BTreeMap<Priority, Level>>,

    /// Boxed, for the map moves what it holds.
    pub(super) calls: HashMap<CallId, Box<Call>>,
    pub(super) calls_of: HashMap<ContactId, Vec<CallId>>,
    pub(super) references: HashMap<(ProviderName, String), CallId>,
    pub(super) live_of_org: HashMap<OrgId, u32>,
    pub(super) live_of_run: BTreeMap<RunId, BTreeSet<CallId>>,
    pub(super) live_of_number: HashMap<(OrgId, E164), CallId>,
    pub(super) checks: BTreeSet<(DateTime<Utc>, CallId)>,
    pub(super) attempts: HashMap<(OrgId, E164), Attempts>,

    pub(super) suppressions: BTreeMap<(OrgId, E164), Suppression>,
    pub(super) inbox: BTreeMap<ItemId, (DateTime<Utc>, InboxItem)>,
    pub(super) outbox: BTreeMap<ItemId, (DateTime<Utc>, OutboxItem)>,
    pub(super) dead: BTreeMap<ItemId, DeadLetter>,
    pub(super) journal: Journal,
    pub(super) cursors: HashMap<String, JournalCursor>,

    pub(super) people: HashMap<(OrgId, String), Person>,
    pub(super) archived_calls: BTreeMap<(RunId, CallId), ArchivedCall>,
    pub(super) reports: HashMap<RunId, Report>,
    pub(super) contexts: BTreeMap<(CampaignId, PersonId), CampaignContext>,
}

impl State {
    /// Commits a change of a contact and its call, with everything that hangs on it.
    pub(super) fn commit(&mut self, contact_id: ContactId, change: Change) {
        let Some(contact) = self.contacts.get_mut(&contact_id) else { return };
        let call_before = change.call.as_ref().and_then(|call| self.calls.get(&call.id).map(Box::as_ref));
        let tally = self.tallies.entry(contact.run_id).or_default();
        change.count(contact, call_before, tally);

        let (org_id, before) = (contact.org_id, std::mem::replace(&mut contact.status, change.status));
        let (due_before, due_at) = (before.state.due_at(), contact.status.state.due_at());
        if due_before != due_at {
            let due = self.due.entry(contact.run_id).or_default().entry(contact.priority).or_default();
            if let Some(due_at) = due_before {
                due.remove(&(due_at, contact_id));
            }
            if let Some(due_at) = due_at {
                due.insert((due_at, contact_id));
            }
        }
        let first = before.sequence + 1;
        self.append(org_id, Aggregate::Contact(contact_id), first, change.at, change.events);
        if let Some(call) = change.call {
            if let Some(attempt) = change.attempt {
                self.commit_attempt(&call, attempt);
            }
            self.put_call(call);
        }
        if let Some(suppression) = change.suppress {
            self.put_suppression(suppression);
        }
        for item in change.outbox {
            self.outbox.insert(item.id, (item.created_at, item));
        }
    }

    pub(super) fn due_of(&mut self, contact: &Contact) -> &mut Level {
        self.due.entry(contact.run_id).or_default().entry(contact.priority).or_default()
    }

    /// The first contact of a run that is due.
    pub(super) fn first_due(&self, run_id: RunId, now: DateTime<Utc>) -> Option<ContactId> {
        let levels = self.due.get(&run_id)?.values();
        levels.filter_map(BTreeSet::first).find(|(due_at, _)| *due_at <= now).map(|(_, contact)| *contact)
    }

    /// Adds a call, or replaces the one with its id.
    pub(super) fn put_call(&mut self, call: Box<Call>) {
        if let Some(reference) = &call.provider_ref {
            self.references.insert((call.provider.clone(), reference.clone()), call.id);
        }
        let (id, org_id, run_id, number) = (call.id, call.org_id, call.run_id, call.number);
        let (contact_id, check_at, is_live) = (call.contact_id, call.check_at, call.is_live());
        let before = self.calls.insert(id, call);
        if before.is_none() {
            self.calls_of.entry(contact_id).or_default().push(id);
        }
        let check_before = before.as_ref().and_then(|before| before.check_at);
        if check_before != check_at {
            if let Some(at) = check_before {
                self.checks.remove(&(at, id));
            }
            if let Some(at) = check_at {
                self.checks.insert((at, id));
            }
        }
        match (before.is_some_and(|before| before.is_live()), is_live) {
            (false, true) => {
                *self.live_of_org.entry(org_id).or_default() += 1;
                self.live_of_run.entry(run_id).or_default().insert(id);
                self.live_of_number.insert((org_id, number), id);
            }
            (true, false) => {
                if let Some(count) = self.live_of_org.get_mut(&org_id) {
                    *count = count.saturating_sub(1);
                }
                self.live_of_run.entry(run_id).or_default().remove(&id);
                self.live_of_number.remove(&(org_id, number));
            }
            _ => {}
        }
    }

    fn commit_attempt(&mut self, call: &Call, change: AttemptChange) {
        let attempts = self.attempts.entry((call.org_id, call.number)).or_default();
        match change {
            AttemptChange::Add(at) => {
                let place = attempts.partition_point(|(earlier, _)| *earlier <= at);
                attempts.insert(place, (at, call.id));
            }
            AttemptChange::Remove => attempts.retain(|(_, id)| *id != call.id),
        }
    }

    pub(super) fn put_suppression(&mut self, entry: Suppression) {
        let key = (entry.org_id, entry.number);
        let known = self.suppressions.get(&key);
        let merged = known.map_or_else(|| entry.clone(), |known| known.merged_with(&entry));
        self.suppressions.insert(key, merged);
    }

    pub(super) fn number_facts(&self, org_id: OrgId, number: E164) -> NumberFacts {
        let key = (org_id, number);
        let attempts = self.attempts.get(&key).map(|attempts| attempts.iter().map(|(at, _)| *at).collect());
        NumberFacts {
            attempts: attempts.unwrap_or_default(),
            live_call: self.live_of_number.get(&key).copied(),
            suppression: self.suppressions.get(&key).cloned(),
        }
    }

    pub(super) fn find_call(&self, call: &CallRef) -> Option<&Call> {
        let id = match call {
            CallRef::Id(id) => id,
            CallRef::Provider { provider, reference } => {
                self.references.get(&(provider.clone(), reference.clone()))?
            }
        };
        self.calls.get(id).map(Box::as_ref)
    }

    /// Appends entries of an aggregate, the first with sequence number `first`.
    pub(super) fn append(
        &mut self,
        org_id: OrgId,
        aggregate: Aggregate,
        first: u64,
        at: DateTime<Utc>,
        events: Vec<Event>,
    ) {
        let entries = (first..).zip(events);
        let entry = |(sequence, event)| JournalEntry { org_id, aggregate, sequence, at, event };
        self.journal.append(aggregate, entries.map(entry));
    }
}
