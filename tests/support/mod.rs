//! The quick start as a process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program, as `cargo test` built it.
pub(crate) fn quickstart() -> Command {
    let tests = std::env::current_exe().unwrap();
    let built: PathBuf = tests.parent().and_then(Path::parent).unwrap().join("examples/quickstart");
    assert!(built.exists(), "{} is missing: run all targets, or `cargo build --examples`", built.display());
    Command::new(built)
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
