//! The tables, and how a file gets them.

use rivvi_core::storage::{StorageError, StorageErrorKind};
use sqlx::SqliteConnection;

use crate::error::{Failure, primary_code};
use crate::value::Columns;

/// What takes a file from version `n` to version `n + 1`, for every `n` from 0.
const MIGRATIONS: [&str; 2] =
    [include_str!("../migrations/0001_init.sql"), include_str!("../migrations/0002_campaign_contexts.sql")];

/// Marks a file as one of ours: "RIVV" (<https://www.sqlite.org/fileformat.html#application_id>).
const APPLICATION_ID: i64 = 0x5249_5656;

/// Makes the file ready for this program, unless it belongs to another or to a newer version.
pub(crate) async fn prepare(connection: &mut SqliteConnection, name: &str) -> Result<(), Failure> {
    version(connection, name).await?;
    use_wal(connection, name).await?;
    migrate(connection, name).await
}

/// Turns on write-ahead logging, which a file keeps for good.
///
/// The change needs the file for itself and is refused at once if another process is about to do the same. An
/// exclusive transaction waits until that process is done.
async fn use_wal(connection: &mut SqliteConnection, name: &str) -> Result<(), Failure> {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        match sqlx::query("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await {
            Ok(mode) if mode.text(0)? == "wal" => return Ok(()),
            Ok(_) => {
                let context = format!("{name} cannot have a write-ahead log; put it on a local disk");
                return Err(StorageError::new(StorageErrorKind::Unavailable, "open", context).into());
            }
            Err(error) if primary_code(&error) == Some(5) => {
                sqlx::raw_sql("BEGIN EXCLUSIVE; ROLLBACK").execute(&mut *connection).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    let context = format!("other processes keep opening {name}; try again");
    Err(StorageError::new(StorageErrorKind::Busy, "open", context).into())
}

/// Brings the file to the version of this program. Two processes may do so at once: the second finds it done.
pub(crate) async fn migrate(connection: &mut SqliteConnection, name: &str) -> Result<(), Failure> {
    if version(connection, name).await? == MIGRATIONS.len() {
        return Ok(());
    }
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    let from = version(connection, name).await?;
    for migration in MIGRATIONS.iter().skip(from) {
        sqlx::raw_sql(*migration).execute(&mut *connection).await?;
    }
    let marks =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}", MIGRATIONS.len());
    sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *connection).await?;
    sqlx::query("COMMIT").execute(&mut *connection).await?;
    Ok(())
}

/// The version of the file, 0 if it is empty.
async fn version(connection: &mut SqliteConnection, name: &str) -> Result<usize, Failure> {
    let incompatible =
        |context: String| Err(StorageError::new(StorageErrorKind::Incompatible, "open", context).into());
    let marks = "SELECT (SELECT application_id FROM pragma_application_id), \
                        (SELECT user_version FROM pragma_user_version), \
                        (SELECT count(*) FROM sqlite_schema)";
    let marks = sqlx::query(marks).fetch_one(connection).await?;
    let (application, version, tables) = (marks.int(0)?, marks.int(1)?, marks.int(2)?);
    let latest = MIGRATIONS.len();
    if tables == 0 {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        return incompatible(format!("{name} belongs to another program; choose another file"));
    }
    match usize::try_from(version) {
        Ok(version) if version <= latest => Ok(version),
        _ => incompatible(format!(
            "{name} has schema {version} and this program knows schemas up to {latest}; use the version of the \
             program that wrote it, or a newer one"
        )),
    }
}
