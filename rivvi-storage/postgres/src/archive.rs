//! People, finished calls, reports, and what campaigns know of people.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use rivvi_core::domain::{CallId, E164, OrgId, Person, PersonId, RunId};
use rivvi_core::storage::{Archive, ArchivedCall, CampaignContext, Report, StorageError};
use sqlx::postgres::PgRow;

use crate::PostgresStorage;
use crate::error::Failure;
use crate::rows::{Rows, put, rows};
use crate::value::{Columns, after, digits, document, instant, legible, limit, outcome};

#[async_trait]
impl Archive for PostgresStorage {
    async fn add_people(&self, people: Vec<Person>) -> Result<Vec<PersonId>, StorageError> {
        self.retried("add_people", || add_people(self, &people)).await
    }

    async fn people(
        &self,
        org_id: OrgId,
        after: Option<PersonId>,
        limit: usize,
    ) -> Result<Vec<Person>, StorageError> {
        self.verb("people", people(self, org_id, after, limit)).await
    }

    async fn add_calls(&self, calls: Vec<ArchivedCall>) -> Result<(), StorageError> {
        self.retried("add_calls", || add_calls(self, &calls)).await
    }

    async fn archived_calls(
        &self,
        run_id: RunId,
        after: Option<CallId>,
        limit: usize,
    ) -> Result<Vec<ArchivedCall>, StorageError> {
        self.verb("archived_calls", archived_calls(self, run_id, after, limit)).await
    }

    async fn put_report(&self, report: Report) -> Result<(), StorageError> {
        self.retried("put_report", || put_report(self, &report)).await
    }

    async fn report(&self, run_id: RunId) -> Result<Option<Report>, StorageError> {
        self.verb("report", report(self, run_id)).await
    }

    async fn put_contexts(&self, contexts: Vec<CampaignContext>) -> Result<(), StorageError> {
        self.retried("put_contexts", || put_contexts(self, &contexts)).await
    }

    async fn contexts(
        &self,
        org_id: OrgId,
        number: E164,
        now: DateTime<Utc>,
    ) -> Result<Vec<CampaignContext>, StorageError> {
        self.verb("contexts", contexts(self, org_id, number, now)).await
    }

    async fn purge_contexts(&self, now: DateTime<Utc>, limit: usize) -> Result<u64, StorageError> {
        self.retried("purge_contexts", || purge_contexts(self, now, limit)).await
    }
}

rows! {
    PersonRows<'a> {
        id: uuid::Uuid,
        org_id: uuid::Uuid,
        first_name: Option<String>,
        last_name: Option<String>,
        dob: Option<NaiveDate>,
        phone: String,
        patient_hash: std::borrow::Cow<'a, str>,
        document: String,
    }
}

impl<'a> PersonRows<'a> {
    fn of(people: impl IntoIterator<Item = &'a Person>) -> Result<Self, Failure> {
        let mut rows = Self::default();
        for person in people {
            let name = |name: &Option<_>| -> Option<String> {
                name.as_ref()
                    .map(|name: &rivvi_core::domain::Personal<String>| legible(name.expose()).into_owned())
            };
            rows.id.push(person.id.as_uuid());
            rows.org_id.push(person.org_id.as_uuid());
            rows.first_name.push(name(&person.fields.first_name));
            rows.last_name.push(name(&person.fields.last_name));
            rows.dob.push(person.fields.date_of_birth.as_ref().map(|date| *date.expose()));
            rows.phone.push(person.number.expose());
            rows.patient_hash.push(legible(&person.hash));
            rows.document.push(document("person", person)?);
        }
        Ok(rows)
    }
}

/// Adds those who are new, waits for others who do the same, and then brings everybody up to date.
async fn add_people(store: &PostgresStorage, people: &[Person]) -> Result<Vec<PersonId>, Failure> {
    const UNNEST: &str = "unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::date[], $6::text[], $7::text[], \
        $8::text[])";
    const KNOWN: &str = "SELECT p.document FROM unnest($1::uuid[], $2::text[]) k(org_id, hash) \
        JOIN patients p ON p.org_id = k.org_id AND p.patient_hash = k.hash ORDER BY p.org_id, p.patient_hash \
        FOR UPDATE OF p";
    if people.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_key: BTreeMap<_, &Person> = BTreeMap::new();
    for person in people {
        by_key.entry((person.org_id, person.hash.as_str())).or_insert(person);
    }
    let mut tx = store.begin().await?;
    let insert = format!(
        "INSERT INTO patients (id, org_id, first_name, last_name, dob, phone, patient_hash, document) \
         SELECT * FROM {UNNEST} ON CONFLICT (org_id, patient_hash) DO NOTHING"
    );
    let rows = PersonRows::of(by_key.values().copied())?;
    tx.run(rows.bind(sqlx::query(sqlx::AssertSqlSafe(insert)))).await?;
    let (organizations, hashes): (Vec<_>, Vec<_>) =
        by_key.keys().map(|(org_id, hash)| (org_id.as_uuid(), legible(hash))).unzip();
    let mut known = BTreeMap::new();
    for row in tx.rows(sqlx::query(KNOWN).bind(organizations).bind(hashes)).await? {
        let person: Person = row.thing("person", 0)?;
        known.insert((person.org_id, person.hash.clone()), person);
    }
    let before = known.clone();
    let mut ids = Vec::with_capacity(people.len());
    for person in people {
        let known = known.get_mut(&(person.org_id, person.hash.clone())).ok_or(Failure::Overtaken)?;
        known.number = person.number;
        known.fields = person.fields.or(&known.fields);
        ids.push(known.id);
    }
    let changed = known.iter().filter(|(key, person)| before.get(*key) != Some(*person));
    let rows = PersonRows::of(changed.map(|(_, person)| person))?;
    if !rows.is_empty() {
        let update = format!(
            "UPDATE patients p SET first_name = row.first_name, last_name = row.last_name, dob = row.dob, \
               phone = row.phone, document = row.document FROM {UNNEST} \
               AS row(id, org_id, first_name, last_name, dob, phone, patient_hash, document) WHERE p.id = row.id"
        );
        tx.run(rows.bind(sqlx::query(sqlx::AssertSqlSafe(update)))).await?;
    }
    tx.commit().await?;
    Ok(ids)
}

async fn people(
    store: &PostgresStorage,
    org_id: OrgId,
    after_id: Option<PersonId>,
    count: usize,
) -> Result<Vec<Person>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM patients WHERE org_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
    )
    .bind(org_id.as_uuid())
    .bind(after(after_id))
    .bind(limit(count));
    let rows = store.reader().await?.rows(query).await?;
    rows.iter().map(|row| row.thing("person", 0)).collect()
}

rows! {
    FinishedRows<'a> {
        id: uuid::Uuid,
        org_id: uuid::Uuid,
        run_id: uuid::Uuid,
        patient_id: uuid::Uuid,
        direction: &'a str,
        callback_for: Option<uuid::Uuid>,
        call_log_url: Option<std::borrow::Cow<'a, str>>,
        status: &'a str,
        created_at: DateTime<Utc>,
        document: String,
    }
}

async fn add_calls(store: &PostgresStorage, calls: &[ArchivedCall]) -> Result<(), Failure> {
    const PUT: &str = "INSERT INTO calls (id, org_id, run_id, patient_id, direction, callback_for, call_log_url, status, \
          created_at, document) \
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::uuid[], $7::text[], \
          $8::text[], $9::timestamptz[], $10::text[]) \
        ON CONFLICT (id) DO UPDATE SET run_id = excluded.run_id, patient_id = excluded.patient_id, \
          direction = excluded.direction, callback_for = excluded.callback_for, call_log_url = excluded.call_log_url, status = excluded.status, created_at = excluded.created_at, \
          document = excluded.document";
    // The last of those with one id, in the order of their ids.
    let by_id: BTreeMap<CallId, &ArchivedCall> =
        calls.iter().map(|archived| (archived.call.id, archived)).collect();
    let mut rows = FinishedRows::default();
    for archived in by_id.values() {
        let call = &archived.call;
        rows.id.push(call.id.as_uuid());
        rows.org_id.push(call.org_id.as_uuid());
        rows.run_id.push(call.run_id.as_uuid());
        rows.patient_id.push(archived.person_id.as_uuid());
        rows.direction.push(call.direction.name());
        rows.callback_for.push(call.callback_for.map(|id| id.as_uuid()));
        rows.call_log_url.push(archived.call_log.as_deref().map(legible));
        rows.status.push(call.disposition().map_or(call.state.name(), |disposition| disposition.name()));
        rows.created_at.push(instant(call.intended_at));
        rows.document.push(document("finished call", archived)?);
    }
    put(&mut store.reader().await?, PUT, rows).await.map(drop)
}

async fn archived_calls(
    store: &PostgresStorage,
    run_id: RunId,
    after_id: Option<CallId>,
    count: usize,
) -> Result<Vec<ArchivedCall>, Failure> {
    let query = sqlx::query(
        "SELECT document FROM calls WHERE run_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
    )
    .bind(run_id.as_uuid())
    .bind(after(after_id))
    .bind(limit(count));
    let rows = store.reader().await?.rows(query).await?;
    rows.iter().map(|row| row.thing("finished call", 0)).collect()
}

async fn put_report(store: &PostgresStorage, report: &Report) -> Result<(), Failure> {
    let put = sqlx::query(
        "INSERT INTO reports (run_id, org_id, document) VALUES ($1, $2, $3) \
         ON CONFLICT (run_id) DO UPDATE SET document = excluded.document",
    )
    .bind(report.run_id.as_uuid())
    .bind(report.org_id.as_uuid())
    .bind(document("report", report)?);
    store.reader().await?.run(put).await.map(drop)
}

async fn report(store: &PostgresStorage, run_id: RunId) -> Result<Option<Report>, Failure> {
    let query = sqlx::query("SELECT document FROM reports WHERE run_id = $1").bind(run_id.as_uuid());
    let row = store.reader().await?.row(query).await?;
    row.map(|row| row.thing("report", 0)).transpose()
}

rows! {
    ContextRows<'a> {
        campaign_id: uuid::Uuid,
        patient_id: uuid::Uuid,
        org_id: uuid::Uuid,
        run_id: uuid::Uuid,
        number: i64,
        context_data: String,
        outcome: Option<&'a str>,
        last_call_id: Option<uuid::Uuid>,
        created_at: DateTime<Utc>,
        expires_at: Option<DateTime<Utc>>,
    }
}

async fn put_contexts(store: &PostgresStorage, contexts: &[CampaignContext]) -> Result<(), Failure> {
    const PUT: &str = "INSERT INTO campaign_contexts (campaign_id, patient_id, org_id, run_id, number, context_data, \
          outcome, last_call_id, created_at, expires_at) \
        SELECT campaign_id, patient_id, org_id, run_id, number, context_data::json, outcome, last_call_id, created_at, \
          expires_at \
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::uuid[], \
          $9::timestamptz[], $10::timestamptz[]) AS row(campaign_id, patient_id, org_id, run_id, number, context_data, \
          outcome, last_call_id, created_at, expires_at) \
        ON CONFLICT (campaign_id, patient_id) DO UPDATE SET org_id = excluded.org_id, run_id = excluded.run_id, \
          number = excluded.number, context_data = excluded.context_data, outcome = excluded.outcome, \
          last_call_id = excluded.last_call_id, created_at = excluded.created_at, expires_at = excluded.expires_at";
    let by_key: BTreeMap<_, &CampaignContext> =
        contexts.iter().map(|context| ((context.campaign_id, context.person_id), context)).collect();
    let mut rows = ContextRows::default();
    for context in by_key.values() {
        rows.campaign_id.push(context.campaign_id.as_uuid());
        rows.patient_id.push(context.person_id.as_uuid());
        rows.org_id.push(context.org_id.as_uuid());
        rows.run_id.push(context.run_id.as_uuid());
        rows.number.push(digits(context.number));
        rows.context_data.push(document("campaign context", &context.data)?);
        rows.outcome.push(context.outcome.map(|outcome| outcome.name()));
        rows.last_call_id.push(context.last_call_id.map(|id| id.as_uuid()));
        rows.created_at.push(instant(context.created_at));
        rows.expires_at.push(context.expires_at.map(instant));
    }
    put(&mut store.reader().await?, PUT, rows).await.map(drop)
}

async fn contexts(
    store: &PostgresStorage,
    org_id: OrgId,
    number: E164,
    now: DateTime<Utc>,
) -> Result<Vec<CampaignContext>, Failure> {
    let query = sqlx::query(
        "SELECT org_id, campaign_id, patient_id, run_id, number, context_data::text, outcome, created_at, expires_at, \
           last_call_id FROM campaign_contexts WHERE org_id = $1 AND number = $2",
    )
    .bind(org_id.as_uuid())
    .bind(digits(number));
    let rows = store.reader().await?.rows(query).await?;
    let all = rows.iter().map(read_context).collect::<Result<_, _>>()?;
    Ok(CampaignContext::valid_latest_first(all, now))
}

fn read_context(row: &PgRow) -> Result<CampaignContext, Failure> {
    Ok(CampaignContext {
        org_id: row.id(0)?,
        campaign_id: row.id(1)?,
        person_id: row.id(2)?,
        run_id: row.id(3)?,
        number: row.number(4)?,
        data: row.thing("campaign context", 5)?,
        outcome: row.optional_text(6)?.map(outcome).transpose()?,
        created_at: row.instant(7)?,
        expires_at: row.optional_instant(8)?,
        last_call_id: row.optional_id(9)?,
    })
}

async fn purge_contexts(store: &PostgresStorage, now: DateTime<Utc>, count: usize) -> Result<u64, Failure> {
    let purge = sqlx::query(
        "DELETE FROM campaign_contexts WHERE ctid = ANY(ARRAY(SELECT ctid FROM campaign_contexts \
           WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind(instant(now))
    .bind(limit(count));
    store.reader().await?.run(purge).await
}
