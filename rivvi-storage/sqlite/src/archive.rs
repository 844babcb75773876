//! People, finished calls and reports.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rivvi_core::domain::{CallId, E164, OrgId, Person, PersonId, RunId};
use rivvi_core::storage::{Archive, ArchivedCall, CampaignContext, Report, StorageError};

use crate::SqliteStorage;
use crate::batch::Batch;
use crate::error::Failure;
use crate::value::{Columns, Id, digits, document, limit, nanos};

#[async_trait]
impl Archive for SqliteStorage {
    async fn add_people(&self, people: Vec<Person>) -> Result<Vec<PersonId>, StorageError> {
        add_people(self, people).await.map_err(self.error("add_people"))
    }

    async fn people(
        &self,
        org_id: OrgId,
        after: Option<PersonId>,
        limit: usize,
    ) -> Result<Vec<Person>, StorageError> {
        people(self, org_id, after, limit).await.map_err(self.error("people"))
    }

    async fn add_calls(&self, calls: Vec<ArchivedCall>) -> Result<(), StorageError> {
        add_calls(self, &calls).await.map_err(self.error("add_calls"))
    }

    async fn archived_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<ArchivedCall>, StorageError> {
        archived_calls(self, run_id, after, limit).await.map_err(self.error("archived_calls"))
    }

    async fn put_report(&self, report: Report) -> Result<(), StorageError> {
        put_report(self, &report).await.map_err(self.error("put_report"))
    }

    async fn report(&self, run_id: RunId) -> Result<Option<Report>, StorageError> {
        report(self, run_id).await.map_err(self.error("report"))
    }

    async fn put_contexts(&self, contexts: Vec<CampaignContext>) -> Result<(), StorageError> {
        put_contexts(self, contexts).await.map_err(self.error("put_contexts"))
    }

    async fn contexts(
        &self,
        org_id: OrgId,
        number: E164,
        now: DateTime<Utc>,
    ) -> Result<Vec<CampaignContext>, StorageError> {
        contexts(self, org_id, number, now).await.map_err(self.error("contexts"))
    }

    async fn purge_contexts(&self, now: DateTime<Utc>, limit: usize) -> Result<u64, StorageError> {
        purge_contexts(self, now, limit).await.map_err(self.error("purge_contexts"))
    }
}

async fn add_people(store: &SqliteStorage, people: Vec<Person>) -> Result<Vec<PersonId>, Failure> {
    const PUT: Batch<4> = Batch {
        head: "INSERT INTO people (id, org_id, hash, document) VALUES ",
        tail: " ON CONFLICT (org_id, hash) DO UPDATE SET document = excluded.document",
    };
    let mut tx = store.begin().await?;
    let keys: Vec<[String; 2]> = people
        .iter()
        .map(|person| [person.org_id.as_uuid().simple().to_string(), person.hash.clone()])
        .collect();
    let query = sqlx::query(
        "SELECT p.document FROM json_each(?) key CROSS JOIN people p \
         ON p.org_id = unhex(key.value ->> 0) AND p.hash = key.value ->> 1",
    )
    .bind(document("list of people", &keys)?);
    let mut known = BTreeMap::new();
    for row in query.fetch_all(&mut *tx).await? {
        let person: Person = row.thing("person", 0)?;
        known.insert((person.org_id, person.hash.clone()), person);
    }
    let mut ids = Vec::with_capacity(people.len());
    for person in people {
        let known = known.entry((person.org_id, person.hash.clone())).or_insert_with(|| person.clone());
        known.number = person.number;
        known.fields = person.fields.or(&known.fields);
        ids.push(known.id);
    }
    let mut rows = Vec::with_capacity(known.len());
    for person in known.into_values() {
        let document = document("person", &person)?;
        rows.push([person.id.into(), person.org_id.into(), person.hash.into(), document.into()]);
    }
    PUT.run(&mut tx, rows).await?;
    tx.commit().await?;
    Ok(ids)
}

async fn people(
    store: &SqliteStorage,
    org_id: OrgId,
    after: Option<PersonId>,
    count: usize,
) -> Result<Vec<Person>, Failure> {
    let query = sqlx::query("SELECT document FROM people WHERE org_id = ? AND id > ? ORDER BY id LIMIT ?")
        .bind(org_id.blob())
        .bind(after.map_or_else(Vec::new, Id::blob))
        .bind(limit(count));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(|row| row.thing("person", 0)).collect()
}

async fn add_calls(store: &SqliteStorage, calls: &[ArchivedCall]) -> Result<(), Failure> {
    const PUT: Batch<3> = Batch {
        head: "INSERT INTO archived_calls (run_id, call_id, document) VALUES ",
        tail: " ON CONFLICT (run_id, call_id) DO UPDATE SET document = excluded.document",
    };
    let mut rows = Vec::with_capacity(calls.len());
    for archived in calls {
        let document = document("finished call", archived)?;
        rows.push([archived.call.run_id.into(), archived.call.id.into(), document.into()]);
    }
    let mut tx = store.begin().await?;
    PUT.run(&mut tx, rows).await?;
    tx.commit().await
}

async fn archived_calls(
    store: &SqliteStorage,
    run_id: RunId,
    after: Option<CallId>,
    count: usize,
) -> Result<Vec<ArchivedCall>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM archived_calls WHERE run_id = ? AND call_id > ? ORDER BY call_id LIMIT ?",
    )
    .bind(run_id.blob())
    .bind(after.map_or_else(Vec::new, Id::blob))
    .bind(limit(count));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    rows.iter().map(|row| row.thing("finished call", 0)).collect()
}

async fn put_report(store: &SqliteStorage, report: &Report) -> Result<(), Failure> {
    let mut tx = store.begin().await?;
    sqlx::query(
        "INSERT INTO reports (run_id, document) VALUES (?, ?) \
         ON CONFLICT (run_id) DO UPDATE SET document = excluded.document",
    )
    .bind(report.run_id.blob())
    .bind(document("report", report)?)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

async fn report(store: &SqliteStorage, run_id: RunId) -> Result<Option<Report>, Failure> {
    let query = sqlx::query("SELECT document FROM reports WHERE run_id = ?").bind(run_id.blob());
    let row = query.fetch_optional(&mut *store.reader().await?).await?;
    row.map(|row| row.thing("report", 0)).transpose()
}

async fn put_contexts(store: &SqliteStorage, contexts: Vec<CampaignContext>) -> Result<(), Failure> {
    const PUT: Batch<6> = Batch {
        head: "INSERT INTO campaign_contexts (campaign_id, person_id, org_id, number, expires_at, document) VALUES ",
        tail: " ON CONFLICT (campaign_id, person_id) DO UPDATE SET org_id = excluded.org_id, \
               number = excluded.number, expires_at = excluded.expires_at, document = excluded.document",
    };
    let mut rows = Vec::with_capacity(contexts.len());
    for context in contexts {
        rows.push([
            context.campaign_id.into(),
            context.person_id.into(),
            context.org_id.into(),
            context.number.into(),
            context.expires_at.map_or(i64::MAX, nanos).into(),
            document("campaign context", &context)?.into(),
        ]);
    }
    let mut tx = store.begin().await?;
    PUT.run(&mut tx, rows).await?;
    tx.commit().await
}

async fn contexts(
    store: &SqliteStorage,
    org_id: OrgId,
    number: E164,
    now: DateTime<Utc>,
) -> Result<Vec<CampaignContext>, Failure> {
    let query = sqlx::query("SELECT document FROM campaign_contexts WHERE org_id = ? AND number = ?")
        .bind(org_id.blob())
        .bind(digits(number));
    let rows = query.fetch_all(&mut *store.reader().await?).await?;
    let all = rows.iter().map(|row| row.thing("campaign context", 0)).collect::<Result<_, _>>()?;
    Ok(CampaignContext::valid_latest_first(all, now))
}

async fn purge_contexts(store: &SqliteStorage, now: DateTime<Utc>, count: usize) -> Result<u64, Failure> {
    let mut tx = store.begin().await?;
    let purged = sqlx::query(
        "DELETE FROM campaign_contexts WHERE rowid IN \
           (SELECT rowid FROM campaign_contexts WHERE expires_at <= ? AND expires_at < ? LIMIT ?)",
    )
    .bind(nanos(now))
    .bind(i64::MAX)
    .bind(limit(count))
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(purged.rows_affected())
}
