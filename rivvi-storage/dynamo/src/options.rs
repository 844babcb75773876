//! How the store uses DynamoDB.

use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;

/// How the store uses DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// What the names of the tables begin with. Default `rivvi_`. Stores with different prefixes share nothing.
    pub table_prefix: String,
    /// How long a verb waits in all for throttled, failed or contended requests before it fails. Default 10 s.
    pub patience: Duration,
    /// How long a connection may take. Default 2 s.
    pub connect_timeout: Duration,
    /// How long one request may take until its answer is there. Default 5 s.
    pub request_timeout: Duration,
    /// Whether to ask DynamoDB what each request costs, for
    /// [`capacity_used`](crate::DynamoStorage::capacity_used). Default no.
    pub measure_capacity: bool,
}

impl Options {
    /// The defaults, with names of tables that begin so.
    pub fn with_prefix(table_prefix: impl Into<String>) -> Self {
        Self { table_prefix: table_prefix.into(), ..Self::default() }
    }

    pub(crate) fn timeouts(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .operation_attempt_timeout(self.request_timeout)
            .build()
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            table_prefix: "rivvi_".into(),
            patience: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(5),
            measure_capacity: false,
        }
    }
}
