//! Runs a voice campaign over a contact sheet on Asterisk, with conversations led by a flow and everything kept in SQLite.
//!
//! ```text
//! cargo run --release --example asterisk --features asterisk,espeak -- \
//!     --ari http://127.0.0.1:8088 --user rivvi --password secret --endpoint 'PJSIP/{number}@trunk' \
//!     --contacts examples/data/contacts.csv --flow examples/data/flows/donation.toml --concurrency 10 --cps 2
//! ```
//!
//! `--help` tells all options, and docs/asterisk.md what Asterisk needs.

#[path = "../shared/ari.rs"]
mod ari;
#[path = "../shared/engine.rs"]
mod engine;
#[path = "../shared/noted.rs"]
mod noted;
mod options;
#[path = "../shared/mod.rs"]
mod shared;
#[path = "../shared/undertaking.rs"]
mod undertaking;
mod world;

use std::process::ExitCode;

use options::Options;
use shared::follow::Finished;
use shared::outcome::{self, Failure};
use shared::stop;

fn main() -> ExitCode {
    let options = <Options as clap::Parser>::parse();
    shared::launch(run(&options))
}

async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let stop = stop::asked();
    tokio::pin!(stop);
    let world = tokio::select! {
        world = world::World::open(options) => world?,
        () = &mut stop => {
            if options.json {
                println!("{}", outcome::nothing_yet());
            }
            return Ok(ExitCode::from(130));
        }
    };
    let finished = world.run(stop).await?;
    world.tell(options).await?;
    if finished == Finished::Interrupted {
        eprintln!(
            "Interrupted. Calls under way go on until Asterisk is asked again: {}",
            options.how_to_go_on()
        );
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::SUCCESS)
}
