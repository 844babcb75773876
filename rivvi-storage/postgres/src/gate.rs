//! The row of each organization that orders what must not happen at once: beginning calls, changing runs, suppressing
//! numbers. Whoever holds it sees what all former holders committed.

use std::collections::{BTreeMap, BTreeSet};

use rivvi_core::domain::OrgId;

use crate::PostgresStorage;
use crate::connection::{Connection, Transaction};
use crate::error::Failure;
use crate::value::{Columns, uuids};

pub(crate) const LOCK: &str =
    "SELECT org_id, sequence FROM org_gates WHERE org_id = ANY($1) ORDER BY org_id FOR UPDATE";

/// Begins a transaction, and keeps the gate of an organization until it ends unless somebody else does. Returns whether it
/// is kept. One round trip, for every batch of calls comes here.
pub(crate) async fn try_enter(
    store: &PostgresStorage,
    organization: OrgId,
) -> Result<(Transaction, bool), Failure> {
    store
        .begin_with(format!(
            "SELECT 1 FROM org_gates WHERE org_id = '{}' FOR UPDATE SKIP LOCKED",
            organization.as_uuid()
        ))
        .await
}

/// Waits for the gates of these organizations and keeps them until the transaction ends. Returns the sequence number of
/// the last journal entry of each.
pub(crate) async fn enter(
    tx: &mut Transaction,
    organizations: &BTreeSet<OrgId>,
) -> Result<BTreeMap<OrgId, u64>, Failure> {
    let ids = uuids(organizations.iter().copied());
    let entered = lock(tx, ids.clone()).await?;
    if entered.len() == organizations.len() {
        return Ok(entered);
    }
    let create = "INSERT INTO org_gates (org_id, sequence) SELECT id, 0 FROM unnest($1::uuid[]) id \
                  ON CONFLICT (org_id) DO NOTHING";
    tx.run(sqlx::query(create).bind(ids.clone())).await?;
    lock(tx, ids).await
}

async fn lock(connection: &mut Connection, ids: Vec<uuid::Uuid>) -> Result<BTreeMap<OrgId, u64>, Failure> {
    let rows = connection.rows(sqlx::query(LOCK).bind(ids)).await?;
    rows.iter().map(|row| Ok((row.id(0)?, row.int(1)?.cast_unsigned()))).collect()
}

/// Notes the sequence numbers of the last journal entries of organizations whose gates are held.
pub(crate) async fn note(tx: &mut Transaction, sequences: BTreeMap<OrgId, u64>) -> Result<(), Failure> {
    let (ids, last): (Vec<_>, Vec<_>) =
        sequences.into_iter().map(|(id, last)| (id.as_uuid(), last.cast_signed())).unzip();
    let update = "UPDATE org_gates g SET sequence = noted.last \
                  FROM unnest($1::uuid[], $2::bigint[]) noted(id, last) WHERE g.org_id = noted.id";
    tx.run(sqlx::query(update).bind(ids).bind(last)).await?;
    Ok(())
}
