//! Calls, text messages and speech in one campaign: who presses 1 gets a link, by voice where no message arrives, and who
//! cannot be reached a letter.
//!
//! On a simulated network, in virtual time:
//!
//! ```text
//! cargo run --release --example hybrid --features asterisk,espeak,polly
//! ```
//!
//! On Asterisk, with messages through a simulated gateway:
//!
//! ```text
//! cargo run --release --example hybrid --features asterisk,espeak,polly -- --voice asterisk \
//!     --ari http://127.0.0.1:8088 --password secret --endpoint 'PJSIP/{number}@trunk' --contacts people.csv
//! ```
//!
//! `--help` tells all options; docs/messages.md how the campaign goes on.

#[path = "../shared/ari.rs"]
mod ari;
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
        eprintln!("Interrupted. {}", options.how_to_go_on());
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::SUCCESS)
}
