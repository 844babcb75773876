//! The same for long: `scripts/real-faults` asks for so many calls by `RIVVI_REAL_FAULTS_CALLS`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::TimeDelta;
use rivvi::clock::{Clock, SystemClock};

use crate::disturbance::Tempo;
use crate::support;
use crate::support::windows::{Windows, zone_of};

/// How many calls are wanted at least, if it is a long run.
pub(crate) fn calls() -> Option<u64> {
    let text = std::env::var("RIVVI_REAL_FAULTS_CALLS").ok()?;
    Some(text.parse().expect("RIVVI_REAL_FAULTS_CALLS: expected a number of calls"))
}

/// How much is done, and how fast.
#[derive(Debug)]
pub(crate) struct Scale {
    pub(crate) rows: u64,
    /// Calls of the organization at once, over all nodes.
    pub(crate) concurrency: usize,
    /// Calls of the organization started per second.
    pub(crate) calls_per_second: usize,
    pub(crate) tempo: Tempo,
    /// Where the job and everything that nodes write lie.
    pub(crate) folder: PathBuf,
    pub(crate) windows: Option<Windows>,
}

impl Scale {
    /// A run of some seconds.
    pub(crate) fn short(folder: &Path, rows: u64) -> Self {
        let tempo = Tempo { patience: Duration::from_secs(300), pause_ms: 300..2_000, disturbed_max: 16 };
        let (folder, windows) = (folder.to_owned(), None);
        Self { rows, concurrency: 24, calls_per_second: 20, tempo, folder, windows }
    }

    /// A run of so many calls: each of some contacts is called again, so fewer contacts will do.
    pub(crate) fn long(calls: u64, seed: u64) -> Self {
        let patience = Duration::from_secs(600 + calls / 4);
        // So that a shorter run meets some too.
        let pause_ms = if calls < 10_000 { 1_000..6_000 } else { 5_000..40_000 };
        let tempo = Tempo { patience, pause_ms, disturbed_max: u32::MAX };
        let folder = support::target().join("real-faults").join(format!("nodes-{seed}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let windows = Some(Windows::around(SystemClock::new().now(), TimeDelta::from_std(patience).unwrap()));
        println!("{} keeps what the nodes wrote", folder.display());
        Self { rows: calls * 5 / 8, concurrency: 48, calls_per_second: 40, tempo, folder, windows }
    }

    /// How many of the contacts are on the suppression list.
    pub(crate) fn suppressed(&self) -> u64 {
        self.rows / 25
    }

    /// The contacts. Where there are windows, every other lives in a zone in which they open and close at another time.
    pub(crate) fn sheet(&self) -> String {
        if self.windows.is_none() {
            return support::sheet(self.rows);
        }
        let mut text = String::from("first name,phone,time zone\n");
        for row in 0..self.rows {
            text.push_str(&format!("Person {row},052-{:07},{}\n", digits_of(row), zone_of(row)));
        }
        text
    }
}

/// The last seven digits of the number of a row, as [`support::sheet`] gives them out.
pub(crate) fn digits_of(row: u64) -> u64 {
    2_000_000 + row * 7
}

/// The row that has this number.
pub(crate) fn row_of(number: &str) -> u64 {
    let digits: u64 = number[number.len() - 7..].parse().unwrap();
    (digits - digits_of(0)) / 7
}
