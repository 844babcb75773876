//! The suite of the core against a file, and against a database in memory.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rivvi_core::storage::Storage;
use rivvi_storage_sqlite::SqliteStorage;
use tempfile::TempDir;

mod file {
    use super::*;

    async fn fresh() -> (Storage, TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let storage = SqliteStorage::open(directory.path().join("rivvi.db")).await.unwrap();
        (storage.into(), directory)
    }

    rivvi_core::storage_conformance!(fresh);
}

mod memory {
    use super::*;

    async fn fresh() -> Storage {
        SqliteStorage::open_in_memory().await.unwrap().into()
    }

    rivvi_core::storage_conformance!(fresh);
}
