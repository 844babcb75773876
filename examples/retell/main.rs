//! Runs a voice campaign over a contact sheet with agents of Retell AI, takes its webhooks, answers people who call back,
//! and keeps everything in SQLite.
//!
//! ```text
//! cargo run --release --example retell --features retell -- \
//!     --api-key key_... --agent agent_... --from +12137771234 --listen 0.0.0.0:8080 \
//!     --contacts examples/data/contacts.csv --db campaign.db
//! ```
//!
//! Point the agent's webhook at `https://your.host/webhook` and the number's inbound webhook at
//! `https://your.host/inbound`, both of which lead to the address of `--listen`. `--help` tells all options, and
//! docs/retell.md the rest.

#[path = "../shared/hosted/mod.rs"]
mod hosted;
mod options;
#[path = "../shared/mod.rs"]
mod shared;
#[path = "../shared/undertaking.rs"]
mod undertaking;
mod webhooks;
mod world;

use std::process::ExitCode;

use hosted::world::{LastWords, see_through};
use options::Options;

fn main() -> ExitCode {
    let options = <Options as clap::Parser>::parse();
    let words = LastWords {
        json: options.json,
        interrupted: "Calls under way go on; to learn what came of them,",
        how_to_go_on: options.store.how_to_go_on(),
    };
    shared::launch(see_through(world::open(&options), &words))
}
