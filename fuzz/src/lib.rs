//! Fuzzing of everything in Rivvi that reads what comes from outside.
//!
//! ```text
//!   corpus ──▶ mutator (seeded) ──▶ trial: target, time, memory ──▶ fine, or what broke and its input
//! ```
//!
//! A [`Target`] is a function of bytes that panics where a promise is broken. Three things run it: the test `corpora`, a
//! bounded number of mutations in `scripts/test`; the program `rivvi-fuzz`, for as long as wanted, on a stable toolchain
//! (`scripts/fuzz`); and `cargo fuzz` with coverage, on a nightly one, by the project in `libfuzzer`.

pub mod corpus;
mod mutator;
mod session;
mod target;
mod trial;

pub use mutator::Mutator;
pub use session::{Length, Summary, fuzz};
pub use target::{TARGETS, Target};
pub use trial::{Broken, Cost, Trial};
