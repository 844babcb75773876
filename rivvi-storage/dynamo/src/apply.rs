//! What is told about calls: inputs to changes, those of one contact in one transaction.

use std::collections::{BTreeMap, HashMap};

use rivvi_core::domain::{CallId, ContactId, E164, OrgId};
use rivvi_core::machine::{CallFact, CallInput};
use rivvi_core::provider::{CallEvent, CallRef, CallUpdate};
use rivvi_core::storage::{Applied, ApplyCalls, InboxItem, Settle, WorkingSet};

use crate::DynamoStorage;
use crate::call::{self, CallRow};
use crate::commit::{ACTIONS_MAX, Committed, Draft};
use crate::counters;
use crate::error::Failure;
use crate::gateway::Pause;
use crate::work::{self, ContactRow, Numbers};
use crate::{contact, item, number};

/// Inputs with their places in the batch, in order.
type Inputs = Vec<(usize, CallInput)>;

pub(crate) async fn apply_calls(
    store: &DynamoStorage,
    request: ApplyCalls,
    settle: &Settle<'_>,
) -> Result<Vec<Applied>, Failure> {
    let mut apply =
        Apply { store, request: &request, settle, applied: BTreeMap::new(), unmatched: Vec::new() };
    let mut left: Inputs = request.inputs.iter().cloned().enumerate().collect();
    let mut pause = Pause::new(store.gateway());
    while !left.is_empty() {
        let before = left.len();
        left = apply.pass(left).await?;
        if left.len() < before {
            pause = Pause::new(store.gateway());
        } else {
            pause.wait().await.map_err(|()| Failure::Contended)?;
        }
    }
    if let Some(expires_at) = request.keep_unmatched_until {
        let update = |input: CallInput| match input.fact {
            CallFact::Told { event, at } => Some(CallUpdate { call: input.call, at, event }),
            _ => None,
        };
        let updates = apply.unmatched.into_iter().filter_map(update);
        let items = updates.map(|update| InboxItem::unmatched(update, request.now, expires_at));
        item::keep(store, items.collect()).await?;
    }
    Ok(apply.applied.into_values().collect())
}

struct Apply<'a> {
    store: &'a DynamoStorage,
    request: &'a ApplyCalls,
    settle: &'a Settle<'a>,
    applied: BTreeMap<usize, Applied>,
    unmatched: Vec<CallInput>,
}

/// A contact with its calls and what is told about them.
struct Told {
    row: ContactRow,
    calls: Vec<CallRow>,
    inputs: Inputs,
}

/// What became of a contact's inputs, to be committed.
struct Settled {
    draft: Draft,
    applied: Vec<(usize, Applied)>,
    inputs: Inputs,
}

impl Apply<'_> {
    /// Applies inputs; returns those that others were in the way of, or that did not fit.
    async fn pass(&mut self, inputs: Inputs) -> Result<Inputs, Failure> {
        let mut left = Vec::new();
        let mut settled: BTreeMap<OrgId, Vec<Settled>> = BTreeMap::new();
        let told = self.gather(inputs).await?;
        let mut numbers = self.numbers_of(&told).await?;
        for mut told in told {
            let org_id = told.row.contact.org_id;
            let numbers = numbers.entry(org_id).or_default();
            let settling = loop {
                let settling = self.settle(&told, numbers)?;
                // More than one transaction can hold is applied in parts.
                if settling.draft.actions() <= ACTIONS_MAX || told.inputs.len() == 1 {
                    break settling;
                }
                let rest = told.inputs.split_off(told.inputs.len() / 2);
                left.extend(rest);
                numbers.extend(number::load(self.store, org_id, [told.row.contact.number]).await?);
            };
            settled.entry(org_id).or_default().push(settling);
        }
        for (org_id, settled) in settled {
            left.extend(self.commit(org_id, settled).await?);
        }
        left.sort_by_key(|(place, _)| *place);
        Ok(left)
    }

    /// Finds the calls that are meant, with their contacts. What is not found is noted as unmatched.
    async fn gather(&mut self, inputs: Inputs) -> Result<Vec<Told>, Failure> {
        let by_reference = inputs.iter().filter_map(|(_, input)| match &input.call {
            CallRef::Provider { provider, reference } => Some((provider.as_str(), reference.as_str())),
            CallRef::Id(_) => None,
        });
        let mut references = call::by_reference(self.store, &by_reference.collect::<Vec<_>>()).await?;
        let by_id = inputs.iter().filter_map(|(_, input)| match &input.call {
            CallRef::Id(id) => Some(*id),
            CallRef::Provider { .. } => None,
        });
        let ids: Vec<CallId> = by_id.chain(references.values().copied()).collect();
        let mut calls = call::load(self.store, ids).await?;
        let contacts = calls.values().map(|row| (row.call.run_id, row.call.contact_id));
        let mut contacts = contact::rows(self.store, contacts.collect()).await?;
        let mut told: Vec<Told> = Vec::new();
        let mut places: HashMap<ContactId, usize> = HashMap::new();
        for (place, input) in inputs {
            let id = match &input.call {
                CallRef::Id(id) => Some(*id),
                CallRef::Provider { provider, reference } => {
                    references.get(&(provider.to_string(), reference.clone())).copied()
                }
            };
            let call = id.and_then(|id| calls.get(&id)).map(|row| &row.call);
            let contact_id = call.map(|call| call.contact_id);
            let Some(contact_id) =
                contact_id.filter(|id| places.contains_key(id) || contacts.contains_key(id))
            else {
                self.applied.insert(place, Applied::Unmatched);
                self.unmatched.push(input);
                continue;
            };
            // A reference that is learnt here counts for the inputs after.
            if let (Some(call), CallFact::Told { event: CallEvent::Accepted { reference: Some(new) }, .. }) =
                (call, &input.fact)
                && call.provider_ref.is_none()
            {
                references.entry((call.provider.to_string(), new.clone())).or_insert(call.id);
            }
            let at = *places.entry(contact_id).or_insert(told.len());
            if let Some(row) = contacts.remove(&contact_id) {
                told.push(Told { row, calls: Vec::new(), inputs: Vec::new() });
            }
            told[at].inputs.push((place, input));
        }
        for (_, row) in calls.drain() {
            if let Some(at) = places.get(&row.call.contact_id) {
                told[*at].calls.push(row);
            }
        }
        Ok(told)
    }

    async fn numbers_of(&self, told: &[Told]) -> Result<BTreeMap<OrgId, Numbers>, Failure> {
        let mut by_organization: BTreeMap<OrgId, Vec<E164>> = BTreeMap::new();
        for Told { row, .. } in told {
            by_organization.entry(row.contact.org_id).or_default().push(row.contact.number);
        }
        let mut numbers = BTreeMap::new();
        for (org_id, of_organization) in by_organization {
            numbers.insert(org_id, number::load(self.store, org_id, of_organization).await?);
        }
        Ok(numbers)
    }

    fn settle(&self, told: &Told, numbers: &mut Numbers) -> Result<Settled, Failure> {
        let request = ApplyCalls {
            inputs: told.inputs.iter().map(|(_, input)| input.clone()).collect(),
            now: self.request.now,
            keep_unmatched_until: None,
        };
        let apply = |set: &mut WorkingSet| {
            set.hold_contact(told.row.contact.clone());
            set.apply(request, self.settle)
        };
        let (applied, draft) = work::draft(&told.row, &told.calls, numbers, apply)?;
        let applied = told.inputs.iter().map(|(place, _)| *place).zip(applied).collect();
        Ok(Settled { draft, applied, inputs: told.inputs.clone() })
    }

    /// Commits what became of contacts of one organization, as many at once as fit. Returns the inputs of those that
    /// others were in the way of.
    async fn commit(&mut self, org_id: OrgId, settled: Vec<Settled>) -> Result<Inputs, Failure> {
        let mut left = Vec::new();
        let mut batch: Vec<Settled> = Vec::new();
        let mut sum = Draft::default();
        for settled in settled {
            if settled.draft.writes.is_empty() {
                self.note(settled.applied, settled.inputs);
                continue;
            }
            if !batch.is_empty() && !sum.has_room_for(&settled.draft) {
                let batch = std::mem::take(&mut batch);
                left.extend(self.commit_batch(org_id, std::mem::take(&mut sum), batch).await?);
            }
            sum.absorb(settled.draft.clone());
            batch.push(settled);
        }
        if !batch.is_empty() {
            left.extend(self.commit_batch(org_id, sum, batch).await?);
        }
        Ok(left)
    }

    async fn commit_batch(
        &mut self,
        org_id: OrgId,
        sum: Draft,
        batch: Vec<Settled>,
    ) -> Result<Inputs, Failure> {
        let mut counters = counters::load(self.store, org_id, &sum.runs()).await?;
        let committed = self.store.commit(&mut counters, &sum, |_| Ok(true)).await?;
        if committed != Committed::Done {
            return Ok(batch.into_iter().flat_map(|settled| settled.inputs).collect());
        }
        for settled in batch {
            self.note(settled.applied, settled.inputs);
        }
        Ok(Vec::new())
    }

    /// Notes what became of inputs.
    fn note(&mut self, applied: Vec<(usize, Applied)>, inputs: Inputs) {
        for ((place, applied), (_, input)) in applied.into_iter().zip(inputs) {
            if applied == Applied::Unmatched {
                self.unmatched.push(input);
            }
            self.applied.insert(place, applied);
        }
    }
}
