//! Simulated network.
