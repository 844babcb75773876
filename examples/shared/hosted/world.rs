//! A run, what goes on beside it, and how both end.

use std::pin::Pin;
use std::process::ExitCode;

use rivvi::domain::{Aggregate, Event, RunState};
use tempfile::TempDir;

use crate::shared::follow::Finished;
use crate::shared::outcome::{self, Failure};
use crate::shared::stop;
use crate::undertaking::Undertaking;

/// A run in progress and everything around it.
pub(crate) struct World {
    undertaking: Undertaking,
    /// Until the run begins.
    beside: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _folder: Option<TempDir>,
}

/// What people are told at the end.
#[derive(Debug)]
pub(crate) struct LastWords {
    /// Whether the result is wanted as JSON, too.
    pub(crate) json: bool,
    /// What an interruption leaves.
    pub(crate) interrupted: &'static str,
    /// How to go on after it.
    pub(crate) how_to_go_on: String,
}

impl World {
    /// A run with what goes on beside it, in a folder that goes with it.
    pub(crate) fn new(
        undertaking: Undertaking,
        beside: impl Future<Output = ()> + Send + 'static,
        folder: Option<TempDir>,
    ) -> Self {
        Self { undertaking, beside: Some(Box::pin(beside)), _folder: folder }
    }

    /// Runs until the run is over or paused, or `stop` comes.
    async fn run(&mut self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<Finished, Failure> {
        let beside = self.beside.take().ok_or_else(|| Failure::Broken("a run begins once".into()))?;
        let stop = async {
            tokio::select! {
                () = stop => {}
                () = self.until_paused() => {}
            }
        };
        tokio::pin!(stop);
        self.undertaking.run(beside, stop).await
    }

    /// Returns when the run is paused, as by an account without credit: nothing goes on until a person acts.
    async fn until_paused(&self) {
        let clock = self.undertaking.rivvi.clock();
        loop {
            if matches!(self.undertaking.state().await, Ok(RunState::Paused)) {
                return;
            }
            clock.sleep_until(clock.now() + self.undertaking.pause).await;
        }
    }

    /// Why the run is paused, if it is.
    async fn paused(&self) -> Result<Option<String>, Failure> {
        if self.undertaking.state().await? != RunState::Paused {
            return Ok(None);
        }
        let ledger = &self.undertaking.rivvi.storage().ledger;
        let entries = ledger.journal(Aggregate::Run(self.undertaking.run_id), 0, 10_000).await?;
        let reason = entries.into_iter().rev().find_map(|entry| match entry.event {
            Event::RunChanged { to: RunState::Paused, reason, .. } => reason,
            _ => None,
        });
        Ok(Some(reason.unwrap_or_else(|| "nobody said why".into())))
    }
}

/// Opens a world, runs it until its end, a pause or an interruption, and tells what came of it.
pub(crate) async fn see_through(
    opening: impl Future<Output = Result<World, Failure>>,
    words: &LastWords,
) -> Result<ExitCode, Failure> {
    let stop = stop::asked();
    tokio::pin!(stop);
    let mut world = tokio::select! {
        world = opening => world?,
        () = &mut stop => {
            if words.json {
                println!("{}", outcome::nothing_yet());
            }
            return Ok(ExitCode::from(130));
        }
    };
    let finished = world.run(stop).await?;
    world.undertaking.tell(words.json).await?;
    if let Some(reason) = world.paused().await? {
        eprintln!("The run is paused: {reason}. Mend that, then {}", words.how_to_go_on);
        return Ok(ExitCode::FAILURE);
    }
    if finished == Finished::Interrupted {
        eprintln!("Interrupted. {} {}", words.interrupted, words.how_to_go_on);
        return Ok(ExitCode::from(130));
    }
    Ok(ExitCode::SUCCESS)
}
