//! Rows of `due`.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use rivvi_core::domain::Contact;
use uuid::Uuid;

use crate::connection::Transaction;
use crate::error::Failure;
use crate::rows::{Bulk, Rows, names, rows};
use crate::value::instant;

rows! {
    /// Rows of `due`.
    DueRows<'a> {
        contact_id: Uuid,
        run_id: Uuid,
        priority: i16,
        due_at: DateTime<Utc>,
        org_id: Uuid,
    }
}

impl DueRows<'_> {
    /// Adds the row of a contact that is due at this instant, if it is.
    pub(crate) fn extend(&mut self, contact: &Contact, due_at: Option<DateTime<Utc>>) {
        let Some(due_at) = due_at else { return };
        self.run_id.push(contact.run_id.as_uuid());
        self.priority.push(i16::from(contact.priority.level()));
        self.due_at.push(instant(due_at));
        self.contact_id.push(contact.id.as_uuid());
        self.org_id.push(contact.org_id.as_uuid());
    }
}

pub(crate) async fn insert_due(tx: &mut Transaction, due: DueRows<'_>) -> Result<(), Failure> {
    INSERT_DUE.put(tx, due).await.map(drop)
}

static INSERT_DUE: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&[DueRows::COLUMNS], |rows| {
        let columns = names(DueRows::COLUMNS);
        format!("INSERT INTO due ({columns}) SELECT {columns} FROM {rows}")
    })
});

/// Removes rows, all of which must be there still.
pub(crate) async fn delete_due(tx: &mut Transaction, due: DueRows<'_>) -> Result<(), Failure> {
    let expected = due.len() as u64;
    let deleted = DELETE_DUE.put(tx, due).await?;
    if deleted == expected { Ok(()) } else { Err(Failure::Overtaken) }
}

pub(crate) static DELETE_DUE: LazyLock<Bulk> = LazyLock::new(|| {
    Bulk::new(&[DueRows::COLUMNS], |rows| {
        format!(
            "DELETE FROM due d USING {rows} WHERE d.run_id = row.run_id AND d.priority = row.priority \
           AND d.due_at = row.due_at AND d.contact_id = row.contact_id"
        )
    })
});
