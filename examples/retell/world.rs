//! The engine, Retell, and the run between them.

use std::sync::Arc;

use rivvi::Rivvi;
use rivvi::clock::{Clock, SystemClock};
use rivvi::providers::Retell;

use crate::hosted::webhooks::{listen, serve};
use crate::hosted::world::World;
use crate::options::Options;
use crate::shared::outcome::Failure;
use crate::undertaking::Undertaking;
use crate::webhooks::routes;

/// Opens or resumes: store, Retell, engine, organization, campaign, run.
pub(crate) async fn open(options: &Options) -> Result<World, Failure> {
    let machine = SystemClock::new();
    let job = options.read()?;
    let (listener, address) = listen(options.listen).await?;
    let (storage, folder) = options.store.open("retell").await?;

    let clock: Arc<dyn Clock> = Arc::new(machine);
    let retell = Retell::new(options.retell(), clock.clone());
    let retell = retell.map_err(|error| Failure::Input(error.to_string()))?;
    let rivvi = Rivvi::builder().storage(storage).voice(retell).clock(clock).config(options.engine()).build();
    let rivvi = rivvi.map_err(|error| Failure::Broken(error.to_string()))?;

    let undertaking = Undertaking::open(rivvi, job, &options.job, options.from, machine).await?;
    eprintln!("webhooks: http://{address}/webhook, people who call back: http://{address}/inbound");
    let serving = serve(listener, routes(undertaking.rivvi.clone()));
    Ok(World::new(undertaking, serving, folder))
}
