//! Core of Rivvi: the words, the decisions, the traits, and the engine.
//!
//! ```text
//!  sheet ─▶ import ─▶ Ledger ─▶ dispatcher ─▶ policy ─▶ intent ─▶ VoiceProvider
//!                       ▲                                              │
//!                       └────────── settle ◀── intake ◀── updates ─────┘
//! ```
//!
//! - [`domain`]: the words. Plain data.
//! - [`policy`] and [`machine`]: the decisions. Pure functions; time is an argument.
//! - [`flow`]: conversations as data, interpreted by a pure function.
//! - [`import`]: contact sheets.
//! - [`storage`], [`provider`], [`limit`], [`clock`]: the traits through which the engine touches the world.
//! - [`engine`]: the shell that connects them, with [`Rivvi`](engine::Rivvi) at its front.
//!
//! A host depends on the facade crate `rivvi`; an author of a store or provider on this crate alone.

pub mod clock;
pub mod domain;
pub mod engine;
pub mod flow;
pub mod import;
pub mod limit;
pub mod machine;
pub mod message;
pub mod policy;
pub mod provider;
pub mod storage;
#[cfg(feature = "testkit")]
pub mod testkit;
