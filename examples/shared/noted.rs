//! Actions that a campaign asks its host for.

use async_trait::async_trait;
use rivvi::engine::{HostAction, HostError};
use rivvi::provider::ActionResult;
use rivvi::storage::OutboxItem;

/// Carries an action out by saying that it was asked for.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) name: String,
}

#[async_trait]
impl HostAction for Noted {
    fn name(&self) -> &str {
        &self.name
    }

    async fn carry_out(&self, item: &OutboxItem) -> Result<ActionResult, HostError> {
        eprintln!("contact {}: asked for {}", item.contact_id, self.name);
        Ok(ActionResult::done())
    }
}
