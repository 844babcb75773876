//! Pages of the journal: one row for all contacts of an organization that a transaction changed. A row for each would cost
//! more than everything else that is written about a contact.

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Aggregate, ContactId, Event, JournalEntry, OrgId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::error::{Failure, Unreadable};
use crate::value::thing;

/// The most contacts of a page: so that reading of one does not mean reading of thousands.
const CONTACTS_MAX: usize = 500;

/// What a page tells of a contact: events that followed each other at one instant.
#[derive(Debug, Serialize)]
pub(crate) struct Told<'a> {
    #[serde(rename = "c")]
    pub(crate) contact: ContactId,
    #[serde(rename = "s")]
    sequence: u64,
    /// Microseconds since 1970.
    #[serde(rename = "t")]
    micros: i64,
    #[serde(rename = "e")]
    pub(crate) events: Vec<&'a Event>,
}

/// The same as it is read.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(rename = "c")]
    contact: ContactId,
    #[serde(rename = "s")]
    sequence: u64,
    #[serde(rename = "t")]
    micros: i64,
    #[serde(rename = "e", borrow)]
    events: &'a RawValue,
}

impl<'a> Told<'a> {
    /// What entries of contacts tell, those of one contact in their order.
    pub(crate) fn of(entries: &[&'a JournalEntry]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::with_capacity(entries.len());
        for entry in entries {
            let Aggregate::Contact(contact) = entry.aggregate else { continue };
            let micros = entry.at.timestamp_micros();
            match all.last_mut() {
                Some(told) if told.contact == contact && told.micros == micros => {
                    told.events.push(&entry.event)
                }
                _ => {
                    let events = vec![&entry.event];
                    all.push(Self { contact, sequence: entry.sequence, micros, events });
                }
            }
        }
        // Everything of a contact in one page.
        all.sort_by_key(|told| (told.contact, told.sequence));
        all
    }

    pub(crate) fn at(&self) -> DateTime<Utc> {
        at(self.micros)
    }
}

fn at(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or_default()
}

/// The pages for what is told, which is sorted by contact.
pub(crate) fn split<'a, 'b>(told: &'b [Told<'a>]) -> Vec<&'b [Told<'a>]> {
    let mut pages = Vec::new();
    let mut left = told;
    while let Some(last) = left.get(CONTACTS_MAX - 1).or(left.last()) {
        let end = left.partition_point(|told| told.contact <= last.contact);
        let (page, rest) = left.split_at(end);
        pages.push(page);
        left = rest;
    }
    pages
}

/// The entries of a page for the contacts that are asked for.
pub(crate) fn read(
    events: &str,
    org_id: OrgId,
    asked: impl Fn(ContactId) -> bool,
) -> Result<Vec<JournalEntry>, Failure> {
    let page: Vec<Read<'_>> =
        serde_json::from_str(events).map_err(|error| Unreadable::json("journal page", &error))?;
    let mut entries = Vec::new();
    for told in page.into_iter().filter(|told| asked(told.contact)) {
        let events: Vec<Event> = thing("journal event", told.events.get())?;
        let (aggregate, at) = (Aggregate::Contact(told.contact), at(told.micros));
        let entry = |(sequence, event)| JournalEntry { org_id, aggregate, sequence, at, event };
        entries.extend((told.sequence..).zip(events).map(entry));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use rivvi_core::domain::RunId;
    use rivvi_core::testkit::build;

    use super::*;

    fn entry(run: RunId, row: u64, sequence: u64) -> JournalEntry {
        let (aggregate, at) = (Aggregate::Contact(ContactId::of_row(run, row)), build::start());
        JournalEntry {
            org_id: build::org_id(1),
            aggregate,
            sequence,
            at,
            event: Event::ContactImported { row },
        }
    }

    #[test]
    fn everything_of_a_contact_stands_in_one_page_and_comes_back() {
        let run = build::run_id(1);
        let mut entries: Vec<_> = (0..1_300).map(|row| entry(run, row, 1)).collect();
        entries.extend((0..1_300).map(|row| entry(run, row, 2)));
        let borrowed: Vec<&JournalEntry> = entries.iter().collect();
        let told = Told::of(&borrowed);
        let pages = split(&told);
        let mut read_back = Vec::new();
        for (page, next) in pages.iter().zip(pages.iter().skip(1).map(Some).chain([None])) {
            assert!(page.len() <= CONTACTS_MAX + 1);
            assert_ne!(page.last().map(|told| told.contact), next.map(|next| next[0].contact));
            let text = serde_json::to_string(page).unwrap();
            read_back.extend(read(&text, build::org_id(1), |_| true).unwrap());
        }
        entries.sort_by_key(|entry| (entry.aggregate, entry.sequence));
        assert_eq!(read_back, entries);
        assert!(split(&[]).is_empty());
    }
}
