//! What a world is built from.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rivvi_core::domain::CampaignDefinition;
use rivvi_core::provider::{SmsProvider, VoiceProvider};
use rivvi_core::storage::{Ledger, Storage};

use crate::{SimulatedGateway, SimulatedNetwork};

/// What a world is built from. Each method has a default, that of a world in which everything is as it should be:
/// replace one to put a store of your own into the storm, or a defect, to see that it is found.
#[async_trait]
pub trait Parts: Send + Sync {
    /// The store that all nodes share. In memory by default.
    async fn storage(&self) -> Storage {
        Storage::in_memory()
    }

    /// How long the store may take to answer, in real time, before the world goes on without it; what comes later is a slow
    /// answer. None for a store in memory, which is the default.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }

    /// The ledger as one node sees it.
    fn ledger(&self, shared: Arc<dyn Ledger>) -> Arc<dyn Ledger> {
        shared
    }

    /// The phone network as the nodes see it.
    fn voice(&self, network: SimulatedNetwork) -> Arc<dyn VoiceProvider> {
        Arc::new(network)
    }

    /// The gateway as the nodes see it.
    fn sms(&self, gateway: SimulatedGateway) -> Arc<dyn SmsProvider> {
        Arc::new(gateway)
    }

    /// The campaign.
    fn definition(&self, definition: CampaignDefinition) -> CampaignDefinition {
        definition
    }
}

/// A world in which everything is as it should be.
#[derive(Debug, Clone, Copy)]
pub struct Sound;

impl Parts for Sound {}
