//! A simple model of the outside: what network, gateway, mailbox, people and vendors saw, beside what the ledger and the
//! journal say in the end.

mod attempts;
mod ends;
mod fates;
mod replay;

use std::collections::HashMap;
use std::fmt;

use rivvi_core::domain::{Call, CallId, Contact};
use rivvi_core::storage::{ContactQuery, StorageError};

use super::world::World;
use replay::Replay;

/// A promise that was broken, and by what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Broken(String);

impl From<StorageError> for Broken {
    fn from(error: StorageError) -> Self {
        Self(format!("the store fails in the end: {error}"))
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(broken())) }
}

/// What is left in the end.
struct Remains {
    contacts: Vec<Contact>,
    calls: HashMap<CallId, Call>,
    replay: Replay,
}

/// Checks every promise when the world has come to rest. The error says which is broken first.
pub(super) async fn check(world: &World) -> Result<(), Broken> {
    let ledger = &world.around.storage.ledger;
    let query = ContactQuery { run_id: world.run_id, number: None, after: None, limit: usize::MAX };
    let contacts = ledger.contacts(query).await?;
    let ids: Vec<_> = contacts.iter().map(|contact| contact.id).collect();
    let calls = ledger.calls_of(&ids).await?.into_iter().map(|call| (call.id, call)).collect();
    let replay = Replay::of(&world.journal().await)?;
    let remains = Remains { contacts, calls, replay };
    attempts::check(world, &remains)?;
    fates::check(world, &remains).await?;
    ends::check(world, &remains).await?;
    remains.replay.check(&remains.contacts, &remains.calls)
}

/// Checks that what is live is gone when the world has come to its end, and what is kept is there.
pub(super) async fn check_purged(world: &World) -> Result<(), Broken> {
    ends::check_purged(world).await
}
