//! Flows: conversations as data.
//!
//! ```text
//!   TOML, JSON ──▶ Flow ──▶ validate ──▶ (problems: node, field, what was expected)
//!                    │
//!     session, input, now ──▶ step ──▶ session, effects
//!                    │
//!                    └──▶ to_mermaid, to_dot (with the path of a call or the counts of a run)
//! ```
//!
//! A [`Flow`] says what a callee hears, which keys and words mean what, and what follows. [`step`] interprets it: pure,
//! without I/O or clock, with a [`Session`] that can be serialized between any two inputs. Whoever runs a session
//! (a voice provider) turns what happens in the call into [`Input`]s and carries out the [`Effect`]s; those that take
//! effect outside the call become events for the engine by [`Effect::call_event`], which has each of them take effect
//! once.
//!
//! `docs/flows.md` is the reference of the language.

mod action;
mod definition;
mod draw;
mod edge;
mod effect;
mod error;
mod input;
mod interpret;
mod key;
mod reaction;
mod session;
mod template;
#[cfg(test)]
mod tests;
mod validate;
mod written;

pub use definition::{Flow, NodePath, RecordingRules};
pub use draw::Traffic;
pub use effect::{Effect, FlowEnding};
pub use error::{FlowError, FlowProblem};
pub use input::{Detected, Input, Token, TransferOutcome};
pub use interpret::step;
pub use key::{Key, KeyError};
pub use session::{Session, Trigger, Visit};
pub use template::{Template, TemplateError};
pub use validate::FlowTerms;
