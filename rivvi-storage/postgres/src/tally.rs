//! The counts of a run, kept in shards that are added up when they are read.
//!
//! A shard holds what its writers added and took away, so a single one may be below zero. Places in `counts`, from 1:
//! waiting, calling, then outcomes from 3, exclusions from 19, dispositions from 35 and what became of messages from 51, in the order of the
//! lists here, which only ever grow at their ends. A row from before a list grew is shorter.

use std::collections::BTreeMap;

use rivvi_core::domain::{Disposition, Exclusion, MessageTally, OrgId, Outcome, RunId, RunTally};

use crate::connection::Connection;
use crate::error::Failure;
use crate::value::Columns;

const OUTCOMES: [Outcome; 8] = [
    Outcome::Completed,
    Outcome::Exhausted,
    Outcome::Excluded,
    Outcome::Expired,
    Outcome::Cancelled,
    Outcome::Unknown,
    Outcome::FallbackDelivered,
    Outcome::FallbackFailed,
];

const EXCLUSIONS: [Exclusion; 7] = [
    Exclusion::Suppressed,
    Exclusion::UnknownZone,
    Exclusion::NoLegalInstant,
    Exclusion::Cap,
    Exclusion::InvalidNumber,
    Exclusion::HostRule,
    Exclusion::NoSms,
];

const DISPOSITIONS: [Disposition; 11] = [
    Disposition::AnsweredHuman,
    Disposition::Voicemail,
    Disposition::Busy,
    Disposition::NoAnswer,
    Disposition::Rejected,
    Disposition::InvalidNumber,
    Disposition::Failed,
    Disposition::Canceled,
    Disposition::Unknown,
    Disposition::NotPlaced,
    Disposition::Sent,
];

const OUTCOMES_AT: usize = 2;
const EXCLUSIONS_AT: usize = 18;
const DISPOSITIONS_AT: usize = 34;
const MESSAGES_AT: usize = 50;
const MESSAGES: usize = 7;
const PLACES: usize = MESSAGES_AT + MESSAGES;

type Counts = [i64; PLACES];

/// Where counting begins, so that it can go either way.
const ORIGIN: u64 = 1 << 40;

/// A tally to count changes with: see [`Delta::since_origin`]. It does not notice how many calls are live.
pub(crate) fn origin() -> RunTally {
    RunTally {
        waiting: ORIGIN,
        calling: ORIGIN,
        outcomes: OUTCOMES.map(|outcome| (outcome, ORIGIN)).into(),
        exclusions: EXCLUSIONS.map(|exclusion| (exclusion, ORIGIN)).into(),
        dispositions: DISPOSITIONS.map(|disposition| (disposition, ORIGIN)).into(),
        live_calls_max: u64::MAX,
        messages: MessageTally::from_counts([ORIGIN; MESSAGES]),
    }
}

/// What is to be added to the counts of a run.
#[derive(Debug)]
pub(crate) struct Delta {
    counts: Counts,
    /// The most calls that were seen live at once; 0 if nobody looked.
    live_calls_max: i64,
}

impl Delta {
    /// What became of [`origin`].
    pub(crate) fn since_origin(tally: &RunTally) -> Self {
        let mut delta = Self::between(&origin(), tally);
        delta.live_calls_max = 0;
        delta
    }

    /// What lies between two tallies.
    pub(crate) fn between(before: &RunTally, after: &RunTally) -> Self {
        let (mut counts, before) = (counts(after), counts(before));
        counts.iter_mut().zip(before).for_each(|(count, before)| *count -= before);
        Self { counts, live_calls_max: i64::try_from(after.live_calls_max).unwrap_or(i64::MAX) }
    }

    fn is_nothing(&self) -> bool {
        self.live_calls_max == 0 && self.counts.iter().all(|count| *count == 0)
    }
}

fn counts(tally: &RunTally) -> Counts {
    let mut counts = [0; PLACES];
    (counts[0], counts[1]) = (tally.waiting.cast_signed(), tally.calling.cast_signed());
    let of = |count: Option<&u64>| count.map_or(0, |count| count.cast_signed());
    for (place, outcome) in OUTCOMES.iter().enumerate() {
        counts[OUTCOMES_AT + place] = of(tally.outcomes.get(outcome));
    }
    for (place, exclusion) in EXCLUSIONS.iter().enumerate() {
        counts[EXCLUSIONS_AT + place] = of(tally.exclusions.get(exclusion));
    }
    for (place, disposition) in DISPOSITIONS.iter().enumerate() {
        counts[DISPOSITIONS_AT + place] = of(tally.dispositions.get(disposition));
    }
    for (place, (_, count)) in tally.messages.named().into_iter().enumerate() {
        counts[MESSAGES_AT + place] = count.cast_signed();
    }
    counts
}

fn tally(counts: &Counts, live_calls_max: i64) -> RunTally {
    let count = |place: usize| u64::try_from(counts[place]).unwrap_or(0);
    fn named<K: Ord + Copy>(keys: &[K], at: usize, count: impl Fn(usize) -> u64) -> BTreeMap<K, u64> {
        let all = keys.iter().enumerate().map(|(place, key)| (*key, count(at + place)));
        all.filter(|(_, count)| *count > 0).collect()
    }
    RunTally {
        waiting: count(0),
        calling: count(1),
        outcomes: named(&OUTCOMES, OUTCOMES_AT, count),
        exclusions: named(&EXCLUSIONS, EXCLUSIONS_AT, count),
        dispositions: named(&DISPOSITIONS, DISPOSITIONS_AT, count),
        live_calls_max: u64::try_from(live_calls_max).unwrap_or(0),
        messages: MessageTally::from_counts(std::array::from_fn(|place| count(MESSAGES_AT + place))),
    }
}

/// Adds to the counts of runs.
pub(crate) async fn add(
    connection: &mut Connection,
    deltas: Vec<(RunId, OrgId, Delta)>,
) -> Result<(), Failure> {
    let add = "INSERT INTO run_tallies AS t (run_id, shard, org_id, live_calls_max, counts) \
               VALUES ($1, pg_backend_pid() % 8, $2, $3, $4) ON CONFLICT (run_id, shard) DO UPDATE SET \
                 live_calls_max = greatest(t.live_calls_max, excluded.live_calls_max), \
                 counts = ARRAY(SELECT coalesce(known, 0) + more FROM unnest(t.counts, excluded.counts) WITH ORDINALITY \
                   AS place(known, more, n) ORDER BY n)";
    for (run_id, org_id, delta) in deltas {
        if delta.is_nothing() {
            continue;
        }
        let add = sqlx::query(add).bind(run_id.as_uuid()).bind(org_id.as_uuid());
        connection.run(add.bind(delta.live_calls_max).bind(&delta.counts[..])).await?;
    }
    Ok(())
}

/// The counts of a run; all zero if nothing was counted yet.
pub(crate) async fn read(connection: &mut Connection, run_id: RunId) -> Result<RunTally, Failure> {
    let shards = "SELECT live_calls_max, counts FROM run_tallies WHERE run_id = $1";
    let shards = connection.rows(sqlx::query(shards).bind(run_id.as_uuid())).await?;
    let (mut sum, mut most) = ([0; PLACES], 0);
    for shard in &shards {
        most = shard.int(0)?.max(most);
        let counts: Vec<i64> = shard.value(1)?;
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    Ok(tally(&sum, most))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rivvi_core::domain::ContactState;

    use super::*;

    #[test]
    fn every_word_of_the_domain_has_a_place_of_its_own() {
        let known: BTreeSet<_> = OUTCOMES.into_iter().collect();
        assert_eq!(known, Outcome::ALL.into_iter().collect());
        let known: BTreeSet<_> = EXCLUSIONS.into_iter().collect();
        assert_eq!(known, Exclusion::ALL.into_iter().collect());
        let known: BTreeSet<_> = DISPOSITIONS.into_iter().collect();
        assert_eq!(known, Disposition::ALL.into_iter().collect());
        assert!(OUTCOMES_AT + OUTCOMES.len() <= EXCLUSIONS_AT);
        assert!(EXCLUSIONS_AT + EXCLUSIONS.len() <= DISPOSITIONS_AT);
        assert!(DISPOSITIONS_AT + DISPOSITIONS.len() <= MESSAGES_AT);
    }

    #[test]
    fn changes_add_up_whoever_counted_them() {
        let at = chrono::DateTime::UNIX_EPOCH;
        let (waiting, outcome) = (ContactState::Waiting { due_at: at }, Outcome::Excluded);
        let settled = ContactState::Settled { outcome, exclusion: Some(Exclusion::Cap), at };
        let (mut one, mut other) = (origin(), origin());
        one.enter(&waiting);
        one.enter(&waiting);
        other.leave(&waiting);
        other.enter(&settled);
        other.end_call(Disposition::Busy);
        other.observe_live();
        let mut sum = Delta::since_origin(&one);
        let more = Delta::since_origin(&other);
        sum.counts.iter_mut().zip(more.counts).for_each(|(sum, more)| *sum += more);
        let expected = RunTally {
            waiting: 1,
            outcomes: [(outcome, 1)].into(),
            exclusions: [(Exclusion::Cap, 1)].into(),
            dispositions: [(Disposition::Busy, 1)].into(),
            ..RunTally::default()
        };
        assert_eq!(tally(&sum.counts, 0), expected);
        assert!(Delta::since_origin(&origin()).is_nothing());
    }
}
