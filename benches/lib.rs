//! Shared scenarios of the benches.
