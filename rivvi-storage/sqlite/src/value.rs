//! How values of the domain stand in columns and parameters.

use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallId, CampaignId, ContactId, E164, ItemId, OrgId, PersonId, RunId, RunState};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use crate::error::{Failure, Unreadable};

/// An id of any kind.
pub(crate) trait Id: Copy {
    fn uuid(self) -> Uuid;
    fn of(value: Uuid) -> Self;

    /// As it stands in a column.
    fn blob(self) -> Vec<u8> {
        self.uuid().as_bytes().to_vec()
    }
}

macro_rules! ids {
    ($($id:ty),+) => {$(
        impl Id for $id {
            fn uuid(self) -> Uuid {
                self.as_uuid()
            }

            fn of(value: Uuid) -> Self {
                Self::from_uuid(value)
            }
        }
    )+};
}

impl Id for Uuid {
    fn uuid(self) -> Uuid {
        self
    }

    fn of(value: Uuid) -> Self {
        value
    }
}

ids!(OrgId, CampaignId, RunId, ContactId, CallId, PersonId, ItemId);

/// A list of ids as one parameter, for `unhex(value)` over `json_each`.
pub(crate) fn id_list<I: Id>(ids: impl IntoIterator<Item = I>) -> String {
    let mut buffer = Uuid::encode_buffer();
    list(ids, |list, id| {
        list.push('"');
        list.push_str(id.uuid().simple().encode_lower(&mut buffer));
        list.push('"');
    })
}

/// A list of numbers as one parameter, for `value` over `json_each`.
pub(crate) fn number_list(numbers: impl IntoIterator<Item = E164>) -> String {
    list(numbers, |list, number| list.push_str(&number.digits().to_string()))
}

/// A list of states of a run as one parameter.
pub(crate) fn state_list(states: impl IntoIterator<Item = RunState>) -> String {
    list(states, |list, state| {
        list.push('"');
        list.push_str(state.name());
        list.push('"');
    })
}

fn list<T>(items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut String, T)) -> String {
    let mut list = String::from("[");
    for item in items {
        if list.len() > 1 {
            list.push(',');
        }
        write(&mut list, item);
    }
    list.push(']');
    list
}

/// The digits of a number as they stand in a column.
pub(crate) fn digits(number: E164) -> i64 {
    number.digits().cast_signed()
}

/// Nanoseconds since 1970. Instants outside of the years 1678 to 2261 count as the end of that range.
pub(crate) fn nanos(at: DateTime<Utc>) -> i64 {
    let end = if at < DateTime::UNIX_EPOCH { i64::MIN } else { i64::MAX };
    at.timestamp_nanos_opt().unwrap_or(end)
}

/// The instant that [`nanos`] stands for.
pub(crate) fn instant(nanos: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_nanos(nanos)
}

/// A number of rows as SQLite takes it.
pub(crate) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The thing as a document.
pub(crate) fn document(what: &'static str, thing: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(thing).map_err(|error| Unreadable::json(what, &error).into())
}

/// The thing a document stands for.
pub(crate) fn thing<T: DeserializeOwned>(what: &'static str, document: &str) -> Result<T, Failure> {
    serde_json::from_str(document).map_err(|error| Unreadable::json(what, &error).into())
}

/// Reads columns of a row.
pub(crate) trait Columns {
    fn id<I: Id>(&self, column: usize) -> Result<I, Failure>;
    fn int(&self, column: usize) -> Result<i64, Failure>;
    fn optional_int(&self, column: usize) -> Result<Option<i64>, Failure>;
    fn number(&self, column: usize) -> Result<E164, Failure>;
    fn text(&self, column: usize) -> Result<&str, Failure>;
    fn optional_text(&self, column: usize) -> Result<Option<&str>, Failure>;

    fn thing<T: DeserializeOwned>(&self, what: &'static str, column: usize) -> Result<T, Failure> {
        thing(what, self.text(column)?)
    }
}

impl Columns for SqliteRow {
    fn id<I: Id>(&self, column: usize) -> Result<I, Failure> {
        let bytes = self.try_get::<&[u8], _>(column)?;
        Ok(I::of(Uuid::from_slice(bytes).map_err(|_| Unreadable::new("id"))?))
    }

    fn int(&self, column: usize) -> Result<i64, Failure> {
        Ok(self.try_get(column)?)
    }

    fn optional_int(&self, column: usize) -> Result<Option<i64>, Failure> {
        Ok(self.try_get(column)?)
    }

    fn number(&self, column: usize) -> Result<E164, Failure> {
        let digits = u64::try_from(self.int(column)?).ok().and_then(E164::from_digits);
        Ok(digits.ok_or(Unreadable::new("number"))?)
    }

    fn text(&self, column: usize) -> Result<&str, Failure> {
        Ok(self.try_get(column)?)
    }

    fn optional_text(&self, column: usize) -> Result<Option<&str>, Failure> {
        Ok(self.try_get(column)?)
    }
}
