//! Row-level security: what a connection of one organization sees and does.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod database;

use database::{Schema, execute, superuser};
use rivvi_core::domain::{CallDetail, Disposition, Person, PersonFields, PersonId};
use rivvi_core::provider::{CallEvent, CallRef};
use rivvi_core::storage::{
    ApplyCalls, ArchivedCall, CampaignContext, JournalCursor, Report, Storage, StorageErrorKind, TakeItems,
};
use rivvi_core::testkit::build::{self, second, start, told, told_of};
use rivvi_core::testkit::storage::{Scene, item_id};
use rivvi_storage_postgres::PostgresStorage;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};

/// Every table gets rows of the organizations 1 and 2, or rows of none.
async fn populate(storage: &Storage) {
    for n in [1, 2] {
        let scene = Scene::active(storage, n, 3).await;
        let calls = scene.begin_all(storage).await;
        let action =
            CallEvent::Action { key: "k".into(), name: "sms".into(), parameters: Default::default() };
        let later =
            CallEvent::Action { key: "later".into(), name: "sms".into(), parameters: Default::default() };
        let ended =
            CallEvent::Ended { disposition: Disposition::AnsweredHuman, reason: None, talk_time: None };
        let given_up = told(&calls[0], action);
        let accepted = told(&calls[0], CallEvent::Accepted { reference: Some(format!("reference-{n}")) });
        let told_of_it =
            vec![accepted, given_up.clone(), told(&calls[0], later), told(&calls[0], ended.clone())];
        scene.apply_all(storage, told_of_it).await;
        // What is told of a call that has ended changes the status of its contact.
        let mut detail = CallDetail::default();
        detail.transcript = Some("yes".to_owned().into());
        scene
            .apply_all(storage, vec![told(&calls[0], CallEvent::Enriched { detail: Box::new(detail) })])
            .await;
        storage.ledger.retry_item(item_id(calls[0].id, &given_up), None, "given up".into()).await.unwrap();
        let entry = build::suppression(scene.organization.id, calls[0].number);
        storage.ledger.suppress(vec![entry]).await.unwrap();
        let waiting = build::contact(&scene.run, 50);
        scene.add(storage, vec![waiting]).await;
        archive(storage, &scene, n, calls[0].clone()).await;

        // A run that is over and purged leaves its attempts.
        let other = scene.sibling(storage, n + 10, 1).await;
        let call = other.begin_all(storage).await.remove(0);
        other.apply_all(storage, vec![told(&call, ended)]).await;
        other.step(storage, rivvi_core::machine::RunInput::Cancel).await.unwrap();
        other.step(storage, rivvi_core::machine::RunInput::Finish).await.unwrap();
        assert_eq!(storage.ledger.purge_run(other.run.id, 10).await.unwrap(), 1);
    }
    let unknown = told_of(CallRef::Id(build::unknown_call_id(1)), CallEvent::Ringing);
    let request = ApplyCalls { inputs: vec![unknown], now: start(), keep_unmatched_until: Some(second(9)) };
    storage.ledger.apply_calls(request, &|_, _, _| None).await.unwrap();
    storage.ledger.save_cursor("reader", JournalCursor("0:0:0".into())).await.unwrap();
}

async fn archive(storage: &Storage, scene: &Scene, n: u64, call: rivvi_core::domain::Call) {
    let (org_id, number, fields) = (scene.organization.id, call.number, PersonFields::default());
    let id = PersonId::from_uuid(build::run_id(n + 500).as_uuid());
    let hash = Person::hash_of(org_id, number, &fields);
    storage.archive.add_people(vec![Person { id, org_id, hash, number, fields }]).await.unwrap();
    let campaign_id = scene.campaign.id;
    let context = CampaignContext {
        org_id,
        campaign_id,
        person_id: id,
        run_id: scene.run.id,
        number,
        data: Default::default(),
        outcome: None,
        last_call_id: None,
        created_at: start(),
        expires_at: None,
    };
    storage.archive.put_contexts(vec![context]).await.unwrap();
    storage.archive.add_calls(vec![ArchivedCall { call, person_id: id, call_log: None }]).await.unwrap();
    let report = Report {
        run_id: scene.run.id,
        org_id,
        campaign: "Reminder".into(),
        state: scene.run.state,
        started_at: None,
        finished_at: start(),
        import: None,
        tally: Default::default(),
    };
    storage.archive.put_report(report).await.unwrap();
}

/// A connection of the role that sees the rows of `organization`.
async fn tenant(schema: &Schema, organization: Option<&str>) -> PgConnection {
    let server: PgConnectOptions = database::url().parse().unwrap();
    let server =
        server.username(&format!("role_{}", schema.name)).password("tenant").disable_statement_logging();
    let mut connection = server.options([("search_path", &schema.name)]).connect().await.unwrap();
    if let Some(organization) = organization {
        execute(&mut connection, format!("SET rivvi.organization = '{organization}'")).await;
    }
    connection
}

async fn count(connection: &mut PgConnection, table: &str, condition: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table} WHERE {condition}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

/// All tables of the schema with the column that says whose a row is, if there is one. A table without a policy, or
/// without rows to try it with, fails.
async fn tables(schema: &Schema) -> Vec<(String, Option<&'static str>)> {
    let mut connection = superuser().await;
    execute(&mut connection, format!("SET search_path = {}", schema.name)).await;
    let sql = "SELECT c.relname::text, \
                 EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id'), \
                 EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid), \
                 c.relrowsecurity AND c.relforcerowsecurity \
               FROM pg_class c WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')";
    let found: Vec<(String, bool, bool, bool)> =
        sqlx::query_as(sql).bind(&schema.name).fetch_all(&mut connection).await.unwrap();
    assert!(found.len() >= 22, "the tables were found");
    let mut tables = Vec::new();
    for (table, has_owner, has_policy, guarded) in found {
        assert!(has_policy && guarded, "{table} has a policy and is guarded");
        assert!(count(&mut connection, &table, "true").await > 0, "{table} has rows to try its policy with");
        let owner = if table == "organizations" { Some("id") } else { has_owner.then_some("org_id") };
        tables.push((table, owner));
    }
    tables
}

#[tokio::test]
async fn connection_of_one_organization_reads_and_writes_no_row_of_another() {
    let mut schema = Schema::new();
    let storage: Storage = PostgresStorage::connect_with(schema.guarded().await).await.unwrap().into();
    populate(&storage).await;
    let (one, two) = (build::org_id(1).to_string(), build::org_id(2).to_string());
    let mut own = tenant(&schema, Some(&one)).await;
    let mut nobody = tenant(&schema, None).await;
    let mut all = tenant(&schema, Some("*")).await;
    for (table, owner) in tables(&schema).await {
        let total = count(&mut all, &table, "true").await;
        assert!(total > 0, "{table}: who may see everything does");
        assert_eq!(count(&mut nobody, &table, "true").await, 0, "{table}: without a setting nothing is seen");
        let Some(owner) = owner else {
            assert_eq!(count(&mut own, &table, "true").await, 0, "{table}: rows of nobody are not seen");
            continue;
        };
        let visible = count(&mut own, &table, "true").await;
        let of_one = count(&mut all, &table, &format!("{owner} = '{one}'")).await;
        let of_two = count(&mut all, &table, &format!("{owner} = '{two}'")).await;
        assert!(of_one > 0 && of_two > 0, "{table} has rows of both");
        assert_eq!(visible, of_one, "{table}: exactly the own rows are seen");

        for connection in [&mut own, &mut nobody] {
            let delete = format!("DELETE FROM {table} WHERE {owner} = '{two}'");
            let deleted = sqlx::raw_sql(AssertSqlSafe(delete)).execute(&mut *connection).await.unwrap();
            assert_eq!(deleted.rows_affected(), 0, "{table}: rows of others are not deleted");
            let update = format!("UPDATE {table} SET {owner} = {owner} WHERE {owner} = '{two}'");
            let updated = sqlx::raw_sql(AssertSqlSafe(update)).execute(&mut *connection).await.unwrap();
            assert_eq!(updated.rows_affected(), 0, "{table}: rows of others are not changed");
        }
        let give_away = format!("UPDATE {table} SET {owner} = '{two}' WHERE {owner} = '{one}'");
        let refused = sqlx::raw_sql(AssertSqlSafe(give_away)).execute(&mut own).await.unwrap_err();
        assert!(is_refused(&refused), "{table}: own rows are not given away: {refused}");
        let copy = format!(
            "INSERT INTO {table} OVERRIDING USER VALUE SELECT row.* FROM (SELECT jsonb_populate_record(NULL::{table}, \
               to_jsonb(t) || jsonb_build_object('{owner}', '{two}')) AS row FROM {table} t LIMIT 1) copied, \
               LATERAL (SELECT (copied.row).*) row"
        );
        let refused = sqlx::raw_sql(AssertSqlSafe(copy)).execute(&mut own).await.unwrap_err();
        assert!(is_refused(&refused), "{table}: rows of others are not inserted: {refused}");
        assert_eq!(count(&mut all, &table, "true").await, total, "{table}: nothing has changed");
    }
}

fn is_refused(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some("42501")
}

#[tokio::test]
async fn role_without_rights_is_told_what_it_lacks() {
    let mut schema = Schema::new();
    let options = schema.guarded().await;
    let revoke = format!("REVOKE ALL ON ALL TABLES IN SCHEMA {0} FROM role_{0}", schema.name);
    execute(&mut superuser().await, revoke).await;
    let error = PostgresStorage::connect_with(options).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Refused);
    assert!(error.to_string().contains("grants"), "{error}");
}

#[tokio::test]
async fn schema_that_is_not_guarded_is_refused_where_it_must_be() {
    let schema = Schema::new();
    drop(schema.store().await);
    let error = PostgresStorage::connect_with(schema.options().row_level_security(true).migrate(false)).await;
    assert_eq!(error.unwrap_err().kind, StorageErrorKind::Incompatible);
    let storage = PostgresStorage::connect_with(schema.options().row_level_security(true)).await.unwrap();
    let take = TakeItems { now: start(), hold_until: second(1), limit: 1 };
    let storage: Storage = storage.into();
    assert_eq!(storage.ledger.take_inbox(take).await.unwrap(), []);
}
