//! A simulated phone network, and a [simulated gateway of text messages](SimulatedGateway): callees who answer, do not answer, are busy or let a machine answer, decided by a seed.
//!
//! It behaves like a vendor: it is asked to place calls, tells what happens by signed webhooks, can be asked about a
//! call, recognizes a repeated placement, and can write down every call leg before it answers. Time is the engine's,
//! so a day passes in a second where the clock is virtual.
//!
//! ```
//! use std::sync::Arc;
//! use rivvi_core::clock::VirtualClock;
//! use rivvi_core::engine::Rivvi;
//! use rivvi_core::storage::Storage;
//! use rivvi_provider_sim::{Behaviour, SimulatedNetwork};
//!
//! let clock = Arc::new(VirtualClock::new("2026-03-02T07:00:00Z".parse()?));
//! let network = SimulatedNetwork::new(clock.clone(), 42, Behaviour::default());
//! let rivvi = Rivvi::builder()
//!     .storage(Storage::in_memory())
//!     .voice(network.clone())
//!     .clock(clock)
//!     .build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod behaviour;
mod gateway;
mod log;
mod network;
mod script;
#[cfg(feature = "simulation")]
pub mod simulation;
mod turns;
mod webhook;

pub use behaviour::Behaviour;
pub use gateway::{GatewayBehaviour, SentMessage, SimulatedGateway};
pub use log::{Leg, NetworkLogError};
pub use network::SimulatedNetwork;
