//! The stores by name, each empty.

use rivvi_core::clock::{Clock, SystemClock};
use rivvi_core::storage::Storage;
use rivvi_storage_dynamo::{DynamoStorage, Options as DynamoOptions, TableOptions};
use rivvi_storage_postgres::{PostgresOptions, PostgresStorage};
use rivvi_storage_sqlite::SqliteStorage;
use tempfile::TempDir;

use crate::pgbench;

/// An empty store and what must live as long.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The store.
    pub(crate) storage: Storage,
    /// What it stands on.
    pub(crate) guard: Guard,
}

/// What a store stands on.
#[derive(Debug)]
pub(crate) enum Guard {
    /// Nothing.
    Nothing,
    /// A folder, gone with this.
    Folder(TempDir),
    /// A schema of the database.
    Schema,
}

impl Guard {
    /// Removes what the store left.
    pub(crate) async fn clean(self) {
        match self {
            Self::Nothing => {}
            Self::Folder(folder) => folder.close().unwrap(),
            Self::Schema => pgbench::drop_schema(SCHEMA),
        }
    }
}

/// The schema in which the store is measured.
const SCHEMA: &str = "rivvi_bench";

/// An empty store of this name.
pub(crate) async fn open(name: &str) -> Opened {
    match name {
        "memory" => Opened { storage: Storage::in_memory(), guard: Guard::Nothing },
        "sqlite" => {
            let folder = tempfile::tempdir().unwrap();
            let storage = SqliteStorage::open(folder.path().join("bench.db")).await.unwrap();
            Opened { storage: storage.into(), guard: Guard::Folder(folder) }
        }
        "postgres" => {
            pgbench::drop_schema(SCHEMA);
            Opened { storage: postgres(SCHEMA).await.into(), guard: Guard::Schema }
        }
        "postgres after a million" => {
            pgbench::drop_schema(SCHEMA);
            let storage = postgres(SCHEMA).await;
            pgbench::finish_a_million(SCHEMA);
            Opened { storage: storage.into(), guard: Guard::Schema }
        }
        "dynamo" => Opened { storage: dynamo().await.into(), guard: Guard::Nothing },
        other => panic!("--store: expected memory, sqlite, postgres or dynamo, found {other}"),
    }
}

/// The address of the PostgreSQL server.
pub(crate) fn postgres_url() -> String {
    let url = std::env::var("RIVVI_TEST_POSTGRES");
    url.expect("RIVVI_TEST_POSTGRES is set: run eval \"$(scripts/services env)\" first")
}

/// The PostgreSQL store in a schema of its own.
pub(crate) async fn postgres(schema: &str) -> PostgresStorage {
    let options = PostgresOptions::new(&postgres_url()).and_then(|options| options.schema(schema)).unwrap();
    PostgresStorage::connect_with(options).await.unwrap()
}

/// The DynamoDB store in tables of its own.
async fn dynamo() -> DynamoStorage {
    let url = std::env::var("RIVVI_TEST_DYNAMODB");
    let url = url.expect("RIVVI_TEST_DYNAMODB is set: run eval \"$(scripts/services env)\" first");
    let now = SystemClock::new().now().timestamp_millis();
    let storage = DynamoStorage::local(&url, DynamoOptions::with_prefix(format!("bench-{now}-")));
    storage.create_tables(TableOptions::default()).await.unwrap();
    storage
}
