//! One node: its engine, its part of the network, and the run it works on.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock};
use rivvi::domain::{OrgId, Run, RunId, RunState};
use rivvi::engine::BuildError;
use rivvi::import::ImportReport;
use rivvi::providers::SimulatedNetwork;
use rivvi::storage::{RunQuery, Storage, StorageErrorKind};

use crate::options::Options;
use crate::shared::follow::{Finished, follow};
use crate::shared::job::Job;
use crate::shared::outcome::{self, Failure};
use crate::{stores, tenant};

/// How far the clock of this machine may lie behind those of others.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(5);

/// How often progress is shown.
const PAUSE: Duration = Duration::from_millis(250);

/// A node that has opened everything it needs.
#[derive(Debug)]
pub(crate) struct Node {
    rivvi: Rivvi,
    network: SimulatedNetwork,
    run_id: RunId,
    import: Arc<ImportReport>,
    machine: SystemClock,
}

impl Node {
    /// Opens stores and network, and finds the run or makes it.
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        let machine = SystemClock::new();
        let job = options.contacts.as_ref().map(|contacts| options.job.read(contacts)).transpose()?;
        let storage = stores::open_ledger(options.ledger.expose()).await?;
        let mut storage = stores::open_limiter(options.limiter.expose(), storage).await?;
        storage.blobs = options.blobs()?;
        check_clock(&storage, &machine).await?;

        let clock = Arc::new(machine);
        let network = SimulatedNetwork::new(clock.clone(), options.seed(), options.behaviour());
        if let Some(path) = &options.network_log {
            let attached = network.attach_shared_log(path);
            attached.map_err(|error| Failure::Input(format!("--network-log: {error}")))?;
        }
        let rivvi = Rivvi::builder()
            .storage(storage)
            .voice(network.clone())
            .clock(clock)
            .config(options.engine.config())
            .build()
            .map_err(|error| match error {
                BuildError::Config(problem) => Failure::Input(format!("--{}", problem.replace('_', "-"))),
                error => Failure::Broken(error.to_string()),
            })?;
        let (run_id, import) = match job {
            Some(job) => begin(&rivvi, options, job).await?,
            None => join(&rivvi, tenant::organization_id(&options.organization)).await?,
        };
        eprintln!("node {}: works on run {run_id}", options.node);
        Ok(Self { rivvi, network, run_id, import, machine })
    }

    /// Works until the run is over or `stop` comes.
    pub(crate) async fn work(&self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<Finished, Failure> {
        let (network, rivvi) = (self.network.clone(), self.rivvi.clone());
        let delivering = async move { network.deliver_to(rivvi).await };
        follow(&self.rivvi, delivering, self.run_id, self.import.imported, PAUSE, stop).await
    }

    /// Tells what came of the run so far, on all nodes together.
    pub(crate) async fn tell(&self, options: &Options) -> Result<(), Failure> {
        let progress = self.rivvi.runs().progress(self.run_id).await?;
        let run = self.rivvi.runs().find(self.run_id).await?;
        let run = run.ok_or_else(|| Failure::Broken("the run is gone".into()))?;
        let (wall, here) = (self.machine.monotonic(), self.network.legs_placed());
        eprint!("{}", outcome::as_text(&run, &self.import, &progress));
        eprintln!("\n  node {}: {here} of the calls in {:.1} s", options.node, wall.as_secs_f64());
        if options.json {
            let result = outcome::as_json(&run, &self.import, &progress, wall);
            println!("{}", options.identify(result, here));
        }
        Ok(())
    }
}

/// Refuses a clock with which leases and journal would go wrong.
async fn check_clock(storage: &Storage, clock: &SystemClock) -> Result<(), Failure> {
    let last = storage.ledger.last_entry_at().await?;
    let ahead = last.map_or(TimeDelta::zero(), |last| last - clock.now());
    if ahead > SKEW_MAX {
        return Err(Failure::Input(format!(
            "--ledger: its last entry lies {} s ahead of this machine's clock; set the clock (NTP), or take a ledger \
             that was not written in virtual time",
            ahead.num_seconds()
        )));
    }
    Ok(())
}

/// Imports the sheet and starts its run, unless another node has.
async fn begin(rivvi: &Rivvi, options: &Options, job: Job) -> Result<(RunId, Arc<ImportReport>), Failure> {
    let org_id = tenant::organization(rivvi, &options.organization, &options.job, &job).await?;
    let campaign_id = tenant::campaign(rivvi, org_id, job.campaign).await?;
    let imported = rivvi.runs().import(campaign_id, job.sheet).await?;
    if imported.run.state == RunState::Ready {
        eprintln!("{}", imported.report);
        start(rivvi, imported.id).await?;
    }
    Ok((imported.id, imported.report))
}

async fn start(rivvi: &Rivvi, id: RunId) -> Result<(), Failure> {
    let Err(error) = rivvi.runs().start(id).await else { return Ok(()) };
    let run = rivvi.runs().find(id).await?;
    match run.map(|run| run.state) {
        // It may be over already, if other nodes were quick.
        Some(state) if state != RunState::Ready => Ok(()),
        _ if error.kind == StorageErrorKind::Refused => {
            Err(Failure::Input(format!("--contacts: {}", error.context)))
        }
        _ => Err(error.into()),
    }
}

/// The run of the organization that is under way.
async fn join(rivvi: &Rivvi, org_id: OrgId) -> Result<(RunId, Arc<ImportReport>), Failure> {
    let states = vec![RunState::Scheduled, RunState::Active, RunState::Paused, RunState::Completing];
    let query = RunQuery { org_id: Some(org_id), states, ..RunQuery::default() };
    let run: Option<Run> = rivvi.runs().list(query).await?.pop();
    let found = run.and_then(|run| Some((run.id, run.report?)));
    found.ok_or_else(|| {
        let text =
            "--contacts: no run of this organization is under way on this ledger; expected a contact sheet";
        Failure::Input(text.into())
    })
}
