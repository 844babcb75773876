//! The whole step of a contact in memory on one thread, bare enough to count its instructions:
//!
//! ```text
//! cargo bench -p rivvi-benches --bench step -- 20000
//! valgrind --tool=callgrind --toggle-collect='step::all_of*' target/release/deps/step-… 5000
//! ```
//!
//! The instructions that callgrind collects, divided by the contacts, are the figure of a contact.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench stops at the first error")]
#![allow(clippy::cast_precision_loss, reason = "counts")]

use rivvi_benches::Scene;
use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::storage::Storage;
use tokio::runtime::{Builder, Runtime};

fn main() {
    let contacts = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(20_000);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let scene = runtime.block_on(Scene::open(Storage::in_memory(), contacts));
    let clock = SystemClock::new();
    let started = clock.monotonic();
    let done = all_of(&runtime, &scene);
    let took = clock.monotonic() - started;
    println!("{done} contacts, {:.0} contacts/s", done as f64 / took.as_secs_f64());
}

#[inline(never)]
fn all_of(runtime: &Runtime, scene: &Scene) -> usize {
    let mut all = 0;
    loop {
        match runtime.block_on(scene.cycle()) {
            0 => return all,
            done => all += done,
        }
    }
}
