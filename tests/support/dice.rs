//! Small repeatable random numbers.

use rivvi::clock::{Clock, SystemClock};

pub(crate) struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// Seeded by `RIVVI_NODES_SEED`, else by the time; tells how to have it again.
    pub(crate) fn told() -> Self {
        let seed = match std::env::var("RIVVI_NODES_SEED") {
            Ok(text) => text.parse().expect("RIVVI_NODES_SEED: expected a number"),
            Err(_) => SystemClock::new().now().timestamp_micros().unsigned_abs() % 1_000_000_000,
        };
        println!("RIVVI_NODES_SEED={seed} replays this");
        Self { seed, state: seed }
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % bound.max(1)
    }
}
