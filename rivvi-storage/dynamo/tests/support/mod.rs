//! Stores on the DynamoDB that the environment names, each with tables of its own.

#![allow(dead_code, reason = "every test file uses some of it")]

pub(crate) mod proxy;

use std::sync::atomic::{AtomicU32, Ordering};

use rivvi_core::storage::Storage;
use rivvi_storage_dynamo::{DynamoStorage, Options, TableOptions};

/// The DynamoDB to be tested against.
pub(crate) fn endpoint() -> String {
    std::env::var("RIVVI_TEST_DYNAMODB").unwrap_or_else(|_| {
        panic!("RIVVI_TEST_DYNAMODB names no endpoint: run scripts/test, or eval \"$(scripts/services env)\"")
    })
}

/// Removes the tables of a store when the test is over.
#[derive(Debug)]
pub(crate) struct Tables(DynamoStorage);

impl Drop for Tables {
    fn drop(&mut self) {
        let storage = self.0.clone();
        // The runtime of the test is about to end, so this has its own.
        let delete = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(storage.delete_tables())
        });
        if !std::thread::panicking() {
            delete.join().unwrap().unwrap();
        }
    }
}

/// Options with a prefix that no other test has.
pub(crate) fn options() -> Options {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    Options::with_prefix(format!("t{}_{next}_", std::process::id()))
}

/// An empty store.
pub(crate) async fn fresh() -> (Storage, Tables) {
    let (storage, tables) = fresh_dynamo(options()).await;
    (storage.into(), tables)
}

/// An empty store with these options.
pub(crate) async fn fresh_dynamo(options: Options) -> (DynamoStorage, Tables) {
    let storage = DynamoStorage::local(&endpoint(), options.clone());
    storage.create_tables(TableOptions::default()).await.unwrap();
    // The tables are removed through a client of their own: that of the store dies with its runtime.
    (storage, Tables(DynamoStorage::local(&endpoint(), options)))
}
