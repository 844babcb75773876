//! Every target over its corpus and a bounded number of mutations, always the same: nothing panics, hangs, or takes more
//! memory than is stated.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test stops at the first error")]

use std::collections::BTreeSet;
use std::path::Path;

use peak_alloc::PeakAlloc;
use rivvi_fuzz::{Length, TARGETS, corpus, fuzz};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many times the limits of time hold: the code is not optimized, and other tests run beside.
const PATIENCE: u32 = 10;

// One test, for memory is counted for the whole process.
#[test]
fn no_input_panics_hangs_or_takes_more_than_is_stated() {
    // Decoders of spreadsheets panic on damage, which is caught.
    std::panic::set_hook(Box::new(|panic| {
        if panic.location().is_some_and(|place| place.file().ends_with("corpora.rs")) {
            eprintln!("{panic}");
        }
    }));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    for target in &TARGETS {
        let done = fuzz(target, Length::Mutations(target.mutations), 1, PATIENCE, &folder).unwrap();
        match done {
            Ok(summary) => println!("{}: {summary:?}", target.name),
            Err(finding) => panic!(
                "{}: {} (from {}): {}\nreplay: scripts/fuzz {} {}",
                target.name,
                finding.broken,
                finding.origin,
                finding.file.display(),
                target.name,
                finding.file.display()
            ),
        }
    }
}

#[test]
fn every_target_has_a_corpus_and_a_program_for_libfuzzer() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len());
    let names = |folder: &str| -> BTreeSet<String> {
        let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
        let stem = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
        files.map(|file| stem(&file.unwrap().path())).collect()
    };
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("libfuzzer/fuzz_targets"), targets);
    for target in &TARGETS {
        let corpus = corpus::read(target.name).unwrap();
        assert!(!corpus.is_empty() && corpus.iter().all(|entry| entry.bytes.len() <= target.input_max));
    }
}
