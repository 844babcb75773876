//! What a verb decides about: loaded at once, changed in memory, written at once.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::{
    Applied, ApplyCalls, AttemptChange, Change, Decide, InboxItem, OutboxItem, Settle, SettleWaiting,
};
use crate::domain::{
    Aggregate, Call, CallId, Contact, ContactId, ContactState, E164, JournalEntry, Lease, ProviderName,
    RunId, RunTally, Suppression,
};
use crate::machine::{CallFact, withdraw};
use crate::policy::NumberFacts;
use crate::provider::{CallRef, CallUpdate};

/// For authors of stores: the contacts, calls and counts that one transaction decides about.
///
/// A store loads what a verb needs with a few statements over sets, gives it to a working set, asks
/// [`begin`](Self::begin), [`apply`](Self::apply), [`settle_waiting`](Self::settle_waiting) or
/// [`take_over`](Self::take_over), and writes what [`into_writes`](Self::into_writes) tells. Within a set every
/// decision sees the effect of those before, yet each row is written once, in its last state.
#[derive(Debug, Default)]
pub struct WorkingSet {
    // Boxed, for the maps move what they hold.
    contacts: foldhash::HashMap<ContactId, Box<HeldContact>>,
    calls: foldhash::HashMap<CallId, Box<HeldCall>>,
    references: foldhash::HashMap<(ProviderName, String), CallId>,
    tallies: BTreeMap<RunId, RunTally>,
    entries: Vec<JournalEntry>,
    attempts: Vec<(Call, AttemptChange)>,
    suppressions: Vec<Suppression>,
    outbox: Vec<OutboxItem>,
    inbox: Vec<InboxItem>,
}

#[derive(Debug)]
struct HeldContact {
    now: Contact,
    stored: ContactState,
    changed: bool,
}

#[derive(Debug)]
struct HeldCall {
    now: Call,
    stored: Option<Stored>,
    changed: bool,
}

/// What the indexes of a store say of a call.
#[derive(Debug, Clone, PartialEq)]
struct Stored {
    live: bool,
    check_at: Option<DateTime<Utc>>,
    reference: Option<String>,
}

impl Stored {
    fn of(call: &Call) -> Self {
        Self { live: call.is_live(), check_at: call.check_at, reference: call.provider_ref.clone() }
    }
}

impl WorkingSet {
    /// Takes a contact as it is stored.
    pub fn hold_contact(&mut self, contact: Contact) {
        let (id, stored) = (contact.id, contact.status.state);
        let held = || Box::new(HeldContact { now: contact, stored, changed: false });
        self.contacts.entry(id).or_insert_with(held);
    }

    /// Takes a call as it is stored.
    pub fn hold_call(&mut self, call: Call) {
        self.refer(&call);
        let id = call.id;
        let held = || Box::new(HeldCall { stored: Some(Stored::of(&call)), now: call, changed: false });
        self.calls.entry(id).or_insert_with(held);
    }

    /// Takes the counts of a run as they are stored.
    pub fn hold_tally(&mut self, run_id: RunId, tally: RunTally) {
        self.tallies.insert(run_id, tally);
    }

    /// A contact as it is now.
    pub fn contact(&self, id: ContactId) -> Option<&Contact> {
        self.contacts.get(&id).map(|held| &held.now)
    }

    /// The call that is meant, with its contact, as they are now.
    pub fn find(&self, call: &CallRef) -> Option<(&Call, &Contact)> {
        let id = match call {
            CallRef::Id(id) => id,
            CallRef::Provider { provider, reference } => {
                self.references.get(&(provider.clone(), reference.clone()))?
            }
        };
        let call = &self.calls.get(id)?.now;
        Some((call, self.contact(call.contact_id)?))
    }

    /// Decides about due contacts in their order, with the facts about their numbers, as
    /// [`Ledger::begin_calls`](super::Ledger::begin_calls) does; `facts` learn from each decision. Returns the calls
    /// that begin with their contacts.
    pub fn begin(
        &mut self,
        due: Vec<Contact>,
        facts: &mut HashMap<E164, NumberFacts>,
        decide: &Decide<'_>,
    ) -> Vec<(Call, Contact)> {
        let mut begun = Vec::with_capacity(due.len());
        for contact in due {
            let (id, facts) = (contact.id, facts.entry(contact.number).or_default());
            let change = decide(&contact, facts);
            facts.learn(&change);
            let call = change.call.clone();
            self.hold_contact(contact);
            self.commit(id, change);
            if let (Some(call), Some(contact)) = (call, self.contact(id)) {
                begun.push((*call, contact.clone()));
            }
        }
        begun
    }

    /// Applies inputs in their order, as [`Ledger::apply_calls`](super::Ledger::apply_calls) does. What was not
    /// loaded is unmatched.
    pub fn apply(&mut self, request: ApplyCalls, settle: &Settle<'_>) -> Vec<Applied> {
        let mut applied = Vec::with_capacity(request.inputs.len());
        for input in request.inputs {
            let Some((call, contact)) = self.find(&input.call) else {
                applied.push(Applied::Unmatched);
                if let (Some(expires_at), CallFact::Told { event, at }) =
                    (request.keep_unmatched_until, input.fact)
                {
                    let update = CallUpdate { call: input.call, at, event };
                    self.inbox.push(InboxItem::unmatched(update, request.now, expires_at));
                }
                continue;
            };
            let Some(change) = settle(contact, call, &input) else {
                applied.push(Applied::Unchanged);
                continue;
            };
            let id = contact.id;
            let call = change.call.clone().unwrap_or_else(|| Box::new(call.clone()));
            applied.push(Applied::Changed { call, status: change.status.clone() });
            self.commit(id, change);
        }
        applied
    }

    /// Settles waiting contacts, as [`Ledger::settle_waiting`](super::Ledger::settle_waiting) does.
    pub fn settle_waiting(&mut self, waiting: Vec<Contact>, request: &SettleWaiting) {
        for contact in waiting {
            let change = withdraw(&contact, request.outcome, request.rule, request.reason, request.now);
            let id = contact.id;
            self.hold_contact(contact);
            self.commit(id, change);
        }
    }

    /// Gives overdue calls to a new holder, as [`Ledger::take_overdue`](super::Ledger::take_overdue) does. Returns
    /// them as they are now, the longest overdue first.
    pub fn take_over(&mut self, overdue: Vec<Call>, request: &super::TakeOverdue) -> Vec<Call> {
        let mut overdue = overdue;
        overdue.sort_by_key(|call| (call.check_at, call.id));
        for call in &mut overdue {
            self.hold_call(call.clone());
            call.lease = Lease { node: request.node, token: call.lease.token + 1, until: request.hold_until };
            call.check_at = Some(request.hold_until);
            self.put_call(call.clone());
        }
        overdue
    }

    /// Applies a change of a contact, which must have been taken, and its call.
    pub fn commit(&mut self, contact_id: ContactId, change: Change) {
        let Some(contact) = self.contacts.get_mut(&contact_id) else { return };
        let call_before =
            change.call.as_ref().and_then(|call| self.calls.get(&call.id)).map(|held| &held.now);
        let tally = self.tallies.entry(contact.now.run_id).or_default();
        change.count(&contact.now, call_before, tally);

        let (org_id, aggregate) = (contact.now.org_id, Aggregate::Contact(contact_id));
        let first = contact.now.status.sequence + 1;
        let entries = (first..).zip(change.events);
        self.entries.extend(entries.map(|(sequence, event)| JournalEntry {
            org_id,
            aggregate,
            sequence,
            at: change.at,
            event,
        }));
        contact.now.status = change.status;
        contact.changed = true;
        if let Some(call) = change.call {
            self.attempts.extend(change.attempt.map(|attempt| (Call::clone(&call), attempt)));
            self.put_call(*call);
        }
        self.suppressions.extend(change.suppress);
        self.outbox.extend(change.outbox);
    }

    fn put_call(&mut self, call: Call) {
        self.refer(&call);
        match self.calls.entry(call.id) {
            Entry::Occupied(held) => {
                let held = held.into_mut();
                (held.now, held.changed) = (call, true);
            }
            Entry::Vacant(place) => {
                place.insert(Box::new(HeldCall { now: call, stored: None, changed: true }));
            }
        }
    }

    fn refer(&mut self, call: &Call) {
        if let Some(reference) = &call.provider_ref {
            self.references.insert((call.provider.clone(), reference.clone()), call.id);
        }
    }

    /// Everything that is to be written, all or nothing.
    pub fn into_writes(self) -> Writes {
        let mut contacts: Vec<_> = self.contacts.into_values().filter(|held| held.changed).collect();
        contacts.sort_unstable_by_key(|held| held.now.id);
        let mut calls: Vec<_> = self.calls.into_values().filter(|held| held.changed).collect();
        calls.sort_unstable_by_key(|held| held.now.id);
        let contact = |held: Box<HeldContact>| ContactWrite { contact: held.now, before: held.stored };
        let call = |held: Box<HeldCall>| CallWrite { call: held.now, stored: held.stored };
        Writes {
            contacts: contacts.into_iter().map(contact).collect(),
            calls: calls.into_iter().map(call).collect(),
            tallies: self.tallies,
            attempts: self.attempts,
            suppressions: self.suppressions,
            outbox: self.outbox,
            inbox: self.inbox,
            entries: self.entries,
        }
    }
}

/// What a transaction writes. Rows come in the order of their ids, so that those who lock them in this order do not
/// wait for each other in a circle.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Writes {
    /// Contacts whose status changed.
    pub contacts: Vec<ContactWrite>,
    /// Calls that are new or changed.
    pub calls: Vec<CallWrite>,
    /// The counts of all runs concerned, also those that were only held.
    pub tallies: BTreeMap<RunId, RunTally>,
    /// What changes about attempts, in order.
    pub attempts: Vec<(Call, AttemptChange)>,
    /// Entries for the suppression list, to be [merged](Suppression::merged_with) with known ones.
    pub suppressions: Vec<Suppression>,
    /// Actions to be carried out since [`OutboxItem::created_at`].
    pub outbox: Vec<OutboxItem>,
    /// Updates of unknown calls, to be kept once each and tried since [`InboxItem::received_at`].
    pub inbox: Vec<InboxItem>,
    /// Entries for the journal, those of one aggregate in order.
    pub entries: Vec<JournalEntry>,
}

/// A contact whose status is written.
#[derive(Debug)]
#[non_exhaustive]
pub struct ContactWrite {
    /// The contact with its new status.
    pub contact: Contact,
    /// Its state as it is stored.
    pub before: ContactState,
}

impl ContactWrite {
    /// When it was due, if it does not wait for that instant any more.
    pub fn left_due(&self) -> Option<DateTime<Utc>> {
        self.before.due_at().filter(|_| self.before != self.contact.status.state)
    }

    /// When it is due, if it did not wait for that instant before.
    pub fn entered_due(&self) -> Option<DateTime<Utc>> {
        self.contact.status.state.due_at().filter(|_| self.before != self.contact.status.state)
    }
}

/// A call that is written.
#[derive(Debug)]
#[non_exhaustive]
pub struct CallWrite {
    /// The call as it is now.
    pub call: Call,
    stored: Option<Stored>,
}

impl CallWrite {
    /// Whether the store does not have it yet.
    pub fn is_new(&self) -> bool {
        self.stored.is_none()
    }

    /// Whether it takes a slot that it does not hold yet.
    pub fn began(&self) -> bool {
        self.call.is_live() && !self.was_live()
    }

    /// Whether it gives back the slot that it holds.
    pub fn ended(&self) -> bool {
        !self.call.is_live() && self.was_live()
    }

    fn was_live(&self) -> bool {
        self.stored.as_ref().is_some_and(|stored| stored.live)
    }

    /// Whether [`Call::check_at`] changes.
    pub fn check_changed(&self) -> bool {
        self.check_before() != self.call.check_at
    }

    /// [`Call::check_at`] as it is stored.
    pub fn check_before(&self) -> Option<DateTime<Utc>> {
        self.stored.as_ref().and_then(|stored| stored.check_at)
    }

    /// The provider's id of the call, if it is not stored yet.
    pub fn new_reference(&self) -> Option<&str> {
        let before = self.stored.as_ref().and_then(|stored| stored.reference.as_deref());
        self.call.provider_ref.as_deref().filter(|reference| Some(*reference) != before)
    }
}
