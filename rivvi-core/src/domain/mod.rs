//! The words of the domain.
pub mod person;
pub mod personal;
pub mod phone;
