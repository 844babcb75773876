//! One sheet of one organization, run to its end: what examples with a single run have in common.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock};
use rivvi::domain::{CallerId, Organization, RunId, RunState, Sender, SuppressionSource};
use rivvi::engine::{ImportedRun, NewOrganization};
use rivvi::import::ImportReport;
use rivvi::storage::{StorageError, StorageErrorKind};

use crate::shared::follow::{Finished, follow};
use crate::shared::job::{Job, JobOptions};
use crate::shared::outcome::{self, Failure};

/// How often progress is looked at where time is real.
const PAUSE: Duration = Duration::from_millis(250);

/// Who calls or writes.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) name: String,
    /// The number shown.
    pub(crate) caller_id: CallerId,
    /// Who messages come from, if not that number.
    pub(crate) sender: Option<Sender>,
}

impl From<CallerId> for Origin {
    fn from(caller_id: CallerId) -> Self {
        Self { name: "North Clinic".into(), caller_id, sender: None }
    }
}

/// A run in progress, and the engine it runs on.
#[derive(Debug)]
pub(crate) struct Undertaking {
    pub(crate) rivvi: Rivvi,
    pub(crate) run_id: RunId,
    /// How often progress is looked at, in the engine's time.
    pub(crate) pause: Duration,
    import: Arc<ImportReport>,
    machine: SystemClock,
}

impl Undertaking {
    /// Opens or resumes: organization, suppression list, campaign, run.
    pub(crate) async fn open(
        rivvi: Rivvi,
        job: Job,
        options: &JobOptions,
        origin: impl Into<Origin>,
        machine: SystemClock,
    ) -> Result<Self, Failure> {
        let organization = organization(&rivvi, &job, options, origin.into()).await?;
        let list = rivvi.suppression_list();
        list.add(organization.id, job.suppress, SuppressionSource::Import, "suppression file", None).await?;
        let known = rivvi.campaigns().list(organization.id, None, 1_000).await?;
        let campaign = match known.into_iter().find(|campaign| campaign.definition == job.campaign) {
            Some(campaign) => campaign,
            None => rivvi.campaigns().create(organization.id, job.campaign).await?,
        };
        let ImportedRun { id, report, .. } = rivvi.runs().import(campaign.id, job.sheet).await?;
        eprintln!("{report}");
        Ok(Self { rivvi, run_id: id, pause: PAUSE, import: report, machine })
    }

    /// Runs until the run is over or `stop` comes, with `beside` beside it.
    pub(crate) async fn run(
        &self,
        beside: impl Future<Output = ()> + Send + 'static,
        stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Finished, Failure> {
        self.begin().await?;
        follow(&self.rivvi, beside, self.run_id, self.import.imported, self.pause, stop).await
    }

    /// Starts the run, or has it go on.
    pub(crate) async fn begin(&self) -> Result<(), Failure> {
        match self.state().await? {
            RunState::Ready => self.start().await?,
            RunState::Paused => drop(self.rivvi.runs().resume(self.run_id).await?),
            state if state.is_final() => {
                eprintln!("This sheet was run to its end before; use another --db to run it again.");
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) async fn state(&self) -> Result<RunState, StorageError> {
        let run = self.rivvi.runs().find(self.run_id).await?;
        run.map(|run| run.state).ok_or_else(|| {
            StorageError::new(StorageErrorKind::NotFound, "run", format!("no run {}", self.run_id))
        })
    }

    async fn start(&self) -> Result<(), Failure> {
        match self.rivvi.runs().start(self.run_id).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == StorageErrorKind::Refused => Err(Failure::Input(format!(
                "{}; to finish an interrupted run give its sheet, campaign and flow, or choose another --db",
                error.context
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells what came of it, to people and, if asked for, as JSON.
    pub(crate) async fn tell(&self, json: bool) -> Result<(), Failure> {
        let progress = self.rivvi.runs().progress(self.run_id).await?;
        let run = self.rivvi.runs().find(self.run_id).await?;
        let run = run.ok_or_else(|| Failure::Broken("the run is gone".into()))?;
        eprint!("{}", outcome::as_text(&run, &self.import, &progress));
        if json {
            println!("{}", outcome::as_json(&run, &self.import, &progress, self.machine.monotonic()));
        }
        Ok(())
    }
}

/// The organization of the database, with the name, the number and the limits of the options.
async fn organization(
    rivvi: &Rivvi,
    job: &Job,
    options: &JobOptions,
    origin: Origin,
) -> Result<Organization, Failure> {
    let known = rivvi.organizations().list(None, 1).await?.pop();
    let mut organization = match known {
        Some(organization) => organization,
        None => {
            let new = NewOrganization {
                name: origin.name.clone(),
                caller_id: origin.caller_id,
                time_zone: chrono_tz::Asia::Jerusalem,
                region: job.region,
            };
            rivvi.organizations().create(new).await?
        }
    };
    (organization.region, organization.caller_id) = (job.region, origin.caller_id);
    (organization.name, organization.sms_sender) = (origin.name, origin.sender);
    options.limit(&mut organization.limits);
    rivvi.organizations().put(organization.clone()).await?;
    Ok(organization)
}
