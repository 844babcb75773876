//! What this process has read or written lately, so that a contact whose call goes on is not read again.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use quick_cache::sync::Cache;
use rivvi_core::domain::{Call, CallId, Contact, ContactId, ContactStatus};
use rivvi_core::storage::Applied;

use crate::connection::Transaction;
use crate::error::Failure;
use crate::imported;
use crate::value::uuids;

/// Contacts as they were imported, which never changes; and live calls with the statuses of their contacts, which another
/// node may have changed since. Whoever decides from a remembered call finds that out when it writes: see
/// [`Version`](crate::table::Version).
pub(crate) struct Lately {
    contacts: Cache<ContactId, Arc<Contact>>,
    calls: Cache<CallId, Arc<(Call, ContactStatus)>>,
}

impl Lately {
    pub(crate) fn new(contacts_max: usize) -> Self {
        Self { contacts: Cache::new(contacts_max), calls: Cache::new(contacts_max) }
    }

    /// Remembers a contact as it was imported.
    pub(crate) fn remember(&self, contact: &Contact) {
        self.contacts.insert(contact.id, Arc::new(contact.clone()));
    }

    /// Remembers a live call with the status of its contact, as they are stored.
    pub(crate) fn remember_call(&self, call: &Call, status: &ContactStatus) {
        self.calls.insert(call.id, Arc::new((call.clone(), status.clone())));
    }

    /// Remembers the live calls among those that changed. Of those that ended nothing is kept: who is called again is read
    /// again, and what is not needed any more would push out what is.
    pub(crate) fn remember_applied(&self, applied: &[Applied]) {
        for applied in applied {
            match applied {
                Applied::Changed { call, status } if call.is_live() => self.remember_call(call, status),
                Applied::Changed { call, .. } => {
                    self.calls.remove(&call.id);
                    self.contacts.remove(&call.contact_id);
                }
                _ => {}
            }
        }
    }

    /// A live call with the status of its contact, if it is remembered.
    pub(crate) fn call(&self, id: CallId) -> Option<Arc<(Call, ContactStatus)>> {
        self.calls.get(&id)
    }

    /// Forgets calls, which may have changed.
    pub(crate) fn forget<'a>(&self, calls: impl IntoIterator<Item = &'a CallId>) {
        for id in calls {
            self.calls.remove(id);
        }
    }

    /// Contacts as they were imported, except for their statuses; those that are remembered are not read.
    pub(crate) async fn contacts(
        &self,
        tx: &mut Transaction,
        ids: BTreeSet<ContactId>,
    ) -> Result<HashMap<ContactId, Arc<Contact>>, Failure> {
        const CONTACTS: &str = "SELECT c.id, c.org_id, c.run_id, c.number, c.due_at, c.document FROM contacts c \
                                WHERE c.id = ANY($1)";
        let (mut found, mut missing) = (HashMap::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match self.contacts.get(&id) {
                Some(contact) => drop(found.insert(id, contact)),
                None => missing.push(id),
            }
        }
        if !missing.is_empty() {
            for row in &tx.rows(sqlx::query(CONTACTS).bind(uuids(missing))).await? {
                let contact = Arc::new(imported::read(row, 0)?);
                self.contacts.insert(contact.id, contact.clone());
                found.insert(contact.id, contact);
            }
        }
        Ok(found)
    }
}

impl fmt::Debug for Lately {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (contacts, calls) = (self.contacts.len(), self.calls.len());
        f.debug_struct("Lately").field("contacts", &contacts).field("calls", &calls).finish()
    }
}
