//! The engine, the provider, and the run between them.

use std::sync::Arc;

use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock};
use rivvi::engine::{Builder, EngineConfig};
use rivvi::message::ShortLinks;
use rivvi::provider::SmsProvider;

use crate::hosted::webhooks::{listen, serve};
use crate::hosted::world::World;
use crate::noted::Noted;
use crate::options::{Options, host_actions};
use crate::routes::routes;
use crate::shared::job::Job;
use crate::shared::outcome::Failure;
use crate::undertaking::Undertaking;

/// Opens or resumes: store, provider, engine, organization, campaign, run.
pub(crate) async fn open(options: &Options) -> Result<World, Failure> {
    let machine = SystemClock::new();
    let (job, links) = (options.read()?, options.short_links()?);
    match options.account.provider(Arc::new(machine))? {
        Some(provider) => served(options, job, links, provider, machine).await,
        None => simulated(options, job, links, machine).await,
    }
}

/// With a provider that tells by webhooks what becomes of messages.
async fn served(
    options: &Options,
    job: Job,
    links: Option<ShortLinks>,
    provider: Arc<dyn SmsProvider>,
    machine: SystemClock,
) -> Result<World, Failure> {
    let (listener, address) = listen(options.listen).await?;
    let (storage, folder) = options.store.open("sms").await?;
    let (name, receipts) = (provider.name(), provider.capabilities().receipts);
    let builder = Rivvi::builder().storage(storage).shared_sms(provider).clock(Arc::new(machine));
    let rivvi = build(builder, options, &job, links, EngineConfig::default())?;

    let undertaking = Undertaking::open(rivvi, job, &options.job, options.origin()?, machine).await?;
    eprintln!("webhooks: http://{address}/webhook");
    if !receipts {
        eprintln!("There are no receipts: what the provider accepts counts as delivered.");
    }
    let serving = serve(listener, routes(undertaking.rivvi.clone(), name.as_str()));
    Ok(World::new(undertaking, serving, folder))
}

/// With a gateway that is not there, in time that runs fast.
async fn simulated(
    options: &Options,
    job: Job,
    links: Option<ShortLinks>,
    machine: SystemClock,
) -> Result<World, Failure> {
    let (storage, folder) = options.store.open("sms").await?;
    let clock: Arc<dyn Clock> = options.simulation.clock(&storage).await?;
    let gateway = options.simulation.gateway(clock.clone());
    let mut config = EngineConfig::default();
    options.simulation.adapt(&mut config);
    let builder = Rivvi::builder().storage(storage).sms(gateway.clone()).clock(clock);
    let rivvi = build(builder, options, &job, links, config)?;

    let mut undertaking = Undertaking::open(rivvi, job, &options.job, options.origin()?, machine).await?;
    undertaking.pause = options.simulation.scaled(undertaking.pause);
    let rivvi = undertaking.rivvi.clone();
    Ok(World::new(undertaking, async move { gateway.deliver_to(rivvi).await }, folder))
}

fn build(
    mut builder: Builder,
    options: &Options,
    job: &Job,
    links: Option<ShortLinks>,
    mut config: EngineConfig,
) -> Result<Rivvi, Failure> {
    config.analysis_grace = options.grace();
    for name in host_actions(&job.campaign) {
        builder = builder.action(Noted { name });
    }
    if let Some(links) = links {
        builder = builder.short_links(links);
    }
    builder.config(config).build().map_err(|error| Failure::Broken(error.to_string()))
}
