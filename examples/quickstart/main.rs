//! Runs a voice campaign over a contact sheet against a simulated phone network, with everything kept in SQLite.
//!
//! ```text
//! cargo run --release --example quickstart
//! cargo run --release --example quickstart -- --help
//! ```

mod options;
mod report;
#[path = "../shared/mod.rs"]
mod shared;
mod simulation;

use std::process::ExitCode;

use options::Options;
use shared::outcome::{self, Failure};
use shared::stop;

fn main() -> ExitCode {
    let options = <Options as clap::Parser>::parse();
    shared::launch(run(&options))
}

async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let (job, explain) = options.read()?;
    let world = tokio::select! {
        world = simulation::World::open(options, job, explain) => world?,
        () = stop::asked() => {
            eprintln!("{}", simulation::how_to_go_on(options));
            if options.json {
                println!("{}", outcome::nothing_yet());
            }
            return Ok(ExitCode::from(130));
        }
    };
    let finished = world.run(options).await?;
    world.tell(options, finished).await
}
