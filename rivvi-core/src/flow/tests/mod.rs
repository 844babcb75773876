//! Flows, read, checked, run and drawn.

mod campaign;
mod draw;
mod line;
mod properties;
mod read;
mod robustness;
mod samples;
mod steps;
mod validate;
