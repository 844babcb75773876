//! The engine, Retell, and the run between them.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock};
use rivvi::domain::{Aggregate, Event, Organization, RunId, RunState, SuppressionSource};
use rivvi::engine::{ImportedRun, NewOrganization};
use rivvi::import::ImportReport;
use rivvi::providers::Retell;
use rivvi::storage::{Storage, StorageError, StorageErrorKind};
use rivvi::stores::SqliteStorage;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::options::Options;
use crate::shared::follow::{Finished, follow};
use crate::shared::job::Job;
use crate::shared::outcome::{self, Failure};
use crate::webhooks;

/// How often progress is looked at.
const PAUSE: Duration = Duration::from_millis(250);

/// A run in progress and everything around it.
#[derive(Debug)]
pub(crate) struct World {
    rivvi: Rivvi,
    run_id: RunId,
    import: Arc<ImportReport>,
    machine: SystemClock,
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

        let organization = organization(&rivvi, options, &job).await?;
        let list = rivvi.suppression_list();
        list.add(organization.id, job.suppress, SuppressionSource::Import, "suppression file", None).await?;
        let known = rivvi.campaigns().list(organization.id, None, 1_000).await?;
        let campaign = match known.into_iter().find(|campaign| campaign.definition == job.campaign) {
            Some(campaign) => campaign,
            None => rivvi.campaigns().create(organization.id, job.campaign).await?,
        };
        let ImportedRun { id, report, .. } = rivvi.runs().import(campaign.id, job.sheet).await?;
        eprintln!("{report}");
        let address = listener.local_addr().map_err(|error| Failure::Broken(error.to_string()))?;
        eprintln!("webhooks: http://{address}/webhook, people who call back: http://{address}/inbound");
        let listener = Mutex::new(Some(listener));
        Ok(Self { rivvi, run_id: id, import: report, machine, listener, _folder: folder })
    }

    /// Runs until the run is over or paused, or the user interrupts.
    pub(crate) async fn run(&self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<Finished, Failure> {
        match self.state().await? {
            RunState::Ready => self.start().await?,
            RunState::Paused => drop(self.rivvi.runs().resume(self.run_id).await?),
            state if state.is_final() => {
                eprintln!("This sheet was run to its end before; use another --db to run it again.");
            }
            _ => {}
        }
        let listener = self.listener.lock().ok().and_then(|mut listener| listener.take());
        let listener = listener.ok_or_else(|| Failure::Broken("a run begins once".into()))?;
        let serving = webhooks::serve(listener, self.rivvi.clone());
        let stop = async {
            tokio::select! {
                () = stop => {}
                () = self.until_paused() => {}
            }
        };
        tokio::pin!(stop);
        follow(&self.rivvi, serving, self.run_id, self.import.imported, PAUSE, stop).await
    }

    /// Returns when the run is paused, as by an account without credit: nothing goes on until a person acts.
    async fn until_paused(&self) {
        let clock = self.rivvi.clock();
        loop {
            if matches!(self.state().await, Ok(RunState::Paused)) {
                return;
            }
            clock.sleep_until(clock.now() + PAUSE).await;
        }
    }

    /// Why the run is paused, if it is.
    pub(crate) async fn paused(&self) -> Result<Option<String>, Failure> {
        if self.state().await? != RunState::Paused {
            return Ok(None);
        }
        let ledger = &self.rivvi.storage().ledger;
        let entries = ledger.journal(Aggregate::Run(self.run_id), 0, 10_000).await?;
        let reason = entries.into_iter().rev().find_map(|entry| match entry.event {
            Event::RunChanged { to: RunState::Paused, reason, .. } => reason,
            _ => None,
        });
        Ok(Some(reason.unwrap_or_else(|| "nobody said why".into())))
    }

    async fn state(&self) -> Result<RunState, StorageError> {
        let run = self.rivvi.runs().find(self.run_id).await?;
        run.map(|run| run.state).ok_or_else(|| {
            StorageError::new(StorageErrorKind::NotFound, "run", format!("no run {}", self.run_id))
        })
    }

    async fn start(&self) -> Result<(), Failure> {
        match self.rivvi.runs().start(self.run_id).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == StorageErrorKind::Refused => Err(Failure::Input(format!(
                "{}; to finish an interrupted run give its --contacts and --campaign, or choose another --db",
                error.context
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells what came of it.
    pub(crate) async fn tell(&self, options: &Options) -> Result<(), Failure> {
        let progress = self.rivvi.runs().progress(self.run_id).await?;
        let run = self.rivvi.runs().find(self.run_id).await?;
        let run = run.ok_or_else(|| Failure::Broken("the run is gone".into()))?;
        eprint!("{}", outcome::as_text(&run, &self.import, &progress));
        if options.json {
            println!("{}", outcome::as_json(&run, &self.import, &progress, self.machine.monotonic()));
        }
        Ok(())
    }
}

/// The organization of the database, with the number and the limits of the options.
async fn organization(rivvi: &Rivvi, options: &Options, job: &Job) -> Result<Organization, Failure> {
    let known = rivvi.organizations().list(None, 1).await?.pop();
    let mut organization = match known {
        Some(organization) => organization,
        None => {
            let new = NewOrganization {
                name: "North Clinic".into(),
                caller_id: options.from,
                time_zone: chrono_tz::Asia::Jerusalem,
                region: job.region,
            };
            rivvi.organizations().create(new).await?
        }
    };
    (organization.region, organization.caller_id) = (job.region, options.from);
    options.job.limit(&mut organization.limits);
    rivvi.organizations().put(organization.clone()).await?;
    Ok(organization)
}
