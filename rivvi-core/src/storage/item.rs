//! What waits in inbox and outbox, and pages of the journal.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::domain::{CallId, Contact, ContactId, ItemId, JournalEntry, OrgId, Personal, RunId};
use crate::provider::CallUpdate;

/// An update whose call was not known when it arrived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InboxItem {
    /// Its id.
    pub id: ItemId,
    /// The update.
    pub update: CallUpdate,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// When it is given up.
    pub expires_at: DateTime<Utc>,
    /// How often it was taken.
    pub attempts: u32,
}

impl InboxItem {
    /// The item of an update that matches no call. Its id is derived from the update, so that the same update is
    /// kept once however often it arrives.
    pub fn unmatched(update: CallUpdate, received_at: DateTime<Utc>, expires_at: DateTime<Utc>) -> Self {
        let text = serde_json::to_vec(&update).unwrap_or_default();
        let digest = Sha256::digest(text);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        let id = ItemId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid());
        Self { id, update, received_at, expires_at, attempts: 0 }
    }
}

/// An action of the host to be carried out, once in effect: the host recognizes a repetition by the id.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutboxItem {
    /// Its id, the same at every repetition.
    pub id: ItemId,
    /// Whose call asked for it.
    pub org_id: OrgId,
    /// The run of the call.
    pub run_id: RunId,
    /// The contact of the call.
    pub contact_id: ContactId,
    /// The call; `None` for a follow-up that no call led to.
    pub call_id: Option<CallId>,
    /// The name under which the host registered the action.
    pub action: String,
    /// Tells the request apart from others of the call, for who waits for the result.
    #[serde(default)]
    pub key: String,
    /// What the conversation gives to it.
    pub parameters: Personal<BTreeMap<String, String>>,
    /// Since when it is to be carried out.
    pub created_at: DateTime<Utc>,
    /// How often it was taken.
    pub attempts: u32,
}

impl OutboxItem {
    /// The item of a follow-up that the host carries out. Its id is derived from contact and follow-up, for a follow-up
    /// takes place at most once for a contact.
    pub fn of_follow_up(
        contact: &Contact,
        call_id: Option<CallId>,
        step: &str,
        action: &str,
        parameters: Personal<BTreeMap<String, String>>,
        at: DateTime<Utc>,
    ) -> Self {
        let mut digest = Sha256::new();
        digest.update(contact.id.as_uuid().as_bytes());
        digest.update(step);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest.finalize()[..16]);
        Self {
            id: ItemId::from_uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid()),
            org_id: contact.org_id,
            run_id: contact.run_id,
            contact_id: contact.id,
            call_id,
            action: action.to_owned(),
            key: String::new(),
            parameters,
            created_at: at,
            attempts: 0,
        }
    }
}

/// An item of inbox or outbox that was given up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DeadLetter {
    /// An update whose call never became known.
    Inbox {
        /// The item.
        item: InboxItem,
        /// Why it was given up.
        problem: String,
    },
    /// An action that kept failing.
    Outbox {
        /// The item.
        item: OutboxItem,
        /// Why it was given up.
        problem: String,
    },
}

impl DeadLetter {
    /// The id of the item.
    pub fn id(&self) -> ItemId {
        match self {
            Self::Inbox { item, .. } => item.id,
            Self::Outbox { item, .. } => item.id,
        }
    }
}

/// A place in the feed of all journal entries, in a form known to its store alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JournalCursor(pub String);

/// Some entries of the journal and where to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalPage {
    /// The entries.
    pub entries: Vec<JournalEntry>,
    /// The place after the last of them.
    pub next: JournalCursor,
}
