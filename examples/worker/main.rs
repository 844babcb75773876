//! One node of several that carry out a run together: they share a ledger, and a limiter.
//!
//! ```text
//! cargo run --release --example worker -- --node a --ledger sqlite:run.db --network-log legs.jsonl \
//!     --contacts examples/data/contacts.csv --campaign examples/data/campaign.toml &
//! cargo run --release --example worker -- --node b --ledger sqlite:run.db --network-log legs.jsonl
//! ```
//!
//! The phone network is simulated; time is the machine's. docs/several-nodes.md tells more.

#[path = "../shared/engine.rs"]
mod engine;
mod node;
mod options;
#[path = "../shared/mod.rs"]
mod shared;
mod stores;
mod tenant;

use std::process::ExitCode;

use node::Node;
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
    let node = tokio::select! {
        node = Node::open(options) => node?,
        () = &mut stop => {
            if options.json {
                println!("{}", options.identify(outcome::nothing_yet(), 0));
            }
            return Ok(ExitCode::from(130));
        }
    };
    let finished = node.work(stop).await?;
    node.tell(options).await?;
    if finished == Finished::Interrupted {
        eprintln!("node {}: stopped; other nodes go on, or run the same command again.", options.node);
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::SUCCESS)
}
