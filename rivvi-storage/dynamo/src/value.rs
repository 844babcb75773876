//! Attributes: how things of the domain stand in an item.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Failure, Unreadable};

/// An item, or the key of one.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// The largest item DynamoDB keeps, in bytes of names and values.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>
pub(crate) const ITEM_BYTES_MAX: usize = 400 * 1024;

pub(crate) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(crate) fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A thing as JSON. Documents are texts, not maps: DynamoDB knows no empty names and no more than 32 levels.
pub(crate) fn document(what: &'static str, thing: &impl Serialize) -> Result<AttributeValue, Failure> {
    Ok(text(serde_json::to_string(thing).map_err(|error| Unreadable::json(what, &error))?))
}

/// Reads a thing from JSON.
pub(crate) fn thing<T: DeserializeOwned>(what: &'static str, json: &str) -> Result<T, Unreadable> {
    serde_json::from_str(json).map_err(|error| Unreadable::json(what, &error))
}

/// An instant as text that sorts like the instant: seconds since 17,592 milliards of seconds before 1970, then
/// nanoseconds, both in hexadecimal.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    let seconds = u64::try_from(at.timestamp() + EPOCH).unwrap_or(0);
    format!("{seconds:012x}{:08x}", at.timestamp_subsec_nanos())
}

/// Reads what [`instant`] wrote.
pub(crate) fn read_instant(written: &str) -> Result<DateTime<Utc>, Unreadable> {
    let parse = || {
        let seconds = i64::from_str_radix(written.get(..12)?, 16).ok()? - EPOCH;
        let nanos = u32::from_str_radix(written.get(12..20)?, 16).ok()?;
        DateTime::from_timestamp(seconds, nanos)
    };
    parse().ok_or(Unreadable::new("instant"))
}

/// Larger than the seconds between 1970 and the earliest instant that chrono knows.
const EPOCH: i64 = 1 << 44;

/// Reading the attributes of an item.
pub(crate) trait Attributes {
    fn optional_text(&self, name: &'static str) -> Option<&str>;
    fn optional_integer(&self, name: &'static str) -> Option<u64>;

    fn text(&self, name: &'static str) -> Result<&str, Unreadable> {
        self.optional_text(name).ok_or(Unreadable::new(name))
    }

    fn integer(&self, name: &'static str) -> Result<u64, Unreadable> {
        self.optional_integer(name).ok_or(Unreadable::new(name))
    }

    fn id<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, Unreadable> {
        self.text(name)?.parse().map_err(|_| Unreadable::new(name))
    }

    fn document<T: DeserializeOwned>(&self, what: &'static str, name: &'static str) -> Result<T, Unreadable> {
        thing(what, self.optional_text(name).ok_or(Unreadable::new(what))?)
    }
}

impl Attributes for Item {
    fn optional_text(&self, name: &'static str) -> Option<&str> {
        self.get(name)?.as_s().ok().map(String::as_str)
    }

    fn optional_integer(&self, name: &'static str) -> Option<u64> {
        self.get(name)?.as_n().ok()?.parse().ok()
    }
}

/// About how many bytes an item takes, never fewer.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
pub(crate) fn bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len(),
        AttributeValue::L(list) => 3 + list.iter().map(|value| 1 + value_bytes(value)).sum::<usize>(),
        AttributeValue::M(map) => 3 + map.len() + bytes(map),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_sort_as_text_and_come_back() {
        let instants = [
            DateTime::<Utc>::MIN_UTC,
            "1969-12-31T23:59:59.999999999Z".parse().unwrap(),
            DateTime::UNIX_EPOCH,
            "2030-01-07T09:00:00.000001Z".parse().unwrap(),
            "2030-01-07T09:00:00.000002Z".parse().unwrap(),
            DateTime::<Utc>::MAX_UTC,
        ];
        let written = instants.map(instant);
        assert!(written.is_sorted(), "{written:?}");
        assert_eq!(written.map(|written| read_instant(&written).unwrap()), instants);
        assert!(read_instant("tomorrow").is_err());
    }
}
