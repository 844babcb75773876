//! Journal entries of one organization as the arguments of the counting script.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use fred::types::{Key, Value};
use rivvi_core::domain::{Aggregate, Event, JournalEntry};

/// Contacts whose marks share a hash: few enough for Redis to keep it as a compact list (up to 128 by default).
const CONTACTS_PER_HASH: u64 = 100;

/// Entries to be counted.
#[derive(Debug)]
pub(super) struct Batch {
    tag: String,
    keys: Vec<Key>,
    /// Of each key its index, counted from 1.
    index: HashMap<String, i64>,
    arguments: Vec<Value>,
}

impl Batch {
    pub(super) fn new(tag: String, keep: Duration) -> Self {
        let organization = organization_key(&tag);
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let mut batch =
            Self { tag, keys: Vec::new(), index: HashMap::new(), arguments: vec![keep_ms.into()] };
        batch.index_of(organization);
        batch
    }

    /// Adds an entry, if it is one that is counted.
    pub(super) fn add(&mut self, entry: &JournalEntry) {
        let Some(name) = counted(&entry.event) else { return };
        let (mark, field, run) = match entry.aggregate {
            Aggregate::Contact(id) => {
                let run = run_key(&self.tag, id.run_stem());
                let (hash, place) = (id.row() / CONTACTS_PER_HASH, id.row() % CONTACTS_PER_HASH);
                (format!("{run}:seen:{hash}"), place.to_string(), Some(run))
            }
            other => (format!("{}:seen", self.tag), other.uuid().simple().to_string(), None),
        };
        let mark = self.index_of(mark);
        let run = run.map_or(0, |run| self.index_of(run));
        let sequence = i64::try_from(entry.sequence).unwrap_or(i64::MAX);
        self.arguments.extend([mark.into(), field.into(), sequence.into(), run.into(), Value::from(name)]);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.arguments.len() == 1
    }

    pub(super) fn into_parts(self) -> (Vec<Key>, Vec<Value>) {
        (self.keys, self.arguments)
    }

    fn index_of(&mut self, key: String) -> i64 {
        let next = self.index.len() as i64 + 1;
        *self.index.entry(key).or_insert_with_key(|key| {
            self.keys.push(key.clone().into());
            next
        })
    }
}

pub(super) fn organization_key(tag: &str) -> String {
    format!("{tag}:counts")
}

pub(super) fn run_key(tag: &str, stem: [u8; 11]) -> String {
    let mut key = format!("{tag}:run:");
    for byte in stem {
        // Writing to a string cannot fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

/// The name under which an event is counted.
fn counted(event: &Event) -> Option<String> {
    Some(match event {
        Event::ContactImported { .. } => "imported".into(),
        Event::CallIntended { .. } => "begun".into(),
        Event::CallAnswered { .. } => "answered".into(),
        Event::CallEnded { disposition, .. } => format!("ended:{disposition}"),
        Event::ContactSettled { outcome, .. } => format!("settled:{outcome}"),
        Event::RetryPlanned { .. } => "retries".into(),
        Event::OptedOut { .. } => "opted_out".into(),
        Event::CallbackRequested { .. } => "callbacks".into(),
        Event::NumberSuppressed { .. } => "suppressed".into(),
        Event::NumberReleased { .. } => "released".into(),
        _ => return None,
    })
}
