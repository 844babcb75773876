//! Core of Rivvi.
pub mod domain;
pub mod import;
pub mod policy;
