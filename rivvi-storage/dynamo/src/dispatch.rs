//! Taking due contacts and beginning their calls: claim, checks and intent of a contact in one transaction.

use std::collections::{BTreeSet, HashMap, VecDeque};

use rivvi_core::domain::{Call, Contact, E164, OrgId, RunState};
use rivvi_core::policy::NumberFacts;
use rivvi_core::storage::{BeginCalls, Begun, Decide, Limited};

use crate::DynamoStorage;
use crate::commit::{Committed, Draft};
use crate::counters::{self, Counters};
use crate::error::Failure;
use crate::gateway::Pause;
use crate::work::{self, ContactRow, Numbers};
use crate::{contact, key, number};

/// Contacts read at once.
const WINDOW_MAX: u32 = 100;

pub(crate) async fn begin_calls(
    store: &DynamoStorage,
    request: BeginCalls,
    decide: &Decide<'_>,
) -> Result<Begun, Failure> {
    let _turn = store.begin_turn(key::feed_shard(request.org_id)).await;
    let mut dispatch = Dispatch { store, request, decide, begun: Begun::default(), alone: false };
    let mut pause = Pause::new(store.gateway());
    loop {
        let taken = dispatch.begun.taken;
        let round = dispatch.round().await;
        match round {
            Ok(Some(limited)) => {
                dispatch.begun.limited = Some(limited);
                return Ok(dispatch.begun);
            }
            Ok(None) if dispatch.begun.taken > taken => pause = Pause::new(store.gateway()),
            // Others were in the way: once more with what they left, contact by contact.
            Ok(None) => {
                dispatch.alone = true;
                if pause.wait().await.is_err() {
                    return if taken > 0 { Ok(dispatch.begun) } else { Err(Failure::Contended) };
                }
            }
            // What began is not to be lost for what did not.
            Err(failure) if dispatch.begun.taken > 0 => {
                tracing::warn!(?failure, taken = dispatch.begun.taken, "begin_calls ends early");
                return Ok(dispatch.begun);
            }
            Err(failure) => return Err(failure),
        }
    }
}

struct Dispatch<'a> {
    store: &'a DynamoStorage,
    request: BeginCalls,
    decide: &'a Decide<'a>,
    begun: Begun,
    /// One contact per transaction.
    alone: bool,
}

/// Contacts that were decided about, and what they write.
#[derive(Default)]
struct Decided {
    draft: Draft,
    contacts: u32,
    calls: Vec<(Call, Contact)>,
}

impl Dispatch<'_> {
    /// Reads a window of due contacts, decides about them, and commits. Returns what keeps it from taking more, `None`
    /// if there may be more.
    async fn round(&mut self) -> Result<Option<Limited>, Failure> {
        let BeginCalls { org_id, run_id, now, .. } = self.request;
        let mut counters = counters::load(self.store, org_id, &BTreeSet::from([run_id])).await?;
        let Some(run) = counters.runs.get(&run_id).filter(|run| run.state == RunState::Active) else {
            return Ok(Some(Limited::NotActive));
        };
        let free = self.free(&counters);
        if free == 0 {
            return Ok(Some(Limited::Concurrency));
        }
        let calls = u32::try_from(self.begun.calls.len()).unwrap_or(u32::MAX);
        let wanted = free
            .min(self.request.calls_max.saturating_sub(calls))
            .min(self.request.contacts_max.saturating_sub(self.begun.taken))
            .min(WINDOW_MAX);
        if wanted == 0 {
            return Ok(Some(Limited::Request));
        }
        let due = contact::due(self.store, run_id, run, now, wanted as usize).await?;
        if due.is_empty() {
            return Ok(Some(Limited::NothingDue));
        }
        let mut rows = contact::rows(self.store, due.iter().map(|(_, id)| (run_id, *id)).collect()).await?;
        // One that changed between the two reads is left for another round, and so are those after it.
        let unchanged = |(at, id): &(_, _)| {
            rows.remove(id).filter(|row: &ContactRow| row.contact.status.state.due_at() == Some(*at))
        };
        let rows: VecDeque<ContactRow> = due.iter().map_while(unchanged).collect();
        let numbers = rows.iter().map(|row| row.contact.number);
        let mut numbers = number::load(self.store, org_id, numbers.collect::<Vec<_>>()).await?;
        self.decide_and_commit(rows, &mut numbers, &mut counters).await?;
        Ok(None)
    }

    /// Decides about contacts in their order, each seeing those before, and commits as many at once as fit. Stops where
    /// others are in the way.
    async fn decide_and_commit(
        &mut self,
        rows: VecDeque<ContactRow>,
        numbers: &mut Numbers,
        counters: &mut Counters,
    ) -> Result<(), Failure> {
        let mut decided = Decided::default();
        for row in rows {
            let contact = row.contact.clone();
            let known = numbers.get(&contact.number).map(crate::number::NumberRow::facts);
            let mut facts: HashMap<E164, NumberFacts> = HashMap::new();
            facts.insert(contact.number, known.unwrap_or_default());
            let begin =
                |set: &mut rivvi_core::storage::WorkingSet| set.begin(vec![contact], &mut facts, self.decide);
            let (calls, draft) = work::draft(&row, &[], numbers, begin)?;
            let full = decided.contacts > 0 && (self.alone || !decided.draft.has_room_for(&draft));
            if full && !self.commit(std::mem::take(&mut decided), counters).await? {
                return Ok(());
            }
            decided.draft.absorb(draft);
            decided.contacts += 1;
            decided.calls.extend(calls);
        }
        if decided.contacts > 0 {
            self.commit(decided, counters).await?;
        }
        Ok(())
    }

    /// Commits; returns whether nobody was in the way.
    async fn commit(&mut self, decided: Decided, counters: &mut Counters) -> Result<bool, Failure> {
        let wanted = u32::try_from(decided.calls.len()).unwrap_or(u32::MAX);
        let run_id = self.request.run_id;
        let fit = |counters: &mut Counters| {
            let active = counters.runs.get(&run_id).is_some_and(|run| run.state == RunState::Active);
            Ok(active && self.free(counters) >= wanted)
        };
        let committed = self.store.commit(counters, &decided.draft, fit).await?;
        if committed != Committed::Done {
            return Ok(false);
        }
        self.begun.taken += decided.contacts;
        self.begun.calls.extend(decided.calls);
        Ok(true)
    }

    /// How many calls the limits of organization and run leave.
    fn free(&self, counters: &Counters) -> u32 {
        let left = |limit: u32, live: u64| limit.saturating_sub(u32::try_from(live).unwrap_or(u32::MAX));
        let of_run = counters.runs.get(&self.request.run_id).map_or(0, |run| run.live);
        let left_to_run = self.request.run_limit.map_or(u32::MAX, |limit| left(limit, of_run));
        left(self.request.organization_limit, counters.organization.live).min(left_to_run)
    }
}

pub(crate) async fn number_facts(
    store: &DynamoStorage,
    org_id: OrgId,
    number: E164,
) -> Result<NumberFacts, Failure> {
    let rows = number::load(store, org_id, [number]).await?;
    Ok(rows.into_values().next().unwrap_or_default().facts())
}
