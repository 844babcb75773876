//! What campaigns know of people, in the table `records`.
//!
//! | partition (`pk`) | place (`sk`) | what |
//! |---|---|---|
//! | `contexts#ORG#NUMBER` | campaign, person | a context |
//! | `context#CAMPAIGN#PERSON` | `context` | where the context of a person lies |
//! | `contexts_end#SHARD` | instant, campaign, person | when a context lapses |

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::future::try_join_all;
use rivvi_core::domain::{CampaignId, E164, OrgId, PersonId};
use rivvi_core::storage::CampaignContext;

use crate::DynamoStorage;
use crate::catalog::record;
use crate::commit::ACTIONS_MAX;
use crate::error::{Failure, Unreadable};
use crate::gateway::{Pause, Range};
use crate::key;
use crate::place::{Place, Table, VERSION, When, Write};
use crate::transact::Transacted;
use crate::value::{Attributes, Item, document, instant, number, text};

/// Contexts that one transaction puts: each is itself, its place, its end, and what they were before.
const PUT_MAX: usize = ACTIONS_MAX / 5;

/// Partitions of the instants at which contexts lapse.
const END_SHARDS: u8 = 4;

/// Whose context.
type Owner = (CampaignId, PersonId);

/// Where a context lies, as it was read.
struct Row {
    version: u64,
    context: Place,
    end: Option<Place>,
}

impl Row {
    fn read(owner: Owner, item: &Item) -> Result<Self, Failure> {
        let (campaign_id, person_id) = owner;
        let context = record(item.text("context_pk")?, format!("{campaign_id}#{person_id}"));
        let end = item.optional_text("ends").map(|at| end_place(at, owner));
        Ok(Self { version: item.integer(VERSION)?, context, end })
    }
}

fn owner_of(context: &CampaignContext) -> Owner {
    (context.campaign_id, context.person_id)
}

fn partition(org_id: OrgId, number: E164) -> String {
    format!("contexts#{org_id}#{}", key::digits(number))
}

fn owner_place((campaign_id, person_id): Owner) -> Place {
    record(format!("context#{campaign_id}#{person_id}"), "context")
}

fn end_partition(shard: u8) -> String {
    format!("contexts_end#{shard}")
}

fn end_place(at: &str, (campaign_id, person_id): Owner) -> Place {
    let shard = key::shard(person_id.as_uuid(), END_SHARDS);
    record(end_partition(shard), format!("{at}#{campaign_id}#{person_id}"))
}

pub(crate) async fn put(store: &DynamoStorage, contexts: Vec<CampaignContext>) -> Result<(), Failure> {
    // Of several of one owner the last counts.
    let contexts: BTreeMap<Owner, CampaignContext> =
        contexts.into_iter().map(|context| (owner_of(&context), context)).collect();
    let contexts: Vec<CampaignContext> = contexts.into_values().collect();
    for chunk in contexts.chunks(PUT_MAX) {
        let mut pause = Pause::new(store.gateway());
        while !put_some(store, chunk).await? {
            pause.wait().await.map_err(|()| Failure::Contended)?;
        }
    }
    Ok(())
}

/// Puts contexts; returns whether nobody was in the way.
async fn put_some(store: &DynamoStorage, contexts: &[CampaignContext]) -> Result<bool, Failure> {
    let owners = contexts.iter().map(|context| owner_place(owner_of(context)));
    let known = store.gateway().get_all(owners).await?;
    let mut writes = Vec::with_capacity(ACTIONS_MAX);
    for context in contexts {
        let owner = owner_of(context);
        let place = owner_place(owner);
        let before = known.get(&place).map(|item| Row::read(owner, item)).transpose()?;
        let pk = partition(context.org_id, context.number);
        let ends = context.expires_at.map(instant);
        let own = record(pk.clone(), format!("{}#{}", context.campaign_id, context.person_id));
        let end = ends.as_deref().map(|at| end_place(at, owner));
        let version = before.as_ref().map(|row| row.version);
        let mut item = place.item([(VERSION, number(version.unwrap_or(0) + 1)), ("context_pk", text(pk))]);
        item.extend(ends.map(|at| ("ends".to_owned(), text(at))));
        if let Some(before) = before {
            writes.extend(Some(before.context).filter(|known| *known != own).map(Write::delete));
            writes.extend(before.end.filter(|known| Some(known) != end.as_ref()).map(Write::delete));
        }
        writes.push(Write::Put { place, item, when: When::as_read(version) });
        writes.push(Write::put(own, [("doc", document("context", context)?)]));
        writes.extend(end.map(|place| Write::put(place, [])));
    }
    Ok(store.gateway().transact(writes).await? == Transacted::Done)
}

pub(crate) async fn of_number(
    store: &DynamoStorage,
    org_id: OrgId,
    number: E164,
    now: DateTime<Utc>,
) -> Result<Vec<CampaignContext>, Failure> {
    let all = store.documents("context", partition(org_id, number), None, usize::MAX).await?;
    Ok(CampaignContext::valid_latest_first(all, now))
}

pub(crate) async fn purge(store: &DynamoStorage, now: DateTime<Utc>, limit: usize) -> Result<u64, Failure> {
    let range = |shard| {
        let to = Some(key::until(now));
        store.gateway().query(Range { to, limit, ..Range::all(Table::Records, end_partition(shard)) })
    };
    let lapsed = try_join_all((0..END_SHARDS).map(range)).await?;
    let mut purged = 0;
    for item in lapsed.into_iter().flatten().take(limit) {
        purged += u64::from(purge_one(store, &item).await?);
    }
    Ok(purged)
}

/// Removes a context by its end. Returns whether it was there and nobody was in the way.
async fn purge_one(store: &DynamoStorage, end: &Item) -> Result<bool, Failure> {
    let unreadable = || Unreadable::new("end of a context");
    let mut parts = end.text("sk")?.split('#').skip(1);
    let mut part = || parts.next().ok_or_else(unreadable);
    let owner: Owner =
        (part()?.parse().map_err(|_| unreadable())?, part()?.parse().map_err(|_| unreadable())?);
    let place = owner_place(owner);
    let Some(item) = store.gateway().get(&place).await? else { return Ok(false) };
    let row = Row::read(owner, &item)?;
    let end = Place::of(Table::Records, end).ok_or_else(unreadable)?;
    if row.end.as_ref() != Some(&end) {
        return Ok(false);
    }
    let writes = vec![
        Write::Delete { place, when: When::Version(row.version) },
        Write::delete(row.context),
        Write::delete(end),
    ];
    Ok(store.gateway().transact(writes).await? == Transacted::Done)
}
