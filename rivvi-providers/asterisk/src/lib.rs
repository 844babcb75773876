//! Asterisk for Rivvi: calls over ARI, conversations led by flows.
//!
//! ```text
//!   engine ──place_call──▶ choose a server ──POST /channels──▶ Asterisk ──SIP──▶ callee
//!     ▲                                                           │
//!     │                                                        events (WebSocket)
//!     │                                                           ▼
//!   teller ◀── what happened ── call machine (pure) ◀── link ◀────┘
//!                                   │    ▲
//!                    orders: play,  │    │ rivvi_core::flow::step (pure)
//!                    record, bridge ▼    │
//!                              ARI, speech, hearing
//! ```
//!
//! Our call id is the id of the channel, so Asterisk refuses the same call a second time; and a note that Asterisk keeps
//! outlives the channel, so a call that is over is not placed again either. `docs/asterisk.md` tells what the dialplan
//! needs.
//!
//! ```
//! use std::sync::Arc;
//!
//! use rivvi_core::clock::SystemClock;
//! use rivvi_provider_asterisk::{Asterisk, AsteriskOptions, AsteriskServer};
//!
//! let mut options = AsteriskOptions::default();
//! options.endpoint = "PJSIP/{number}@trunk".into();
//! let server = AsteriskServer::new("pbx1", "http://rivvi:secret@10.0.0.5:8088")?;
//! let asterisk = Asterisk::new(options, [server], Arc::new(SystemClock::new()))?;
//! # Ok::<(), rivvi_provider_asterisk::AsteriskOptionsError>(())
//! ```

mod actor;
mod ari;
mod call;
mod check;
mod choose;
mod hearing;
mod keep;
mod link;
mod lookup;
mod media;
mod options;
mod provider;
mod server;
mod tell;

pub use options::{
    AsteriskOptions, AsteriskOptionsError, AsteriskServer, Hearing, Orphans, Speech, SpeechMedia,
};
pub use provider::{Asterisk, ServerStatus};

/// For the fuzzing of the workspace; no part of the interface.
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing {
    /// Reads an event as the connection to a server does, and gives what was understood.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read_event(text: &str) -> Result<impl std::fmt::Debug, String> {
        crate::ari::Event::read(text)
    }
}
