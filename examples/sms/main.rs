//! Runs a campaign by text message over a contact sheet through Vonage, Twilio or any gateway that speaks HTTP, takes
//! receipts and answers by webhooks, and keeps everything in SQLite.
//!
//! ```text
//! cargo run --release --example sms --features sms                # at a gateway that is not there
//! cargo run --release --example sms --features sms -- \
//!     --provider twilio --account-sid AC... --auth-token ... --from +12137771234 \
//!     --listen 0.0.0.0:8080 --webhook-url https://your.host/webhook \
//!     --contacts people.csv --template 'Dear {{ first_name }}, see you tomorrow.' --db campaign.db
//! ```
//!
//! Have `https://your.host/webhook` lead to the address of `--listen`. `--help` tells all options, docs/messages.md what a
//! campaign can say, and docs/sms-provider.md what the providers need.

mod account;
#[path = "../shared/hosted/mod.rs"]
mod hosted;
#[path = "../shared/noted.rs"]
mod noted;
mod options;
mod routes;
#[path = "../shared/mod.rs"]
mod shared;
mod simulation;
#[path = "../shared/undertaking.rs"]
mod undertaking;
mod world;

use std::process::ExitCode;

use hosted::world::{LastWords, see_through};
use options::Options;

fn main() -> ExitCode {
    let options = <Options as clap::Parser>::parse();
    let words = LastWords {
        json: options.json,
        interrupted: "What was sent is on its way; to learn what came of it,",
        how_to_go_on: options.store.how_to_go_on(),
    };
    shared::launch(see_through(world::open(&options), &words))
}
