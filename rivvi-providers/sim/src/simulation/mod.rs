//! The whole engine in a storm, decided by one seed (feature `simulation`).
//!
//! A [`World`] has several nodes with clocks of their own on one store, a phone network, a gateway of text messages and a
//! mailbox. What the nodes do is taken apart at every await, and the seed decides who goes on; nodes crash, are paused
//! beyond their leases, and lose their store and their providers. Then the faults heal, everything must settle, and
//! [`World::verdict`] tells whether a promise was broken. The same seed gives the same journal, byte for byte, on a
//! store in memory.
//!
//! ```
//! use rivvi_provider_sim::simulation::{Parts, Sound, Storm, World};
//!
//! let world = World::run(Storm::of(17), &Sound);
//! world.verdict().expect("no promise is broken");
//! println!("{} lines of timeline, {:?}", world.timeline().len(), world.fired());
//! ```
//!
//! Put a store of your own into the storm with [`Parts`]: see [`Parts::storage`].

mod calendar;
mod checker;
mod line;
mod mailbox;
mod node;
mod parts;
mod people;
mod setting;
mod storm;
mod tasks;
mod world;

pub use checker::Broken;
pub use parts::{Parts, Sound};
pub use storm::{Kind, Storm, Weather};
pub use world::World;
