//! A gateway that is not there, in time that runs fast.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::Args;
use rivvi::clock::{Clock, ScaledClock};
use rivvi::engine::EngineConfig;
use rivvi::provider::Lookup;
use rivvi::providers::{GatewayBehaviour, SimulatedGateway};
use rivvi::storage::{Storage, StorageError};

#[derive(Debug, Args)]
pub(crate) struct SimulationOptions {
    /// Simulated seconds per real second
    #[arg(long, value_name = "X", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    speed: u32,
    /// Decides how simulated phones behave
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl SimulationOptions {
    /// The clock of the simulation. An interrupted run goes on where its time had come to.
    pub(crate) async fn clock(&self, storage: &Storage) -> Result<Arc<dyn Clock>, StorageError> {
        // Monday, half an hour before the shipped campaign may write to Israel.
        let start = DateTime::from_timestamp(1_772_433_000, 0).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
        let start = storage.ledger.last_entry_at().await?.map_or(start, |last| last.max(start));
        Ok(Arc::new(ScaledClock::new(start, f64::from(self.speed))))
    }

    /// The gateway. It forgets its messages with the process, so they are not looked up by our ids: what is not found would
    /// be sent again.
    pub(crate) fn gateway(&self, clock: Arc<dyn Clock>) -> SimulatedGateway {
        let mut behaviour = GatewayBehaviour::default();
        behaviour.lookup = Lookup::ByReference;
        SimulatedGateway::new(clock, self.seed, behaviour)
    }

    /// Gives the engine the time that the machine needs for its work, which is long in simulated time.
    pub(crate) fn adapt(&self, config: &mut EngineConfig) {
        let machine_time = self.scaled(Duration::from_millis(250));
        config.place_timeout = config.place_timeout.max(machine_time);
        config.lease = config.lease.max(config.place_timeout * 3);
        config.lookup_interval = config.lookup_interval.max(config.place_timeout * 2);
        config.idle_max = config.idle_max.max(machine_time);
    }

    /// What a real span is in simulated time.
    pub(crate) fn scaled(&self, span: Duration) -> Duration {
        span * self.speed
    }
}
