//! Identifiers: one newtype per thing, so that a call id can never stand where a contact id belongs.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        // As one number: indexes compare and hash ids more than anything else.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.as_u128().cmp(&other.0.as_u128())
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u128(self.0.as_u128());
            }
        }

        impl $name {
            /// The id with this value.
            pub const fn from_uuid(value: Uuid) -> Self {
                Self(value)
            }

            /// The value of the id.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

ids! {
    /// Names an [`Organization`](super::Organization).
    OrgId,
    /// Names a [`Campaign`](super::Campaign) over all its versions.
    CampaignId,
    /// Names a [`Run`](super::Run).
    RunId,
    /// Names a [`Contact`](super::Contact); derived from run and row by [`ContactId::of_row`].
    ContactId,
    /// Names a [`Call`](super::Call). Given to the provider as client reference, so that it can refuse a repetition.
    CallId,
    /// Names a [`Person`](super::Person).
    PersonId,
    /// Names an engine process for as long as it lives.
    NodeId,
    /// Names an item of the inbox or the outbox.
    ItemId,
}

impl ContactId {
    /// The contact that row `row` of run `run` becomes: always the same id, so importing twice adds nothing.
    ///
    /// Ids of one run ascend with the row, which keeps the indexes of a store compact.
    pub fn of_row(run: RunId, row: u64) -> Self {
        let mut bytes = *run.as_uuid().as_bytes();
        bytes[6] = 0x80 | (bytes[6] & 0x0f);
        bytes[11..].copy_from_slice(&row.to_be_bytes()[3..]);
        Self(Uuid::from_bytes(bytes))
    }

    /// Whether it is the id of some row of `run`.
    pub fn is_of(&self, run: RunId) -> bool {
        let mut first_row = *self.0.as_bytes();
        first_row[11..].fill(0);
        Self(Uuid::from_bytes(first_row)) == Self::of_row(run, 0)
    }

    /// The row that the contact was, of an id made by [`ContactId::of_row`].
    pub fn row(&self) -> u64 {
        self.0.as_bytes()[11..].iter().fold(0, |row, byte| row << 8 | u64::from(*byte))
    }

    /// The [stem](RunId::stem) of the contact's run, of an id made by [`ContactId::of_row`].
    pub fn run_stem(&self) -> [u8; 11] {
        stem(self.0)
    }
}

impl RunId {
    /// The part of the id that those of its contacts share, so that a contact's id tells its run.
    pub fn stem(&self) -> [u8; 11] {
        stem(self.0)
    }
}

/// What run and contacts have in common: all but the version and the last five bytes.
fn stem(id: Uuid) -> [u8; 11] {
    let mut stem = [0; 11];
    stem.copy_from_slice(&id.as_bytes()[..11]);
    stem[6] &= 0x0f;
    stem
}

/// Where new ids (UUID version 7, RFC 9562) come from: the time given by the caller and a random source that can be
/// seeded, so that a simulation is repeatable. Ids of one source and one millisecond ascend in the order in which they were
/// given out, so what was wanted first comes first.
#[derive(Debug)]
pub struct IdSource {
    state: Mutex<IdState>,
}

#[derive(Debug)]
struct IdState {
    random: StdRng,
    millis: u64,
    /// The upper 34 of the 74 bits that are not time: they tell runs apart, see [`RunId::stem`].
    upper: u64,
}

/// The bits of [`IdState::upper`] that are random in the first id of a millisecond; the one above leaves room to ascend.
const FIRST_UPPER: u64 = (1 << 33) - 1;

/// How far apart ids of a millisecond are at most: another source can hardly hit one.
const STEP_MAX: u64 = 256;

impl IdSource {
    /// A source seeded by the operating system.
    pub fn random() -> Self {
        Self::of(StdRng::from_os_rng())
    }

    /// A source that gives the same ids for the same seed and times.
    pub fn seeded(seed: u64) -> Self {
        Self::of(StdRng::seed_from_u64(seed))
    }

    fn of(random: StdRng) -> Self {
        Self { state: Mutex::new(IdState { random, millis: u64::MAX, upper: 0 }) }
    }

    /// A new id for something that comes into being at `now`.
    pub fn next(&self, now: DateTime<Utc>) -> Uuid {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let noise = state.random.next_u64();
        state.upper = if state.millis == millis {
            (state.upper + 1 + noise % STEP_MAX) % (1 << 34)
        } else {
            noise & FIRST_UPPER
        };
        state.millis = millis;
        let (upper, lower) = (state.upper, state.random.next_u64());
        // 12 bits beside the version, then 22 beside the variant, then 40.
        let (rand_a, rand_b) = (upper >> 22, ((upper & 0x3f_ffff) << 40) | (lower >> 24));
        Uuid::from_u64_pair((millis << 16) | 0x7000 | rand_a, (1 << 63) | rand_b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contact_ids_ascend_with_the_row_and_differ_between_runs() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let ids = IdSource::seeded(1);
        let (run, other) = (RunId::from_uuid(ids.next(now)), RunId::from_uuid(ids.next(now)));
        assert!(ContactId::of_row(run, 2) < ContactId::of_row(run, 10));
        assert_eq!(ContactId::of_row(run, 7), ContactId::of_row(run, 7));
        assert_ne!(ContactId::of_row(run, 7), ContactId::of_row(other, 7));
        assert!(ContactId::of_row(run, 7).is_of(run) && !ContactId::of_row(other, 7).is_of(run));
    }

    #[test]
    fn a_contact_id_tells_its_run_and_row() {
        let ids = IdSource::seeded(1);
        let (run, other) = (
            RunId::from_uuid(ids.next(DateTime::UNIX_EPOCH)),
            RunId::from_uuid(ids.next(DateTime::UNIX_EPOCH)),
        );
        for row in [1, 255, 256, 5_000_000] {
            let contact = ContactId::of_row(run, row);
            assert_eq!((contact.row(), contact.run_stem()), (row, run.stem()));
            assert_ne!(contact.run_stem(), other.stem());
        }
    }

    #[test]
    fn ids_of_a_millisecond_ascend_and_tell_runs_apart() {
        let (ids, now) = (IdSource::seeded(3), DateTime::from_timestamp_millis(1_790_000_000_123).unwrap());
        let given: Vec<Uuid> = (0..10_000).map(|_| ids.next(now)).collect();
        assert!(given.is_sorted_by(|one, next| one < next));
        let stems: std::collections::BTreeSet<_> =
            given.iter().map(|id| RunId::from_uuid(*id).stem()).collect();
        assert_eq!(stems.len(), given.len());
        for id in given {
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
            assert_eq!((seconds, nanos), (1_790_000_000, 123_000_000));
        }
        assert_ne!(ids.next(now + chrono::TimeDelta::milliseconds(1)), IdSource::seeded(4).next(now));
    }

    #[test]
    fn the_same_seed_gives_the_same_ids() {
        let now = DateTime::<Utc>::UNIX_EPOCH;
        assert_eq!(IdSource::seeded(7).next(now), IdSource::seeded(7).next(now));
    }
}
