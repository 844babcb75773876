//! The state machines of runs, contacts and calls: pure functions from a state and an input to the next state and
//! what is to be done about it.
//!
//! A contact and its calls change together, so they are one machine: [`begin`] takes a waiting contact to its call,
//! [`settle`] takes what is told about the call to the contact. Runs have their own: [`step_run`].

mod begin;
mod call;
mod follow_up;
mod inbound;
mod input;
mod learn;
mod run;
mod settle;

pub use begin::{Intent, begin, refuse, withdraw};
pub use call::{CallStep, step_call};
pub use follow_up::{Hindrance, hinder, look_again};
pub use inbound::{give_up_inbound, inbound_call, step_inbound};
pub use input::{CallFact, CallInput};
pub use run::{RunInput, step_run};
pub use settle::{SettleTerms, settle};

#[cfg(test)]
mod tests;
