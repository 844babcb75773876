//! Pure decisions: may this contact be called at this instant, and if not, when?
//!
//! A [`Policy`] asks its [rules](Rule) one after the other. The first that objects decides; the next legal instant is
//! the first at which none objects. Nothing here does I/O or reads a clock.

mod calendar;
pub mod caps;
pub mod day;
mod decide;
pub mod follow_up;
pub mod hours;
pub mod retry;
mod rules;
mod wall;
pub mod window;
pub mod zone;

pub use decide::{Decision, Explanation, Finding, NumberFacts, Policy, Question, Rule, RunTerms, TraceStep};
pub use rules::RING_MIN;
