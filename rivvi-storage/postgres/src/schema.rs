//! The tables, and how a database gets them.

use rivvi_core::storage::{StorageError, StorageErrorKind};
use sha2::{Digest, Sha256};
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use crate::connection::connect;
use crate::error::Failure;
use crate::options::PostgresOptions;

/// What takes a schema from version `n` to version `n + 1`, for every `n` from 0.
const MIGRATIONS: [&str; 4] = [
    include_str!("../migrations/0001_init.sql"),
    include_str!("../migrations/0002_campaign_contexts.sql"),
    include_str!("../migrations/0003_journal_pages.sql"),
    include_str!("../migrations/0004_last_call_of_context.sql"),
];

/// Keeps the locks of migrations apart from other advisory locks: "RIVV".
const LOCK_CLASS: i32 = 0x5249_5656;

/// Makes the schema ready for this program, or checks that it is.
pub(crate) async fn prepare(options: &PostgresOptions) -> Result<(), Failure> {
    let mut connection = connect(&options.connection(), options.connect_timeout).await?;
    if options.migrate {
        migrate(&mut connection, options, MIGRATIONS.len()).await?;
    }
    check(&mut connection, options).await?;
    advance_clock(&mut connection).await
}

/// Brings the schema to the version `to`. Several nodes may do so at once: all but the first find it done.
async fn migrate(connection: &mut PgConnection, options: &PostgresOptions, to: usize) -> Result<(), Failure> {
    let schema = &options.schema;
    // Mostly there is nothing to do, which needs neither locks nor rights.
    if version(connection, options).await? == to && is_guarded(connection, options).await? {
        return Ok(());
    }
    sqlx::raw_sql("BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
        .execute(&mut *connection)
        .await?;
    let result = async {
        sqlx::query("SELECT pg_advisory_xact_lock($1, hashtext($2))")
            .bind(LOCK_CLASS)
            .bind(schema)
            .execute(&mut *connection)
            .await?;
        let from = version(connection, options).await?;
        if from == 0 {
            let create = format!(
                "CREATE SCHEMA IF NOT EXISTS \"{schema}\"; \
                 CREATE TABLE schema_versions (version bigint PRIMARY KEY, checksum text NOT NULL, \
                     migrated_at timestamptz NOT NULL DEFAULT now())"
            );
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await?;
        }
        for (migration, version) in MIGRATIONS.iter().take(to).zip(1_i64..).skip(from) {
            sqlx::raw_sql(*migration).execute(&mut *connection).await?;
            sqlx::query("INSERT INTO schema_versions (version, checksum) VALUES ($1, $2)")
                .bind(version)
                .bind(checksum(migration))
                .execute(&mut *connection)
                .await?;
        }
        guard(connection, options).await?;
        sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
        Ok(())
    };
    result.await
}

/// The version of the schema, 0 if it has none of our tables.
async fn version(connection: &mut PgConnection, options: &PostgresOptions) -> Result<usize, Failure> {
    let schema = &options.schema;
    let found = sqlx::query(
        "SELECT to_regclass($1) IS NOT NULL, EXISTS (SELECT 1 FROM pg_class c \
           JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $2 AND c.relkind IN ('r', 'p'))",
    )
    .bind(format!("\"{schema}\".schema_versions"))
    .bind(schema)
    .fetch_one(&mut *connection)
    .await?;
    if !found.try_get::<bool, _>(0)? {
        if found.try_get::<bool, _>(1)? {
            let context = format!("{} belongs to another program; choose another schema", options.name());
            return incompatible(context);
        }
        return Ok(0);
    }
    let known = sqlx::query("SELECT version, checksum FROM schema_versions ORDER BY version");
    let known = known.fetch_all(connection).await?;
    let latest = MIGRATIONS.len();
    if known.len() > latest {
        return incompatible(format!(
            "{} has version {} and this program knows versions up to {latest}; use the version of the program that \
             migrated it, or a newer one",
            options.name(),
            known.len()
        ));
    }
    for (row, migration) in known.iter().zip(MIGRATIONS) {
        if row.try_get::<&str, _>(1)? != checksum(migration) {
            return incompatible(format!(
                "{} was brought to version {} by a program that differs from any that was released; restore the \
                 program that migrated it, or a backup",
                options.name(),
                row.try_get::<i64, _>(0)?
            ));
        }
    }
    Ok(known.len())
}

async fn check(connection: &mut PgConnection, options: &PostgresOptions) -> Result<(), Failure> {
    let (found, latest) = (version(connection, options).await?, MIGRATIONS.len());
    if found < latest {
        return incompatible(format!(
            "{} has version {found} and this program needs version {latest}; call PostgresStorage::migrate as the owner \
             of its tables",
            options.name()
        ));
    }
    if !is_guarded(connection, options).await? {
        return incompatible(format!(
            "{} is not guarded by row-level security on every table; call PostgresStorage::migrate as the owner of its \
             tables, with the option row_level_security",
            options.name()
        ));
    }
    Ok(())
}

/// Turns row-level security on, if it is asked for, and for new tables if the others have it.
async fn guard(connection: &mut PgConnection, options: &PostgresOptions) -> Result<(), Failure> {
    let schema = &options.schema;
    let guarded = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relkind = 'r' AND c.relrowsecurity)",
    );
    let guarded: bool = guarded.bind(schema).fetch_one(&mut *connection).await?.try_get(0)?;
    if !options.row_level_security && !guarded {
        return Ok(());
    }
    let guard = format!(
        "DO $$ DECLARE guarded text; BEGIN \
           FOR guarded IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' LOOP \
             EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', guarded); \
             EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', guarded); \
           END LOOP; END $$"
    );
    sqlx::raw_sql(AssertSqlSafe(guard)).execute(connection).await?;
    Ok(())
}

/// Whether every table is guarded, if that is asked for.
async fn is_guarded(connection: &mut PgConnection, options: &PostgresOptions) -> Result<bool, Failure> {
    if !options.row_level_security {
        return Ok(true);
    }
    let open = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT (c.relrowsecurity AND c.relforcerowsecurity))",
    )
    .bind(&options.schema);
    Ok(!open.fetch_one(connection).await?.try_get::<bool, _>(0)?)
}

/// Sees to it that new journal entries come after all that are there. The feed follows the transaction ids of the server,
/// and in a database that was moved here by a dump those may lie behind.
async fn advance_clock(connection: &mut PgConnection) -> Result<(), Failure> {
    let behind = "UPDATE journal_clock SET ahead = last.feed + 1 - clock.now \
         FROM (SELECT max(feed) AS feed FROM journal) last, \
              (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS now) clock \
         WHERE last.feed > clock.now + ahead";
    sqlx::query(behind).execute(connection).await?;
    Ok(())
}

fn checksum(migration: &str) -> String {
    Sha256::digest(migration).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn incompatible<T>(context: String) -> Result<T, Failure> {
    Err(StorageError::new(StorageErrorKind::Incompatible, "connect", context).into())
}
