//! How values of the domain stand in columns and parameters.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use rivvi_core::domain::{
    CallId, CampaignId, ContactId, Disposition, E164, Exclusion, ItemId, NodeId, OrgId, Outcome, PersonId,
    RunId, RunState,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgRow;
use sqlx::{Decode, Postgres, Row as _, Type};
use uuid::Uuid;

use crate::error::{Failure, Unreadable};

/// An id of any kind.
pub(crate) trait Id: Copy {
    fn uuid(self) -> Uuid;
    fn of(value: Uuid) -> Self;
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

ids!(OrgId, CampaignId, RunId, ContactId, CallId, PersonId, NodeId, ItemId);

/// Ids as one parameter.
pub(crate) fn uuids<I: Id>(ids: impl IntoIterator<Item = I>) -> Vec<Uuid> {
    ids.into_iter().map(Id::uuid).collect()
}

/// An id that may be left out, as one parameter.
pub(crate) fn after<I: Id>(id: Option<I>) -> Option<Uuid> {
    id.map(Id::uuid)
}

/// The digits of a number as they stand in a column.
pub(crate) fn digits(number: E164) -> i64 {
    number.digits().cast_signed()
}

/// The instant as PostgreSQL takes it: those before the year -4000 count as its beginning.
pub(crate) fn instant(at: DateTime<Utc>) -> DateTime<Utc> {
    const EARLIEST: i64 = -188_400_000_000;
    at.max(DateTime::from_timestamp(EARLIEST, 0).unwrap_or(DateTime::UNIX_EPOCH))
}

/// A count as it stands in a column.
pub(crate) fn count(value: u32) -> i64 {
    i64::from(value)
}

/// The count that stands in a column.
pub(crate) fn counted(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(if value < 0 { 0 } else { u32::MAX })
}

/// A number of rows as PostgreSQL takes it.
pub(crate) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The thing as a document.
pub(crate) fn document(what: &'static str, thing: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(thing).map_err(|error| Unreadable::json(what, &error).into())
}

/// The same of a thing of about so many bytes.
pub(crate) fn long_document(
    what: &'static str,
    thing: &impl Serialize,
    bytes: usize,
) -> Result<String, Failure> {
    let mut document = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut document, thing).map_err(|error| Unreadable::json(what, &error))?;
    String::from_utf8(document).map_err(|_| Unreadable::new(what).into())
}

/// The thing a document stands for.
pub(crate) fn thing<T: DeserializeOwned>(what: &'static str, document: &str) -> Result<T, Failure> {
    serde_json::from_str(document).map_err(|error| Unreadable::json(what, &error).into())
}

/// The thing as JSON that people query. What JSON columns cannot hold, the character NUL, is replaced: the document has
/// it.
pub(crate) fn queryable(what: &'static str, thing: &impl Serialize) -> Result<String, Failure> {
    let value = serde_json::to_value(thing).map_err(|error| Unreadable::json(what, &error))?;
    document(what, &without_nul(value))
}

fn without_nul(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(legible(&text).into_owned()),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nul).collect()),
        Value::Object(fields) => {
            let fields = fields.into_iter();
            Value::Object(
                fields.map(|(key, value)| (legible(&key).into_owned(), without_nul(value))).collect(),
            )
        }
        other => other,
    }
}

/// Text that people query; the document has it as it is.
pub(crate) fn legible(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// Text that is read back, without the character NUL, which PostgreSQL does not take: `\u{1}` is the escape.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte <= 1) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace('\u{1}', "\u{1}1").replace('\0', "\u{1}0"))
}

/// The text that [`text`] stands for.
pub(crate) fn of_text(text: &str) -> String {
    if !text.contains('\u{1}') {
        return text.to_owned();
    }
    text.replace("\u{1}0", "\0").replace("\u{1}1", "\u{1}")
}

pub(crate) fn run_state(name: &str) -> Result<RunState, Failure> {
    let state = RunState::ALL.into_iter().find(|state| state.name() == name);
    state.ok_or_else(|| Unreadable::new("state of a run").into())
}

pub(crate) fn outcome(name: &str) -> Result<Outcome, Failure> {
    let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.name() == name);
    outcome.ok_or_else(|| Unreadable::new("outcome").into())
}

pub(crate) fn exclusion(name: &str) -> Result<Exclusion, Failure> {
    let exclusion = Exclusion::ALL.into_iter().find(|exclusion| exclusion.name() == name);
    exclusion.ok_or_else(|| Unreadable::new("exclusion").into())
}

pub(crate) fn disposition(name: &str) -> Result<Disposition, Failure> {
    let disposition = Disposition::ALL.into_iter().find(|disposition| disposition.name() == name);
    disposition.ok_or_else(|| Unreadable::new("disposition").into())
}

/// Reads columns of a row.
pub(crate) trait Columns {
    fn value<'r, T: Decode<'r, Postgres> + Type<Postgres>>(&'r self, column: usize) -> Result<T, Failure>;

    fn id<I: Id>(&self, column: usize) -> Result<I, Failure> {
        Ok(I::of(self.value(column)?))
    }

    fn optional_id<I: Id>(&self, column: usize) -> Result<Option<I>, Failure> {
        Ok(self.value::<Option<Uuid>>(column)?.map(I::of))
    }

    fn int(&self, column: usize) -> Result<i64, Failure> {
        self.value(column)
    }

    fn count(&self, column: usize) -> Result<u32, Failure> {
        Ok(counted(self.int(column)?))
    }

    fn number(&self, column: usize) -> Result<E164, Failure> {
        let digits = E164::from_digits(self.int(column)?.cast_unsigned());
        Ok(digits.ok_or(Unreadable::new("number"))?)
    }

    fn instant(&self, column: usize) -> Result<DateTime<Utc>, Failure> {
        self.value(column)
    }

    fn optional_instant(&self, column: usize) -> Result<Option<DateTime<Utc>>, Failure> {
        self.value(column)
    }

    fn text(&self, column: usize) -> Result<&str, Failure> {
        self.value(column)
    }

    fn optional_text(&self, column: usize) -> Result<Option<&str>, Failure> {
        self.value(column)
    }

    fn thing<T: DeserializeOwned>(&self, what: &'static str, column: usize) -> Result<T, Failure> {
        thing(what, self.text(column)?)
    }
}

impl Columns for PgRow {
    fn value<'r, T: Decode<'r, Postgres> + Type<Postgres>>(&'r self, column: usize) -> Result<T, Failure> {
        Ok(self.try_get(column)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_any_character_comes_back() {
        for original in ["", "plain", "\0", "\u{1}", "a\0\u{1}0\u{1}\u{1}1\0\0z", "\u{1}0", "\u{1}1"] {
            let stored = text(original);
            assert!(!stored.contains('\0'));
            assert_eq!(of_text(&stored), original);
        }
    }

    #[test]
    fn instants_outside_of_the_range_of_the_server_are_moved_to_its_end() {
        assert_eq!(instant(DateTime::UNIX_EPOCH), DateTime::UNIX_EPOCH);
        let earliest = instant(DateTime::<Utc>::MIN_UTC);
        assert!(DateTime::<Utc>::MIN_UTC < earliest && earliest < DateTime::UNIX_EPOCH);
        assert_eq!(instant(DateTime::<Utc>::MAX_UTC), DateTime::<Utc>::MAX_UTC);
    }

    #[test]
    fn queryable_json_has_no_character_that_the_server_refuses() {
        let json = queryable("test", &serde_json::json!({ "a\0": ["\0b", 1] })).unwrap();
        assert_eq!(json, "{\"a\u{fffd}\":[\"\u{fffd}b\",1]}");
    }
}
