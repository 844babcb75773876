//! What requests cost.

use std::sync::atomic::{AtomicU64, Ordering};

/// Read and write units used, as DynamoDB told.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Capacity {
    /// Read request units: a strongly consistent read of up to 4 KB is one.
    pub read_units: f64,
    /// Write request units: a transactional write of up to 1 KB is two, and one more per index it changes.
    pub write_units: f64,
    /// Kilobytes written by transactions that took effect, those of each item rounded up; updates and deletions, whose
    /// items are not seen here, count as one.
    pub transacted_kilobytes: u64,
}

/// Adds up what requests cost, in tenths of a unit.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    read: AtomicU64,
    written: AtomicU64,
    kilobytes: AtomicU64,
}

impl Meter {
    pub(crate) fn read(&self, units: f64) {
        self.read.fetch_add(tenths(units), Ordering::Relaxed);
    }

    pub(crate) fn wrote(&self, units: f64) {
        self.written.fetch_add(tenths(units), Ordering::Relaxed);
    }

    pub(crate) fn transacted(&self, kilobytes: usize) {
        self.kilobytes.fetch_add(kilobytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn total(&self) -> Capacity {
        let units = |tenths: &AtomicU64| tenths.load(Ordering::Relaxed) as f64 / 10.0;
        let transacted_kilobytes = self.kilobytes.load(Ordering::Relaxed);
        Capacity { read_units: units(&self.read), write_units: units(&self.written), transacted_kilobytes }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "units are small and not negative"
)]
fn tenths(units: f64) -> u64 {
    (units * 10.0).round() as u64
}
