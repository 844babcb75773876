//! Where things lie: the partition and the place in it of every item of the ledger table.
//!
//! | partition (`pk`) | place (`sk`) | what |
//! |---|---|---|
//! | `head#SHARD` | `head` | how far the feed of a shard goes, and the lock of its transactions |
//! | `feed#SHARD` | position | the journal entries of one transaction |
//! | `org#ORG` | `org` | live calls, running runs, journal sequence of an organization |
//! | `run#RUN` | `run` | a run |
//! | `run_key#CAMPAIGN#HASH` | `key` | the run that has a key |
//! | `run_rows#PREFIX` | `rows` | the run whose contacts' ids begin so |
//! | `runs…` | run | lists of runs: all, open, of an organization, of a campaign |
//! | `due#RUN#SHARD` | priority, due time, contact | a waiting contact |
//! | `call#CALL` | `call` | a call |
//! | `live#RUN` | call | a live call |
//! | `check#SHARD` | instant, call | when a live call is looked after |
//! | `ref#HASH` | `ref` | the call with a provider's reference |
//! | `number#ORG#NUMBER` | `number` | attempts, live call and suppression of a number |
//! | `suppressed#ORG` | number | the suppression list |
//! | `item#ITEM` | `item` | an item of inbox or outbox |
//! | `inbox#SHARD`, `outbox#SHARD` | instant, item | when an item comes |
//! | `dead` | item | a dead letter |
//! | `cursor#HASH` | `cursor` | how far a reader has come |

use std::fmt::Display;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallId, CampaignId, Contact, ContactId, ContactState, E164, ItemId, OrgId, RunId};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::error::Unreadable;
use crate::place::{Place, Table};
use crate::value::{instant, read_instant};

/// Feeds of journal entries; each organization writes to one.
pub(crate) const FEED_SHARDS: u8 = 16;

/// Partitions of the due contacts of one run.
pub(crate) const DUE_SHARDS: u8 = 4;

/// Partitions of the instants at which calls are looked after.
pub(crate) const CHECK_SHARDS: u8 = 4;

/// Partitions of the instants at which items of the inbox come, and as many for the outbox.
pub(crate) const ITEM_SHARDS: u8 = 2;

/// A place in the ledger table.
pub(crate) fn key(pk: impl Into<String>, sk: impl Into<String>) -> Place {
    Place { table: Table::Ledger, pk: pk.into(), sk: sk.into() }
}

/// The shard of an organization's transactions and feed.
pub(crate) fn feed_shard(org_id: OrgId) -> u8 {
    shard(org_id.as_uuid(), FEED_SHARDS)
}

pub(crate) fn shard(id: Uuid, shards: u8) -> u8 {
    Sha256::digest(id.as_bytes())[0] % shards
}

pub(crate) fn head(shard: u8) -> Place {
    key(format!("head#{shard:02}"), "head")
}

pub(crate) fn feed(shard: u8) -> String {
    format!("feed#{shard:02}")
}

pub(crate) fn position(position: u64) -> String {
    format!("{position:020}")
}

pub(crate) fn organization(id: OrgId) -> Place {
    key(format!("org#{id}"), "org")
}

pub(crate) fn run(id: RunId) -> Place {
    key(format!("run#{id}"), "run")
}

pub(crate) fn run_key(campaign_id: CampaignId, run_key: &str) -> Place {
    key(format!("run_key#{campaign_id}#{}", hash(&[run_key])), "key")
}

/// The lists a run is on while it exists.
pub(crate) fn run_lists(org_id: OrgId, campaign_id: CampaignId) -> [String; 3] {
    [ALL_RUNS.to_owned(), runs_of_organization(org_id), runs_of_campaign(campaign_id)]
}

pub(crate) const ALL_RUNS: &str = "runs";

/// Runs that are not over.
pub(crate) const OPEN_RUNS: &str = "runs_open";

pub(crate) fn runs_of_organization(id: OrgId) -> String {
    format!("runs_of_org#{id}")
}

pub(crate) fn runs_of_campaign(id: CampaignId) -> String {
    format!("runs_of_campaign#{id}")
}

/// The item that tells which run the contact belongs to: ids of contacts begin with most of the run's id, see
/// [`ContactId::of_row`].
pub(crate) fn run_of_contact(id: ContactId) -> Place {
    let first = id.as_uuid().as_u128() >> 40;
    key(format!("run_rows#{first:022x}"), "rows")
}

/// The key of a contact in the table `run_data`.
pub(crate) fn row(run_id: RunId, id: ContactId) -> Place {
    Place { table: Table::RunData, pk: run_id.to_string(), sk: row_id(id) }
}

/// The row of a contact, as text that sorts like the row.
pub(crate) fn row_id(id: ContactId) -> String {
    let row = id.as_uuid().as_u128() & ((1 << 40) - 1);
    format!("{row:013}")
}

/// The key of a run in the table `active_runs`.
pub(crate) fn active_run(run_id: RunId, org_id: OrgId) -> Place {
    Place { table: Table::ActiveRuns, pk: run_id.to_string(), sk: org_id.to_string() }
}

pub(crate) fn due_partition(run_id: RunId, shard: u8) -> String {
    format!("due#{run_id}#{shard}")
}

/// The place of a contact among those that wait, if it does.
pub(crate) fn due(contact: &Contact, state: &ContactState) -> Option<Place> {
    let ContactState::Waiting { due_at } = *state else { return None };
    let partition = due_partition(contact.run_id, shard(contact.id.as_uuid(), DUE_SHARDS));
    Some(key(partition, format!("{}#{}#{}", contact.priority.level(), instant(due_at), contact.id)))
}

/// Reads the place of a contact among those that wait: priority, due time, contact.
pub(crate) fn read_due(sk: &str) -> Result<(u8, DateTime<Utc>, ContactId), Unreadable> {
    let unreadable = || Unreadable::new("due entry");
    let (level, rest) = sk.split_once('#').ok_or_else(unreadable)?;
    let (at, id) = read_timed(rest)?;
    Ok((level.parse().map_err(|_| unreadable())?, at, id))
}

pub(crate) fn call(id: CallId) -> Place {
    key(format!("call#{id}"), "call")
}

pub(crate) fn live_partition(run_id: RunId) -> String {
    format!("live#{run_id}")
}

pub(crate) fn live(run_id: RunId, id: CallId) -> Place {
    key(live_partition(run_id), id.to_string())
}

pub(crate) fn check_partition(shard: u8) -> String {
    format!("check#{shard}")
}

pub(crate) fn check(at: DateTime<Utc>, id: CallId) -> Place {
    key(check_partition(shard(id.as_uuid(), CHECK_SHARDS)), timed(at, id))
}

/// A place that sorts by an instant.
fn timed(at: DateTime<Utc>, id: impl Display) -> String {
    format!("{}#{id}", instant(at))
}

/// Reads a place that sorts by an instant.
pub(crate) fn read_timed<T: std::str::FromStr>(sk: &str) -> Result<(DateTime<Utc>, T), Unreadable> {
    let unreadable = || Unreadable::new("entry with an instant");
    let (at, id) = sk.split_once('#').ok_or_else(unreadable)?;
    Ok((read_instant(at)?, id.parse().map_err(|_| unreadable())?))
}

/// Sorts after every place with this instant or an earlier one, and before all others.
pub(crate) fn until(at: DateTime<Utc>) -> String {
    format!("{}#~", instant(at))
}

pub(crate) fn reference(provider: &str, reference: &str) -> Place {
    key(format!("ref#{}", hash(&[provider, reference])), "ref")
}

pub(crate) fn number(org_id: OrgId, number: E164) -> Place {
    key(format!("number#{org_id}#{}", digits(number)), "number")
}

pub(crate) fn suppressed_partition(org_id: OrgId) -> String {
    format!("suppressed#{org_id}")
}

pub(crate) fn suppressed(org_id: OrgId, number: E164) -> Place {
    key(suppressed_partition(org_id), digits(number))
}

/// A number as text that sorts like the number.
pub(crate) fn digits(number: E164) -> String {
    format!("{:015}", number.digits())
}

pub(crate) fn item(id: ItemId) -> Place {
    key(format!("item#{id}"), "item")
}

pub(crate) fn box_partition(name: &str, shard: u8) -> String {
    format!("{name}#{shard}")
}

pub(crate) fn item_due(name: &str, at: DateTime<Utc>, id: ItemId) -> Place {
    key(box_partition(name, shard(id.as_uuid(), ITEM_SHARDS)), timed(at, id))
}

pub(crate) const DEAD: &str = "dead";

pub(crate) fn cursor(reader: &str) -> Place {
    key(format!("cursor#{}", hash(&[reader])), "cursor")
}

/// Texts of any length and content as one short text.
fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contact_of_a_run_leads_to_its_run_and_rows_sort_by_number() {
        let run = RunId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ab));
        let [first, second] = [2, 10].map(|row| ContactId::of_row(run, row));
        assert_eq!(run_of_contact(first), run_of_contact(second));
        assert!(row_id(first) < row_id(second));
        assert_eq!(row_id(second), "0000000000010");
        let other = RunId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7abc_8def_1123_4567_89ab));
        assert_ne!(run_of_contact(first), run_of_contact(ContactId::of_row(other, 2)));
    }

    #[test]
    fn places_come_back() {
        let at = "2030-01-07T09:00:00.000001Z".parse().unwrap();
        let id = ItemId::from_uuid(Uuid::from_u128(7));
        let place = timed(at, id);
        assert_eq!(read_timed::<ItemId>(&place).unwrap(), (at, id));
        assert!(place < until(at) && until(at) < timed(at + chrono::TimeDelta::nanoseconds(1), id));
        assert!(read_timed::<ItemId>("nothing").is_err());
    }
}
