//! One input and what it costs.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use peak_alloc::PeakAlloc;

use crate::Target;

/// What an input cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// How long it took.
    pub time: Duration,
    /// The most memory that was allocated at once beyond what was before, in bytes. Zero unless [`PeakAlloc`] is the
    /// global allocator of the program.
    pub memory: usize,
}

/// What an input broke.
#[derive(Debug, Clone)]
pub enum Broken {
    /// It made the target panic.
    Panicked(String),
    /// It took longer than the target's limit.
    Slow(Duration),
    /// It took more memory than the target's limit, in bytes.
    Large(usize),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "it panics: {message}"),
            Self::Slow(time) => write!(f, "it takes {time:?}"),
            Self::Large(bytes) => write!(f, "it takes {} KiB of memory", bytes / 1024),
        }
    }
}

/// Runs inputs of one target. The input at hand is kept in a file, so that it is known even if the process ends.
#[derive(Debug)]
pub struct Trial<'a> {
    target: &'a Target,
    /// How many times the target's limit of time holds, for slow builds and machines.
    patience: u32,
    at_hand: PathBuf,
}

impl<'a> Trial<'a> {
    /// Trials of a target that write the input at hand to a file.
    pub fn new(target: &'a Target, patience: u32, at_hand: PathBuf) -> Self {
        Self { target, patience, at_hand }
    }

    /// Runs one input.
    ///
    /// # Errors
    /// The input at hand cannot be written.
    pub fn run(&self, input: &[u8]) -> io::Result<Result<Cost, Broken>> {
        fs::write(&self.at_hand, input)?;
        Ok(self.measure(input))
    }

    #[allow(clippy::disallowed_methods, reason = "what is measured is real time")]
    fn measure(&self, input: &[u8]) -> Result<Cost, Broken> {
        PeakAlloc.reset_peak_usage();
        let (before, start) = (PeakAlloc.current_usage(), Instant::now());
        let done = catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        let time = start.elapsed();
        let memory = PeakAlloc.peak_usage().saturating_sub(before);
        if let Err(panic) = done {
            return Err(Broken::Panicked(message(panic.as_ref())));
        }
        if time > self.target.time_max * self.patience {
            return Err(Broken::Slow(time));
        }
        if memory > self.target.memory_max {
            return Err(Broken::Large(memory));
        }
        Ok(Cost { time, memory })
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".into())
}
