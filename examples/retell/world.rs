//! The engine, Retell, and the run between them.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock};
use rivvi::domain::{Aggregate, Event, RunState};
use rivvi::providers::Retell;
use rivvi::storage::Storage;
use rivvi::stores::SqliteStorage;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::options::Options;
use crate::shared::follow::Finished;
use crate::shared::outcome::Failure;
use crate::undertaking::{PAUSE, Undertaking};
use crate::webhooks;

/// A run in progress and everything around it.
#[derive(Debug)]
pub(crate) struct World {
    undertaking: Undertaking,
    /// Until the run begins.
    listener: Mutex<Option<TcpListener>>,
    _folder: Option<TempDir>,
}

impl World {
    /// Opens or resumes: store, Retell, engine, organization, campaign, run.
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        let machine = SystemClock::new();
        let job = options.read()?;
        let input = |error: &dyn std::fmt::Display| Failure::Input(error.to_string());
        let listener = TcpListener::bind(options.listen).await.map_err(|error| {
            Failure::Input(format!("--listen {}: {error}; expected a free address", options.listen))
        })?;
        let (path, folder) = match &options.db {
            Some(path) => (path.clone(), None),
            None => {
                let folder = TempDir::with_prefix("rivvi-retell-")
                    .map_err(|error| Failure::Broken(format!("no temporary folder: {error}")))?;
                (folder.path().join("retell.db"), Some(folder))
            }
        };
        let mut storage: Storage = SqliteStorage::open(&path).await.map_err(|error| input(&error))?.into();
        storage.blobs = options.blobs()?;

        let clock: Arc<dyn Clock> = Arc::new(machine);
        let retell = Retell::new(options.retell(), clock.clone()).map_err(|error| input(&error))?;
        let rivvi =
            Rivvi::builder().storage(storage).voice(retell).clock(clock).config(options.engine()).build();
        let rivvi = rivvi.map_err(|error| Failure::Broken(error.to_string()))?;

        let undertaking = Undertaking::open(rivvi, job, &options.job, options.from, machine).await?;
        let address = listener.local_addr().map_err(|error| Failure::Broken(error.to_string()))?;
        eprintln!("webhooks: http://{address}/webhook, people who call back: http://{address}/inbound");
        let listener = Mutex::new(Some(listener));
        Ok(Self { undertaking, listener, _folder: folder })
    }

    /// Runs until the run is over or paused, or the user interrupts.
    pub(crate) async fn run(&self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<Finished, Failure> {
        let listener = self.listener.lock().ok().and_then(|mut listener| listener.take());
        let listener = listener.ok_or_else(|| Failure::Broken("a run begins once".into()))?;
        let serving = webhooks::serve(listener, self.undertaking.rivvi.clone());
        let stop = async {
            tokio::select! {
                () = stop => {}
                () = self.until_paused() => {}
            }
        };
        tokio::pin!(stop);
        self.undertaking.run(serving, stop).await
    }

    /// Returns when the run is paused, as by an account without credit: nothing goes on until a person acts.
    async fn until_paused(&self) {
        let clock = self.undertaking.rivvi.clock();
        loop {
            if matches!(self.undertaking.state().await, Ok(RunState::Paused)) {
                return;
            }
            clock.sleep_until(clock.now() + PAUSE).await;
        }
    }

    /// Why the run is paused, if it is.
    pub(crate) async fn paused(&self) -> Result<Option<String>, Failure> {
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

    /// Tells what came of it.
    pub(crate) async fn tell(&self, options: &Options) -> Result<(), Failure> {
        self.undertaking.tell(options.json).await
    }
}
