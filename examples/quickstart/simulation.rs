//! The engine, the network and the clock they share.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use rivvi::Rivvi;
use rivvi::clock::{Clock, ScaledClock, SystemClock, VirtualClock};
use rivvi::domain::{
    CallerId, Campaign, E164, OrgId, Organization, Region, RunId, RunState, SuppressionSource,
};
use rivvi::engine::{EngineConfig, ImportedRun, NewOrganization};
use rivvi::import::ImportReport;
use rivvi::providers::{Behaviour, Leg, SimulatedNetwork};
use rivvi::storage::{Blobs, Storage, StorageErrorKind};
use rivvi::stores::SqliteStorage;
use tempfile::TempDir;

use crate::options::Options;
use crate::report;
use crate::shared::follow::{Finished, follow};
use crate::shared::job::Job;
use crate::shared::outcome::{self, Failure};
use crate::shared::progress::Display;
use crate::shared::stop;

/// A run in progress and everything around it.
#[derive(Debug)]
pub(crate) struct World {
    rivvi: Rivvi,
    network: SimulatedNetwork,
    /// The clock, if time is as fast as possible.
    virtual_clock: Option<Arc<VirtualClock>>,
    run_id: RunId,
    import: Arc<ImportReport>,
    explain: Option<E164>,
    machine: SystemClock,
    _folder: Option<TempDir>,
}

impl World {
    /// Opens or resumes: store, network, engine, organization, campaign, run.
    pub(crate) async fn open(options: &Options, job: Job, explain: Option<E164>) -> Result<Self, Failure> {
        let machine = SystemClock::new();
        let (path, folder) = match &options.db {
            Some(path) => (path.clone(), None),
            None => {
                let folder = TempDir::with_prefix("rivvi-quickstart-")
                    .map_err(|error| Failure::Broken(format!("no temporary folder: {error}")))?;
                (folder.path().join("quickstart.db"), Some(folder))
            }
        };
        let mut storage: Storage =
            SqliteStorage::open(&path).await.map_err(|error| Failure::Input(error.to_string()))?.into();

        if let Some(folder) = &options.blobs {
            storage.blobs =
                Some(Blobs::in_folder(folder).map_err(|error| Failure::Input(error.to_string()))?);
        }

        // An interrupted run goes on where its time had come to.
        let mut start = options.start;
        if let Some(last) = storage.ledger.last_entry_at().await? {
            start = start.max(last);
        }
        if let Some(path) = &options.network_log {
            let legs = Leg::read_all(path).map_err(|error| Failure::Input(error.to_string()))?;
            start = legs.iter().map(|leg| leg.at).fold(start, DateTime::max);
        }

        let virtual_clock = (options.speed == 0.0).then(|| Arc::new(VirtualClock::new(start)));
        let clock: Arc<dyn Clock> = match &virtual_clock {
            Some(clock) => clock.clone(),
            None => Arc::new(ScaledClock::new(start, options.speed)),
        };
        // Where virtual time runs fast, what the machine needs for its work is long in virtual time.
        let machine_time = Duration::from_secs_f64(options.speed / 4.0);
        let mut config = EngineConfig::default();
        config.place_timeout = config.place_timeout.max(machine_time);
        config.lease = config.lease.max(config.place_timeout * 3);
        config.lookup_interval = config.lookup_interval.max(config.place_timeout * 2);
        let mut behaviour = Behaviour::default();
        behaviour.webhook_age_max = behaviour.webhook_age_max.max(machine_time * 4);
        let network = SimulatedNetwork::new(clock.clone(), options.seed, behaviour);
        if let Some(path) = &options.network_log {
            network.attach_log(path).map_err(|error| Failure::Input(error.to_string()))?;
        }
        let rivvi =
            Rivvi::builder().storage(storage).voice(network.clone()).clock(clock).config(config).build();
        let rivvi = rivvi.map_err(|error| Failure::Broken(error.to_string()))?;

        let organization = organization(&rivvi, options, job.region).await?;
        let list = rivvi.suppression_list();
        list.add(organization.id, job.suppress, SuppressionSource::Import, "suppression file", None).await?;
        let campaign = campaign(&rivvi, organization.id, job.campaign).await?;
        let ImportedRun { id, report, .. } = rivvi.runs().import(campaign.id, job.sheet).await?;
        eprintln!("{report}");
        Ok(Self {
            rivvi,
            network,
            virtual_clock,
            run_id: id,
            import: report,
            explain,
            machine,
            _folder: folder,
        })
    }

    /// Runs until the run is over or the user interrupts.
    pub(crate) async fn run(&self, options: &Options) -> Result<Finished, Failure> {
        let run = self.rivvi.runs().find(self.run_id).await?;
        match run.map(|run| run.state) {
            Some(RunState::Ready) => self.start().await?,
            Some(RunState::Paused) => drop(self.rivvi.runs().resume(self.run_id).await?),
            Some(state) if state.is_final() => {
                eprintln!("This sheet was run to its end before; use another --db to run it again.");
            }
            _ => {}
        }
        let interrupt = stop::asked();
        tokio::pin!(interrupt);
        let finished = match &self.virtual_clock {
            Some(clock) => {
                tokio::select! {
                    done = self.as_fast_as_possible(clock) => done.map(|()| Finished::Done)?,
                    () = &mut interrupt => Finished::Interrupted,
                }
            }
            None => {
                let pause = Duration::from_secs_f64(0.2 * options.speed.max(1.0));
                let (network, rivvi) = (self.network.clone(), self.rivvi.clone());
                let delivering = async move { network.deliver_to(rivvi).await };
                follow(&self.rivvi, delivering, self.run_id, self.import.imported, pause, interrupt).await?
            }
        };
        Ok(finished)
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

    /// Moves the clock from one event to the next.
    async fn as_fast_as_possible(&self, clock: &VirtualClock) -> Result<(), Failure> {
        let mut display = Display::new(self.import.imported);
        loop {
            let more = self.network.step(&self.rivvi, clock).await?;
            if !more || display.is_due() {
                let progress = self.rivvi.runs().progress(self.run_id).await?;
                display.show(&progress, clock.now());
                if progress.state.is_final() {
                    display.end();
                    return Ok(());
                }
            }
            if !more {
                return Err(Failure::Broken("nothing is left to wait for, but the run is not over".into()));
            }
        }
    }

    /// Tells what came of it.
    pub(crate) async fn tell(&self, options: &Options, finished: Finished) -> Result<ExitCode, Failure> {
        let progress = self.rivvi.runs().progress(self.run_id).await?;
        let run = self.rivvi.runs().find(self.run_id).await?;
        let run = run.ok_or_else(|| Failure::Broken("the run is gone".into()))?;
        let wall = self.machine.monotonic();
        let report = report::write(&self.rivvi, &run, &options.report).await;
        eprint!("{}", outcome::as_text(&run, &self.import, &progress));
        let took = humantime::format_duration(Duration::from_secs(progress.elapsed.as_secs()));
        eprintln!("\n  {took} of virtual time in {:.1} s", wall.as_secs_f64());
        match report {
            Ok(()) => eprintln!("  each contact's outcome is in {}", options.report.display()),
            Err(failure) => eprintln!("warning: the report could not be written: {failure}"),
        }
        if let Some(number) = self.explain {
            self.explain(number, options.json).await?;
        }
        if options.json {
            println!("{}", outcome::as_json(&run, &self.import, &progress, wall));
        }
        if finished == Finished::Interrupted {
            eprintln!("\n{}", how_to_go_on(options));
            return Ok(ExitCode::from(130));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn explain(&self, number: E164, to_stderr: bool) -> Result<(), Failure> {
        let explanations = self.rivvi.explain_number(self.run_id, number).await?;
        let mut text: Vec<String> = explanations.iter().map(ToString::to_string).collect();
        if text.is_empty() {
            text.push("--explain: no contact of this run has that number".into());
        }
        for text in text {
            if to_stderr { eprintln!("\n{text}") } else { println!("\n{text}") }
        }
        Ok(())
    }
}

/// What to do after an interruption.
pub(crate) fn how_to_go_on(options: &Options) -> String {
    match (&options.db, &options.network_log) {
        (Some(db), Some(log)) => format!(
            "Interrupted. Run the same command again, with --db {} and --network-log {}, to go on.",
            db.display(),
            log.display()
        ),
        (Some(db), None) => format!(
            "Interrupted. Run the same command again, with --db {}, to go on. Without a --network-log the simulated \
             network has forgotten the calls that were under way.",
            db.display()
        ),
        (None, _) => "Interrupted. Give a --db FILE next time, to be able to go on.".to_owned(),
    }
}

/// The organization of the database, with the limits of the options.
async fn organization(rivvi: &Rivvi, options: &Options, region: Region) -> Result<Organization, Failure> {
    let known = rivvi.organizations().list(None, 1).await?.pop();
    let mut organization = match known {
        Some(organization) => organization,
        None => {
            let caller_id = E164::from_e164("+97231234567");
            let caller_id = caller_id.map_err(|error| Failure::Broken(error.to_string()))?;
            let new = NewOrganization {
                name: "North Clinic".into(),
                caller_id: CallerId(caller_id),
                time_zone: chrono_tz::Asia::Jerusalem,
                region,
            };
            rivvi.organizations().create(new).await?
        }
    };
    organization.region = region;
    options.job.limit(&mut organization.limits);
    rivvi.organizations().put(organization.clone()).await?;
    Ok(organization)
}

/// The campaign of the database with this definition.
async fn campaign(
    rivvi: &Rivvi,
    org_id: OrgId,
    definition: rivvi::domain::CampaignDefinition,
) -> Result<Campaign, Failure> {
    let known = rivvi.campaigns().list(org_id, None, 1_000).await?;
    match known.into_iter().find(|campaign| campaign.definition == definition) {
        Some(campaign) => Ok(campaign),
        None => Ok(rivvi.campaigns().create(org_id, definition).await?),
    }
}
