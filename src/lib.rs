//! Rivvi facade.
