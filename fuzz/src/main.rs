//! `rivvi-fuzz TARGET|all SECONDS [SEED]` fuzzes for so long each; `rivvi-fuzz TARGET FILE` runs one input.

#![allow(clippy::print_stdout, reason = "this is a program")]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use peak_alloc::PeakAlloc;
use rivvi_fuzz::{Length, TARGETS, Target, Trial, fuzz};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    // Decoders of spreadsheets panic on damage, which is caught; a panic that is not is told by the session.
    std::panic::set_hook(Box::new(|_| {}));
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [target, second] => run(target, second, None),
        [target, seconds, seed] => run(target, seconds, seed.parse().ok()),
        _ => Err(format!("expected TARGET|all SECONDS [SEED], or TARGET FILE; the targets are\n{}", names())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn names() -> String {
    TARGETS.iter().map(|target| format!("  {}\n", target.name)).collect()
}

fn run(target: &str, second: &str, seed: Option<u64>) -> Result<(), String> {
    let targets: Vec<&Target> = match target {
        "all" => TARGETS.iter().collect(),
        name => vec![Target::find(name).ok_or_else(|| format!("there is no target {name}:\n{}", names()))?],
    };
    let findings = Path::new(env!("CARGO_MANIFEST_DIR")).join("findings");
    std::fs::create_dir_all(&findings).map_err(|error| error.to_string())?;
    let Ok(seconds) = second.parse() else { return replay(&targets, second, &findings) };
    let mut found = Vec::new();
    for target in targets {
        let length = Length::Time(Duration::from_secs(seconds));
        match fuzz(target, length, seed.unwrap_or(1), 1, &findings).map_err(|error| error.to_string())? {
            Ok(summary) => {
                let (time, memory) = (summary.highest.time, summary.highest.memory / 1024);
                println!(
                    "{:24} {:>10} inputs, at most {time:?} and {memory} KiB",
                    target.name, summary.inputs
                );
            }
            Err(finding) => {
                println!(
                    "{:24} {} (from {}): {}",
                    target.name,
                    finding.broken,
                    finding.origin,
                    finding.file.display()
                );
                found.push(target.name);
            }
        }
    }
    if found.is_empty() { Ok(()) } else { Err(format!("broken: {}", found.join(", "))) }
}

fn replay(targets: &[&Target], file: &str, folder: &Path) -> Result<(), String> {
    let input = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    for target in targets {
        let trial = Trial::new(target, 1, folder.join(format!("{}.at-hand", target.name)));
        match trial.run(&input).map_err(|error| error.to_string())? {
            Ok(cost) => println!("{}: {:?}, {} KiB", target.name, cost.time, cost.memory / 1024),
            Err(broken) => return Err(format!("{}: {broken}", target.name)),
        }
    }
    Ok(())
}
