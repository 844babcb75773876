//! Pure decisions.
pub mod caps;
pub mod window;
pub mod zone;
