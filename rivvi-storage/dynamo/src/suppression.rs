//! The suppression list.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Aggregate, CallId, E164, Event, JournalEntry, OrgId, Suppression};

use crate::DynamoStorage;
use crate::commit::{Committed, Draft};
use crate::counters::{self, Counters};
use crate::error::Failure;
use crate::gateway::{Pause, Range};
use crate::place::{Table, Write};
use crate::value::Attributes;
use crate::work::suppressed_write;
use crate::{key, number};

/// Entries one transaction takes: each is a number, its place on the list, and a journal entry.
const ENTRIES_MAX: usize = 30;

pub(crate) async fn suppress(
    store: &DynamoStorage,
    entries: Vec<Suppression>,
) -> Result<Vec<CallId>, Failure> {
    let mut by_organization: BTreeMap<OrgId, Vec<Suppression>> = BTreeMap::new();
    for entry in entries {
        by_organization.entry(entry.org_id).or_default().push(entry);
    }
    let mut live = Vec::new();
    for (org_id, entries) in by_organization {
        for chunk in entries.chunks(ENTRIES_MAX) {
            let mut pause = Pause::new(store.gateway());
            live.extend(loop {
                match suppress_some(store, org_id, chunk).await? {
                    Some(live) => break live,
                    None => pause.wait().await.map_err(|()| Failure::Contended)?,
                }
            });
        }
    }
    Ok(live)
}

/// Suppresses these numbers and tells the calls that are live to them; `None` if others were in the way.
async fn suppress_some(
    store: &DynamoStorage,
    org_id: OrgId,
    entries: &[Suppression],
) -> Result<Option<Vec<CallId>>, Failure> {
    let mut rows = number::load(store, org_id, entries.iter().map(|entry| entry.number)).await?;
    let mut draft = Draft::default();
    for entry in entries {
        if let Some(row) = rows.get_mut(&entry.number) {
            row.suppress(entry);
        }
    }
    let mut live = Vec::new();
    for (number, row) in rows {
        live.extend(row.live_call);
        draft.writes.extend(suppressed_write(org_id, number, &row)?);
        draft.numbers.insert(key::number(org_id, number), (row.version, row.next()));
    }
    let told =
        entries.iter().map(|entry| (entry.added_at, Event::NumberSuppressed { suppression: entry.clone() }));
    Ok(commit(store, org_id, draft, told.collect()).await?.then_some(live))
}

/// Commits with entries in the organization's own journal; returns whether nobody was in the way.
async fn commit(
    store: &DynamoStorage,
    org_id: OrgId,
    mut draft: Draft,
    events: Vec<(DateTime<Utc>, Event)>,
) -> Result<bool, Failure> {
    let mut counters = counters::load(store, org_id, &std::collections::BTreeSet::new()).await?;
    let first = counters.organization.sequence + 1;
    let aggregate = Aggregate::Organization(org_id);
    let count = events.len() as u64;
    draft.entries = (first..)
        .zip(events)
        .map(|(sequence, (at, event))| JournalEntry { org_id, aggregate, sequence, at, event })
        .collect();
    let fit = |counters: &mut Counters| {
        let fits = counters.organization.sequence + 1 == first;
        counters.organization.sequence += count;
        Ok(fits)
    };
    Ok(store.commit(&mut counters, &draft, fit).await? == Committed::Done)
}

pub(crate) async fn release(
    store: &DynamoStorage,
    org_id: OrgId,
    number: E164,
    now: DateTime<Utc>,
) -> Result<bool, Failure> {
    let mut pause = Pause::new(store.gateway());
    loop {
        let Some(mut row) = number::load(store, org_id, [number]).await?.remove(&number) else {
            return Ok(false);
        };
        if row.suppression.take().is_none() {
            return Ok(false);
        }
        let mut draft = Draft::default();
        draft.writes.push(Write::delete(key::suppressed(org_id, number)));
        draft.numbers.insert(key::number(org_id, number), (row.version, row.next()));
        if commit(store, org_id, draft, vec![(now, Event::NumberReleased { number })]).await? {
            return Ok(true);
        }
        pause.wait().await.map_err(|()| Failure::Contended)?;
    }
}

pub(crate) async fn suppressions(
    store: &DynamoStorage,
    org_id: OrgId,
    after: Option<E164>,
    limit: usize,
) -> Result<Vec<Suppression>, Failure> {
    let after = after.map(key::digits);
    let range = Range { after, limit, ..Range::all(Table::Ledger, key::suppressed_partition(org_id)) };
    let items = store.gateway().query(range).await?;
    items.iter().map(|item| Ok(item.document("suppression", "doc")?)).collect()
}
