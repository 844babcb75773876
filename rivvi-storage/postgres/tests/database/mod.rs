//! Schemas of their own on the test server.

#![allow(dead_code, reason = "each test uses some of it")]

use std::sync::atomic::{AtomicU32, Ordering};

use rivvi_core::storage::Storage;
use rivvi_storage_postgres::{PostgresOptions, PostgresStorage};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

/// The URL of the test server, for a superuser.
pub(crate) fn url() -> String {
    std::env::var("RIVVI_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "RIVVI_TEST_POSTGRES does not name a PostgreSQL server for the tests: run scripts/test, or \
             eval \"$(scripts/services env)\" first"
        )
    })
}

/// Options for a few connections to the test server.
pub(crate) fn options(schema: &str) -> PostgresOptions {
    PostgresOptions::new(&url()).unwrap().schema(schema).unwrap().max_connections(8)
}

/// A connection of the superuser.
pub(crate) async fn superuser() -> PgConnection {
    url().parse::<PgConnectOptions>().unwrap().disable_statement_logging().connect().await.unwrap()
}

pub(crate) async fn execute(connection: &mut PgConnection, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await.unwrap();
}

/// A schema that nobody else uses, removed when this is dropped.
pub(crate) struct Schema {
    pub(crate) name: String,
    /// A role that owns nothing, if there is one.
    role: Option<String>,
}

impl Schema {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("t{}_{next}", std::process::id()), role: None }
    }

    pub(crate) fn options(&self) -> PostgresOptions {
        options(&self.name)
    }

    /// A store on this schema.
    pub(crate) async fn store(&self) -> PostgresStorage {
        PostgresStorage::connect_with(self.options()).await.unwrap()
    }

    /// Options for a role that does not own the tables, which are guarded by row-level security.
    pub(crate) async fn guarded(&mut self) -> PostgresOptions {
        PostgresStorage::migrate(self.options().row_level_security(true)).await.unwrap();
        let role = format!("role_{}", self.name);
        let mut connection = superuser().await;
        execute(&mut connection, format!("CREATE ROLE {role} LOGIN PASSWORD 'tenant'")).await;
        execute(&mut connection, self.options().grants(&role).unwrap()).await;
        let server: PgConnectOptions = url().parse().unwrap();
        let server = server.username(&role).password("tenant");
        self.role = Some(role);
        let options = PostgresOptions::with_server(server).schema(&self.name).unwrap().max_connections(8);
        options.row_level_security(true).migrate(false)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (name, role) = (self.name.clone(), self.role.take());
        let removing = async move {
            let mut connection = superuser().await;
            // Whoever still uses the schema would be waited for.
            let end = format!(
                "SET client_min_messages = error; SET lock_timeout = '5s'; DROP SCHEMA IF EXISTS {name} CASCADE"
            );
            let mut removed = Ok(());
            for _ in 0..5 {
                removed = sqlx::raw_sql(AssertSqlSafe(end.clone())).execute(&mut connection).await.map(drop);
                if removed.is_ok() {
                    break;
                }
            }
            if let Err(error) = removed {
                eprintln!("schema {name} stays: {error}");
            }
            if let Some(role) = role {
                execute(&mut connection, format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
            }
            connection.close().await.unwrap();
        };
        let remove = || {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(removing);
        };
        std::thread::scope(|scope| drop(scope.spawn(remove).join()));
    }
}

/// A store on a schema of its own.
pub(crate) async fn fresh() -> (Storage, Schema) {
    let schema = Schema::new();
    (schema.store().await.into(), schema)
}

/// The same as a role that owns nothing, under row-level security.
pub(crate) async fn fresh_guarded() -> (Storage, Schema) {
    let mut schema = Schema::new();
    let options = schema.guarded().await;
    (PostgresStorage::connect_with(options).await.unwrap().into(), schema)
}
