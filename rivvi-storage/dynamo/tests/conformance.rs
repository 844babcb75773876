//! The suite of the core against DynamoDB.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

rivvi_core::storage_conformance!(support::fresh);
