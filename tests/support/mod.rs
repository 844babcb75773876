//! Examples as processes.

#![allow(dead_code, reason = "each test uses its part")]

#[cfg(unix)]
pub(crate) mod dice;
#[cfg(unix)]
pub(crate) mod windows;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// An example, as `cargo test` built it.
pub(crate) fn example(name: &str) -> Command {
    let built = target().join("examples").join(name);
    assert!(built.exists(), "{} is missing: run all targets, or `cargo build --examples`", built.display());
    Command::new(built)
}

/// The folder of this build profile.
pub(crate) fn target() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().and_then(Path::parent).unwrap().to_owned()
}

/// A sheet of `rows` people in Israel, each with a number of their own.
pub(crate) fn sheet(rows: u64) -> String {
    let mut text = String::from("first name,phone,note\n");
    for row in 0..rows {
        text.push_str(&format!("Person {row},052-{:07},\"line one\nline two\"\n", 2_000_000 + row * 7));
    }
    text
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
