//! The engine, who calls, writes and speaks for it, and the run between them.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock, VirtualClock};
use rivvi::domain::{CampaignDefinition, ProviderName};
use rivvi::engine::{Builder, EngineConfig};
use rivvi::policy::follow_up::PlanEvent;
use rivvi::provider::{EmailProvider, ProviderError, SendEmail, SentEmail, SpeechSynthesizer, VoiceProvider};
use rivvi::providers::{
    Asterisk, Behaviour, Espeak, GatewayBehaviour, Polly, PollyOptions, SimulatedGateway, SimulatedNetwork,
};
use rivvi::speech::CachedSpeech;
use rivvi::storage::{Blobs, Storage};
use rivvi::stores::SqliteStorage;
use tempfile::TempDir;

use crate::noted::Noted;
use crate::options::{Options, Speaker, Voice};
use crate::shared::follow::Finished;
use crate::shared::outcome::Failure;
use crate::shared::progress::Display;
use crate::undertaking::Undertaking;

/// A run in progress and everything around it.
#[derive(Debug)]
pub(crate) struct World {
    undertaking: Undertaking,
    gateway: SimulatedGateway,
    /// Network and clock, if the network is simulated.
    simulated: Option<(SimulatedNetwork, Arc<VirtualClock>)>,
    _folder: TempDir,
}

impl World {
    /// Opens or resumes: store, providers, engine, organization, campaign, run.
    pub(crate) async fn open(options: &Options) -> Result<Self, Failure> {
        let machine = SystemClock::new();
        let job = options.read()?;
        let folder = TempDir::with_prefix("rivvi-hybrid-")
            .map_err(|error| Failure::Broken(format!("no temporary folder: {error}")))?;
        let db = options.db.clone().unwrap_or_else(|| folder.path().join("hybrid.db"));
        let mut storage: Storage =
            SqliteStorage::open(&db).await.map_err(|error| Failure::Input(error.to_string()))?.into();
        let blobs = options.blobs(folder.path().join("blobs"))?;
        storage.blobs = Some(blobs.clone());

        let mut config = EngineConfig::default();
        let (clock, voice, simulated): (Arc<dyn Clock>, Arc<dyn VoiceProvider>, _) = match options.voice {
            Voice::Sim => {
                // An interrupted run goes on where its time had come to.
                let last = storage.ledger.last_entry_at().await?;
                let clock =
                    Arc::new(VirtualClock::new(last.map_or(options.start, |last| last.max(options.start))));
                let mut behaviour = Behaviour::default();
                (behaviour.action, behaviour.action_name) = (0.5, "trigger_donation".into());
                let network = SimulatedNetwork::new(clock.clone(), options.seed, behaviour);
                (clock.clone(), Arc::new(network.clone()), Some((network, clock)))
            }
            Voice::Asterisk => {
                // Everything about a call is told with its end.
                config.analysis_grace = Duration::from_secs(3);
                let speaker = speaker(options, blobs).await;
                let asterisk = options.ari.asterisk(speaker, folder.path().join("speech"));
                let servers = options.ari.servers()?;
                let asterisk = Asterisk::new(asterisk, servers, Arc::new(machine))
                    .map_err(|error| Failure::Input(error.to_string()))?;
                (Arc::new(machine), Arc::new(asterisk), None)
            }
        };
        let mut phones = GatewayBehaviour::default();
        (phones.no_sms, phones.unreachable) = (options.no_sms, 0.0);
        let gateway = SimulatedGateway::new(clock.clone(), options.seed, phones);
        let builder =
            Rivvi::builder().storage(storage).shared_voice(voice).sms(gateway.clone()).email(Letters);
        let rivvi = with_actions(builder, &job.campaign).clock(clock).config(config).build();
        let rivvi = rivvi.map_err(|error| Failure::Broken(error.to_string()))?;
        let undertaking = Undertaking::open(rivvi, job, &options.job, options.from, machine).await?;
        Ok(Self { undertaking, gateway, simulated, _folder: folder })
    }

    /// Runs until the run is over or the user interrupts.
    pub(crate) async fn run(&self, stop: Pin<&mut impl Future<Output = ()>>) -> Result<Finished, Failure> {
        match &self.simulated {
            None => {
                let gateway = self.gateway.clone();
                let rivvi = self.undertaking.rivvi.clone();
                self.undertaking.run(async move { gateway.deliver_to(rivvi).await }, stop).await
            }
            Some((network, clock)) => {
                self.undertaking.begin().await?;
                let mut stop = stop;
                let mut display = Display::new(0);
                loop {
                    tokio::select! {
                        biased;
                        () = stop.as_mut() => return Ok(Finished::Interrupted),
                        more = self.step(network, clock) => if !more? { break },
                    }
                    if display.is_due() {
                        let progress =
                            self.undertaking.rivvi.runs().progress(self.undertaking.run_id).await?;
                        display.show(&progress, clock.now());
                    }
                }
                display.end();
                Ok(Finished::Done)
            }
        }
    }

    /// One step in virtual time. `false` when nothing is left to happen.
    async fn step(&self, network: &SimulatedNetwork, clock: &VirtualClock) -> Result<bool, Failure> {
        let rivvi = &self.undertaking.rivvi;
        network.deliver_due(rivvi).await;
        self.gateway.deliver_due(rivvi).await;
        let tick = rivvi.tick().await?;
        let next = [tick.next_at, network.next_event_at(), self.gateway.next_event_at()];
        let Some(next) = next.into_iter().flatten().min() else { return Ok(false) };
        clock.advance_to(next.max(clock.now() + TimeDelta::milliseconds(1)));
        Ok(true)
    }

    /// Tells what came of it.
    pub(crate) async fn tell(&self, options: &Options) -> Result<(), Failure> {
        self.undertaking.tell(options.json).await
    }
}

async fn speaker(options: &Options, blobs: Blobs) -> Arc<dyn SpeechSynthesizer> {
    match options.speaker {
        Speaker::Espeak => Arc::new(Espeak::new()),
        Speaker::Polly => {
            let settings = PollyOptions::default();
            let polly = match &options.polly_endpoint {
                Some(url) => Polly::local(url, settings),
                None => Polly::connect(settings).await,
            };
            // A text is paid for once.
            Arc::new(CachedSpeech::new(Arc::new(polly), blobs))
        }
    }
}

/// Registers what conversations may ask the host for: what no follow-up does.
fn with_actions(builder: Builder, campaign: &CampaignDefinition) -> Builder {
    let followed: BTreeSet<&str> = campaign
        .follow_up
        .iter()
        .flat_map(|step| &step.on)
        .filter_map(|on| match &on.event {
            PlanEvent::Action(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    let asked = campaign.flow.as_ref().map(|flow| flow.host_actions()).unwrap_or_default();
    let own = asked.into_iter().filter(|name| !followed.contains(name.as_str()));
    own.fold(builder, |builder, name| builder.action(Noted { name }))
}

/// Takes letters and sends none.
#[derive(Debug)]
struct Letters;

#[async_trait]
impl EmailProvider for Letters {
    fn name(&self) -> ProviderName {
        ProviderName::new("letters")
    }

    async fn send_email(&self, request: &SendEmail) -> Result<SentEmail, ProviderError> {
        Ok(SentEmail { reference: Some(request.message_id.to_string()) })
    }
}
