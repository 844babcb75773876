//! One run whose vendor talks to us by webhooks: what such examples have in common.

pub(crate) mod store;
pub(crate) mod webhooks;
pub(crate) mod world;
