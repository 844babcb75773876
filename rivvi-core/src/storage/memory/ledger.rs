//! The ledger in memory.

use std::ops::Bound;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::MemoryStorage;
use super::state::State;
use crate::domain::{
    Aggregate, Call, CallId, Contact, ContactId, ContactState, E164, Event, ItemId, JournalEntry, Lease,
    OrgId, Run, RunId, RunState, RunTally, Suppression,
};
use crate::machine::{CallFact, CallInput, withdraw};
use crate::policy::NumberFacts;
use crate::provider::CallUpdate;
use crate::storage::{
    Applied, ApplyCalls, BeginCalls, Begun, ChangeRun, ContactQuery, DeadLetter, Decide, InboxItem,
    JournalCursor, JournalPage, Ledger, Limited, OutboxItem, RunFacts, RunQuery, Settle, SettleWaiting,
    StorageError, StorageErrorKind, TakeItems, TakeOverdue, campaigns_only,
};

#[async_trait]
impl Ledger for MemoryStorage {
    async fn create_run(&self, run: Run) -> Result<Run, StorageError> {
        let mut state = self.state();
        let key = (run.campaign_id, run.key.clone());
        if let Some(known) = state.run_keys.get(&key).and_then(|id| state.runs.get(id)) {
            return Ok(known.clone());
        }
        let run = Run { sequence: 1, ..run };
        let (aggregate, at) = (Aggregate::Run(run.id), run.created_at);
        state.append(run.org_id, aggregate, 1, at, vec![Event::RunCreated]);
        state.run_keys.insert(key, run.id);
        state.tallies.insert(run.id, RunTally::default());
        state.runs.insert(run.id, run.clone());
        Ok(run)
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, StorageError> {
        Ok(self.state().runs.get(&id).cloned())
    }

    async fn runs(&self, query: RunQuery) -> Result<Vec<Run>, StorageError> {
        let state = self.state();
        let matching = state.runs.values().filter(|run| {
            query.org_id.is_none_or(|id| run.org_id == id)
                && query.campaign_id.is_none_or(|id| run.campaign_id == id)
                && (query.states.is_empty() || query.states.contains(&run.state))
                && query.after.is_none_or(|after| run.id > after)
        });
        let limit = if query.limit == 0 { usize::MAX } else { query.limit };
        Ok(matching.take(limit).cloned().collect())
    }

    async fn change_run(&self, id: RunId, change: &ChangeRun<'_>) -> Result<Run, StorageError> {
        let mut state = self.state();
        let Some(run) = state.runs.get(&id) else { return Err(not_found("change_run", "run", id)) };
        let others = state.runs.values().filter(|other| other.org_id == run.org_id && other.id != id);
        let facts = RunFacts {
            others_running: others.filter(|other| other.state.is_running()).count() as u32,
            tally: state.tallies.get(&id).cloned().unwrap_or_default(),
        };
        let changed = change(run, &facts)?;
        let first = run.sequence + 1;
        state.append(changed.run.org_id, Aggregate::Run(id), first, changed.at, changed.events);
        state.runs.insert(id, changed.run.clone());
        Ok(changed.run)
    }

    async fn purge_run(&self, id: RunId, limit: usize) -> Result<u64, StorageError> {
        let mut state = self.state();
        if !state.runs.get(&id).is_some_and(|run| run.state.is_done()) {
            return Ok(0);
        }
        let ids: Vec<ContactId> = of_run(&state, id, None).take(limit).map(|contact| contact.id).collect();
        for contact_id in &ids {
            state.contacts.remove(contact_id);
            state.contact_ids.remove(contact_id);
            for call_id in state.calls_of.remove(contact_id).unwrap_or_default() {
                let call = state.calls.remove(&call_id);
                if let Some((provider, reference)) = call.and_then(|c| Some((c.provider, c.provider_ref?))) {
                    state.references.remove(&(provider, reference));
                }
            }
        }
        state.due.remove(&id);
        Ok(ids.len() as u64)
    }

    async fn add_contacts(&self, contacts: Vec<Contact>, now: DateTime<Utc>) -> Result<u64, StorageError> {
        let mut state = self.state();
        if let Some(contact) = contacts.iter().find(|contact| !state.runs.contains_key(&contact.run_id)) {
            return Err(not_found("add_contacts", "run", contact.run_id));
        }
        if contacts.iter().any(|contact| state.runs[&contact.run_id].state.is_final()) {
            let context = "the run is over and takes no contacts";
            return Err(StorageError::new(StorageErrorKind::Refused, "add_contacts", context));
        }
        let mut added = 0;
        for mut contact in contacts {
            if state.contacts.contains_key(&contact.id) {
                continue;
            }
            contact.status.sequence = 1;
            let event = vec![Event::ContactImported { row: contact.row }];
            state.append(contact.org_id, Aggregate::Contact(contact.id), 1, now, event);
            state.tallies.entry(contact.run_id).or_default().enter(&contact.status.state);
            if let ContactState::Waiting { due_at } = contact.status.state {
                state.due_of(&contact).insert((due_at, contact.id));
            }
            state.contact_ids.insert(contact.id);
            state.contacts.insert(contact.id, contact);
            added += 1;
        }
        Ok(added)
    }

    async fn contact(&self, id: ContactId) -> Result<Option<Contact>, StorageError> {
        Ok(self.state().contacts.get(&id).cloned())
    }

    async fn contacts(&self, query: ContactQuery) -> Result<Vec<Contact>, StorageError> {
        let state = self.state();
        let of_run = of_run(&state, query.run_id, query.after);
        let matching = of_run.filter(|contact| query.number.is_none_or(|number| contact.number == number));
        Ok(matching.take(query.limit).cloned().collect())
    }

    async fn tally(&self, run_id: RunId) -> Result<RunTally, StorageError> {
        self.state().tallies.get(&run_id).cloned().ok_or_else(|| not_found("tally", "run", run_id))
    }

    async fn settle_waiting(&self, request: SettleWaiting) -> Result<u64, StorageError> {
        let mut state = self.state();
        if state.runs.get(&request.run_id).is_none_or(|run| run.state != RunState::Completing) {
            return Ok(0);
        }
        let levels = state.due.get(&request.run_id).into_iter().flat_map(|levels| levels.values());
        let ids: Vec<ContactId> = levels.flatten().map(|(_, id)| *id).take(request.limit).collect();
        for id in &ids {
            let Some(contact) = state.contacts.get(id) else { continue };
            let change = withdraw(contact, request.outcome, request.rule, request.reason, request.now);
            state.commit(*id, change);
        }
        Ok(ids.len() as u64)
    }

    async fn begin_calls(&self, request: BeginCalls, decide: &Decide<'_>) -> Result<Begun, StorageError> {
        let mut state = self.state();
        let limited = |limited| Ok(Begun { limited: Some(limited), ..Begun::default() });
        if state.runs.get(&request.run_id).is_none_or(|run| run.state != RunState::Active) {
            return limited(Limited::NotActive);
        }
        let live_of_org = state.live_of_org.get(&request.org_id).copied().unwrap_or(0);
        let live_of_run = state.live_of_run.get(&request.run_id).map_or(0, |live| live.len() as u32);
        let free = request
            .organization_limit
            .saturating_sub(live_of_org)
            .min(request.run_limit.map_or(u32::MAX, |limit| limit.saturating_sub(live_of_run)));
        if free == 0 {
            return limited(Limited::Concurrency);
        }
        let mut begun = Begun::default();
        let reason = loop {
            let calls = begun.calls.len() as u32;
            if calls == free {
                break Limited::Concurrency;
            }
            if calls == request.calls_max || begun.taken == request.contacts_max {
                break Limited::Request;
            }
            let Some(id) = state.first_due(request.run_id, request.now) else { break Limited::NothingDue };
            let Some(contact) = state.contacts.get(&id) else { break Limited::NothingDue };
            let change = decide(contact, &state.number_facts(contact.org_id, contact.number));
            let call_id = change.call.as_ref().map(|call| call.id);
            state.commit(id, change);
            begun.taken += 1;
            let call = call_id.and_then(|id| state.calls.get(&id));
            if let (Some(call), Some(contact)) = (call, state.contacts.get(&id)) {
                begun.calls.push((Call::clone(call), contact.clone()));
            }
        };
        begun.limited = Some(reason);
        Ok(begun)
    }

    async fn apply_calls(
        &self,
        request: ApplyCalls,
        settle: &Settle<'_>,
    ) -> Result<Vec<Applied>, StorageError> {
        let mut state = self.state();
        let mut applied = Vec::with_capacity(request.inputs.len());
        for input in request.inputs {
            applied.push(apply(&mut state, input, request.now, request.keep_unmatched_until, settle));
        }
        Ok(applied)
    }

    async fn take_overdue(&self, request: TakeOverdue) -> Result<Vec<Call>, StorageError> {
        let mut state = self.state();
        let overdue = state.checks.iter().take_while(|(at, _)| *at <= request.now).take(request.limit);
        let ids: Vec<CallId> = overdue.map(|(_, id)| *id).collect();
        Ok(ids
            .into_iter()
            .filter_map(|id| {
                let mut call = Call::clone(state.calls.get(&id)?);
                call.lease =
                    Lease { node: request.node, token: call.lease.token + 1, until: request.hold_until };
                call.check_at = Some(request.hold_until);
                state.put_call(Box::new(call.clone()));
                Some(call)
            })
            .collect())
    }

    async fn call(&self, id: CallId) -> Result<Option<Call>, StorageError> {
        Ok(self.state().calls.get(&id).map(|call| Call::clone(call)))
    }

    async fn calls_of(&self, contacts: &[ContactId]) -> Result<Vec<Call>, StorageError> {
        let state = self.state();
        let ids = contacts.iter().filter_map(|contact| state.calls_of.get(contact)).flatten();
        Ok(ids.filter_map(|id| state.calls.get(id)).map(|call| Call::clone(call)).collect())
    }

    async fn live_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<Call>, StorageError> {
        let state = self.state();
        let live = state.live_of_run.get(&run_id).into_iter().flatten();
        let later = live.filter(|id| after.is_none_or(|after| **id > after));
        Ok(later.take(limit).filter_map(|id| state.calls.get(id)).map(|call| Call::clone(call)).collect())
    }

    async fn number_facts(
        &self,
        org_id: OrgId,
        number: E164,
        _now: DateTime<Utc>,
    ) -> Result<NumberFacts, StorageError> {
        Ok(self.state().number_facts(org_id, number))
    }

    async fn next_due(&self, runs: &[RunId]) -> Result<Option<DateTime<Utc>>, StorageError> {
        let state = self.state();
        let levels = runs.iter().filter_map(|run| state.due.get(run)).flat_map(|levels| levels.values());
        let contacts = levels.filter_map(|level| level.first()).map(|(at, _)| *at);
        let calls = state.checks.first().map(|(at, _)| *at);
        let inbox = state.inbox.values().map(|(at, _)| *at).min();
        let outbox = state.outbox.values().map(|(at, _)| *at).min();
        Ok(contacts.chain(calls).chain(inbox).chain(outbox).min())
    }

    async fn suppress(&self, entries: Vec<Suppression>) -> Result<Vec<CallId>, StorageError> {
        let mut state = self.state();
        let mut live = Vec::new();
        for entry in entries {
            let (org_id, at) = (entry.org_id, entry.added_at);
            live.extend(state.live_of_number.get(&(org_id, entry.number)));
            state.put_suppression(entry.clone());
            append_to_organization(&mut state, org_id, at, Event::NumberSuppressed { suppression: entry });
        }
        Ok(live)
    }

    async fn release(&self, org_id: OrgId, number: E164, now: DateTime<Utc>) -> Result<bool, StorageError> {
        let mut state = self.state();
        let known = state.suppressions.remove(&(org_id, number)).is_some();
        if known {
            append_to_organization(&mut state, org_id, now, Event::NumberReleased { number });
        }
        Ok(known)
    }

    async fn suppressions(
        &self,
        org_id: OrgId,
        after: Option<E164>,
        limit: usize,
    ) -> Result<Vec<Suppression>, StorageError> {
        let state = self.state();
        let of_org = state.suppressions.values().filter(|entry| entry.org_id == org_id);
        let later = of_org.filter(|entry| after.is_none_or(|after| entry.number > after));
        Ok(later.take(limit).cloned().collect())
    }

    async fn take_inbox(&self, request: TakeItems) -> Result<Vec<InboxItem>, StorageError> {
        let mut state = self.state();
        let due = state.inbox.values_mut().filter(|(at, _)| *at <= request.now).take(request.limit);
        Ok(due
            .map(|(at, item)| {
                *at = request.hold_until;
                item.attempts += 1;
                item.clone()
            })
            .collect())
    }

    async fn finish_inbox(&self, ids: Vec<ItemId>) -> Result<(), StorageError> {
        let mut state = self.state();
        for id in ids {
            state.inbox.remove(&id);
        }
        Ok(())
    }

    async fn take_outbox(&self, request: TakeItems) -> Result<Vec<OutboxItem>, StorageError> {
        let mut state = self.state();
        let due = state.outbox.values_mut().filter(|(at, _)| *at <= request.now).take(request.limit);
        Ok(due
            .map(|(at, item)| {
                *at = request.hold_until;
                item.attempts += 1;
                item.clone()
            })
            .collect())
    }

    async fn finish_outbox(&self, ids: Vec<ItemId>) -> Result<(), StorageError> {
        let mut state = self.state();
        for id in ids {
            state.outbox.remove(&id);
        }
        Ok(())
    }

    async fn retry_item(
        &self,
        id: ItemId,
        at: Option<DateTime<Utc>>,
        problem: String,
    ) -> Result<(), StorageError> {
        let mut state = self.state();
        if let Some(at) = at {
            if let Some((due, _)) = state.inbox.get_mut(&id) {
                *due = at;
            }
            if let Some((due, _)) = state.outbox.get_mut(&id) {
                *due = at;
            }
            return Ok(());
        }
        if let Some((_, item)) = state.inbox.remove(&id) {
            state.dead.insert(id, DeadLetter::Inbox { item, problem });
        } else if let Some((_, item)) = state.outbox.remove(&id) {
            state.dead.insert(id, DeadLetter::Outbox { item, problem });
        }
        Ok(())
    }

    async fn dead_letters(
        &self,
        after: Option<ItemId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        let state = self.state();
        let later = state.dead.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        Ok(later.take(limit).map(|(_, letter)| letter.clone()).collect())
    }

    async fn revive(&self, ids: Vec<ItemId>, now: DateTime<Utc>) -> Result<u64, StorageError> {
        let mut state = self.state();
        let mut revived = 0;
        for id in ids {
            match state.dead.remove(&id) {
                Some(DeadLetter::Inbox { item, .. }) => drop(state.inbox.insert(id, (now, item))),
                Some(DeadLetter::Outbox { item, .. }) => drop(state.outbox.insert(id, (now, item))),
                None => continue,
            }
            revived += 1;
        }
        Ok(revived)
    }

    async fn journal(
        &self,
        aggregate: Aggregate,
        after: u64,
        limit: usize,
    ) -> Result<Vec<JournalEntry>, StorageError> {
        Ok(self.state().journal.of(aggregate, after, limit))
    }

    async fn add_entries(&self, entries: Vec<JournalEntry>) -> Result<(), StorageError> {
        campaigns_only(&entries)?;
        let mut state = self.state();
        for entry in entries {
            if entry.sequence > state.journal.last_sequence(entry.aggregate) {
                state.journal.append(entry.aggregate, [entry]);
            }
        }
        Ok(())
    }

    async fn journal_feed(
        &self,
        after: Option<JournalCursor>,
        limit: usize,
    ) -> Result<JournalPage, StorageError> {
        let state = self.state();
        let from = match &after {
            None => 0,
            Some(cursor) => cursor.0.parse().map_err(|_| {
                StorageError::new(StorageErrorKind::Refused, "journal_feed", "not a cursor of this store")
            })?,
        };
        let entries = state.journal.feed(from, limit).to_vec();
        let next = JournalCursor((from + entries.len()).to_string());
        Ok(JournalPage { entries, next })
    }

    async fn last_entry_at(&self) -> Result<Option<DateTime<Utc>>, StorageError> {
        Ok(self.state().journal.last_at())
    }

    async fn cursor(&self, reader: &str) -> Result<Option<JournalCursor>, StorageError> {
        Ok(self.state().cursors.get(reader).cloned())
    }

    async fn save_cursor(&self, reader: &str, cursor: JournalCursor) -> Result<(), StorageError> {
        self.state().cursors.insert(reader.to_owned(), cursor);
        Ok(())
    }
}

fn apply(
    state: &mut State,
    input: CallInput,
    now: DateTime<Utc>,
    keep_until: Option<DateTime<Utc>>,
    settle: &Settle<'_>,
) -> Applied {
    let found = state.find_call(&input.call);
    let Some((call, contact)) = found.and_then(|call| Some((call, state.contacts.get(&call.contact_id)?)))
    else {
        if let (Some(expires_at), CallFact::Told { event, at }) = (keep_until, input.fact) {
            let update = CallUpdate { call: input.call, at, event };
            let item = InboxItem::unmatched(update, now, expires_at);
            state.inbox.entry(item.id).or_insert((now, item));
        }
        return Applied::Unmatched;
    };
    let Some(change) = settle(contact, call, &input) else { return Applied::Unchanged };
    let call = change.call.clone().unwrap_or_else(|| Box::new(call.clone()));
    let (id, status) = (contact.id, change.status.clone());
    state.commit(id, change);
    Applied::Changed { call, status }
}

fn of_run(state: &State, run_id: RunId, after: Option<ContactId>) -> impl Iterator<Item = &Contact> {
    let first = ContactId::of_row(run_id, 0);
    let last = ContactId::of_row(run_id, u64::MAX);
    let after = after.filter(|after| *after >= first).map(|after| after.min(last));
    let from = after.map_or(Bound::Included(first), Bound::Excluded);
    let later = state.contact_ids.range((from, Bound::Included(last)));
    later.filter_map(|id| state.contacts.get(id))
}

fn append_to_organization(state: &mut State, org_id: OrgId, at: DateTime<Utc>, event: Event) {
    let aggregate = Aggregate::Organization(org_id);
    let next = state.journal.last_sequence(aggregate) + 1;
    state.append(org_id, aggregate, next, at, vec![event]);
}

fn not_found(operation: &'static str, what: &str, id: impl std::fmt::Display) -> StorageError {
    StorageError::new(StorageErrorKind::NotFound, operation, format!("no {what} {id}"))
}
