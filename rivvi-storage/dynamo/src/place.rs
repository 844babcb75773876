//! Tables, places in them, and what is to be written there.

use aws_sdk_dynamodb::types::AttributeValue;

use crate::value::{Item, text};

/// One of the store's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    /// Runs with their live counts.
    ActiveRuns,
    /// Contacts.
    RunData,
    /// Everything else that is live, see [`crate::key`].
    Ledger,
    /// Journal entries by aggregate.
    Journal,
    /// Organizations and campaigns; people, finished calls and reports.
    Records,
}

impl Table {
    pub(crate) const ALL: [Self; 5] =
        [Self::ActiveRuns, Self::RunData, Self::Ledger, Self::Journal, Self::Records];

    /// The name, without the prefix.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ActiveRuns => "active_runs",
            Self::RunData => "run_data",
            Self::Ledger => "ledger",
            Self::Journal => "journal",
            Self::Records => "records",
        }
    }

    /// The names of partition key and sort key.
    pub(crate) const fn keys(self) -> [&'static str; 2] {
        match self {
            Self::ActiveRuns => ["run_id", "org_id"],
            Self::RunData => ["run_id", "row_id"],
            Self::Ledger | Self::Records => ["pk", "sk"],
            Self::Journal => ["aggregate_id", "sequence"],
        }
    }

    /// Whether the sort key is a number.
    pub(crate) const fn sorts_by_number(self) -> bool {
        matches!(self, Self::Journal)
    }

    /// A sort key as its attribute.
    pub(crate) fn sort_value(self, sk: &str) -> AttributeValue {
        if self.sorts_by_number() { AttributeValue::N(sk.to_owned()) } else { text(sk) }
    }
}

/// Where an item lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) table: Table,
    pub(crate) pk: String,
    pub(crate) sk: String,
}

impl Place {
    /// The key attributes.
    pub(crate) fn key(&self) -> Item {
        let [pk, sk] = self.table.keys();
        Item::from([(pk.to_owned(), text(self.pk.clone())), (sk.to_owned(), self.table.sort_value(&self.sk))])
    }

    /// An item with these attributes at this place.
    pub(crate) fn item<const N: usize>(&self, attributes: [(&str, AttributeValue); N]) -> Item {
        let mut item = self.key();
        item.extend(attributes.map(|(name, value)| (name.to_owned(), value)));
        item
    }

    /// The place of an item.
    pub(crate) fn of(table: Table, item: &Item) -> Option<Self> {
        let [pk, sk] = table.keys();
        let sk = match item.get(sk)? {
            AttributeValue::S(sk) | AttributeValue::N(sk) => sk.clone(),
            _ => return None,
        };
        Some(Self { table, pk: item.get(pk)?.as_s().ok()?.clone(), sk })
    }
}

/// What must be so for a write to take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// There is no item.
    Absent,
    /// The item has this version, in its attribute `v`.
    Version(u64),
}

impl When {
    /// The item as it was read: absent, or of a version.
    pub(crate) fn as_read(version: Option<u64>) -> Self {
        version.map_or(Self::Absent, Self::Version)
    }
}

/// One action of a transaction.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Put { place: Place, item: Item, when: When },
    Update { place: Place, set: Vec<(&'static str, AttributeValue)>, when: When },
    Delete { place: Place, when: When },
    Check { place: Place, when: When },
}

impl Write {
    /// Puts an item with these attributes, whatever is there.
    pub(crate) fn put<const N: usize>(place: Place, attributes: [(&str, AttributeValue); N]) -> Self {
        let item = place.item(attributes);
        Self::Put { place, item, when: When::Always }
    }

    /// Deletes an item, whether there is one or not.
    pub(crate) fn delete(place: Place) -> Self {
        Self::Delete { place, when: When::Always }
    }

    pub(crate) fn place(&self) -> &Place {
        match self {
            Self::Put { place, .. }
            | Self::Update { place, .. }
            | Self::Delete { place, .. }
            | Self::Check { place, .. } => place,
        }
    }
}

/// The name of the attribute that counts the versions of an item.
pub(crate) const VERSION: &str = "v";
