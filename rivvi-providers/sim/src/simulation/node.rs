//! One node of the engine.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rivvi_core::clock::{Clock, VirtualClock};
use rivvi_core::domain::IdSource;
use rivvi_core::engine::{EngineConfig, Rivvi};
use rivvi_core::storage::Storage;
use rivvi_core::testkit::{FaultyLedger, LedgerFaults};

use super::line::{Lines, OverLine};
use super::mailbox::Mailbox;
use super::parts::Parts;
use super::tasks::{NodeClock, Timers};
use crate::{SimulatedGateway, SimulatedNetwork};

/// What all nodes share.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) storage: Storage,
    pub(super) clock: Arc<VirtualClock>,
    pub(super) timers: Arc<Timers>,
    pub(super) network: SimulatedNetwork,
    pub(super) gateway: SimulatedGateway,
    pub(super) mailbox: Mailbox,
    pub(super) lines: Lines,
}

/// One node of the engine.
pub(super) struct Node {
    pub(super) rivvi: Rivvi,
    pub(super) ledger: FaultyLedger,
    pub(super) skew: TimeDelta,
    /// When it has something to do.
    pub(super) wants: Option<DateTime<Utc>>,
    pub(super) stands_still_until: Option<DateTime<Utc>>,
    pub(super) is_ticking: bool,
}

impl Node {
    /// A node that begins at `wants`; `seed` decides its faults and ids.
    pub(super) fn new(
        around: &Surroundings,
        parts: &dyn Parts,
        seed: u64,
        skew: TimeDelta,
        faults: LedgerFaults,
        wants: DateTime<Utc>,
    ) -> Self {
        let clock: Arc<dyn Clock> =
            Arc::new(NodeClock { base: around.clock.clone(), skew, timers: around.timers.clone() });
        let ledger = FaultyLedger::new(parts.ledger(around.storage.ledger.clone()), seed, faults);
        let ledger = ledger.with_clock(clock.clone());
        let storage = Storage { ledger: Arc::new(ledger.clone()), ..around.storage.clone() };
        let mut config = EngineConfig::default();
        config.unknown_deadline = Duration::from_secs(3_600);
        let (lines, of_voice, of_sms) = (&around.lines, clock.clone(), clock.clone());
        let voice = parts.voice(around.network.clone());
        let sms = parts.sms(around.gateway.clone());
        let rivvi = Rivvi::builder()
            .storage(storage)
            .clock(clock)
            .ids(IdSource::seeded(seed))
            .config(config)
            .voice(OverLine { provider: voice, lines: lines.clone(), clock: of_voice })
            .sms(OverLine { provider: sms, lines: lines.clone(), clock: of_sms })
            .email(around.mailbox.clone())
            .build()
            .unwrap_or_else(|error| unreachable!("the configuration holds: {error}"));
        let wants = Some(wants);
        Self { rivvi, ledger, skew, wants, stands_still_until: None, is_ticking: false }
    }

    /// Has it look around at `at` at the latest.
    pub(super) fn want(&mut self, at: DateTime<Utc>) {
        self.wants = Some(self.wants.map_or(at, |wants| wants.min(at)));
    }
}
