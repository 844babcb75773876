//! From the URLs of the command line to stores.

use rivvi::storage::Storage;
use rivvi::stores::SqliteStorage;

use crate::shared::outcome::Failure;

/// The scheme of a URL, the only part of it that may be shown: the rest may hold a password.
pub(crate) fn scheme(url: &str) -> &str {
    url.split(':').next().unwrap_or_default()
}

/// The stores of a ledger's URL, paced in the process.
pub(crate) async fn open_ledger(url: &str) -> Result<Storage, Failure> {
    let opened = match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => SqliteStorage::open(path).await.map(Storage::from),
        #[cfg(feature = "postgres")]
        Some(("postgres" | "postgresql", _)) => open_postgres(url).await,
        #[cfg(feature = "dynamo")]
        Some(("dynamodb", _)) => open_dynamo(url).await,
        _ => return Err(unknown("--ledger", &["sqlite:PATH", POSTGRES, DYNAMO], url)),
    };
    opened.map_err(|error| Failure::Input(format!("--ledger: {error}")))
}

/// The same stores, paced, and woken, as the limiter's URL says.
pub(crate) async fn open_limiter(url: &str, storage: Storage) -> Result<Storage, Failure> {
    match scheme(url) {
        "local" => Ok(storage),
        #[cfg(feature = "redis")]
        "redis" | "rediss" | "redis-cluster" | "rediss-cluster" | "redis-sentinel" | "rediss-sentinel" => {
            let opened = open_redis(url, storage).await;
            opened.map_err(|error| Failure::Input(format!("--limiter: {error}")))
        }
        _ => Err(unknown("--limiter", &["local", REDIS], url)),
    }
}

#[cfg(feature = "postgres")]
async fn open_postgres(url: &str) -> Result<Storage, rivvi::storage::StorageError> {
    let (url, schema) = split_parameter(url, "schema");
    let mut options = rivvi::stores::PostgresOptions::new(&url)?;
    if let Some(schema) = schema {
        options = options.schema(schema)?;
    }
    Ok(rivvi::stores::PostgresStorage::connect_with(options).await?.into())
}

#[cfg(feature = "dynamo")]
async fn open_dynamo(url: &str) -> Result<Storage, rivvi::storage::StorageError> {
    use rivvi::stores::{DynamoOptions, DynamoStorage, DynamoTableOptions};
    let (url, prefix) = split_parameter(url, "prefix");
    let options = prefix.map_or_else(DynamoOptions::default, DynamoOptions::with_prefix);
    let storage = match url.trim_start_matches("dynamodb:").trim_matches('/') {
        "" => DynamoStorage::connect(options).await,
        host => DynamoStorage::local(&format!("http://{host}"), options),
    };
    storage.create_tables(DynamoTableOptions::default()).await?;
    Ok(storage.into())
}

#[cfg(feature = "redis")]
async fn open_redis(url: &str, storage: Storage) -> Result<Storage, rivvi::redis::RedisError> {
    use std::sync::Arc;

    use rivvi::redis::{Redis, RedisOptions, RedisRateLimiter, RedisWakeups};
    let (url, prefix) = split_parameter(url, "prefix");
    let mut options = RedisOptions::default();
    options.prefix = prefix.unwrap_or(options.prefix);
    let redis = Redis::open_with(&url, options).await?;
    let limiter = Arc::new(RedisRateLimiter::new(&redis));
    Ok(Storage { limiter, wakeups: Arc::new(RedisWakeups::new(&redis)), ..storage })
}

/// The URL without this parameter of its query, and its value.
#[cfg(any(feature = "postgres", feature = "dynamo", feature = "redis"))]
fn split_parameter(url: &str, name: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let is_it = |part: &&str| part.split_once('=').is_some_and(|(key, _)| key == name);
    let (found, rest): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_it);
    let value = found.first().and_then(|part| part.split_once('=')).map(|(_, value)| value.to_owned());
    let url = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    (url, value)
}

const POSTGRES: &str = if cfg!(feature = "postgres") {
    "postgres://USER:PASSWORD@HOST/DATABASE[?schema=NAME]"
} else {
    "postgres://... (in a program built with --features postgres)"
};
const DYNAMO: &str = if cfg!(feature = "dynamo") {
    "dynamodb://[HOST:PORT][?prefix=TEXT]"
} else {
    "dynamodb://... (in a program built with --features dynamo)"
};
const REDIS: &str = if cfg!(feature = "redis") {
    "redis://HOST:PORT[?prefix=TEXT]"
} else {
    "redis://... (in a program built with --features redis)"
};

fn unknown(option: &str, expected: &[&str], url: &str) -> Failure {
    let expected = expected.join(" or ");
    Failure::Input(format!("{option}: expected {expected}, not a URL that begins with `{}`", scheme(url)))
}
