//! Calls led by [Retell AI](https://www.retellai.com) agents.
//!
//! ```text
//!            PlaceCall ──▶ call::request ──▶ POST /v2/create-phone-call ──▶ failure::judge
//!  (call id = idempotency key and metadata)
//!
//!   webhook ──▶ signature::verify ──▶ webhook::read ──┐
//!   GET /v2/get-call, POST /v3/list-calls ────────────┴──▶ updates::of_call ──▶ CallUpdates
//!
//!   inbound webhook ──▶ signature::verify ──▶ inbound::read ──▶ engine ──▶ inbound::write
//! ```
//!
//! [`Retell`] is a [`VoiceProvider`](rivvi_core::provider::VoiceProvider). Every call carries our call id, as idempotency
//! key and in its metadata, which Retell keeps and repeats in every webhook; so a webhook that comes before the answer to
//! the request finds its call, and a call whose answer was lost is found again. Requests are made once: no redirect, no
//! retry. Everything Retell tells of a call, by webhook or lookup, is a picture of the whole call, and the same function
//! reads all of them; so it does not matter which of them are lost, late or repeated.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use rivvi_core::clock::SystemClock;
//! use rivvi_core::domain::Secret;
//! use rivvi_core::engine::Rivvi;
//! use rivvi_core::storage::Storage;
//! use rivvi_provider_retell::{Retell, RetellOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let retell = Retell::new(RetellOptions::new(Secret::new("key_...")), Arc::new(SystemClock::new()))?;
//! let rivvi = Rivvi::builder().storage(Storage::in_memory()).voice(retell).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! The contract is that of the vendor's API reference (<https://docs.retellai.com/api-references>) and of its official
//! SDKs. What they do not promise is not relied on: fields may be absent or null, values and events may be new.

mod call;
mod client;
mod concurrency;
mod failure;
mod inbound;
mod metadata;
mod options;
mod provider;
mod reason;
mod signature;
mod updates;
mod variables;
mod webhook;

pub use concurrency::Concurrency;
pub use options::{OptionsError, RetellOptions};
pub use provider::Retell;
