//! P7: the journal alone leads to the state that the ledger tells.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    Aggregate, Call, CallId, Contact, ContactState, Disposition, Event, Exclusion, JournalEntry, Medium,
    Outcome,
};

use super::super::setting::CONTACTS;
use super::{Broken, require};

/// What follows from the journal.
pub(super) struct Replay {
    contacts: HashMap<Aggregate, Replayed>,
    calls: BTreeMap<CallId, Intended>,
}

/// The intent of an attempt, and its end.
pub(super) struct Intended {
    pub(super) at: DateTime<Utc>,
    pub(super) legal_until: DateTime<Utc>,
    medium: Medium,
    contact: Aggregate,
    ended: Option<(Disposition, DateTime<Utc>)>,
    actions: u32,
}

#[derive(Default)]
struct Replayed {
    sequence: u64,
    live: Option<CallId>,
    last: Option<Disposition>,
    settled: Option<(Outcome, Option<Exclusion>)>,
}

impl Replay {
    /// Goes through the journal. Fails where an entry cannot follow those before.
    pub(super) fn of(journal: &[JournalEntry]) -> Result<Self, Broken> {
        let mut replay = Self { contacts: HashMap::new(), calls: BTreeMap::new() };
        for entry in journal {
            replay.enter(entry)?;
        }
        Ok(replay)
    }

    fn enter(&mut self, entry: &JournalEntry) -> Result<(), Broken> {
        let contact = self.contacts.entry(entry.aggregate).or_default();
        contact.sequence += 1;
        require(entry.sequence == contact.sequence, || format!("P7: a gap in the journal before {entry:?}"))?;
        match &entry.event {
            Event::CallIntended { call_id, legal_until, medium, .. } => {
                require(contact.live.is_none(), || format!("P2: intended while another lives: {entry:?}"))?;
                require(contact.settled.is_none(), || format!("P5: intended after its end: {entry:?}"))?;
                contact.live = Some(*call_id);
                let (legal_until, medium, at) = (*legal_until, *medium, entry.at);
                let contact = entry.aggregate;
                let intended = Intended { at, legal_until, medium, contact, ended: None, actions: 0 };
                let twice = self.calls.insert(*call_id, intended).is_some();
                require(!twice, || format!("P2: intended twice: {entry:?}"))
            }
            Event::CallEnded { call_id, disposition, .. } => {
                require(contact.live == Some(*call_id), || format!("P5: ended, and not live: {entry:?}"))?;
                (contact.live, contact.last) = (None, Some(*disposition));
                self.call(*call_id, entry)?.ended = Some((*disposition, entry.at));
                Ok(())
            }
            Event::ContactSettled { outcome, exclusion, .. } => {
                require(contact.live.is_none(), || format!("P5: settled while a call lives: {entry:?}"))?;
                let twice = contact.settled.replace((*outcome, *exclusion)).is_some();
                require(!twice, || format!("P5: settled twice: {entry:?}"))
            }
            Event::ActionRequested { call_id, .. } => {
                let call = self.call(*call_id, entry)?;
                call.actions += 1;
                let once = call.actions <= 1;
                require(once, || format!("P4: an action takes effect twice: {entry:?}"))
            }
            Event::CallPlaced { call_id, .. }
            | Event::CallUnknown { call_id, .. }
            | Event::CallRepeated { call_id }
            | Event::CallRinging { call_id }
            | Event::CallAnswered { call_id, .. }
            | Event::OptedOut { call_id }
            | Event::MessageDelivery { call_id, .. }
            | Event::MessageReplied { call_id } => self.call(*call_id, entry).map(drop),
            _ => Ok(()),
        }
    }

    fn call(&mut self, id: CallId, entry: &JournalEntry) -> Result<&mut Intended, Broken> {
        let call = self.calls.get_mut(&id).filter(|call| call.contact == entry.aggregate);
        call.ok_or_else(|| Broken(format!("P7: about a call that was not intended: {entry:?}")))
    }

    pub(super) fn intended(&self, id: CallId) -> Option<&Intended> {
        self.calls.get(&id)
    }

    pub(super) fn intended_by(&self, medium: Medium) -> impl Iterator<Item = DateTime<Utc>> {
        self.calls.values().filter(move |call| call.medium == medium).map(|call| call.at)
    }

    pub(super) fn ended_at(&self, id: CallId) -> Option<DateTime<Utc>> {
        self.calls.get(&id)?.ended.map(|(_, at)| at)
    }

    /// Whether nothing was begun for a contact after this call.
    pub(super) fn is_last(&self, contact: &Contact, id: CallId) -> bool {
        let own = self.calls.iter().filter(|(_, call)| call.contact == Aggregate::Contact(contact.id));
        own.max_by_key(|(id, call)| (call.at, **id)).is_some_and(|(last, _)| *last == id)
    }

    /// Holds it against what the ledger tells.
    pub(super) fn check(&self, contacts: &[Contact], calls: &HashMap<CallId, Call>) -> Result<(), Broken> {
        for contact in contacts {
            let id = contact.id;
            let replayed = self.contacts.get(&Aggregate::Contact(id));
            let replayed = replayed.ok_or_else(|| Broken(format!("P7: {id} is not in the journal")))?;
            let status = &contact.status;
            let settled = match status.state {
                ContactState::Settled { outcome, exclusion, .. } => Some((outcome, exclusion)),
                _ => None,
            };
            require(settled == replayed.settled, || {
                format!("P7: {id} is settled as {settled:?}, by the journal as {:?}", replayed.settled)
            })?;
            require(status.last_disposition == replayed.last, || {
                format!("P7: {id} was {:?} last, by the journal {:?}", status.last_disposition, replayed.last)
            })?;
            require(status.sequence == replayed.sequence, || {
                format!("P7: {id} has {} entries, its status says {}", replayed.sequence, status.sequence)
            })?;
        }
        let settled = self.contacts.values().filter(|contact| contact.settled.is_some()).count() as u64;
        require(settled == CONTACTS, || format!("P7: {settled} outcomes are in the journal"))?;
        require(self.calls.len() == calls.len(), || {
            format!("P7: {} calls are in the journal, {} in the ledger", self.calls.len(), calls.len())
        })?;
        for (id, intended) in &self.calls {
            let told = calls.get(id).and_then(Call::disposition);
            let ended = intended.ended.map(|(disposition, _)| disposition);
            require(told == ended, || format!("P7: {id} is {told:?}, by the journal {ended:?}"))?;
        }
        Ok(())
    }
}
