//! What happens to one call leg, decided by the seed, the number and how often it was called before.

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::domain::{Disposition, E164};
use rivvi_core::provider::{Answerer, CallEvent};
use sha2::{Digest, Sha256};

use crate::Behaviour;

/// The events of one leg, in the order of their times.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Script {
    pub(crate) events: Vec<(DateTime<Utc>, CallEvent)>,
}

impl Script {
    /// What happens to the `nth` leg (from 0) to a number that was placed at `at`.
    pub(crate) fn new(
        seed: u64,
        number: E164,
        nth: u64,
        at: DateTime<Utc>,
        ring_timeout: TimeDelta,
        behaviour: &Behaviour,
    ) -> Self {
        let mut dice = Dice::new(seed, number, nth);
        let disposition = disposition(&mut dice, behaviour);
        let mut events = vec![(at, CallEvent::Accepted { reference: None })];
        let at = at + Self::queued(seed, number, nth, behaviour);
        let mut clock = at;
        let mut later = |from: u64, to: u64, dice: &mut Dice| {
            clock += behaviour.takes(from + dice.below(to - from + 1));
            clock
        };
        let ended = |disposition, reason: &str, talk: Option<u64>| CallEvent::Ended {
            disposition,
            reason: Some(reason.to_owned()),
            talk_time: talk.and_then(|seconds| behaviour.takes(seconds).to_std().ok()),
        };
        match disposition {
            Disposition::Busy => {
                events.push((later(1, 2, &mut dice), ended(Disposition::Busy, "486 busy here", None)));
            }
            Disposition::Failed => {
                events.push((later(1, 6, &mut dice), ended(Disposition::Failed, "503 unavailable", None)));
            }
            Disposition::NoAnswer => {
                events.push((later(1, 3, &mut dice), CallEvent::Ringing));
                let given_up = at + behaviour.hurried(ring_timeout.max(TimeDelta::seconds(4)));
                events.push((given_up, ended(Disposition::NoAnswer, "487 ring timeout", None)));
            }
            Disposition::Rejected => {
                events.push((later(1, 3, &mut dice), CallEvent::Ringing));
                events.push((later(2, 8, &mut dice), ended(Disposition::Rejected, "603 decline", None)));
            }
            Disposition::Voicemail => {
                events.push((later(1, 3, &mut dice), CallEvent::Ringing));
                let by = Answerer::Machine;
                events.push((later(8, 11, &mut dice), CallEvent::Answered { by }));
                let talk = 5 + dice.below(15);
                events.push((
                    later(talk, talk, &mut dice),
                    ended(Disposition::Voicemail, "machine", Some(talk)),
                ));
            }
            _ => {
                events.push((later(1, 3, &mut dice), CallEvent::Ringing));
                let by = Answerer::Human;
                events.push((later(2, 11, &mut dice), CallEvent::Answered { by }));
                if dice.happens(behaviour.action) {
                    let at = later(3, 9, &mut dice);
                    let name = behaviour.action_name.clone();
                    let key = "1".to_owned();
                    events.push((at, CallEvent::Action { key, name, parameters: Default::default() }));
                }
                if dice.happens(behaviour.opt_out) {
                    events.push((later(2, 9, &mut dice), CallEvent::OptOut));
                }
                let talk = 15 + dice.below(75);
                events.push((
                    later(talk, talk, &mut dice),
                    ended(Disposition::AnsweredHuman, "completed", Some(talk)),
                ));
            }
        }
        Self { events }
    }

    /// How long the leg waits before the phone rings.
    pub(crate) fn queued(seed: u64, number: E164, nth: u64, behaviour: &Behaviour) -> TimeDelta {
        let mut dice = Dice::new(seed.wrapping_add(4), number, nth);
        match dice.happens(behaviour.queued) {
            true => behaviour.takes(3_600 + dice.below(5 * 3_600)),
            false => TimeDelta::zero(),
        }
    }

    /// Has the leg end at `at`, as was decided before.
    pub(crate) fn end_at(&mut self, at: DateTime<Utc>) {
        if let Some((end, _)) = self.events.last_mut() {
            *end = at;
        }
    }

    /// When the leg is over.
    pub(crate) fn ends_at(&self) -> Option<DateTime<Utc>> {
        self.events.last().map(|(at, _)| *at)
    }

    /// Ends the leg at `at`. Returns whether it had not ended before.
    pub(crate) fn hang_up(&mut self, at: DateTime<Utc>) -> bool {
        if self.ends_at().is_none_or(|end| end <= at) {
            return false;
        }
        self.events.retain(|(when, _)| *when <= at);
        let answered = self.events.iter().rev().find_map(|(when, event)| match event {
            CallEvent::Answered { by } => Some((*when, *by)),
            _ => None,
        });
        let (disposition, talk_time) = match answered {
            Some((since, Answerer::Machine)) => (Disposition::Voicemail, (at - since).to_std().ok()),
            Some((since, _)) => (Disposition::AnsweredHuman, (at - since).to_std().ok()),
            None => (Disposition::Canceled, None),
        };
        let reason = Some("hung up by the caller".to_owned());
        self.events.push((at, CallEvent::Ended { disposition, reason, talk_time }));
        true
    }
}

fn disposition(dice: &mut Dice, behaviour: &Behaviour) -> Disposition {
    let weights = [
        (Disposition::AnsweredHuman, behaviour.human),
        (Disposition::Voicemail, behaviour.voicemail),
        (Disposition::Busy, behaviour.busy),
        (Disposition::NoAnswer, behaviour.no_answer),
        (Disposition::Rejected, behaviour.rejected),
        (Disposition::Failed, behaviour.failed),
    ];
    let sum: u64 = weights.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut drawn = dice.below(sum.max(1));
    for (disposition, weight) in weights {
        if drawn < u64::from(weight) {
            return disposition;
        }
        drawn -= u64::from(weight);
    }
    Disposition::AnsweredHuman
}

/// Random numbers that depend on nothing but what they were made from.
#[derive(Debug)]
pub(crate) struct Dice {
    state: [u8; 32],
    used: usize,
}

impl Dice {
    pub(crate) fn new(seed: u64, number: E164, nth: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        hash.update(number.digits().to_be_bytes());
        hash.update(nth.to_be_bytes());
        Self { state: hash.finalize().into(), used: 0 }
    }

    /// A number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if self.used + 8 > self.state.len() {
            self.state = Sha256::digest(self.state).into();
            self.used = 0;
        }
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.state[self.used..self.used + 8]);
        self.used += 8;
        u64::from_be_bytes(bytes) % bound.max(1)
    }

    /// Whether something with this share happens.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        #[allow(clippy::cast_precision_loss, reason = "a million fits")]
        let drawn = self.below(1_000_000) as f64 / 1_000_000.0;
        drawn < share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(number: u64, nth: u64) -> Script {
        let number = E164::from_digits(number).unwrap();
        let at = DateTime::UNIX_EPOCH;
        Script::new(7, number, nth, at, TimeDelta::seconds(30), &Behaviour::default())
    }

    #[test]
    fn the_same_call_goes_the_same_way_and_the_next_may_differ() {
        assert_eq!(script(972_541_234_567, 0), script(972_541_234_567, 0));
        let differ =
            (0..50).filter(|n| script(972_541_234_567 + n, 0) != script(972_541_234_567 + n, 1)).count();
        assert!(differ > 40);
    }

    #[test]
    fn every_script_ends_once_and_its_times_ascend() {
        for number in 0..500 {
            let script = script(972_541_000_000 + number, 0);
            assert!(script.events.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            let ends = script.events.iter().filter(|(_, event)| matches!(event, CallEvent::Ended { .. }));
            assert_eq!(ends.count(), 1);
        }
    }

    #[test]
    fn hanging_up_ends_a_leg_where_it_is() {
        let mut script = script(972_541_000_003, 0);
        let at = DateTime::UNIX_EPOCH;
        assert!(script.hang_up(at));
        assert_eq!(script.ends_at(), Some(at));
        assert!(!script.hang_up(at + TimeDelta::seconds(1)), "it has ended already");
    }
}
