//! What is known of legs: placed here, read back, or placed by other processes.

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::domain::Disposition;
use rivvi_core::provider::{CallEvent, CallRef, CallUpdate};

use super::{PlacedLeg, SimulatedNetwork, State};
use crate::log::{Leg, NetworkLogError};
use crate::script::{Dice, Script};
use crate::turns::Turn;

impl SimulatedNetwork {
    /// What happens to a leg that is about to be placed.
    pub(super) fn script(&self, state: &State, leg: &Leg, ring_timeout: TimeDelta) -> Script {
        let nth = state.legs_to.get(&leg.to).copied().unwrap_or(0);
        Script::new(self.shared.seed, leg.to, nth, leg.at, ring_timeout, &self.behaviour(state))
    }

    /// What happens to a leg that was placed earlier, or by another process.
    pub(super) fn script_again(&self, state: &State, leg: &Leg) -> Script {
        // The ring timeout is not written down; that of most campaigns is taken where its effect is not either.
        let mut script = self.script(state, leg, TimeDelta::seconds(30));
        if let Some(end) = leg.ends_at {
            script.end_at(end);
        }
        script
    }

    pub(super) fn schedule_webhooks(&self, state: &mut State, leg: &Leg, script: &Script) {
        let behaviour = &self.behaviour(state);
        let nth = state.legs_to.get(&leg.to).copied().unwrap_or(0);
        let mut dice = Dice::new(self.shared.seed.wrapping_add(1), leg.to, nth + 1);
        // The acceptance is the answer to the request; everything later is told by webhook.
        for (at, event) in script.events.iter().skip(1) {
            let update = CallUpdate { call: CallRef::Id(leg.call_id), at: *at, event: event.clone() };
            if dice.happens(behaviour.lost_webhooks) {
                state.count("webhook lost");
                continue;
            }
            if dice.happens(behaviour.late_webhooks) {
                state.count("webhook late");
                let late = *at + behaviour.takes(dice.below(3 * 86_400));
                self.schedule(state, late, update);
                continue;
            }
            if dice.happens(behaviour.repeated_webhooks) {
                state.count("webhook repeated");
                let again = *at + behaviour.takes(dice.below(120));
                self.schedule(state, again, update.clone());
            }
            self.schedule(state, *at, update);
        }
        if let Some(end) = script.ends_at()
            && dice.happens(behaviour.wrong_webhooks)
        {
            state.count("webhook wrong");
            let at = end + behaviour.takes(1 + dice.below(3_600));
            let event = CallEvent::Ended {
                disposition: [Disposition::Busy, Disposition::AnsweredHuman][usize::from(dice.happens(0.5))],
                reason: None,
                talk_time: None,
            };
            self.schedule(state, at, CallUpdate { call: CallRef::Id(leg.call_id), at, event });
        }
    }

    /// Learns of legs that other processes have placed.
    pub(super) fn learn(&self, state: &mut State, legs: Vec<Leg>) {
        for leg in legs {
            let script = self.script_again(state, &leg);
            state.remember(leg, script);
        }
    }

    /// Reads what other processes have placed since the last look.
    pub(super) fn catch_up(&self, state: &mut State) -> Result<(), NetworkLogError> {
        if state.turns.is_some()
            && let Some(log) = &mut state.log
        {
            let legs = log.catch_up()?;
            self.learn(state, legs);
        }
        Ok(())
    }

    /// Waits until no other process writes to the log.
    pub(super) async fn turn(&self) -> std::io::Result<Option<Turn>> {
        let turns = self.state().turns.clone();
        match turns {
            Some(turns) => turns.take(self.shared.clock.as_ref()).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn schedule(&self, state: &mut State, at: DateTime<Utc>, update: CallUpdate) {
        state.scheduled += 1;
        let place = (at, state.scheduled);
        state.webhooks.insert(place, update);
        self.shared.scheduled.notify_one();
    }
}

impl State {
    pub(super) fn count(&mut self, fault: &'static str) {
        *self.fired.entry(fault).or_default() += 1;
    }

    pub(super) fn remember(&mut self, leg: Leg, script: Script) {
        *self.legs_to.entry(leg.to).or_default() += 1;
        self.calls.insert(leg.call_id, PlacedLeg { leg, script });
    }
}
