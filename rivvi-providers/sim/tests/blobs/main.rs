//! Whole campaigns with a blob store: the sheet is kept, the contacts wait there until the start, calls are logged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first error")]

mod faults;
mod files;
mod life;
mod start;
mod webhooks;
