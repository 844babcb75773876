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

mod options;
#[path = "../shared/mod.rs"]
mod shared;
#[path = "../shared/undertaking.rs"]
mod undertaking;
mod webhooks;
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
    if let Some(reason) = world.paused().await? {
        eprintln!("The run is paused: {reason}. Mend that, then {}", options.how_to_go_on());
        return Ok(ExitCode::FAILURE);
    }
    if finished == Finished::Interrupted {
        eprintln!(
            "Interrupted. Calls under way go on; to learn what came of them, {}",
            options.how_to_go_on()
        );
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::SUCCESS)
}
