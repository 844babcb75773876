//! The suite of the core: as the owner of the tables, and as another role under row-level security.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod database;

mod owner {
    rivvi_core::storage_conformance!(crate::database::fresh);
}

mod guarded {
    rivvi_core::storage_conformance!(crate::database::fresh_guarded);
}
