//! The suite for stores: one case per promise that the traits of [`storage`](crate::storage) make.
//!
//! A case begins with an empty store and panics if a promise is not kept. [`storage_conformance!`] makes a test of
//! each; a case can also be called by itself:
//!
//! ```
//! # use rivvi_core::{storage::Storage, testkit};
//! testkit::run_case(async {
//!     testkit::storage::begin::calls_follow_priority_then_due_time_then_id(&Storage::in_memory()).await;
//! });
//! ```
//!
//! [`storage_conformance!`]: crate::storage_conformance

pub mod apply;
pub mod archive;
pub mod begin;
pub mod catalog;
pub mod concurrency;
pub mod contacts;
pub mod inbound;
pub mod items;
pub mod journal;
pub mod messages;
pub mod overdue;
mod random;
pub mod runs;
mod scene;
mod suite;
pub mod suppression;
mod whole;

pub use random::assert_random_sequences_agree;
pub use scene::{PROVIDER, Scene, allow, by_policy, decided, defer, item_id, settling};
pub use suite::{CASES, assert_suite_is_complete};
pub use whole::{assert_whole, journal_of};
