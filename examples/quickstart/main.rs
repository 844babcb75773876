//! Runs a voice campaign over a contact sheet against a simulated phone network, with everything kept in SQLite.
//!
//! ```text
//! cargo run --release --example quickstart
//! cargo run --release --example quickstart -- --help
//! ```

mod options;
mod outcome;
mod progress;
mod simulation;

use std::process::ExitCode;

use options::{Job, Options};
use outcome::Failure;

fn main() -> ExitCode {
    let options = <Options as clap::Parser>::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::Broken(format!("the runtime cannot start: {error}"))),
    };
    match runtime.block_on(run(&options)) {
        Ok(code) => code,
        Err(failure) => fail(&failure),
    }
}

async fn run(options: &Options) -> Result<ExitCode, Failure> {
    let job = Job::read(options)?;
    let world = tokio::select! {
        world = simulation::World::open(options, job) => world?,
        () = simulation::interrupted() => {
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

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("error: {failure}");
    failure.exit_code()
}
