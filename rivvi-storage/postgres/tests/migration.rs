//! Schemas that are empty, older, newer, of another program, or migrated by several nodes at once.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod database;

use database::{Schema, execute, superuser};
use rivvi_core::storage::{Archive, Catalog, StorageError, StorageErrorKind};
use rivvi_core::testkit::build;
use rivvi_storage_postgres::PostgresStorage;
use sha2::{Digest, Sha256};

/// Version 1 as it was released: it never changes again.
const VERSION_1: &str = include_str!("schema_1/0001_init.sql");

async fn refusal(schema: &Schema) -> StorageError {
    PostgresStorage::connect_with(schema.options()).await.expect_err("the schema is to be refused")
}

async fn make_version_1(schema: &Schema) {
    let checksum: String = Sha256::digest(VERSION_1).iter().map(|byte| format!("{byte:02x}")).collect();
    let mut connection = superuser().await;
    let name = &schema.name;
    execute(
        &mut connection,
        format!(
            "BEGIN; CREATE SCHEMA {name}; SET LOCAL search_path = {name}; \
             CREATE TABLE schema_versions (version bigint PRIMARY KEY, checksum text NOT NULL, \
               migrated_at timestamptz NOT NULL DEFAULT now()); \
             {VERSION_1}; INSERT INTO schema_versions (version, checksum) VALUES (1, '{checksum}'); COMMIT"
        ),
    )
    .await;
}

async fn versions(schema: &Schema) -> Vec<i64> {
    let sql = format!("SELECT version FROM {}.schema_versions ORDER BY version", schema.name);
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    query.fetch_all(&mut superuser().await).await.unwrap()
}

#[tokio::test]
async fn older_schema_is_brought_up_to_date_and_keeps_its_rows() {
    let schema = Schema::new();
    make_version_1(&schema).await;
    let organization = build::organization(1);
    let document = serde_json::to_string(&organization).unwrap();
    let insert = format!(
        "INSERT INTO {}.organizations (id, name, outbound_phone, timezone, document) VALUES \
           ('{}', 'Clinic 1', '+97231234567', 'UTC', '{document}')",
        schema.name, organization.id
    );
    execute(&mut superuser().await, insert).await;

    let storage = schema.store().await;
    assert_eq!(versions(&schema).await, [1, 2, 3, 4]);
    assert_eq!(storage.organization(organization.id).await.unwrap(), Some(organization));
    assert_eq!(storage.contexts(build::org_id(1), build::number(1), build::start()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_nodes_may_migrate_at_once() {
    for old in [false, true] {
        let schema = Schema::new();
        if old {
            make_version_1(&schema).await;
        }
        let options = schema.options().max_connections(2);
        let nodes: Vec<_> =
            (0..8).map(|_| tokio::spawn(PostgresStorage::connect_with(options.clone()))).collect();
        for node in nodes {
            node.await.unwrap().unwrap().put_organization(build::organization(1)).await.unwrap();
        }
        assert_eq!(versions(&schema).await, [1, 2, 3, 4]);
    }
}

#[tokio::test]
async fn schema_that_is_not_migrated_is_refused_by_who_may_not() {
    let schema = Schema::new();
    make_version_1(&schema).await;
    let error = PostgresStorage::connect_with(schema.options().migrate(false)).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Incompatible);
    assert!(error.to_string().contains("version 1") && error.to_string().contains("migrate"), "{error}");
    assert_eq!(versions(&schema).await, [1]);
    PostgresStorage::migrate(schema.options()).await.unwrap();
    PostgresStorage::connect_with(schema.options().migrate(false)).await.unwrap();
}

#[tokio::test]
async fn newer_schema_is_refused() {
    let schema = Schema::new();
    drop(schema.store().await);
    let newer =
        format!("INSERT INTO {}.schema_versions (version, checksum) VALUES (5, 'newer')", schema.name);
    execute(&mut superuser().await, newer).await;
    let error = refusal(&schema).await;
    assert_eq!(error.kind, StorageErrorKind::Incompatible);
    assert!(error.to_string().contains("version 5") && error.to_string().contains("newer"), "{error}");
}

#[tokio::test]
async fn schema_of_unknown_making_is_refused() {
    let schema = Schema::new();
    drop(schema.store().await);
    let changed = format!("UPDATE {}.schema_versions SET checksum = 'other' WHERE version = 1", schema.name);
    execute(&mut superuser().await, changed).await;
    let error = refusal(&schema).await;
    assert_eq!(error.kind, StorageErrorKind::Incompatible);
    assert!(error.to_string().contains("version 1"), "{error}");
}

#[tokio::test]
async fn schema_of_another_program_is_refused_and_left_alone() {
    let schema = Schema::new();
    let name = &schema.name;
    execute(&mut superuser().await, format!("CREATE SCHEMA {name}; CREATE TABLE {name}.songs (title text)"))
        .await;
    let error = refusal(&schema).await;
    assert_eq!(error.kind, StorageErrorKind::Incompatible);
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = $1";
    let tables: Vec<String> =
        sqlx::query_scalar(sql).bind(name).fetch_all(&mut superuser().await).await.unwrap();
    assert_eq!(tables, ["songs"]);
}

#[tokio::test]
async fn names_of_schemas_are_plain_words() {
    for name in ["", "1a", "a-b", "A", "a\"b", "a b", "pg_x", "ü", &"a".repeat(51)] {
        let error = database::options("a").schema(name).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Refused, "{name}");
    }
}

#[tokio::test]
async fn database_that_cannot_be_reached_is_told_without_its_password() {
    for url in [
        "postgres://rivvi:hunter2@127.0.0.1:1/rivvi",
        "postgres://rivvi:hunter2@nowhere.invalid/rivvi",
        "postgres://rivvi:hunter2@[/rivvi",
    ] {
        let error = PostgresStorage::connect(url).await.unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let told = format!("{error} {error:?} {source}");
        assert!(!told.contains("hunter2"), "{told}");
        assert!(matches!(error.kind, StorageErrorKind::Unavailable | StorageErrorKind::Refused), "{told}");
    }
    let server = database::url().replacen("//", "//nobody_", 1);
    let error = PostgresStorage::connect(&server).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::Unavailable);
    assert!(error.to_string().contains("user and password"), "{error}");
}
