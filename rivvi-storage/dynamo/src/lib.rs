//! Rivvi's serverless store: [`Catalog`], [`Ledger`] and [`Archive`] on DynamoDB alone.
//!
//! ```no_run
//! use rivvi_core::storage::Storage;
//! use rivvi_storage_dynamo::{DynamoStorage, Options, TableOptions};
//!
//! # async fn example() -> Result<(), rivvi_core::storage::StorageError> {
//! let storage = DynamoStorage::connect(Options::default()).await;
//! storage.create_tables(TableOptions::default()).await?;
//! let storage: Storage = storage.into();
//! # Ok(())
//! # }
//! ```
//!
//! # What it promises
//!
//! - **The same as a relational store.** What the core decides about a contact is committed in one
//!   `TransactWriteItems`, with conditions on everything it was decided from: the contact, the attempts, live call and
//!   suppression of its number, the state of its run, the live calls of run and organization. Limits are exact and no
//!   slot can leak.
//! - **All or nothing per contact.** A batch is several transactions, each with as many whole contacts as fit.
//! - **No scans.** What is due is found in partitions sorted by priority and time; all reads are strongly consistent.
//! - **Throttling is waited for** with backoff and jitter, at most [`Options::patience`]; then the verb fails as
//!   [`Busy`](rivvi_core::storage::StorageErrorKind::Busy).
//! - **A lost answer is asked for again** with the same token, so that a transaction takes effect once.
//!
//! # How it is built
//!
//! ```text
//!  Ledger / Catalog / Archive     one thin method per verb
//!        │
//!  dispatch, apply, run, ...      what each verb reads, asks and commits
//!        │
//!  work ─ counters ─ commit       a contact in work; what transactions share; both as one transaction
//!        │
//!  place, key, value              where things lie, and how they stand in an item
//!        │
//!  gateway ─ transact ─ schema    requests, repeated while that helps; writes; tables
//! ```
//!
//! [`Catalog`]: rivvi_core::storage::Catalog
//! [`Ledger`]: rivvi_core::storage::Ledger
//! [`Archive`]: rivvi_core::storage::Archive

mod apply;
mod archive;
mod call;
mod capacity;
mod catalog;
mod commit;
mod contact;
mod context;
mod counters;
mod dispatch;
mod error;
mod gateway;
mod item;
mod journal;
mod key;
mod ledger;
mod number;
mod options;
mod place;
mod run;
mod schema;
mod suppression;
mod transact;
mod value;
mod work;

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use rivvi_core::clock::SystemClock;
use rivvi_core::storage::{Storage, StorageError};
use tokio::sync::{Mutex, MutexGuard};

pub use capacity::Capacity;
pub use options::Options;
pub use schema::{TableOptions, cloud_formation};

use crate::capacity::Meter;
use crate::error::Failure;
use crate::gateway::Gateway;
use crate::key::FEED_SHARDS;

/// A store in DynamoDB. Clones share its connections.
#[derive(Clone)]
pub struct DynamoStorage {
    shared: Arc<Shared>,
}

struct Shared {
    gateway: Gateway,
    /// Transactions of one shard come one after the other: those of this process queue here instead of getting in
    /// each other's way at DynamoDB. Holds the shard's last position known.
    commits: [Mutex<u64>; FEED_SHARDS as usize],
    /// Likewise those of this process that take due contacts of a shard's organizations.
    begins: [Mutex<()>; FEED_SHARDS as usize],
    /// Likewise those that take overdue calls and items.
    takes: Mutex<()>,
}

impl DynamoStorage {
    /// A store that finds region, credentials and endpoint as AWS programs do: environment, profile, container, instance.
    /// Sends nothing yet.
    pub async fn connect(options: Options) -> Self {
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await;
        Self::new(&config, options)
    }

    /// A store with this configuration, whose retries and timeouts are replaced by those of `options`.
    pub fn new(config: &aws_config::SdkConfig, options: Options) -> Self {
        let config = aws_sdk_dynamodb::config::Builder::from(config);
        Self::from_client_config(config, options)
    }

    /// A store with this configuration of its client, whose retries and timeouts are replaced by those of `options`.
    pub fn from_client_config(config: aws_sdk_dynamodb::config::Builder, options: Options) -> Self {
        let config = config
            .retry_config(aws_sdk_dynamodb::config::retry::RetryConfig::disabled())
            .timeout_config(options.timeouts());
        let gateway = Gateway {
            client: Client::from_conf(config.build()),
            prefix: options.table_prefix.into(),
            patience: options.patience,
            clock: SystemClock::new(),
            meter: options.measure_capacity.then(|| Arc::new(Meter::default())),
        };
        let commits = std::array::from_fn(|_| Mutex::new(0));
        let begins = std::array::from_fn(|_| Mutex::new(()));
        Self { shared: Arc::new(Shared { gateway, commits, begins, takes: Mutex::new(()) }) }
    }

    /// A store in DynamoDB Local or another server that checks no credentials, at a URL such as
    /// `http://127.0.0.1:8000`.
    pub fn local(url: &str, options: Options) -> Self {
        use aws_sdk_dynamodb::config::{BehaviorVersion, Builder, Credentials, Region};
        let config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(url)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("rivvi", "local", None, None, "local"));
        Self::from_client_config(config, options)
    }

    /// What all requests of this store and its clones used so far; `None` unless
    /// [`Options::measure_capacity`] is set.
    pub fn capacity_used(&self) -> Option<Capacity> {
        self.shared.gateway.meter.as_ref().map(|meter| meter.total())
    }

    fn gateway(&self) -> &Gateway {
        &self.shared.gateway
    }

    /// Waits until no other verb of this process takes due contacts of the shard.
    async fn begin_turn(&self, shard: u8) -> MutexGuard<'_, ()> {
        self.shared.begins[usize::from(shard)].lock().await
    }

    /// Waits until no other verb of this process takes what is overdue.
    async fn take_turn(&self) -> MutexGuard<'_, ()> {
        self.shared.takes.lock().await
    }

    /// Puts the name of its verb to what went wrong.
    fn error(&self, operation: &'static str) -> impl FnOnce(Failure) -> StorageError {
        move |failure| failure.named(operation, &format_args!("tables {}*", self.shared.gateway.prefix))
    }
}

impl fmt::Debug for DynamoStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DynamoStorage").field(&self.shared.gateway.prefix).finish()
    }
}

impl From<DynamoStorage> for Storage {
    fn from(storage: DynamoStorage) -> Self {
        Self::from_backend(storage)
    }
}
