//! The tables: made by code, or told to those who make them.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, Projection, ProjectionType, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use rivvi_core::clock::Clock;
use rivvi_core::storage::{StorageError, StorageErrorKind};
use serde_json::{Value, json};

use crate::DynamoStorage;
use crate::error::{Failure, Verdict};
use crate::gateway::{Gateway, Pause};
use crate::place::Table;

/// The attribute by which DynamoDB removes what is over, in seconds since 1970.
pub(crate) const TTL: &str = "ttl";

/// The index of `active_runs` by organization and status.
pub(crate) const BY_ORGANIZATION: &str = "by_org_and_status";

/// The index of `journal` by organization and event type, then by instant.
pub(crate) const BY_EVENT: &str = "by_event_type";

/// The index of `journal` by call or run, then by instant.
pub(crate) const BY_CORRELATION: &str = "by_correlation_id";

/// How [`DynamoStorage::create_tables`] makes tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableOptions {
    /// Keep backups of the last 35 days, to any second. Costs extra. Default: no.
    pub point_in_time_recovery: bool,
    /// Refuse to delete the tables until this is taken off again. Default: no.
    pub deletion_protection: bool,
}

/// An index over a table: its name, partition key and sort key. Keys alone are projected.
struct Index {
    name: &'static str,
    keys: [&'static str; 2],
}

impl Table {
    const fn indexes(self) -> &'static [Index] {
        match self {
            Self::ActiveRuns => &[Index { name: BY_ORGANIZATION, keys: ["org_id", "status"] }],
            Self::Journal => &[
                Index { name: BY_EVENT, keys: ["org_event", "at"] },
                Index { name: BY_CORRELATION, keys: ["correlation_id", "at"] },
            ],
            Self::RunData | Self::Ledger | Self::Records => &[],
        }
    }

    /// Whether items of it may be over by themselves.
    const fn expires(self) -> bool {
        matches!(self, Self::ActiveRuns | Self::RunData | Self::Ledger)
    }

    /// Every key attribute of the table and its indexes, once, with its type.
    fn attributes(self) -> Vec<(&'static str, ScalarAttributeType)> {
        let mut names: Vec<&'static str> = self.keys().into();
        names.extend(self.indexes().iter().flat_map(|index| index.keys));
        let mut attributes: Vec<(&'static str, ScalarAttributeType)> = Vec::new();
        for name in names {
            if attributes.iter().all(|(known, _)| *known != name) {
                let numeric = self.sorts_by_number() && name == self.keys()[1];
                let kind = if numeric { ScalarAttributeType::N } else { ScalarAttributeType::S };
                attributes.push((name, kind));
            }
        }
        attributes
    }
}

impl DynamoStorage {
    /// Makes the tables that are missing, with on-demand billing, and waits until all can be used. Tables that exist
    /// are left as they are. Safe to call from several nodes at once.
    ///
    /// # Errors
    /// [`Refused`](StorageErrorKind::Refused) without the permission, [`Unavailable`](StorageErrorKind::Unavailable)
    /// if DynamoDB does not answer or a table is not ready after some minutes.
    pub async fn create_tables(&self, options: TableOptions) -> Result<(), StorageError> {
        let create = |table| create_table(&self.shared.gateway, table, options);
        let created = futures::future::try_join_all(Table::ALL.map(create)).await;
        created.map(drop).map_err(self.error("create_tables"))
    }

    /// Deletes the tables with everything in them. For tests.
    ///
    /// # Errors
    /// As [`create_tables`](Self::create_tables).
    #[doc(hidden)]
    pub async fn delete_tables(&self) -> Result<(), StorageError> {
        let gateway = &self.shared.gateway;
        for table in Table::ALL {
            let delete = || gateway.client.delete_table().table_name(gateway.table(table)).send();
            gateway.retried(delete).await.map_err(self.error("delete_tables"))?;
        }
        Ok(())
    }

    /// The tables as JSON in the form of the API's `CreateTable`, for those who make them with tools of their own.
    pub fn table_definitions(&self) -> Value {
        let tables = Table::ALL.map(|table| definition(table, &self.shared.gateway.table(table)));
        Value::Array(tables.into())
    }
}

/// The tables as a CloudFormation template, their names begun by the parameter `Prefix`.
///
/// ```
/// let template = rivvi_storage_dynamo::cloud_formation();
/// assert!(template["Resources"]["RunData"]["Properties"]["KeySchema"].is_array());
/// ```
pub fn cloud_formation() -> Value {
    let resources = Table::ALL.map(|table| {
        let mut properties = definition(table, "");
        properties["TableName"] = json!({ "Fn::Sub": format!("${{Prefix}}{}", table.name()) });
        let name: String = table.name().split('_').map(capitalized).collect();
        (
            name,
            json!({ "Type": "AWS::DynamoDB::Table", "DeletionPolicy": "Retain", "Properties": properties }),
        )
    });
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Tables of Rivvi",
        "Parameters": { "Prefix": { "Type": "String", "Default": "rivvi_" } },
        "Resources": resources.into_iter().collect::<serde_json::Map<_, _>>(),
    })
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn definition(table: Table, name: &str) -> Value {
    let keys = |[pk, sk]: [&str; 2]| {
        json!([
            { "AttributeName": pk, "KeyType": "HASH" },
            { "AttributeName": sk, "KeyType": "RANGE" },
        ])
    };
    let attribute = |(name, kind): (&str, ScalarAttributeType)| json!({ "AttributeName": name, "AttributeType": kind.as_str() });
    let mut definition = json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": table.attributes().into_iter().map(attribute).collect::<Vec<_>>(),
        "KeySchema": keys(table.keys()),
    });
    let indexes: Vec<Value> = table
        .indexes()
        .iter()
        .map(|index| {
            json!({
                "IndexName": index.name,
                "KeySchema": keys(index.keys),
                "Projection": { "ProjectionType": "KEYS_ONLY" },
            })
        })
        .collect();
    if !indexes.is_empty() {
        definition["GlobalSecondaryIndexes"] = indexes.into();
    }
    if table.expires() {
        definition["TimeToLiveSpecification"] = json!({ "AttributeName": TTL, "Enabled": true });
    }
    definition
}

async fn create_table(gateway: &Gateway, table: Table, options: TableOptions) -> Result<(), Failure> {
    let name = gateway.table(table);
    let keys = |[pk, sk]: [&str; 2]| {
        let element =
            |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        Some(vec![element(pk, KeyType::Hash).ok()?, element(sk, KeyType::Range).ok()?])
    };
    let attributes = table.attributes().into_iter().filter_map(|(name, kind)| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().ok()
    });
    let attributes: Vec<AttributeDefinition> = attributes.collect();
    let indexes: Vec<GlobalSecondaryIndex> = table
        .indexes()
        .iter()
        .filter_map(|index| {
            let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
            let builder = GlobalSecondaryIndex::builder().index_name(index.name).projection(projection);
            builder.set_key_schema(keys(index.keys)).build().ok()
        })
        .collect();
    let create = || async {
        let sent = gateway
            .client
            .create_table()
            .table_name(&name)
            .billing_mode(BillingMode::PayPerRequest)
            .set_attribute_definitions(Some(attributes.clone()))
            .set_key_schema(keys(table.keys()))
            .set_global_secondary_indexes((!indexes.is_empty()).then(|| indexes.clone()))
            .deletion_protection_enabled(options.deletion_protection)
            .send()
            .await;
        // It is there, or somebody else makes it at this moment.
        match sent {
            Err(SdkError::ServiceError(error)) if error.err().code() == Some("ResourceInUseException") => {
                Ok(())
            }
            sent => sent.map(drop),
        }
    };
    if !is_active(gateway, &name).await? {
        gateway.retried(create).await?;
        wait_until_active(gateway, &name).await?;
    }
    if table.expires() {
        expire(gateway, &name).await?;
    }
    if options.point_in_time_recovery {
        recover(gateway, &name).await?;
    }
    Ok(())
}

async fn is_active(gateway: &Gateway, name: &str) -> Result<bool, Failure> {
    let describe = || gateway.client.describe_table().table_name(name).send();
    match gateway.retried(describe).await {
        Ok(told) => Ok(told.table.and_then(|table| table.table_status) == Some(TableStatus::Active)),
        Err(Failure::Service(answer)) if answer.verdict == Verdict::NoTables => Ok(false),
        Err(failure) => Err(failure),
    }
}

async fn wait_until_active(gateway: &Gateway, name: &str) -> Result<(), Failure> {
    let give_up = gateway.clock.monotonic() + ACTIVE_MAX;
    let mut pause = Pause::new(gateway);
    while !is_active(gateway, name).await? {
        if gateway.clock.monotonic() > give_up {
            let context = format!("table {name} is not active after {} s", ACTIVE_MAX.as_secs());
            return Err(StorageError::new(StorageErrorKind::Unavailable, "create_tables", context).into());
        }
        if pause.wait().await.is_err() {
            pause = Pause::new(gateway);
        }
    }
    Ok(())
}

/// How long a new table is waited for.
const ACTIVE_MAX: std::time::Duration = std::time::Duration::from_secs(300);

async fn expire(gateway: &Gateway, name: &str) -> Result<(), Failure> {
    let describe = || gateway.client.describe_time_to_live().table_name(name).send();
    let told = gateway.retried(describe).await?;
    let status = told.time_to_live_description.and_then(|described| described.time_to_live_status);
    if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
        return Ok(());
    }
    let specification = TimeToLiveSpecification::builder().attribute_name(TTL).enabled(true).build().ok();
    let update = || async {
        let request = gateway.client.update_time_to_live().table_name(name);
        match request.set_time_to_live_specification(specification.clone()).send().await {
            // Somebody else does it at this moment.
            Err(SdkError::ServiceError(error)) if error.err().code() == Some("ValidationException") => Ok(()),
            sent => sent.map(drop),
        }
    };
    gateway.retried(update).await
}

async fn recover(gateway: &Gateway, name: &str) -> Result<(), Failure> {
    let specification =
        PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build().ok();
    let update = || {
        let request = gateway.client.update_continuous_backups().table_name(name);
        request.set_point_in_time_recovery_specification(specification.clone()).send()
    };
    gateway.retried(update).await.map(drop)
}
