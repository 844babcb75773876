//! P2, P4: each message and letter is sent once, what is told of it is what became of it, and who says STOP is heard.

use std::collections::HashSet;

use rivvi_core::clock::Clock;
use rivvi_core::domain::{Contact, ContactState, Outcome};
use rivvi_core::provider::Lookup;

use super::super::world::World;
use super::{Broken, Remains, require};
use crate::SentMessage;

pub(super) async fn check(world: &World, remains: &Remains) -> Result<(), Broken> {
    once(world)?;
    for sent in world.around.gateway.sent().iter().filter(|sent| !is_confirmation(sent)) {
        told(world, remains, sent)?;
    }
    require(world.told.forgeries_taken == 0, || "P4: a forged webhook was taken".to_owned())?;
    let ledger = &world.around.storage.ledger;
    for (number, at, _) in &world.told.suppressed {
        let facts = ledger.number_facts(world.organization.id, *number, world.around.clock.now()).await?;
        let is_listed = facts.suppression.is_some();
        require(is_listed, || format!("P1: a suppression acknowledged at {at} is not on the list"))?;
    }
    Ok(())
}

/// Whether a message confirms an opt-out; those are not of a campaign.
pub(super) fn is_confirmation(message: &SentMessage) -> bool {
    message.text.expose().contains("no more messages")
}

fn once(world: &World) -> Result<(), Broken> {
    let (mut sent, mut confirmed, mut letters) = (HashSet::new(), HashSet::new(), HashSet::new());
    for message in world.around.gateway.sent() {
        require(sent.insert(message.id), || format!("P2: message {} was sent twice", message.id))?;
        let again = is_confirmation(&message) && !confirmed.insert(message.to);
        require(!again, || format!("P2: an opt-out was confirmed twice, the second time by {}", message.id))?;
    }
    for (id, at) in world.around.mailbox.taken() {
        require(letters.insert(id), || format!("P2: letter {id} was sent again at {at}"))?;
    }
    Ok(())
}

fn told(world: &World, remains: &Remains, sent: &SentMessage) -> Result<(), Broken> {
    let Some(call) = remains.calls.get(&sent.id) else { return Ok(()) };
    let message = call.detail.message.as_ref();
    let message = message.ok_or_else(|| Broken(format!("P4: {} is no message", sent.id)))?;
    if let Some(delivery) = message.delivery.as_ref().filter(|delivery| delivery.state.is_final()) {
        let state = delivery.state;
        require(state == sent.fate, || {
            format!("P4: {} is told to be {state}, and is {}", sent.id, sent.fate)
        })?;
    }
    // The gateway can be asked by our id, so the end is the same without any webhook.
    let contact = remains.contacts.iter().find(|contact| contact.id == call.contact_id);
    let unknown = |contact: &Contact| {
        matches!(contact.status.state, ContactState::Settled { outcome: Outcome::Unknown, .. })
            && remains.replay.is_last(contact, sent.id)
    };
    let asked = world.storm.gateway.lookup == Lookup::ByCallId && contact.is_some_and(unknown);
    require(!asked, || format!("P4: {} is {}, and its contact unknown", sent.id, sent.fate))
}
