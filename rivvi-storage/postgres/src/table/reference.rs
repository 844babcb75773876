//! Rows of `call_references`.

use rivvi_core::storage::CallWrite;
use uuid::Uuid;

use crate::connection::Transaction;
use crate::error::Failure;
use crate::rows::{put, rows};
use crate::value::text;

rows! {
    /// Rows of `call_references`.
    ReferenceRows<'a> {
        reference: std::borrow::Cow<'a, str>,
        call_id: Uuid,
        org_id: Uuid,
    }
}

impl<'a> ReferenceRows<'a> {
    /// Adds the provider's id of a call, if it is not stored yet.
    pub(crate) fn extend(&mut self, write: &'a CallWrite) {
        let Some(reference) = write.new_reference() else { return };
        self.reference.push(text(reference));
        self.call_id.push(write.call.id.as_uuid());
        self.org_id.push(write.call.org_id.as_uuid());
    }
}

pub(crate) async fn put_references(
    tx: &mut Transaction,
    references: ReferenceRows<'_>,
) -> Result<(), Failure> {
    const INSERT: &str = "INSERT INTO call_references (hash, call_id, org_id) \
        SELECT hashtextextended(reference, 0), call_id, org_id \
        FROM unnest($1::text[], $2::uuid[], $3::uuid[]) AS row(reference, call_id, org_id) ON CONFLICT DO NOTHING";
    put(tx, INSERT, references).await.map(drop)
}
