//! The engine, Asterisk, and the run between them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock};
use rivvi::domain::{Organization, RunId, RunState, SuppressionSource};
use rivvi::engine::{EngineConfig, HostAction, HostError, ImportedRun, NewOrganization};
use rivvi::import::ImportReport;
use rivvi::provider::ActionResult;
use rivvi::providers::Asterisk;
use rivvi::storage::{OutboxItem, Storage, StorageErrorKind};
use rivvi::stores::SqliteStorage;
use tempfile::TempDir;

use crate::options::Options;
use crate::shared::follow::{Finished, follow};
use crate::shared::job::Job;
use crate::shared::outcome::{self, Failure};

/// How often progress is looked at.
const PAUSE: Duration = Duration::from_millis(250);

/// A run in progress and everything around it.
#[derive(Debug)]
pub(crate) struct World {
    rivvi: Rivvi,
    run_id: RunId,
    import: Arc<ImportReport>,
    machine: SystemClock,
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
        let asterisk = Asterisk::new(asterisk, options.servers()?, clock.clone())
            .map_err(|error| Failure::Input(error.to_string()))?;
        // Everything about a call is told with its end, but for a recording.
        let mut config = EngineConfig::default();
        config.analysis_grace = Duration::from_secs(3);
        let mut builder = Rivvi::builder().storage(storage).voice(asterisk).clock(clock).config(config);
        for name in flow.host_actions() {
            builder = builder.action(Noted { name });
        }
        let rivvi = builder.build().map_err(|error| Failure::Broken(error.to_string()))?;

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
        Ok(Self { rivvi, run_id: id, import: report, machine, _folder: folder })
    }

    /// Runs until the run is over or the user interrupts.
    pub(crate) async fn run(&self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<Finished, Failure> {
        let run = self.rivvi.runs().find(self.run_id).await?;
        match run.map(|run| run.state) {
            Some(RunState::Ready) => self.start().await?,
            Some(RunState::Paused) => drop(self.rivvi.runs().resume(self.run_id).await?),
            Some(state) if state.is_final() => {
                eprintln!("This sheet was run to its end before; use another --db to run it again.");
            }
            _ => {}
        }
        follow(&self.rivvi, std::future::pending(), self.run_id, self.import.imported, PAUSE, stop).await
    }

    async fn start(&self) -> Result<(), Failure> {
        match self.rivvi.runs().start(self.run_id).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == StorageErrorKind::Refused => Err(Failure::Input(format!(
                "{}; to finish an interrupted run give its --contacts, --campaign and --flow, or choose another --db",
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

/// Carries an action of the flow out by saying that it was asked for.
#[derive(Debug)]
struct Noted {
    name: String,
}

#[async_trait]
impl HostAction for Noted {
    fn name(&self) -> &str {
        &self.name
    }

    async fn carry_out(&self, item: &OutboxItem) -> Result<ActionResult, HostError> {
        eprintln!("call {}: asked for {}", item.call_id, self.name);
        Ok(ActionResult::done())
    }
}
