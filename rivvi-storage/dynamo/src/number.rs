//! What is known of a number within its organization: attempts, live call, suppression. One item, so that a condition
//! on its version makes caps, the one live call and the suppression list exact.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{Call, CallId, E164, OrgId, Suppression};
use rivvi_core::policy::NumberFacts;
use rivvi_core::storage::{AttemptChange, CallWrite, StorageError, StorageErrorKind, Writes};
use serde::{Deserialize, Serialize};

use crate::DynamoStorage;
use crate::error::Failure;
use crate::key;
use crate::place::{Place, VERSION, When, Write};
use crate::value::{Attributes, Item, document, number};

/// The item of a number.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NumberRow {
    #[serde(skip)]
    pub(crate) version: Option<u64>,
    /// Oldest first.
    attempts: Vec<(DateTime<Utc>, CallId)>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) live_call: Option<CallId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) suppression: Option<Suppression>,
}

impl NumberRow {
    fn read(item: &Item) -> Result<Self, Failure> {
        let row: Self = item.document("number", "doc")?;
        Ok(Self { version: Some(item.integer(VERSION)?), ..row })
    }

    pub(crate) fn facts(&self) -> NumberFacts {
        NumberFacts {
            attempts: self.attempts.iter().map(|(at, _)| *at).collect(),
            live_call: self.live_call,
            suppression: self.suppression.clone(),
        }
    }

    /// The row after what a contact's transaction does to it; `None` if that is nothing.
    ///
    /// # Errors
    /// [`Refused`](StorageErrorKind::Refused) if a second call to the number would be live.
    pub(crate) fn after(&self, writes: &Writes) -> Result<Option<Self>, Failure> {
        let mut row = self.clone();
        for (call, change) in &writes.attempts {
            row.attempt(call, *change);
        }
        for CallWrite { call, .. } in writes.calls.iter().filter(|write| write.ended()) {
            row.live_call = row.live_call.filter(|live| *live != call.id);
        }
        for CallWrite { call, .. } in writes.calls.iter().filter(|write| write.began()) {
            if let Some(other) = row.live_call.replace(call.id) {
                let context = format!("call {} is live already to the number of call {}", other, call.id);
                return Err(StorageError::new(StorageErrorKind::Refused, "begin_calls", context).into());
            }
        }
        for suppression in &writes.suppressions {
            row.suppress(suppression);
        }
        Ok((row != *self).then(|| row.next()))
    }

    /// The row with its next version.
    pub(crate) fn next(self) -> Self {
        Self { version: Some(self.version.unwrap_or(0) + 1), ..self }
    }

    pub(crate) fn suppress(&mut self, newer: &Suppression) {
        let known = self.suppression.take();
        self.suppression = Some(known.map_or_else(|| newer.clone(), |known| known.merged_with(newer)));
    }

    fn attempt(&mut self, call: &Call, change: AttemptChange) {
        match change {
            AttemptChange::Add(at) => {
                let place = self.attempts.partition_point(|(earlier, _)| *earlier <= at);
                self.attempts.insert(place, (at, call.id));
            }
            AttemptChange::Remove => self.attempts.retain(|(_, id)| *id != call.id),
        }
    }

    /// Writes the row over the one of version `before`.
    pub(crate) fn write(&self, place: Place, before: Option<u64>) -> Result<Write, Failure> {
        let version = number(self.version.unwrap_or(1));
        let item = place.item([(VERSION, version), ("doc", document("number", self)?)]);
        Ok(Write::Put { place, item, when: When::as_read(before) })
    }
}

/// What is known of numbers of one organization, each with a row, empty for those nobody knows.
pub(crate) async fn load(
    store: &DynamoStorage,
    org_id: OrgId,
    numbers: impl IntoIterator<Item = E164>,
) -> Result<HashMap<E164, NumberRow>, Failure> {
    let places: HashMap<Place, E164> =
        numbers.into_iter().map(|number| (key::number(org_id, number), number)).collect();
    let items = store.gateway().get_all(places.keys().cloned()).await?;
    let row = |(place, number): (Place, E164)| {
        let row = items.get(&place).map_or(Ok(NumberRow::default()), NumberRow::read)?;
        Ok((number, row))
    };
    places.into_iter().map(row).collect()
}
