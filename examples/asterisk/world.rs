//! The engine, Asterisk, and the run between them.

use std::pin::Pin;
use std::sync::Arc;

use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock};
use rivvi::engine::BuildError;
use rivvi::providers::Asterisk;
use rivvi::storage::Storage;
use rivvi::stores::SqliteStorage;
use tempfile::TempDir;

use crate::noted::Noted;
use crate::options::Options;
use crate::shared::follow::Finished;
use crate::shared::outcome::Failure;
use crate::undertaking::Undertaking;

/// A run in progress and everything around it.
#[derive(Debug)]
pub(crate) struct World {
    undertaking: Undertaking,
    _folder: TempDir,
}

impl World {
    /// Opens or resumes: store, Asterisk, engine, organization, campaign, run.
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        let machine = SystemClock::new();
        let (job, flow) = options.read()?;
        let folder = TempDir::with_prefix("rivvi-asterisk-")
            .map_err(|error| Failure::Broken(format!("no temporary folder: {error}")))?;
        let db = options.db.clone().unwrap_or_else(|| folder.path().join("asterisk.db"));
        let mut storage: Storage =
            SqliteStorage::open(&db).await.map_err(|error| Failure::Input(error.to_string()))?.into();
        storage.blobs = options.blobs()?;

        let clock: Arc<dyn Clock> = Arc::new(machine);
        let asterisk = options.asterisk(folder.path().join("speech"), storage.blobs.clone());
        let asterisk = Asterisk::new(asterisk, options.ari.servers()?, clock.clone())
            .map_err(|error| Failure::Input(error.to_string()))?;
        let config = options.engine.config();
        let mut builder = Rivvi::builder().storage(storage).voice(asterisk).clock(clock).config(config);
        for name in flow.host_actions() {
            builder = builder.action(Noted { name });
        }
        let rivvi = builder.build().map_err(|error| match error {
            BuildError::Config(problem) => Failure::Input(format!("--{}", problem.replace('_', "-"))),
            error => Failure::Broken(error.to_string()),
        })?;

        let undertaking = Undertaking::open(rivvi, job, &options.job, options.from, machine).await?;
        Ok(Self { undertaking, _folder: folder })
    }

    /// Runs until the run is over or the user interrupts.
    pub(crate) async fn run(&self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<Finished, Failure> {
        self.undertaking.run(std::future::pending(), stop).await
    }

    /// Tells what came of it.
    pub(crate) async fn tell(&self, options: &Options) -> Result<(), Failure> {
        self.undertaking.tell(options.json).await
    }
}
