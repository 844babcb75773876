//! Many inputs of one target.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::corpus::{self, Entry};
use crate::{Broken, Cost, Mutator, Target, Trial};

/// How much to run, beside the corpus itself.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// So many mutations, spread over the corpus.
    Mutations(u32),
    /// For so long.
    Time(Duration),
}

/// What was run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// How many inputs.
    pub inputs: u64,
    /// The highest costs.
    pub highest: Cost,
}

/// An input that broke something.
#[derive(Debug)]
pub struct Finding {
    /// What.
    pub broken: Broken,
    /// From which entry of the corpus it was made.
    pub origin: String,
    /// The file it was written to.
    pub file: PathBuf,
}

/// How long an input may hang before the process is ended.
const HANG: Duration = Duration::from_secs(60);

/// Runs the corpus of a target and mutations of it, the same for the same seed; stops at the first input that breaks
/// something and writes it to `folder`. Where an input hangs or ends the process, it is in `folder` as `<target>.at-hand`.
///
/// # Errors
/// The corpus cannot be read or a file cannot be written.
pub fn fuzz(
    target: &Target,
    length: Length,
    seed: u64,
    patience: u32,
    folder: &Path,
) -> io::Result<Result<Summary, Finding>> {
    let entries = corpus::read(target.name)?;
    std::fs::create_dir_all(folder)?;
    let at_hand = folder.join(format!("{}.at-hand", target.name));
    let trial = Trial::new(target, patience, at_hand.clone());
    let watch = Watch::over(format!("{}: an input hangs: {}", target.name, at_hand.display()));
    let mut summary = Summary::default();
    let mut mutator = Mutator::new(seed, &entries, target.dictionary, target.input_max);
    let as_they_are = entries.iter().map(|entry| (entry, entry.bytes.clone()));
    let mutations = mutations(&entries, &mut mutator, length);
    for (Entry { name, .. }, input) in as_they_are.chain(mutations) {
        watch.inputs.fetch_add(1, Ordering::Relaxed);
        match trial.run(&input)? {
            Ok(cost) => summary.add(cost),
            Err(broken) => {
                let digest = Sha256::digest(&input);
                let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                let file = folder.join(format!("{}-{digest}", target.name));
                std::fs::rename(&at_hand, &file)?;
                return Ok(Err(Finding { broken, origin: name.clone(), file }));
            }
        }
    }
    std::fs::remove_file(&at_hand)?;
    Ok(Ok(summary))
}

#[allow(clippy::disallowed_methods, reason = "a run lasts for real time")]
fn mutations<'a>(
    entries: &'a [Entry],
    mutator: &'a mut Mutator<'_>,
    length: Length,
) -> impl Iterator<Item = (&'a Entry, Vec<u8>)> {
    let start = Instant::now();
    let goes_on = move |done: u32| match length {
        Length::Mutations(all) => done < all,
        Length::Time(all) => start.elapsed() < all,
    };
    let numbers = (0..u32::MAX).take_while(move |done| goes_on(*done));
    entries.iter().cycle().zip(numbers).map(|(entry, _)| (entry, mutator.mutate(&entry.bytes)))
}

impl Summary {
    fn add(&mut self, cost: Cost) {
        self.inputs += 1;
        self.highest.time = self.highest.time.max(cost.time);
        self.highest.memory = self.highest.memory.max(cost.memory);
    }
}

/// Ends the process when no input is begun for too long.
struct Watch {
    inputs: Arc<AtomicU64>,
    /// Ends the watch when it is dropped.
    _end: Sender<()>,
}

impl Watch {
    fn over(message: String) -> Self {
        let inputs = Arc::new(AtomicU64::new(0));
        let (end, ended) = channel();
        let watched = inputs.clone();
        thread::spawn(move || {
            let mut before = 0;
            while ended.recv_timeout(HANG) == Err(RecvTimeoutError::Timeout) {
                let now = watched.load(Ordering::Relaxed);
                if now == before {
                    eprintln!("{message}");
                    std::process::abort();
                }
                before = now;
            }
        });
        Self { inputs, _end: end }
    }
}
